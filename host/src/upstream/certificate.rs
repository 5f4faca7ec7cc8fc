//! [`CertificateVerifier`]: verifies an upstream's certificate; and [`hint`]: what to do about a failed handshake.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

/// Verifies certificates as rustls does, and accepts one more: a certificate that is itself among the trusted ones.
///
/// `openssl req -x509` makes a self-signed certificate that is marked as that of a CA. rustls refuses such a
/// certificate for a server, even if it was given as the one to trust. It is accepted if it is equal to a trusted one,
/// byte for byte; its validity and its names are verified as always.
#[derive(Debug)]
pub(super) struct CertificateVerifier {
    web_pki: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl CertificateVerifier {
    /// A verifier that trusts `roots`, which are the certificates in `trusted`.
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        trusted: Vec<CertificateDer<'static>>,
    ) -> Result<Self, rustls::client::VerifierBuilderError> {
        let provider = Arc::new(ring::default_provider());
        Ok(Self {
            web_pki: WebPkiServerVerifier::builder_with_provider(roots, provider).build()?,
            trusted,
        })
    }

    /// The trusted certificates.
    pub(super) fn trusted(&self) -> &[CertificateDer<'static>] {
        &self.trusted
    }
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .web_pki
            .verify_server_cert(certificate, intermediates, name, ocsp, now);
        match verified {
            // webpki has verified the validity before it reports this.
            Err(Error::InvalidCertificate(error))
                if is_ca(&error) && self.trusted.contains(certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web_pki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.web_pki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.web_pki.supported_verify_schemes()
    }
}

/// Whether the certificate was refused because it is that of a CA.
fn is_ca(error: &CertificateError) -> bool {
    let CertificateError::Other(other) = error else {
        return false;
    };
    matches!(
        other.0.downcast_ref::<webpki::Error>(),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}

/// What to do about this error of TLS, as the end of its message.
pub(super) fn hint(error: &Error) -> Option<String> {
    let hint = match error {
        Error::InvalidCertificate(error) => return certificate_hint(error),
        Error::InvalidMessage(_) => "if the upstream expects plain HTTP, use http://",
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the upstream expects a client certificate: set client_certificate and client_key"
        }
        Error::AlertReceived(
            AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::HandshakeFailure
            | AlertDescription::UnknownCA,
        ) => {
            "the upstream may expect another client certificate: set client_certificate and client_key"
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "expected an upstream with TLS 1.2 or 1.3, got one that has neither; update it"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn certificate_hint(error: &CertificateError) -> Option<String> {
    Some(match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the upstream's certificate, or correct this machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "correct this machine's clock, or wait until the certificate is valid".to_owned()
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let name = match expected {
                ServerName::IpAddress(_) => format!("IP:{}", expected.to_str()),
                _ => format!("DNS:{}", expected.to_str()),
            };
            if presented.is_empty() {
                format!(
                    "the common name (CN) of a certificate is not used: reissue it with \
                     subjectAltName={name}"
                )
            } else {
                format!(
                    "use a name of the certificate in the URL, or reissue it with subjectAltName={name}"
                )
            }
        }
        CertificateError::UnknownIssuer => {
            "to trust its certificate, give its root with --ca-file; the upstream must send the \
             certificates between the two"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "a trusted certificate has the name of its issuer and another key: give the present root with --ca-file"
                .to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "reissue the certificate with extendedKeyUsage=serverAuth".to_owned()
        }
        error if is_ca(error) => "the upstream's certificate is that of a CA: give this very \
             certificate with --ca-file, or reissue it with basicConstraints=CA:FALSE"
            .to_owned(),
        _ => return None,
    })
}
