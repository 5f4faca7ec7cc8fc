//! What must hold of a run, whatever its schedule was. The numbers are the contract's.

use std::collections::HashMap;

use single_flight::{CallOutput, Error, FlightId, Role, SharingMode};

use crate::script::{Takes, may_refuse};
use crate::world::{Value, World};

/// What was seen in one run.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) asks: Vec<Ask>,
    pub(crate) closings: Vec<Closing>,
    pub(crate) ended: Vec<Ended>,
    /// When the work of a flight was about to return.
    pub(crate) landings: HashMap<FlightId, u64>,
    /// Calls that were put on a flight.
    pub(crate) aboard: usize,
    /// Whether a call left its flight.
    pub(crate) left: bool,
    /// When a drain had ended.
    pub(crate) drained: Option<u64>,
    /// The most executions alive at once, of one key and of all.
    pub(crate) most_of_a_key: usize,
    pub(crate) most: usize,
}

/// A call that came to its outcome. Stamps are of one order for the whole run; times are the clock's.
pub(crate) struct Ask {
    pub(crate) key: u8,
    pub(crate) takes: Takes,
    /// Before its first poll, and after it.
    pub(crate) before: u64,
    pub(crate) aboard: u64,
    pub(crate) answered: u64,
    pub(crate) asked_at: u64,
    pub(crate) aboard_at: u64,
    pub(crate) outcome: Result<CallOutput<Value>, Error>,
}

impl Ask {
    fn led(&self) -> bool {
        let answer = self.outcome.as_ref();
        answer.is_ok_and(|answer| answer.role == Role::Leader)
    }
}

/// A forget, or a call anew that was let aboard: flights of the key opened before it are closed after it.
/// One that was refused closes none, and is not here.
pub(crate) struct Closing {
    pub(crate) key: u8,
    pub(crate) before: u64,
    pub(crate) after: u64,
}

