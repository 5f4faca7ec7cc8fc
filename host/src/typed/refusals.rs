//! What is refused, where, and in which words.

use super::signature::{Parameter, Signature};
use super::value_type::{Case, Field, ValueType};
use super::{ArgumentError, read_json, read_query, read_wave};

/// A signature with one parameter, `a`.
fn signature(ty: ValueType) -> Signature {
    let name = "a".into();
    Signature {
        parameters: [Parameter { name, ty }].into(),
        result: None,
    }
}

fn text(read: Result<Vec<u8>, ArgumentError>) -> String {
    read.map_or_else(|error| error.to_string(), |bytes| format!("{bytes:?}"))
}

/// What `{"a": json}` is read as.
fn json(ty: ValueType, json: &str) -> String {
    let json = format!("{{\"a\":{json}}}");
    text(read_json(&signature(ty), json.as_bytes(), 1 << 10))
}

fn query(ty: ValueType, value: &str) -> String {
    text(read_query(&signature(ty), [("a", value)], 1 << 10))
}

fn list(element: ValueType) -> ValueType {
    ValueType::List(Box::new(element))
}

fn map(key: ValueType, value: ValueType) -> ValueType {
    ValueType::Map(Box::new(key), Box::new(value))
}

fn option(inner: ValueType) -> ValueType {
    ValueType::Option(Box::new(inner))
}

fn record() -> ValueType {
    let name = "name".into();
    ValueType::Record(
        [Field {
            name,
            ty: ValueType::String,
        }]
        .into(),
    )
}

fn variant() -> ValueType {
    let case = |name: &str, ty| Case {
        name: name.into(),
        ty,
    };
    ValueType::Variant([case("none", None), case("id", Some(ValueType::U8))].into())
}

