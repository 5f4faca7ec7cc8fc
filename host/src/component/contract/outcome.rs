//! What a typed function returned, as an outcome or an error.

use std::sync::Arc;

use wasmtime::component::Val;

use super::typed::{Unencoded, encoded};
use crate::flight_context::ResponseFacts;
use crate::model::{ClientError, FunctionError, RenderedValue, TypedFunction};
use crate::printable::{bounded, printable};
use crate::settings::{ErrorValues, Settings};
use crate::typed::{Value, ValueType};

/// How many bytes of an `err` the log shows.
const MAX_LOGGED_BYTES: usize = 1 << 10;

/// An answer that keeps the limits.
pub(in crate::component) struct TypedAnswer {
    pub(in crate::component) value: RenderedValue,
    /// What it takes, as bytes and as JSON, or what it may take.
    pub(in crate::component) bytes: usize,
}

/// What `function` returned: the `ok` or the `err` of a `result`, else the result itself. `response` is the upstream's
/// last one.
pub(in crate::component) fn to_answer(
    function: &TypedFunction,
    returned: Option<&Val>,
    settings: &Settings,
    response: Option<&ResponseFacts>,
) -> Result<TypedAnswer, ClientError> {
    let result = function.signature().result.as_ref();
    let (ty, content) = match (result.map(|ty| &**ty), returned) {
        (Some(ValueType::Result(ok, _)), Some(Val::Result(Ok(content)))) => {
            (ok.as_ref(), content.as_deref())
        }
        (Some(ValueType::Result(_, err)), Some(Val::Result(Err(content)))) => {
            let error = to_error(err.as_ref(), content.as_deref(), settings, response);
            return Err(error?);
        }
        (_, returned) => (result, returned),
    };
    let value = to_value(ty, content, settings)?;
    let bytes = value.bytes().len();
    let bound = function.max_json_len(bytes);
    // Most answers are far below the limit, whatever their JSON is. It is rendered for the first caller that needs it, as
    // that of items is: callers of the library need none.
    if bound <= settings.limits.max_result_bytes {
        let value = RenderedValue::unrendered(value);
        let bytes = bytes.saturating_add(bound);
        return Ok(TypedAnswer { value, bytes });
    }
    let value = rendered(value, settings)?;
    let bytes = bytes + value.json().len();
    Ok(TypedAnswer { value, bytes })
}

/// `value` with its JSON, which can be much longer: names of fields and cases are repeated.
fn rendered(value: Value, settings: &Settings) -> Result<RenderedValue, ClientError> {
    let limit = settings.limits.max_result_bytes;
    let json = value.json(limit).ok_or_else(|| too_large(limit))?;
    Ok(RenderedValue::new(value, json))
}

fn to_value(
    ty: Option<&Arc<ValueType>>,
    content: Option<&Val>,
    settings: &Settings,
) -> Result<Value, ClientError> {
    let limit = settings.limits.max_result_bytes;
    let bytes = match (ty, content) {
        (None, None) => Vec::new(),
        (Some(ty), Some(content)) => encoded(ty, content, limit).map_err(|error| match error {
            Unencoded::TooLong => too_large(limit),
            Unencoded::OtherType => ClientError::Internal,
        })?,
        _ => return Err(ClientError::Internal),
    };
    Ok(Value::new(ty, bytes, settings.wide_integers))
}

fn too_large(limit: usize) -> ClientError {
    tracing::warn!(
        limit,
        "the guest's answer exceeds max_result_bytes; raise max_result_bytes to accept it"
    );
    ClientError::ResultTooLarge("max_result_bytes")
}

/// The error of a function that returned the `err` of its `result`. Its text goes to the log.
fn to_error(
    ty: Option<&Arc<ValueType>>,
    content: Option<&Val>,
    settings: &Settings,
    response: Option<&ResponseFacts>,
) -> Result<ClientError, ClientError> {
    let named = case_of(content).and_then(|case| named(case, response));
    let value = to_value(ty, content, settings)?;
    if value.ty().is_some() {
        let code = named.as_ref().map_or("client-error", ClientError::code);
        let err = value.wave(MAX_LOGGED_BYTES);
        tracing::warn!(
            code,
            "the guest returned the error {}",
            printable(&bounded(err))
        );
    }
    let is_shown = value.ty().is_some() && settings.error_values == ErrorValues::Public;
    let err = is_shown.then(|| rendered(value, settings)).transpose()?;
    Ok(ClientError::Client(Box::new(FunctionError { named, err })))
}

/// The name of the case of a variant or of an enum.
fn case_of(content: Option<&Val>) -> Option<&str> {
    match content {
        Some(Val::Variant(case, _) | Val::Enum(case)) => Some(case),
        _ => None,
    }
}

/// The error that has this code, if a guest may report it: those of the interface `items`, and no error of the host.
fn named(code: &str, response: Option<&ResponseFacts>) -> Option<ClientError> {
    let retry_after = response.and_then(ResponseFacts::retry_after);
    Some(match code {
        "invalid-key" => ClientError::InvalidKey,
        "not-found" => ClientError::NotFound,
        "rate-limited" => ClientError::RateLimited { retry_after },
        "upstream-status" => ClientError::UpstreamStatus {
            status: response?.status(),
            retry_after,
        },
        "upstream-unavailable" => ClientError::UpstreamUnavailable,
        "upstream-malformed" => ClientError::UpstreamMalformed,
        "other" => ClientError::Other,
        _ => return None,
    })
}
