//! The handshake: what was agreed on, what was shown, and whether Portward would take it. The server is
//! looked at twice: once taking whatever it shows, so that all of it can be told, and once by the code
//! that live connections are verified by, whose verdict is the one that counts.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Context;
use super::certificates;
use super::report::{Finding, Mark, Section, VERDICT, printable};
use super::words::span;
use crate::net::{Alpn, Host};
use crate::origin::{OriginError, Secured};
use crate::policy::Permit;
use crate::tls::ClientAuth;
use crate::tls::connect::Offer;
use crate::tls::probe::{self, Chain, Failure, Shown, legacy};

/// What the later sections need of it.
#[derive(Default)]
pub struct Seen {
    pub chain: Option<Chain>,
    /// A connection that Portward would use, with nothing sent on it yet.
    pub secured: Option<Secured>,
}

pub async fn section(at: &Context<'_>, permit: &Permit, addr: SocketAddr) -> (Section, Seen) {
    let mut section = Section::new("tls", "TLS");
    let host = permit.server_name();
    let limit = at.dialer.limits.origin_handshake_time;
    let Some(shown) = look(addr, host, &[Alpn::H2, Alpn::Http11], limit).await else {
        section.add(silent(addr, limit, host).await);
        return (section, Seen::default());
    };
    let chain = Chain::read(&shown.chain);
    let Some(negotiated) = &shown.negotiated else {
        section.add(no_handshake(&shown, addr, host, limit).await);
        return (section, Seen { chain, secured: None });
    };
    section.add(version(negotiated));
    let only_http11 = look(addr, host, &[Alpn::Http11], limit).await;
    section.add(alpn(negotiated.alpn.as_deref(), only_http11.as_ref()));
    let live = at.dialer.secure(permit, Offer::H2ThenHttp11).await;
    match &chain {
        Some(chain) => {
            let own = matches!(&live, Err(error) if error.code() == "own_ca_loop");
            for mut finding in certificates::checks(chain, host, &at.roots, &shown, own, at.now) {
                // Where the verifier is content, a doubt of ours is a doubt and no failure.
                if live.is_ok() && finding.mark == Mark::Fail {
                    finding.mark = Mark::Warn;
                }
                section.add(finding);
            }
        }
        None => section.add(Finding::fail("bad_certificate", "The server's certificate cannot be read.")),
    }
    if shown.wants_certificate {
        section.add(client_certificate(&live));
    }
    section.add(verdict(at, &section, &live));
    (section, Seen { chain, secured: live.ok() })
}

/// One handshake that takes everything; `None` when it did not end in time.
async fn look(addr: SocketAddr, host: &Host, offer: &[Alpn], limit: Duration) -> Option<Shown> {
    let handshake = async {
        match TcpStream::connect(addr).await {
            Ok(stream) => probe::look(stream, host, offer).await,
            Err(error) => Shown { failure: Some(Failure::Io(error.to_string())), ..Shown::default() },
        }
    };
    timeout(limit, handshake).await.ok()
}

fn version(negotiated: &crate::tls::Negotiated) -> Finding {
    let data = json!({
        "version": negotiated.version, "suite": negotiated.suite, "group": negotiated.group,
    });
    let group = match negotiated.group {
        group if group.contains("MLKEM") => format!("{group}, safe from quantum computers"),
        group => group.to_owned(),
    };
    let older = if negotiated.version == "TLSv1.2" { "; the server does not speak TLS 1.3" } else { "" };
    let text = format!("{} with {} and {group}{older}.", negotiated.version, negotiated.suite);
    Finding::ok("tls_version", text).data(data)
}

/// What was chosen of both protocols, and whether HTTP/1.1 alone would do.
fn alpn(chosen: Option<&str>, only_http11: Option<&Shown>) -> Finding {
    let takes_http11 = only_http11.is_some_and(|shown| shown.negotiated.is_some());
    let data = json!({ "both": chosen, "http11": takes_http11 });
    let finding = match (chosen, takes_http11) {
        (Some("h2"), true) => {
            Finding::ok("alpn_h2", "It speaks HTTP/2, and HTTP/1.1 to who offers that alone.")
        }
        (Some("h2"), false) => {
            Finding::ok("alpn_h2_only", "It speaks HTTP/2 and refuses HTTP/1.1; WebSocket will not work.")
        }
        (Some(other), _) => Finding::ok("alpn_http11", format!("It speaks {}.", printable(other))),
        (None, _) => Finding::ok("alpn_none", "It chooses no protocol (no ALPN), which means HTTP/1.1."),
    };
    finding.data(data)
}

