//! Typed values: the types of WIT, values of them as canonical bytes, and those bytes as JSON and as WAVE.
//!
//! A value is its bytes. Of a caller's arguments the bytes are the key of its flight, and what the guest gets is decoded
//! from them, so nothing but the key can reach it. Of an answer they are what all callers share. There is exactly one
//! sequence of bytes for a value of a type:
//!
//! | type | bytes |
//! |---|---|
//! | `bool`, integers, floats | the value, little-endian; every NaN as the same one |
//! | `char` | the code point in 4 bytes |
//! | `string`, `list<T>` | the number of bytes or elements in 4 bytes, then these |
//! | fixed-length list, `tuple`, `record` | the elements or fields in the order of the type |
//! | `map<K, V>` | the number of entries in 4 bytes, then these, in the order of the bytes of their keys |
//! | `variant`, `enum` | the number of the case in 4 bytes, then what it contains |
//! | `option`, `result` | 0 for none and ok, 1 for some and err, then what it contains |
//! | `flags` | one bit for each, in the order of the type |
//!
//! Nothing here knows wasmtime: `component/contract` converts between these bytes and the values that guests get.

mod argument_error;
mod docs;
mod example;
#[cfg(test)]
pub(crate) mod generated;
mod json_bound;
mod json_fields;
mod json_map;
mod json_read;
mod json_reading;
mod json_schema;
mod json_value;
mod json_write;
#[cfg(test)]
mod properties;
mod query;
mod read;
#[cfg(test)]
mod refusals;
mod signature;
mod type_budget;
mod value;
mod value_type;
mod wave_read;
mod wave_write;
mod write;

pub use self::argument_error::{ArgumentError, ArgumentProblem};
pub use self::docs::FunctionDocs;
pub use self::json_write::WideIntegers;
pub use self::signature::{Parameter, Signature};
pub use self::value::Value;
pub use self::value_type::{Case, Field, ValueType};

pub(crate) use self::docs::{PartDocs, TypeDocs};
pub(crate) use self::example::example;
pub(crate) use self::json_bound::JsonBound;
pub(crate) use self::json_read::read_arguments as read_json;
pub(crate) use self::json_schema::{SchemaOf, json_schema, object};
pub(crate) use self::query::read_query;
pub(crate) use self::read::{Malformed, Reader};
pub(crate) use self::type_budget::{MAX_DEPTH, TypeBudget};
pub(crate) use self::wave_read::read_wave;
pub(crate) use self::wave_write::arguments_as_wave;
pub(crate) use self::write::{TooLong, Writer};
