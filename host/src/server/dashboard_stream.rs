//! [`DashboardStream`]: what an open dashboard shows, as server-sent events.
//!
//! Without an open dashboard it costs nothing: each subscriber has its own ticks, and all of them share one
//! [`Snapshot`], which is taken by the first that needs a newer one. A subscriber that reads slowly gets fewer
//! events: nothing is buffered for it but the one that is being written and the next, and both count in the budget of
//! the admin API.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::body::Body;
use crate::client::{Client, Execute};
use crate::model::{FlightSnapshot, Sharing};
use crate::observability::metrics::{LATENCIES, STEPS, Totals};
use crate::registry::ClientRegistry;
use crate::unread::ConnectionBudget;

/// The time between two events of a subscriber, at least.
const TICK: Duration = Duration::from_secs(1);

/// The maximum age of a snapshot that is sent. Less than a tick, or a subscriber whose tick comes a little early
/// would get only every second snapshot.
const MAX_SNAPSHOT_AGE: Duration = Duration::from_millis(500);

/// The smallest tick.
const MIN_TICK: Duration = Duration::from_millis(10);

/// Flights in a snapshot: more than a person reads, and few enough to send each second.
const MAX_FLIGHTS: usize = 50;

/// The source of events for all subscribers.
pub(super) struct DashboardStream<C> {
    clients: Arc<ClientRegistry<C>>,
    /// Lets a dashboard detect that another service, or a restarted one, runs at its address.
    started: SystemTime,
    /// The origin of the times in events.
    origin: Instant,
    latest: Mutex<Option<Snapshot>>,
}

/// What all subscribers get.
struct Snapshot {
    /// Incremented with each change.
    number: u64,
    taken: Instant,
    state: DashboardState,
    /// The state as it is sent.
    json: Arc<RawValue>,
}

impl<C: Execute> DashboardStream<C> {
    pub(super) fn new(clients: Arc<ClientRegistry<C>>) -> Self {
        Self {
            clients,
            started: SystemTime::now(),
            origin: Instant::now(),
            latest: Mutex::default(),
        }
    }

    /// Server-sent events until the shutdown starts: one immediately, then one for each change, at most one each
    /// [`TICK`]; and a comment after `heartbeat` without an event.
    pub(super) fn events(
        self: Arc<Self>,
        heartbeat: Duration,
        budget: Arc<ConnectionBudget>,
    ) -> Body {
        let mut ticks = interval(heartbeat.clamp(MIN_TICK, TICK));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let subscriber = Subscriber {
            source: self,
            ticks,
            last_number: 0,
            heartbeat,
            last_sent: Instant::now(),
            budget,
        };
        let events = stream::unfold(subscriber, |mut subscriber| async {
            let event = subscriber.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(event)), subscriber))
        });
        Body::Stream(StreamBody::new(events).boxed_unsync())
    }

    /// The latest snapshot: its number and state.
    fn snapshot(&self) -> (u64, Arc<RawValue>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match &mut *latest {
            Some(latest) if latest.taken.elapsed() < MAX_SNAPSHOT_AGE => {
                return (latest.number, Arc::clone(&latest.json));
            }
            Some(latest) => latest.number + 1,
            None => 1,
        };
        let state = DashboardState::of(&self.clients, self.origin);
        let taken = Instant::now();
        match &mut *latest {
            Some(latest) if latest.state == state => {
                latest.taken = taken;
                (latest.number, Arc::clone(&latest.json))
            }
            latest => {
                let json: Arc<RawValue> = to_raw_value(&state).unwrap_or_default().into();
                *latest = Some(Snapshot {
                    number,
                    taken,
                    state,
                    json: Arc::clone(&json),
                });
                (number, json)
            }
        }
    }
}

/// One open dashboard.
struct Subscriber<C> {
    source: Arc<DashboardStream<C>>,
    ticks: Interval,
    /// The number of the snapshot that was sent last.
    last_number: u64,
    heartbeat: Duration,
    /// When an event or a comment was sent last.
    last_sent: Instant,
    /// What may be held for its connection.
    budget: Arc<ConnectionBudget>,
}

impl<C: Execute> Subscriber<C> {
    /// The next event; `None` when the shutdown starts.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.source.clients.shutdown_started() => return None,
                _ = self.ticks.tick() => {}
            }
            let (number, state) = self.source.snapshot();
            // An event that does not fit is sent at a later tick.
            if number != self.last_number
                && let Some(event) = self.budget.hold_shared(self.render(number, &state))
            {
                self.last_number = number;
                self.last_sent = Instant::now();
                return Some(event);
            }
            if self.last_sent.elapsed() >= self.heartbeat {
                self.last_sent = Instant::now();
                return Some(Bytes::from_static(b":\n\n"));
            }
        }
    }

    fn render(&self, number: u64, state: &RawValue) -> Bytes {
        let started = self.source.started.duration_since(SystemTime::UNIX_EPOCH);
        let event = DashboardEvent {
            started_ms: started.unwrap_or_default().as_millis(),
            now_ms: self.source.origin.elapsed().as_millis(),
            number,
            bounds: &LATENCIES,
            steps: STEPS,
            state,
        };
        let json = serde_json::to_string(&event).unwrap_or_default();
        format!("data: {json}\n\n").into()
    }
}

