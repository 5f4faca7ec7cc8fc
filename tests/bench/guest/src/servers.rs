//! Flights over HTTP: `oneflight serve` with the built-in client, and the host that people would pick
//! instead, `wasmtime serve`, with a component that makes the same request.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use bytes::Bytes;
use harness::report::Mark;
use harness::turns::{Entry, in_turns};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::binary::binary;
use crate::load::{Caller, drive};
use crate::process::Server;
use crate::{Effort, Group, upstream};

const AT_ONCE: usize = 32;
const OURS: &str = "oneflight serve";
/// The other host logs nothing of a request.
const QUIET: &str = "oneflight serve --log off";
const REUSED: &str = "oneflight serve --log off --reuse-instances";
const THEIRS: &str = "wasmtime serve";
const MISSING: &str = concat!("wasmtime ", env!("WASMTIME_VERSION"));

/// Measures them against each other; without `wasmtime` there is no comparison.
pub(crate) fn run(
    runtime: &Runtime,
    effort: &Effort,
    wasmtime: &Path,
    address: &str,
) -> anyhow::Result<(Group, [Mark; 2])> {
    let oneflight = binary();
    let ours = serve(oneflight, address, OURS)?;
    let quiet = serve(oneflight, address, QUIET)?;
    let reused = serve(oneflight, address, REUSED)?;
    let theirs = same_release(wasmtime)
        .then(|| wasmtime_serve(wasmtime, address))
        .transpose()?;
    let entry = |entrant, server: &Server, path| {
        let address = server.address.clone();
        let turn = move || {
            runtime.block_on(async {
                let mut callers = Vec::new();
                for _ in 0..AT_ONCE {
                    callers.push(Connection::open(&address, path).await?);
                }
                drive(callers, effort.turn).await
            })
        };
        Entry {
            entrant,
            turn: Box::new(turn),
        }
    };
    let theirs = theirs
        .as_ref()
        .map(|server| entry(THEIRS, server, "/items"));
    let ours = [(OURS, &ours), (QUIET, &quiet), (REUSED, &reused)]
        .map(|(entrant, server)| entry(entrant, server, "/v1/default/items"));
    let entries: Vec<_> = theirs.into_iter().chain(ours).collect();
    let rounds = in_turns(effort.rounds, &entries)?;
    let marks = [OURS, QUIET].map(|ours| {
        let aim =
            format!("{AT_ONCE} at once over HTTP: {ours} does at least twice what {THEIRS} does");
        Mark::at_least(aim, rounds.ratio(THEIRS, ours), 2.0, "")
    });
    let group = Group {
        name: format!("{AT_ONCE} at once over HTTP"),
        absent: rounds.of(THEIRS).is_empty().then_some((THEIRS, MISSING)),
        rounds,
    };
    Ok((group, marks))
}

/// Runs `line`, a command line of the binary.
fn serve(oneflight: &Path, address: &str, line: &str) -> anyhow::Result<Server> {
    let mut command = Command::new(oneflight);
    command
        .args(line.split(' ').skip(1))
        .args(["--listen", "127.0.0.1:0", "--admin", "off", "--base-url"])
        .arg(upstream::prompt(address))
        .env("XDG_CACHE_HOME", oneflight.with_file_name("bench-cache"));
    Server::start(&mut command, "listening on http://")
}

fn same_release(wasmtime: &Path) -> bool {
    let output = Command::new(wasmtime).arg("--version").output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    said.is_ok_and(|said| said.split_whitespace().nth(1) == Some(env!("WASMTIME_VERSION")))
}

fn wasmtime_serve(wasmtime: &Path, address: &str) -> anyhow::Result<Server> {
    let mut command = Command::new(wasmtime);
    command
        // A guest's toolchain links all of WASI, which it offers only when it is told so.
        .args(["serve", "--addr", "127.0.0.1:0", "-Scli", "--env"])
        .args([&format!("UPSTREAM={address}"), env!("PROXY_COMPONENT")]);
    Server::start(&mut command, "Serving HTTP on http://")
}

/// A caller that keeps its connection.
struct Connection {
    http: SendRequest<Empty<Bytes>>,
    address: String,
    path: &'static str,
}

impl Connection {
    async fn open(address: &str, path: &'static str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (http, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let address = address.to_owned();
        Ok(Self {
            http,
            address,
            path,
        })
    }
}

impl Caller for Connection {
    async fn ask(&mut self, key: String) -> anyhow::Result<()> {
        let request = http::Request::get(format!("{}?x={key}", self.path))
            .header(http::header::HOST, &self.address)
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
