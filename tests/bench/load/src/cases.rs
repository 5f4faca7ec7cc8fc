//! The cases: loads that every target gets, and one turn of each.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use harness::procfs;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::callers::{self, ANSWER_TIMEOUT, Call, Outcome};
use crate::key::{Behaviour, Key};
use crate::targets::{REUSING, Running};
use crate::upstream;

/// The upstream's time for the answer to a herd.
pub(crate) const HERD_DELAY: Duration = Duration::from_millis(100);

/// Connections of callers that call repeatedly.
const CONNECTIONS: usize = 64;

/// The longest wait until a target uses no processor time.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// A load that every target gets.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) behaviour: Behaviour,
    pub(crate) load: Load,
    pub(crate) rounds: usize,
}

/// What the callers do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Callers that request one key at once.
    Herd { callers: usize, scene: Scene },
    /// The same, with an answer that takes so long that the memory of waiting callers can be measured.
    Held { callers: usize, held: Duration },
    /// Repeated requests for one key on [`CONNECTIONS`].
    Hot { span: Duration },
    /// Repeated requests on [`CONNECTIONS`], each for a key of its own.
    Distinct { span: Duration },
}

/// What happens before and during a herd.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Nothing: the key was never requested before.
    Cold,
    /// The key was requested before, and the answer has just expired.
    Expired,
    /// One caller requests the key before the others, and leaves before the answer.
    FirstLeaves,
}

/// How much a run measures.
pub(crate) struct Effort {
    herds: &'static [usize],
    held: usize,
    hold: Duration,
    span: Duration,
    rounds: usize,
}

impl Effort {
    pub(crate) const FULL: Self = Self {
        herds: &[1_000, 4_000],
        held: 10_000,
        hold: Duration::from_secs(4),
        span: Duration::from_secs(2),
        rounds: 5,
    };

    /// Takes a minute. Its counts are valid; its times are not.
    pub(crate) const QUICK: Self = Self {
        herds: &[100],
        held: 200,
        hold: Duration::from_millis(500),
        span: Duration::from_millis(200),
        rounds: 1,
    };

    /// The open files of one process: one for each caller that is held, and 1,000 others. A target that shares
    /// nothing needs twice as many, as it has a connection to the upstream for each caller.
    pub(crate) fn descriptors(&self) -> u64 {
        self.held as u64 + 1_000
    }

    /// All cases. The held callers come first: later, targets hold memory of earlier cases.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let Self {
            held: callers,
            hold: held,
            span,
            rounds,
            ..
        } = *self;
        let case = |name: &str, behaviour, load, rounds| Case {
            name: name.to_owned(),
            behaviour,
            load,
            rounds,
        };
        let no_store = Behaviour::NoStore;
        let hold = Load::Held { callers, held };
        let name = format!("{callers} held");
        let mut cases = vec![case(&name, Behaviour::Cacheable, hold, 1)];
        for &callers in self.herds {
            for (name, behaviour, scene) in [
                ("", Behaviour::Cacheable, Scene::Cold),
                (", no-store", no_store, Scene::Cold),
                (", 500", Behaviour::Fails, Scene::Cold),
                (", closed before", Behaviour::ClosedBefore, Scene::Cold),
                (", closed midway", Behaviour::ClosedMidway, Scene::Cold),
                (", just expired", Behaviour::Expiring, Scene::Expired),
                (", first leaves", Behaviour::Cacheable, Scene::FirstLeaves),
            ] {
                let load = Load::Herd { callers, scene };
                cases.push(case(
                    &format!("herd of {callers}{name}"),
                    behaviour,
                    load,
                    rounds,
                ));
            }
        }
        cases.push(case(
            "hot key, no-store",
            no_store,
            Load::Hot { span },
            rounds,
        ));
        let distinct = Load::Distinct { span };
        cases.push(case("distinct keys, no-store", no_store, distinct, rounds));
        cases
    }
}

