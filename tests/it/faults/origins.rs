//! Origins that hang or answer what no origin should (F10, F12, F13).

use std::time::Instant;

use super::{Case, Measured, Seen};
use crate::support::Http;
use crate::support::client::{Client, Entry, get, request};
use crate::support::frames::{END_HEADERS, HEADERS, SETTINGS, asked, frame};
use crate::support::origin::Raw;
use crate::support::proxy::Setup;

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("F10", "an address that never accepts", "504 in time", || async { black_hole().await }),
        Case::new("F12", "an origin that stops in mid-body", "never whole", || async {
            stops_in_a_body().await
        }),
        Case::new("F13", "interim answers without end, HTTP/1.1", FLOODED, || interim_flood(Http::H1)),
        Case::new("F13", "interim answers without end, HTTP/2", FLOODED, || interim_flood(Http::H2)),
        Case::new("F13", "50 interim answers, then the answer", "the answer", some_interim),
    ];
    for (what, method, answer) in [
        ("a body behind HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n"),
        ("a body in a 204", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 43\r\n\r\n"),
        ("a body in a 304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 43\r\n\r\n"),
        ("more than its length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        cases.push(Case::new("F13", what, "never another's answer", move || too_much(method, answer)));
    }
    cases
}

/// A listener whose queue is full: the kernel drops what asks to connect.
async fn black_hole() -> Seen {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let mut fill = Vec::new();
    while let Ok(one) = std::net::TcpStream::connect_timeout(&addr, std::time::Duration::from_millis(300)) {
        fill.push(one);
        assert!(fill.len() < 10, "the queue is never full");
    }
    let setup = Setup::new().config("[limits]\nconnect_time = \"700ms\"");
    let proxy = setup.route("origin.test", 443, addr).start().await;
    let began = Instant::now();
    let answer = Client::new(Entry::HttpProxy, &proxy).get(Http::H1, "https://origin.test/").await;
    let waited = began.elapsed();
    let record = proxy.record("the black hole", |r| r["reason"].is_string()).await;
    let figures = format!("({} {} after {waited:.1?})", answer.status, record["reason"]);
    // The limit is ten seconds where none is set.
    let good = answer.status == 504 && record["reason"] == "origin_timeout" && waited.as_secs() < 9;
    Seen::judged(good, "504 in time", figures)
}

async fn stops_in_a_body() -> Seen {
    let origin = Raw::tls("origin.test", |mut wire, _| async move {
        if wire.head().await.is_some() {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\nhalf";
            wire.write(head).await;
        }
        wire.drained().await;
    })
    .await;
    let proxy = Setup::new().config("[limits]\nbody_idle = \"500ms\"").raw(&origin).start().await;
    let mut figures = String::new();
    for http in Http::BOTH {
        let began = Instant::now();
        let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", http).await.unwrap();
        match connection.try_send(get("https://origin.test/")).await {
            Ok(answer) if answer.status.is_success() => return format!("{http:?}: a whole answer").into(),
            Ok(answer) => {
                figures.push_str(&format!("({http:?} {} after {:.1?})", answer.status, began.elapsed()))
            }
            Err(_) => figures.push_str(&format!("({http:?} reset after {:.1?})", began.elapsed())),
        }
        if began.elapsed().as_secs() > 8 {
            return figures.into();
        }
    }
    Seen { told: "never whole".into(), figures }
}

const FLOODED: &str = "502 at once, memory flat";

/// Early hints, as fast as they are taken, from an origin that speaks this protocol.
async fn interim_flood(http: Http) -> Measured {
    let origin = Raw::tls_for(http, "origin.test", move |mut wire, _| async move {
        let mut many = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100).into_bytes();
        if http == Http::H2 {
            wire.write(frame(SETTINGS, 0, 0, &[])).await;
            // :status 103 by the name's index (RFC 7541 appendix A), on the first stream.
            many = frame(HEADERS, END_HEADERS, 1, b"\x08\x03103").repeat(100);
            if !asked(&mut wire).await {
                return;
            }
        } else if wire.head().await.is_none() {
            return;
        }
        while wire.write(&many).await {}
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    let (cpu, memory) = (proxy.cpu(), proxy.rss());
    let began = Instant::now();
    let answer = Client::new(Entry::HttpProxy, &proxy).get(http, "https://origin.test/").await;
    let waited = began.elapsed();
    let record = proxy.record("the flood", |r| r["status"] == 502).await;
    let grown = proxy.peak_rss().saturating_sub(memory);
    let figures = format!(
        "({} {} after {waited:.1?}, {:.2} CPU-s, {} KiB)",
        answer.status,
        record["reason"],
        proxy.cpu() - cpu,
        grown >> 10
    );
    let right = answer.status == 502 && record["reason"] == "origin_garbage";
    Seen::judged(right && waited.as_secs() < 20 && grown < 24 << 20, FLOODED, figures).grown(grown)
}

async fn some_interim() -> String {
    let origin = Raw::tls("origin.test", |mut wire, _| async move {
        while wire.head().await.is_some() {
            wire.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(50)).await;
            wire.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H1).await.unwrap();
    // Each request has its own count: 150 on one connection are no flood.
    for _ in 0..3 {
        let answer = connection.send(get("https://origin.test/")).await;
        if (answer.status.as_u16(), answer.text().as_str()) != (200, "ok") {
            return format!("{} {}", answer.status, answer.text());
        }
    }
    "the answer".into()
}

/// An answer with bytes behind it that look like the next one.
async fn too_much(method: &'static str, answer: &'static str) -> Seen {
    const SMUGGLED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!";
    assert_eq!(SMUGGLED.len(), 43);
    let origin = Raw::tls("origin.test", move |mut wire, _| async move {
        while let Some(head) = wire.head().await {
            let good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";
            let sent = if head.contains(" /first ") {
                wire.write(format!("{answer}{SMUGGLED}")).await
            } else {
                wire.write(good).await
            };
            if !sent {
                return;
            }
        }
    })
    .await;
    let proxy = Setup::new().raw(&origin).start().await;
    for http in Http::BOTH {
        let client = Client::new(Entry::HttpProxy, &proxy);
        let mut connection = client.https("origin.test", http).await.unwrap();
        // The first may be refused; what counts is what the following get.
        let ask = request(method, "https://origin.test/first", &[], "");
        let first = connection.try_send(ask).await.map(|answer| answer.text()).unwrap_or_default();
        if first.contains("EVIL") {
            return format!("{http:?}: the smuggled answer came with the first").into();
        }
        for turn in 0..3 {
            let answer = client.get(http, "https://origin.test/next").await;
            if answer.text() != "good" {
                return format!("{http:?}, turn {turn}: {} {}", answer.status, answer.text()).into();
            }
        }
    }
    "never another's answer".into()
}
