//! [`Signature`]: the parameters and the result of a function.

use std::fmt::{self, Display, Formatter};

use super::argument_error::ArgumentError;
use super::example;
use super::json_read::read_arguments;
use super::query::read_query;
use super::value_type::{ValueType, separated};
use super::wave_read::read_wave;
use super::wave_write::arguments_as_wave;

/// The parameters and the result of a function. [`Display`] writes it as WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The parameters, in their order.
    pub parameters: Box<[Parameter]>,
    /// What the function returns, if it returns anything.
    pub result: Option<ValueType>,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in WIT.
    pub name: Box<str>,
    /// Its type.
    pub ty: ValueType,
}

impl Signature {
    /// What callers get: the type of `ok` where the result is a `result`, else the result.
    #[must_use]
    pub fn answer(&self) -> Option<&ValueType> {
        match &self.result {
            Some(ValueType::Result(ok, _)) => ok.as_deref(),
            other => other.as_ref(),
        }
    }

    /// The canonical bytes of the arguments in `json`, an object that names them.
    pub(crate) fn arguments_of_json(
        &self,
        json: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, ArgumentError> {
        read_arguments(self, json, limit)
    }

    /// The canonical bytes of the arguments in a query's parameters, decoded.
    pub(crate) fn arguments_of_query<'a>(
        &self,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
        limit: usize,
    ) -> Result<Vec<u8>, ArgumentError> {
        read_query(self, parameters, limit)
    }

    /// The canonical bytes of the arguments in `wave`, in parentheses.
    pub(crate) fn arguments_of_wave(
        &self,
        wave: &str,
        limit: usize,
    ) -> Result<Vec<u8>, ArgumentError> {
        read_wave(self, wave, limit)
    }

    /// The arguments in `bytes` as WAVE, in parentheses, at most about `limit` bytes of it.
    pub(crate) fn arguments_as_wave(&self, bytes: &[u8], limit: usize) -> String {
        arguments_as_wave(self, bytes, limit)
    }

    /// An example of arguments as WAVE, in parentheses.
    #[must_use]
    pub fn example(&self) -> String {
        example::arguments(self)
    }
}

impl Display for Signature {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("func(")?;
        separated(f, &self.parameters, |f, Parameter { name, ty }| {
            write!(f, "{name}: {ty}")
        })?;
        f.write_str(")")?;
        match &self.result {
            Some(result) => write!(f, " -> {result}"),
            None => Ok(()),
        }
    }
}
