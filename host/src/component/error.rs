//! [`LoadError`] and [`EngineError`]: why a component cannot be run, and why there is no engine to run it.

use std::fmt;
use std::time::Duration;

use crate::model::{Functions, Limits};
use crate::printable::{Escape, escape_lines};
use crate::wit::WitDifference;

/// The interface that a client exports.
pub(super) const ITEMS: &str = Functions::ITEMS;

/// Why a component cannot be run. Its message says what was expected, what was found and what to do.
///
/// A text in it that comes from the component, or from wasmtime about it, has at most 4 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The file is empty.
    Empty,
    /// The file is text: WebAssembly text, or anything else.
    Text,
    /// The file is neither WebAssembly nor text.
    NotWasm,
    /// The file is a core module.
    CoreModule,
    /// The file is a core module that was built for WASI 0.1, "preview 1".
    Preview1Module,
    /// The file was compiled ahead of time by wasmtime.
    Precompiled,
    /// The file has the header of a component and is not a valid one.
    Invalid(String),
    /// The component needs features of WebAssembly that the engine does not have: their names, with commas between
    /// them.
    MissingFeatures(String),
    /// The component imports this interface of WASI 0.3 or later, or of a release candidate of WASI 0.2.0.
    OtherWasi(String),
    /// The component, or a part of it, exceeds a limit of [`CompileLimits`](crate::CompileLimits) that is
    /// checked before it is compiled.
    TooComplex {
        /// What exceeds its limit.
        part: ShapeLimit,
        /// How large it is.
        found: u64,
        /// How large it may be.
        limit: u64,
    },
    /// Compiling the component exceeded its budget; the process that compiled it has been killed.
    TooCostly(CompileBudget),
    /// The compiler returned no code, for a reason that need not be the component's.
    NotCompiled(String),
    /// The component is valid, and exceeds the sizes that the engine has reserved.
    TooLarge(String),
    /// The component exports neither the interface nor another function that can be called.
    NothingToCall {
        /// The names that it exports, with commas between them; the number of those that are too many or too long
        /// to be listed; empty if there are none.
        exports: String,
        /// Its functions, with the reason why each cannot be called; empty if there are none.
        refused: String,
    },
    /// A client's settings share functions that the component does not export.
    NothingToShare {
        /// The name that matches no function.
        pattern: String,
        /// The functions that there are, with commas between them.
        functions: String,
    },
    /// The component exports an interface of that name with other types.
    OtherTypes {
        /// Its `get-items` as WIT, or what it exports instead.
        found: String,
    },
    /// The client's setting `wit` has other functions, or other types.
    OtherWit(WitDifference),
    /// The component has an import that the host does not provide.
    MissingImport(String),
    /// The limits of the client exceed what the engine has available.
    NoRoom {
        /// The limit.
        what: &'static str,
        /// How much the client requests.
        requested: usize,
        /// How much the engine has available.
        available: usize,
    },
    /// The component could not be instantiated.
    DoesNotStart(String),
}

/// A measure of a component that is checked before it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeLimit {
    /// The file, in bytes.
    Component,
    /// The types, imports, exports and other declarations, in bytes.
    Declarations,
    /// Components and modules within each other.
    Depth,
    /// The number of functions.
    Functions,
    /// One function, in bytes.
    Function,
    /// The locals of one function.
    Locals,
    /// The nested blocks of one function.
    Nesting,
}

/// A budget of the compiler that was exceeded, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileBudget {
    /// Memory, in bytes.
    Memory(u64),
    /// Processor time.
    Processor(Duration),
    /// Elapsed time.
    Time(Duration),
    /// The size of the compiled code, in bytes.
    Code(usize),
}

/// Why an engine could not be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// The limit of executions is larger than a pool can be.
    TooManyExecutions(usize),
    /// The address space for the pool could not be reserved.
    AddressSpace(String),
    /// Wasmtime refused its configuration.
    Configuration(String),
    /// The thread that interrupts guests could not be started.
    Ticker(String),
}

impl ShapeLimit {
    /// A component whose measure is `number`.
    fn with(self, number: u64) -> String {
        match self {
            Self::Component => format!("of {number} bytes"),
            Self::Declarations => {
                format!("with {number} bytes of declarations (types, imports, exports)")
            }
            Self::Depth => format!("with components nested {number} deep"),
            Self::Functions => format!("of {number} functions"),
            Self::Function => format!("with a function of {number} bytes"),
            Self::Locals => format!("with a function of {number} locals"),
            Self::Nesting => format!("with a function of {number} nested blocks"),
        }
    }
}

