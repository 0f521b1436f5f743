//! Decisions about tunnels that are not decrypted: the name in a ClientHello is judged in them as well, and bypass
//! rules that name networks hold for names that lead there.

use std::net::IpAddr;
use std::sync::Arc;

use super::permit::Channel;
use super::{Answer, Denial, Leads, NameMismatch, Passage, Permit, Policy, Reason};
use crate::net::hello::Sni;
use crate::net::{Hello, Host};

impl Policy {
    /// Whether it matters for the bypass list where this name leads.
    pub fn asks_where(&self, permit: &Permit) -> bool {
        self.bypass.has_addresses && permit.dial.host.ip().is_none()
    }

    /// The name of a connection that is to be inspected leads there. When each of the addresses is on the bypass
    /// list, the connection is relayed to one of them.
    pub fn leads_to(&self, permit: &Permit, leads: Leads) -> Option<(Permit, Reason)> {
        let who = permit.subject.who();
        let listed = |ip: &IpAddr| self.bypass.find(&Host::from(*ip), who);
        let reason = listed(leads.addresses.first()?)?;
        if !leads.addresses.iter().all(|ip| listed(ip).is_some()) {
            return None;
        }
        let leads = Some(Arc::new(leads));
        Some((Permit { leads, passage: Passage::Tunnel, ..permit.clone() }, reason))
    }

    /// A tunnel was to be relayed because its client said nothing, and now the client begins before the origin
    /// did: that is looked at as if it had come at once.
    pub fn began(&self, permit: &Permit) -> Permit {
        Permit { passage: Passage::Inspect, ..permit.clone() }
    }

    /// A ClientHello arrived in a tunnel that is relayed unread since its target was asked for: every name in
    /// it is judged all the same, and the strictest answer for any of them holds. A tunnel whose names disagree,
    /// where that is allowed, stays unread only when each of them is on the bypass list.
    pub fn tunnelled(&self, permit: &Permit, reason: &Reason, hello: &Hello) -> Answer {
        // Silence is no leave for TLS.
        if *reason == Reason::Silent {
            return Answer::Inspect(self.began(permit));
        }
        let mut permit = permit.clone();
        let tunnel = |permit| Answer::Tunnel(permit, reason.clone());
        let sni = match &hello.sni {
            Sni::Absent => return tunnel(permit),
            Sni::Name(host) if *host == permit.target.host => return tunnel(permit),
            Sni::Name(Host::Ip(_)) | Sni::Invalid => return Answer::Deny(Denial::SniInvalid),
            Sni::Name(host) => host,
        };
        let subject = Arc::clone(&permit.subject);
        let who = subject.who();
        if let Err(denial) = self.guard.denied(sni, who).and_then(|()| self.allowed(sni, who)) {
            return Answer::Deny(denial);
        }
        // An address has no name of its own: it was let through as an address, and goes by this name.
        if permit.target.host.ip().is_some() {
            permit.server_name = sni.clone();
            return tunnel(permit);
        }
        if !self.fronting_allowed(&permit.target.host, sni) {
            return Answer::Deny(Denial::SniMismatch { sni: sni.clone(), target: permit.target });
        }
        if matches!(reason, Reason::Bypass { .. }) && self.bypass.find(sni, who).is_none() {
            permit.channel = Channel::Tls;
            permit.passage = Passage::Inspect;
            return if hello.is_http() {
                Answer::Inspect(permit)
            } else {
                self.not_http(permit, Reason::Alpn, Denial::AlpnNotHttp)
            };
        }
        tunnel(permit)
    }

    /// A tunnel's origin showed a certificate that is not for `name`.
    pub fn tunnel_name_mismatch(&self, name: &Host) -> Result<(), Denial> {
        match self.tunnel_name_mismatch {
            NameMismatch::Record => Ok(()),
            NameMismatch::Close => Err(Denial::TunnelName { name: name.clone() }),
        }
    }
}
