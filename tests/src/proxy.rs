//! An HTTP proxy that records what it gets, and that can misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What it does with a request.
#[derive(Clone, Copy, Debug)]
pub enum Handling {
    /// It connects to the port of the target on this machine, whatever the name.
    Forward,
    /// It answers with these bytes and closes the connection.
    Answer(&'static str),
    /// It answers with these bytes and keeps the connection open.
    Hold(&'static str),
}

/// The proxy; dropping this value ends it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    accepting: AbortHandle,
}

impl Proxy {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When loopback has no free port.
    pub async fn start(handling: Handling) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let accepting = tokio::spawn({
            let heads = Arc::clone(&heads);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, handling, Arc::clone(&heads)));
                }
            }
        });
        Self {
            address,
            heads,
            accepting: accepting.abort_handle(),
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The head of the first request on each connection so far.
    #[must_use]
    pub fn heads(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection. An error is the end of one side, of which the other side learns by itself.
async fn serve(mut caller: TcpStream, handling: Handling, heads: Arc<Mutex<Vec<String>>>) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        match caller.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&read).into_owned();
    heads
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(head.clone());
    match handling {
        Handling::Answer(bytes) => drop(caller.write_all(bytes.as_bytes()).await),
        Handling::Hold(bytes) => {
            let _ = caller.write_all(bytes.as_bytes()).await;
            let _ = caller.read_to_end(&mut read).await;
        }
        Handling::Forward => drop(forward(&mut caller, &head).await),
    }
}

async fn forward(caller: &mut TcpStream, head: &str) -> std::io::Result<()> {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let authority = target.trim_start_matches("http://");
    let authority = authority.split('/').next().unwrap_or_default();
    let port = authority.rsplit(':').next().unwrap_or_default();
    let port = port.parse().expect("a port in the target");
    let mut upstream = TcpStream::connect(("127.0.0.1", port)).await?;
    if head.starts_with("CONNECT ") {
        caller
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
    } else {
        upstream.write_all(head.as_bytes()).await?;
    }
    copy_bidirectional(caller, &mut upstream).await?;
    Ok(())
}
