//! What a guest may reach: which origins, and which addresses their names may stand for.
//!
//! It decides and dials nothing. Names are resolved elsewhere, once, and exactly the addresses that
//! [`Policy::admit`] lets through are dialled.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::address::Kind;
use super::allow_rule::{AllowRule, Target};
use super::denial::Denial;
use super::resolve::{Resolve, SystemResolver};
use super::tls::Roots;

/// What one client's guest may reach, and how. By default that is nothing.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The origins it may ask.
    pub allow: Vec<AllowRule>,
    /// Networks beyond the public internet that an allowed name may resolve into.
    pub nets: Vec<IpNet>,
    /// Origins that are told the flight's trace context, as a `traceparent` header (W3C Trace Context).
    /// Nobody else is: who asks what at the same time is not every upstream's business.
    pub trace: Vec<AllowRule>,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// Looks up names. What it answers is checked, whoever it is.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            nets: Vec::new(),
            trace: Vec::new(),
            roots: Roots::default(),
            resolver: Arc::new(SystemResolver::default()),
        }
    }
}

impl Policy {
    /// Whether `target` is on the allow-list.
    pub(super) fn permit(&self, target: &Target) -> Result<(), Denial> {
        if self.allow.iter().any(|origin| origin.covers(target)) {
            return Ok(());
        }
        Err(Denial::NotAllowed {
            origin: target.to_string(),
        })
    }

    /// Whether `target` is told the flight's trace context.
    pub(super) fn traces(&self, target: &Target) -> bool {
        self.trace.iter().any(|origin| origin.covers(target))
    }

    /// The addresses among `resolved` that `name` may stand for; an error where that leaves none.
    ///
    /// `localhost` may stand for this machine, since whoever allowed it knew what it is. Any name may
    /// stand for public addresses and for those in `nets`; metadata services give credentials to
    /// whoever asks, so those no name may stand for.
    pub(super) fn admit(&self, name: &str, resolved: Vec<IpAddr>) -> Result<Vec<IpAddr>, Denial> {
        let mut denial = None;
        let mut admitted = Vec::new();
        for address in resolved {
            let address = address.to_canonical();
            let kind = Kind::of(address);
            let itself = kind == Kind::Loopback && name.eq_ignore_ascii_case("localhost");
            let in_nets =
                kind != Kind::Metadata && self.nets.iter().any(|net| net.contains(&address));
            if itself || kind == Kind::Public || in_nets {
                admitted.push(address);
            } else {
                denial = Some(Denial::Address {
                    host: name.to_owned(),
                    address,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str], nets: &[&str]) -> Policy {
        Policy {
            allow: allow.iter().map(|origin| origin.parse().unwrap()).collect(),
            nets: nets.iter().map(|net| net.parse().unwrap()).collect(),
            ..Policy::default()
        }
    }

    fn admits(policy: &Policy, name: &str, address: &str) -> bool {
        policy.admit(name, vec![address.parse().unwrap()]).is_ok()
    }

    #[test]
    fn the_denial_prints_the_flag_that_would_permit_it() {
        let target = Target::of(&"http://localhost:3000/x".parse().unwrap()).unwrap();
        let denial = policy(&[], &[]).permit(&target).unwrap_err().to_string();
        let (_, origin) = denial.split_once("add --allow ").unwrap();
        assert_eq!(policy(&[origin], &[]).permit(&target), Ok(()));

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
    fn localhost_stands_for_this_machine_and_no_other() {
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
            assert!(denial.ends_with("name the address itself in the URL and in --allow"));
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
}
