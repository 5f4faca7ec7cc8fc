//! Fills an [`Explanation`]: what would happen to a caller now, and which limits decide.
//!
//! It reads the table and the limits without a call. Flights open and land meanwhile, and the guest's behaviour is
//! unknown, so the result is only a prediction.

use crate::admin_types::{ExplainedLimits, Explanation, FlightStatus, NextCall};
use crate::client::FlightControl;
use crate::model::{
    Call, CallSharing, ClientError, FlightSnapshot, Generation, Limits, Resource, Sharing, Usage,
};
use crate::settings::Settings;

pub(super) fn explain(
    call: &Call,
    settings: &Settings,
    control: &FlightControl,
    generation: Generation,
    usage: Usage,
) -> Explanation {
    let (mut flights_of_key, mut flights) = (Vec::new(), 0);
    control.visit(|of, flight| {
        flights += 1;
        if of == call {
            flights_of_key.push(FlightStatus::from(flight));
        }
    });
    flights_of_key.sort_by_key(|flight| std::cmp::Reverse(flight.age_ms));
    let (shares, join_window, allow_fresh) = match settings.sharing {
        Sharing::Coalesced {
            join_window,
            allow_fresh,
        } if call.function().sharing() == CallSharing::Shared => (true, join_window, allow_fresh),
        Sharing::Coalesced { .. } | Sharing::Observed => (false, None, false),
    };
    let limits = explained(&settings.limits, shares);
    let state = TableState {
        flights_of_key: &flights_of_key,
        flights,
        is_draining: control.is_draining(),
        is_full: usage.running + usage.waiting >= limits.running,
    };
    let next = state.next(&limits);
    Explanation {
        client: settings.name.clone(),
        generation: generation.to_string(),
        key: call.hashed(),
        shares,
        join_window_ms: join_window.map(milliseconds),
        allow_fresh,
        flights_of_key,
        flights,
        running: usage.running,
        waiting: usage.waiting,
        limits,
        next,
    }
}

impl From<&FlightSnapshot> for FlightStatus {
    fn from(flight: &FlightSnapshot) -> Self {
        Self {
            flight: flight.flight.to_string(),
            age_ms: flight.age.map(milliseconds),
            callers: flight.callers,
            joinable: flight.joinable,
        }
    }
}

fn explained(limits: &Limits, shares: bool) -> ExplainedLimits {
    ExplainedLimits {
        flights: shares.then_some(limits.max_flights),
        callers: limits.max_callers,
        // At least two: the table always lets a fresh flight supersede another one.
        flights_of_key: shares.then_some(limits.max_executions_per_key.max(2)),
        running: limits.max_executions,
        queue_ms: milliseconds(limits.queue_timeout),
        flight_ms: milliseconds(limits.flight_timeout),
    }
}

/// The input of a prediction.
struct TableState<'a> {
    /// The oldest first.
    flights_of_key: &'a [FlightStatus],
    flights: usize,
    is_draining: bool,
    /// Whether all permits to run are taken.
    is_full: bool,
}

impl TableState<'_> {
    /// In the order in which the table checks.
    fn next(&self, limits: &ExplainedLimits) -> NextCall {
        let has_reached =
            |count: usize, limit: Option<usize>| limit.is_some_and(|limit| count >= limit);
        let mut of_key = self.flights_of_key.iter();
        if let Some(open) = of_key.clone().find(|flight| flight.joinable) {
            if open.callers >= limits.callers {
                return refused(&ClientError::Overloaded(Resource::Callers));
            }
            let age = open.age_ms.unwrap_or_default();
            return NextCall::Joins {
                flight: open.flight.clone(),
                within_ms: limits.flight_ms.saturating_sub(age),
            };
        }
        if self.is_draining {
            return refused(&ClientError::Cancelled);
        }
        if limits.callers == 0 {
            return refused(&ClientError::Overloaded(Resource::Callers));
        }
        if has_reached(self.flights_of_key.len(), limits.flights_of_key) {
            return refused(&ClientError::Overloaded(Resource::FlightsOfKey));
        }
        if has_reached(self.flights, limits.flights) {
            return refused(&ClientError::Overloaded(Resource::Flights));
        }
        let oldest = of_key.next().filter(|_| limits.flights.is_none());
        NextCall::Opens {
            waits: self.is_full,
            would_have_joined: oldest.map(|flight| flight.flight.clone()),
            within_ms: limits.flight_ms,
        }
    }
}

