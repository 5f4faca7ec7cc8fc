//! A caller over HTTP: one request on one connection, or many requests on one connection over HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// An answer, read whole.
pub type Answer = Response<Bytes>;

/// Requests `path` on a separate connection, which is closed when the future is dropped.
///
/// # Panics
///
/// When the server does not answer with HTTP.
pub async fn get(server: SocketAddr, path: &str) -> Answer {
    get_with(server, path, &[]).await
}

/// The same, with these headers.
///
/// # Panics
///
/// When the server does not answer with HTTP.
pub async fn get_with(server: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path).header("host", server.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(server, request.body(Empty::new()).expect("a request")).await
}

/// Sends `request` on a separate connection, which is closed when the future is dropped.
///
/// # Panics
///
/// When the server does not answer with HTTP.
pub async fn send<B>(server: SocketAddr, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let stream = TcpStream::connect(server)
        .await
        .expect("a server that listens");
    exchange(stream, request).await
}

/// Sends `request` over `stream`, which is closed when the future is dropped.
///
/// # Panics
///
/// When the server does not answer with HTTP.
pub async fn exchange<S, B>(stream: S, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .expect("a connection");
    let exchange =
        async move { whole(sender.send_request(request).await.expect("a response")).await };
    // Both in this future: dropping it drops the connection too.
    tokio::join!(exchange, connection).0
}

async fn whole(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    Response::from_parts(parts, body)
}

/// An HTTP/2 connection; dropping this value closes it.
#[derive(Debug)]
pub struct Http2 {
    sender: http2::SendRequest<Empty<Bytes>>,
    connection: AbortHandle,
}

impl Http2 {
    /// Over this stream, with prior knowledge.
    ///
    /// # Panics
    ///
    /// When the server refuses it.
    pub async fn over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.expect("a connection");
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self {
            sender,
            connection: connection.abort_handle(),
        }
    }

    /// Over a connection to `server`, without TLS.
    ///
    /// # Panics
    ///
    /// When the server refuses it.
    pub async fn to(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await;
        Self::over(stream.expect("a server that listens")).await
    }

    /// Requests `path`. Its stream is reset when the future is dropped.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub fn get(&self, path: &str) -> impl Future<Output = Answer> + Send + use<> {
        let request = Request::get(format!("http://localhost{path}"));
        self.send(request.body(Empty::new()).expect("a request"))
    }

    /// Sends `request`. Its stream is reset when the future is dropped.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub fn send(
        &self,
        request: Request<Empty<Bytes>>,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let mut sender = self.sender.clone();
        async move { whole(sender.send_request(request).await.expect("a response")).await }
    }

    /// Whether the connection is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.connection.is_finished()
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Opens a connection and sends `text`.
///
/// # Panics
///
/// When nothing listens there.
pub async fn sending(server: SocketAddr, text: &str) -> TcpStream {
    let stream = TcpStream::connect(server).await;
    let mut stream = stream.expect("a server that listens");
    stream.write_all(text.as_bytes()).await.expect("it is open");
    stream
}

/// Everything that arrives until the connection is closed.
///
/// # Panics
///
/// When that is not UTF-8.
pub async fn rest(mut stream: TcpStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.expect("text");
    rest
}

/// A header of an answer, as text; empty if it has none.
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
/// When the answer is no problem document.
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
