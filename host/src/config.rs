//! What can be set: [`Settings`] of one client, and the one table of [`Limits`] with every default,
//! its unit and its reason.

use std::fmt;
use std::time::Duration;

use crate::upstream::Policy;

/// Every bound of a client that can be set. There is no other place where its default stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flights open at once: 1,024. What waits costs memory; past it a caller is told at once.
    pub flights: usize,
    /// Callers of one flight: 100,000. Far above what one process holds in connections.
    pub callers: usize,
    /// Executions at once: 256. Times `memory` it is 16 GiB, more than
    /// guests of the usual size come near.
    pub executions: usize,
    /// Waiting for an execution's turn: 1 s. A longer queue only makes late answers later.
    pub queue: Duration,
    /// A flight in all, from its opening, queueing included: 10 s. Where most callers give up.
    pub flight: Duration,
    /// Processor time of one execution: 1 s. Thousands of times what a list of items takes.
    pub cpu: Duration,
    /// Linear memory of one execution, all its memories together: 64 MiB, in bytes.
    pub memory: usize,
    /// What a guest may pass to the host in one go, its answer above all, in bytes: 8 MiB. As large as
    /// an upstream's answer; passing it holds a thread for about 1 ms per MiB.
    pub result: usize,
    /// Items in one answer: 10,000.
    pub items: usize,
    /// A key, in bytes: 4 KiB. About what a URL can carry.
    pub key: usize,
    /// What a guest may print in one execution, in bytes: 64 KiB. The rest is dropped and counted.
    pub log: usize,
    /// Reaching an upstream, name lookup and TLS included: 3 s. One lost packet is still made up for.
    pub connect: Duration,
    /// The first byte of an answer, once there is a connection: 8 s, as long as a request in all. How
    /// long an upstream thinks is its own affair, until one is known that thinks for less.
    pub first_byte: Duration,
    /// Between one part of an answer and the next: 3 s. What has paused for as long as it takes to
    /// connect does not come any more.
    pub between_bytes: Duration,
    /// One request, from its sending to the last byte of the answer: 8 s. The guest learns of it
    /// while its flight has 2 s left to answer otherwise.
    pub request: Duration,
    /// Requests of one flight, refused ones included: 100. Enough to read a list page by page, and not
    /// to hunt through an upstream on one caller's behalf.
    pub requests: usize,
    /// Requests of all flights under way at once, so connections in use: 256, one for each execution.
    /// As many again may be kept idle or be on their way.
    pub connections: usize,
    /// A connection that nobody uses is kept: 30 s. Less than servers and balancers keep it from their
    /// side (60 s and more), so that it is seldom they who close it, under a request.
    pub idle: Duration,
    /// The head of an upstream's answer, in bytes: 64 KiB, several times what servers send. Less than
    /// 8 KiB counts as 8 KiB.
    pub head: usize,
    /// The body of an upstream's answer, in bytes: 8 MiB.
    pub body: usize,
    /// What is under way may land before the service ends: 10 s, as long as a flight can take.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flights: 1_024,
            callers: 100_000,
            executions: 256,
            queue: Duration::from_secs(1),
            flight: Duration::from_secs(10),
            cpu: Duration::from_secs(1),
            memory: 64 << 20,
            result: 8 << 20,
            items: 10_000,
            key: 4 << 10,
            log: 64 << 10,
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(8),
            between_bytes: Duration::from_secs(3),
            request: Duration::from_secs(8),
            requests: 100,
            connections: 256,
            idle: Duration::from_secs(30),
            head: 64 << 10,
            body: 8 << 20,
            grace: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The same, with `flight` for a flight in all, and what follows from it: a request gets four
    /// fifths, all of them for its first byte if need be, so that its guest can still answer otherwise;
    /// and the service waits for the last.
    #[must_use]
    pub fn with_flight(self, flight: Duration) -> Self {
        Self {
            flight,
            first_byte: flight * 4 / 5,
            request: flight * 4 / 5,
            grace: flight,
            ..self
        }
    }
}

/// How often running guests are interrupted so that others get a turn. It is the engine's, so one
/// value serves all clients.
pub(crate) const EPOCH_TICK: Duration = Duration::from_millis(10);

/// Names that the system looks up at once for one client: 16. Each holds a thread that nothing can
/// stop, and a process has 512 of them for all that blocks.
pub(crate) const LOOKUPS: usize = 16;

/// What a component is given, and what it may do.
///
/// [`fmt::Debug`] leaves the values of `env` out: they may be credentials.
#[derive(Clone, Default)]
pub struct Settings {
    /// The client's name, for logs.
    pub name: String,
    /// What the guest finds in its environment; the host's own is never passed on.
    pub env: Vec<(String, String)>,
    /// What the guest may reach.
    pub policy: Policy,
    /// Its bounds.
    pub limits: Limits,
}

impl Settings {
    /// Settings of a client that is given nothing and may reach nothing.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Puts `NAME=VALUE` into the guest's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the guest reach `[scheme://]host[:port]`.
    ///
    /// # Errors
    ///
    /// When `origin` is nothing of that form.
    pub fn allow(mut self, origin: &str) -> anyhow::Result<Self> {
        self.policy.allow.push(origin.parse()?);
        Ok(self)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Settings")
            .field("name", &self.name)
            .field("env", &names)
            .field("policy", &self.policy)
            .field("limits", &self.limits)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flights_deadline_brings_a_shorter_one_for_requests_and_as_long_a_grace() {
        let limits = Limits::default().with_flight(Duration::from_secs(30));
        let (request, grace) = (Duration::from_secs(24), Duration::from_secs(30));
        assert_eq!((limits.request, limits.grace), (request, grace));
        assert_eq!(limits.first_byte, request);
    }

    #[test]
    fn debug_output_has_the_names_of_settings_and_not_their_values() {
        let settings = Settings::new("orders").env("HEADER_AUTHORIZATION", "Bearer s3cret");
        let printed = format!("{settings:?}");
        assert!(printed.contains("HEADER_AUTHORIZATION"), "{printed}");
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}