fn refused(error: &ClientError) -> NextCall {
    NextCall::Refused {
        code: error.code().to_owned(),
        reason: error.to_string(),
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ExplainedLimits = ExplainedLimits {
        flights: Some(2),
        callers: 3,
        flights_of_key: Some(2),
        running: 1,
        queue_ms: 1_000,
        flight_ms: 10_000,
    };

    fn flight(number: u8, callers: usize, joinable: bool) -> FlightStatus {
        FlightStatus {
            flight: number.to_string(),
            age_ms: Some(4_000),
            callers,
            joinable,
        }
    }

    fn state(flights_of_key: &[FlightStatus]) -> TableState<'_> {
        TableState {
            flights_of_key,
            flights: flights_of_key.len(),
            is_draining: false,
            is_full: false,
        }
    }

    fn code_of(next: NextCall) -> String {
        match next {
            NextCall::Refused { code, .. } => code,
            other => panic!("{other:?}"),
        }
    }

    fn opens(waits: bool, would_have_joined: Option<&str>) -> NextCall {
        NextCall::Opens {
            waits,
            would_have_joined: would_have_joined.map(str::to_owned),
            within_ms: 10_000,
        }
    }

    #[test]
    fn a_caller_joins_the_joinable_flight_even_while_the_table_drains() {
        let flights = [flight(1, 1, false), flight(2, 2, true)];
        let joins = NextCall::Joins {
            flight: "2".to_owned(),
            within_ms: 6_000,
        };
        let mut state = state(&flights);
        assert_eq!(state.next(&LIMITS), joins);
        state.is_draining = true;
        assert_eq!(state.next(&LIMITS), joins);
    }

    #[test]
    fn a_caller_of_a_full_flight_is_refused() {
        let flights = [flight(1, 3, true)];
        assert_eq!(code_of(state(&flights).next(&LIMITS)), "overloaded");
    }

    #[test]
    fn a_caller_opens_a_flight_up_to_the_limits() {
        assert_eq!(state(&[]).next(&LIMITS), opens(false, None));
        let full = TableState {
            is_full: true,
            ..state(&[])
        };
        assert_eq!(full.next(&LIMITS), opens(true, None));
        let draining = TableState {
            is_draining: true,
            ..state(&[])
        };
        assert_eq!(code_of(draining.next(&LIMITS)), "cancelled");
        let at_limit = TableState {
            flights: 2,
            ..state(&[])
        };
        assert_eq!(code_of(at_limit.next(&LIMITS)), "overloaded");
        let of_key = [flight(1, 1, false), flight(2, 1, false)];
        let at_limit_of_key = TableState {
            flights: 0,
            ..state(&of_key)
        };
        assert_eq!(code_of(at_limit_of_key.next(&LIMITS)), "overloaded");
        let no_callers = ExplainedLimits {
            callers: 0,
            ..LIMITS
        };
        assert_eq!(code_of(state(&[]).next(&no_callers)), "overloaded");
    }

    #[test]
    fn if_nothing_is_shared_the_oldest_flight_is_the_one_that_would_be_joined() {
        let unshared = ExplainedLimits {
            flights: None,
            flights_of_key: None,
            ..LIMITS
        };
        let flights = [
            flight(1, 1, false),
            flight(2, 1, false),
            flight(3, 1, false),
        ];
        assert_eq!(state(&flights).next(&unshared), opens(false, Some("1")));
        assert_eq!(state(&flights[..1]).next(&LIMITS), opens(false, None));
    }
}
