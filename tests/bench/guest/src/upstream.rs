//! The upstream: HTTP/1.1 with as little work as possible. It is a separate process, so that its processor
//! time is not counted as that of a participant.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use harness::upstream::{read_head, serve};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Barrier;

/// Items of every answer.
pub(crate) const ITEMS: usize = 5;

/// A base URL where `number` requests wait for each other; then their connections are closed.
pub(crate) fn barrier_url(address: SocketAddr, number: usize) -> String {
    format!("http://{address}/barrier/{number}/")
}

/// A base URL where each request is answered immediately.
pub(crate) fn immediate_url(address: SocketAddr) -> String {
    format!("http://{address}/items")
}

/// Serves for as long as the process lives.
pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let barriers = Arc::<Barriers>::default();
    let serving = serve(|stream| converse(stream, Arc::clone(&barriers)));
    Ok(runtime.block_on(serving)?)
}

/// Barriers by the number of requests that wait at each.
#[derive(Default)]
struct Barriers(Mutex<HashMap<usize, Arc<Barrier>>>);

impl Barriers {
    fn of(&self, number: usize) -> Arc<Barrier> {
        let mut barriers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let barrier = barriers
            .entry(number)
            .or_insert_with(|| Arc::new(Barrier::new(number)));
        Arc::clone(barrier)
    }
}

/// Answers the requests of one connection until either side closes it.
async fn converse(mut stream: TcpStream, barriers: Arc<Barriers>) -> Option<()> {
    let (immediate, last) = (answer(""), answer("connection: close\r\n"));
    let mut unread = Vec::with_capacity(4 << 10);
    while let Some(end) = read_head(&mut stream, &mut unread).await {
        let number = barrier_number(&unread[..end]);
        unread.drain(..end);
        if let Some(number) = number {
            barriers.of(number).wait().await;
            return stream.write_all(&last).await.ok();
        }
        stream.write_all(&immediate).await.ok()?;
    }
    None
}

/// The number in the path of a request to [`barrier_url`].
fn barrier_number(head: &[u8]) -> Option<usize> {
    let rest = head.strip_prefix(b"GET /barrier/")?;
    let digits = rest.split(|byte| *byte == b'/').next()?;
    str::from_utf8(digits).ok()?.parse().ok()
}

fn answer(header: &str) -> Vec<u8> {
    let item = |id| format!(r#"{{"id":{id},"name":"item {id}","price":{id}.50,"tags":["a","b"]}}"#);
    let items: Vec<_> = (1..=ITEMS).map(item).collect();
    let body = format!("[{}]", items.join(","));
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{header}\r\n"
    );
    [head, body].concat().into_bytes()
}
