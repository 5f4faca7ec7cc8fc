//! The processes of a benchmark: where one listens, what it uses, and how it ends.
//!
//! A process ends with its [`Process`]: with SIGTERM first; if it is still there after some seconds, it and
//! the processes that it started get SIGKILL. All of them are signalled by their ids.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, copy, sink};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::procfs::field;

/// The longest time until a process listens.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest time between SIGTERM and SIGKILL.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The start of the line on stderr with which `oneflight serve` announces its address.
pub const LISTENING: &str = "listening on http://";

/// Announces the address that this program listens on, as `oneflight serve` does.
pub fn announce(address: SocketAddr) {
    eprintln!("{LISTENING}{address}/");
}

/// The command that runs this program again, with `arguments`.
///
/// # Errors
///
/// The system does not tell the path of this program.
pub fn this_program(arguments: &[&str]) -> io::Result<std::process::Command> {
    let mut command = std::process::Command::new(env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

/// A process and its descendants.
#[derive(Debug)]
pub struct Process {
    child: Child,
    id: u32,
    /// Nanoseconds of each thread when last read: the time of a thread that has ended still counts.
    used: RefCell<HashMap<OsString, u64>>,
}

impl Process {
    /// Starts a server that announces its address on stderr, in a line that begins with `announcement` and
    /// goes on with `host:port`.
    ///
    /// # Errors
    ///
    /// It cannot be started, ends, or does not announce an address in time.
    pub async fn start(
        command: impl Into<Command>,
        announcement: &str,
    ) -> anyhow::Result<(Self, SocketAddr)> {
        let mut process = Self::spawn(command.into().stderr(Stdio::piped()))?;
        let mut lines = BufReader::new(process.child.stderr.take().context("a pipe")?).lines();
        let address = async {
            let mut output = String::new();
            loop {
                let Some(line) = lines.next_line().await? else {
                    bail!("the process ended before it listened: {}", output.trim());
                };
                if let Some(url) = line.strip_prefix(announcement) {
                    let address = url.split('/').next().unwrap_or_default();
                    let expected = || format!("expected HOST:PORT after {announcement:?}");
                    return address.parse().with_context(expected);
                }
                output = output + &line + "\n";
            }
        };
        let address: anyhow::Result<SocketAddr> = timeout(START_TIMEOUT, address)
            .await
            .with_context(|| format!("the process did not listen within {START_TIMEOUT:?}"))?;
        // Nothing else reads the pipe, and a full one would block the process.
        tokio::spawn(async move { copy(&mut lines.into_inner(), &mut sink()).await });
        Ok((process, address?))
    }

    /// Starts a server that is configured to listen on `address`.
    ///
    /// # Errors
    ///
    /// It cannot be started, ends, or does not listen in time.
    pub async fn start_at(
        command: impl Into<Command>,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let mut command = command.into();
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Self::spawn(&mut command)?;
        let mut stderr = process.child.stderr.take().context("a pipe")?;
        let output = tokio::spawn(async move {
            let mut output = Vec::new();
            stderr.read_to_end(&mut output).await.map(|_| output)
        });
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = process.child.try_wait()? {
                let output = String::from_utf8(output.await??)?;
                bail!("the process ended with {status}: {}", output.trim());
            }
            if started.elapsed() > START_TIMEOUT {
                bail!("the process did not listen within {START_TIMEOUT:?}");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(process)
    }

    fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).spawn();
        let name = Path::new(command.as_std().get_program()).display();
        let child = child.with_context(|| format!("start {name}"))?;
        let id = child.id().context("a process id")?;
        let used = RefCell::default();
        Ok(Self { child, id, used })
    }

    /// Processor time so far of all threads of all its processes, as the scheduler counts it in nanoseconds:
    /// `/proc/PID/stat` has ticks of 10 ms, and a whole herd may need no more than one.
    pub fn cpu(&self) -> Duration {
        let mut used = self.used.borrow_mut();
        let threads = self.tree().into_iter().flat_map(|id| {
            let threads = fs::read_dir(format!("/proc/{id}/task"));
            threads.into_iter().flatten().flatten()
        });
        for thread in threads {
            let stat = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            if let Some(nanos) = stat.split(' ').next().and_then(|nanos| nanos.parse().ok()) {
                used.insert(thread.file_name(), nanos);
            }
        }
        Duration::from_nanos(used.values().sum())
    }

    /// Memory of its processes in KiB (PSS: a page that several share counts once).
    pub fn resident(&self) -> u64 {
        let shares = self.tree().into_iter().filter_map(|id| {
            let memory = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
            field(&memory, "Pss:")
        });
        shares.sum()
    }

    /// Waits until it uses next to no processor time, or for at most `limit`.
    pub async fn settle(&self, limit: Duration) {
        let started = Instant::now();
        let mut before = self.cpu();
        while started.elapsed() < limit {
            sleep(Duration::from_millis(20)).await;
            let now = self.cpu();
            if now - before < Duration::from_millis(1) {
                return;
            }
            before = now;
        }
    }

    /// Its id and those of its descendants, its own first.
    fn tree(&self) -> Vec<u32> {
        let mut children = HashMap::<u32, Vec<u32>>::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // The name is in brackets and may hold anything; state and parent follow.
            let parent = stat
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
            let id = entry.file_name().to_str().and_then(|id| id.parse().ok());
            if let (Some(parent), Some(id)) = (parent, id) {
                children.entry(parent).or_default().push(id);
            }
        }
        let mut tree = vec![self.id];
        let mut next = 0;
        while let Some(id) = tree.get(next) {
            tree.extend(children.get(id).into_iter().flatten());
            next += 1;
        }
        tree
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let signal = |id: u32, signal| {
            let id = i32::try_from(id).ok().and_then(Pid::from_raw);
            // An error is of a process that has ended since.
            id.map(|id| kill_process(id, signal))
        };
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let tree = self.tree();
        signal(self.id, Signal::TERM);
        let terminated = Instant::now();
        while terminated.elapsed() < END_TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        for id in tree {
            signal(id, Signal::KILL);
        }
        while matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}
