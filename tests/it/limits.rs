//! Streams stay streams, and every buffer and wait has a bound that holds.

use std::time::Instant;

use http::Request;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Client, Connection, Entry, get, request, rest};
use crate::support::origin::{EVENTS, HELLO, Spec, is_pattern, patterned};
use crate::support::proxy::Setup;
use crate::support::{Http, PATIENCE, until, within};

/// Two gigabytes as released; a debug build would spend minutes in unoptimised ciphers.
const LARGE: u64 = if cfg!(debug_assertions) { 128 << 20 } else { 2_000_000_000 };

/// What streaming may add to the memory of a proxy that has served a request: its windows, TLS and HTTP/2 buffers on
/// two legs, and an allocator's slack.
const STREAMING: u64 = 48 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn two_gigabytes_stream_down_and_up_in_flat_memory() {
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        let client = Client::new(Entry::HttpProxy, &proxy);
        // The client speaks the other version than the origin, so that four streams cover both on both legs.
        let http = if origin_http == Http::H1 { Http::H2 } else { Http::H1 };
        for turn in 0..20 {
            assert_eq!(client.get(http, &format!("https://origin.test/{turn}")).await.text(), HELLO);
        }
        let before = proxy.peak_rss();

        let started = Instant::now();
        let mut connection = client.https("origin.test", http).await.unwrap();
        let response = connection.start(get(&format!("https://origin.test/bytes/{LARGE}"))).await.unwrap();
        let mut body = response.into_body();
        let mut at = 0u64;
        while let Some(frame) = within("more of a download", body.frame()).await {
            let data = frame.unwrap().into_data().unwrap_or_default();
            assert!(is_pattern(&data, at), "byte {at} and on");
            at += data.len() as u64;
        }
        assert_eq!(at, LARGE);
        let down = started.elapsed();
        let after_download = proxy.peak_rss();

        let started = Instant::now();
        let ask = Request::post("https://origin.test/upload")
            .header("content-type", "application/octet-stream")
            .body(patterned(LARGE))
            .unwrap();
        let mut upload = client.https("origin.test", http).await.unwrap();
        // The whole body goes before the answer comes: longer than one step may take.
        let answer =
            tokio::time::timeout(10 * PATIENCE, upload.send_slowly(ask)).await.expect("an upload").unwrap();
        assert_eq!(answer.status, 200);
        let seen = origin.seen().pop().unwrap();
        assert!(seen.complete && seen.patterned);
        assert_eq!(seen.body_len, LARGE);
        let peak = proxy.peak_rss();
        println!(
            "{LARGE} bytes, client {http:?}, origin {origin_http:?}: down in {down:?}, up in {:?}; peak memory {} KiB \
             before, {} KiB after the download, {} KiB after the upload",
            started.elapsed(),
            before >> 10,
            after_download >> 10,
            peak >> 10,
        );
        assert!(peak < before + STREAMING, "{} MiB more than before", (peak - before) >> 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_arrives_while_the_stream_is_open() {
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        for entry in Entry::EXPLICIT {
            for http in Http::BOTH {
                let case = format!("{entry:?}, client {http:?}, origin {origin_http:?}");
                let mut connection = Client::new(entry, &proxy).https("origin.test", http).await.unwrap();
                let response = connection.start(get("https://origin.test/sse")).await.unwrap();
                assert_eq!(response.headers()["content-type"], "text/event-stream", "{case}");
                let mut body = response.into_body();
                let first =
                    within("the first event", body.frame()).await.unwrap().unwrap().into_data().unwrap();
                assert_eq!(first, EVENTS[0].as_bytes(), "{case}");
                origin.release();
                let after = within("the second event", body.collect()).await.unwrap().to_bytes();
                assert_eq!(after, EVENTS[1].as_bytes(), "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_pauses_is_let_go_up_to_the_pause() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    for http in Http::BOTH {
        let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", http).await.unwrap();
        let response = connection.start(get("https://origin.test/chunks")).await.unwrap();
        let mut body = response.into_body();
        let first = within("the first part", body.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "one\n", "{http:?}");
        origin.release();
        let second = within("the second part", body.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(second, "two\n", "{http:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn clients_that_do_not_read_cost_their_buffers_and_no_more() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    assert_eq!(client.get(Http::H1, "https://origin.test/").await.text(), HELLO);
    let before = proxy.peak_rss();
    let mut held = Vec::new();
    for number in 0..32 {
        let http = Http::BOTH[number % 2];
        let mut connection = client.https("origin.test", http).await.unwrap();
        let response = connection.start(get("https://origin.test/bytes/1000000000")).await.unwrap();
        held.push((connection, response));
    }
    // Others are served meanwhile, and by then the buffers are as full as they get.
    for turn in 0..20 {
        assert_eq!(client.get(Http::H2, &format!("https://origin.test/{turn}")).await.text(), HELLO);
    }
    let grown = proxy.peak_rss() - before;
    println!("32 clients that do not read: {} KiB", grown >> 10);
    assert!(grown < 32 * (4 << 20), "{} MiB for 32 clients", grown >> 20);
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_head_that_trickles_is_answered_408_when_its_time_is_up() {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new()
        .config("[limits]\nheader_time = \"400ms\"\nclassify_time = \"400ms\"")
        .plain(&origin)
        .start()
        .await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    let started = Instant::now();
    stream.write_all(b"GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\nX-Slow: ").await.unwrap();
    let (mut read, mut write) = stream.into_split();
    // A byte now and then must not buy more time.
    let trickle = tokio::spawn(async move {
        let mut again = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            again.tick().await;
            if write.write_all(b"a").await.is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    let _ = within("the end", read.read_to_end(&mut answer)).await;
    trickle.abort();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(started.elapsed().as_secs() < 9, "{:?}", started.elapsed());
    assert_eq!(origin.seen().len(), 0);
    proxy.record("the slow head", |r| r["reason"] == "header_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_body_that_trickles_is_ended() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let config = "[limits]\nbody_grace = \"400ms\"\nbody_rate = \"1KiB\"";
    let proxy = Setup::new().config(config).origin(&origin).start().await;
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: origin.test\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\nab";
    stream.write_all(head.as_bytes()).await.unwrap();
    let started = Instant::now();
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    assert!(origin.seen().iter().all(|seen| !seen.complete));
    proxy.record("the slow body", |r| r["reason"] == "body_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
pub async fn silence_at_any_stage_ends_with_its_own_limit() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let config = "[limits]\nclassify_time = \"300ms\"\nhandshake_time = \"300ms\"\nheader_time = \"300ms\"";
    let proxy = Setup::new().config(config).origin(&origin).start().await;
    let started = Instant::now();
    // Nothing at all; one byte; half a SOCKS greeting; half a ClientHello to the proxy itself.
    for first in [b"".as_slice(), b"G", b"\x05\x02\x00", b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        stream.write_all(first).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.len() < 2000 && !answer.starts_with(b"HTTP/1.1 2"), "{first:?}: {answer:?}");
    }
    // What follows begins honestly, and no limit but its own is short for it. Half a ClientHello in a tunnel.
    let proxy = Setup::new().config("[limits]\ntunnel_first_byte = \"2s\"").origin(&origin).start().await;
    let mut tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 443).await.unwrap();
    tunnel.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
    rest(&mut tunnel).await;
    // A kept-alive connection without a further request, in both versions.
    let proxy = Setup::new().config("[limits]\nkeep_alive_idle = \"2s\"").origin(&origin).start().await;
    for http in Http::BOTH {
        let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", http).await.unwrap();
        assert_eq!(connection.send(get("https://origin.test/")).await.text(), HELLO);
        until("an idle connection to be closed", || match &connection {
            Connection::H1(send) => send.is_closed().then_some(()),
            Connection::H2(send) => send.is_closed().then_some(()),
        })
        .await;
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
pub async fn heads_and_targets_have_a_size_that_is_said_when_exceeded() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let long_target =
        format!("GET /{} HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n", "a".repeat(20 << 10));
    let long_field = format!(
        "GET / HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\nX-Long: {}\r\n\r\n",
        "a".repeat(80 << 10)
    );
    let many_fields = format!(
        "GET / HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n{}\r\n",
        "X-Many: 1\r\n".repeat(150)
    );
    for (name, bytes, status) in
        [("target", long_target, "414"), ("field", long_field, "431"), ("fields", many_fields, "431")]
    {
        let mut stream =
            Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
        let _ = stream.write_all(bytes.as_bytes()).await;
        let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {answer}");
    }
    let url = "https://origin.test/";
    let long = "a".repeat(80 << 10);
    let cases: [(&str, Request<_>, u16); 3] = [
        ("target", get(&format!("{url}{}", "a".repeat(20 << 10))), 414),
        ("field", request("GET", url, &[("x-long", &long)], ""), 431),
        ("fields", request("GET", url, &[("x-many", "1"); 150], ""), 431),
    ];
    for (name, ask, status) in cases {
        let mut connection =
            Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap();
        // HTTP/2 may end the stream instead of answering (RFC 9113 section 10.5.1).
        if let Ok(answer) = connection.try_send(ask).await {
            assert_eq!(answer.status, status, "{name} over HTTP/2");
        }
    }
    assert_eq!(origin.seen().len(), 0);
    // A large but lawful head passes.
    let lawful = "a".repeat(30 << 10);
    for http in Http::BOTH {
        let ask = request("GET", url, &[("x-large", &lawful)], "");
        assert_eq!(
            Client::new(Entry::HttpProxy, &proxy).send(http, "origin.test", ask).await.text(),
            HELLO,
            "{http:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn one_client_cannot_take_every_connection() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().config("[limits]\nper_client = 8").origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut held = Vec::new();
    for number in 0..8 {
        held.push(
            client.tunnel("origin.test", 443).await.unwrap_or_else(|e| panic!("connection {number}: {e:?}")),
        );
    }
    let refused = client.tunnel("origin.test", 443).await;
    assert!(refused.is_err(), "the ninth connection was served");
    drop(held);
    // The places are free again.
    let url = "https://origin.test/";
    within("a free place", async {
        let mut again = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            again.tick().await;
            if let Ok(mut connection) = client.https("origin.test", Http::H1).await {
                assert_eq!(connection.send(get(url)).await.text(), HELLO);
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_files_pauses_and_recovers() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let setup = Setup::new().behind(["prlimit", "--nofile=96:96"]).config("[limits]\nclassify_time = \"2s\"");
    let mut proxy = setup.origin(&origin).start().await;
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(TcpStream::connect(proxy.addr()).await.unwrap());
    }
    until("the proxy to hold what it can", || (proxy.open_files() > 24).then_some(())).await;
    assert!(proxy.open_files() <= 96);
    drop(held);
    let client = Client::new(Entry::HttpProxy, &proxy);
    within("service again", async {
        let mut again = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            again.tick().await;
            // Files are given back one by one: there may be one for the client, and none yet for the origin.
            if let Ok(mut connection) = client.https("origin.test", Http::H1).await
                && let Ok(answer) = connection.try_send(get("https://origin.test/")).await
                && answer.text() == HELLO
            {
                return;
            }
        }
    })
    .await;
    assert!(proxy.running());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_connections_held_is_given_back() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().config("[limits]\npool_idle = \"200ms\"").origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    assert_eq!(client.get(Http::H1, "https://origin.test/").await.text(), HELLO);
    let before = proxy.open_files();
    for round in 0..3 {
        let mut held = Vec::new();
        for number in 0..60 {
            let http = Http::BOTH[number % 2];
            let mut connection = client.https("origin.test", http).await.unwrap();
            assert_eq!(connection.send(get("https://origin.test/")).await.text(), HELLO, "round {round}");
            held.push(connection);
        }
        assert!(proxy.open_files() > before + 50);
        drop(held);
    }
    // Kept origin connections end with their own limit.
    until("all files to be closed", || (proxy.open_files() <= before + 4).then_some(())).await;
}
