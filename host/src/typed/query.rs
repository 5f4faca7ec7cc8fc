//! Reads arguments from the parameters of a query.

use super::argument_error::{
    ArgumentError, ArgumentProblem, limited, limited_names, path_step, shown,
};
use super::json_read::read_value;
use super::signature::{Parameter, Signature};
use super::value_type::ValueType;
use super::write::Writer;

/// The canonical bytes of the arguments in `parameters`. A parameter that JSON has as a string is its text, and any
/// other one is JSON.
pub(crate) fn read_query<'a>(
    signature: &Signature,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    limit: usize,
) -> Result<Vec<u8>, ArgumentError> {
    let too_long = || ArgumentError::new("", ArgumentProblem::TooLong { limit });
    let mut values: Vec<Option<&str>> = vec![None; signature.parameters.len()];
    for (name, value) in parameters {
        let named = |parameter: &Parameter| *parameter.name == *name;
        let Some(nth) = signature.parameters.iter().position(named) else {
            let known = limited_names(signature.parameters.iter().map(|of| &*of.name));
            return Err(ArgumentError::new(
                path_step(name),
                ArgumentProblem::Unknown { known },
            ));
        };
        if values[nth].replace(value).is_some() {
            return Err(ArgumentError::new(name, ArgumentProblem::Repeated));
        }
    }
    let mut writer = Writer::new(limit);
    for (Parameter { name, ty }, value) in signature.parameters.iter().zip(values) {
        match (value, ty) {
            (None, ValueType::Option(_)) => writer.byte(0).map_err(|_| too_long())?,
            (None, _) => {
                let ty = limited(ty);
                return Err(ArgumentError::new(&**name, ArgumentProblem::Missing { ty }));
            }
            (Some(text), ty) => {
                let json = if is_text(ty, text) {
                    serde_json::Value::from(text).to_string()
                } else {
                    text.to_owned()
                };
                let bytes = read_value(name, ty, json.as_bytes(), limit)
                    .map_err(|error| of_parameter(error, name, ty, text))?;
                writer.raw(&bytes).map_err(|_| too_long())?;
            }
        }
    }
    Ok(writer.into_bytes())
}

/// The error of a parameter whose text is not JSON is about its type: a caller need not know that it is JSON.
fn of_parameter(error: ArgumentError, name: &str, ty: &ValueType, text: &str) -> ArgumentError {
    let ArgumentProblem::Syntax(_) = error.problem else {
        return error;
    };
    let problem = ArgumentProblem::Type {
        ty: limited(ty),
        expected: ty.in_json().to_owned(),
        got: shown(text),
    };
    ArgumentError::new(name, problem)
}

/// Whether a parameter of this type stands for a string of JSON, without the quotes.
fn is_text(ty: &ValueType, text: &str) -> bool {
    match ty {
        ValueType::String | ValueType::Char | ValueType::Enum(_) => true,
        ValueType::List(element) => **element == ValueType::U8 && !text.starts_with('['),
        ValueType::Variant(_) => !text.starts_with('{'),
        ValueType::F32 | ValueType::F64 => matches!(text, "NaN" | "Infinity" | "-Infinity"),
        // So the text `null` is a string. None is the absence of the parameter, and of other types also `null`.
        ValueType::Option(inner) if !inner.is_option() => is_text(inner, text),
        _ => false,
    }
}
