//! Names to addresses. One answer serves the policy's check and the dialling, so a name cannot
//! say one thing when it is checked and another when it is used (DNS rebinding).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use smallvec::SmallVec;

use crate::net::authority::unmap;
use crate::net::{Authority, Host, Port};

/// At most this many addresses of an answer are considered.
const ADDRESSES: usize = 16;

/// A fixed answer, as `curl --resolve` takes it, with an optional port that is dialled instead.
///
/// `HOST:ADDR`, `HOST:PORT:ADDR` or `HOST:PORT:ADDR:DIALPORT`; HOST may be `*`; an IPv6 ADDR
/// may stand in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// `None` is every host.
    pub host: Option<Host>,
    /// `None` is every port.
    pub port: Option<Port>,
    pub addr: IpAddr,
    pub dial_port: Option<Port>,
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:")?,
            None => f.write_str("*:")?,
        }
        if let Some(port) = self.port {
            write!(f, "{port}:")?;
        }
        write!(f, "{}", Host::Ip(self.addr))?;
        self.dial_port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Override, String> {
        let usage = || format!("`{text}` is not HOST:ADDR, HOST:PORT:ADDR or HOST:PORT:ADDR:DIALPORT");
        let port = |text: &str| text.parse().ok().and_then(Port::new).ok_or_else(usage);
        let (host, rest) = text.split_once(':').ok_or_else(usage)?;
        let host = match host {
            "*" => None,
            host => Some(Host::parse(host).map_err(|error| format!("`{host}`: {error}"))?),
        };
        if host.as_ref().is_some_and(|host| host.ip().is_some()) {
            return Err("the host is an address already".to_owned());
        }
        if let Some(addr) = address(rest) {
            return Ok(Override { host, port: None, addr, dial_port: None });
        }
        let (first, rest) = rest.split_once(':').ok_or_else(usage)?;
        let (addr, dial_port) = match address(rest) {
            Some(addr) => (addr, None),
            None => {
                let (addr, dial) = rest.rsplit_once(':').ok_or_else(usage)?;
                (address(addr).ok_or_else(usage)?, Some(port(dial)?))
            }
        };
        Ok(Override { host, port: Some(port(first)?), addr, dial_port })
    }
}

/// An address, an IPv6 one with or without its brackets.
fn address(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    inner.parse().ok().map(unmap)
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("there is no address for {0}")]
    NotFound(Host),
    /// The name exists, for mail or as a domain above others, and has no address.
    #[error("{0} exists in DNS but has no address")]
    NoAddress(Host),
    #[error("the name servers did not answer for {0}: {1}")]
    Failed(Host, String),
    #[error("the name servers did not answer for {0} within {1:?}")]
    Timeout(Host, Duration),
}

impl ResolveError {
    pub fn code(&self) -> &'static str {
        match self {
            ResolveError::NotFound(_) | ResolveError::NoAddress(_) => "dns_nxdomain",
            ResolveError::Failed(..) | ResolveError::Timeout(..) => "dns_timeout",
        }
    }
}

/// The addresses of one authority, in the order to try them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub addrs: SmallVec<[IpAddr; 4]>,
    /// Set by an override alone.
    pub dial_port: Option<Port>,
}

/// Who says which addresses a host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The host is an address.
    Itself,
    /// The configuration.
    Override,
    /// The system's name service, by these servers.
    System(Vec<IpAddr>),
}

/// The system's name service behind overrides.
pub struct Resolver {
    dns: TokioResolver,
    servers: Vec<IpAddr>,
    overrides: Vec<Override>,
    timeout: Duration,
}

impl Resolver {
    /// Reads the system's resolver configuration (`/etc/resolv.conf`, `/etc/hosts`).
    pub fn new(overrides: Vec<Override>, timeout: Duration) -> Result<Resolver, String> {
        let mut builder = TokioResolver::builder_tokio()
            .map_err(|error| format!("the system's name service configuration cannot be read: {error}"))?;
        let servers = system_servers();
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = timeout / 2;
        options.attempts = 2;
        options.cache_size = 8192;
        options.negative_max_ttl = Some(Duration::from_secs(5));
        options.positive_max_ttl = Some(Duration::from_secs(300));
        let dns = builder.build().map_err(|error| format!("the resolver cannot be set up: {error}"))?;
        Ok(Resolver { dns, servers, overrides, timeout })
    }

    /// Who would be asked for an authority's addresses.
    pub fn source(&self, authority: &Authority) -> Source {
        match &authority.host {
            _ if !self.fixed(authority).is_empty() => Source::Override,
            Host::Ip(_) => Source::Itself,
            Host::Name(_) => Source::System(self.servers.clone()),
        }
    }

    fn fixed(&self, authority: &Authority) -> SmallVec<[&Override; 2]> {
        let is_for = |o: &&Override| {
            o.host.as_ref().is_none_or(|host| *host == authority.host)
                && o.port.is_none_or(|port| port == authority.port)
        };
        self.overrides.iter().filter(is_for).collect()
    }

    pub async fn resolve(&self, authority: &Authority) -> Result<Answer, ResolveError> {
        let fixed = self.fixed(authority);
        if let Some(first) = fixed.first() {
            let dial_port = first.dial_port;
            return Ok(Answer { addrs: fixed.iter().map(|o| o.addr).collect(), dial_port });
        }
        let name = match &authority.host {
            Host::Ip(ip) => return Ok(Answer { addrs: SmallVec::from_slice(&[*ip]), dial_port: None }),
            Host::Name(name) => name,
        };
        let host = &authority.host;
        // The final dot keeps search domains out: the name that was checked is the name asked for.
        let lookup = tokio::time::timeout(self.timeout, self.dns.lookup_ip(format!("{name}.")))
            .await
            .map_err(|_| ResolveError::Timeout(host.clone(), self.timeout))?
            .map_err(|error| match &error {
                NetError::Timeout => ResolveError::Timeout(host.clone(), self.timeout),
                _ if error.is_nx_domain() => ResolveError::NotFound(host.clone()),
                _ if error.is_no_records_found() && !error.to_string().contains("ServFail") => {
                    ResolveError::NoAddress(host.clone())
                }
                _ => ResolveError::Failed(host.clone(), error.to_string()),
            })?;
        let addrs: SmallVec<[IpAddr; 4]> = lookup.iter().take(ADDRESSES).collect();
        if addrs.is_empty() {
            return Err(ResolveError::NoAddress(host.clone()));
        }
        Ok(Answer { addrs, dial_port: None })
    }
}

/// The name servers of the system, to be named in messages.
fn system_servers() -> Vec<IpAddr> {
    hickory_resolver::system_conf::read_system_conf()
        .map(|(config, _)| config.name_servers().iter().map(|server| server.ip).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_read_as_curl_writes_them() {
        let parse = |text: &str| text.parse::<Override>();
        let full = parse("a.test:443:127.0.0.1:9443").unwrap();
        assert_eq!((full.port, full.dial_port), (Port::new(443), Port::new(9443)));
        assert_eq!(parse("a.test:127.0.0.1").unwrap().port, None);
        assert_eq!(
            parse("*:443:[::1]:9443").unwrap(),
            Override {
                host: None,
                port: Port::new(443),
                addr: "::1".parse().unwrap(),
                dial_port: Port::new(9443)
            }
        );
        assert_eq!(parse("a.test:[::1]").unwrap().addr, "::1".parse::<IpAddr>().unwrap());
        for bad in [
            "",
            "a.test",
            "a.test:",
            "a.test:x",
            "a.test:0:127.0.0.1",
            "a.test:443:127.0.0.1:0",
            "a b:127.0.0.1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
