//! What can be set: [`Settings`] of one client; the tables of [`Limits`], [`FrontLimits`] and
//! [`CompileLimits`] with every default, its unit and its reason; and [`Config`], the file that says it
//! all.

mod client;
mod fields;
mod file;
mod print;
mod section;
mod traces;
mod units;
mod value;

use std::fmt;
use std::time::Duration;

pub use single_flight::Abandoned;

pub use self::client::{ClientConfig, Component};
pub use self::file::{
    AN_ADDRESS, CacheConfig, CompileConfig, Config, LogConfig, LogFormat, TlsFiles,
};
pub use self::section::ConfigError;
pub use self::traces::{OtlpUrl, TracesConfig};
pub use self::units::{A_DURATION, duration};

use crate::metrics::ClientMetrics;
use crate::upstream::Policy;

/// Every bound of a client that can be set. There is no other place where its default stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flights open at once: 1,024. What waits costs memory; past it a caller is told at once.
    pub flights: usize,
    /// Callers of one flight: 100,000. Far above what one process holds in connections.
    pub callers: usize,
    /// Executions of one key at once, those included that callers join no more: 8. There is a second
    /// where a flight outlives its join window, is forgotten, or a caller asks for one of its own; this
    /// is how far that can go. Less than 2 counts as 2.
    pub executions_per_key: usize,
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
    /// Core modules of one component, so their instances in one execution: 16. A Rust guest has 3, a
    /// JavaScript one 4; a component made of components has those of all.
    pub modules: usize,
    /// Linear memories of one execution: 4. A guest has one, a component made of components one for each.
    pub memories: usize,
    /// Tables of one execution: 8. Most guests have two: their own, and one for what they import.
    pub tables: usize,
    /// Elements of one table: 20,000. The largest guests seen (JavaScript) have 7,689.
    pub elements: usize,
    /// Streams, requests and the like that the host holds for one execution at a time: 1,000. A request
    /// takes about ten, so as many as a flight may send.
    pub resources: usize,
    /// Handles of one execution, to those and to what components within it hold for each other: 10,000.
    /// Ten times the former: they cost the host 16 bytes or so, and no file or socket.
    pub handles: usize,
    /// Random bytes in one go: 64 KiB. They are made in one call of the host, which no deadline
    /// interrupts; more of them are more calls.
    pub random: usize,
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flights: 1_024,
            callers: 100_000,
            executions_per_key: 8,
            executions: 256,
            queue: Duration::from_secs(1),
            flight: Duration::from_secs(10),
            cpu: Duration::from_secs(1),
            memory: 64 << 20,
            modules: 16,
            memories: 4,
            tables: 8,
            elements: 20_000,
            resources: 1_000,
            handles: 10_000,
            random: 64 << 10,
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
        }
    }
}

impl Limits {
    /// The same, with `flight` for a flight in all, and what follows from it: a request gets four
    /// fifths, all of them for its first byte if need be, so that its guest can still answer otherwise.
    #[must_use]
    pub fn with_flight(self, flight: Duration) -> Self {
        Self {
            flight,
            first_byte: flight * 4 / 5,
            request: flight * 4 / 5,
            ..self
        }
    }
}

/// What compiling a component may cost; one that costs more is refused. There is no other place where
/// these defaults stand.
///
/// The first five are read off the component before it is compiled, in any process. The others bind
/// the process that compiles, where that is a child.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CompileLimits {
    /// A component, in bytes: 64 MiB. The largest guests seen (Python) have 18 MB.
    pub component: usize,
    /// Functions of one component: 200,000. Those guests have 13,351.
    pub functions: usize,
    /// One function, in bytes: 2 MiB. Their largest has 426,843.
    pub function: usize,
    /// Locals of one function, parameters aside: 20,000. Theirs have 271 at most; those of a build that
    /// is not optimised have more.
    pub locals: u64,
    /// Blocks within blocks of one function: 10,000. A large `switch` has one for each case.
    pub nesting: usize,
    /// Address space of the compiler, in bytes: 2 GiB. Those guests take less than half.
    pub memory: u64,
    /// Processor time of the compiler, all its threads together: 120 s. Those guests take less than
    /// 30 s where nothing is optimised.
    pub cpu: Duration,
    /// The whole of it, from the compiler's start to its end: 1,200 s. A busy machine takes ten times as
    /// long as an idle one.
    pub time: Duration,
    /// What comes of it, in bytes: 512 MiB. This process holds it in memory.
    pub code: usize,
}

/// What a folder of compiled code may hold: 1 GiB, in bytes. The code of the largest guests seen
/// (Python) has 50 MB.
pub const CACHE_SIZE: u64 = 1 << 30;

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            component: 64 << 20,
            functions: 200_000,
            function: 2 << 20,
            locals: 20_000,
            nesting: 10_000,
            memory: 2 << 30,
            cpu: Duration::from_secs(120),
            time: Duration::from_secs(1_200),
            code: 512 << 20,
        }
    }
}

