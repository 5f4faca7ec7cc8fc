//! What is asked of every target, and one turn of it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::ask::{Ask, Behaviour};
use crate::callers::{self, Call, Outcome, PATIENCE};
use crate::process::figure;
use crate::targets::{REUSING, Running};
use crate::upstream;

/// What the upstream takes for a herd.
pub(crate) const THINKING: Duration = Duration::from_millis(100);

/// Connections that ask again and again.
const CONNECTIONS: usize = 64;

/// The longest that is waited for a target to come to rest.
const REST: Duration = Duration::from_secs(2);

/// Something that is asked of every target.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) behaviour: Behaviour,
    pub(crate) load: Load,
    pub(crate) rounds: usize,
}

/// How it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// That many callers on one key at once.
    Herd { callers: usize, scene: Scene },
    /// The same, held for so long that it can be seen what they cost.
    Held { callers: usize, held: Duration },
    /// One key on [`CONNECTIONS`] again and again.
    Hot { span: Duration },
    /// Keys that nobody else asks for on [`CONNECTIONS`] again and again.
    Distinct { span: Duration },
}

/// What else happens around a herd.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// Nothing.
    Cold,
    /// Somebody has asked before, and the answer has just expired.
    Expired,
    /// One has asked before the others and leaves before there is an answer.
    FirstLeaves,
}

/// How much is asked.
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

    /// Whether it runs, and what is counted.
    pub(crate) const QUICK: Self = Self {
        herds: &[100],
        held: 200,
        hold: Duration::from_millis(500),
        span: Duration::from_millis(200),
        rounds: 1,
    };

    /// Files that one process has open: one for each caller that is held, and some. A target that shares
    /// nothing has as many again to its upstream.
    pub(crate) fn descriptors(&self) -> u64 {
        self.held as u64 + 1_000
    }

    /// All that is asked. What is held comes first: later, targets have memory from before.
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

/// What one turn of a case with one target came to.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Requests that the upstream has seen for it.
    pub(crate) requests: u32,
    /// What callers got.
    pub(crate) outcomes: BTreeMap<Outcome, usize>,
    /// The callers' times, shortest first.
    pub(crate) times: Vec<Duration>,
    /// Processor time of the target for one caller.
    pub(crate) cpu: Duration,
    /// Answers per second, where callers ask again.
    pub(crate) rate: Option<f64>,
    /// What a caller that is held takes.
    pub(crate) memory: Option<Memory>,
}

/// KiB for one caller that is held.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    /// Of the target's processes.
    pub(crate) resident: f64,
    /// Of the kernel for the target's end of the connection.
    pub(crate) socket: f64,
}

impl Case {
    /// Whether it says something about a target. One that differs only in the guests' instances is
    /// measured where there are many.
    pub(crate) fn is_for(&self, target: &str) -> bool {
        target != REUSING || matches!(self.load, Load::Distinct { .. })
    }

