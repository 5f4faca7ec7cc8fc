//! [`ClientIdentity`]: the certificate by which a client identifies itself to upstreams, with its private key.
//!
//! Neither errors nor `Debug` contain anything of the key.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, InconsistentKeys};

/// A client certificate and its private key. An upstream that requests a certificate gets the certificate; the key
/// stays in this process.
#[derive(Clone)]
pub struct ClientIdentity {
    certificates: Vec<CertificateDer<'static>>,
    resolver: Arc<SingleCertAndKey>,
}

/// Whether they have the same certificates, and thus the same key.
impl PartialEq for ClientIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

impl Eq for ClientIdentity {}

/// Why a certificate and a key cannot be used for a [`ClientIdentity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientIdentityError {
    /// The file of the certificate has none.
    NoCertificate,
    /// The file of the key has none that can be used.
    NoKey,
    /// The key belongs to another certificate.
    OtherKey,
}

impl ClientIdentity {
    /// The first certificate in the PEM file `certificates`, which those follow that lead to its root, with the private
    /// key in the PEM file `key`.
    ///
    /// # Errors
    ///
    /// When there is no certificate, no key, or the two do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, ClientIdentityError> {
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(certificates).collect();
        let certificates = certificates.map_err(|_| ClientIdentityError::NoCertificate)?;
        if certificates.is_empty() {
            return Err(ClientIdentityError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| ClientIdentityError::NoKey)?;
        let provider = ring::default_provider();
        let certified = CertifiedKey::from_der(certificates.clone(), key, &provider);
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => ClientIdentityError::OtherKey,
            Error::InvalidCertificate(_) => ClientIdentityError::NoCertificate,
            _ => ClientIdentityError::NoKey,
        })?;
        Ok(Self {
            certificates,
            resolver: Arc::new(SingleCertAndKey::from(certified)),
        })
    }

    pub(super) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::clone(&self.resolver)
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}

impl fmt::Display for ClientIdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCertificate => {
                "expected a PEM certificate (-----BEGIN CERTIFICATE-----) in client_certificate, got none \
                 that can be decoded"
            }
            Self::NoKey => {
                "expected an unencrypted PEM private key (PKCS#8, PKCS#1 or SEC1) in client_key, got none that can \
                 be used; decrypt or convert it with openssl pkey"
            }
            Self::OtherKey => {
                "expected the private key of the certificate in client_certificate, got another key in client_key; \
                 give both of one pair"
            }
        })
    }
}

impl std::error::Error for ClientIdentityError {}
