//! WebSockets whose frames break the protocol or are made to exhaust who puts them together (F49): closed with the code
//! that RFC 6455 has for it, nothing of it passed on, in bounded memory.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Case, Seen};
use crate::support::client::{Client, Entry, field, read_head};
use crate::support::websocket::{BINARY, CLOSE, Frame, MORE, PING, TEXT, masked, plain};
use crate::support::{Http, within};
use crate::websocket::{answers, echo, got, handshake, open, origin, setup};

/// What any of these may add to the memory of the proxy.
const MEMORY: u64 = 24 << 20;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("F49", "frames that break the protocol", "each closed by its code, nothing passed", breaks),
        Case::new("F49", "a message of a million fragments", "1009, bounded", || async {
            let mut wire = masked(BINARY, false, b"");
            for _ in 0..1_000_000 {
                wire.extend(masked(MORE, false, b""));
            }
            flood(wire).await
        }),
        Case::new("F49", "a million fragments of a byte each", "1009, bounded", || async {
            let mut wire = masked(TEXT, false, b"a");
            for _ in 0..1_000_000 {
                wire.extend(masked(MORE, false, b"a"));
            }
            flood(wire).await
        }),
        Case::new("F49", "a message said to be 2^62 bytes long", "1009, bounded", || async {
            let head = [&[0x82, 0xff][..], &(1u64 << 62).to_be_bytes(), &[0; 4]].concat();
            flood([head, vec![b'a'; 1 << 20]].concat()).await
        }),
        Case::new("F49", "a bomb in permessage-deflate", "no extension, 1002", bomb),
        Case::new("F49", "an attack in fragments of three bytes", "1008, nothing passed", fragments),
    ]
}

/// Every break, its wire and its code.
fn broken() -> Vec<(&'static str, Vec<u8>, u16)> {
    let text = |bytes: &[u8]| masked(TEXT, true, bytes);
    let after = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    vec![
        ("unmasked", plain(TEXT, true, b"a"), 1002),
        ("RSV1", vec![0xc1, 0x81, 0, 0, 0, 0, b'a'], 1002),
        ("RSV2", vec![0xa1, 0x81, 0, 0, 0, 0, b'a'], 1002),
        ("RSV3", vec![0x91, 0x81, 0, 0, 0, 0, b'a'], 1002),
        ("opcode 3", masked(3, true, b""), 1002),
        ("opcode 11", masked(11, true, b""), 1002),
        ("2^63 bytes", [&[0x82, 0xff][..], &(1u64 << 63).to_be_bytes(), &[0; 4]].concat(), 1002),
        ("a length in too many bytes", vec![0x82, 0xfe, 0, 1, 0, 0, 0, 0, b'a'], 1002),
        ("a ping of 126 bytes", masked(PING, true, &[b'a'; 126]), 1002),
        ("a close of 126 bytes", masked(CLOSE, true, &[b'a'; 126]), 1002),
        ("a ping in fragments", masked(PING, false, b"a"), 1002),
        ("a continuation of nothing", masked(MORE, true, b"a"), 1002),
        ("a message in a message", after(masked(TEXT, false, b"a"), text(b"b")), 1002),
        ("overlong UTF-8", text(b"\xc0\xaf"), 1007),
        ("a surrogate", text(b"\xed\xa0\x80"), 1007),
        ("half a character at the end", text(b"\xe2\x82"), 1007),
        (
            "half a character over two frames",
            after(masked(TEXT, false, b"\xe2"), masked(MORE, true, b"a")),
            1007,
        ),
        ("half a close code", masked(CLOSE, true, &[3]), 1002),
        ("close code 999", masked(CLOSE, true, &999u16.to_be_bytes()), 1002),
        ("close code 1004", masked(CLOSE, true, &1004u16.to_be_bytes()), 1002),
        ("close code 1005", masked(CLOSE, true, &1005u16.to_be_bytes()), 1002),
        ("close code 1006", masked(CLOSE, true, &1006u16.to_be_bytes()), 1002),
        ("close code 65535", masked(CLOSE, true, &[0xff, 0xff]), 1002),
        ("a reason that is not UTF-8", masked(CLOSE, true, &[0x03, 0xe8, 0xff]), 1007),
    ]
}

fn codes(frames: &[Frame]) -> Vec<Option<u16>> {
    frames.iter().map(Frame::code).collect()
}

