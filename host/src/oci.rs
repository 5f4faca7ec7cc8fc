//! Components from a registry of OCI artifacts, and to one: [`Registries`].
//!
//! A registry is trusted with nothing but the credentials that it gets: what it sends is limited in size and time, and
//! is used only if it has the digest that the reference, or the manifest of that digest, states. A tag is what the
//! registry says it is, so [`Registries::resolve`] returns the digest that it stands for.
//!
//! The protocol is that of the OCI Distribution Specification 1.1, the layout of an artifact that of the CNCF's "Wasm
//! OCI Artifact". Requests are sent here and not by the crate oci-client (0.18), which reads manifests, tokens and the
//! bodies of errors without a limit, sends a password to a token server of plain HTTP, and reports that no token was
//! given as a status 401 of the registry.
//!
//! Nothing here compiles or runs a component, or applies the policy that an artifact suggests.

mod access;
mod auth;
mod cache;
mod credentials;
mod error;
mod http;
mod manifest;
mod pull;
mod push;
mod reference;
mod session;

pub use self::access::{Access, Registries};
pub use self::cache::ArtifactCache;
pub use self::error::{OciError, OciProblem};
pub use self::manifest::{MAX_POLICY_BYTES, POLICY_ANNOTATION};
pub use self::pull::{Artifact, PulledFrom, Resolved};
pub use self::push::{Push, Pushed};
pub use self::reference::{
    A_REFERENCE, PushTarget, Reference, ReferenceError, RegistryHost, Repository, SCHEME,
    Sha256Digest, Version,
};
