//! The JSON of a type, as JSON Schema 2020-12, the dialect of OpenAPI 3.1.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::docs::{PartDocs, TypeDocs};
use super::json_write::WideIntegers;
use super::value_type::{Case, Field, ValueType};

/// Which JSON a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaOf {
    /// What a caller may send.
    Argument,
    /// What a caller gets, with integers of 64 bits like this.
    Answer(WideIntegers),
}

/// The smallest number that is rounded to infinity: half a unit in the last place above the largest `f32`.
const F32_BOUND: f64 = 3.402_823_567_797_336_6e38;

/// The schema of values of type `ty`, with its documentation comments.
pub(crate) fn json_schema(ty: &ValueType, docs: &TypeDocs, of: SchemaOf) -> Value {
    described(undescribed(ty, docs, of), docs.text.as_deref())
}

/// `schema` with this description, if there is one, before that which it has.
fn described(mut schema: Value, text: Option<&str>) -> Value {
    if let Some(text) = text {
        let text = match schema["description"].as_str() {
            Some(names) => format!("{text}\n\n{names}"),
            None => text.to_owned(),
        };
        schema["description"] = text.into();
    }
    schema
}

/// The schema of a part: its comment, and that of its type.
fn part_schema(ty: &ValueType, docs: &PartDocs, of: SchemaOf) -> Value {
    described(undescribed(ty, &docs.ty, of), docs.texts().as_deref())
}

/// The names of an enum or of flags. A schema has no place for comments of each, so they are listed.
fn names_schema(names: &[Box<str>], docs: &TypeDocs) -> Value {
    let listed = names.iter().enumerate().filter_map(|(nth, name)| {
        let text = docs.part(nth).text.as_deref()?;
        Some(format!("- `{name}`: {}", text.replace('\n', "\n  ")))
    });
    let listed: Vec<_> = listed.collect();
    described(
        json!({ "enum": names }),
        (!listed.is_empty()).then(|| listed.join("\n")).as_deref(),
    )
}

fn undescribed(ty: &ValueType, docs: &TypeDocs, of: SchemaOf) -> Value {
    // The nth part, which has no comment of its own.
    let schema = |nth: usize, ty: &ValueType| json_schema(ty, docs.of(nth), of);
    match ty {
        ValueType::Bool => json!({ "type": "boolean" }),
        ValueType::S8 => integer(i8::MIN, i8::MAX),
        ValueType::U8 => integer(u8::MIN, u8::MAX),
        ValueType::S16 => integer(i16::MIN, i16::MAX),
        ValueType::U16 => integer(u16::MIN, u16::MAX),
        ValueType::S32 => integer(i32::MIN, i32::MAX),
        ValueType::U32 => integer(u32::MIN, u32::MAX),
        ValueType::S64 => {
            let (max, min) = (up_to(&i64::MAX.to_string()), i64::MIN);
            wide(
                integer(i64::MIN, i64::MAX),
                &format!("^(0|-?({max})|{min})$"),
                of,
            )
        }
        ValueType::U64 => {
            let max = up_to(&u64::MAX.to_string());
            wide(integer(u64::MIN, u64::MAX), &format!("^(0|{max})$"), of)
        }
        ValueType::F32 => float(json!({
            "type": "number",
            "exclusiveMinimum": -F32_BOUND,
            "exclusiveMaximum": F32_BOUND,
        })),
        ValueType::F64 => float(json!({ "type": "number" })),
        ValueType::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        ValueType::String => json!({ "type": "string" }),
        ValueType::List(element) if **element == ValueType::U8 => bytes(schema(0, element), of),
        ValueType::List(element) => json!({ "type": "array", "items": schema(0, element) }),
        ValueType::FixedList(element, number) => json!({
            "type": "array", "items": schema(0, element), "minItems": number, "maxItems": number,
        }),
        ValueType::Tuple(types) => {
            let types = types.iter().enumerate();
            tuple(types.map(|(nth, ty)| schema(nth, ty)).collect(), of)
        }
        ValueType::Map(key, value) if **key == ValueType::String => {
            json!({ "type": "object", "additionalProperties": schema(1, value) })
        }
        ValueType::Map(key, value) => {
            json!({ "type": "array", "items": tuple(vec![schema(0, key), schema(1, value)], of) })
        }
        ValueType::Record(fields) => {
            let fields = fields.iter().enumerate();
            let fields = fields.map(|(nth, Field { name, ty })| (&**name, ty, docs.part(nth)));
            object(fields, of)
        }
        ValueType::Variant(cases) => {
            let cases = cases.iter().enumerate().map(|(nth, Case { name, ty })| {
                let case = match ty {
                    None => json!({ "const": name }),
                    Some(ty) => only(name, schema(nth, ty)),
                };
                described(case, docs.part(nth).text.as_deref())
            });
            json!({ "oneOf": cases.collect::<Vec<_>>() })
        }
        ValueType::Enum(names) => names_schema(names, docs),
        ValueType::Option(inner) => {
            let some = if inner.is_option() {
                only("some", schema(0, inner))
            } else {
                schema(0, inner)
            };
            json!({ "anyOf": [some, { "type": "null" }] })
        }
        ValueType::Result(ok, err) => {
            let content = |nth, ty: &Option<Arc<ValueType>>| match ty {
                Some(ty) => schema(nth, ty),
                None => json!({ "type": "null" }),
            };
            json!({ "oneOf": [only("ok", content(0, ok)), only("err", content(1, err))] })
        }
        ValueType::Flags(names) => {
            json!({ "type": "array", "items": names_schema(names, docs), "uniqueItems": true })
        }
    }
}

