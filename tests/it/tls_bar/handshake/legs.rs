//! T42, T44 and T45: what both legs agreed on is in every record, and no session outlives what it was made under.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, NamedGroup};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio_rustls::TlsConnector;

use super::super::Case;
use super::server::{Server, Wants, config};
use crate::support::client::{Client, Connection, Entry, get};
use crate::support::origin::Spec;
use crate::support::pki::{self, Leaf};
use crate::support::proxy::{Proxy, Setup};
use crate::support::python::{self, script};
use crate::support::relay::{From, Relay};
use crate::support::{Http, Tls, peer, until, within};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let legs: [(&str, &'static str, Tls, Tls); 4] = [
        ("client 1.3 with ML-KEM, origin the same", "A same", Tls::V13, Tls::V13),
        ("client 1.3 with ML-KEM, origin 1.2", "A stronger", Tls::V13, Tls::V12),
        ("client 1.2, origin 1.3 with ML-KEM", "A weaker", Tls::V12, Tls::V13),
        ("client 1.2, origin 1.2", "A same", Tls::V12, Tls::V12),
    ];
    for (what, expected, client, origin) in legs {
        cases.push(Case::new("T42", what, expected, move || both_legs(client, origin)));
    }
    cases.push(Case::new(
        "T42",
        "records of a block, a WebSocket, a refusal, a pooled request",
        "every one",
        every,
    ));
    cases.push(Case::new("T44", "origin gives tickets for early data", "not used", early_to_origin));
    cases.push(Case::new("T44", "origin asks for renegotiation", "refused", renegotiating_origin));
    cases.push(Case::new("T44", "client asks for renegotiation", "refused", renegotiating_client));
    cases.push(Case::new("T44", "client sends early data", "never allowed", early_from_client));
    cases.push(Case::new(
        "T45",
        "two connections to one origin, and after a reload",
        "no resumption",
        reconnecting,
    ));
    cases.push(Case::new("T45", "two names on one address", "no resumption", two_names));
    cases.push(Case::new(
        "T45",
        "a client resumes with us under the same name",
        "resumed, with ticket",
        same_name,
    ));
    cases.push(Case::new("T45", "a client resumes with us under another name", "full handshake", other_name));
    cases
}

/// One request, and its record against what both ends saw.
async fn both_legs(client_tls: Tls, origin_tls: Tls) -> String {
    let origin = Spec::tls(&["origin.test"]).versions(&[origin_tls]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy).versions(&[client_tls]);
    let stream = client.tls("origin.test", 443, &[Http::H2]).await.unwrap();
    let session = stream.get_ref().1;
    let suite = session.negotiated_cipher_suite().unwrap().suite().as_str().unwrap().to_owned();
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(Connection::over(stream, Http::H2).await.send(get("https://origin.test/")).await.status, 200);
    let record = proxy.record("the request", |r| r["status"] == 200).await;
    let name = |tls: Tls| if tls == Tls::V13 { "TLSv1.3" } else { "TLSv1.2" };
    let expected =
        json!({"version": name(client_tls), "suite": suite, "group": group.as_str(), "alpn": "h2"});
    assert_eq!(record["client_leg"]["tls"], expected, "as the client has it");
    let leg = &record["origin_leg"]["tls"];
    assert_eq!((leg["version"].as_str(), leg["alpn"].as_str()), (Some(name(origin_tls)), Some("h2")));
    let strong = |leg: &Value| leg["group"] == NamedGroup::X25519MLKEM768.as_str().unwrap();
    // TLS 1.2 has no post-quantum exchange.
    assert_eq!(strong(&record["client_leg"]["tls"]), client_tls == Tls::V13);
    assert_eq!(strong(leg), origin_tls == Tls::V13);
    let protection = &record["protection"];
    let missing = protection["missing"].as_array().unwrap();
    assert_eq!(missing.contains(&json!("client_tls12")), client_tls == Tls::V12);
    assert_eq!(missing.contains(&json!("origin_tls12")), origin_tls == Tls::V12);
    format!("{} {}", protection["grade"].as_str().unwrap(), protection["client_leg"].as_str().unwrap())
}

