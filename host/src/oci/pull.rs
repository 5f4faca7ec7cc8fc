//! From a reference to a component: [`Registries::resolve`] and [`Registries::pull`].

use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::access::{Access, Registries};
use super::cache::ArtifactCache;
use super::error::{OciError, OciProblem};
use super::manifest::Manifest;
use super::reference::{Reference, Sha256Digest, Version};
use super::session::{Action, Session};

/// A component of a registry.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The reference by digest.
    pub reference: Reference,
    /// The digest of its manifest.
    pub digest: Sha256Digest,
    /// The component.
    pub component: Arc<[u8]>,
    /// The policy that the artifact suggests, as TOML of its author. It has no effect.
    pub policy: Option<String>,
    /// Where the component is from.
    pub source: PulledFrom,
}

/// Where a component is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PulledFrom {
    /// From the cache. For a reference by digest nothing was requested.
    Cache,
    /// From the registry.
    Registry,
}

/// What a reference stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The reference by digest.
    pub reference: Reference,
    /// The digest.
    pub digest: Sha256Digest,
    /// Why the registry gave no answer, if the digest is the one that the tag stood for before.
    pub outdated: Option<OciProblem>,
}

impl Registries {
    /// The digest that a reference stands for. That of a tag is requested from its registry; if that cannot be reached,
    /// it is the one in the cache.
    ///
    /// # Errors
    ///
    /// When the registry refuses, has no such artifact, or cannot be reached and the cache has no digest either.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the requests.
    pub async fn resolve(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<Resolved, OciError> {
        let resolved = |digest, outdated| Resolved {
            reference: reference.with_digest(digest),
            digest,
            outdated,
        };
        if let Version::Digest(digest) = &reference.version {
            return Ok(resolved(*digest, None));
        }
        let problem = match self.within_time(self.manifest(reference, access)).await {
            Ok((bytes, digest)) => {
                let tagged = reference.clone();
                self.keep(move |cache| {
                    cache.put_manifest(&digest, &bytes);
                    cache.put_tag(&tagged, &digest);
                })
                .await;
                return Ok(resolved(digest, None));
            }
            Err(problem) => problem,
        };
        if problem.is_unreachable() {
            let tagged = reference.clone();
            if let Some(digest) = self.in_cache(move |cache| cache.tagged(&tagged)).await {
                return Ok(resolved(digest, Some(problem)));
            }
        }
        Err(problem.of(reference))
    }

    /// The component that a reference by digest stands for: from the cache, or else from its registry. Its digest, and
    /// that of its manifest, have been checked.
    ///
    /// # Errors
    ///
    /// When it is not in the cache and the registry cannot be reached, refuses, or sends something else.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the requests.
    pub async fn pull(&self, resolved: &Resolved, access: &Access) -> Result<Artifact, OciError> {
        let pulled = self.within_time(self.artifact(resolved, access)).await;
        pulled.map_err(|problem| problem.of(&resolved.reference))
    }

    async fn artifact(&self, resolved: &Resolved, access: &Access) -> Result<Artifact, OciProblem> {
        let Resolved {
            reference, digest, ..
        } = resolved;
        let digest = *digest;
        let manifest = match self.in_cache(move |cache| cache.manifest(&digest)).await {
            Some(manifest) => manifest,
            None => {
                let (manifest, _) = self.manifest(reference, access).await?;
                let kept = manifest.clone();
                self.keep(move |cache| cache.put_manifest(&digest, &kept))
                    .await;
                manifest
            }
        };
        let manifest = Manifest::parse(&manifest)?;
        let blob = manifest.component()?;
        let limit = self.max_component_bytes;
        let cached = self
            .in_cache(move |cache| cache.component(&blob.digest, limit))
            .await;
        let (component, source): (Arc<[u8]>, _) = match cached {
            Some(component) => (component.into(), PulledFrom::Cache),
            None => {
                let http = self.http(access);
                let session = Session::open(&http, &reference.repository, Action::Pull).await?;
                let component: Arc<[u8]> = session.component(blob, limit).await?.into();
                let kept = Arc::clone(&component);
                self.keep(move |cache| cache.put_component(&blob.digest, &kept))
                    .await;
                (component, PulledFrom::Registry)
            }
        };
        Ok(Artifact {
            reference: reference.clone(),
            digest,
            component,
            policy: manifest.policy(),
            source,
        })
    }

    async fn manifest(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<(Vec<u8>, Sha256Digest), OciProblem> {
        let http = self.http(access);
        let session = Session::open(&http, &reference.repository, Action::Pull).await?;
        session.manifest(&reference.version).await
    }

    /// Runs `work` within the time for a transfer, however steadily the registry sends.
    pub(super) async fn within_time<T>(
        &self,
        work: impl Future<Output = Result<T, OciProblem>>,
    ) -> Result<T, OciProblem> {
        let done = timeout(self.limits.transfer_timeout, work).await;
        done.unwrap_or(Err(OciProblem::TimedOut {
            what: "the whole transfer",
            setting: "transfer_timeout",
        }))
    }

    /// Stores something in the cache, if there is one.
    async fn keep(&self, work: impl FnOnce(&ArtifactCache) + Send + 'static) {
        let _: Option<()> = self
            .in_cache(move |cache| {
                work(cache);
                None
            })
            .await;
    }

    /// Runs `work` in the cache, if there is one, on a thread for it: its folder may be on a file system that hangs.
    async fn in_cache<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ArtifactCache) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let cache = Arc::clone(self.cache.as_ref()?);
        spawn_blocking(move || work(&cache)).await.ok()?
    }
}
