//! T50 and T51: what strangers' scanners find on the client's leg, and how it takes conversations that break the rules.

use std::time::Duration;

use serde_json::Value;

use super::super::Case;
use crate::support::client::{Client, Entry};
use crate::support::door::Door;
use crate::support::origin::{Origin, Spec};
use crate::support::peer;
use crate::support::proxy::{Proxy, Setup};
use crate::support::python::script;

/// testssl.sh makes some hundred connections with programs of its own, and waits for time-outs.
const SLOW: Duration = Duration::from_secs(420);

/// What testssl.sh rates and is so by design: a leaf lives for a day, which makes revoking it needless, and its
/// issuer is no public CA that CAA records could name.
const BY_DESIGN: [&str; 4] = ["cert_expirationStatus", "cert_notAfter", "cert_revocation", "DNS_CAArecord"];

/// The families, and how many conversations each has at least.
const FAMILIES: [(&str, usize); 8] = [
    ("conversation", 10),
    ("version-negotiation", 11),
    ("lengths", 21),
    ("zero-length-data", 6),
    ("finished", 12),
    ("keyupdate", 8),
    ("ccs", 8),
    ("record-layer-limits", 12),
];

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("T50", "sslscan inside a tunnel", "nothing above informational", || sslscan(true)),
        Case::new("T50", "sslscan on the HTTPS proxy's port", "nothing above informational", || {
            sslscan(false)
        }),
        Case::new("T50", "testssl.sh inside a tunnel", "nothing above informational", testssl),
    ];
    for leaf in LEAVES {
        for (family, least) in FAMILIES {
            let what = format!("{family}, {leaf} leaf");
            cases.push(Case::new("T51", what, "all pass", move || conversations(family, leaf, least)));
        }
    }
    cases
}

/// The kinds of leaf that clients get.
const LEAVES: [&str; 2] = ["ecdsa", "rsa"];

/// An origin, a proxy in front of it, and a port that leads to it through a tunnel.
async fn door() -> (Origin, Proxy, Door) {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let door = Door::to(Client::new(Entry::HttpProxy, &proxy), "origin.test").await;
    (origin, proxy, door)
}

/// The values of an attribute in all elements of this name.
fn attributes<'a>(xml: &'a str, element: &str, attribute: &str) -> Vec<&'a str> {
    let (open, key) = (format!("<{element} "), format!("{attribute}=\""));
    xml.split(open.as_str())
        .skip(1)
        .filter_map(|rest| rest.split('>').next()?.split(key.as_str()).nth(1)?.split('"').next())
        .collect()
}

async fn sslscan(tunnel: bool) -> String {
    let (_origin, proxy, door) = door().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sslscan.xml");
    let mut command = peer::command("sslscan");
    command.arg(format!("--xml={}", file.display())).arg("--no-colour");
    if tunnel {
        command.arg("--sni-name=origin.test").arg(door.addr.to_string());
    } else {
        command.arg("--sni-name=localhost").arg(proxy.addr().to_string());
    }
    peer::run_within(SLOW, command).await.ok();
    let xml = std::fs::read_to_string(&file).unwrap();
    let mut wrong = Vec::new();
    let mut ask = |what: &str, good: bool| {
        if !good {
            wrong.push(what.to_owned());
        }
    };
    let protocols: Vec<String> = ["type", "version", "enabled"]
        .map(|attribute| attributes(&xml, "protocol", attribute))
        .iter()
        .fold(Vec::new(), |rows: Vec<String>, column| {
            if rows.is_empty() {
                return column.iter().map(|cell| cell.to_string()).collect();
            }
            rows.iter().zip(column).map(|(row, cell)| format!("{row} {cell}")).collect()
        });
    ask("six protocols looked at", protocols.len() == 6);
    for protocol in &protocols {
        let modern = protocol.starts_with("tls 1.2") || protocol.starts_with("tls 1.3");
        ask(protocol, protocol.ends_with(if modern { " 1" } else { " 0" }));
    }
    let suites = attributes(&xml, "cipher", "cipher");
    ask("suites of both versions", suites.len() >= 6);
    let aead = |suite: &&str| suite.contains("GCM") || suite.contains("POLY1305");
    ask("AEAD alone", suites.iter().all(aead));
    ask(
        "ephemeral keys alone",
        suites.iter().all(|suite| suite.starts_with("TLS_") || suite.starts_with("ECDHE-")),
    );
    let strengths = attributes(&xml, "cipher", "strength");
    ask("strong alone", strengths.iter().all(|strength| ["strong", "acceptable"].contains(strength)));
    ask("no renegotiation", attributes(&xml, "renegotiation", "supported") == ["0"]);
    ask("no compression", attributes(&xml, "compression", "supported").iter().all(|found| *found == "0"));
    let heartbleed = attributes(&xml, "heartbleed", "vulnerable");
    ask("Heartbleed", !heartbleed.is_empty() && heartbleed.iter().all(|found| *found == "0"));
    ask("not self-signed, not expired", xml.contains("<self-signed>false") && xml.contains("<expired>false"));
    if wrong.is_empty() { "nothing above informational".into() } else { format!("{wrong:?} in {xml}") }
}

