//! Which client and which key a request names: `/v1/{client}/{resource}?x=KEY`.

use std::sync::Arc;

use http::request::Parts;

use super::problem::RequestError;
use super::query::{MalformedQuery, parameter, unknown_parameter};
use crate::client::Execute;
use crate::model::Call;
use crate::registry::{ClientLookup, ClientRegistry, LoadedClient};

/// The client's name in a path `/v1/{client}/{resource}`.
pub(super) fn client_name<'a>(path: &'a str, resource: &str) -> Option<&'a str> {
    let (name, rest) = path.strip_prefix("/v1/")?.split_once('/')?;
    (rest == resource).then_some(name)
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
