//! The floor: native code that makes the built-in client's request and parses the items of the answer, with
//! nothing around it.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use oneflight::model::Generation;
use oneflight::{Call, ClientError, Execute, FlightContext, Item, Items, Outcome};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A pooled client of one upstream.
#[derive(Debug)]
pub(crate) struct Native {
    http: legacy::Client<HttpConnector, Empty<Bytes>>,
    base_url: String,
}

impl Native {
    pub(crate) fn new(base_url: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            http: legacy::Client::builder(TokioExecutor::new()).build(connector),
            base_url: base_url.to_owned(),
        }
    }

    async fn fetch(&self, key: &str) -> anyhow::Result<Items> {
        let request = http::Request::get(format!("{}?x={}", self.base_url, key))
            .header(http::header::ACCEPT, "application/json")
            .body(Empty::new())?;
        let response = self.http.request(request).await?;
        anyhow::ensure!(response.status().is_success(), "{}", response.status());
        let body = response.into_body().collect().await?.to_bytes();
        items(&body)
    }
}

impl Execute for Native {
    fn generation(&self) -> Generation {
        unreachable!("it is not decorated, so nothing groups its callers by generation")
    }

    async fn execute(&self, call: Call, _: &FlightContext) -> Result<Outcome, ClientError> {
        let items = self.fetch(call.x().unwrap_or_default()).await;
        items
            .map(Outcome::from)
            .map_err(|_| ClientError::UpstreamUnavailable)
    }
}

/// Parses items as the built-in client does: each body is a slice of the answer.
fn items(answer: &[u8]) -> anyhow::Result<Items> {
    #[derive(Deserialize)]
    struct WithId {
        id: u64,
    }
    let array: Vec<&RawValue> = serde_json::from_slice(answer)?;
    let item = |body: &RawValue| {
        let WithId { id } = serde_json::from_str(body.get())?;
        let item = Item::new(id.to_string(), body.get().to_owned());
        item.map_err(anyhow::Error::from)
    };
    let items = array.into_iter().map(item).collect::<anyhow::Result<_>>()?;
    Ok(Items::new(items)?)
}
