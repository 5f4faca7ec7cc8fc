//! Administration, at an address of its own: `/livez`, `/readyz`.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use super::probe;
use super::problem::Refusal;
use crate::client::Client;
use crate::clients::Clients;

pub(super) async fn respond<C: Client>(
    clients: &Clients<C>,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    match request.uri().path().trim_start_matches('/') {
        path @ ("livez" | "readyz") => probe(clients, path),
        _ => Refusal::NoSuchPath.response(),
    }
}
