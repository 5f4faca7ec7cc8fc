//! Which response a request should get, by a reading of the README that is as simple as possible and shares no code
//! with the service.

use std::time::Duration;

use crate::answer::Answer;
use crate::service::{self, CLIENT, FAILS, MAX_HEADERS, MAX_KEY_BYTES, NEVER, SLOW, SLOW_TIME};

/// A request, in either version of HTTP.
#[derive(Debug, Default)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path, and the query if there is one.
    pub target: String,
    /// The header lines, with names in lower case; those with a name that begins with a colon are not among them.
    pub headers: Vec<(String, String)>,
    /// Whether it is of HTTP/1.1, and so has to name its host.
    pub needs_host: bool,
}

/// What a request causes.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    /// The status of the response.
    pub status: u16,
    /// The code, if it is an error.
    pub code: Option<&'static str>,
    /// The key that is executed, unless another caller's flight for it is open.
    pub key: Option<String>,
    /// The id in the response.
    pub id: Option<String>,
}

/// Characters that need no escape in a path or a query, and have no meaning for the service but that of the README.
const PLAIN: &str = "/-_.~!$&'()*+,;=:@?%";

impl Request {
    /// What it causes; `None` where that takes more than a simple reading.
    pub fn expected(&self) -> Option<Expected> {
        let refused = |status, code| {
            Some(Expected {
                status,
                code: Some(code),
                key: None,
                id: self.id()?,
            })
        };
        if self.target.len() > 1_000 || !self.target.chars().all(is_plain) {
            return None;
        }
        if self.headers.len() > MAX_HEADERS {
            return refused(431, "bad-request");
        }
        let hosts: Vec<_> = self.values("host").collect();
        if hosts.len() > 1 || self.needs_host && hosts.is_empty() {
            return refused(400, "bad-request");
        }
        if !hosts.iter().all(|host| is_simple_host(host)) {
            return None;
        }
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let is_probe = ["/livez", "/readyz"].contains(&path);
        let name = items_of(path);
        if !is_probe && name.is_none() {
            return refused(404, "bad-request");
        }
        if !["GET", "HEAD"].contains(&&*self.method) {
            return refused(405, "bad-request");
        }
        let Some(name) = name.filter(|_| !is_probe) else {
            return Some(Expected {
                status: 200,
                code: None,
                key: None,
                id: self.id()?,
            });
        };
        if name != CLIENT {
            return refused(404, "unknown-client");
        }
        match key(query) {
            Err(()) => refused(400, "bad-request"),
            Ok(key) if key.len() > MAX_KEY_BYTES => refused(414, "key-too-long"),
            Ok(key) => self.answered(key),
        }
    }

    /// What a request for `key` causes.
    fn answered(&self, key: String) -> Option<Expected> {
        let (takes, status, code) = match key.chars().next() {
            Some(FAILS) => {
                let code = service::error(&key).code();
                (Duration::ZERO, status_of(code), Some(code))
            }
            Some(NEVER) => (SLOW_TIME * 2, 504, Some("guest-deadline")),
            Some(SLOW) => (SLOW_TIME, 200, None),
            _ => (Duration::ZERO, 200, None),
        };
        let (status, code) = match self.wait()? {
            Some(wait) if wait < takes => (504, Some("caller-deadline")),
            _ => (status, code),
        };
        Some(Expected {
            status,
            code,
            key: Some(key),
            id: self.id()?,
        })
    }

    /// How long it waits; `None` if that takes more than a simple reading.
    fn wait(&self) -> Option<Option<Duration>> {
        let mut lines = self.values("prefer");
        let Some(line) = lines.next() else {
            return Some(None);
        };
        let seconds = line.strip_prefix("wait=")?.parse().ok()?;
        // Without any time, it may leave its flight before that has begun.
        let is_simple = seconds > 0 && lines.next().is_none() && !line.contains('+');
        is_simple.then_some(Some(Duration::from_secs(seconds)))
    }

    /// The id of its response; `None` if that takes more than a simple reading.
    fn id(&self) -> Option<Option<String>> {
        if self.values("traceparent").next().is_some() {
            return None;
        }
        let ids: Vec<_> = self.values("x-request-id").collect();
        match *ids {
            [id] if (1..=128).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Some(Some(id.to_owned()))
            }
            _ => Some(None),
        }
    }

    /// The values of the header `name`, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.headers.iter().filter(move |(found, _)| found == name);
        lines.map(|(_, value)| &**value)
    }
}

impl Expected {
    /// Checks that `answer` is the expected one.
    ///
    /// # Panics
    ///
    /// When it is another one.
    pub fn check(&self, answer: &Answer) {
        assert_eq!(answer.status, self.status, "{self:?} {answer:?}");
        if answer.is_of_library() {
            return;
        }
        assert_eq!(
            answer.header("x-request-id"),
            self.id.as_deref(),
            "{self:?} {answer:?}"
        );
        if answer.has_body {
            assert_eq!(answer.code().as_deref(), self.code, "{self:?} {answer:?}");
        }
        if answer.has_body && self.status == 200 {
            assert_eq!(answer.key(), self.key, "{answer:?}");
        }
    }
}

/// The client of which `path` names the items.
fn items_of(path: &str) -> Option<&str> {
    match *path.split('/').collect::<Vec<_>>() {
        ["", "v1", name, "items"] if !name.is_empty() => Some(name),
        _ => None,
    }
}

/// The key in a query.
fn key(query: &str) -> Result<String, ()> {
    let mut keys = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if decoded(name) != b"x" {
            return Err(());
        }
        keys.push(String::from_utf8(decoded(value)).map_err(drop)?);
    }
    match <[String; 1]>::try_from(keys) {
        Ok([key]) => Ok(key),
        Err(_) => Err(()),
    }
}

/// The bytes that a name or a value of a form stands for. A percent sign without two hexadecimal digits stands for
/// itself.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%');
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped =
            escaped.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let escaped = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(match (first, escaped) {
            (_, Some(byte)) => byte,
            (b'+', None) => b' ',
            (other, None) => *other,
        });
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    bytes
}

/// Whether every reader accepts `letter` in a target.
pub fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || PLAIN.contains(letter)
}

/// Whether it is a host that every reader accepts.
fn is_simple_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphabetic());
    !name.is_empty()
        && name
            .split('.')
            .all(|label| !label.is_empty() && is_name(label))
        && (1..=4).contains(&port.len())
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// The documented status of the code of an outcome.
fn status_of(code: &str) -> u16 {
    match code {
        "invalid-key" => 400,
        "not-found" => 404,
        "rate-limited" => 429,
        "upstream-timeout" | "guest-deadline" => 504,
        "overloaded" | "cancelled" => 503,
        "internal" => 500,
        _ => 502,
    }
}
