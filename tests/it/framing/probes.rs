//! The seventeen probes that must be rejected and the five that must be written anew, by every way in. The rules
//! are on, as they are without flags: no byte of a rejected request reaches the origin.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use super::lab::{Kind, answer, messages};
use super::table;
use crate::connect::gateway;
use crate::support::Http;
use crate::support::client::{Client, Entry, rest};
use crate::support::netns::{NetLab, Redirect};
use crate::support::origin::{Raw, Stream};
use crate::support::proxy::{Proxy, Setup};
use crate::support::until;

/// How the probes come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Absolute,
    Tls,
    Socks,
    Transparent,
}

/// The target of what must not pass.
const MARKER: &str = "/must-not-arrive";

/// What must not pass, behind a request line and Host.
const REJECTED: [(&str, &str); 17] = [
    ("a length and chunks", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"),
    ("two lengths that differ", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    ("a length with a sign", "Content-Length: +5\r\n\r\nabcde"),
    ("a coding that nobody knows", "Transfer-Encoding: xchunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
    ("chunked before another coding", "Transfer-Encoding: chunked, identity\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
    (
        "chunked in two fields",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    ),
    ("a space before the colon", "Transfer-Encoding : chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
    ("a vertical tab", "Transfer-Encoding: \x0bchunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
    ("a folded line", "Transfer-Encoding:\r\n chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
    ("a chunk size with 0x", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n"),
    ("a line feed in a chunk extension", "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nabcde\r\n0\r\n\r\n"),
    ("a chunk line that ends in LF", "Transfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n"),
    ("a bare CR", "X-A: a\rb\r\n\r\n"),
    ("a null", "X-A: a\0b\r\n\r\n"),
    ("two Hosts", "Host: second.test\r\n\r\n"),
    ("an empty name", ": value\r\n\r\n"),
    ("chunks in HTTP/1.0", "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
];

/// What is odd and has one meaning: the request, what the origin gets, and what it must not.
const REWRITTEN: [(&str, &str, &[&str], &[&str]); 5] = [
    (
        "the same length twice in a list",
        "POST {t}/w HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 5, 5\r\n\r\nabcde",
        &["Content-Length: 5\r\n", "\r\n\r\nabcde"],
        &["5, 5"],
    ),
    (
        "a Host other than the target's",
        "GET {a}/w HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        &["GET /w HTTP/1.1\r\n", "Host: origin.test\r\n"],
        &["evil.test"],
    ),
    (
        "Connection names Transfer-Encoding",
        "POST {t}/w HTTP/1.1\r\nHost: origin.test\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x=y\r\nabcde\r\n0\r\n\r\n",
        &["abcde"],
        &["Connection: ", "x=y"],
    ),
    (
        "Connection names Host",
        "GET {t}/w HTTP/1.1\r\nHost: origin.test\r\nConnection: Host\r\n\r\n",
        &["Host: origin.test\r\n"],
        &["Connection: "],
    ),
    (
        "bytes behind an upgrade",
        "GET {t}/w HTTP/1.1\r\nHost: origin.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
         GET /early HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        &["GET /w HTTP/1.1\r\n"],
        &["early"],
    ),
];

async fn open(way: Way, proxy: &Proxy, net: Option<&Arc<NetLab>>) -> Box<dyn Stream> {
    match way {
        Way::Absolute => Client::new(Entry::HttpProxy, proxy).dial().await.unwrap(),
        Way::Tls => {
            let client = Client::new(Entry::HttpProxy, proxy);
            Box::new(client.tls("origin.test", 443, &[Http::H1]).await.unwrap())
        }
        Way::Socks => Client::new(Entry::Socks5, proxy).tunnel("origin.test", 80).await.unwrap(),
        Way::Transparent => Client::redirected(proxy, net.unwrap()).tunnel("origin.test", 80).await.unwrap(),
    }
}

/// Sends a probe, and with it the end of the client's half where the proxy has no reason to close; the statuses that come back, and what the origin got of it.
async fn probe(origin: &Raw, mut stream: Box<dyn Stream>, bytes: &str, ends: bool) -> (Vec<u16>, String) {
    let before: Vec<usize> = origin.received().iter().map(Vec::len).collect();
    let _ = stream.write_all(bytes.as_bytes()).await;
    let _ = stream.flush().await;
    if ends {
        let _ = stream.shutdown().await;
    }
    let got = rest(&mut stream).await;
    let statuses = messages(&got, Kind::Response { head: false }).iter().map(|m| m.status()).collect();
    let mut fresh = Vec::new();
    for (index, bytes) in origin.received().into_iter().enumerate() {
        fresh.extend_from_slice(&bytes[before.get(index).copied().unwrap_or(0)..]);
    }
    (statuses, String::from_utf8_lossy(&fresh).into_owned())
}

async fn through(way: Way) -> Vec<[String; 4]> {
    let script = |wire, _| answer(wire, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(), false);
    let net = (way == Way::Transparent).then(|| Arc::new(NetLab::new(Redirect::Nat, 8443)));
    let origin = match (way, &net) {
        (Way::Tls, _) => Raw::tls("origin.test", script).await,
        (_, Some(net)) => Raw::plain_on(net.listen(80), script).await,
        _ => Raw::plain(script).await,
    };
    let proxy = match &net {
        Some(net) => gateway(net, Redirect::Nat).await,
        None => {
            let setup = Setup::new().route("origin.test", 80, origin.addr);
            setup.route("origin.test", 443, origin.addr).start().await
        }
    };
    let scheme = if way == Way::Tls { "https" } else { "http" };
    let absolute = format!("{scheme}://origin.test");
    let target = if way == Way::Absolute { absolute.as_str() } else { "" };
    let clause = format!("{way:?}");
    let mut lines = Vec::new();
    for (what, tail) in REJECTED {
        let version = if what.ends_with("HTTP/1.0") { "1.0" } else { "1.1" };
        let text = format!("POST {target}{MARKER} HTTP/{version}\r\nHost: origin.test\r\n{tail}");
        let (statuses, at_origin) = probe(&origin, open(way, &proxy, net.as_ref()).await, &text, false).await;
        let seen = if matches!(statuses[..], [400 | 501]) && at_origin.is_empty() {
            "rejected".to_owned()
        } else {
            format!("{statuses:?}, at the origin: {at_origin:?}")
        };
        lines.push([clause.clone(), what.to_owned(), "rejected".to_owned(), seen]);
    }
    for (what, text, has, lacks) in REWRITTEN {
        let text = text.replace("{t}", target).replace("{a}", &absolute);
        let (statuses, at_origin) = probe(&origin, open(way, &proxy, net.as_ref()).await, &text, true).await;
        let one = messages(at_origin.as_bytes(), Kind::Request).len() == 1 && statuses.first() == Some(&200);
        let low = at_origin.to_lowercase();
        let upgrade = what.contains("upgrade");
        let right = has.iter().all(|piece| low.contains(&piece.to_lowercase()))
            && lacks.iter().all(|piece| !low.contains(&piece.to_lowercase()))
            && (!upgrade || statuses == [200, 400]);
        let seen = match one && right {
            true => "rewritten".to_owned(),
            false => format!("{statuses:?}, at the origin: {at_origin:?}"),
        };
        lines.push([clause.clone(), what.to_owned(), "rewritten".to_owned(), seen]);
    }
    let refused = |r: &serde_json::Value| r["reason"] == "malformed";
    until("a record of each rejected probe", || {
        (proxy.audit().iter().filter(|r| refused(r)).count() >= REJECTED.len()).then_some(())
    })
    .await;
    // Each is over by now: nothing of any of them is under way any more.
    let received = String::from_utf8_lossy(&origin.received().concat()).into_owned();
    assert!(!received.contains(MARKER), "{way:?}: {received}");
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn framing_probes_are_rejected_or_written_anew_by_every_way_in() {
    let mut lines = Vec::new();
    for way in [Way::Absolute, Way::Tls, Way::Socks, Way::Transparent] {
        lines.extend(through(way).await);
    }
    let failed = table("Probes", &lines, &[]);
    let count =
        |expected: &str| lines.iter().filter(|line| line[2] == expected && line[3] == expected).count();
    println!("{} of 68 rejected, {} of 20 rewritten, 4 ways", count("rejected"), count("rewritten"));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!((count("rejected"), count("rewritten")), (68, 20));
}
