//! The properties.

use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use serde_json::Value as Json;

use crate::component::{arguments, encoded};
use crate::generated::Generator;
use crate::typed::{
    Field, Signature, Value, ValueType, WideIntegers, arguments_as_wave, read_json, read_query,
    read_wave,
};

/// The limit of what a caller sends.
const LIMIT: usize = 64 << 10;

/// What values may take in a guest, and in text.
const ROOM: usize = 4 << 20;

const WIDE: [WideIntegers; 2] = [WideIntegers::Number, WideIntegers::String];

/// Checks all properties of the types, the values and the text in `input`.
pub(crate) fn check(input: &[u8]) {
    // An input that ends too early has nothing to check.
    let _ = check_all(Unstructured::new(input));
}

fn check_all(mut input: Unstructured<'_>) -> Result<()> {
    let mut generator = Generator(&mut input);
    let signature = generator.signature()?;
    if let Some(bytes) = generator.arguments(&signature)? {
        of_values(&signature, &bytes);
    }
    let sent = input.take_rest();
    of_malformed(&signature, sent);
    of_json(&signature, sent);
    if let Ok(text) = std::str::from_utf8(sent) {
        of_wave(&signature, text);
        of_query(&signature, text);
    }
    Ok(())
}

/// Values in every form are read as the same bytes.
fn of_values(signature: &Signature, bytes: &[u8]) {
    for wide in WIDE {
        let json = json(signature, bytes, wide);
        assert_eq!(
            read_json(signature, &json, ROOM).as_deref(),
            Ok(bytes),
            "{signature}"
        );
        let Ok(document) = serde_json::from_slice::<Json>(&json) else {
            panic!("expected JSON, got {json:?}");
        };
        let others = reversed(document).to_string();
        let read = read_json(signature, others.as_bytes(), ROOM);
        assert_eq!(read.as_deref(), Ok(bytes), "{signature}: {others}");
    }
    let wave = arguments_as_wave(signature, bytes, ROOM);
    assert_eq!(
        read_wave(signature, &wave, ROOM).as_deref(),
        Ok(bytes),
        "{signature}: {wave}"
    );
    of_guest(signature, bytes);
}

/// The values that a guest gets, as it would return them, are the same bytes.
fn of_guest(signature: &Signature, bytes: &[u8]) {
    let values = arguments(signature, bytes, ROOM);
    let values = values.unwrap_or_else(|_| panic!("{signature}: {bytes:?} are malformed"));
    // They did not fit.
    let Some(values) = values else { return };
    let mut again = Vec::new();
    for (parameter, value) in signature.parameters.iter().zip(&values) {
        let Some(bytes) = encoded(&parameter.ty, value) else {
            panic!("expected a value of type {}, got {value:?}", parameter.ty);
        };
        again.extend(bytes);
    }
    assert_eq!(again, bytes, "{signature}");
}

/// Bytes that may be those of no value cost no more than the limit.
fn of_malformed(signature: &Signature, bytes: &[u8]) {
    const SHORT: usize = 4 << 10;
    let value = value(signature, bytes, WideIntegers::Number);
    assert!(value.json(SHORT).is_none_or(|json| json.len() <= SHORT));
    assert!(value.wave(SHORT).len() <= SHORT + '…'.len_utf8());
    if let Ok(Some(values)) = arguments(signature, bytes, SHORT) {
        for (parameter, value) in signature.parameters.iter().zip(&values) {
            assert!(encoded(&parameter.ty, value).is_some(), "{signature}");
        }
    }
}

/// JSON of a caller is refused, or read as canonical bytes.
fn of_json(signature: &Signature, text: &[u8]) {
    match read_json(signature, text, LIMIT) {
        Ok(bytes) => {
            assert!(bytes.len() <= LIMIT);
            of_values(signature, &bytes);
        }
        Err(error) => assert!(error.to_string().len() <= 16 << 10),
    }
}

/// WAVE of a person is refused, or read as canonical bytes.
fn of_wave(signature: &Signature, text: &str) {
    if let Ok(bytes) = read_wave(signature, text, LIMIT) {
        assert!(bytes.len() <= LIMIT);
        of_values(signature, &bytes);
    }
}

/// A query of a caller is refused, or read as canonical bytes: one parameter for each line of the text.
fn of_query(signature: &Signature, text: &str) {
    let names = signature
        .parameters
        .iter()
        .map(|parameter| &*parameter.name);
    if let Ok(bytes) = read_query(signature, names.zip(text.split('\n')), LIMIT) {
        assert!(bytes.len() <= LIMIT);
        of_values(signature, &bytes);
    }
}

/// The type of a record with the parameters as fields: its JSON is that of arguments, and so are its bytes.
fn value(signature: &Signature, bytes: &[u8], wide: WideIntegers) -> Value {
    let fields = signature.parameters.iter().map(|parameter| Field {
        name: parameter.name.clone(),
        ty: parameter.ty.clone(),
    });
    let record = Arc::new(ValueType::Record(fields.collect()));
    Value::new(Some(&record), bytes.to_vec(), wide)
}

fn json(signature: &Signature, bytes: &[u8], wide: WideIntegers) -> Vec<u8> {
    let json = value(signature, bytes, wide).json(ROOM);
    json.unwrap_or_else(|| panic!("{signature}: {bytes:?} have no JSON"))
        .into()
}

/// The same document, with the fields of all objects in the reverse order, and without those that are null in the
/// outermost one: they are options of the parameters.
fn reversed(json: Json) -> Json {
    match json {
        Json::Array(elements) => elements.into_iter().map(reversed).collect(),
        Json::Object(fields) => {
            let fields = fields.into_iter().rev();
            Json::Object(fields.map(|(name, json)| (name, reversed(json))).collect())
        }
        other => other,
    }
}
