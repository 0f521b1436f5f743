//! Which addresses may be dialled. The address that was resolved is classified here, and the
//! very address that passed is the one dialled, so that a name which answers differently the
//! second time (DNS rebinding) gains nothing.
//!
//! IPv6 is allowed by what it is (global unicast, 2000::/3) and not by what it is not, so a
//! special range assigned after this was written is denied. Ranges that carry an IPv4 address
//! inside (NAT64, 6to4, Teredo) are judged by that address. The documentation ranges
//! (RFC 5737, RFC 3849, RFC 9637) are allowed: nobody routes them, and labs stand them in for
//! the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::matching::{Matcher, Who};
use super::verdict::Denial;
use crate::net::authority::unmap;
use crate::net::{Host, OriginAddr};

/// What a non-public address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressClass {
    Unspecified,
    Loopback,
    Private,
    LinkLocal,
    /// A cloud's instance metadata service: credentials for whoever asks.
    Metadata,
    /// RFC 6598: between a carrier's NAT and its customers.
    Shared,
    /// RFC 6890 protocol assignments and other ranges that are not for hosts on the internet.
    Reserved,
    /// RFC 2544.
    Benchmark,
    Multicast,
    Broadcast,
}

impl AddressClass {
    pub fn name(self) -> &'static str {
        match self {
            AddressClass::Unspecified => "unspecified",
            AddressClass::Loopback => "loopback",
            AddressClass::Private => "private",
            AddressClass::LinkLocal => "link_local",
            AddressClass::Metadata => "metadata",
            AddressClass::Shared => "shared",
            AddressClass::Reserved => "reserved",
            AddressClass::Benchmark => "benchmark",
            AddressClass::Multicast => "multicast",
            AddressClass::Broadcast => "broadcast",
        }
    }
}

impl std::fmt::Display for AddressClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AddressClass::Unspecified => "an address of this machine (unspecified)",
            AddressClass::Loopback => "a loopback address",
            AddressClass::Private => "a private address",
            AddressClass::LinkLocal => "a link-local address",
            AddressClass::Metadata => "a cloud metadata address",
            AddressClass::Shared => "a carrier-internal address (100.64.0.0/10)",
            AddressClass::Reserved => "a reserved address",
            AddressClass::Benchmark => "a benchmark address (198.18.0.0/15)",
            AddressClass::Multicast => "a multicast address",
            AddressClass::Broadcast => "the broadcast address",
        })
    }
}

