//! Whether a file is a component that the host can run; and if not, what it is instead, what is
//! needed, and what to do about it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;
use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::{Engine as Wasmtime, Store};

use super::bindings::{ItemsClient, ItemsClientPre};
use super::engine::Engine;
use super::output::{printable, visible};
use super::store::StoreState;
use super::within;
use crate::flight_context::FlightContext;
use crate::model::Limits;

/// The interface that a client exports.
const ITEMS: &str = "oneflight:client/items@0.1.0";

/// What a component is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file's size, in bytes.
    pub bytes: usize,
    /// The names that it exports.
    pub exports: Vec<String>,
    /// The names that it imports.
    pub imports: Vec<String>,
}

/// Why a file cannot be run. What was found, what is needed and what to do about it are the three
/// parts of its message.
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
    /// The file was compiled ahead of time, by wasmtime.
    Precompiled,
    /// The file begins like a component, and is not a valid one.
    Invalid(String),
    /// The component is larger, or a part of it, than any that is compiled.
    TooComplex {
        /// What of it.
        part: ShapeLimit,
        /// How large that is.
        found: u64,
        /// How large it may be.
        limit: u64,
    },
    /// Compiling the component costs more than it may; the process that compiled it is gone.
    TooCostly(CompileBudget),
    /// There is no code for a reason that need not be the component's: what the compiler did.
    NotCompiled(String),
    /// The component is valid, and larger than what this host makes room for.
    TooLarge(String),
    /// The component does not export the interface.
    NoItems {
        /// What it exports.
        exports: Vec<String>,
    },
    /// The component exports an interface of that name with other types.
    OtherTypes {
        /// Its `get-items`, as WIT; or what it has instead.
        found: String,
    },
    /// The component imports what the host does not offer.
    MissingImport(String),
    /// The engine has no room for a client with such limits.
    NoRoom {
        /// For what.
        what: &'static str,
        /// How much the client may have.
        asked: usize,
        /// How much is left.
        left: usize,
    },
    /// The component could not be instantiated.
    DoesNotStart(String),
}

/// What of a component is measured before it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeLimit {
    /// The file, in bytes.
    Component,
    /// Its functions.
    Functions,
    /// One function, in bytes.
    Function,
    /// The locals of one function.
    Locals,
    /// The blocks of one function that lie within each other.
    Nesting,
}

/// What compiling a component needs more of than it may have, and how much it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileBudget {
    /// Memory, in bytes.
    Memory(u64),
    /// Processor time.
    Processor(Duration),
    /// Time.
    Time(Duration),
    /// Room for what comes of it, in bytes.
    Code(usize),
}

