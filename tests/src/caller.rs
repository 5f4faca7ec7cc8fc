//! A caller over HTTP: one connection, one request, and what came back.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An answer, read whole.
pub type Answer = Response<Bytes>;

/// Asks for `path` on a connection of its own, which is closed when the future is dropped.
///
/// # Panics
///
/// When the server does not answer as HTTP.
pub async fn get(server: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(server)
        .await
        .expect("a server that listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .expect("a connection");
    let request = Request::get(path)
        .header("host", server.to_string())
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let exchange = async move {
        let response = sender.send_request(request).await.expect("a response");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Response::from_parts(parts, body)
    };
    // Both in this future: dropping it drops the connection with the exchange.
    tokio::join!(exchange, connection).0
}

/// A header of an answer, as text; empty where it has none.
#[must_use]
pub fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The `code` of a problem document.
///
/// # Panics
///
/// When the answer is none.
#[must_use]
pub fn code(answer: &Answer) -> String {
    assert_eq!(
        header(answer, "content-type"),
        "application/problem+json",
        "{answer:?}"
    );
    let problem: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
    problem["code"].as_str().expect("a code").to_owned()
}
