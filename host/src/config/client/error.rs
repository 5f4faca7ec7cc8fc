//! [`ClientConfigError`]: why a client's settings cannot be used.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use client_settings::SettingError;

use crate::config::value::OriginError;
use crate::upstream::{ClientIdentityError, ProxyError};

/// Why a client's settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientConfigError {
    /// A variable or a file cannot be read.
    Origin(OriginError),
    /// This file has no root certificates that can be used.
    Certificates {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The built-in client would refuse this setting.
    Setting(SettingError),
    /// These files have no certificate and key that belong together.
    Identity {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong with them.
        why: ClientIdentityError,
    },
    /// A client certificate without its key, or the reverse.
    HalfIdentity {
        /// The setting that is there.
        set: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// The proxy cannot be used.
    Proxy(ProxyError),
    /// This setting has two values.
    SetTwice(String),
    /// The built-in client has no upstream.
    NoUpstream,
    /// The URL of the upstream is not valid. It may contain a secret, so the message does not repeat it.
    BaseUrl,
}

const EXAMPLE: &str = "'http://localhost:3000/items?id={x}'";

impl From<OriginError> for ClientConfigError {
    fn from(error: OriginError) -> Self {
        Self::Origin(error)
    }
}

impl Display for ClientConfigError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(error) => error.fmt(f),
            Self::Certificates { file, why } => write!(f, "cannot use {}: {why}", file.display()),
            Self::Setting(error) => error.fmt(f),
            Self::Identity {
                certificate,
                key,
                why,
            } => {
                let (certificate, key) = (certificate.display(), key.display());
                write!(f, "cannot use {certificate} and {key}: {why}")
            }
            Self::HalfIdentity { set, missing } => {
                write!(f, "expected {missing} beside {set}, got none; set both")
            }
            Self::Proxy(error) => error.fmt(f),
            Self::SetTwice(name) => {
                write!(
                    f,
                    "expected one value for {name}, got two; remove one of them"
                )
            }
            Self::NoUpstream => write!(
                f,
                "expected an upstream for the built-in client, got none; add --base-url {EXAMPLE}, or \
                 base_url in the file"
            ),
            Self::BaseUrl => write!(
                f,
                "expected http[s]://host[:port]/... for BASE_URL, got another form; write it like {EXAMPLE}"
            ),
        }
    }
}

impl std::error::Error for ClientConfigError {}
