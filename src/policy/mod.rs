//! Pure decisions: who may go where, and what is read on the way. A [`Policy`] is an immutable
//! snapshot that answers at three moments: when a target is asked for, when a ClientHello
//! shows a name, and at each request. It reads no clock, no file and no socket.
//!
//! A denial wins over everything, and where target, SNI and Host disagree the strictest
//! answer for any of the names holds.

mod address;
mod bypass;
mod category;
pub mod distrust;
mod fail;
mod matching;
mod permit;
#[cfg(test)]
mod tests;
mod unread;
mod verdict;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use address::{AddressClass, classify};
pub use category::{Category, HostList, ListError};
pub use fail::{
    AuditFull, ClientCertificate, EngineError, FailModes, NotHttp, OriginError, OutsideCa, Oversize,
    SilentTunnel, Undecoded, Unparsable,
};
pub use matching::{Expiry, HostPattern, Matcher, PatternError, Rule};
pub use permit::{DialPermit, Leads, Passage, Permit, VerificationId};
pub use verdict::{Answer, Denial, Reason, RequestAnswer};

use crate::net::hello::Sni;
use crate::net::{Authority, Entry, Hello, Host, Port};
use address::AddressGuard;
use bypass::BypassList;
use matching::{HostSet, Who, contains_ip};
use permit::{Channel, Subject};

/// What a policy is made from. The default is a gateway's: everything is inspected, what
/// cannot be is refused, and nothing inside the operator's own networks is reachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Networks whose clients are served; empty serves every client. Loopback clients are
    /// served in any case.
    pub client_networks: Vec<IpNet>,
    /// What happens to a tunnel by its target's port.
    pub ports: BTreeMap<Port, PortAction>,
    /// The same for ports that `ports` does not list.
    pub other_ports: PortAction,
    /// `http://` requests in absolute form may go to any port from 1024 on that `ports` does
    /// not deny: they are HTTP and inspected whatever the port. Below 1024 only listed ports,
    /// because other protocols live there (mail above all) and can be talked to in HTTP's words.
    pub forward_high_ports: bool,
    /// Networks that may be reached although they are not public.
    pub allow_private: Vec<IpNet>,
    /// Refused targets.
    pub deny: Vec<Rule>,
    /// When there is one, a target must match one of these.
    pub allow: Vec<Rule>,
    /// Targets relayed unread.
    pub bypass: Vec<Rule>,
    /// Lists of hosts that rules name.
    pub categories: Vec<Category>,
    /// A tunnel in which the origin shows a certificate for another name.
    pub tunnel_name_mismatch: NameMismatch,
    /// Target, SNI and Host that disagree.
    pub fronting: Fronting,
    /// Disagreements that are fine although `fronting` is `deny`.
    pub fronting_allow: Vec<FrontingRule>,
    pub fail: FailModes,
    /// Where this process listens: never dialled.
    pub own_listeners: Vec<SocketAddr>,
    /// This machine's addresses, for listeners on the unspecified address.
    pub own_addresses: Vec<IpAddr>,
    /// Goes into every permit.
    pub verification: VerificationId,
}

impl Default for Config {
    fn default() -> Config {
        let inspected = [80, 443, 8443].into_iter().filter_map(Port::new);
        Config {
            client_networks: Vec::new(),
            ports: inspected.map(|port| (port, PortAction::Inspect)).collect(),
            other_ports: PortAction::Deny,
            forward_high_ports: true,
            allow_private: Vec::new(),
            deny: Vec::new(),
            allow: Vec::new(),
            bypass: Vec::new(),
            categories: Vec::new(),
            tunnel_name_mismatch: NameMismatch::Record,
            fronting: Fronting::Deny,
            fronting_allow: Vec::new(),
            fail: FailModes::default(),
            own_listeners: Vec::new(),
            own_addresses: Vec::new(),
            verification: VerificationId::default(),
        }
    }
}

/// What happens to a tunnel to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortAction {
    Inspect,
    Tunnel,
    Deny,
}

impl Config {
    /// Bypass rules that no longer hold, by name and date as written.
    pub fn expired(&self, now: SystemTime) -> impl Iterator<Item = (&str, &str)> {
        let expiries = self.bypass.iter().filter_map(|rule| Some((rule, rule.expires.as_ref()?)));
        expiries
            .filter(move |(_, expiry)| expiry.at <= now)
            .map(|(rule, expiry)| (&*rule.name, &*expiry.text))
    }
}

/// What happens to a tunnel whose origin shows a certificate that is not for the name the client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameMismatch {
    /// The audit record says so. The client judges the certificate itself: nothing is decrypted.
    Record,
    /// The connection is closed before the client has the certificate.
    Close,
}

