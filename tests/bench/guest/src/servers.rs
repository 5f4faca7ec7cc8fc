//! Flights over HTTP: `oneflight serve` with the built-in client, and its nearest alternative, `wasmtime
//! serve`, with a component that makes the same request.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use bytes::Bytes;
use harness::oneflight;
use harness::process::{LISTENING, Process};
use harness::report::Mark;
use harness::turns::{Participant, in_turns};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::callers::{Caller, drive};
use crate::effort::Effort;
use crate::group::Group;
use crate::upstream;

const AT_ONCE: usize = 32;
const OURS: &str = "oneflight serve";
/// Like `wasmtime serve`, which logs nothing per request.
const QUIET: &str = "oneflight serve --log off";
const REUSED: &str = "oneflight serve --log off --reuse-instances";
const THEIRS: &str = "wasmtime serve";
const MISSING: &str = concat!("wasmtime ", env!("WASMTIME_VERSION"));

/// Measures all of them in turns, without `wasmtime serve` if it is missing or of another release.
pub(crate) fn run(
    runtime: &Runtime,
    effort: &Effort,
    wasmtime: &Path,
    upstream: SocketAddr,
) -> anyhow::Result<(Group, [Mark; 2])> {
    let binary = oneflight::binary();
    let ours = [OURS, QUIET, REUSED].map(|line| {
        let server = Process::start(serve(binary, upstream, line), LISTENING);
        anyhow::Ok((line, runtime.block_on(server)?))
    });
    let ours = ours.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let theirs = if same_release(wasmtime) {
        let server = wasmtime_serve(wasmtime, upstream);
        let server = Process::start(server, "Serving HTTP on http://");
        Some(runtime.block_on(server)?)
    } else {
        None
    };
    let participant = |id, address: SocketAddr, path| {
        let turn = move || {
            runtime.block_on(async {
                let mut callers = Vec::new();
                for _ in 0..AT_ONCE {
                    callers.push(Connection::open(address, path).await?);
                }
                drive(callers, effort.turn).await
            })
        };
        Participant {
            id,
            turn: Box::new(turn),
        }
    };
    let theirs = theirs
        .as_ref()
        .map(|(_, address)| participant(THEIRS, *address, "/items"));
    let ours = ours
        .iter()
        .map(|(line, (_, address))| participant(*line, *address, "/v1/default/items"));
    let participants: Vec<_> = theirs.into_iter().chain(ours).collect();
    let rounds = in_turns(effort.rounds, &participants)?;
    let marks = [OURS, QUIET].map(|ours| {
        let aim = format!("{AT_ONCE} at once over HTTP: rate of {ours} / rate of {THEIRS}");
        Mark::at_least(aim, rounds.ratio(THEIRS, ours), 2.0, "")
    });
    let group = Group {
        name: format!("{AT_ONCE} at once over HTTP"),
        absent: rounds.of(THEIRS).is_empty().then_some((THEIRS, MISSING)),
        rounds,
    };
    Ok((group, marks))
}

/// The server of `line`, a command line of `oneflight serve` without the flags that all servers share.
fn serve(binary: &Path, upstream: SocketAddr, line: &str) -> Command {
    let flags = line.split(' ').skip("oneflight serve".split(' ').count());
    let cache = binary.with_file_name("bench-cache");
    oneflight::serve(binary, &upstream::immediate_url(upstream), &cache, flags)
}

fn same_release(wasmtime: &Path) -> bool {
    let output = Command::new(wasmtime).arg("--version").output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    version.is_ok_and(|text| text.split_whitespace().nth(1) == Some(env!("WASMTIME_VERSION")))
}

fn wasmtime_serve(wasmtime: &Path, upstream: SocketAddr) -> Command {
    let mut command = Command::new(wasmtime);
    command
        // A guest's toolchain links all of WASI, which needs a flag here.
        .args(["serve", "--addr", "127.0.0.1:0", "-Scli", "--env"])
        .args([&format!("UPSTREAM={upstream}"), env!("PROXY_COMPONENT")]);
    command
}

/// A caller that keeps its connection.
struct Connection {
    http: SendRequest<Empty<Bytes>>,
    host: String,
    path: &'static str,
}

impl Connection {
    async fn open(address: SocketAddr, path: &'static str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (http, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let host = address.to_string();
        Ok(Self { http, host, path })
    }
}

impl Caller for Connection {
    async fn call(&mut self, key: String) -> anyhow::Result<()> {
        let request = http::Request::get(format!("{}?x={key}", self.path))
            .header(http::header::HOST, &self.host)
            .body(Empty::new())?;
        self.http.ready().await?;
        let response = self.http.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(
            status.is_success() && body.starts_with(b"[{"),
            "{status}: {body:?}"
        );
        Ok(())
    }
}
