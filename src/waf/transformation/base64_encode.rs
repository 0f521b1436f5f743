//! `base64_encode` writes the value in the standard alphabet, with padding and without line breaks.
//!
//! Example: `"transformations": ["base64_encode"]` turns `<b>` into `PGI+`.

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static BASE64_ENCODE: Transformation =
    Transformation { name: "base64_encode", apply, triggers: ByteSet::FULL };

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) const MAKES: ByteSet = ByteSet::of(ALPHABET).union(ByteSet::of(b"="));

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    for group in value.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            // Of a last group of one or two bytes, padding stands for what is not there.
            out.push(if place <= group.len() {
                ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]
            } else {
                b'='
            });
        }
    }
    !value.is_empty()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::super::tests::check;
    use super::*;

    #[test]
    fn three_bytes_are_four_letters() {
        check(
            "base64_encode",
            &[
                (b"", b""),
                (b"<b>", b"PGI+"),
                (b"a", b"YQ=="),
                (b"ab", b"YWI="),
                (b"\xff\xff\xff", b"////"),
                (b"Test\0Case", b"VGVzdABDYXNl"),
            ],
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_the_encoding_of_rfc_4648(value in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut out = Vec::new();
            apply(&value, &mut out);
            prop_assert_eq!(String::from_utf8(out), Ok(STANDARD.encode(&value)));
        }
    }
}
