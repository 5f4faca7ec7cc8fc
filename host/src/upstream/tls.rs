//! [`Roots`]: which root certificates are trusted, and the TLS configuration: rustls with ring.

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::certificate::CertificateVerifier;
use super::identity::ClientIdentity;

/// The root certificates that are trusted.
#[derive(Clone, Default)]
pub enum Roots {
    /// The system's, read once. If the system has none, every TLS handshake fails; `http` is not affected.
    #[default]
    System,
    /// These, and none of the system's.
    Given(Arc<GivenRoots>),
}

/// The certificates of a PEM file.
pub struct GivenRoots(Arc<CertificateVerifier>);

/// Whether the same certificates are trusted. Certificates with one name and one key may differ in their validity.
impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::System, Self::System) => true,
            (Self::Given(one), Self::Given(other)) => one.0.trusted() == other.0.trusted(),
            _ => false,
        }
    }
}

impl Eq for Roots {}

/// Why a PEM file cannot be used for [`Roots`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootsError {
    /// A section of it is not PEM.
    NotPem(String),
    /// It has no certificate.
    NoCertificate,
    /// A certificate of it cannot be decoded.
    BadCertificate(String),
}

impl Roots {
    /// The certificates in a PEM file, and no others.
    ///
    /// # Errors
    ///
    /// When `pem` has no certificate, or one that cannot be decoded.
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| RootsError::NotPem(error.to_string()))?;
            store
                .add(certificate.clone())
                .map_err(|error| RootsError::BadCertificate(error.to_string()))?;
            certificates.push(certificate);
        }
        // The only error is that there are none.
        let verifier = CertificateVerifier::new(Arc::new(store), certificates);
        let verifier = verifier.map_err(|_| RootsError::NoCertificate)?;
        Ok(Self::Given(Arc::new(GivenRoots(Arc::new(verifier)))))
    }

    /// The TLS configuration that trusts them, and identifies itself as `identity` to an upstream that requests a
    /// certificate.
    ///
    /// # Panics
    ///
    /// Never: ring supports the default versions of TLS.
    #[must_use]
    pub fn config(&self, identity: Option<&ClientIdentity>) -> ClientConfig {
        // The provider is explicit: an embedder may have installed another one as the process's default.
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions");
        let config = match self {
            Self::System => config.with_root_certificates(Arc::clone(&SYSTEM)),
            Self::Given(roots) => config
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(&roots.0) as _),
        };
        match identity {
            Some(identity) => config.with_client_cert_resolver(identity.resolver()),
            None => config.with_no_client_auth(),
        }
    }
}

impl fmt::Display for RootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected PEM certificates (-----BEGIN CERTIFICATE-----), got ")?;
        match self {
            Self::NotPem(why) => write!(f, "a section that is not PEM: {why}"),
            Self::NoCertificate => f.write_str("no certificate"),
            Self::BadCertificate(why) => write!(f, "a certificate that cannot be decoded: {why}"),
        }
    }
}

impl std::error::Error for RootsError {}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("System"),
            Self::Given(roots) => roots.fmt(f),
        }
    }
}

impl fmt::Debug for GivenRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificates = self.0.trusted().len();
        f.debug_tuple("Given").field(&certificates).finish()
    }
}

static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "could not read a root certificate of this system");
    }
    roots.add_parsable_certificates(found.certs);
    Arc::new(roots)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pem, found) in [("", "no certificate"), (broken, "cannot be decoded")] {
            let error = Roots::from_pem(pem.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
    }
}
