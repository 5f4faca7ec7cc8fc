//! [`Call`]: a function and its arguments, which is all that a guest learns of its caller.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use super::function::{Function, TypedFunction};
use crate::typed::{
    ArgumentError, Reader, Signature, arguments_as_wave, read_json, read_query, read_wave,
};

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

    /// A call of `function` with the arguments in `json`, an object that names them: `{"id": "42", "region": null}`.
    /// Options may be absent.
    ///
    /// # Errors
    ///
    /// [`ArgumentError`] says which argument has which other type.
    pub fn from_json(function: &Arc<TypedFunction>, json: &[u8]) -> Result<Self, ArgumentError> {
        let limit = function.max_arguments_bytes();
        let arguments = read_json(function.signature(), json, limit)?;
        Ok(Self::typed(function, arguments))
    }

    /// A call of `function` with the arguments in the parameters of a query, percent-decoded. A parameter that JSON has
    /// as a string is its text, and any other one is JSON.
    ///
    /// # Errors
    ///
    /// [`ArgumentError`] says which argument has which other type.
    pub fn from_query<'a>(
        function: &Arc<TypedFunction>,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ArgumentError> {
        let limit = function.max_arguments_bytes();
        let arguments = read_query(function.signature(), parameters, limit)?;
        Ok(Self::typed(function, arguments))
    }

    /// A call of `function` with the arguments in `wave`, in parentheses: `("42", some(eu))`. Options at the end may be
    /// absent. The argument of `get-items` is its key.
    ///
    /// # Errors
    ///
    /// [`ArgumentError`] says which argument has which other type.
    pub fn from_wave(function: &Function, wave: &str) -> Result<Self, ArgumentError> {
        match function {
            Function::GetItems => {
                let arguments = read_wave(&Signature::of_key(), wave, usize::MAX)?;
                let x = Reader::new(&arguments).str().unwrap_or_default();
                Ok(Self::get_items(x))
            }
            Function::Typed(function) => {
                let limit = function.max_arguments_bytes();
                let arguments = read_wave(function.signature(), wave, limit)?;
                Ok(Self::typed(function, arguments))
            }
        }
    }

    /// A call of `function` with `arguments`, the canonical bytes of values of its parameters' types.
    fn typed(function: &Arc<TypedFunction>, arguments: Vec<u8>) -> Self {
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

    /// How reports name the call without showing its arguments: the hash of its key, or its function and the hash, as in
    /// `get-order(#0123456789abcdef)`.
    #[must_use]
    pub fn hashed(&self) -> String {
        match &self.function {
            Function::GetItems => self.to_string(),
            Function::Typed(_) => format!("{self:?}"),
        }
    }

    /// The arguments as a person may see them: the key of `get-items`, else WAVE, at most about `limit` bytes of it.
    #[must_use]
    pub fn shown(&self, limit: usize) -> String {
        match &self.function {
            Function::GetItems => self.x().unwrap_or_default().to_owned(),
            Function::Typed(function) => {
                let arguments = arguments_as_wave(function.signature(), &self.arguments, limit);
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