async fn breaks() -> Seen {
    let origin = origin(true, echo).await;
    let proxy = setup(&origin, true).start().await;
    let mut wrong = Vec::new();
    let all = broken();
    for (name, wire, code) in &all {
        let mut stream = open(&proxy, true).await;
        stream.write_all(wire).await.unwrap();
        let told = codes(&answers(&mut stream).await);
        let got = codes(&got(&origin).await);
        if told != [Some(*code)] || got != [Some(1001)] {
            wrong.push(format!("{name}: the client {told:?}, the origin {got:?}"));
        }
    }
    let told = if wrong.is_empty() {
        "each closed by its code, nothing passed".to_owned()
    } else {
        wrong.join("; ")
    };
    Seen { told, figures: format!("{} breaks", all.len()) }
}

/// What comes of more than one message may have; long messages are refused.
async fn flood(wire: Vec<u8>) -> Seen {
    let origin = origin(true, echo).await;
    let config = "[policy.fail]\noversize_request_body = \"deny\"";
    let proxy = setup(&origin, true).config(config).start().await;
    let stream = open(&proxy, true).await;
    let (before, started) = (proxy.peak_rss(), Instant::now());
    let (mut read, mut write) = tokio::io::split(stream);
    // The proxy ends it long before all is written.
    let writing = tokio::spawn(async move {
        let _ = write.write_all(&wire).await;
        write
    });
    let mut all = Vec::new();
    let _ = within("the close", read.read_to_end(&mut all)).await;
    let took = started.elapsed();
    writing.abort();
    let grown = proxy.peak_rss().saturating_sub(before);
    let codes = codes(&crate::support::websocket::frames(&all));
    let bounded = if grown < MEMORY { "bounded".to_owned() } else { format!("{} MiB more", grown >> 20) };
    let told = match codes[..] {
        [Some(code)] => format!("{code}, {bounded}"),
        _ => format!("{codes:?}, {bounded}"),
    };
    Seen { told, figures: format!("{} KiB more, {:.2} s", grown >> 10, took.as_secs_f64()) }
}

async fn bomb() -> Seen {
    let origin = origin(true, echo).await;
    let proxy = setup(&origin, true).start().await;
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    stream.write_all(handshake("/talk").replace("\r\n\r\n", offer).as_bytes()).await.unwrap();
    let head = within("101", read_head(&mut stream)).await.unwrap();
    let extension = field(&head, "sec-websocket-extensions").unwrap_or("no extension").to_owned();
    // A raw deflate stream of 64 MiB of one letter, as RFC 7692 section 7.2.1 has it.
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    let mut packed = Vec::with_capacity(1 << 20);
    deflate.compress_vec(&vec![b'a'; 64 << 20], &mut packed, flate2::FlushCompress::Sync).unwrap();
    let mut wire = masked(TEXT, true, &packed);
    wire[0] |= 0x40;
    let mut stream: Box<dyn crate::support::origin::Stream> = Box::new(stream);
    let _ = stream.write_all(&wire).await;
    let told = codes(&answers(&mut stream).await);
    match told[..] {
        [Some(code)] => format!("{extension}, {code}").into(),
        _ => format!("{extension}, {told:?}").into(),
    }
}

async fn fragments() -> Seen {
    let origin = origin(true, echo).await;
    let proxy = setup(&origin, true).start().await;
    let mut stream = open(&proxy, true).await;
    let parts: Vec<&[u8]> = b"1' UNION SELECT password FROM users-- ".chunks(3).collect();
    let mut wire = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        wire.extend(masked(if at == 0 { TEXT } else { MORE }, at + 1 == parts.len(), part));
        // Between any two fragments there may be a ping.
        wire.extend(masked(PING, true, b""));
    }
    stream.write_all(&wire).await.unwrap();
    let told: Vec<_> = answers(&mut stream).await.into_iter().filter(|frame| frame.opcode == CLOSE).collect();
    let passed: Vec<_> =
        got(&origin).await.into_iter().filter(|frame| matches!(frame.opcode, TEXT | MORE)).collect();
    match (&codes(&told)[..], passed.is_empty()) {
        ([Some(code)], true) => format!("{code}, nothing passed").into(),
        (codes, _) => format!("{codes:?}, {passed:?}").into(),
    }
}
