//! The properties, each checked against a model that is as simple as possible.
//!
//! The tested modules are private in the host, so their files are compiled into this target. Everything that they
//! import from the host is public.

#[path = "../../../../host/src/upstream/address.rs"]
mod address;
#[expect(dead_code, reason = "these properties need only some functions")]
#[path = "../../../../host/src/upstream/allow_rule.rs"]
mod allow_rule;
#[expect(dead_code, reason = "a policy returns only some of the denials")]
#[path = "../../../../host/src/upstream/denial.rs"]
mod denial;
#[expect(dead_code, reason = "these properties need only some functions")]
#[path = "../../../../host/src/upstream/policy.rs"]
mod policy;

/// Where the policy's file looks for the resolver.
mod resolve {
    pub(super) use oneflight::upstream::{Resolve, SystemResolver};
}

/// Where the policy's file looks for client certificates.
mod identity {
    pub(super) use oneflight::upstream::ClientIdentity;
}

/// Where the policy's file looks for proxies.
mod proxy {
    pub(super) use oneflight::upstream::Proxy;
}

/// Where the policy's file looks for root certificates.
mod tls {
    pub(super) use oneflight::upstream::Roots;
}

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use http::Uri;
use ipnet::IpNet;
use oneflight::config::Config;

use self::allow_rule::{AllowRule, Target};
use self::denial::Denial;
use self::policy::UpstreamPolicy;

/// A target is equal to its own text, parsed again. It has no user name, and its host is no address in an unusual
/// notation. The flag that its denial prints permits it.
pub(crate) fn target(url: &str) -> Option<Target> {
    let url: Uri = url.parse().ok()?;
    let target = Target::of(&url).ok()?;
    let written = uri(&target.to_string());
    assert_eq!(Target::of(&written).as_ref(), Ok(&target));
    let sent = target.url(url.path_and_query().cloned()).expect("a URL");
    assert_eq!(Target::of(&sent).as_ref(), Ok(&target));
    assert!(!url.authority().expect("a host").as_str().contains('@'));

    let host = written.host().expect("a host");
    let last = host.trim_end_matches('.').rsplit('.').next();
    let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    assert!(is_address || !last.is_some_and(is_number), "{host}");

    let Err(Denial::NotAllowed { origin }) = UpstreamPolicy::default().permit(&target) else {
        panic!("nothing is allowed by itself");
    };
    let allow = vec![origin.parse().expect("an origin")];
    let allowing = UpstreamPolicy {
        allow,
        ..UpstreamPolicy::default()
    };
    assert_eq!(allowing.permit(&target), Ok(()));
    Some(target)
}

/// Whether `inet_aton` accepts `label` as a part of an IPv4 address. No top-level domain has this form.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or(label.strip_prefix("0X"));
    match hex {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// An allow rule covers its own host, or every subdomain if it begins with `*.`, with its own scheme and port, and
/// nothing else.
pub(crate) fn origin(text: &str, target: &Target) {
    let Ok(origin) = text.parse::<AllowRule>() else {
        return;
    };
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text),
    };
    let (below, rest) = match rest.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let scheme = scheme.unwrap_or("http");
    let own = Target::of(&uri(&format!("{scheme}://{rest}"))).expect("a target");
    assert_eq!(origin.covers(&own), !below);
    if below {
        let one = Target::of(&uri(&format!("{scheme}://one.{rest}"))).expect("a target");
        assert!(origin.covers(&one));
    }
    if origin.covers(target) {
        let requested = uri(&target.to_string());
        let requested_scheme = requested.scheme_str().expect("a scheme");
        assert!(!text.contains("://") || scheme == requested_scheme);
        // With the requested scheme, the rule determines the port and the host.
        let own = Target::of(&uri(&format!("{requested_scheme}://{rest}"))).expect("a target");
        let own = uri(&own.to_string());
        assert_eq!(own.port_u16(), requested.port_u16());
        let (own, requested) = (
            own.host().expect("a host"),
            requested.host().expect("a host"),
        );
        let label = requested
            .strip_suffix(own)
            .map(|label| label.strip_suffix('.'));
        match label {
            Some(Some(label)) => assert!(below && !label.is_empty(), "{requested}"),
            _ => assert!(!below && requested == own, "{requested}"),
        }
    }
}

