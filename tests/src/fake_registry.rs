//! A registry on loopback that answers as a test says, also wrongly.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneflight::oci::Sha256Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This status, these header lines and this body.
    Whole(u16, String, Vec<u8>),
    /// 200, and a body that announces this many bytes and has these.
    Announced(usize, Vec<u8>),
    /// 200, and a body without end and without a length.
    Endless,
    /// 200, and a body of which a byte comes every ten milliseconds.
    Drip,
    /// Nothing: the connection stays open.
    Silence,
}

impl Reply {
    /// 200 with this body.
    #[must_use]
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Whole(200, String::new(), body.into())
    }

    /// This status without a body.
    #[must_use]
    pub fn status(status: u16, headers: &str) -> Self {
        Self::Whole(status, headers.to_owned(), Vec::new())
    }
}

/// The registry; dropping this value ends it.
#[derive(Debug)]
pub struct FakeRegistry {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    accepting: AbortHandle,
}

impl FakeRegistry {
    /// Starts one that answers a request, by its method and path as in `GET /v2/`, as `answer` says.
    ///
    /// # Panics
    ///
    /// When loopback has no free port.
    pub async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (answer, seen) = (Arc::new(answer), Arc::clone(&heads));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                tokio::spawn(async move { converse(stream, &*answer, &seen).await });
            }
        });
        Self {
            address,
            heads,
            accepting: accepting.abort_handle(),
        }
    }

    /// One that has the artifact of a component: the manifest `manifest` under each name, and this component.
    pub async fn of(manifest: Vec<u8>, component: Vec<u8>) -> Self {
        Self::start(move |request| serving(request, &manifest, &component)).await
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The heads of the requests of HTTP so far.
    #[must_use]
    pub fn heads(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.clone()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The answer of a registry that has this manifest under each name, and this component.
#[must_use]
pub fn serving(request: &str, manifest: &[u8], component: &[u8]) -> Reply {
    let part = |part: &str| request.starts_with("GET /v2/") && request.contains(part);
    if request == "GET /v2/" {
        Reply::ok("{}")
    } else if part("/manifests/") {
        Reply::ok(manifest)
    } else if part("/blobs/") {
        Reply::ok(component)
    } else {
        Reply::status(404, "")
    }
}

/// The manifest of a component.
#[must_use]
pub fn manifest_of(component: &[u8]) -> String {
    let digest = Sha256Digest::of(component);
    let size = component.len();
    let config = Sha256Digest::of(b"{}");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.wasm.config.v0+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/wasm","digest":"{digest}","size":{size}}}]}}"#
    )
}

async fn converse(
    mut stream: TcpStream,
    answer: &(dyn Fn(&str) -> Reply + Send + Sync),
    seen: &Mutex<Vec<String>>,
) {
    let mut unread: Vec<u8> = Vec::new();
    loop {
        // The client of a plain registry tries TLS first, whose first byte is no letter.
        if unread
            .first()
            .is_some_and(|byte| !byte.is_ascii_alphabetic())
        {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            return;
        }
        let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") else {
            if matches!(stream.read_buf(&mut unread).await, Ok(0) | Err(_)) {
                return;
            }
            continue;
        };
        let head: Vec<u8> = unread.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let request = head.split(" HTTP/1.1").next().unwrap_or_default();
        let reply = answer(request);
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(head);
        if send(&mut stream, reply).await.is_err() {
            return;
        }
    }
}

async fn send(stream: &mut TcpStream, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Whole(status, headers, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} Set by the test\r\ncontent-length: {length}\r\n{headers}\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await
        }
        Reply::Announced(length, body) => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            std::future::pending().await
        }
        Reply::Endless => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            let part = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            loop {
                stream.write_all(part.as_bytes()).await?;
            }
        }
        Reply::Drip => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(b"1\r\n \r\n").await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Reply::Silence => {
            let mut byte = [0];
            while stream.read(&mut byte).await? > 0 {}
            Ok(())
        }
    }
}
