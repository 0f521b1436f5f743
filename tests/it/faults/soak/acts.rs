//! What the clients of the soak do: honest things, and everything else. Each does one thing whole, and asserts what
//! must come of it however busy the proxy is.

use std::sync::LazyLock;

use futures_util::future::join_all;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

use super::peers::{DEADLY, ENDLESS, MALWARE};
use super::{Dice, Stage, wires};
use crate::faults::attacks;
use crate::support::client::{Connection, get, read_head, request, rest, whole};
use crate::support::frames::{self, INITIAL_WINDOW, Peer};
use crate::support::grpc;
use crate::support::origin::{HELLO, gzip};
use crate::support::websocket::{self as ws, BINARY, CLOSE, TEXT};
use crate::support::{Http, pki, until, within};
use crate::websocket::handshake;

/// What is drawn from, each as often as it stands here.
pub const ACTS: [&str; 44] = [
    "honest",
    "honest",
    "honest",
    "honest upload",
    "honest upload",
    "honest crowd",
    "WebSocket",
    "WebSocket",
    "events",
    "call",
    "bypassed",
    "new name",
    "attack",
    "attack in a body",
    "malware",
    "scanner dies",
    "scanner ponders",
    "leak",
    "bomb",
    "odd body",
    "denied port",
    "private address",
    "loop",
    "wrong certificate",
    "refused origin",
    "hostile origin",
    "hostile origin",
    "early answer",
    "rapid reset",
    "made to reset",
    "flood of frames",
    "odd frames",
    "closed window",
    "reset in a download",
    "reset in an upload",
    "half-close",
    "half a hello",
    "silent tunnel",
    "slow head",
    "slow body",
    "slow reader",
    "garbage",
    "bad framing",
    "too many fields",
];

const EVIL: &str = "1' UNION SELECT password FROM users-- ";
const ENTITY: &str = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>";
const FORM: &str = "application/x-www-form-urlencoded";
const FILE: &str = "application/octet-stream";
/// Made once, for making it takes a while.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| gzip(&vec![b'a'; 40 << 20]));

fn url(path: &str) -> String {
    format!("https://origin.test/{path}")
}

pub async fn act(stage: &Stage, dice: &mut Dice, what: &'static str) {
    match what {
        "honest" => honest(stage, dice).await,
        "honest upload" => {
            let body = vec![b'a'; dice.roll(200_000) as usize];
            let ask = request("POST", &url(&stage.path(what)), &[("content-type", FILE)], body);
            assert_eq!(stage.any_client(dice).send(dice.http(), "origin.test", ask).await.status, 200);
        }
        "honest crowd" => crowd(stage, what).await,
        "WebSocket" => websocket(stage, dice, what).await,
        "events" => events(stage, dice, what).await,
        "call" => call(stage, dice, what).await,
        "bypassed" => bypassed(stage, dice).await,
        "new name" => {
            let name = format!("n{}.names.test", dice.roll(5000));
            let url = format!("https://{name}/{}", stage.path(what));
            assert_eq!(stage.any_client(dice).get(dice.http(), &url).await.text(), HELLO);
        }
        "attack" => {
            let url = url(&format!("{}?q=1+UNION+SELECT+password+FROM+users--", stage.path(what)));
            assert_eq!(stage.any_client(dice).get(dice.http(), &url).await.status, 403);
        }
        "denied port" => assert!(stage.any_client(dice).tunnel("origin.test", 22).await.is_err()),
        "attack in a body" | "malware" | "scanner dies" | "scanner ponders" | "bomb" | "odd body" => {
            bodies(stage, dice, what).await;
        }
        "leak" | "early answer" | "wrong certificate" | "refused origin" | "hostile origin" => {
            origins(stage, dice, what).await;
        }
        "rapid reset" | "made to reset" | "flood of frames" | "odd frames" | "closed window" => {
            http2(stage, dice, what).await;
        }
        other => wires::act(stage, dice, other).await,
    }
}

async fn honest(stage: &Stage, dice: &mut Dice) {
    let mut connection = stage.any_client(dice).https("origin.test", dice.http()).await.unwrap();
    for _ in 0..1 + dice.roll(4) {
        let kinds = ["", "gzip/", "zstd/", "deflate/", "trailers/", "plain/", "bytes/300000?"];
        let path = [kinds[dice.roll(kinds.len() as u64) as usize], &stage.path("honest")].concat();
        let answer = connection.send(get(&url(&path))).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.text() == HELLO || answer.body.len() > HELLO.len() || path.starts_with("trailers"));
    }
}

