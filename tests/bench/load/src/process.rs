//! A process that was started here: where it listens, what it uses, and its end.
//!
//! It ends with its value, whatever else happens: by its id, first asked and then, with those that it
//! started, killed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, copy, sink};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// The longest that a process takes to listen.
const STARTING: Duration = Duration::from_secs(20);

/// The longest that one takes to end when asked.
const ENDING: Duration = Duration::from_secs(5);

/// What says on stderr that a process listens, as `oneflight serve` says it.
const LISTENING: &str = "listening on http://";

/// Says so.
pub(crate) fn listening(address: SocketAddr) {
    eprintln!("{LISTENING}{address}/");
}

/// A process and those that it started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    id: u32,
    /// Nanoseconds of each thread when last seen: what one has used stays counted when it ends.
    used: RefCell<HashMap<OsString, u64>>,
}

impl Process {
    /// Starts one that says where it listens.
    pub(crate) async fn start(mut command: Command) -> anyhow::Result<(Self, SocketAddr)> {
        let mut process = Self::spawn(command.stderr(Stdio::piped()))?;
        let mut lines = BufReader::new(process.child.stderr.take().context("a pipe")?).lines();
        let address = async {
            loop {
                let line = lines.next_line().await?.context("it ended")?;
                if let Some(url) = line.strip_prefix(LISTENING) {
                    let address = url.split('/').next().unwrap_or_default();
                    return address.parse().context("an address");
                }
            }
        };
        let address: anyhow::Result<SocketAddr> = timeout(STARTING, address).await?;
        // A full pipe would hold it up.
        tokio::spawn(async move { copy(&mut lines.into_inner(), &mut sink()).await });
        Ok((process, address?))
    }

    /// Starts one that was told to listen at `address`.
    pub(crate) async fn start_at(
        mut command: Command,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Self::spawn(&mut command)?;
        let mut stderr = process.child.stderr.take().context("a pipe")?;
        let said = tokio::spawn(async move {
            let mut said = Vec::new();
            stderr.read_to_end(&mut said).await.map(|_| said)
        });
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = process.child.try_wait()? {
                let said = String::from_utf8(said.await??)?;
                bail!("it ended with {status}: {}", said.trim());
            }
            if started.elapsed() > STARTING {
                bail!("it did not listen within {STARTING:?}");
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

    /// Processor time so far, of all its processes' threads, as the scheduler counts it in nanoseconds:
    /// `/proc/PID/stat` has ticks of 10 ms, which is as much as a whole herd may take.
    pub(crate) fn cpu(&self) -> Duration {
        let mut used = self.used.borrow_mut();
        let threads = self.all().into_iter().flat_map(|id| {
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

    /// Memory that its processes hold, in KiB; a page that several share is counted once.
    pub(crate) fn resident(&self) -> u64 {
        let shares = self.all().into_iter().filter_map(|id| {
            let memory = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
            figure(&memory, "Pss:")
        });
        shares.sum()
    }

    /// Waits until it does next to nothing, or for `most`.
    pub(crate) async fn settle(&self, most: Duration) {
        let started = Instant::now();
        let mut before = self.cpu();
        while started.elapsed() < most {
            sleep(Duration::from_millis(20)).await;
            let now = self.cpu();
            if now - before < Duration::from_millis(1) {
                return;
            }
            before = now;
        }
    }

    /// Its id and those of all that it started, itself first.
    fn all(&self) -> Vec<u32> {
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
        let mut all = vec![self.id];
        let mut next = 0;
        while let Some(id) = all.get(next) {
            all.extend(children.get(id).into_iter().flatten());
            next += 1;
        }
        all
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let signal = |id: u32, signal| {
            let id = i32::try_from(id).ok().and_then(Pid::from_raw);
            // One that has ended since has nothing to be told.
            id.map(|id| kill_process(id, signal))
        };
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let all = self.all();
        signal(self.id, Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < ENDING {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        for id in all {
            signal(id, Signal::KILL);
        }
        while matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The number after `name` in one of the kernel's lists.
pub(crate) fn figure(list: &str, name: &str) -> Option<u64> {
    let line = list.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
