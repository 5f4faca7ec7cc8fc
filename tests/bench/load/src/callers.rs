//! The callers: plain sockets on one thread, so that they use little of the processor time that is measured.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::key::Key;
use crate::upstream::SERIAL;

/// The longest time that a caller waits for an answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections that are opened at once, and the pause after them. Without the pause they fill the accept queue
/// of a target, and the kernel retries a refused connection only after a second.
const BATCH: usize = 64;
const PAUSE: Duration = Duration::from_millis(5);

/// The outcome of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// A complete answer.
    Status(u16),
    /// A complete answer that the upstream made before the request.
    Stale(u16),
    /// The connection ended before the answer was complete.
    Broken,
    /// No complete answer within [`ANSWER_TIMEOUT`].
    Timeout,
}

/// One call: its outcome, and the time until then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) outcome: Outcome,
    pub(crate) time: Duration,
}

/// A caller's connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes that were read and not parsed yet.
    unread: Vec<u8>,
}

/// Opens `count` connections.
pub(crate) async fn connect(address: SocketAddr, count: usize) -> anyhow::Result<Vec<Connection>> {
    let mut open = Vec::with_capacity(count);
    for size in batches(count) {
        let batch = try_join_all((0..size).map(|_| Connection::open(address)));
        open.extend(batch.await.context("open the callers' connections")?);
        sleep(PAUSE).await;
    }
    Ok(open)
}

/// The sizes of the batches in which `count` connections are opened.
pub(crate) fn batches(count: usize) -> impl Iterator<Item = usize> {
    let starts = (0..count).step_by(BATCH);
    starts.map(move |start| BATCH.min(count - start))
}

/// Sends a request for one key on each connection at once and waits for all answers.
///
/// Every time counts from the first request, so the time that these callers need to send is on whichever target
/// is measured. Answers up to the upstream's request `before` are stale.
pub(crate) async fn herd(connections: Vec<Connection>, key: Key, before: u32) -> Vec<Call> {
    let request = request(key);
    let began = Instant::now();
    let mut waiting = Vec::with_capacity(connections.len());
    for mut connection in connections {
        let sent = connection.stream.write_all(&request).await.is_ok();
        waiting.push((connection, sent));
    }
    let mut calls = JoinSet::new();
    for (mut connection, sent) in waiting {
        calls.spawn(async move {
            let outcome = match sent {
                true => connection.answer(before, began + ANSWER_TIMEOUT).await,
                false => Outcome::Broken,
            };
            let time = began.elapsed();
            connection.reset();
            Call { outcome, time }
        });
    }
    calls.join_all().await
}

/// Sends requests on each connection one after the other for `span`; `key` returns the key of each.
pub(crate) async fn call_repeatedly(
    connections: Vec<Connection>,
    key: impl Fn() -> Key + Copy + Send + 'static,
    span: Duration,
) -> Vec<Call> {
    let end = Instant::now() + span;
    let mut callers = JoinSet::new();
    for mut connection in connections {
        callers.spawn(async move {
            let mut calls = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                let outcome = match connection.send(key()).await {
                    true => connection.answer(0, began + ANSWER_TIMEOUT).await,
                    false => Outcome::Broken,
                };
                let time = began.elapsed();
                calls.push(Call { outcome, time });
                if !matches!(outcome, Outcome::Status(_)) {
                    break;
                }
            }
            connection.reset();
            calls
        });
    }
    callers.join_all().await.concat()
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

    /// Sends a request, and returns whether that succeeded.
    pub(crate) async fn send(&mut self, key: Key) -> bool {
        self.stream.write_all(&request(key)).await.is_ok()
    }

    /// Receives the next answer, which is stale up to the upstream's request `before`.
    pub(crate) async fn answer(&mut self, before: u32, deadline: Instant) -> Outcome {
        match timeout_at(deadline, self.receive()).await {
            Err(_) => Outcome::Timeout,
            Ok(None) => Outcome::Broken,
            Ok(Some((status, Some(serial)))) if serial <= before => Outcome::Stale(status),
            Ok(Some((status, _))) => Outcome::Status(status),
        }
    }

    /// Reads one answer to its end: its status, and the number that the upstream gave it. An answer without
    /// `content-length` counts as broken; no target sends one.
    async fn receive(&mut self) -> Option<(u16, Option<u32>)> {
        let head = loop {
            if let Some(end) = find(&self.unread, b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await?;
        };
        let (status, length) = status_and_length(&self.unread[..head])?;
        let end = head + length;
        while self.unread.len() < end {
            self.read().await?;
        }
        let body = &self.unread[head..end];
        let serial = find(body, SERIAL).and_then(|at| {
            let digits = body[at + SERIAL.len()..].get(..10)?;
            str::from_utf8(digits).ok()?.parse().ok()
        });
        self.unread.drain(..end);
        Some((status, serial))
    }

    async fn read(&mut self) -> Option<()> {
        self.unread.reserve(4 << 10);
        let read = self.stream.read_buf(&mut self.unread).await.ok()?;
        (read > 0).then_some(())
    }

    /// Closes with a reset, which leaves no connection in TIME-WAIT: the next herds would find no free port.
    fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }
}

fn request(key: Key) -> Vec<u8> {
    format!("GET /v1/default/items?x={key} HTTP/1.1\r\nhost: load.test\r\n\r\n").into_bytes()
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
