//! Content codings (RFC 9110 section 8.4.1) undone, for inspection only: what is relayed stays
//! as the sender encoded it. Bytes are pushed in as they arrive; out comes what the receiver
//! will see, up to as much as inspection wants, at a bounded price whatever the input.

use std::ops::Range;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

/// Codings that may be stacked. More than one is rare, more than two is an evasion.
const MOST_CODINGS: usize = 2;

/// Output comes in pieces of this size.
const PIECE: usize = 16 * 1024;

/// A body that decodes to less than this is no bomb, however well it was packed.
const RATIO_FLOOR: usize = 256 * 1024;

/// Members of a gzip stream in a row that are empty: they only serve to make a reader start over. Those
/// that hold something are not counted, since writers of many (bgzip) fill each with 64 KiB.
const MOST_MEMBERS: u32 = 1024;

/// The largest zstd window, 8 MiB: what RFC 9659 allows for the coding.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Undoes the codings of one body.
pub struct Decoder {
    stages: Vec<Stage>,
    meter: Meter,
    failed: Option<DecodeError>,
}

/// A Content-Encoding that cannot be undone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    #[error("the content coding `{0}` is not known")]
    Coding(String),
    #[error("there are more than {MOST_CODINGS} content codings")]
    TooMany,
}

impl Unknown {
    pub fn code(&self) -> &'static str {
        match self {
            Unknown::Coding(_) => "coding_unknown",
            Unknown::TooMany => "coding_stacked",
        }
    }
}

/// Why an encoded body could not be decoded to its end. What was decoded before is out already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the body is not {0}, or is damaged")]
    Corrupt(&'static str),
    #[error("the body ends in the middle of its {0} stream")]
    Truncated(&'static str),
    #[error("bytes follow the end of the {0} stream")]
    Trailing(&'static str),
    #[error("the body decodes to more than {0} bytes")]
    TooLarge(usize),
    #[error("the body decodes to more than {0} times its length")]
    Ratio(usize),
    #[error("the gzip stream has more than {MOST_MEMBERS} empty members in a row")]
    TooManyMembers,
}

impl DecodeError {
    pub fn code(self) -> &'static str {
        match self {
            DecodeError::Corrupt(_) => "coding_corrupt",
            DecodeError::Truncated(_) => "coding_truncated",
            DecodeError::Trailing(_) => "coding_trailing",
            DecodeError::TooLarge(_) => "coding_too_large",
            DecodeError::Ratio(_) => "coding_ratio",
            DecodeError::TooManyMembers => "coding_members",
        }
    }
}

impl Decoder {
    /// A decoder for the value of a Content-Encoding field; several fields are joined by commas
    /// first. `None` when there is no coding to undo.
    ///
    /// At most `most_bytes` are decoded, those between two codings included, and `most_ratio`
    /// times the encoded length; what is beyond the first `wanted` bytes, the window, is not
    /// decoded at all.
    pub fn new(
        content_encoding: &str,
        most_bytes: usize,
        most_ratio: usize,
        wanted: usize,
    ) -> Result<Option<Decoder>, Unknown> {
        let mut stages = Vec::new();
        for name in content_encoding.split(',') {
            let name = name.trim_ascii().to_ascii_lowercase();
            let codec = match name.as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Codec::Gzip(Gzip::new()),
                "deflate" => Codec::Deflate(Deflate::Undecided(None)),
                "br" => Codec::Brotli(Box::new(BrotliState::new(
                    StandardAlloc::default(),
                    StandardAlloc::default(),
                    StandardAlloc::default(),
                ))),
                "zstd" => Codec::Zstd(Zstd::new().ok_or_else(|| Unknown::Coding("zstd".into()))?),
                _ => return Err(Unknown::Coding(name)),
            };
            if stages.len() == MOST_CODINGS {
                return Err(Unknown::TooMany);
            }
            stages.push(Stage {
                codec,
                piece: vec![0; PIECE],
                ready: 0..0,
                full: false,
                at_end: false,
                begun: false,
            });
        }
        if stages.is_empty() {
            return Ok(None);
        }
        // The coding applied last stands last and is undone first.
        stages.reverse();
        let meter =
            Meter { most_bytes, most_ratio, wanted, encoded: 0, decoded: 0, delivered: 0, cut: false };
        Ok(Some(Decoder { stages, meter, failed: None }))
    }

    /// Decodes a further piece of the body to the end of `out`. Costs nothing once enough is
    /// decoded. After an error, the same error again.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        self.push_some(chunk, usize::MAX, out).map(drop)
    }

    /// As `push`, but stops when about `most` bytes came out (by one piece more), whatever the input unpacks to.
    /// Says how much of the chunk was read; there may be more to come from what was read as long as `most` came out.
    pub fn push_some(&mut self, chunk: &[u8], most: usize, out: &mut Vec<u8>) -> Result<usize, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.meter.cut {
            return Ok(chunk.len());
        }
        self.meter.encoded += chunk.len();
        let read = feed(&mut self.stages, chunk, &mut self.meter, most.saturating_add(out.len()), out)
            .inspect_err(|error| self.failed = Some(*error))?;
        self.meter.encoded -= chunk.len() - read;
        Ok(read)
    }

    /// True when the body decodes to more than was wanted: what is out is its first part.
    pub fn is_cut(&self) -> bool {
        self.meter.cut
    }

    /// The body has ended. A body without any byte is complete under every coding.
    pub fn finish(&mut self) -> Result<(), DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.meter.cut || self.meter.encoded == 0 {
            return Ok(());
        }
        match self.stages.iter().find(|stage| !stage.is_complete()) {
            Some(stage) => Err(DecodeError::Truncated(stage.codec.name())),
            None => Ok(()),
        }
    }
}

