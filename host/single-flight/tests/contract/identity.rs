//! Which flight a caller gets, and which flight is removed.

use std::hash::{Hash, Hasher};

use single_flight::{Group, Policy, Role};

use crate::harness::{Executor, Job, ManualFuture, counts, error, group, never, output};

// contract 1, 2
#[test]
fn callers_of_one_key_share_one_execution() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(group.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    assert_eq!(counts(&group), [1, 2, 1]);

    executor.run();
    job.land(7);
    executor.run();
    let (leader, follower) = (output(leader.poll()), output(follower.poll()));
    assert_eq!((leader.value, leader.role), (7, Role::Leader));
    assert_eq!((follower.value, follower.role), (7, Role::Follower));
    assert_eq!(leader.flight, follower.flight);
    assert_eq!(job.counts(), [1, 2, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 1
#[test]
fn callers_of_different_keys_share_nothing() {
    let (executor, group) = (Executor::new(), group());
    let (mut one_job, one_work) = Job::new();
    let (mut other_job, other_work) = Job::new();
    let mut one = ManualFuture::new(group.call("one", one_work));
    let mut other = ManualFuture::new(group.call("other", other_work));
    assert!(executor.poll(&mut one).is_pending());
    assert!(executor.poll(&mut other).is_pending());
    assert_eq!(counts(&group), [2, 2, 2]);

    one_job.land(1);
    executor.run();
    assert!(other.poll().is_pending());
    other_job.land(2);
    executor.run();
    let (one, other) = (output(one.poll()), output(other.poll()));
    assert_eq!(
        (one.value, one.role, one.shared()),
        (1, Role::Leader, false)
    );
    assert_eq!(
        (other.value, other.role, other.shared()),
        (2, Role::Leader, false)
    );
    assert_ne!(one.flight, other.flight);
}

// contract 1
#[test]
fn clones_of_a_group_are_the_same_table() {
    let (executor, group) = (Executor::new(), group());
    let clone = group.clone();
    let (mut job, work) = Job::new();
    let mut leader = ManualFuture::new(group.call("k", work));
    let mut follower = ManualFuture::new(clone.call("k", never));
    assert!(executor.poll(&mut leader).is_pending());
    assert!(executor.poll(&mut follower).is_pending());
    job.land(7);
    executor.run();
    assert_eq!(output(leader.poll()).callers, 2);
    assert_eq!(output(follower.poll()).callers, 2);
}

// contract 2
#[test]
fn the_first_caller_that_is_polled_becomes_the_leader() {
    let (executor, group) = (Executor::new(), group());
    let (mut job, work) = Job::new();
    let mut made_first = ManualFuture::new(group.call("k", never));
    let mut polled_first = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut polled_first).is_pending());
    assert!(executor.poll(&mut made_first).is_pending());
    job.land(7);
    executor.run();
    assert_eq!(output(polled_first.poll()).role, Role::Leader);
    assert_eq!(output(made_first.poll()).role, Role::Follower);
}

// contract 2
#[test]
fn a_call_that_is_never_polled_does_nothing() {
    let (executor, group) = (Executor::new(), group());
    let (job, work) = Job::new();
    let call = group.call("k", work);
    assert_eq!(counts(&group), [0, 0, 0]);
    drop(call);
    executor.run();
    assert_eq!(job.counts(), [0, 0, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

/// A key whose hash is the same for all values.
#[derive(Debug, PartialEq, Eq)]
struct Colliding(u32);

impl Hash for Colliding {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

// contract 3
#[test]
fn keys_with_equal_hashes_do_not_share_flights() {
    let executor = Executor::new();
    let group: Group<Colliding, u32> = Group::new(Policy::default());
    let (mut jobs, mut leaders) = (Vec::new(), Vec::new());
    for key in 0..8 {
        let (job, work) = Job::new();
        let mut leader = ManualFuture::new(group.call(Colliding(key), work));
        assert!(executor.poll(&mut leader).is_pending());
        jobs.push(job);
        leaders.push(leader);
    }
    assert_eq!(counts(&group), [8, 8, 8]);

    // One is forgotten and one abandoned: those two and no others are unlisted.
    assert!(group.forget(&Colliding(3)));
    assert!(!group.forget(&Colliding(8)));
    drop(leaders.remove(5));
    let mut joiners: Vec<_> = (0..8)
        .map(|key| ManualFuture::new(group.call(Colliding(key), |_flight| async { 100 })))
        .collect();
    for joiner in &mut joiners {
        assert!(executor.poll(joiner).is_pending());
    }
    for (value, job) in jobs.iter_mut().enumerate() {
        job.land(value as u32);
    }
    executor.run();
    let led = leaders.iter_mut().map(|call| output(call.poll()).value);
    assert_eq!(led.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 6, 7]);
    let joined = joiners.iter_mut().map(|call| output(call.poll()).value);
    assert_eq!(joined.collect::<Vec<_>>(), [0, 1, 2, 100, 4, 100, 6, 7]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

/// How a superseded flight ends, in the test below.
enum End {
    Land,
    Panic,
    Abandon,
}

// contract 4
#[test]
fn a_superseded_flight_that_ends_leaves_its_successor_listed() {
    for end in [End::Land, End::Panic, End::Abandon] {
        let (executor, group) = (Executor::new(), group());
        let (mut old_job, old_work) = Job::new();
        let mut old = ManualFuture::new(group.call("k", old_work));
        assert!(executor.poll(&mut old).is_pending());
        executor.run();
        assert!(group.forget(&"k"));
        let (mut new_job, new_work) = Job::new();
        let mut new = ManualFuture::new(group.call("k", new_work));
        assert!(executor.poll(&mut new).is_pending());
        assert_eq!(counts(&group), [2, 2, 1]);

        match end {
            End::Land => old_job.land(1),
            End::Panic => old_job.panic("the old flight panics"),
            End::Abandon => drop(old),
        }
        executor.run();
        assert_eq!(counts(&group), [1, 1, 1]);

        let mut follower = ManualFuture::new(group.call("k", never));
        assert!(executor.poll(&mut follower).is_pending());
        new_job.land(2);
        executor.run();
        let (new, follower) = (output(new.poll()), output(follower.poll()));
        assert_eq!((follower.value, follower.callers), (2, 2));
        assert_eq!(new.flight, follower.flight);
        assert_eq!(counts(&group), [0, 0, 0]);
    }
}

// contract 5
#[test]
fn a_forgotten_flight_lands_for_its_callers() {
    let (executor, group) = (Executor::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut before = [
        ManualFuture::new(group.call("k", old_work)),
        ManualFuture::new(group.call("k", Job::new().1)),
    ];
    for caller in &mut before {
        assert!(executor.poll(caller).is_pending());
    }
    assert!(group.forget(&"k"));
    let mut after = ManualFuture::new(group.call("k", new_work));
    assert!(executor.poll(&mut after).is_pending());

    old_job.land(1);
    executor.run();
    for caller in &mut before {
        let output = output(caller.poll());
        assert_eq!((output.value, output.callers), (1, 2));
    }
    assert!(after.poll().is_pending());
    new_job.land(2);
    executor.run();
    assert_eq!(output(after.poll()).value, 2);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// contract 5
#[test]
fn a_call_made_before_a_forget_and_polled_after_it_opens_a_flight() {
    let (executor, group) = (Executor::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = ManualFuture::new(group.call("k", old_work));
    let mut made_before = ManualFuture::new(group.call("k", new_work));
    assert!(executor.poll(&mut old).is_pending());
    assert!(group.forget(&"k"));
    assert!(executor.poll(&mut made_before).is_pending());
    old_job.land(1);
    new_job.land(2);
    executor.run();
    assert_eq!(output(old.poll()).value, 1);
    assert_eq!(output(made_before.poll()).value, 2);
}

// contract 5
#[test]
fn forget_returns_true_only_if_a_flight_was_open() {
    let (executor, group) = (Executor::new(), group());
    assert!(!group.forget(&"k"));
    let (mut job, work) = Job::new();
    let mut call = ManualFuture::new(group.call("k", work));
    assert!(executor.poll(&mut call).is_pending());
    assert!(!group.forget(&"other"));
    assert!(group.forget(&"k"));
    assert!(!group.forget(&"k"));
    job.land(1);
    executor.run();
    assert_eq!(output(call.poll()).value, 1);
    assert!(!group.forget(&"k"));
}

// contract 1, 11: the outcome is not kept, even while no caller has taken it.
#[test]
fn a_call_after_the_landing_opens_a_flight() {
    let (executor, group) = (Executor::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = ManualFuture::new(group.call("k", old_work));
    assert!(executor.poll(&mut old).is_pending());
    old_job.land(1);
    executor.run();
    assert_eq!(counts(&group), [0, 0, 0]);

    let mut new = ManualFuture::new(group.call("k", new_work));
    assert!(executor.poll(&mut new).is_pending());
    assert_eq!(output(old.poll()).value, 1);
    new_job.land(2);
    executor.run();
    assert_eq!(output(new.poll()).value, 2);
}

// contract 1, 12
#[test]
fn a_call_after_a_panic_opens_a_flight() {
    let (executor, group) = (Executor::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = ManualFuture::new(group.call("k", old_work));
    assert!(executor.poll(&mut old).is_pending());
    old_job.panic("the old flight panics");
    executor.run();
    let mut new = ManualFuture::new(group.call("k", new_work));
    assert!(executor.poll(&mut new).is_pending());
    error(old.poll());
    new_job.land(2);
    executor.run();
    assert_eq!(output(new.poll()).value, 2);
    assert_eq!(counts(&group), [0, 0, 0]);
}
