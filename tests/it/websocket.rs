//! A WebSocket is opened like any request, under the same rules, and then carries its bytes in both directions.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Client, Entry, field, read_head, rest};
use crate::support::origin::{HELLO, Raw, Spec};
use crate::support::proxy::Setup;
use crate::support::{Http, within};

/// The opening handshake, with the key of RFC 6455 section 1.3.
fn handshake(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: origin.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// A masked text frame (RFC 6455 section 5.2), its mask zero.
fn message(text: &[u8]) -> Vec<u8> {
    let mut out = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    out.extend(text);
    out
}

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
            let sent = message(format!("message {turn}").as_bytes());
            stream.write_all(&sent).await.unwrap();
            let mut back = vec![0; sent.len()];
            within("the echo", stream.read_exact(&mut back)).await.unwrap();
            assert_eq!(back, sent, "{entry:?}");
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
