//! The faults, one round of each, and what callers get.

use std::net::SocketAddr;

use http::StatusCode;
use oneflight_tests::caller::{Answer, code, get, rest, sending};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::world::{GUESTS, HASTY_GUESTS, World};

/// A fault that is caused again and again.
pub(super) struct Fault {
    pub(super) name: &'static str,
    cause: Cause,
    /// `ok`, or the code of the error.
    expected: &'static [&'static str],
}

/// How one round causes it.
#[derive(Clone, Copy)]
enum Cause {
    /// A call of this client, whose upstream does the rest.
    Upstream(&'static str),
    /// A call of a guest with this key.
    Guest(&'static str),
    /// A call of a guest whose request to an upload server ends like this: `FRAMING:END`.
    Upload(&'static str),
    /// A caller that closes one direction of its connection after its request.
    HalfClosed,
    /// Callers that close their connections without waiting for the answer.
    Left,
    /// A caller that reads the beginning of a large answer and no more.
    Unread,
    /// Connections on which no request follows.
    Idle,
}

/// On a busy machine the deadline of a flight may come before its request.
const TIMED_OUT: &[&str] = &["upstream-timeout", "guest-deadline"];

pub(super) const FAULTS: [Fault; 23] = [
    fault(
        "kept connection closed",
        Cause::Upstream("closing"),
        &["ok"],
    ),
    fault(
        "stream refused, GOAWAY",
        Cause::Upstream("refusing"),
        &["ok"],
    ),
    fault(
        "body breaks off",
        Cause::Upstream("broken"),
        &["upstream-unavailable"],
    ),
    fault(
        "endless body",
        Cause::Upstream("endless-body"),
        &["upstream-response-too-large"],
    ),
    fault(
        "endless head",
        Cause::Upstream("endless-head"),
        &["upstream-response-too-large"],
    ),
    fault("no answer", Cause::Upstream("silent"), TIMED_OUT),
    fault("429", Cause::Upstream("busy"), &["rate-limited"]),
    fault("byte-order mark", Cause::Upstream("marked"), &["ok"]),
    fault(
        "gzip",
        Cause::Upstream("compressed"),
        &["upstream-malformed"],
    ),
    fault("guest traps", Cause::Guest("trap"), &["guest-trap"]),
    fault("guest spins", Cause::Guest("spin"), &["guest-deadline"]),
    fault(
        "guest hoards requests",
        Cause::Guest("lines:700:60000:both"),
        &["guest-trap"],
    ),
    fault("guest takes memory", Cause::Guest("grow:40000000"), &["ok"]),
    fault(
        "id too long",
        Cause::Guest("control-id:5000"),
        &["result-too-large"],
    ),
    fault("guest floods the log", Cause::Guest("log:100000"), &["ok"]),
    fault(
        "upload: guest traps",
        Cause::Upload("chunked:trap"),
        &["guest-trap"],
    ),
    fault(
        "upload: left open",
        Cause::Upload("chunked:return"),
        &["ok"],
    ),
    fault(
        "upload: answered early",
        Cause::Upload("chunked:answered"),
        &["ok"],
    ),
    fault("upload: deadline", Cause::Upload("length:wait"), TIMED_OUT),
    fault("caller half-closes", Cause::HalfClosed, &["ok"]),
    fault("callers leave", Cause::Left, &["ok"]),
    fault("answer left unread", Cause::Unread, &["ok"]),
    fault("idle connections", Cause::Idle, &["ok"]),
];

const fn fault(name: &'static str, cause: Cause, expected: &'static [&'static str]) -> Fault {
    Fault {
        name,
        cause,
        expected,
    }
}

impl Fault {
    /// Causes it once. `None`, or what came instead of what was expected.
    pub(super) async fn round(
        &self,
        world: &World,
        service: SocketAddr,
        round: u64,
    ) -> Option<String> {
        // Each upload server is used with both kinds of instances.
        let reused = (round / 2 % 2) as usize;
        let guests = match self.expected {
            TIMED_OUT => HASTY_GUESTS,
            _ => GUESTS,
        };
        let guest = guests[reused].0;
        let found = match self.cause {
            Cause::Upstream(client) => call(service, client, &round.to_string()).await,
            Cause::Guest(key) => call(service, guest, key).await,
            Cause::Upload(how) => {
                let path = if how.ends_with("answered") {
                    "early"
                } else {
                    "read"
                };
                let origin = world.upload_origin(round);
                call(
                    service,
                    guest,
                    &format!("upload:{how}:{origin}/{path}/{}", round % 64),
                )
                .await
            }
            Cause::HalfClosed => half_closed(service, round).await,
            Cause::Left => left(service, round).await,
            Cause::Unread => unread(service, guest).await,
            Cause::Idle => idle(service).await,
        };
        let is_expected = self.expected.contains(&&*found);
        (!is_expected).then(|| format!("expected {}, got {found}", self.expected.join(" or ")))
    }
}

/// `ok`, or the code of the error.
async fn call(service: SocketAddr, client: &str, key: &str) -> String {
    outcome(&get(service, &format!("/v1/{client}/items?x={key}")).await)
}

fn outcome(answer: &Answer) -> String {
    match answer.status() {
        StatusCode::OK => "ok".to_owned(),
        _ => code(answer),
    }
}

fn request(client: &str, key: u64) -> String {
    format!("GET /v1/{client}/items?x={key} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

async fn half_closed(service: SocketAddr, round: u64) -> String {
    let mut stream = sending(service, &request("marked", round)).await;
    stream.shutdown().await.expect("an open connection");
    let answer = rest(stream).await;
    match answer.starts_with("HTTP/1.1 200 OK\r\n") {
        true => "ok".to_owned(),
        false => answer,
    }
}

/// One caller of a flight leaves by closing its connection, another one with a reset.
async fn left(service: SocketAddr, round: u64) -> String {
    let request = request("silent", round + 1_000_000_000);
    drop(sending(service, &request).await);
    let reset = sending(service, &request).await;
    reset.set_zero_linger().expect("a socket");
    drop(reset);
    call(service, "marked", &round.to_string()).await
}

async fn unread(service: SocketAddr, guest: &str) -> String {
    let request =
        format!("GET /v1/{guest}/items?x=huge:4000000 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut stream = sending(service, &request).await;
    let mut status = [0; "HTTP/1.1 200".len()];
    match stream.read_exact(&mut status).await {
        Ok(_) if status == *b"HTTP/1.1 200" => "ok".to_owned(),
        read => format!("{read:?} {}", String::from_utf8_lossy(&status)),
    }
}

/// More of them than the service has room for, so that it closes the oldest.
async fn idle(service: SocketAddr) -> String {
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(sending(service, "").await);
    }
    let answer = call(service, "marked", "idle").await;
    drop(idle);
    answer
}
