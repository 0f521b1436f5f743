//! How much is done at once, and how much is held, whatever a peer sends.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::*;
use crate::inspect::window::{Fill, Patience, Window};
use crate::inspect::{Case, CaseTerms, Conversation, StreamNote};
use crate::message::decode::Decoder;
use crate::message::target::Scheme;
use crate::policy::EngineError;
use crate::waf::input::{ConnectionFacts, End};
use crate::waf::{Engine, Settings, Sources};

const LIMIT: usize = 64 * 1024;

/// A body as it comes from a peer.
async fn incoming(body: Vec<u8>) -> Timed {
    let (client, server) = tokio::io::duplex(1 << 20);
    let (got, body_of) = tokio::sync::mpsc::channel::<Incoming>(1);
    let service = service_fn(move |request: Request<Incoming>| {
        let got = got.clone();
        async move {
            got.send(request.into_body()).await.unwrap();
            std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>().await
        }
    });
    tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service));
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    tokio::spawn(async move {
        let _ = send.send_request(Request::post("/").body(Full::new(Bytes::from(body))).unwrap()).await;
    });
    let mut body_of = body_of;
    Timed::new(body_of.recv().await.unwrap(), Duration::from_secs(60))
}

/// Judges by no rules at all, and counts what is heard.
fn hearing() -> (Hearing, Arc<AtomicUsize>) {
    let engine = Arc::new(Engine::compile(&Sources::default(), &Settings::default()).unwrap());
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    let begin = move || {
        count.fetch_add(1, Ordering::Relaxed);
        let facts = ConnectionFacts {
            client_ip: [127, 0, 0, 1].into(),
            client_port: 4000,
            server_ip: None,
            server_port: 443,
            sni: None,
            identity: None,
            unix_ms: 1_000,
            unique_id: "ID",
        };
        let (on_error, time) = (EngineError::Deny, Duration::from_millis(50));
        Case::open(engine.begin(&facts), CaseTerms { on_error, time, metrics: Arc::default() })
    };
    let conversation = Arc::new(Conversation {
        begin: Box::new(begin),
        scheme: Scheme::Https,
        authority: crate::net::Authority::parse("origin.test:443", None).unwrap(),
        method: Method::POST,
        version: Version::HTTP_11,
        path: "/".to_owned(),
        headers: HeaderMap::new(),
    });
    let note = StreamNote::default();
    let tell = Box::new(|_, _| {});
    (Hearing { conversation, from: End::Client, answer: None, slices: true, note, tell }, heard)
}

fn terms() -> Terms {
    Terms {
        limit: LIMIT,
        oversize: Oversize::Partial,
        undecodable: Undecoded::Pass,
        unknown: Undecoded::Pass,
        price: Price { bytes: 1 << 20, ratio: 100 },
        quiet: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        pause: Duration::from_secs(60),
    }
}

