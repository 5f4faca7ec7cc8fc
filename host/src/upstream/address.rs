//! [`Kind`]: the purpose of an IP address: the public internet, or this machine and its networks.
//!
//! RFC 6890, section 2: the special-purpose address registries, as IANA maintains them; and the addresses of metadata
//! services. Which kinds a name may resolve to is up to the policy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The purpose of an address, in the categories that a policy distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Assigned for the public internet.
    Public,
    /// This machine.
    Loopback,
    /// A private network: RFC 1918, unique local, or shared with a carrier.
    Private,
    /// The same link.
    LinkLocal,
    /// A cloud metadata service, which gives credentials to every client.
    Metadata,
    /// A multicast group.
    Multicast,
    /// No host: unspecified, broadcast, documentation, benchmarks, unassigned.
    Reserved,
}

impl Kind {
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        // Amazon, Google, Microsoft and others; Amazon's for containers and for pods; Tencent;
        // Scaleway; Alibaba; Oracle; Microsoft's wire server.
        const METADATA: [Ipv4Addr; 8] = [
            Ipv4Addr::new(169, 254, 169, 254),
            Ipv4Addr::new(169, 254, 170, 2),
            Ipv4Addr::new(169, 254, 170, 23),
            Ipv4Addr::new(169, 254, 0, 23),
            Ipv4Addr::new(169, 254, 42, 42),
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
            _ if ip.is_multicast() => Self::Multicast,
            // This network; protocol assignments; documentation; relays of 6to4; benchmarks.
            [0, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => Self::Reserved,
            // Documentation, twice; unassigned, and broadcast.
            [198, 51, 100, _] | [203, 0, 113, _] | [240..=255, ..] => Self::Reserved,
            _ => Self::Public,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        // Amazon's; Amazon's for pods; Google's; Scaleway's; OpenStack's.
        const METADATA: [Ipv6Addr; 5] = [
            Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
            Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
            Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
            Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
        ];
        match ip.segments() {
            _ if METADATA.contains(&ip) => Self::Metadata,
            _ if ip.is_loopback() => Self::Loopback,
            // An embedded IPv4 address that the IPv6 address leads to: mapped, translated (64:ff9b::/96), 6to4.
            [0, 0, 0, 0, 0, 0xffff, high, low] => Self::of_v4(v4(high, low)),
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Self::of_v4(v4(high, low)),
            [0x2002, high, low, ..] => Self::of_v4(v4(high, low)),
            // Embedded in forms that no public upstream has: compatible; translated by a private network
            // (64:ff9b:1::/48); Teredo, with a server and an inverted client; ISATAP, with any prefix.
            [0, 0, 0, 0, 0, 0, high, low] => Self::never_public(&[v4(high, low)]),
            [0x64, 0xff9b, 1, .., high, low] => Self::never_public(&[v4(high, low)]),
            [0x2001, 0, a, b, _, _, c, d] => Self::never_public(&[v4(a, b), v4(!c, !d)]),
            [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Self::never_public(&[v4(high, low)]),
            _ if ip.is_unique_local() => Self::Private,
            _ if ip.is_unicast_link_local() => Self::LinkLocal,
            _ if ip.is_multicast() => Self::Multicast,
            // Protocol assignments; documentation, twice.
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] => Self::Reserved,
            [0x3fff, 0..=0xfff, ..] => Self::Reserved,
            // Only 2000::/3 is assigned for the public internet.
            [first, ..] if first & 0xe000 == 0x2000 => Self::Public,
            _ => Self::Reserved,
        }
    }

    /// The kind of the embedded addresses: metadata if one is, else the first that is not public, and never public.
    fn never_public(embedded: &[Ipv4Addr]) -> Self {
        let kinds = || embedded.iter().map(|ip| Self::of_v4(*ip));
        let metadata = kinds().find(|kind| *kind == Self::Metadata);
        let not_public = || kinds().find(|kind| *kind != Self::Public);
        metadata.or_else(not_public).unwrap_or(Self::Reserved)
    }

    /// Its name in a denial.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
        }
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_are(kind: Kind, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(Kind::of(address.parse().unwrap()), kind, "{address}");
        }
    }

    #[test]
    fn every_range_has_the_kind_of_its_registry() {
        let public = ["93.184.216.34", "100.63.255.255", "100.128.0.0"];
        all_are(Kind::Public, &public);
        all_are(
            Kind::Public,
            &["172.32.0.0", "198.20.0.0", "223.255.255.255"],
        );
        all_are(
            Kind::Public,
            &["2606:2800:220:1::1", "2001:200::1", "3ffe::1"],
        );
        all_are(Kind::Loopback, &["127.0.0.1", "127.255.255.255", "::1"]);
        let private = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1"];
        all_are(Kind::Private, &private);
        all_are(Kind::Private, &["100.64.0.1", "100.127.255.255"]);
        all_are(Kind::Private, &["fc00::1", "fdff::1"]);
        all_are(Kind::LinkLocal, &["169.254.0.1", "fe80::1", "febf::1"]);
        all_are(Kind::Multicast, &["224.0.0.1", "239.1.2.3", "ff02::1"]);
        all_are(Kind::Reserved, &["0.0.0.0", "0.1.2.3", "255.255.255.255"]);
        all_are(Kind::Reserved, &["192.0.0.1", "192.0.2.1", "192.88.99.1"]);
        all_are(
            Kind::Reserved,
            &["198.18.0.1", "198.19.255.255", "198.51.100.1"],
        );
        all_are(Kind::Reserved, &["203.0.113.1", "240.0.0.1", "::"]);
        all_are(Kind::Reserved, &["2001:db8::1", "3fff:1::1", "2001:20::1"]);
        all_are(Kind::Reserved, &["fec0::1", "4000::1", "100::1"]);
    }

    #[test]
    fn an_embedded_ipv4_address_has_its_own_kind() {
        all_are(
            Kind::Loopback,
            &[
                "::ffff:127.0.0.1",
                "::127.0.0.1",
                "64:ff9b::7f00:1",
                "64:ff9b:1::7f00:1",
                "2002:7f00:1::",
                // Teredo: a server, then a client, whose bits are inverted.
                "2001:0:7f00:1::",
                "2001:0:5db8:d822:0:0:80ff:fffe",
                "2606:2800:220:1:0:5efe:7f00:1",
            ],
        );
        all_are(Kind::Private, &["::ffff:10.0.0.1", "64:ff9b::a00:1"]);
        all_are(Kind::Private, &["2002:a00:1::", "::10.0.0.1"]);
        all_are(Kind::Multicast, &["::ffff:224.0.0.1"]);
        all_are(
            Kind::Public,
            &["::ffff:93.184.216.34", "64:ff9b::5db8:d822"],
        );
        all_are(Kind::Public, &["2002:5db8:d822::1"]);
        // These forms are never public, regardless of the embedded address.
        all_are(Kind::Reserved, &["::93.184.216.34", "64:ff9b:1::5db8:d822"]);
        all_are(Kind::Reserved, &["2001:0:5db8:d822::a247:27dd"]);
    }

    #[test]
    fn metadata_services_are_recognised_in_every_embedding() {
        all_are(Kind::Metadata, &["169.254.169.254", "169.254.170.2"]);
        all_are(Kind::Metadata, &["169.254.170.23", "169.254.0.23"]);
        all_are(Kind::Metadata, &["169.254.42.42", "100.100.100.200"]);
        all_are(Kind::Metadata, &["192.0.0.192", "168.63.129.16"]);
        all_are(Kind::Metadata, &["fd00:ec2::254", "fd00:ec2::23"]);
        all_are(
            Kind::Metadata,
            &["fd20:ce::254", "fd00:42::42", "fe80::a9fe:a9fe"],
        );
        all_are(Kind::Metadata, &["::ffff:169.254.169.254", "::a9fe:a9fe"]);
        all_are(
            Kind::Metadata,
            &["64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe"],
        );
        all_are(
            Kind::Metadata,
            &["2002:a9fe:a9fe::", "2001:0:a00:1::5601:5601"],
        );
    }
}
