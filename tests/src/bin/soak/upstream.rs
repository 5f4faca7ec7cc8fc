//! A server on loopback that keeps nothing, so that memory that grows is not its own.

use std::net::SocketAddr;

use oneflight_tests::upstream::ITEMS;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Never answers `GET /held…`, and everything else with [`ITEMS`].
pub(crate) struct Upstream(SocketAddr);

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream));
            }
        });
        Self(address)
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.0)
    }
}

/// One connection, until the peer closes it.
async fn converse(mut stream: TcpStream) -> std::io::Result<()> {
    let length = ITEMS.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{ITEMS}");
    let mut head = Vec::new();
    while stream.read_buf(&mut head).await? > 0 {
        if head.ends_with(b"\r\n\r\n") && !head.starts_with(b"GET /held") {
            stream.write_all(answer.as_bytes()).await?;
            head.clear();
        }
    }
    Ok(())
}
