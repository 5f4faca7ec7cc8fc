//! The contract between callers, decorators and components: [`Client`], and what goes in and out of
//! one: [`Key`], [`Items`], [`ClientError`], [`Answer`].
//!
//! It is here because every part of the host speaks these words and nothing else to its neighbour.
//! It knows no Wasm and no HTTP.

mod equality;
mod error;
mod items;
mod limits;
mod single_flight;
mod telemetry;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

pub use ::single_flight::{FlightId, FlightSnapshot, Role};

pub use self::error::{ClientError, Limit, Resource};
pub use self::items::{Item, Items, MalformedItems};
pub use self::limits::WithLimits;
pub use self::single_flight::WithSingleFlight;
pub use self::telemetry::WithTelemetry;

/// Asks for the items that a key names: a component, or a decorator around one.
///
/// `get_items` is called once per caller, from any number of tasks at once.
///
/// # The law
///
/// - Nothing but the key says what is asked for: two calls with equal keys may be given one answer.
/// - Dropping the future is the only cancel there is, and must end whatever it started.
/// - A decorator calls `next` at most once per call: retrying and caching are no part of this chain.
/// - An answer is shared between callers: nobody can change it, and making it cheap to clone is the
///   implementation's duty.
pub trait Client: Send + Sync + 'static {
    /// Which load of which component answers. It never changes in the life of a client, and a
    /// decorator passes on that of its `next`.
    fn generation(&self) -> Generation;

    /// What it has under way, and has done so far. Read when somebody looks at it.
    fn usage(&self) -> Usage {
        Usage::default()
    }

    /// Asks once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the call. Where it shared a flight with other callers, they keep it.
    fn get_items(&self, key: Key) -> impl Future<Output = Answer> + Send;
}

/// Numbers the loads of components within the process, so that what one of them answers is never
/// shared with a caller of another: a reloaded client gets a new number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(u64);

impl Generation {
    /// A number that nothing in this process had before.
    #[must_use]
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a caller asks for: the `x` of `get-items`, whole, and all that a guest learns of its caller.
///
/// Keys may hold what people search for, so [`fmt::Debug`] and [`fmt::Display`] print a hash that
/// is keyed anew by each process; [`Key::as_str`] is the key itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key, as the guest gets it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Key {
    fn from(x: T) -> Self {
        Self(x.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static KEYED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        write!(f, "{:016x}", KEYED.hash_one(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(#{self})")
    }
}

/// What one caller gets.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The items, or why there are none.
    pub result: Result<Items, ClientError>,
    /// The caller's place in the flight that answered; `None` where no flight did: it was refused,
    /// cancelled, or asked a client that is not decorated with [`WithSingleFlight`].
    pub seat: Option<Seat>,
}

impl From<Result<Items, ClientError>> for Answer {
    fn from(result: Result<Items, ClientError>) -> Self {
        Self { result, seat: None }
    }
}

/// What a client costs, and has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls of the guest.
    pub guest_calls: u64,
    /// Requests that its policy let through to an upstream.
    pub upstream_requests: u64,
    /// Flights that wait for a permit to execute.
    pub waiting: usize,
    /// Calls of the guest that are under way, each with its store.
    pub running: usize,
    /// Instances that wait for their next call.
    pub idle: usize,
    /// Connections to upstreams: in use, kept for the next request, or being made.
    pub connections: usize,
}

/// A caller's place in a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The flight.
    pub flight: FlightId,
    /// Whether this caller opened it or joined it.
    pub role: Role,
    /// How many callers it had in all, those included that left before it landed.
    pub callers: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printed_as_a_hash_and_never_as_itself() {
        let key = Key::from("who-is-asked-about");
        let printed = format!("{key} {key:?}");
        assert!(!printed.contains("asked"), "{printed}");
        assert_eq!(key.to_string(), Key::from("who-is-asked-about").to_string());
        assert_ne!(key.to_string(), Key::from("somebody else").to_string());
    }

    #[test]
    fn generations_never_repeat() {
        assert_ne!(Generation::next(), Generation::next());
    }
}
