//! Properties of typed values: of any type, JSON and WAVE are read as canonical bytes, of which there is one sequence for
//! a value, and the values that a guest gets are those that its caller sent.
//!
//! The first bytes of the input are a signature, and the next ones values of its parameters; both are also read from the
//! rest of the input as a caller may send it: as JSON, as WAVE, as a query, and as bytes that may be those of no value.

#![no_main]

#[path = "typed/component.rs"]
mod component;
#[path = "typed/generated.rs"]
mod generated;
#[path = "typed/printable.rs"]
mod printable;
#[path = "typed/properties.rs"]
mod properties;

/// Where the host's files look for typed values. They are private in the host, so they are compiled into this target.
#[allow(
    unfulfilled_lint_expectations,
    reason = "the host's types are public, these are not"
)]
#[expect(dead_code, reason = "the properties need only some functions")]
mod typed {
    #[path = "../../../../host/src/typed/argument_error.rs"]
    mod argument_error;
    #[path = "../../../../host/src/typed/example.rs"]
    mod example;
    #[path = "../../../../host/src/typed/json_fields.rs"]
    mod json_fields;
    #[path = "../../../../host/src/typed/json_map.rs"]
    mod json_map;
    #[path = "../../../../host/src/typed/json_read.rs"]
    mod json_read;
    #[path = "../../../../host/src/typed/json_reading.rs"]
    mod json_reading;
    #[path = "../../../../host/src/typed/json_value.rs"]
    mod json_value;
    #[path = "../../../../host/src/typed/json_write.rs"]
    mod json_write;
    #[path = "../../../../host/src/typed/query.rs"]
    mod query;
    #[path = "../../../../host/src/typed/read.rs"]
    mod read;
    #[path = "../../../../host/src/typed/signature.rs"]
    mod signature;
    #[path = "../../../../host/src/typed/value.rs"]
    mod value;
    #[path = "../../../../host/src/typed/value_type.rs"]
    mod value_type;
    #[path = "../../../../host/src/typed/wave_read.rs"]
    mod wave_read;
    #[path = "../../../../host/src/typed/wave_write.rs"]
    mod wave_write;
    #[path = "../../../../host/src/typed/write.rs"]
    mod write;

    pub(crate) use self::json_read::read_arguments as read_json;
    pub(crate) use self::json_write::WideIntegers;
    pub(crate) use self::query::read_query;
    pub(crate) use self::read::{Malformed, Reader};
    pub(crate) use self::signature::{Parameter, Signature};
    pub(crate) use self::value::Value;
    pub(crate) use self::value_type::{Case, Field, ValueType};
    pub(crate) use self::wave_read::read_wave;
    pub(crate) use self::wave_write::arguments_as_wave;
    pub(crate) use self::write::{TooLong, Writer};
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| properties::check(input));
