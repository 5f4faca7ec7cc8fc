//! The real binary, as users run it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use http::StatusCode;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use crate::binary::binary;
use crate::caller::get;
use crate::folder::Folder;
use crate::{FAILSAFE, failsafe};

/// The command `oneflight ARGS`, without standard input and with a compile cache in the target folder: tests
/// neither use nor change the home folder of their user.
///
/// # Panics
///
/// Never: the binary is in `target/PROFILE`.
#[must_use]
pub fn oneflight(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    let target = binary().ancestors().nth(2).expect("target/PROFILE/BINARY");
    command
        .args(args)
        .env("XDG_CACHE_HOME", target.join("tmp/caches"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    // A proxy of the machine that runs the tests would be warned of.
    for proxy in ["https_proxy", "http_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(proxy).env_remove(proxy.to_uppercase());
    }
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

/// Runs the test `name`, as the test binary lists it, in a separate process that does nothing else. Returns
/// `true` in that process.
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
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        printed.contains("1 passed"),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// The ids of the `wanted` processes, zombies included. `wanted` gets `/proc/ID` and the content of
/// `/proc/ID/stat`, with the name in brackets, the state and the parent.
///
/// # Panics
///
/// When there is no `/proc`.
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

/// Whether a process with this `/proc/ID/stat` is a child of `parent`.
#[must_use]
pub fn is_child_of(parent: u32, stat: &str) -> bool {
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    after_name.split(' ').nth(1) == Some(&parent.to_string())
}

/// The names of the threads of the process `/proc/ID`; none if there is no such process.
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

/// Limits of a service that no test reaches: no flight, answer or idle connection is cut off because the machine
/// is busy.
pub const PATIENT: &str =
    "[limits]\nheader_timeout = '1h'\nshutdown_grace = '1h'\nshutdown_write_timeout = '1h'\n";

/// Reads what a service prints until it listens for its first client: the public and the admin address.
///
/// # Panics
///
/// When it exits instead, or has no admin address.
pub async fn listening(stderr: &mut Lines<BufReader<ChildStderr>>) -> (SocketAddr, SocketAddr) {
    let mut admin = None;
    loop {
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
            let admin = admin.expect("a line that says where it is administered");
            return (address(url), admin);
        }
    }
}

/// Starts `oneflight serve` with free ports and `args` in a shell that has run `limit` before, as in `ulimit -n 64`, and
/// waits until it listens for its first client.
///
/// # Panics
///
/// When it exits instead.
pub async fn limited(limit: &str, args: &[&str]) -> Service {
    let free = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let inner = oneflight(&[&free, args].concat());
    let inner = inner.as_std();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{limit} && exec \"$0\" \"$@\"")])
        .arg(inner.get_program())
        .args(inner.get_args())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for (name, value) in inner.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    Service::spawn(shell, None).await
}

/// Sends a signal, such as `-TERM`, to a process.
///
/// # Panics
///
/// When there is no such process.
pub fn signal(process: u32, signal: &str) {
    let sent = std::process::Command::new("kill")
        .args([signal, &process.to_string()])
        .status();
    assert!(sent.expect("kill").success());
}

/// A running `oneflight serve`; dropping this value kills it.
#[derive(Debug)]
pub struct Service {
    /// The public address.
    pub address: SocketAddr,
    /// The admin address.
    pub admin: SocketAddr,
    process: Child,
    /// Contains the file with its limits, if the service has one.
    _folder: Option<Folder>,
    /// The log since it began to listen. A task reads it all the time: a full pipe would block the process.
    log: watch::Receiver<String>,
    reading: JoinHandle<()>,
}

impl Service {
    /// Starts `oneflight serve ARGS`, with no other flag and no file, and waits until it listens for its first client.
    /// `args` set the public and the admin address.
    ///
    /// # Panics
    ///
    /// When it exits instead.
    pub async fn start_plain(args: &[&str]) -> Self {
        Self::spawn(oneflight(&[&["serve"], args].concat()), None).await
    }

    /// Starts `oneflight serve` with free ports and `args`, and waits until it listens for its first client. Unless
    /// `args` name a configuration file, its limits on time are an hour.
    ///
    /// # Panics
    ///
    /// When it exits instead.
    pub async fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[]).await
    }

    /// The same, with these environment variables.
    ///
    /// # Panics
    ///
    /// When it exits instead.
    pub async fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let free = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let folder = Folder::new();
        let patient = folder.write("patient.toml", PATIENT.as_bytes());
        let patient = ["--config", &patient, "--flight-timeout", "1h"];
        let patient = if args.contains(&"--config") {
            &[][..]
        } else {
            &patient
        };
        let mut command = oneflight(&[&free, patient, args].concat());
        command.envs(variables.iter().copied());
        Self::spawn(command, Some(folder)).await
    }

    /// Starts `oneflight dev ARGS`, and waits until its service listens. `args` set the public and the admin address.
    ///
    /// # Panics
    ///
    /// When it exits instead.
    pub async fn start_dev(args: &[&str]) -> Self {
        Self::spawn(oneflight(&[&["dev"], args].concat()), None).await
    }

    async fn spawn(mut command: Command, folder: Option<Folder>) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().expect("a process");
        let mut stderr = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let (address, admin) = listening(&mut stderr).await;
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
            admin,
            process,
            _folder: folder,
            log,
            reading,
        }
    }

    /// Waits until `/readyz` is 200: all its clients are loaded.
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
            let is_so = |metrics: &[u8]| String::from_utf8_lossy(metrics).contains(&line);
            while !is_so(get(self.admin, "/metrics").await.body()) {}
        })
        .await;
    }

    /// Waits until the log since it began to listen contains `text`.
    ///
    /// # Panics
    ///
    /// When the process exits first, or at the failsafe.
    pub async fn logged(&self, text: &str) {
        let mut log = self.log.clone();
        let logged = timeout(FAILSAFE, log.wait_for(|log| log.contains(text))).await;
        let is_logged = matches!(logged, Ok(Ok(_)));
        assert!(is_logged, "{text:?} is not in {}", *self.log.borrow());
    }

    /// Its process id.
    ///
    /// # Panics
    ///
    /// When the process has exited.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id().expect("a process that runs")
    }

    /// The number of its open file descriptors.
    ///
    /// # Panics
    ///
    /// When the process has exited.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.id()));
        open.expect("its descriptors").count()
    }

    /// The names of its threads.
    ///
    /// # Panics
    ///
    /// When the process has exited.
    #[must_use]
    pub fn threads(&self) -> Vec<String> {
        threads(Path::new(&format!("/proc/{}", self.id())))
    }

    /// Sends SIGTERM.
    ///
    /// # Panics
    ///
    /// When the process has exited.
    pub fn terminate(&self) {
        signal(self.id(), "-TERM");
    }

    /// Sends SIGHUP.
    ///
    /// # Panics
    ///
    /// When the process has exited.
    pub fn hang_up(&self) {
        signal(self.id(), "-HUP");
    }

    /// Waits until it exits; returns the exit code, and the log since it began to listen.
    ///
    /// # Panics
    ///
    /// When it does not exit.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        let status = failsafe("the service to end", self.process.wait()).await;
        failsafe("the end of its log", &mut self.reading)
            .await
            .expect("a log");
        (status.expect("a status").code(), self.log.borrow().clone())
    }
}

impl Drop for Service {
    /// A test that fails prints what its service logged, and whether it had exited.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let status = self.process.try_wait();
            eprintln!(
                "the service's status: {status:?}; its log:\n{}",
                *self.log.borrow()
            );
        }
    }
}
