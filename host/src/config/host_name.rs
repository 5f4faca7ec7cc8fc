//! [`HostName`]: the name of a host, without a port.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// The form of a host name, for messages.
pub(super) const A_HOST_NAME: &str = "a host name without a port, as in oneflight.shop.svc";

/// The name of a host, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

impl FromStr for HostName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_label = |label: &str| {
            let is_permitted =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.bytes().all(is_permitted)
        };
        let is_valid = text.len() <= 253 && text.split('.').all(is_label);
        is_valid.then(|| Self(text.to_ascii_lowercase())).ok_or(())
    }
}

impl Display for HostName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_has_neither_a_scheme_nor_a_port_nor_a_pattern() {
        for text in ["oneflight", "oneflight.shop.svc", "my_host-1", "10.0.0.1"] {
            assert_eq!(text.parse::<HostName>().unwrap().to_string(), text);
        }
        assert_eq!(
            "Host.Example".parse::<HostName>().unwrap().to_string(),
            "host.example"
        );
        for text in [
            "", ".", "a.", "a:80", "http://a", "*.a", "a b", "[::1]", "\u{e9}",
        ] {
            assert_eq!(text.parse::<HostName>(), Err(()), "{text}");
        }
    }
}
