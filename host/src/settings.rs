//! The settings of a client, the server, the compiler and registries: [`Settings`], [`ServerLimits`],
//! [`CompileLimits`] and [`RegistryLimits`].
//! Each limit is declared here or in [`model`](crate::model) once, with its unit, its default and its reason. How a
//! file sets them is in [`config`](crate::config).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Abandoned, Limits, NoPattern, SharePattern, Sharing, limits};
use crate::typed::WideIntegers;
use crate::upstream::{AllowRule, UpstreamPolicy};
use crate::wit::Wit;

limits! {
    /// The limits of compiling a component. A component that exceeds one is refused.
    ///
    /// The limits of the component itself are checked before it is compiled, in this process or in a child. The
    /// memory, the times and the size of the code are enforced only if a child process compiles.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub struct CompileLimits {
        /// Maximum size of a component, which this process holds in memory until it is compiled. The largest guests
        /// measured (Python) have 18 MB.
        max_component_bytes: usize = 60 MiB, at least 1 B, in library;
        /// Maximum size of the declarations of a component: its types, imports, exports and instances, and those of
        /// its modules; everything but code, data and custom sections. This process holds them in memory several
        /// times. The built-in client has 12 KB, the largest guests measured (Python) have 295 KB.
        max_declaration_bytes: usize = 4 MiB, at least 1 B, in library;
        /// Maximum depth of components and modules within a component. Those guests have two.
        max_depth: usize = 100, at least 1, in library;
        /// Maximum number of functions in one component. Those guests have 13,351.
        max_functions: usize = 200_000, at least 1, in library;
        /// Maximum size of one function. The largest function of those guests has 426,843 bytes.
        max_function_bytes: usize = 2 MiB, at least 1 B, in library;
        /// Maximum number of locals in one function, parameters excluded. Those guests have at most 271; an
        /// unoptimised build has more.
        max_locals: u64 = 20_000, at least 1, in library;
        /// Maximum depth of nested blocks in one function. A large `switch` has one block for each case.
        max_nesting: usize = 10_000, at least 1, in library;
        /// Maximum address space of the compiler process. The largest guests measured need less than half of the
        /// default.
        max_memory_bytes: u64 = 2 GiB, at least 256 MiB;
        /// Maximum CPU time of the compiler process, the sum of its threads. The largest guests measured need less
        /// than 30 s in an unoptimised build.
        max_cpu_time: Duration = 120 s, at least 1 s, then with_max_cpu_time;
        /// Maximum time from the start of the compiler process to its end: ten times max_cpu_time, unless it is
        /// set. A busy machine needs ten times as long as an idle one.
        compile_timeout: Duration = 1_200 s, at least 1 s;
        /// Maximum size of the compiled code, which this process holds in memory.
        max_code_bytes: usize = 512 MiB, at least 1 B, in library;
    }
}

/// The maximum size of the cache of compiled code: 1 GiB, in bytes. The code of the largest guests seen
/// (Python) has 50 MB.
pub const CACHE_SIZE: u64 = 1 << 30;

impl CompileLimits {
    /// The same limits with another [`max_cpu_time`](Self::max_cpu_time), and ten times that as
    /// [`compile_timeout`](Self::compile_timeout).
    #[must_use]
    pub fn with_max_cpu_time(self, time: Duration) -> Self {
        Self {
            max_cpu_time: time,
            compile_timeout: time * 10,
            ..self
        }
    }
}

limits! {
    /// The limits of the service's connections, and the times of its shutdown.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ServerLimits {
        /// Maximum number of concurrent connections of callers. At the limit, idle ones are closed for new ones. The
        /// default has room for 4,000 callers that wait for one key, and for 4,000 others, and fits the usual limit of open
        /// files.
        max_connections: usize = 8_000, at least 1;
        /// Maximum number of concurrent connections to the admin address. Eight more may request /livez, /readyz and
        /// /metrics. The default has room for a few tools with a few connections each.
        max_admin_connections: usize = 100, at least 1;
        /// Maximum number of open dashboards. They also use half of max_admin_connections at most. The default is more
        /// than a team has open.
        max_dashboards: usize = 20, at least 1;
        /// Maximum time to receive the header section of an HTTP/1 request or the preface of an HTTP/2 connection from
        /// its first byte, to receive the body of a request, to complete a TLS handshake, or to send anything on a new
        /// connection. Mobile networks need seconds.
        header_timeout: Duration = 10 s, at least 1 ms;
        /// Maximum time that a connection of a caller may be idle: after a response, and before the first request once
        /// a TLS handshake or the preface of HTTP/2 is complete. The default is above that of balancers and clients
        /// (60 s), so that they do not send a request just when it is closed. Idle connections are closed earlier when
        /// max_connections is reached.
        idle_timeout: Duration = 75 s, at least 1 ms;
        /// Maximum time that a caller may stop reading its response. Mobile networks pause for less than the default.
        /// Over HTTP/2 it is the time in which a stream gets no window, and the stream is reset; other frames do not
        /// count as reading.
        write_stall_timeout: Duration = 60 s, at least 1 ms;
        /// Maximum time from the beginning of a response to the last byte that its caller reads, however steadily it
        /// reads. With the default and the largest answer that max_result_bytes permits by default, 14 KB per second
        /// suffice. Dashboards have no such limit.
        write_timeout: Duration = 600 s, at least 1 ms;
        /// Maximum number of bytes held for all callers: 8 KiB for each request in progress, and answers that they have
        /// not read yet. An answer counts once, however many callers it has, until its last byte is read. No flight
        /// is opened if its answer might not fit. The default has room for 8,000 waiting callers and 16 of the
        /// largest answers.
        max_unread_bytes: usize = 192 MiB, at least 1 MiB;
        /// The same for one connection, which matters for HTTP/2. The default is four of the largest answers. The
        /// admin address may hold as much in total.
        max_unread_bytes_per_connection: usize = 32 MiB, at least 1 B;
        /// Maximum size of the header section of a request. The default is several times the longest key. Values
        /// below 8 KiB count as 8 KiB.
        max_header_bytes: usize = 32 KiB, at least 1 B;
        /// Maximum number of fields in the header section of a request. Browsers and proxies send a tenth of the
        /// default.
        max_headers: usize = 100, at least 1;
        /// Maximum number of concurrent streams on one HTTP/2 connection. A proxy may send the requests of all its
        /// callers over one connection.
        max_streams: usize = 1_000, at least 1;
        /// Time between two checks of whether the files of the certificate have changed. Changed files are used for new
        /// connections, without a signal.
        tls_check_interval: Duration = 60 s, at least 1 ms;
        /// Time after SIGTERM in which the service still accepts new flights, while /readyz responds 503. Load
        /// balancers request /readyz about once a second.
        shutdown_delay: Duration = 1 s, at least 0 ms;
        /// Time after shutdown_delay in which open flights may land before they are cancelled. The default is that of
        /// flight_timeout.
        shutdown_grace: Duration = 10 s, at least 0 ms;
        /// Time after shutdown_grace in which responses may still be written.
        shutdown_write_timeout: Duration = 5 s, at least 0 ms;
    }
}

