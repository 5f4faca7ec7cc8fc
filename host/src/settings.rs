//! The settings of a client, the server and the compiler: [`Settings`], [`ServerLimits`] and [`CompileLimits`].
//! Each limit is declared here or in [`model`](crate::model) once, with its unit, its default and its reason. How a
//! file sets them is in [`config`](crate::config).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::model::{Abandoned, Limits, Sharing, limits};
use crate::upstream::{AllowRule, UpstreamPolicy};

limits! {
    /// What compiling a component may cost; one that costs more is refused.
    ///
    /// Those of the component itself are checked before it is compiled, in any process. The memory, the times and
    /// the size of the code bound the process that compiles, where that is a child.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub struct CompileLimits {
        /// Size of a component. The largest guests seen (Python) have 18 MB.
        max_component_bytes: usize = 64 MiB, at least 1 B, in library;
        /// Functions of one component. Those guests have 13,351.
        max_functions: usize = 200_000, at least 1, in library;
        /// Size of one function. Their largest has 426,843 bytes.
        max_function_bytes: usize = 2 MiB, at least 1 B, in library;
        /// Locals of one function, parameters aside. Theirs have 271 at most; a build that is not optimised has
        /// more.
        max_locals: u64 = 20_000, at least 1, in library;
        /// Nested blocks of one function. A large `switch` has one for each case.
        max_nesting: usize = 10_000, at least 1, in library;
        /// Address space of the compiler. The largest guests seen need less than half.
        max_memory_bytes: u64 = 2 GiB, at least 256 MiB;
        /// Processor time of the compiler, all its threads together. The largest guests seen need less than 30 s in
        /// a build that is not optimised.
        max_cpu_time: Duration = 120 s, at least 1 s, then with_max_cpu_time;
        /// The time from the compiler's start to its end: ten times max_cpu_time, unless it is set. A busy machine
        /// needs ten times as long as an idle one.
        compile_timeout: Duration = 1_200 s, at least 1 s;
        /// Size of the compiled code. This process holds it in memory.
        max_code_bytes: usize = 512 MiB, at least 1 B, in library;
    }
}

/// What a folder of compiled code may hold: 1 GiB, in bytes. The code of the largest guests seen
/// (Python) has 50 MB.
pub const CACHE_SIZE: u64 = 1 << 30;

impl CompileLimits {
    /// The same limits with another [`max_cpu_time`](Self::max_cpu_time), and ten times that for the whole.
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
    /// What the service spends on its connections, and how it shuts down.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ServerLimits {
        /// Connections of callers at once. Ten thousand callers that wait for one key, and as many again.
        max_connections: usize = 20_000, at least 1;
        /// Connections for administration at once. A few tools, each with a few.
        max_admin_connections: usize = 100, at least 1;
        /// The header of a request, or a TLS handshake. An idle connection is closed after the same time, with
        /// HTTP/2 after up to twice, and one that sends its first three bytes one by one after up to three times.
        header_timeout: Duration = 10 s, at least 1 ms;
        /// The time that a caller may read nothing more of its answer, and up to 10 s more. Mobile networks pause
        /// for less.
        write_stall_timeout: Duration = 60 s, at least 1 ms;
        /// The header of a request. Several times the longest key. Less than 8 KiB counts as 8 KiB.
        max_header_bytes: usize = 32 KiB, at least 1 B;
        /// Fields in the header of a request. Browsers and proxies send a tenth.
        max_headers: usize = 100, at least 1;
        /// Requests at once on one HTTP/2 connection. A proxy in front may send those of all its callers over one.
        max_streams: usize = 1_000, at least 1;
        /// The time that the service goes on as before after SIGTERM, while /readyz already says 503. Load
        /// balancers request that about once a second.
        shutdown_delay: Duration = 1 s, at least 0 ms;
        /// The time that flights in progress may land after that. As long as a flight takes at most by default.
        shutdown_grace: Duration = 10 s, at least 0 ms;
        /// The time that answers may be sent to their end after that.
        shutdown_write_timeout: Duration = 5 s, at least 0 ms;
    }
}

/// The instance that executes a flight. It serves one flight at a time, and no other after a trap, a timeout, a
/// cancel, an answer that was refused, or with a request in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instances {
    /// A new one: nothing of one flight is left for the next.
    #[default]
    Fresh,
    /// An idle one, or else a new one: for guests that are slow to start. A guest then remembers earlier flights of
    /// its client; the memory, the resources and the handles that it keeps count against the limits of the next
    /// flight, and all other limits start again.
    Reused(InstanceReuse),
}

limits! {
    /// How long an instance is reused.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct InstanceReuse {
        /// Calls that one instance serves. The cost of starting it then weighs a thousandth, and the largest leak
        /// seen (JavaScript, 8.5 KB a call) comes to an eighth of the memory.
        max_calls: u32 = 1_000, at least 0;
        /// The greatest age of an instance, idle or not. A client without callers holds the memory of its idle
        /// instances for as long.
        max_age: Duration = 60 s, at least 0 ms;
    }
}

impl Instances {
    /// Reused for 1,000 calls or 60 s.
    pub const REUSED: Self = Self::Reused(InstanceReuse::DEFAULT);
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
    /// What happens to a flight when its last caller leaves.
    pub abandoned: Abandoned,
    /// Its limits.
    pub limits: Limits,
}

impl Settings {
    /// Settings with an empty environment, by which the client may reach nothing.
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
