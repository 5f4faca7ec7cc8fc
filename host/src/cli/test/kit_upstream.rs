//! [`KitUpstream`]: a server on loopback that answers as a situation needs it, also wrongly.
//!
//! It writes its responses itself, byte by byte: a library for servers would not cut them in the right places. It reads
//! of requests only where they end and what their targets are.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::seen_request::SeenRequest;

/// The maximum size of a request, of which only the header section is kept.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// How many requests of a situation are kept.
const MAX_KEPT_REQUESTS: usize = 8;

/// How long an answer waits for what it depends on, such as another request that a client does not send.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How the upstream answers.
#[derive(Clone, Debug)]
pub(super) enum Answering {
    /// With these bytes, the whole response, and the end of the connection.
    Response(Bytes),
    /// The same, and keeps the connection for further requests.
    KeepAlive(Bytes),
    /// The same as `Response`, and this many spaces, which are part of the body.
    Padded(Bytes, usize),
    /// The same as `Response`, but only once [`KitUpstream::release`] is called.
    Held(Bytes),
    /// Once two requests have arrived: with the first response if the target has this text, else with the second one.
    ByText(String, Bytes, Bytes),
    /// These bytes, and then a space now and then.
    Drip(Bytes),
    /// Nothing, for as long as the connection is open.
    Silence,
}

/// The server. Dropping it ends it with its connections.
pub(super) struct KitUpstream {
    address: SocketAddr,
    state: Arc<KitState>,
    accepting: JoinHandle<()>,
}

/// What the connections share.
struct KitState {
    answering: Mutex<Answering>,
    /// The requests since the last call of [`KitUpstream::answer`].
    seen: watch::Sender<SeenRequests>,
    released: watch::Sender<bool>,
}

/// The requests of a situation.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenRequests {
    /// The first ones.
    pub(super) first: Vec<SeenRequest>,
    /// How many there were.
    pub(super) number: usize,
}

impl KitUpstream {
    /// Starts a server at this port of 127.0.0.1; 0 chooses a free one.
    pub(super) async fn start(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(KitState {
            answering: Mutex::new(Answering::Silence),
            seen: watch::Sender::default(),
            released: watch::Sender::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            accepting,
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The origins by which a client may reach it.
    pub(super) fn origins(&self) -> [String; 2] {
        [
            self.origin(),
            format!("http://localhost:{}", self.address.port()),
        ]
    }

    /// Answers like this from now on, and forgets the requests so far.
    pub(super) fn answer(&self, answering: Answering) {
        *self.state.answering() = answering;
        self.state.released.send_replace(false);
        self.state.seen.send_replace(SeenRequests::default());
    }

    /// Sends what is held.
    pub(super) fn release(&self) {
        self.state.released.send_replace(true);
    }

    /// Stops listening, and ends all connections.
    pub(super) async fn stop(&mut self) {
        self.state.seen.send_replace(SeenRequests::default());
        self.accepting.abort();
        // It has been aborted.
        let _ = (&mut self.accepting).await;
    }

    /// The requests since the last call of [`answer`](Self::answer).
    pub(super) fn seen(&self) -> SeenRequests {
        self.state.seen.borrow().clone()
    }
}

impl Drop for KitUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl KitState {
    fn answering(&self) -> MutexGuard<'_, Answering> {
        self.answering
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves connections until it is aborted, which ends all of them.
async fn accept(listener: TcpListener, state: Arc<KitState>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                // Whatever ends a connection is the client's.
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&state)))),
                // There is no descriptor left: a connection that ends frees one.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, state: Arc<KitState>) -> std::io::Result<()> {
    let mut received = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut received).await? {
        let is_kept = respond(&mut stream, &state, &request).await?;
        if !is_kept {
            return end(stream).await;
        }
    }
    Ok(())
}

/// Reads one request, which is the beginning of `received` and what follows; `None` at the end of the connection.
async fn read_request(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
) -> std::io::Result<Option<SeenRequest>> {
    let mut parsed = None;
    loop {
        if let Some((length, request)) = request_in(received) {
            parsed = Some(request);
            if let Some(length) = length {
                received.drain(..length);
                return Ok(parsed);
            }
        }
        if received.len() > MAX_REQUEST_BYTES || stream.read_buf(received).await? == 0 {
            // A request whose end is not found is answered as it is.
            received.clear();
            return Ok(parsed);
        }
    }
}

