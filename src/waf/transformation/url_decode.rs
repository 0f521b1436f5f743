//! `url_decode`: `%HH` becomes its byte and `+` a space. A `%` without two hexadecimal digits
//! behind it stays as it is.
//!
//! Example: `"transformations": ["url_decode"]` turns `a%27+or` into `a' or`.

use memchr::memchr2;

use crate::waf::bytes::ByteSet;

use super::{Transformation, hex_pair};

pub(super) static URL_DECODE: Transformation =
    Transformation { name: "url_decode", apply: url_decode, triggers: ByteSet::of(b"%+") };

/// Decodes `value` into `out`; true when that changed anything. The body and query parsers
/// decode with this too, so that rules and arguments agree on what an escape is.
pub(crate) fn url_decode(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = memchr2(b'%', b'+', value) else { return false };
    out.clear();
    let mut changed = false;
    let mut rest = value;
    let mut next = Some(first);
    while let Some(at) = next {
        out.extend_from_slice(&rest[..at]);
        if rest[at] == b'+' {
            out.push(b' ');
            changed = true;
            rest = &rest[at + 1..];
        } else if let Some(byte) = hex_pair(&rest[at + 1..]) {
            out.push(byte);
            changed = true;
            rest = &rest[at + 3..];
        } else {
            out.push(b'%');
            rest = &rest[at + 1..];
        }
        next = memchr2(b'%', b'+', rest);
    }
    out.extend_from_slice(rest);
    changed
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn valid_escapes_decode_once_and_others_stay() {
        check(
            "url_decode",
            &[
                (b"", b""),
                (b"plain", b"plain"),
                (b"a+b%20c", b"a b c"),
                (b"%41%6a%6A", b"Ajj"),
                (b"%2541", b"%41"),
                (b"%", b"%"),
                (b"%4", b"%4"),
                (b"%4g%zz%%41", b"%4g%zz%A"),
                (b"%00%ff", b"\0\xff"),
                (b"%u0041", b"%u0041"),
            ],
        );
    }
}
