//! Policy's answers as values: inspect, tunnel or deny, each with its reason. What a denial
//! looks like on the wire (a status, a page, a TLS alert) is decided elsewhere, by a match on
//! these variants.

use std::net::IpAddr;
use std::sync::Arc;

use super::address::AddressClass;
use super::permit::Permit;
use crate::net::{Authority, Host, OriginAddr, Port};

/// The answer to a connection: its target, or its ClientHello.
#[derive(Clone, Debug)]
#[must_use]
pub enum Answer {
    /// Decrypt, look at every request, then pass it on.
    Inspect(Permit),
    /// Relay bytes unread, and say in the audit record why.
    Tunnel(Permit, Reason),
    /// Refuse.
    Deny(Denial),
}

/// The answer to one request on an inspected connection.
#[derive(Clone, Debug)]
#[must_use]
pub enum RequestAnswer {
    /// This request may go to the origin; the permit names the host it is for.
    Proceed(Permit),
    Deny(Denial),
}

/// Why a connection is relayed unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A rule of the do-not-decrypt list, by its name, and what its author wrote.
    Bypass { rule: Arc<str>, note: Option<Arc<str>> },
    /// The port table says `tunnel` for this port.
    Port(Port),
    /// The client's ALPN offers nothing that we can read, and policy lets it through.
    Alpn,
    /// The bytes are neither TLS nor HTTP, and policy lets them through.
    NotHttp,
    /// The client waits for the server to speak first, and policy lets it.
    Silent,
    /// Our CA may not issue for this host, and policy lets it through unread.
    OutsideCa,
    /// The origin asked for a client certificate, which only the client can show.
    ClientCertificate,
}

impl Reason {
    /// The stable name in audit records and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::Bypass { .. } => "bypass",
            Reason::Port(_) => "port",
            Reason::Alpn => "alpn_not_http",
            Reason::NotHttp => "not_http",
            Reason::Silent => "silent",
            Reason::OutsideCa => "ca_constraints",
            Reason::ClientCertificate => "client_certificate",
        }
    }
}

impl Reason {
    /// The rule that decided, by its name.
    pub fn rule(&self) -> Option<&Arc<str>> {
        match self {
            Reason::Bypass { rule, .. } => Some(rule),
            _ => None,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Bypass { rule, note: None } => write!(f, "bypass rule `{rule}`"),
            Reason::Bypass { rule, note: Some(note) } => write!(f, "bypass rule `{rule}`: {note}"),
            Reason::Port(port) => write!(f, "policy relays port {port} unread"),
            Reason::Alpn => f.write_str("the client's ALPN offers no HTTP, and policy relays that unread"),
            Reason::NotHttp => f.write_str("neither TLS nor HTTP, and policy relays that unread"),
            Reason::OutsideCa => {
                f.write_str("the CA may not issue for this host, and policy relays that unread")
            }
            Reason::Silent => f.write_str("the client sent nothing, and policy relays that unread"),
            Reason::ClientCertificate => {
                f.write_str("the origin asked for a client certificate, and policy relays such hosts unread")
            }
        }
    }
}

