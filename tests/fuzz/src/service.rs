//! A [`Service`] in this process, around a client that answers as the key says, and one connection at a time to it.
//!
//! The clock is paused, and passes only when [`Stage::converse`] lets it. Both sides run on one thread, and the caller
//! does not wait but yields: so the service has read what was sent, and has done what it can without time passing,
//! before the caller continues.

use std::future::poll_fn;
use std::mem::take;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{
    SocketAddr as UnixAddr, UnixListener as StdListener, UnixStream as StdStream,
};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use oneflight::model::{Generation, Resource};
use oneflight::registry::{ClientLookup, ClientRegistry, LoadedClient};
use oneflight::server::{Listeners, Service};
use oneflight::{
    Call, ClientError, Execute, FlightContext, Item, Items, Limits, Metrics, Outcome, ServerLimits,
    Settings,
};
use oneflight_tests::tasks;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::yield_now;
use tokio::time::{advance, sleep};

/// The name of the only client.
pub const CLIENT: &str = "fuzz";
/// The longest key in bytes: short, so that inputs exceed it.
pub const MAX_KEY_BYTES: usize = 16;
/// The most header lines of a request: few, so that inputs exceed it.
pub const MAX_HEADERS: usize = 12;
/// The most concurrent streams of an HTTP/2 connection: few, so that inputs exceed it.
pub const MAX_STREAMS: usize = 8;
/// How long the client takes for a key that begins with [`SLOW`].
pub const SLOW_TIME: Duration = Duration::from_millis(1_500);
/// The first character of a key that is answered after [`SLOW_TIME`].
pub const SLOW: char = '~';
/// The first character of a key that is never answered.
pub const NEVER: char = '_';
/// The first character of a key that fails; the next one selects the error.
pub const FAILS: char = '!';

/// The time that passes whenever nothing else happens.
const STEP: Duration = Duration::from_millis(250);

/// Turns of the service without a byte from it, after which it has done all that it can. A byte on its way between
/// tasks of the service takes a few.
const QUIET_TURNS: usize = 24;

/// The longest that a connection may stay open after the caller's last byte. An input of some kilobytes has at most
/// some hundred requests, and each of them takes at most the timeout of a flight.
const LONGEST: Duration = Duration::from_secs(3_600);

/// How a caller reaches the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Through a Unix socket.
    Direct,
    /// Over TCP, from an address that has to send a header of the PROXY protocol.
    Proxy,
}

/// What a caller does after its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It reads until the service closes the connection.
    Stay,
    /// It closes its direction of the connection, and reads.
    HalfClose,
    /// It closes the connection, and reads nothing more. The service notices it at once unless it holds bytes that it
    /// has not taken for a request yet: HTTP/1 requests that follow each other are served one by one.
    Close {
        /// Whether it does.
        is_noticed: bool,
    },
}

/// One connection, from its first byte to its end.
#[derive(Debug)]
pub struct Conversation {
    /// What the service sent.
    pub received: Vec<u8>,
    /// The keys that were executed, in order.
    pub executed: Vec<String>,
}

/// What one input does in a conversation.
#[derive(Debug)]
pub enum Action {
    /// Sends these bytes, and lets the service act.
    Send(Vec<u8>),
    /// Lets time pass: that many times [`STEP`].
    Pass(u8),
}

/// What all inputs of a target share.
pub struct Stage {
    runtime: Runtime,
    client: Arc<LoadedClient<Client>>,
    executed: Arc<Mutex<Vec<String>>>,
    direct: UnixAddr,
    proxied: SocketAddr,
}

