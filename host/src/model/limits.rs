//! [`Limits`]: every limit of a client that can be set.

use std::time::Duration;

use super::setting::limits;

limits! {
    /// Every limit of a client that can be set.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Limits {
        /// Maximum number of flights in progress. Waiting callers cost memory, so a caller that would open one more
        /// is refused immediately.
        max_flights: usize = 1_024, at least 1;
        /// Maximum number of callers of one flight. The default is far above the number of connections that one
        /// process holds.
        max_callers: usize = 100_000, at least 1;
        /// Maximum number of concurrent executions of one key, including those that callers can no longer join. A key
        /// gets a second execution if its flight is older than the join window, if an operator forgets the key (POST
        /// /v1/NAME/forget), or if a caller requests a new flight. Values below 2 count as 2.
        max_executions_per_key: usize = 8, at least 1;
        /// Maximum number of concurrent executions. See also max_total_memory_bytes.
        max_executions: usize = 128, at least 1;
        /// Maximum number of executions that compute at the same time. It applies while executions of this client compute
        /// for 0.1 ms and longer without a pause; the others then wait for their turn. Values above the number of
        /// processors count as that number.
        max_runnable: usize = 128, at least 1;
        /// Maximum time that a flight waits for its execution to start. A longer queue only makes late answers later.
        queue_timeout: Duration = 1 s, at least 0 ms;
        /// Maximum duration of a flight from its opening, including the time in the queue. Most callers give up after
        /// about the default. If request_timeout and first_byte_timeout are not set, they are four fifths of it.
        flight_timeout: Duration = 10 s, at least 1 ms, then with_flight_timeout;
        /// Maximum CPU time of one execution. The default is thousands of times what a list of items needs.
        max_cpu_time: Duration = 1 s, at least 1 ms;
        /// Maximum memory of one execution: all its linear memories and tables, and what the host holds for it, such as
        /// its requests, their header fields and bodies, and its answer.
        max_memory_bytes: usize = 64 MiB, at least 1 B;
        /// Maximum memory of all executions and idle instances together. A flight for which there is none is refused, and
        /// a guest does not get more. The default is enough for max_executions guests of 1 MiB with one request each; an
        /// execution takes 704 KiB beside its memory.
        max_total_memory_bytes: usize = 288 MiB, at least 1 B;
        /// Maximum number of core modules in one component, and thus of core instances in one execution. A Rust guest
        /// has 3, a JavaScript guest 4; a composed component has those of all its parts.
        max_modules: usize = 16, at least 1;
        /// Maximum number of linear memories of one execution. A guest has one, a composed component one for each
        /// part.
        max_memories: usize = 4, at least 1;
        /// Maximum number of WebAssembly tables of one execution. Most guests have two: their own, and one for their
        /// imports.
        max_tables: usize = 8, at least 1;
        /// Maximum number of elements of one table. The largest guests measured (JavaScript) have 7,689.
        max_table_elements: usize = 20_000, at least 1;
        /// Maximum number of host resources (streams, requests, and so on) that one execution holds at a time. A
        /// request needs about ten, so the default suffices for max_requests.
        max_resources: usize = 1_000, at least 1;
        /// Maximum number of handles of one execution, to host resources and to resources of its components. The
        /// default is ten times max_resources, since a handle costs the host about 16 bytes and no file or socket.
        max_handles: usize = 10_000, at least 1;
        /// Maximum number of random bytes in one host call, which no timeout interrupts. A guest that needs more can
        /// call again.
        max_random_bytes: usize = 64 KiB, at least 0 B;
        /// Maximum size of what a guest passes to the host in one call, above all its result. The default is that of
        /// max_body_bytes; copying it occupies a thread for about 1 ms per MiB.
        max_result_bytes: usize = 8 MiB, at least 1 B;
        /// Maximum number of items in one answer.
        max_items: usize = 10_000, at least 0;
        /// Maximum size of a key. The default is about what a URL can carry.
        max_key_bytes: usize = 4 KiB, at least 0 B;
        /// Maximum size of the arguments of a typed function: of the body of a request, and of what is stored of it for as
        /// long as its flight. The default is far above a key of several parts.
        max_arguments_bytes: usize = 64 KiB, at least 0 B;
        /// Maximum size of the output of one execution that is logged. The rest is dropped and counted.
        max_log_bytes: usize = 64 KiB, at least 0 B;
        /// Maximum number of lines per second that are logged about this client, and likewise of lines that its guest
        /// prints. The rest is left out and counted. The default is at most 8 MB per second.
        max_log_lines: usize = 1_000, at least 0;
        /// Maximum time to connect to an upstream, including name resolution and the TLS handshake. The default
        /// tolerates one lost packet.
        connect_timeout: Duration = 3 s, at least 1 ms;
        /// Maximum time for which connecting is tried again, counted from the first time that an upstream refuses a
        /// connection or closes it before the TLS handshake is complete. After that a refusal is reported at once. A
        /// connection is not tried again after half of connect_timeout or request_timeout. The default is longer than
        /// servers need to restart; 0 turns it off.
        connect_retry_timeout: Duration = 1 s, at least 0 ms;
        /// Maximum time from an established connection to the first byte of the response. The default is that of
        /// request_timeout, since the response time of an upstream is not known in advance.
        first_byte_timeout: Duration = 8 s, at least 1 ms;
        /// Maximum pause between two parts of a response. The default is that of connect_timeout: after a longer
        /// pause the rest seldom arrives.
        between_bytes_timeout: Duration = 3 s, at least 1 ms;
        /// Maximum duration of one request, from its start to the last byte of its body and of the response. With the
        /// default, the guest gets the error 2 s before its flight times out, so it can still return another result.
        request_timeout: Duration = 8 s, at least 1 ms;
        /// Maximum size of the body of a request. The default is that of max_body_bytes.
        max_request_body_bytes: usize = 8 MiB, at least 0 B;
        /// Maximum number of requests of one flight, including refused ones. The default is enough to read a list
        /// page by page, but not to scan an upstream on behalf of one caller.
        max_requests: usize = 100, at least 0;
        /// Maximum number of concurrent requests of all flights, and thus of connections in use. A request whose body is
        /// open counts even if it was answered. A flight that keeps its requests open while it begins others can wait for
        /// flights that do the same, and ends at its timeouts. The default is one for each execution. The same number of
        /// connections may be idle or being opened in addition.
        max_connections: usize = 128, at least 1;
        /// Maximum time that an idle connection is kept. Node and uvicorn close theirs after 5 s, load balancers after
        /// 60 s and more. The default is below all of these, so that they seldom close a connection that is about to
        /// be used.
        idle_timeout: Duration = 4 s, at least 0 ms;
        /// Maximum age of a connection. The first request after that is its last one; for later ones a new connection
        /// is opened, and the upstream's name is resolved again. The age of each connection is limited to a random time
        /// up to a quarter shorter, so that not all are replaced at once. The default follows a name that moves within
        /// about the time that its DNS records are cached.
        max_connection_age: Duration = 120 s, at least 1 ms;
        /// Maximum size of the header section of a response. The default is several times what servers send. Values
        /// below 8 KiB count as 8 KiB.
        max_header_bytes: usize = 64 KiB, at least 1 B;
        /// Maximum number of header lines of a response. The default is several times what servers send.
        max_headers: usize = 256, at least 1;
        /// Maximum number of interim responses (1xx) before a response over HTTP/1.1. Servers send none, or a few early
        /// hints.
        max_interim_responses: usize = 16, at least 0;
        /// Maximum size of the body of a response.
        max_body_bytes: usize = 8 MiB, at least 0 B;
    }
}

/// The setting that is named when a request gets no connection.
pub(crate) const MAX_CONNECTIONS: &str = "max_connections";

impl Limits {
    /// The same limits with another [`flight_timeout`](Self::flight_timeout), and the timeouts that derive from it: a
    /// request and its first byte each get four fifths, so that the guest can still return another result.
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