fn decoder(coding: &str) -> Coding {
    let decoder = Decoder::new(coding, usize::MAX, usize::MAX, usize::MAX).unwrap().unwrap();
    Coding::Decode(Box::new(decoder))
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

/// What passes, after a look at the body at each poll that is not the last of its turn.
async fn passes(mut messages: Messages, mut look: impl FnMut(&Messages, bool)) -> usize {
    let mut bytes = 0;
    while let Some(frame) = std::future::poll_fn(|cx| {
        let poll = Pin::new(&mut messages).poll_frame(cx);
        look(&messages, poll.is_pending());
        poll
    })
    .await
    {
        bytes += frame.unwrap().into_data().unwrap().len();
    }
    bytes
}

#[tokio::test]
async fn a_chunk_of_many_messages_is_worked_off_in_turns() {
    const MESSAGES: usize = 3000;
    for (cutter, message) in [(Cutter::grpc(""), &b"\0\0\0\0\0"[..]), (Cutter::events(), b":\n\n")] {
        let (hearing, heard) = hearing();
        let source = incoming(message.repeat(MESSAGES)).await;
        let messages = Messages::new(source, Coding::Identity, false, cutter, hearing, terms());
        let (mut before, mut most) = (0, 0);
        let passed = passes(messages, |_, ends| {
            let now = heard.load(Ordering::Relaxed);
            most = most.max(now - before);
            if ends {
                before = now;
            }
        });
        assert_eq!(passed.await, message.len() * MESSAGES);
        assert_eq!(heard.load(Ordering::Relaxed), MESSAGES);
        assert!(most <= TURN, "{most} in a turn");
    }
}

#[tokio::test]
async fn a_chunk_unpacks_no_further_than_the_next_verdict_needs() {
    const SIZE: usize = 16 << 20;
    let packed = zstd(&vec![b'x'; SIZE]);
    assert!(packed.len() < 16 * 1024, "it comes in one chunk: {}", packed.len());
    let (hearing, heard) = hearing();
    let source = incoming(packed.clone()).await;
    let cutter = Cutter::Slices(Slicer::text());
    let messages = Messages::new(source, decoder("zstd"), false, cutter, hearing, terms());
    let (mut before, mut most) = ((0, 0), (0, 0));
    let passed = passes(messages, |messages, ends| {
        let now = (heard.load(Ordering::Relaxed), messages.decoded);
        most = (most.0.max(now.0 - before.0), most.1.max(now.1 - before.1));
        if ends {
            before = now;
        }
        assert!(messages.text.capacity() < 8 * LIMIT, "{} bytes are held", messages.text.capacity());
    });
    assert_eq!(passed.await, packed.len());
    assert!(heard.load(Ordering::Relaxed) >= SIZE / LIMIT / 2);
    assert!(most.0 <= 2 && most.1 <= 4 * LIMIT as u64, "{most:?} in a turn");
}

#[tokio::test]
async fn a_window_takes_no_more_of_a_chunk_than_fits_and_the_rest_is_judged_behind_it() {
    const SIZE: usize = 4 << 20;
    let packed = zstd(&vec![b'x'; SIZE]);
    let mut window =
        Window::new(incoming(packed.clone()).await, decoder("zstd"), Patience::UntilWhole, LIMIT);
    assert_eq!(window.fill().await.unwrap(), Fill::Full);
    assert!(window.text().len() < 2 * LIMIT, "{}", window.text().len());
    let (hearing, heard) = hearing();
    let rest = window.slide(Slicer::text(), Slide { hearing, terms: terms() });
    assert!(rest.collect().await.unwrap().to_bytes() == packed);
    assert!(heard.load(Ordering::Relaxed) >= SIZE / LIMIT / 2);
}

#[tokio::test]
async fn what_cannot_be_decoded_is_shown_as_it_stands() {
    let text = b"q=words".repeat(10);
    // Brotli finds something to decode in any text.
    for coding in ["gzip", "deflate", "zstd"] {
        let source = incoming(text.clone()).await;
        let mut window = Window::new(source, decoder(coding), Patience::UntilWhole, LIMIT);
        assert_eq!(window.fill().await.unwrap(), Fill::Whole, "{coding}");
        assert!(window.coding_error().is_some(), "{coding}");
        assert!(window.text().ends_with(&text), "{coding}: {}", window.text().escape_ascii());
        let source = incoming(text.clone()).await;
        let cutter = Cutter::Slices(Slicer::text());
        let mut messages = Messages::new(source, decoder(coding), false, cutter, hearing().0, terms());
        while messages.text.is_empty() {
            let frame = messages.source.frame().await.unwrap().unwrap();
            messages.take(frame);
            messages.step().unwrap();
        }
        assert!(messages.text.ends_with(&text), "{coding}: {}", messages.text.escape_ascii());
    }
}

#[tokio::test]
async fn an_event_that_drips_is_not_judged_from_its_beginning_at_each_pause() {
    let (hearing, heard) = hearing();
    let source = incoming(Vec::new()).await;
    let mut messages = Messages::new(source, Coding::Identity, false, Cutter::events(), hearing, terms());
    messages.text = [b"data: ", &[b'x'; 400 * 1024][..]].concat();
    messages.gone = messages.text.len() - 1;
    messages.part().unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 1);
    assert!(messages.done < 3, "{} thousands of bytes were judged", messages.done * BYTES_PER_MESSAGE / 1000);
}
