//! `ip_match`: the value is an IP address in one of the networks. A value that is no address
//! never matches. An IPv4 address inside IPv6 (`::ffff:a.b.c.d`) counts as IPv4.
//!
//! Argument: a list of addresses and networks.
//! Example: `{"ip_match": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]}`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::net::authority::unmap;
use crate::waf::bytes::ByteSet;

use super::{Data, Hit, Need, Operator, OperatorError, list_argument};

#[derive(Debug)]
struct IpMatch {
    networks: Vec<IpNet>,
}

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    let networks = list_argument(name, argument)?
        .into_iter()
        .map(|text| {
            let one = text.parse::<IpAddr>().map(|ip| IpNet::from(unmap(ip)));
            one.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
                OperatorError::argument(
                    format!("`{text}` is neither an IP address nor a network"),
                    "write an address as 192.0.2.7, a network as 192.0.2.0/24 or 2001:db8::/32",
                )
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Box::new(IpMatch { networks }))
}

impl Operator for IpMatch {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let ip = std::str::from_utf8(value).ok()?.parse().ok().map(unmap)?;
        self.networks.iter().any(|network| network.contains(&ip)).then(|| Hit::at(0..value.len()))
    }

    fn need(&self) -> Need {
        // Every address has a dot or a colon; the shortest is `::`.
        Need { bytes: vec![ByteSet::of(b".:")], min_len: 2, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        let shown: Vec<_> = self.networks.iter().map(IpNet::to_string).collect();
        format!("ip_match {}", shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};
    use super::*;

    #[test]
    fn addresses_match_their_networks_only() {
        check(
            &*built("ip_match", json!(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::"])),
            &[
                (b"10.255.0.1", Some(0..10)),
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
    fn what_is_no_network_is_refused() {
        for bad in ["10.0.0.0/33", "10.0.0", "host", "10.0.0.0/"] {
            let error = build("ip_match", &json!([bad]), &Data::new()).unwrap_err();
            assert!(error.problem.contains(bad), "{error:?}");
        }
    }
}
