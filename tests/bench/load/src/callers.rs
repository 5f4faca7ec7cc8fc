//! The callers: plain sockets on one thread, so that they take little of what is measured.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::ask::Ask;
use crate::upstream::SERIAL;

/// The longest that a caller waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Connections that are opened at once, and the pause after them: faster, more come than a target accepts.
/// Where its queue is full, the kernel tries again only after a second.
const OPENING: usize = 64;
const PAUSE: Duration = Duration::from_millis(5);

/// What came of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// A whole answer.
    Status(u16),
    /// A whole answer that the upstream made before it was asked for.
    Old(u16),
    /// The connection ended before there was a whole answer.
    Broken,
    /// Nothing within [`PATIENCE`].
    Late,
}

/// One call: what came of it, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) outcome: Outcome,
    pub(crate) time: Duration,
}

/// A caller's connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Read and not yet looked at.
    unread: Vec<u8>,
}

/// Opens `count` connections.
pub(crate) async fn connect(address: SocketAddr, count: usize) -> anyhow::Result<Vec<Connection>> {
    let mut open = Vec::with_capacity(count);
    for some in crowds(count) {
        let some = try_join_all((0..some).map(|_| Connection::open(address)));
        open.extend(some.await.context("open the callers' connections")?);
        sleep(PAUSE).await;
    }
    Ok(open)
}

/// `count` in parts of as many as come at once.
pub(crate) fn crowds(count: usize) -> impl Iterator<Item = usize> {
    let starts = (0..count).step_by(OPENING);
    starts.map(move |start| OPENING.min(count - start))
}

/// Asks on all connections at once and waits for all answers. Every time counts from the first request:
/// what these callers take to ask is on whoever is measured. Answers up to the upstream's request `seen`
/// are old.
pub(crate) async fn herd(connections: Vec<Connection>, ask: Ask, seen: u32) -> Vec<Call> {
    let request = request(ask);
    let begun = Instant::now();
    let mut asked = Vec::with_capacity(connections.len());
    for mut connection in connections {
        let sent = connection.stream.write_all(&request).await.is_ok();
        asked.push((connection, sent));
    }
    let mut waiting = JoinSet::new();
    for (mut connection, sent) in asked {
        waiting.spawn(async move {
            let outcome = match sent {
                true => connection.answer(seen, begun + PATIENCE).await,
                false => Outcome::Broken,
            };
            let time = begun.elapsed();
            connection.forget();
            Call { outcome, time }
        });
    }
    waiting.join_all().await
}

/// Asks on each connection again and again for `span`; `ask` says for what.
pub(crate) async fn keep_asking(
    connections: Vec<Connection>,
    ask: impl Fn() -> Ask + Copy + Send + 'static,
    span: Duration,
) -> Vec<Call> {
    let end = Instant::now() + span;
    let mut asking = JoinSet::new();
    for mut connection in connections {
        asking.spawn(async move {
            let mut calls = Vec::new();
            while Instant::now() < end {
                let begun = Instant::now();
                let outcome = match connection.ask(ask()).await {
                    true => connection.answer(0, begun + PATIENCE).await,
                    false => Outcome::Broken,
                };
                let time = begun.elapsed();
                calls.push(Call { outcome, time });
                if !matches!(outcome, Outcome::Status(_)) {
                    break;
                }
            }
            connection.forget();
            calls
        });
    }
    asking.join_all().await.concat()
}

impl Connection {
    async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    /// Asks, and says whether that could be sent.
    pub(crate) async fn ask(&mut self, ask: Ask) -> bool {
        self.stream.write_all(&request(ask)).await.is_ok()
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self, seen: u32, deadline: Instant) -> Outcome {
        match timeout_at(deadline, self.whole()).await {
            Err(_) => Outcome::Late,
            Ok(None) => Outcome::Broken,
            Ok(Some((status, Some(serial)))) if serial <= seen => Outcome::Old(status),
            Ok(Some((status, _))) => Outcome::Status(status),
        }
    }

    /// Reads one answer to its end: its status, and the number that the upstream gave it. One whose length
    /// is not said at its head is taken for broken; none of the targets makes such.
    async fn whole(&mut self) -> Option<(u16, Option<u32>)> {
        let head = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let (status, length) = status_and_length(&self.unread[..head])?;
        let end = head + length;
        while self.unread.len() < end {
            self.more().await?;
        }
        let body = &self.unread[head..end];
        let serial = find(body, SERIAL).and_then(|at| {
            let digits = body[at + SERIAL.len()..].get(..10)?;
            str::from_utf8(digits).ok()?.parse().ok()
        });
        self.unread.drain(..end);
        Some((status, serial))
    }

    async fn more(&mut self) -> Option<()> {
        self.unread.reserve(4 << 10);
        let read = self.stream.read_buf(&mut self.unread).await.ok()?;
        (read > 0).then_some(())
    }

    /// Closes without the minute that the system would remember it for, of which the next herd would find
    /// no port free.
    fn forget(self) {
        let _ = self.stream.set_zero_linger();
    }
}

fn request(ask: Ask) -> Vec<u8> {
    format!("GET /v1/default/items?x={ask} HTTP/1.1\r\nhost: load.test\r\n\r\n").into_bytes()
}

fn status_and_length(head: &[u8]) -> Option<(u16, usize)> {
    let mut lines = str::from_utf8(head).ok()?.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    Some((status, length?))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}