/// What happens when the names of one connection disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fronting {
    /// Refuse: 421 for a request, so that an honest client tries again on its own connection.
    Deny,
    /// Go to the target all the same; each name is still checked against `deny` and `allow`.
    Allow,
}

/// Hosts that may be asked for on connections opened for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontingRule {
    pub targets: Vec<HostPattern>,
    pub hosts: Vec<HostPattern>,
}

/// Who asks, and by which way.
#[derive(Clone, Copy, Debug)]
pub struct ClientFacts<'a> {
    pub ip: IpAddr,
    pub entry: Entry,
    pub identity: Option<&'a str>,
    /// Rules may end at a date.
    pub now: SystemTime,
}

/// The bytes of a tunnel when they are not a ClientHello and not HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opaque {
    /// There were bytes, of neither.
    NotHttp,
    /// There were none in time.
    Silent,
}

/// An immutable snapshot of all decisions.
#[derive(Debug)]
pub struct Policy {
    client_networks: Vec<IpNet>,
    ports: BTreeMap<Port, PortAction>,
    other_ports: PortAction,
    forward_high_ports: bool,
    allow: Vec<Matcher>,
    bypass: BypassList,
    tunnel_name_mismatch: NameMismatch,
    fronting: Fronting,
    fronting_allow: Vec<(HostSet, HostSet)>,
    fail: FailModes,
    guard: Arc<AddressGuard>,
    verification: VerificationId,
}

impl Policy {
    pub fn new(config: &Config) -> Policy {
        let matchers =
            |rules: &[Rule]| rules.iter().map(|rule| Matcher::new(rule, &config.categories)).collect();
        Policy {
            client_networks: config.client_networks.clone(),
            ports: config.ports.clone(),
            other_ports: config.other_ports,
            forward_high_ports: config.forward_high_ports,
            allow: matchers(&config.allow),
            bypass: BypassList::new(&config.bypass, &config.categories),
            tunnel_name_mismatch: config.tunnel_name_mismatch,
            fronting: config.fronting,
            fronting_allow: config
                .fronting_allow
                .iter()
                .map(|rule| (HostSet::new(&rule.targets), HostSet::new(&rule.hosts)))
                .collect(),
            fail: config.fail,
            guard: Arc::new(AddressGuard {
                allow_private: config.allow_private.clone(),
                own_listeners: config.own_listeners.clone(),
                own_addresses: config.own_addresses.clone(),
                deny: matchers(&config.deny),
            }),
            verification: config.verification,
        }
    }

    /// Whether clients are served by their network, so that those who cannot be asked for a name
    /// may be served too.
    pub fn lists_clients(&self) -> bool {
        !self.client_networks.is_empty()
    }

    /// The outcomes of what cannot be done as it should.
    pub fn fail(&self) -> &FailModes {
        &self.fail
    }

    /// Whether a client may use this proxy at all; asked before anything is read from it.
    pub fn client(&self, ip: IpAddr) -> Result<(), Denial> {
        let ip = crate::net::authority::unmap(ip);
        if self.client_networks.is_empty() || ip.is_loopback() || contains_ip(&self.client_networks, ip) {
            Ok(())
        } else {
            Err(Denial::ClientNotAllowed { ip })
        }
    }

    /// A tunnel is asked for: CONNECT, SOCKS5, or a redirected connection.
    pub fn connect(&self, client: &ClientFacts<'_>, target: &Authority) -> Answer {
        let action = self.ports.get(&target.port).copied().unwrap_or(self.other_ports);
        if let Err(denial) = self.reachable(client, target) {
            return Answer::Deny(denial);
        }
        let who = client.who();
        if action == PortAction::Deny {
            return Answer::Deny(Denial::PortDenied { port: target.port });
        }
        if let Some(reason) = self.bypass.find(&target.host, who) {
            return self.tunnel_target(client, target, reason);
        }
        if action == PortAction::Tunnel {
            return self.tunnel_target(client, target, Reason::Port(target.port));
        }
        // An address may go by an allowed name, which shows in the SNI or the Host field only.
        if target.host.ip().is_none()
            && let Err(denial) = self.allowed(&target.host, who)
        {
            return Answer::Deny(denial);
        }
        Answer::Inspect(self.permit(client, target, Passage::Inspect))
    }

    /// A request in absolute form is to be forwarded: plain HTTP, read in any case.
    pub fn forward(&self, client: &ClientFacts<'_>, target: &Authority) -> RequestAnswer {
        let port = target.port;
        let open = match self.ports.get(&port) {
            Some(action) => *action != PortAction::Deny,
            None => self.other_ports != PortAction::Deny || self.forward_high_ports && port.get() >= 1024,
        };
        let answer = self
            .reachable(client, target)
            .and(if open { Ok(()) } else { Err(Denial::PortDenied { port }) })
            .and_then(|()| self.allowed(&target.host, client.who()));
        match answer {
            Ok(()) => RequestAnswer::Proceed(self.permit(client, target, Passage::Inspect)),
            Err(denial) => RequestAnswer::Deny(denial),
        }
    }

