//! [`TracesConfig`]: where traces go, and how many of them.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, bail};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::section::{ConfigError, Section};
use super::value::ValueOrigin;

/// Where traces go, and how many of them.
#[derive(Clone, Debug, PartialEq)]
pub struct TracesConfig {
    /// Who takes them, by OTLP over HTTP.
    pub otlp: OtlpUrl,
    /// The share of flights that are recorded, and of callers that do not say themselves whether theirs
    /// is: all, 1.
    pub sample: f64,
    /// What is sent along. Their values are marked as sensitive, so nothing prints them.
    pub(super) headers: Vec<(HeaderName, HeaderValue, ValueOrigin)>,
}

/// The base URL of a receiver (OpenTelemetry Protocol Exporter, "Endpoint URLs for OTLP/HTTP").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpUrl {
    /// As it was written.
    base: String,
    traces: Uri,
}

/// The section's table of headers, as it stands in the file.
pub(super) const HEADERS: &str = "traces.headers";

impl TracesConfig {
    /// All of them, to `otlp`, without headers.
    #[must_use]
    pub fn to(otlp: OtlpUrl) -> Self {
        Self {
            otlp,
            sample: 1.0,
            headers: Vec::new(),
        }
    }

    /// What is sent along.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let headers = self.headers.iter();
        headers
            .map(|(name, value, _)| (name.clone(), value.clone()))
            .collect()
    }

    pub(super) fn read(mut traces: Section<'_>, folder: &Path) -> Result<Self, ConfigError> {
        let otlp = traces.text("otlp")?;
        let sample = traces.share("sample")?;
        let headers = traces.section("headers")?;
        traces.end()?;
        let Some(otlp) = otlp else {
            let needed = format!("found [traces] without otlp; needed {AN_OTLP_URL}");
            return Err(traces.error(needed));
        };
        let url = otlp.value.parse();
        let mut config =
            Self::to(url.map_err(|error| traces.error_at(&otlp.at, format!("{error:#}")))?);
        config.sample = sample.unwrap_or(config.sample);
        let Some(headers) = headers else {
            return Ok(config);
        };
        for (name, entry) in headers.named() {
            let value = entry.value(&traces, &name, folder)?;
            let (name, at) = (name.value, name.at);
            let header = header(&name, &value.text);
            let (header, text) =
                header.map_err(|error| traces.error_at(&at, format!("{error:#}")))?;
            config.headers.push((header, text, value.origin));
        }
        Ok(config)
    }
}

fn header(name: &str, value: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_str(name).ok().with_context(|| {
        format!("found {name:?} in [{HEADERS}]; needed the name of a header, as in \"x-api-key\"")
    })?;
    let mut value = HeaderValue::from_str(value).ok().with_context(|| {
        format!("found a value for {name} in [{HEADERS}] that is none of a header; needed one line")
    })?;
    value.set_sensitive(true);
    Ok((name, value))
}

const AN_OTLP_URL: &str =
    "the URL of a receiver, http[s]://host[:port], as in http://127.0.0.1:4318";

impl OtlpUrl {
    /// Where traces are posted: at `/v1/traces` below it.
    #[must_use]
    pub fn traces(&self) -> &Uri {
        &self.traces
    }
}

impl std::fmt::Display for OtlpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.base)
    }
}

impl FromStr for OtlpUrl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let traces = format!("{}/v1/traces", text.trim_end_matches('/'));
        let traces = traces.parse::<Uri>().ok().filter(|traces| {
            let http = matches!(traces.scheme_str(), Some("http" | "https"));
            let host = traces
                .authority()
                .is_some_and(|it| !it.as_str().contains('@'));
            // Users and queries may be secrets, and are not for a URL that is printed.
            http && host && !text.contains(['?', '#'])
        });
        match traces {
            Some(traces) => Ok(Self {
                base: text.to_owned(),
                traces,
            }),
            None => bail!("found another form of URL for otlp; needed {AN_OTLP_URL}"),
        }
    }
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
    fn the_example_shows_how_traces_are_sent() {
        let example = include_str!("../../examples/oneflight.toml");
        let section = example.lines().skip_while(|line| *line != "# [traces]");
        let shown: String = section
            .take_while(|line| !line.is_empty())
            .filter(|line| !line.contains("/run/secrets"))
            .flat_map(|line| [line.trim_start_matches("# "), "\n"])
            .collect();
        let traces = read(&shown);
        assert_eq!(*traces.otlp.traces(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(traces.sample, 1.0);
    }

    #[test]
    fn traces_are_posted_below_the_url_of_their_receiver() {
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
