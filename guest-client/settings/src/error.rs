//! [`SettingError`]: why a setting cannot be used.

use std::fmt::{self, Display, Formatter};

/// Why a setting cannot be used. The message names the setting and never its value, which may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    setting: String,
    problem: Problem,
}

/// What is wrong with a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The built-in client has no such setting.
    Unknown,
    /// There is no URL.
    NoUrl,
    /// The URL does not begin with `http://` or `https://`.
    Scheme,
    /// The URL has a user or a password.
    User,
    /// The URL has no valid host, or no valid port after it.
    Host,
    /// The URL has a placeholder in its host.
    PlaceholderInHost,
    /// The URL has a placeholder in another form than `{x}`.
    Placeholder,
    /// The URL has a fragment.
    Fragment,
    /// The URL has a character that must be percent-encoded.
    Character,
    /// The URL has a percent sign without two hexadecimal digits.
    Percent,
    /// A JSON pointer does not begin with a slash, or has a tilde without 0 or 1.
    Pointer,
    /// An answer is neither `items` nor `item`.
    Answer,
    /// There is a pointer to an id, although the id is the key.
    IdIsKey,
    /// The name of a header is empty or not valid.
    HeaderName,
    /// The value of a header has a control character.
    HeaderValue,
    /// Another setting has the same header.
    RepeatedHeader,
    /// The header belongs to the connection or to the host.
    ForbiddenHeader,
}

impl SettingError {
    /// An error about `setting`.
    #[must_use]
    pub fn new(setting: &str, problem: Problem) -> Self {
        Self {
            setting: setting.to_owned(),
            problem,
        }
    }

    /// The name of the setting.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// What is wrong with it.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.problem
    }
}

impl Display for SettingError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let setting = &self.setting;
        let (expected, got, fix) = match self.problem {
            Problem::Unknown => {
                return write!(
                    f,
                    "expected BASE_URL, HEADER_<NAME>, ITEMS_AT, ID_AT or ANSWER for the built-in client, got \
                     {setting}; correct or remove it"
                );
            }
            Problem::NoUrl => (
                "a URL",
                "none",
                "write it like http://localhost:3000/items?id={x}",
            ),
            Problem::Scheme => (
                "http[s]://host[:port]/...",
                "another form",
                "write it like http://localhost:3000/items?id={x}",
            ),
            Problem::User => (
                "no user or password before the host",
                "one",
                "send them as HEADER_AUTHORIZATION",
            ),
            Problem::Host => (
                "a host of letters, digits, '-', '_' and '.', or an IP address, and optionally a port",
                "another one",
                "write a name with other letters in its ASCII form, xn--...",
            ),
            Problem::PlaceholderInHost => (
                "{x} in the path or the query",
                "a placeholder in the host",
                "write the host itself: a key must not choose it",
            ),
            Problem::Placeholder => (
                "{x} where the key belongs, and no placeholder of another form",
                "one",
                "write {x}; or, if that text is meant to be sent, %7B, %7D and %3A for {, } and :",
            ),
            Problem::Fragment => (
                "no fragment (#...), which is never sent",
                "one",
                "remove it, or write %23 for #",
            ),
            Problem::Character => (
                "percent-encoding of characters that a URL cannot have",
                "one that is not encoded",
                "write it encoded, for example %20 for a space",
            ),
            Problem::Percent => (
                "two hexadecimal digits after each %",
                "others",
                "write {x} where the key belongs, and %25 for % itself",
            ),
            Problem::Pointer => (
                "a JSON pointer, which is empty or begins with / and has ~0 for ~",
                "another form",
                "write it like /data/items",
            ),
            Problem::Answer => ("items or item", "another text", "write one of them"),
            Problem::IdIsKey => (
                "no pointer to an id beside ANSWER=item, with which the id is the key",
                "one",
                "remove one of them",
            ),
            Problem::HeaderName => (
                "HEADER_ and a header's name of letters, digits, '-' and '_'",
                "another name",
                "correct it",
            ),
            Problem::HeaderValue => (
                "a header's value on one line without control characters",
                "one with a line end or another control character",
                "remove it, for example an empty line at the end of a file",
            ),
            Problem::RepeatedHeader => (
                "one setting for each header",
                "two for the same one, as _ and - and upper and lower case are equal in names",
                "remove one",
            ),
            Problem::ForbiddenHeader => (
                "a header that a client may send",
                "one that belongs to the connection or to oneflight",
                "remove it",
            ),
        };
        write!(f, "expected {expected}, got {got} for {setting}; {fix}")
    }
}

impl std::error::Error for SettingError {}
