//! A caller over HTTP/2 that decides when, and how much, it reads.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Ping, PingPong, RecvStream};
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::failsafe;

/// An HTTP/2 connection; dropping this value closes it.
#[derive(Debug)]
pub struct Unreading {
    sender: SendRequest<Bytes>,
    pings: PingPong,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Unreading {
    /// A connection to `server`, over which each stream has a window of this many bytes.
    ///
    /// # Panics
    ///
    /// When the server refuses it.
    pub async fn to(server: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(server).await;
        let mut builder = client::Builder::new();
        // The window of the connection is no limit.
        builder
            .initial_window_size(window)
            .initial_connection_window_size(1 << 30);
        let handshake = builder.handshake(stream.expect("a server that listens"));
        let (sender, mut connection) = handshake.await.expect("a connection");
        let pings = connection.ping_pong().expect("it is taken once");
        Self {
            sender,
            pings,
            connection: tokio::spawn(connection),
        }
    }

    /// Requests `path`, and reads the head of the response. Dropping the response resets its stream.
    ///
    /// # Panics
    ///
    /// When there is no response.
    pub async fn request(&mut self, path: &str) -> Response<RecvStream> {
        let request = Request::get(format!("http://localhost{path}"));
        let request = request.body(()).expect("a request");
        self.sender = self.sender.clone().ready().await.expect("it is open");
        let (response, _) = self
            .sender
            .send_request(request, true)
            .expect("it is ready");
        let response = failsafe("the head of a response", response).await;
        response.expect("a response")
    }

    /// Sends a PING, and waits for its answer: false if the connection is closed before.
    pub async fn ping(&mut self) -> bool {
        let pong = failsafe("the answer to a PING", self.pings.ping(Ping::opaque())).await;
        pong.is_ok()
    }

    /// Waits until the server has closed the connection.
    pub async fn closed(mut self) {
        let closed = failsafe("the connection to be closed", &mut self.connection).await;
        drop(closed);
    }
}

impl Drop for Unreading {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
