//! Name constraints of CA certificates (RFC 5280 section 4.2.1.10): what a CA may not issue for
//! is not minted, rather than minted and then refused by the client.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use rcgen::CidrSubnet;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};

use super::leaf::LeafName;
use crate::net::Host;

/// A domain with everything below it, or a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subtree {
    Domain(String),
    Range(IpNet),
}

/// A text is no subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is neither a domain (corp.example, which means all names below it too) nor a range (10.0.0.0/8)")]
pub struct NotASubtree;

impl FromStr for Subtree {
    type Err = NotASubtree;

    fn from_str(text: &str) -> Result<Subtree, NotASubtree> {
        if let Ok(range) = text.parse::<IpNet>() {
            return Ok(Subtree::Range(range.trunc()));
        }
        match Host::parse(text) {
            Ok(Host::Ip(ip)) => Ok(Subtree::Range(ip.into())),
            Ok(Host::Name(name)) if !name.contains('*') => Ok(Subtree::Domain(name.to_string())),
            _ => Err(NotASubtree),
        }
    }
}

/// The names one CA certificate may issue for. The default permits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Constraints {
    permitted_dns: Vec<String>,
    excluded_dns: Vec<String>,
    permitted_ip: Vec<Network>,
    excluded_ip: Vec<Network>,
}

