//! The import `oneflight:client/fetch`: one HTTP request in one call of the host.
//!
//! A request is sent by the same [`HttpHooks`](super::http_hooks::HttpHooks) as one of wasi:http, so every rule and limit
//! applies alike. What differs is that the host collects the response. It does so in the task of the guest, so the work
//! counts as the guest's processor time, and what it holds meanwhile counts as the guest's memory.
//!
//! A request is sent in a task of its own, as one of wasi:http is: a guest whose client computes much waits for its turns,
//! and a connection that is opened in its task would wait with it, until it times out.

mod buffers;
mod request;
mod response;

use std::sync::Arc;

use http_body::Body as _;
use http_body_util::BodyExt;
use tracing::Instrument;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi_http::Error;

pub(super) use self::buffers::FetchBuffers;

use super::contract::fetch::{FetchError, FetchRequest, FetchResponse};
use super::store::StoreState;
use crate::upstream::{CappedBody, RequestBody, Uploads};

const INTERFACE: &str = "oneflight:client/fetch@0.1.0";

/// What `fetch` returns. The host's copy of a response is dropped when the guest has its own.
type Fetched = Result<Arc<FetchResponse>, FetchError>;

/// Adds the interface to `linker`.
pub(super) fn link(linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
    linker.instance(INTERFACE)?.func_wrap_async(
        "fetch",
        |mut store, (request,): (FetchRequest,)| {
            Box::new(async move {
                let fetched = fetch(&mut store, request).await;
                let buffers = match &fetched {
                    Ok(Ok(response)) => FetchBuffers::returned(response),
                    _ => FetchBuffers::default(),
                };
                store.data_mut().set_fetch(buffers)?;
                Ok((fetched?,))
            })
        },
    )
}

/// Sends `request`, and collects its response. The outer error ends the guest.
///
/// # Cancel safety
///
/// Dropping the future ends the request at once, as [`Upstream::send`](crate::upstream::Upstream::send) says.
async fn fetch(
    store: &mut StoreContextMut<'_, StoreState>,
    request: FetchRequest,
) -> wasmtime::Result<Fetched> {
    let state = store.data_mut();
    let sent_bytes = request::size(&request);
    let request = match request::to_http(request, state.hooks()) {
        Ok(request) => request,
        Err(reason) => return Ok(Err(FetchError::InvalidRequest(reason))),
    };
    // Cuts the body of the request when this future ends: an upstream may have responded before it has read the body.
    let mut uploads = Uploads::default();
    let request = request.map(|body| RequestBody::new(body, &mut uploads));
    let sending = state.hooks().send(request, None);
    state.set_fetch(FetchBuffers::open(sent_bytes))?;
    let sending = spawn(sending.in_current_span());
    let (head, body) = match sending.await {
        // The body is read without a pause, so it ends at its deadline by itself.
        Ok((response, _expiry)) => response.into_parts(),
        Err(error) => return Ok(Err(response::to_fetch_error(&error))),
    };
    let headers = response::headers(head.headers, store.data_mut().hooks());
    let held = sent_bytes + response::size_of_headers(&headers);
    store.data_mut().set_fetch(FetchBuffers::open(held))?;
    Ok(match collect(store, body, held).await? {
        Ok(bytes) => Ok(Arc::new(FetchResponse {
            status: head.status.as_u16(),
            headers,
            body: response::to_body(bytes),
        })),
        Err(error) => Err(response::to_fetch_error(&error)),
    })
}

/// The whole of `body`. Its memory is measured before it is allocated, together with the `held` bytes.
async fn collect(
    store: &mut StoreContextMut<'_, StoreState>,
    mut body: CappedBody,
    held: usize,
) -> wasmtime::Result<Result<Vec<u8>, Error>> {
    if let Err(error) = body.require_whole() {
        return Ok(Err(error));
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => data,
            // Trailers.
            Ok(Err(_)) => continue,
            Err(error) => return Ok(Err(error)),
        };
        let needed = bytes.len() + data.len();
        if needed > bytes.capacity() {
            // What is still announced, or else twice as much as before.
            let announced = usize::try_from(body.size_hint().lower()).unwrap_or(0);
            let capacity = needed.saturating_add(announced).max(2 * bytes.capacity());
            let buffers = FetchBuffers::open(held.saturating_add(capacity));
            store.data_mut().set_fetch(buffers)?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Ok(bytes))
}