/// Every record of an exchange on an inspected connection has the leg that it came by; every one that reached the
/// origin has both, and the grade.
async fn every() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let bad = Spec::chain(pki::lab().leaf(&["bad.test"], Leaf::Expired)).start().await;
    let proxy = Setup::new().origin(&origin).route("bad.test", 443, bad.addr).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut connection = client.https("origin.test", Http::H1).await.unwrap();
    for _ in 0..2 {
        assert_eq!(connection.send(get("https://origin.test/")).await.status, 200);
    }
    let blocked = connection.send(crate::support::attack::query().request("origin.test")).await;
    assert_eq!(blocked.status, 403);
    assert_eq!(client.get(Http::H2, "https://bad.test/").await.status, 502);
    let mut socket = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let upgrade = "GET /ws HTTP/1.1\r\nHost: origin.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).await.unwrap();
    let head = within("the upgrade", crate::support::client::read_head(&mut socket)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    drop((socket, connection));
    proxy.record("the WebSocket", |r| r["status"] == 101).await;
    let records: Vec<Value> =
        until("five records", || Some(proxy.audit()).filter(|all| all.len() >= 5)).await;
    for record in &records {
        let reached = [200, 101].contains(&record["status"].as_u64().unwrap());
        for leg in ["version", "suite", "group", "alpn"] {
            assert!(record["client_leg"]["tls"][leg].is_string(), "client's {leg}: {record}");
            assert_eq!(record["origin_leg"]["tls"][leg].is_string(), reached, "origin's {leg}: {record}");
        }
        assert_eq!(record["protection"]["grade"].is_string(), reached, "{record}");
    }
    "every one".into()
}

/// An origin that hands out tickets, and would take early data with them.
async fn giving() -> Server {
    let chain = pki::lab().good(&["origin.test", "second.test"]);
    let mut config = config(&chain, &Tls::BOTH, Wants::Nothing);
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    config.max_early_data_size = 16 * 1024;
    config.send_tls13_tickets = 4;
    Server::start(config, true).await
}

/// So many requests one after another, each on a connection of its own; the handshakes that they made.
async fn full_handshakes(proxy: &Proxy, origin: &Server, host: &str, count: usize) {
    let before = origin.shakes().len();
    for at in 0..count {
        let answer = Client::new(Entry::HttpProxy, proxy).get(Http::H1, &format!("https://{host}/")).await;
        assert_eq!(answer.status, 200);
        origin.shaken(before + at + 1).await;
    }
    for shake in &origin.shakes()[before..] {
        assert!(
            matches!(shake.kind, Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)),
            "{shake:?}"
        );
        assert_eq!(shake.sni.as_deref(), Some(host));
    }
}

async fn early_to_origin() -> String {
    let origin = giving().await;
    let proxy = Setup::new().route("origin.test", 443, origin.addr).start().await;
    full_handshakes(&proxy, &origin, "origin.test", 3).await;
    assert!(proxy.audit().iter().all(|r| r["origin_leg"]["tls"].get("resumed").is_none()));
    "not used".into()
}

async fn reconnecting() -> String {
    let origin = giving().await;
    let proxy = Setup::new().route("origin.test", 443, origin.addr).config("log = \"info\"").start().await;
    full_handshakes(&proxy, &origin, "origin.test", 2).await;
    proxy.signal(nix::sys::signal::Signal::SIGHUP);
    proxy.stderr.line("the reload", |line| line.contains("reloaded")).await;
    full_handshakes(&proxy, &origin, "origin.test", 2).await;
    "no resumption".into()
}

async fn two_names() -> String {
    let origin = giving().await;
    let proxy = Setup::new()
        .route("origin.test", 443, origin.addr)
        .route("second.test", 443, origin.addr)
        .start()
        .await;
    full_handshakes(&proxy, &origin, "origin.test", 1).await;
    full_handshakes(&proxy, &origin, "second.test", 1).await;
    full_handshakes(&proxy, &origin, "origin.test", 1).await;
    "no resumption".into()
}

/// An origin of TLS 1.2 that sends a HelloRequest before its answer (RFC 5246 section 7.4.1.1).
async fn renegotiating_origin() -> String {
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    let rsa = pki::lab().rsa(&["origin.test"]);
    std::fs::write(&chain, rsa.pem()).unwrap();
    std::fs::write(&key, rsa.key_pem()).unwrap();
    let settings =
        json!({"versions": [[3, 3]], "ciphers": ["aes128gcm"], "kx": ["ecdhe_rsa"], "ask": "renegotiate"});
    let mut command = script("tls_bar/scripts/legacy.py");
    command.arg("serve").arg(settings.to_string()).args([&chain, &key]);
    let origin = python::Server::start(command);
    let relay = Relay::start(origin.addr).await;
    let proxy = Setup::new().route("origin.test", 443, relay.addr).start().await;
    let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H1, "https://origin.test/").await;
    assert_eq!(answer.status, 200, "the session goes on as it was verified");
    // What we sent: ClientHello, ClientKeyExchange, ChangeCipherSpec, Finished; no second ClientHello behind it, but
    // the alert that says no.
    let sent =
        until("our alert", || Some(relay.records(From::Client)).filter(|sent| sent[4..].contains(&21))).await;
    assert_eq!(sent[..4], [22, 22, 20, 22], "{sent:?}");
    assert!(!sent[4..].contains(&22), "{sent:?}");
    "refused".into()
}

