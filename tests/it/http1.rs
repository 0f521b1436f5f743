//! HTTP/1.1 is parsed strictly once and written anew: one request in is one request out, and nothing that two
//! parsers could read differently gets through.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Client, Connection, Entry, field, get, read_head, request, rest};
use crate::support::origin::{HELLO, Origin, Raw, Spec};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, Tls, within};

/// An HTTP/1.1 origin over TLS and a proxy in front of it.
async fn pair() -> (Origin, Proxy) {
    let origin = Spec::tls(&["origin.test"]).http(&[Http::H1]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    (origin, proxy)
}

/// Sends bytes on an intercepted connection and returns everything that comes back.
async fn raw(proxy: &Proxy, bytes: &[u8]) -> String {
    let client = Client::new(Entry::HttpProxy, proxy).versions(&[Tls::V13]);
    let mut stream = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
    // The half-close must not be needed for an answer, but lets a connection that waits for more come to its end.
    let _ = stream.shutdown().await;
    String::from_utf8_lossy(&rest(&mut stream).await).into_owned()
}

fn statuses(answer: &str) -> Vec<u16> {
    let pattern = regex::Regex::new(r"HTTP/1\.[01] (\d{3}) [A-Z]").unwrap();
    pattern.captures_iter(answer).map(|found| found[1].parse().unwrap()).collect()
}

/// What no two parsers agree on (the framing probes of FAULTS).
const SMUGGLING: &[(&str, &str)] = &[
    ("length and chunked", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"),
    ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"),
    ("a length with a sign", "Content-Length: +5\r\n\r\nabcde"),
    ("a negative length", "Content-Length: -5\r\n\r\nabcde"),
    ("a hexadecimal length", "Content-Length: 0x5\r\n\r\nabcde"),
    ("a length with letters", "Content-Length: 5a\r\n\r\nabcde"),
    ("a length beyond 64 bits", "Content-Length: 99999999999999999999\r\n\r\nabcde"),
    ("an empty length", "Content-Length:\r\n\r\nabcde"),
    ("an unknown coding", "Transfer-Encoding: xchunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
    ("chunked not last", "Transfer-Encoding: chunked, identity\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
    (
        "chunked twice",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    ),
    ("a space before the colon", "Transfer-Encoding : chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
    ("a vertical tab", "Transfer-Encoding: \x0bchunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
    ("a folded line", "Transfer-Encoding:\r\n chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
    ("a chunk size with 0x", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n"),
    ("a chunk size with a sign", "Transfer-Encoding: chunked\r\n\r\n+5\r\nabcde\r\n0\r\n\r\n"),
    ("a chunk extension with a line feed", "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nabcde\r\n0\r\n\r\n"),
    ("a chunk line that ends in a line feed", "Transfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n"),
    ("a chunk without its end", "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX0\r\n\r\n"),
    (
        "a chunk size beyond 64 bits",
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabcde\r\n0\r\n\r\n",
    ),
    ("a bare carriage return", "X-A: a\rb\r\n\r\n"),
    ("a null", "X-A: a\0b\r\n\r\n"),
    ("two hosts", "Host: second.test\r\n\r\n"),
    ("an empty name", ": value\r\n\r\n"),
    ("a name with a space", "X A: value\r\n\r\n"),
    ("a line without a colon", "nonsense\r\n\r\n"),
];

#[tokio::test(flavor = "multi_thread")]
pub async fn what_parsers_disagree_about_is_rejected_and_never_forwarded() {
    let (origin, proxy) = pair().await;
    let mut passed = Vec::new();
    let old =
        "POST / HTTP/1.0\r\nHost: origin.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_string();
    let probes = SMUGGLING
        .iter()
        .map(|(case, tail)| (*case, format!("POST /probe HTTP/1.1\r\nHost: origin.test\r\n{tail}")))
        .chain([("chunked in HTTP/1.0", old)]);
    for (case, bytes) in probes {
        let before = origin.seen().into_iter().filter(|seen| seen.complete).count();
        let answer = raw(&proxy, bytes.as_bytes()).await;
        let complete = origin.seen().into_iter().filter(|seen| seen.complete).count();
        // A chunk that breaks in the middle may end an answer that had begun; nothing may look like success.
        let rejected = statuses(&answer).iter().all(|code| matches!(code, 400 | 403 | 413 | 431 | 501));
        if !rejected || complete > before {
            passed.push(format!(
                "{case}: {} whole requests arrived, {:?}",
                complete - before,
                statuses(&answer)
            ));
        }
    }
    assert!(passed.is_empty(), "{} of {} passed: {passed:#?}", passed.len(), SMUGGLING.len() + 1);
    proxy.record("a malformed request", |r| r["reason"] == "malformed").await;
}

/// Nothing of it is forwarded, but what it tried stands in the record.
#[tokio::test(flavor = "multi_thread")]
async fn rules_see_the_head_of_a_request_that_is_refused_for_it() {
    let (origin, proxy) = pair().await;
    let attack = "q=1%27+union+select+password+from+users--+";
    for (case, head, seen) in [
        (
            "bytes that no target has",
            format!("GET /a?{attack}&\x7f HTTP/1.1\r\nHost: origin.test\r\n\r\n"),
            true,
        ),
        (
            "a version that there is not",
            format!("GET /b?{attack} HTTP/7.0\r\nHost: origin.test\r\n\r\n"),
            true,
        ),
        ("a host that is none", format!("GET /c?{attack} HTTP/1.1\r\nHost: origin%00.test\r\n\r\n"), true),
        ("no host", format!("GET /d?{attack} HTTP/1.1\r\nA: b\r\n\r\n"), true),
        (
            "two lengths",
            format!(
                "POST /e?{attack} HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 5\r\n\
            Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            true,
        ),
        (
            "two lengths behind empty lines",
            format!(
                "\r\n\r\nPOST /ee?{attack} HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 5\r\n\
                 Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            true,
        ),
        ("a blank in front", format!(" GET /bb?{attack} HTTP/1.1\r\nHost: origin.test\r\n\r\n"), true),
        (
            "a length that is none",
            format!("POST /f?{attack} HTTP/1.1\r\nHost: origin.test\r\nContent-Length: x\r\n\r\n"),
            true,
        ),
        (
            "a line that is no field",
            format!("GET /g?{attack} HTTP/1.1\r\nHost: origin.test\r\nnonsense\r\n\r\n"),
            false,
        ),
    ] {
        assert_eq!(statuses(&raw(&proxy, head.as_bytes()).await), [400], "{case}");
        let path = head.split([' ', '?']).find(|part| part.starts_with('/')).unwrap();
        let record = proxy
            .record(case, |r| {
                r["kind"] == "exchange"
                    && (!seen && r["url"] == "" || r["url"].as_str().is_some_and(|url| url.contains(path)))
            })
            .await;
        assert_eq!(
            (&record["status"], &record["verdict"]),
            (&400.into(), &"failed".into()),
            "{case}: {record}"
        );
        let found = record["waf"]["matches"].as_array().map_or(0, Vec::len);
        assert_eq!(found > 0, seen, "{case}: {record}");
    }
    assert!(origin.seen().is_empty());
    // One that is pipelined behind another is not taken for that one.
    let two = "GET /first?q=fine HTTP/1.1\r\nHost: origin.test\r\n\r\nGET /<second> HTTP/1.1\r\nHost: origin.test\r\n\r\n";
    let before = proxy.audit().len();
    assert_eq!(statuses(&raw(&proxy, two.as_bytes()).await), [200, 400]);
    let of = |part: &str| {
        proxy.audit().into_iter().skip(before).filter(|r| r["url"].to_string().contains(part)).count()
    };
    proxy.record("the second", |r| r["status"] == 400 && r["url"] == "/<second>").await;
    assert_eq!(of("/first"), 1);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_request_hidden_in_anothers_body_is_never_a_request() {
    let (origin, proxy) = pair().await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: origin.test\r\n\r\n";
    let whole = format!(
        "POST /outer HTTP/1.1\r\nHost: origin.test\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let answer = raw(&proxy, whole.as_bytes()).await;
    assert_eq!(statuses(&answer), [200], "{answer}");
    let chunked = format!(
        "POST /outer HTTP/1.1\r\nHost: origin.test\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n",
        hidden.len()
    );
    assert_eq!(statuses(&raw(&proxy, chunked.as_bytes()).await), [200]);
    let targets: Vec<String> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/outer", "/outer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_in_the_middle_of_an_upload_may_finish_writing_and_reads_the_whole_page() {
    let (origin, proxy) = pair().await;
    let size = 12 << 20;
    for fields in [format!("Content-Length: {size}"), "Transfer-Encoding: chunked".to_owned()] {
        let head =
            format!("POST /?q=1%27%20or%20%271%27=%271 HTTP/1.1\r\nHost: origin.test\r\n{fields}\r\n\r\n");
        let mut stream =
            Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // A reset would end this, and take the answer with it on some systems.
        let piece = [format!("{:x}\r\n", 64 << 10).as_bytes(), &[b'a'; 64 << 10], b"\r\n"].concat();
        let piece = if fields.starts_with("Content") { &piece[7..7 + (64 << 10)] } else { &piece };
        for _ in 0..size / (64 << 10) {
            stream.write_all(piece).await.expect("the connection is there until the client has written");
        }
        let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
        assert_eq!(statuses(&answer), [403], "{answer}");
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(field(head, "content-length"), Some(page.len().to_string().as_str()), "{answer}");
    }
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
pub async fn after_a_framing_error_the_connection_is_closed() {
    let (origin, proxy) = pair().await;
    let bytes = "POST /bad HTTP/1.1\r\nHost: origin.test\r\nContent-Length: +1\r\n\r\nx\
                 GET /after HTTP/1.1\r\nHost: origin.test\r\n\r\n";
    assert_eq!(statuses(&raw(&proxy, bytes.as_bytes()).await), [400]);
    assert_eq!(origin.seen().len(), 0, "what follows an error is not a request");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_merely_odd_is_written_anew() {
    let (origin, proxy) = pair().await;
    let cases: &[(&str, &str)] = &[
        (
            "same length twice in one field",
            "POST /odd HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 5, 5\r\n\r\nabcde",
        ),
        (
            "absolute target",
            "POST https://origin.test/odd HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 5\r\n\r\nabcde",
        ),
        (
            "connection names the framing",
            "POST /odd HTTP/1.1\r\nHost: origin.test\r\nConnection: Transfer-Encoding, Host, Content-Length\r\n\
             Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        ),
        (
            "chunk extensions",
            "POST /odd HTTP/1.1\r\nHost: origin.test\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
        ),
    ];
    for (case, bytes) in cases {
        let before = origin.seen().len();
        let answer = raw(&proxy, bytes.as_bytes()).await;
        let status = statuses(&answer);
        let arrived = &origin.seen()[before..];
        // Refusing is allowed; what does arrive has one meaning.
        match status[..] {
            [200] => {
                assert_eq!(arrived.len(), 1, "{case}");
                assert_eq!(
                    (arrived[0].target.as_str(), arrived[0].body.as_slice()),
                    ("/odd", &b"abcde"[..]),
                    "{case}"
                );
                assert_eq!(arrived[0].headers.get_all("host").iter().count(), 1, "{case}");
                assert_eq!(arrived[0].headers["host"], "origin.test", "{case}");
                assert!(arrived[0].headers.get_all("content-length").iter().count() <= 1, "{case}");
            }
            [400 | 403] => assert!(arrived.is_empty(), "{case}: {arrived:#?}"),
            _ => panic!("{case}: {answer}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn fields_of_one_hop_stay_on_it() {
    let (origin, proxy) = pair().await;
    let bytes = "GET /hop HTTP/1.1\r\nHost: origin.test\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
                 Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic c2VjcmV0OmNhbmFyeQ==\r\nTE: trailers\r\n\
                 Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-End: kept\r\nAuthorization: Bearer kept\r\n\
                 Cookie: a=1; b=2\r\n\r\n";
    assert_eq!(statuses(&raw(&proxy, bytes.as_bytes()).await), [200]);
    let seen = origin.only();
    for gone in [
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
        "http2-settings",
        "connection",
    ] {
        let value = seen.headers.get(gone).map(|v| v.to_str().unwrap().to_lowercase()).unwrap_or_default();
        assert!(value.is_empty() || (gone == "connection" && value == "te"), "{gone}: {value} arrived");
    }
    for (kept, value) in [("x-end", "kept"), ("authorization", "Bearer kept"), ("cookie", "a=1; b=2")] {
        assert_eq!(seen.headers[kept], value);
    }
    let via = seen.headers["via"].to_str().unwrap();
    assert!(via.starts_with("1.1 "), "RFC 9110 section 7.6.3: {via}");
    // An origin learns nothing about who stands behind the proxy.
    for absent in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        assert!(!seen.headers.contains_key(absent), "{absent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answers_fields_of_one_hop_stay_on_theirs() {
    let origin = Raw::tls("origin.test", |mut wire, _| async move {
        if wire.head().await.is_some() {
            let answer = "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
                          Proxy-Authenticate: Basic realm=evil\r\nX-End: kept\r\nContent-Length: 2\r\n\r\nok";
            wire.write(answer).await;
        }
        wire.drained().await;
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    for http in Http::BOTH {
        let answer = Client::new(Entry::HttpProxy, &proxy).get(http, "https://origin.test/").await;
        assert_eq!(answer.text(), "ok", "{http:?}");
        assert_eq!(answer.header("x-end"), "kept");
        for gone in ["x-hop", "keep-alive", "proxy-authenticate"] {
            assert!(!answer.headers.contains_key(gone), "{http:?}: {gone}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_on_one_connection_each_get_their_own_answer() {
    let (origin, proxy) = pair().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H1).await.unwrap();
    for turn in 0..50 {
        let body = format!("body number {turn}");
        let answer = connection
            .send(request("POST", &format!("https://origin.test/echo/{turn}"), &[], body.clone()))
            .await;
        assert_eq!(answer.text(), body);
    }
    assert_eq!(origin.seen().len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_together_are_answered_in_order() {
    let (origin, proxy) = pair().await;
    let one = "GET /status/201 HTTP/1.1\r\nHost: origin.test\r\n\r\n";
    let two = "POST /echo HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 3\r\n\r\ntwo";
    let three = "GET /status/404 HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n";
    let answer = raw(&proxy, [one, two, three].concat().as_bytes()).await;
    assert_eq!(statuses(&answer), [201, 200, 404], "{answer}");
    assert_eq!(origin.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attack_behind_a_harmless_request_is_blocked_and_the_next_one_is_not() {
    let (origin, proxy) = pair().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H1).await.unwrap();
    assert_eq!(connection.send(get("https://origin.test/1")).await.status, 200);
    let attack = get("https://origin.test/2?id=1%20UNION%20SELECT%20password%20FROM%20users--");
    assert_eq!(connection.send(attack).await.status, 403);
    // A block ends the exchange; whether it ends the connection is the proxy's choice.
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H1).await.unwrap();
    assert_eq!(connection.send(get("https://origin.test/3")).await.status, 200);
    let targets: Vec<String> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/1", "/3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_is_told_to_go_on() {
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        let client = Client::new(Entry::HttpProxy, &proxy);
        let mut stream = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
        let head =
            "POST /echo HTTP/1.1\r\nHost: origin.test\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let interim = within("100", read_head(&mut stream)).await.unwrap();
        assert!(interim.starts_with("HTTP/1.1 100"), "{origin_http:?}: {interim}");
        stream.write_all(b"continued").await.unwrap();
        let answer = within("200", read_head(&mut stream)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{origin_http:?}: {answer}");
        let mut body = [0; 9];
        within("the body", stream.read_exact(&mut body)).await.unwrap();
        assert_eq!(&body, b"continued");
        assert_eq!(origin.only().body, b"continued");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expectation_nobody_knows_is_refused() {
    let (origin, proxy) = pair().await;
    let bytes = "POST / HTTP/1.1\r\nHost: origin.test\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(statuses(&raw(&proxy, bytes.as_bytes()).await), [417]);
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_bodys_end_reaches_the_client() {
    let (origin, proxy) = pair().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let answer = client
        .send(Http::H1, "origin.test", request("POST", "https://origin.test/refuse", &[], "unread"))
        .await;
    assert_eq!(answer.status, 417);
    // What is left of that exchange does not reach the next.
    let next =
        client.send(Http::H1, "origin.test", request("POST", "https://origin.test/echo", &[], "next")).await;
    assert_eq!(next.text(), "next");
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_arrive_behind_the_body_in_both_directions() {
    for origin_http in Http::BOTH {
        let origin = Spec::tls(&["origin.test"]).http(&[origin_http]).start().await;
        let proxy = Setup::new().origin(&origin).start().await;
        for http in Http::BOTH {
            let case = format!("client {http:?}, origin {origin_http:?}");
            let client = Client::new(Entry::HttpProxy, &proxy);
            let ask = request("GET", "https://origin.test/trailers", &[("te", "trailers")], "");
            let answer = client.send(http, "origin.test", ask).await;
            assert_eq!(answer.text(), "body, then trailers\n", "{case}");
            assert_eq!(answer.trailers.expect(&case)["x-checksum"], "42", "{case}");
        }
        let upload = "POST /echo HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\nTE: trailers\r\nTrailer: x-sum\r\n\
                      Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 7\r\nContent-Length: 99\r\n\r\n";
        let answer = raw(&proxy, upload.as_bytes()).await;
        let seen = origin.seen().pop().unwrap();
        // RFC 9110 section 6.5.1: a trailer never frames a message. Refusing such a message is as good.
        if statuses(&answer) == [200] {
            assert_eq!(seen.body, b"body", "{origin_http:?}");
            let trailers = seen.trailers.unwrap_or_default();
            assert!(!trailers.contains_key("content-length"), "{trailers:?}");
        } else {
            assert_eq!(statuses(&answer), [400], "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_have_none() {
    let (_origin, proxy) = pair().await;
    for http in Http::BOTH {
        let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", http).await.unwrap();
        let head = connection.send(request("HEAD", "https://origin.test/bytes/12345", &[], "")).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{http:?}");
        assert_eq!(head.header("content-length"), "12345", "{http:?}");
        for status in [204, 304] {
            let answer = connection.send(get(&format!("https://origin.test/status/{status}"))).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0), "{http:?}");
        }
        // The connection is still in step.
        assert_eq!(connection.send(get("https://origin.test/")).await.text(), HELLO, "{http:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_are_passed_or_dropped_but_never_taken_for_the_answer() {
    let origin = Raw::tls("origin.test", |mut wire, _| async move {
        while wire.head().await.is_some() {
            let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                          HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal";
            wire.write(answer).await;
        }
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    for http in Http::BOTH {
        let answer = Client::new(Entry::HttpProxy, &proxy).get(http, "https://origin.test/").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "final"), "{http:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_targets_pass_unchanged() {
    let (origin, proxy) = pair().await;
    let mut cases = 0;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X-OWN"] {
        for target in
            ["/", "/a//b/./c", "/%7Euser/%41", "/q?a=1&a=2&empty=&flag", "/semi;colon=1/x", "/star/*"]
        {
            let bytes =
                format!("{method} {target} HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n");
            let answer = raw(&proxy, bytes.as_bytes()).await;
            assert_eq!(statuses(&answer), [200], "{method} {target}: {answer}");
            let seen = origin.seen().pop().unwrap();
            assert_eq!((seen.method.as_str(), seen.target.as_str()), (method, target));
            cases += 1;
        }
    }
    assert_eq!((cases, origin.seen().len()), (48, 48));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_is_served_and_closed() {
    let (origin, proxy) = pair().await;
    let answer = raw(&proxy, b"GET /old HTTP/1.0\r\nHost: origin.test\r\n\r\n").await;
    assert_eq!(statuses(&answer), [200], "{answer}");
    assert!(field(&answer, "transfer-encoding").is_none(), "HTTP/1.0 knows no chunks: {answer}");
    assert_eq!(origin.only().target, "/old");
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_plain_connection_upgraded_to_h2c_is_not() {
    let origin = Spec::plain().start().await;
    let proxy = Setup::new().plain(&origin).start().await;
    let tunnel = Client::new(Entry::HttpProxy, &proxy).tunnel("origin.test", 80).await.unwrap();
    let mut connection = Connection::over(tunnel, Http::H1).await;
    let fields =
        [("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")];
    let answer = connection.send(request("GET", "http://origin.test/", &fields, "")).await;
    assert_eq!(answer.text(), HELLO);
    assert!(!origin.only().headers.contains_key("upgrade"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_a_client_did_not_encode_is_encoded_and_inspected() {
    let (origin, proxy) = pair().await;
    let bytes = "GET /a%20b?q=\"<b>`{|}\" HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&raw(&proxy, bytes.as_bytes()).await), [200]);
    assert_eq!(origin.only().target, "/a%20b?q=%22%3Cb%3E%60{|}%22");
    let bytes =
        "GET /?q=<script>alert(1)</script> HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&raw(&proxy, bytes.as_bytes()).await), [403]);
    assert_eq!(origin.seen().len(), 1, "the attack arrived");
}
