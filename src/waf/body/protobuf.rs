//! Protocol Buffers without their schema, bare or in the frames of gRPC: every string becomes an argument named by
//! the numbers of its fields, `protobuf.1.3`. Numbers are not shown, since no rule could say what they mean.
//!
//! The wire does not tell a string from a nested message or from bytes. Printable text is a string, and also a message
//! when it can be read as one; anything else is a message when it can be read as one, else text with odd characters,
//! else bytes, of which every run of printable characters is shown. So an attack stands there whatever the field is.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::json::{self, Budget, Documents};
use super::runs::{SHORTEST, runs};
use super::{BodyError, Bounds, Sink, media_type, worse};
use crate::waf::input::Extent;

/// Flag and length in front of each message of gRPC.
pub const PREFIX: usize = 5;

/// The flag of a compressed message, and gRPC-web's of trailers that stand in the body.
const COMPRESSED: u8 = 1;
const TRAILERS: u8 = 0x80;

/// True for the media types of gRPC and gRPC-web, whatever their messages are written in.
pub fn is_grpc(content_type: &[u8]) -> bool {
    let media = media_type(content_type);
    let rest = media.strip_prefix(b"application/grpc").map(|rest| rest.strip_prefix(b"-web").unwrap_or(rest));
    let rest = rest.map(|rest| rest.strip_prefix(b"-text").unwrap_or(rest));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
}

/// True for a single message without a frame.
pub(super) fn is_bare(media: &[u8]) -> bool {
    matches!(
        media,
        b"application/protobuf"
            | b"application/x-protobuf"
            | b"application/x-google-protobuf"
            | b"application/vnd.google.protobuf"
            | b"application/proto"
    ) || media.starts_with(b"application/") && media.ends_with(b"+protobuf")
}

/// What the frame at the front of these bytes is: its flag and how long its payload is.
pub fn prefix(bytes: &[u8]) -> Option<(u8, usize)> {
    let (&[flag, length @ ..], _) = bytes.split_first_chunk::<PREFIX>()?;
    Some((flag, u32::from_be_bytes(length) as usize))
}

/// True for flags that a frame may have.
pub fn is_flag(flag: u8) -> bool {
    flag & !(COMPRESSED | TRAILERS) == 0
}

pub fn is_compressed(flag: u8) -> bool {
    flag & COMPRESSED != 0
}

fn malformed(problem: &'static str, at: usize) -> BodyError {
    BodyError::Malformed { processor: "PROTOBUF", problem, at }
}

/// Reads the frames of gRPC. Messages are expected without compression: who undoes it writes the frame anew.
pub(super) fn frames(
    content_type: &[u8],
    bytes: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    let decoded = unpacked(bytes);
    let bytes = decoded.as_deref().unwrap_or(bytes);
    let is_json = media_type(content_type).ends_with(b"+json");
    let mut at = 0;
    let mut reader = Reader::new(bytes.len(), bounds, sink);
    let mut budget = Budget::of(bytes.len());
    let mut outcome = Ok(());
    while at < bytes.len() {
        let rest = &bytes[at..];
        let Some((flag, length)) = prefix(rest) else {
            reader.pieces(rest)?;
            return if extent == Extent::Partial { outcome } else { Err(malformed("a frame is cut", at)) };
        };
        if !is_flag(flag) {
            reader.pieces(rest)?;
            return Err(malformed("no frame of gRPC begins like this", at));
        }
        let behind = &rest[PREFIX..];
        let cut = behind.len() < length;
        let payload = &behind[..length.min(behind.len())];
        let part = if cut { Extent::Partial } else { Extent::Whole };
        let read = match flag {
            0 if is_json => {
                json::parse_within(payload, Documents::One, part, bounds, &mut budget, reader.sink)
            }
            0 => reader.message(payload, cut),
            TRAILERS => reader.named(b"trailers", payload),
            _ => reader.pieces(payload).and(Err(malformed("a message is compressed", at))),
        };
        let spent = matches!(read, Err(BodyError::TooManyArgs(_) | BodyError::NamesTooLong(_)));
        outcome = worse(outcome, read);
        if spent {
            break;
        }
        at += PREFIX + payload.len();
        if cut && extent == Extent::Whole {
            return outcome.and(Err(malformed("a message is cut", at)));
        }
    }
    outcome
}

