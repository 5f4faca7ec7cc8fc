//! Which flight a caller gets: points 1 to 5.

use std::hash::{Hash, Hasher};

use single_flight::{Group, Policy, Role};

use crate::hands::{Hand, Job, Stage, answer, counts, error, group, never};

// 1, 2
#[test]
fn callers_of_one_key_share_one_execution() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut follower = Hand::new(group.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    assert_eq!(counts(&group), [1, 2, 1]);

    stage.run();
    job.land(7);
    stage.run();
    let (leader, follower) = (answer(leader.poll()), answer(follower.poll()));
    assert_eq!((leader.value, leader.role), (7, Role::Leader));
    assert_eq!((follower.value, follower.role), (7, Role::Follower));
    assert_eq!(leader.flight, follower.flight);
    assert_eq!(job.seen(), [1, 2, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 1
#[test]
fn callers_of_different_keys_share_nothing() {
    let (stage, group) = (Stage::new(), group());
    let (mut one_job, one_work) = Job::new();
    let (mut other_job, other_work) = Job::new();
    let mut one = Hand::new(group.call("one", one_work));
    let mut other = Hand::new(group.call("other", other_work));
    assert!(stage.poll(&mut one).is_pending());
    assert!(stage.poll(&mut other).is_pending());
    assert_eq!(counts(&group), [2, 2, 2]);

    one_job.land(1);
    stage.run();
    assert!(other.poll().is_pending());
    other_job.land(2);
    stage.run();
    let (one, other) = (answer(one.poll()), answer(other.poll()));
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

// 1
#[test]
fn clones_of_a_group_are_the_same_table() {
    let (stage, group) = (Stage::new(), group());
    let clone = group.clone();
    let (mut job, work) = Job::new();
    let mut leader = Hand::new(group.call("k", work));
    let mut follower = Hand::new(clone.call("k", never));
    assert!(stage.poll(&mut leader).is_pending());
    assert!(stage.poll(&mut follower).is_pending());
    job.land(7);
    stage.run();
    assert_eq!(answer(leader.poll()).callers, 2);
    assert_eq!(answer(follower.poll()).callers, 2);
}

// 2
#[test]
fn it_is_the_first_poll_that_makes_the_leader() {
    let (stage, group) = (Stage::new(), group());
    let (mut job, work) = Job::new();
    let mut made_first = Hand::new(group.call("k", never));
    let mut polled_first = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut polled_first).is_pending());
    assert!(stage.poll(&mut made_first).is_pending());
    job.land(7);
    stage.run();
    assert_eq!(answer(polled_first.poll()).role, Role::Leader);
    assert_eq!(answer(made_first.poll()).role, Role::Follower);
}

// 2
#[test]
fn a_call_that_is_never_polled_does_nothing() {
    let (stage, group) = (Stage::new(), group());
    let (job, work) = Job::new();
    let call = group.call("k", work);
    assert_eq!(counts(&group), [0, 0, 0]);
    drop(call);
    stage.run();
    assert_eq!(job.seen(), [0, 0, 1]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

/// A key whose hash says nothing.
#[derive(Debug, PartialEq, Eq)]
struct Colliding(u32);

impl Hash for Colliding {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

// 3
#[test]
fn keys_with_one_hash_are_told_apart() {
    let stage = Stage::new();
    let group: Group<Colliding, u32> = Group::new(Policy::default());
    let (mut jobs, mut leaders) = (Vec::new(), Vec::new());
    for key in 0..8 {
        let (job, work) = Job::new();
        let mut leader = Hand::new(group.call(Colliding(key), work));
        assert!(stage.poll(&mut leader).is_pending());
        jobs.push(job);
        leaders.push(leader);
    }
    assert_eq!(counts(&group), [8, 8, 8]);

    // One is forgotten and one abandoned: they and no others are unlisted.
    assert!(group.forget(&Colliding(3)));
    assert!(!group.forget(&Colliding(8)));
    drop(leaders.remove(5));
    let mut joiners: Vec<_> = (0..8)
        .map(|key| Hand::new(group.call(Colliding(key), |_flight| async { 100 })))
        .collect();
    for joiner in &mut joiners {
        assert!(stage.poll(joiner).is_pending());
    }
    for (value, job) in jobs.iter_mut().enumerate() {
        job.land(value as u32);
    }
    stage.run();
    let led = leaders.iter_mut().map(|call| answer(call.poll()).value);
    assert_eq!(led.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 6, 7]);
    let joined = joiners.iter_mut().map(|call| answer(call.poll()).value);
    assert_eq!(joined.collect::<Vec<_>>(), [0, 1, 2, 100, 4, 100, 6, 7]);
    assert_eq!(counts(&group), [0, 0, 0]);
}

/// How a superseded flight ends, in the test below.
enum End {
    Land,
    Panic,
    Abandon,
}

// 4
#[test]
fn a_superseded_flight_that_ends_leaves_its_successor_listed() {
    for end in [End::Land, End::Panic, End::Abandon] {
        let (stage, group) = (Stage::new(), group());
        let (mut old_job, old_work) = Job::new();
        let mut old = Hand::new(group.call("k", old_work));
        assert!(stage.poll(&mut old).is_pending());
        stage.run();
        assert!(group.forget(&"k"));
        let (mut new_job, new_work) = Job::new();
        let mut new = Hand::new(group.call("k", new_work));
        assert!(stage.poll(&mut new).is_pending());
        assert_eq!(counts(&group), [2, 2, 1]);

        match end {
            End::Land => old_job.land(1),
            End::Panic => old_job.panic("of the old flight"),
            End::Abandon => drop(old),
        }
        stage.run();
        assert_eq!(counts(&group), [1, 1, 1]);

        let mut follower = Hand::new(group.call("k", never));
        assert!(stage.poll(&mut follower).is_pending());
        new_job.land(2);
        stage.run();
        let (new, follower) = (answer(new.poll()), answer(follower.poll()));
        assert_eq!((follower.value, follower.callers), (2, 2));
        assert_eq!(new.flight, follower.flight);
        assert_eq!(counts(&group), [0, 0, 0]);
    }
}

// 5
#[test]
fn forgetting_a_flight_leaves_it_to_those_on_it() {
    let (stage, group) = (Stage::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut before = [
        Hand::new(group.call("k", old_work)),
        Hand::new(group.call("k", Job::new().1)),
    ];
    for caller in &mut before {
        assert!(stage.poll(caller).is_pending());
    }
    assert!(group.forget(&"k"));
    let mut after = Hand::new(group.call("k", new_work));
    assert!(stage.poll(&mut after).is_pending());

    old_job.land(1);
    stage.run();
    for caller in &mut before {
        let answer = answer(caller.poll());
        assert_eq!((answer.value, answer.callers), (1, 2));
    }
    assert!(after.poll().is_pending());
    new_job.land(2);
    stage.run();
    assert_eq!(answer(after.poll()).value, 2);
    assert_eq!(counts(&group), [0, 0, 0]);
}

// 5
#[test]
fn a_call_made_before_a_forget_and_polled_after_it_opens_a_flight() {
    let (stage, group) = (Stage::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = Hand::new(group.call("k", old_work));
    let mut made_before = Hand::new(group.call("k", new_work));
    assert!(stage.poll(&mut old).is_pending());
    assert!(group.forget(&"k"));
    assert!(stage.poll(&mut made_before).is_pending());
    old_job.land(1);
    new_job.land(2);
    stage.run();
    assert_eq!(answer(old.poll()).value, 1);
    assert_eq!(answer(made_before.poll()).value, 2);
}

// 5
#[test]
fn forgetting_is_true_only_if_there_was_a_flight() {
    let (stage, group) = (Stage::new(), group());
    assert!(!group.forget(&"k"));
    let (mut job, work) = Job::new();
    let mut call = Hand::new(group.call("k", work));
    assert!(stage.poll(&mut call).is_pending());
    assert!(!group.forget(&"other"));
    assert!(group.forget(&"k"));
    assert!(!group.forget(&"k"));
    job.land(1);
    stage.run();
    assert_eq!(answer(call.poll()).value, 1);
    assert!(!group.forget(&"k"));
}

// 1, 11: nothing is kept, even while nobody has fetched the outcome.
#[test]
fn a_call_after_the_landing_opens_a_flight() {
    let (stage, group) = (Stage::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = Hand::new(group.call("k", old_work));
    assert!(stage.poll(&mut old).is_pending());
    old_job.land(1);
    stage.run();
    assert_eq!(counts(&group), [0, 0, 0]);

    let mut new = Hand::new(group.call("k", new_work));
    assert!(stage.poll(&mut new).is_pending());
    assert_eq!(answer(old.poll()).value, 1);
    new_job.land(2);
    stage.run();
    assert_eq!(answer(new.poll()).value, 2);
}

// 1, 12
#[test]
fn a_call_after_a_panic_opens_a_flight() {
    let (stage, group) = (Stage::new(), group());
    let (mut old_job, old_work) = Job::new();
    let (mut new_job, new_work) = Job::new();
    let mut old = Hand::new(group.call("k", old_work));
    assert!(stage.poll(&mut old).is_pending());
    old_job.panic("of the old flight");
    stage.run();
    let mut new = Hand::new(group.call("k", new_work));
    assert!(stage.poll(&mut new).is_pending());
    error(old.poll());
    new_job.land(2);
    stage.run();
    assert_eq!(answer(new.poll()).value, 2);
    assert_eq!(counts(&group), [0, 0, 0]);
}
