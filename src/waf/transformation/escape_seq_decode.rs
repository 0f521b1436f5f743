//! `escape_seq_decode`: the escape sequences of ANSI C: `\n` and its kin, `\xHH`, octal `\OOO`
//! (the low byte of it). The backslash of any other escape goes; one at the end stays.
//!
//! Example: `"transformations": ["escape_seq_decode"]` turns `\x63\141t` into `cat`.

use memchr::memchr;

use crate::waf::bytes::ByteSet;

use super::{Transformation, hex_pair};

pub(super) static ESCAPE_SEQ_DECODE: Transformation =
    Transformation { name: "escape_seq_decode", apply, triggers: ByteSet::of(b"\\") };

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(mut at) = memchr(b'\\', value) else { return false };
    out.clear();
    let mut rest = value;
    loop {
        out.extend_from_slice(&rest[..at]);
        let (byte, length) = escape(&rest[at + 1..]);
        out.push(byte);
        rest = &rest[at + 1 + length..];
        match memchr(b'\\', rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    out.extend_from_slice(rest);
    out != value
}

/// The byte that an escape stands for and its length behind the backslash.
fn escape(text: &[u8]) -> (u8, usize) {
    match text {
        [] => (b'\\', 0),
        [b'x' | b'X', digits @ ..] => hex_pair(digits).map_or((text[0], 1), |byte| (byte, 3)),
        [b'0'..=b'7', ..] => {
            let digits = text.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte));
            let (number, length) = digits.fold((0u16, 0), |(number, length), digit| {
                (number * 8 + u16::from(digit - b'0'), length + 1)
            });
            (number as u8, length)
        }
        [b'a', ..] => (0x07, 1),
        [b'b', ..] => (0x08, 1),
        [b'f', ..] => (0x0c, 1),
        [b'n', ..] => (b'\n', 1),
        [b'r', ..] => (b'\r', 1),
        [b't', ..] => (b'\t', 1),
        [b'v', ..] => (0x0b, 1),
        [other, ..] => (*other, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn every_escape_of_c_decodes() {
        check(
            "escape_seq_decode",
            &[
                (b"", b""),
                (b"a/b", b"a/b"),
                (b"\\x63\\141t", b"cat"),
                (b"\\X41\\x4g\\x4", b"Ax4gx4"),
                (b"\\0\\7\\12\\1234\\777\\8", b"\0\x07\nS4\xff8"),
                (b"\\a\\b\\f\\n\\r\\t\\v", b"\x07\x08\x0c\n\r\t\x0b"),
                (b"\\\\\\'\\\"\\?\\u0041", b"\\'\"?u0041"),
                (b"a\\", b"a\\"),
                (b"\\", b"\\"),
            ],
        );
    }
}
