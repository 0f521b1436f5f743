//! Where messages end in the bytes of a stream: gRPC says it in front of each, an event ends at an empty line, a long
//! body is cut in slices. Decides
//! nothing about what a message holds.

use super::slice::Slicer;
use crate::message::decode::Decoder;
use crate::waf::body::{events, protobuf};

/// What stands at the front of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A message of so many bytes.
    Whole(usize),
    /// The first so many bytes of a message that is longer than what is looked at.
    Long(usize),
    /// Behind such a start: bytes of the same message.
    Skip(usize),
    /// So many bytes of a body, of which the last are shown again, to be read behind these.
    Slice { length: usize, kept: usize, prefix: Vec<u8> },
    /// Nothing of which the end is known.
    More,
    /// Bytes that cannot be cut.
    Broken(&'static str),
}

/// How a stream is cut.
pub enum Cutter {
    Grpc(Grpc),
    /// Bytes in which no end was found so far.
    Events {
        scanned: usize,
    },
    Slices(Slicer),
}

/// Frames of gRPC.
pub struct Grpc {
    /// How compressed messages are.
    encoding: String,
    /// Bytes of a long message that are still to come.
    left: usize,
    broken: bool,
}

/// What a decoder may spend on one message.
#[derive(Clone, Copy)]
pub struct Price {
    pub bytes: usize,
    pub ratio: usize,
}

impl Cutter {
    /// `encoding` is the value of `grpc-encoding`.
    pub fn grpc(encoding: &str) -> Cutter {
        Cutter::Grpc(Grpc { encoding: encoding.to_owned(), left: 0, broken: false })
    }

    pub fn events() -> Cutter {
        Cutter::Events { scanned: 0 }
    }

    /// True where a part of a message is of use to who reads it, and so is let go when its sender pauses.
    pub fn may_pause(&self) -> bool {
        match self {
            Cutter::Grpc(_) => false,
            Cutter::Events { .. } => true,
            Cutter::Slices(slicer) => slicer.may_pause(),
        }
    }

    /// What stands at the front; `limit` bytes of a message are looked at.
    pub fn next(&mut self, bytes: &[u8], limit: usize) -> Piece {
        match self {
            Cutter::Grpc(grpc) => grpc.next(bytes, limit),
            Cutter::Slices(slicer) => {
                if bytes.len() < limit {
                    return Piece::More;
                }
                let prefix = slicer.prefix().to_vec();
                let (length, kept) = slicer.cut(bytes);
                Piece::Slice { length, kept, prefix }
            }
            Cutter::Events { scanned } => match events::end(bytes, *scanned) {
                Some(end) => {
                    *scanned = 0;
                    Piece::Whole(end)
                }
                None if bytes.len() >= limit => {
                    *scanned = 0;
                    Piece::Long(bytes.len())
                }
                None => {
                    *scanned = bytes.len();
                    Piece::More
                }
            },
        }
    }
}

impl Grpc {
    fn next(&mut self, bytes: &[u8], limit: usize) -> Piece {
        if self.broken {
            return if bytes.is_empty() { Piece::More } else { Piece::Broken(UNFRAMED) };
        }
        if self.left > 0 {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            return if skipped > 0 { Piece::Skip(skipped) } else { Piece::More };
        }
        match bytes.first() {
            Some(flag) if !protobuf::is_flag(*flag) => {
                self.broken = true;
                return Piece::Broken(UNFRAMED);
            }
            _ => {}
        }
        let Some((_, length)) = protobuf::prefix(bytes) else { return Piece::More };
        let there = bytes.len() - protobuf::PREFIX;
        if there >= length && length <= limit {
            Piece::Whole(protobuf::PREFIX + length)
        } else if length > limit && there >= limit {
            self.left = length - limit;
            Piece::Long(protobuf::PREFIX + limit)
        } else {
            Piece::More
        }
    }

