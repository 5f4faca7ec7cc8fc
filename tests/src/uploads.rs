//! A server over HTTP/1.1, or over HTTP/2 with TLS, that reports which request bodies it got whole.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::failsafe;
use crate::tls::Identity;

/// The server. The beginning of a request's path chooses what it does with the body:
///
/// | path | body | answer |
/// |---|---|---|
/// | `/read…` | reads it | once it is whole |
/// | `/early…` | reads it | at once |
/// | `/deaf…` | reads nothing of it | at once |
/// | `/open/gate` | | at once |
/// | `…/gate` | | once another request has begun, whose path is the same without `/gate` |
///
/// Dropping this value ends it.
#[derive(Debug)]
pub struct Uploads {
    origin: String,
    events: UnboundedReceiver<Upload>,
    accepting: AbortHandle,
}

/// What happens to the body of a request, of which the path is the first value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upload {
    /// Its first bytes have arrived; or its head, if the server does not read it.
    Begun(String),
    /// It has ended as its framing requires: these bytes, and the names of its trailers.
    Whole(String, String, Vec<String>),
    /// It broke off after these bytes.
    Cut(String, String),
}

#[derive(Debug)]
struct State {
    events: UnboundedSender<Upload>,
    /// The paths of the bodies that have begun.
    begun: watch::Sender<HashSet<String>>,
}

impl Uploads {
    /// Starts it: over HTTP/2 if there is an `identity`.
    ///
    /// # Panics
    ///
    /// When loopback has no free port.
    pub async fn start(identity: Option<&Identity>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let tls = identity.map(|identity| identity.acceptor(&["h2"]));
        let (send, events) = unbounded_channel();
        let state = Arc::new(State {
            events: send,
            begun: watch::Sender::default(),
        });
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&state), tls.clone());
                tokio::spawn(async move {
                    let respond = |request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(respond(request, state).await) }
                    };
                    // A connection that breaks off is what the tests are about.
                    match tls {
                        None => drop(
                            http1::Builder::new()
                                .serve_connection(TokioIo::new(stream), service_fn(respond))
                                .await,
                        ),
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else {
                                return;
                            };
                            drop(
                                http2::Builder::new(TokioExecutor::new())
                                    .serve_connection(TokioIo::new(stream), service_fn(respond))
                                    .await,
                            );
                        }
                    }
                });
            }
        });
        Self {
            origin: origin(address, identity),
            events,
            accepting: accepting.abort_handle(),
        }
    }

    /// `http://127.0.0.1:PORT`, or with `https`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.origin.clone()
    }

    /// Waits for the next event.
    ///
    /// # Panics
    ///
    /// When none comes until the failsafe.
    pub async fn event(&mut self) -> Upload {
        let event = failsafe("a request body", self.events.recv()).await;
        event.expect("the server is still there")
    }

    /// The next events, sorted by path.
    ///
    /// # Panics
    ///
    /// When there are fewer until the failsafe.
    pub async fn events(&mut self, count: usize) -> Vec<Upload> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.event().await);
        }
        events.sort_by(|one, other| one.path().cmp(other.path()));
        events
    }

    /// The events that were not waited for.
    pub fn seen(&mut self) -> Vec<Upload> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// Whether there is an event that was not waited for.
    pub fn is_silent(&mut self) -> bool {
        self.events.is_empty()
    }
}

impl Upload {
    /// The path of the request.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Begun(path) | Self::Whole(path, ..) | Self::Cut(path, _) => path,
        }
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn origin(address: SocketAddr, identity: Option<&Identity>) -> String {
    let scheme = identity.map_or("http", |_| "https");
    format!("{scheme}://{address}")
}

async fn respond(request: Request<Incoming>, state: Arc<State>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    if let Some(gated) = path.strip_suffix("/gate") {
        let has_begun = |begun: &HashSet<String>| begun.contains(gated);
        if gated != "/open" {
            let opened = state.begun.subscribe().wait_for(has_begun).await.is_ok();
            assert!(opened, "the sender is in the state");
        }
        let mut answer = answer();
        if request.version() == Version::HTTP_11 {
            // Only connections of bodies are of interest to the test.
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        return answer;
    }
    if path.starts_with("/deaf") {
        begun(&path, &state);
        // Held unread until the connection is closed; dropping it would have hyper read or refuse the rest.
        tokio::spawn(async move {
            let _unread = request.into_body();
            std::future::pending::<()>().await;
        });
        return answer();
    }
    let is_early = path.starts_with("/early");
    // In a task of its own: hyper drops this future when its peer is gone.
    let reading = tokio::spawn(async move { read(path, request.into_body(), &state).await });
    if !is_early {
        drop(reading.await);
    }
    answer()
}

async fn read(path: String, mut body: Incoming, state: &State) {
    let (mut received, mut trailers) = (Vec::new(), Vec::new());
    let is_whole = loop {
        match body.frame().await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    if received.is_empty() {
                        begun(&path, state);
                    }
                    received.extend_from_slice(&data);
                }
                Err(frame) => {
                    let names = frame.into_trailers().unwrap_or_default();
                    trailers.extend(names.keys().map(ToString::to_string));
                }
            },
        }
    };
    let received = String::from_utf8_lossy(&received).into_owned();
    // The test may have ended and dropped the receiver.
    drop(state.events.send(if is_whole {
        Upload::Whole(path, received, trailers)
    } else {
        Upload::Cut(path, received)
    }));
}

fn begun(path: &str, state: &State) {
    drop(state.events.send(Upload::Begun(path.to_owned())));
    state.begun.send_modify(|begun| {
        begun.insert(path.to_owned());
    });
}

fn answer() -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(b"[]")))
}
