//! The real binary, as users run it.

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

pub use crate::binary::binary;
use crate::failsafe;

/// The command line `oneflight ARGS`, with nothing of this process's standard input, and with a folder
/// of the tests' own for what they compile: they neither use nor leave anything in their user's home.
///
/// # Panics
///
/// Never: the binary lies in `target/PROFILE`.
#[must_use]
pub fn oneflight(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    let target = binary().ancestors().nth(2).expect("target/PROFILE/BINARY");
    command
        .args(args)
        .env("XDG_CACHE_HOME", target.join("tmp/caches"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs `oneflight ARGS` to its end.
///
/// # Panics
///
/// When it does not start or end.
pub async fn run(args: &[&str]) -> Output {
    let output = oneflight(args).output();
    failsafe("oneflight to end", output)
        .await
        .expect("a process")
}

/// `oneflight serve`, listening; it is killed with this value.
#[derive(Debug)]
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
    /// Reads what it logs, all the while: a full pipe would hold it up.
    log: JoinHandle<String>,
}

impl Service {
    /// Starts `oneflight serve` with a free port and `args`, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it ends instead.
    pub async fn start(args: &[&str]) -> Self {
        let args = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
        let mut process = oneflight(&args)
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut stderr = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let address = loop {
            let line = failsafe("the service to listen", stderr.next_line()).await;
            let line = line
                .expect("text")
                .expect("a line that says where it listens");
            if let Some(url) = line.strip_prefix("listening on http://") {
                let address = url.split('/').next().expect("an address");
                break address.parse().expect("an address");
            }
        };
        let log = tokio::spawn(async move {
            let mut log = String::new();
            while let Some(line) = stderr.next_line().await.expect("text") {
                log += &line;
                log += "\n";
            }
            log
        });
        Self {
            address,
            process,
            log,
        }
    }

    /// Files, sockets and the like that it has open.
    ///
    /// # Panics
    ///
    /// When there is no such process any more.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let id = self.process.id().expect("a process that runs");
        let open = std::fs::read_dir(format!("/proc/{id}/fd"));
        open.expect("its descriptors").count()
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    ///
    /// When there is no such process any more.
    pub fn terminate(&self) {
        let id = self.process.id().expect("a process that runs").to_string();
        let sent = std::process::Command::new("kill")
            .args(["-TERM", &id])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// Waits for its end: the exit code, and what it logged since it began to listen.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let status = failsafe("the service to end", self.process.wait()).await;
        let log = failsafe("the end of its log", self.log).await;
        (status.expect("a status").code(), log.expect("a log"))
    }
}
