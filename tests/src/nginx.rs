//! A real nginx as the upstream, with its own defaults: 1,000 requests to a connection, `keepalive_timeout` of 75 s.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use crate::failsafe;
use crate::folder::Folder;
use crate::tls::Identity;

/// The server; dropping this value stops it.
#[derive(Debug)]
pub struct Nginx {
    tls: SocketAddr,
    plain: SocketAddr,
    config: String,
    /// Its configuration, certificate, log and process ids.
    folder: Folder,
}

impl Nginx {
    /// Starts it: HTTP/2 over TLS with `identity` at one address, HTTP/1.1 at another. Every request gets one item.
    ///
    /// # Panics
    ///
    /// When it is not installed.
    #[must_use]
    pub fn start(identity: &Identity) -> Self {
        let folder = Folder::new();
        let certificate = folder.write("certificate.pem", identity.pem().as_bytes());
        let key = folder.write("key.pem", identity.key_pem().as_bytes());
        // It does not accept port 0, so these are ports that are free now.
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0");
            listener
                .and_then(|listener| listener.local_addr())
                .expect("a free port")
        };
        let (tls, plain) = (free(), free());
        let path = folder.path().display();
        let answer = r#"default_type application/json; return 200 '[{"id":1}]';"#;
        let config = format!(
            "pid {path}/pid; error_log {path}/log; events {{}}\n\
             http {{ access_log off;\n\
             server {{ listen {tls} ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key};\n\
             location / {{ {answer} }} }}\n\
             server {{ listen {plain}; location / {{ {answer} }} }} }}\n"
        );
        let config = folder.write("nginx.conf", config.as_bytes());
        let nginx = Self {
            tls,
            plain,
            config,
            folder,
        };
        // It returns when the daemon listens.
        nginx.run(&[]);
        nginx
    }

    /// The origins over TLS and in plain text.
    #[must_use]
    pub fn origins(&self) -> [String; 2] {
        [
            format!("https://{}", self.tls),
            format!("http://{}", self.plain),
        ]
    }

    /// New worker processes take over from the old ones, which finish their requests and close their connections.
    pub fn reload(&self) {
        self.run(&["-s", "reload"]);
    }

    /// A new process takes over the listening sockets, and the old one finishes its requests and exits.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn restart(&self) {
        let read = |name| fs::read_to_string(self.folder.path().join(name));
        let old = read("pid").expect("a process id").trim().to_owned();
        signal("-USR2", &old);
        failsafe("the new process", async {
            while read("pid").is_ok_and(|pid| pid.trim() == old)
                || read("pid").is_err()
                || read("pid.oldbin").is_err()
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
        signal("-QUIT", &old);
        failsafe("the old process to exit", async {
            while read("pid.oldbin").is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// It finishes its requests and exits. Nothing listens until it [starts again](Self::start_again).
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn stop(&self) {
        let pid = || fs::read_to_string(self.folder.path().join("pid"));
        signal("-QUIT", pid().expect("a process id").trim());
        failsafe("nginx to exit", async {
            while pid().is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Starts it after [`Self::stop`].
    pub fn start_again(&self) {
        self.run(&[]);
    }

    fn run(&self, args: &[&str]) {
        let run = Command::new(program())
            .args(["-c", &self.config])
            .args(args)
            .output();
        let run = run.expect("nginx to run");
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.run(&["-s", "stop"]);
    }
}

/// Its path: to be replaced while it runs, it executes the name by which it was started, and searches no folder.
fn program() -> PathBuf {
    let folders = env::var_os("PATH").unwrap_or_default();
    let mut paths = env::split_paths(&folders).map(|folder| folder.join("nginx"));
    let path = paths.find(|path| path.is_file());
    path.expect("nginx, as Debian's package of that name has it")
}

fn signal(signal: &str, process: &str) {
    let sent = Command::new("kill").args([signal, process]).status();
    assert!(sent.expect("kill").success());
}
