//! What the upstreams of the benchmarks have in common: they accept connections and read requests.
//!
//! They use plain sockets, and run on one thread, so that most of what is measured is what stands before
//! them.

use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::process::announce;

/// Accepts connections on a free port of loopback, which it announces, and spawns `answer` for each, for
/// as long as the process lives.
///
/// # Errors
///
/// The listener fails.
pub async fn serve<F>(mut answer: impl FnMut(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output: Send> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(answer(stream));
    }
}

/// Reads until `unread` begins with the head of a request, and returns its length; `None` at the end of the
/// connection. Requests here have no bodies.
pub async fn read_head(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(end) = unread.windows(4).position(|end| end == b"\r\n\r\n") {
            return Some(end + 4);
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
}
