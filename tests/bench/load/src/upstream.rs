//! The upstream, as a process of its own: answers as the key says with 2 KB of JSON, and counts.
//!
//! It speaks plain sockets on one thread, so that what is measured is what stands before it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::LazyLock;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

use crate::ask::{Ask, Behaviour};

/// Bytes of an answer's body.
const SIZE: usize = 2 << 10;

/// What stands before the number of the request in the first item of an answer, with all digits of a
/// `u32`: by it a caller knows an answer that is older than its question.
pub(crate) const SERIAL: &[u8] = b"\"serial\":\"";

/// The path that tells how many requests there were, itself not counted.
pub(crate) const COUNT: &str = "/count";

/// Answers for as long as the process lives.
pub(crate) async fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    crate::process::listening(listener.local_addr()?);
    let accepting = async {
        let requests = Rc::<Cell<u32>>::default();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // It ends when the peer is gone, whose loss it is.
            spawn_local(converse(stream, Rc::clone(&requests)));
        }
    };
    LocalSet::new().run_until(accepting).await
}

/// How many requests the upstream at `address` has seen.
pub(crate) async fn requests(address: SocketAddr) -> anyhow::Result<u32> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {COUNT} HTTP/1.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    answer.trim().parse().context("the upstream's count")
}

async fn converse(mut stream: TcpStream, requests: Rc<Cell<u32>>) -> Option<()> {
    let mut unread = Vec::with_capacity(1 << 10);
    loop {
        let end = loop {
            if let Some(end) = unread.windows(4).position(|end| end == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut unread).await.ok()? == 0 {
                return None;
            }
        };
        let ask = asked(&unread[..end]);
        unread.drain(..end);
        let Some(ask) = ask else {
            let count = requests.get().to_string();
            return stream.write_all(count.as_bytes()).await.ok();
        };
        let number = requests.get() + 1;
        requests.set(number);
        if !ask.delay.is_zero() {
            sleep(ask.delay).await;
        }
        let answer = answer(ask.behaviour, number);
        match ask.behaviour {
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
}

/// What the key in the head of a request asks for; nothing where there is none.
fn asked(head: &[u8]) -> Option<Ask> {
    let line = str::from_utf8(head).ok()?.lines().next()?;
    let (_, key) = line.split(' ').nth(1)?.split_once("?x=")?;
    key.parse().ok()
}

fn answer(behaviour: Behaviour, number: u32) -> Vec<u8> {
    let (status, cache_control) = match behaviour {
        // As errors mostly come: with no word about keeping them.
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

/// All of a body that is the same in every answer: what follows the first item.
static REST: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let item = |id| {
        format!(
            r#",{{"id":{id},"name":"a bolt of some size","price":"12.30","text":"steel, zinc-plated, box of 100"}}"#
        )
    };
    let mut rest: Vec<u8> = (1..20).map(item).collect::<String>().into_bytes();
    let first = br#"[{"id":0,"#.len() + SERIAL.len() + br#"0000000000"}"#.len();
    // White space, as JSON lets stand anywhere.
    rest.resize(SIZE - first - 1, b' ');
    rest.push(b']');
    rest
});

#[cfg(test)]
mod tests {
    use super::{SIZE, body};

    #[test]
    fn a_body_is_a_list_of_two_kilobytes_whatever_its_number() {
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
