//! What policy would do with a connection, and by which rule: the same two questions, in the same order,
//! that a live connection asks.

use std::net::IpAddr;

use serde_json::json;

use super::Target;
use super::report::{Finding, Section};
use crate::net::hello::Sni;
use crate::net::{Alpn, Entry, Hello, Host};
use crate::policy::{Answer, ClientFacts, Permit, Policy, RequestAnswer};

/// What policy would do.
pub enum Judged {
    Inspect(Permit),
    Tunnel(Permit, crate::policy::Reason),
    Deny(crate::policy::Denial),
}

impl Judged {
    pub fn permit(&self) -> Option<&Permit> {
        match self {
            Judged::Inspect(permit) | Judged::Tunnel(permit, _) => Some(permit),
            Judged::Deny(_) => None,
        }
    }
}

/// Asks as a client at `from` would be asked for: the target first, then a browser's ClientHello for it.
pub fn judge(policy: &Policy, from: IpAddr, target: &Target) -> Judged {
    let client = ClientFacts { ip: from, entry: Entry::HttpProxy, identity: None };
    if target.plain {
        return match policy.forward(&client, &target.authority) {
            RequestAnswer::Proceed(permit) => Judged::Inspect(permit),
            RequestAnswer::Deny(denial) => Judged::Deny(denial),
        };
    }
    let answer = match policy.connect(&client, &target.authority) {
        Answer::Inspect(permit) => policy.hello(permit, &browser(&target.authority.host)),
        other => other,
    };
    match answer {
        Answer::Inspect(permit) => Judged::Inspect(permit),
        Answer::Tunnel(permit, reason) => Judged::Tunnel(permit, reason),
        Answer::Deny(denial) => Judged::Deny(denial),
    }
}

/// The ClientHello of a browser, as far as policy looks at it.
fn browser(host: &Host) -> Hello {
    Hello {
        sni: match host {
            Host::Name(_) => Sni::Name(host.clone()),
            Host::Ip(_) => Sni::Absent,
        },
        alpn: [Alpn::H2, Alpn::Http11].map(|alpn| alpn.wire().to_vec()).to_vec(),
        ech: false,
        ja4: None,
    }
}

pub fn section(judged: &Judged, target: &Target) -> Section {
    let authority = &target.authority;
    let finding = match judged {
        Judged::Inspect(_) if target.plain => Finding::ok(
            "policy_inspect",
            format!("Portward would inspect plain HTTP requests to {authority}: no rule says otherwise."),
        )
        .data(json!({ "action": "inspect" })),
        Judged::Inspect(_) => Finding::ok(
            "policy_inspect",
            format!(
                "Portward would inspect {authority}: port {} is set to `inspect`, and no deny, allow or bypass \
                 rule says otherwise.",
                authority.port
            ),
        )
        .data(json!({ "action": "inspect" })),
        Judged::Tunnel(_, reason) => Finding::ok(
            "policy_tunnel",
            format!("Portward would relay {authority} unread, so nothing in it is inspected: {reason}."),
        )
        .data(json!({ "action": "tunnel", "reason": reason.code(), "why": reason.to_string() })),
        Judged::Deny(denial) => {
            Finding::fail("policy_deny", format!("Portward would refuse {authority}: {denial}."))
                .data(json!({ "action": "deny", "reason": denial.code(), "why": denial.to_string() }))
        }
    };
    Section::new("policy", "Policy").with(finding)
}