/// OpenSSL's client, inside a tunnel, told to renegotiate after a request.
async fn renegotiating_client() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut command = tokio::process::Command::from(peer::command("openssl"));
    command
        .args([
            "s_client",
            "-tls1_2",
            "-servername",
            "origin.test",
            "-connect",
            "origin.test:443",
            "-verify_quiet",
        ])
        .arg("-proxy")
        .arg(proxy.addr().to_string())
        .arg("-CAfile")
        .arg(proxy.ca_pem())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    within("the handshake", async {
        while let Ok(Some(line)) = lines.next_line().await {
            seen.push(line.clone());
            if line.contains("Verify return code") {
                break;
            }
        }
    })
    .await;
    assert!(seen.iter().any(|line| line.contains("Secure Renegotiation IS supported")), "{seen:?}");
    stdin.write_all(b"R\n").await.unwrap();
    let output = within("its end", async {
        drop(lines);
        let output = child.wait_with_output().await;
        drop(stdin);
        output
    })
    .await
    .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("no renegotiation") || error.contains("handshake failure"), "{error}");
    "refused".into()
}

/// Tickets that forget which name they were for.
#[derive(Debug, Default)]
struct Careless {
    tls13: Mutex<Vec<Tls13ClientSessionValue>>,
    tls12: Mutex<HashMap<(), Tls12ClientSessionValue>>,
}

impl ClientSessionStore for Careless {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.tls12.lock().unwrap().insert((), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.tls12.lock().unwrap().get(&()).cloned()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.tls12.lock().unwrap().clear();
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.tls13.lock().unwrap().push(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tls13.lock().unwrap().pop()
    }
}

/// Handshakes with each host in turn, with the tickets of those before, and a request over each.
async fn resuming(version: Tls, hosts: &[&str]) -> (Vec<HandshakeKind>, Vec<Value>, Arc<Careless>) {
    let origin = Spec::tls(&["origin.test", "second.test"]).start().await;
    let proxy = Setup::new().origin(&origin).route("second.test", 443, origin.addr).start().await;
    let store = Arc::new(Careless::default());
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(proxy.ca());
    let mut config = rustls::ClientConfig::builder_with_protocol_versions(&[version.version()])
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::store(store.clone());
    config.enable_early_data = true;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut kinds = Vec::new();
    for host in hosts {
        let tunnel = client.tunnel(host, 443).await.unwrap();
        let name = ServerName::try_from(host.to_string()).unwrap();
        let stream = within("TLS", TlsConnector::from(config.clone()).connect(name, tunnel)).await.unwrap();
        kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        let mut connection = Connection::over(stream, Http::H1).await;
        assert_eq!(connection.send(get(&format!("https://{host}/"))).await.status, 200);
    }
    let count = hosts.len();
    let records = until("the records", || Some(proxy.audit()).filter(|all| all.len() >= count)).await;
    (kinds, records, store)
}

async fn same_name() -> String {
    for version in Tls::BOTH {
        let (kinds, records, _) = resuming(version, &["origin.test", "origin.test"]).await;
        assert_eq!(kinds[1], HandshakeKind::Resumed, "{version:?}");
        let resumed: Vec<_> = records.iter().map(|r| r["client_leg"]["tls"]["resumed"] == true).collect();
        assert_eq!(resumed, [false, true], "{version:?}");
    }
    "resumed, with ticket".into()
}

async fn other_name() -> String {
    for version in Tls::BOTH {
        let (kinds, records, _) = resuming(version, &["origin.test", "second.test"]).await;
        assert!(kinds.iter().all(|kind| *kind != HandshakeKind::Resumed), "{version:?} {kinds:?}");
        assert!(records.iter().all(|r| r["client_leg"]["tls"].get("resumed").is_none()));
    }
    "full handshake".into()
}

/// Tickets allow no early data, so a client has none to send; one that sends some unasked is not heard.
async fn early_from_client() -> String {
    let (_, _, store) = resuming(Tls::V13, &["origin.test"]).await;
    let tickets = store.tls13.lock().unwrap();
    assert!(!tickets.is_empty() && tickets.iter().all(|ticket| ticket.max_early_data_size() == 0));
    "never allowed".into()
}
