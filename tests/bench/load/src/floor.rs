//! The floor: the cost of a proxy that shares requests and does nothing else. It is forty lines over hyper with
//! a map of the requests in flight, and has no limits, no deadlines, no guest and no log.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use harness::process::announce;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

type Answer = (StatusCode, Bytes);
type Upstream = Client<HttpConnector, Empty<Bytes>>;
type Flights = Mutex<HashMap<Uri, Shared<BoxFuture<'static, Answer>>>>;

/// Serves for as long as the process lives.
pub(crate) async fn run(upstream: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    announce(listener.local_addr()?);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let flights = Arc::<Flights>::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, flights) = (client.clone(), Arc::clone(&flights));
        let respond = service_fn(move |request: Request<_>| {
            let answer = share(&client, &flights, upstream, request.uri());
            answer.map(|(status, body)| {
                let mut response = Response::new(Full::new(body));
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            })
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), respond));
    }
}

/// The answer for `uri`, from the request in flight or from a new one. It runs in a separate task, so that
/// it does not end with the first caller.
fn share(
    client: &Upstream,
    flights: &Arc<Flights>,
    upstream: SocketAddr,
    uri: &Uri,
) -> Shared<BoxFuture<'static, Answer>> {
    let mut open = flights.lock().unwrap_or_else(PoisonError::into_inner);
    let opening = || {
        let (client, flights, uri) = (client.clone(), Arc::clone(flights), uri.clone());
        let flight = tokio::spawn(async move {
            let answer = fetch(&client, upstream, &uri).await;
            let mut open = flights.lock().unwrap_or_else(PoisonError::into_inner);
            open.remove(&uri);
            answer.unwrap_or((StatusCode::BAD_GATEWAY, Bytes::new()))
        });
        flight
            .map(|joined| joined.unwrap_or((StatusCode::INTERNAL_SERVER_ERROR, Bytes::new())))
            .boxed()
            .shared()
    };
    open.entry(uri.clone()).or_insert_with(opening).clone()
}

async fn fetch(client: &Upstream, upstream: SocketAddr, uri: &Uri) -> anyhow::Result<Answer> {
    let url = format!("http://{upstream}{uri}").parse()?;
    let response = client.get(url).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}
