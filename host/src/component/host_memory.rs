//! What the host holds for a guest: its host resources, and the buffers of its requests.

use std::any::Any;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{Method, Scheme};
use wasmtime_wasi_http::p2::body::HostFutureTrailers;
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest,
};

use crate::model::Limits;
use crate::upstream::max_buffered_bytes;

/// The maximum size of one part of a request body, in bytes: 32 KiB. Parts are queued until they are sent.
pub(super) const UPLOAD_PART: usize = 32 << 10;

/// How many parts of a request body the host holds: wasmtime queues one, and one more where the guest writes on.
const UPLOAD_PARTS: usize = 2;

/// The maximum size of the header fields that a guest may set for one request. Servers accept 8 to 16 KiB of them.
pub(super) const MAX_FIELDS: usize = 32 << 10;

/// What the contents of the guest's resources in `table` and its `open` requests take, in bytes. Contents that resources
/// share are counted for each of them.
pub(super) fn held_for(table: &mut ResourceTable, open: usize, limits: &Limits) -> usize {
    let contents: usize = table.iter_mut().map(|entry| content(entry, limits)).sum();
    contents + open * open_request(limits)
}

/// What the host holds for one open request: the queue of its body, and the buffers of its connection.
fn open_request(limits: &Limits) -> usize {
    UPLOAD_PARTS * UPLOAD_PART + max_buffered_bytes(limits)
}

fn content(entry: &(dyn Any + Send), limits: &Limits) -> usize {
    if let Some(fields) = entry.downcast_ref::<FieldMap>() {
        fields_size(fields)
    } else if let Some(request) = entry.downcast_ref::<HostOutgoingRequest>() {
        request_size(request)
    } else if let Some(response) = entry.downcast_ref::<HostIncomingResponse>() {
        fields_size(&response.headers)
    } else if let Some(trailers) = entry.downcast_ref::<HostFutureTrailers>() {
        match trailers {
            HostFutureTrailers::Done(Ok(Some(fields))) => fields_size(fields),
            HostFutureTrailers::Waiting(_) => limits.max_header_bytes,
            _ => 0,
        }
    } else {
        match entry.downcast_ref::<HostFutureIncomingResponse>() {
            Some(HostFutureIncomingResponse::Ready(Ok((response, _)))) => {
                fields_size(response.headers())
            }
            // The response may have arrived unseen.
            Some(HostFutureIncomingResponse::Pending(_)) => limits.max_header_bytes,
            _ => 0,
        }
    }
}

fn request_size(request: &HostOutgoingRequest) -> usize {
    let method = match &request.method {
        Method::Other(method) => method.len(),
        _ => 0,
    };
    let scheme = match &request.scheme {
        Some(Scheme::Other(scheme)) => scheme.len(),
        _ => 0,
    };
    let texts = [&request.authority, &request.path_with_query];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let queue = request
        .body
        .as_ref()
        .map_or(0, |_| UPLOAD_PARTS * UPLOAD_PART);
    method + scheme + texts + queue + fields_size(&request.headers)
}

fn fields_size(fields: &HeaderMap) -> usize {
    let names = fields.keys().map(|name| name.as_str().len());
    let values = fields.values().map(HeaderValue::len);
    let bytes: usize = names.chain(values).sum();
    bytes + fields.len() * (size_of::<HeaderName>() + 2 * size_of::<HeaderValue>())
}
