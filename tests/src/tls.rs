//! TLS for tests, with certificates that are generated on the spot; and an HTTP/2 upstream that reports resets
//! of its streams.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::Reason;
use h2::server::{self, SendResponse};
use http::Response;
use rcgen::{CertificateParams, CertifiedKey};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::failsafe;

/// A self-signed certificate and its key.
pub struct Identity {
    own: CertifiedKey<rcgen::KeyPair>,
    /// As a server: the certificate that a client must have.
    client: Option<CertificateDer<'static>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identity").field(&self.pem()).finish()
    }
}

impl Identity {
    /// For these names and addresses.
    ///
    /// # Panics
    ///
    /// When one of them is invalid.
    #[must_use]
    pub fn new(names: &[&str]) -> Self {
        Self::changed(names, |_| {})
    }

    /// The same with other properties than a server's certificate has.
    ///
    /// # Panics
    ///
    /// When a name or a property is invalid.
    #[must_use]
    pub fn changed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let signing_key = rcgen::KeyPair::generate().expect("a key");
        let cert = params.self_signed(&signing_key).expect("a certificate");
        let own = CertifiedKey { cert, signing_key };
        Self { own, client: None }
    }

    /// The same for a server that requests the certificate of `client`, and accepts no other.
    #[must_use]
    pub fn requesting(self, client: &Self) -> Self {
        let client = Some(client.own.cert.der().clone());
        Self { client, ..self }
    }

    /// The certificate, for the peers that trust it.
    #[must_use]
    pub fn pem(&self) -> String {
        self.own.cert.pem()
    }

    /// Its private key.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.own.signing_key.serialize_pem()
    }

    /// Connects to a server with this certificate for the name `localhost`; ALPN offers these protocols.
    ///
    /// # Panics
    ///
    /// When it does not listen, or has another certificate.
    pub async fn connect(&self, server: SocketAddr, protocols: &[&str]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        let certificate = self.own.cert.der().clone();
        roots.add(certificate).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions that ring speaks")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = wire_names(protocols);
        let stream = TcpStream::connect(server).await;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config))
            .connect(name, stream.expect("a server that listens"))
            .await
            .expect("the server of this certificate")
    }

    pub(crate) fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.own.signing_key.serialize_der()).expect("a key");
        let certificate = self.own.cert.der().clone();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions that ring speaks");
        let config = match &self.client {
            None => config.with_no_client_auth(),
            Some(client) => {
                let mut clients = RootCertStore::empty();
                clients.add(client.clone()).expect("a certificate");
                let provider = Arc::new(ring::default_provider());
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(clients), provider);
                config.with_client_cert_verifier(verifier.build().expect("a certificate"))
            }
        };
        let config = config.with_single_cert(vec![certificate], key);
        let mut config = config.expect("a certificate and its key");
        config.alpn_protocols = wire_names(protocols);
        TlsAcceptor::from(Arc::new(config))
    }
}

fn wire_names(protocols: &[&str]) -> Vec<Vec<u8>> {
    let names = protocols.iter().map(|name| name.as_bytes().to_vec());
    names.collect()
}

/// An upstream that speaks HTTP/2 over TLS. The path of a request chooses the answer:
///
/// | path | answer |
/// |---|---|
/// | `/ok` | 200 with two bytes |
/// | `/silent` | none |
/// | `/half` | a head, and half of the body |
/// | `/flood` | a head, and as much of a body as the peer accepts |
/// | `/freeze` | none, and nothing more on this connection, pings included |
/// | `/reset` | the stream is reset |
/// | `/huge` | a head of 200,000 bytes |
/// | `/endless` | a head of 4,000,000 bytes |
///
/// Dropping this value ends it.
#[derive(Debug)]
pub struct Http2 {
    address: SocketAddr,
    events: UnboundedReceiver<Event>,
    accepting: AbortHandle,
}

/// What happens at an HTTP/2 upstream, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An HTTP/2 connection was opened.
    Connected,
    /// A request for this path.
    Requested(String),
    /// The peer reset the stream of the request for this path.
    Reset(String, Reason),
    /// The connection was closed.
    Closed,
}

impl Http2 {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When loopback has no free port.
    pub async fn start(identity: &Identity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let tls = identity.acceptor(&["h2", "http/1.1"]);
        let (send, events) = unbounded_channel();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, send) = (tls.clone(), send.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, &send).await;
                    }
                });
            }
        });
        Self {
            address,
            events,
            accepting: accepting.abort_handle(),
        }
    }

    /// `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Waits for the next event.
    ///
    /// # Panics
    ///
    /// When none comes until the failsafe.
    pub async fn event(&mut self) -> Event {
        let event = failsafe("something to happen", self.events.recv()).await;
        event.expect("the server is still there")
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn converse(
    stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    events: &UnboundedSender<Event>,
) {
    // The test may have ended and dropped the receiver.
    let tell = |event| drop(events.send(event));
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let Ok(mut connection) = server::handshake(stream).await else {
        return;
    };
    tell(Event::Connected);
    while let Some(Ok((request, respond))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        tell(Event::Requested(path.clone()));
        if path == "/freeze" {
            // Nothing more is read; the task ends with the test's runtime.
            return std::future::pending().await;
        }
        tokio::spawn(answer(path, respond, events.clone()));
    }
    tell(Event::Closed);
}

async fn answer(
    path: String,
    mut respond: SendResponse<Bytes>,
    events: UnboundedSender<Event>,
) -> Option<()> {
    let body = Bytes::from_static(b"[]");
    let reset = match path.as_str() {
        "/ok" => {
            let mut stream = respond.send_response(Response::new(()), false).ok()?;
            return stream.send_data(body, true).ok();
        }
        "/half" => {
            let head = Response::builder().header("content-length", "4");
            let head = head.body(()).ok()?;
            let mut stream = respond.send_response(head, false).ok()?;
            stream.send_data(body, false).ok()?;
            std::future::poll_fn(|cx| stream.poll_reset(cx))
                .await
                .ok()?
        }
        "/flood" => {
            let mut stream = respond.send_response(Response::new(()), false).ok()?;
            // All at once: what the peer does not accept yet is buffered here.
            stream.send_data(vec![b'x'; 8 << 20].into(), false).ok()?;
            std::future::poll_fn(|cx| stream.poll_reset(cx))
                .await
                .ok()?
        }
        "/huge" | "/endless" => {
            let headers = if path == "/huge" { 50 } else { 1_000 };
            let head = (0..headers).fold(Response::builder(), |head, n| {
                head.header(format!("x-{n}"), "x".repeat(4_000))
            });
            let mut stream = respond.send_response(head.body(()).ok()?, false).ok()?;
            std::future::poll_fn(|cx| stream.poll_reset(cx))
                .await
                .ok()?
        }
        "/reset" => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            return Some(());
        }
        _ => std::future::poll_fn(|cx| respond.poll_reset(cx))
            .await
            .ok()?,
    };
    events.send(Event::Reset(path, reset)).ok()
}
