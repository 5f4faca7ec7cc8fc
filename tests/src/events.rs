//! A client of server-sent events.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::failsafe;

/// The stream, on a separate connection; dropping this value closes it.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    connection: AbortHandle,
    unread: String,
}

impl Events {
    /// Requests `path`.
    ///
    /// # Panics
    ///
    /// When the answer is no event stream.
    pub async fn of(server: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(server).await;
        let stream = TokioIo::new(stream.expect("a server that listens"));
        let (mut sender, connection) = http1::handshake(stream).await.expect("a connection");
        let connection = tokio::spawn(async move { drop(connection.await) });
        let request = Request::get(path).header("host", server.to_string());
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let response = failsafe("a response", sender.send_request(request)).await;
        let response = response.expect("a response");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body(),
            connection: connection.abort_handle(),
            unread: String::new(),
        }
    }

    /// The next event or comment, as it is on the wire; `None` at the end.
    ///
    /// # Panics
    ///
    /// When the connection fails.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let event = event.to_owned();
                self.unread = rest.to_owned();
                return Some(event);
            }
            let frame = failsafe("an event", self.body.frame()).await?;
            let text = frame.expect("a stream that continues").into_data();
            self.unread += str::from_utf8(&text.expect("no trailers")).expect("text");
        }
    }

    /// The state in the first event that is `wanted`.
    ///
    /// # Panics
    ///
    /// When the stream ends first.
    pub async fn state(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let state = async {
            loop {
                let event = self.next().await.expect("another event");
                let Some(json) = event.strip_prefix("data: ") else {
                    continue;
                };
                let mut event: Value = serde_json::from_str(json).expect("JSON");
                if wanted(&event["state"]) {
                    return event["state"].take();
                }
            }
        };
        failsafe("the state", state).await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
