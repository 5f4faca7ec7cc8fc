//! An example of the arguments of a function.

use super::signature::Signature;
use super::value_type::{Case, Field, ValueType};
use super::wave_write::mark;

/// How deep an example goes into a type before it gives up.
const MAX_DEPTH: usize = 6;

/// An example of arguments as WAVE, in parentheses.
pub(crate) fn example(signature: &Signature) -> String {
    let values: Vec<_> = signature
        .parameters
        .iter()
        .map(|parameter| value(&parameter.ty, 0))
        .collect();
    format!("({})", values.join(", "))
}

fn value(ty: &ValueType, depth: usize) -> String {
    if depth > MAX_DEPTH {
        return "…".to_owned();
    }
    let of = |ty: &ValueType| value(ty, depth + 1);
    let content =
        |ty: Option<&ValueType>| ty.map_or_else(String::new, |ty| format!("({})", of(ty)));
    match ty {
        ValueType::Bool => "true".to_owned(),
        ValueType::F32 | ValueType::F64 => "1.5".to_owned(),
        ValueType::Char => "'a'".to_owned(),
        ValueType::String => "\"a\"".to_owned(),
        ValueType::List(element) => format!("[{}]", of(element)),
        ValueType::FixedList(element, number) => {
            let number = usize::try_from(*number).unwrap_or(1).min(8);
            format!("[{}]", vec![of(element); number].join(", "))
        }
        ValueType::Map(key, value) => format!("[({}, {})]", of(key), of(value)),
        ValueType::Tuple(types) => {
            let values: Vec<_> = types.iter().map(of).collect();
            format!("({})", values.join(", "))
        }
        ValueType::Record(fields) if fields.is_empty() => "{:}".to_owned(),
        ValueType::Record(fields) => {
            let values = fields.iter().map(|Field { name, ty }| {
                let value = of(ty);
                format!("{}{name}: {value}", mark(name))
            });
            format!("{{{}}}", values.collect::<Vec<_>>().join(", "))
        }
        ValueType::Variant(cases) => cases.first().map_or_else(String::new, |Case { name, ty }| {
            format!("{}{name}{}", mark(name), content(ty.as_ref()))
        }),
        ValueType::Enum(names) => names
            .first()
            .map_or_else(String::new, |name| format!("{}{name}", mark(name))),
        ValueType::Option(inner) => format!("some({})", of(inner)),
        ValueType::Result(ok, _) => format!("ok{}", content(ok.as_deref())),
        ValueType::Flags(names) => {
            let first = names.first().map_or("", |name| name);
            format!("{{{}{first}}}", mark(first))
        }
        _ => "1".to_owned(),
    }
}
