//! Servers of other languages' standard libraries, as the upstream: a script that prints its port.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::failsafe;

/// A server on loopback; dropping this value ends it.
#[derive(Debug)]
pub struct ScriptServer {
    port: u16,
    _process: Child,
}

impl ScriptServer {
    /// Runs `program ARGS`, such as `node -e SCRIPT`, and reads the port that it prints.
    ///
    /// # Panics
    ///
    /// When the program is not installed, or prints no port.
    pub async fn start(program: &str, args: &[&str]) -> Self {
        let mut process = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let stdout = process.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let line = failsafe("the server to listen", lines.next_line()).await;
        let line = line.expect("text").expect("a line with the port");
        Self {
            port: line.parse().expect("a port"),
            _process: process,
        }
    }

    /// `SCHEME://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }
}
