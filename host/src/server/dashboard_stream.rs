//! [`DashboardStream`]: what the page shows while somebody looks at it, as events that the server sends.
//!
//! Nothing is done where nobody looks: each page's stream ticks for itself, and all of them are told of
//! one [`Snapshot`], which is taken by the first to ask for a newer one. A page that reads slowly is told
//! less often, and nothing is kept for it.

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
use crate::model::FlightSnapshot;
use crate::model::Sharing;
use crate::observability::metrics::{LATENCIES, STEPS, Totals};
use crate::registry::ClientRegistry;

/// How often a page is told what is new.
const TICK: Duration = Duration::from_secs(1);

/// For how long a snapshot is new: for less than a tick, or a page that ticks a little early would be
/// told every second one.
const FRESH: Duration = Duration::from_millis(500);

/// The least time between two looks of a page.
const LEAST_TICK: Duration = Duration::from_millis(10);

/// Flights in a snapshot: more than anybody reads, and few enough to send each second.
const FLIGHTS: usize = 50;

/// What a service's pages are told.
pub(super) struct DashboardStream<C> {
    clients: Arc<ClientRegistry<C>>,
    /// Told from other services at this address by it.
    started: SystemTime,
    /// The time that snapshots and flights are placed in begins here.
    origin: Instant,
    latest: Mutex<Option<Snapshot>>,
}

/// How things stood, as all pages are told.
struct Snapshot {
    /// Counts up where something is new.
    number: u64,
    taken: Instant,
    figures: Figures,
    /// The figures as they are sent.
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

    /// Server-sent events, until the service's end begins: one at once, then one for each change, at most
    /// one each [`TICK`]; and a comment where nothing was said for as long as `heartbeat`.
    pub(super) fn events(self: Arc<Self>, heartbeat: Duration) -> Body {
        let mut ticks = interval(heartbeat.clamp(LEAST_TICK, TICK));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let page = Page {
            live: self,
            ticks,
            told: 0,
            heartbeat,
            spoke: Instant::now(),
        };
        let events = stream::unfold(page, |mut page| async {
            let event = page.event().await?;
            Some((Ok::<_, Infallible>(Frame::data(event)), page))
        });
        Body::Stream(StreamBody::new(events).boxed_unsync())
    }

    /// The number of the latest snapshot, and what is in it.
    fn snapshot(&self) -> (u64, Arc<RawValue>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match &mut *latest {
            Some(latest) if latest.taken.elapsed() < FRESH => {
                return (latest.number, Arc::clone(&latest.json));
            }
            Some(latest) => latest.number + 1,
            None => 1,
        };
        let figures = Figures::of(&self.clients, self.origin);
        let taken = Instant::now();
        match &mut *latest {
            Some(latest) if latest.figures == figures => {
                latest.taken = taken;
                (latest.number, Arc::clone(&latest.json))
            }
            latest => {
                let json: Arc<RawValue> = to_raw_value(&figures).unwrap_or_default().into();
                let told = (number, Arc::clone(&json));
                *latest = Some(Snapshot {
                    number,
                    taken,
                    figures,
                    json,
                });
                told
            }
        }
    }
}

/// One page that somebody looks at.
struct Page<C> {
    live: Arc<DashboardStream<C>>,
    ticks: Interval,
    /// The last snapshot that it was told of.
    told: u64,
    heartbeat: Duration,
    /// When it was last told anything.
    spoke: Instant,
}

impl<C: Execute> Page<C> {
    /// The next event; `None` when the service's end begins.
    async fn event(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.live.clients.left() => return None,
                _ = self.ticks.tick() => {}
            }
            let (number, figures) = self.live.snapshot();
            if number != self.told {
                self.told = number;
                self.spoke = Instant::now();
                return Some(self.render(number, &figures));
            }
            if self.spoke.elapsed() >= self.heartbeat {
                self.spoke = Instant::now();
                return Some(Bytes::from_static(b":\n\n"));
            }
        }
    }

    fn render(&self, number: u64, figures: &RawValue) -> Bytes {
        let started = self.live.started.duration_since(SystemTime::UNIX_EPOCH);
        let event = Event {
            started_ms: started.unwrap_or_default().as_millis(),
            now_ms: self.live.origin.elapsed().as_millis(),
            number,
            bounds: &LATENCIES,
            steps: STEPS,
            figures,
        };
        let json = serde_json::to_string(&event).unwrap_or_default();
        format!("data: {json}\n\n").into()
    }
}

