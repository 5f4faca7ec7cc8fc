//! [`AdminClient`]: requests to the admin API of a running service.

use std::io;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use oneflight::admin_types::ProblemDetails;
use oneflight::config::ListenAddress;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::network::listen_address;

/// The longest response: 64 MiB. A report of as many keys as an observation counts, with keys shown, has about 40.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// The flag that names the service.
#[derive(Args, Clone, Debug)]
pub(super) struct AdminClient {
    /// The admin address of the running service.
    #[arg(
        long = "admin", value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = listen_address
    )]
    pub(super) address: ListenAddress,
}

impl AdminClient {
    /// Sends a request, and reads the JSON document of the response.
    pub(super) async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> anyhow::Result<T> {
        let address = &self.address;
        let stream = connect(address).await.with_context(|| {
            format!(
                "could not reach the admin API of a service at {address}; start oneflight serve, or set its \
                 admin address with --admin"
            )
        })?;
        let unexpected =
            || format!("expected the admin API of oneflight at {address}, got another response");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .with_context(unexpected)?;
        let connection = tokio::spawn(connection);
        let host = match address {
            ListenAddress::Ip(address) => address.to_string(),
            ListenAddress::Unix(_) => "localhost".to_owned(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header("x-oneflight", "1")
            .body(Empty::<Bytes>::new())?;
        let response = sender
            .send_request(request)
            .await
            .with_context(unexpected)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES)
            .collect()
            .await;
        connection.abort();
        let body = body
            .map_err(|error| anyhow::anyhow!(error))
            .with_context(unexpected)?
            .to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body).with_context(unexpected);
        }
        let ProblemDetails { code, detail, .. } =
            serde_json::from_slice(&body).with_context(unexpected)?;
        if status == StatusCode::NOT_FOUND && code == "bad-request" {
            bail!(
                "expected an admin API at {address}, got the listener for callers or an older service; set the \
                 admin address, which the service prints when it starts, with --admin"
            );
        }
        bail!("{detail} ({code})")
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn connect(address: &ListenAddress) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        ListenAddress::Ip(address) => Box::new(TcpStream::connect(address).await?),
        ListenAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}