/// The server asked who is there.
fn client_certificate(live: &Result<Secured, OriginError>) -> Finding {
    match live.as_ref().map(|secured| secured.facts.client_auth) {
        Ok(ClientAuth::Given) => Finding::ok(
            "client_certificate_shown",
            "The server asks clients for a certificate, and Portward shows it the one configured for it.",
        ),
        _ => Finding::warn(
            "client_certificate",
            "The server asks clients for a certificate, and Portward has none for it: what needs one will fail.",
        ),
    }
}

/// What Portward makes of all this.
fn verdict(at: &Context<'_>, section: &Section, live: &Result<Secured, OriginError>) -> Finding {
    let error = match live {
        Ok(secured) => return accepted(at, secured),
        Err(error) => error,
    };
    let problem = match error {
        OriginError::Tls { refusal, .. } => refusal.to_string(),
        other => other.to_string(),
    };
    // What has been told as a failure above is not told as a second one.
    let told = section.findings.iter().any(|f| f.code == error.code() && f.mark == Mark::Fail);
    let text = match (at.tunnelled, told) {
        (true, _) => "Portward relays it unread; it is the client who will refuse.".to_owned(),
        (false, true) => format!("Portward refuses this server with a 502 ({}).", error.code()),
        (false, false) => format!("Portward refuses this server with a 502: {problem}."),
    };
    Finding::fail(if told { VERDICT } else { error.code() }, text).data(json!({ "reason": error.code() }))
}

/// The verifier is content; what it has to say all the same.
fn accepted(at: &Context<'_>, secured: &Secured) -> Finding {
    let marks = &secured.facts.marks;
    let revoked = match marks.revocation.as_ref() {
        "good" => " It was not revoked.",
        "unknown" => " Nobody said whether it was revoked, which passes by policy.",
        _ => "",
    };
    let data = json!({ "revocation": marks.revocation, "warnings": marks.warnings });
    let mut text = match at.tunnelled {
        true => {
            format!("Portward would accept this server; as it relays it unread, the client judges.{revoked}")
        }
        false => format!("Portward accepts this server.{revoked}"),
    };
    if marks.warnings.is_empty() {
        return Finding::ok("origin_accepted", text).data(data);
    }
    if marks.warnings.contains("over_long") {
        text.push_str(" Its certificate is valid for longer than a public authority may allow.");
    }
    if marks.warnings.contains("staple_stale") {
        text.push_str(" The OCSP answer that it sends along is too old to count.");
    }
    Finding::warn("origin_accepted_with_warnings", text).data(data)
}

/// TCP was open, and TLS did not come about.
async fn no_handshake(shown: &Shown, addr: SocketAddr, host: &Host, limit: Duration) -> Finding {
    let failure = shown.failure.clone().unwrap_or(Failure::Closed);
    if let Some(finding) = banner(&shown.first) {
        return finding;
    }
    if shown.wants_certificate {
        return Finding::fail(
            "client_cert_required",
            "The server asks for a client certificate and ends the handshake when it gets none.",
        );
    }
    match &failure {
        Failure::Protocol => {
            return Finding::fail(
                "no_common_protocol",
                "The server speaks TLS, but neither HTTP/2 nor HTTP/1.1 over it (ALPN): it is no web server.",
            );
        }
        Failure::Io(why) => {
            return Finding::fail("tls_failed", format!("The connection broke in the handshake: {why}."));
        }
        _ => {}
    }
    // Servers of old end a ClientHello that they do not understand in many ways.
    let speaks = old_versions(addr, host, limit).await;
    if !speaks.is_empty() {
        let list = speaks.iter().map(legacy::Version::to_string).collect::<Vec<_>>();
        let what = match speaks.as_slice() {
            [legacy::Version::Tls12] => "TLS 1.2 only with suites that are not safe".to_owned(),
            _ => format!("nothing newer than {}", list[0]),
        };
        return Finding::fail(
            "legacy_tls",
            format!(
                "The server speaks {what}. Portward, like browsers, speaks TLS 1.2 and 1.3 with AEAD suites."
            ),
        )
        .detail(format!("It answered to: {}.", list.join(", ")))
        .data(json!({ "versions": list }));
    }
    if let Some(line) = plain_http(addr, host, limit).await {
        return plain(&line);
    }
    match failure {
        Failure::Legacy(why) => Finding::fail(
            "legacy_tls",
            format!("The server and Portward have no TLS version or cipher suite in common: {why}."),
        ),
        Failure::Alert(alert) => Finding::fail(
            "tls_alert",
            format!(
                "The server ended the handshake with the alert {alert}: it does not serve this name, or wants something else."
            ),
        ),
        Failure::Closed => Finding::fail(
            "tls_closed",
            "The server closes the connection when TLS begins: it does not speak TLS here, or a device on the way cuts it off.",
        ),
        Failure::Garbage(why) => {
            Finding::fail("not_tls", format!("What answers does not speak TLS as it should: {why}."))
        }
        Failure::Protocol | Failure::Io(_) => Finding::fail("tls_failed", "The handshake failed."),
    }
}

