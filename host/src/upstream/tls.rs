//! [`Roots`]: which root certificates are trusted, and the TLS configuration: rustls with ring.

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The root certificates that are trusted.
#[derive(Clone, Default)]
pub enum Roots {
    /// The system's, read once. If the system has none, every TLS handshake fails; `http` is not affected.
    #[default]
    System,
    /// These, and none of the system's.
    Given(Arc<RootCertStore>),
}

/// Whether the same certificates are trusted.
impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::System, Self::System) => true,
            (Self::Given(one), Self::Given(other)) => one.roots == other.roots,
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
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| RootsError::NotPem(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| RootsError::BadCertificate(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(RootsError::NoCertificate);
        }
        Ok(Self::Given(Arc::new(roots)))
    }

    /// The TLS configuration that trusts them.
    #[must_use]
    pub fn config(&self) -> ClientConfig {
        match self {
            Self::System => SYSTEM.clone(),
            Self::Given(roots) => config(Arc::clone(roots)),
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
            Self::Given(roots) => f.debug_tuple("Given").field(&roots.len()).finish(),
        }
    }
}

static SYSTEM: LazyLock<ClientConfig> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "could not read a root certificate of this system");
    }
    roots.add_parsable_certificates(found.certs);
    config(Arc::new(roots))
});

fn config(roots: Arc<RootCertStore>) -> ClientConfig {
    // The provider is explicit: an embedder may have installed another one as the process's default.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

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
