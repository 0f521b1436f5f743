//! What is cut out of a stream while it passes: messages of gRPC, events, the parts of an upload for the scanner. The
//! cuts stand where they stand, whatever pieces the stream comes in.

use portward::inspect::cut::{Cutter, Piece, Price};
use portward::scan::parts::{self, Splitter};
use portward::waf::body::events;

use super::{line, shown};

/// Bytes of a message that are looked at.
const LIMIT: usize = 40;

/// Frames of gRPC; the encoding of messages stands in the first line.
pub fn grpc_frames(data: &[u8]) {
    let (encoding, bytes) = line(data);
    let Ok(encoding) = std::str::from_utf8(encoding) else { return };
    let whole = cut(Cutter::grpc(encoding), bytes, usize::MAX);
    for size in [1, 4, 11] {
        assert_eq!(cut(Cutter::grpc(encoding), bytes, size), whole, "in pieces of {size}: {}", shown(data));
    }
    let Cutter::Grpc(grpc) = Cutter::grpc(encoding) else { return };
    let price = Price { bytes: 64 * 1024, ratio: 100 };
    for message in whole.iter().filter(|cut| !cut.broken) {
        assert!(message.seen.len() <= 5 + LIMIT);
        let Some(plain) = grpc.plain(&message.seen, message.is_long, LIMIT, price) else { continue };
        // A coding that is not known here is shown as it stands.
        assert!(plain.frame.len() <= 5 + LIMIT.max(message.seen.len()), "{} bytes", plain.frame.len());
        let length = u32::from_be_bytes([plain.frame[1], plain.frame[2], plain.frame[3], plain.frame[4]]);
        assert!(plain.frame[0] & 1 == 0 && length as usize == plain.frame.len() - 5);
    }
}

/// A message that was cut out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cut {
    seen: Vec<u8>,
    is_long: bool,
    /// Bytes of it that pass behind what is looked at.
    passed: usize,
    broken: bool,
}

/// As the stream does it: what is known of is taken off the front, the rest waits.
fn cut(mut cutter: Cutter, bytes: &[u8], size: usize) -> Vec<Cut> {
    let (mut out, mut text): (Vec<Cut>, Vec<u8>) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(size) {
        text.extend_from_slice(piece);
        let mut at = 0;
        loop {
            match cutter.next(&text[at..], LIMIT) {
                Piece::More => break,
                Piece::Whole(length) => {
                    out.push(Cut { seen: text[at..at + length].to_vec(), ..Cut::default() });
                    at += length;
                }
                Piece::Long(length) => {
                    out.push(Cut { seen: text[at..at + length].to_vec(), is_long: true, ..Cut::default() });
                    at += length;
                }
                Piece::Skip(length) => {
                    out.last_mut().expect("it follows a long one").passed += length;
                    at += length;
                }
                Piece::Slice { .. } => unreachable!("neither gRPC nor events are sliced"),
                Piece::Broken(_) => {
                    match out.last_mut().filter(|cut| cut.broken) {
                        Some(cut) => cut.seen.extend_from_slice(&text[at..]),
                        None => out.push(Cut { seen: text[at..].to_vec(), broken: true, ..Cut::default() }),
                    }
                    at = text.len();
                }
            }
        }
        text.drain(..at);
        // Nothing waits that is longer than what is looked at.
        assert!(text.len() < 5 + LIMIT.max(1), "{} bytes wait", text.len());
    }
    out
}

/// Server-sent events.
pub fn event_stream(data: &[u8]) {
    // What begins with a byte order mark is read without it, and pieces may have other beginnings.
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if data.windows(MARK.len()).skip(1).any(|part| part == MARK) {
        return;
    }
    let split = |size: usize| -> Vec<events::Event> {
        let (mut out, mut text, mut scanned) = (Vec::new(), Vec::new(), 0);
        for piece in data.chunks(size) {
            text.extend_from_slice(piece);
            while let Some(end) = events::end(&text, scanned) {
                assert!(0 < end && end <= text.len());
                out.push(events::Event::read(&text.drain(..end).collect::<Vec<_>>()));
                scanned = 0;
            }
            scanned = text.len();
        }
        out.push(events::Event::read(&text));
        // Line ends alone are no event.
        out.retain(|event| *event != events::Event::default());
        out
    };
    let whole = split(usize::MAX);
    for size in [1, 2, 3, 7] {
        assert_eq!(split(size), whole, "in pieces of {size}: {}", shown(data));
    }
    let text: usize = whole.iter().map(|event| event.text.len()).sum();
    assert!(text <= data.len(), "{text} bytes of text in {}", data.len());
    for event in &whole {
        assert!(event.text.starts_with(&event.data), "{}", shown(data));
        assert!(!event.data.contains(&b'\r') && !event.name.contains(&b'\n') && !event.id.contains(&b'\n'));
    }
    // Everything in a line of data is shown.
    let shown_text: Vec<&[u8]> = whole.iter().map(|event| &event.text[..]).collect();
    for data_line in data.split(|byte| matches!(byte, b'\r' | b'\n')).skip(1) {
        if let Some(value) = data_line.strip_prefix(b"data:") {
            let value = value.strip_prefix(b" ").unwrap_or(value);
            let holds =
                |text: &&[u8]| value.is_empty() || text.windows(value.len()).any(|part| part == value);
            assert!(shown_text.iter().any(holds) || value.is_empty(), "{}", shown(data));
        }
    }
}

/// The parts of an upload; its Content-Type stands in the first line.
pub fn scan_parts(data: &[u8]) {
    let (content_type, bytes) = line(data);
    let Ok(Some(boundary)) = parts::boundary(content_type) else { return };
    assert!((1..=256).contains(&boundary.len()));
    let split = |size: usize| -> Vec<(Vec<u8>, bool)> {
        let (mut splitter, mut events) = (Splitter::new(&boundary), Vec::new());
        bytes.chunks(size).for_each(|piece| splitter.push(piece, &mut events));
        splitter.finish(&mut events);
        let mut out = vec![(Vec::new(), false)];
        for event in events {
            match event {
                parts::Event::Data(data) => out.last_mut().expect("never empty").0.extend(data),
                parts::Event::End => {
                    out.last_mut().expect("never empty").1 = true;
                    out.push((Vec::new(), false));
                }
            }
        }
        out
    };
    let whole = split(usize::MAX);
    for size in [1, 2, 5, 16] {
        assert_eq!(split(size), whole, "in pieces of {size}: {}", shown(data));
    }
    let content: usize = whole.iter().map(|(part, _)| part.len()).sum();
    assert!(content <= bytes.len());
    let (rest, ended) = whole.last().expect("never empty");
    assert!(rest.is_empty() && !ended, "each part ends: {}", shown(data));
}
