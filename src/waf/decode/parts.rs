//! Values inside a value: the segments of a path, and the strings of a text that is JSON or a
//! GraphQL operation. An application takes them out by itself, so a payload begins and ends there,
//! and not where the whole value does. Refuses to be a parser: it finds strings, whatever stands
//! around them.

use crate::waf::bytes::ByteSet;

/// Of these alone names and numbers are made, and nothing that a rule looks for.
const PLAIN: ByteSet = ByteSet::range(b'a', b'z')
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'0', b'9'))
    .union(ByteSet::of(b"-_.~@,+=:"));

/// Tells the segments of a path that are more than names, and what is left of the path from the
/// first of them on, for a payload may have slashes itself.
pub(super) fn of_path(path: &[u8], mut found: impl FnMut(&[u8])) {
    let mut start = 0;
    let mut first = true;
    for segment in path.split(|byte| *byte == b'/') {
        if is_more_than_a_name(segment) && segment.len() < path.len() {
            found(segment);
            let rest = &path[start..];
            if first && rest.len() > segment.len() && start > 0 {
                found(rest);
            }
            first = false;
        }
        start += segment.len() + 1;
    }
}

/// Tells the strings of a text that begins as JSON or as a GraphQL operation. `out` is room to work in.
pub(super) fn of_text(text: &[u8], out: &mut Vec<u8>, mut found: impl FnMut(&[u8])) {
    if !is_structure(text) {
        return;
    }
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'"', rest) {
        let Some(length) = string(&rest[at + 1..], out) else { return };
        if is_more_than_a_name(out) {
            found(out);
        }
        rest = &rest[at + 1 + length..];
    }
}

fn is_more_than_a_name(piece: &[u8]) -> bool {
    piece.len() > 2 && piece.iter().any(|byte| !PLAIN.contains(*byte))
}

/// True for what begins as JSON or as a GraphQL operation does, and not as a block of code.
fn is_structure(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 4] = [b"query", b"mutation", b"subscription", b"fragment"];
    match text.trim_ascii_start() {
        [b'{', rest @ ..] => matches!(rest.trim_ascii_start().first(), Some(b'"')) || is_selection(rest),
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start().first(), Some(b'"' | b'{' | b'[')),
        text => WORDS.iter().any(|word| text.starts_with(word)) && memchr::memchr(b'{', text).is_some(),
    }
}

/// A field with fields of its own, an alias, or an argument with its name.
fn is_selection(text: &[u8]) -> bool {
    let word =
        |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let text = text.trim_ascii_start();
    let field = word(text);
    match text[field..].trim_ascii_start() {
        [b'{' | b':', ..] => field > 0,
        [b'(', rest @ ..] => {
            let rest = rest.trim_ascii_start();
            let name = word(rest);
            field > 0 && name > 0 && rest[name..].trim_ascii_start().starts_with(b":")
        }
        _ => false,
    }
}

/// Unescapes a string (RFC 8259 section 7) from behind its opening quote; the length with the
/// closing quote, if there is one.
fn string(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    out.clear();
    let mut at = 0;
    loop {
        let stop = at + memchr::memchr2(b'"', b'\\', &text[at..])?;
        out.extend_from_slice(&text[at..stop]);
        if text[stop] == b'"' {
            return Some(stop + 1);
        }
        match *text.get(stop + 1)? {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            // Escapes for characters are a layer of their own.
            other @ (b'u' | b'x') => out.extend_from_slice(&[b'\\', other]),
            other => out.push(other),
        }
        at = stop + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> Vec<String> {
        let mut all = Vec::new();
        of_path(path.as_bytes(), |piece| all.push(String::from_utf8_lossy(piece).into_owned()));
        all
    }

    fn text(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        of_text(text.as_bytes(), &mut Vec::new(), |piece| {
            all.push(String::from_utf8_lossy(piece).into_owned())
        });
        all
    }

    #[test]
    fn a_payload_in_a_path_begins_where_its_segment_does() {
        assert_eq!(path("/items/' or 1=1 -- /view"), ["' or 1=1 -- ", "' or 1=1 -- /view"]);
        assert_eq!(path("/x/;cat /etc/passwd"), [";cat ", ";cat /etc/passwd"]);
        assert_eq!(path("/a/1;2"), ["1;2"]);
        for ordinary in [
            "/",
            "/assets/js/main-1.2.min.js",
            "/users/42",
            "/@scope/a,b",
            "/PHNjcmlwdD4=/x",
            "",
            "a b",
            "/%%",
        ] {
            assert!(path(ordinary).is_empty(), "{ordinary}");
        }
    }

    #[test]
    fn strings_are_found_in_json_and_in_operations() {
        assert_eq!(text(r#"{"a": "1' or '1", "b": "word"}"#), ["1' or '1"]);
        assert_eq!(text(r#" ["\"x\\\n", "<\u0061>"]"#), ["\"x\\\n", "<\\u0061>"]);
        assert_eq!(text(r#"{ user(name: "' or 1=1") { id } }"#), ["' or 1=1"]);
        assert_eq!(text(r#"query Q { user(name: "' or 1=1") { id } }"#), ["' or 1=1"]);
        for other in [
            "{ echo \"a b\" }",
            "{\n # x\n f=\"a b\"",
            "say \"hello you\" {",
            "{\"a b",
            "{\"a b\\",
            "query \"a b\"",
            "\"a b\"",
            "",
        ] {
            assert!(text(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn the_last_of_many_is_found() {
        assert_eq!(text(&format!("[{} \"c d\"]", "\"a b\",".repeat(500)))[500], "c d");
        assert_eq!(path(&format!("{}/c d", "/a".repeat(500))), ["c d"]);
    }
}
