//! An HTTP/2 upstream, over TLS, that answers each request with the frames that a test chooses: what a correct server
//! library would not send.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::server::TlsStream;

use crate::failsafe;
use crate::tls::Identity;

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200 with the body `[]`.
    Items,
    /// The same, before the reply to the next request of the connection.
    WithNext,
    /// RST_STREAM with this error code.
    Reset(u32),
    /// GOAWAY with this error code that names the stream before this request's as the last one that was processed.
    /// The connection stays open for that stream.
    GoAwayBefore(u32),
    /// GOAWAY without an error that names this request's stream as the last one, and then the end of the connection.
    GoAwayAndClose,
    /// The same GOAWAY, and then as [`Reply::Items`].
    GoAwayAndItems,
    /// The end of the connection.
    Close,
}

/// How a server that shuts down ends a connection that it has just accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// GOAWAY instead of the acknowledgement of the client's settings.
    GoAway,
    /// The acknowledgement and GOAWAY in one write.
    AckAndGoAway,
    /// The end of the connection.
    Close,
}

/// `NO_ERROR`.
pub const NO_ERROR: u32 = 0;
/// `REFUSED_STREAM`.
pub const REFUSED_STREAM: u32 = 7;
/// `CANCEL`.
pub const CANCEL: u32 = 8;
/// `ENHANCE_YOUR_CALM`.
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// The server; dropping this value ends it.
#[derive(Debug)]
pub struct Frames {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    accepting: AbortHandle,
}

#[derive(Debug, Default)]
struct Seen {
    replies: VecDeque<Reply>,
    connections: usize,
    requests: usize,
    leave: Option<(Range<usize>, Leave)>,
}

impl Frames {
    /// Starts a server that answers the requests of all its connections with `replies`, in this order; the last one is
    /// repeated.
    ///
    /// # Panics
    ///
    /// When loopback has no free port.
    pub async fn start(identity: &Identity, replies: impl IntoIterator<Item = Reply>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(any, 100, identity, replies).await
    }

    /// The same at this address, with this limit on the concurrent streams of a connection.
    ///
    /// # Panics
    ///
    /// When the address is in use.
    pub async fn start_at(
        address: SocketAddr,
        max_streams: u32,
        identity: &Identity,
        replies: impl IntoIterator<Item = Reply>,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let tls = identity.acceptor(&["h2"]);
        let seen = Arc::new(Mutex::new(Seen {
            replies: replies.into_iter().collect(),
            ..Seen::default()
        }));
        let accepting = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (tls, seen) = (tls.clone(), Arc::clone(&seen));
                    tokio::spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            let _ = converse(stream, max_streams, &seen).await;
                        }
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

    /// Lets it end the connections with these numbers, the first of which is 1, before it takes requests over them.
    pub fn leave(&self, connections: Range<usize>, how: Leave) {
        lock(&self.seen).leave = Some((connections, how));
    }

    /// `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the `count`th request.
    pub async fn requested(&self, count: usize) {
        failsafe("a request", async {
            while self.seen().1 < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Connections and requests so far.
    #[must_use]
    pub fn seen(&self) -> (usize, usize) {
        let seen = lock(&self.seen);
        (seen.connections, seen.requests)
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

async fn converse(
    mut stream: TlsStream<TcpStream>,
    max_streams: u32,
    seen: &Mutex<Seen>,
) -> std::io::Result<()> {
    let leave = {
        let mut seen = lock(seen);
        seen.connections += 1;
        let leaves = seen.leave.as_ref();
        leaves.and_then(|(which, how)| which.contains(&seen.connections).then_some(*how))
    };
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    // SETTINGS_MAX_CONCURRENT_STREAMS.
    let settings = [&[0, 3][..], &max_streams.to_be_bytes()].concat();
    frame(&mut stream, SETTINGS, 0, 0, &settings).await?;
    let mut last = 0;
    let mut held = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let (kind, flags) = (head[3], head[4]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        match kind {
            SETTINGS if flags & ACK == 0 && leave.is_some() => {
                let goaway = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                let ack = [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0];
                match leave {
                    Some(Leave::GoAway) => stream.write_all(&goaway).await?,
                    Some(Leave::AckAndGoAway) => {
                        stream.write_all(&[&ack[..], &goaway].concat()).await?;
                    }
                    _ => {}
                }
                return stream.shutdown().await;
            }
            SETTINGS if flags & ACK == 0 => frame(&mut stream, SETTINGS, ACK, 0, &[]).await?,
            HEADERS => {
                let reply = next(seen);
                let close = matches!(reply, Some(Reply::Close | Reply::GoAwayAndClose) | None);
                for id in held.drain(..) {
                    items(&mut stream, id).await?;
                }
                if reply == Some(Reply::WithNext) {
                    held.push(id);
                }
                answer(&mut stream, reply, id, last).await?;
                if close {
                    return stream.shutdown().await;
                }
                last = id;
            }
            _ => {}
        }
    }
}

fn next(seen: &Mutex<Seen>) -> Option<Reply> {
    let mut seen = lock(seen);
    seen.requests += 1;
    match seen.replies.len() {
        1 => seen.replies.front().copied(),
        _ => seen.replies.pop_front(),
    }
}

async fn answer(
    stream: &mut TlsStream<TcpStream>,
    reply: Option<Reply>,
    id: u32,
    last: u32,
) -> std::io::Result<()> {
    let go_away = |last: u32, code: u32| [last.to_be_bytes(), code.to_be_bytes()].concat();
    match reply {
        Some(Reply::Items) => items(stream, id).await,
        Some(Reply::Reset(code)) => frame(stream, RST_STREAM, 0, id, &code.to_be_bytes()).await,
        Some(Reply::GoAwayBefore(code)) => frame(stream, GOAWAY, 0, 0, &go_away(last, code)).await,
        Some(Reply::GoAwayAndItems) => {
            frame(stream, GOAWAY, 0, 0, &go_away(id, NO_ERROR)).await?;
            items(stream, id).await
        }
        Some(Reply::GoAwayAndClose) => frame(stream, GOAWAY, 0, 0, &go_away(id, NO_ERROR)).await,
        Some(Reply::Close | Reply::WithNext) | None => Ok(()),
    }
}

async fn items(stream: &mut TlsStream<TcpStream>, id: u32) -> std::io::Result<()> {
    // `:status: 200`, by its index in the static table.
    frame(stream, HEADERS, END_HEADERS, id, &[0x88]).await?;
    frame(stream, DATA, END_STREAM, id, b"[]").await
}

async fn frame(
    stream: &mut TlsStream<TcpStream>,
    kind: u8,
    flags: u8,
    id: u32,
    payload: &[u8],
) -> std::io::Result<()> {
    let [_, high, middle, low] = u32::try_from(payload.len())
        .expect("a small frame")
        .to_be_bytes();
    let mut bytes = vec![high, middle, low, kind, flags];
    bytes.extend(id.to_be_bytes());
    bytes.extend(payload);
    stream.write_all(&bytes).await?;
    stream.flush().await
}
