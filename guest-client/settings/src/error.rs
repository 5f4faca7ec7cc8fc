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
        let name = &self.setting;
        match self.problem {
            Problem::Unknown => write!(
                f,
                "expected BASE_URL, HEADER_<NAME>, ITEMS_AT, ID_AT or ANSWER for the built-in client, got {name}; \
                 correct or remove it"
            ),
            Problem::NoUrl => write!(
                f,
                "expected a URL for {name}, got none; write it like http://localhost:3000/items?id={{x}}"
            ),
            Problem::Scheme => write!(
                f,
                "expected http[s]://host[:port]/... for {name}, got another form; write it like \
                 http://localhost:3000/items?id={{x}}"
            ),
            Problem::User => write!(
                f,
                "expected a URL without a user for {name}, got one with it; send credentials as HEADER_AUTHORIZATION"
            ),
            Problem::Host => write!(
                f,
                "expected a URL with a host of letters, digits, '-', '_' and '.', or an IP address, for {name}, got \
                 another host or port; write a name with other letters in its ASCII form, xn--..."
            ),
            Problem::PlaceholderInHost => write!(
                f,
                "expected a URL with {{x}} in its path or query for {name}, got a placeholder in its host; write the \
                 host itself, as a key must not choose it"
            ),
            Problem::Placeholder => write!(
                f,
                "expected a URL with {{x}} as the only placeholder for {name}, got another one, such as {{id}} or \
                 :id; write {{x}} where the key belongs, or %7B, %7D and %3A for {{, }} and : themselves"
            ),
            Problem::Fragment => write!(
                f,
                "expected a URL without a fragment (#...) for {name}, got one with it; remove it, or write %23 for #"
            ),
            Problem::Character => write!(
                f,
                "expected a percent-encoded URL for {name}, got a character that must be encoded; write for example \
                 %20 for a space"
            ),
            Problem::Percent => write!(
                f,
                "expected a URL with two hexadecimal digits after each % for {name}, got others; write {{x}} where \
                 the key belongs, without a % before it, and %25 for % itself"
            ),
            Problem::Pointer => write!(
                f,
                "expected a JSON pointer for {name}, got another form; write it like /data/items, with ~0 for ~ and \
                 ~1 for / in a name"
            ),
            Problem::Answer => write!(
                f,
                "expected items or item for {name}, got another text; write one of them"
            ),
            Problem::IdIsKey => write!(
                f,
                "expected ANSWER=item without {name}, as the id is the key, got both; remove one of them"
            ),
            Problem::HeaderName => write!(
                f,
                "expected HEADER_ and a header's name of letters, digits, '-' and '_', got {name}; correct it"
            ),
            Problem::HeaderValue => write!(
                f,
                "expected one line without control characters for {name}, got another value; remove them, for \
                 example an empty line at the end of a file"
            ),
            Problem::RepeatedHeader => write!(
                f,
                "expected one setting for each header, got {name} beside another one; remove one, as _ and - are \
                 equal in these names, and upper and lower case, too"
            ),
            Problem::ForbiddenHeader => write!(
                f,
                "expected a header that a client may send, got {name}; remove it"
            ),
        }
    }
}

impl std::error::Error for SettingError {}