/// What one page is told.
#[derive(Serialize)]
struct Event<'a> {
    /// Milliseconds since 1970. Another one is another service, whose counts begin anew.
    started_ms: u128,
    /// Milliseconds since then, by a clock that is never set.
    now_ms: u128,
    number: u64,
    /// Upper bounds of the ranges of times, in seconds.
    bounds: &'a [f64],
    /// Parts that times are counted in, for each of those ranges.
    steps: usize,
    figures: &'a RawValue,
}

/// What there is to see.
#[derive(PartialEq, Eq, Serialize)]
struct Figures {
    clients: Vec<OfClient>,
    /// The most crowded, and of these the oldest; [`FLIGHTS`] at most.
    flights: Vec<Flight>,
}

/// Of all loads of one client.
#[derive(PartialEq, Eq, Serialize)]
struct OfClient {
    client: String,
    /// `shared`, or `observed`.
    sharing: &'static str,
    totals: Totals,
    /// Callers that wait now.
    waiting: usize,
    /// Flights that are under way now.
    flights: usize,
}

#[derive(Serialize)]
struct Flight {
    client: String,
    generation: String,
    flight: String,
    key: String,
    /// As [`Event::now_ms`] counts.
    opened_ms: u128,
    callers: usize,
    joinable: bool,
}

/// A flight has one key and opens once: it is another one, or it has changed in these.
impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        let changing = |flight: &Self| (flight.callers, flight.joinable);
        self.generation == other.generation
            && self.flight == other.flight
            && changing(self) == changing(other)
    }
}

impl Eq for Flight {}

impl Figures {
    fn of<C: Execute>(clients: &ClientRegistry<C>, origin: Instant) -> Self {
        let loads = clients.all_and_retired();
        let mut by_name = BTreeMap::<&str, OfClient>::new();
        let mut flights = Vec::new();
        for served in &loads {
            let settings = served.settings();
            let table = served.control();
            let client = by_name.entry(&settings.name).or_insert_with(|| OfClient {
                client: settings.name.clone(),
                sharing: match settings.sharing {
                    Sharing::Coalesced { .. } => "shared",
                    Sharing::Observed => "observed",
                },
                // Before those who wait: a caller that is told meanwhile is missed once, and not
                // counted twice.
                totals: served.metrics().totals(),
                waiting: 0,
                flights: 0,
            });
            table.visit(|key, flight| {
                client.waiting += flight.callers;
                client.flights += 1;
                flights.push((served, key.clone(), *flight));
            });
        }
        let order = |(_, _, flight): &(_, _, FlightSnapshot)| Reverse((flight.callers, flight.age));
        if flights.len() > FLIGHTS {
            flights.select_nth_unstable_by_key(FLIGHTS, order);
            flights.truncate(FLIGHTS);
        }
        flights.sort_by_key(order);
        let now = origin.elapsed();
        let flights = flights.into_iter().map(|(served, key, flight)| Flight {
            client: served.settings().name.clone(),
            generation: served.client().generation().to_string(),
            flight: flight.flight.to_string(),
            key: key.to_string(),
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
    async fn pages_share_a_snapshot_until_it_is_old_and_then_for_as_long_as_nothing_has_changed() {
        let served = LoadedClient::new(
            Silent(Generation::next()),
            Settings::new("a"),
            ClientMetrics::default(),
        );
        let client = served.client().clone();
        let live = DashboardStream::new(Arc::new(ClientRegistry::of([served])));
        let (number, first) = live.snapshot();
        assert_eq!(number, 1);

        let mut caller = pin!(client.call("key".into()));
        assert!(poll!(caller.as_mut()).is_pending());
        let (number, shared) = live.snapshot();
        assert!(number == 1 && Arc::ptr_eq(&shared, &first));

        advance(FRESH).await;
        let (number, second) = live.snapshot();
        assert!(number == 2 && second.get() != first.get());

        // The flight is older, and nothing else.
        advance(FRESH).await;
        let (number, shared) = live.snapshot();
        assert!(number == 2 && Arc::ptr_eq(&shared, &second));
    }
}
