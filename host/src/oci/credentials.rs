//! [`Credentials`]: what `docker login` has stored for a registry: in `config.json` of `$DOCKER_CONFIG` or
//! `~/.docker`, or with a credential helper that it names.
//!
//! Nothing prints them: the type has no `Debug` of its contents, and the words of a helper are not repeated.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};

use super::error::OciProblem;
use super::reference::RegistryHost;

/// The largest file that is read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// What a credential helper prints if it has none, by the protocol of docker-credential-helpers.
const NONE_STORED: &str = "credentials not found in native keychain";

/// The credentials for one registry.
pub(super) struct Credentials {
    pub(super) secret: Secret,
    /// Where they are from, for messages.
    origin: String,
}

/// A name and a password, or a token that stands for them.
pub(super) enum Secret {
    None,
    Password { user: String, password: String },
    IdentityToken(String),
}

impl Credentials {
    /// Reads them. It blocks, and a helper may run for as long as it wants.
    pub(super) fn read(registry: &RegistryHost) -> Result<Self, OciProblem> {
        let Some(path) = config_file() else {
            return Ok(Self::none(
                "there is no $DOCKER_CONFIG and no $HOME".to_owned(),
            ));
        };
        let shown = path.display().to_string();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(Self::none(format!("there is no {shown}")));
            }
            Err(error) => {
                return Err(OciProblem::Credentials(format!(
                    "expected credentials or none in {shown}, got an error: {error}; make it readable, or set \
                     DOCKER_CONFIG"
                )));
            }
        };
        let key = registry.credentials_key();
        let found = get_credential_from_reader(file.take(MAX_CONFIG_BYTES), key);
        let secret = match found {
            Ok(DockerCredential::UsernamePassword(user, password)) => {
                Secret::Password { user, password }
            }
            Ok(DockerCredential::IdentityToken(token)) => Secret::IdentityToken(token),
            Err(CredentialRetrievalError::NoCredentialConfigured) => {
                return Ok(Self::none(format!("{shown} has none for {key}")));
            }
            Err(CredentialRetrievalError::HelperFailure { stdout, .. })
                if stdout.trim() == NONE_STORED =>
            {
                return Ok(Self::none(format!(
                    "the credential helper in {shown} has none for {key}"
                )));
            }
            Err(error) => return Err(OciProblem::Credentials(failure(&error, &shown, key))),
        };
        Ok(Self {
            secret,
            origin: format!("the credentials for {key} in {shown}"),
        })
    }

    fn none(why: String) -> Self {
        Self {
            secret: Secret::None,
            origin: format!("no credentials ({why})"),
        }
    }
}

/// Where they are from.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

fn config_file() -> Option<PathBuf> {
    let is_set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let folder = is_set("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(is_set("HOME")?).join(".docker")));
    Some(folder?.join("config.json"))
}

/// The message of an error, without what a helper has printed, which may be a password.
fn failure(error: &CredentialRetrievalError, file: &str, key: &str) -> String {
    let found = match error {
        CredentialRetrievalError::HelperFailure { helper, .. } => {
            format!("a failure of {helper}")
        }
        CredentialRetrievalError::HelperCommunicationError => {
            "none from the helper, which could not be run or did not read its input".to_owned()
        }
        CredentialRetrievalError::MalformedHelperResponse => {
            "something else from the helper".to_owned()
        }
        CredentialRetrievalError::CredentialDecodingError => {
            "an entry auth that is not base64 of NAME:PASSWORD".to_owned()
        }
        CredentialRetrievalError::CredentialMismatchError => {
            "an entry with two different credentials".to_owned()
        }
        _ => "a file that is not the configuration of docker".to_owned(),
    };
    format!(
        "expected the credentials for {key} that {file} names, got {found}; run docker login again"
    )
}