/// The schema of an object with these fields. Options may be absent from arguments; an answer has all fields.
pub(crate) fn object<'a>(
    fields: impl Iterator<Item = (&'a str, &'a ValueType, &'a PartDocs)>,
    of: SchemaOf,
) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, ty, docs) in fields {
        properties.insert(name.to_owned(), part_schema(ty, docs, of));
        if of != SchemaOf::Argument || !ty.is_option() {
            required.push(name);
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn integer<T: Into<i128>>(min: T, max: T) -> Value {
    let number = |bound: T| {
        let bound: i128 = bound.into();
        i64::try_from(bound).map_or_else(|_| u64::try_from(bound).ok().into(), Value::from)
    };
    json!({ "type": "integer", "minimum": number(min), "maximum": number(max) })
}

fn float(number: Value) -> Value {
    json!({ "anyOf": [number, { "enum": ["NaN", "Infinity", "-Infinity"] }] })
}

/// A pattern of the decimal numbers from 1 to `max`.
fn up_to(max: &str) -> String {
    let mut patterns = vec![format!("[1-9][0-9]{{0,{}}}", max.len() - 2)];
    for (place, digit) in max.bytes().enumerate() {
        let lowest = if place == 0 { b'1' } else { b'0' };
        if digit > lowest {
            let (start, rest) = (&max[..place], max.len() - place - 1);
            let (lowest, highest) = (char::from(lowest), char::from(digit - 1));
            patterns.push(format!("{start}[{lowest}-{highest}][0-9]{{{rest}}}"));
        }
    }
    patterns.push(max.to_owned());
    patterns.join("|")
}

fn wide(number: Value, pattern: &str, of: SchemaOf) -> Value {
    let text = json!({ "type": "string", "pattern": pattern });
    match of {
        SchemaOf::Argument => json!({ "anyOf": [number, text] }),
        SchemaOf::Answer(WideIntegers::Number) => number,
        SchemaOf::Answer(WideIntegers::String) => text,
    }
}

/// RFC 4648, section 4, with the padding, and without bits that stand for nothing.
const BASE64: &str =
    "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

fn bytes(byte: Value, of: SchemaOf) -> Value {
    let base64 = json!({ "type": "string", "contentEncoding": "base64", "pattern": BASE64 });
    match of {
        SchemaOf::Argument => json!({ "anyOf": [base64, { "type": "array", "items": byte }] }),
        SchemaOf::Answer(_) => base64,
    }
}

/// An array of values of these types. Programs that read answers seldom know `prefixItems`, so what they get is described
/// as an array of any of the types.
fn tuple(types: Vec<Value>, of: SchemaOf) -> Value {
    let number = types.len();
    let mut array = json!({ "type": "array", "minItems": number, "maxItems": number });
    match of {
        // Neither may be empty.
        _ if number == 0 => {}
        SchemaOf::Argument => array["prefixItems"] = types.into(),
        SchemaOf::Answer(_) => array["items"] = json!({ "anyOf": types }),
    }
    array
}

/// An object with this field only.
fn only(name: &str, schema: Value) -> Value {
    json!({
        "type": "object",
        "properties": { name: schema },
        "required": [name],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_the_numbers_up_to_a_maximum() {
        assert_eq!(
            up_to("207"),
            "[1-9][0-9]{0,1}|[1-1][0-9]{2}|20[0-6][0-9]{0}|207"
        );
    }
}
