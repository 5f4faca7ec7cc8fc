//! What is true of the values of all types.

use std::sync::Arc;

use serde_json::Value as Json;

use super::generated::Generator;
use super::json_bound::JsonBound;
use super::signature::Signature;
use super::value_type::{Field, ValueType};
use super::{Value, WideIntegers, arguments_as_wave, example, read_json, read_wave};

/// How many types are tried, with some values of each.
const CASES: u64 = 4_000;

/// The type of a record with the parameters as fields: its JSON is that of arguments, and so are its bytes.
fn as_record(signature: &Signature) -> ValueType {
    let fields = signature.parameters.iter().map(|parameter| Field {
        name: parameter.name.clone(),
        ty: parameter.ty.clone(),
    });
    ValueType::Record(fields.collect())
}

fn json(signature: &Signature, bytes: &[u8], wide: WideIntegers) -> Vec<u8> {
    let value = Value::new(Some(&Arc::new(as_record(signature))), bytes.to_vec(), wide);
    value.json(usize::MAX).unwrap().into()
}

/// Calls `check` with a generator, a signature and arguments of it.
fn for_all(check: impl Fn(&mut Generator, &Signature, &[u8])) {
    for seed in 0..CASES {
        let mut generator = Generator::new(seed);
        let signature = generator.signature();
        for _ in 0..4 {
            let bytes = generator.arguments(&signature);
            check(&mut generator, &signature, &bytes);
        }
    }
}

#[test]
fn json_of_arguments_is_read_as_the_same_bytes() {
    for_all(|_, signature, bytes| {
        for wide in [WideIntegers::Number, WideIntegers::String] {
            let json = json(signature, bytes, wide);
            let read = read_json(signature, &json, usize::MAX);
            let text = String::from_utf8_lossy(&json);
            assert_eq!(read.as_deref(), Ok(bytes), "{signature}: {text}");
        }
    });
}

#[test]
fn wave_of_arguments_is_read_as_the_same_bytes() {
    for_all(|_, signature, bytes| {
        let wave = arguments_as_wave(signature, bytes, usize::MAX);
        let read = read_wave(signature, &wave, usize::MAX);
        assert_eq!(read.as_deref(), Ok(bytes), "{signature}: {wave}");
    });
}

#[test]
fn json_is_never_longer_than_its_bound() {
    for_all(|_, signature, bytes| {
        let bound = JsonBound::of(&as_record(signature)).len(bytes.len());
        for wide in [WideIntegers::Number, WideIntegers::String] {
            let length = json(signature, bytes, wide).len();
            assert!(length <= bound, "{signature}: {length} of {bound}");
        }
    });
    // What has no bytes has no bound.
    let nothing = ValueType::List(Box::new(ValueType::Record([].into())));
    assert_eq!(JsonBound::of(&nothing).len(4), usize::MAX);
    // The items of an order: twenty of them are far below a limit of megabytes.
    let text = |name: &str| Field {
        name: name.into(),
        ty: ValueType::String,
    };
    let item = ValueType::Record([text("id"), text("body")].into());
    let items = ValueType::List(Box::new(item));
    assert_eq!(JsonBound::of(&items).len(2_000), 2 + 2_000 * (6 + 3));
}

#[test]
fn arguments_with_other_bytes_have_another_json() {
    for_all(|generator, signature, bytes| {
        let other = generator.arguments(signature);
        let json = |bytes| json(signature, bytes, WideIntegers::Number);
        assert_eq!(bytes == other, json(bytes) == json(&other), "{signature}");
    });
}

#[test]
fn the_order_of_fields_and_of_the_entries_of_maps_does_not_matter() {
    for_all(|_, signature, bytes| {
        let json = json(signature, bytes, WideIntegers::Number);
        let reversed = reversed(serde_json::from_slice(&json).unwrap()).to_string();
        let read = read_json(signature, reversed.as_bytes(), usize::MAX);
        assert_eq!(read.as_deref(), Ok(bytes), "{signature}: {reversed}");
    });
}

/// The same document, with the fields of all objects in the reverse order.
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

#[test]
fn an_option_that_is_none_may_be_absent() {
    for_all(|_, signature, bytes| {
        let json = json(signature, bytes, WideIntegers::Number);
        let Ok(Json::Object(mut fields)) = serde_json::from_slice(&json) else {
            panic!("an object");
        };
        fields.retain(|_, json| !json.is_null());
        let less = Json::Object(fields).to_string();
        let read = read_json(signature, less.as_bytes(), usize::MAX);
        assert_eq!(read.as_deref(), Ok(bytes), "{signature}: {less}");
    });
}

#[test]
fn bytes_that_are_corrupt_cost_no_more_than_the_limit() {
    const LIMIT: usize = 4 << 10;
    for_all(|generator, signature, bytes| {
        let mut bytes = bytes.to_vec();
        corrupt(generator, &mut bytes);
        let value = Value::new(
            Some(&Arc::new(as_record(signature))),
            bytes,
            WideIntegers::Number,
        );
        assert!(value.json(LIMIT).is_none_or(|json| json.len() <= LIMIT));
        assert!(value.wave(LIMIT).len() <= LIMIT + '…'.len_utf8());
    });
    // Four billion elements without a byte.
    let lists = [
        ValueType::Tuple([].into()),
        ValueType::Record([].into()),
        ValueType::Flags([].into()),
        ValueType::FixedList(Box::new(ValueType::U8), 0),
    ];
    for element in lists {
        let ty = ValueType::List(Box::new(element));
        let value = Value::new(
            Some(&Arc::new(ty.clone())),
            vec![0xff; 4],
            WideIntegers::Number,
        );
        assert_eq!(value.json(LIMIT), None);
        assert!(value.wave(LIMIT).ends_with('…'));
    }
}

/// Changes, removes or adds a byte, or some.
fn corrupt(generator: &mut Generator, bytes: &mut Vec<u8>) {
    for _ in 0..=generator.below(3) {
        let at = generator.below(bytes.len() + 1);
        match generator.below(3) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, u8::MAX),
            _ if at < bytes.len() => bytes[at] ^= 1 << generator.below(8),
            _ => {}
        }
    }
}

#[test]
fn json_that_is_corrupt_is_refused_or_another_value() {
    for_all(|generator, signature, bytes| {
        let mut text = json(signature, bytes, WideIntegers::Number);
        corrupt(generator, &mut text);
        if let Ok(bytes) = read_json(signature, &text, usize::MAX) {
            let json = json(signature, &bytes, WideIntegers::Number);
            assert_eq!(read_json(signature, &json, usize::MAX), Ok(bytes));
        }
    });
}

#[test]
fn wave_that_is_corrupt_is_refused_or_another_value() {
    for_all(|generator, signature, bytes| {
        let mut text = arguments_as_wave(signature, bytes, usize::MAX).into_bytes();
        corrupt(generator, &mut text);
        let text = String::from_utf8_lossy(&text);
        if let Ok(bytes) = read_wave(signature, &text, usize::MAX) {
            let wave = arguments_as_wave(signature, &bytes, usize::MAX);
            assert_eq!(read_wave(signature, &wave, usize::MAX), Ok(bytes));
        }
    });
}

#[test]
fn an_example_can_be_called() {
    for_all(|_, signature, _| {
        let example = example(signature);
        let read = read_wave(signature, &example, usize::MAX);
        assert!(read.is_ok(), "{signature}: {example}: {read:?}");
    });
}