impl CompileLimits {
    /// The same, with `cpu` of processor time, and ten times that for the whole.
    #[must_use]
    pub fn with_cpu(self, cpu: Duration) -> Self {
        Self {
            cpu,
            time: cpu * 10,
            ..self
        }
    }
}

/// What the service takes from whoever connects, and how it ends. There is no other place where these
/// defaults stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontLimits {
    /// Callers' connections at once: 20,000. Ten thousand callers held on one key, and as many again.
    pub connections: usize,
    /// The operator's connections at once: 100. A few tools, each with a few.
    pub operators: usize,
    /// The head of a request to come, or a TLS handshake: 10 s. A connection that is kept is closed when
    /// it has been idle for as long, in HTTP/2 for up to twice as long. Who sends its first three bytes
    /// one by one has up to three times as long.
    pub head_time: Duration,
    /// A caller that reads nothing more of its answer: 60 s, and up to 10 s more. Mobile networks pause
    /// for less.
    pub stall: Duration,
    /// The head of a request, in bytes: 32 KiB, several times the longest key. Less than 8 KiB counts
    /// as 8 KiB.
    pub head: usize,
    /// Lines in the head of a request: 100. Browsers and proxies send a tenth.
    pub headers: usize,
    /// Requests at once on one HTTP/2 connection: 1,000. A proxy in front may bring all its callers over
    /// one.
    pub streams: usize,
    /// Going on as before once the end was asked for: 1 s. As often balancers look at `/readyz`.
    pub leave: Duration,
    /// Flights under way may land after that: 10 s, as long as one takes at most by default.
    pub grace: Duration,
    /// Answers may be read to their end after that: 5 s.
    pub write: Duration,
}

impl Default for FrontLimits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            operators: 100,
            head_time: Duration::from_secs(10),
            stall: Duration::from_secs(60),
            head: 32 << 10,
            headers: 100,
            streams: 1_000,
            leave: Duration::from_secs(1),
            grace: Duration::from_secs(10),
            write: Duration::from_secs(5),
        }
    }
}

/// How often running guests are interrupted so that others get a turn. It is the engine's, so one
/// value serves all clients.
pub(crate) const EPOCH_TICK: Duration = Duration::from_millis(10);

/// What a guest's memory or table keeps of its pages for the next one that gets its place: 2 MiB, in
/// bytes. Guests of the usual size touch less, so nothing of theirs is given back and faulted in anew.
pub(crate) const RESIDENT: usize = 2 << 20;

/// Components that an engine compiles at once: 2. Each may take its whole limit of memory and all
/// processors, and gains nothing from company; a second so that one that takes its minutes does not hold
/// up all others.
pub(crate) const COMPILERS: usize = 2;

/// Names that the system looks up at once for one client: 16. Each holds a thread that nothing can
/// stop, and a process has 512 of them for all that blocks.
pub(crate) const LOOKUPS: usize = 16;

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
    pub policy: Policy,
    /// Whether its instances serve one flight or several.
    pub instances: Instances,
    /// Whether callers of one key share a flight, and which.
    pub sharing: Sharing,
    /// What becomes of a flight that its last caller has left.
    pub abandoned: Abandoned,
    /// Its bounds.
    pub limits: Limits,
    /// Where it is counted: by default nowhere.
    pub metrics: ClientMetrics,
}

/// Whether callers of one key share a flight, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They do.
    Coalesced {
        /// The greatest age of a flight that a caller joins: `None`, the default, for any. So old an
        /// answer can be when its caller asks, and no older.
        join_window: Option<Duration>,
        /// Whether a caller may have a flight that nobody opened before it asked: by default it may
        /// not, as such callers cost the upstream what sharing saves it.
        anew: bool,
    },
    /// Every call is a flight of its own, and what sharing would have saved is counted.
    Observed,
}

impl Default for Sharing {
    fn default() -> Self {
        Self::Coalesced {
            join_window: None,
            anew: false,
        }
    }
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
    fn a_flights_deadline_brings_a_shorter_one_for_requests() {
        let limits = Limits::default().with_flight(Duration::from_secs(30));
        let request = Duration::from_secs(24);
        assert_eq!((limits.request, limits.first_byte), (request, request));
    }

    #[test]
    fn debug_output_has_the_names_of_settings_and_not_their_values() {
        let settings = Settings::new("orders").env("HEADER_AUTHORIZATION", "Bearer s3cret");
        let printed = format!("{settings:?}");
        assert!(printed.contains("HEADER_AUTHORIZATION"), "{printed}");
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}
