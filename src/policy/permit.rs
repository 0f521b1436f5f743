//! Proof that policy allowed something. A [`Permit`] has private fields and is made in this
//! module's parent only; whoever dials or relays takes one as an argument, so a path that
//! forgot to ask does not compile.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use super::address::AddressGuard;
use super::matching::Who;
use super::verdict::Denial;
use crate::net::{Authority, Entry, Host, OriginAddr, Port};

/// Leave to reach one origin for one client.
#[derive(Clone, Debug)]
pub struct Permit {
    pub(super) target: Authority,
    pub(super) dial: Authority,
    pub(super) leads: Option<Arc<Leads>>,
    pub(super) server_name: Host,
    pub(super) channel: Channel,
    pub(super) passage: Passage,
    pub(super) verification: VerificationId,
    pub(super) guard: Arc<AddressGuard>,
    pub(super) subject: Arc<Subject>,
}

/// Where a name led when it was judged. It could lead elsewhere the next time it is asked, so that these addresses
/// are what is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leads {
    /// In the order to try them.
    pub addresses: Vec<IpAddr>,
    /// Dialled instead of the permit's port, where the configuration says so.
    pub port: Option<Port>,
}

/// What may be done with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Passage {
    /// Requests that were inspected.
    Inspect,
    /// Bytes unread.
    Tunnel,
}

/// What the client's connection turned out to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Plain,
    Tls,
}

/// Which rules an origin's certificate is verified by. Connections that were verified by
/// different ones are never shared; whoever builds the verifier gives the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VerificationId(pub u64);

/// Who the permit is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) ip: IpAddr,
    pub(super) entry: Entry,
    pub(super) identity: Option<Box<str>>,
    /// When the target was asked for.
    pub(super) now: SystemTime,
}

impl Subject {
    pub(super) fn who(&self) -> Who<'_> {
        Who { ip: self.ip, identity: self.identity.as_deref(), now: self.now }
    }
}

impl Permit {
    /// What the client asked for.
    pub fn target(&self) -> &Authority {
        &self.target
    }

    /// What is dialled: a name to resolve, or an address. It is the target except where a
    /// client's address cannot be trusted to belong to the name it goes by.
    pub fn dial(&self) -> &Authority {
        &self.dial
    }

    /// The addresses of [`Permit::dial`], where they were judged already: nobody is to be asked for them again.
    pub fn leads(&self) -> Option<&Leads> {
        self.leads.as_deref()
    }

    /// The host that the origin's certificate must prove, and the name sent as SNI.
    pub fn server_name(&self) -> &Host {
        &self.server_name
    }

    pub fn passage(&self) -> Passage {
        self.passage
    }

    pub fn verification(&self) -> VerificationId {
        self.verification
    }

    pub fn entry(&self) -> Entry {
        self.subject.entry
    }

    pub fn client_ip(&self) -> IpAddr {
        self.subject.ip
    }

    pub fn identity(&self) -> Option<&str> {
        self.subject.identity.as_deref()
    }

    /// Checks an address that [`Permit::dial`] resolved to. The answer is the only thing that
    /// can be dialled, so the address that was checked is the one connected to; each new
    /// connection asks anew.
    pub fn check_address(&self, ip: IpAddr) -> Result<DialPermit, Denial> {
        let addr = OriginAddr::new(SocketAddr::new(ip, self.dial.port.get()));
        self.guard.check(addr)?;
        self.guard.denied(&Host::Ip(addr.ip()), self.subject.who())?;
        Ok(DialPermit { addr })
    }
}

/// Leave to connect to one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialPermit {
    addr: OriginAddr,
}

impl DialPermit {
    pub fn addr(self) -> OriginAddr {
        self.addr
    }
}
