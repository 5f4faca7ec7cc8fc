//! Asking a running service at its address for administration.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use super::serve::address;

/// What an answer may have: 64 MiB. A report of all keys that are told apart, shown in full, has about 40.
const ANSWER: usize = 64 << 20;

/// Which running service is meant.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct AdminClient {
    /// The address for administration of a running service.
    #[arg(
        long = "admin", value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = address
    )]
    pub(super) address: SocketAddr,
}

/// What is wrong, as the service says it (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

impl AdminClient {
    /// Asks, and reads what is answered.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> anyhow::Result<T> {
        let address = self.address;
        let stream = TcpStream::connect(address).await.with_context(|| {
            format!(
                "could not reach the administration of a service at {address}; start oneflight serve, or \
                 say with --admin where it is"
            )
        })?;
        let unlike =
            || format!("{address} does not answer as the administration of oneflight does");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .with_context(unlike)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, address.to_string())
            .header("x-oneflight", "1")
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await.with_context(unlike)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        connection.abort();
        let body = body
            .map_err(|error| anyhow::anyhow!(error))
            .with_context(unlike)?
            .to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body).with_context(unlike);
        }
        let Problem { code, detail } = serde_json::from_slice(&body).with_context(unlike)?;
        if status == StatusCode::NOT_FOUND && code == "bad-request" {
            bail!(
                "{address} is where callers ask, or an older service; say with --admin where the \
                 administration is, as the service does when it starts"
            );
        }
        bail!("{detail} ({code})")
    }
}
