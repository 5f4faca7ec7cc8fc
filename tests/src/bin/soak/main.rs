//! Flights that land, trap, are cancelled or time out, for as long as it is told, through real components
//! and a real upstream on loopback; then it says what they have left behind, which has to be nothing.
//!
//! `cargo run --release -p oneflight-tests --bin soak -- --for SECONDS` (600 where nothing is said). It
//! prints a line now and then and a table at the end, and exits with 1 where a promise is broken.
//!
//! The first tenth warms up: what is taken once and kept (the allocator's arenas, buffers of the runtime,
//! pages of each place in the pool that instances come from) is taken there. It begins with as many flights
//! at once as there can be, so that no place is first used later. What is held is read at rest, before and
//! after: no flight is open, and all that waits for a later one has reached its age.

mod flights;
mod levels;
mod upstream;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use oneflight::{BUILTIN, Engine, InstanceReuse, Instances, Limits, Settings};
use oneflight_tests::{NEVER, Subject, artifacts, memory, tasks};
use tokio::time::{Instant, sleep};

use flights::{ENDS, Flights};
use levels::{Levels, MAX_IDLE_AGE};
use upstream::Upstream;

/// Flights in progress at once.
const AT_ONCE: usize = 32;

/// The timeout of the flights that are meant to time out.
const SOON: Duration = Duration::from_millis(500);

/// By how much resident memory may grow, in bytes.
const MAX_GROWTH: usize = 1 << 20;

/// How many progress lines are printed.
const LINES: u32 = 20;

#[tokio::main]
async fn main() -> ExitCode {
    let Some(time) = time() else {
        eprintln!("usage: soak [--for SECONDS]");
        return ExitCode::from(2);
    };
    let upstream = Upstream::start().await;
    let clients = clients(&upstream).await;
    let tasks_before = tasks();
    let flights = Arc::new(Flights::new(clients.clone(), &upstream.origin()));

    flights.all_at_once(AT_ONCE).await;
    fly(&flights, time / 10, "warming up").await;
    let before = Levels::at_rest(&clients).await;
    fly(&flights, time - time / 10, "").await;
    let after = Levels::at_rest(&clients).await;

    let counts = flights.counts();
    println!("\n{:<24}{:>14}", "flights", "");
    for (end, count) in ENDS.iter().zip(counts) {
        println!("{:<24}{count:>14}", format!("  {}", end.name()));
    }
    println!("{:<24}{:>14}", "  otherwise", flights.unexpected());
    println!("{}", levels::table(before, after));
    let grown = after.resident.saturating_sub(before.resident);
    let broken = [
        (
            flights.unexpected() > 0,
            "a flight ended otherwise than it was to",
        ),
        (grown >= MAX_GROWTH, "resident memory has grown"),
        (
            after.held() != before.held(),
            "something is held that was not before",
        ),
        (after.open() != 0, "something is open at rest"),
        (
            after.tasks != tasks_before,
            "there are other tasks than before the first flight",
        ),
    ];
    let broken: Vec<_> = broken
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, what)| what)
        .collect();
    for what in &broken {
        println!("BROKEN: {what}");
    }
    if broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What the command line says.
fn time() -> Option<Duration> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => Some(Duration::from_secs(600)),
        ["--for", seconds] => seconds.parse().map(Duration::from_secs).ok(),
        _ => None,
    }
}

/// Both guests, each in fresh instances and in such that are used again, and with a deadline that no flight
/// should see as well as with one that comes soon; all in one engine. In this order: the index has a bit
/// for each.
async fn clients(upstream: &Upstream) -> Vec<Subject> {
    let misbehaving = std::fs::read(artifacts::MISBEHAVING).expect("the build script has built it");
    let reused = Instances::Reused(InstanceReuse {
        max_calls: 1_000,
        max_age: MAX_IDLE_AGE,
    });
    let engine = Engine::new(&Limits {
        max_executions: 8 * AT_ONCE,
        ..Limits::default()
    });
    let engine = engine.expect("address space for guests");
    let mut clients = Vec::new();
    for binary in [BUILTIN, &misbehaving] {
        for instances in [Instances::Fresh, reused] {
            for deadline in [NEVER, SOON] {
                let settings = Settings {
                    instances,
                    limits: limits(deadline),
                    ..Settings::new("soak")
                };
                clients.push(client(&engine, binary, settings, upstream).await);
            }
        }
    }
    clients
}

fn limits(deadline: Duration) -> Limits {
    Limits {
        // None ever waits for another.
        max_executions: AT_ONCE,
        flight_timeout: deadline,
        first_byte_timeout: NEVER,
        request_timeout: NEVER,
        // Nor is one taken for a guest that spins on a machine that is busy.
        max_cpu_time: NEVER,
        idle_timeout: MAX_IDLE_AGE,
        ..Limits::default()
    }
}

async fn client(
    engine: &Engine,
    binary: &[u8],
    settings: Settings,
    upstream: &Upstream,
) -> Subject {
    let settings = settings.env("BASE_URL", &format!("{}/{{x}}", upstream.origin()));
    let settings = settings.allow(&upstream.origin()).expect("an origin");
    Subject::on(engine, binary, settings).await
}

/// Keeps flights under way for `time`, and then waits for the last.
async fn fly(flights: &Arc<Flights>, time: Duration, what: &str) {
    let began = Instant::now();
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let flights = Arc::clone(flights);
            tokio::spawn(async move {
                while began.elapsed() < time {
                    flights.next().await;
                }
            })
        })
        .collect();
    let pause = (time / LINES).max(Duration::from_secs(1));
    while began.elapsed() + pause <= time {
        sleep(pause).await;
        let (seconds, count) = (began.elapsed().as_secs(), flights.count());
        let resident = memory::resident("self") >> 10;
        println!("{seconds:>6} s {count:>12} flights {resident:>10} KiB resident  {what}");
    }
    for worker in workers {
        worker.await.expect("a worker does not panic");
    }
}
