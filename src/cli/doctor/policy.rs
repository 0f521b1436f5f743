//! What policy would do with a connection, and by which rule: the same two questions, in the same order,
//! that a live connection asks.

use std::net::IpAddr;

use serde_json::json;

use super::Target;
use super::report::{Finding, Section};
use super::tcp::port_hint;
use crate::app;
use crate::config::Config;
use crate::net::hello::Sni;
use crate::net::{Alpn, Entry, Hello, Host};
use crate::policy::{Answer, ClientFacts, Denial, Permit, Policy, PortAction, Reason, RequestAnswer};

/// What policy would do.
pub enum Judged {
    Inspect,
    Tunnel(Reason),
    Deny(Denial),
}

/// Asks as a client at `from` would be asked for. The permit is what the rest is looked at with: where a
/// rule denies, it is that of a policy without that rule, so that the person who is about to change it
/// sees what would come next; the guard of inside addresses stays.
pub fn judge(config: &Config, from: IpAddr, target: &Target) -> (Judged, Option<Permit>) {
    match ask(&app::policy(config, &config.listen), from, target) {
        Answer::Inspect(permit) => (Judged::Inspect, Some(permit)),
        Answer::Tunnel(permit, reason) => (Judged::Tunnel(reason), Some(permit)),
        Answer::Deny(denial) => {
            let mut without = config.clone();
            without.policy.deny.clear();
            without.policy.allow.clear();
            without.policy.client_networks.clear();
            without.policy.ports.insert(target.authority.port, PortAction::Inspect);
            let permit = match ask(&app::policy(&without, &config.listen), from, target) {
                Answer::Inspect(permit) | Answer::Tunnel(permit, _) => Some(permit),
                Answer::Deny(_) => None,
            };
            (Judged::Deny(denial), permit)
        }
    }
}

/// The target first, then a browser's ClientHello for it.
fn ask(policy: &Policy, from: IpAddr, target: &Target) -> Answer {
    let now = std::time::SystemTime::now();
    let client = ClientFacts { ip: from, entry: Entry::HttpProxy, identity: None, now };
    if target.plain {
        return match policy.forward(&client, &target.authority) {
            RequestAnswer::Proceed(permit) => Answer::Inspect(permit),
            RequestAnswer::Deny(denial) => Answer::Deny(denial),
        };
    }
    match policy.connect(&client, &target.authority) {
        Answer::Inspect(permit) => policy.hello(permit, &browser(&target.authority.host)),
        other => other,
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
        ..Hello::default()
    }
}

pub fn section(judged: &Judged, target: &Target) -> Section {
    let authority = &target.authority;
    let finding = match judged {
        Judged::Inspect if target.plain => Finding::ok(
            "policy_inspect",
            format!("Portward would inspect plain HTTP requests to {authority}: no rule says otherwise."),
        )
        .data(json!({ "action": "inspect" })),
        Judged::Inspect => Finding::ok(
            "policy_inspect",
            format!(
                "Portward would inspect {authority}: port {} is set to `inspect`, and no deny, allow or bypass \
                 rule says otherwise.",
                authority.port
            ),
        )
        .data(json!({ "action": "inspect" })),
        Judged::Tunnel(reason) => Finding::ok(
            "policy_tunnel",
            format!("Portward would relay {authority} unread, so nothing in it is inspected: {reason}."),
        )
        .data(json!({ "action": "tunnel", "reason": reason.code(), "why": reason.to_string() })),
        Judged::Deny(denial) => {
            let hint = match (denial, port_hint(authority.port)) {
                (Denial::PortDenied { .. }, Some(hint)) => format!(" (Port {} is {hint}.)", authority.port),
                _ => String::new(),
            };
            Finding::fail("policy_deny", format!("Portward would refuse {authority}: {denial}.{hint}"))
                .data(json!({ "action": "deny", "reason": denial.code(), "why": denial.to_string() }))
        }
    };
    Section::new("policy", "Policy").with(finding)
}
