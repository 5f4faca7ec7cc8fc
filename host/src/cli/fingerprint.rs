//! [`Fingerprints`]: what the loaded clients were loaded from, so that a reload can keep those that have not changed,
//! with their instances, connections and flights.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use oneflight::config::{ClientConfig, Component};
use tokio::task::spawn_blocking;

use super::component_file::ComponentFile;

/// The fingerprints of the loaded clients by their names.
#[derive(Debug, Default)]
pub(super) struct Fingerprints(Mutex<BTreeMap<String, Fingerprint>>);

/// What a client is loaded from: its settings, with the values that were read for them, and its component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    config: ClientConfig,
    /// The digest of the file; `None` for the built-in client, and for one of a registry, whose reference has its digest.
    component: Option<Vec<u8>>,
}

impl Fingerprint {
    /// The name of the client.
    pub(super) fn name(&self) -> &str {
        self.config.name()
    }

    /// That of a client that is loaded now. `None` if its component cannot be read, which loading it will report.
    pub(super) async fn of(config: &ClientConfig) -> Option<Self> {
        let component = match &config.component {
            Component::Builtin | Component::Oci(_) => None,
            Component::File(file) => {
                let file = file.clone();
                let digest = spawn_blocking(move || {
                    let file = ComponentFile::open(&file).ok()?.ok()?;
                    file.digest().ok()
                });
                Some(digest.await.ok()??)
            }
        };
        let config = config.clone();
        Some(Self { config, component })
    }
}

impl Fingerprints {
    /// Whether the loaded client of this name was loaded from the same.
    pub(super) fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.lock().get(fingerprint.name()) == Some(fingerprint)
    }

    /// Adds a client that is loaded, whose fingerprint was made before that.
    pub(super) fn put(&self, fingerprint: Option<Fingerprint>) {
        if let Some(fingerprint) = fingerprint {
            let name = fingerprint.name().to_owned();
            self.lock().insert(name, fingerprint);
        }
    }

    /// Replaces all by those of these clients.
    pub(super) fn replace(&self, fingerprints: impl IntoIterator<Item = Fingerprint>) {
        let by_name = |fingerprint: Fingerprint| (fingerprint.name().to_owned(), fingerprint);
        *self.lock() = fingerprints.into_iter().map(by_name).collect();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Fingerprint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
