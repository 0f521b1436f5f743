//! Attacks on HTTP/2, in frames written by hand: each ends with its own connection, costs little, and others are
//! served while it lasts (F17 to F23).

use std::time::Instant;

use super::{Case, Seen};
use crate::support::client::{Client, Entry};
use crate::support::frames::*;
use crate::support::origin::{HELLO, Origin, Spec};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, until, within};

/// Processor seconds that an attack may cost, whole; the ciphers of a debug build are not optimised.
const CPU: f64 = if cfg!(debug_assertions) { 5.0 } else { 1.0 };

/// Memory that an attack may take for good.
const MEMORY: u64 = 24 << 20;

const CUT_OFF: &str = "cut off, cheap, others served";

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new(
            "F17",
            "rapid reset: 100,000 HEADERS and RST_STREAM, as fast as they go",
            CUT_OFF,
            || async { rapid_reset().await },
        ),
        Case::new("F17", "rapid reset: each pair waits until the one before was seen", CUT_OFF, || async {
            paced_reset().await
        }),
        Case::new("F20", "HPACK: 16,000 references to one field of 4,000 bytes", CUT_SHORT, || async {
            bomb(literal(0x40, "x-a", &"a".repeat(4000)), 16_000).await
        }),
        Case::new("F20", "HPACK: 100 streams with 400 references each, window 0", CUT_SHORT, || async {
            bomb(literal(0x40, "x-a", "a"), 400).await
        }),
        Case::new("F20", "HPACK: 100 streams with 400 cookie crumbs each, window 0", CUT_SHORT, || async {
            bomb(literal(0x40, "cookie", "a"), 400).await
        }),
        Case::new("F22", "a window of 0 for ever", STALLED, || async { closed_window(0).await }),
        Case::new("F22", "a window of 1 byte, and never more", STALLED, || async { closed_window(1).await }),
        Case::new("F23", "150 streams at once where 100 are allowed", "50 refused, 100 answered", || async {
            too_many_streams().await
        }),
    ];
    for (what, opens, then) in made_you_reset() {
        cases.push(Case::new("F18", format!("MadeYouReset: {what}"), CUT_OFF, move || async move {
            stage("", async |_, peer| {
                let pairs = (0..20_000).map(|n| [opens(2 * n + 1), then(2 * n + 1)].concat());
                flood(peer, Vec::new(), pairs).await
            })
            .await
        }));
    }
    for (what, first, again) in floods() {
        let id = if what.contains("CONTINUATION") { "F19" } else { "F21" };
        cases.push(Case::new(id, format!("a flood of {what}"), CUT_OFF, move || {
            let (first, again) = (first.clone(), again.clone());
            async move {
                stage("", async |_, peer| flood(peer, first, (0..50_000).map(|_| again.clone())).await).await
            }
        }));
    }
    cases
}

