//! The service as a process, and what it holds.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use oneflight_tests::caller::get;
use oneflight_tests::process::{listening, oneflight, signal, threads};
use oneflight_tests::{failsafe, memory};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::world::World;
use crate::rest::Levels;

/// How long the log is read, and then not read.
const READING: Duration = Duration::from_secs(1);

/// `oneflight serve`; dropping this value kills it.
pub(super) struct Service {
    pub(super) address: SocketAddr,
    admin: SocketAddr,
    process: Child,
    reader: JoinHandle<()>,
}

impl Service {
    pub(super) async fn start(world: &World) -> Self {
        let file = world.file();
        let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut process = oneflight(&[&["serve", "--config", file], &ports[..]].concat())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut log = BufReader::new(process.stderr.take().expect("a pipe")).lines();
        let (address, admin) = listening(&mut log).await;
        let reader = tokio::spawn(async move {
            loop {
                let read = async { while let Ok(Some(_)) = log.next_line().await {} };
                if tokio::time::timeout(READING, read).await.is_ok() {
                    return;
                }
                sleep(READING).await;
            }
        });
        let service = Self {
            address,
            admin,
            process,
            reader,
        };
        let ready = async { while !get(address, "/readyz").await.status().is_success() {} };
        failsafe("the service to be ready", ready).await;
        service
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id().expect("a process that runs")
    }

    /// Resident memory, in bytes.
    pub(super) fn resident(&self) -> usize {
        memory::resident(&self.id().to_string())
    }

    pub(super) async fn levels(&self) -> ServiceLevels {
        // Before the request, which opens a connection.
        let process = format!("/proc/{}", self.id());
        let descriptors = std::fs::read_dir(format!("{process}/fd"));
        let descriptors = descriptors.expect("its descriptors").count();
        let threads = threads(process.as_ref()).len();
        let metrics = get(self.admin, "/metrics").await;
        let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
        let sum = |name: &str| {
            let lines = metrics.lines().filter(|line| line.starts_with(name));
            let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok());
            values.sum()
        };
        ServiceLevels {
            resident: self.resident(),
            callers: sum("oneflight_callers_waiting{"),
            flights: sum("oneflight_flights_waiting{") + sum("oneflight_flights_running{"),
            idle: sum("oneflight_instances_idle{"),
            connections: sum("oneflight_upstream_connections{"),
            tasks: sum("oneflight_tasks "),
            threads,
            descriptors,
        }
    }

    /// Ends it with SIGTERM; returns its exit code.
    pub(super) async fn ended(mut self) -> Option<i32> {
        signal(self.id(), "-TERM");
        let status = failsafe("the service to end", self.process.wait()).await;
        self.reader.abort();
        status.expect("a status").code()
    }
}

/// What the service holds at a moment.
pub(super) struct ServiceLevels {
    /// In bytes.
    resident: usize,
    callers: usize,
    flights: usize,
    idle: usize,
    connections: usize,
    tasks: usize,
    threads: usize,
    descriptors: usize,
}

impl Levels for ServiceLevels {
    fn resident(&self) -> usize {
        self.resident
    }

    fn open(&self) -> usize {
        self.callers + self.flights + self.idle + self.connections
    }

    fn held(&self) -> Vec<usize> {
        vec![self.tasks, self.threads, self.descriptors]
    }

    fn rows(&self) -> Vec<(&'static str, usize)> {
        vec![
            ("resident memory, KiB", self.resident >> 10),
            ("callers", self.callers),
            ("flights", self.flights),
            ("instances kept", self.idle),
            ("connections", self.connections),
            ("tasks", self.tasks),
            ("threads", self.threads),
            ("descriptors", self.descriptors),
        ]
    }
}
