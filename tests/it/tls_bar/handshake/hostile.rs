//! T40: servers that break TLS on purpose. Whatever comes, the client has an answer within the limit, nothing is
//! held for long, and memory does not grow with what a server sends.

use std::time::{Duration, Instant};

use super::super::Case;
use super::refused;
use crate::support::client::{Client, Entry, get};
use crate::support::origin::{Origin, Raw, Spec, Wire};
use crate::support::proxy::{Proxy, Setup};
use crate::support::python::{Server, script};
use crate::support::relay::Relay;
use crate::support::{Http, Tls, pki, until, wire};

/// The time that the origin's handshake may take in these cases.
const LIMIT: Duration = Duration::from_secs(1);

type Script = fn() -> Vec<Vec<u8>>;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let scripts: [(&str, &str, Script); 13] = [
        ("TLS 1.2 with the downgrade sentinel of 1.3", "502 tls_failed", || vec![sentinel(1)]),
        ("TLS 1.1 by ServerHello", "502 legacy_tls", || vec![old(2)]),
        ("SSL 2.0 by record", "502 tls_failed", || vec![vec![0x80, 0x0b, 4, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0]]),
        ("garbled ServerHello", "502 tls_failed", || {
            vec![wire::record(22, 0x0303, &wire::message(2, &[0xff; 90]))]
        }),
        ("truncated ServerHello, then closed", "502 origin_closed", || {
            vec![wire::server_hello([1; 32], &[], 0x1301, &[])[..40].to_vec(), Vec::new()]
        }),
        ("ServerHello with bytes behind its end", "502 tls_failed", || {
            let mut body = vec![3, 3];
            body.extend([9; 32]);
            body.extend([0, 0x13, 0x01, 0, 0, 0, 1, 2, 3]);
            vec![wire::record(22, 0x0303, &wire::message(2, &body))]
        }),
        ("plain HTTP", "502 tls_failed", || vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Vec::new()]),
        ("10,000 warning alerts", "502 tls_failed", || {
            vec![wire::record(21, 0x0303, &[1, 90]).repeat(10_000)]
        }),
        ("10,000 empty records", "502 tls_failed", || vec![wire::record(22, 0x0303, &[]).repeat(10_000)]),
        ("10,000 ChangeCipherSpecs", "502 tls_failed", || {
            vec![wire::record(20, 0x0303, &[1]).repeat(10_000)]
        }),
        ("a handshake message of 64 KB", "502 tls_failed", || {
            let whole = wire::message(11, &vec![0; 70_000]);
            vec![whole.chunks(16_000).flat_map(|part| wire::record(22, 0x0303, part)).collect()]
        }),
        ("a handshake message that claims 16 MB", "502 tls_failed", || {
            vec![wire::record(22, 0x0303, &[2, 0xff, 0xff, 0xff, 3, 3])]
        }),
        ("a record longer than TLS has", "502 tls_failed", || {
            vec![[&[22, 3, 3, 0xff, 0xff][..], &[0; 0xffff]].concat()]
        }),
    ];
    for (what, expected, script) in scripts {
        cases.push(Case::new("T40", format!("origin: {what}"), expected, move || plays(script())));
    }
    cases.push(Case::new(
        "T40",
        "origin: whole TLS 1.2 handshake with the sentinel of 1.1",
        "502 tls_failed",
        marked,
    ));
    cases.push(Case::new("T40", "origin: stalls at every byte of its flights", "504 origin_timeout", stalls));
    cases.push(Case::new("T40", "origin: a byte at a time, never done", "504 origin_timeout", drips));
    cases.push(Case::new("T40", "2,000 handshakes with hostile origins", "502 each, no growth", growth));
    cases
}

/// A ServerHello of TLS 1.2 from a server that says it could do better (RFC 8446 section 4.1.3).
fn sentinel(last: u8) -> Vec<u8> {
    let mut random = [5; 32];
    random[24..].copy_from_slice(&[0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44, last]);
    wire::server_hello(random, &[], 0xc02f, &[])
}

/// A handshake of TLS 1.2 that is right but for the other sentinel, which says that 1.1 or less was agreed on. A client
/// of TLS 1.3 must refuse both (RFC 8446 section 4.1.3).
async fn marked() -> String {
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    let rsa = pki::lab().rsa(&["origin.test"]);
    std::fs::write(&chain, rsa.pem()).unwrap();
    std::fs::write(&key, rsa.key_pem()).unwrap();
    let mut seen = Vec::new();
    for sentinel in ["444f574e47524400", "444f574e47524402"] {
        let settings = serde_json::json!({
            "versions": [[3, 3]], "ciphers": ["aes128gcm"], "kx": ["ecdhe_rsa"], "random_end": sentinel,
        });
        let mut command = script("tls_bar/scripts/legacy.py");
        command.arg("serve").arg(settings.to_string()).args([&chain, &key]);
        let origin = Server::start(command);
        let proxy = start(origin.addr).await;
        let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H1, "https://origin.test/secret").await;
        seen.push(if answer.status == 200 { "200".into() } else { refused(&proxy, &answer).await });
        match answer.status.as_u16() {
            // It tells after it has answered.
            200 => until("the origin to tell of it", || (origin.said("request") == 1).then_some(())).await,
            _ => assert_eq!(origin.said("request"), 0),
        }
    }
    // The second is no sentinel: the origin itself is good.
    assert_eq!(seen.pop().unwrap(), "200");
    seen.remove(0)
}

