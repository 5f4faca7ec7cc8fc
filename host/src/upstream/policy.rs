//! [`UpstreamPolicy`]: which targets a guest may reach, and which addresses their names may resolve to.
//!
//! It only decides. Names are resolved elsewhere, once, and exactly the addresses that [`UpstreamPolicy::admit`]
//! returns are dialled.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::address::Kind;
use super::allow_rule::{AllowRule, Target};
use super::denial::Denial;
use super::identity::ClientIdentity;
use super::proxy::Proxy;
use super::resolve::{Resolve, SystemResolver};
use super::tls::Roots;

/// What the guest of one client may reach, and how. By default it may reach nothing.
#[derive(Clone, Debug)]
pub struct UpstreamPolicy {
    /// The targets that it may send requests to.
    pub allow: Vec<AllowRule>,
    /// Networks beyond the public internet that an allowed name may resolve into.
    pub nets: Vec<IpNet>,
    /// Targets that get the flight's trace context, as a `traceparent` header (W3C Trace Context). By default none
    /// gets it, since it lets upstreams correlate requests.
    pub trace: Vec<AllowRule>,
    /// The root certificates that are trusted.
    pub roots: Roots,
    /// The certificate by which the client identifies itself to upstreams that request one. By default there is none.
    pub identity: Option<ClientIdentity>,
    /// The proxy through which requests go. By default there is none. A proxy resolves names itself, so their addresses
    /// are not checked; `allow` is.
    pub proxy: Option<Proxy>,
    /// Resolves names. Its answers are checked.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for UpstreamPolicy {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            nets: Vec::new(),
            trace: Vec::new(),
            roots: Roots::default(),
            identity: None,
            proxy: None,
            resolver: Arc::new(SystemResolver::default()),
        }
    }
}

impl UpstreamPolicy {
    /// Refuses `target` unless an allow rule covers it.
    pub(super) fn permit(&self, target: &Target) -> Result<(), Denial> {
        if self.allow.iter().any(|rule| rule.covers(target)) {
            return Ok(());
        }
        Err(Denial::NotAllowed {
            origin: target.to_string(),
        })
    }

    /// Whether `target` gets the flight's trace context.
    pub(super) fn traces(&self, target: &Target) -> bool {
        self.trace.iter().any(|rule| rule.covers(target))
    }

    /// The addresses among `resolved` that `name` may resolve to, or an error if there are none.
    ///
    /// `localhost` may resolve to loopback addresses: an allow rule that names it means this machine. Any name may
    /// resolve to public addresses and to those in `nets`. No name may resolve to the address of a metadata service,
    /// which gives credentials to every client.
    pub(super) fn admit(&self, name: &str, resolved: Vec<IpAddr>) -> Result<Vec<IpAddr>, Denial> {
        let mut refused = Vec::new();
        let mut admitted = Vec::new();
        for address in resolved {
            let address = address.to_canonical();
            let kind = Kind::of(address);
            let is_localhost = kind == Kind::Loopback && name.eq_ignore_ascii_case("localhost");
            let in_nets =
                kind != Kind::Metadata && self.nets.iter().any(|net| net.contains(&address));
            if is_localhost || kind == Kind::Public || in_nets {
                admitted.push(address);
            } else {
                refused.push((address, kind));
            }
        }
        if admitted.is_empty() && !refused.is_empty() {
            let host = name.to_owned();
            return Err(Denial::Addresses { host, refused });
        }
        Ok(admitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str], nets: &[&str]) -> UpstreamPolicy {
        UpstreamPolicy {
            allow: allow.iter().map(|rule| rule.parse().unwrap()).collect(),
            nets: nets.iter().map(|net| net.parse().unwrap()).collect(),
            ..UpstreamPolicy::default()
        }
    }

    fn admits(policy: &UpstreamPolicy, name: &str, address: &str) -> bool {
        policy.admit(name, vec![address.parse().unwrap()]).is_ok()
    }

