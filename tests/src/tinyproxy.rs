//! A real tinyproxy, which expects a user and a password.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::failsafe;
use crate::folder::Folder;

/// The proxy; dropping this value stops it.
#[derive(Debug)]
pub struct Tinyproxy {
    address: SocketAddr,
    _process: Child,
    /// Its configuration and its log.
    folder: Folder,
}

impl Tinyproxy {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    pub async fn start(user: &str, password: &str) -> Self {
        let folder = Folder::new();
        // It does not accept port 0, so this is a port that is free now.
        let listener = TcpListener::bind("127.0.0.1:0");
        let address = listener
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let config = format!(
            "Port {}\nListen 127.0.0.1\nBasicAuth {user} {password}\nLogFile \"{}/log\"\nLogLevel Info\n",
            address.port(),
            folder.path().display()
        );
        let config = folder.write("tinyproxy.conf", config.as_bytes());
        let process = Command::new("tinyproxy")
            .args(["-d", "-c", &config])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("tinyproxy, as Debian's package of that name has it");
        failsafe("tinyproxy to listen", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Self {
            address,
            _process: process,
            folder,
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its log so far: it writes a line before it answers a request.
    ///
    /// # Panics
    ///
    /// When it has written none.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("a log")
    }
}
