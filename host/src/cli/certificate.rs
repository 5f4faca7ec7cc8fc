//! [`Certificate`]: the certificate and key of the callers' listener, read from their files, and again when these have
//! changed: tools that renew certificates replace the files and notify no process.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use oneflight::config::TlsFiles;
use oneflight::server::Tls;
use ring::digest::{SHA256, digest};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

/// The certificate and key in use, and the files that they are from.
pub(super) struct Certificate {
    tls: Tls,
    source: Source,
}

/// What the certificate and key in use were read from.
#[derive(Clone, PartialEq, Eq)]
struct Source {
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
        let source = Source { files, seen };
        Ok(Self { tls, source })
    }

    /// For the listener. It uses what is renewed later.
    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Uses `renewed` for all later handshakes.
    pub(super) fn renew(&mut self, renewed: Self) {
        let Self { tls, source } = renewed;
        self.tls.renew(&tls);
        self.source = source;
    }

    /// Uses `pem`, which was read from the files of `source`, for all later handshakes if it has changed; if it cannot be
    /// used, that is logged once, and nothing changes. `pem` is discarded if `source` is not that of the certificate any
    /// more: a reload has read newer files meanwhile.
    fn update(&mut self, source: &Source, pem: anyhow::Result<Pem>) {
        let seen = match &pem {
            Ok(pem) => Ok(pem.digests()),
            Err(error) => Err(format!("{error:#}")),
        };
        if *source != self.source || seen == self.source.seen {
            return;
        }
        self.source.seen = seen;
        match pem.and_then(|pem| pem.identity(&self.source.files)) {
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
        // The files may be on a file system that hangs, which must not delay a reload with other files.
        let source = lock(certificate).source.clone();
        let pem = Pem::read(source.files.clone()).await;
        lock(certificate).update(&source, pem);
    }
}

/// The certificate. The guard is not held while anything is awaited.
pub(super) fn lock(certificate: &Mutex<Certificate>) -> MutexGuard<'_, Certificate> {
    certificate.lock().unwrap_or_else(PoisonError::into_inner)
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
