//! [`HttpHooks`]: how the requests of a guest are sent, those of wasi:http and those of `oneflight:client/fetch`.

use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderName, Request, Response};
use http_body_util::BodyExt;
use tracing::{Instrument, Span};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::host_memory::UPLOAD_PART;
use crate::flight_context::FlightContext;
use crate::upstream::{self, CappedBody, Expiry, RequestBody, Uploads, Upstream};

/// Sends a guest's requests: every one goes through its client's [`Upstream`].
pub(super) struct HttpHooks {
    upstream: Arc<Upstream>,
    context: FlightContext,
    /// Those of wasi:http.
    uploads: Uploads,
}

/// A request that is being sent. In a box of its own: its future is several kilobytes large, and each future around it
/// would copy it again.
type Sending = Pin<Box<dyn Future<Output = Result<(Response<CappedBody>, Expiry), Error>> + Send>>;

/// The future that drives the rest of a response.
type ResponseDriver = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl HttpHooks {
    pub(super) fn new(upstream: &Arc<Upstream>, context: &FlightContext) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            context: context.clone(),
            uploads: Uploads::default(),
        }
    }

    /// The flight for which requests are sent.
    pub(super) fn context(&self) -> &FlightContext {
        &self.context
    }

    /// Sends requests for the flight of `context` from now on.
    pub(super) fn set_context(&mut self, context: &FlightContext) {
        self.context = context.clone();
    }

    /// Sends a request. It counts as open from here, and not only from the first poll: a guest of wasi:http may return
    /// before that poll, and its instance would be reused with a request in flight.
    ///
    /// # Cancel safety
    ///
    /// As [`Upstream::send`].
    pub(super) fn send(
        &self,
        request: Request<RequestBody>,
        options: Option<RequestOptions>,
    ) -> Sending {
        let (upstream, guard) = (Arc::clone(&self.upstream), self.context.begin());
        Box::pin(upstream.send(request, options, guard))
    }
}

impl WasiHttpHooks for HttpHooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(upstream::is_forbidden_header)
    }

    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        upstream::is_forbidden_header(name)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        UPLOAD_PART
    }

    fn set_host_header(&mut self) -> bool {
        // The upstream sets it, from the URL that the policy has checked.
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: ResponseDriver,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, ResponseDriver), Error>> + Send> {
        let request = request.map(|body| RequestBody::new(body, &mut self.uploads));
        let sending = self.send(request, options);
        // Wasmtime spawns it as a task that ends with the store. Its log lines belong to the flight.
        let sending = async move {
            let (response, expiry) = sending.await?;
            let expiry = expiry.run().instrument(Span::current());
            let driver: ResponseDriver = Box::new(async {
                expiry.await;
                Ok(())
            });
            Ok((response.map(BodyExt::boxed_unsync), driver))
        };
        Box::new(sending.in_current_span())
    }
}
