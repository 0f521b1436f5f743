//! HTTP/2 on either leg: streams are exchanges of their own, and a peer that abuses them pays for it alone.

use std::time::Instant;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Client, Connection, Entry, get, request, rest, whole};
use crate::support::origin::{HELLO, Spec, patterned};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, within};

async fn h2_client(proxy: &Proxy) -> h2::client::SendRequest<Bytes> {
    let stream = Client::new(Entry::HttpProxy, proxy).tls("origin.test", 443, &[Http::H2]).await.unwrap();
    let (send, connection) = within("an HTTP/2 preface", h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_run_side_by_side_and_each_gets_its_own_answer() {
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        let Connection::H2(send) =
            Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap()
        else {
            unreachable!()
        };
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..80 {
            let mut send = send.clone();
            tasks.spawn(async move {
                let body = format!("stream {number} ").repeat(200);
                let ask = request("POST", &format!("https://origin.test/echo/{number}"), &[], body.clone());
                send.ready().await.unwrap();
                let answer = whole(send.send_request(ask).await.unwrap()).await.unwrap();
                assert_eq!(answer.text(), body, "stream {number}");
            });
        }
        within("all streams", tasks.join_all()).await;
        assert_eq!(origin.seen().len(), 80, "{origin_http:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stalled_stream_does_not_hold_up_the_others() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap();
    // A large answer that is never read.
    let stalled = connection.start(get("https://origin.test/bytes/100000000")).await.unwrap();
    for turn in 0..10 {
        let answer = connection.send(get(&format!("https://origin.test/{turn}"))).await;
        assert_eq!(answer.text(), HELLO, "turn {turn}");
    }
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_client_resets_is_cancelled_at_the_origin() {
    let origin = Spec::tls(&["origin.test"]).http(&[Http::H2]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap();
    let open = connection.start(get("https://origin.test/bytes/100000000000")).await.unwrap();
    drop(open);
    proxy.record("the reset", |r| r["reason"] == "client_gone").await;
    assert_eq!(connection.send(get("https://origin.test/")).await.text(), HELLO);
}

#[tokio::test(flavor = "multi_thread")]
pub async fn fields_that_belong_to_http_1_are_refused_or_left_out() {
    let origin = Spec::tls(&["origin.test"]).http(&[Http::H1]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    // RFC 9113 section 8.2.2.
    for (name, value) in [
        ("connection", "x-a"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("keep-alive", "5"),
    ] {
        let mut send = h2_client(&proxy).await;
        let ask = Request::get("https://origin.test/").header(name, value).body(()).unwrap();
        let refused = match send.send_request(ask, true) {
            Err(_) => continue,
            Ok((response, _)) => within("an answer", response).await,
        };
        match refused {
            Err(_) => {}
            Ok(response) => assert_eq!(response.status(), 400, "{name}: {value}"),
        }
    }
    for seen in origin.seen() {
        assert!(
            !seen.headers.contains_key("transfer-encoding") && !seen.headers.contains_key("upgrade"),
            "{seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_body_that_is_not_as_long_as_declared_never_completes_at_the_origin() {
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        for declared in ["3", "300"] {
            let mut send = h2_client(&proxy).await;
            let ask = Request::post("https://origin.test/echo")
                .header("content-length", declared)
                .body(())
                .unwrap();
            let (response, mut body) = send.send_request(ask, false).unwrap();
            let _ = body.send_data(Bytes::from_static(b"exactly thirty bytes, no more."), true);
            match within("an answer", response).await {
                Err(_) => {}
                Ok(response) => assert_eq!(response.status(), 400, "{origin_http:?}: declared {declared}"),
            }
        }
        let complete = origin.seen().into_iter().filter(|seen| seen.complete).count();
        assert_eq!(complete, 0, "{origin_http:?}: {:#?}", origin.seen());
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn host_and_authority_must_agree() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut send = h2_client(&proxy).await;
    let ask = Request::get("https://origin.test/").header("host", "second.test").body(()).unwrap();
    match within("an answer", send.send_request(ask, true).unwrap().0).await {
        Err(_) => {}
        Ok(response) => assert!(matches!(response.status().as_u16(), 400 | 421), "{}", response.status()),
    }
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_in_pieces_are_one_cookie_at_an_http_1_origin() {
    let origin = Spec::tls(&["origin.test"]).http(&[Http::H1]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let ask = request(
        "GET",
        "https://origin.test/",
        &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")],
        "",
    );
    assert_eq!(client.send(Http::H2, "origin.test", ask).await.status, 200);
    // RFC 9113 section 8.2.3.
    let seen = origin.only();
    let cookies: Vec<_> = seen.headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_of_http_3_does_not_reach_the_client() {
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        for http in Http::BOTH {
            let answer = Client::new(Entry::HttpProxy, &proxy).get(http, "https://origin.test/alt-svc").await;
            assert_eq!(answer.text(), "alternatives\n");
            assert!(!answer.header("alt-svc").contains("h3"), "{http:?}: a browser would leave by QUIC");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_crosses_between_any_two_versions_with_trailing_integrity() {
    const LEN: u64 = 20 * 1024 * 1024;
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        for http in Http::BOTH {
            let case = format!("client {http:?}, origin {origin_http:?}");
            let client = Client::new(Entry::HttpProxy, &proxy);
            let ask = Request::post("https://origin.test/upload")
                .header("content-type", "application/octet-stream")
                .body(patterned(LEN))
                .unwrap();
            assert_eq!(client.send(http, "origin.test", ask).await.status, 200, "{case}");
            let seen = origin.seen().pop().unwrap();
            assert!(seen.complete && seen.patterned, "{case}");
            assert_eq!(seen.body_len, LEN, "{case}");
            let answer = client.get(http, &format!("https://origin.test/bytes/{LEN}")).await;
            assert_eq!(answer.body.len() as u64, LEN, "{case}");
            assert!(crate::support::origin::is_pattern(&answer.body, 0), "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_resets_is_cut_off_before_it_costs_the_origin() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut proxy = Setup::new().origin(&origin).start().await;
    let mut send = h2_client(&proxy).await;
    let started = Instant::now();
    let mut opened = 0;
    while opened < 20_000 {
        match std::future::poll_fn(|cx| send.poll_ready(cx)).await {
            Ok(()) => {}
            Err(_) => break,
        }
        let Ok((_, mut stream)) = send.send_request(get_empty(), true) else { break };
        stream.send_reset(h2::Reason::CANCEL);
        opened += 1;
    }
    assert!(opened < 20_000, "the connection was never cut off");
    assert!(origin.seen().len() < 2_000, "the origin saw {} requests", origin.seen().len());
    assert!(proxy.running());
    println!("reset flood: cut off after {opened} streams in {:?}", started.elapsed());
    // Others are served as before.
    assert_eq!(
        Client::new(Entry::HttpProxy, &proxy).get(Http::H2, "https://origin.test/").await.text(),
        HELLO
    );
}

fn get_empty() -> Request<()> {
    Request::get("https://origin.test/held").body(()).unwrap()
}

/// A frame's bytes (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_frames_ends_its_own_connection_only() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut proxy = Setup::new().origin(&origin).start().await;
    // HEADERS without END_HEADERS: GET https://origin.test/ in static entries and one literal.
    let mut block = vec![0x82, 0x87, 0x84, 0x41, 11];
    block.extend(b"origin.test");
    let open = frame(1, 1, 1, &block);
    let junk = {
        // A literal field without indexing, over and over.
        let mut one = vec![0x00, 3];
        one.extend(b"x-a");
        one.extend([1, b'b']);
        one.repeat(2000)
    };
    let ping = frame(6, 0, 0, &[0; 8]);
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let floods: [(&str, Vec<u8>, Vec<u8>, usize); 4] = [
        ("continuation", open, frame(9, 0, 1, &junk), 4000),
        ("ping", Vec::new(), ping.repeat(200), 20_000),
        ("settings", Vec::new(), settings.repeat(200), 20_000),
        ("empty data", Vec::new(), frame(0, 0, 1, &[]).repeat(200), 20_000),
    ];
    for (name, first, again, most) in floods {
        let client = Client::new(Entry::HttpProxy, &proxy);
        let stream = client.tls("origin.test", 443, &[Http::H2]).await.unwrap();
        let (mut read, mut write) = tokio::io::split(stream);
        // The answers are not read by anybody in a real flood; here they are, so that only the proxy's own count ends it.
        let reader = tokio::spawn(async move {
            let mut sink = vec![0; 64 * 1024];
            while let Ok(1..) = read.read(&mut sink).await {}
        });
        let flood = async {
            write.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
            write.write_all(&frame(4, 0, 0, &[])).await?;
            write.write_all(&first).await?;
            for _ in 0..most {
                write.write_all(&again).await?;
                write.flush().await?;
                if reader.is_finished() {
                    return Err(std::io::ErrorKind::BrokenPipe.into());
                }
            }
            std::io::Result::Ok(())
        };
        let ended = within(name, flood).await;
        // Answering pings and settings for as long as their sender reads the answers costs no memory and is allowed.
        if matches!(name, "continuation" | "empty data") {
            assert!(ended.is_err(), "{name}: the flood was never cut off");
        }
        assert!(proxy.running(), "{name}");
        assert!(proxy.rss() < 300 * 1024 * 1024, "{name}: {} bytes resident", proxy.rss());
        assert_eq!(client.get(Http::H2, "https://origin.test/").await.text(), HELLO, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preface_without_its_settings_is_no_connection() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().config("[limits]\nheader_time = \"2s\"").origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut stream = client.tls("origin.test", 443, &[Http::H2]).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{answer:?}");
    assert_eq!(origin.seen().len(), 0);
}