/// The port took the connection and said nothing.
async fn silent(addr: SocketAddr, limit: Duration, host: &Host) -> Finding {
    if let Some(line) = plain_http(addr, host, limit).await {
        return plain(&line);
    }
    Finding::fail(
        "tls_silent",
        format!(
            "The port is open, but nothing answers a ClientHello within {}: the service hangs, or a device on \
             the way swallows TLS.",
            span(limit)
        ),
    )
}

fn plain(line: &str) -> Finding {
    Finding::fail(
        "plain_http",
        format!("Plain HTTP is spoken on this port, and not TLS: it answers `{}`.", printable(line)),
    )
}

/// Servers that speak first, or answer TLS in their own protocol.
fn banner(first: &[u8]) -> Option<Finding> {
    let line: String =
        String::from_utf8_lossy(first).lines().next().unwrap_or_default().chars().take(80).collect();
    if first.starts_with(b"HTTP/") {
        return Some(plain(&line));
    }
    let what = match first {
        [b'S', b'S', b'H', b'-', ..] => "an SSH server",
        [b'2', b'2', b'0', b' ' | b'-', ..] => "a mail or FTP server that starts without TLS",
        [b'+', b'O', b'K', ..] => "a POP3 server that starts without TLS",
        [b'*', b' ', b'O', b'K', ..] => "an IMAP server that starts without TLS",
        [b'R', b'F', b'B', b' ', ..] => "a VNC server",
        _ => return None,
    };
    let text = format!("Not TLS but {what} answers on this port: `{}`.", printable(&line));
    Some(Finding::fail("not_tls", text).data(json!({ "banner": printable(&line) })))
}

/// Old versions that the server would speak, the newest first.
async fn old_versions(addr: SocketAddr, host: &Host, limit: Duration) -> Vec<legacy::Version> {
    let asks = legacy::Version::ALL.map(|version| async move {
        let said = dialled(addr, limit, |stream| legacy::ask(stream, host, version)).await;
        said.is_some_and(|said| said.speaks(version)).then_some(version)
    });
    futures_util::future::join_all(asks).await.into_iter().flatten().collect()
}

/// The status line of plain HTTP, if that is what is spoken.
async fn plain_http(addr: SocketAddr, host: &Host, limit: Duration) -> Option<String> {
    let head = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = dialled(addr, limit, |mut stream| async move {
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = vec![0; 256];
        let mut len = 0;
        while len < answer.len() && !answer[..len].contains(&b'\n') {
            match stream.read(&mut answer[len..]).await {
                Ok(0) | Err(_) => break,
                Ok(n) => len += n,
            }
        }
        answer.truncate(len);
        Some(answer)
    });
    let answer = answer.await.flatten()?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.starts_with("HTTP/").then(|| text.lines().next().unwrap_or_default().to_owned())
}

async fn dialled<T, F: Future<Output = T>>(
    addr: SocketAddr,
    limit: Duration,
    then: impl FnOnce(TcpStream) -> F,
) -> Option<T> {
    timeout(limit, async {
        match TcpStream::connect(addr).await {
            Ok(stream) => Some(then(stream).await),
            Err(_) => None,
        }
    })
    .await
    .ok()
    .flatten()
}
