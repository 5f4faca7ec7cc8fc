//! The upstream: HTTP/1.1 on loopback with as little work as can be, in a process of its own, so that what
//! it costs is nobody's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

/// Items of every answer.
pub(crate) const ITEMS: usize = 5;

/// What comes before the address when it listens.
pub(crate) const LISTENING: &str = "listening on http://";

/// Where `number` requests wait for each other; then their connections are closed.
pub(crate) fn held(address: &str, number: usize) -> String {
    format!("http://{address}/held/{number}/")
}

/// Where every request is answered at once.
pub(crate) fn prompt(address: &str) -> String {
    format!("http://{address}/items")
}

/// Answers until it is killed.
pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("{LISTENING}{}/", listener.local_addr()?);
        let waiting = Arc::<Waiting>::default();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // A peer that is gone is nobody's loss.
            let waiting = Arc::clone(&waiting);
            tokio::spawn(async move { converse(stream, &waiting).await });
        }
    })
}

/// Requests that wait until there are as many as their path says.
#[derive(Default)]
struct Waiting(Mutex<HashMap<usize, Arc<Barrier>>>);

impl Waiting {
    fn barrier(&self, number: usize) -> Arc<Barrier> {
        let mut barriers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let barrier = barriers
            .entry(number)
            .or_insert_with(|| Arc::new(Barrier::new(number)));
        Arc::clone(barrier)
    }
}

async fn converse(mut stream: TcpStream, waiting: &Waiting) -> std::io::Result<()> {
    let (prompt, last) = (answer(""), answer("connection: close\r\n"));
    let mut request = Vec::with_capacity(4 << 10);
    // Requests here have no bodies, and nobody sends a second one before the first is answered.
    while stream.read_buf(&mut request).await? > 0 {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        if let Some(number) = number(&request) {
            waiting.barrier(number).wait().await;
            return stream.write_all(&last).await;
        }
        stream.write_all(&prompt).await?;
        request.clear();
    }
    Ok(())
}

/// How many requests one that is held waits for.
fn number(request: &[u8]) -> Option<usize> {
    let rest = request.strip_prefix(b"GET /held/")?;
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