/// Many requests at once on one connection, half of which are given up.
async fn crowd(stage: &Stage, what: &'static str) {
    let connection = stage.client().https("origin.test", Http::H2).await.unwrap();
    let Connection::H2(send) = connection else { unreachable!("asked for HTTP/2") };
    let one = async |number: u32| {
        let mut send = send.clone();
        if number.is_multiple_of(2) {
            let answer = send.send_request(get(&url(&stage.path(what)))).await.unwrap();
            assert_eq!(whole(answer).await.unwrap().text(), HELLO);
        } else if let Ok(answer) = send.send_request(get(&url("bytes/1000000"))).await {
            drop(answer.into_body().frame().await);
        }
    };
    within("a crowd", join_all((0..16).map(one))).await;
}

/// Messages there and back, and one of four ends.
async fn websocket(stage: &Stage, dice: &mut Dice, what: &'static str) {
    let mut stream = stage.any_client(dice).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let ask = handshake(&format!("/ws?{}", stage.path(what)));
    stream.write_all(ask.as_bytes()).await.unwrap();
    let head = within("101", read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    for _ in 0..dice.roll(20) {
        let message = vec![b'm'; dice.roll(5000) as usize];
        stream.write_all(&ws::masked(BINARY, true, &message)).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(within("an echo", ws::read(&mut stream)).await.unwrap().payload, message);
    }
    let last = match dice.roll(4) {
        0 => ws::masked(CLOSE, true, &1000u16.to_be_bytes()),
        1 => ws::masked(TEXT, true, EVIL.as_bytes()),
        2 => ws::plain(TEXT, true, b"not masked"),
        _ => return,
    };
    stream.write_all(&last).await.unwrap();
    let end = ws::frames(&rest(&mut stream).await);
    assert!(end.iter().any(|frame| frame.code().is_some()), "{end:?}");
}

/// A stream of events that the client reads to its end or not; the origin ends it well or not.
async fn events(stage: &Stage, dice: &mut Dice, what: &'static str) {
    let url = format!("https://stream.test/{}", stage.path(what));
    let mut connection = stage.any_client(dice).https("stream.test", dice.http()).await.unwrap();
    let response = connection.start(get(&url)).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    for _ in 0..1 + dice.roll(8) {
        if !matches!(within("an event", body.frame()).await, Some(Ok(_))) {
            return;
        }
    }
}

async fn call(stage: &Stage, dice: &mut Dice, what: &'static str) {
    let evil = dice.roll(3) == 0;
    let text = if evil { EVIL } else { "Conan O'Brien's union of selected tables" };
    let body = grpc::frame(&grpc::message(text), if dice.roll(2) == 0 { "gzip" } else { "" });
    let fields = [("content-type", "application/grpc"), ("grpc-encoding", "gzip"), ("te", "trailers")];
    let ask = request("POST", &url(&format!("duplex/{}", stage.path(what))), &fields, body.clone());
    let answer = stage.any_client(dice).send(Http::H2, "origin.test", ask).await;
    if evil {
        assert_eq!(answer.header("grpc-status"), "7", "{answer:?}");
    } else {
        assert_eq!(answer.body, body, "{answer:?}");
    }
}

/// A host that is not decrypted, left in the middle or not.
async fn bypassed(stage: &Stage, dice: &mut Dice) {
    let client = stage.any_client(dice);
    // A TLS entry shows its own certificate, the host another's.
    let client = client.trusting(stage.proxy.ca().into_iter().chain([pki::lab().root_der()]));
    let mut connection = client.https("pinned.test", dice.http()).await.unwrap();
    if dice.roll(2) == 0 {
        let answer = connection.send(get("https://pinned.test/opaque")).await;
        assert_eq!(answer.text(), HELLO);
    } else {
        let response = connection.start(get("https://pinned.test/bytes/50000000")).await.unwrap();
        drop(within("a part", response.into_body().frame()).await);
    }
}

/// Bodies that must not arrive.
async fn bodies(stage: &Stage, dice: &mut Dice, what: &'static str) {
    let json = "application/json";
    let (kind, coding, body, expected): (&str, &str, Vec<u8>, u16) = match what {
        "attack in a body" => (FORM, "", format!("q={EVIL}").into_bytes(), 403),
        "malware" => (FILE, "", MALWARE.into(), 403),
        "scanner dies" => (FILE, "", DEADLY.into(), 503),
        "scanner ponders" => (FILE, "", ENDLESS.into(), 503),
        "bomb" => (FORM, "gzip", BOMB.clone(), 0),
        _ => match dice.roll(5) {
            0 => (json, "", [vec![b'['; 100_000], vec![b']'; 100_000]].concat(), 0),
            1 => (FORM, "", [&b"a=b&".repeat(100_000)[..], b"q=", EVIL.as_bytes()].concat(), 0),
            2 => ("text/xml", "", ENTITY.as_bytes().to_vec(), 0),
            3 => (FORM, "gzip, gzip, gzip", gzip(&gzip(&gzip(b"a=b"))), 0),
            _ => (json, "gzip", b"not gzip".to_vec(), 0),
        },
    };
    let fields = [("content-type", kind), ("content-encoding", coding)];
    let fields = if coding.is_empty() { &fields[..1] } else { &fields };
    let ask = request("POST", &url(&stage.path(what)), fields, body);
    let answer = stage.client().send(Http::H1, "origin.test", ask).await;
    let status = answer.status.as_u16();
    let good = status == expected || expected == 0 && (400..500).contains(&status);
    assert!(good, "{what}, {kind} {coding}: {status}");
}

/// Origins that are not as they should be.
async fn origins(stage: &Stage, dice: &mut Dice, what: &'static str) {
    let path = stage.path(what);
    let (url, expected): (String, &[u16]) = match what {
        "leak" => (url(&format!("leak/{path}")), &[403]),
        "early answer" => (url(&format!("refuse?{path}")), &[417, 502]),
        "wrong certificate" => (format!("https://other.test/{path}"), &[502]),
        "refused origin" => (format!("https://refused.test/{path}"), &[502]),
        _ => (format!("https://hostile.test/{path}"), &[502, 504]),
    };
    let host = url.split('/').nth(2).unwrap();
    // An answer that precedes the end of a body may be lost with the connection, in HTTP/1.1.
    let uploads = what == "early answer" || what == "hostile origin" && dice.roll(2) == 0;
    let body = if uploads { vec![b'a'; 100_000] } else { Vec::new() };
    let method = if body.is_empty() { "GET" } else { "POST" };
    let ask = request(method, &url, &[("content-type", FILE)], body);
    let mut connection = stage.any_client(dice).https(host, dice.http()).await.unwrap();
    match connection.try_send(ask).await {
        Ok(answer) => {
            assert!(
                expected.contains(&answer.status.as_u16()),
                "{what}: {}, {}",
                answer.status,
                answer.text()
            );
        }
        // An answer that broke off is one that must not be taken for whole.
        Err(error) => assert!(matches!(what, "hostile origin" | "early answer"), "{what}: {error}"),
    }
}

/// Frames that clients of HTTP/2 do not send.
async fn http2(stage: &Stage, dice: &mut Dice, what: &'static str) {
    let settings = if what == "closed window" { &[(INITIAL_WINDOW, 0)][..] } else { &[] };
    let mut peer = Peer::open(&stage.proxy, settings).await;
    let (first, frames): (Vec<u8>, Vec<Vec<u8>>) = match what {
        "closed window" => {
            assert!(peer.send(&frames::get(1, &format!("/bytes/100000000?{}", stage.path(what)))).await);
            let over = || (peer.reset_code(1).is_some() || peer.ended()).then_some(());
            return until("a stream without a window to be reset", over).await;
        }
        "made to reset" => {
            let (_, opens, then) = attacks::made_you_reset()[dice.roll(6) as usize];
            (Vec::new(), (0..200).map(|n| [opens(2 * n + 1), then(2 * n + 1)].concat()).collect())
        }
        "flood of frames" => {
            let mut floods = attacks::floods();
            let (_, first, again) = floods.swap_remove(dice.roll(floods.len() as u64) as usize);
            (first, vec![again.repeat(20); 100])
        }
        "odd frames" => {
            let kind = dice.roll(12) as u8;
            let one = |n: u32| {
                let (stream, length) = (dice.roll(4) as u32, dice.roll(40) as usize);
                frames::frame(kind, dice.roll(256) as u8, stream + n, &vec![7; length])
            };
            (Vec::new(), (0..50).map(one).collect())
        }
        _ => {
            let pair = |n: u32| [frames::get(2 * n + 1, "/held"), frames::reset(2 * n + 1)].concat();
            (Vec::new(), (0..400).map(pair).collect())
        }
    };
    let mut open = peer.send(&first).await;
    for bytes in frames {
        open = open && peer.send(&bytes).await;
    }
}
