//! T41, T46 and T47: what our own ClientHello offers, and how a client's is read in whatever pieces it comes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::Case;
use super::refused;
use crate::support::client::{Client, Connection, Entry, get};
use crate::support::origin::{HELLO, Raw, Spec};
use crate::support::proxy::Setup;
use crate::support::split::{Cut, TwoRecords};
use crate::support::wire::{self, ClientHello};
use crate::support::{Http, attack, until, within};

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("T41", "our ClientHello at the origin, client speaks HTTP/2", "grade A", || {
            graded(Http::H2)
        }),
        Case::new("T41", "our ClientHello at the origin, client speaks HTTP/1.1", "grade A", || {
            graded(Http::H1)
        }),
        Case::new("T46", "origin takes a protocol that was not offered", "502 tls_failed", unoffered),
        Case::new("T46", "client offers a protocol that is not HTTP", "403 not_http", not_http),
        Case::new("T47", "ClientHello with ML-KEM one byte at a time", "inspected", byte_by_byte),
        Case::new("T47", "ClientHello with ML-KEM in two segments at every byte", "inspected", segments),
        Case::new("T47", "ClientHello with ML-KEM in two records at every byte", "inspected", records),
        Case::new("T47", "ClientHello with ML-KEM in records of one byte", "inspected", tiny_records),
        Case::new("T47", "ClientHello that is never whole", "closed at the limit", never_whole),
    ];
    let bridges: [(&'static [Http], &'static [Http], &str, &'static str); 7] = [
        (
            &[Http::H2, Http::H1],
            &[Http::H1],
            "client h2 and http/1.1, origin http/1.1",
            "client h2, origin http/1.1",
        ),
        (&[Http::H2, Http::H1], &[Http::H2], "client h2 and http/1.1, origin h2", "client h2, origin h2"),
        (&[Http::H2, Http::H1], &[], "client h2 and http/1.1, origin without ALPN", "client h2, origin -"),
        (&[Http::H1], &[Http::H2], "client http/1.1, origin h2", "client http/1.1, origin h2"),
        (
            &[Http::H1],
            &[Http::H2, Http::H1],
            "client http/1.1, origin both",
            "client http/1.1, origin http/1.1",
        ),
        (&[Http::H2], &[Http::H1], "client h2, origin http/1.1", "client h2, origin http/1.1"),
        (&[], &[Http::H2, Http::H1], "client without ALPN, origin both", "client -, origin http/1.1"),
    ];
    for (client, origin, what, expected) in bridges {
        cases.push(Case::new("T46", what, expected, move || bridged(client, origin)));
    }
    cases
}

