//! What a rule is matched against: hosts by name, domain or network, clients by network, people
//! by name. Every condition of a rule that is given must hold; within one, any entry suffices.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use ipnet::IpNet;

use super::category::{Category, HostList};
use crate::net::authority::AuthorityError;
use crate::net::{Host, authority::unmap};

/// A pattern for hosts: `name.test` that name alone, `*.name.test` every name below it,
/// `.name.test` the name and every name below it, `*` every host, `192.0.2.7` an address,
/// `10.0.0.0/8` a network (for targets given as addresses).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    Any,
    Exact(Host),
    Below(Arc<str>),
    Within(Arc<str>),
    Net(IpNet),
}

/// Why a text is not a host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("a star stands for whole labels at the start: write `*.example.com`")]
    Star,
    #[error("a pattern has no port and no scheme: write `example.com`")]
    NotAHost,
    #[error("a name with letters outside ASCII is written in its `xn--` form")]
    NotAscii,
    #[error("this is not a network: write `10.0.0.0/8`")]
    Net,
    #[error(transparent)]
    Host(#[from] AuthorityError),
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<HostPattern, PatternError> {
        if text == "*" {
            return Ok(HostPattern::Any);
        }
        if !text.is_ascii() {
            return Err(PatternError::NotAscii);
        }
        if text.contains("://") {
            return Err(PatternError::NotAHost);
        }
        if let Some(domain) = text.strip_prefix("*.") {
            return Ok(HostPattern::Below(domain_name(domain)?));
        }
        if text.contains('*') {
            return Err(PatternError::Star);
        }
        if let Some(domain) = text.strip_prefix('.') {
            return Ok(HostPattern::Within(domain_name(domain)?));
        }
        if text.contains('/') {
            return text
                .parse()
                .map(|net: IpNet| HostPattern::Net(net.trunc()))
                .map_err(|_| PatternError::Net);
        }
        // An IPv6 address is taken without brackets too: a pattern has no port to confuse it with.
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(HostPattern::Exact(Host::from(ip)));
        }
        if text.contains(':') && !text.starts_with('[') {
            return Err(PatternError::NotAHost);
        }
        Ok(HostPattern::Exact(Host::parse(text)?))
    }
}

fn domain_name(text: &str) -> Result<Arc<str>, PatternError> {
    if text.contains('*') {
        return Err(PatternError::Star);
    }
    match Host::parse(text)? {
        Host::Name(name) => Ok(name),
        Host::Ip(_) => Err(PatternError::Net),
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Any => f.write_str("*"),
            HostPattern::Exact(host) => host.fmt(f),
            HostPattern::Below(domain) => write!(f, "*.{domain}"),
            HostPattern::Within(domain) => write!(f, ".{domain}"),
            HostPattern::Net(net) => net.fmt(f),
        }
    }
}

/// A rule of a list as it is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Unique in its list; audit records name it.
    pub name: Arc<str>,
    /// With `categories` empty as well: any host.
    pub hosts: Vec<HostPattern>,
    /// Names of categories: their hosts besides `hosts`.
    pub categories: Vec<Arc<str>>,
    /// Empty: any client.
    pub clients: Vec<IpNet>,
    /// Empty: anyone, authenticated or not.
    pub identities: Vec<Arc<str>>,
    /// Why the rule is there, in its author's words; shown with the decision.
    pub note: Option<Arc<str>>,
    /// From then on the rule no longer holds. Bypass rules alone have it.
    pub expires: Option<Expiry>,
}

/// When a rule ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The first moment at which the rule does not hold.
    pub at: SystemTime,
    /// As it was written.
    pub text: Arc<str>,
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who<'a> {
    pub(super) ip: IpAddr,
    pub(super) identity: Option<&'a str>,
    pub(super) now: SystemTime,
}

/// A rule compiled for look-up.
#[derive(Debug)]
pub struct Matcher {
    pub(super) name: Arc<str>,
    pub(super) note: Option<Arc<str>>,
    hosts: Option<HostSet>,
    /// Empty also where `hosts` is all there is.
    categories: Vec<Arc<HostList>>,
    clients: Vec<IpNet>,
    identities: HashSet<Arc<str>>,
    expires: Option<SystemTime>,
}

impl Matcher {
    /// A category that is not among `categories` has no hosts; the configuration refuses such a rule before.
    pub fn new(rule: &Rule, categories: &[Category]) -> Matcher {
        let named = categories.iter().filter(|category| rule.categories.contains(&category.name));
        let any = rule.hosts.is_empty() && rule.categories.is_empty();
        Matcher {
            name: Arc::clone(&rule.name),
            note: rule.note.clone(),
            hosts: (!any).then(|| HostSet::new(&rule.hosts)),
            categories: named.map(|category| Arc::clone(&category.hosts)).collect(),
            clients: rule.clients.clone(),
            identities: rule.identities.iter().cloned().collect(),
            expires: rule.expires.as_ref().map(|expiry| expiry.at),
        }
    }

    /// Whether the rule, which has no end, holds for this host and this client.
    pub fn holds(&self, host: &Host, client: IpAddr, identity: Option<&str>) -> bool {
        self.matches(host, Who { ip: client, identity, now: SystemTime::UNIX_EPOCH })
    }

    pub(super) fn matches(&self, host: &Host, who: Who<'_>) -> bool {
        self.expires.is_none_or(|at| who.now < at)
            && self.is_for(who)
            && self.hosts.as_ref().is_none_or(|hosts| {
                hosts.contains(host) || self.categories.iter().any(|list| list.contains(host))
            })
    }