async fn testssl() -> String {
    let (_origin, proxy, door) = door().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("testssl.json");
    let mut command = peer::command("testssl");
    command
        .args(["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1"])
        .args(["--openssl-timeout", "20", "--connect-timeout", "20"])
        .arg("--add-ca")
        .arg(proxy.ca_pem())
        .arg("--jsonfile")
        .arg(&file)
        // Protocols, server defaults, preference and vulnerabilities.
        .args(["-p", "-S", "-P", "-U"])
        .arg(format!("origin.test:{}", door.addr.port()))
        .current_dir(dir.path());
    let said = peer::run_within(SLOW, command).await;
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{error}: {} {}", said.text(), said.stderr));
    let findings: Vec<Value> = serde_json::from_str(&text).unwrap();
    let of = |id: &str| findings.iter().find(|finding| finding["id"] == id);
    let finding =
        |id: &str| of(id).unwrap_or_else(|| panic!("{id} was not looked at: {text}"))["finding"].to_string();
    for id in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
        assert!(finding(id).contains("not offered"), "{id}: {}", finding(id));
    }
    for id in [
        "heartbleed",
        "CCS",
        "ticketbleed",
        "ROBOT",
        "CRIME_TLS",
        "SWEET32",
        "LOGJAM",
        "BEAST",
        "LUCKY13",
        "RC4",
    ] {
        assert!(finding(id).contains("not vulnerable"), "{id}: {}", finding(id));
    }
    // Ticket keys live for less than a day.
    assert!(finding("TLS_session_ticket").contains("<daily"), "{}", finding("TLS_session_ticket"));
    let wrong: Vec<String> = findings
        .iter()
        // WARN tells that a check could not be made, on a busy machine for one; those that matter are named above.
        .filter(|finding| {
            ["LOW", "MEDIUM", "HIGH", "CRITICAL"].contains(&finding["severity"].as_str().unwrap())
        })
        // With two certificates ids go on with which one it is.
        .filter(|finding| !BY_DESIGN.contains(&finding["id"].as_str().unwrap().split(' ').next().unwrap()))
        .map(|finding| format!("{} {}: {}", finding["severity"], finding["id"], finding["finding"]))
        .collect();
    if wrong.is_empty() { "nothing above informational".into() } else { wrong.join("; ") }
}

async fn conversations(family: &str, leaf: &str, least: usize) -> String {
    let (_origin, _proxy, door) = door().await;
    let mut command = script("tls_bar/scripts/conversations.py");
    command.args([family, "127.0.0.1", &door.addr.port().to_string(), "origin.test", leaf]);
    let said = peer::run_within(SLOW, command).await;
    let text = said.text();
    assert_eq!(said.code, Some(0), "{text} {}", said.stderr);
    let passed = text.lines().filter(|line| line.starts_with("ok ")).count();
    let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("FAIL ")).collect();
    assert!(passed + failed.len() >= least, "only {passed} and {} ran: {text}", failed.len());
    if failed.is_empty() { "all pass".into() } else { failed.join("; ") }
}
