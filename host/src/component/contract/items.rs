//! The interface `oneflight:client/items`: whether a component exports it, the call of its `get-items`, and the
//! conversion of what a guest returns.
//!
//! Its bindings are static: calls of `get-items` are the common case, and dynamic values cost about 1.4
//! times as much.

use std::time::Duration;

use http::StatusCode;
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Instance, InstancePre};

use super::bindings::{ItemsClient, ItemsClientIndices};
use super::typed::signature_of;
use crate::component::error::{ITEMS, LoadError};
use crate::component::store::StoreState;
use crate::flight_context::ResponseFacts;
use crate::model::{ClientError, Item, Items, Limits, MalformedItems};
use crate::printable::{bounded, printable};

pub(in crate::component) use super::bindings::exports::oneflight::client::items::{
    Error as GuestError, Item as GuestItem,
};

/// Where the instances of a component have the interface.
pub(in crate::component) struct ItemsExport(ItemsClientIndices);

/// The interface of one instance.
pub(in crate::component) struct ItemsInstance(ItemsClient);

/// The signature of `get-items` as WIT.
const GET_ITEMS: &str = "get-items: func(x: string) -> result<list<record { id: string, body: string }>, \
    variant { invalid-key(string), not-found, upstream-status(u16), upstream-unavailable(string), \
    upstream-malformed(string), denied(string), rate-limited(option<u32>), other(string) }>";

impl ItemsExport {
    /// The interface of `component`, if it exports it. An interface of that name with other types is an error.
    pub(in crate::component) fn of(
        component: &Component,
        linked: &InstancePre<StoreState>,
    ) -> Result<Option<Self>, LoadError> {
        if component.get_export_index(None, ITEMS).is_none() {
            return Ok(None);
        }
        match ItemsClientIndices::new(linked) {
            Ok(indices) if get_items_of(component) == GET_ITEMS => Ok(Some(Self(indices))),
            _ => Err(other_types(component)),
        }
    }

    /// Compares the types of `instance`, an instance of `component`, with the interface: wasmtime's own check, on
    /// which the calls depend.
    pub(in crate::component) fn check_types(
        component: &Component,
        store: &mut Store<StoreState>,
        instance: &Instance,
    ) -> Result<(), LoadError> {
        match ItemsClient::new(store, instance) {
            Ok(_) => Ok(()),
            Err(_) => Err(other_types(component)),
        }
    }

    /// The interface of `instance`.
    pub(in crate::component) fn of_instance(
        &self,
        store: &mut Store<StoreState>,
        instance: &Instance,
    ) -> wasmtime::Result<ItemsInstance> {
        self.0.load(store, instance).map(ItemsInstance)
    }
}

impl ItemsInstance {
    /// Calls `get-items`. The outer error is a trap, or a result that cannot be lifted.
    pub(in crate::component) async fn get_items(
        &self,
        store: &mut Store<StoreState>,
        x: &str,
    ) -> wasmtime::Result<Result<Vec<GuestItem>, GuestError>> {
        let items = self.0.oneflight_client_items();
        items.call_get_items(store, x).await
    }
}

/// An answer that keeps the contract and the limits.
pub(in crate::component) struct Answer {
    pub(in crate::component) items: Items,
    /// What it takes, as items and as JSON.
    pub(in crate::component) bytes: usize,
}

/// The guest's items, if they keep the contract and `limits`.
pub(in crate::component) fn to_items(
    items: Vec<GuestItem>,
    limits: &Limits,
) -> Result<Answer, ClientError> {
    let too_large = |setting, size: usize, limit: usize| {
        tracing::warn!(
            size,
            limit,
            "the guest's answer exceeds {setting}; raise {setting} to accept it"
        );
        Err(ClientError::ResultTooLarge(setting))
    };
    if items.len() > limits.max_items {
        return too_large("max_items", items.len(), limits.max_items);
    }
    let longest = items.iter().map(|item| item.id.len()).max().unwrap_or(0);
    if longest > limits.max_key_bytes {
        return too_large("max_key_bytes", longest, limits.max_key_bytes);
    }
    let parsed: Result<Vec<_>, MalformedItems> = items
        .into_iter()
        .map(|item| Item::new(item.id, item.body))
        .collect();
    let items = parsed.and_then(Items::new).map_err(|reason| {
        tracing::warn!(%reason, "the guest returned items that break the contract");
        ClientError::GuestMalformed
    })?;
    // Escapes make an id up to six times as long.
    let rendered = items.json_len();
    if rendered > limits.max_result_bytes {
        return too_large("max_result_bytes", rendered, limits.max_result_bytes);
    }
    let bytes = items.bytes() + rendered;
    Ok(Answer { items, bytes })
}

/// The guest's error by its case, for the call with the key `x`. Its text goes to the log, never to a caller. So does
/// what `response`, the upstream's last one, adds to it.
pub(in crate::component) fn to_client_error(
    error: GuestError,
    response: Option<&ResponseFacts>,
    x: &str,
) -> ClientError {
    let (error, text) = match error {
        GuestError::InvalidKey(text) => (ClientError::InvalidKey, text),
        GuestError::NotFound => (ClientError::NotFound, String::new()),
        GuestError::UpstreamStatus(status) => {
            let response = response.filter(|response| response.status() == status);
            let advice = response.and_then(|response| response.advice(x));
            let retry_after = response.and_then(ResponseFacts::retry_after);
            (
                to_status_error(status, retry_after),
                advice.unwrap_or_default(),
            )
        }
        GuestError::UpstreamUnavailable(text) => (ClientError::UpstreamUnavailable, text),
        GuestError::UpstreamMalformed(text) => (ClientError::UpstreamMalformed, text),
        GuestError::Denied(text) => (ClientError::UpstreamDenied, text),
        GuestError::RateLimited(seconds) => {
            let stated = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            let retry_after = stated.or_else(|| response.and_then(ResponseFacts::retry_after));
            (ClientError::RateLimited { retry_after }, String::new())
        }
        GuestError::Other(text) => (ClientError::Other, text),
    };
    if !text.is_empty() {
        // What a body is instead of what the guest expects. Other errors are not about the body.
        let body = response.filter(|_| error == ClientError::UpstreamMalformed);
        tracing::warn!(
            code = error.code(),
            content_type = body.and_then(ResponseFacts::content_type),
            content_encoding = body.and_then(ResponseFacts::content_encoding),
            body = body.map(ResponseFacts::body_kind),
            "{}",
            printable(&text)
        );
    }
    error
}

/// The error of an upstream that responded with `status`. A guest may report 429 like any other status.
fn to_status_error(status: u16, retry_after: Option<Duration>) -> ClientError {
    if status == StatusCode::TOO_MANY_REQUESTS.as_u16() {
        ClientError::RateLimited { retry_after }
    } else {
        ClientError::UpstreamStatus {
            status,
            retry_after,
        }
    }
}

fn other_types(component: &Component) -> LoadError {
    LoadError::OtherTypes {
        found: get_items_of(component),
    }
}

/// The signature of the `get-items` that `component` exports, or what there is instead.
fn get_items_of(component: &Component) -> String {
    let items = component.get_export_index(None, ITEMS);
    match component.get_export(items.as_ref(), "get-items") {
        Some((ComponentItem::ComponentFunc(func), _)) => match signature_of(&func) {
            Ok(signature) => bounded(format_args!("get-items: {signature}")),
            Err(reason) => format!("a get-items that cannot be called: {reason}"),
        },
        Some(_) => "a get-items that is no function".into(),
        None => "no get-items".into(),
    }
}
