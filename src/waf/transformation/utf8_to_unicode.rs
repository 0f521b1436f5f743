//! `utf8_to_unicode`: UTF-8 sequences of two to four bytes become `%uHHHH` (more digits where
//! four do not do), for `url_decode_uni` to read. Sequences that a strict decoder refuses as too
//! long for their character are converted all the same, because lenient applications decode
//! them. As in ModSecurity, NUL bytes go, and so does the first byte of a sequence that breaks off;
//! bytes that begin none stay. Unlike it, nothing is put behind a sequence that is too long.
//!
//! Example: `"transformations": ["utf8_to_unicode"]` turns the three bytes of a full width `<`
//! into `%uff1c`.

use std::io::Write;

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
    while let [first, behind @ ..] = rest {
        match sequence(*first, behind) {
            Some((code, length)) => {
                // A write to a vector does not fail.
                let _ = write!(out, "%u{code:04x}");
                rest = &rest[length..];
                changed = true;
            }
            None => {
                if matches!(first, 0 | 0xc0..=0xf4) {
                    changed = true;
                } else {
                    out.push(*first);
                }
                rest = behind;
            }
        }
    }
    changed
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