/// A flight that is over, as the observer was told.
pub(crate) struct Ended {
    pub(crate) key: u8,
    pub(crate) flight: FlightId,
    pub(crate) callers: usize,
    pub(crate) came: Came,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Came {
    Landed(Value),
    Panicked,
    Cancelled,
}

pub(crate) fn check(world: &World) {
    let group = &world.group;
    // 20
    assert_eq!((group.flights(), group.callers()), (0, 0));
    assert_eq!((group.entries(), world.executions()), (0, 0));

    let seen = world.seen();
    let flights = flights(&seen);
    for ask in &seen.asks {
        check_outcome(world, ask, &flights);
    }
    check_sharing(world, &seen);
    check_bounds(world, &seen);
}

/// Every flight, told once.
fn flights(seen: &Seen) -> HashMap<FlightId, &Ended> {
    let flights: HashMap<_, _> = seen
        .ended
        .iter()
        .map(|ended| (ended.flight, ended))
        .collect();
    // 8
    assert_eq!(flights.len(), seen.ended.len());
    // 13: exact for all flights together, leavers included.
    let callers: usize = seen.ended.iter().map(|ended| ended.callers).sum();
    assert_eq!(callers, seen.aboard);
    flights
}

fn check_outcome(world: &World, ask: &Ask, flights: &HashMap<FlightId, &Ended>) {
    let came = |flight: &FlightId| flights[flight].came;
    // 9
    match &ask.outcome {
        Ok(answer) => {
            let ended = flights[&answer.flight];
            assert_eq!(ended.came, Came::Landed(answer.value));
            assert_eq!(answer.value, answer.flight);
            assert_eq!((ended.key, ended.callers), (ask.key, answer.callers));
        }
        // 12
        Err(Error::Panicked { flight, .. }) => assert_eq!(came(flight), Came::Panicked),
        Err(Error::Cancelled { flight }) => assert_eq!(came(flight), Came::Cancelled),
        Err(refused) => assert!(may_refuse(refused, &world.policy), "{refused}"),
    }
    // 2, 18, 19: nothing that is open is joined by a call anew, nor stands in its way.
    if ask.takes == Takes::Own {
        match &ask.outcome {
            Ok(answer) => assert_eq!(answer.role, Role::Leader),
            Err(error) => assert!(!matches!(
                error,
                Error::WouldDeadlock | Error::TooManyCallers { .. }
            )),
        }
    }
}

/// Points 1, 2, 5, 6 and 11.
fn check_sharing(world: &World, seen: &Seen) {
    let mut of: HashMap<FlightId, Vec<&Ask>> = HashMap::new();
    for ask in &seen.asks {
        if let Ok(answer) = &ask.outcome {
            of.entry(answer.flight).or_default().push(ask);
        }
    }
    for asks in of.values() {
        let leaders: Vec<_> = asks.iter().filter(|ask| ask.led()).collect();
        assert!(leaders.len() <= 1);
        // 11: whoever has an answer proves that the flight had landed by then.
        let known = asks.iter().map(|ask| ask.answered).min();
        assert!(asks.iter().all(|ask| Some(ask.before) < known));
        let Some(leader) = leaders.first() else {
            continue;
        };
        for ask in asks {
            // 5
            let closes = |closing: &Closing| {
                let after_opening = leader.aboard < closing.before;
                closing.key == ask.key && after_opening && closing.after < ask.before
            };
            assert!(!seen.closings.iter().any(closes));
            // 6: the flight was open by the time of the leader's first poll at the latest.
            if let Some(window) = world.policy.join_window {
                let age = ask.asked_at.saturating_sub(leader.aboard_at);
                assert!(u128::from(age) <= window.as_millis());
            }
        }
        if world.policy.sharing == SharingMode::Share && leader.takes == Takes::Open {
            check_leader(world, seen, leader, &of);
        }
    }
}

/// 1, 2: whoever opened a flight, and would have joined one, had none to join.
fn check_leader(world: &World, seen: &Seen, leader: &Ask, of: &HashMap<FlightId, Vec<&Ask>>) {
    for (flight, asks) in of {
        // A flight of the key, with a caller on it that stays, from before the leader came ...
        let on_it = |ask: &&&Ask| ask.key == leader.key && ask.aboard < leader.before;
        let Some(on_it) = asks.iter().find(on_it) else {
            continue;
        };
        let opened_by = asks.iter().find(|ask| ask.led());
        // ... until after it was aboard its own ...
        let landed = seen.landings[flight] < leader.aboard;
        // ... that was not closed by then, but perhaps closed another when it opened ...
        let closes = |closing: &Closing| {
            let in_time = closing.before < leader.aboard && closing.after > on_it.before;
            closing.key == leader.key && in_time && closing.before != on_it.before
        };
        // ... and not too old.
        let old = world.policy.join_window.is_some_and(|window| {
            let opened_at = opened_by.map_or(0, |opener| opener.asked_at);
            u128::from(leader.aboard_at - opened_at) > window.as_millis()
        });
        let open = !landed && !old && !seen.closings.iter().any(closes);
        assert!(!open, "a caller opened a flight where one was open");
    }
}

/// Points 7, 19 and 23.
fn check_bounds(world: &World, seen: &Seen) {
    // 23
    for ask in &seen.asks {
        if seen.drained.is_some_and(|drained| drained < ask.before) {
            assert_eq!(ask.outcome.as_ref().err(), Some(&Error::Draining));
        }
    }
    if world.policy.sharing == SharingMode::Observe {
        return;
    }
    // 19
    assert!(seen.most <= world.policy.max_flights);
    let most_callers = seen.ended.iter().map(|ended| ended.callers).max();
    if !seen.left && seen.drained.is_none() {
        assert!(most_callers.unwrap_or(0) <= world.policy.max_callers_per_flight);
    }
    // 7
    if let Some(limit) = world.policy.max_executions_per_key {
        assert!(seen.most_of_a_key <= limit);
    }
}
