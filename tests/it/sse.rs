//! Server-sent events: each is judged before it is passed on, and none waits for the next.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Client, Entry, get, read_head};
use crate::support::origin::{LEAK, Raw, Wire, gzip};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, within};

const FIRST: &str = "event: hello\ndata: {\"text\":\"good morning\"}\nid: 1\n\n";
const SECOND: &str = "data: and a second one\r\n\r\n";

fn leak() -> String {
    format!("id: 2\ndata: {}\ndata: more\n\n", LEAK.trim_end())
}

/// A stream of events in one of these codings, flushed behind each.
enum Coder {
    Plain,
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
    /// Meta-blocks without compression (RFC 7932 section 9.2).
    Brotli {
        begun: bool,
    },
}

impl Coder {
    fn new(coding: &str) -> Coder {
        match coding {
            "gzip" => Coder::Gzip(Box::new(flate2::write::GzEncoder::new(Vec::new(), Default::default()))),
            "br" => Coder::Brotli { begun: false },
            _ => Coder::Plain,
        }
    }

    fn code(&mut self, text: &str) -> Vec<u8> {
        use std::io::Write;
        match self {
            Coder::Plain => text.as_bytes().to_vec(),
            Coder::Gzip(encoder) => {
                encoder.write_all(text.as_bytes()).unwrap();
                encoder.flush().unwrap();
                std::mem::take(encoder.get_mut())
            }
            Coder::Brotli { begun } => {
                // A bit for the window in front of the first; four nibbles of length, and that it is not compressed.
                let header = (text.len() as u32 - 1) << 3 | 1 << 19;
                let header = if *begun { header } else { header << 1 };
                *begun = true;
                [&header.to_le_bytes()[..3], text.as_bytes()].concat()
            }
        }
    }
}

fn head(coding: &str) -> String {
    let coded = if coding.is_empty() { String::new() } else { format!("Content-Encoding: {coding}\r\n") };
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{coded}Transfer-Encoding: chunked\r\n\r\n")
}

async fn chunk(wire: &mut Wire, bytes: &[u8]) -> bool {
    wire.write([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()).await
}

/// An origin that sends these events, the next one whenever the client asks on a connection of its own.
async fn origin(coding: &'static str, events: fn() -> Vec<String>) -> Raw {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    Raw::tls("origin.test", move |mut wire: Wire, _| {
        let gate = gate.clone();
        async move {
            let Some(asked) = wire.head().await else { return };
            if asked.starts_with("GET /next") {
                gate.add_permits(1);
                wire.write("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
                return wire.shutdown().await;
            }
            let mut coder = Coder::new(coding);
            wire.write(head(coding)).await;
            for (at, event) in events().iter().enumerate() {
                if at > 0 {
                    gate.acquire().await.unwrap().forget();
                }
                if !chunk(&mut wire, &coder.code(event)).await {
                    return;
                }
            }
            wire.drained().await;
        }
    })
    .await
}

async fn next(proxy: &Proxy) {
    let answer = Client::new(Entry::HttpProxy, proxy).get(Http::H1, "https://origin.test/next").await;
    assert_eq!(answer.status, 204);
}

async fn open(proxy: &Proxy, http: Http) -> Incoming {
    let mut connection = Client::new(Entry::HttpProxy, proxy).https("origin.test", http).await.unwrap();
    let response = connection.start(get("https://origin.test/events")).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    // The connection lives as long as the process that runs the test.
    std::mem::forget(connection);
    response.into_body()
}

/// The next bytes, or that the stream broke.
async fn part(body: &mut Incoming) -> Option<Vec<u8>> {
    within("a part of the stream", body.frame())
        .await?
        .ok()
        .and_then(|frame| frame.into_data().ok())
        .map(Vec::from)
}

