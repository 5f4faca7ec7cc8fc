//! Which client and which call a request names: `/v1/{client}/{resource}?x=KEY`, or `/v1/{client}/{function}`.

use std::borrow::Cow;
use std::sync::Arc;

use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::problem::RequestError;
use super::query::{MalformedQuery, parameter, parameters, unknown_parameter};
use crate::client::Execute;
use crate::model::{Call, Function, TypedFunction};
use crate::registry::{ClientLookup, ClientRegistry, LoadedClient};

/// The client's name in a path `/v1/{client}/{resource}`.
pub(super) fn client_name<'a>(path: &'a str, resource: &str) -> Option<&'a str> {
    let (name, rest) = path.strip_prefix("/v1/")?.split_once('/')?;
    (rest == resource).then_some(name)
}

/// The client's name in a path `/v1/{client}/[{interface}/]{function}`, and the rest of the path.
pub(super) fn client_and_function(path: &str) -> Option<(&str, &str)> {
    let (name, rest) = path.strip_prefix("/v1/")?.split_once('/')?;
    let is_complete = !name.is_empty() && rest.split('/').all(|part| !part.is_empty());
    is_complete.then_some((name, rest))
}

/// The function of `client` that `path` names, `[{interface}/]{function}`. An interface may be percent-encoded, and its
/// own slash may not be.
pub(super) fn function<C: Execute>(
    client: &LoadedClient<C>,
    path: &str,
) -> Result<Function, RequestError> {
    let functions = client.client().functions();
    let not_utf8 = |_| {
        RequestError::Malformed(
            "expected the name of a function in UTF-8, got other bytes; write it percent-encoded",
        )
    };
    let path = percent_decode_str(path).decode_utf8().map_err(not_utf8)?;
    if path == "items" && functions.has_items() {
        return Ok(Function::GetItems);
    }
    let (interface, name) = match path.rsplit_once('/') {
        Some((interface, name)) => (Some(interface), name),
        None => (None, &*path),
    };
    let found = functions.find(interface, name);
    found.map_err(|error| RequestError::UnknownFunction(error.to_string()))
}

/// The call of `function` with the arguments in the query.
pub(super) fn typed_call(
    head: &Parts,
    function: &Arc<TypedFunction>,
) -> Result<Call, RequestError> {
    let query = head.uri.query().unwrap_or_default();
    let decoded: Result<Vec<(Cow<'_, str>, Cow<'_, str>)>, _> = parameters(query).collect();
    let decoded = decoded.map_err(|_| {
        RequestError::Malformed(
            "expected parameters in UTF-8, got other bytes; write them percent-encoded",
        )
    })?;
    let parameters = decoded.iter().map(|(name, value)| (&**name, &**value));
    Call::from_query(function, parameters).map_err(RequestError::Arguments)
}

/// The client of that name.
pub(super) fn client<C: Execute>(
    clients: &ClientRegistry<C>,
    name: &str,
) -> Result<Arc<LoadedClient<C>>, RequestError> {
    match clients.find(name) {
        ClientLookup::Loaded(client) => Ok(client),
        ClientLookup::Loading => Err(RequestError::Loading),
        ClientLookup::Unknown => Err(RequestError::UnknownClient(name.to_owned())),
    }
}

/// The call that a request to `client` names by its key.
pub(super) fn call<C: Execute>(
    head: &Parts,
    client: &LoadedClient<C>,
) -> Result<Call, RequestError> {
    let query = head.uri.query().unwrap_or_default();
    call_in(query, client.settings().limits.max_key_bytes)
}

/// The call of which a request to the admin API is about: that of the key `x`, or the one that `call` writes as WAVE.
pub(super) fn named_call<C: Execute>(
    head: &Parts,
    client: &LoadedClient<C>,
) -> Result<Call, RequestError> {
    let query = head.uri.query().unwrap_or_default();
    match parameter(query, "call") {
        Ok(None) => call(head, client),
        _ if unknown_parameter(query, &["call"]).is_some() => Err(RequestError::Malformed(
            "expected either x or call in the query, got both, or another parameter; remove it",
        )),
        Ok(Some(text)) => {
            let call = client.client().functions().call(&text);
            call.map_err(|error| RequestError::Call(error.to_string()))
        }
        Err(_) => Err(RequestError::Malformed(
            "expected one call in the query, percent-encoded, got more than one, or other bytes than UTF-8",
        )),
    }
}

fn call_in(query: &str, limit: usize) -> Result<Call, RequestError> {
    // A parameter that is ignored would make requests equal that differ: every page of a list would be its first.
    if let Some(name) = unknown_parameter(query, &["x"]) {
        return Err(RequestError::UnknownParameter { name, known: "x" });
    }
    match parameter(query, "x") {
        Ok(Some(x)) if x.len() > limit => Err(RequestError::KeyTooLong { limit }),
        Ok(Some(x)) => Ok(x.into()),
        Ok(None) => Err(RequestError::Malformed(
            "expected exactly one x in the query, got none; write ?x=KEY",
        )),
        Err(MalformedQuery::Repeated) => Err(RequestError::Malformed(
            "expected exactly one x in the query, got more than one; write ?x=KEY",
        )),
        Err(MalformedQuery::NotUtf8) => Err(RequestError::Malformed(
            "expected x to be UTF-8, got other bytes; write it percent-encoded",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_missing_repeated_not_utf8_or_too_long_is_refused() {
        for query in ["", "x=1&x=1", "x=%ff"] {
            assert!(
                matches!(call_in(query, 10), Err(RequestError::Malformed(_))),
                "{query}"
            );
        }
        assert!(matches!(
            call_in("x=12345678901", 10),
            Err(RequestError::KeyTooLong { limit: 10 })
        ));
        let longest = call_in("x=1234567890", 10).unwrap();
        assert_eq!(longest.x(), Some("1234567890"));
    }

    #[test]
    fn a_parameter_other_than_x_is_refused_by_its_name() {
        for (query, expected) in [("x=1&page=2", "page"), ("X=1", "X"), ("y", "y")] {
            let Err(RequestError::UnknownParameter { name, .. }) = call_in(query, 10) else {
                panic!("{query} is not refused");
            };
            assert_eq!(name, expected);
        }
        assert_eq!(call_in("x=1&", 10).unwrap().x(), Some("1"));
    }

    #[test]
    fn a_path_names_its_client_between_the_version_and_the_resource() {
        assert_eq!(client_name("/v1/orders/items", "items"), Some("orders"));
        for path in [
            "/v1/orders/items/",
            "/v1/items",
            "/v1//orders/items",
            "/v2/orders/items",
            "items",
        ] {
            assert_eq!(client_name(path, "items"), None, "{path}");
        }
    }
}
