//! `ip_match`, `ip_match_from_file`: the value is an IP address in one of the networks. A value that
//! is no address never matches. An IPv4 address inside IPv6 (`::ffff:a.b.c.d`) counts as both.
//!
//! Argument of `ip_match`: a list of addresses and networks. Argument of `ip_match_from_file`: the
//! name of a file in `rules/data`, one address or network per line, or several between commas; what
//! follows a `#` says nothing.
//! Example: `{"ip_match": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]}`,
//! `{"ip_match_from_file": "proxies.txt"}`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::data_file::DataFile;
use super::{Data, Hit, Need, Operator, OperatorError, list_argument};

#[derive(Debug)]
struct IpMatch {
    v4: Ranges<Ipv4Addr>,
    v6: Ranges<Ipv6Addr>,
    /// As a person reads it.
    description: String,
}

/// First and last addresses, in order and apart.
#[derive(Debug)]
struct Ranges<A>(Vec<(A, A)>);

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    let list = list_argument(name, argument)?;
    let networks = list.iter().map(|text| network(text)).collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(IpMatch::new(&networks, format!("ip_match {}", list.join(", ")))))
}

pub(super) fn build_from_file(
    name: &str,
    argument: &Value,
    data: &Data,
) -> Result<Box<dyn Operator>, OperatorError> {
    let file = DataFile::named(name, argument, data)?;
    let mut networks = Vec::new();
    for line in file.lines() {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        for text in line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|text| !text.is_empty()) {
            networks.push(network(&String::from_utf8_lossy(text))?);
        }
    }
    if networks.is_empty() {
        return Err(file.holds_nothing("address or network"));
    }
    let description = format!("ip_match_from_file {} ({} networks)", file.name, networks.len());
    Ok(Box::new(IpMatch::new(&networks, description)))
}

/// A network of IPv4 addresses inside IPv6 is one of IPv4.
fn network(text: &str) -> Result<IpNet, OperatorError> {
    let parsed = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
    let wrong = || {
        OperatorError::argument(
            format!("`{text}` is neither an IP address nor a network"),
            "write an address as 192.0.2.7, a network as 192.0.2.0/24 or 2001:db8::/32",
        )
    };
    match parsed.map_err(|_| wrong())? {
        IpNet::V6(inside) if inside.prefix_len() >= 96 => match inside.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::new(v4.into(), inside.prefix_len() - 96).map_err(|_| wrong()),
            None => Ok(inside.into()),
        },
        other => Ok(other),
    }
}

impl IpMatch {
    fn new(networks: &[IpNet], description: String) -> IpMatch {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(network) => v4.push((network.network(), network.broadcast())),
                IpNet::V6(network) => v6.push((network.network(), network.broadcast())),
            }
        }
        IpMatch { v4: Ranges::new(v4), v6: Ranges::new(v6), description }
    }
}

impl<A: Ord + Copy> Ranges<A> {
    fn new(mut ranges: Vec<(A, A)>) -> Ranges<A> {
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let overlap = next.0 <= kept.1;
            if overlap {
                kept.1 = kept.1.max(next.1);
            }
            overlap
        });
        Ranges(ranges)
    }

    fn contain(&self, address: A) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= address);
        after > 0 && address <= self.0[after - 1].1
    }
}

impl Operator for IpMatch {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let matches = match std::str::from_utf8(value).ok()?.parse().ok()? {
            IpAddr::V4(v4) => self.v4.contain(v4),
            IpAddr::V6(v6) => {
                self.v6.contain(v6) || v6.to_ipv4_mapped().is_some_and(|v4| self.v4.contain(v4))
            }
        };
        matches.then(|| Hit::at(0..value.len()))
    }

    fn need(&self) -> Need {
        // Every address has a dot or a colon; the shortest is `::`.
        Need { bytes: vec![ByteSet::of(b".:")], min_len: 2, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        self.description.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::OperatorErrorKind;
    use super::super::tests::{built, check};
    use super::*;

    #[test]
    fn addresses_match_their_networks_only() {
        check(
            &*built("ip_match", json!(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::"])),
            &[
                (b"10.255.0.1", Some(0..10)),
                (b"10.0.0.0", Some(0..8)),
                (b"9.255.255.255", None),
                (b"11.0.0.0", None),
                (b"192.0.2.7", Some(0..9)),
                (b"192.0.2.8", None),
                (b"2001:DB8:1::1", Some(0..13)),
                (b"::", Some(0..2)),
                (b"::ffff:10.1.2.3", Some(0..15)),
                (b"2001:db9::", None),
                (b"", None),
                (b"10", None),
                (b"10.0.0.1 ", None),
                (b"example.test", None),
                (b"\xff.:", None),
            ],
        );
    }

    #[test]
    fn ipv4_inside_ipv6_is_both() {
        check(
            &*built("ip_match", json!(["::ffff:192.0.2.0/120", "::ffff:198.51.100.1"])),
            &[
                (b"192.0.2.9", Some(0..9)),
                (b"::ffff:c000:209", Some(0..15)),
                (b"192.0.3.0", None),
                (b"198.51.100.1", Some(0..12)),
            ],
        );
        check(
            &*built("ip_match", json!(["::/80"])),
            &[(b"::ffff:1.2.3.4", Some(0..14)), (b"1.2.3.4", None), (b"::1:0:0:0", None)],
        );
    }

    #[test]
    fn overlapping_networks_are_one_range() {
        check(
            &*built(
                "ip_match",
                json!(["10.0.0.0/8", "10.1.0.0/16", "10.0.0.5", "0.0.0.0/32", "255.255.255.255"]),
            ),
            &[
                (b"10.200.0.0", Some(0..10)),
                (b"10.1.0.1", Some(0..8)),
                (b"0.0.0.0", Some(0..7)),
                (b"0.0.0.1", None),
                (b"255.255.255.255", Some(0..15)),
            ],
        );
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["10.0.0.0/33", "10.0.0", "host", "10.0.0.0/"] {
            let error = build("ip_match", &json!([bad]), &Data::new()).unwrap_err();
            assert!(error.problem.contains(bad), "{error:?}");
        }
    }

    #[test]
    fn a_file_lists_networks_by_line_and_comma() {
        let content = b"# office\n10.0.0.0/8 # all of it\n\n192.0.2.7, 2001:db8::/32\n".to_vec();
        let data = Data::from([("a.txt".into(), content), ("empty.txt".into(), b"# none\n".to_vec())]);
        let operator = build_from_file("ip_match_from_file", &json!("a.txt"), &data).unwrap();
        check(&*operator, &[(b"10.1.1.1", Some(0..8)), (b"2001:db8::5", Some(0..11)), (b"192.0.2.8", None)]);
        assert_eq!(operator.describe(), "ip_match_from_file a.txt (3 networks)");
        for (file, kind) in
            [("empty.txt", OperatorErrorKind::MissingData), ("b.txt", OperatorErrorKind::MissingData)]
        {
            let error = build_from_file("ip_match_from_file", &json!(file), &data).unwrap_err();
            assert_eq!(error.kind, kind, "{file}");
        }
        let data = Data::from([("a.txt".into(), b"10.0.0.0/8\nnone\n".to_vec())]);
        let error = build_from_file("ip_match_from_file", &json!("a.txt"), &data).unwrap_err();
        assert!(error.problem.contains("`none`"), "{error:?}");
    }
}
