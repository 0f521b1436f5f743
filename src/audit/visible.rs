//! JSON that shows everything it holds: the control characters that JSON allows raw (DEL and
//! C1, which can steer a terminal) and those that turn or hide text become `\u` escapes, so that
//! a log can be looked at with any tool.

use std::borrow::Cow;
use std::fmt::Write;

/// The same JSON, with such characters escaped. Outside of strings JSON has none of them, so
/// that replacing them in the text is enough.
pub fn visible(json: &str) -> Cow<'_, str> {
    // DEL, and the first bytes of all the others in UTF-8.
    let suspicious = memchr::memchr3(0x7f, 0xc2, 0xe2, json.as_bytes()).is_some();
    if !(suspicious || json.contains('\u{feff}')) || !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_hidden(c) {
            // Writing to a String cannot fail; all of them lie in the basic plane.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{7f}'..='\u{9f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_become_escapes_and_read_back() {
        for c in (0..0x3000).filter_map(char::from_u32).chain(['\u{feff}', '\u{1f600}']) {
            let text = format!("a{c}b\u{e4}");
            let json = serde_json::to_string(&text).unwrap();
            let shown = visible(&json);
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
            assert!(!shown.chars().any(|c| c.is_control()), "{c:?}");
            assert!(!shown.contains(['\u{202e}', '\u{2066}', '\u{feff}', '\u{200b}']));
        }
    }
}