    /// Asks it of one target, once.
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
                let ask = Ask::new(self.behaviour, delay);
                self.again(target, upstream, span, move || ask).await
            }
            Load::Distinct { span } => {
                let behaviour = self.behaviour;
                let ask = move || Ask::new(behaviour, Duration::ZERO);
                self.again(target, upstream, span, ask).await
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
        let ask = Ask::new(self.behaviour, THINKING);
        if scene == Scene::Expired {
            once(target, ask).await?;
            // Kept for one second, which nginx counts in whole ones.
            sleep(Duration::from_millis(2_100)).await;
        }
        let connections = callers::connect(target.address, callers).await?;
        target.process.settle(REST).await;
        let (seen, cpu) = (upstream::requests(upstream).await?, target.process.cpu());
        if scene == Scene::FirstLeaves {
            leave_after(target, upstream, ask, seen).await?;
        }
        let calls = callers::herd(connections, ask, seen).await;
        target.process.settle(REST).await;
        let cpu = target.process.cpu() - cpu;
        Ok(Turn::new(
            calls,
            upstream::requests(upstream).await? - seen,
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
        once(target, Ask::new(self.behaviour, Duration::ZERO)).await?;
        target.process.settle(REST).await;
        let (seen, cpu) = (upstream::requests(upstream).await?, target.process.cpu());
        let before = (target.process.resident(), sockets()?);
        let ask = Ask::new(self.behaviour, held);
        // Each few ask before the next come: a target may close a connection on which nobody asks.
        let mut herds = JoinSet::new();
        for some in callers::crowds(callers) {
            let connections = callers::connect(target.address, some).await?;
            herds.spawn(callers::herd(connections, ask, seen));
        }
        sleep(held / 4).await;
        target.process.settle(held / 4).await;
        let after = (target.process.resident(), sockets()?);
        let calls = herds.join_all().await.concat();
        let each = |before: u64, after: u64| (after as f64 - before as f64) / callers as f64;
        let memory = Memory {
            resident: each(before.0, after.0),
            // The callers' ends are in the same kernel.
            socket: each(before.1, after.1) / 2.0,
        };
        let cpu = target.process.cpu() - cpu;
        let requests = upstream::requests(upstream).await? - seen;
        Ok(Turn {
            memory: Some(memory),
            ..Turn::new(calls, requests, cpu)
        })
    }

    async fn again(
        &self,
        target: &Running,
        upstream: SocketAddr,
        span: Duration,
        ask: impl Fn() -> Ask + Copy + Send + 'static,
    ) -> anyhow::Result<Turn> {
        let connections = callers::connect(target.address, CONNECTIONS).await?;
        target.process.settle(REST).await;
        let (seen, cpu) = (upstream::requests(upstream).await?, target.process.cpu());
        let begun = Instant::now();
        let calls = callers::keep_asking(connections, ask, span).await;
        let (elapsed, cpu) = (begun.elapsed(), target.process.cpu() - cpu);
        let answers = calls
            .iter()
            .filter(|call| call.outcome == Outcome::Status(200));
        let rate = answers.count() as f64 / elapsed.as_secs_f64();
        let requests = upstream::requests(upstream).await? - seen;
        Ok(Turn {
            rate: Some(rate),
            ..Turn::new(calls, requests, cpu)
        })
    }
}

impl Ask {
    /// For a key that nobody has asked for yet.
    fn new(behaviour: Behaviour, delay: Duration) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Self {
            behaviour,
            delay,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
        }
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

    /// The time within which this part of the callers had their answer.
    pub(crate) fn within(&self, part: f64) -> Duration {
        let rank = (self.times.len() as f64 * part).ceil() as usize;
        let time = self.times.get(rank.saturating_sub(1));
        time.copied().unwrap_or_default()
    }
}

/// One caller alone.
async fn once(target: &Running, ask: Ask) -> anyhow::Result<()> {
    for mut connection in callers::connect(target.address, 1).await? {
        ensure!(connection.ask(ask).await, "a request could not be sent");
        let outcome = connection.answer(0, Instant::now() + PATIENCE).await;
        ensure!(outcome == Outcome::Status(200), "got {outcome:?}");
    }
    Ok(())
}

/// One caller asks; once the upstream has its request, goes on in the background, and leaves halfway.
async fn leave_after(
    target: &Running,
    upstream: SocketAddr,
    ask: Ask,
    seen: u32,
) -> anyhow::Result<()> {
    let mut first = callers::connect(target.address, 1).await?;
    for connection in &mut first {
        ensure!(connection.ask(ask).await, "a request could not be sent");
    }
    let asked = Instant::now();
    while upstream::requests(upstream).await? == seen {
        ensure!(asked.elapsed() < REST, "a request did not get through");
    }
    tokio::spawn(async move {
        sleep_until(asked + ask.delay / 2).await;
        drop(first);
    });
    Ok(())
}

/// KiB that the kernel has for sockets, and for whatever else it keeps in small pieces.
fn sockets() -> anyhow::Result<u64> {
    let slab = figure(&fs::read_to_string("/proc/meminfo")?, "Slab:");
    let buffers = fs::read_to_string("/proc/net/sockstat")?;
    let tcp = buffers.lines().find(|line| line.starts_with("TCP:"));
    let pages = tcp.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(slab.unwrap_or_default() + pages.unwrap_or_default() * 4)
}
