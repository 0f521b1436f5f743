//! `js_decode`: JavaScript escapes. `\uHHHH` becomes its low byte (full width ASCII, FF01 to
//! FF5E, its ASCII character), `\xHH` and octal `\OOO` their byte, `\n` and its kin the control
//! character; the backslash of any other escape goes. A backslash at the end stays.
//!
//! Example: `"transformations": ["js_decode"]` turns `\x61lert\u0028` into `alert(`.

use memchr::memchr;

use crate::waf::bytes::ByteSet;

use super::{Transformation, hex_pair};

pub(super) static JS_DECODE: Transformation =
    Transformation { name: "js_decode", apply, triggers: ByteSet::of(b"\\") };

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
        [b'u', digits @ ..] if digits.len() >= 4 => match (hex_pair(digits), hex_pair(&digits[2..])) {
            (Some(high), Some(low)) => (super::narrow_full_width(high, low), 5),
            _ => (b'u', 1),
        },
        [b'x', digits @ ..] => hex_pair(digits).map_or((b'x', 1), |byte| (byte, 3)),
        [b'0'..=b'7', ..] => octal(text),
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

/// Up to three octal digits; only two when three would exceed a byte.
fn octal(text: &[u8]) -> (u8, usize) {
    let digits = text.iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    let digits = if digits == 3 && text[0] > b'3' { 2 } else { digits };
    (text[..digits].iter().fold(0, |number, digit| number * 8 + (digit - b'0')), digits)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn every_escape_of_javascript_decodes() {
        check(
            "js_decode",
            &[
                (b"", b""),
                (b"a/b", b"a/b"),
                (b"\\x61lert\\u0028", b"alert("),
                (b"\\uff1c\\uFF1e\\uff5f", b"<>_"),
                (b"\\u1234", b"4"),
                (b"\\u00", b"u00"),
                (b"\\u00zz", b"u00zz"),
                (b"\\xg1\\x4", b"xg1x4"),
                (b"\\0\\12\\141\\400\\777\\8", b"\0\na 0?78"),
                (b"\\a\\b\\f\\n\\r\\t\\v", b"\x07\x08\x0c\n\r\t\x0b"),
                (b"\\\\\\'\\\"\\?", b"\\'\"?"),
                (b"a\\", b"a\\"),
                (b"\\\\", b"\\"),
            ],
        );
    }
}