    #[test]
    fn the_denial_prints_the_flag_that_would_permit_it() {
        let target = Target::of(&"http://localhost:3000/x".parse().unwrap()).unwrap();
        let denial = policy(&[], &[]).permit(&target).unwrap_err().to_string();
        let (_, rule) = denial.split_once("add --allow ").unwrap();
        assert_eq!(policy(&[rule], &[]).permit(&target), Ok(()));

        let names = policy(&["db.example"], &[]);
        for address in [
            "10.1.2.3",
            "::1",
            "64:ff9b::a00:1",
            "::ffff:127.0.0.1",
            "224.0.0.1",
        ] {
            let resolved = vec![address.parse().unwrap()];
            let denial = names.admit("db.example", resolved).unwrap_err().to_string();
            let (_, net) = denial.split_once("add --allow-net ").unwrap();
            assert!(
                admits(&policy(&[], &[net]), "db.example", address),
                "{denial}"
            );
        }
    }

    #[test]
    fn the_denial_prints_a_flag_for_every_address_of_the_name() {
        let resolved = ["10.0.0.1", "fd00::1", "169.254.169.254", "10.0.0.1"];
        let resolved = resolved.map(|address| address.parse().unwrap()).to_vec();
        let denial = policy(&[], &[]).admit("db.example", resolved).unwrap_err();
        assert_eq!(
            denial.to_string(),
            "expected db.example to resolve to a public address, got 10.0.0.1 (private), fd00::1 (private), \
             169.254.169.254 (metadata); to permit them, add --allow-net 10.0.0.1/32 --allow-net fd00::1/128; no name \
             may reach a metadata address: to permit it, use the address itself in the URL and in --allow"
        );
        let many = (1..=20).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        let denial = policy(&[], &[]).admit("db.example", many).unwrap_err();
        assert!(
            denial
                .to_string()
                .contains("10.0.0.8 (private) and 12 more"),
            "{denial}"
        );
    }

    #[test]
    fn a_name_reaches_public_addresses_only() {
        let none = policy(&[], &[]);
        assert!(admits(&none, "name.example", "93.184.216.34"));
        assert!(admits(&none, "name.example", "2606:2800:220:1::1"));
        for inward in [
            "127.0.0.1",
            "10.0.0.1",
            "100.64.0.1",
            "169.254.0.1",
            "169.254.169.254",
            "192.0.2.1",
            "224.0.0.1",
            "::1",
            "::ffff:10.0.0.1",
            "fc00::1",
            "fe80::1",
        ] {
            assert!(!admits(&none, "name.example", inward), "{inward}");
        }
    }

    #[test]
    fn localhost_resolves_to_this_machine_and_no_other() {
        let none = policy(&[], &[]);
        assert!(admits(&none, "localhost", "127.0.0.1"));
        assert!(admits(&none, "LOCALHOST", "::1"));
        assert!(!admits(&none, "localhost", "10.0.0.1"));
        assert!(!admits(&none, "localhost.", "127.0.0.1"));
        assert!(!admits(&none, "a.localhost", "127.0.0.1"));
    }

    #[test]
    fn a_network_admits_its_addresses_but_no_metadata_service() {
        let all = policy(&[], &["0.0.0.0/0", "::/0"]);
        assert!(admits(&all, "name.example", "127.0.0.1"));
        for metadata in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            let denial = all.admit("name.example", vec![metadata.parse().unwrap()]);
            let denial = denial.unwrap_err().to_string();
            assert!(denial.ends_with("use the address itself in the URL and in --allow"));
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
        let public: IpAddr = "93.184.216.34".parse().unwrap();
        let private: IpAddr = "10.0.0.1".parse().unwrap();
        let admitted = policy(&[], &[]).admit("name.example", vec![private, public]);
        assert_eq!(admitted, Ok(vec![public]));
    }

    #[test]
    fn only_listed_targets_get_the_trace_context() {
        let policy = UpstreamPolicy {
            trace: vec!["http://a.example".parse().unwrap()],
            ..UpstreamPolicy::default()
        };
        for (url, expected) in [("http://a.example/", true), ("http://b.example/", false)] {
            let target = Target::of(&url.parse().unwrap()).unwrap();
            assert_eq!(policy.traces(&target), expected, "{url}");
        }
    }
}
