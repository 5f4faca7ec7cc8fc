//! A real registry: the program docker-registry, of Debian's package of that name.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::failsafe;
use crate::folder::Folder;
use crate::tls::Identity;

/// The user of a registry that expects one.
pub const USER: &str = "robot";

/// Its password.
pub const PASSWORD: &str = "correct horse";

/// The bcrypt of the password, as htpasswd writes it.
const HTPASSWD: &str = "robot:$2y$05$fnc/a8g/neIr.BjGb1jyHu/s2q5V63ymw5x50NGgQg3RDykwwMv6e\n";

/// The registry; dropping this value stops it.
#[derive(Debug)]
pub struct DockerRegistry {
    address: SocketAddr,
    process: Child,
    /// Its configuration and what was pushed.
    folder: Folder,
}

impl DockerRegistry {
    /// Starts one on loopback: of plain HTTP and for everyone, or with TLS and a password.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    pub async fn start(identity: Option<&Identity>) -> Self {
        let folder = Folder::new();
        // It does not print its port, so this is a port that is free now.
        let listener = TcpListener::bind("127.0.0.1:0");
        let address = listener
            .and_then(|listener| listener.local_addr())
            .expect("a free port");
        let path = folder.path().display();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {path}/data\nhttp:\n  \
             addr: {address}\n"
        );
        if let Some(identity) = identity {
            let certificate = folder.write("server.pem", identity.pem().as_bytes());
            let key = folder.write("server-key.pem", identity.key_pem().as_bytes());
            let users = folder.write("htpasswd", HTPASSWD.as_bytes());
            config += &format!(
                "  tls:\n    certificate: {certificate}\n    key: {key}\nauth:\n  htpasswd:\n    realm: tests\n    \
                 path: {users}\n"
            );
        }
        let config = folder.write("registry.yml", config.as_bytes());
        let process = Command::new("docker-registry")
            .args(["serve", &config])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("docker-registry, as Debian's package of that name has it");
        failsafe("docker-registry to listen", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Self {
            address,
            process,
            folder,
        }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Stops it, and waits until it has ended.
    ///
    /// # Panics
    ///
    /// When it has ended before.
    pub async fn stop(mut self) {
        self.process.start_kill().expect("a process");
        let ended = failsafe("docker-registry to end", self.process.wait()).await;
        ended.expect("a status");
        drop(self.folder);
    }
}
