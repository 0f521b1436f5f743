//! Host, Port and Authority: the only parser of them. Every spelling of an address that a
//! resolver would accept (octal, hexadecimal, one number) is either normalised to an
//! [`IpAddr`] here or refused, so that nothing deeper can be talked past a guard.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// A TCP port, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port(u16);

impl Port {
    pub const HTTP: Port = Port(80);
    pub const HTTPS: Port = Port(443);

    /// `None` for port 0, which no peer can listen on.
    pub fn new(port: u16) -> Option<Port> {
        (port != 0).then_some(Port(port))
    }

    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A DNS name in lower case without its trailing dot, or an IP address.
///
/// Names follow RFC 1123 with the underscore allowed (deployed names have it), at most 253
/// octets, labels of 1 to 63 octets. Names in which the last label is numeric must be IPv4
/// addresses (WHATWG URL, "ends in a number"), in any of the forms `inet_aton` takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    Name(Arc<str>),
    Ip(IpAddr),
}

/// Why a text is not a host or an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("the host is empty")]
    Empty,
    #[error("the host is longer than 253 octets")]
    TooLong,
    #[error("a label of the host is empty or longer than 63 octets")]
    Label,
    #[error("the host has a character that no host name has")]
    Character,
    #[error("the host looks like an IPv4 address but is not one")]
    Ipv4,
    #[error("the host is in brackets but is not an IPv6 address")]
    Ipv6,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("the port is missing")]
    NoPort,
}

impl Host {
    /// Parses a host as it stands in an authority (IPv6 in brackets), an SNI or a rule.
    pub fn parse(text: &str) -> Result<Host, AuthorityError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(AuthorityError::Ipv6)?;
            let ip: Ipv6Addr = inner.parse().map_err(|_| AuthorityError::Ipv6)?;
            return Ok(Host::Ip(unmap(IpAddr::V6(ip))));
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(AuthorityError::Empty);
        }
        if text.len() > 253 {
            return Err(AuthorityError::TooLong);
        }
        let mut upper = false;
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 {
                return Err(AuthorityError::Label);
            }
            for byte in label.bytes() {
                match byte {
                    b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
                    b'A'..=b'Z' => upper = true,
                    _ => return Err(AuthorityError::Character),
                }
            }
        }
        if ends_in_number(text) {
            return aton(text).map(|ip| Host::Ip(IpAddr::V4(ip))).ok_or(AuthorityError::Ipv4);
        }
        Ok(Host::Name(if upper { text.to_ascii_lowercase().into() } else { text.into() }))
    }

    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => None,
        }
    }

    pub fn name(&self) -> Option<&str> {
        match self {
            Host::Name(name) => Some(name),
            Host::Ip(_) => None,
        }
    }

    /// True when this host is `domain` or a name below it.
    pub fn is_within(&self, domain: &str) -> bool {
        self.name().is_some_and(|name| {
            name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl FromStr for Host {
    type Err = AuthorityError;
    fn from_str(text: &str) -> Result<Host, AuthorityError> {
        Host::parse(text)
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Host {
        Host::Ip(unmap(ip))
    }
}

/// `::ffff:a.b.c.d` and `a.b.c.d` are one address; guards must see one spelling.
pub fn unmap(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

fn ends_in_number(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or(text);
    last.bytes().all(|b| b.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .or_else(|| last.strip_prefix("0X"))
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `inet_aton`: one to four parts, each decimal, octal (`0`) or hexadecimal (`0x`).
fn aton(text: &str) -> Option<Ipv4Addr> {
    let mut parts = [0u64; 4];
    let mut count = 0;
    for part in text.split('.') {
        let value = if let Some(hex) = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
            if hex.is_empty() { 0 } else { u64::from_str_radix(hex, 16).ok()? }
        } else if part.len() > 1 && part.starts_with('0') {
            u64::from_str_radix(&part[1..], 8).ok()?
        } else {
            part.parse().ok()?
        };
        *parts.get_mut(count)? = value;
        count += 1;
    }
    let (last, head) = parts[..count].split_last()?;
    if head.iter().any(|&part| part > 255) || *last >= 1 << (8 * (5 - count)) {
        return None;
    }
    let mut value = *last;
    for (i, part) in head.iter().enumerate() {
        value |= part << (8 * (3 - i));
    }
    Some(Ipv4Addr::from(u32::try_from(value).ok()?))
}

/// Host and port: a CONNECT target, a Host field or an absolute-form target's authority.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority {
    pub host: Host,
    pub port: Port,
}

impl Authority {
    pub fn new(host: Host, port: Port) -> Authority {
        Authority { host, port }
    }

    /// Parses `host[:port]`; `default` stands in for a missing port, and without a default a
    /// missing port is an error (RFC 9110 section 9.3.6: CONNECT has no default port).
    pub fn parse(text: &str, default: Option<Port>) -> Result<Authority, AuthorityError> {
        let (host, port) = match text.rfind(':') {
            Some(at) if !text[at..].contains(']') => (&text[..at], Some(&text[at + 1..])),
            _ => (text, None),
        };
        let host = Host::parse(host)?;
        let port = match port {
            // RFC 3986 section 3.2.3: an empty port means the scheme's default.
            None | Some("") => default.ok_or(AuthorityError::NoPort)?,
            Some(digits) if digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().and_then(Port::new).ok_or(AuthorityError::Port)?
            }
            Some(_) => return Err(AuthorityError::Port),
        };
        Ok(Authority { host, port })
    }

    /// The text of a Host field for this authority under a scheme with that default port.
    pub fn host_field(&self, default: Port) -> String {
        if self.port == default { self.host.to_string() } else { self.to_string() }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_one_host() {
        let loopback = Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        for text in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "0177.0.0.1",
            "2130706433",
            "0x7f000001",
            "127.0.1",
            "[::ffff:127.0.0.1]",
            "127.0.0.1.",
        ] {
            let expect = if text == "127.0.1" { "127.0.0.1".parse().ok() } else { Some(loopback.clone()) };
            assert_eq!(Host::parse(text).ok(), expect, "{text}");
        }
        for text in ["256.1.1.1", "1.2.3.4.5", "0x100000000", "1.2.3.256", "09.1.1.1", "foo.1"] {
            assert_eq!(Host::parse(text), Err(AuthorityError::Ipv4), "{text}");
        }
    }

    #[test]
    fn names_are_lower_case_without_the_trailing_dot() {
        assert_eq!(Host::parse("WWW.Example.COM.").unwrap().to_string(), "www.example.com");
        for bad in ["", ".", "a..b", "a b", "a\0b", "a/b", "user@host", "a%41", "[::1", "[x]", "ex\u{e4}mple"]
        {
            assert!(Host::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Host::parse(&"a".repeat(64)).is_err());
        assert!(Host::parse(&["a"; 128].join(".")).is_err());
    }

    #[test]
    fn authority_needs_a_port_unless_there_is_a_default() {
        assert_eq!(Authority::parse("h", None), Err(AuthorityError::NoPort));
        assert_eq!(Authority::parse("h", Some(Port::HTTPS)).unwrap().to_string(), "h:443");
        assert_eq!(Authority::parse("[::1]:8443", None).unwrap().to_string(), "[::1]:8443");
        for bad in ["h:0", "h:65536", "h:+80", "h:8 0", ":80", "h:80:80"] {
            assert!(Authority::parse(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn within_respects_label_borders() {
        let host = Host::parse("a.bank.test").unwrap();
        assert!(host.is_within("bank.test") && host.is_within("a.bank.test"));
        assert!(!host.is_within("ank.test"));
    }
}
