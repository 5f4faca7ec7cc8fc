//! The certificates of a client's configuration: the roots that it trusts, and the one that identifies it to upstreams.

use std::path::Path;

use super::ClientConfig;
use super::error::ClientConfigError;
use crate::config::value::OriginError;
use crate::upstream::{ClientIdentity, Roots};

impl ClientConfig {
    /// Trusts the root certificates in `file`, and none of the system's.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or has none.
    pub fn set_ca_file(&mut self, file: &Path) -> Result<(), ClientConfigError> {
        let pem = read(file)?;
        self.roots = Roots::from_pem(&pem).map_err(|why| ClientConfigError::Certificates {
            file: file.to_owned(),
            why: format!("{why:#}"),
        })?;
        self.ca_file = Some(file.to_owned());
        Ok(())
    }

    /// Identifies the client to upstreams by the certificate in the file `certificate`, whose private key is in the file
    /// `key`.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read, or they do not belong together.
    pub fn set_identity(
        &mut self,
        certificate: &Path,
        key: &Path,
    ) -> Result<(), ClientConfigError> {
        let identity = ClientIdentity::from_pem(&read(certificate)?, &read(key)?);
        let identity = identity.map_err(|why| ClientConfigError::Identity {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            why,
        })?;
        self.identity = Some(identity);
        self.client_certificate = Some(certificate.to_owned());
        self.client_key = Some(key.to_owned());
        Ok(())
    }

    /// Reads the files that the settings name, relative to `folder`. An error has the setting that it is about.
    pub(super) fn read_certificates(
        &mut self,
        folder: &Path,
    ) -> Result<(), (&'static str, ClientConfigError)> {
        if let Some(file) = self.ca_file.take() {
            let read = self.set_ca_file(&folder.join(file));
            read.map_err(|why| ("ca_file", why))?;
        }
        match (self.client_certificate.take(), self.client_key.take()) {
            (Some(certificate), Some(key)) => {
                let read = self.set_identity(&folder.join(certificate), &folder.join(key));
                read.map_err(|why| ("client_certificate", why))?;
            }
            (None, None) => {}
            (certificate, _) => {
                let (set, missing) = match certificate {
                    Some(_) => ("client_certificate", "client_key"),
                    None => ("client_key", "client_certificate"),
                };
                return Err((set, ClientConfigError::HalfIdentity { set, missing }));
            }
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<Vec<u8>, OriginError> {
    std::fs::read(file).map_err(|why| OriginError::Unreadable {
        file: file.to_owned(),
        why: why.to_string(),
    })
}
