//! The import `oneflight:client/fetch`: one HTTP request in one call of the host.
//!
//! A request is sent by the same [`HttpHooks`](super::http_hooks::HttpHooks) as one of wasi:http, so every rule and limit
//! applies alike. What differs is that the host collects the response. It does so in the task of the guest, so the work
//! counts as the guest's processor time, and what it holds meanwhile counts as the guest's memory.
//!
//! A request is sent in a task of its own, as one of wasi:http is: a guest whose client computes much waits for its turns,
//! and a connection that is opened in its task would wait with it, until it times out.

mod buffers;
mod request;
mod response;

use std::sync::Arc;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tracing::Instrument;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;
use wasmtime_wasi::runtime::spawn;
use wasmtime_wasi_http::Error;

pub(super) use self::buffers::FetchBuffers;

use super::contract::fetch::{FetchError, FetchRequest, FetchResponse};
use super::store::StoreState;
use crate::upstream::{CappedBody, RequestBody, Uploads};

const INTERFACE: &str = "oneflight:client/fetch@0.1.0";

/// The most that is collected of a body whose status is not 2xx, in bytes: 64 KiB. Pages and documents about errors are
/// shorter.
const MAX_OTHER_BODY: usize = 64 << 10;

/// What `fetch` returns. The host's copy of a response is dropped when the guest has its own.
type Fetched = Result<Arc<FetchResponse>, FetchError>;

/// Adds the interface to `linker`.
pub(super) fn link(linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
    linker.instance(INTERFACE)?.func_wrap_async(
        "fetch",
        |mut store, (request,): (FetchRequest,)| {
            Box::new(async move {
                let fetched = fetch(&mut store, request).await;
                let buffers = match &fetched {
                    Ok(Ok(response)) => FetchBuffers::returned(response),
                    _ => FetchBuffers::default(),
                };
                store.data_mut().set_fetch(buffers)?;
                Ok((fetched?,))
            })
        },
    )
}

/// Sends `request`, and collects its response. The outer error ends the guest.
///
/// # Cancel safety
///
/// Dropping the future ends the request at once, as [`Upstream::send`](crate::upstream::Upstream::send) says.
async fn fetch(
    store: &mut StoreContextMut<'_, StoreState>,
    request: FetchRequest,
) -> wasmtime::Result<Fetched> {
    let state = store.data_mut();
    let sent_bytes = request::size(&request);
    let request = match request::to_http(request, state.hooks()) {
        Ok(request) => request,
        Err(reason) => return Ok(Err(FetchError::InvalidRequest(reason))),
    };
    // Cuts the body of the request when this future ends: an upstream may have responded before it has read the body.
    let mut uploads = Uploads::default();
    let request = request.map(|body| RequestBody::new(body, &mut uploads));
    let sending = state.hooks().send(request, None);
    state.set_fetch(FetchBuffers::open(sent_bytes))?;
    let sending = spawn(sending.in_current_span());
    let (head, body) = match sending.await {
        // The body is read without a pause, so it ends at its deadline by itself.
        Ok((response, _expiry)) => response.into_parts(),
        Err(error) => return Ok(Err(response::to_fetch_error(&error))),
    };
    let headers = response::headers(head.headers, store.data_mut().hooks());
    let held = sent_bytes + response::size_of_headers(&headers);
    store.data_mut().set_fetch(FetchBuffers::open(held))?;
    let collected = if head.status.is_success() {
        collect(store, body, held).await?
    } else {
        Ok(collect_beginning(store, body, held).await?)
    };
    Ok(match collected {
        Ok(bytes) => Ok(Arc::new(FetchResponse {
            status: head.status.as_u16(),
            headers,
            body: response::to_body(bytes),
        })),
        Err(error) => Err(response::to_fetch_error(&error)),
    })
}

/// The whole of `body`, with the `held` bytes that the host has beside it.
async fn collect(
    store: &mut StoreContextMut<'_, StoreState>,
    mut body: CappedBody,
    held: usize,
) -> wasmtime::Result<Result<Vec<u8>, Error>> {
    if let Err(error) = body.require_whole() {
        return Ok(Err(error));
    }
    let mut bytes = Vec::new();
    while let Some(data) = next(&mut body).await {
        match data {
            Ok(data) => append(store, &mut bytes, &data, body.size_hint().lower(), held)?,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(bytes))
}

/// What arrives of `body`, at most [`MAX_OTHER_BODY`]. A status such as 404 or 429 is the answer of the upstream, whatever
/// becomes of the page that comes with it.
async fn collect_beginning(
    store: &mut StoreContextMut<'_, StoreState>,
    mut body: CappedBody,
    held: usize,
) -> wasmtime::Result<Vec<u8>> {
    body.ignore_failures();
    let mut bytes = Vec::new();
    while let Some(Ok(data)) = next(&mut body).await {
        let room = MAX_OTHER_BODY - bytes.len();
        append(store, &mut bytes, &data[..data.len().min(room)], 0, held)?;
        if data.len() >= room {
            break;
        }
    }
    Ok(bytes)
}

/// The next data of `body`.
async fn next(body: &mut CappedBody) -> Option<Result<Bytes, Error>> {
    loop {
        match body.frame().await?.map(Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            // Trailers.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Appends `data`, after which more bytes are `announced`, to `bytes`. Their memory is measured before it is allocated,
/// together with the `held` bytes that the host has beside them.
fn append(
    store: &mut StoreContextMut<'_, StoreState>,
    bytes: &mut Vec<u8>,
    data: &[u8],
    announced: u64,
    held: usize,
) -> wasmtime::Result<()> {
    let needed = bytes.len() + data.len();
    if needed > bytes.capacity() {
        // What is still announced, or else twice as much as before.
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        let capacity = needed.saturating_add(announced).max(2 * bytes.capacity());
        let buffers = FetchBuffers::open(held.saturating_add(capacity));
        store.data_mut().set_fetch(buffers)?;
        bytes.reserve_exact(capacity - bytes.len());
    }
    bytes.extend_from_slice(data);
    Ok(())
}
