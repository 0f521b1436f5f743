//! The name's addresses: who was asked, what was answered, and how long it took. A name that does not
//! exist, one without an address and a server that does not answer are three things.

use std::net::IpAddr;
use std::time::Instant;

use serde_json::json;

use super::report::{Finding, Section};
use super::words::span;
use crate::net::{Authority, Host};
use crate::origin::{ResolveError, Resolver, Source, resolve::Answer};

/// A name service slower than this makes every first page slow.
const SLOW_MS: u128 = 500;

pub async fn section(resolver: &Resolver, target: &Authority) -> (Section, Option<Answer>) {
    let section = Section::new("dns", "DNS");
    let source = resolver.source(target);
    let started = Instant::now();
    let answer = resolver.resolve(target).await;
    let took = started.elapsed();
    let servers: Vec<String> = match &source {
        Source::System(servers) => servers.iter().map(IpAddr::to_string).collect(),
        _ => Vec::new(),
    };
    let asked = match servers.as_slice() {
        [] => "the system's name service".to_owned(),
        [one] => format!("the name server {one}"),
        many => format!("the name servers {}", many.join(", ")),
    };
    let host = &target.host;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return (section.with(failed(&error, &asked, &servers)), None),
    };
    let list = answer.addrs.iter().map(IpAddr::to_string).collect::<Vec<_>>();
    let addresses = list.join(", ");
    let data = json!({
        "source": match &source { Source::Itself => "literal", Source::Override => "override", Source::System(_) => "system" },
        "addresses": list, "servers": servers, "ms": took.as_secs_f64() * 1000.0,
        "dial_port": answer.dial_port.map(|port| port.get()),
    });
    let finding = match source {
        Source::Itself => {
            Finding::ok("dns_literal", format!("{host} is an address; no name service is asked."))
        }
        Source::Override => {
            let port = answer.dial_port.map(|port| format!(", port {port}")).unwrap_or_default();
            Finding::ok(
                "dns_override",
                format!("{host} is {addresses}{port}: by --resolve or `origin.resolve`, not by DNS."),
            )
        }
        Source::System(_) if in_hosts_file(host) => {
            Finding::ok("dns_hosts_file", format!("{host} is {addresses}: by /etc/hosts, not by DNS."))
        }
        Source::System(_) if took.as_millis() > SLOW_MS => Finding::warn(
            "dns_slow",
            format!("{host} is {addresses}, but {asked} took {} to say so.", span(took)),
        ),
        Source::System(_) => {
            Finding::ok("dns_ok", format!("{host} is {addresses} ({} from {asked}).", span(took)))
        }
    };
    (section.with(finding.data(data)), Some(answer))
}

fn failed(error: &ResolveError, asked: &str, servers: &[String]) -> Finding {
    let (code, text) = match error {
        ResolveError::NotFound(host) => {
            ("dns_nxdomain", format!("There is no such name: {asked} says that {host} does not exist."))
        }
        ResolveError::NoAddress(host) => (
            "dns_no_address",
            format!("The name {host} exists, but it has no address (neither A nor AAAA), says {asked}."),
        ),
        ResolveError::Timeout(host, limit) => (
            "dns_timeout",
            format!("No answer about {host} from {asked} within {}: down, or filtered.", span(*limit)),
        ),
        ResolveError::Failed(host, why) => {
            ("dns_failed", format!("The question for {host} was not answered by {asked}: {why}."))
        }
    };
    Finding::fail(code, text).data(json!({ "reason": error.code(), "servers": servers }))
}

/// Entries there win over DNS, and are forgotten there.
fn in_hosts_file(host: &Host) -> bool {
    let (Some(name), Ok(text)) = (host.name(), std::fs::read_to_string("/etc/hosts")) else { return false };
    text.lines().any(|line| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().skip(1).any(|entry| entry.trim_end_matches('.').eq_ignore_ascii_case(name))
    })
}
