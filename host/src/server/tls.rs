//! [`Tls`]: TLS for the connections of callers, by rustls with ring.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// A certificate chain and its private key, neither of which is ever printed. Clones share them.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

/// Why a certificate and a key cannot be used. No message has anything of the private key.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate's file has a malformed PEM section.
    MalformedPem,
    /// The certificate's file has no certificate.
    NoCertificate,
    /// The key's file has no private key, or an encrypted one.
    NoPrivateKey,
    /// The private key does not belong to the certificate.
    KeyMismatch,
    /// The certificate or the key is of a kind that rustls does not accept.
    Unusable(Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MalformedPem => "expected the certificate as PEM, got a malformed section",
            Self::NoCertificate => {
                "expected a certificate as PEM, got none; it starts with -----BEGIN CERTIFICATE-----"
            }
            Self::NoPrivateKey => {
                "expected a private key as PEM without encryption, got none; it starts with \
                 -----BEGIN PRIVATE KEY-----"
            }
            Self::KeyMismatch => {
                "expected the private key of the certificate, got the key of another one"
            }
            Self::Unusable(_) => "the certificate or the private key cannot be used",
        })
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unusable(error) => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        match error {
            Error::InconsistentKeys(_) => Self::KeyMismatch,
            error => Self::Unusable(error),
        }
    }
}

impl Tls {
    /// Reads two PEM files: the certificate, followed by its intermediates, and its private key.
    ///
    /// Callers are offered HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    ///
    /// When one of them has no such content, or the key is not the certificate's.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::MalformedPem)?;
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        // Without its reason, which could contain a line of the key.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::NoPrivateKey)?;
        // The provider by name: an embedder may have installed another one in the same process.
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(RwLock::new(Arc::new(config)))))
    }

    /// Uses the certificate and key of `renewed` for all later handshakes; sessions from before are not resumed.
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