impl fmt::Display for CompileBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => write!(f, "{} MiB of memory", bytes >> 20),
            Self::Processor(time) => write!(f, "{} s of processor time", time.as_secs_f64()),
            Self::Time(time) => write!(f, "{} s", time.as_secs_f64()),
            Self::Code(bytes) => write!(f, "{} MiB for its code", bytes >> 20),
        }
    }
}

impl LoadError {
    /// What was found. Names in it come from the component's author and are printed on terminals, so control
    /// characters other than line breaks are escaped.
    #[must_use]
    pub fn found(&self) -> String {
        let found = match self {
            Self::Empty => "an empty file".into(),
            Self::Text => "a text file".into(),
            Self::NotWasm => "a file that is not WebAssembly".into(),
            Self::CoreModule => "a core WebAssembly module".into(),
            Self::Preview1Module => "a core WebAssembly module for WASI 0.1 (preview 1)".into(),
            Self::Precompiled => "a file that wasmtime compiled ahead of time".into(),
            Self::Invalid(why) => format!("a component that is not valid: {why}"),
            Self::MissingFeatures(names) => format!("a component that needs {names}"),
            Self::OtherWasi(import) => format!("a component that imports {import}"),
            Self::TooComplex { part, found, .. } => format!("a component {}", part.with(*found)),
            Self::TooCostly(budget) => {
                format!("a component that takes more than {budget} to compile")
            }
            Self::NotCompiled(why) => format!("a failure of the compiler: {why}"),
            Self::TooLarge(why) => format!("a component that is too large: {why}"),
            Self::NothingToCall { exports, .. } if exports.is_empty() => {
                "a component without exports".into()
            }
            Self::NothingToCall { exports, refused } if refused.is_empty() => {
                format!("a component that exports {exports}")
            }
            Self::NothingToCall { exports, refused } => {
                format!("a component that exports {exports} ({refused})")
            }
            Self::NothingToShare { pattern, functions } if functions.is_empty() => {
                format!("{pattern:?}, where the component has no function but get-items")
            }
            Self::NothingToShare { pattern, functions } => {
                format!("{pattern:?}, where the component has {functions}")
            }
            Self::OtherTypes { found } => format!("{ITEMS} with {found}"),
            Self::OtherWit(WitDifference::NoFunction) => {
                "a component without any of its functions that can be called".into()
            }
            Self::OtherWit(WitDifference::Function { component, .. }) => component.clone(),
            Self::MissingImport(why) => format!("a component with an unknown import: {why}"),
            Self::NoRoom {
                what, requested, ..
            } => format!("a client with a limit of {requested} {what}"),
            Self::DoesNotStart(why) => format!("a component that does not start: {why}"),
        };
        escape_lines(&found, Escape::Rust).into_owned()
    }