    /// A ClientHello arrived in a tunnel.
    pub fn hello(&self, mut permit: Permit, hello: &Hello) -> Answer {
        let sni = match &hello.sni {
            Sni::Absent => None,
            // RFC 6066 section 3 forbids addresses; clients that send the target's own
            // address meant nothing by it.
            Sni::Name(host @ Host::Ip(_)) if *host == permit.target.host => None,
            Sni::Name(Host::Ip(_)) | Sni::Invalid => return Answer::Deny(Denial::SniInvalid),
            Sni::Name(host) => Some(host),
        };
        permit.channel = Channel::Tls;
        let subject = Arc::clone(&permit.subject);
        let who = subject.who();
        if let Some(sni) = sni {
            if let Err(denial) = self.guard.denied(sni, who) {
                return Answer::Deny(denial);
            }
            if permit.target.host.ip().is_some() {
                permit.server_name = sni.clone();
                if let Some(reason) = self.bypass.find(sni, who) {
                    if let Err(denial) = self.allowed(sni, who) {
                        return Answer::Deny(denial);
                    }
                    // Nobody will verify who answers in an opaque tunnel, so the name that
                    // earned the bypass is what is dialled, and not the client's address.
                    permit.dial = Authority::new(sni.clone(), permit.target.port);
                    permit.passage = Passage::Tunnel;
                    return Answer::Tunnel(permit, reason);
                }
            } else if *sni != permit.target.host && !self.fronting_allowed(&permit.target.host, sni) {
                return Answer::Deny(Denial::SniMismatch { sni: sni.clone(), target: permit.target });
            }
            if let Err(denial) = self.allowed(sni, who) {
                return Answer::Deny(denial);
            }
        } else if let Err(denial) = self.allowed(&permit.target.host, who) {
            return Answer::Deny(denial);
        }
        if !hello.is_http() {
            return self.not_http(permit, Reason::Alpn, Denial::AlpnNotHttp);
        }
        Answer::Inspect(permit)
    }

    /// A ClientHello was answered with `Inspect`, but our CA may not issue for `host`.
    pub fn outside_ca(&self, mut permit: Permit, host: &Host, constraint: String) -> Answer {
        match self.fail.outside_ca_constraints {
            OutsideCa::Deny => Answer::Deny(Denial::OutsideCa { host: host.clone(), constraint }),
            OutsideCa::Tunnel => {
                // As for a bypass: nobody will verify who answers, so the name is dialled.
                if permit.target.host.ip().is_some() && host.ip().is_none() {
                    permit.dial = Authority::new(host.clone(), permit.target.port);
                }
                self.tunnel(permit, Reason::OutsideCa)
            }
        }
    }

    /// What came in a tunnel can be neither decrypted nor read.
    pub fn opaque(&self, permit: Permit, what: Opaque) -> Answer {
        match what {
            Opaque::NotHttp => self.not_http(permit, Reason::NotHttp, Denial::NotHttp),
            Opaque::Silent => match self.fail.silent_tunnel {
                SilentTunnel::Close => Answer::Deny(Denial::Silent),
                SilentTunnel::Tunnel => self.tunnel(permit, Reason::Silent),
            },
        }
    }

    /// TLS whose origin asked for a client certificate a short while ago.
    pub fn asks_for_certificate(&self, permit: Permit) -> Answer {
        match self.fail.client_certificate {
            ClientCertificate::Tunnel => self.tunnel(permit, Reason::ClientCertificate),
            ClientCertificate::Empty | ClientCertificate::Block => Answer::Inspect(permit),
        }
    }

    /// A request arrived; `host` is its Host field or `:authority`, with the scheme's port
    /// where it has none. The target is judged again, so that a reloaded policy holds for the
    /// next request of a connection that is open already.
    pub fn request(&self, permit: &Permit, host: &Authority) -> RequestAnswer {
        match self.judge_request(permit, host) {
            Ok(permit) => RequestAnswer::Proceed(permit),
            Err(denial) => RequestAnswer::Deny(denial),
        }
    }

