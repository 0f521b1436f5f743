//! What RFC 9113 has a server refuse with a code of its own, and the library below refuses with another or lets
//! pass: lengths, settings, frames on a stream that the client has ended, pseudo-fields in a trailer section, field
//! blocks that break off. It keeps no header table, so an index that leads nowhere is the library's to refuse.

use std::collections::VecDeque;

use super::field_block::{Bad, FieldBlock};
use super::frames::*;

/// Error codes (RFC 9113 section 7).
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

/// How a client broke the protocol, and the code that says so. Each ends the connection, which RFC 9113 section 5.4
/// allows for those too that concern one stream: no client does these things by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    pub code: u32,
    pub why: &'static str,
}

/// Streams remembered after their end. What the library forgets is as old: with more of them ended since, it is
/// left to it.
const REMEMBERED: usize = 128;

/// The reader.
#[derive(Default)]
pub struct Strict {
    /// Streams that the client said it has ended, the latest last.
    ended: VecDeque<u32>,
    last_stream: u32,
    setting: [u8; 6],
    setting_have: usize,
    block: Option<Block>,
}

/// The field block under way.
struct Block {
    stream: u32,
    fields: FieldBlock,
    is_trailers: bool,
    /// Bytes of the frame's front that are no fields, and of its end.
    lead: usize,
    pad: usize,
}

impl Strict {
    pub fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// Looks at a piece of what the client sends, before the library does.
    pub fn sees(&mut self, event: &Event<'_>) -> Result<(), Violation> {
        match event {
            Event::Begins(header) => {
                sized(header)?;
                self.begins(header)
            }
            Event::Holds(header, bytes, left) => match header.kind {
                SETTINGS => self.settings(bytes),
                HEADERS | CONTINUATION => self.fields(header, bytes, *left),
                _ => Ok(()),
            },
        }
    }

    fn begins(&mut self, header: &Header) -> Result<(), Violation> {
        let Header { kind, flags, stream, len } = *header;
        // RFC 9113 section 6.10: nothing comes between the pieces of a field block, and nothing continues none.
        let continues = self.block.as_ref().map(|block| block.stream);
        if continues != (kind == CONTINUATION).then_some(stream) {
            return violation(
                PROTOCOL_ERROR,
                "a field block that is broken off, or continued without being begun",
            );
        }
        if kind == PUSH_PROMISE {
            return violation(PROTOCOL_ERROR, "a PUSH_PROMISE from a client");
        }
        // RFC 9113 section 5.1: nothing but PRIORITY, WINDOW_UPDATE and RST_STREAM goes on a stream that one has ended.
        if matches!(kind, DATA | HEADERS) && self.ended.contains(&stream) {
            return violation(STREAM_CLOSED, "a frame on a stream that the client has ended");
        }
        if kind == RST_STREAM || (matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0) {
            if self.ended.len() == REMEMBERED {
                self.ended.pop_front();
            }
            self.ended.push_back(stream);
        }
        match kind {
            SETTINGS => self.setting_have = 0,
            HEADERS => {
                self.block = Some(Block {
                    stream,
                    fields: FieldBlock::default(),
                    is_trailers: stream <= self.last_stream,
                    lead: usize::from(flags & PADDED != 0) + if flags & PRIORITISED != 0 { 5 } else { 0 },
                    pad: 0,
                });
                self.last_stream = self.last_stream.max(stream);
            }
            _ => {}
        }
        if len == 0 && matches!(kind, HEADERS | CONTINUATION) { self.fields(header, &[], 0) } else { Ok(()) }
    }