/// Why policy refuses. Every variant has a [`Denial::code`], which never changes, and a
/// [`Denial::help`], which tells the operator what would let it through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("clients at {ip} may not use this proxy")]
    ClientNotAllowed { ip: IpAddr },
    #[error("{host} is denied by rule `{rule}`{}", note.as_ref().map(|n| format!(": {n}")).unwrap_or_default())]
    HostDenied { host: Host, rule: Arc<str>, note: Option<Arc<str>> },
    #[error("{host} is not on the list of allowed hosts")]
    HostNotAllowed { host: Host },
    #[error("connections to port {port} are not allowed")]
    PortDenied { port: Port },
    #[error("{ip} is {class}, and such destinations are not allowed")]
    AddressDenied { ip: IpAddr, class: AddressClass },
    #[error("{host} stands for this machine itself, and such destinations are not allowed")]
    LocalName { host: Host },
    #[error("{addr} is this proxy's own listener")]
    OwnListener { addr: OriginAddr },
    #[error("the server name in the ClientHello is not one DNS name")]
    SniInvalid,
    #[error("the ClientHello names {sni}, but the connection was opened for {target}")]
    SniMismatch { sni: Host, target: Authority },
    #[error("the request is for {host}, but the connection was opened for {expected}")]
    HostMismatch { host: Authority, expected: Authority },
    #[error("the CA may not issue for {host}: {constraint}")]
    OutsideCa { host: Host, constraint: String },
    #[error("the certificate that the origin shows is not for {name}")]
    TunnelName { name: Host },
    #[error("the client's ALPN offers no HTTP")]
    AlpnNotHttp,
    #[error("the connection carries neither TLS nor HTTP")]
    NotHttp,
    #[error("the client opened a tunnel and sent nothing")]
    Silent,
    /// What is to be inspected begins where the client has bytes of the origin already.
    #[error(
        "the client begins TLS that is to be inspected after the origin spoke, which is too late for that"
    )]
    SpokeFirst,
}

impl Denial {
    /// The stable name in audit records and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Denial::ClientNotAllowed { .. } => "client_not_allowed",
            Denial::HostDenied { .. } => "host_denied",
            Denial::HostNotAllowed { .. } => "host_not_allowed",
            Denial::PortDenied { .. } => "port_denied",
            Denial::AddressDenied { .. } => "address_denied",
            Denial::LocalName { .. } => "local_name",
            Denial::OwnListener { .. } => "own_listener",
            Denial::SniInvalid => "sni_invalid",
            Denial::SniMismatch { .. } => "sni_mismatch",
            Denial::HostMismatch { .. } => "host_mismatch",
            Denial::OutsideCa { .. } => "ca_constraints",
            Denial::TunnelName { .. } => "tunnel_name",
            Denial::AlpnNotHttp => "alpn_not_http",
            Denial::NotHttp => "not_http",
            Denial::Silent => "silent",
            Denial::SpokeFirst => "spoke_first",
        }
    }

    /// The rule that decided, by its name.
    pub fn rule(&self) -> Option<&Arc<str>> {
        match self {
            Denial::HostDenied { rule, .. } => Some(rule),
            _ => None,
        }
    }

    /// What the operator would change to let this through, when something would.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Denial::ClientNotAllowed { ip } => format!("allow it with --allow-client {ip}"),
            Denial::HostDenied { rule, .. } => format!("change or remove [[policy.deny]] `{rule}`"),
            Denial::HostNotAllowed { host } => format!("add {host} to a [[policy.allow]] rule"),
            Denial::PortDenied { port } => {
                format!("set `{port} = \"inspect\"` (or \"tunnel\") under [policy.ports]")
            }
            Denial::AddressDenied { ip, .. } => format!("allow it with --allow-private {ip}"),
            Denial::LocalName { .. } => "allow it with --allow-private 127.0.0.0/8".to_owned(),
            Denial::SniMismatch { .. } | Denial::HostMismatch { .. } => {
                "if these hosts belong together, say so in [[policy.fronting_allow]]".to_owned()
            }
            Denial::TunnelName { .. } => "set `tunnel_name_mismatch = \"record\"` under [policy]".to_owned(),
            Denial::AlpnNotHttp | Denial::NotHttp => {
                "set `not_http = \"tunnel\"` under [policy.fail], or list the host in [[policy.bypass]]"
                    .to_owned()
            }
            Denial::OutsideCa { .. } => {
                "set `outside_ca_constraints = \"tunnel\"` under [policy.fail], or use a CA without that constraint"
                    .to_owned()
            }
            Denial::Silent => {
                "set `silent_tunnel = \"tunnel\"` under [policy.fail], or list the host in [[policy.bypass]]"
                    .to_owned()
            }
            Denial::SpokeFirst => "list the host in [[policy.bypass]]".to_owned(),
            Denial::OwnListener { .. } | Denial::SniInvalid => return None,
        })
    }
}