/// gRPC-web in text: base64 of the frames, padded anywhere. No frame begins with a character of that alphabet.
fn unpacked(bytes: &[u8]) -> Option<Vec<u8>> {
    bytes.first().filter(|first| first.is_ascii_graphic())?;
    let mut out = Vec::new();
    let mut reader = Base64::default();
    reader.push(bytes, &mut out).then_some(out)
}

/// Base64 that comes in pieces, with padding in the middle where a writer began anew.
#[derive(Debug, Default)]
pub struct Base64 {
    quad: Vec<u8>,
}

impl Base64 {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );

    /// Appends what these characters stand for; false when they are none of base64.
    pub fn push(&mut self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let mut room = [0; 3];
        for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            self.quad.push(*byte);
            if self.quad.len() == 4 {
                let Ok(length) = Self::ENGINE.decode_slice(&self.quad, &mut room) else { return false };
                out.extend_from_slice(&room[..length]);
                self.quad.clear();
            }
        }
        true
    }

    /// What lenient readers make of such a text: they skip what is none of base64, go on behind padding or end there,
    /// and mind no bits that are left over.
    pub(super) fn lenient(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
        let (mut quad, mut room) = (Vec::with_capacity(4), [0; 3]);
        // The end is padding, too.
        for byte in text.iter().chain(b"=") {
            match byte {
                b'=' if quad.len() < 2 => continue,
                b'=' => {}
                byte if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') => quad.push(*byte),
                _ => continue,
            }
            if *byte == b'=' || quad.len() == 4 {
                let length = Self::ENGINE.decode_slice(&quad, &mut room).unwrap_or(0);
                out.extend_from_slice(&room[..length]);
                quad.clear();
            }
        }
        out
    }
}

/// Reads one bare message.
pub(super) fn parse(
    bytes: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    Reader::new(bytes.len(), bounds, sink).message(bytes, extent == Extent::Partial)
}

/// The strings of an answer, a line each, for rules on what origins say.
pub(super) fn strings(content_type: &[u8], bytes: &[u8], extent: Extent, bounds: &Bounds) -> Vec<u8> {
    let mut lines = Lines(Vec::new());
    // What was read before an error is there.
    let _ = if is_grpc(content_type) {
        frames(content_type, bytes, extent, bounds, &mut lines)
    } else {
        parse(bytes, extent, bounds, &mut lines)
    };
    lines.0
}

struct Lines(Vec<u8>);

impl Sink for Lines {
    fn arg(&mut self, _name: &[u8], value: &[u8]) {
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }
    fn file(&mut self, _field: &[u8], _filename: &[u8], _size: usize) {}
    fn part_header(&mut self, _part: &[u8], _line: &[u8]) {}
    fn xml_text(&mut self, _text: &[u8]) {}
    fn xml_attribute(&mut self, _value: &[u8]) {}
    fn multipart_flaw(&mut self, _flaw: super::MultipartFlaw) {}
}

/// A field as it stands on the wire.
enum Field<'a> {
    /// A number, or a mark of a group.
    Other,
    Begin,
    End,
    /// `true` when less is there than its length says.
    Bytes(&'a [u8], bool),
}

/// Walks over the fields of a message.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at).min(63);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.rest = self.rest.get(length..)?;
        Some(())
    }

    /// The number of a field and the field; `None` where no field can be read.
    fn next(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if !(1..1 << 29).contains(&number) {
            return None;
        }
        let field = match tag & 7 {
            0 => self.varint().map(|_| Field::Other)?,
            1 => self.skip(8).map(|()| Field::Other)?,
            5 => self.skip(4).map(|()| Field::Other)?,
            3 => Field::Begin,
            4 => Field::End,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let bytes = &self.rest[..length.min(self.rest.len())];
                self.rest = &self.rest[bytes.len()..];
                Field::Bytes(bytes, bytes.len() < length)
            }
            _ => return None,
        };
        Some((number, field))
    }
}

