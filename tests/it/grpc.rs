//! Calls of gRPC: each message is judged before it is passed on, in either direction, while the call goes on; a call
//! that is stopped ends as a client of gRPC understands it.

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::support::attack::receipt;
use crate::support::client::{Answer, Client, Connection, Entry, request};
use crate::support::grpc::{frame, framed, message, string};
use crate::support::origin::{Body, LEAK, Origin, Spec};
use crate::support::pki;
use crate::support::proxy::{Proxy, Setup};
use crate::support::python::{Server, script};
use crate::support::{Http, peer, until, within};

const EVIL: &str = "1' UNION SELECT password FROM users-- ";
const MILD: &str = "Conan O'Brien's union of selected tables";

async fn pair() -> (Origin, Proxy) {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    (origin, proxy)
}

async fn connection(proxy: &Proxy, http: Http) -> Connection {
    Client::new(Entry::HttpProxy, proxy).https("origin.test", http).await.unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The call was denied before its answer began; the record of it.
async fn denied(case: &str, proxy: &Proxy, answer: &Answer) -> Value {
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, "7"), "{case}: {answer:?}");
    assert!(answer.header("content-type").starts_with("application/grpc"), "{case}: {answer:?}");
    assert!(answer.body.is_empty() && answer.trailers.is_none(), "{case}: {answer:?}");
    record(case, proxy, answer.header("grpc-message")).await
}

async fn record(case: &str, proxy: &Proxy, said: &str) -> Value {
    let id = receipt(said).unwrap_or_else(|| panic!("{case}: no receipt in {said:?}"));
    let record = proxy.record("the block", |r| r["id"] == id.as_str()).await;
    assert_eq!(record["verdict"], "blocked", "{case}: {record}");
    assert!(record["waf"]["matches"][0]["rule"].is_u64(), "{case}: {record}");
    record
}

