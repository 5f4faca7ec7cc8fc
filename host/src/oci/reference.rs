//! [`Reference`]: which artifact of which registry, as in `oci://ghcr.io/acme/orders:1.4`. Its syntax is that of the
//! OCI Distribution Specification 1.1, "Pulling manifests", after the scheme; there is no default registry or tag.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ::http::uri::Authority;
use ring::digest::{SHA256, digest};

use crate::printable::printable;

/// What a reference begins with.
pub const SCHEME: &str = "oci://";

/// The form of a reference, for messages.
pub const A_REFERENCE: &str = "oci://REGISTRY/NAME:TAG or oci://REGISTRY/NAME@sha256:DIGEST";

/// The longest name of a repository that registries accept.
const MAX_NAME: usize = 255;

/// An artifact in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Where it is.
    pub repository: Repository,
    /// Which one it is.
    pub version: Version,
}

/// Which artifact of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// The one that the registry says this name stands for, now.
    Tag(String),
    /// The one whose manifest has this digest.
    Digest(Sha256Digest),
}

/// A repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    registry: RegistryHost,
    name: String,
}

/// The host of a registry, and its port if it is not that of the scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryHost(String);

/// Where to push an artifact to: under a tag, or only under its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTarget {
    /// The repository.
    pub repository: Repository,
    /// The tag, if any.
    pub tag: Option<String>,
}

/// A SHA-256, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Digest([u8; 32]);

/// A text is not a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceError {
    text: String,
    why: String,
}

impl Reference {
    /// The same repository's artifact of this digest.
    #[must_use]
    pub fn with_digest(&self, digest: Sha256Digest) -> Self {
        Self {
            repository: self.repository.clone(),
            version: Version::Digest(digest),
        }
    }
}

impl Repository {
    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &RegistryHost {
        &self.registry
    }

    /// The name within the registry, as in `acme/orders`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl RegistryHost {
    /// The host and port to connect to. Docker Hub is known by a name that is not its host's.
    pub(super) fn authority(&self) -> &str {
        match &*self.0 {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        }
    }

    /// The name under which docker stores its credentials.
    pub(super) fn credentials_key(&self) -> &str {
        match &*self.0 {
            "docker.io" | "index.docker.io" | "registry-1.docker.io" => {
                "https://index.docker.io/v1/"
            }
            other => other,
        }
    }

    /// Whether it is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(self.0.rsplit_once(':').map_or(&*self.0, |(host, port)| {
            if port.ends_with(']') { &self.0 } else { host }
        }))
    }
}

/// Whether the host of a URL is this machine by its address or as `localhost`.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

impl Sha256Digest {
    /// That of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut value = [0; 32];
        value.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(value)
    }

    /// Its 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let refused = |why: &str| ReferenceError::new(text, why);
        let (repository, tag, digest) = parts(text)?;
        // As in docker, the digest decides, and the tag beside it is a comment.
        let version = match (tag, digest) {
            (_, Some(digest)) => Version::Digest(digest),
            (Some(tag), None) => Version::Tag(tag),
            (None, None) => {
                return Err(refused(
                    "it has neither a tag nor a digest; add :TAG or @sha256:DIGEST",
                ));
            }
        };
        Ok(Self {
            repository,
            version,
        })
    }
}

impl FromStr for PushTarget {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        match parts(text)? {
            (repository, tag, None) => Ok(Self { repository, tag }),
            (_, _, Some(_)) => Err(ReferenceError {
                text: printable(text),
                why: "a digest is a result of a push; write :TAG, or neither".to_owned(),
            }),
        }
    }
}

impl FromStr for RegistryHost {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let lower = text.to_ascii_lowercase();
        let authority: Authority = lower.parse().map_err(|_| ())?;
        let is_host = |host: &str| {
            let of_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
            let address = host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'));
            match address {
                Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
                None => !host.is_empty() && host.chars().all(of_host),
            }
        };
        let has_port = authority.as_str() == authority.host()
            || authority.port_u16().is_some_and(|port| port > 0);
        if lower.contains('@') || !is_host(authority.host()) || !has_port {
            return Err(());
        }
        Ok(Self(lower))
    }
}

impl FromStr for Sha256Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "expected sha256: and 64 digits 0-9 a-f, got {:?}",
                printable(text)
            )
        };
        let hex = text.strip_prefix("sha256:").ok_or_else(refused)?;
        let digits = hex.as_bytes();
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 64 || !digits.iter().all(is_digit) {
            return Err(refused());
        }
        let mut value = [0; 32];
        for (byte, pair) in value.iter_mut().zip(digits.chunks(2)) {
            let digit = |digit: u8| match digit {
                b'0'..=b'9' => digit - b'0',
                _ => digit - b'a' + 10,
            };
            *byte = digit(pair[0]) << 4 | digit(pair[1]);
        }
        Ok(Self(value))
    }
}

/// The parts of `text`: repository, tag and digest.
fn parts(text: &str) -> Result<(Repository, Option<String>, Option<Sha256Digest>), ReferenceError> {
    let refused = |why: &str| ReferenceError::new(text, why);
    let rest = text
        .strip_prefix(SCHEME)
        .ok_or_else(|| refused("it does not begin with oci://"))?;
    let (registry, rest) = rest
        .split_once('/')
        .ok_or_else(|| refused("it has no name after the registry"))?;
    let registry = registry
        .parse()
        .map_err(|()| refused("its registry is not a host with an optional port"))?;
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => {
            let digest = digest.parse().map_err(|why: String| refused(&why))?;
            (rest, Some(digest))
        }
        None => (rest, None),
    };
    let (name, tag) = match rest.split_once(':') {
        Some((name, tag)) if is_tag(tag) => (name, Some(tag.to_owned())),
        Some(_) => {
            return Err(refused(
                "its tag is not 1 to 128 letters, digits, '_', '.' and '-', the first a letter, a digit or '_'",
            ));
        }
        None => (rest, None),
    };
    if !is_name(name) {
        return Err(refused(
            "its name is not of lower-case letters and digits, with '.', '_', '__' or '-' between them, in parts \
             separated by '/'",
        ));
    }
    let name = name.to_owned();
    Ok((Repository { registry, name }, tag, digest))
}