/// True when the bytes can be read as a message to their end; or as far as they go, when they are cut.
fn is_message(bytes: &[u8], cut: bool) -> bool {
    let mut fields = Fields { rest: bytes };
    let (mut groups, mut any) = (0usize, false);
    while !fields.rest.is_empty() {
        match fields.next() {
            Some((_, Field::Begin)) => groups += 1,
            Some((_, Field::End)) if groups > 0 => groups -= 1,
            Some((_, Field::End)) => return false,
            Some((_, Field::Bytes(_, true))) => return cut,
            Some(_) => {}
            None => return cut && any,
        }
        any = true;
    }
    any && (groups == 0 || cut)
}

struct Reader<'s> {
    bounds: &'s Bounds,
    sink: &'s mut dyn Sink,
    path: Vec<u8>,
    leaves: usize,
    /// Bytes of names and values that were shown, and how many may be.
    shown: usize,
    most_shown: usize,
    deep: bool,
}

/// What is text and a message too is shown as both on every level, and every leaf has its path. All that is shown is
/// bounded by the body's length, and by what a small body may have anyway.
const SHOWN_PER_BYTE: usize = 8;
const SHOWN_FREE: usize = 256 * 1024;

impl<'s> Reader<'s> {
    /// For a body of so many bytes.
    fn new(length: usize, bounds: &'s Bounds, sink: &'s mut dyn Sink) -> Reader<'s> {
        let most_shown = SHOWN_FREE + SHOWN_PER_BYTE * length;
        Reader { bounds, sink, path: Vec::new(), leaves: 0, shown: 0, most_shown, deep: false }
    }

    /// A whole document.
    fn message(&mut self, bytes: &[u8], cut: bool) -> Result<(), BodyError> {
        self.path.clear();
        self.path.extend_from_slice(b"protobuf");
        if !bytes.is_empty() && !is_message(bytes, cut) {
            self.pieces(bytes)?;
            return Err(malformed("it has no fields, or they do not end where it does", 0));
        }
        self.fields(bytes, cut, 1)?;
        if self.deep { Err(BodyError::TooDeep(self.bounds.depth)) } else { Ok(()) }
    }

    fn fields(&mut self, bytes: &[u8], cut: bool, depth: usize) -> Result<(), BodyError> {
        let mut fields = Fields { rest: bytes };
        while let Some((number, field)) = fields.next() {
            let Field::Bytes(value, value_cut) = field else { continue };
            let mark = self.path.len();
            // A write to a vector does not fail.
            let _ = std::io::Write::write_fmt(&mut self.path, format_args!(".{number}"));
            let read = self.value(value, cut && value_cut, depth);
            self.path.truncate(mark);
            read?;
        }
        Ok(())
    }

    fn value(&mut self, bytes: &[u8], cut: bool, depth: usize) -> Result<(), BodyError> {
        let valid = match std::str::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) if cut && error.error_len().is_none() => {
                std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        let is_text = valid.is_some_and(is_plain);
        if is_text {
            self.leaf(bytes)?;
        }
        if is_message(bytes, cut) {
            if depth < self.bounds.depth {
                return self.fields(bytes, cut, depth + 1);
            }
            self.deep = true;
        }
        match (is_text, valid) {
            (true, _) => Ok(()),
            (false, Some(_)) if !self.deep => self.leaf(bytes),
            _ => self.pieces(bytes),
        }
    }

    fn leaf(&mut self, value: &[u8]) -> Result<(), BodyError> {
        self.leaves += 1;
        if self.leaves > self.bounds.leaves {
            return Err(BodyError::TooManyArgs(self.bounds.leaves));
        }
        if value.len() > self.bounds.value_bytes {
            return Err(BodyError::ValueTooLong(self.bounds.value_bytes));
        }
        if !value.is_empty() {
            self.shown += self.path.len() + value.len();
            if self.shown > self.most_shown {
                return Err(BodyError::NamesTooLong(self.most_shown));
            }
            self.sink.arg(&self.path, value);
        }
        Ok(())
    }

    fn named(&mut self, name: &[u8], value: &[u8]) -> Result<(), BodyError> {
        self.path.clear();
        self.path.extend_from_slice(b"protobuf.");
        self.path.extend_from_slice(name);
        self.leaf(value)
    }

    /// Runs of text in bytes of which nothing else is known.
    fn pieces(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        if self.path.is_empty() {
            self.path.extend_from_slice(b"protobuf");
        }
        runs(bytes, SHORTEST).try_for_each(|run| self.leaf(run))
    }
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Notes;
    use super::*;

    fn field(number: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = payload.len();
        while length > 0x7f {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(payload);
        out
    }

    fn read(bytes: &[u8], extent: Extent) -> (Notes, Result<(), BodyError>) {
        let mut notes = Notes::default();
        let outcome = parse(bytes, extent, &Bounds::default(), &mut notes);
        (notes, outcome)
    }

    fn frame(flag: u8, payload: &[u8]) -> Vec<u8> {
        [&[flag][..], &(payload.len() as u32).to_be_bytes(), payload].concat()
    }

    #[test]
    fn strings_are_named_by_the_numbers_of_their_fields() {
        let nested =
            [&[0x08, 0x96, 0x01][..], &field(2, b"' or 1=1 --"), &field(3, b"\xff\xfe\x00")].concat();
        let message = [
            &field(1, b"hello")[..],
            &[0x15, 1, 2, 3, 4, 0x19, 1, 2, 3, 4, 5, 6, 7, 8],
            &field(4, &nested),
            &field(4, &field(1, "gr\u{fc}\u{df}e".as_bytes())),
        ]
        .concat();
        let (notes, outcome) = read(&message, Extent::Whole);
        assert_eq!(outcome, Ok(()));
        let wanted =
            [("protobuf.1", "hello"), ("protobuf.4.2", "' or 1=1 --"), ("protobuf.4.1", "gr\u{fc}\u{df}e")];
        assert_eq!(notes.pairs(), wanted);
        assert_eq!(read(b"", Extent::Whole).1, Ok(()));
    }

    #[test]
    fn what_may_be_a_message_or_a_text_is_both_and_what_is_neither_is_shown_in_pieces() {
        // Field 4 of fifty characters: tag and length are printable as well.
        let inner = [b'a'; 50];
        let (notes, _) = read(&field(1, &field(4, &inner)), Extent::Whole);
        let text = String::from_utf8(field(4, &inner)).unwrap();
        assert_eq!(notes.pairs(), [("protobuf.1", &*text), ("protobuf.1.4", &text[2..])]);
        let (notes, _) = read(&field(1, b"\xff\xfe<script>\x00a"), Extent::Whole);
        assert_eq!(notes.pairs(), [("protobuf.1", "<script>")]);
        // Text with a character that no text has.
        let (notes, _) = read(&field(1, b"\x01union select"), Extent::Whole);
        assert_eq!(notes.pairs(), [("protobuf.1", "\u{1}union select")]);
        let (notes, outcome) = read(b"this is no message at all", Extent::Whole);
        assert_eq!(notes.pairs(), [("protobuf", "this is no message at all")]);
        assert!(outcome.is_err());
    }

    #[test]
    fn a_message_that_is_cut_is_read_as_far_as_it_goes() {
        let message = [&field(1, b"first")[..], &field(2, &field(3, &[b'x'; 300]))].concat();
        let (notes, outcome) = read(&message[..150], Extent::Partial);
        assert_eq!(outcome, Ok(()));
        assert_eq!(notes.args[0], ("protobuf.1".to_owned(), "first".to_owned()));
        let (name, value) = notes.args.last().unwrap();
        assert_eq!((&**name, value.chars().all(|c| c == 'x')), ("protobuf.2.3", true), "{notes:?}");
        for length in 0..message.len() {
            let _ = read(&message[..length], Extent::Whole);
            let _ = read(&message[..length], Extent::Partial);
        }
    }

    #[test]
    fn what_is_too_deep_or_too_wide_is_an_error_and_its_text_is_shown() {
        let mut deep = field(1, b"evil text");
        for _ in 0..500 {
            deep = field(1, &deep);
        }
        let (notes, outcome) = read(&deep, Extent::Whole);
        assert_eq!(outcome, Err(BodyError::TooDeep(64)));
        assert!(notes.args.iter().any(|(_, value)| value.contains("evil text")), "{notes:?}");
        let wide = field(1, b"word").repeat(20_001);
        assert_eq!(read(&wide, Extent::Whole).1, Err(BodyError::TooManyArgs(20_000)));
    }

    #[test]
    fn what_is_text_on_every_level_is_not_shown_without_end() {
        // Tags, lengths and contents are all text, so that each level is a text and a message. A length is text when its
        // bytes are a character of UTF-8 and a printable one.
        let around = |mut inner: Vec<u8>| loop {
            for pad in 0x20..=0x7e {
                let whole = [&inner[..], &field(9, &vec![b'x'; pad])].concat();
                let framed = field(9, &whole);
                if std::str::from_utf8(&framed[..4]).is_ok_and(is_plain) && framed[3] < 0x7f {
                    return framed;
                }
            }
            inner.extend(field(9, &[b'x'; 0x20]));
        };
        let mut all = vec![b'x'; 150_000];
        for _ in 0..60 {
            all = around(all);
        }
        let (notes, _) = read(&all, Extent::Whole);
        let shown: usize = notes.args.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(shown <= 8 * all.len() + (256 << 10), "{shown} of {}", all.len());
        let (notes, outcome) = read(&all[..all.len() / 2], Extent::Partial);
        assert!(notes.args.len() > 2 && matches!(outcome, Err(BodyError::NamesTooLong(_))), "{outcome:?}");
    }

    #[test]
    fn every_frame_is_read_in_binary_and_in_text() {
        let one = frame(0, &field(1, b"one message"));
        let two = frame(0, &field(2, b"and another"));
        let trailers = frame(0x80, b"grpc-status: 0\r\n");
        let whole = [&one[..], &two, &frame(0, b""), &trailers].concat();
        let standard = base64::engine::general_purpose::STANDARD;
        let text =
            [standard.encode(&one), standard.encode([&two[..], &frame(0, b""), &trailers].concat())].concat();
        for bytes in [&whole[..], text.as_bytes()] {
            let mut notes = Notes::default();
            let outcome =
                frames(b"application/grpc-web-text", bytes, Extent::Whole, &Bounds::default(), &mut notes);
            assert_eq!(outcome, Ok(()));
            let wanted = [
                ("protobuf.1", "one message"),
                ("protobuf.2", "and another"),
                ("protobuf.trailers", "grpc-status: 0\r\n"),
            ];
            assert_eq!(notes.pairs(), wanted);
        }
        let mut notes = Notes::default();
        let json = frame(0, b"{\"a\":\"b\"}");
        let read = frames(b"application/grpc+json", &json, Extent::Whole, &Bounds::default(), &mut notes);
        assert_eq!((notes.pairs(), read), (vec![("json.a", "b")], Ok(())));
        // A bound that each of many messages keeps is still broken by all of them.
        let many = frame(0, br#"["a","b"]"#).repeat(10_001);
        let mut notes = Notes::default();
        let read = frames(b"application/grpc+json", &many, Extent::Whole, &Bounds::default(), &mut notes);
        assert_eq!(read, Err(BodyError::TooManyArgs(20_000)));
        for broken in [&one[..7], &[2, 0, 0, 0, 0][..], &[1, 0, 0, 0, 1, 0], &[0, 0, 0]] {
            let mut notes = Notes::default();
            let outcome = frames(b"application/grpc", broken, Extent::Whole, &Bounds::default(), &mut notes);
            assert!(outcome.is_err(), "{broken:?}");
        }
    }

    #[test]
    fn media_types_are_told_apart() {
        for (media, expect) in [
            ("application/grpc", true),
            ("application/grpc; x=y", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", true),
            ("application/grpc-web-text+proto", true),
            ("application/grpcx", false),
            ("application/x-protobuf", false),
        ] {
            assert_eq!(is_grpc(media.as_bytes()), expect, "{media}");
        }
        assert!(is_bare(b"application/x-protobuf") && is_bare(b"application/vnd.acme+protobuf"));
    }
}