/// What the NDSS study's grade A asks of a product's own ClientHello, and this project's bar beyond it.
async fn graded(http: Http) -> String {
    let origin = Raw::plain(|mut wire, _| async move {
        wire.tls_record().await;
        wire.write(wire::alert(40)).await;
        wire.drained().await;
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    let answer = Client::new(Entry::HttpProxy, &proxy).get(http, "https://origin.test/").await;
    assert_eq!(answer.status, 502);
    let bytes = origin.received().remove(0);
    let hello = ClientHello::read(&bytes);
    let mut wrong = Vec::new();
    let mut ask = |what: &str, good: bool| {
        if !good {
            wrong.push(what.to_owned());
        }
    };
    // By their numbers (IANA TLS parameters): AES-GCM and ChaCha20-Poly1305, in 1.2 with ECDHE alone. 0x00ff is
    // the renegotiation signal (RFC 5746), no suite.
    let good = [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9, 0x00ff];
    ask("suites", !hello.suites.is_empty() && hello.suites.iter().all(|suite| good.contains(suite)));
    ask("a suite of each version", hello.suites.contains(&0x1301) && hello.suites.contains(&0xc02b));
    ask("versions", hello.numbers(43, 1) == [0x0304, 0x0303]);
    ask("legacy version", hello.legacy_version == 0x0303);
    ask("no compression", hello.compressions == [0]);
    let groups = hello.numbers(10, 2);
    // X25519MLKEM768 first, then X25519, P-256, P-384.
    ask("groups", groups == [0x11ec, 0x001d, 0x0017, 0x0018]);
    ask(
        "shares",
        hello.shares().first() == Some(&0x11ec) && hello.shares().iter().all(|g| groups.contains(g)),
    );
    // RSA-PSS, ECDSA, Ed25519 and RSA-PKCS1, each with SHA-256 or more; no SHA-1 (02xx), no MD5 (01xx), no DSA.
    let schemes: BTreeSet<u16> = hello.numbers(13, 2).into_iter().collect();
    // 0904 to 0906 are ML-DSA.
    let safe = [
        0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0401, 0x0501, 0x0601, 0x0904, 0x0905,
        0x0906,
    ];
    ask("signatures", !schemes.is_empty() && schemes.iter().all(|scheme| safe.contains(scheme)));
    ask("SNI", hello.sni().as_deref() == Some("origin.test"));
    ask("stapled OCSP asked for", hello.extension(5).is_some());
    ask("extended master secret", hello.extension(23).is_some());
    ask("no early data, no old session", hello.extension(42).is_none() && hello.extension(41).is_none());
    ask("no heartbeat, no NPN", hello.extension(15).is_none() && hello.extension(13172).is_none());
    // What a TLS library reads in the same bytes.
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut bytes.as_slice()).unwrap();
    let accepted = acceptor.accept().unwrap().unwrap();
    let seen = accepted.client_hello();
    ask(
        "read by rustls",
        seen.server_name() == Some("origin.test") && seen.signature_schemes().len() == schemes.len(),
    );
    let protocols: Vec<&[u8]> = seen.alpn().into_iter().flatten().collect();
    let wanted: &[&[u8]] = if http == Http::H2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    ask("ALPN", protocols == wanted);
    if wrong.is_empty() { "grade A".into() } else { format!("wrong: {wrong:?}") }
}

/// A request from a client with these protocols to an origin with those; what both legs agreed on.
async fn bridged(client: &'static [Http], origin: &'static [Http]) -> String {
    let origin = Spec::tls(&["origin.test"]).http(origin).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let stream = Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, client).await.unwrap();
    let agreed = stream.get_ref().1.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
    let http = if agreed.as_deref() == Some("h2") { Http::H2 } else { Http::H1 };
    let mut connection = Connection::over(stream, http).await;
    assert_eq!(connection.send(get("https://origin.test/")).await.text(), HELLO);
    attack::blocked("over the bridge", &connection.send(attack::query().request("origin.test")).await);
    let seen = origin.only().alpn;
    let record = proxy.record("the request", |r| r["status"] == 200).await;
    let (client_leg, origin_leg) = (&record["client_leg"]["tls"], &record["origin_leg"]["tls"]);
    assert_eq!(client_leg["alpn"].as_str(), agreed.as_deref());
    assert_eq!(origin_leg["alpn"].as_str(), seen.as_deref());
    format!("client {}, origin {}", agreed.as_deref().unwrap_or("-"), seen.as_deref().unwrap_or("-"))
}

/// A ServerHello of TLS 1.2 that takes `spdy/3`.
async fn unoffered() -> String {
    let origin = Raw::plain(|mut wire, _| async move {
        wire.tls_record().await;
        let alpn = wire::extension(16, &[&[0, 7, 6][..], b"spdy/3"].concat());
        let reneg = wire::extension(0xff01, &[0]);
        wire.write(wire::server_hello([3; 32], &[], 0xc02b, &[reneg, alpn].concat())).await;
        wire.drained().await;
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H1, "https://origin.test/").await;
    refused(&proxy, &answer).await
}

/// A client that offers `imap` alone: told so over HTTP would be a lie, so the record has it.
async fn not_http() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut tunnel = client.tunnel("origin.test", 443).await.unwrap();
    tunnel.write_all(&hello_with_alpn(b"imap")).await.unwrap();
    let mut answer = Vec::new();
    let _ = within("the refusal", tunnel.read_to_end(&mut answer)).await;
    let record =
        proxy.record("the refusal", |r| r["reason"] == "not_http" || r["reason"] == "client_tls").await;
    assert_eq!(origin.connections(), 0);
    format!("{} {}", record["status"].as_u64().unwrap_or(403), record["reason"].as_str().unwrap())
}

fn hello_with_alpn(protocol: &[u8]) -> Vec<u8> {
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = rustls::pki_types::ServerName::try_from("origin.test").unwrap();
    let mut connection = rustls::ClientConnection::new(config.into(), name).unwrap();
    let mut out = Vec::new();
    connection.write_tls(&mut out).unwrap();
    out
}

