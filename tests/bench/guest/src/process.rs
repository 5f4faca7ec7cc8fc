//! Other processes: this program again, and servers that say where they listen.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::Context;

/// This program, with these arguments.
pub(crate) fn this(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

/// A server, until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// `host:port`.
    pub(crate) address: String,
    process: Child,
}

impl Server {
    /// Starts it, and waits until it says `listening` and an address on its standard error.
    pub(crate) fn start(command: &mut Command, listening: &str) -> anyhow::Result<Self> {
        let started = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut process = started.with_context(|| format!("start {command:?}"))?;
        let stderr = process.stderr.take().context("a pipe")?;
        // Before anything can fail, so that it ends whatever happens.
        let mut server = Self {
            address: String::new(),
            process,
        };
        let mut stderr = BufReader::new(stderr);
        let mut said = String::new();
        while server.address.is_empty() {
            let from = said.len();
            anyhow::ensure!(
                stderr.read_line(&mut said)? > 0,
                "{command:?} ended: {said}"
            );
            if let Some(address) = said[from..].strip_prefix(listening) {
                let end = address.find(['/', '\n']).unwrap_or(address.len());
                server.address = address[..end].to_owned();
            }
        }
        // A full pipe would hold it up.
        thread::spawn(move || io::copy(&mut stderr, &mut io::sink()));
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
