//! What a guest may reach: which origins, and which addresses their names may stand for.
//!
//! It decides and dials nothing. Names are resolved elsewhere, once, and exactly the addresses that
//! [`Policy::admit`] lets through are dialled.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;
use ipnet::IpNet;

use crate::client::Denial;

/// What one client's guest may reach. Empty is nothing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The origins it may ask.
    pub allow: Vec<Origin>,
    /// Networks beyond the public internet that an allowed name may resolve into.
    pub nets: Vec<IpNet>,
}

/// An entry of the allow-list: `[scheme://]host[:port]`.
///
/// Without a scheme it stands for both; without a port, for the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Option<Scheme>,
    host: String,
    port: Option<u16>,
}

/// Where a request goes: the parts of its URL that a policy speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    scheme: Scheme,
    /// In lower case; an IPv6 address stands without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Policy {
    /// Whether `target` is on the allow-list.
    pub(crate) fn permit(&self, target: &Target) -> Result<(), Denial> {
        if self.allow.iter().any(|origin| origin.covers(target)) {
            return Ok(());
        }
        Err(Denial::NotAllowed {
            origin: target.to_string(),
        })
    }

    /// The addresses among `resolved` that `name` may stand for; an error where that leaves none.
    ///
    /// `localhost` may stand for this machine, since whoever allowed it knew what it is. Any name may
    /// stand for public addresses and for those in `nets`; metadata services give credentials to
    /// whoever asks, so those no name may stand for.
    pub(crate) fn admit(
        &self,
        name: &str,
        resolved: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Denial> {
        let mut denial = None;
        let mut admitted = Vec::new();
        for address in resolved {
            let ip = address.ip().to_canonical();
            let kind = Kind::of(ip);
            let itself = kind == Kind::Loopback && name.eq_ignore_ascii_case("localhost");
            let in_nets = kind != Kind::Metadata && self.nets.iter().any(|net| net.contains(&ip));
            if itself || kind == Kind::Public || in_nets {
                admitted.push(address);
            } else {
                let host = name.to_owned();
                denial = Some(Denial::Address {
                    host,
                    address: ip,
                    kind: kind.name(),
                });
            }
        }
        match denial {
            Some(denial) if admitted.is_empty() => Err(denial),
            _ => Ok(admitted),
        }
    }
}

impl Origin {
    fn covers(&self, target: &Target) -> bool {
        self.host == target.host
            && self
                .scheme
                .as_ref()
                .is_none_or(|scheme| *scheme == target.scheme)
            && self.port.unwrap_or(default_port(&target.scheme)) == target.port
    }
}

impl FromStr for Origin {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = || {
            anyhow::anyhow!(
                "found {text:?}, needed [scheme://]host[:port] with scheme http or https, \
                 as in https://api.example.com or localhost:3000"
            )
        };
        let scheme = match text.split_once("://") {
            Some(("http", _)) => Some(Scheme::HTTP),
            Some(("https", _)) => Some(Scheme::HTTPS),
            Some(_) => return Err(wanted()),
            None => None,
        };
        let with_scheme = if scheme.is_some() {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = with_scheme.parse().map_err(|_| wanted())?;
        if !matches!(uri.path_and_query().map_or("/", |path| path.as_str()), "/") {
            return Err(wanted());
        }
        let target = Target::of(&uri).map_err(|_| wanted())?;
        Ok(Self {
            scheme,
            host: target.host,
            port: uri.port_u16(),
        })
    }
}

impl Target {
    /// Where a request for `uri` goes.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Denial> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(Denial::BadUrl);
        };
        // A user before the host is refused: where it has to be sent it is a secret of the upstream's,
        // and none that a log should show. What follows the host is a port or nothing.
        let user = authority.as_str().contains('@');
        let after = authority.as_str().strip_prefix(authority.host());
        let port = after.is_some_and(|after| after.is_empty() || authority.port_u16().is_some());
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if host.is_empty() || user || !port || !is_http(scheme) {
            return Err(Denial::BadUrl);
        }
        let port = authority.port_u16().unwrap_or(default_port(scheme));
        Ok(Self {
            scheme: scheme.clone(),
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        let (open, close) = if host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        write!(f, "{scheme}://{open}{host}{close}")?;
        if *port == default_port(scheme) {
            Ok(())
        } else {
            write!(f, ":{port}")
        }
    }
}

fn is_http(scheme: &Scheme) -> bool {
    *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS
}

fn default_port(scheme: &Scheme) -> u16 {
    if *scheme == Scheme::HTTPS { 443 } else { 80 }
}

/// What an address is for, as far as a policy cares (RFC 6890 and its registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Public,
    Loopback,
    Private,
    LinkLocal,
    Metadata,
    Reserved,
}