struct Meter {
    most_bytes: usize,
    most_ratio: usize,
    wanted: usize,
    encoded: usize,
    decoded: usize,
    delivered: usize,
    cut: bool,
}

impl Meter {
    fn count(&mut self, decoded: usize) -> Result<(), DecodeError> {
        self.decoded += decoded;
        if self.decoded > self.most_bytes {
            return Err(DecodeError::TooLarge(self.most_bytes));
        }
        if self.decoded > RATIO_FLOOR && self.decoded / self.most_ratio.max(1) > self.encoded {
            return Err(DecodeError::Ratio(self.most_ratio));
        }
        Ok(())
    }

    fn deliver(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let room = self.wanted - self.delivered;
        let taken = &piece[..piece.len().min(room)];
        out.extend_from_slice(taken);
        self.delivered += taken.len();
        self.cut = piece.len() > room;
    }
}

/// Puts `input` through the stages until it is used up or `out` has `full` bytes; says how much was read. What a stage
/// gave waits there until the next has taken it, so that no stage runs ahead.
fn feed(
    stages: &mut [Stage],
    input: &[u8],
    meter: &mut Meter,
    full: usize,
    out: &mut Vec<u8>,
) -> Result<usize, DecodeError> {
    let mut read = 0;
    loop {
        if let Some(last) = stages.last_mut() {
            meter.deliver(&last.piece[std::mem::take(&mut last.ready)], out);
        }
        if meter.cut {
            return Ok(input.len());
        }
        if out.len() >= full {
            return Ok(read);
        }
        // The last stage that has something to do, so that what comes out of a stage finds the next one empty.
        let mut moved = None;
        for at in (0..stages.len()).rev() {
            let (before, rest) = stages.split_at_mut(at);
            let given = before.last().map_or(&input[read..], |stage| &stage.piece[stage.ready.clone()]);
            moved = rest[0].step(given, meter)?;
            if let Some(taken) = moved {
                match before.last_mut() {
                    Some(stage) => stage.ready.start += taken,
                    None => read += taken,
                }
                break;
            }
        }
        if moved.is_none() {
            return Ok(read);
        }
    }
}

struct Stage {
    codec: Codec,
    piece: Vec<u8>,
    /// What of the piece the next stage has not taken yet.
    ready: Range<usize>,
    /// The last step filled the whole piece, so that more may come out without more going in.
    full: bool,
    /// The stream is complete as far as it was read.
    at_end: bool,
    begun: bool,
}

impl Stage {
    /// How much of `input` was read; `None` when there is nothing to do.
    fn step(&mut self, input: &[u8], meter: &mut Meter) -> Result<Option<usize>, DecodeError> {
        if input.is_empty() && (self.at_end || !self.full) {
            return Ok(None);
        }
        self.begun |= !input.is_empty();
        if self.at_end {
            self.codec.restart(input)?;
        }
        let step = self.codec.step(input, &mut self.piece)?;
        if step.read == 0 && step.written == 0 && !input.is_empty() {
            return Err(DecodeError::Corrupt(self.codec.name()));
        }
        self.at_end = step.at_end;
        self.full = step.written == self.piece.len();
        self.ready = 0..step.written;
        meter.count(step.written)?;
        Ok(Some(step.read))
    }

