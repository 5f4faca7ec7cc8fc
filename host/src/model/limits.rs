//! [`Limits`]: every limit of a client that can be set.

use std::time::Duration;

use super::setting::limits;

limits! {
    /// Every limit of a client that can be set.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Limits {
        /// Flights in progress at once. Callers that wait cost memory, so a caller that would open one more is
        /// refused at once.
        max_flights: usize = 1_024, at least 1;
        /// Callers of one flight. Far above the number of connections that one process holds.
        max_callers: usize = 100_000, at least 1;
        /// Executions of one key at once, including those that callers no longer join. A key gets a second
        /// execution where a flight outlives its join window, is forgotten, or a caller requests a fresh one;
        /// this bounds their number. Less than 2 counts as 2.
        max_executions_per_key: usize = 8, at least 1;
        /// Executions at once. Times max_memory_bytes that is 16 GiB, more than guests of the usual size use.
        max_executions: usize = 256, at least 1;
        /// The time that a flight waits for its execution to start. A longer queue only makes late answers later.
        queue_timeout: Duration = 1 s, at least 0 ms;
        /// The time of a flight, from its opening, the queue included. Most callers give up after as long. A request
        /// to the upstream gets four fifths of it, unless its own timeouts are set.
        flight_timeout: Duration = 10 s, at least 1 ms, then with_flight_timeout;
        /// Processor time of one execution. Thousands of times what a list of items needs.
        max_cpu_time: Duration = 1 s, at least 1 ms;
        /// Linear memory of one execution, all its memories together.
        max_memory_bytes: usize = 64 MiB, at least 1 B;
        /// Core modules of one component, and so their instances in one execution. A Rust guest has 3, a
        /// JavaScript guest 4; a component that is composed of others has those of all.
        max_modules: usize = 16, at least 1;
        /// Linear memories of one execution. A guest has one, a component that is composed of others one for each.
        max_memories: usize = 4, at least 1;
        /// Tables of one execution. Most guests have two: their own, and one for their imports.
        max_tables: usize = 8, at least 1;
        /// Elements of one table. The largest guests seen (JavaScript) have 7,689.
        max_table_elements: usize = 20_000, at least 1;
        /// Streams, requests and the like that the host holds for one execution at a time. A request needs about
        /// ten, so this suffices for as many requests as a flight may send.
        max_resources: usize = 1_000, at least 1;
        /// Handles of one execution, to those resources and to what its components hold for each other. Ten times
        /// as many, since a handle costs the host 16 bytes or so, and no file or socket.
        max_handles: usize = 10_000, at least 1;
        /// Random bytes in one call of the host, which no timeout interrupts. A guest that needs more calls again.
        max_random_bytes: usize = 64 KiB, at least 0 B;
        /// What a guest may pass to the host in one call, its answer above all. As large as the body of an
        /// upstream's answer; passing it occupies a thread for about 1 ms per MiB.
        max_result_bytes: usize = 8 MiB, at least 1 B;
        /// Items in one answer.
        max_items: usize = 10_000, at least 0;
        /// A key. About what a URL can carry.
        max_key_bytes: usize = 4 KiB, at least 0 B;
        /// What a guest may print in one execution. The rest is dropped and counted.
        max_log_bytes: usize = 64 KiB, at least 0 B;
        /// Connecting to an upstream, name lookup and TLS included. Enough to make up for one lost packet.
        connect_timeout: Duration = 3 s, at least 1 ms;
        /// The first byte of an answer, once there is a connection. As long as a whole request: how long an
        /// upstream takes to answer is not known in advance.
        first_byte_timeout: Duration = 8 s, at least 1 ms;
        /// The pause between one part of an answer and the next. As long as connecting takes: after such a pause
        /// no more is to be expected.
        between_bytes_timeout: Duration = 3 s, at least 1 ms;
        /// One request, from its start to the last byte of the answer. The guest gets the error while its flight
        /// has 2 s left, to answer otherwise.
        request_timeout: Duration = 8 s, at least 1 ms;
        /// Requests of one flight, refused ones included. Enough to read a list page by page, and not to scan an
        /// upstream on behalf of one caller.
        max_requests: usize = 100, at least 0;
        /// Requests of all flights at once, and so connections in use: one for each execution. As many again may
        /// be idle or about to be opened.
        max_connections: usize = 256, at least 1;
        /// The time that an idle connection is kept. Less than servers and load balancers keep it (60 s and more),
        /// so that they seldom close it under a request.
        idle_timeout: Duration = 30 s, at least 0 ms;
        /// The header of an upstream's answer. Several times what servers send. Less than 8 KiB counts as 8 KiB.
        max_header_bytes: usize = 64 KiB, at least 1 B;
        /// The body of an upstream's answer.
        max_body_bytes: usize = 8 MiB, at least 0 B;
    }
}

impl Limits {
    /// The same limits with another [`flight_timeout`](Self::flight_timeout), and what follows from it: a request
    /// gets four fifths, all of them for its first byte if need be, so that the guest can still answer otherwise.
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
    fn a_flight_timeout_sets_a_shorter_timeout_for_requests() {
        let limits = Limits::default().with_flight_timeout(Duration::from_secs(30));
        let request = Duration::from_secs(24);
        assert_eq!(
            (limits.request_timeout, limits.first_byte_timeout),
            (request, request)
        );
    }
}
