//! Runs flights that land, trap, are cancelled or time out, with real components and a real upstream on
//! loopback, and then reports what they have left behind, which has to be nothing.
//!
//! `cargo run --release -p oneflight-tests --bin soak -- --for SECONDS` (default 600). It
//! prints progress lines and a table at the end, and exits with 1 if a promise is broken. With `faults` as its first
//! argument it does the same with the real service, among upstreams, callers and operators that misbehave: see
//! [`faults`].
//!
//! The first tenth warms up: it uses the memory that is allocated once and kept (the allocator's arenas, buffers
//! of the runtime, pages of each slot of the instance pool). It begins with as many open flights as possible, so
//! that no slot is first used later. Then the run pauses, and does so several times until its end, until the process is
//! at rest: no flight is open, idle instances and connections have reached their age, threads without work have ended
//! and freed memory was returned. The time of these pauses is not counted.

mod faults;
mod flights;
mod levels;
mod promises;
mod rest;
mod upstream;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use oneflight::{BUILTIN, Engine, InstanceReuse, Instances, Limits, Settings};
use oneflight_tests::{NEVER, Subject, artifacts, memory, tasks};
use tokio::time::{Instant, sleep};

use flights::{ENDS, Flights};
use levels::{MAX_IDLE_AGE, ProcessLevels};
use rest::{RestPoints, at_rest, parts};
use upstream::Upstream;

/// Open flights at once.
const AT_ONCE: usize = 32;

/// The deadline of a flight that is to time out.
const SOON: Duration = Duration::from_millis(500);

/// How many progress lines are printed between two rest points.
const LINES: u32 = 5;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (is_faults, rest) = match arguments.split_first() {
        Some((&"faults", rest)) => (true, rest),
        _ => (false, &arguments[..]),
    };
    let Some(time) = time(rest) else {
        eprintln!("usage: soak [faults] [--for SECONDS]");
        return ExitCode::from(2);
    };
    if is_faults {
        faults::run(time).await
    } else {
        fly_all(time).await
    }
}

/// Flights in this process.
async fn fly_all(time: Duration) -> ExitCode {
    let upstream = Upstream::start().await;
    let clients = clients(&upstream).await;
    let tasks_before = tasks();
    let flights = Arc::new(Flights::new(clients.clone(), &upstream.origin()));

    flights.all_at_once(AT_ONCE).await;
    let mut rest_points = RestPoints::new();
    for (time, what) in parts(time) {
        fly(&flights, time, what).await;
        rest_points.add(at_rest(async || ProcessLevels::now(&clients)).await);
    }
    let tasks_after = tasks();

    let counts = flights.counts();
    println!("\n{:<24}{:>14}", "flights", "");
    for (end, count) in ENDS.iter().zip(counts) {
        println!("{:<24}{count:>14}", format!("  {}", end.name()));
    }
    println!("{:<24}{:>14}", "  otherwise", flights.unexpected());
    println!("{}", rest_points.table());
    let broken = [
        (flights.unexpected() > 0, "a flight did not end as expected"),
        (
            tasks_after != tasks_before,
            "there are other tasks than before the first flight",
        ),
    ];
    promises::report(&[&broken[..], &rest_points.broken()].concat())
}

/// The time from the command line.
fn time(arguments: &[&str]) -> Option<Duration> {
    match arguments[..] {
        [] => Some(Duration::from_secs(600)),
        ["--for", seconds] => seconds.parse().map(Duration::from_secs).ok(),
        _ => None,
    }
}

/// Clients of both guests, with fresh and with reused instances, with a far and with a short deadline, all in one
/// engine. Their index has a bit for each choice, in this order.
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
        // No flight waits for a permit.
        max_executions: AT_ONCE,
        flight_timeout: deadline,
        first_byte_timeout: NEVER,
        request_timeout: NEVER,
        // On a busy machine no flight looks like a guest that spins.
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

/// Runs flights for `time`, and then waits for the last.
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