    /// Nothing may have come out of the coding before it, which is then the empty body.
    fn is_complete(&self) -> bool {
        self.at_end || !self.begun
    }
}

struct Step {
    read: usize,
    written: usize,
    at_end: bool,
}

enum Codec {
    Gzip(Gzip),
    Deflate(Deflate),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(Zstd),
}

impl Codec {
    fn name(&self) -> &'static str {
        match self {
            Codec::Gzip(_) => "gzip",
            Codec::Deflate(_) => "deflate",
            Codec::Brotli(_) => "br",
            Codec::Zstd(_) => "zstd",
        }
    }

    /// More input follows the end of the stream: only gzip and zstd may begin another.
    fn restart(&mut self, input: &[u8]) -> Result<(), DecodeError> {
        match self {
            Codec::Zstd(_) => Ok(()),
            Codec::Gzip(gzip) => gzip.restart(input),
            Codec::Deflate(_) | Codec::Brotli(_) => Err(DecodeError::Trailing(self.name())),
        }
    }

    /// Takes some input and gives some output; neither need be used up.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        match self {
            Codec::Gzip(gzip) => gzip.step(input, output),
            Codec::Deflate(deflate) => deflate.step(input, output),
            Codec::Brotli(state) => brotli(state, input, output),
            Codec::Zstd(zstd) => zstd.step(input, output),
        }
    }
}

/// One step of an inflater.
fn inflate(
    inflate: &mut Decompress,
    name: &'static str,
    input: &[u8],
    output: &mut [u8],
) -> Result<Step, DecodeError> {
    let (read, written) = (inflate.total_in(), inflate.total_out());
    let status =
        inflate.decompress(input, output, FlushDecompress::None).map_err(|_| DecodeError::Corrupt(name))?;
    Ok(Step {
        read: (inflate.total_in() - read) as usize,
        written: (inflate.total_out() - written) as usize,
        at_end: status == Status::StreamEnd,
    })
}

/// gzip members, one after the other (RFC 1952 section 2.2). NUL bytes behind the last are
/// padding.
struct Gzip {
    inflate: Decompress,
    /// Empty members in a row.
    empty: u32,
    padding: bool,
}

impl Gzip {
    fn new() -> Gzip {
        Gzip { inflate: Decompress::new_gzip(15), empty: 0, padding: false }
    }

    fn restart(&mut self, input: &[u8]) -> Result<(), DecodeError> {
        match input.first() {
            Some(0) => self.padding = true,
            Some(0x1f) if !self.padding => {
                self.empty = if self.inflate.total_out() == 0 { self.empty + 1 } else { 0 };
                if self.empty == MOST_MEMBERS {
                    return Err(DecodeError::TooManyMembers);
                }
                self.inflate = Decompress::new_gzip(15);
            }
            _ => return Err(DecodeError::Trailing("gzip")),
        }
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        if self.padding {
            let padding = input.iter().take_while(|&&byte| byte == 0).count();
            return Ok(Step { read: padding, written: 0, at_end: true });
        }
        inflate(&mut self.inflate, "gzip", input, output)
    }
}

/// `deflate` is zlib (RFC 9110 section 8.4.1.2), and bare deflate where senders got that wrong;
/// receivers take both. The first two bytes tell.
enum Deflate {
    /// The first byte, when it came alone.
    Undecided(Option<u8>),
    Decided(Box<Decompress>),
}

impl Deflate {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        match self {
            Deflate::Undecided(held) => {
                let (first, second) = match (*held, input) {
                    (_, []) => return Ok(Step { read: 0, written: 0, at_end: false }),
                    (None, [first]) => {
                        *held = Some(*first);
                        return Ok(Step { read: 1, written: 0, at_end: false });
                    }
                    (None, [first, second, ..]) => (*first, *second),
                    (Some(first), [second, ..]) => (first, *second),
                };
                // RFC 1950 section 2.2: method 8, window up to 32 KiB, and a check sum.
                let zlib = first & 0x0f == 8
                    && first >> 4 <= 7
                    && (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31);
                let mut decompress = Box::new(Decompress::new(zlib));
                if held.is_some() {
                    inflate(&mut decompress, "deflate", &[first], &mut [])?;
                }
                *self = Deflate::Decided(decompress);
                self.step(input, output)
            }
            Deflate::Decided(decompress) => inflate(decompress, "deflate", input, output),
        }
    }
}

