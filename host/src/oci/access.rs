//! [`Registries`]: how registries are reached, within which limits, and where what they send is kept.

use std::sync::Arc;

use super::cache::ArtifactCache;
use super::http::Http;
use super::reference::RegistryHost;
use crate::settings::RegistryLimits;
use crate::upstream::{Proxy, Roots};

/// How registries are reached. Cloning shares the cache.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    /// Where what was pulled is kept, if anywhere.
    pub cache: Option<Arc<ArtifactCache>>,
    /// The times.
    pub limits: RegistryLimits,
    /// Registries that are reached by plain HTTP. One on this machine is reached by what it speaks.
    pub plain_http: Vec<RegistryHost>,
    /// The maximum size of a component, in bytes.
    pub max_component_bytes: u64,
}

/// Which certificates are trusted for one artifact, and through which proxy its requests go.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The root certificates that are trusted.
    pub roots: Roots,
    /// The proxy, if any.
    pub proxy: Option<Proxy>,
}

impl Registries {
    pub(super) fn http(&self, access: &Access) -> Http {
        let Access { roots, proxy } = access;
        let time = self.limits.response_timeout;
        Http::new(roots, proxy.as_ref(), time, &self.plain_http)
    }
}
