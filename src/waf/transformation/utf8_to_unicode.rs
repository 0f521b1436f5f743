//! `utf8_to_unicode`: UTF-8 sequences of two to four bytes become `%uHHHH` (more digits where
//! four do not do), for `url_decode_uni` to read. Sequences that a strict decoder refuses as too
//! long for their character are converted all the same, because lenient applications decode
//! them. As in ModSecurity, NUL bytes go, and so does the first byte of a sequence that breaks off;
//! bytes that begin none stay. Unlike it, nothing is put behind a sequence that is too long.
//!
//! Example: `"transformations": ["utf8_to_unicode"]` turns the three bytes of a full width `<`
//! into `%uff1c`.

use memchr::memchr;

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static UTF8_TO_UNICODE: Transformation = Transformation {
    name: "utf8_to_unicode",
    apply,
    triggers: ByteSet::range(0xc0, 0xf7).union(ByteSet::of(b"\0")),
};

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    if value.is_ascii() && memchr(0, value).is_none() {
        return false;
    }
    out.clear();
    let mut changed = false;
    let mut rest = value;
    while let Some(at) = UTF8_TO_UNICODE.triggers.find(rest) {
        out.extend_from_slice(&rest[..at]);
        let (first, behind) = (rest[at], &rest[at + 1..]);
        rest = match sequence(first, behind) {
            Some((code, length)) => {
                escape(code, out);
                changed = true;
                &behind[length - 1..]
            }
            None => {
                if matches!(first, 0 | 0xc0..=0xf4) {
                    changed = true;
                } else {
                    out.push(first);
                }
                behind
            }
        };
    }
    out.extend_from_slice(rest);
    changed
}

/// `%u` and four digits or, if need be, more.
fn escape(code: u32, out: &mut Vec<u8>) {
    let digit = |place: u32| b"0123456789abcdef"[(code >> (4 * place) & 15) as usize];
    out.extend_from_slice(b"%u");
    for place in (4..6).filter(|place| code >> (4 * place) != 0).rev() {
        out.push(digit(place));
    }
    out.extend_from_slice(&[digit(3), digit(2), digit(1), digit(0)]);
}

/// The code point of the sequence that begins with `first`, and its length.
fn sequence(first: u8, behind: &[u8]) -> Option<(u32, usize)> {
    let (more, head) = match first {
        0xc0..=0xdf => (1, first & 0x1f),
        0xe0..=0xef => (2, first & 0x0f),
        0xf0..=0xf7 => (3, first & 0x07),
        _ => return None,
    };
    let tail = behind.get(..more)?;
    let mut code = u32::from(head);
    for &byte in tail {
        if byte & 0xc0 != 0x80 {
            return None;
        }
        code = code << 6 | u32::from(byte & 0x3f);
    }
    Some((code, more + 1))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn sequences_become_escapes_and_what_breaks_off_goes() {
        check(
            "utf8_to_unicode",
            &[
                (b"", b""),
                (b"abc%u", b"abc%u"),
                ("\u{e4}b\u{ff1c}".as_bytes(), b"%u00e4b%uff1c"),
                ("\u{1f600}".as_bytes(), b"%u1f600"),
                ("\u{10ffff}".as_bytes(), b"%u10ffff"),
                (b"\xc0\xaf", b"%u002f"),
                (b"\xe0\x80\xaf", b"%u002f"),
                (b"\xed\xa0\x80", b"%ud800"),
                (b"\x80\xf5\xff", b"\x80\xf5\xff"),
                (b"\xff\xc3", b"\xff"),
                (b"\xc3a", b"a"),
                (b"\xe2\x82", b"\x82"),
                (b"\xe2\xc3\xa4", b"%u00e4"),
                (b"a\0b", b"ab"),
            ],
        );
    }
}
