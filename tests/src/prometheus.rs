//! A real Prometheus that scrapes a service.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::process::{Child, Command};

use crate::caller::get;
use crate::failsafe;
use crate::folder::Folder;

/// The process, which scrapes every second; dropping this value kills it.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    _process: Child,
    /// Its configuration and its data.
    _folder: Folder,
}

impl Prometheus {
    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    pub async fn scraping(service: SocketAddr) -> Self {
        let folder = Folder::new();
        let config = format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs: [{{job_name: oneflight, static_configs: [{{targets: ['{service}']}}]}}]\n"
        );
        let config = folder.write("prometheus.yml", config.as_bytes());
        // It does not accept port 0, so this is a port that is free now.
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let process = Command::new("prometheus")
            .arg(format!("--config.file={config}"))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus, as Debian's package of that name has it");
        failsafe("prometheus to listen", async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Self {
            address,
            _process: process,
            _folder: folder,
        }
    }

    /// Waits until it answers `query` with one series that has this value.
    ///
    /// # Panics
    ///
    /// When it has not answered so until the failsafe.
    pub async fn says(&self, query: &str, value: &str) {
        let encoded = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let path = format!("/api/v1/query?query={encoded}");
        failsafe(query, async {
            loop {
                let answer = get(self.address, &path).await;
                let answer: serde_json::Value =
                    serde_json::from_slice(answer.body()).unwrap_or_default();
                let result = answer["data"]["result"].as_array();
                if result.is_some_and(|result| result.len() == 1 && result[0]["value"][1] == value)
                {
                    return;
                }
            }
        })
        .await;
    }
}