impl ShapeLimit {
    /// With so many of it.
    fn with(self, number: u64) -> String {
        match self {
            Self::Component => format!("of {number} bytes"),
            Self::Functions => format!("of {number} functions"),
            Self::Function => format!("with a function of {number} bytes"),
            Self::Locals => format!("with a function of {number} locals"),
            Self::Nesting => format!("with a function of {number} blocks within each other"),
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
    /// What the file is. Names in it are whatever its author wrote, and are printed on terminals: control
    /// characters but those that end a line are made visible.
    #[must_use]
    pub fn found(&self) -> String {
        let found = match self {
            Self::Empty => "an empty file".into(),
            Self::Text => "a text file".into(),
            Self::NotWasm => "a file that is not WebAssembly".into(),
            Self::CoreModule => "a core WebAssembly module".into(),
            Self::Precompiled => "a file that wasmtime compiled ahead of time".into(),
            Self::Invalid(why) => format!("a component that is not valid: {why}"),
            Self::TooComplex { part, found, .. } => format!("a component {}", part.with(*found)),
            Self::TooCostly(cost) => format!("a component that takes more than {cost} to compile"),
            Self::NotCompiled(how) => format!("a compiler {how}"),
            Self::TooLarge(why) => format!("a component that is too large: {why}"),
            Self::NoItems { exports } if exports.is_empty() => "a component without exports".into(),
            Self::NoItems { exports } => format!("a component that exports {}", exports.join(", ")),
            Self::OtherTypes { found } => format!("{ITEMS} with {found}"),
            Self::MissingImport(why) => format!("a component that asks for too much: {why}"),
            Self::NoRoom { what, asked, .. } => format!("a client with a limit of {asked} {what}"),
            Self::DoesNotStart(why) => format!("a component that does not start: {why}"),
        };
        visible(&found, |char| char != '\n')
    }

    /// What it would have to be.
    #[must_use]
    pub fn needed(&self) -> String {
        let needed = match self {
            Self::Empty | Self::Text | Self::NotWasm | Self::CoreModule | Self::Invalid(_) => {
                "a WebAssembly component, in binary form"
            }
            Self::Precompiled => {
                "the component itself: the host runs no machine code that it did not compile"
            }
            Self::TooComplex { part, limit, .. } => {
                return format!("one {} at most", part.with(*limit));
            }
            Self::TooCostly(_) => "one that compiles within that",
            Self::NotCompiled(_) => "a process that compiles it and ends",
            Self::TooLarge(_) => {
                let Limits {
                    max_modules: modules,
                    max_memories: memories,
                    max_tables: tables,
                    ..
                } = Limits::default();
                return format!(
                    "a component within its limits: {modules} core modules, {memories} memories and \
                     {tables} tables where nothing else is said, whose memory begins below its limit"
                );
            }
            Self::NoItems { .. } => "a component that exports oneflight:client/items@0.1.0",
            Self::OtherTypes { .. } => {
                "get-items: func(x: string) -> result<list<item>, error>, \
                 with item and error as in wit/oneflight-client.wit"
            }
            Self::MissingImport(_) => {
                "a component that imports WASI 0.2 alone: http, clocks, random, cli, io, \
                 filesystem and sockets are linked"
            }
            Self::NoRoom { what, left, .. } => {
                return format!("one of at most {left}: the engine has no more {what}");
            }
            Self::DoesNotStart(_) => "a component that instantiates within its limits",
        };
        needed.to_owned()
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
                 from a module: wasm-tools component new FILE --adapt wasi_snapshot_preview1.wasm"
            }
            Self::TooComplex { .. } => {
                "build it optimised, or of less: cargo component build --release; \
                 in the library, CompileLimits sets the limit"
            }
            Self::TooCostly(_) => {
                "build it optimised, or of less: cargo component build --release; or allow more: \
                 --compile-max-memory-bytes, --compile-max-cpu-time, in the library CompileLimits"
            }
            Self::NotCompiled(_) => {
                "try again; if that fails too, build the component with another release of its \
                 tools; in the library, see that Compile::Child names a program that is there"
            }
            Self::TooLarge(_) => "make it smaller; in the library, Limits sets the limits",
            Self::Precompiled => "pass the .wasm file that it was compiled from",
            Self::NoItems { .. } | Self::OtherTypes { .. } => {
                "copy wit/oneflight-client.wit into the client's wit folder, let its world be \
                 items-client, and build it again: cargo component build --release"
            }
            Self::MissingImport(_) => {
                "remove that import from the client's world, and build it again: \
                 cargo component build --release"
            }
            Self::NoRoom { .. } => {
                "lower that limit of the client, or make the engine for all its clients: the \
                 executions that Engine::new is given are their sum"
            }
            Self::DoesNotStart(_) => {
                "do less before get-items is called; \
                 in the library, Limits::memory and Limits::cpu set the limits"
            }
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "found {}; needed {}; {}",
            self.found(),
            self.needed(),
            self.fix()
        )
    }
}

impl std::error::Error for LoadError {}

