//! The Go program: golang.org/x/sync/singleflight under the same loads. It takes one turn per request, so that it
//! takes part in the rounds.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::loads::ZipfLoad;
use crate::samples::{CrowdSample, ZipfSample};
use crate::work::Pace;

/// The running Go program. It ends when this is dropped, because its input ends.
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
    /// Its name in tables.
    pub const NAME: &'static str = "Go singleflight";

    /// Builds the program in `scratch` and starts it.
    ///
    /// # Errors
    ///
    /// Go or golang.org/x/sync is not installed.
    pub fn start(scratch: &Path) -> anyhow::Result<Self> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/go/main.go");
        let binary = build(Path::new(source), scratch, "singleflight-go")?;
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

    /// Nanoseconds per call of callers with keys of their own.
    ///
    /// # Errors
    ///
    /// The program fails.
    pub fn uncontended(&self, callers: u64, pace: Pace, calls: u64) -> anyhow::Result<f64> {
        let pace = pace.name();
        let reply: PerCall = self.request(&format!("uncontended {callers} {pace} {calls}"))?;
        Ok(reply.nanos)
    }

    /// Crowds of goroutines, each with one key.
    ///
    /// # Errors
    ///
    /// The program fails.
    pub fn crowd(&self, callers: usize, crowds: usize) -> anyhow::Result<CrowdSample> {
        self.request(&format!("crowd {callers} {crowds}"))
    }

    /// Calls of keys by Zipf's law.
    ///
    /// # Errors
    ///
    /// The program fails.
    pub fn zipf(&self, load: &ZipfLoad, workers: usize) -> anyhow::Result<ZipfSample> {
        let ZipfLoad {
            keys,
            callers,
            calls_each,
        } = load;
        self.request(&format!("zipf {workers} {keys} {callers} {calls_each}"))
    }

    fn request<R: DeserializeOwned>(&self, request: &str) -> anyhow::Result<R> {
        let Pipes { requests, replies } = &mut *self.pipes.borrow_mut();
        let mut reply = String::new();
        writeln!(requests, "{request}").context("write to the Go program")?;
        replies
            .read_line(&mut reply)
            .context("read from the Go program")?;
        serde_json::from_str(&reply)
            .with_context(|| format!("expected JSON of the Go program, got {reply:?}"))
    }
}

/// Builds a Go program that uses golang.org/x/sync, as `name` in `scratch`.
///
/// # Errors
///
/// Go or golang.org/x/sync is not installed.
pub fn build(source: &Path, scratch: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let binary = scratch.join(name);
    let output = Command::new("go")
        .args(["build", "-o"])
        .args([&binary, source])
        // The GOPATH of Debian's golang-golang-x-sync-dev.
        .envs([("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode")])
        .env("GOCACHE", scratch.join("go-cache"))
        .output()
        .context("run go; install golang-go")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "go build failed; install golang-golang-x-sync-dev: {stderr}"
    );
    Ok(binary)
}
