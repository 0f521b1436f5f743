//! Bodies longer than their window: what follows it is judged slice by slice before it is passed on, wherever an attack
//! stands in it, in memory that does not grow with the body.

use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;

use crate::support::Http;
use crate::support::attack::blocked;
use crate::support::client::{Client, Entry, get, request};
use crate::support::origin::{Body, Origin, Raw, Spec, Wire, gzip};
use crate::support::proxy::{Proxy, Setup};

const EVIL: &str = "1' UNION SELECT password FROM users-- ";
const MILD: &str = "Conan O'Brien's union of selected tables";
const WINDOW: usize = 16 * 1024;

async fn pair() -> (Origin, Proxy) {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let config = format!("[limits]\nrequest_window = {WINDOW}\nresponse_window = {WINDOW}");
    let proxy = Setup::new().config(&config).origin(&origin).start().await;
    (origin, proxy)
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A body of a type with the text behind so many bytes, and as many behind it.
type Make = fn(&str, usize) -> String;

fn filler(bytes: usize) -> String {
    "words and more words, ".chars().cycle().take(bytes).collect()
}

/// With each apostrophe written as a format has it.
fn escaped(text: &str, apostrophe: &str) -> String {
    text.replace('\'', apostrophe)
}

/// A value longer than a window.
fn long(before: usize, text: &str) -> String {
    format!("{}{text}{}", filler(before), filler(before))
}

const KINDS: [(&str, Make); 14] = [
    ("application/x-www-form-urlencoded", |text, before| {
        let pad = |bytes| {
            "a=some+words+and+some+more+of+them+and+then+some+others&"
                .chars()
                .cycle()
                .take(bytes)
                .collect::<String>()
        };
        format!("{}&q={}&z={}", pad(before), encoded(text), pad(before))
    }),
    ("application/json", |text, before| {
        let rows = vec!["some words"; before / 13];
        json!({"rows": rows, "one": filler(before % 13 + 1), "q": text, "end": filler(before)}).to_string()
    }),
    ("application/json; charset=utf-8", |text, before| {
        // In a value longer than a window.
        json!({"long": long(before, text)}).to_string()
    }),
    ("application/json", |text, before| {
        format!("{{\"a\": [\"\\\"{}\"]}}", long(before, &escaped(text, "\\u0027")))
    }),
    ("application/json5", |text, before| format!("{{a: '{}'}}", long(before, &escaped(text, "\\'")))),
    // To some applications JSON is JSON, whatever it is called.
    ("text/plain", |text, before| format!("{{\"a\": [\"{}\"]}}", long(before, &escaped(text, "\\u0027")))),
    ("application/x-ndjson", |text, before| {
        let lines = |bytes: usize| format!("{}\n", json!({"a": "some words"})).repeat(bytes / 19);
        format!("{}{}{}\n{}", lines(before), " ".repeat(before % 19), json!({"q": text}), lines(before))
    }),
    ("application/xml", |text, before| {
        let text = text.replace('<', "&lt;");
        format!("<a>{}<q>{text}</q>{}</a>", "<b>words</b>".repeat(before / 12), filler(before))
    }),
    ("text/xml", |text, before| format!("<a b=\"{}\"/>", long(before, &escaped(text, "&#39;")))),
    ("text/xml", |text, before| format!("<a><b>{}</b></a>", long(before, &escaped(text, "&apos;")))),
    ("text/xml; charset=utf-8", |text, before| format!("<a><![CDATA[<b> {}]]></a>", long(before, text))),
    ("application/x-www-form-urlencoded", |text, before| {
        let pad = filler(before).replace(' ', "+");
        format!("q={pad}{}{pad}", encoded(text))
    }),
    ("multipart/form-data; boundary=b0", |text, before| {
        format!(
            "--b0\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n{} --b0 {}\r\n--b0--\r\n",
            filler(before),
            long(before, text)
        )
    }),
    ("multipart/form-data; boundary=b0", |text, before| {
        format!(
            "--b0\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\n\r\n{}\r\n\
             --b0\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n{text}\r\n\
             --b0\r\nContent-Disposition: form-data; name=\"g\"; filename=\"g.txt\"\r\n\r\n{}\r\n--b0--\r\n",
            filler(before),
            filler(before)
        )
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_attack_far_behind_the_window_is_stopped_and_its_twin_passes_byte_for_byte() {
    let (origin, proxy) = pair().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    for (at, (media, make)) in KINDS.into_iter().enumerate() {
        // In the third slice or so, at different places of it.
        for (turn, before) in [33_000usize, 40_009, 50_021].into_iter().enumerate() {
            let http = Http::BOTH[(at + turn) % 2];
            let packed = turn == 1;
            let case = format!("{media} {before} {http:?}");
            let ask = |text: &str| {
                let body = make(text, before).into_bytes();
                let body = if packed { gzip(&body) } else { body };
                let coding = if packed { "gzip" } else { "identity" };
                let fields = [("content-type", media), ("content-encoding", coding)];
                (request("POST", "https://origin.test/", &fields, body.clone()), body)
            };
            let answer = client.send(http, "origin.test", ask(EVIL).0).await;
            let id = blocked(&case, &answer);
            let record = proxy.record("the block", |r| r["id"] == id.as_str()).await;
            assert_eq!(record["verdict"], "blocked", "{case}: {record}");
            assert!(record["waf"]["matches"][0]["rule"].is_u64(), "{case}: {record}");
            assert!(
                origin
                    .seen()
                    .iter()
                    .all(|seen| seen.complete || !String::from_utf8_lossy(&seen.body).contains("UNION"))
            );
            let before = origin.seen().iter().filter(|seen| seen.complete).count();
            let (twin, body) = ask(MILD);
            let answer = client.send(http, "origin.test", twin).await;
            assert_eq!(answer.status, 200, "{case}: {}", answer.text());
            let whole: Vec<_> = origin.seen().into_iter().filter(|seen| seen.complete).collect();
            assert_eq!(whole.len(), before + 1, "{case}: a stopped upload looked complete");
            assert!(whole.last().unwrap().body == body, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attack_on_the_edge_of_a_slice_is_whole_to_the_rules() {
    let (_origin, proxy) = pair().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap();
    // Where exactly slices end is for the tests of the slices; here it is one of these places.
    for edge in [WINDOW, 2 * WINDOW] {
        for shift in (0..60).step_by(15) {
            for (at, (media, make)) in KINDS.into_iter().enumerate() {
                let body = make(EVIL, edge - 50 + shift + at % 15);
                let ask = request("POST", "https://origin.test/", &[("content-type", media)], body);
                let answer = connection.send(ask).await;
                blocked(&format!("{at}, {media}, {edge} - 50 + {shift}"), &answer);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coding_that_is_not_known_or_not_true_hides_nothing() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let config =
        format!("[limits]\nrequest_window = {WINDOW}\n[policy.fail]\nundecodable_request = \"pass\"");
    let proxy = Setup::new().config(&config).origin(&origin).start().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap();
    let (media, form) = KINDS[0];
    for coding in ["x", "gzip", "zstd", "deflate"] {
        for before in [100, 3 * WINDOW] {
            let case = format!("{coding}, behind {before}");
            let fields = [("content-type", media), ("content-encoding", coding)];
            let ask = |text: &str| request("POST", "https://origin.test/", &fields, form(text, before));
            blocked(&case, &connection.send(ask(EVIL)).await);
            let answer = connection.send(ask(MILD)).await;
            assert_eq!(answer.status, 200, "{case}: {}", answer.text());
            assert_eq!(origin.seen().last().unwrap().body, form(MILD, before).as_bytes(), "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_to_read_is_stopped_behind_the_window_too() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().config("[limits]\nrequest_window = \"128KiB\"").origin(&origin).start().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap();
    for (values, status) in [(15_000, 200), (30_000, 403)] {
        let body = format!("[\"{}\",{} 1]", filler(128 << 10), "\"\",".repeat(values));
        let fields = [("content-type", "application/json")];
        let answer = connection.send(request("POST", "https://origin.test/", &fields, body)).await;
        assert_eq!(answer.status, status, "{values}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_upload_in_many_blocks_of_gzip_passes() {
    let (origin, proxy) = pair().await;
    let block = gzip(format!("{}\n", json!({"a": filler(40)})).as_bytes());
    let body = block.repeat(3000);
    let fields = [("content-type", "application/x-ndjson"), ("content-encoding", "gzip")];
    let ask = request("POST", "https://origin.test/", &fields, body.clone());
    let answer = Client::new(Entry::HttpProxy, &proxy).send(Http::H2, "origin.test", ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(origin.seen().last().unwrap().body == body);
}

const WORD: &str = r#"{
  "name": "own", "version": "1",
  "rules": [
    { "id": 100002, "phase": "response_body", "message": "The word of the day", "severity": "critical",
      "when": { "variables": ["response_body"], "operator": { "contains": "swordfish" } },
      "then": ["block"] }
  ]
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_an_origin_must_not_say_is_kept_back_far_behind_the_window_too() {
    for (coding, pauses) in [("", false), ("gzip", false), ("", true)] {
        for before in [3 * WINDOW - 5, 3 * WINDOW + 4000, 100] {
            let origin = Raw::tls("origin.test", move |mut wire: Wire, _| async move {
                if wire.head().await.is_none() {
                    return;
                }
                let text = format!("{}swordfish{}", filler(before), filler(5 * WINDOW)).into_bytes();
                let text = if coding.is_empty() { text } else { gzip(&text) };
                let field = if coding.is_empty() { "" } else { "Content-Encoding: gzip\r\n" };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{field}Content-Length: {}\r\n\r\n",
                    text.len()
                );
                wire.write(head).await;
                let first = if pauses { 50 } else { 0 };
                wire.write(&text[..first]).await;
                if pauses {
                    // Longer than the window waits for more.
                    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
                }
                wire.write(&text[first..]).await;
                wire.drained().await;
            })
            .await;
            let config = format!("[limits]\nresponse_window = {WINDOW}");
            let setup = Setup::new().config(&config).raw(&origin).file("own.json", WORD);
            let own = setup.dir().join("own.json");
            let proxy = setup.args(["--rules", own.to_str().unwrap()]).start().await;
            let case = format!("{coding} {pauses} {before}");
            let mut connection =
                Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H1).await.unwrap();
            let mut got = Vec::new();
            if let Ok(response) = connection.start(get("https://origin.test/")).await
                && response.status() == 200
            {
                let mut body = response.into_body();
                while let Some(Ok(frame)) = body.frame().await {
                    got.extend(frame.into_data().unwrap_or_default());
                }
            }
            assert!(!got.windows(9).any(|part| part == b"swordfish"), "{case}: {} bytes", got.len());
            let record = proxy.record("the answer", |r| r["verdict"] == "blocked").await;
            assert_eq!(record["waf"]["matches"][0]["rule"], 100_002, "{case}: {record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_upload_is_judged_to_its_end_in_flat_memory() {
    /// Pieces of about 64 KiB: 3 MiB and 96 MiB in all.
    const PIECES: [usize; 2] = [48, 1536];
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    for (pieces, last, status) in [(PIECES[0], MILD, 200), (PIECES[1], MILD, 200), (PIECES[1], EVIL, 403)] {
        let rows = (0..pieces).map(|at| {
            let row = json!({"n": at, "text": filler(200)}).to_string();
            format!("{row}\n").repeat(300)
        });
        let rows = rows.chain([json!({"q": last}).to_string()]);
        let parts = futures_util::stream::iter(rows.map(|rows| Ok(Frame::data(Bytes::from(rows)))));
        let body: Body = BodyExt::boxed_unsync(StreamBody::new(parts.boxed()));
        let ask = Request::post("https://origin.test/").header("content-type", "application/x-ndjson");
        let mut connection =
            Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap();
        let (before, started) = (proxy.peak_rss(), Instant::now());
        let answer = connection.send_slowly(ask.body(body).unwrap()).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        let (grown, took) = (proxy.peak_rss().saturating_sub(before), started.elapsed());
        let seen = origin.seen().pop().unwrap();
        println!(
            "{} bytes of JSON lines to the origin in {took:?}: {:.1} MB/s, peak memory grew by {} KiB",
            seen.body_len,
            seen.body_len as f64 / 1e6 / took.as_secs_f64(),
            grown >> 10
        );
        assert_eq!(seen.complete, status == 200);
        // What one window costs, on each of the threads that may judge one; a body that was kept would be more.
        let most = 72 << 20;
        assert!(seen.body_len > pieces as u64 * 60_000 && grown < most, "{} MiB more", grown >> 20);
    }
}
