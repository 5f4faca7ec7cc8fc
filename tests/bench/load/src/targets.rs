//! What is measured: each proxy as a process of its own, in front of one upstream.

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::process::Command;

use crate::process::Process;

/// What the others are compared with.
pub(crate) const FLOOR: &str = "floor";
/// Oneflight as it comes.
pub(crate) const ONEFLIGHT: &str = "oneflight";
/// Oneflight with `--reuse-instances`.
pub(crate) const REUSING: &str = "oneflight, reusing";

/// A proxy, or why there is none.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) running: Result<Running, String>,
}

/// A proxy that listens.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

/// Starts them all: oneflight is `binary`, and `folder` is for what they keep in files.
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
    Ok(vec![
        ours(FLOOR, itself(&["floor", &upstream_argument]).await)?,
        ours(ONEFLIGHT, oneflight(binary, upstream, folder, &[]).await)?,
        ours(
            REUSING,
            oneflight(binary, upstream, folder, &["--reuse-instances"]).await,
        )?,
        theirs("nginx", nginx(upstream, folder).await),
        theirs("Varnish", varnish(upstream, folder).await),
        theirs("HAProxy", haproxy(upstream, folder).await),
    ])
}

/// This program, as what `arguments` say.
pub(crate) async fn itself(arguments: &[&str]) -> anyhow::Result<(Process, SocketAddr)> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments);
    Process::start(command).await
}

async fn oneflight(
    binary: &Path,
    upstream: SocketAddr,
    folder: &Path,
    flags: &[&str],
) -> anyhow::Result<(Process, SocketAddr)> {
    let mut command = Command::new(binary);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .args(["--log", "off"])
        .args(["--base-url", &format!("http://{upstream}/items?x={{x}}")])
        .args(flags)
        .env("XDG_CACHE_HOME", folder.join("compiled"));
    Process::start(command).await
}

async fn nginx(upstream: SocketAddr, folder: &Path) -> anyhow::Result<Running> {
    let address = free()?;
    let text = include_str!("../nginx.conf")
        .replace("{listen}", &address.to_string())
        .replace("{upstream}", &upstream.to_string())
        .replace("{folder}", folder.to_str().context("a path in UTF-8")?);
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = Command::new(installed("nginx")?);
    command.arg("-c").arg(file);
    command.args(["-e", "stderr"]);
    running(command, address).await
}

async fn varnish(upstream: SocketAddr, folder: &Path) -> anyhow::Result<Running> {
    let address = free()?;
    let text = include_str!("../varnish.vcl")
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
    running(command, address).await
}

async fn haproxy(upstream: SocketAddr, folder: &Path) -> anyhow::Result<Running> {
    let address = free()?;
    let text = include_str!("../haproxy.cfg")
        .replace("{listen}", &address.to_string())
        .replace("{upstream}", &upstream.to_string());
    let file = folder.join("haproxy.cfg");
    fs::write(&file, text)?;
    let mut command = Command::new(installed("haproxy")?);
    command.args(["-db", "-q", "-f"]).arg(file);
    running(command, address).await
}

async fn running(command: Command, address: SocketAddr) -> anyhow::Result<Running> {
    let process = Process::start_at(command, address).await?;
    Ok(Running { process, address })
}

/// An address for somebody who has to be told one.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// Where a program is. Debian has servers where only root looks.
pub(crate) fn installed(program: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is not installed"))
}
