//! JSON and XML in UTF-16: parsers of both take it (RFC 8259's forerunners had it, XML 1.0 appendix F asks for it), so
//! what stands in it must not pass unread.

/// The text in UTF-8, if it begins as UTF-16 does: with a byte order mark, or with two ASCII characters.
pub(super) fn narrowed(bytes: &[u8]) -> Option<Vec<u8>> {
    let (little, text) = match bytes {
        [0xff, 0xfe, text @ ..] => (true, text),
        [0xfe, 0xff, text @ ..] => (false, text),
        [1..=0x7f, 0, 1..=0x7f, 0, ..] => (true, bytes),
        [0, 1..=0x7f, 0, 1..=0x7f, ..] => (false, bytes),
        _ => return None,
    };
    let unit = |pair: &[u8; 2]| if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) };
    let (pairs, _) = text.as_chunks::<2>();
    let mut out = Vec::with_capacity(text.len() / 2);
    for character in char::decode_utf16(pairs.iter().map(unit)) {
        let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_are_read_with_and_without_a_mark() {
        let text = "{\"a\": \"\u{e4}\u{1f600}\"}";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            little.clone(),
            big.clone(),
            [b"\xff\xfe", &little[..]].concat(),
            [b"\xfe\xff", &big[..]].concat(),
        ] {
            assert_eq!(narrowed(&bytes).as_deref(), Some(text.as_bytes()), "{bytes:?}");
        }
        for other in [&b""[..], b"{}", b"{\"a\":1}", b"\0\0\0\0", b"\xef\xbb\xbf{}"] {
            assert_eq!(narrowed(other), None, "{other:?}");
        }
    }
}