/// A name may resolve to public addresses and to those of an allowed network, and `localhost` to this machine; no name
/// may resolve to a metadata service. The flag that a denial prints admits the denied address.
pub(crate) fn admitted(net: Option<IpNet>, name: &str, address: &str) {
    let Ok(address) = address.parse::<IpAddr>() else {
        return;
    };
    let admit = |net: Option<IpNet>| {
        let policy = UpstreamPolicy {
            nets: net.into_iter().collect(),
            ..UpstreamPolicy::default()
        };
        policy.admit(name, vec![address])
    };
    match admit(net) {
        Ok(admitted) => {
            let address = address.to_canonical();
            assert_eq!(admitted, [address]);
            let itself = name.eq_ignore_ascii_case("localhost") && address.is_loopback();
            let named = net.is_some_and(|net| net.contains(&address));
            assert!(itself || named || is_public(address), "{name} {address}");
            assert!(
                !inside(address).iter().any(|ip| is_metadata(*ip)),
                "{address}"
            );
        }
        Err(denial) => {
            let text = denial.to_string();
            let Some((_, flag)) = text.split_once("add --allow-net ") else {
                assert!(text.contains("metadata"), "{text}");
                return;
            };
            assert!(admit(flag.parse().ok()).is_ok(), "{text}");
        }
    }
}

/// Whether the address is public by the standard library, and so is every IPv4 address that it embeds.
fn is_public(address: IpAddr) -> bool {
    let is_global = |ip: Ipv4Addr| {
        let [a, b, ..] = ip.octets();
        !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast())
            && !(ip.is_unspecified() || ip.is_broadcast() || ip.is_documentation())
            && !(a == 0 || a >= 240 || a == 100 && b & 0xc0 == 0x40)
    };
    let itself = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
                && !(ip.is_unique_local() || ip.is_unicast_link_local())
                && !ip.to_string().starts_with("2001:db8:")
        }
    };
    itself && inside(address).into_iter().all(is_global)
}

fn is_metadata(ip: Ipv4Addr) -> bool {
    [[169, 254, 169, 254], [100, 100, 100, 200]].contains(&ip.octets())
}

/// The IPv4 address that `address` is, or those that a translator (RFC 6052) or a tunnel (RFC 3056) derives from it.
fn inside(address: IpAddr) -> Vec<Ipv4Addr> {
    let v6 = match address {
        IpAddr::V4(ip) => return vec![ip],
        IpAddr::V6(ip) => ip,
    };
    let bits = v6.to_bits();
    let in_net = |net: &str| net.parse::<IpNet>().is_ok_and(|net| net.contains(&address));
    let mut found = Vec::new();
    if in_net("::/96") || in_net("64:ff9b::/96") || in_net("64:ff9b:1::/48") {
        found.push(Ipv4Addr::from_bits(bits as u32));
    }
    if in_net("2002::/16") {
        found.push(Ipv4Addr::from_bits((bits >> 80) as u32));
    }
    found
}

fn uri(text: &str) -> Uri {
    text.parse().expect("a URL")
}

/// How the URL of a built-in client is printed, which may contain a key.
const HIDDEN_URL: &str = r#"base_url = "..." # hidden"#;

/// A valid file is printed as a file that means the same. The error of an invalid file begins with its name.
pub(crate) fn file(text: &str) {
    let read = |text: &str| Config::parse(Path::new("oneflight.toml"), text);
    match read(text) {
        Ok(config) => {
            let printed = config.to_string();
            // A hidden value is not printed, so another one takes its place. Any URL will do, but its origin is in the
            // list of what is allowed. A setting of a component may have no other value.
            let url = printed.replace(HIDDEN_URL, "base_url = \"http://a.example/{x}\"");
            if !url.contains("# hidden") {
                let again = read(&url).expect("the printed configuration is valid");
                let is_same = |line: &&str| printed == url || !line.starts_with("allow = ");
                let lines = |text: String| -> Vec<String> {
                    let lines = text.lines().filter(is_same).map(str::to_owned);
                    lines.collect()
                };
                assert_eq!(lines(again.to_string()), lines(printed.clone()));
            }
        }
        Err(error) => assert!(error.to_string().starts_with("oneflight.toml:")),
    }
}
