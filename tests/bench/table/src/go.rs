//! The Go program beside this one: golang.org/x/sync/singleflight under the same loads, asked for one
//! turn at a time so that it takes part in the rounds.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::crowd::Crowd;
use crate::effort::ZipfLoad;
use crate::work::Pace;
use crate::zipf::Tally;

/// The Go program, waiting to be asked. It ends when this is dropped and its input with it.
#[derive(Debug)]
pub struct Go {
    pipes: RefCell<Pipes>,
    _process: Child,
}

#[derive(Debug)]
struct Pipes {
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

#[derive(Debug, Deserialize)]
struct PerCall {
    nanos: f64,
}

impl Go {
    /// What it is called in a table.
    pub const NAME: &'static str = "Go singleflight";

    /// Builds the program in `scratch` and starts it.
    ///
    /// # Errors
    ///
    /// Go is missing, or golang.org/x/sync is.
    pub fn start(scratch: &Path) -> anyhow::Result<Self> {
        let binary = scratch.join("singleflight-go");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/go/main.go");
        let built = Command::new("go")
            .args(["build", "-o"])
            .args([binary.as_path(), Path::new(source)])
            // Where Debian's golang-golang-x-sync-dev has it.
            .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode")])
            .env("GOCACHE", scratch.join("go-cache"))
            .output()
            .context("go, install golang-go")?;
        let said = String::from_utf8_lossy(&built.stderr);
        ensure!(
            built.status.success(),
            "go, install golang-golang-x-sync-dev: {said}"
        );
        let mut process = Command::new(binary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the Go program")?;
        let requests = process.stdin.take().context("a pipe to the Go program")?;
        let replies = process.stdout.take();
        let replies = BufReader::new(replies.context("a pipe from the Go program")?);
        Ok(Self {
            pipes: RefCell::new(Pipes { requests, replies }),
            _process: process,
        })
    }

    /// Nanoseconds per call of callers that meet nobody.
    ///
    /// # Errors
    ///
    /// The program has failed.
    pub fn uncontended(&self, callers: u64, pace: Pace, calls: u64) -> anyhow::Result<f64> {
        let pace = pace.name();
        let reply: PerCall = self.ask(&format!("uncontended {callers} {pace} {calls}"))?;
        Ok(reply.nanos)
    }

    /// Crowds of goroutines, each on one key.
    ///
    /// # Errors
    ///
    /// The program has failed.
    pub fn crowd(&self, callers: usize, crowds: usize) -> anyhow::Result<Crowd> {
        self.ask(&format!("crowd {callers} {crowds}"))
    }

    /// A load of keys by Zipf's law.
    ///
    /// # Errors
    ///
    /// The program has failed.
    pub fn zipf(&self, load: &ZipfLoad, workers: usize) -> anyhow::Result<Tally> {
        let ZipfLoad {
            keys,
            callers,
            calls_each,
        } = load;
        self.ask(&format!("zipf {workers} {keys} {callers} {calls_each}"))
    }

    fn ask<R: DeserializeOwned>(&self, request: &str) -> anyhow::Result<R> {
        let Pipes { requests, replies } = &mut *self.pipes.borrow_mut();
        let mut reply = String::new();
        writeln!(requests, "{request}").context("ask the Go program")?;
        replies
            .read_line(&mut reply)
            .context("hear from the Go program")?;
        serde_json::from_str(&reply).with_context(|| format!("the Go program said {reply:?}"))
    }
}