    fn settings(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        for byte in bytes {
            self.setting[self.setting_have] = *byte;
            self.setting_have = (self.setting_have + 1) % 6;
            let [0, 4, value @ ..] = self.setting else { continue };
            // RFC 9113 section 6.5.2; the library knows it and has another code for it.
            if self.setting_have == 0 && u32::from_be_bytes(value) > 0x7fff_ffff {
                return violation(FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE above its bound");
            }
        }
        Ok(())
    }

    fn fields(&mut self, header: &Header, bytes: &[u8], left: usize) -> Result<(), Violation> {
        let Some(block) = &mut self.block else { return Ok(()) };
        let at = header.len - left - bytes.len();
        if header.kind == HEADERS && header.flags & PADDED != 0 && at == 0 && !bytes.is_empty() {
            block.pad = usize::from(bytes[0]);
            if block.lead + block.pad > header.len {
                return violation(PROTOCOL_ERROR, "padding that is longer than its frame");
            }
        }
        let front = block.lead.min(bytes.len());
        block.lead -= front;
        let rest = &bytes[front..];
        let fields = &rest[..rest.len().min((rest.len() + left).saturating_sub(block.pad))];
        let read = block.fields.read(fields);
        let whole = left == 0 && header.flags & END_HEADERS != 0;
        // RFC 9113 section 8.1: the library leaves them out and goes on. First, because it comes first: what cannot be
        // decoded is read no further.
        if block.is_trailers && block.fields.has_pseudo() {
            return violation(PROTOCOL_ERROR, "a pseudo-field in a trailer section");
        }
        if read == Err(Bad) || (whole && !block.fields.is_whole()) {
            return violation(COMPRESSION_ERROR, "a field block that cannot be decoded");
        }
        if left == 0 {
            (block.lead, block.pad) = (0, 0);
        }
        if whole {
            self.block = None;
        }
        Ok(())
    }
}

fn violation(code: u32, why: &'static str) -> Result<(), Violation> {
    Err(Violation { code, why })
}

/// Lengths that a frame's kind prescribes (RFC 9113 section 6).
fn sized(header: &Header) -> Result<(), Violation> {
    let fits = match header.kind {
        PRIORITY => header.len == 5,
        RST_STREAM | WINDOW_UPDATE => header.len == 4,
        PING => header.len == 8,
        SETTINGS if header.flags & ACK != 0 => header.len == 0,
        SETTINGS => header.len.is_multiple_of(6),
        _ => true,
    };
    if fits { Ok(()) } else { violation(FRAME_SIZE_ERROR, "a frame whose length its kind does not allow") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code that frames end with, however they are cut.
    fn code(frames: &[Vec<u8>]) -> Option<u32> {
        let bytes = frames.concat();
        let codes = [1, 2, 5, 11, 1000].map(|cut| {
            let (mut reader, mut strict) = (Reader::default(), Strict::default());
            let mut pieces = bytes.chunks(cut);
            pieces.find_map(|piece| reader.read(piece, |event| strict.sees(&event)).err()).map(|v| v.code)
        });
        assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
        codes[0]
    }

    const BLOCK: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];

    fn headers(flags: u8, stream: u32) -> Vec<u8> {
        frame(HEADERS, flags, stream, BLOCK)
    }

    #[test]
    fn lengths_are_as_their_kind_prescribes() {
        for (kind, right) in [(PRIORITY, 5), (RST_STREAM, 4), (WINDOW_UPDATE, 4), (PING, 8)] {
            for len in 0..12 {
                let expected = (len != right).then_some(FRAME_SIZE_ERROR);
                assert_eq!(code(&[frame(kind, 0, 1, &vec![0; len])]), expected, "{kind} {len}");
            }
        }
        assert_eq!(code(&[frame(SETTINGS, ACK, 0, &[0; 6])]), Some(FRAME_SIZE_ERROR));
        assert_eq!(code(&[frame(SETTINGS, 0, 0, &[0; 3])]), Some(FRAME_SIZE_ERROR));
        assert_eq!(code(&[frame(SETTINGS, ACK, 0, &[]), frame(SETTINGS, 0, 0, &[0; 12])]), None);
        assert_eq!(code(&[frame(0x42, 0, 0, &[0; 7])]), None);
        assert_eq!(code(&[frame(PUSH_PROMISE, 0, 1, &[0, 0, 0, 2])]), Some(PROTOCOL_ERROR));
    }

    #[test]
    fn a_window_has_a_bound() {
        let settings = |value: u32| {
            frame(SETTINGS, 0, 0, &[&[0, 3, 0xff, 0xff, 0xff, 0xff, 0, 4][..], &value.to_be_bytes()].concat())
        };
        assert_eq!(code(&[settings(0x7fff_ffff)]), None);
        assert_eq!(code(&[settings(0x8000_0000)]), Some(FLOW_CONTROL_ERROR));
    }

    #[test]
    fn a_stream_that_the_client_ended_takes_no_more() {
        let (open, ended) = (headers(END_HEADERS, 1), headers(END_HEADERS | END_STREAM, 1));
        let data = |flags| frame(DATA, flags, 1, b"x");
        let reset = frame(RST_STREAM, 0, 1, &[0; 4]);
        assert_eq!(code(&[open.clone(), data(0), data(END_STREAM)]), None);
        assert_eq!(code(&[ended.clone(), data(0)]), Some(STREAM_CLOSED));
        assert_eq!(code(&[open.clone(), data(END_STREAM), data(0)]), Some(STREAM_CLOSED));
        assert_eq!(code(&[open.clone(), reset.clone(), data(0)]), Some(STREAM_CLOSED));
        assert_eq!(code(&[open, reset.clone(), ended.clone()]), Some(STREAM_CLOSED));
        let window = frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
        let priority = frame(PRIORITY, 0, 1, &[0; 5]);
        assert_eq!(code(&[ended.clone(), window, priority, reset]), None);
        let others = (1..=REMEMBERED as u32).map(|n| headers(END_HEADERS | END_STREAM, 2 * n + 1));
        let late: Vec<_> = std::iter::once(ended).chain(others).chain([data(0)]).collect();
        assert_eq!(code(&late), None, "so old a stream is the library's to know");
    }

    #[test]
    fn trailers_have_no_pseudo_fields() {
        let open = headers(END_HEADERS, 1);
        let trailers =
            |block: &[u8]| code(&[open.clone(), frame(HEADERS, END_HEADERS | END_STREAM, 1, block)]);
        assert_eq!(trailers(&[0x00, 1, b'x', 1, b'y']), None);
        for block in [
            &[0x82][..],
            &[0x44, 1, b'/'],
            &[0x04, 1, b'/'],
            &[0x14, 1, b'/'],
            &[0x00, 2, b':', b'x', 1, b'y'],
            // `:` is 1011100 in Huffman's code.
            &[0x40, 0x81, 0xb9, 1, b'y'],
            &[0x00, 1, b'x', 1, b'y', 0x83],
        ] {
            assert_eq!(trailers(block), Some(PROTOCOL_ERROR), "{block:x?}");
        }
        let parts = [
            open.clone(),
            frame(HEADERS, END_STREAM, 1, &[0x00, 2]),
            frame(CONTINUATION, END_HEADERS, 1, b":x\x01y"),
        ];
        assert_eq!(code(&parts), Some(PROTOCOL_ERROR));
    }

    #[test]
    fn a_field_block_is_whole_and_padding_is_none_of_it() {
        for end in 1..BLOCK.len() {
            let cut = &BLOCK[..end];
            let whole = end <= 3;
            let seen = code(&[frame(HEADERS, END_HEADERS, 1, cut)]);
            assert_eq!(seen, (!whole).then_some(COMPRESSION_ERROR), "{end}");
            let rest = frame(CONTINUATION, END_HEADERS, 1, &BLOCK[end..]);
            assert_eq!(code(&[frame(HEADERS, 0, 1, cut), rest]), None, "{end}");
        }
        let padded = [&[3][..], BLOCK, &[0x40, 0, 0]].concat();
        assert_eq!(code(&[frame(HEADERS, END_HEADERS | PADDED, 1, &padded)]), None);
        let both = [&[2, 0x80, 0, 0, 0, 16][..], BLOCK, &[0xff, 0xff]].concat();
        assert_eq!(code(&[frame(HEADERS, END_HEADERS | PADDED | PRIORITISED, 1, &both)]), None);
        let too_much = [&[7][..], BLOCK].concat();
        assert_eq!(code(&[frame(HEADERS, END_HEADERS | PADDED, 1, &too_much)]), Some(PROTOCOL_ERROR));
        assert_eq!(code(&[frame(HEADERS, END_HEADERS, 1, &[0x80])]), Some(COMPRESSION_ERROR));
        assert_eq!(code(&[frame(HEADERS, END_HEADERS, 1, &[0xff; 9])]), Some(COMPRESSION_ERROR));
        assert_eq!(code(&[frame(HEADERS, 0, 1, &[0x40]), frame(CONTINUATION, END_HEADERS, 1, &[])]), Some(9));
        let (open, more) = (frame(HEADERS, 0, 1, BLOCK), frame(CONTINUATION, END_HEADERS, 1, BLOCK));
        for between in [frame(PING, 0, 0, &[0; 8]), frame(CONTINUATION, 0, 3, BLOCK), headers(END_HEADERS, 3)]
        {
            assert_eq!(code(&[open.clone(), between, more.clone()]), Some(PROTOCOL_ERROR));
        }
        assert_eq!(code(&[open, more.clone(), more]), Some(PROTOCOL_ERROR));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Frames of any kind, right or wrong, and whatever is behind them.
        #[test]
        fn what_is_seen_does_not_depend_on_the_cuts(
            frames in proptest::collection::vec(
                (0u8..11, proptest::prelude::any::<u8>(), 0u32..6, proptest::collection::vec(0u8.., 0..24)),
                0..12,
            ),
            rest in proptest::collection::vec(0u8.., 0..64),
        ) {
            let frames = frames.iter().map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload));
            code(&frames.chain([rest]).collect::<Vec<_>>());
        }
    }
}
