//! Whose certificates are believed, and how TLS is spoken: by rustls, with ring.

use std::fmt;
use std::sync::{Arc, LazyLock};

use anyhow::Context;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Whose certificates are believed.
#[derive(Clone, Default)]
pub enum Roots {
    /// The system's, read once. Where a system has none, every https upstream is refused by its
    /// handshake; http goes on.
    #[default]
    System,
    /// These, and none of the system's.
    Given(Arc<RootCertStore>),
}

impl Roots {
    /// The certificates in a PEM file, and no others.
    ///
    /// # Errors
    ///
    /// When `pem` holds no certificate, or one that cannot be read.
    pub fn from_pem(pem: &[u8]) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.context("found a section that is no PEM")?;
            roots
                .add(certificate)
                .context("found a certificate that cannot be read")?;
        }
        if roots.is_empty() {
            anyhow::bail!(
                "found no certificate; needed PEM: -----BEGIN CERTIFICATE----- and so on"
            );
        }
        Ok(Self::Given(Arc::new(roots)))
    }

    /// How TLS is spoken to those.
    #[must_use]
    pub fn config(&self) -> ClientConfig {
        match self {
            Self::System => SYSTEM.clone(),
            Self::Given(roots) => config(Arc::clone(roots)),
        }
    }
}

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
        tracing::warn!(%error, "a root certificate of this system was not read");
    }
    roots.add_parsable_certificates(found.certs);
    config(Arc::new(roots))
});

fn config(roots: Arc<RootCertStore>) -> ClientConfig {
    // The provider by name: an embedder may have brought another into the same process.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks the versions that rustls calls safe")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pem, found) in [("", "no certificate"), (broken, "cannot be read")] {
            let refused = Roots::from_pem(pem.as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(found), "{refused}");
        }
    }
}
