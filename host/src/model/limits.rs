//! [`Limits`]: every bound of a client that can be set.

use std::time::Duration;

/// Every bound of a client that can be set. There is no other place where its default stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flights open at once: 1,024. What waits costs memory; past it a caller is told at once.
    pub max_flights: usize,
    /// Callers of one flight: 100,000. Far above what one process holds in connections.
    pub max_callers: usize,
    /// Executions of one key at once, those included that callers join no more: 8. There is a second
    /// where a flight outlives its join window, is forgotten, or a caller asks for one of its own; this
    /// is how far that can go. Less than 2 counts as 2.
    pub max_executions_per_key: usize,
    /// Executions at once: 256. Times `memory` it is 16 GiB, more than
    /// guests of the usual size come near.
    pub max_executions: usize,
    /// Waiting for an execution's turn: 1 s. A longer queue only makes late answers later.
    pub queue_timeout: Duration,
    /// A flight in all, from its opening, queueing included: 10 s. Where most callers give up.
    pub flight_timeout: Duration,
    /// Processor time of one execution: 1 s. Thousands of times what a list of items takes.
    pub max_cpu_time: Duration,
    /// Linear memory of one execution, all its memories together: 64 MiB, in bytes.
    pub max_memory_bytes: usize,
    /// Core modules of one component, so their instances in one execution: 16. A Rust guest has 3, a
    /// JavaScript one 4; a component made of components has those of all.
    pub max_modules: usize,
    /// Linear memories of one execution: 4. A guest has one, a component made of components one for each.
    pub max_memories: usize,
    /// Tables of one execution: 8. Most guests have two: their own, and one for what they import.
    pub max_tables: usize,
    /// Elements of one table: 20,000. The largest guests seen (JavaScript) have 7,689.
    pub max_table_elements: usize,
    /// Streams, requests and the like that the host holds for one execution at a time: 1,000. A request
    /// takes about ten, so as many as a flight may send.
    pub max_resources: usize,
    /// Handles of one execution, to those and to what components within it hold for each other: 10,000.
    /// Ten times the former: they cost the host 16 bytes or so, and no file or socket.
    pub max_handles: usize,
    /// Random bytes in one go: 64 KiB. They are made in one call of the host, which no deadline
    /// interrupts; more of them are more calls.
    pub max_random_bytes: usize,
    /// What a guest may pass to the host in one go, its answer above all, in bytes: 8 MiB. As large as
    /// an upstream's answer; passing it holds a thread for about 1 ms per MiB.
    pub max_result_bytes: usize,
    /// Items in one answer: 10,000.
    pub max_items: usize,
    /// A key, in bytes: 4 KiB. About what a URL can carry.
    pub max_key_bytes: usize,
    /// What a guest may print in one execution, in bytes: 64 KiB. The rest is dropped and counted.
    pub max_log_bytes: usize,
    /// Reaching an upstream, name lookup and TLS included: 3 s. One lost packet is still made up for.
    pub connect_timeout: Duration,
    /// The first byte of an answer, once there is a connection: 8 s, as long as a request in all. How
    /// long an upstream thinks is its own affair, until one is known that thinks for less.
    pub first_byte_timeout: Duration,
    /// Between one part of an answer and the next: 3 s. What has paused for as long as it takes to
    /// connect does not come any more.
    pub between_bytes_timeout: Duration,
    /// One request, from its sending to the last byte of the answer: 8 s. The guest learns of it
    /// while its flight has 2 s left to answer otherwise.
    pub request_timeout: Duration,
    /// Requests of one flight, refused ones included: 100. Enough to read a list page by page, and not
    /// to hunt through an upstream on one caller's behalf.
    pub max_requests: usize,
    /// Requests of all flights under way at once, so connections in use: 256, one for each execution.
    /// As many again may be kept idle or be on their way.
    pub max_connections: usize,
    /// A connection that nobody uses is kept: 30 s. Less than servers and balancers keep it from their
    /// side (60 s and more), so that it is seldom they who close it, under a request.
    pub idle_timeout: Duration,
    /// The head of an upstream's answer, in bytes: 64 KiB, several times what servers send. Less than
    /// 8 KiB counts as 8 KiB.
    pub max_header_bytes: usize,
    /// The body of an upstream's answer, in bytes: 8 MiB.
    pub max_body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_flights: 1_024,
            max_callers: 100_000,
            max_executions_per_key: 8,
            max_executions: 256,
            queue_timeout: Duration::from_secs(1),
            flight_timeout: Duration::from_secs(10),
            max_cpu_time: Duration::from_secs(1),
            max_memory_bytes: 64 << 20,
            max_modules: 16,
            max_memories: 4,
            max_tables: 8,
            max_table_elements: 20_000,
            max_resources: 1_000,
            max_handles: 10_000,
            max_random_bytes: 64 << 10,
            max_result_bytes: 8 << 20,
            max_items: 10_000,
            max_key_bytes: 4 << 10,
            max_log_bytes: 64 << 10,
            connect_timeout: Duration::from_secs(3),
            first_byte_timeout: Duration::from_secs(8),
            between_bytes_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(8),
            max_requests: 100,
            max_connections: 256,
            idle_timeout: Duration::from_secs(30),
            max_header_bytes: 64 << 10,
            max_body_bytes: 8 << 20,
        }
    }
}

impl Limits {
    /// The same, with `flight` for a flight in all, and what follows from it: a request gets four
    /// fifths, all of them for its first byte if need be, so that its guest can still answer otherwise.
    #[must_use]
    pub fn with_flight_timeout(self, timeout: Duration) -> Self {
        Self {
            flight_timeout: timeout,
            first_byte_timeout: timeout * 4 / 5,
            request_timeout: timeout * 4 / 5,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_timeout_brings_a_shorter_one_for_requests() {
        let limits = Limits::default().with_flight_timeout(Duration::from_secs(30));
        let request = Duration::from_secs(24);
        assert_eq!(
            (limits.request_timeout, limits.first_byte_timeout),
            (request, request)
        );
    }
}
