//! Administration, at an address of its own: `/livez`, `/readyz`, `/metrics`.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::problem::Refusal;
use super::{probe, respond_with};
use crate::client::Client;
use crate::clients::Clients;
use crate::metrics::{Metrics, Now};

pub(super) async fn respond<C: Client>(
    clients: &Clients<C>,
    metrics: &Metrics,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    match request.uri().path().trim_start_matches('/') {
        path @ ("livez" | "readyz") => probe(clients, path),
        "metrics" => figures(clients, metrics),
        _ => Refusal::NoSuchPath.response(),
    }
}

fn figures<C: Client>(clients: &Clients<C>, metrics: &Metrics) -> Response<Full<Bytes>> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let served = clients.all();
    let now: Vec<_> = served
        .iter()
        .map(|served| {
            let client = served.client();
            let now = Now {
                callers: client.next().callers(),
                usage: client.usage(),
            };
            (&*served.settings().name, now)
        })
        .collect();
    respond_with(StatusCode::OK, OPEN_METRICS, metrics.text(&now).into())
}