/// The result of one turn of a case with one target.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Requests that the upstream received.
    pub(crate) requests: u32,
    /// The callers' outcomes.
    pub(crate) outcomes: BTreeMap<Outcome, usize>,
    /// The callers' times, shortest first.
    pub(crate) times: Vec<Duration>,
    /// Processor time of the target for one caller.
    pub(crate) cpu: Duration,
    /// Answers per second, if callers call repeatedly.
    pub(crate) rate: Option<f64>,
    /// The memory of a caller that is held.
    pub(crate) memory: Option<Memory>,
}

/// KiB for one caller that is held.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    /// In the target's processes.
    pub(crate) resident: f64,
    /// In the kernel, for the target's end of the connection.
    pub(crate) socket: f64,
}

impl Case {
    /// Whether the case applies to a target. The one that differs only in its guest instances gets only the
    /// case with many flights.
    pub(crate) fn is_for(&self, target: &str) -> bool {
        target != REUSING || matches!(self.load, Load::Distinct { .. })
    }

    /// Applies the load to one target, once.
    pub(crate) async fn turn(
        &self,
        target: &Running,
        upstream: SocketAddr,
    ) -> anyhow::Result<Turn> {
        match self.load {
            Load::Herd { callers, scene } => self.herd(target, upstream, callers, scene).await,
            Load::Held { callers, held } => self.held(target, upstream, callers, held).await,
            Load::Hot { span } => {
                let delay = Duration::from_millis(10);
                let key = Key::unused(self.behaviour, delay);
                self.repeated(target, upstream, span, move || key).await
            }
            Load::Distinct { span } => {
                let behaviour = self.behaviour;
                let key = move || Key::unused(behaviour, Duration::ZERO);
                self.repeated(target, upstream, span, key).await
            }
        }
    }

    async fn herd(
        &self,
        target: &Running,
        upstream: SocketAddr,
        callers: usize,
        scene: Scene,
    ) -> anyhow::Result<Turn> {
        let key = Key::unused(self.behaviour, HERD_DELAY);
        if scene == Scene::Expired {
            single(target, key).await?;
            // It is fresh for one second, and nginx counts in whole seconds.
            sleep(Duration::from_millis(2_100)).await;
        }
        let connections = callers::connect(target.address, callers).await?;
        target.process.settle(SETTLE_LIMIT).await;
        let (before, cpu) = (upstream::requests(upstream).await?, target.process.cpu());
        if scene == Scene::FirstLeaves {
            leave_early(target, upstream, key, before).await?;
        }
        let calls = callers::herd(connections, key, before).await;
        target.process.settle(SETTLE_LIMIT).await;
        let cpu = target.process.cpu() - cpu;
        Ok(Turn::new(
            calls,
            upstream::requests(upstream).await? - before,
            cpu,
        ))
    }

    async fn held(
        &self,
        target: &Running,
        upstream: SocketAddr,
        callers: usize,
        held: Duration,
    ) -> anyhow::Result<Turn> {
        single(target, Key::unused(self.behaviour, Duration::ZERO)).await?;
        target.process.settle(SETTLE_LIMIT).await;
        let (before, cpu) = (upstream::requests(upstream).await?, target.process.cpu());
        let memory_before = (target.process.resident(), sockets()?);
        let key = Key::unused(self.behaviour, held);
        // Each batch sends its requests before the next connects: a target may close idle connections.
        let mut herds = JoinSet::new();
        for size in callers::batches(callers) {
            let connections = callers::connect(target.address, size).await?;
            herds.spawn(callers::herd(connections, key, before));
        }
        sleep(held / 4).await;
        target.process.settle(held / 4).await;
        let memory_after = (target.process.resident(), sockets()?);
        let calls = herds.join_all().await.concat();
        let each = |before: u64, after: u64| (after as f64 - before as f64) / callers as f64;
        let memory = Memory {
            resident: each(memory_before.0, memory_after.0),
            // Half: the callers' ends are in the same kernel.
            socket: each(memory_before.1, memory_after.1) / 2.0,
        };
        let cpu = target.process.cpu() - cpu;
        let requests = upstream::requests(upstream).await? - before;
        Ok(Turn {
            memory: Some(memory),
            ..Turn::new(calls, requests, cpu)
        })
    }

