//! The real binary, as users run it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use http::StatusCode;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use crate::binary::binary;
use crate::caller::get;
use crate::{FAILSAFE, failsafe};

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

/// Runs the test `name`, as the test binary lists it, in a process of its own, which does nothing else;
/// `true` says that this is that process.
///
/// # Panics
///
/// When the test fails there, or there is no such test.
pub async fn alone(name: &str) -> bool {
    const ALONE: &str = "ONEFLIGHT_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|alone| alone == name) {
        return true;
    }
    let output = Command::new(std::env::current_exe().expect("the path of this test"))
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, name)
        .kill_on_drop(true)
        .output();
    let output = output.await.expect("a process");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// The processes of which this is true: of their `/proc/ID` and what `/proc/ID/stat` says, the name in
/// brackets, the state and the parent among it. Zombies are processes.
///
/// # Panics
///
/// Where the system does not tell.
pub fn processes(wanted: impl Fn(&Path, &str) -> bool) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("Linux");
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let id = path.file_name()?.to_str()?.parse().ok()?;
            let stat = fs::read_to_string(path.join("stat")).ok()?;
            wanted(&path, &stat).then_some(id)
        })
        .collect()
}

/// Whether a process of which `/proc/ID/stat` says this was started by `parent`.
#[must_use]
pub fn is_child_of(parent: u32, stat: &str) -> bool {
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    after_name.split(' ').nth(1) == Some(&parent.to_string())
}

/// The names of the threads of the process that is `/proc/ID`; none, where there is no such process.
#[must_use]
pub fn threads(process: &Path) -> Vec<String> {
    let Ok(threads) = fs::read_dir(process.join("task")) else {
        return vec![];
    };
    let name = |thread: PathBuf| fs::read_to_string(thread.join("comm"));
    threads
        .filter_map(|thread| name(thread.ok()?.path()).ok())
        .map(|name| name.trim_end().to_owned())
        .collect()
}

/// `oneflight serve`, listening; it is killed with this value.
#[derive(Debug)]
pub struct Service {
    /// Where callers ask.
    pub address: SocketAddr,
    /// Where its operator asks.
    pub admin: SocketAddr,
    process: Child,
    /// What it logged since it began to listen. It is read all the while: a full pipe would hold it up.
    log: watch::Receiver<String>,
    reading: JoinHandle<()>,
}

impl Service {
    /// Starts `oneflight serve` with free ports and `args`, and waits until its client answers.
    ///
    /// # Panics
    ///
    /// When it ends instead.
    pub async fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[]).await
    }

    /// The same, with these in its environment.
    ///
    /// # Panics
    ///
    /// When it ends instead.
    pub async fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let free = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let args = [&free, args].concat();
        let mut process = oneflight(&args)
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut stderr = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let mut admin = None;
        let address = loop {
            let line = failsafe("the service to listen", stderr.next_line()).await;
            let line = line
                .expect("text")
                .expect("a line that says where it listens");
            let address = |url: &str| {
                let address = url.split('/').next().expect("an address");
                address.parse().expect("an address")
            };
            if let Some(url) = line.strip_prefix("administration on http://") {
                admin = Some(address(url));
            }
            if let Some(url) = line
                .strip_prefix("listening on ")
                .and_then(|url| url.split_once("://"))
                .map(|(_, url)| url)
            {
                break address(url);
            }
        };
        let (written, log) = watch::channel(String::new());
        let reading = tokio::spawn(async move {
            while let Some(line) = stderr.next_line().await.expect("text") {
                written.send_modify(|log| {
                    *log += &line;
                    *log += "\n";
                });
            }
        });
        Self {
            address,
            admin: admin.expect("a line that says where it is administered"),
            process,
            log,
            reading,
        }
    }

    /// Waits until it says that it is ready: all its clients answer.
    pub async fn ready(&self) {
        failsafe("the service to be ready", async {
            while get(self.address, "/readyz").await.status() != StatusCode::OK {}
        })
        .await;
    }

    /// Waits until this many callers of the client `name` wait for a flight.
    pub async fn waiting(&self, name: &str, callers: usize) {
        let line = format!("oneflight_callers_waiting{{client=\"{name}\"}} {callers}\n");
        failsafe("the callers to wait", async {
            let is_so = |figures: &[u8]| String::from_utf8_lossy(figures).contains(&line);
            while !is_so(get(self.admin, "/metrics").await.body()) {}
        })
        .await;
    }

    /// Waits until it has logged `text`, since it began to listen.
    ///
    /// # Panics
    ///
    /// When it ends before, or does not come to it.
    pub async fn logged(&self, text: &str) {
        let mut log = self.log.clone();
        let logged = timeout(FAILSAFE, log.wait_for(|log| log.contains(text))).await;
        let is_logged = matches!(logged, Ok(Ok(_)));
        assert!(is_logged, "{text:?} is not in {}", *self.log.borrow());
    }

    /// Its number among the system's processes.
    ///
    /// # Panics
    ///
    /// When there is no such process any more.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id().expect("a process that runs")
    }

    /// Files, sockets and the like that it has open.
    ///
    /// # Panics
    ///
    /// When there is no such process any more.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.id()));
        open.expect("its descriptors").count()
    }

    /// The names of its threads.
    ///
    /// # Panics
    ///
    /// When there is no such process any more.
    #[must_use]
    pub fn threads(&self) -> Vec<String> {
        threads(Path::new(&format!("/proc/{}", self.id())))
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    ///
    /// When there is no such process any more.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends SIGHUP.
    ///
    /// # Panics
    ///
    /// When there is no such process any more.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill")
            .args([signal, &self.id().to_string()])
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
        failsafe("the end of its log", self.reading)
            .await
            .expect("a log");
        (status.expect("a status").code(), self.log.borrow().clone())
    }
}
