//! The real service among upstreams, callers and operators that misbehave, and what it holds afterwards.
//!
//! Each fault of [`FAULTS`] is caused again and again for the whole time, all of them at once, and each answer is
//! compared with the one that is expected. Meanwhile the log is read only half of the time.

mod operator;
mod process;
mod rounds;
mod world;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::operator::Operator;
use self::process::Service;
use self::rounds::{FAULTS, Fault};
use self::world::World;
use crate::promises::report;
use crate::rest::{RestPoints, at_rest, parts};

/// The pause between two rounds of one fault: the machine should be busy with all of them, not with one.
const PAUSE: Duration = Duration::from_millis(20);

/// The time between two reloads of the service.
const RELOAD: Duration = Duration::from_secs(2);

/// How many progress lines are printed between two rest points.
const LINES: u32 = 5;

/// Runs for `time`, of which the first tenth warms up.
pub(crate) async fn run(time: Duration) -> ExitCode {
    let world = World::start().await;
    let service = Service::start(&world).await;
    let soak = Arc::new(Soak {
        world,
        rounds: FAULTS.iter().map(|_| AtomicU64::new(0)).collect(),
        unexpected: AtomicU64::new(0),
    });
    let mut rest_points = RestPoints::new();
    for (time, what) in parts(time) {
        soak.clone().cause_all(&service, time, what).await;
        rest_points.add(at_rest(async || service.levels().await).await);
    }

    println!("\n{:<24}{:>14}", "fault", "rounds");
    for (fault, rounds) in FAULTS.iter().zip(&soak.rounds) {
        println!("  {:<22}{:>14}", fault.name, rounds.load(Ordering::Relaxed));
    }
    println!("  {:<22}{:>14}", "unexpected", soak.unexpected());
    println!("{}", rest_points.table());
    let (ended, uploads) = (service.ended().await, soak.world.whole_uploads());
    let broken = [
        (soak.unexpected() > 0, "an answer was not the expected one"),
        (
            uploads > 0,
            "an upstream took a request that was cut for a whole one",
        ),
        (ended != Some(0), "the service did not exit with 0"),
    ];
    report(&[&broken[..], &rest_points.broken()].concat())
}

struct Soak {
    world: World,
    /// In the order of [`FAULTS`].
    rounds: Vec<AtomicU64>,
    unexpected: AtomicU64,
}

impl Soak {
    fn unexpected(&self) -> u64 {
        self.unexpected.load(Ordering::Relaxed)
    }

    /// Causes all faults for `time`, and then waits for the last answers.
    async fn cause_all(self: Arc<Self>, service: &Service, time: Duration, what: &str) {
        let began = Instant::now();
        let address = service.address;
        let mut workers: Vec<_> = FAULTS
            .iter()
            .enumerate()
            .map(|(number, fault)| {
                let soak = Arc::clone(&self);
                tokio::spawn(async move {
                    while began.elapsed() < time {
                        soak.cause(number, fault, address).await;
                        sleep(PAUSE).await;
                    }
                })
            })
            .collect();
        let operator = Operator::new(&self.world, service.id());
        workers.push(tokio::spawn(async move {
            while began.elapsed() + RELOAD < time {
                operator.reload();
                sleep(RELOAD).await;
            }
            operator.restore();
        }));
        let pause = (time / LINES).max(Duration::from_secs(1));
        while began.elapsed() + pause <= time {
            sleep(pause).await;
            let rounds: u64 = self.rounds.iter().map(|n| n.load(Ordering::Relaxed)).sum();
            let resident = service.resident() >> 10;
            // Takes the events, which would pile up.
            self.world.whole_uploads();
            let seconds = began.elapsed().as_secs();
            println!("{seconds:>6} s {rounds:>12} rounds {resident:>10} KiB resident  {what}");
        }
        for worker in workers {
            worker.await.expect("a worker does not panic");
        }
    }

    async fn cause(&self, number: usize, fault: &Fault, address: SocketAddr) {
        let round = self.rounds[number].fetch_add(1, Ordering::Relaxed);
        if let Some(unexpected) = fault.round(&self.world, address, round).await {
            self.unexpected.fetch_add(1, Ordering::Relaxed);
            println!("UNEXPECTED: {}: {unexpected}", fault.name);
        }
    }
}
