//! [`OciError`]: why there is no component from a registry. No message has a part of a credential, or of the body of a
//! response.

use std::fmt;

use ::http::StatusCode;

use super::reference::Sha256Digest;

/// Why an artifact could not be pulled or pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciError {
    /// The artifact, as a reference.
    pub artifact: String,
    /// What is wrong.
    pub problem: OciProblem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OciProblem {
    /// No connection, or the registry ended it.
    Unreachable(String),
    /// No TLS connection to a server of this name: of another issuer, for example.
    Tls(String),
    /// The registry did not respond within this setting.
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// The setting.
        setting: &'static str,
    },
    /// The registry refuses what was requested.
    Refused {
        /// 401 or 403.
        status: StatusCode,
        /// Which credentials were used.
        credentials: String,
    },
    /// The credentials could not be read.
    Credentials(String),
    /// The registry has no such artifact.
    NotFound(&'static str),
    /// The registry responds with an error.
    Status {
        /// The status.
        status: StatusCode,
        /// What was requested.
        what: &'static str,
    },
    /// The artifact is something else than a component.
    NotWasm(String),
    /// The artifact has this many layers.
    Layers(usize),
    /// What arrived has another digest.
    WrongDigest {
        /// What arrived.
        what: &'static str,
        /// The digest that was stated.
        expected: Sha256Digest,
        /// Its own.
        found: Sha256Digest,
    },
    /// What arrived is not as long as its manifest states.
    WrongSize {
        /// The size that the manifest states, in bytes.
        expected: u64,
    },
    /// It is larger than is permitted.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit, in bytes.
        limit: u64,
    },
    /// A redirection that is not followed.
    Redirect(String),
    /// The response has another form.
    Malformed(String),
    /// The component cannot be pushed.
    NotPushed(String),
}

impl OciProblem {
    /// Whether the registry gave no answer. Then the digest that a tag stood for before is the best that is known;
    /// any other problem is an answer, or may be an attack.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }

    pub(super) fn of(self, artifact: &impl fmt::Display) -> OciError {
        OciError {
            artifact: artifact.to_string(),
            problem: self,
        }
    }
}

impl fmt::Display for OciError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.artifact, self.problem)
    }
}

impl std::error::Error for OciError {}

impl fmt::Display for OciProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(
                f,
                "expected a connection to the registry, got none: {why}; check the name, the network and the setting \
                 proxy"
            ),
            Self::Tls(why) => write!(
                f,
                "expected a registry whose certificate is trusted, got an error of TLS: {why}; give the root of its \
                 issuer with ca_file (--ca-file), or, for a registry of plain HTTP, list it in registry.plain_http \
                 (--plain-http)"
            ),
            Self::TimedOut { what, setting } => {
                let flag = format!("registry-{}", setting.replace('_', "-"));
                write!(
                    f,
                    "expected {what} within registry.{setting}, got nothing in that time; try again, or raise it \
                     (--{flag})"
                )
            }
            Self::Refused {
                status,
                credentials,
            } => write!(
                f,
                "expected permission, got {status} with {credentials}; check the name, and log in with docker login, \
                 whose credentials are used"
            ),
            Self::Credentials(why) => f.write_str(why),
            Self::NotFound(what) => write!(
                f,
                "expected {what}, got 404 Not Found; check the name, the tag and the digest (some registries answer so \
                 without permission, too)"
            ),
            Self::Status { status, what } => {
                write!(f, "expected {what}, got {status}; try again later")
            }
            Self::NotWasm(found) => {
                write!(f, "expected the artifact of a Wasm component, got {found}")
            }
            Self::Layers(count) => write!(
                f,
                "expected an artifact of one layer, got {count}; push the component alone, with oneflight push"
            ),
            Self::WrongDigest {
                what,
                expected,
                found,
            } => write!(
                f,
                "expected {what} with the digest {expected}, got {found}; the registry or something on the way has \
                 changed it, so it is not used"
            ),
            Self::WrongSize { expected } => write!(
                f,
                "expected a component of {expected} bytes as its manifest says, got another length; the registry or \
                 something on the way has changed it, so it is not used"
            ),
            Self::TooLarge { what, limit } => write!(
                f,
                "expected {what} of at most {limit} bytes, got a larger one; build a smaller component, or check that \
                 the reference is the right one"
            ),
            Self::Redirect(why) => write!(
                f,
                "expected the answer or a redirection to https, got {why}; it is not followed"
            ),
            Self::Malformed(found) => write!(
                f,
                "expected an answer of a registry (OCI Distribution Specification), got {found}; check that the host is a \
                 registry"
            ),
            Self::NotPushed(why) => f.write_str(why),
        }
    }
}