async fn bytes(body: &mut Incoming, wanted: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < wanted {
        all.extend(part(body).await.expect("the stream goes on"));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_passes_by_itself_until_one_is_stopped() {
    for coding in ["", "gzip", "br"] {
        for http in Http::BOTH {
            let case = format!("{coding} {http:?}");
            let origin = origin(coding, || vec![FIRST.into(), SECOND.into(), leak(), SECOND.into()]).await;
            let proxy = Setup::new().raw(&origin).start().await;
            let mut coder = Coder::new(coding);
            let mut body = open(&proxy, http).await;
            for event in [FIRST, SECOND] {
                let wanted = coder.code(event);
                assert!(bytes(&mut body, wanted.len()).await == wanted, "{case}");
                next(&proxy).await;
            }
            assert_eq!(part(&mut body).await, None, "{case}");
            let record = proxy.record("the stream", |r| r["verdict"] == "blocked").await;
            assert!(record["waf"]["matches"][0]["rule"].is_u64(), "{case}: {record}");
            let sentence = record["sentence"].as_str().unwrap();
            assert!(sentence.starts_with("a message from the origin was not passed on"), "{case}: {record}");
            assert!(sentence.ends_with("2 from the origin"), "{case}: {record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_pieces_is_not_dispatched_before_all_of_it_was_judged() {
    // The empty line that makes a browser dispatch it comes much later than the rest.
    let origin = origin("", || {
        let leak = leak();
        let (start, end) = leak.split_at(20);
        vec![": still here\n".into(), start.into(), end.into()]
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    let mut body = open(&proxy, Http::H2).await;
    assert_eq!(bytes(&mut body, 13).await, b": still here\n");
    next(&proxy).await;
    assert_eq!(bytes(&mut body, 20).await, leak().as_bytes()[..20]);
    next(&proxy).await;
    assert_eq!(part(&mut body).await, None);
    proxy.record("the stream", |r| r["verdict"] == "blocked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_end_costs_no_memory() {
    const EVENTS: usize = 3000;
    for coding in ["", "gzip"] {
        let origin = Raw::tls("origin.test", move |mut wire: Wire, _| async move {
            if wire.head().await.is_none() {
                return;
            }
            wire.write(head(coding)).await;
            let text = |at: usize| {
                let words: String = (0..400)
                    .map(|n: usize| format!("{:x} ", (at * 400 + n).wrapping_mul(2_654_435_761)))
                    .collect();
                format!("data: {words}\n\n")
            };
            let mut coder = Coder::new(coding);
            for at in 0..EVENTS {
                // Chunks that end anywhere.
                let coded = coder.code(&text(at));
                let (one, two) = coded.split_at(coded.len() / 3);
                if !chunk(&mut wire, one).await || !chunk(&mut wire, two).await {
                    return;
                }
            }
            wire.write("0\r\n\r\n").await;
            wire.drained().await;
        })
        .await;
        let proxy = Setup::new().raw(&origin).start().await;
        let started = Instant::now();
        let mut body = open(&proxy, Http::H2).await;
        let (mut all, mut before) = (0, 0);
        while let Some(part) = part(&mut body).await {
            all += part.len();
            if before == 0 && all > 1 << 20 {
                before = proxy.peak_rss();
            }
        }
        let grown = proxy.peak_rss().saturating_sub(before);
        let took = started.elapsed();
        println!("{EVENTS} events, {all} bytes {coding}: {took:?}, peak memory grew by {} KiB", grown >> 10);
        assert!(all > 4 << 20 && grown < 16 << 20, "{all} bytes, {} MiB more", grown >> 20);
        let record = proxy.record("the stream", |r| r["verdict"] == "passed").await;
        assert!(record["sentence"].as_str().unwrap().contains("3000 from the origin"), "{record}");
    }
}

/// The first event's time from the request on, the head of the answer and the event sent in separate writes.
async fn first_event(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send,
) -> Duration {
    let started = Instant::now();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: origin.test\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    let mut part = vec![0; 4096];
    while !all.windows(4).any(|end| end == b"}\nid") {
        let n = within("the first event", stream.read(&mut part)).await.unwrap();
        assert!(n > 0);
        all.extend_from_slice(&part[..n]);
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_comes_as_soon_as_without_us() {
    const ROUNDS: usize = 40;
    let origin = origin("", || vec![FIRST.into()]).await;
    let proxy = Setup::new().raw(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let direct = Client::new(Entry::HttpProxy, &proxy).trusting([crate::support::pki::lab().root_der()]);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.push(first_event(client.tls("origin.test", 443, &[Http::H1]).await.unwrap()).await);
        let socket = tokio::net::TcpStream::connect(origin.addr).await.unwrap();
        socket.set_nodelay(true).unwrap();
        without.push(
            first_event(direct.tls_over(Box::new(socket), "origin.test", &[Http::H1]).await.unwrap()).await,
        );
    }
    with.sort();
    without.sort();
    let (ours, alone) = (with[ROUNDS / 2], without[ROUNDS / 2]);
    let ratio = ours.as_secs_f64() / alone.as_secs_f64();
    println!(
        "first byte of an event stream: {ours:?} with us, {alone:?} without, {ratio:.1} times, {:?} later (medians of {ROUNDS})",
        ours.saturating_sub(alone)
    );
    // A round that a busy machine did not disturb tells what we add.
    let added = with[0].saturating_sub(without[0]);
    // Waiting for more, as a window that pauses does, would add its 100 ms to every round.
    assert!(added < Duration::from_millis(80), "{added:?} at best");
}

const OWN: &str = r#"{
  "name": "own", "version": "1",
  "rules": [
    { "id": 100001, "phase": "event", "message": "The word of the day", "severity": "critical",
      "when": { "all": [
        { "variables": ["event_name"], "operator": { "streq": "chat" } },
        { "variables": ["event_id"], "operator": { "streq": "7" } },
        { "variables": ["event_data"], "operator": { "rx": "^sword\nfish$" } } ] },
      "then": ["block"] }
  ]
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_ones_own_see_an_events_data_name_and_id() {
    let origin = origin("", || {
        vec![
            "event: talk\nid: 7\ndata: sword\ndata: fish\n\n".into(),
            "event: chat\ndata:sword\ndata:fish\nid: 7\n\n".into(),
        ]
    })
    .await;
    let setup = Setup::new().raw(&origin).file("own.json", OWN);
    let path = setup.dir().join("own.json");
    let proxy = setup.args(["--rules", path.to_str().unwrap()]).start().await;
    let mut body = open(&proxy, Http::H1).await;
    bytes(&mut body, 39).await;
    next(&proxy).await;
    assert_eq!(part(&mut body).await, None);
    let record = proxy.record("the stream", |r| r["verdict"] == "blocked").await;
    assert_eq!(record["waf"]["matches"][0]["rule"], 100_001, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_longer_than_the_window_is_looked_at_in_parts_or_refused() {
    for (policy, passes) in [("partial", true), ("deny", false)] {
        let long = || format!("data: {}\n\n", "word and word ".repeat(10_000));
        let origin =
            origin("", || vec![format!("data: {}\n\n", "word and word ".repeat(10_000)), leak_behind()])
                .await;
        let config = format!(
            "[limits]\nresponse_window = \"16KiB\"\n[policy.fail]\noversize_response_body = \"{policy}\""
        );
        let setup = Setup::new().config(&config).raw(&origin).file("own.json", WORD);
        let path = setup.dir().join("own.json");
        let proxy = setup.args(["--rules", path.to_str().unwrap()]).start().await;
        if !passes {
            // Its head may be lost with the rest of it.
            let mut connection =
                Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap();
            let whole = connection.try_send(get("https://origin.test/events")).await;
            assert!(whole.is_err(), "{whole:?}");
            let record = proxy.record("the stream", |r| r["reason"] == "uninspectable").await;
            assert_eq!(record["verdict"], "blocked", "{record}");
            continue;
        }
        let mut body = open(&proxy, Http::H2).await;
        assert!(bytes(&mut body, long().len()).await == long().as_bytes());
        next(&proxy).await;
        // The attack stands far behind the first window.
        while part(&mut body).await.is_some() {}
        let record = proxy.record("the stream", |r| r["reason"] == "blocked").await;
        assert_eq!(record["response_inspection"]["extent"], "partial", "{record}");
    }
}

const WORD: &str = r#"{
  "name": "own", "version": "1",
  "rules": [
    { "id": 100002, "phase": "response_body", "message": "The word of the day", "severity": "critical",
      "when": { "variables": ["response_body"], "operator": { "contains": "swordfish" } },
      "then": ["block"] }
  ]
}"#;

fn leak_behind() -> String {
    format!("data: {}swordfish\n\n", "word and word ".repeat(10_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_in_the_middle_of_its_coding_is_judged_to_its_end() {
    let origin = Raw::tls("origin.test", |mut wire: Wire, _| async move {
        if wire.head().await.is_none() {
            return;
        }
        let coded = gzip(format!("{FIRST}{}", leak().trim_end()).as_bytes());
        wire.write(head("gzip")).await;
        // Without the check sum and length at the end.
        chunk(&mut wire, &coded[..coded.len() - 8]).await;
        wire.write("0\r\n\r\n").await;
        wire.drained().await;
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut stream = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n").await.unwrap();
    read_head(&mut stream).await.unwrap();
    assert_eq!(crate::support::client::rest(&mut stream).await, b"");
    proxy.record("the stream", |r| r["verdict"] == "blocked").await;
}