    fn judge_request(&self, permit: &Permit, host: &Authority) -> Result<Permit, Denial> {
        let who = permit.subject.who();
        let target = &permit.target;
        self.guard.denied(&target.host, who)?;
        if host.host != target.host {
            self.guard.denied(&host.host, who)?;
        }
        if permit.server_name != target.host && permit.server_name != host.host {
            self.guard.denied(&permit.server_name, who)?;
        }
        let mut permit = permit.clone();
        permit.guard = Arc::clone(&self.guard);
        permit.verification = self.verification;
        let plain = permit.channel == Channel::Plain;
        if host.host != permit.server_name {
            // On a plain connection to an address only the Host field has a name for it.
            let names_address = plain && permit.target.host.ip().is_some() && host.host.ip().is_none();
            if names_address {
                permit.server_name = host.host.clone();
            } else if !self.fronting_allowed(&permit.server_name, &host.host) {
                return Err(mismatch(&permit, host));
            }
        }
        // Clients that leave a port out mean the connection's; any other port is a claim.
        let default = if plain { Port::HTTP } else { Port::HTTPS };
        if host.port != permit.target.port && host.port != default {
            return Err(mismatch(&permit, host));
        }
        self.allowed(&host.host, who)?;
        if permit.server_name != host.host {
            self.allowed(&permit.server_name, who)?;
        }
        // With an allow list, a Host field on a plain connection to an address would be an
        // unproven claim to be on it: dial what it names.
        if !self.allow.is_empty() && plain && permit.target.host.ip().is_some() {
            permit.dial = Authority::new(permit.server_name.clone(), permit.target.port);
        }
        Ok(permit)
    }

    fn tunnel_target(&self, client: &ClientFacts<'_>, target: &Authority, reason: Reason) -> Answer {
        match self.allowed(&target.host, client.who()) {
            Ok(()) => Answer::Tunnel(self.permit(client, target, Passage::Tunnel), reason),
            Err(denial) => Answer::Deny(denial),
        }
    }

    fn not_http(&self, permit: Permit, reason: Reason, denial: Denial) -> Answer {
        match self.fail.not_http {
            NotHttp::Deny => Answer::Deny(denial),
            NotHttp::Tunnel => self.tunnel(permit, reason),
        }
    }

    /// From a permit to inspect to one to relay; the allow list, if any, may still be owed.
    fn tunnel(&self, mut permit: Permit, reason: Reason) -> Answer {
        let judged = if permit.channel == Channel::Tls { &permit.server_name } else { &permit.target.host };
        if let Err(denial) = self.allowed(judged, permit.subject.who()) {
            return Answer::Deny(denial);
        }
        if !self.allow.is_empty() && permit.server_name != permit.target.host {
            permit.dial = Authority::new(permit.server_name.clone(), permit.target.port);
        }
        permit.passage = Passage::Tunnel;
        Answer::Tunnel(permit, reason)
    }

    /// What holds for every target, whatever is to be done with it.
    fn reachable(&self, client: &ClientFacts<'_>, target: &Authority) -> Result<(), Denial> {
        self.client(client.ip)?;
        self.guard.denied(&target.host, client.who())?;
        match &target.host {
            Host::Ip(ip) => {
                let addr = crate::net::OriginAddr::new(SocketAddr::new(*ip, target.port.get()));
                self.guard.check(addr)
            }
            // RFC 6761 section 6.3: these names mean loopback, whatever a resolver says.
            host if host.is_within("localhost") && !self.guard.allows_loopback() => {
                Err(Denial::LocalName { host: host.clone() })
            }
            Host::Name(_) => Ok(()),
        }
    }

    fn allowed(&self, host: &Host, who: Who<'_>) -> Result<(), Denial> {
        if self.allow.is_empty() || self.allow.iter().any(|rule| rule.matches(host, who)) {
            Ok(())
        } else {
            Err(Denial::HostNotAllowed { host: host.clone() })
        }
    }

    fn fronting_allowed(&self, target: &Host, host: &Host) -> bool {
        self.fronting == Fronting::Allow
            || self
                .fronting_allow
                .iter()
                .any(|(targets, hosts)| targets.contains(target) && hosts.contains(host))
    }

    fn permit(&self, client: &ClientFacts<'_>, target: &Authority, passage: Passage) -> Permit {
        Permit {
            target: target.clone(),
            dial: target.clone(),
            leads: None,
            server_name: target.host.clone(),
            channel: Channel::Plain,
            passage,
            verification: self.verification,
            guard: Arc::clone(&self.guard),
            subject: Arc::new(Subject {
                ip: client.ip,
                entry: client.entry,
                identity: client.identity.map(Box::from),
                now: client.now,
            }),
        }
    }
}

impl<'a> ClientFacts<'a> {
    fn who(&self) -> Who<'a> {
        Who { ip: self.ip, identity: self.identity, now: self.now }
    }
}

fn mismatch(permit: &Permit, host: &Authority) -> Denial {
    let expected = Authority::new(permit.server_name.clone(), permit.target.port);
    Denial::HostMismatch { host: host.clone(), expected }
}
