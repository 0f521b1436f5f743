//! Whether the port is open, for each address by itself: open, refused (nothing listens there), filtered
//! (something drops the packets) or unreachable (no way there). Only addresses that policy lets through
//! are tried.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::report::{Finding, Section};
use super::words::span;
use crate::net::Port;
use crate::origin::resolve::Answer;
use crate::policy::Permit;

/// How an address took the connection.
#[derive(Debug)]
enum Outcome {
    Open,
    Refused,
    Filtered,
    Unreachable(io::Error),
}

/// The ports, and the first address that is open.
pub async fn section(permit: &Permit, answer: &Answer, limit: Duration) -> (Section, Option<SocketAddr>) {
    let mut section = Section::new("tcp", "TCP");
    let mut allowed = Vec::new();
    for &ip in &answer.addrs {
        match permit.check_address(ip) {
            Ok(dial) => {
                let addr = dial.addr().socket();
                allowed.push(SocketAddr::new(addr.ip(), answer.dial_port.map_or(addr.port(), Port::get)));
            }
            Err(denial) => section.add(
                Finding::fail("address_denied", format!("Portward would not connect to {ip}: {denial}."))
                    .data(json!({ "address": ip.to_string(), "reason": denial.code() })),
            ),
        }
    }
    let tries = allowed.iter().map(|&addr| attempt(addr, limit));
    let outcomes = futures_util::future::join_all(tries).await;
    let open =
        outcomes.iter().find(|(_, outcome, _)| matches!(outcome, Outcome::Open)).map(|(addr, ..)| *addr);
    for (addr, outcome, took) in &outcomes {
        section.add(told(*addr, outcome, *took, limit, open.is_some()));
    }
    (section, open)
}

async fn attempt(addr: SocketAddr, limit: Duration) -> (SocketAddr, Outcome, Duration) {
    let started = Instant::now();
    let outcome = match timeout(limit, TcpStream::connect(addr)).await {
        Ok(Ok(_)) => Outcome::Open,
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Outcome::Refused,
            io::ErrorKind::TimedOut => Outcome::Filtered,
            _ => Outcome::Unreachable(error),
        },
        Err(_) => Outcome::Filtered,
    };
    (addr, outcome, started.elapsed())
}

fn told(addr: SocketAddr, outcome: &Outcome, took: Duration, limit: Duration, works: bool) -> Finding {
    let data = |state: &str| json!({ "address": addr.to_string(), "state": state, "ms": took.as_secs_f64() * 1000.0 });
    // One dead address beside a living one costs a moment, and is no failure.
    let bad = |code, text| if works { Finding::warn(code, text) } else { Finding::fail(code, text) };
    match outcome {
        Outcome::Open => {
            Finding::ok("tcp_open", format!("{addr} is open ({}).", span(took))).data(data("open"))
        }
        Outcome::Refused => bad(
            "tcp_refused",
            format!("{addr} refuses: the machine is there, and nothing listens on port {}.", addr.port()),
        )
        .data(data("refused")),
        Outcome::Filtered => bad(
            "tcp_filtered",
            format!(
                "{addr} does not answer within {}: a firewall drops the packets, or the machine is off.",
                span(limit.min(took))
            ),
        )
        .data(data("filtered")),
        Outcome::Unreachable(error) => {
            let family = if addr.is_ipv6() { "over IPv6" } else { "over IPv4" };
            bad("tcp_unreachable", format!("{addr} cannot be reached {family} from this machine: {error}."))
                .data(data("unreachable"))
        }
    }
}

/// What a port is usually for, where that helps.
pub fn port_hint(port: Port) -> Option<&'static str> {
    Some(match port.get() {
        443 => "HTTPS",
        80 => "plain HTTP",
        8443 => "the second HTTPS port: appliances, Tomcat, Plesk, UniFi, Kubernetes dashboards",
        4443 | 9443 | 10443 => "an HTTPS port of appliances and consoles",
        8080 | 8000 | 3128 => "usually plain HTTP, or a proxy",
        22 => "SSH",
        25 | 465 | 587 => "mail",
        853 => "DNS over TLS",
        993 | 995 => "mailboxes",
        3389 => "remote desktop",
        5432 => "PostgreSQL",
        6443 => "the Kubernetes API",
        _ => return None,
    })
}
