//! [`DemoUpstream`]: a small REST server on loopback that counts its requests and delays its responses.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::recorder::{Lane, Recorder};

/// A server that runs for as long as the process.
#[derive(Debug)]
pub(super) struct DemoUpstream {
    address: SocketAddr,
    delay: Duration,
    requests: Arc<AtomicU64>,
}

impl DemoUpstream {
    pub(super) async fn start(delay: Duration, recorder: Arc<Recorder>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let upstream = Self {
            address: listener.local_addr()?,
            delay,
            requests: Arc::default(),
        };
        let requests = Arc::clone(&upstream.requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (requests, recorder) = (Arc::clone(&requests), Arc::clone(&recorder));
                let respond = service_fn(move |request: http::Request<_>| {
                    let (requests, recorder) = (Arc::clone(&requests), Arc::clone(&recorder));
                    async move {
                        let body = if request.uri().path() == "/count" {
                            format!("{}\n", requests.load(Ordering::Relaxed))
                        } else {
                            requests.fetch_add(1, Ordering::Relaxed);
                            let _span = recorder.begin(Lane::UpstreamRequest);
                            tokio::time::sleep(delay).await;
                            ITEMS.to_owned()
                        };
                        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(body)))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), respond));
            }
        });
        Ok(upstream)
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The delay of each response.
    pub(super) fn delay(&self) -> Duration {
        self.delay
    }

    /// How many requests for items it has received.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

const ITEMS: &str =
    r#"[{"id": 1, "name": "a bolt"}, {"id": 2, "name": "a nut"}, {"id": 3, "name": "a washer"}]"#;
