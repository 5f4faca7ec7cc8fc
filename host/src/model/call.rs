//! [`Call`]: a function and its arguments, which is all that a guest learns of its caller.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use super::function::{Function, TypedFunction};

/// A function and its arguments as bytes. Calls that are equal may share one flight.
///
/// The guest's arguments are decoded from these bytes, and nothing else of the caller reaches the guest.
///
/// Arguments may hold what people search for, so [`fmt::Debug`] and [`fmt::Display`] print a hash, keyed
/// with a random key of the process. [`Call::x`] is the argument itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Call {
    function: Function,
    /// Invariant: for [`Function::GetItems`] it is the key, in UTF-8. For a typed function it is the canonical bytes of
    /// its arguments, as [`typed`](crate::typed) defines them.
    arguments: Arc<[u8]>,
}

impl Call {
    /// A call of `get-items` with the key `x`.
    #[must_use]
    pub fn get_items(x: impl Into<Arc<str>>) -> Self {
        Self {
            function: Function::GetItems,
            arguments: Arc::from(x.into()),
        }
    }

    /// A call of `function` with `arguments`, the canonical bytes of values of its parameters' types.
    pub(super) fn typed(function: &Arc<TypedFunction>, arguments: Vec<u8>) -> Self {
        Self {
            function: Function::Typed(Arc::clone(function)),
            arguments: arguments.into(),
        }
    }

    /// The function that is called.
    #[must_use]
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// The arguments as canonical bytes: for [`Function::GetItems`] the key, in UTF-8.
    #[must_use]
    pub fn arguments(&self) -> &[u8] {
        &self.arguments
    }

    /// The key of a call of `get-items`.
    #[must_use]
    pub fn x(&self) -> Option<&str> {
        match &self.function {
            Function::GetItems => std::str::from_utf8(&self.arguments).ok(),
            Function::Typed(_) => None,
        }
    }

    /// The arguments as a person may see them: the key of `get-items`, else WAVE, at most about `limit` bytes of it.
    #[must_use]
    pub fn shown(&self, limit: usize) -> String {
        match &self.function {
            Function::GetItems => self.x().unwrap_or_default().to_owned(),
            Function::Typed(function) => {
                let signature = function.signature();
                let arguments = signature.arguments_as_wave(&self.arguments, limit);
                format!("{}{arguments}", function.name())
            }
        }
    }
}

/// A call of `get-items` with this key.
impl<T: Into<Arc<str>>> From<T> for Call {
    fn from(x: T) -> Self {
        Self::get_items(x)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        write!(f, "{:016x}", HASHER.hash_one(self))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(#{self})", self.function.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_printed_as_a_hash_and_never_as_its_arguments() {
        let call = Call::get_items("a-private-key");
        let printed = format!("{call} {call:?}");
        assert!(!printed.contains("private"), "{printed}");
        assert_eq!(call.to_string(), Call::from("a-private-key").to_string());
        assert_ne!(call.to_string(), Call::from("another key").to_string());
    }

    #[test]
    fn the_argument_of_get_items_is_its_key() {
        let call = Call::get_items("42");
        assert_eq!((call.x(), call.arguments()), (Some("42"), &b"42"[..]));
    }
}
