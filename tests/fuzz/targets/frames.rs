//! Readers of frames: of HTTP/2, of WebSocket. Whatever the pieces, the events are the same; what is in them is what
//! another reader finds.

use std::io::{self, Cursor, Read, Write};

use bytes::{Bytes, BytesMut};
use portward::message::field_block::FieldBlock;
use portward::message::flood::Inbound;
use portward::message::frames::{self, Event, HEADERS, Header, PREFACE, Written};
use portward::message::websocket::{self as ws, Kind, Long, Masking};
use portward::net::Limits;
use tokio::time::Instant;
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

use super::shown;

/// Pieces that a stream is cut into.
const CUTS: [usize; 4] = [1, 3, 9, 50];

/// What a client sends behind the preface.
pub fn http2(data: &[u8]) {
    let bytes = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], data].concat();
    let now = Instant::now();
    let judged = |cut: usize| {
        let mut inbound = Inbound::new(&Limits::default(), now);
        let outcome = bytes.chunks(cut).try_for_each(|piece| inbound.sees(piece, now));
        // What it says then is one whole frame.
        let mut written = Written::default();
        written.wrote(&inbound.goodbye(outcome.err().unwrap_or(portward::message::flood::Objection::Flood)));
        assert!(written.is_between_frames());
        outcome
    };
    let whole = judged(usize::MAX);
    for cut in CUTS {
        assert_eq!(judged(cut), whole, "in pieces of {cut}: {}", shown(data));
    }
    let expect = by_length(data);
    for cut in [usize::MAX, 1, 7] {
        assert_eq!(by_reader(&bytes, cut), expect, "in pieces of {cut}: {}", shown(data));
    }
    for (head, payload) in &expect {
        if head.1 == HEADERS {
            block(payload);
        }
    }
    block(data);
}

/// Length, kind, flags and stream of a frame.
type Head = (usize, u8, u8, u32);

/// The frames, read with everything there.
fn by_length(mut rest: &[u8]) -> Vec<(Head, Vec<u8>)> {
    let mut out = Vec::new();
    while let Some((head, behind)) = rest.split_first_chunk::<9>() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = &behind[..length.min(behind.len())];
        out.push(((length, head[3], head[4], stream), payload.to_vec()));
        rest = &behind[payload.len()..];
    }
    out
}

fn by_reader(bytes: &[u8], cut: usize) -> Vec<(Head, Vec<u8>)> {
    let mut reader = frames::Reader::behind(PREFACE);
    let mut out: Vec<(Head, Vec<u8>)> = Vec::new();
    let head = |header: &Header| (header.len, header.kind, header.flags, header.stream);
    for piece in bytes.chunks(cut) {
        let read: Result<(), ()> = reader.read(piece, |event| {
            match event {
                Event::Begins(header) => out.push((head(&header), Vec::new())),
                Event::Holds(header, part, left) => {
                    let (known, payload) = out.last_mut().expect("a frame begins before it holds something");
                    payload.extend_from_slice(part);
                    assert!(*known == head(&header) && payload.len() + left == header.len);
                }
            }
            Ok(())
        });
        assert_eq!(read, Ok(()));
    }
    let whole = out.last().is_none_or(|(head, payload)| head.0 == payload.len());
    assert!(whole || !reader.is_between_frames());
    out
}

/// A field block has one verdict and one answer to whether it has pseudo-fields, in any pieces.
fn block(bytes: &[u8]) {
    let read = |cut: usize| {
        let mut block = FieldBlock::default();
        let outcome = bytes.chunks(cut).try_for_each(|piece| block.read(piece));
        outcome.map(|()| (block.is_whole(), block.has_pseudo()))
    };
    let whole = read(usize::MAX);
    for cut in [1, 2, 5] {
        assert_eq!(read(cut), whole, "in pieces of {cut}: {}", shown(bytes));
    }
}

/// A conversation as rules are to see it.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Message(Kind, Vec<u8>),
    /// A message that does not fit into the window: its first part, the rest, whether it ended.
    Long(Kind, Vec<u8>, Vec<u8>, bool),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Vec<u8>),
}

type Heard = (Vec<Said>, Option<ws::Violation>);

/// The first byte says who speaks, and what becomes of long messages.
pub fn websocket(data: &[u8]) {
    let (how, bytes) = data.split_first().unwrap_or((&0, b""));
    let masking = if how & 1 == 0 { Masking::Forbidden } else { Masking::Required };
    let long = if how & 2 == 0 { Long::Pass } else { Long::Refuse };
    for window in [32, 64 * 1024] {
        let whole = hear(masking, window, long, bytes, usize::MAX);
        for cut in CUTS {
            let pieces = hear(masking, window, long, bytes, cut);
            assert_eq!(pieces, whole, "in pieces of {cut}: {}", shown(data));
        }
        for said in &whole.0 {
            match said {
                Said::Message(_, payload) => assert!(payload.len() <= window),
                Said::Long(_, first, ..) => assert!(long == Long::Pass && first.len() == window),
                Said::Ping(payload) | Said::Pong(payload) | Said::Close(payload) => {
                    assert!(payload.len() <= 125);
                }
            }
        }
        written(masking, &whole, window);
    }
    let ours = hear(masking, 64 * 1024, Long::Refuse, bytes, usize::MAX);
    let theirs = tungstenite(masking, bytes);
    let (ours, refused) = (ours.0, ours.1.is_some());
    // One of the two may be stricter; as far as both go they hear the same.
    let both = ours.len().min(theirs.0.len());
    assert_eq!(ours[..both], theirs.0[..both], "{}", shown(data));
    assert!(refused || !theirs.1 || theirs.0.len() >= ours.len(), "it refuses what we pass: {}", shown(data));
}