fn flags() -> ValueType {
    ValueType::Flags(["x".into(), "y".into()].into())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn an_error_says_which_part_has_which_other_type() {
    let table = [
        (
            ValueType::Bool,
            "1",
            "a: expected true or false, of type bool, got a number",
        ),
        (
            ValueType::U8,
            "256",
            "a: expected an integer, of type u8, got 256, which is out of its range",
        ),
        (
            ValueType::S8,
            "-129",
            "a: expected an integer, of type s8, got -129, which is out of its range",
        ),
        (
            ValueType::U32,
            "-1",
            "a: expected an integer, of type u32, got -1, which is out of its range",
        ),
        (
            ValueType::U32,
            "1.5",
            "a: expected an integer, of type u32, got a number with a fraction, or a larger one",
        ),
        (
            ValueType::U64,
            "\"01\"",
            "a: expected an integer, as a number or in a string, of type u64, got \"01\"",
        ),
        (
            ValueType::U64,
            "18446744073709551616",
            "a: expected an integer, as a number or in a string, of type u64, got a number with a fraction, or a larger one",
        ),
        (
            ValueType::F32,
            "1e39",
            "a: expected a number, \"NaN\", \"Infinity\" or \"-Infinity\", of type f32, got a number that is out of its range",
        ),
        (
            ValueType::F64,
            "\"inf\"",
            "a: expected a number, \"NaN\", \"Infinity\" or \"-Infinity\", of type f64, got \"inf\"",
        ),
        (
            ValueType::Char,
            "\"ab\"",
            "a: expected a string of one character, of type char, got a string of another length",
        ),
        (
            ValueType::String,
            "null",
            "a: expected a string, of type string, got null",
        ),
        (
            list(ValueType::U8),
            "\"?\"",
            "a: expected base64 in a string, or an array, of type list<u8>, got a string that is not base64: Invalid symbol 63, offset 0.",
        ),
        (
            list(record()),
            "[{\"name\":\"\"},{\"name\":1}]",
            "a[1].name: expected a string, of type string, got a number",
        ),
        (
            list(record()),
            "[{}]",
            "a[0].name: expected a value of type string, got none; add it",
        ),
        (
            record(),
            "{\"name\":\"\",\"name\":\"\"}",
            "a.name: expected it once, got it twice; remove one",
        ),
        (
            record(),
            "{\"nam\":1}",
            "a.nam: expected one of name, got another name; remove it",
        ),
        (
            record(),
            "{\"\\u202e\":1}",
            "a.\"\\u{202e}\": expected one of name, got another name; remove it",
        ),
        (
            record(),
            "[]",
            "a: expected an object with its fields, of type record { name: string }, got an array",
        ),
        (
            ValueType::Tuple([ValueType::Bool].into()),
            "[]",
            "a: expected an array of 1, of type tuple<bool>, got one of 0",
        ),
        (
            ValueType::Tuple([ValueType::Bool].into()),
            "[true,1]",
            "a: expected an array of 1, of type tuple<bool>, got a longer one",
        ),
        (
            variant(),
            "\"id\"",
            "a: expected the name of a case, or {\"case\": value}, of type variant { none, id(u8) }, got \"id\" without its value",
        ),
        (
            variant(),
            "{\"none\":1}",
            "a.none: expected the name of a case, or {\"case\": value}, of type variant { none, id(u8) }, got a value where the case contains none",
        ),
        (
            variant(),
            "{\"id\":true}",
            "a.id: expected an integer, of type u8, got a boolean",
        ),
        (
            variant(),
            "\"no\"",
            "a: expected one of none, id, of type variant { none, id(u8) }, got \"no\"",
        ),
        (
            flags(),
            "[\"x\",\"z\"]",
            "a[1]: expected one of x, y, of type flags { x, y }, got \"z\"",
        ),
        (
            flags(),
            "[\"x\",\"x\"]",
            "a[1]: expected it once, got it twice; remove one",
        ),
        (
            flags(),
            "[1]",
            "a[0]: expected a name, of type flags { x, y }, got a number",
        ),
        (
            map(ValueType::String, ValueType::Bool),
            "{\"key\":1}",
            "a.key: expected true or false, of type bool, got a number",
        ),
        (
            map(ValueType::String, ValueType::Bool),
            "{\"a\\n\":1}",
            "a.\"a\\n\": expected true or false, of type bool, got a number",
        ),
        (
            map(ValueType::U8, ValueType::Bool),
            "[1]",
            "a[0]: expected an array of a key and a value, of type map<u8, bool>, got a number",
        ),
        (
            map(ValueType::U8, ValueType::Bool),
            "[[1]]",
            "a[0]: expected an array of a key and a value, of type map<u8, bool>, got one of another length",
        ),
        (
            map(ValueType::U8, ValueType::Bool),
            "[[1,true],[1,true]]",
            "a: expected it once, got it twice; remove one",
        ),
        (
            option(option(ValueType::U8)),
            "1",
            "a: expected null or {\"some\": value}, of type option<option<u8>>, got a number",
        ),
        (
            ValueType::Result(None, None),
            "{\"no\":null}",
            "a.no: expected {\"ok\": value} or {\"err\": value}, of type result, got an object with \"no\"",
        ),
        (
            list(ValueType::U64),
            &format!("[{}0]", "0,".repeat(200)),
            "expected arguments of at most 1024 bytes, got more; send less, or raise max_arguments_bytes",
        ),
    ];
    let mut others = Vec::new();
    for (ty, value, expected) in table {
        let got = json(ty, value);
        if got != expected {
            others.push((got, expected));
        }
    }
    assert!(others.is_empty(), "{others:#?}");
}

#[test]
fn what_is_no_json_is_refused() {
    let signature = signature(ValueType::String);
    let deep = "[".repeat(200);
    let documents = [
        "",
        "{\"a\":\"\"} x",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":1e400}",
        "{\"a\":\"",
        "{\"a\":\"\"",
        &deep,
    ];
    for document in documents {
        let error = text(read_json(&signature, document.as_bytes(), 1 << 10));
        assert!(error.starts_with("expected "), "{document}: {error}");
    }
    assert_eq!(
        text(read_json(&signature, b"[1]", 1 << 10)),
        "expected an object that names the arguments, of type arguments (a), got an array"
    );
}

#[test]
fn a_parameter_of_a_query_is_text_or_json() {
    assert_eq!(
        query(option(ValueType::String), "null"),
        "[1, 4, 0, 0, 0, 110, 117, 108, 108]"
    );
    assert_eq!(query(option(ValueType::U8), "null"), "[0]");
    assert_eq!(query(ValueType::String, ""), "[0, 0, 0, 0]");
    assert_eq!(
        query(ValueType::U8, ""),
        "a: expected an integer, of type u8, got \"\""
    );
    assert_eq!(
        query(ValueType::U8, "x"),
        "a: expected an integer, of type u8, got \"x\""
    );
    assert_eq!(
        query(ValueType::U64, "18446744073709551615"),
        format!("{:?}", [255; 8])
    );
    assert_eq!(query(ValueType::Char, "'"), "[39, 0, 0, 0]");
    assert_eq!(
        query(list(ValueType::U8), "[1]"),
        query(list(ValueType::U8), "AQ==")
    );
    let signature = signature(ValueType::String);
    let repeated = read_query(&signature, [("a", ""), ("a", "")], 9);
    assert_eq!(
        text(repeated),
        "a: expected it once, got it twice; remove one"
    );
    let unknown = read_query(&signature, [("b", "")], 9);
    assert_eq!(
        text(unknown),
        "b: expected one of a, got another name; remove it"
    );
    let missing = read_query(&signature, [], 9);
    assert_eq!(
        text(missing),
        "a: expected a value of type string, got none; add it"
    );
}

#[test]
fn a_float_out_of_range_is_refused_in_wave() {
    for (ty, value, is_read) in [
        (ValueType::F32, "1e39", false),
        (ValueType::F64, "-1e400", false),
        (ValueType::F64, "1e39", true),
        (ValueType::F32, "-inf", true),
    ] {
        let read = read_wave(&signature(ty), &format!("({value})"), 9);
        assert_eq!(read.is_ok(), is_read, "{value}");
    }
}
