//! `hex_encode` writes each byte as two lower-case hexadecimal digits. `hex_decode` reads two
//! bytes as one; a last odd byte is dropped. A byte that is no digit does not stop it: digits
//! are computed as ModSecurity computes them (distance from `A` plus ten above `@`, distance
//! from `0` below), because rules were written against that.
//!
//! Example: `"transformations": ["hex_decode"]` turns `3c62` into `<b`.

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static HEX_DECODE: Transformation =
    Transformation { name: "hex_decode", apply: decode, triggers: ByteSet::FULL };

pub(super) static HEX_ENCODE: Transformation =
    Transformation { name: "hex_encode", apply: encode, triggers: ByteSet::FULL };

fn decode(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    out.extend(
        value.chunks_exact(2).map(|pair| digit(pair[0]).wrapping_mul(16).wrapping_add(digit(pair[1]))),
    );
    out != value
}

fn digit(byte: u8) -> u8 {
    if byte >= b'A' { (byte & 0xdf).wrapping_sub(b'A').wrapping_add(10) } else { byte.wrapping_sub(b'0') }
}

fn encode(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    out.resize(value.len() * 2, 0);
    hex::encode_to_slice(value, out).is_ok() && !value.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn two_digits_are_one_byte() {
        check(
            "hex_decode",
            &[(b"", b""), (b"3c62", b"<b"), (b"3C6", b"<"), (b"0", b""), (b"00fF", b"\0\xff"), (b"0z", b"#")],
        );
        check("hex_encode", &[(b"", b""), (b"\0a\xff", b"0061ff")]);
    }
}
