//! [`Function`]: an exported function that a caller can call.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::typed::{FunctionDocs, JsonBound, Signature};

/// An exported function that a caller can call. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Function {
    /// `get-items` of the interface `oneflight:client/items`. Its one argument is the key `x`.
    GetItems,
    /// Any other function of one load of a component.
    Typed(Arc<TypedFunction>),
}

/// A function of one load of a component, with its types. Functions of different loads differ, even if their
/// components are the same.
#[derive(Debug)]
pub struct TypedFunction {
    /// Identifies it within this process.
    id: u64,
    /// Its place among the functions of its load.
    pub(crate) index: usize,
    interface: Option<Box<str>>,
    name: Box<str>,
    signature: Signature,
    /// How long an answer can be as JSON.
    answer_bound: JsonBound,
    docs: FunctionDocs,
    sharing: CallSharing,
    max_arguments_bytes: usize,
}

/// Whether callers of a function with equal arguments share a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallSharing {
    /// They share one: the client's settings list the function.
    Shared,
    /// Each has its own: nothing in the type of a function says that it may be called once for several callers.
    PerCaller,
}

impl Function {
    /// The function's name in WIT.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::GetItems => "get-items",
            Self::Typed(function) => &function.name,
        }
    }

    /// Whether callers with equal arguments share a flight.
    #[must_use]
    pub fn sharing(&self) -> CallSharing {
        match self {
            Self::GetItems => CallSharing::Shared,
            Self::Typed(function) => function.sharing,
        }
    }

    /// What logs and traces call it; `None` for `get-items`, of which most clients have nothing else.
    pub(crate) fn label(&self) -> Option<&str> {
        match self {
            Self::GetItems => None,
            Self::Typed(function) => Some(&function.name),
        }
    }
}

impl TypedFunction {
    /// The function `name`, the `index`th of its load. Its arguments have at most `max_arguments_bytes`.
    pub(crate) fn new(
        index: usize,
        interface: Option<&str>,
        name: &str,
        signature: Signature,
        sharing: CallSharing,
        max_arguments_bytes: usize,
    ) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(0);
        Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            index,
            interface: interface.map(Into::into),
            name: name.into(),
            answer_bound: signature.answer().map(JsonBound::of).unwrap_or_default(),
            signature,
            docs: FunctionDocs::default(),
            sharing,
            max_arguments_bytes,
        }
    }

    /// The same with documentation comments.
    pub(crate) fn documented(self, docs: FunctionDocs) -> Self {
        Self { docs, ..self }
    }

    /// The interface that has it, as `acme:orders/orders@1.0.0`; `None` if the component exports the function itself.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// Its name in WIT.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its parameters and its result.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The greatest length as JSON of an answer of this number of canonical bytes.
    pub(crate) fn max_json_len(&self, bytes: usize) -> usize {
        // null, if there is no answer.
        self.answer_bound.len(bytes).max(4)
    }

    /// Its documentation comments.
    #[must_use]
    pub fn docs(&self) -> &FunctionDocs {
        &self.docs
    }

    /// Whether callers with equal arguments share a flight.
    #[must_use]
    pub fn sharing(&self) -> CallSharing {
        self.sharing
    }

    /// The maximum size of its arguments, as JSON and as canonical bytes.
    #[must_use]
    pub fn max_arguments_bytes(&self) -> usize {
        self.max_arguments_bytes
    }
}

/// Functions are equal if they are the same function of the same load.
impl PartialEq for TypedFunction {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for TypedFunction {}

impl Hash for TypedFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// The function as WIT names it: `acme:orders/orders#get-order`.
impl fmt::Display for TypedFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}#{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}