/// `None` for a public address.
pub fn classify(ip: IpAddr) -> Option<AddressClass> {
    match unmap(ip) {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

/// Says which addresses may be dialled; part of every permit.
#[derive(Debug, Default)]
pub(super) struct AddressGuard {
    pub(super) allow_private: Vec<IpNet>,
    pub(super) own_listeners: Vec<SocketAddr>,
    pub(super) own_addresses: Vec<IpAddr>,
    pub(super) deny: Vec<Matcher>,
}

impl AddressGuard {
    pub(super) fn check(&self, addr: OriginAddr) -> Result<(), Denial> {
        if self.is_own_listener(addr) {
            return Err(Denial::OwnListener { addr });
        }
        let ip = addr.ip();
        match classify(ip) {
            None => Ok(()),
            Some(_) if self.allows(ip) => Ok(()),
            Some(class) => Err(Denial::AddressDenied { ip, class }),
        }
    }

    /// The deny list, for a name as for an address that a name resolved to.
    pub(super) fn denied(&self, host: &Host, who: Who<'_>) -> Result<(), Denial> {
        match self.deny.iter().find(|rule| rule.matches(host, who)) {
            None => Ok(()),
            Some(rule) => Err(Denial::HostDenied {
                host: host.clone(),
                rule: Arc::clone(&rule.name),
                note: rule.note.clone(),
            }),
        }
    }

    /// True when loopback in either family was opened by the operator.
    pub(super) fn allows_loopback(&self) -> bool {
        self.allows(IpAddr::V4(Ipv4Addr::LOCALHOST)) || self.allows(IpAddr::V6(Ipv6Addr::LOCALHOST))
    }

    fn allows(&self, ip: IpAddr) -> bool {
        let listed = |ip: IpAddr| self.allow_private.iter().any(|net| net.contains(&ip));
        listed(ip)
            || match ip {
                // Every address inside must be allowed, a Teredo address has two.
                IpAddr::V6(v6) => {
                    let inside = embedded(v6);
                    !inside.is_empty()
                        && inside.into_iter().all(|v4| classify_v4(v4).is_none() || listed(IpAddr::V4(v4)))
                }
                IpAddr::V4(_) => false,
            }
    }

    fn is_own_listener(&self, addr: OriginAddr) -> bool {
        self.own_listeners.iter().any(|own| {
            own.port() == addr.port() && {
                let own = unmap(own.ip());
                let ip = addr.ip();
                // Linux takes a connect to the unspecified address as one to loopback.
                own == ip
                    || ip.is_unspecified() && (own.is_loopback() || own.is_unspecified())
                    || own.is_unspecified() && (ip.is_loopback() || self.own_addresses.contains(&ip))
                    || self.is_own_inside(own, ip)
            }
        })
    }

    /// A NAT64, 6to4 or Teredo spelling of a listener's address.
    fn is_own_inside(&self, own: IpAddr, ip: IpAddr) -> bool {
        let IpAddr::V6(v6) = ip else { return false };
        embedded(v6).into_iter().map(IpAddr::V4).any(|v4| {
            v4 == own || own.is_unspecified() && (v4.is_loopback() || self.own_addresses.contains(&v4))
        })
    }
}

fn classify_v4(ip: Ipv4Addr) -> Option<AddressClass> {
    let [a, b, c, d] = ip.octets();
    Some(match (a, b) {
        (0, _) => AddressClass::Unspecified,
        (127, _) => AddressClass::Loopback,
        (10, _) | (192, 168) => AddressClass::Private,
        (172, 16..=31) => AddressClass::Private,
        // AWS, Azure, Google, OpenStack and others; 170.2 is the ECS task variant.
        (169, 254) if [c, d] == [169, 254] || [c, d] == [170, 2] => AddressClass::Metadata,
        (169, 254) => AddressClass::LinkLocal,
        // Alibaba Cloud.
        (100, 100) if [c, d] == [100, 200] => AddressClass::Metadata,
        (100, 64..=127) => AddressClass::Shared,
        // Oracle Cloud, inside the protocol assignments of RFC 6890.
        (192, 0) if [c, d] == [0, 192] => AddressClass::Metadata,
        (192, 0) if c == 0 => AddressClass::Reserved,
        // 6to4 relay anycast, deprecated by RFC 7526.
        (192, 88) if c == 99 => AddressClass::Reserved,
        (198, 18..=19) => AddressClass::Benchmark,
        (224..=239, _) => AddressClass::Multicast,
        (255, 255) if [c, d] == [255, 255] => AddressClass::Broadcast,
        (240..=255, _) => AddressClass::Reserved,
        _ => return None,
    })
}

fn classify_v6(ip: Ipv6Addr) -> Option<AddressClass> {
    if ip.is_unspecified() {
        return Some(AddressClass::Unspecified);
    }
    if ip.is_loopback() {
        return Some(AddressClass::Loopback);
    }
    let inside = embedded(ip);
    if !inside.is_empty() {
        return inside.into_iter().find_map(classify_v4);
    }
    let s = ip.segments();
    // AWS (fd00:ec2::254) and Google (fd20:ce::254), inside unique local space.
    if s == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] || s == [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] {
        return Some(AddressClass::Metadata);
    }
    Some(match s[0] {
        0xfc00..=0xfdff => AddressClass::Private,
        0xfe80..=0xfebf => AddressClass::LinkLocal,
        // Site-local, deprecated by RFC 3879 and still routed inside some sites.
        0xfec0..=0xfeff => AddressClass::Private,
        0xff00..=0xffff => AddressClass::Multicast,
        // Local-use translation, RFC 8215: where the IPv4 address sits is the operator's choice.
        0x64 if s[1] == 0xff9b && s[2] == 1 => AddressClass::Private,
        // RFC 5180, then the rest of the protocol assignments 2001::/23 (ORCHID, AMT, anycast).
        0x2001 if s[1] == 2 && s[2] == 0 => AddressClass::Benchmark,
        0x2001 if s[1] < 0x200 => AddressClass::Reserved,
        0x2000..=0x3fff => return None,
        // IPv4-compatible, SIIT, discard-only, SRv6 SIDs and all that is not yet assigned.
        _ => AddressClass::Reserved,
    })
}

/// The IPv4 addresses that a packet to this address would reach: 64:ff9b::/96 (RFC 6052),
/// 2002::/16 (RFC 3056), 2001::/32 (RFC 4380: the server, and the client inverted).
fn embedded(ip: Ipv6Addr) -> Vec<Ipv4Addr> {
    let s = ip.segments();
    let v4 = |hi: u16, lo: u16| Ipv4Addr::from(u32::from(hi) << 16 | u32::from(lo));
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, hi, lo] => vec![v4(hi, lo)],
        [0x2002, hi, lo, ..] => vec![v4(hi, lo)],
        [0x2001, 0, hi, lo, _, _, chi, clo] => vec![v4(hi, lo), v4(!chi, !clo)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str], own: &[&str], own_ips: &[&str]) -> AddressGuard {
        AddressGuard {
            allow_private: allow.iter().map(|n| n.parse().unwrap()).collect(),
            own_listeners: own.iter().map(|a| a.parse().unwrap()).collect(),
            own_addresses: own_ips.iter().map(|a| a.parse().unwrap()).collect(),
            deny: Vec::new(),
        }
    }

    fn check(guard: &AddressGuard, addr: &str) -> Result<(), &'static str> {
        guard.check(OriginAddr::new(addr.parse().unwrap())).map_err(|d| d.code())
    }

    #[test]
    fn every_special_range_is_known_at_both_its_ends() {
        use AddressClass::*;
        let table = [
            ("0.0.0.0", Unspecified),
            ("0.255.255.255", Unspecified),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("100.64.0.0", Shared),
            ("100.127.255.255", Shared),
            ("100.100.100.200", Metadata),
            ("127.0.0.0", Loopback),
            ("127.255.255.255", Loopback),
            ("169.254.0.0", LinkLocal),
            ("169.254.255.255", LinkLocal),
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("192.0.0.0", Reserved),
            ("192.0.0.255", Reserved),
            ("192.0.0.192", Metadata),
            ("192.88.99.1", Reserved),
            ("192.168.0.0", Private),
            ("192.168.255.255", Private),
            ("198.18.0.0", Benchmark),
            ("198.19.255.255", Benchmark),
            ("224.0.0.0", Multicast),
            ("239.255.255.255", Multicast),
            ("240.0.0.0", Reserved),
            ("255.255.255.254", Reserved),
            ("255.255.255.255", Broadcast),
            ("::", Unspecified),
            ("::1", Loopback),
            ("::127.0.0.1", Reserved),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:0:10.0.0.1", Reserved),
            ("64:ff9b::7f00:1", Loopback),
            ("64:ff9b::169.254.169.254", Metadata),
            ("64:ff9b:1::1", Private),
            ("100::1", Reserved),
            ("2001::1", Unspecified),
            ("2001:0:c000:204::5601:fefe", LinkLocal),
            ("2001:0:0a00:1:8000:63bf:3fff:fdd2", Private),
            ("2001:2::1", Benchmark),
            ("2001:20::1", Reserved),
            ("2001:1ff:ffff::1", Reserved),
            ("2002:7f00:1::1", Loopback),
            ("2002:c0a8:1::", Private),
            ("4000::1", Reserved),
            ("5f00::1", Reserved),
            ("fc00::", Private),
            ("fdff:ffff::1", Private),
            ("fd00:ec2::254", Metadata),
            ("fd20:ce::254", Metadata),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Private),
            ("ff02::1", Multicast),
        ];
        for (ip, class) in table {
            assert_eq!(classify(ip.parse().unwrap()), Some(class), "{ip}");
        }
    }

    #[test]
    fn the_neighbours_of_special_ranges_are_public() {
        for ip in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "8.8.8.8",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "2606:4700::1111",
            "2001:200::1",
            "2001:db8::1",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "3fff::1",
        ] {
            assert_eq!(classify(ip.parse().unwrap()), None, "{ip}");
        }
    }

    #[test]
    fn allowed_private_networks_open_just_themselves() {
        let g = guard(&["10.1.0.0/16", "fd00:1::/32"], &[], &[]);
        assert_eq!(check(&g, "10.1.2.3:443"), Ok(()));
        assert_eq!(check(&g, "[::ffff:10.1.2.3]:443"), Ok(()));
        assert_eq!(check(&g, "[64:ff9b::10.1.2.3]:443"), Ok(()));
        assert_eq!(check(&g, "[fd00:1::9]:443"), Ok(()));
        assert_eq!(check(&g, "8.8.8.8:443"), Ok(()));
        for denied in [
            "10.2.0.1:443",
            "127.0.0.1:443",
            "[64:ff9b::10.2.0.1]:443",
            "[fd00:2::9]:443",
            "169.254.169.254:80",
        ] {
            assert_eq!(check(&g, denied), Err("address_denied"), "{denied}");
        }
        // A Teredo address with an allowed client behind a server that is not allowed.
        assert_eq!(check(&g, "[2001:0:7f00:1::f5fe:fdfc]:443"), Err("address_denied"));
    }

    #[test]
    fn own_listeners_are_never_dialled_whatever_is_allowed() {
        let g = guard(&["0.0.0.0/0", "::/0"], &["127.0.0.1:8443", "192.0.2.7:3128"], &[]);
        for own in [
            "127.0.0.1:8443",
            "0.0.0.0:8443",
            "[::]:8443",
            "[::ffff:127.0.0.1]:8443",
            "[64:ff9b::127.0.0.1]:8443",
            "192.0.2.7:3128",
        ] {
            assert_eq!(check(&g, own), Err("own_listener"), "{own}");
        }
        for other in ["127.0.0.1:443", "127.0.0.2:8443", "192.0.2.7:8443", "0.0.0.0:3128"] {
            assert_eq!(check(&g, other), Ok(()), "{other}");
        }
    }

    #[test]
    fn a_listener_on_every_address_owns_its_port_on_every_interface() {
        let g = guard(&["0.0.0.0/0", "::/0"], &["[::]:8443"], &["192.0.2.7", "2001:db8::7"]);
        for own in [
            "127.0.0.1:8443",
            "127.9.9.9:8443",
            "[::1]:8443",
            "192.0.2.7:8443",
            "[2001:db8::7]:8443",
            "0.0.0.0:8443",
            "[2002:c000:207::]:8443",
        ] {
            assert_eq!(check(&g, own), Err("own_listener"), "{own}");
        }
        assert_eq!(check(&g, "192.0.2.8:8443"), Ok(()));
        assert_eq!(check(&g, "192.0.2.7:443"), Ok(()));
    }
}
