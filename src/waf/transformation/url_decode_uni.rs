//! `url_decode_uni`: as `url_decode`, and `%uHHHH` becomes the one byte that Windows makes of it
//! when it converts to ASCII (code page 20127, which ModSecurity's recommended configuration
//! names): look-alikes of ASCII characters become those characters (full width forms,
//! typographic quotes, letters with marks), other characters their low byte.
//!
//! Example: `"transformations": ["url_decode_uni"]` turns `%u2019+or%2b1` into `' or+1`.

use memchr::memchr2;

use crate::waf::bytes::ByteSet;

use super::best_fit::best_fit;
use super::{Transformation, hex_pair, narrow_full_width};

pub(super) static URL_DECODE_UNI: Transformation =
    Transformation { name: "url_decode_uni", apply, triggers: ByteSet::of(b"%+") };

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr2(b'%', b'+', value) else { return false };
    out.clear();
    let mut changed = false;
    let mut rest = value;
    let mut next = Some(first);
    while let Some(at) = next {
        out.extend_from_slice(&rest[..at]);
        let (byte, taken) = match &rest[at..] {
            [b'+', ..] => (b' ', 1),
            [b'%', b'u' | b'U', digits @ ..] => {
                match (hex_pair(digits), digits.get(2..).and_then(hex_pair)) {
                    (Some(high), Some(low)) => (narrow(high, low), 6),
                    _ => (b'%', 0),
                }
            }
            [_, digits @ ..] => hex_pair(digits).map_or((b'%', 0), |byte| (byte, 3)),
            [] => break,
        };
        out.push(byte);
        changed |= taken > 0;
        // An escape that is none: the percent sign stands for itself.
        rest = &rest[at + taken.max(1)..];
        next = memchr2(b'%', b'+', rest);
    }
    out.extend_from_slice(rest);
    changed
}

/// The byte that stands in for a UTF-16 unit.
fn narrow(high: u8, low: u8) -> u8 {
    best_fit(u16::from_be_bytes([high, low])).unwrap_or_else(|| narrow_full_width(high, low))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn both_escapes_decode_once_and_broken_ones_stay() {
        check(
            "url_decode_uni",
            &[
                (b"", b""),
                (b"plain", b"plain"),
                (b"a+%20%41", b"a  A"),
                (b"%u0041%U0042", b"AB"),
                (b"%u00e9", b"e"),
                (b"%u1234", b"4"),
                (b"%u00ff%u0080", b"y\x80"),
                (b"%uff1cscript%uff1e%uff1f", b"<script>?"),
                (b"%u2019%u02bc%u00b4", b"'''"),
                (b"%u2215%u2216%uff0f%uff3c", b"/\\/\\"),
                (b"%u3008b%u2329", b"<b<"),
                (b"%u012", b"%u012"),
                (b"%u00zz%41", b"%u00zzA"),
                (b"%u%u0041", b"%uA"),
                (b"%u", b"%u"),
                (b"%%41", b"%A"),
                (b"%4", b"%4"),
                (b"%", b"%"),
                (b"%25u0041", b"%u0041"),
                (b"%u0000", b"\0"),
                (b"%ud83d", b"="),
            ],
        );
    }
}
