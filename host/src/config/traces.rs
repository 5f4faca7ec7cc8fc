//! [`TracesConfig`]: where traces are exported to, and how many of them.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use schemars::JsonSchema;
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use super::text::{self, TextSetting};
use super::value::{self, SecretValue};
use super::value_error::ValueError;

/// Exports the spans of callers, flights and upstream requests by OTLP over HTTP. Keys are exported as hashes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table, as in [traces]")]
pub struct TracesConfig {
    /// The base URL of an OTLP/HTTP receiver. Spans are posted to /v1/traces below it.
    #[serde(with = "text")]
    #[schemars(
        schema_with = "text::schema::<OtlpUrl>",
        example = "http://127.0.0.1:4318"
    )]
    pub otlp: OtlpUrl,

    /// The fraction of flights that are sampled, and of callers without a traceparent. For other callers the sampled
    /// flag of their traceparent decides.
    #[serde(default = "all", deserialize_with = "share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample: f64,

    /// Headers to send with each export.
    #[serde(
        default,
        deserialize_with = "value::table",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(example = header_examples())]
    headers: BTreeMap<String, SecretValue>,

    /// The same once they were read. Their values are marked as sensitive, so that nothing prints them.
    #[serde(skip)]
    sent: HeaderMap,
}

fn all() -> f64 {
    1.0
}

fn header_examples() -> serde_json::Value {
    serde_json::json!({ "x-api-key": { "file": "/run/secrets/otlp-api-key" } })
}

/// The base URL of a receiver (OpenTelemetry Protocol Exporter, "Endpoint URLs for OTLP/HTTP").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpUrl {
    /// The URL as written in the file or the flag.
    base: String,
    traces: Uri,
}

/// The URL of a receiver has another form. It may hold a secret, so it is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtlpUrlError;

impl Display for OtlpUrlError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected the URL of a receiver, http[s]://host[:port], got another form; write it as in \
             http://127.0.0.1:4318",
        )
    }
}

impl std::error::Error for OtlpUrlError {}

impl TracesConfig {
    /// All traces, to `otlp`, without headers.
    #[must_use]
    pub fn to(otlp: OtlpUrl) -> Self {
        Self {
            otlp,
            sample: all(),
            headers: BTreeMap::new(),
            sent: HeaderMap::new(),
        }
    }

    /// The headers that are sent along.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        self.sent.clone()
    }

    /// Reads what the file only names. Paths are relative to `folder`.
    pub(super) fn resolve(&mut self, folder: &Path) -> Result<(), ValueError> {
        for (name, value) in &mut self.headers {
            let about = |why: &dyn Display| ValueError::about(&["traces", "headers", name], why);
            value.resolve(folder).map_err(|why| about(&why))?;
            let header = HeaderName::from_str(name);
            let header = header.map_err(|_| {
                about(&format!(
                    "expected the name of a header, as in \"x-api-key\", got {name:?}"
                ))
            })?;
            let sent = HeaderValue::from_str(&value.text);
            let mut sent = sent.map_err(|_| {
                about(&"expected one line of text for a header, got another value, which is hidden")
            })?;
            sent.set_sensitive(true);
            self.sent.append(header, sent);
        }
        Ok(())
    }
}

impl OtlpUrl {
    /// The URL to which traces are posted: `/v1/traces` below it.
    #[must_use]
    pub fn traces(&self) -> &Uri {
        &self.traces
    }
}

impl Display for OtlpUrl {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl FromStr for OtlpUrl {
    type Err = OtlpUrlError;

    fn from_str(text: &str) -> Result<Self, OtlpUrlError> {
        let traces = format!("{}/v1/traces", text.trim_end_matches('/'));
        let traces = traces.parse::<Uri>().ok().filter(|traces| {
            let http = matches!(traces.scheme_str(), Some("http" | "https"));
            let host = traces
                .authority()
                .is_some_and(|it| !it.as_str().contains('@'));
            // Users and queries may be secrets, which do not belong in a URL that is printed.
            http && host && !text.contains(['?', '#'])
        });
        match traces {
            Some(traces) => Ok(Self {
                base: text.to_owned(),
                traces,
            }),
            None => Err(OtlpUrlError),
        }
    }
}

impl TextSetting for OtlpUrl {
    const FORM: &'static str = "a URL in quotes";
    const PATTERN: Option<&'static str> = Some("^https?://[^/?#@]+(/[^?#]*)?$");

    fn read(text: &str) -> Result<Self, Option<String>> {
        text.parse()
            .map_err(|error: OtlpUrlError| Some(error.to_string()))
    }

    fn show(&self) -> String {
        self.base.clone()
    }
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct Share;

    impl Visitor<'_> for Share {
        type Value = f64;

        fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.write_str("a share from 0 to 1, as in 0.1")
        }

        fn visit_f64<E: Error>(self, share: f64) -> Result<f64, E> {
            if (0.0..=1.0).contains(&share) {
                Ok(share)
            } else {
                Err(E::invalid_value(Unexpected::Float(share), &self))
            }
        }

        fn visit_u64<E: Error>(self, share: u64) -> Result<f64, E> {
            match share {
                0 => Ok(0.0),
                1 => Ok(1.0),
                _ => Err(E::invalid_value(Unexpected::Unsigned(share), &self)),
            }
        }
    }

    deserializer.deserialize_any(Share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(text: &str) -> TracesConfig {
        let config = Config::parse(Path::new("oneflight.toml"), text);
        config.unwrap().traces.unwrap()
    }

    #[test]
    fn traces_are_posted_below_the_url_of_the_receiver() {
        for (url, posted) in [
            ("https://c.example", "https://c.example/v1/traces"),
            ("http://c.example:1/a/", "http://c.example:1/a/v1/traces"),
        ] {
            let text = format!("[traces]\notlp = '{url}'\nsample = 0");
            let traces = read(&text);
            assert_eq!(*traces.otlp.traces(), posted);
            assert_eq!(traces.sample, 0.0);
        }
    }
}
