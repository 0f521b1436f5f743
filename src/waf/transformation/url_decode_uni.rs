//! `url_decode_uni`: as `url_decode`, and `%uHHHH` becomes the one byte that a Windows code
//! page conversion makes of it: look-alikes of ASCII characters become those characters (full
//! width forms, typographic quotes, division slashes), other characters their low byte.
//!
//! Example: `"transformations": ["url_decode_uni"]` turns `%u2019+or%2b1` into `' or+1`.

use memchr::memchr2;
use unicode_normalization::char::decompose_compatible;

use crate::waf::bytes::ByteSet;

use super::{Transformation, hex_pair};

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
    if high == 0 && low < 0x80 {
        return low;
    }
    let unit = u32::from(high) << 8 | u32::from(low);
    if let Some((_, ascii)) = LOOK_ALIKES.iter().find(|(code, _)| *code == unit) {
        return *ascii;
    }
    let mut base = None;
    if let Some(character) = char::from_u32(unit) {
        decompose_compatible(character, |part| {
            base.get_or_insert(part);
        });
    }
    match base {
        Some(base) if base.is_ascii() => base as u8,
        _ => low,
    }
}

/// Characters that conversions to ASCII map to punctuation although Unicode does not decompose
/// them to it. Letters with marks and full width forms come from the decomposition.
const LOOK_ALIKES: &[(u32, u8)] = &[
    (0x00a6, b'|'),
    (0x00ab, b'<'),
    (0x00ad, b'-'),
    (0x00b4, b'\''),
    (0x00b7, b'.'),
    (0x00b8, b','),
    (0x00bb, b'>'),
    (0x00d7, b'x'),
    (0x01c0, b'|'),
    (0x02b9, b'\''),
    (0x02ba, b'"'),
    (0x02bc, b'\''),
    (0x02c4, b'^'),
    (0x02c6, b'^'),
    (0x02c8, b'\''),
    (0x02cb, b'`'),
    (0x02cd, b'_'),
    (0x02dc, b'~'),
    (0x0300, b'`'),
    (0x0302, b'^'),
    (0x0303, b'~'),
    (0x030e, b'"'),
    (0x0331, b'_'),
    (0x037e, b';'),
    (0x2010, b'-'),
    (0x2011, b'-'),
    (0x2012, b'-'),
    (0x2013, b'-'),
    (0x2014, b'-'),
    (0x2015, b'-'),
    (0x2018, b'\''),
    (0x2019, b'\''),
    (0x201a, b'\''),
    (0x201b, b'\''),
    (0x201c, b'"'),
    (0x201d, b'"'),
    (0x201e, b'"'),
    (0x201f, b'"'),
    (0x2032, b'\''),
    (0x2033, b'"'),
    (0x2035, b'`'),
    (0x2039, b'<'),
    (0x203a, b'>'),
    (0x2044, b'/'),
    (0x2212, b'-'),
    (0x2215, b'/'),
    (0x2216, b'\\'),
    (0x2217, b'*'),
    (0x2223, b'|'),
    (0x2236, b':'),
    (0x223c, b'~'),
    (0x226a, b'<'),
    (0x226b, b'>'),
    (0x2329, b'<'),
    (0x232a, b'>'),
    (0x2758, b'|'),
    (0x3008, b'<'),
    (0x3009, b'>'),
    (0x301a, b'['),
    (0x301b, b']'),
    (0x301d, b'"'),
    (0x301e, b'"'),
];

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
                (b"%uff1cscript%uff1e", b"<script>"),
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
