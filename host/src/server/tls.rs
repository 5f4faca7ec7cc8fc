//! [`Tls`]: how callers are spoken to in TLS, by rustls with ring.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{anyhow, bail};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// A certificate and its private key, neither of which is ever printed. Clones have them in common.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// From two PEM files: the certificate, followed by those that vouch for it, and its private key.
    ///
    /// Callers are offered HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    ///
    /// When one of them holds no such thing, or the key is not the certificate's. The message has
    /// nothing of what the files hold.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> anyhow::Result<Self> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| anyhow!("found a section that is no PEM where the certificate is"))?;
        if certificates.is_empty() {
            bail!("found no certificate; needed PEM: -----BEGIN CERTIFICATE----- and so on");
        }
        // Why it is none is left out: it could be told with a line of the key.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            anyhow!(
                "found no private key; needed PEM that is not encrypted: \
                 -----BEGIN PRIVATE KEY----- and so on"
            )
        })?;
        // The provider by name: an embedder may have brought another into the same process.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key);
        let mut config = config.map_err(|error| match error {
            Error::InconsistentKeys(_) => anyhow!(
                "found a private key that is not the certificate's; needed the two of one pair"
            ),
            error => anyhow!(error).context("found a certificate or a key that cannot be used"),
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(RwLock::new(Arc::new(config)))))
    }

    /// Shows those who connect from now on what `renewed` shows; no session of before is resumed.
    pub fn renew(&self, renewed: &Self) {
        let config = renewed.config();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// For one connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config())
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
