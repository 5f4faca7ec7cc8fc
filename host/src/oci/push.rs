//! From a component to an artifact in a registry: [`Registries::push`].

use std::sync::Arc;

use bytes::Bytes;

use super::access::{Access, Registries};
use super::error::{OciError, OciProblem};
use super::manifest::Documents;
use super::reference::{PushTarget, Reference, Sha256Digest};
use super::session::{Action, Session};

/// What is pushed.
#[derive(Clone, Debug)]
pub struct Push {
    /// The component.
    pub component: Arc<[u8]>,
    /// The names of what it imports.
    pub imports: Vec<String>,
    /// The names of what it exports.
    pub exports: Vec<String>,
    /// The policy that it suggests, as TOML.
    pub policy: Option<String>,
}

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The reference by digest.
    pub reference: Reference,
    /// The digest of the manifest.
    pub digest: Sha256Digest,
}

impl Registries {
    /// Pushes a component. The same component with the same policy always has the same digest.
    ///
    /// # Errors
    ///
    /// When the registry cannot be reached or refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the requests. Then the registry may have the component and not its manifest, which has
    /// no effect.
    pub async fn push(
        &self,
        push: Push,
        target: &PushTarget,
        access: &Access,
    ) -> Result<Pushed, OciError> {
        let pushed = self.within_time(self.put(push, target, access)).await;
        pushed.map_err(|problem| problem.of(target))
    }

    async fn put(
        &self,
        push: Push,
        target: &PushTarget,
        access: &Access,
    ) -> Result<Pushed, OciProblem> {
        let Push {
            component,
            imports,
            exports,
            policy,
        } = push;
        let documents = Documents::new(&component, &imports, &exports, policy)
            .map_err(|error| OciProblem::NotPushed(error.to_string()))?;
        let digest = Sha256Digest::of(&documents.manifest);
        let http = self.http(access);
        let session = Session::open(&http, &target.repository, Action::Push).await?;
        // A large component takes longer than a response may.
        let time = self.limits.transfer_timeout;
        session.put_blob(Bytes::from_owner(component), time).await?;
        session.put_blob(documents.config.into(), time).await?;
        let name = target.tag.clone().unwrap_or_else(|| digest.to_string());
        session
            .put_manifest(&name, documents.manifest, time)
            .await?;
        let reference = Reference {
            repository: target.repository.clone(),
            version: super::reference::Version::Digest(digest),
        };
        Ok(Pushed { reference, digest })
    }
}
