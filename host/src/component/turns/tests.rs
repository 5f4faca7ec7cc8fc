use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::pending;
use futures_util::poll;
use tokio::runtime::Builder;

use super::pace::BUSY;
use super::*;

/// The turns of a client whose guests are busy, with `threads` and `max_runnable`. They live for ever, as tests spawn
/// their guests.
fn busy(threads: &'static Semaphore, max_runnable: usize) -> &'static Turns {
    let turns = Box::leak(Box::new(Turns::on(threads, max_runnable)));
    let hour = Duration::from_secs(3_600);
    let now = Instant::now() + hour;
    turns.pace.record(BUSY, now);
    turns
}

fn threads(count: usize) -> &'static Semaphore {
    Box::leak(Box::new(Semaphore::new(count)))
}

async fn run<F: Future>(turns: &Turns, guest: F) -> F::Output {
    let budget = CpuBudget::new(Duration::MAX);
    let ran = turns.run(budget, &FlightContext::default(), guest).await;
    ran.unwrap()
}

#[tokio::test]
async fn guests_that_are_short_take_no_turn() {
    let turns = Turns::on(threads(0), 0);
    run(&turns, tokio::task::yield_now()).await;
    let now = Instant::now();
    turns.pace.suspect(now);
    run(&turns, tokio::task::yield_now()).await;
    turns.pace.record(LONG, now);
    turns.pace.record(LONG, now);
    assert!(poll!(pin!(run(&turns, async {}))).is_pending());
}

// fault 94
#[test]
fn a_busy_guest_does_not_hold_a_thread_of_the_runtime() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.unwrap();
    let turns = busy(threads(1), 1);
    let (send, receive) = mpsc::channel();
    // It ends only if another task runs while it is polled.
    let minute = Duration::from_secs(60);
    let guest = runtime.spawn(run(turns, async move { receive.recv_timeout(minute) }));
    let other = runtime.spawn(async move { send.send(turns.computing()) });
    runtime.block_on(async {
        assert_eq!(guest.await.unwrap(), Ok(1));
        other.await.unwrap().unwrap();
    });
    assert_eq!(turns.computing(), 0);
}

// fault 12
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_under_a_busy_guest_ends_its_turn() {
    let turns = busy(threads(1), 1);
    let panics = tokio::spawn(run(turns, async { panic!("on demand") }));
    assert!(panics.await.unwrap_err().is_panic());
    assert_eq!(turns.computing(), 0);
    run(turns, async {}).await;
}

// fault 94
#[tokio::test]
async fn a_guest_waits_for_one_turn_of_another_client_however_many_guests_that_has() {
    let threads = threads(1);
    let (many, one) = (busy(threads, 1), busy(threads, 1));
    let mut running = many.turn().await;
    let mut waiting: VecDeque<_> = (0..9).map(|_| Box::pin(many.turn())).collect();
    for turn in &mut waiting {
        assert!(poll!(turn).is_pending());
    }
    while let Some(mut next) = waiting.pop_front() {
        let mut other = pin!(one.turn());
        assert!(poll!(other.as_mut()).is_pending());
        drop(running);
        // It has a turn of its client now, and is behind the other client's guest in the queue for the thread.
        assert!(poll!(next.as_mut()).is_pending());
        let other = poll!(other);
        assert!(other.is_ready());
        drop(other);
        running = next.await;
    }
}

#[tokio::test]
async fn at_most_max_runnable_guests_of_a_client_have_a_turn() {
    let turns = busy(threads(4), 2);
    let (one, _two) = (turns.turn().await, turns.turn().await);
    let mut three = pin!(turns.turn());
    assert!(poll!(three.as_mut()).is_pending());
    assert_eq!(turns.computing(), 3);
    drop(one);
    assert!(poll!(three.as_mut()).is_ready());
}

#[tokio::test]
async fn a_guest_that_waits_for_something_else_has_no_turn() {
    let turns = busy(threads(1), 1);
    let mut waits = pin!(run(turns, pending::<()>()));
    assert!(poll!(waits.as_mut()).is_pending());
    assert_eq!(turns.computing(), 0);
    run(turns, async {}).await;
}

#[tokio::test]
async fn cancel_safety() {
    let turns = busy(threads(1), 1);
    let turn = turns.turn().await;
    {
        let mut waits = pin!(run(turns, async {}));
        assert!(poll!(waits.as_mut()).is_pending());
        assert_eq!(turns.computing(), 2);
    }
    assert_eq!(turns.computing(), 1);
    drop(turn);
    assert_eq!(turns.computing(), 0);
    run(turns, async {}).await;
}
