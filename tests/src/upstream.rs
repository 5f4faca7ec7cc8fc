//! A real HTTP/1.1 server on loopback that counts its requests, and answers correctly, late or wrongly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::failsafe;
use crate::tls::Identity;

/// How an upstream answers every request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// [`ITEMS`], at once, with `Cache-Control: no-store`.
    Items,
    /// The same, after this delay.
    Late(Duration),
    /// The same, after [`Upstream::release`].
    Held,
    /// As [`Answer::Held`], with one item whose id is the number of the request.
    Numbered,
    /// This status, with an empty body and these header lines.
    Status(u16, &'static str),
    /// 200 with this body.
    Body(String),
    /// 200 with these header lines and these bytes as the body.
    Bytes(&'static str, Vec<u8>),
    /// 302 to this URL.
    RedirectTo(String),
    /// Nothing at all: the connection stays open until [`Upstream::hang_up`].
    NoHead,
    /// A head and half of its body; the connection stays open.
    HalfBody,
    /// A head and half of its body; then the connection is closed.
    BrokenBody,
    /// No answer: everything that the peer sends until it closes the connection is recorded as one head.
    Record,
    /// These bytes; the connection stays open.
    Raw(&'static str),
    /// A body without end, in chunks.
    EndlessBody,
    /// Header lines without end.
    EndlessHead,
    /// The first request of each connection gets [`ITEMS`]; a later one, this text and the end of the connection.
    OneEach(&'static str),
    /// The same without text, and the connection ends with a reset (RST).
    OneEachThenReset,
    /// The first request gets [`ITEMS`]; a later one, on whatever connection, gets its connection closed.
    OneInAll,
    /// The first request gets [`ITEMS`], the second gets its connection closed, and later ones get nothing.
    OneThenSilence,
    /// The connection is closed without an answer.
    HangUp,
    /// The same, with a reset (RST).
    Reset,
}

/// What [`Answer::Items`] sends.
pub const ITEMS: &str = r#"[{"id":1,"name":"bolt"},{"id":"two","name":"nut"}]"#;

/// [`ITEMS`] as a caller gets them through the built-in client.
pub const ITEMS_JSON: &str =
    r#"[{"id":"1","body":{"id":1,"name":"bolt"}},{"id":"two","body":{"id":"two","name":"nut"}}]"#;

/// The server; dropping this value ends it.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
    accepting: AbortHandle,
}

/// The connections' tasks write all of these, except `released` and `hung_up`, which the test writes.
#[derive(Debug, Default)]
struct Seen {
    requests: watch::Sender<usize>,
    connections: watch::Sender<usize>,
    /// Connections that the peer closed before the whole answer was sent.
    abandoned: watch::Sender<usize>,
    /// Connections that are closed.
    closed: watch::Sender<usize>,
    released: watch::Sender<bool>,
    hung_up: watch::Sender<usize>,
    heads: Mutex<Vec<String>>,
}

impl Answer {
    /// What is sent before the connection is closed instead of an answer: to request `number`, on a connection that
    /// has been `answered` before or not.
    fn last(&self, answered: bool, number: usize) -> Option<&'static str> {
        match self {
            Self::OneEach(text) if answered => Some(text),
            Self::OneEachThenReset if answered => Some(""),
            Self::OneInAll if number > 1 => Some(""),
            Self::OneThenSilence if number == 2 => Some(""),
            _ => None,
        }
    }
}

impl Upstream {
    /// Starts a server that gives every request this answer.
    ///
    /// # Panics
    ///
    /// When loopback has no free port.
    pub async fn start(answer: Answer) -> Self {
        Self::start_at("127.0.0.1", answer, None).await
    }

    /// The same at another address of this machine, with TLS if there is an `identity`.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start_at(ip: &str, answer: Answer, identity: Option<&Identity>) -> Self {
        Self::start_on((ip, 0), answer, identity).await
    }

    /// The same at this address and port.
    ///
    /// # Panics
    ///
    /// When it is in use.
    pub async fn start_on(
        address: (&str, u16),
        answer: Answer,
        identity: Option<&Identity>,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let tls = identity.map(|identity| identity.acceptor(&["http/1.1"]));
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Seen>::default();
        let accepting = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    seen.connections.send_modify(|count| *count += 1);
                    let (answer, seen, tls) = (answer.clone(), Arc::clone(&seen), tls.clone());
                    if matches!(answer, Answer::Reset | Answer::OneEachThenReset) {
                        stream.set_zero_linger().expect("a socket");
                    }
                    tokio::spawn(async move {
                        match tls {
                            None => serve_connection(stream, answer, &seen).await,
                            // A peer that does not trust the certificate ends the handshake.
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    serve_connection(stream, answer, &seen).await;
                                }
                            }
                        }
                        seen.closed.send_modify(|count| *count += 1);
                    });
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

    /// Answers the requests that are held, and those that follow.
    pub fn release(&self) {
        self.seen.released.send_replace(true);
    }

    /// Closes the connections of the requests that came so far.
    pub fn hang_up(&self) {
        self.seen.hung_up.send_modify(|times| *times += 1);
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

    /// Waits until `count` connections are closed, by either side.
    pub async fn closed(&self, count: usize) {
        reached("a connection to be closed", &self.seen.closed, count).await;
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

/// A listener whose backlog is full: the system drops the next SYN, and a connection attempt hangs.
#[derive(Debug)]
pub struct NeverAccepts {
    /// `http://127.0.0.1:PORT`.
    pub origin: String,
    _listener: TcpListener,
    _backlog: TcpStream,
}

impl NeverAccepts {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// When loopback has no free port.
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("a free port");
        // A backlog of 0 has room for one connection on Linux.
        let listener = socket.listen(0).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let backlog = TcpStream::connect(address).await;
        Self {
            origin: format!("http://{address}"),
            _listener: listener,
            _backlog: backlog.expect("room for one"),
        }
    }
}

async fn reached(what: &str, counter: &watch::Sender<usize>, count: usize) {
    let mut counter = counter.subscribe();
    let reached = failsafe(what, counter.wait_for(|seen| *seen >= count)).await;
    drop(reached.expect("the server is still there"));
}

/// TCP, or TLS over it.
trait ByteStream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> ByteStream for T {}

/// One connection, until the peer is gone.
async fn serve_connection(mut stream: impl ByteStream, answer: Answer, seen: &Seen) {
    let mut unread = Vec::new();
    if matches!(answer, Answer::Record) {
        let _ = stream.read_to_end(&mut unread).await;
        let text = String::from_utf8_lossy(&unread).into_owned();
        return seen
            .heads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }
    let mut answered = false;
    while let Some(head) = read_head(&mut stream, &mut unread).await {
        seen.heads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(head);
        let mut number = 0;
        // Before the request is counted: a test that has seen the count may hang up at once.
        let mut hung_up = seen.hung_up.subscribe();
        seen.requests.send_modify(|count| {
            *count += 1;
            number = *count;
        });
        if let Some(text) = answer.last(answered, number) {
            return drop(write(&mut stream, text).await);
        }
        if matches!(answer, Answer::OneThenSilence) && number > 2 {
            closed(&mut stream).await;
            return abandoned(seen);
        }
        let written = match &answer {
            Answer::Items
            | Answer::OneEach(_)
            | Answer::OneEachThenReset
            | Answer::OneInAll
            | Answer::OneThenSilence => write(&mut stream, &whole("200 OK", "", ITEMS)).await,
            Answer::Late(time) => {
                tokio::time::sleep(*time).await;
                write(&mut stream, &whole("200 OK", "", ITEMS)).await
            }
            Answer::Held | Answer::Numbered => {
                let mut released = seen.released.subscribe();
                tokio::select! {
                    _ = released.wait_for(|released| *released) => {}
                    () = closed(&mut stream) => return abandoned(seen),
                }
                let numbered = format!(r#"[{{"id":{number}}}]"#);
                let items = match answer {
                    Answer::Numbered => &numbered,
                    _ => ITEMS,
                };
                write(&mut stream, &whole("200 OK", "", items)).await
            }
            Answer::Status(status, headers) => {
                write(
                    &mut stream,
                    &whole(&format!("{status} Set by the test"), headers, ""),
                )
                .await
            }
            Answer::Body(body) => write(&mut stream, &whole("200 OK", "", body)).await,
            Answer::Bytes(headers, body) => write_bytes(&mut stream, headers, body).await,
            Answer::RedirectTo(url) => {
                let location = format!("location: {url}\r\n");
                write(&mut stream, &whole("302 Found", &location, "")).await
            }
            Answer::NoHead => {
                tokio::select! {
                    _ = hung_up.changed() => return,
                    () = closed(&mut stream) => return abandoned(seen),
                }
            }
            Answer::HalfBody | Answer::BrokenBody => {
                let text = whole("200 OK", "", ITEMS);
                let _ = write(&mut stream, &text[..text.len() - ITEMS.len() / 2]).await;
                if matches!(answer, Answer::HalfBody) {
                    closed(&mut stream).await;
                    abandoned(seen);
                }
                return;
            }
            Answer::EndlessBody | Answer::EndlessHead => {
                return endless(stream, &answer, seen).await;
            }
            Answer::Raw(text) => {
                let _ = write(&mut stream, text).await;
                closed(&mut stream).await;
                return;
            }
            Answer::HangUp | Answer::Reset | Answer::Record => return,
        };
        if written.is_err() {
            return abandoned(seen);
        }
        answered = true;
    }
}

fn whole(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\ncache-control: no-store\r\n{headers}\r\n{body}",
        body.len()
    )
}

async fn write(stream: &mut impl ByteStream, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}

async fn endless(stream: impl ByteStream, answer: &Answer, seen: &Seen) {
    let part = "x".repeat(0x1000);
    if matches!(answer, Answer::EndlessBody) {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        flood(stream, head, &format!("1000\r\n{part}\r\n"), seen).await;
    } else {
        flood(
            stream,
            "HTTP/1.1 200 OK\r\n",
            &format!("a: {part}\r\n"),
            seen,
        )
        .await;
    }
}

/// Writes a response with these header lines and this body.
async fn write_bytes(
    stream: &mut impl ByteStream,
    headers: &str,
    body: &[u8],
) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await
}

/// Writes `part` again and again until the peer closes the connection.
async fn flood(mut stream: impl ByteStream, head: &str, part: &str, seen: &Seen) {
    let _ = write(&mut stream, head).await;
    while write(&mut stream, part).await.is_ok() {}
    abandoned(seen);
}

fn abandoned(seen: &Seen) {
    seen.abandoned.send_modify(|count| *count += 1);
}

/// Ready when the peer has closed the connection.
async fn closed(stream: &mut impl ByteStream) {
    let mut byte = [0];
    while matches!(stream.read(&mut byte).await, Ok(1)) {}
}

/// The head of the next request, if there is one. Requests here have no bodies.
async fn read_head(stream: &mut impl ByteStream, unread: &mut Vec<u8>) -> Option<String> {
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
