//! `url_encode`: a space becomes `+`; letters, digits and `*` stay; any other byte becomes `%` and
//! two lower-case hexadecimal digits.
//!
//! Example: `"transformations": ["url_encode"]` turns `a b/c` into `a+b%2fc`.

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static URL_ENCODE: Transformation =
    Transformation { name: "url_encode", apply, triggers: KEPT.complement() };

const KEPT: ByteSet = ByteSet::range(b'0', b'9')
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'a', b'z'))
    .union(ByteSet::of(b"*"));

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = URL_ENCODE.triggers.find(value) else { return false };
    out.clear();
    out.extend_from_slice(&value[..first]);
    for &byte in &value[first..] {
        if KEPT.contains(byte) {
            out.push(byte);
        } else if byte == b' ' {
            out.push(b'+');
        } else {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn only_letters_digits_and_stars_stay() {
        check(
            "url_encode",
            &[
                (b"", b""),
                (b"aZ09*", b"aZ09*"),
                (b"a b/c", b"a+b%2fc"),
                (b"-_.~%+", b"%2d%5f%2e%7e%25%2b"),
                (b"\0\xff", b"%00%ff"),
            ],
        );
    }
}