    /// A frame whose message is not compressed any more, and what went wrong on the way; `None` for one that was not.
    pub fn plain(&self, frame: &[u8], cut: bool, limit: usize, price: Price) -> Option<Plain> {
        let (flag, _) = protobuf::prefix(frame).filter(|(flag, _)| protobuf::is_compressed(*flag))?;
        let mut out = vec![flag & !1, 0, 0, 0, 0];
        let mut over = false;
        let problem = match Decoder::new(&self.encoding, price.bytes, price.ratio, limit) {
            Ok(Some(mut decoder)) => {
                let pushed = decoder.push(&frame[protobuf::PREFIX..], &mut out);
                over = decoder.is_cut();
                let ended = if cut { Ok(()) } else { decoder.finish() };
                pushed.and(ended).err().map(|error| Problem::Damaged(error.to_string()))
            }
            Ok(None) => {
                Some(Problem::Unknown("a message is compressed, and no encoding was said".to_owned()))
            }
            Err(unknown) => Some(Problem::Unknown(unknown.to_string())),
        };
        // As it stands, where nothing else is to be had.
        if problem.is_some() && out.len() == protobuf::PREFIX {
            out.extend_from_slice(&frame[protobuf::PREFIX..]);
        }
        // Windows are smaller than 4 GiB.
        let length = (out.len() - protobuf::PREFIX) as u32;
        out[1..protobuf::PREFIX].copy_from_slice(&length.to_be_bytes());
        Some(Plain { frame: out, over, problem })
    }
}

const UNFRAMED: &str = "it does not come in the frames of gRPC";

/// A message that was compressed.
pub struct Plain {
    pub frame: Vec<u8>,
    /// It is longer than what is looked at.
    pub over: bool,
    pub problem: Option<Problem>,
}

/// Why a message could not be decoded.
pub enum Problem {
    /// The encoding is not known here.
    Unknown(String),
    Damaged(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_by_their_lengths() {
        let mut cutter = Cutter::grpc("");
        let two = [0, 0, 0, 0, 3, b'a', b'b', b'c', 1, 0, 0, 0, 0];
        assert_eq!(cutter.next(&two[..4], 10), Piece::More);
        assert_eq!(cutter.next(&two[..7], 10), Piece::More);
        assert_eq!(cutter.next(&two, 10), Piece::Whole(8));
        assert_eq!(cutter.next(&two[8..], 10), Piece::Whole(5));
        assert_eq!(cutter.next(b"", 10), Piece::More);
        let long = [0, 0, 0, 0, 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        assert_eq!(cutter.next(&long[..14], 10), Piece::More);
        assert_eq!(cutter.next(&long, 10), Piece::Long(15));
        assert_eq!(cutter.next(&[1; 4], 10), Piece::Skip(4));
        assert_eq!(cutter.next(&[1; 9], 10), Piece::Skip(6));
        assert_eq!(cutter.next(&two, 10), Piece::Whole(8));
        assert_eq!(cutter.next(b"<html>", 10), Piece::Broken(UNFRAMED));
        assert_eq!(cutter.next(&two, 10), Piece::Broken(UNFRAMED));
    }

    #[test]
    fn events_are_cut_wherever_their_bytes_are_split() {
        let text = b"data: one\n\ndata: two\r\n\r\n";
        let mut cutter = Cutter::events();
        for length in 0..11 {
            assert_eq!(cutter.next(&text[..length], 100), Piece::More, "{length}");
        }
        assert_eq!(cutter.next(&text[..11], 100), Piece::Whole(11));
        assert_eq!(cutter.next(&text[11..], 100), Piece::Whole(13));
        assert_eq!(cutter.next(&[b'a'; 100], 100), Piece::Long(100));
    }

    #[test]
    fn a_compressed_message_is_decoded_and_framed_anew() {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(b"message").unwrap();
        let gzip = gzip.finish().unwrap();
        let frame = [&[1, 0, 0, 0, gzip.len() as u8][..], &gzip].concat();
        let price = Price { bytes: 1000, ratio: 100 };
        let grpc = |encoding: &str| Grpc { encoding: encoding.to_owned(), left: 0, broken: false };
        let plain = grpc("gzip").plain(&frame, false, 100, price).unwrap();
        assert_eq!(plain.frame, b"\0\0\0\0\x07message");
        assert!(!plain.over && plain.problem.is_none());
        let plain = grpc("gzip").plain(&frame, false, 3, price).unwrap();
        assert_eq!((&plain.frame[..], plain.over), (&b"\0\0\0\0\x03mes"[..], true));
        for encoding in ["snappy", "identity", ""] {
            let plain = grpc(encoding).plain(&frame, false, 100, price).unwrap();
            assert!(matches!(plain.problem, Some(Problem::Unknown(_))), "{encoding}");
            assert_eq!(plain.frame[5..], gzip);
        }
        let plain = grpc("gzip").plain(&[1, 0, 0, 0, 2, 9, 9], false, 100, price).unwrap();
        assert!(matches!(plain.problem, Some(Problem::Damaged(_))));
        assert_eq!(plain.frame, [0, 0, 0, 0, 2, 9, 9], "a receiver that does not decode reads it so");
        assert!(grpc("gzip").plain(b"\0\0\0\0\0", false, 100, price).is_none());
    }
}
