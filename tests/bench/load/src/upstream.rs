//! The upstream, a separate process: it answers 2 KB of JSON in the way that the key determines, and counts
//! requests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::Context;
use harness::upstream::{read_head, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::key::{Behaviour, Key};

/// Bytes of an answer's body.
const SIZE: usize = 2 << 10;

/// The bytes before the number of the request in the first item of an answer. The number has ten digits, as
/// the greatest `u32` has. By it a caller recognises an answer that is older than its request.
pub(crate) const SERIAL: &[u8] = b"\"serial\":\"";

/// The path that reports the number of requests, and is not counted itself.
const COUNT: &str = "/count";

/// Serves for as long as the process lives.
pub(crate) async fn run() -> anyhow::Result<()> {
    let requests = Arc::<AtomicU32>::default();
    Ok(serve(|stream| converse(stream, Arc::clone(&requests))).await?)
}

/// The number of requests that the upstream at `address` has received.
pub(crate) async fn requests(address: SocketAddr) -> anyhow::Result<u32> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {COUNT} HTTP/1.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    answer.trim().parse().context("the upstream's count")
}

/// Answers the requests of one connection until either side closes it.
async fn converse(mut stream: TcpStream, requests: Arc<AtomicU32>) -> Option<()> {
    let mut unread = Vec::with_capacity(1 << 10);
    while let Some(end) = read_head(&mut stream, &mut unread).await {
        let key = requested_key(&unread[..end]);
        unread.drain(..end);
        let Some(key) = key else {
            let count = requests.load(Ordering::Relaxed).to_string();
            return stream.write_all(count.as_bytes()).await.ok();
        };
        let number = requests.fetch_add(1, Ordering::Relaxed) + 1;
        if !key.delay.is_zero() {
            sleep(key.delay).await;
        }
        let answer = answer(key.behaviour, number);
        match key.behaviour {
            Behaviour::ClosedBefore => return None,
            Behaviour::ClosedMidway => {
                return stream
                    .write_all(&answer[..answer.len() - SIZE / 2])
                    .await
                    .ok();
            }
            _ => stream.write_all(&answer).await.ok()?,
        }
    }
    None
}

/// The key in the head of a request, if it has one.
fn requested_key(head: &[u8]) -> Option<Key> {
    let line = str::from_utf8(head).ok()?.lines().next()?;
    let (_, key) = line.split(' ').nth(1)?.split_once("?x=")?;
    key.parse().ok()
}

fn answer(behaviour: Behaviour, number: u32) -> Vec<u8> {
    let (status, cache_control) = match behaviour {
        // Without `cache-control`, as most errors are.
        Behaviour::Fails => ("500 Internal Server Error", ""),
        Behaviour::NoStore => ("200 OK", "cache-control: no-store\r\n"),
        Behaviour::Expiring => ("200 OK", "cache-control: max-age=1\r\n"),
        _ => ("200 OK", "cache-control: max-age=60\r\n"),
    };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {SIZE}\r\n\
         {cache_control}\r\n"
    )
    .into_bytes();
    body(number, &mut answer);
    answer
}

/// Twenty items of about a hundred bytes.
fn body(number: u32, answer: &mut Vec<u8>) {
    answer.extend_from_slice(b"[{\"id\":0,");
    answer.extend_from_slice(SERIAL);
    answer.extend_from_slice(format!("{number:010}\"}}").as_bytes());
    answer.extend_from_slice(&REST);
}

/// The part of a body that is the same in every answer: what follows the first item.
static REST: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let item = |id| {
        format!(
            r#",{{"id":{id},"name":"a bolt of some size","price":"12.30","text":"steel, zinc-plated, box of 100"}}"#
        )
    };
    let mut rest: Vec<u8> = (1..20).map(item).collect::<String>().into_bytes();
    let first = br#"[{"id":0,"#.len() + SERIAL.len() + br#"0000000000"}"#.len();
    // JSON allows white space here.
    rest.resize(SIZE - first - 1, b' ');
    rest.push(b']');
    rest
});

#[cfg(test)]
mod tests {
    use super::{SIZE, body};

    #[test]
    fn a_body_is_a_list_of_two_kilobytes_for_any_number() {
        for number in [1, u32::MAX] {
            let mut json = Vec::new();
            body(number, &mut json);
            assert_eq!(json.len(), SIZE);
            let items: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
            assert_eq!(items.len(), 20);
            assert_eq!(items[0]["serial"], format!("{number:010}"));
        }
    }
}
