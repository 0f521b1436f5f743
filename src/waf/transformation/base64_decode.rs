//! `base64_decode` decodes the standard alphabet up to the first byte outside of it (padding
//! included) and drops the rest, as strict decoders of ModSecurity's time do.
//! `base64_decode_ext` skips bytes outside the alphabet instead, as lenient decoders (PHP's)
//! do. A single left-over digit is dropped by both. ModSecurity 3 refuses more: a value without
//! its padding loses its end there.
//!
//! Example: `"transformations": ["base64_decode"]` turns `PHNjcmlwdD4=` into `<script>`.

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static BASE64_DECODE: Transformation =
    Transformation { name: "base64_decode", apply: strict, triggers: ByteSet::FULL };

pub(super) static BASE64_DECODE_EXT: Transformation =
    Transformation { name: "base64_decode_ext", apply: lenient, triggers: ByteSet::FULL };

fn strict(value: &[u8], out: &mut Vec<u8>) -> bool {
    decode(value.iter().map_while(|&byte| digit(byte)), out);
    out != value
}

fn lenient(value: &[u8], out: &mut Vec<u8>) -> bool {
    decode(value.iter().filter_map(|&byte| digit(byte)), out);
    out != value
}

fn decode(digits: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    out.clear();
    let (mut bits, mut count) = (0u32, 0u32);
    for digit in digits {
        // Six bits come in; whenever eight are there, the oldest eight leave.
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::super::tests::check;
    use super::*;

    #[test]
    fn strict_stops_and_lenient_skips_at_foreign_bytes() {
        check(
            "base64_decode",
            &[
                (b"", b""),
                (b"PHNjcmlwdD4=", b"<script>"),
                (b"PHNjcmlwdD4", b"<script>"),
                (b"YQ==YQ==", b"a"),
                (b"YWI YWI", b"ab"),
                (b"A", b""),
                (b"=", b""),
                (b"-_", b""),
                (b"////", b"\xff\xff\xff"),
            ],
        );
        check(
            "base64_decode_ext",
            &[
                (b"", b""),
                (b"PHN.jcml\r\nwdD4=", b"<script>"),
                (b"=PHNj\0cmlwdD4", b"<script>"),
                (b"!!", b""),
                (b"A!", b""),
            ],
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_encoded_comes_back(value in proptest::collection::vec(any::<u8>(), 1..100)) {
            let encoded = STANDARD.encode(&value);
            for apply in [strict, lenient] {
                let mut out = Vec::new();
                prop_assert!(apply(encoded.as_bytes(), &mut out));
                prop_assert_eq!(&out, &value);
            }
        }
    }
}