fn web_text(frames: &[&[u8]]) -> Vec<u8> {
    use base64::Engine as _;
    // Each piece is padded for itself, as writers that flush do.
    frames
        .iter()
        .map(|part| base64::engine::general_purpose::STANDARD.encode(part))
        .collect::<String>()
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_any_kind_of_call_is_blocked_with_a_status_and_its_twin_passes_byte_for_byte() {
    let (origin, proxy) = pair().await;
    for (media, encoding, http) in [
        ("application/grpc", "", Http::H2),
        ("application/grpc+proto", "gzip", Http::H2),
        ("application/grpc", "deflate", Http::H2),
        ("application/grpc-web+proto", "", Http::H1),
        ("application/grpc-web+proto", "gzip", Http::H2),
        ("application/grpc-web-text", "", Http::H1),
        ("application/grpc-web-text+proto", "gzip", Http::H2),
    ] {
        let body = |text: &str| {
            let frames = [frame(&message("first"), ""), frame(&message(text), encoding)];
            if media.contains("-text") { web_text(&[&frames[0], &frames[1]]) } else { frames.concat() }
        };
        let fields = [("content-type", media), ("grpc-encoding", encoding), ("te", "trailers")];
        let fields = &fields[..if http == Http::H2 { 3 } else { 2 }];
        let call = |text| request("POST", "https://origin.test/echo", fields, body(text));
        let case = format!("{media} {encoding} {http:?}");
        let before = origin.seen().len();
        let answer = connection(&proxy, http).await.send(call(EVIL)).await;
        let record = denied(&case, &proxy, &answer).await;
        assert_eq!(record["reason"], "score", "{case}: {record}");
        // The first message is fine and may be on its way; nothing of the second is.
        for seen in &origin.seen()[before..] {
            assert!(
                !seen.complete && seen.body.len() <= frame(&message("first"), "").len() * 2,
                "{case}: {seen:?}"
            );
        }
        let answer = connection(&proxy, http).await.send(call(MILD)).await;
        assert_eq!(answer.status, 200, "{case}: {answer:?}");
        assert_eq!(answer.body, body(MILD), "{case}");
        assert_eq!(origin.seen().last().unwrap().body, body(MILD), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_message_that_is_blocked_never_reaches_the_origin() {
    let (origin, proxy) = pair().await;
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let call = request("POST", "https://origin.test/duplex", &fields, frame(&message(EVIL), ""));
    let answer = connection(&proxy, Http::H2).await.send(call).await;
    denied("unary", &proxy, &answer).await;
    assert_eq!(origin.seen().len(), 0);
}

/// A call whose messages the test sends one by one.
struct Call {
    send: Option<mpsc::Sender<Bytes>>,
    /// The answer's body, once its head is there.
    body: Incoming,
    came: Vec<u8>,
    trailers: Option<HeaderMap>,
    _connection: Connection,
}

impl Call {
    async fn open(proxy: &Proxy, fields: &[(&str, &str)]) -> Call {
        let (send, receive) = mpsc::channel::<Bytes>(16);
        let parts = futures_util::stream::unfold(receive, |mut receive| async move {
            Some((Ok(Frame::data(receive.recv().await?)), receive))
        });
        let mut builder = Request::post("https://origin.test/duplex");
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        let body: Body = BodyExt::boxed_unsync(StreamBody::new(parts.boxed()));
        let mut connection = connection(proxy, Http::H2).await;
        let response = connection.start(builder.body(body).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        Call {
            send: Some(send),
            body: response.into_body(),
            came: Vec::new(),
            trailers: None,
            _connection: connection,
        }
    }

    async fn say(&mut self, bytes: &[u8]) {
        let _ = self.send.as_ref().unwrap().send(Bytes::copy_from_slice(bytes)).await;
    }

    /// Reads until so much has come or the call has ended.
    async fn hear(&mut self, bytes: usize) -> Vec<u8> {
        while self.came.len() < bytes && self.trailers.is_none() {
            match within("a message", self.body.frame()).await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.came.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => panic!("the call broke: {error:?}"),
                None => break,
            }
        }
        std::mem::take(&mut self.came)
    }
}

const NATIVE: [(&str, &str); 3] =
    [("content-type", "application/grpc"), ("grpc-encoding", "gzip"), ("te", "trailers")];

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_both_ways_one_by_one_until_one_is_stopped() {
    let (origin, proxy) = pair().await;
    // Nobody has said anything yet: the head of the answer comes all the same.
    let mut call = Call::open(&proxy, &NATIVE).await;
    for turn in 0..20 {
        let sent = frame(&message(&format!("message {turn}")), if turn % 2 == 0 { "" } else { "gzip" });
        // In two pieces, so that a frame's end is waited for.
        call.say(&sent[..7]).await;
        call.say(&sent[7..]).await;
        assert_eq!(call.hear(sent.len()).await, sent, "{turn}");
    }
    let passed = origin.only().body_len;
    call.say(&frame(&message(EVIL), "gzip")).await;
    assert_eq!(call.hear(usize::MAX).await, b"");
    let trailers = call.trailers.take().expect("trailers");
    assert_eq!(text(&trailers, "grpc-status"), "7", "{trailers:?}");
    let record = record("a stream", &proxy, text(&trailers, "grpc-message")).await;
    let sentence = record["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("a message from the client was not passed on"), "{record}");
    assert!(sentence.ends_with("messages passed: 20 from the client, 20 from the origin"), "{record}");
    let seen = origin.only();
    assert_eq!((seen.body_len, seen.complete), (passed, false), "the origin got more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_must_not_say_ends_the_call() {
    let (origin, proxy) = pair().await;
    let leak = frame(&string(4, LEAK), "gzip");
    let mut call = Call::open(&proxy, &NATIVE).await;
    let fine = frame(&message("a fine answer"), "");
    call.say(&fine).await;
    assert_eq!(call.hear(fine.len()).await, fine);
    call.say(&leak).await;
    assert_eq!(call.hear(usize::MAX).await, b"");
    let trailers = call.trailers.take().expect("trailers");
    let record = record("an answer", &proxy, text(&trailers, "grpc-message")).await;
    assert!(record["sentence"].as_str().unwrap().starts_with("a message from the origin"), "{record}");
    assert_eq!(origin.only().body_len as usize, fine.len() + leak.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_call_costs_no_memory_and_a_long_message_what_policy_says() {
    let (_origin, proxy) = pair().await;
    let part = frame(&message(&"A sentence about nothing in particular. ".repeat(1500)), "");
    let mut call = Call::open(&proxy, &NATIVE).await;
    let mut before = 0;
    // 36 MB each way.
    for turn in 0..600 {
        call.say(&part).await;
        assert_eq!(call.hear(part.len()).await.len(), part.len());
        if turn == 100 {
            before = proxy.peak_rss();
        }
    }
    let grown = proxy.peak_rss().saturating_sub(before);
    println!("600 messages of {} bytes each way: peak memory grew by {} KiB", part.len(), grown >> 10);
    assert!(grown < 16 << 20, "{} MiB more", grown >> 20);

    let long = [string(1, EVIL), string(2, "word and word ".repeat(15_000))].concat();
    let hidden = [string(2, "word and word ".repeat(15_000)), string(1, EVIL)].concat();
    let bomb = vec![b'a'; 64 << 20];
    for (policy, body, status, encoding) in [
        ("partial", &long, "7", ""),
        ("partial", &hidden, "", ""),
        ("deny", &hidden, "8", ""),
        ("deny", &hidden, "8", "gzip"),
        ("deny", &bomb, "8", "gzip"),
    ] {
        let origin = Spec::tls(&["origin.test"]).start().await;
        let config = format!(
            "[limits]\nrequest_window = \"64KiB\"\n[policy.fail]\noversize_request_body = \"{policy}\""
        );
        let proxy = Setup::new().config(&config).origin(&origin).start().await;
        let fields = &NATIVE[..2];
        let call = request("POST", "https://origin.test/echo", fields, frame(body, encoding));
        let before = proxy.peak_rss();
        let answer = connection(&proxy, Http::H2).await.send(call).await;
        assert_eq!(answer.header("grpc-status"), status, "{policy}: {answer:?}");
        let grown = proxy.peak_rss().saturating_sub(before);
        assert!(grown < 16 << 20, "{policy} {encoding}: {} MiB more", grown >> 20);
        let record = proxy.record("the call", |r| r["method"] == "POST").await;
        match status {
            "" => {
                assert_eq!(record["request_inspection"]["extent"], "partial", "{record}");
                assert_eq!(answer.body, frame(body, ""));
            }
            _ => assert!(origin.seen().iter().all(|seen| !seen.complete), "{policy}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_or_cannot_be_decoded_is_refused_as_other_bodies_are() {
    let (origin, proxy) = pair().await;
    for (what, body) in [
        ("no frames", b"<html>no frames</html>".to_vec()),
        ("a damaged message", framed(1, b"this is not gzip at all")),
    ] {
        let call = request("POST", "https://origin.test/duplex", &NATIVE, body);
        let answer = connection(&proxy, Http::H2).await.send(call).await;
        assert_eq!(answer.header("grpc-status"), "7", "{what}: {answer:?}");
        let id = receipt(answer.header("grpc-message")).unwrap();
        let record = proxy.record("the refusal", |r| r["id"] == id.as_str()).await;
        assert_eq!(record["reason"], "uninspectable", "{what}: {record}");
    }
    assert_eq!(origin.seen().len(), 0);
    // An encoding of somebody's own is looked at as it stands, and marked.
    let fields = [("content-type", "application/grpc"), ("grpc-encoding", "snappy"), ("te", "trailers")];
    let own = framed(1, b"\x00\xffsome private form\xff");
    let call = request("POST", "https://origin.test/duplex", &fields, own.clone());
    assert_eq!(connection(&proxy, Http::H2).await.send(call).await.body, own);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_detection_mode_every_message_passes_and_is_told() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).args(["--mode", "detect"]).start().await;
    let mut call = Call::open(&proxy, &NATIVE).await;
    for turn in 1..3 {
        let sent = frame(&message(EVIL), "gzip");
        call.say(&sent).await;
        assert_eq!(call.hear(sent.len()).await, sent);
        let told = || proxy.audit().iter().filter(|r| r["verdict"] == "would_block").count();
        until("a record of each", || (told() >= turn).then_some(())).await;
    }
}

/// The same with a client and a service of gRPC's own library, in all four kinds of call.
#[tokio::test(flavor = "multi_thread")]
async fn grpcs_own_client_and_server_talk_and_understand_a_block() {
    let chain = pki::lab().good(&["origin.test"]);
    let setup = Setup::new().file("cert.pem", chain.pem()).file("key.pem", chain.key_pem());
    let mut command = script("grpc_peer.py");
    command.arg("serve").arg(setup.dir().join("cert.pem")).arg(setup.dir().join("key.pem"));
    let server = Server::start(command);
    let proxy = setup.route("origin.test", 443, server.addr).start().await;
    for kind in ["unary", "upload", "download", "talk"] {
        for packed in ["plain", "gzip"] {
            let call = |texts: &[&str]| {
                let mut command = script("grpc_peer.py");
                command.arg("call").arg(proxy.addr().port().to_string()).arg(proxy.ca_pem());
                command.arg(kind).arg(packed).args(texts);
                let run = tokio::task::spawn_blocking(move || peer::bare(command).output().unwrap());
                async move {
                    let output = within("a call", run).await.unwrap();
                    let text = String::from_utf8_lossy(&output.stdout).into_owned();
                    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
                    serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
                }
            };
            let case = format!("{kind} {packed}");
            let said = call(&["one", MILD]).await;
            assert_eq!(said["code"], "OK", "{case}: {said}");
            let got: Vec<&str> =
                said["got"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
            match kind {
                "unary" => assert_eq!(got, ["one"], "{case}"),
                "upload" => assert_eq!(got, [format!("one{MILD}")], "{case}"),
                "download" => assert_eq!(got, ["one", "one", "one"], "{case}"),
                _ => assert_eq!(got, ["one", MILD], "{case}"),
            }
            let texts: &[&str] = if matches!(kind, "unary" | "download") { &[EVIL] } else { &["one", EVIL] };
            let said = call(texts).await;
            assert_eq!(said["code"], "PERMISSION_DENIED", "{case}: {said}");
            let record = record(&case, &proxy, said["details"].as_str().unwrap()).await;
            assert_eq!(record["reason"], "score", "{case}: {record}");
        }
    }
    // Printed as it came: what the service has had.
    assert!(server.said("one") > 0);
    assert_eq!(server.said(EVIL), 0, "{}", server.lines.text());
}
