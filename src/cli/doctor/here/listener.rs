//! Who holds the port: this Portward proves itself by a certificate of our own CA, another one is known by
//! what it says of itself, and a stranger is named as the system names it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::app::holder;
use crate::cli::doctor::report::{Finding, Section, printable};
use crate::config::Config;
use crate::net::{Alpn, Host};
use crate::tls::probe::{self, Chain, Roots};

/// On this machine an answer takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer that are read to know who gave it.
const ANSWER: usize = 4096;

pub async fn section(config: &Config, anchors: &[Vec<u8>], now: OffsetDateTime) -> Section {
    let mut section = Section::new("listener", "Is it running");
    for &addr in &config.listen {
        if addr.port() == 0 {
            let text = "The port is 0: a free one is taken at every start, and clients cannot know it.";
            section.add(Finding::warn("port_zero", text));
            continue;
        }
        section.add(listener(reachable(addr), anchors, now).await);
    }
    section
}

async fn listener(addr: SocketAddr, anchors: &[Vec<u8>], now: OffsetDateTime) -> Finding {
    let data = |holder: &Option<String>| json!({ "address": addr.to_string(), "holder": holder });
    let start = || ["portward run".to_owned()];
    match timeout(PATIENCE, TcpStream::connect(addr)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Finding::fail(
                "not_running",
                format!("Nothing listens on {addr}: Portward is not running."),
            )
            .data(data(&None))
            .remedy("Start it:", start());
        }
        Ok(Err(error)) => {
            return Finding::fail("not_running", format!("{addr} cannot be reached: {error}."))
                .data(data(&None));
        }
        Err(_) => {
            let text = format!(
                "{addr} does not take connections: its backlog is full, or a firewall is in between."
            );
            return Finding::fail("listener_stuck", text).data(data(&holder::of(addr)));
        }
    }
    let holder = holder::of(addr);
    let named = holder.as_ref().map(|holder| format!(", {}", printable(holder))).unwrap_or_default();
    let shown = timeout(PATIENCE, async {
        let stream = TcpStream::connect(addr).await.ok()?;
        let shown = probe::look(stream, &Host::from(addr.ip()), &[Alpn::Http11]).await;
        Chain::read(&shown.chain)
    });
    let chain = shown.await.ok().flatten();
    let ours = Roots::of(anchors.iter().cloned());
    if chain.as_ref().is_some_and(|chain| chain.leads(&ours, now.unix_timestamp()).is_ok()) {
        return Finding::ok(
            "running",
            format!("Portward listens on {addr}{named}; it proved that it has this CA."),
        )
        .data(data(&holder));
    }
    if says_portward(addr).await {
        let issuer = chain.map(|chain| format!(" ({})", chain.leaf().issuer)).unwrap_or_default();
        return Finding::fail(
            "other_ca",
            format!(
                "A Portward listens on {addr}{named}, but with another CA{issuer} than the one looked at here: who \
                 trusts this one gets errors there."
            ),
        )
        .data(data(&holder))
        .remedy("Look at the CA that it uses, or restart it with this one:", ["portward doctor --ca DIR".to_owned(), "portward run --ca DIR".to_owned()]);
    }
    let who = holder.clone().unwrap_or_else(|| "a program that the system does not name".to_owned());
    Finding::fail(
        "stranger_on_port",
        format!(
            "{addr} is held by a stranger, {}, and not by Portward: clients get its answers.",
            printable(&who)
        ),
    )
    .data(data(&holder))
    .remedy(
        "Stop that program, or have Portward listen elsewhere:",
        ["portward run --listen 127.0.0.1:8445".to_owned()],
    )
}

/// Every answer that Portward authors says so.
async fn says_portward(addr: SocketAddr) -> bool {
    let asked = timeout(PATIENCE, async {
        let mut stream = TcpStream::connect(addr).await.ok()?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: portward.local\r\nConnection: close\r\n\r\n")
            .await
            .ok()?;
        let mut answer = Vec::new();
        stream.take(ANSWER as u64).read_to_end(&mut answer).await.ok()?;
        Some(answer)
    });
    let answer = asked.await.ok().flatten().unwrap_or_default();
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    head.starts_with("http/1.") && head.contains("\r\nportward-receipt: ")
}

/// Where a client on this machine finds a listener.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}