/// The length of the ClientHello that the tests' client sends: message and record.
fn lengths() -> (usize, usize) {
    let wire = hello_with_alpn(b"http/1.1");
    let hello = ClientHello::read(&wire);
    assert_eq!(hello.shares().first(), Some(&0x11ec), "the client brings a share of ML-KEM");
    // RFC 9846 names 1.7 KB as what does not fit one segment; it is more than one on a real link in any case.
    assert!(wire.len() > 1460, "{} bytes", wire.len());
    (wire.len() - 5, wire.len())
}

async fn byte_by_byte() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy).cut(Cut::Every(lengths().1));
    attack::blocked(
        "one by one",
        &client.send(Http::H1, "origin.test", attack::query().request("origin.test")).await,
    );
    assert_eq!(origin.seen().len(), 0, "no attack arrived");
    "inspected".into()
}

/// Connections at a time.
const AT_A_TIME: usize = 8;

async fn segments() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let cuts = 1..lengths().1;
    let (count, proxy) = (cuts.len(), &proxy);
    let done = stream::iter(cuts)
        .map(|at| async move {
            let client = Client::new(Entry::HttpProxy, proxy).cut(Cut::At(at));
            let answer = client.send(Http::H1, "origin.test", attack::query().request("origin.test")).await;
            attack::blocked(&format!("cut at {at}"), &answer);
        })
        .buffer_unordered(AT_A_TIME)
        .count()
        .await;
    assert_eq!((done, origin.seen().len()), (count, 0), "no attack arrived");
    "inspected".into()
}

async fn records() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let cuts = 1..lengths().0;
    let (count, proxy) = (cuts.len(), &proxy);
    let done = stream::iter(cuts)
        .map(|at| async move {
            let client = Client::new(Entry::HttpProxy, proxy);
            let tunnel = client.tunnel("origin.test", 443).await.unwrap();
            let tunnel = Box::new(TwoRecords::new(tunnel, at));
            let stream = client.tls_over(tunnel, "origin.test", &[Http::H1]).await;
            let stream = stream.unwrap_or_else(|error| panic!("two records, the first with {at}: {error:?}"));
            let mut connection = Connection::over(stream, Http::H1).await;
            let answer = connection.send(attack::query().request("origin.test")).await;
            attack::blocked(&format!("two records, the first with {at}"), &answer);
        })
        .buffer_unordered(AT_A_TIME)
        .count()
        .await;
    assert_eq!((done, origin.seen().len()), (count, 0), "no attack arrived");
    "inspected".into()
}

/// As many records as there are bytes. Reading ends with our ServerHello, which proves that the name was found.
async fn tiny_records() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let whole = hello_with_alpn(b"http/1.1");
    let tiny: Vec<u8> = whole[5..].iter().flat_map(|byte| wire::record(22, 0x0301, &[*byte])).collect();
    let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 443).await.unwrap();
    tunnel.write_all(&tiny).await.unwrap();
    let mut answer = [0; 6];
    within("the ServerHello", tunnel.read_exact(&mut answer)).await.unwrap();
    assert_eq!((answer[0], answer[5]), (22, 2), "a ServerHello: {answer:?}");
    // It did not come to an untouched tunnel: the origin was dialled by us, with our own ClientHello.
    until("the origin's end of the handshake", || (origin.handshakes() == 1).then_some(())).await;
    "inspected".into()
}

async fn never_whole() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).config("[limits]\nhandshake_time = \"1s\"").start().await;
    let whole = hello_with_alpn(b"http/1.1");
    for most in [5, 6, 60, whole.len() - 1] {
        let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 443).await.unwrap();
        tunnel.write_all(&whole[..most]).await.unwrap();
        let began = Instant::now();
        let mut rest = Vec::new();
        let _ = within("the end", tunnel.read_to_end(&mut rest)).await;
        assert!(began.elapsed() < Duration::from_secs(20), "{most}: {:?}", began.elapsed());
    }
    assert_eq!(origin.connections(), 0, "nobody was dialled");
    let record = proxy.record("the limit", |r| r["reason"] == "client_tls").await;
    assert!(record["sentence"].as_str().unwrap().contains("not whole within 1s"), "{record}");
    "closed at the limit".into()
}