    /// Whether it names addresses, so that it matters where a name leads.
    pub(super) fn has_addresses(&self) -> bool {
        self.hosts.as_ref().is_some_and(HostSet::has_addresses)
            || self.categories.iter().any(|list| list.has_addresses())
    }

    fn is_for(&self, who: Who<'_>) -> bool {
        (self.clients.is_empty() || contains_ip(&self.clients, who.ip))
            && (self.identities.is_empty() || who.identity.is_some_and(|name| self.identities.contains(name)))
    }
}

/// True when one of the networks holds the address, whichever way it is spelt.
pub(super) fn contains_ip(nets: &[IpNet], ip: IpAddr) -> bool {
    let ip = unmap(ip);
    nets.iter().any(|net| net.contains(&ip))
}

/// Host patterns for look-up in a number of steps that depends on the host's labels, not on
/// how many patterns there are.
#[derive(Debug, Default)]
pub(super) struct HostSet {
    any: bool,
    exact: HashSet<Host>,
    below: HashSet<Arc<str>>,
    nets: Vec<IpNet>,
}

impl HostSet {
    pub(super) fn new(patterns: &[HostPattern]) -> HostSet {
        let mut set = HostSet::default();
        for pattern in patterns {
            match pattern {
                HostPattern::Any => set.any = true,
                HostPattern::Exact(host) => {
                    set.exact.insert(host.clone());
                }
                HostPattern::Below(domain) => {
                    set.below.insert(Arc::clone(domain));
                }
                HostPattern::Within(domain) => {
                    set.exact.insert(Host::Name(Arc::clone(domain)));
                    set.below.insert(Arc::clone(domain));
                }
                HostPattern::Net(net) => set.nets.push(*net),
            }
        }
        set
    }

    fn has_addresses(&self) -> bool {
        !self.nets.is_empty() || self.exact.iter().any(|host| host.ip().is_some())
    }

    pub(super) fn contains(&self, host: &Host) -> bool {
        self.any
            || self.exact.contains(host)
            || match host {
                Host::Ip(ip) => contains_ip(&self.nets, *ip),
                Host::Name(name) => {
                    !self.below.is_empty()
                        && name.match_indices('.').any(|(dot, _)| self.below.contains(&name[dot + 1..]))
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_matches_what_it_says_and_nothing_beside_it() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (
                "bank.test",
                &["bank.test", "BANK.test."],
                &["a.bank.test", "notbank.test", "bank.test.evil.test"],
            ),
            ("*.bank.test", &["a.bank.test", "a.b.bank.test"], &["bank.test", "xbank.test"]),
            (".bank.test", &["bank.test", "a.bank.test"], &["xbank.test", "test"]),
            ("*", &["bank.test", "192.0.2.1", "[2001:db8::1]"], &[]),
            ("192.0.2.1", &["192.0.2.1", "[::ffff:192.0.2.1]", "0xc0000201"], &["192.0.2.2"]),
            ("10.0.0.0/8", &["10.1.2.3"], &["11.0.0.1", "bank.test"]),
            ("2001:db8::/32", &["[2001:db8::1]"], &["[2001:db9::1]"]),
            ("2001:db8::1", &["[2001:db8::1]"], &["[2001:db8::2]"]),
        ];
        for (pattern, yes, no) in table {
            let set = HostSet::new(&[pattern.parse().unwrap()]);
            for text in *yes {
                assert!(set.contains(&host(text)), "{pattern} must match {text}");
            }
            for text in *no {
                assert!(!set.contains(&host(text)), "{pattern} must not match {text}");
            }
        }
    }

    #[test]
    fn a_pattern_reads_back_as_written_and_nonsense_is_refused() {
        for text in ["a.test", "*.a.test", ".a.test", "*", "192.0.2.1", "10.0.0.0/8", "[2001:db8::1]"] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
        let bad = [
            ("", PatternError::Host(AuthorityError::Empty)),
            ("a.*.test", PatternError::Star),
            ("*a.test", PatternError::Star),
            ("*.*.test", PatternError::Star),
            ("https://a.test", PatternError::NotAHost),
            ("a.test:443", PatternError::NotAHost),
            ("b\u{fc}cher.test", PatternError::NotAscii),
            ("10.0.0.0/33", PatternError::Net),
            ("a.test/x", PatternError::Net),
            ("*.10.0.0.1", PatternError::Net),
            ("a b", PatternError::Host(AuthorityError::Character)),
        ];
        for (text, error) in bad {
            assert_eq!(text.parse::<HostPattern>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn every_condition_of_a_rule_must_hold() {
        let rule = Rule {
            name: "r".into(),
            hosts: vec!["a.test".parse().unwrap()],
            clients: vec!["10.0.0.0/8".parse().unwrap()],
            identities: vec!["ann".into()],
            ..Rule::default()
        };
        let matcher = Matcher::new(&rule, &[]);
        let who = |ip: &str, identity| Who { ip: ip.parse().unwrap(), identity, now: SystemTime::UNIX_EPOCH };
        assert!(matcher.matches(&host("a.test"), who("10.1.1.1", Some("ann"))));
        assert!(matcher.matches(&host("a.test"), who("::ffff:10.1.1.1", Some("ann"))));
        assert!(!matcher.matches(&host("b.test"), who("10.1.1.1", Some("ann"))));
        assert!(!matcher.matches(&host("a.test"), who("11.1.1.1", Some("ann"))));
        assert!(!matcher.matches(&host("a.test"), who("10.1.1.1", Some("bob"))));
        assert!(!matcher.matches(&host("a.test"), who("10.1.1.1", None)));
    }
}
