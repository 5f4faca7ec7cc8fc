//! The laws, and models of them as simple as can be.
//!
//! What decides is private to the host, and stays so: its files are compiled in here. All that they use of
//! the host is public.

#[path = "../../../../host/src/upstream/address.rs"]
mod address;
#[expect(dead_code, reason = "some are not a policy's to say")]
#[path = "../../../../host/src/upstream/denial.rs"]
mod denial;
#[path = "../../../../host/src/upstream/allow_rule.rs"]
mod allow_rule;
#[expect(
    dead_code,
    reason = "of the host's modules not everything is asked here"
)]
#[path = "../../../../host/src/upstream/policy.rs"]
mod policy;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use http::Uri;
use ipnet::IpNet;
use oneflight::config::Config;
use oneflight::upstream as resolve;
use oneflight::upstream as tls;

use self::denial::Denial;
use self::allow_rule::{AllowRule, Target};
use self::policy::UpstreamPolicy;

/// A target is what it is written as. It has no user, and no host that is an address in a notation of
/// its own; and the flag that its denial prints permits it.
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

/// What `inet_aton` takes for a part of an IPv4 address, and DNS for no name of the topmost level.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or(label.strip_prefix("0X"));
    match hex {
        Some(hex) => hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// An origin covers its own host, or every host below where it begins with a star, by its own scheme and
/// port; and nothing else.
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
        let asked = uri(&target.to_string());
        let asked_scheme = asked.scheme_str().expect("a scheme");
        assert!(!text.contains("://") || scheme == asked_scheme);
        // By the scheme that was asked for, what covers says which port, and which host.
        let own = Target::of(&uri(&format!("{asked_scheme}://{rest}"))).expect("a target");
        let own = uri(&own.to_string());
        assert_eq!(own.port_u16(), asked.port_u16());
        let (own, asked) = (own.host().expect("a host"), asked.host().expect("a host"));
        let label = asked.strip_suffix(own).map(|label| label.strip_suffix('.'));
        match label {
            Some(Some(label)) => assert!(below && !label.is_empty(), "{asked}"),
            _ => assert!(!below && asked == own, "{asked}"),
        }
    }
}

/// A name stands for public addresses, for those of a network that was named, and `localhost` for this
/// machine; never for a metadata service. The flag that a denial prints admits what was denied.
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

/// As the standard library has it, for the address and for every other that may be meant by it.
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

/// The IPv4 addresses that an address is, or that a translator or a tunnel makes of it (RFC 6052, RFC 3056).
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

/// A file that can be read is printed as one that comes to the same; one that cannot is told where.
pub(crate) fn file(text: &str) {
    let read = |text: &str| Config::parse(Path::new("oneflight.toml"), text);
    match read(text) {
        Ok(config) => {
            let printed = config.to_string();
            // What is hidden is no URL.
            if !printed.contains("# hidden") {
                let again = read(&printed).expect("what was printed");
                assert_eq!(again.to_string(), printed);
            }
        }
        Err(complaint) => assert!(complaint.to_string().starts_with("oneflight.toml:")),
    }
}
