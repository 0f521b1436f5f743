//! `css_decode`: CSS escapes. A backslash and one to six hexadecimal digits become one byte, the
//! low byte of the number (full width ASCII its ASCII character), and take one white space byte
//! behind them along; a backslash before a line feed goes with it, before anything else or at
//! the end it goes alone.
//!
//! Example: `"transformations": ["css_decode"]` turns `ja\76 ascript` into `javascript`.

use memchr::memchr;

use crate::waf::bytes::ByteSet;

use super::{SPACE, Transformation, hex_digit};

pub(super) static CSS_DECODE: Transformation =
    Transformation { name: "css_decode", apply, triggers: ByteSet::of(b"\\") };

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(mut at) = memchr(b'\\', value) else { return false };
    out.clear();
    let mut rest = value;
    loop {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.iter().take(6).map_while(|&byte| hex_digit(byte)).count();
        match rest {
            [] => break,
            [b'\n', behind @ ..] => rest = behind,
            [byte, behind @ ..] if digits == 0 => {
                out.push(*byte);
                rest = behind;
            }
            _ => {
                let number = rest[..digits]
                    .iter()
                    .filter_map(|&byte| hex_digit(byte))
                    .fold(0u32, |number, digit| number << 4 | u32::from(digit));
                let [_, plane, high, low] = number.to_be_bytes();
                // Only a number of the basic plane is a full width form.
                out.push(super::narrow_full_width(if plane == 0 { high } else { 0 }, low));
                rest = &rest[digits..];
                if let [space, behind @ ..] = rest
                    && SPACE.contains(*space)
                {
                    rest = behind;
                }
            }
        }
        match memchr(b'\\', rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    out.extend_from_slice(rest);
    // An escape is always longer than what it stands for.
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn escapes_of_any_length_become_one_byte() {
        check(
            "css_decode",
            &[
                (b"", b""),
                (b"a/b", b"a/b"),
                (b"ja\\76 ascript", b"javascript"),
                (b"\\6a\\00006aX\\06a\\t", b"jjXjt"),
                (b"\\a", b"\n"),
                (b"\\61  b", b"a b"),
                (b"\\ff1c\\0ff1c\\00ff1c\\10ff1c ", b"<<<\x1c"),
                (b"\\1234", b"4"),
                (b"\\0000610", b"a0"),
                (b"e\\xpression\\\n(", b"expression("),
                (b"a\\", b"a"),
                (b"\\\\", b"\\"),
                (b"\\", b""),
            ],
        );
    }
}
