//! A real HTTP/1.1 server on loopback that counts its requests, and answers them as it is told:
//! rightly, late, or wrongly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::failsafe;

/// What an upstream answers to every request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// [`ITEMS`], at once, with `Cache-Control: no-store`.
    Items,
    /// The same, but not before [`Upstream::release`].
    Held,
    /// This status, with an empty body and these header lines.
    Status(u16, &'static str),
    /// 200 with this body.
    Body(String),
    /// 302 to this URL.
    RedirectTo(String),
    /// Nothing at all: the connection stays open.
    NoHead,
    /// A head and half of its body; the connection stays open.
    HalfBody,
    /// A head and half of its body; then the connection is closed.
    BrokenBody,
    /// A body without end, in chunks.
    EndlessBody,
    /// Header lines without end.
    EndlessHead,
    /// The connection is closed without a word.
    HangUp,
}

/// What [`Answer::Items`] sends.
pub const ITEMS: &str = r#"[{"id":1,"name":"bolt"},{"id":"two","name":"nut"}]"#;

/// [`ITEMS`] as a caller gets them through the built-in client.
pub const ITEMS_JSON: &str =
    r#"[{"id":"1","body":{"id":1,"name":"bolt"}},{"id":"two","body":{"id":"two","name":"nut"}}]"#;

/// The server; it ends with this value.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
    accepting: AbortHandle,
}

/// Each is written by the connections' tasks, except `released`, which is the test's.
#[derive(Debug, Default)]
struct Seen {
    requests: watch::Sender<usize>,
    connections: watch::Sender<usize>,
    /// Connections that the peer closed while its answer was not whole.
    abandoned: watch::Sender<usize>,
    released: watch::Sender<bool>,
    heads: Mutex<Vec<String>>,
}

impl Upstream {
    /// Starts a server that gives every request this answer.
    ///
    /// # Panics
    ///
    /// When loopback has no port left.
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Seen>::default();
        let accepting = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    seen.connections.send_modify(|count| *count += 1);
                    tokio::spawn(converse(stream, answer.clone(), Arc::clone(&seen)));
                }
            }
        });
        Self {
            address,
            seen,
            accepting: accepting.abort_handle(),
        }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets the requests go that are held, and those that follow.
    pub fn release(&self) {
        self.seen.released.send_replace(true);
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        *self.seen.requests.borrow()
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.seen.connections.borrow()
    }

    /// The heads of the requests so far.
    #[must_use]
    pub fn heads(&self) -> Vec<String> {
        self.seen
            .heads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for the `count`th request.
    pub async fn requested(&self, count: usize) {
        reached("a request", &self.seen.requests, count).await;
    }

    /// Waits until `count` connections were closed by the peer in the middle of an answer.
    pub async fn abandoned(&self, count: usize) {
        reached("a connection to be closed", &self.seen.abandoned, count).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn reached(what: &str, counter: &watch::Sender<usize>, count: usize) {
    let mut counter = counter.subscribe();
    let reached = failsafe(what, counter.wait_for(|seen| *seen >= count)).await;
    drop(reached.expect("the server is still there"));
}

/// One connection. Writing fails when the peer is gone, which is then nobody's loss.
async fn converse(mut stream: TcpStream, answer: Answer, seen: Arc<Seen>) {
    let mut unread = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut unread).await {
        seen.heads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(head);
        seen.requests.send_modify(|count| *count += 1);
        let written = match &answer {
            Answer::Items => write(&mut stream, &whole("200 OK", "", ITEMS)).await,
            Answer::Held => {
                let mut released = seen.released.subscribe();
                tokio::select! {
                    _ = released.wait_for(|released| *released) => {}
                    () = closed(&mut stream) => return abandoned(&seen),
                }
                write(&mut stream, &whole("200 OK", "", ITEMS)).await
            }
            Answer::Status(status, headers) => {
                write(&mut stream, &whole(&format!("{status} Told"), headers, "")).await
            }
            Answer::Body(body) => write(&mut stream, &whole("200 OK", "", body)).await,
            Answer::RedirectTo(url) => {
                let location = format!("location: {url}\r\n");
                write(&mut stream, &whole("302 Found", &location, "")).await
            }
            Answer::NoHead => {
                closed(&mut stream).await;
                return abandoned(&seen);
            }
            Answer::HalfBody | Answer::BrokenBody => {
                let text = whole("200 OK", "", ITEMS);
                let _ = write(&mut stream, &text[..text.len() - ITEMS.len() / 2]).await;
                if matches!(answer, Answer::HalfBody) {
                    closed(&mut stream).await;
                    abandoned(&seen);
                }
                return;
            }
            Answer::EndlessBody => {
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                return flood(
                    stream,
                    head,
                    &format!("1000\r\n{}\r\n", "x".repeat(0x1000)),
                    &seen,
                )
                .await;
            }
            Answer::EndlessHead => {
                return flood(
                    stream,
                    "HTTP/1.1 200 OK\r\n",
                    &format!("a: {}\r\n", "x".repeat(0x1000)),
                    &seen,
                )
                .await;
            }
            Answer::HangUp => return,
        };
        if written.is_err() {
            return abandoned(&seen);
        }
    }
}

fn whole(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\ncache-control: no-store\r\n{headers}\r\n{body}",
        body.len()
    )
}

async fn write(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes()).await
}

/// Writes `part` again and again until the peer has had enough.
async fn flood(mut stream: TcpStream, head: &str, part: &str, seen: &Seen) {
    let _ = write(&mut stream, head).await;
    while write(&mut stream, part).await.is_ok() {}
    abandoned(seen);
}

fn abandoned(seen: &Seen) {
    seen.abandoned.send_modify(|count| *count += 1);
}

/// Ready when the peer has closed the connection.
async fn closed(stream: &mut TcpStream) {
    let mut byte = [0];
    while matches!(stream.read(&mut byte).await, Ok(1)) {}
}

/// The head of the next request, if there is one. Requests here have no bodies.
async fn read_head(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = unread.drain(..end + 4).collect();
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        if matches!(stream.read_buf(unread).await, Ok(0) | Err(_)) {
            return None;
        }
    }
}