    /// What was expected.
    #[must_use]
    pub fn expected(&self) -> String {
        let expected = match self {
            Self::Empty
            | Self::Text
            | Self::NotWasm
            | Self::CoreModule
            | Self::Preview1Module
            | Self::Invalid(_) => "a WebAssembly component in binary form",
            Self::MissingFeatures(_) => {
                "a component without features of WebAssembly that the host does not enable"
            }
            Self::OtherWasi(_) => "a component for WASI 0.2, the version that the host has",
            Self::Precompiled => {
                "the component itself, as the host only runs machine code that it compiled"
            }
            Self::TooComplex { part, limit, .. } => {
                return format!("at most a component {}", part.with(*limit));
            }
            Self::TooCostly(_) => "a component that compiles within its budget",
            Self::NotCompiled(_) => "code from the compiler",
            Self::TooLarge(_) => {
                let Limits {
                    max_modules: modules,
                    max_memories: memories,
                    max_tables: tables,
                    ..
                } = Limits::default();
                return format!(
                    "a component within its limits (by default {modules} core modules, {memories} \
                     memories and {tables} tables) whose initial memory is below its memory limit"
                );
            }
            Self::NothingToCall { .. } => {
                return format!(
                    "a component that exports {ITEMS}, or other functions without resources, streams and futures"
                );
            }
            Self::NothingToShare { .. } => "the name of a function in share",
            Self::OtherTypes { .. } => {
                "get-items: func(x: string) -> result<list<item>, error>, \
                 with item and error as in wit/oneflight-client.wit"
            }
            Self::OtherWit(WitDifference::NoFunction) => "a component with the functions in wit",
            Self::OtherWit(WitDifference::Function { name, wit, .. }) => {
                return escape_lines(&format!("{name}: {wit}, as wit has it"), Escape::Rust)
                    .into_owned();
            }
            Self::MissingImport(_) => {
                "a component that imports only oneflight:client/fetch and WASI 0.2: http, clocks, random, \
                 cli, io, filesystem and sockets"
            }
            Self::NoRoom {
                what, available, ..
            } => {
                return format!("a client with a limit of at most {available} {what}");
            }
            Self::DoesNotStart(_) => "a component that instantiates within its limits",
        };
        expected.to_owned()
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Empty | Self::NotWasm | Self::Invalid(_) => {
                "build it again: cargo component build --release"
            }
            Self::Text => {
                "if it is WebAssembly text: wasm-tools parse FILE -o component.wasm; \
                 if it is source, build it: cargo component build --release"
            }
            Self::CoreModule => {
                "build it as a component: cargo component build --release, or \
                 cargo build --release --target wasm32-wasip2; \
                 from a module that has bindings of its WIT: wasm-tools component new FILE -o component.wasm"
            }
            Self::Preview1Module => {
                "build it as a component: cargo component build --release, or \
                 cargo build --release --target wasm32-wasip2; \
                 from a module that has bindings of its WIT, with the adapter that wasmtime releases: wasm-tools component \
                 new FILE --adapt wasi_snapshot_preview1.reactor.wasm -o component.wasm"
            }
            Self::MissingFeatures(_) => {
                "turn them off in its toolchain, and build it again; \
                 instead of component-model async, export synchronous functions: for WASI 0.2, \
                 in componentize-qjs by --sync"
            }
            Self::OtherWasi(_) => {
                "build it again for WASI 0.2 with synchronous functions: in Rust by the target wasm32-wasip2, in other \
                 toolchains by their option for WASI 0.2 (preview 2), or a release that has it"
            }
            Self::TooComplex { .. } => {
                "make it smaller or build it optimised: cargo component build --release; \
                 in the library, CompileLimits sets the limit"
            }
            Self::TooCostly(_) => {
                "make it smaller or build it optimised: cargo component build --release; \
                 or raise the budget: --compile-max-memory-bytes, --compile-max-cpu-time, in the library CompileLimits"
            }
            Self::NotCompiled(_) => {
                "try again; if it fails again, build the component with another release of its \
                 tools; in the library, check that Compile::Child names an existing program"
            }
            Self::TooLarge(_) => "make it smaller; in the library, Limits sets the limits",
            Self::Precompiled => "pass the .wasm file that it was compiled from",
            Self::NothingToShare { .. } => {
                "name a function that there is; get-items is always shared"
            }
            Self::NothingToCall { .. } | Self::OtherTypes { .. } => {
                "copy wit/oneflight-client.wit into the client's wit folder, set its world to \
                 items-client, and build it again: cargo component build --release"
            }
            Self::OtherWit(_) => {
                "name the WIT that the component was built from, or build it from that WIT"
            }
            Self::MissingImport(_) => {
                "remove that import from the client's world, and build it again: \
                 cargo component build --release"
            }
            Self::NoRoom { .. } => {
                "lower that limit of the client, or create the engine for all its clients: the \
                 executions of Engine::new are the sum of theirs"
            }
            Self::DoesNotStart(_) => {
                "move work from its start into get-items; in the library, \
                 Limits::max_memory_bytes and Limits::max_cpu_time set the limits"
            }
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (expected, found, fix) = (self.expected(), self.found(), self.fix());
        write!(f, "expected {expected}, got {found}; {fix}")
    }
}

impl std::error::Error for LoadError {}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyExecutions(found) => write!(
                f,
                "expected a limit of executions below {}, got {found}; lower it",
                u32::MAX
            ),
            Self::AddressSpace(why) => write!(
                f,
                "could not reserve address space for guests: {why}; lower the limit of executions"
            ),
            Self::Configuration(why) => write!(
                f,
                "could not configure wasmtime: {why}; if it is about a size, lower that limit"
            ),
            Self::Ticker(why) => {
                write!(
                    f,
                    "could not start the thread that interrupts guests: {why}"
                )
            }
        }
    }
}

impl std::error::Error for EngineError {}