impl Default for Stage {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let executed = Arc::default();
        let client = LoadedClient::new(
            Client {
                generation: Generation::next(),
                executed: Arc::clone(&executed),
            },
            settings(),
            Metrics::default().client(CLIENT),
        );
        let clients = Arc::new(ClientRegistry::of([client]));
        let ClientLookup::Loaded(client) = clients.find(CLIENT) else {
            panic!("it was loaded");
        };
        let guard = runtime.enter();
        // The main function is the fuzzer's, and does not ignore the signal, as that of a Rust program does.
        drop(signal(SignalKind::pipe()).expect("a signal"));
        // A name in the abstract namespace: no file is left behind.
        let name = format!("oneflight-fuzz-{}", std::process::id());
        let direct = UnixAddr::from_abstract_name(name).expect("a short name");
        let unix = StdListener::bind_addr(&direct).expect("a free name");
        unix.set_nonblocking(true).expect("a socket");
        let unix = UnixListener::from_std(unix).expect("a socket");
        let tcp = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let proxied = tcp.local_addr().expect("an address");
        let from_proxies = Listeners {
            proxies: vec!["127.0.0.0/8".parse().expect("a network")],
            ..Listeners::new(tcp)
        };
        for listeners in [Listeners::new(unix), from_proxies] {
            let metrics = Arc::new(Metrics::default());
            let service = Service::new(Arc::clone(&clients), metrics, server_limits());
            tokio::spawn(async move { service.run(listeners, std::future::pending()).await });
        }
        drop(guard);
        Self {
            runtime,
            client,
            executed,
            direct,
            proxied,
        }
    }
}

/// Short timeouts: they pass in a few steps.
fn server_limits() -> ServerLimits {
    ServerLimits {
        // A connection that is not counted down lets no other one in.
        max_connections: 1,
        header_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(2),
        write_stall_timeout: Duration::from_secs(3),
        max_header_bytes: 8 << 10,
        max_headers: MAX_HEADERS,
        max_streams: MAX_STREAMS,
        ..ServerLimits::default()
    }
}

fn settings() -> Settings {
    Settings {
        limits: Limits {
            max_key_bytes: MAX_KEY_BYTES,
            ..Limits::default().with_flight_timeout(SLOW_TIME * 2)
        },
        ..Settings::new(CLIENT)
    }
}

impl Stage {
    /// Opens a connection, performs `actions` and then `end`, and waits until the connection has ended.
    ///
    /// # Panics
    ///
    /// When the connection does not end in time, when anything of it is left behind, or when the service accepts no
    /// other one after it.
    pub fn converse(&self, via: Via, actions: Vec<Action>, end: End) -> Conversation {
        self.runtime.block_on(async {
            // The tasks of the service are spawned; the first turn lets them begin.
            yield_now().await;
            let before = tasks();
            let received = Caller::new(self.connect(via).await).run(actions, end).await;
            if end == (End::Close { is_noticed: false }) {
                let mut passed = Duration::ZERO;
                while tasks() > before && passed < LONGEST {
                    turns().await;
                    advance(STEP).await;
                    passed += STEP;
                }
            }
            self.settled(before).await;
            let executed = take(&mut *self.executed.lock().expect("not poisoned"));

            let livez = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
            let caller = Caller::new(self.connect(Via::Direct).await);
            let probe = caller.run(vec![Action::Send(livez)], End::HalfClose).await;
            assert!(probe.starts_with(b"HTTP/1.1 200 OK\r\n"), "{probe:?}");
            self.settled(before).await;
            Conversation { received, executed }
        })
    }

    async fn connect(&self, via: Via) -> Box<dyn Stream> {
        match via {
            Via::Direct => {
                let stream = StdStream::connect_addr(&self.direct).expect("a connection");
                stream.set_nonblocking(true).expect("a socket");
                Box::new(UnixStream::from_std(stream).expect("a socket"))
            }
            Via::Proxy => {
                let stream = TcpStream::connect(self.proxied)
                    .await
                    .expect("a connection");
                stream.set_nodelay(true).expect("a socket");
                Box::new(stream)
            }
        }
    }

    /// Waits until a connection has left nothing behind. No time passes.
    async fn settled(&self, before: usize) {
        let control = self.client.control();
        let left = || (tasks() - before, control.flights(), control.callers());
        for _ in 0..1_000 {
            if left() == (0, 0, 0) {
                return;
            }
            yield_now().await;
        }
        panic!("tasks, flights and callers are left: {:?}", left());
    }
}