impl Kind {
    fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        // Amazon, Google, Microsoft and others; Amazon's for containers and for pods; Alibaba;
        // Oracle; Microsoft's wire server.
        const METADATA: [Ipv4Addr; 6] = [
            Ipv4Addr::new(169, 254, 169, 254),
            Ipv4Addr::new(169, 254, 170, 2),
            Ipv4Addr::new(169, 254, 170, 23),
            Ipv4Addr::new(100, 100, 100, 200),
            Ipv4Addr::new(192, 0, 0, 192),
            Ipv4Addr::new(168, 63, 129, 16),
        ];
        match ip.octets() {
            _ if METADATA.contains(&ip) => Self::Metadata,
            _ if ip.is_loopback() => Self::Loopback,
            _ if ip.is_private() => Self::Private,
            // Shared between carriers and their customers.
            [100, second, ..] if second & 0xc0 == 64 => Self::Private,
            _ if ip.is_link_local() => Self::LinkLocal,
            // This network; protocol assignments; documentation; benchmarks; multicast; reserved.
            [0, ..] | [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] => Self::Reserved,
            [203, 0, 113, _] | [224..=255, ..] => Self::Reserved,
            _ => Self::Public,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        // Amazon's; Amazon's for pods; Google's.
        const METADATA: [Ipv6Addr; 3] = [
            Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
            Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
            Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
        ];
        let embedded = |high: u16, low: u16| {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Self::of_v4(Ipv4Addr::new(a, b, c, d))
        };
        match ip.segments() {
            _ if METADATA.contains(&ip) => Self::Metadata,
            _ if ip.is_loopback() => Self::Loopback,
            // An IPv4 address in disguise: mapped, compatible, translated (64:ff9b::/96), 6to4.
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => embedded(high, low),
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
            [0x2002, high, low, ..] => embedded(high, low),
            _ if ip.is_unique_local() => Self::Private,
            _ if ip.is_unicast_link_local() => Self::LinkLocal,
            // Protocol assignments (Teredo among them); documentation, twice.
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] => Self::Reserved,
            [0x3fff, 0..=0xfff, ..] => Self::Reserved,
            // Only 2000::/3 is given out for the public internet.
            [first, ..] if first & 0xe000 == 0x2000 => Self::Public,
            _ => Self::Reserved,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Reserved => "reserved",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::of(&url.parse().unwrap()).unwrap()
    }

    fn policy(allow: &[&str], nets: &[&str]) -> Policy {
        Policy {
            allow: allow.iter().map(|origin| origin.parse().unwrap()).collect(),
            nets: nets.iter().map(|net| net.parse().unwrap()).collect(),
        }
    }

    fn admits(policy: &Policy, name: &str, address: &str) -> bool {
        let address = SocketAddr::new(address.parse().unwrap(), 80);
        policy.admit(name, [address]).is_ok()
    }

    #[test]
    fn an_origin_covers_its_scheme_host_and_port_and_nothing_else() {
        let policy = policy(
            &["https://api.example.com", "both.example:8080", "[::1]:9"],
            &[],
        );
        for allowed in [
            "https://api.example.com/a?b",
            "https://API.example.com:443/",
            "http://both.example:8080/",
            "https://both.example:8080/",
            "http://[::1]:9/",
        ] {
            assert_eq!(policy.permit(&target(allowed)), Ok(()), "{allowed}");
        }
        for denied in [
            "http://api.example.com/",
            "https://api.example.com:444/",
            "https://api.example.com.evil.example/",
            "https://evil.api.example.com/",
            "http://both.example/",
            "http://[::2]:9/",
        ] {
            assert!(policy.permit(&target(denied)).is_err(), "{denied}");
        }
    }

    #[test]
    fn the_denial_prints_the_flag_that_would_permit_it() {
        let denial = policy(&[], &[])
            .permit(&target("http://localhost:3000/x"))
            .unwrap_err();
        assert!(
            denial
                .to_string()
                .ends_with("add --allow http://localhost:3000"),
            "{denial}"
        );
        let names = policy(&["db.example"], &[]);
        let address = "10.1.2.3:80".parse().unwrap();
        let denial = names.admit("db.example", [address]).unwrap_err();
        assert!(
            denial.to_string().ends_with("add --allow-net 10.1.2.3/32"),
            "{denial}"
        );
    }

    #[test]
    fn a_name_reaches_public_addresses_only() {
        let none = policy(&[], &[]);
        for public in ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"] {
            assert!(admits(&none, "name.example", public), "{public}");
        }
        for inward in [
            "127.0.0.1",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.0.1",
            "169.254.169.254",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!admits(&none, "name.example", inward), "{inward}");
        }
    }

    #[test]
    fn localhost_stands_for_this_machine_and_no_other() {
        let none = policy(&[], &[]);
        assert!(admits(&none, "localhost", "127.0.0.1"));
        assert!(admits(&none, "LOCALHOST", "::1"));
        assert!(!admits(&none, "localhost", "10.0.0.1"));
        assert!(!admits(&none, "localhost.", "127.0.0.1"));
    }

    #[test]
    fn a_network_admits_its_addresses_but_no_metadata_service() {
        let all = policy(&[], &["0.0.0.0/0", "::/0"]);
        for metadata in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
        ] {
            assert!(!admits(&all, "name.example", metadata), "{metadata}");
        }
        let nets = policy(&[], &["10.0.0.0/8", "169.254.0.0/16"]);
        assert!(admits(&nets, "name.example", "10.9.9.9"));
        assert!(admits(&nets, "name.example", "::ffff:10.9.9.9"));
        assert!(admits(&nets, "name.example", "169.254.1.1"));
        assert!(!admits(&nets, "name.example", "169.254.169.254"));
        assert!(!admits(&nets, "name.example", "192.168.0.1"));
    }

    #[test]
    fn only_the_admitted_of_several_addresses_are_dialled() {
        let public: SocketAddr = "93.184.216.34:80".parse().unwrap();
        let private: SocketAddr = "10.0.0.1:80".parse().unwrap();
        let admitted = policy(&[], &[]).admit("name.example", [private, public]);
        assert_eq!(admitted, Ok(vec![public]));
    }

    #[test]
    fn an_origin_of_another_form_is_refused_with_the_form_that_is_needed() {
        for bad in [
            "",
            "ftp://host",
            "http://",
            "user:pw@host",
            "host@host",
            "host:80@host:80",
            "host/path",
            "host:99999",
            "a b",
        ] {
            let error = bad.parse::<Origin>().unwrap_err().to_string();
            assert!(
                error.contains("needed [scheme://]host[:port]"),
                "{bad:?}: {error}"
            );
        }
    }
}