fn brotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    input: &[u8],
    output: &mut [u8],
) -> Result<Step, DecodeError> {
    let (mut left, mut read) = (input.len(), 0);
    let (mut room, mut written) = (output.len(), 0);
    let mut total = 0;
    let result = BrotliDecompressStream(
        &mut left,
        &mut read,
        input,
        &mut room,
        &mut written,
        output,
        &mut total,
        state,
    );
    match result {
        BrotliResult::ResultFailure => Err(DecodeError::Corrupt("br")),
        BrotliResult::ResultSuccess => Ok(Step { read, written, at_end: true }),
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {
            Ok(Step { read, written, at_end: false })
        }
    }
}

/// zstd frames, one after the other (RFC 8878 section 3).
struct Zstd(zstd::stream::raw::Decoder<'static>);

impl Zstd {
    /// `None` when the library has no memory for a context.
    fn new() -> Option<Zstd> {
        let mut decoder = zstd::stream::raw::Decoder::new().ok()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG)).ok()?;
        Some(Zstd(decoder))
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, DecodeError> {
        let mut input = InBuffer::around(input);
        let mut output = OutBuffer::around(output);
        let hint = self.0.run(&mut input, &mut output).map_err(|_| DecodeError::Corrupt("zstd"))?;
        Ok(Step { read: input.pos(), written: output.pos(), at_end: hint == 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    #[derive(Clone, Copy)]
    struct Caps {
        wanted: usize,
        bytes: usize,
        ratio: usize,
    }

    const CAPS: Caps = Caps { wanted: 1 << 20, bytes: 32 << 20, ratio: 100 };

    /// Written by another implementation of brotli.
    const BROTLI_PAGE: &str = "G58P+J0HdkzxOkLrHs1LHji6EpNLnxeFTGN7q00OrBHEIZ8ZHQD4cQI=";
    /// 4 MiB of the letter a.
    const BROTLI_BOMB: &str = "m///P/glwuKxQCD3/gc=";

    fn page() -> Vec<u8> {
        b"<p>hello brotli</p>\n".repeat(200)
    }

    fn encode(coding: &str, plain: &[u8]) -> Vec<u8> {
        let level = Compression::default();
        match coding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            "zlib" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            "raw" => {
                let mut encoder = DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            "zstd" => zstd::bulk::compress(plain, 3).unwrap(),
            "br" if plain == page() => STANDARD.decode(BROTLI_PAGE).unwrap(),
            // One uncompressed meta-block and the last, empty one (RFC 7932 section 9.2).
            "br" => {
                let header = (plain.len() as u32 - 1) << 4 | 1 << 20;
                [&header.to_le_bytes()[..3], plain, &[3]].concat()
            }
            _ => plain.to_vec(),
        }
    }

    /// Every coding with its name on the wire.
    const CODINGS: [(&str, &str); 5] =
        [("gzip", "gzip"), ("zlib", "deflate"), ("raw", "deflate"), ("zstd", "zstd"), ("br", "br")];

    fn decode(
        name: &str,
        encoded: &[u8],
        caps: Caps,
        piece: usize,
    ) -> (Vec<u8>, Result<(), DecodeError>, bool) {
        let mut decoder = Decoder::new(name, caps.bytes, caps.ratio, caps.wanted).unwrap().unwrap();
        let mut out = Vec::new();
        let mut outcome = Ok(());
        for chunk in encoded.chunks(piece) {
            outcome = outcome.and_then(|()| decoder.push(chunk, &mut out));
        }
        let outcome = outcome.and_then(|()| decoder.finish());
        (out, outcome, decoder.is_cut())
    }

    #[test]
    fn every_coding_decodes_at_every_chunk_size() {
        for (coding, name) in CODINGS {
            let encoded = encode(coding, &page());
            for piece in [1, 2, 3, 7, 64, encoded.len()] {
                let (out, outcome, cut) = decode(name, &encoded, CAPS, piece);
                assert_eq!((outcome, cut), (Ok(()), false), "{coding} by {piece}");
                assert!(out == page(), "{coding} by {piece}");
            }
        }
        let (out, outcome, _) = decode(" , identity, GZIP", &encode("gzip", b"plain"), CAPS, 2);
        assert_eq!((out, outcome), (b"plain".to_vec(), Ok(())));
    }

    #[test]
    fn stacked_codings_are_undone_in_reverse() {
        for (inner, inner_name) in CODINGS {
            for (outer, outer_name) in CODINGS {
                let encoded = encode(outer, &encode(inner, b"twice packed"));
                let (out, outcome, _) = decode(&format!("{inner_name}, {outer_name}"), &encoded, CAPS, 5);
                assert_eq!((out, outcome), (b"twice packed".to_vec(), Ok(())), "{inner} in {outer}");
            }
        }
    }

    #[test]
    fn codings_that_are_not_known_are_named() {
        for (value, code) in [
            ("compress", "coding_unknown"),
            ("gzip, aws-chunked", "coding_unknown"),
            ("gzip,br,gzip", "coding_stacked"),
        ] {
            assert_eq!(
                Decoder::new(value, 1, 1, 1).err().map(|unknown| unknown.code()),
                Some(code),
                "{value}"
            );
        }
        for (value, some) in [
            ("GZIP", true),
            ("x-gzip", true),
            ("identity, br", true),
            ("gzip,,", true),
            ("", false),
            ("identity", false),
        ] {
            assert_eq!(Decoder::new(value, 1, 1, 1).unwrap().is_some(), some, "{value}");
        }
    }

    #[test]
    fn a_truncated_body_gives_its_first_part_and_an_error() {
        let plain: Vec<u8> =
            (0..40_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (coding, name) in CODINGS {
            let plain = if coding == "br" { &plain[..60_000] } else { &plain[..] };
            let encoded = encode(coding, plain);
            let (out, outcome, _) = decode(name, &encoded[..encoded.len() / 2], CAPS, 1000);
            assert_eq!(outcome, Err(DecodeError::Truncated(name)), "{coding}");
            // zstd hands out whole blocks of up to 128 KiB.
            assert!(coding == "zstd" || out.len() > plain.len() / 4, "{coding}: {}", out.len());
            assert!(plain.starts_with(&out), "{coding}");
            let (_, outcome, _) = decode(name, b"", CAPS, 1);
            assert_eq!(outcome, Ok(()), "{coding}, empty");
        }
    }

    #[test]
    fn a_mislabelled_body_is_corrupt() {
        for (_, name) in CODINGS {
            for body in
                [&b"<html>plain text, not packed at all</html>"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff"]
            {
                let (_, outcome, _) = decode(name, body, CAPS, 9);
                assert_eq!(
                    outcome.map_err(DecodeError::code),
                    Err("coding_corrupt"),
                    "{name}: {}",
                    body.escape_ascii()
                );
            }
        }
        let (_, outcome, _) = decode("gzip", &encode("br", &page()), CAPS, 100);
        assert_eq!(outcome, Err(DecodeError::Corrupt("gzip")));
    }

    #[test]
    fn a_bomb_costs_no_more_than_its_caps() {
        let plain = vec![b'a'; 4 << 20];
        for (coding, name) in CODINGS {
            let encoded =
                if coding == "br" { STANDARD.decode(BROTLI_BOMB).unwrap() } else { encode(coding, &plain) };
            let wide = Caps { wanted: usize::MAX, ..CAPS };
            let (out, outcome, _) = decode(name, &encoded, wide, encoded.len());
            assert_eq!(outcome, Err(DecodeError::Ratio(100)), "{coding}");
            assert!(out.len() <= encoded.len() * 100 + RATIO_FLOOR, "{coding}");
            let (out, outcome, _) = decode(name, &encoded, Caps { bytes: 100_000, ..wide }, encoded.len());
            assert_eq!(outcome, Err(DecodeError::TooLarge(100_000)), "{coding}");
            assert!(out.len() <= 100_000, "{coding}");
            let (out, outcome, cut) = decode(name, &encoded, Caps { wanted: 1000, ..CAPS }, encoded.len());
            assert_eq!((out.len(), outcome, cut), (1000, Ok(()), true), "{coding}");
        }
        // What lies between two codings counts too.
        let twice = encode("gzip", &encode("gzip", &vec![0; 64 << 20]));
        let (_, outcome, _) = decode("gzip, gzip", &twice, Caps { wanted: usize::MAX, ..CAPS }, 4096);
        assert_eq!(outcome, Err(DecodeError::Ratio(100)));
    }

    #[test]
    fn what_comes_out_at_once_is_bounded_whatever_goes_in() {
        let plain = vec![b'a'; 4 << 20];
        let wide = Caps { wanted: usize::MAX, bytes: usize::MAX, ratio: usize::MAX };
        for (coding, name, packed) in CODINGS
            .map(|(coding, name)| (coding, name.to_owned(), encode(coding, &plain)))
            .into_iter()
            .filter(|(coding, ..)| *coding != "br")
            .chain([
                ("br", "br".to_owned(), STANDARD.decode(BROTLI_BOMB).unwrap()),
                ("twice", "gzip, zstd".to_owned(), encode("zstd", &encode("gzip", &plain))),
            ])
        {
            let mut decoder = Decoder::new(&name, wide.bytes, wide.ratio, wide.wanted).unwrap().unwrap();
            let (mut all, mut rest, mut steps) = (Vec::new(), &packed[..], 0);
            loop {
                let mut out = Vec::new();
                let read = decoder.push_some(rest, 50_000, &mut out).unwrap();
                assert!(out.len() < 50_000 + PIECE, "{coding}: {}", out.len());
                rest = &rest[read..];
                all.extend_from_slice(&out);
                steps += 1;
                if rest.is_empty() && out.len() < 50_000 {
                    break;
                }
            }
            assert!(all == plain && steps > 60, "{coding}: {} in {steps}", all.len());
            assert_eq!(decoder.finish(), Ok(()), "{coding}");
        }
    }

    #[test]
    fn exactly_what_is_wanted_is_whole_and_more_is_cut() {
        for (coding, name) in CODINGS {
            let encoded = encode(coding, &page());
            let length = page().len();
            for (wanted, cut) in [(length + 1, false), (length, false), (length - 1, true), (0, true)] {
                let (out, outcome, is_cut) = decode(name, &encoded, Caps { wanted, ..CAPS }, 50);
                assert_eq!((outcome, is_cut), (Ok(()), cut), "{coding} {wanted}");
                assert!(out == page()[..wanted.min(length)], "{coding} {wanted}");
            }
        }
    }

    #[test]
    fn what_follows_the_stream_is_told() {
        let gzip = encode("gzip", b"one");
        for piece in [1, 1000] {
            let members = [&gzip[..], &encode("gzip", b""), &encode("gzip", b"two"), &[0; 9]].concat();
            let (out, outcome, _) = decode("gzip", &members, CAPS, piece);
            assert_eq!((out, outcome), (b"onetwo".to_vec(), Ok(())), "{piece}");
            for (coding, name) in CODINGS.into_iter().filter(|(coding, _)| *coding != "zstd") {
                let trailing = [&encode(coding, &page())[..], b"junk"].concat();
                let (out, outcome, _) = decode(name, &trailing, CAPS, piece);
                assert_eq!(outcome, Err(DecodeError::Trailing(name)), "{coding} {piece}");
                assert!(out == page(), "{coding} {piece}");
            }
        }
        let frames = [encode("zstd", b"one"), encode("zstd", b"two")].concat();
        assert_eq!(decode("zstd", &frames, CAPS, 3).0, b"onetwo");
        let empty = encode("gzip", b"").repeat(2000);
        assert_eq!(decode("gzip", &empty, CAPS, 4096).1, Err(DecodeError::TooManyMembers));
        // Writers of blocks make as many as there is to write.
        let blocks = [encode("gzip", b"x"), encode("gzip", b"")].concat().repeat(2000);
        assert_eq!(decode("gzip", &blocks, CAPS, 4096), (b"x".repeat(2000), Ok(()), false));
    }

    #[test]
    fn an_error_stays() {
        let mut decoder = Decoder::new("gzip", CAPS.bytes, CAPS.ratio, CAPS.wanted).unwrap().unwrap();
        let mut out = Vec::new();
        let error = decoder.push(b"not gzip", &mut out);
        assert_eq!(error, Err(DecodeError::Corrupt("gzip")));
        assert_eq!(decoder.push(&encode("gzip", b"x"), &mut out), error);
        assert_eq!(decoder.finish(), error);
        assert!(out.is_empty());
    }

    /// A decoder lives across awaits.
    const fn is_send<T: Send>() {}
    const _: () = is_send::<Decoder>();
}