/// The data of an event.
#[derive(Serialize)]
struct DashboardEvent<'a> {
    /// Milliseconds since 1970. Another value means another service, whose counts start from zero.
    started_ms: u128,
    /// Milliseconds since then, by a monotonic clock.
    now_ms: u128,
    number: u64,
    /// Upper bounds of the latency buckets, in seconds.
    bounds: &'a [f64],
    /// Parts of each bucket in which latencies are counted.
    steps: usize,
    state: &'a RawValue,
}

/// The state of all clients.
#[derive(PartialEq, Eq, Serialize)]
struct DashboardState {
    clients: Vec<DashboardClient>,
    /// Those with the most callers, the oldest first among equals; [`MAX_FLIGHTS`] at most.
    flights: Vec<DashboardFlight>,
}

/// All loads of one client.
#[derive(PartialEq, Eq, Serialize)]
struct DashboardClient {
    client: String,
    /// `shared`, or `observed`.
    sharing: &'static str,
    totals: Totals,
    /// Callers that wait now.
    waiting: usize,
    /// Open flights.
    flights: usize,
}

#[derive(Serialize)]
struct DashboardFlight {
    client: String,
    generation: String,
    flight: String,
    key: String,
    /// On the scale of [`DashboardEvent::now_ms`].
    opened_ms: u128,
    callers: usize,
    joinable: bool,
}

/// A flight's key and time never change; the time is left out because it is derived from its age, and so varies.
impl PartialEq for DashboardFlight {
    fn eq(&self, other: &Self) -> bool {
        let changing = |flight: &Self| (flight.callers, flight.joinable);
        self.generation == other.generation
            && self.flight == other.flight
            && changing(self) == changing(other)
    }
}

impl Eq for DashboardFlight {}

impl DashboardState {
    fn of<C: Execute>(clients: &ClientRegistry<C>, origin: Instant) -> Self {
        let loads = clients.all_and_retired();
        let mut by_name = BTreeMap::<&str, DashboardClient>::new();
        let mut flights = Vec::new();
        for load in &loads {
            let settings = load.settings();
            let client = by_name
                .entry(&settings.name)
                .or_insert_with(|| DashboardClient {
                    client: settings.name.clone(),
                    sharing: match settings.sharing {
                        Sharing::Coalesced { .. } => "shared",
                        Sharing::Observed => "observed",
                    },
                    // Read before the waiting callers: a caller that gets its reply in between is missed once, and
                    // not counted twice.
                    totals: load.metrics().totals(),
                    waiting: 0,
                    flights: 0,
                });
            load.control().visit(|call, flight| {
                client.waiting += flight.callers;
                client.flights += 1;
                flights.push((load, call.clone(), *flight));
            });
        }
        let order = |(_, _, flight): &(_, _, FlightSnapshot)| Reverse((flight.callers, flight.age));
        if flights.len() > MAX_FLIGHTS {
            flights.select_nth_unstable_by_key(MAX_FLIGHTS, order);
            flights.truncate(MAX_FLIGHTS);
        }
        flights.sort_by_key(order);
        let now = origin.elapsed();
        let flights = flights
            .into_iter()
            .map(|(load, call, flight)| DashboardFlight {
                client: load.settings().name.clone(),
                generation: load.client().generation().to_string(),
                flight: flight.flight.to_string(),
                key: call.hashed(),
                opened_ms: now
                    .saturating_sub(flight.age.unwrap_or_default())
                    .as_millis(),
                callers: flight.callers,
                joinable: flight.joinable,
            });
        Self {
            flights: flights.collect(),
            clients: by_name.into_values().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use futures_util::poll;
    use tokio::time::advance;

    use super::*;
    use crate::flight_context::FlightContext;
    use crate::model::{Call, ClientError, Generation, Outcome};
    use crate::observability::metrics::ClientMetrics;
    use crate::registry::LoadedClient;
    use crate::settings::Settings;

    #[derive(Debug)]
    struct Silent(Generation);

    impl Execute for Silent {
        fn generation(&self) -> Generation {
            self.0
        }

        async fn execute(&self, _: Call, _: &FlightContext) -> Result<Outcome, ClientError> {
            pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn subscribers_share_a_snapshot_until_it_is_old_and_then_as_long_as_nothing_has_changed()
    {
        let load = LoadedClient::new(
            Silent(Generation::next()),
            Settings::new("a"),
            ClientMetrics::default(),
        );
        let client = load.client().clone();
        let source = DashboardStream::new(Arc::new(ClientRegistry::of([load])));
        let (number, first) = source.snapshot();
        assert_eq!(number, 1);

        let mut caller = pin!(client.call("key".into()));
        assert!(poll!(caller.as_mut()).is_pending());
        let (number, shared) = source.snapshot();
        assert!(number == 1 && Arc::ptr_eq(&shared, &first));

        advance(MAX_SNAPSHOT_AGE).await;
        let (number, second) = source.snapshot();
        assert!(number == 2 && second.get() != first.get());

        // The flight is older, and nothing else has changed.
        advance(MAX_SNAPSHOT_AGE).await;
        let (number, shared) = source.snapshot();
        assert!(number == 2 && Arc::ptr_eq(&shared, &second));
    }
}
