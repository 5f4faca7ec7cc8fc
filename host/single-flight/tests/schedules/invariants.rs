//! The assertions on the record of a run. They hold for every schedule.

use std::collections::HashMap;

use single_flight::{Error, FlightId, Policy, Role, SharingMode};

use crate::record::{Closing, CompletedCall, Mode, Record, ReportedEnd, ReportedFlight};
use crate::world::World;

pub(crate) fn check(world: &World) {
    let group = &world.group;
    // contract 20
    assert_eq!((group.flights(), group.callers()), (0, 0));
    assert_eq!((group.entries(), world.executions()), (0, 0));

    let record = world.take_record();
    let flights = flights(&record);
    for call in &record.calls {
        check_outcome(world, call, &flights);
    }
    check_sharing(world, &record);
    check_bounds(world, &record);
}

/// Every flight, each of which was reported once.
fn flights(record: &Record) -> HashMap<FlightId, &ReportedFlight> {
    let flights: HashMap<_, _> = record
        .ended
        .iter()
        .map(|ended| (ended.flight, ended))
        .collect();
    // contract 8
    assert_eq!(flights.len(), record.ended.len());
    // contract 13: exact over all flights, callers that left included.
    let callers: usize = record.ended.iter().map(|ended| ended.callers).sum();
    assert_eq!(callers, record.joined);
    flights
}

fn check_outcome(
    world: &World,
    call: &CompletedCall,
    flights: &HashMap<FlightId, &ReportedFlight>,
) {
    let end = |flight: &FlightId| flights[flight].end;
    // contract 9
    match &call.outcome {
        Ok(output) => {
            let ended = flights[&output.flight];
            assert_eq!(ended.end, ReportedEnd::Landed(output.value));
            assert_eq!(output.value, output.flight);
            assert_eq!((ended.key, ended.callers), (call.key, output.callers));
        }
        // contract 12
        Err(Error::Panicked { flight, .. }) => assert_eq!(end(flight), ReportedEnd::Panicked),
        Err(Error::Cancelled { flight }) => assert_eq!(end(flight), ReportedEnd::Cancelled),
        Err(refused) => assert!(may_refuse(refused, &world.policy), "{refused}"),
    }
    // contract 2, 18, 19: a fresh call joins no open flight and is not refused because of one.
    if call.mode == Mode::Fresh {
        match &call.outcome {
            Ok(output) => assert_eq!(output.role, Role::Leader),
            Err(error) => assert!(!matches!(
                error,
                Error::WouldDeadlock | Error::TooManyCallers { .. }
            )),
        }
    }
}

/// Whether a refusal names a limit of the policy.
fn may_refuse(error: &Error, policy: &Policy) -> bool {
    match error {
        Error::TooManyFlights { limit } => *limit == policy.max_flights,
        Error::TooManyCallers { limit } => *limit == policy.max_callers_per_flight,
        Error::TooManyExecutions { limit } => Some(*limit) == policy.max_executions_per_key,
        Error::WouldDeadlock | Error::Draining => true,
        Error::Panicked { .. } | Error::Cancelled { .. } => false,
    }
}

fn check_sharing(world: &World, record: &Record) {
    let mut by_flight: HashMap<FlightId, Vec<&CompletedCall>> = HashMap::new();
    for call in &record.calls {
        if let Ok(output) = &call.outcome {
            by_flight.entry(output.flight).or_default().push(call);
        }
    }
    for calls in by_flight.values() {
        let leaders: Vec<_> = calls.iter().filter(|call| call.is_leader()).collect();
        assert!(leaders.len() <= 1);
        // contract 11: the first outcome proves that the flight had landed by then.
        let landed = calls.iter().map(|call| call.completed).min();
        assert!(calls.iter().all(|call| Some(call.before) < landed));
        let Some(leader) = leaders.first() else {
            continue;
        };
        for call in calls {
            // contract 5
            let closes = |closing: &Closing| {
                let after_opening = leader.joined < closing.before;
                closing.key == call.key && after_opening && closing.after < call.before
            };
            assert!(!record.closings.iter().any(closes));
            // contract 6: the flight was open after the leader's first poll at the latest.
            if let Some(window) = world.policy.join_window {
                let age = call.called_at.saturating_sub(leader.joined_at);
                assert!(u128::from(age) <= window.as_millis());
            }
        }
        if world.policy.sharing == SharingMode::Share && leader.mode == Mode::Join {
            check_leader(world, record, leader, &by_flight);
        }
    }
}

// contract 1, 2
/// A call that opened a flight, although it would have joined one, had none to join.
fn check_leader(
    world: &World,
    record: &Record,
    leader: &CompletedCall,
    by_flight: &HashMap<FlightId, Vec<&CompletedCall>>,
) {
    for (flight, calls) in by_flight {
        // A flight of the key, with a caller that stays on it, from before the leader's first poll ...
        let on_it = |call: &&&CompletedCall| call.key == leader.key && call.joined < leader.before;
        let Some(on_it) = calls.iter().find(on_it) else {
            continue;
        };
        let opener = calls.iter().find(|call| call.is_leader());
        // ... until after that poll ...
        let landed = record.landings[flight] < leader.joined;
        // ... which was not closed by then, although its own opening may have closed another ...
        let closes = |closing: &Closing| {
            let in_time = closing.before < leader.joined && closing.after > on_it.before;
            closing.key == leader.key && in_time && closing.before != on_it.before
        };
        // ... and is within the join window.
        let stale = world.policy.join_window.is_some_and(|window| {
            let opened_at = opener.map_or(0, |opener| opener.called_at);
            u128::from(leader.joined_at - opened_at) > window.as_millis()
        });
        let open = !landed && !stale && !record.closings.iter().any(closes);
        assert!(!open, "a call opened a flight although one was open");
    }
}

fn check_bounds(world: &World, record: &Record) {
    // contract 23
    for call in &record.calls {
        if record.drained.is_some_and(|drained| drained < call.before) {
            assert_eq!(call.outcome.as_ref().err(), Some(&Error::Draining));
        }
    }
    // contract 25
    if world.policy.sharing == SharingMode::Observe {
        return;
    }
    // contract 19
    assert!(record.max_executions <= world.policy.max_flights);
    let most_callers = record.ended.iter().map(|ended| ended.callers).max();
    if !record.left && record.drained.is_none() {
        assert!(most_callers.unwrap_or(0) <= world.policy.max_callers_per_flight);
    }
    // contract 7
    if let Some(limit) = world.policy.max_executions_per_key {
        assert!(record.max_executions_of_a_key <= limit);
    }
}
