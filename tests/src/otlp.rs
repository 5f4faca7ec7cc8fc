//! A receiver of traces by OTLP over HTTP, like a collector: it decodes and keeps what it receives.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::tls::Identity;

/// The server; dropping this value ends it.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    received: mpsc::UnboundedReceiver<Received>,
    accepting: AbortHandle,
}

/// One request.
#[derive(Debug)]
pub struct Received {
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, undecoded.
    pub bytes: Bytes,
    /// The spans in it.
    pub spans: Vec<Span>,
}

/// A span, with its ids as `traceparent` writes them.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// Its trace id.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The id of its parent; empty for the root of a trace.
    pub parent: String,
    /// Its links: trace id and span id.
    pub links: Vec<(String, String)>,
    /// Its kind.
    pub kind: proto::span::SpanKind,
    /// Whether its status is an error.
    pub failed: bool,
    /// The number of its events.
    pub events: usize,
    /// Its duration in milliseconds.
    pub ms: u64,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// The attributes of its resource.
    pub resource: BTreeMap<String, String>,
}

impl Receiver {
    /// Listens on a free port of loopback.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::at(address, None).await.expect("a free port")
    }

    /// Listens on `address`, with TLS if there is an `identity`.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn at(address: SocketAddr, identity: Option<&Identity>) -> std::io::Result<Self> {
        let tls = identity.map(|identity| identity.acceptor(&["http/1.1"]));
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (queue, received) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (queue, tls) = (queue.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, queue).await,
                        // A sender that does not trust the certificate ends the handshake.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, queue).await;
                            }
                        }
                    }
                });
            }
        });
        Ok(Self {
            address,
            received,
            accepting: accepting.abort_handle(),
        })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Waits for the next request.
    ///
    /// # Panics
    ///
    /// When the server is gone.
    pub async fn next(&mut self) -> Received {
        let next = self.received.recv().await;
        next.expect("the server is still there")
    }

    /// The requests that have arrived since the last call.
    pub fn received(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve<S>(stream: S, queue: mpsc::UnboundedSender<Received>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| take(request, queue.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A connection that breaks off loses only its own request.
    drop(connection.await);
}

async fn take(
    request: Request<Incoming>,
    queue: mpsc::UnboundedSender<Received>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(Empty::new());
    let decoded = async {
        let bytes = body.collect().await.ok()?.to_bytes();
        let request = ExportTraceServiceRequest::decode(bytes.clone()).ok()?;
        Some(Received {
            path: head.uri.path().to_owned(),
            headers: head.headers,
            bytes,
            spans: spans(request),
        })
    };
    match decoded.await {
        // The test may have dropped the receiver.
        Some(received) => drop(queue.send(received)),
        None => *response.status_mut() = http::StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let resource = attributes(group.resource.map(|Resource { attributes, .. }| attributes));
        let scopes = group.scope_spans.into_iter();
        spans.extend(scopes.flat_map(|scope| scope.spans).map(|span| {
            Span {
                kind: span.kind(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                links: span
                    .links
                    .iter()
                    .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                    .collect(),
                failed: span
                    .status
                    .is_some_and(|status| status.code() == proto::status::StatusCode::Error),
                events: span.events.len(),
                ms: span
                    .end_time_unix_nano
                    .saturating_sub(span.start_time_unix_nano)
                    / 1_000_000,
                attributes: attributes(Some(span.attributes)),
                resource: resource.clone(),
                name: span.name,
            }
        }));
    }
    spans
}

fn attributes(attributes: Option<Vec<KeyValue>>) -> BTreeMap<String, String> {
    let text = |value| match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::DoubleValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let attributes = attributes.into_iter().flatten();
    attributes
        .filter_map(|KeyValue { key, value, .. }| Some((key, text(value?.value?))))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