impl Constraints {
    pub fn from_extension(extension: &NameConstraints<'_>) -> Result<Constraints, &'static str> {
        let mut out = Constraints::default();
        let mut take = |subtrees: &[GeneralSubtree<'_>], permitted: bool| {
            for subtree in subtrees {
                match &subtree.base {
                    GeneralName::DNSName(name) => {
                        let name = name.to_ascii_lowercase();
                        if permitted { &mut out.permitted_dns } else { &mut out.excluded_dns }.push(name);
                    }
                    GeneralName::IPAddress(octets) => {
                        let network = Network::from_octets(octets).ok_or("have a malformed IP range")?;
                        if permitted { &mut out.permitted_ip } else { &mut out.excluded_ip }.push(network);
                    }
                    // Verifiers disagree on these; webpki's refuses every leaf below one.
                    GeneralName::DirectoryName(_) => {
                        return Err("limit directory names, which some TLS clients do not accept");
                    }
                    GeneralName::Invalid(..) => return Err("have a name that cannot be read"),
                    // Mail, URI and other names do not occur in a server's leaf.
                    _ => {}
                }
            }
            Ok(())
        };
        take(extension.permitted_subtrees.as_deref().unwrap_or_default(), true)?;
        take(extension.excluded_subtrees.as_deref().unwrap_or_default(), false)?;
        Ok(out)
    }

    /// What a new CA may issue for. A kind of name of which nothing is permitted is excluded whole, since a
    /// certificate that permits domains alone would leave every address open (RFC 5280 section 4.2.1.10).
    pub fn new(permit: &[Subtree], exclude: &[Subtree]) -> Constraints {
        let mut out = Constraints::default();
        for (subtrees, permitted) in [(permit, true), (exclude, false)] {
            for subtree in subtrees {
                match subtree {
                    Subtree::Domain(name) => {
                        if permitted { &mut out.permitted_dns } else { &mut out.excluded_dns }
                            .push(name.clone());
                    }
                    Subtree::Range(range) => {
                        let network = Network::from(range);
                        if permitted { &mut out.permitted_ip } else { &mut out.excluded_ip }.push(network);
                    }
                }
            }
        }
        if !permit.is_empty() && out.permitted_dns.is_empty() {
            out.excluded_dns.push(String::new());
        }
        // GnuTLS takes the two families of addresses for kinds of their own.
        for octets in [4, 16] {
            if !permit.is_empty() && out.permitted_ip.iter().all(|range| range.address.len() != octets) {
                out.excluded_ip.push(Network::whole(octets));
            }
        }
        out
    }

    /// What both permit and neither excludes, for one certificate that stands in for two on a path.
    pub fn and(self, other: Constraints) -> Constraints {
        let mut out = Constraints {
            excluded_dns: [self.excluded_dns, other.excluded_dns].concat(),
            excluded_ip: [self.excluded_ip, other.excluded_ip].concat(),
            ..Constraints::default()
        };
        let is_within = |one: &String, wide: &String| match one.strip_prefix('.') {
            Some(base) => within_all(base, wide),
            None => within(one, wide),
        };
        match overlap(self.permitted_dns, other.permitted_dns, is_within) {
            Some(permitted) => out.permitted_dns = permitted,
            None => out.excluded_dns.push(String::new()),
        }
        match overlap(self.permitted_ip, other.permitted_ip, Network::is_within) {
            Some(permitted) => out.permitted_ip = permitted,
            None => out.excluded_ip.extend([4, 16].map(Network::whole)),
        }
        out.excluded_dns.sort();
        out.excluded_dns.dedup();
        out.excluded_ip.sort();
        out.excluded_ip.dedup();
        out
    }

    /// For a certificate of ours; none when there are none.
    pub fn extension(&self) -> Option<rcgen::NameConstraints> {
        let subtrees = |names: &[String], ranges: &[Network]| {
            let names = names.iter().cloned().map(rcgen::GeneralSubtree::DnsName);
            names.chain(ranges.iter().filter_map(Network::subtree)).collect()
        };
        (!self.is_none()).then(|| rcgen::NameConstraints {
            permitted_subtrees: subtrees(&self.permitted_dns, &self.permitted_ip),
            excluded_subtrees: subtrees(&self.excluded_dns, &self.excluded_ip),
        })
    }

    /// In words, for people; empty when there are none.
    pub fn words(&self) -> Vec<String> {
        let mut out = Vec::new();
        let name = |name: &String| if name.is_empty() { "every domain".to_owned() } else { name.clone() };
        for (word, names, ranges) in [
            ("permits", &self.permitted_dns, &self.permitted_ip),
            ("excludes", &self.excluded_dns, &self.excluded_ip),
        ] {
            out.extend(names.iter().map(|n| format!("{word} {}", name(n))));
            out.extend(ranges.iter().map(|n| format!("{word} {}", n.text())));
        }
        out
    }

    pub fn is_none(&self) -> bool {
        *self == Constraints::default()
    }

    /// Why the CA may not issue for this name.
    pub fn refuse(&self, name: &LeafName) -> Option<String> {
        let (permitted, excluded) = match name {
            LeafName::Host(Host::Ip(ip)) => {
                let inside = |network: &&Network| network.contains(*ip);
                (
                    self.permitted_ip.is_empty() || self.permitted_ip.iter().any(|n| inside(&n)),
                    self.excluded_ip.iter().find(inside).map(|n| n.text()),
                )
            }
            LeafName::Host(Host::Name(host)) => (
                self.permitted_dns.is_empty() || self.permitted_dns.iter().any(|c| within(host, c)),
                self.excluded_dns.iter().find(|c| within(host, c)).cloned(),
            ),
            // Every name that the wildcard stands for must be permitted, and none excluded.
            LeafName::Wildcard(base) => (
                self.permitted_dns.is_empty() || self.permitted_dns.iter().any(|c| within_all(base, c)),
                self.excluded_dns
                    .iter()
                    .find(|c| within_all(base, c) || within(c.trim_start_matches('.'), base))
                    .cloned(),
            ),
        };
        if let Some(excluded) = excluded {
            let excluded = if excluded.is_empty() { "every domain" } else { &excluded };
            return Some(format!("its certificate excludes {excluded}"));
        }
        (!permitted).then(|| format!("its certificate permits only {}", self.permitted_text(name)))
    }

    fn permitted_text(&self, name: &LeafName) -> String {
        match name {
            LeafName::Host(Host::Ip(_)) => {
                self.permitted_ip.iter().map(Network::text).collect::<Vec<_>>().join(", ")
            }
            _ => self.permitted_dns.join(", "),
        }
    }
}

/// The subtrees that lie in one of each list; an empty list permits all. None when nothing is left.
fn overlap<T: Clone + PartialEq>(
    one: Vec<T>,
    two: Vec<T>,
    is_within: impl Fn(&T, &T) -> bool,
) -> Option<Vec<T>> {
    if one.is_empty() || two.is_empty() {
        return Some([one, two].concat());
    }
    let inside = |of: &[T], within: &[T]| -> Vec<T> {
        of.iter().filter(|subtree| within.iter().any(|wide| is_within(subtree, wide))).cloned().collect()
    };
    let mut out = inside(&one, &two);
    out.extend(inside(&two, &one).into_iter().filter(|subtree| !one.contains(subtree)));
    (!out.is_empty()).then_some(out)
}

/// `name` is `constraint` or below it; with a leading dot (not in RFC 5280, but in use) below it.
fn within(name: &str, constraint: &str) -> bool {
    if constraint.is_empty() {
        return true;
    }
    match name.strip_suffix(constraint) {
        Some("") => !constraint.starts_with('.'),
        Some(rest) => constraint.starts_with('.') || rest.ends_with('.'),
        None => false,
    }
}

/// `*.base` lies wholly inside the constraint.
fn within_all(base: &str, constraint: &str) -> bool {
    within(base, constraint) || constraint.strip_prefix('.').is_some_and(|c| within(base, c))
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Network {
    address: Vec<u8>,
    mask: Vec<u8>,
}

impl From<&IpNet> for Network {
    fn from(range: &IpNet) -> Network {
        match range {
            IpNet::V4(range) => Network {
                address: range.network().octets().to_vec(),
                mask: range.netmask().octets().to_vec(),
            },
            IpNet::V6(range) => Network {
                address: range.network().octets().to_vec(),
                mask: range.netmask().octets().to_vec(),
            },
        }
    }
}

impl Network {
    /// Every address of so many octets.
    fn whole(octets: usize) -> Network {
        Network { address: vec![0; octets], mask: vec![0; octets] }
    }

    fn is_within(&self, wide: &Network) -> bool {
        self.mask.len() == wide.mask.len()
            && self.mask.iter().zip(&wide.mask).all(|(own, wide)| own & wide == *wide)
            && self.address.iter().zip(&wide.address).zip(&wide.mask).all(|((a, b), m)| a & m == b & m)
    }

    fn subtree(&self) -> Option<rcgen::GeneralSubtree> {
        let subnet = if self.address.len() == 4 {
            CidrSubnet::V4(self.address[..].try_into().ok()?, self.mask[..].try_into().ok()?)
        } else {
            CidrSubnet::V6(self.address[..].try_into().ok()?, self.mask[..].try_into().ok()?)
        };
        Some(rcgen::GeneralSubtree::IpAddress(subnet))
    }

    /// Address and mask, four octets each, or sixteen.
    fn from_octets(octets: &[u8]) -> Option<Network> {
        let half = octets.len() / 2;
        if octets.len() != 8 && octets.len() != 32 {
            return None;
        }
        Some(Network { address: octets[..half].to_vec(), mask: octets[half..].to_vec() })
    }

    fn contains(&self, ip: IpAddr) -> bool {
        let compare = |octets: &[u8]| {
            octets.len() == self.address.len()
                && octets.iter().zip(&self.address).zip(&self.mask).all(|((a, b), m)| a & m == b & m)
        };
        match ip {
            IpAddr::V4(ip) => compare(&ip.octets()),
            IpAddr::V6(ip) => compare(&ip.octets()),
        }
    }

    fn text(&self) -> String {
        let bits: u32 = self.mask.iter().map(|b| b.count_ones()).sum();
        let address = match <[u8; 4]>::try_from(&*self.address) {
            Ok(octets) => IpAddr::from(octets),
            Err(_) => <[u8; 16]>::try_from(&*self.address).map_or(IpAddr::from([0; 4]), IpAddr::from),
        };
        format!("{address}/{bits}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(permitted: &[&str], excluded: &[&str]) -> Constraints {
        let list = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
        Constraints { permitted_dns: list(permitted), excluded_dns: list(excluded), ..Default::default() }
    }

    #[test]
    fn a_name_must_be_permitted_and_not_excluded() {
        let cases = [
            (dns(&[], &[]), "a.test", true),
            (dns(&["corp.test"], &[]), "corp.test", true),
            (dns(&["corp.test"], &[]), "a.b.corp.test", true),
            (dns(&["corp.test"], &[]), "notcorp.test", false),
            (dns(&["corp.test"], &[]), "corp.test.evil.test", false),
            (dns(&["corp.test", "b.test"], &[]), "a.b.test", true),
            (dns(&[".corp.test"], &[]), "corp.test", false),
            (dns(&[".corp.test"], &[]), "a.corp.test", true),
            (dns(&["corp.test"], &["x.corp.test"]), "x.corp.test", false),
            (dns(&["corp.test"], &["x.corp.test"]), "a.x.corp.test", false),
            (dns(&["corp.test"], &["x.corp.test"]), "xx.corp.test", true),
            (dns(&[], &[""]), "any.test", false),
            (dns(&["corp.test"], &[]), "*.corp.test", true),
            (dns(&[".corp.test"], &[]), "*.corp.test", true),
            (dns(&["a.corp.test"], &[]), "*.corp.test", false),
            (dns(&["corp.test"], &["x.corp.test"]), "*.corp.test", false),
            (dns(&["corp.test"], &["x.corp.test"]), "*.y.corp.test", true),
            (dns(&["corp.test"], &[".x.corp.test"]), "*.x.corp.test", false),
            // A constraint on one kind of name says nothing of another kind.
            (dns(&["corp.test"], &[]), "10.0.0.1", true),
        ];
        for (constraints, name, allowed) in cases {
            let refused = constraints.refuse(&name.parse().unwrap());
            assert_eq!(refused.is_none(), allowed, "{name} under {constraints:?}: {refused:?}");
        }
    }

    #[test]
    fn two_together_permit_what_both_do_and_exclude_what_either_does() {
        // (permitted by one, by the other, a name, whether both permit it)
        let cases: [(&[&str], &[&str], &str, bool); 10] = [
            (&["corp.test"], &[], "a.corp.test", true),
            (&["corp.test"], &[], "a.test", false),
            (&["corp.test", "b.test"], &["x.corp.test"], "x.corp.test", true),
            (&["corp.test", "b.test"], &["x.corp.test"], "y.corp.test", false),
            (&["x.corp.test"], &["corp.test", "b.test"], "b.test", false),
            (&["corp.test"], &[".corp.test"], "corp.test", false),
            (&["corp.test"], &[".corp.test"], "a.corp.test", true),
            (&["corp.test"], &["corp.test"], "corp.test", true),
            (&["corp.test"], &["b.test"], "corp.test", false),
            (&["corp.test"], &["b.test"], "c.test", false),
        ];
        for (one, two, name, allowed) in cases {
            for (one, two) in [(one, two), (two, one)] {
                let both = dns(one, &["no.test"]).and(dns(two, &["never.test"]));
                let refused = both.refuse(&name.parse().unwrap());
                assert_eq!(refused.is_none(), allowed, "{name} under {one:?} and {two:?}: {refused:?}");
                for excluded in ["no.test", "never.test"] {
                    assert!(both.refuse(&excluded.parse().unwrap()).is_some(), "{excluded}");
                }
            }
        }
        let ranges = |permit: &[&str]| {
            Constraints::new(&permit.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>(), &[])
        };
        let both = ranges(&["10.0.0.0/8", "2001:db8::/32"]).and(ranges(&["10.1.0.0/16", "192.0.2.0/24"]));
        for (name, allowed) in
            [("10.1.2.3", true), ("10.2.0.1", false), ("192.0.2.1", false), ("[2001:db8::1]", false)]
        {
            assert_eq!(both.refuse(&name.parse().unwrap()).is_none(), allowed, "{name}");
        }
        let none = ranges(&["10.0.0.0/8"]).and(ranges(&["192.0.2.0/24"]));
        assert!(
            ["10.1.2.3", "192.0.2.1", "[::1]"].iter().all(|n| none.refuse(&n.parse().unwrap()).is_some())
        );
        assert!(Constraints::default().and(Constraints::default()).is_none());
    }

    #[test]
    fn addresses_are_compared_under_the_mask_of_their_own_family() {
        let ten = Network::from_octets(&[10, 0, 0, 0, 255, 0, 0, 0]).unwrap();
        let constraints = Constraints { permitted_ip: vec![ten], ..Default::default() };
        for (name, allowed) in [("10.200.3.4", true), ("11.0.0.1", false), ("[a00::1]", false)] {
            let refused = constraints.refuse(&name.parse().unwrap());
            assert_eq!(refused.is_none(), allowed, "{name}: {refused:?}");
        }
        assert_eq!(Network::from_octets(&[10, 0, 0, 0]), None);
    }
}
