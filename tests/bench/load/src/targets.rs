//! The targets: each proxy is a separate process, in front of one upstream.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use harness::machine::installed;
use harness::oneflight;
use harness::process::{LISTENING, Process, this_program};

/// The target that the others are compared with.
pub(crate) const FLOOR: &str = "floor";
/// Oneflight with its default settings.
pub(crate) const ONEFLIGHT: &str = "oneflight";
/// Oneflight with `--reuse-instances`.
pub(crate) const REUSING: &str = "oneflight, reusing";

/// A proxy, or why it is missing.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) running: Result<Running, String>,
}

/// A proxy that listens.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// Starts all targets: oneflight is `binary`, and `folder` is for the files of all of them.
pub(crate) async fn start(
    upstream: SocketAddr,
    binary: &Path,
    folder: &Path,
) -> anyhow::Result<Vec<Target>> {
    let ours = |name, started: anyhow::Result<_>| {
        let (process, address) = started.with_context(|| format!("start {name}"))?;
        let running = Ok(Running { process, address });
        anyhow::Ok(Target { name, running })
    };
    let theirs = |name, started: anyhow::Result<_>| Target {
        name,
        running: started.map_err(|missing| format!("{missing:#}")),
    };
    let upstream_argument = upstream.to_string();
    let serve = async |flags: &[&str]| {
        let base_url = format!("http://{upstream}/items?x={{x}}");
        let flags = ["--log", "off"].iter().chain(flags).copied();
        let command = oneflight::serve(binary, &base_url, &folder.join("compiled"), flags);
        Process::start(command, LISTENING).await
    };
    Ok(vec![
        ours(FLOOR, start_self(&["floor", &upstream_argument]).await)?,
        ours(ONEFLIGHT, serve(&[]).await)?,
        ours(REUSING, serve(&["--reuse-instances"]).await)?,
        theirs("nginx", nginx(upstream, folder).await),
        theirs("Varnish", varnish(upstream, folder).await),
        theirs("HAProxy", haproxy(upstream, folder).await),
    ])
}

/// Starts this program in another role.
pub(crate) async fn start_self(arguments: &[&str]) -> anyhow::Result<(Process, SocketAddr)> {
    Process::start(this_program(arguments)?, LISTENING).await
}

async fn nginx(upstream: SocketAddr, folder: &Path) -> anyhow::Result<Running> {
    let address = free_address()?;
    let text = include_str!("../configs/nginx.conf")
        .replace("{listen}", &address.to_string())
        .replace("{upstream}", &upstream.to_string())
        .replace("{folder}", folder.to_str().context("a path in UTF-8")?);
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = Command::new(installed("nginx")?);
    command.arg("-c").arg(file);
    command.args(["-e", "stderr"]);
    start_at(command, address).await
}

async fn varnish(upstream: SocketAddr, folder: &Path) -> anyhow::Result<Running> {
    let address = free_address()?;
    let text = include_str!("../configs/varnish.vcl")
        .replace("{host}", &upstream.ip().to_string())
        .replace("{port}", &upstream.port().to_string());
    let file = folder.join("varnish.vcl");
    fs::write(&file, text)?;
    let mut command = Command::new(installed("varnishd")?);
    command
        .args(["-F", "-a", &address.to_string(), "-s", "malloc,256m"])
        .arg("-n")
        .arg(folder.join("varnish"))
        .arg("-f")
        .arg(file);
    start_at(command, address).await
}

async fn haproxy(upstream: SocketAddr, folder: &Path) -> anyhow::Result<Running> {
    let address = free_address()?;
    let text = include_str!("../configs/haproxy.cfg")
        .replace("{listen}", &address.to_string())
        .replace("{upstream}", &upstream.to_string());
    let file = folder.join("haproxy.cfg");
    fs::write(&file, text)?;
    let mut command = Command::new(installed("haproxy")?);
    command.args(["-db", "-q", "-f"]).arg(file);
    start_at(command, address).await
}

async fn start_at(command: Command, address: SocketAddr) -> anyhow::Result<Running> {
    let process = Process::start_at(command, address).await?;
    Ok(Running { process, address })
}

/// A free address, for servers that do not report the one they choose.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
