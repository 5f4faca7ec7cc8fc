//! [`Answer`]: a response, and what is true of every one, whatever was requested.

use oneflight::admin_types::ProblemDetails;
use serde_json::Value;

/// Every code of an error that the service documents, with the statuses that it may have.
const CODES: [(&str, &[u16]); 21] = [
    ("bad-request", &[400, 404, 405, 431]),
    ("caller-deadline", &[504]),
    ("cancelled", &[503]),
    ("guest-deadline", &[504]),
    ("guest-malformed", &[502]),
    ("guest-trap", &[502]),
    ("internal", &[500]),
    ("invalid-key", &[400]),
    ("key-too-long", &[414]),
    ("not-found", &[404]),
    ("other", &[502]),
    ("overloaded", &[503]),
    ("rate-limited", &[429]),
    ("result-too-large", &[502]),
    ("unknown-client", &[404]),
    ("upstream-denied", &[502]),
    ("upstream-malformed", &[502]),
    ("upstream-response-too-large", &[502]),
    ("upstream-status", &[502]),
    ("upstream-timeout", &[504]),
    ("upstream-unavailable", &[502]),
];

/// The statuses of responses without a body to requests that the HTTP library refuses.
const LIBRARY_STATUSES: [u16; 3] = [400, 414, 431];

/// A response. The names of its headers are in lower case.
#[derive(Debug, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the response has a body: not that of HEAD.
    pub has_body: bool,
}

impl Answer {
    /// The value of the header `name`.
    ///
    /// # Panics
    ///
    /// When there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(found, _)| found == name);
        let value = values.next().map(|(_, value)| &**value);
        assert!(values.next().is_none(), "{name} is repeated: {self:?}");
        value
    }

    /// Whether the HTTP library has refused the request: the service did not get it.
    pub fn is_of_library(&self) -> bool {
        self.header("content-type").is_none()
    }

    /// The code of the error; `None` for a success, and if the response has no body.
    pub fn code(&self) -> Option<String> {
        (self.has_body && self.status != 200).then(|| self.problem().code.into_owned())
    }

    fn problem(&self) -> ProblemDetails {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no problem details, {error}: {self:?}"))
    }

    /// Checks what is true of every response.
    ///
    /// # Panics
    ///
    /// When it is not true of this one.
    pub fn check(&self) {
        if self.is_of_library() {
            assert!(LIBRARY_STATUSES.contains(&self.status), "{self:?}");
            assert!(self.body.is_empty(), "{self:?}");
            return;
        }
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        let has = |name| self.header(name).is_some();
        assert_eq!(has("allow"), self.status == 405, "{self:?}");
        assert!(has("retry-after") || self.status != 503, "{self:?}");
        assert!(
            !has("retry-after") || [429, 502, 503].contains(&self.status),
            "{self:?}"
        );
        if let Some(length) = self.header("content-length") {
            let length: usize = length.parse().expect("a length");
            assert!(!self.has_body || length == self.body.len(), "{self:?}");
            assert!(length > 0, "{self:?}");
        }
        match (self.status, self.header("content-type")) {
            (200, Some("text/plain; charset=utf-8")) => {
                assert!(!self.has_body || self.body == b"ok\n", "{self:?}");
            }
            (200, Some("application/json")) => {
                assert!(has("cache-status"), "{self:?}");
                assert!(!self.has_body || self.key().is_some(), "{self:?}");
            }
            (_, Some("application/problem+json")) if self.status != 200 => self.check_problem(),
            _ => panic!("an undocumented response: {self:?}"),
        }
    }

    fn check_problem(&self) {
        let statuses: Vec<u16> = CODES
            .iter()
            .flat_map(|(_, statuses)| *statuses)
            .copied()
            .collect();
        assert!(statuses.contains(&self.status), "{self:?}");
        if !self.has_body {
            return;
        }
        let problem = self.problem();
        let documented = CODES.iter().find(|(code, _)| *code == problem.code);
        let (_, statuses) = documented.unwrap_or_else(|| panic!("an undocumented code: {self:?}"));
        assert!(statuses.contains(&self.status), "{self:?}");
        assert_eq!(problem.status, self.status, "{self:?}");
        assert!(
            !problem.title.is_empty() && !problem.detail.is_empty(),
            "{self:?}"
        );
        // People read it in a terminal, and the caller's own words are in it.
        assert!(!problem.detail.chars().any(char::is_control), "{self:?}");
        // What the upstream itself has answered is no error of this proxy.
        let is_of_upstream = ["not-found", "rate-limited"].contains(&&*problem.code);
        assert_eq!(
            self.header("proxy-status").is_none(),
            is_of_upstream,
            "{self:?}"
        );
    }

    /// The key that the client of the service has answered: the id of the only item.
    pub fn key(&self) -> Option<String> {
        let items: Value = serde_json::from_slice(&self.body).ok()?;
        match items.as_array()?.as_slice() {
            [item] => Some(item.get("id")?.as_str()?.to_owned()),
            _ => None,
        }
    }
}