/// A ServerHello of an older version.
fn old(minor: u8) -> Vec<u8> {
    let mut hello = wire::server_hello([5; 32], &[], 0xc013, &[]);
    (hello[2], hello[10]) = (minor, minor);
    hello
}

/// Reads the ClientHello and writes the parts; an empty one closes.
async fn play(mut wire: Wire, parts: Vec<Vec<u8>>) {
    wire.tls_record().await;
    for part in parts {
        if part.is_empty() {
            return wire.shutdown().await;
        }
        wire.write(part).await;
    }
    wire.drained().await;
}

async fn start(origin: std::net::SocketAddr) -> Proxy {
    Setup::new().route("origin.test", 443, origin).start().await
}

/// One that waits no longer than the limit.
async fn hurried(origin: std::net::SocketAddr) -> Proxy {
    let limit = LIMIT.as_secs();
    let limit = format!("[limits]\norigin_handshake_time = \"{limit}s\"\nfirst_byte_time = \"{limit}s\"");
    Setup::new().route("origin.test", 443, origin).config(&limit).start().await
}

async fn ask(proxy: &Proxy) -> String {
    let answer = Client::new(Entry::HttpProxy, proxy)
        .send(Http::H1, "origin.test", get("https://origin.test/secret"))
        .await;
    refused(proxy, &answer).await
}

async fn plays(parts: Vec<Vec<u8>>) -> String {
    let origin = Raw::plain(move |wire, _| play(wire, parts.clone())).await;
    let proxy = start(origin.addr).await;
    let asked = Instant::now();
    let seen = ask(&proxy).await;
    // Everything but a stall is known at once; the machine may be busy.
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    assert!(origin.received().iter().all(|bytes| bytes.first() == Some(&22)), "only a ClientHello left");
    seen
}

/// Stops a good origin's handshake after every so many bytes, in both versions.
async fn stalls() -> String {
    let mut seen = String::new();
    for version in Tls::BOTH {
        let origin: Origin = Spec::tls(&["origin.test"]).versions(&[version]).start().await;
        let relay = Relay::start(origin.addr).await;
        // In the record's head, in ServerHello, between messages, in the certificates, before Finished and behind it.
        let places = [0, 1, 5, 60, 100, 127, 400, 900, 1200, 1400, 1800, 2300];
        // TLS 1.2 is done with less: no share of ML-KEM.
        for place in places.into_iter().filter(|place| version == Tls::V13 || *place <= 1200) {
            relay.silent_behind(place);
            let proxy = hurried(relay.addr).await;
            let asked = Instant::now();
            seen = ask(&proxy).await;
            let took = asked.elapsed();
            assert_eq!(seen, "504 origin_timeout", "{version:?} stalled behind {place} bytes");
            assert!(took >= LIMIT && took < Duration::from_secs(20), "{version:?} {place}: {took:?}");
        }
        // The relay itself is honest.
        relay.silent_behind(usize::MAX);
        let proxy = start(relay.addr).await;
        let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H1, "https://origin.test/").await;
        assert_eq!(answer.status, 200, "{version:?}");
    }
    seen
}

/// A record that would take minutes at its pace: only the limit can end it, however often a byte comes.
async fn drips() -> String {
    let origin = Raw::plain(|mut wire, _| async move {
        wire.tls_record().await;
        for byte in wire::record(22, 0x0303, &wire::message(2, &[0; 16_000])) {
            if !wire.write([byte]).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let proxy = hurried(origin.addr).await;
    let asked = Instant::now();
    let seen = ask(&proxy).await;
    let took = asked.elapsed();
    assert!(took >= LIMIT && took < Duration::from_secs(20), "{took:?}");
    seen
}

/// Memory after a thousand more than after the first thousand: nothing may be left of them.
async fn growth() -> String {
    let flood = wire::message(11, &vec![0; 70_000]);
    let flood: Vec<u8> = flood.chunks(16_000).flat_map(|part| wire::record(22, 0x0303, part)).collect();
    let origin = Raw::plain(move |wire, at| {
        let parts = match at % 3 {
            0 => vec![flood.clone()],
            1 => vec![sentinel(1)],
            _ => vec![wire::record(21, 0x0303, &[1, 90]).repeat(10_000)],
        };
        play(wire, parts)
    })
    .await;
    let proxy = start(origin.addr).await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let round = async || {
        for _ in 0..125 {
            let one = || client.send(Http::H1, "origin.test", get("https://origin.test/secret"));
            let answers = futures_util::future::join_all((0..8).map(|_| one())).await;
            assert!(answers.iter().all(|answer| answer.status == 502));
        }
    };
    round().await;
    let before = proxy.rss();
    round().await;
    let grown = proxy.rss().saturating_sub(before);
    assert!(origin.connections() >= 2000);
    if grown > 16 << 20 { format!("grew by {} KiB", grown >> 10) } else { "502 each, no growth".into() }
}
