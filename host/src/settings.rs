//! What a client, the server and the compiler can be set to: [`Settings`], [`ServerLimits`] and
//! [`CompileLimits`], with every default, its unit and its reason. How a file sets them is
//! [`config`](crate::config)'s.

use std::fmt;
use std::time::Duration;

use crate::model::{Abandoned, Limits, Sharing};
use crate::upstream::UpstreamPolicy;

/// What compiling a component may cost; one that costs more is refused. There is no other place where
/// these defaults stand.
///
/// The first five are read off the component before it is compiled, in any process. The others bind
/// the process that compiles, where that is a child.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CompileLimits {
    /// A component, in bytes: 64 MiB. The largest guests seen (Python) have 18 MB.
    pub max_component_bytes: usize,
    /// Functions of one component: 200,000. Those guests have 13,351.
    pub max_functions: usize,
    /// One function, in bytes: 2 MiB. Their largest has 426,843.
    pub max_function_bytes: usize,
    /// Locals of one function, parameters aside: 20,000. Theirs have 271 at most; those of a build that
    /// is not optimised have more.
    pub max_locals: u64,
    /// Blocks within blocks of one function: 10,000. A large `switch` has one for each case.
    pub max_nesting: usize,
    /// Address space of the compiler, in bytes: 2 GiB. Those guests take less than half.
    pub max_memory_bytes: u64,
    /// Processor time of the compiler, all its threads together: 120 s. Those guests take less than
    /// 30 s where nothing is optimised.
    pub max_cpu_time: Duration,
    /// The whole of it, from the compiler's start to its end: 1,200 s. A busy machine takes ten times as
    /// long as an idle one.
    pub compile_timeout: Duration,
    /// What comes of it, in bytes: 512 MiB. This process holds it in memory.
    pub max_code_bytes: usize,
}

/// What a folder of compiled code may hold: 1 GiB, in bytes. The code of the largest guests seen
/// (Python) has 50 MB.
pub const CACHE_SIZE: u64 = 1 << 30;

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            max_component_bytes: 64 << 20,
            max_functions: 200_000,
            max_function_bytes: 2 << 20,
            max_locals: 20_000,
            max_nesting: 10_000,
            max_memory_bytes: 2 << 30,
            max_cpu_time: Duration::from_secs(120),
            compile_timeout: Duration::from_secs(1_200),
            max_code_bytes: 512 << 20,
        }
    }
}

impl CompileLimits {
    /// The same, with `cpu` of processor time, and ten times that for the whole.
    #[must_use]
    pub fn with_max_cpu_time(self, time: Duration) -> Self {
        Self {
            max_cpu_time: time,
            compile_timeout: time * 10,
            ..self
        }
    }
}

/// What the service takes from whoever connects, and how it ends. There is no other place where these
/// defaults stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Callers' connections at once: 20,000. Ten thousand callers held on one key, and as many again.
    pub max_connections: usize,
    /// The operator's connections at once: 100. A few tools, each with a few.
    pub max_admin_connections: usize,
    /// The head of a request to come, or a TLS handshake: 10 s. A connection that is kept is closed when
    /// it has been idle for as long, in HTTP/2 for up to twice as long. Who sends its first three bytes
    /// one by one has up to three times as long.
    pub header_timeout: Duration,
    /// A caller that reads nothing more of its answer: 60 s, and up to 10 s more. Mobile networks pause
    /// for less.
    pub write_stall_timeout: Duration,
    /// The head of a request, in bytes: 32 KiB, several times the longest key. Less than 8 KiB counts
    /// as 8 KiB.
    pub max_header_bytes: usize,
    /// Lines in the head of a request: 100. Browsers and proxies send a tenth.
    pub max_headers: usize,
    /// Requests at once on one HTTP/2 connection: 1,000. A proxy in front may bring all its callers over
    /// one.
    pub max_streams: usize,
    /// Going on as before once the end was asked for: 1 s. As often balancers look at `/readyz`.
    pub shutdown_delay: Duration,
    /// Flights under way may land after that: 10 s, as long as one takes at most by default.
    pub shutdown_grace: Duration,
    /// Answers may be read to their end after that: 5 s.
    pub shutdown_write_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_admin_connections: 100,
            header_timeout: Duration::from_secs(10),
            write_stall_timeout: Duration::from_secs(60),
            max_header_bytes: 32 << 10,
            max_headers: 100,
            max_streams: 1_000,
            shutdown_delay: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(10),
            shutdown_write_timeout: Duration::from_secs(5),
        }
    }
}

/// What a flight's guest runs in. Whatever is chosen, an instance serves one flight at a time, and none
/// after a trap, a deadline, a cancel, an answer that was refused, or with a request under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instances {
    /// One made for it: nothing of one flight is left for the next.
    #[default]
    Fresh,
    /// One that is idle, or else a fresh one: for guests that are heavy to start. A guest then remembers
    /// earlier flights of its client; the memory, the resources and the handles that it keeps count
    /// against the limits of the next flight, and all other limits begin anew.
    Reused {
        /// Calls that one serves.
        calls: u32,
        /// How old one gets, idle or not.
        age: Duration,
    },
}

impl Instances {
    /// Reused for 1,000 calls: what is heavy to start then weighs a thousandth, and the largest leak seen
    /// (JavaScript, 8.5 KB a call) comes to an eighth of the memory. At most for 60 s: as long as
    /// a quiet client holds memory for nobody.
    pub const REUSED: Self = Self::Reused {
        calls: 1_000,
        age: Duration::from_secs(60),
    };
}

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
    pub policy: UpstreamPolicy,
    /// Whether its instances serve one flight or several.
    pub instances: Instances,
    /// Whether callers of one key share a flight, and which.
    pub sharing: Sharing,
    /// What happens to a flight when its last caller leaves.
    pub abandoned: Abandoned,
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
