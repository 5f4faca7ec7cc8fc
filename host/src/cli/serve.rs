//! `oneflight serve`: the client that flags describe, over HTTP, until SIGINT or SIGTERM.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use oneflight::server::Service;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

use super::client::{ClientFlags, NAME};

/// Serves the client over HTTP: GET /v1/default/items?x=KEY, /livez, /readyz.
///
/// It ends on SIGINT and SIGTERM, after letting flights land; a second signal ends it at once.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    #[command(flatten)]
    client: ClientFlags,

    /// The address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    listen: SocketAddr,
}

const EXAMPLES: &str = "\
Examples:
  oneflight serve --base-url 'http://localhost:3000/items?id={x}'
  curl 'http://127.0.0.1:8080/v1/default/items?x=42'

  HEADER_AUTHORIZATION='Bearer ...' oneflight serve --base-url https://api.example.com/items \\
      --set-from-env HEADER_AUTHORIZATION
  oneflight serve --component my-client.wasm --allow https://api.example.com --listen 127.0.0.1:9000";

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let loaded = self.client.load().await?;
        let listener = listen(self.listen).await?;
        let address = listener.local_addr()?;
        let shutdown = shutdown()?;
        eprintln!("listening on http://{address}/v1/{NAME}/items?x=KEY");
        Service::new(NAME, loaded.client, &loaded.limits)
            .run(listener, shutdown)
            .await;
        Ok(ExitCode::SUCCESS)
    }
}

/// Connections that wait to be accepted: 4,096, the most that Linux grants unless it is told otherwise.
/// A herd comes at once, and whoever finds the queue full tries again only after a second.
const QUEUE: u32 = 4_096;

/// Listens; warns where that lets others in than this machine's own.
pub(super) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = bind(address).with_context(|| {
        format!("could not listen on {address}; choose another port with --listen")
    })?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            "listening beyond loopback: oneflight does not ask who calls, \
             and every caller spends this client's credentials"
        );
    }
    Ok(listener)
}

/// What [`TcpListener::bind`] does, but for its queue of 128.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "needed an IP address and a port, as in 127.0.0.1:8080")
}

/// Ready on the first SIGINT or SIGTERM; the second ends the process.
pub(super) fn shutdown() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut next = async move || {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
    };
    Ok(async move {
        next().await;
        tracing::info!("ending: flights under way may land");
        tokio::spawn(async move {
            next().await;
            std::process::exit(130);
        });
    })
}
