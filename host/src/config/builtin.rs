//! Checks the settings of the built-in client as it checks them itself, so that a mistake is found when it is loaded
//! and not by its callers.

use client_settings::{BASE_URL, ClientSettings, Header, Problem, SettingError};
use http::HeaderName;

use crate::upstream::{AllowRule, is_forbidden_header};

/// The origin of the URL in `variables`, which are the client's environment.
///
/// # Errors
///
/// For the first setting that the client, or the host on its behalf, would refuse.
pub(super) fn check<'a>(
    variables: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<AllowRule, SettingError> {
    let settings = ClientSettings::parse(variables)?;
    if let Some(header) = settings.headers.iter().find(|header| is_forbidden(header)) {
        return Err(SettingError::new(&header.setting, Problem::ForbiddenHeader));
    }
    let url = settings.base_url;
    let origin = format!("{}://{}", url.scheme.name(), url.authority);
    origin
        .parse()
        .map_err(|_| SettingError::new(BASE_URL, Problem::Host))
}

fn is_forbidden(header: &Header) -> bool {
    let name = HeaderName::try_from(&*header.name);
    name.is_ok_and(|name| is_forbidden_header(&name))
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Uri};

    use super::*;

    fn refused(setting: &str, value: &str) -> Problem {
        let url = (BASE_URL, "http://a.example/{x}");
        let variables = [url, (setting, value)];
        let from = usize::from(setting == BASE_URL);
        let error = check(variables[from..].iter().copied()).unwrap_err();
        assert_eq!(error.setting(), setting);
        error.problem()
    }

    #[test]
    fn headers_that_the_host_would_refuse_are_refused() {
        for name in [
            "HOST",
            "CONNECTION",
            "TE",
            "Transfer-Encoding",
            "PROXY_AUTHORIZATION",
        ] {
            let setting = format!("HEADER_{name}");
            assert_eq!(refused(&setting, "x"), Problem::ForbiddenHeader, "{name}");
        }
    }

    #[test]
    fn hosts_that_no_request_could_have_are_refused() {
        for host in ["a..b", "1.2.3.999", "0x7f.1", "[::zz]", ".a"] {
            let url = format!("http://{host}/");
            assert_eq!(refused(BASE_URL, &url), Problem::Host, "{host}");
        }
    }

    // What the parser permits is sent by the host's types.
    #[test]
    fn every_permitted_character_can_be_sent() {
        for byte in 0..=255_u8 {
            let char = char::from(byte);
            for url in [
                format!("http://a.example/b{char}00c"),
                format!("http://a.example/?{char}00"),
            ] {
                if check([(BASE_URL, &*url)].into_iter()).is_ok() {
                    assert!(url.replace("{x}", "7").parse::<Uri>().is_ok(), "{url:?}");
                }
            }
            let (name, value) = (format!("HEADER_A{char}"), format!("a{char}b"));
            let url = (BASE_URL, "http://a.example");
            if let Ok(settings) = ClientSettings::parse([url, (&name, "b")]) {
                assert!(
                    HeaderName::try_from(&*settings.headers[0].name).is_ok(),
                    "{name:?}"
                );
            }
            if ClientSettings::parse([url, ("HEADER_A", &value)]).is_ok() {
                assert!(HeaderValue::try_from(value.as_bytes()).is_ok(), "{value:?}");
            }
        }
    }
}