/// Sends until the proxy ends it; says how much went out before.
async fn flood(peer: &mut Peer, first: Vec<u8>, frames: impl Iterator<Item = Vec<u8>>) -> String {
    let mut sent = 0usize;
    let mut bytes = first;
    let mut over = false;
    for one in frames {
        bytes.extend(one);
        sent += 1;
        if bytes.len() > 8 * 1024 {
            if !peer.send(&bytes).await {
                over = true;
                break;
            }
            bytes.clear();
        }
    }
    over = over || !peer.send(&bytes).await;
    if !over {
        // What is in flight may still be too much.
        within("the end of a flood's connection", async {
            while peer.round_trip(u64::MAX).await {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
    }
    format!("cut off while {sent} were sent")
}

/// One attack on a proxy of its own: what it costs, and whether another client is served meanwhile.
async fn stage(config: &str, attack: impl AsyncFnOnce(&Origin, &mut Peer) -> String) -> Seen {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut proxy = Setup::new().config(config).origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    assert_eq!(client.get(Http::H2, "https://origin.test/").await.text(), HELLO);
    let before = Before::of(&proxy);
    let mut peer = Peer::open(&proxy, &[]).await;
    let attacked = attack(&origin, &mut peer);
    let others = async {
        let mut slowest = std::time::Duration::ZERO;
        for turn in 0..5 {
            let began = Instant::now();
            assert_eq!(client.get(Http::H2, &format!("https://origin.test/{turn}")).await.text(), HELLO);
            slowest = slowest.max(began.elapsed());
        }
        slowest
    };
    let (told, slowest) = futures_util::future::join(attacked, others).await;
    // What was written is refused before the goodbye is read.
    until("a flood's connection to be ended", || (peer.goaway().is_some() || peer.ended()).then_some(()))
        .await;
    let word = match (peer.goaway(), peer.ended()) {
        (Some((last, code)), _) => format!("GOAWAY {code} after stream {last}"),
        (None, true) => "closed".to_owned(),
        (None, false) => "still open".to_owned(),
    };
    let (cpu, memory) = before.spent(&proxy);
    let cheap = cpu < CPU && memory < MEMORY && proxy.running();
    let cut = peer.goaway().is_some() || peer.ended();
    let requests = origin.seen().len();
    let figures = format!(
        "({told}; {word}; {cpu:.2} CPU-s, {} KiB, others' slowest {} ms, origin saw {requests})",
        memory >> 10,
        slowest.as_millis()
    );
    let last = peer.goaway().map_or(0, |(last, _)| last);
    let early = requests < 1000 && last <= 2000;
    let told = if cut && cheap && early { CUT_OFF.to_owned() } else { figures.clone() };
    Seen { told, figures }
}

struct Before {
    cpu: f64,
    rss: u64,
}

impl Before {
    fn of(proxy: &Proxy) -> Before {
        Before { cpu: proxy.cpu(), rss: proxy.rss() }
    }

    /// Processor seconds, and the peak of memory above what there was.
    fn spent(&self, proxy: &Proxy) -> (f64, u64) {
        (proxy.cpu() - self.cpu, proxy.peak_rss().saturating_sub(self.rss))
    }
}

async fn rapid_reset() -> Seen {
    stage("", async |_, peer| {
        let pairs = (0..100_000).map(|n| [get(2 * n + 1, "/held"), reset(2 * n + 1)].concat());
        flood(peer, Vec::new(), pairs).await
    })
    .await
}

async fn paced_reset() -> Seen {
    // A pair takes as long as the machine does, and meanwhile resets are given back.
    stage("[limits]\nh2_control_rate = 1", async |_, peer| {
        for n in 0..2000 {
            let sent = peer.send(&[get(2 * n + 1, "/held")].concat()).await
                && peer.round_trip(n.into()).await
                && peer.send(&reset(2 * n + 1)).await;
            if !sent {
                return format!("cut off at pair {n}");
            }
        }
        "2000 pairs were taken".to_owned()
    })
    .await
}

pub type OnStream = fn(u32) -> Vec<u8>;

/// Ways to make a server reset a stream itself: how the stream is opened, and what follows.
pub fn made_you_reset() -> [(&'static str, OnStream, OnStream); 6] {
    [
        ("a WINDOW_UPDATE of 0", |s| post(s, "/held"), |s| window_update(s, 0)),
        ("a WINDOW_UPDATE that overflows", |s| post(s, "/held"), |s| window_update(s, 0x7fff_ffff)),
        (
            "HEADERS after END_STREAM",
            |s| get(s, "/held"),
            |s| frame(HEADERS, END_HEADERS | END_STREAM, s, &literal(0, "x-a", "b")),
        ),
        ("DATA after END_STREAM", |s| get(s, "/held"), |s| frame(DATA, END_STREAM, s, b"late")),
        ("PRIORITY of a wrong length", |s| post(s, "/held"), |s| frame(PRIORITY, 0, s, &[0; 4])),
        (
            "PRIORITY on itself",
            |s| post(s, "/held"),
            |s| frame(PRIORITY, 0, s, &[&s.to_be_bytes()[..], &[16]].concat()),
        ),
    ]
}

/// What is flooded, what comes before, and what is sent over and over.
pub fn floods() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let open = frame(HEADERS, 0, 1, &asks("GET", "/"));
    let upload = post(1, "/echo");
    let field = literal(0, "x-a", "b");
    vec![
        ("CONTINUATION with fields", open.clone(), frame(CONTINUATION, 0, 1, &field.repeat(100))),
        ("CONTINUATION without anything", open, frame(CONTINUATION, 0, 1, &[])),
        ("SETTINGS", Vec::new(), frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("PING", Vec::new(), ping(7)),
        ("empty DATA", upload.clone(), frame(DATA, 0, 1, &[])),
        ("padded DATA without content", upload.clone(), frame(DATA, 8, 1, &[0])),
        ("empty HEADERS", upload, frame(HEADERS, END_HEADERS, 1, &[])),
        ("PRIORITY", Vec::new(), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
        ("frames of no known type", Vec::new(), frame(0x4f, 0, 0, b"what")),
    ]
}

const CUT_SHORT: &str = "refused, memory flat, others served";

/// A field put into the table once and named over and over, on a hundred streams whose answers are not taken.
async fn bomb(field: Vec<u8>, times: usize) -> Seen {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().config("[limits]\nwrite_stall = \"1s\"").origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    assert_eq!(client.get(Http::H2, "https://origin.test/").await.text(), HELLO);
    let served = origin.seen().len();
    let before = Before::of(&proxy);
    let mut peer = Peer::open(&proxy, &[(INITIAL_WINDOW, 0)]).await;
    let mut sent = 0;
    for n in 0..100u32 {
        let mut block = asks("GET", "/");
        if n == 0 {
            block.extend(&field);
        }
        // Index 62 is the newest entry of the dynamic table (RFC 7541 section 2.3.3).
        block.resize(block.len() + times, 0x80 | 62);
        let bytes = frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &block[..block.len().min(16_384)]);
        sent += bytes.len();
        if !peer.send(&bytes).await {
            break;
        }
    }
    // Streams whose answers wait for a window are given up; their refusals are all that was made of them.
    let over = |stream: u32| peer.reset_code(stream).is_some();
    until("every stream to be over", || (peer.ended() || (0..100).all(|n| over(2 * n + 1))).then_some(()))
        .await;
    assert_eq!(client.get(Http::H2, "https://origin.test/").await.text(), HELLO);
    let (cpu, memory) = before.spent(&proxy);
    let reached = origin.seen().len() - served - 1;
    let figures = format!(
        "({} KiB sent, {} KiB of memory, {cpu:.2} CPU-s, {reached} reached the origin)",
        sent >> 10,
        memory >> 10
    );
    let good = reached == 0 && memory < MEMORY && cpu < CPU;
    Seen::judged(good, CUT_SHORT, figures)
}

const STALLED: &str = "stream reset, connection kept";

async fn closed_window(window: u32) -> Seen {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().config("[limits]\nwrite_stall = \"1s\"").origin(&origin).start().await;
    let mut peer = Peer::open(&proxy, &[(INITIAL_WINDOW, window)]).await;
    let began = Instant::now();
    assert!(peer.send(&get(1, "/bytes/100000000")).await);
    until("the answer's head", || peer.has_head(1).then_some(())).await;
    let code = until("the stream to be reset", || peer.reset_code(1).or(peer.ended().then_some(99))).await;
    let waited = began.elapsed();
    let kept = peer.round_trip(1).await;
    let record =
        proxy.record("the stalled stream", |r| r["url"].as_str().is_some_and(|u| u.contains("bytes"))).await;
    let figures = format!("(code {code} after {waited:.1?}, recorded as {})", record["reason"]);
    let good = code == 8 && kept && waited.as_secs_f64() >= 0.9 && waited.as_secs() < 25;
    Seen::judged(good, STALLED, figures)
}

async fn too_many_streams() -> Seen {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut peer = Peer::open(&proxy, &[]).await;
    // Our streams are opened before the proxy's settings can have arrived, as RFC 9113 section 3.4 allows.
    let all: Vec<u8> = (0..150).flat_map(|n| get(2 * n + 1, "/held")).collect();
    assert!(peer.send(&all).await);
    let refused = until("50 refusals", || {
        let refused = (0..150).filter(|n| peer.reset_code(2 * n + 1) == Some(7)).count();
        (refused >= 50 || peer.ended()).then_some(refused)
    })
    .await;
    until("the others at the origin", || (origin.seen().len() >= 100).then_some(())).await;
    for _ in 0..100 {
        origin.release();
    }
    let answered = until("100 answers", || {
        let answered = (0..150).filter(|n| peer.has_head(2 * n + 1)).count();
        (answered >= 100).then_some(answered)
    })
    .await;
    format!("{refused} refused, {answered} answered").into()
}