/// Lets the service act until it has nothing more to do before time passes.
async fn turns() {
    for _ in 0..QUIET_TURNS {
        yield_now().await;
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// The caller's end of a connection.
struct Caller {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
    /// Whether the service has closed the connection.
    is_closed: bool,
}

impl Caller {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            received: Vec::new(),
            is_closed: false,
        }
    }

    async fn run(mut self, actions: Vec<Action>, end: End) -> Vec<u8> {
        for action in actions {
            match action {
                Action::Send(bytes) => self.send(&bytes).await,
                Action::Pass(steps) => {
                    for _ in 0..steps {
                        advance(STEP).await;
                        self.turns().await;
                    }
                }
            }
        }
        match end {
            End::Close { .. } => return self.received,
            // Fails if the service has closed the connection.
            End::HalfClose => drop(self.stream.shutdown().await),
            End::Stay => {}
        }
        let mut passed = Duration::ZERO;
        loop {
            self.turns().await;
            if self.is_closed {
                return self.received;
            }
            assert!(passed < LONGEST, "the connection is open after {passed:?}");
            advance(STEP).await;
            passed += STEP;
        }
    }

    /// Sends `bytes` unless the connection is closed, and lets the service act.
    async fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_closed {
            let stream = &mut self.stream;
            let wrote = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, bytes)));
            match wrote.await {
                Poll::Ready(Ok(count)) => bytes = &bytes[count..],
                Poll::Ready(Err(_)) => break,
                Poll::Pending => self.turns().await,
            }
        }
        self.turns().await;
    }

    /// Lets the service act in the same way, and reads what it sends.
    async fn turns(&mut self) {
        let mut quiet = 0;
        while quiet < QUIET_TURNS && !self.is_closed {
            quiet = if self.read().await { 0 } else { quiet + 1 };
            yield_now().await;
        }
    }

    /// Whether anything could be read.
    async fn read(&mut self) -> bool {
        let mut buffer = [0; 4 << 10];
        let mut buffer = ReadBuf::new(&mut buffer);
        let stream = &mut self.stream;
        let read = poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_read(cx, &mut buffer)));
        match read.await {
            Poll::Ready(Ok(())) => self.is_closed = buffer.filled().is_empty(),
            // A reset, if the service has closed the connection before it has read everything.
            Poll::Ready(Err(_)) => self.is_closed = true,
            Poll::Pending => return false,
        }
        self.received.extend_from_slice(buffer.filled());
        true
    }
}

/// Answers as the key says.
#[derive(Debug)]
struct Client {
    generation: Generation,
    executed: Arc<Mutex<Vec<String>>>,
}

impl Execute for Client {
    fn generation(&self) -> Generation {
        self.generation
    }

    async fn execute(&self, call: Call, _: &FlightContext) -> Result<Outcome, ClientError> {
        let key = call.x().expect("a key").to_owned();
        self.executed
            .lock()
            .expect("not poisoned")
            .push(key.clone());
        match key.chars().next() {
            Some(SLOW) => sleep(SLOW_TIME).await,
            Some(NEVER) => std::future::pending().await,
            Some(FAILS) => return Err(error(&key)),
            _ => {}
        }
        let item = Item::new(key, "null".to_owned()).expect("valid JSON");
        Ok(Items::new(vec![item]).expect("one item").into())
    }
}

/// The error that a key with [`FAILS`] selects.
///
/// # Panics
///
/// Never: the list of errors is not empty.
pub fn error(key: &str) -> ClientError {
    use ClientError as E;
    let wait = Some(Duration::from_secs(7));
    let errors = [
        E::InvalidKey,
        E::NotFound,
        E::UpstreamStatus {
            status: 503,
            retry_after: wait,
        },
        E::UpstreamUnavailable,
        E::UpstreamMalformed,
        E::Other,
        E::UpstreamDenied,
        E::UpstreamResponseTooLarge("max_body_bytes"),
        E::UpstreamTimeout(Some("request_timeout")),
        E::RateLimited { retry_after: wait },
        E::RateLimited { retry_after: None },
        E::GuestTrap,
        E::GuestMalformed,
        E::ResultTooLarge("max_items"),
        E::GuestDeadline("max_cpu_time"),
        E::Overloaded(Resource::AddressSpace),
        E::Cancelled,
        E::Internal,
    ];
    let choice = key.chars().nth(1).map_or(0, |letter| letter as usize);
    errors[choice % errors.len()].clone()
}
