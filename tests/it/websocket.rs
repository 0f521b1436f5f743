//! A WebSocket is opened like any request, under the same rules, and then carries its bytes in both directions.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Client, Entry, field, read_head, rest};
use crate::support::origin::{HELLO, Raw, Spec, Stream, Wire};
use crate::support::proxy::{Proxy, Setup};
use crate::support::websocket::{self as ws, BINARY, CLOSE, Frame, MORE, PING, PONG, TEXT};
use crate::support::{Http, until, within};

/// The opening handshake, with the key of RFC 6455 section 1.3.
pub fn handshake(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: origin.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The answer to it.
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_both_ways_through_every_entry() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    for entry in Entry::EXPLICIT {
        let client = Client::new(entry, &proxy);
        let mut stream = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
        stream.write_all(handshake("/ws").as_bytes()).await.unwrap();
        let head = within("101", read_head(&mut stream)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{entry:?}: {head}");
        assert_eq!(field(&head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert!(
            field(&head, "upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")),
            "{head}"
        );
        for turn in 0..20 {
            let sent = format!("message {turn}");
            stream.write_all(&ws::masked(TEXT, true, sent.as_bytes())).await.unwrap();
            let back = within("the echo", ws::read(&mut stream)).await.unwrap();
            assert_eq!(
                (back.opcode, back.last, back.masked, back.text()),
                (TEXT, true, false, sent),
                "{entry:?}"
            );
        }
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, b"");
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].headers["sec-websocket-key"], "dGhlIHNhbXBsZSBub25jZQ==");
    assert!(seen[0].headers["upgrade"].to_str().unwrap().eq_ignore_ascii_case("websocket"));
    let record = proxy.record("the upgrade", |r| r["status"] == 101).await;
    assert_eq!(record["verdict"], "passed", "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_prefers_http_2_still_gets_its_websocket_over_http_1() {
    // Browsers open a new connection for a WebSocket and offer http/1.1 alone; the origin prefers h2.
    let origin = Spec::tls(&["origin.test"]).http(&[Http::H2, Http::H1]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    // The origin is known as an h2 one by now.
    assert_eq!(client.get(Http::H2, "https://origin.test/").await.text(), HELLO);
    let mut stream = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
    stream.write_all(handshake("/ws").as_bytes()).await.unwrap();
    let head = within("101", read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attack_in_the_opening_request_is_blocked() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut stream = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let target = "/ws?id=1%20UNION%20SELECT%20password%20FROM%20users--";
    stream.write_all(handshake(target).as_bytes()).await.unwrap();
    let head = within("403", read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
pub async fn an_origin_that_does_not_upgrade_gives_an_ordinary_answer() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    // A second request right behind: it must be read as one, not as bytes of a WebSocket.
    let two = format!(
        "{}GET /second HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n",
        handshake("/plain")
    );
    stream.write_all(two.as_bytes()).await.unwrap();
    let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for seen in origin.seen() {
        assert!(matches!(seen.target.as_str(), "/plain" | "/second"), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn bytes_sent_before_the_101_wait_for_it() {
    let origin = Raw::tls("origin.test", |mut wire, _| async move {
        let Some(head) = wire.head().await else { return };
        // Everything behind the head would have come with it.
        let early = head.split("\r\n\r\n").nth(1).unwrap_or_default().len();
        wire.write(format!("HTTP/1.1 403 Forbidden\r\nX-Early: {early}\r\nContent-Length: 0\r\n\r\n")).await;
        wire.drained().await;
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: origin.test\r\n\r\n";
    stream.write_all(format!("{}{smuggled}", handshake("/ws")).as_bytes()).await.unwrap();
    let head = within("the refusal", read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    assert_eq!(field(&head, "x-early"), Some("0"), "the origin got bytes before it agreed");
    drop(stream);
    for received in origin.received() {
        let text = String::from_utf8_lossy(&received).into_owned();
        // As a request of its own it may come, on another connection or inspected; as bytes of an upgrade, never.
        assert!(!text.contains("Sec-WebSocket-Key") || !text.contains("/smuggled"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn an_upgrade_to_anything_else_is_not_passed_on() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let ask = "GET / HTTP/1.1\r\nHost: origin.test\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/2.0, example\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let head = within("an answer", read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(!origin.only().headers.contains_key("upgrade"));
}

/// A raw origin behind TLS or plain that answers the handshake and then plays the script.
pub async fn origin<F, R>(tls: bool, script: F) -> Raw
where
    F: Fn(Wire) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let script = move |mut wire: Wire, _| async move {
        if wire.head().await.is_some() && wire.write(SWITCHING).await {
            script(wire).await;
        }
    };
    if tls { Raw::tls("origin.test", script).await } else { Raw::plain(script).await }
}

pub async fn echo(mut wire: Wire) {
    ws::echo(&mut wire).await;
    wire.drained().await;
}

/// An opened WebSocket's client end.
pub async fn open(proxy: &Proxy, tls: bool) -> Box<dyn Stream> {
    let client = Client::new(Entry::HttpProxy, proxy);
    let mut stream: Box<dyn Stream> = if tls {
        Box::new(client.tls("origin.test", 443, &[Http::H1]).await.unwrap())
    } else {
        client.tunnel("origin.test", 80).await.unwrap()
    };
    stream.write_all(handshake("/talk").as_bytes()).await.unwrap();
    let head = within("101", read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream
}

pub fn setup(origin: &Raw, tls: bool) -> Setup {
    Setup::new().route("origin.test", if tls { 443 } else { 80 }, origin.addr)
}

/// The frames that a raw origin got behind the one request's head.
fn got_so_far(origin: &Raw) -> Vec<Frame> {
    let received = origin.received();
    let all = received.last().expect("a connection");
    let head = all.windows(4).position(|end| end == b"\r\n\r\n").expect("a head");
    ws::frames(&all[head + 4..])
}

/// The same, when its WebSocket has been closed.
pub async fn got(origin: &Raw) -> Vec<Frame> {
    let closed = |frames: &Vec<Frame>| frames.last().is_some_and(|frame| frame.opcode == CLOSE);
    until("the origin to be told to close", || Some(got_so_far(origin)).filter(closed)).await
}

/// What the client still gets: frames until the end of the stream.
pub async fn answers(stream: &mut Box<dyn Stream>) -> Vec<Frame> {
    ws::frames(&rest(stream).await)
}

async fn ended(proxy: &Proxy) -> Value {
    proxy.record("the WebSocket", |r| r["status"] == 101).await
}

fn attacks() -> Vec<(&'static str, u8, Vec<u8>)> {
    let late =
        [&b"aaaaaaaaaaaaaaaaa\0".repeat(1000)[..], b"1' UNION SELECT password FROM users-- \xff"].concat();
    let accents = "\u{e9}1' UNION/*\u{e9}*/SELECT/*\u{e9}*/password/*\u{e9}*/FROM users-- ";
    let all = SMALL_ATTACKS.map(|(name, opcode, attack)| (name, opcode, attack.to_vec()));
    let accents = [b"\x81\xa1q\xd9\xff", accents.as_bytes()].concat();
    [&all[..], &[("accents", BINARY, accents), ("behind a thousand strings", BINARY, late)]].concat()
}

const SMALL_ATTACKS: [(&str, u8, &[u8]); 6] = [
    ("text", TEXT, b"1' UNION SELECT password FROM users-- "),
    ("JSON", TEXT, br#"{"type":"search","filter":{"name":"1' UNION SELECT password FROM users-- "}}"#),
    ("JSON behind a number", TEXT, br#"42["search",{"name":"1' UNION SELECT password FROM users-- "}]"#),
    ("markup", TEXT, b"<script>alert(document.cookie)</script>"),
    ("JSON as binary", BINARY, br#"{"name":"1' UNION SELECT password FROM users-- "}"#),
    ("a string in protobuf", BINARY, b"\x0a\x26\x001' UNION SELECT password FROM users-- \x10\x01\xff"),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_attack_in_a_message_closes_both_sides_and_does_not_reach_the_origin() {
    for (tls, fragments) in [(true, 1), (true, 5), (false, 3)] {
        let origin = origin(tls, echo).await;
        let proxy = setup(&origin, tls).start().await;
        for (name, opcode, attack) in attacks() {
            let case = format!("{name}, TLS {tls}, {fragments} fragments");
            let mut stream = open(&proxy, tls).await;
            stream.write_all(&ws::masked(TEXT, true, b"good morning")).await.unwrap();
            assert_eq!(within("the echo", ws::read(&mut stream)).await.unwrap().text(), "good morning");
            let parts: Vec<_> = attack.chunks(attack.len().div_ceil(fragments)).collect();
            for (at, part) in parts.iter().enumerate() {
                let opcode = if at == 0 { opcode } else { MORE };
                stream.write_all(&ws::masked(opcode, at + 1 == parts.len(), part)).await.unwrap();
            }
            let told = answers(&mut stream).await;
            assert_eq!(told.len(), 1, "{case}: {told:?}");
            assert_eq!(told[0].code(), Some(1008), "{case}");
            let receipt = String::from_utf8_lossy(&told[0].payload[2..]).into_owned();
            let id = receipt.rsplit(' ').next().unwrap().to_owned();
            let record = proxy.record("the block", |r| r["id"] == id.as_str()).await;
            assert_eq!(record["verdict"], "blocked", "{case}: {record}");
            assert_eq!(record["reason"], "score", "{case}: {record}");
            assert!(record["waf"]["matches"][0]["rule"].is_u64(), "{case}: {record}");
            let got = got(&origin).await;
            assert_eq!(got[0].text(), "good morning", "{case}");
            assert_eq!(got[1..].iter().map(Frame::code).collect::<Vec<_>>(), [Some(1008)], "{case}: {got:?}");
            assert!(got.iter().all(|frame| frame.masked), "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn benign_messages_of_every_kind_pass_byte_for_byte() {
    let noise: Vec<u8> = (0..40_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let long = "A sentence about nothing in particular. ".repeat(2000);
    let messages: [(u8, &[u8]); 8] = [
        (TEXT, b""),
        (TEXT, "I'd select a table from the union of both, gr\u{fc}\u{df}e!".as_bytes()),
        (TEXT, br#"{"type":"message","text":"it's 5 o'clock -- or is it?","n":[1,2,{"deep":true}]}"#),
        (TEXT, br#"42["chat",{"room":"lobby","text":"see you"}]"#),
        (TEXT, long.as_bytes()),
        (BINARY, b""),
        (BINARY, b"\x0a\x05hello\x10\x01"),
        (BINARY, &noise),
    ];
    for tls in [true, false] {
        let origin = origin(tls, echo).await;
        let proxy = setup(&origin, tls).start().await;
        let mut stream = open(&proxy, tls).await;
        for fragment in [usize::MAX, 1000] {
            for (opcode, payload) in messages {
                let parts: Vec<&[u8]> =
                    if payload.is_empty() { vec![b""] } else { payload.chunks(fragment).collect() };
                for (at, part) in parts.iter().enumerate() {
                    let opcode = if at == 0 { opcode } else { MORE };
                    stream.write_all(&ws::masked(opcode, at + 1 == parts.len(), part)).await.unwrap();
                }
                let back = within("the echo", ws::read(&mut stream)).await.unwrap();
                assert_eq!((back.opcode, back.last, back.masked), (opcode, true, false));
                assert!(back.payload == payload, "TLS {tls}: {} bytes", payload.len());
            }
        }
        stream.write_all(&ws::masked(CLOSE, true, b"\x0f\xa1done")).await.unwrap();
        assert_eq!(within("the close", answers(&mut stream)).await[0].payload, b"\x0f\xa1done");
        let record = ended(&proxy).await;
        assert_eq!(record["verdict"], "passed", "{record}");
        let counted = "messages passed: 16 from the client, 16 from the origin";
        assert_eq!(record["sentence"], counted, "{record}");
        assert_eq!(got(&origin).await.last().unwrap().payload, b"\x0f\xa1done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_origin_must_not_say_does_not_reach_the_client() {
    let origin = origin(true, |mut wire| async move {
        let leak = crate::support::origin::LEAK.as_bytes();
        wire.write(ws::plain(TEXT, true, b"welcome")).await;
        wire.write([ws::plain(TEXT, false, &leak[..40]), ws::plain(MORE, true, &leak[40..])].concat()).await;
        wire.drained().await;
    })
    .await;
    let proxy = setup(&origin, true).start().await;
    let mut stream = open(&proxy, true).await;
    let told = answers(&mut stream).await;
    assert_eq!(told[0].text(), "welcome");
    assert_eq!(told[1..].iter().map(Frame::code).collect::<Vec<_>>(), [Some(1008)], "{told:?}");
    let record = ended(&proxy).await;
    assert_eq!((&record["verdict"], &record["reason"]), (&"blocked".into(), &"score".into()), "{record}");
    assert!(record["sentence"].as_str().unwrap().starts_with("a message from the origin"), "{record}");
    assert_eq!(got(&origin).await.iter().map(Frame::code).collect::<Vec<_>>(), [Some(1008)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_of_compression_is_taken_out_and_the_record_says_so() {
    let origin = origin(true, echo).await;
    let proxy = setup(&origin, true).start().await;
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let offer = "permessage-deflate; client_max_window_bits";
    let ask =
        handshake("/talk").replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n"));
    stream.write_all(ask.as_bytes()).await.unwrap();
    let head = within("101", read_head(&mut stream)).await.unwrap();
    assert_eq!(field(&head, "sec-websocket-extensions"), None, "{head}");
    stream.write_all(&ws::masked(CLOSE, true, b"")).await.unwrap();
    rest(&mut stream).await;
    let seen = String::from_utf8_lossy(&origin.received()[0]).to_lowercase();
    assert!(!seen.contains("extensions") && !seen.contains("deflate"), "{seen}");
    let record = ended(&proxy).await;
    assert!(record["sentence"].as_str().unwrap().contains(offer), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_nobody_offered_is_not_passed_on() {
    let origin = Raw::tls("origin.test", |mut wire: Wire, _| async move {
        wire.head().await;
        let extended = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        wire.write(SWITCHING.replace("\r\n\r\n", extended)).await;
        wire.drained().await;
    })
    .await;
    let proxy = setup(&origin, true).start().await;
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    stream.write_all(handshake("/talk").as_bytes()).await.unwrap();
    let head = within("502", read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_pongs_and_closes_go_to_whom_they_are_meant_for() {
    let origin = origin(true, |mut wire| async move {
        // Right behind the 101, in the same write or not: they are the client's.
        wire.write([ws::plain(PING, true, b"from the origin"), ws::plain(PONG, true, b"unasked")].concat())
            .await;
        ws::echo(&mut wire).await;
    })
    .await;
    let proxy = setup(&origin, true).start().await;
    let mut stream = open(&proxy, true).await;
    let ping = within("the ping", ws::read(&mut stream)).await.unwrap();
    assert_eq!((ping.opcode, ping.text().as_str()), (PING, "from the origin"));
    let pong = within("the pong", ws::read(&mut stream)).await.unwrap();
    assert_eq!((pong.opcode, pong.text().as_str()), (PONG, "unasked"));
    // A ping between the fragments of a message is not held with it.
    stream.write_all(&ws::masked(TEXT, false, b"one ")).await.unwrap();
    stream.write_all(&ws::masked(PING, true, b"still there?")).await.unwrap();
    let pong = within("the pong", ws::read(&mut stream)).await.unwrap();
    assert_eq!((pong.opcode, pong.text().as_str()), (PONG, "still there?"));
    stream.write_all(&ws::masked(MORE, true, b"message")).await.unwrap();
    assert_eq!(within("the echo", ws::read(&mut stream)).await.unwrap().text(), "one message");
    stream.write_all(&ws::masked(CLOSE, true, &[0x03, 0xe9])).await.unwrap();
    let closed = answers(&mut stream).await;
    assert_eq!(closed.iter().map(Frame::code).collect::<Vec<_>>(), [Some(1001)]);
    let got: Vec<_> = got(&origin).await.into_iter().map(|frame| (frame.opcode, frame.text())).collect();
    assert_eq!(got.len(), 3, "{got:?}");
    assert_eq!(got[0], (PING, "still there?".into()));
    assert_eq!(got[1], (TEXT, "one message".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_the_protocol_is_told_how_and_the_other_side_is_let_go() {
    let origin = origin(true, echo).await;
    let proxy = setup(&origin, true).start().await;
    let cases: [(&str, Vec<u8>, u16); 7] = [
        ("unmasked", ws::plain(TEXT, true, b"a"), 1002),
        ("RSV1, as compressed messages have", vec![0xc1, 0x81, 0, 0, 0, 0, b'a'], 1002),
        ("2^63 bytes", vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1002),
        ("a ping of 126 bytes", ws::masked(PING, true, &[b'a'; 126]), 1002),
        ("a continuation of nothing", ws::masked(MORE, true, b"a"), 1002),
        ("text that is not UTF-8", ws::masked(TEXT, true, b"\xc0\xaf"), 1007),
        ("a close code that may not be sent", ws::masked(CLOSE, true, &[0x03, 0xed]), 1002),
    ];
    for (at, (name, wire, code)) in cases.into_iter().enumerate() {
        let mut stream = open(&proxy, true).await;
        stream.write_all(&wire).await.unwrap();
        let told = answers(&mut stream).await;
        assert_eq!(told.iter().map(Frame::code).collect::<Vec<_>>(), [Some(code)], "{name}");
        let records = until("its record", || {
            Some(proxy.audit()).filter(|all| all.iter().filter(|r| r["status"] == 101).count() == at + 1)
        })
        .await;
        let record = records.last().unwrap();
        assert_eq!(
            (&record["verdict"], &record["reason"]),
            (&"failed".into(), &"malformed".into()),
            "{name}: {record}"
        );
        let got = got(&origin).await;
        assert_eq!(got.iter().map(Frame::code).collect::<Vec<_>>(), [Some(1001)], "{name}: {got:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_frame_of_an_origin_is_told_to_the_origin() {
    let origin = origin(true, |mut wire| async move {
        wire.write(ws::masked(TEXT, true, b"a")).await;
        wire.drained().await;
    })
    .await;
    let proxy = setup(&origin, true).start().await;
    let mut stream = open(&proxy, true).await;
    let told = answers(&mut stream).await;
    assert_eq!(told.iter().map(Frame::code).collect::<Vec<_>>(), [Some(1001)]);
    assert_eq!(got(&origin).await.iter().map(Frame::code).collect::<Vec<_>>(), [Some(1002)]);
    assert_eq!(ended(&proxy).await["reason"], "origin_garbage");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_longer_than_the_window_is_inspected_in_part_or_refused_by_policy() {
    let long: Vec<u8> = "word and word ".bytes().cycle().take(300_000).collect();
    let hidden = [&b"1' UNION SELECT password FROM users-- "[..], &long].concat();
    for deny in [false, true] {
        let origin = origin(true, echo).await;
        let policy = if deny { "deny" } else { "partial" };
        let config = format!(
            "[limits]\nrequest_window = \"64KiB\"\n[policy.fail]\noversize_request_body = \"{policy}\""
        );
        let proxy = setup(&origin, true).config(&config).start().await;
        let mut stream = open(&proxy, true).await;
        let sent = ws::masked(TEXT, true, &long);
        let (mut read, mut write) = tokio::io::split(&mut stream);
        // The proxy may end it before all is written.
        let writing = async {
            let _ = write.write_all(&sent).await;
        };
        if deny {
            let telling = async {
                let mut told = Vec::new();
                let _ = within("the refusal", read.read_to_end(&mut told)).await;
                told
            };
            let (told, ()) = tokio::join!(telling, writing);
            assert_eq!(ws::frames(&told).iter().map(Frame::code).collect::<Vec<_>>(), [Some(1009)]);
            assert_eq!(ended(&proxy).await["reason"], "body_too_large");
            assert_eq!(got(&origin).await.iter().map(Frame::code).collect::<Vec<_>>(), [Some(1009)]);
            continue;
        }
        let reading = async {
            let mut all = Vec::new();
            loop {
                let frame = within("a part of the echo", ws::read(&mut read)).await.unwrap();
                all.extend(frame.payload);
                if frame.last {
                    return all;
                }
            }
        };
        let (back, ()) = tokio::join!(reading, writing);
        assert!(back == long, "{} bytes of {}", back.len(), long.len());
        // What stands in the window is judged all the same, before anything is let go.
        let before = got_so_far(&origin).len();
        let _ = stream.write_all(&ws::masked(TEXT, true, &hidden)).await;
        let told = answers(&mut stream).await;
        assert_eq!(told.iter().map(Frame::code).collect::<Vec<_>>(), [Some(1008)]);
        assert_eq!(got(&origin).await[before..].iter().map(Frame::code).collect::<Vec<_>>(), [Some(1008)]);
        assert!(ended(&proxy).await["sentence"].as_str().unwrap().contains("inspected in part"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_detection_mode_the_message_passes_and_is_told() {
    let origin = origin(true, echo).await;
    let proxy = setup(&origin, true).args(["--mode", "detect"]).start().await;
    let mut stream = open(&proxy, true).await;
    for (_, opcode, attack) in SMALL_ATTACKS {
        stream.write_all(&ws::masked(opcode, true, attack)).await.unwrap();
        assert_eq!(within("the echo", ws::read(&mut stream)).await.unwrap().payload, attack);
    }
    let told = || Some(proxy.audit()).filter(|all| all.len() >= SMALL_ATTACKS.len());
    for record in until("a record of each", told).await {
        assert_eq!(record["verdict"], "would_block", "{record}");
        assert!(record["waf"]["matches"][0]["rule"].is_u64(), "{record}");
    }
}

const OWN: &str = r#"{
  "name": "own", "version": "1",
  "rules": [
    { "id": 100001, "phase": "websocket_message", "message": "The word of the day", "severity": "critical",
      "when": { "all": [
        { "variables": ["websocket_direction"], "operator": { "streq": "origin" } },
        { "variables": ["websocket_opcode"], "operator": { "streq": "binary" } },
        { "variables": ["websocket_message"], "operator": { "contains": "swordfish" } } ] },
      "then": ["block"] }
  ]
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_ones_own_see_message_direction_and_opcode() {
    let origin = origin(true, |mut wire| async move {
        let _ = wire.read().await;
        wire.write([ws::plain(TEXT, true, b"swordfish"), ws::plain(BINARY, true, b"\0swordfish")].concat())
            .await;
        wire.drained().await;
    })
    .await;
    let setup = setup(&origin, true).file("own.json", OWN);
    let own = setup.dir().join("own.json");
    let proxy = setup.args(["--rules", own.to_str().unwrap()]).start().await;
    let mut stream = open(&proxy, true).await;
    stream.write_all(&ws::masked(BINARY, true, b"\0swordfish")).await.unwrap();
    let told = answers(&mut stream).await;
    assert_eq!(told[0].text(), "swordfish");
    assert_eq!(told[1..].iter().map(Frame::code).collect::<Vec<_>>(), [Some(1008)], "{told:?}");
    assert_eq!(ended(&proxy).await["waf"]["matches"][0]["rule"], 100_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_is_known_by_what_it_says_to_its_pool() {
    let origin = origin(true, echo).await;
    let proxy = setup(&origin, true).args(["--rule-set", "cryptominers=block"]).start().await;
    let mut stream = open(&proxy, true).await;
    let benign = br#"{"id":1,"method":"subscribe","params":["prices"]}"#;
    stream.write_all(&ws::masked(TEXT, true, benign)).await.unwrap();
    assert_eq!(within("the echo", ws::read(&mut stream)).await.unwrap().payload, benign);
    let login = br#"{"id":1,"method":"mining.subscribe","params":["miner/1.0"]}"#;
    stream.write_all(&ws::masked(TEXT, true, login)).await.unwrap();
    assert_eq!(answers(&mut stream).await[0].code(), Some(1008));
    assert_eq!(got(&origin).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_the_proxy_says_goodbye_to_both_sides() {
    for tls in [true, false] {
        let origin = origin(tls, echo).await;
        let mut proxy = setup(&origin, tls).config("[limits]\ndrain_time = \"60s\"").start().await;
        let mut open = [open(&proxy, tls).await, open(&proxy, tls).await];
        // One is in the middle of a message, the other silent.
        open[0].write_all(&ws::masked(TEXT, true, b"one message")).await.unwrap();
        assert_eq!(within("the echo", ws::read(&mut open[0])).await.unwrap().text(), "one message");
        open[0].write_all(&ws::masked(TEXT, false, b"a part of ")).await.unwrap();
        let began = std::time::Instant::now();
        proxy.signal(nix::sys::signal::Signal::SIGTERM);
        for stream in &mut open {
            let told = answers(stream).await;
            assert_eq!(told.iter().map(Frame::code).collect::<Vec<_>>(), [Some(1001)], "TLS {tls}: {told:?}");
        }
        assert!(within("the end", proxy.ended()).await.success());
        assert!(began.elapsed().as_secs() < 30, "it did not wait for its whole time: {:?}", began.elapsed());
        let last = |bytes: &Vec<u8>| {
            let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
            ws::frames(&bytes[head + 4..]).last().and_then(Frame::code)
        };
        let told = || origin.received().iter().map(last).collect::<Vec<_>>() == [Some(1001), Some(1001)];
        until("the origin to be told", || told().then_some(())).await;
        let records: Vec<_> = proxy.audit().into_iter().filter(|record| record["status"] == 101).collect();
        assert_eq!(records.len(), 2);
        for record in records {
            assert_eq!(record["verdict"], "passed", "{record}");
            assert!(record["sentence"].as_str().unwrap().contains("the proxy stops"), "{record}");
        }
    }
}
