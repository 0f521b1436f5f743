//! `sql_hex_decode`: SQL's hexadecimal texts. `0x` and the pairs of digits behind it become the
//! bytes that they stand for; `0x` without a pair, and a digit left over, stay. ModSecurity's own
//! drops the last byte of a value that holds no such text; that is not followed.
//!
//! Example: `"transformations": ["sql_hex_decode"]` turns `0x61646d696e` into `admin`.

use memchr::memchr2;

use crate::waf::bytes::ByteSet;

use super::{Transformation, hex_pair};

pub(super) static SQL_HEX_DECODE: Transformation =
    Transformation { name: "sql_hex_decode", apply, triggers: ByteSet::of(b"xX") };

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(mut at) = memchr2(b'x', b'X', value) else { return false };
    out.clear();
    let mut changed = false;
    let mut rest = value;
    loop {
        let (before, behind) = (&rest[..at], &rest[at + 1..]);
        let pairs = behind.chunks_exact(2).map_while(hex_pair).count();
        if let ([head @ .., b'0'], 1..) = (before, pairs) {
            out.extend_from_slice(head);
            out.extend(behind.chunks_exact(2).map_while(hex_pair));
            changed = true;
            rest = &behind[2 * pairs..];
        } else {
            out.extend_from_slice(&rest[..=at]);
            rest = behind;
        }
        match memchr2(b'x', b'X', rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    out.extend_from_slice(rest);
    changed
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn hexadecimal_texts_become_their_bytes() {
        check(
            "sql_hex_decode",
            &[
                (b"", b""),
                (b"abc", b"abc"),
                (b"0x414243", b"ABC"),
                (b"a=0X6a, 0x6A0", b"a=j, j0"),
                (b"x41 0x 0x4 0xg1 1x41", b"x41 0x 0x4 0xg1 1x41"),
                (b"0x0x41", b"0xA"),
                (b"00x41", b"0A"),
                (b"0x410x42", b"AB"),
                (b"0", b"0"),
                (b"x", b"x"),
            ],
        );
    }
}