/// Links `component` and instantiates it once in `store`, within `limits`: the types of its functions
/// are compared only there.
pub(super) async fn start(
    engine: &Engine,
    (component, report): (&Component, &Report),
    mut store: Store<StoreState>,
    limits: &Limits,
) -> Result<ItemsClientPre<StoreState>, LoadError> {
    let linked = engine
        .linker()
        .instantiate_pre(component)
        .map_err(|error| LoadError::MissingImport(format!("{error:#}")))?;
    if component.get_export_index(None, ITEMS).is_none() {
        return Err(LoadError::NoItems {
            exports: report.exports.clone(),
        });
    }
    let other_types = || LoadError::OtherTypes {
        found: get_items(component),
    };
    let ready = ItemsClientPre::new(linked.clone()).map_err(|_| other_types())?;
    // It starts for nobody.
    let context = FlightContext::default();
    let starting = within(
        limits.max_cpu_time,
        &context,
        linked.instantiate_async(&mut store),
    );
    let started = match timeout(limits.flight_timeout, starting).await {
        Ok(Some(Ok(instance))) => Ok(instance),
        Ok(Some(Err(error))) => Err(format!("{error:#}")),
        Ok(None) => Err(format!(
            "it used up its processor time of {:?}",
            limits.max_cpu_time
        )),
        Err(_) => Err(format!("it took longer than {:?}", limits.flight_timeout)),
    };
    let instance = started.map_err(|why| {
        let said = match store.data().output().last_words() {
            words if words.is_empty() => String::new(),
            words => format!("; it printed: {words}"),
        };
        LoadError::DoesNotStart(printable(&why) + &said)
    })?;
    ItemsClient::new(&mut store, &instance).map_err(|_| other_types())?;
    Ok(ready)
}

pub(super) fn report(engine: &Wasmtime, component: &Component, bytes: usize) -> Report {
    let ty = component.component_type();
    let names = |name: &str| name.to_owned();
    Report {
        bytes,
        exports: ty.exports(engine).map(|(name, _)| names(name)).collect(),
        imports: ty.imports(engine).map(|(name, _)| names(name)).collect(),
    }
}

/// The `get-items` that `component` has, as WIT.
fn get_items(component: &Component) -> String {
    let items = component.get_export_index(None, ITEMS);
    match component.get_export(items.as_ref(), "get-items") {
        Some((ComponentItem::ComponentFunc(func), _)) => format!("get-items: {}", signature(&func)),
        Some(_) => "a get-items that is no function".into(),
        None => "no get-items".into(),
    }
}

fn signature(func: &ComponentFunc) -> String {
    let params: Vec<_> = func
        .params()
        .map(|(name, ty)| format!("{name}: {}", describe(&ty)))
        .collect();
    let results: Vec<_> = func
        .results()
        .map(|ty| format!(" -> {}", describe(&ty)))
        .collect();
    format!("func({}){}", params.join(", "), results.concat())
}

/// A type as WIT, its named parts written out.
fn describe(ty: &Type) -> String {
    let optional = |ty: Option<Type>| ty.as_ref().map_or("_".into(), describe);
    match ty {
        Type::List(list) => format!("list<{}>", describe(&list.ty())),
        Type::Option(option) => format!("option<{}>", describe(&option.ty())),
        Type::Result(result) => format!(
            "result<{}, {}>",
            optional(result.ok()),
            optional(result.err())
        ),
        Type::Tuple(tuple) => {
            let types: Vec<_> = tuple.types().map(|ty| describe(&ty)).collect();
            format!("tuple<{}>", types.join(", "))
        }
        Type::Record(record) => {
            let fields: Vec<_> = record
                .fields()
                .map(|field| format!("{}: {}", field.name, describe(&field.ty)))
                .collect();
            format!("record {{ {} }}", fields.join(", "))
        }
        Type::Variant(variant) => {
            let cases: Vec<_> = variant
                .cases()
                .map(|case| match &case.ty {
                    Some(ty) => format!("{}({})", case.name, describe(ty)),
                    None => case.name.to_owned(),
                })
                .collect();
            format!("variant {{ {} }}", cases.join(", "))
        }
        Type::Enum(cases) => format!(
            "enum {{ {} }}",
            cases.names().collect::<Vec<_>>().join(", ")
        ),
        Type::Bool => "bool".into(),
        Type::S8 => "s8".into(),
        Type::U8 => "u8".into(),
        Type::S16 => "s16".into(),
        Type::U16 => "u16".into(),
        Type::S32 => "s32".into(),
        Type::U32 => "u32".into(),
        Type::S64 => "s64".into(),
        Type::U64 => "u64".into(),
        Type::Float32 => "f32".into(),
        Type::Float64 => "f64".into(),
        Type::Char => "char".into(),
        Type::String => "string".into(),
        _ => "a handle".into(),
    }
}