    async fn repeated(
        &self,
        target: &Running,
        upstream: SocketAddr,
        span: Duration,
        key: impl Fn() -> Key + Copy + Send + 'static,
    ) -> anyhow::Result<Turn> {
        let connections = callers::connect(target.address, CONNECTIONS).await?;
        target.process.settle(SETTLE_LIMIT).await;
        let (before, cpu) = (upstream::requests(upstream).await?, target.process.cpu());
        let began = Instant::now();
        let calls = callers::call_repeatedly(connections, key, span).await;
        let (elapsed, cpu) = (began.elapsed(), target.process.cpu() - cpu);
        let answers = calls
            .iter()
            .filter(|call| call.outcome == Outcome::Status(200));
        let rate = answers.count() as f64 / elapsed.as_secs_f64();
        let requests = upstream::requests(upstream).await? - before;
        Ok(Turn {
            rate: Some(rate),
            ..Turn::new(calls, requests, cpu)
        })
    }
}

impl Turn {
    fn new(calls: Vec<Call>, requests: u32, cpu: Duration) -> Self {
        let mut outcomes = BTreeMap::new();
        for call in &calls {
            *outcomes.entry(call.outcome).or_default() += 1;
        }
        let mut times: Vec<_> = calls.into_iter().map(|call| call.time).collect();
        times.sort_unstable();
        let callers = u32::try_from(times.len()).unwrap_or(u32::MAX);
        Self {
            requests,
            outcomes,
            times,
            cpu: cpu.checked_div(callers).unwrap_or_default(),
            rate: None,
            memory: None,
        }
    }

    /// The time within which this fraction of the callers had an answer.
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let rank = (self.times.len() as f64 * part).ceil() as usize;
        let time = self.times.get(rank.saturating_sub(1));
        time.copied().unwrap_or_default()
    }
}

/// A call of a single caller.
async fn single(target: &Running, key: Key) -> anyhow::Result<()> {
    for mut connection in callers::connect(target.address, 1).await? {
        ensure!(connection.send(key).await, "a request could not be sent");
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let outcome = connection.answer(0, deadline).await;
        ensure!(
            outcome == Outcome::Status(200),
            "expected status 200, got {outcome:?}"
        );
    }
    Ok(())
}

/// One caller sends a request, and closes its connection after half of the upstream's time. Returns when the
/// upstream has the request, which is the one after `before`.
async fn leave_early(
    target: &Running,
    upstream: SocketAddr,
    key: Key,
    before: u32,
) -> anyhow::Result<()> {
    let mut first = callers::connect(target.address, 1).await?;
    for connection in &mut first {
        ensure!(connection.send(key).await, "a request could not be sent");
    }
    let sent = Instant::now();
    while upstream::requests(upstream).await? == before {
        ensure!(
            sent.elapsed() < SETTLE_LIMIT,
            "the upstream got no request within {SETTLE_LIMIT:?}"
        );
    }
    tokio::spawn(async move {
        sleep_until(sent + key.delay / 2).await;
        drop(first);
    });
    Ok(())
}

/// KiB of the kernel for sockets, and for everything else that it allocates in small pieces.
fn sockets() -> anyhow::Result<u64> {
    let slab = procfs::field(&fs::read_to_string("/proc/meminfo")?, "Slab:");
    let buffers = fs::read_to_string("/proc/net/sockstat")?;
    let tcp = buffers.lines().find(|line| line.starts_with("TCP:"));
    let pages = tcp.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(slab.unwrap_or_default() + pages.unwrap_or_default() * 4)
}