fn hear(masking: Masking, window: usize, long: Long, bytes: &[u8], cut: usize) -> Heard {
    let mut reader = ws::Reader::new(masking, window, long);
    let mut out = Vec::new();
    for piece in bytes.chunks(cut) {
        reader.push(piece);
        loop {
            match reader.event() {
                Ok(Some(event)) => note(&mut out, event),
                Ok(None) => break,
                Err(violation) => {
                    // Of a message that passes, more or less went by before its end was seen to be wrong.
                    for said in &mut out {
                        if let Said::Long(_, _, rest, false) = said {
                            rest.clear();
                        }
                    }
                    return (out, Some(violation));
                }
            }
        }
    }
    (out, None)
}

fn note(out: &mut Vec<Said>, event: ws::Event) {
    out.push(match event {
        ws::Event::Message { kind, payload, whole: true } => Said::Message(kind, payload.to_vec()),
        ws::Event::Message { kind, payload, .. } => Said::Long(kind, payload.to_vec(), Vec::new(), false),
        ws::Event::Rest { payload, last } => {
            // Control frames may stand between the frames of a message.
            let begun = out.iter_mut().rev().find_map(|said| match said {
                Said::Long(_, _, rest, ended) => Some((rest, ended)),
                _ => None,
            });
            let (rest, ended) = begun.expect("the rest of something");
            assert!(!*ended);
            rest.extend_from_slice(&payload);
            *ended = last;
            return;
        }
        ws::Event::Ping(payload) => Said::Ping(payload.to_vec()),
        ws::Event::Pong(payload) => Said::Pong(payload.to_vec()),
        ws::Event::Close(payload) => Said::Close(payload.to_vec()),
    });
}

/// What was heard, written as we write it, is heard again.
fn written(masking: Masking, heard: &Heard, window: usize) {
    let mask = (masking == Masking::Required).then_some([7, 0, 0x5a, 0xff]);
    let mut wire = BytesMut::new();
    for said in &heard.0 {
        let (part, payload) = match said {
            Said::Message(kind, payload) => (ws::Part::First(*kind), payload),
            // It may have been cut in the middle of a character.
            Said::Long(..) => return,
            Said::Ping(payload) => (ws::Part::Ping, payload),
            Said::Pong(payload) => (ws::Part::Pong, payload),
            Said::Close(payload) => (ws::Part::Close, payload),
        };
        ws::write(&mut wire, part, true, payload, mask);
    }
    let again = hear(masking, window, Long::Refuse, &wire, 11);
    assert_eq!((&again.0, again.1), (&heard.0, None));
}

/// The same conversation as tungstenite reads it, and whether it ended with a refusal.
fn tungstenite(masking: Masking, bytes: &[u8]) -> (Vec<Said>, bool) {
    /// Answers to pings and farewells go nowhere.
    struct Deaf(Cursor<Bytes>);
    impl Read for Deaf {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read(buf)
        }
    }
    impl Write for Deaf {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let role = if masking == Masking::Required { Role::Server } else { Role::Client };
    let config = WebSocketConfig::default().max_message_size(Some(64 * 1024)).max_frame_size(Some(64 * 1024));
    let stream = Deaf(Cursor::new(Bytes::copy_from_slice(bytes)));
    let mut socket = WebSocket::from_raw_socket(stream, role, Some(config));
    let mut out = Vec::new();
    loop {
        out.push(match socket.read() {
            Ok(Message::Text(text)) => Said::Message(Kind::Text, text.as_bytes().to_vec()),
            Ok(Message::Binary(bytes)) => Said::Message(Kind::Binary, bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Said::Ping(bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Said::Pong(bytes.to_vec()),
            Ok(Message::Close(frame)) => {
                let payload = frame.map(|frame| {
                    [&u16::from(frame.code).to_be_bytes()[..], frame.reason.as_bytes()].concat()
                });
                out.push(Said::Close(payload.unwrap_or_default()));
                return (out, false);
            }
            Ok(Message::Frame(_)) => return (out, false),
            Err(tungstenite::Error::Io(_) | tungstenite::Error::ConnectionClosed) => return (out, false),
            Err(tungstenite::Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => return (out, false),
            Err(_) => return (out, true),
        });
    }
}