/// The request at the beginning of `received`, once its header section is complete, and its length, once its body is.
fn request_in(received: &[u8]) -> Option<(Option<usize>, SeenRequest)> {
    let head = received.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&received[..head]);
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ');
    let request = SeenRequest {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
    };
    let (mut body, mut is_chunked) = (0, false);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("content-length") {
            body = value.trim().parse().unwrap_or(0);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            is_chunked = true;
        }
    }
    let rest = &received[head..];
    let is_complete = if is_chunked {
        rest.ends_with(b"0\r\n\r\n")
    } else {
        rest.len() >= body
    };
    let length = if is_chunked { rest.len() } else { body };
    Some((is_complete.then_some(head + length), request))
}

/// Answers a request, and returns whether the connection is kept.
async fn respond(
    stream: &mut TcpStream,
    state: &KitState,
    request: &SeenRequest,
) -> std::io::Result<bool> {
    let answering = state.answering().clone();
    state.seen.send_modify(|seen| {
        seen.number += 1;
        if seen.first.len() < MAX_KEPT_REQUESTS {
            seen.first.push(request.clone());
        }
    });
    match answering {
        Answering::Response(response) => stream.write_all(&response).await?,
        Answering::KeepAlive(response) => {
            stream.write_all(&response).await?;
            return Ok(true);
        }
        Answering::Padded(response, mut spaces) => {
            const SPACES: &[u8] = &[b' '; 64 << 10];
            stream.write_all(&response).await?;
            while spaces > 0 {
                let part = spaces.min(SPACES.len());
                stream.write_all(&SPACES[..part]).await?;
                spaces -= part;
            }
        }
        Answering::Held(response) => {
            // Without a release it is sent late, and the situation has failed.
            let mut released = state.released.subscribe();
            let _ = timeout(MAX_WAIT, released.wait_for(|released| *released)).await;
            stream.write_all(&response).await?;
        }
        Answering::ByText(text, with, without) => {
            let mut seen = state.seen.subscribe();
            let both = seen.wait_for(|seen| seen.number >= 2);
            let _ = timeout(MAX_WAIT, both).await;
            let response = if request.has(&text) { with } else { without };
            stream.write_all(&response).await?;
        }
        Answering::Drip(start) => {
            stream.write_all(&start).await?;
            loop {
                sleep(Duration::from_millis(100)).await;
                stream.write_all(b" ").await?;
            }
        }
        Answering::Silence => {
            let mut ignored = [0; 1];
            while stream.read(&mut ignored).await? > 0 {}
        }
    }
    Ok(false)
}

/// Closes a connection so that its client gets all that was written: one that is closed while the client still sends is
/// reset.
async fn end(mut stream: TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut ignored = [0; 1 << 10];
    let read = async { while matches!(stream.read(&mut ignored).await, Ok(1..)) {} };
    let _ = timeout(MAX_WAIT, read).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::request_in;

    fn parsed(received: &str) -> Option<(Option<usize>, String)> {
        let (length, request) = request_in(received.as_bytes())?;
        Some((length, request.to_string()))
    }

    #[test]
    fn a_request_ends_with_its_body() {
        let get = "GET /a?b HTTP/1.1\r\nhost: a\r\n\r\n";
        assert_eq!(parsed(&get[..get.len() - 1]), None);
        assert_eq!(parsed(get), Some((Some(get.len()), "GET /a?b".into())));
        let post = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(
            parsed(&post[..post.len() - 1]),
            Some((None, "POST /".into()))
        );
        assert_eq!(parsed(post), Some((Some(post.len()), "POST /".into())));
        let chunked = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        assert_eq!(
            parsed(chunked),
            Some((Some(chunked.len()), "POST /".into()))
        );
        assert_eq!(
            parsed(&chunked[..chunked.len() - 5]),
            Some((None, "POST /".into()))
        );
    }
}
