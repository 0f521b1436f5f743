//! Making any text fit for a page, a terminal or a field. Total functions: whatever comes in,
//! what goes out cannot break out of its place.

use std::fmt::Write;

/// For HTML text and quoted attributes.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '`' => out.push_str("&#96;"),
            c if is_unsafe(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// For plain text that may end up on a terminal: one line, no control characters, nothing that
/// turns the direction of writing.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { '\u{fffd}' } else { c }).collect()
}

/// For a header field's value: visible ASCII and blanks (RFC 9110 section 5.5).
pub(super) fn field_value(text: &str) -> String {
    text.trim().chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// For a Location field: what RFC 3986 does not allow in a URI is percent-encoded.
pub(super) fn location_value(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.trim().bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Control characters, and the bidirectional and invisible ones that make text read as another.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