fn is_tag(tag: &str) -> bool {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let other = |c: char| first(c) || matches!(c, '.' | '-');
    (1..=128).contains(&tag.len()) && tag.starts_with(first) && tag.chars().all(other)
}

/// Whether it is a name of a repository. None has `..`, `%` or another character that a URL would not have as it is.
fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    let is_part = |part: &str| {
        part.starts_with(letter) && part.ends_with(letter) && part.split(letter).all(is_separator)
    };
    name.len() <= MAX_NAME && name.split('/').all(is_part)
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{}:{tag}", self.repository),
            Version::Digest(digest) => write!(f, "{}@{digest}", self.repository),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.name)
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            Some(tag) => write!(f, "{}:{tag}", self.repository),
            None => self.repository.fmt(f),
        }
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ReferenceError {
    fn new(text: &str, why: &str) -> Self {
        Self {
            text: printable(text),
            why: why.to_owned(),
        }
    }
}

impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, why } = self;
        write!(f, "expected {A_REFERENCE}, got {text:?}: {why}")
    }
}

impl std::error::Error for ReferenceError {}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_reference_names_registry_repository_and_version() {
        let digest = format!("sha256:{HEX}");
        for (text, registry, name, version) in [
            (
                "oci://ghcr.io/acme/orders:1.4",
                "ghcr.io",
                "acme/orders",
                "1.4",
            ),
            (
                "oci://LOCALHOST:5000/a/b__c.d-e--f:_x",
                "localhost:5000",
                "a/b__c.d-e--f",
                "_x",
            ),
            ("oci://[::1]:5000/a:b", "[::1]:5000", "a", "b"),
            (
                &format!("oci://ghcr.io/a@{digest}"),
                "ghcr.io",
                "a",
                &*digest,
            ),
            (
                &format!("oci://ghcr.io/a:1@{digest}"),
                "ghcr.io",
                "a",
                &*digest,
            ),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.repository.registry().to_string(), registry);
            assert_eq!(reference.repository.name(), name);
            let found = match &reference.version {
                Version::Tag(tag) => tag.clone(),
                Version::Digest(digest) => digest.to_string(),
            };
            assert_eq!(found, version);
        }
    }

    #[test]
    fn a_text_that_is_no_reference_is_refused_with_the_reason() {
        for (text, why) in [
            ("ghcr.io/a:1", "does not begin with oci://"),
            ("oci://ghcr.io", "no name after the registry"),
            ("oci://ghcr.io/a", "neither a tag nor a digest"),
            ("oci://user:secret@ghcr.io/a:1", "not a host"),
            ("oci:///a:1", "not a host"),
            ("oci://ghcr.io:/a:1", "not a host"),
            ("oci://ghcr.io:0/a:1", "not a host"),
            ("oci://ghcr.io:99999/a:1", "not a host"),
            ("oci://gh_cr.io/a:1", "not a host"),
            ("oci://ghcr.io/A:1", "its name is not"),
            ("oci://ghcr.io/a/../b:1", "its name is not"),
            ("oci://ghcr.io/a//b:1", "its name is not"),
            ("oci://ghcr.io/a___b:1", "its name is not"),
            ("oci://ghcr.io/a%2fb:1", "its name is not"),
            ("oci://ghcr.io/:1", "its name is not"),
            ("oci://ghcr.io/a:", "its tag is not"),
            ("oci://ghcr.io/a:-1", "its tag is not"),
            ("oci://ghcr.io/a:1/b", "its tag is not"),
            ("oci://ghcr.io/a@sha512:00", "expected sha256:"),
            (
                &format!("oci://ghcr.io/a@sha256:{}", HEX.to_uppercase()),
                "expected sha256:",
            ),
            (
                &format!("oci://ghcr.io/{}:1", "a".repeat(256)),
                "its name is not",
            ),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(
                error.starts_with("expected oci://REGISTRY/NAME:TAG or"),
                "{error}"
            );
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_push_has_a_tag_or_nothing() {
        let target = |text: &str| text.parse::<PushTarget>();
        assert_eq!(target("oci://a.b/c:1").unwrap().tag.as_deref(), Some("1"));
        assert_eq!(target("oci://a.b/c").unwrap().tag, None);
        let refused = target(&format!("oci://a.b/c@sha256:{HEX}")).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("a digest is a result of a push"),
            "{refused}"
        );
    }

    #[test]
    fn a_digest_is_the_sha_256_of_bytes() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256Digest::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(Sha256Digest::of(b"")));
    }

    #[test]
    fn this_machine_is_known_by_its_addresses_and_as_localhost() {
        let is_loopback = |host: &str| host.parse::<RegistryHost>().unwrap().is_loopback();
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example",
            "128.0.0.1:5000",
            "[::2]:5000",
            "10.0.0.1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn docker_hub_has_other_names() {
        let hub: RegistryHost = "docker.io".parse().unwrap();
        assert_eq!(hub.authority(), "registry-1.docker.io");
        assert_eq!(hub.credentials_key(), "https://index.docker.io/v1/");
    }
}
