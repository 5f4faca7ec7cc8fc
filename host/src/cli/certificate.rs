//! [`Certificate`]: the certificate and key of the callers' listener, read from their files, and again when these have
//! changed: tools that renew certificates replace the files and notify no process.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use oneflight::config::TlsFiles;
use oneflight::server::Tls;
use ring::digest::{SHA256, digest};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

/// The certificate and key in use, and the files that they are from.
pub(super) struct Certificate {
    tls: Tls,
    files: TlsFiles,
    /// What the files had when they were last read, so that each change is used, or refused, once.
    seen: Seen,
}

/// The digests of both files, or why they could not be read.
type Seen = Result<[Vec<u8>; 2], String>;

/// The contents of both files.
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// When one cannot be read or used, or the key is not the certificate's.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub(super) async fn read(files: TlsFiles) -> anyhow::Result<Self> {
        let pem = Pem::read(files.clone()).await?;
        let (tls, seen) = (pem.identity(&files)?, Ok(pem.digests()));
        Ok(Self { tls, files, seen })
    }

    /// For the listener. It uses what is renewed later.
    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Uses `renewed` for all later handshakes.
    pub(super) fn renew(&mut self, renewed: Self) {
        let Self { tls, files, seen } = renewed;
        self.tls.renew(&tls);
        (self.files, self.seen) = (files, seen);
    }

    /// Reads the files again. If they have changed, they are used for all later handshakes; if they cannot be used,
    /// that is logged once, and nothing changes.
    async fn check(&mut self) {
        let pem = Pem::read(self.files.clone()).await;
        let seen = match &pem {
            Ok(pem) => Ok(pem.digests()),
            Err(error) => Err(format!("{error:#}")),
        };
        if seen == self.seen {
            return;
        }
        self.seen = seen;
        match pem.and_then(|pem| pem.identity(&self.files)) {
            Ok(renewed) => {
                self.tls.renew(&renewed);
                tracing::info!("the certificate has changed and is in use");
            }
            Err(error) => {
                tracing::warn!(
                    "the certificate has changed and cannot be used; the one before stays in use: {error:#}"
                );
            }
        }
    }
}

/// Checks the files in this interval. Does nothing without a certificate.
///
/// # Cancel safety
///
/// Dropping the future leaves the certificate as it is.
pub(super) async fn check_files(
    certificate: Option<&Mutex<Certificate>>,
    every: Duration,
) -> Infallible {
    let Some(certificate) = certificate else {
        return std::future::pending().await;
    };
    let mut checks = interval(every);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        checks.tick().await;
        certificate.lock().await.check().await;
    }
}

impl Pem {
    /// On a thread for blocking work, since the files may be on a file system that hangs.
    async fn read(files: TlsFiles) -> anyhow::Result<Self> {
        let read = |file: &Path| {
            std::fs::read(file).with_context(|| format!("could not read {}", file.display()))
        };
        spawn_blocking(move || {
            Ok(Self {
                certificate: read(&files.certificate)?,
                key: read(&files.key)?,
            })
        })
        .await?
    }

    fn identity(&self, files: &TlsFiles) -> anyhow::Result<Tls> {
        let TlsFiles { certificate, key } = files;
        Tls::from_pem(&self.certificate, &self.key)
            .with_context(|| format!("cannot use {} and {}", certificate.display(), key.display()))
    }

    fn digests(&self) -> [Vec<u8>; 2] {
        [&self.certificate, &self.key].map(|pem| digest(&SHA256, pem).as_ref().to_vec())
    }
}