limits! {
    /// How long a registry may take.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RegistryLimits {
        /// Maximum time until a registry is connected and responds, between two parts of its response, and until a
        /// credential helper answers.
        response_timeout: Duration = 30 s, at least 1 ms;
        /// Maximum time to pull or push one component, however steadily the registry sends. With the default and the
        /// largest component that is permitted, 200 KB per second suffice.
        transfer_timeout: Duration = 300 s, at least 1 ms;
    }
}

/// Which instance executes a flight. An instance serves one flight at a time. It serves no other after a trap, a
/// timeout, a cancellation or a refused answer, or while a request is in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instances {
    /// A new instance: no state of one flight is left for the next.
    #[default]
    Fresh,
    /// An idle instance, or else a new one: for guests that are slow to start. A guest then remembers earlier flights
    /// of its client; the memory, the resources and the handles that it keeps count against the limits of the next
    /// flight, and all other limits start again.
    Reused(InstanceReuse),
}

limits! {
    /// How long an instance is reused.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InstanceReuse {
        /// Maximum number of calls of one instance. With the default, starting an instance adds a thousandth of its
        /// cost to each call, and the largest leak measured (JavaScript, 8.5 KB a call) grows to an eighth of the
        /// memory.
        max_calls: u32 = 1_000, at least 0;
        /// Maximum age of an instance, idle or not. A client without callers holds the memory of its idle instances
        /// for as long.
        max_age: Duration = 60 s, at least 0 ms;
    }
}

impl Instances {
    /// Reused for 1,000 calls or 60 s.
    pub const REUSED: Self = Self::Reused(InstanceReuse::DEFAULT);
}

/// Whether callers get the `err` of typed functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorValues {
    /// They get it, with the code.
    #[default]
    Public,
    /// They get the code only. The log has the value.
    Private,
}

/// The settings of a client: its environment, what it may reach, and its limits.
///
/// [`fmt::Debug`] omits the values of `env`, which may be credentials.
#[derive(Clone, Default)]
pub struct Settings {
    /// The client's name, for logs.
    pub name: String,
    /// The guest's environment variables; the host's own are never passed on.
    pub env: Vec<(String, String)>,
    /// What the guest may reach.
    pub policy: UpstreamPolicy,
    /// Whether an instance serves one flight or several.
    pub instances: Instances,
    /// Whether callers of one key share a flight.
    pub sharing: Sharing,
    /// The typed functions whose callers share a flight if their arguments are equal. Callers of all others have a flight
    /// each.
    pub share: Vec<SharePattern>,
    /// The WIT of the component's functions, for its documentation comments.
    pub wit: Option<Arc<Wit>>,
    /// How JSON has integers of 64 bits.
    pub wide_integers: WideIntegers,
    /// Whether callers get the `err` of typed functions.
    pub error_values: ErrorValues,
    /// What happens to a flight when its last caller leaves.
    pub abandoned: Abandoned,
    /// Its limits.
    pub limits: Limits,
}

impl Settings {
    /// Settings with an empty environment and without allowed origins.
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

    /// Shares the calls of the typed functions that `pattern` names: `get-order`, `acme:orders/orders#list-*`.
    ///
    /// # Errors
    ///
    /// When `pattern` has another form.
    pub fn share(mut self, pattern: &str) -> Result<Self, NoPattern> {
        self.share.push(pattern.parse()?);
        Ok(self)
    }

    /// Lets the guest reach `[scheme://]host[:port]`.
    ///
    /// # Errors
    ///
    /// When `origin` has another form.
    pub fn allow(mut self, origin: &str) -> Result<Self, <AllowRule as FromStr>::Err> {
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
            .field("instances", &self.instances)
            .field("sharing", &self.sharing)
            .field("share", &self.share)
            .field("wit", &self.wit)
            .field("wide_integers", &self.wide_integers)
            .field("error_values", &self.error_values)
            .field("abandoned", &self.abandoned)
            .field("limits", &self.limits)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_the_names_of_settings_and_not_their_values() {
        let settings = Settings::new("orders").env("HEADER_AUTHORIZATION", "Bearer s3cret");
        let printed = format!("{settings:?}");
        assert!(printed.contains("HEADER_AUTHORIZATION"), "{printed}");
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}
