//! JSON and XML in UTF-16 and UTF-32. RFC 8259 forbids them between strangers and XML 1.0 allows
//! them; readers of both (.NET, Jackson, Python, libxml2) take them, so rules see them as UTF-8.

use std::borrow::Cow;

/// How wide a unit is and whether its lower end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Utf16(bool),
    Utf32(bool),
}

const LITTLE: bool = true;

impl Form {
    /// The form that the first bytes of a text say, and how long its byte order mark is. JSON and XML
    /// begin with ASCII, so zeroes tell where there is no mark (XML 1.0 appendix F).
    pub fn of(bytes: &[u8]) -> Option<(Form, usize)> {
        let form = match bytes {
            [first, 0, 0, 0, ..] if *first != 0 => Form::Utf32(LITTLE),
            [0, 0, 0, first, ..] if *first != 0 => Form::Utf32(!LITTLE),
            [first, 0, ..] if *first != 0 => Form::Utf16(LITTLE),
            [0, first, ..] if *first != 0 => Form::Utf16(!LITTLE),
            _ => return Form::marked(bytes),
        };
        Some((form, 0))
    }

    /// The same, where there is a byte order mark.
    fn marked(bytes: &[u8]) -> Option<(Form, usize)> {
        match bytes {
            [0xff, 0xfe, 0, 0, ..] => Some((Form::Utf32(LITTLE), 4)),
            [0, 0, 0xfe, 0xff, ..] => Some((Form::Utf32(!LITTLE), 4)),
            [0xff, 0xfe, ..] => Some((Form::Utf16(LITTLE), 2)),
            [0xfe, 0xff, ..] => Some((Form::Utf16(!LITTLE), 2)),
            _ => None,
        }
    }

    /// How many bytes a text has in this form.
    pub fn width(self, text: &str) -> usize {
        match self {
            Form::Utf16(_) => 2 * text.encode_utf16().count(),
            Form::Utf32(_) => 4 * text.chars().count(),
        }
    }

    /// A text in this form, behind its mark.
    pub fn widened(self, text: &str) -> Vec<u8> {
        let text = std::iter::once('\u{feff}').chain(text.chars());
        match self {
            Form::Utf16(little) => {
                let mut pair = [0; 2];
                let order = if little { u16::to_le_bytes } else { u16::to_be_bytes };
                text.flat_map(|c| c.encode_utf16(&mut pair).to_vec()).flat_map(order).collect()
            }
            Form::Utf32(little) => {
                let order = if little { u32::to_le_bytes } else { u32::to_be_bytes };
                text.map(u32::from).flat_map(order).collect()
            }
        }
    }

    fn narrowed(self, bytes: &[u8]) -> String {
        match self {
            Form::Utf16(little) => {
                let unit = |pair: &[u8; 2]| {
                    if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) }
                };
                let units = bytes.as_chunks::<2>().0.iter().map(unit);
                char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            Form::Utf32(little) => {
                let unit = |four: &[u8; 4]| {
                    if little { u32::from_le_bytes(*four) } else { u32::from_be_bytes(*four) }
                };
                let units = bytes.as_chunks::<4>().0.iter().map(unit);
                units.map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
        }
    }
}

/// The text in UTF-8, when its first bytes say that it is in a wider form; otherwise as it stands.
pub(super) fn narrowed(bytes: &[u8]) -> Cow<'_, [u8]> {
    in_utf8(bytes, Form::of(bytes))
}

/// The same, when a byte order mark says so.
pub(super) fn narrowed_if_marked(bytes: &[u8]) -> Cow<'_, [u8]> {
    in_utf8(bytes, Form::marked(bytes))
}

fn in_utf8(bytes: &[u8], form: Option<(Form, usize)>) -> Cow<'_, [u8]> {
    match form {
        Some((form, mark)) => Cow::Owned(form.narrowed(&bytes[mark..]).into_bytes()),
        None => Cow::Borrowed(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_texts_are_narrowed_with_and_without_a_mark() {
        let text = "{\"a\":\"<\u{e9}\u{1f600}\"}";
        let utf16 = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let utf32 =
            |order: fn(u32) -> [u8; 4]| text.chars().map(u32::from).flat_map(order).collect::<Vec<u8>>();
        for (bytes, mark) in [
            (utf16(u16::to_be_bytes), &b"\xfe\xff"[..]),
            (utf16(u16::to_le_bytes), b"\xff\xfe"),
            (utf32(u32::to_be_bytes), b"\0\0\xfe\xff"),
            (utf32(u32::to_le_bytes), b"\xff\xfe\0\0"),
        ] {
            for bytes in [bytes.clone(), [mark, &bytes[..]].concat()] {
                assert_eq!(narrowed(&bytes), text.as_bytes(), "{bytes:?}");
            }
        }
    }

    #[test]
    fn what_is_not_wide_stays_and_what_is_broken_goes_on() {
        for text in [&b"{}"[..], b"", b"[", b"\xef\xbb\xbf{}", b"\0\0\0\0", b"\0"] {
            assert_eq!(narrowed(text), text);
        }
        // Half of a pair, and half of a unit.
        assert_eq!(narrowed(b"[\0\x00\xd8]\0x"), "[\u{fffd}]".as_bytes());
    }
}
