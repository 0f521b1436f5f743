//! `name=value&name=value`: query strings and form bodies, decoded once, as ModSecurity does:
//! `+` is a space, `%HH` its byte, a `%` without two digits stays. Also the Cookie field, which
//! is split but not decoded.

use memchr::memchr;

use crate::waf::transformation::url_decode;

use super::{BodyError, Bounds, Sink};

/// Reads a query string or a form body. An argument without `=` has an empty value. Nothing in
/// front of a `&` is an argument, too, with an empty name, as in ModSecurity (Coraza drops it):
/// counts of arguments and rules about repeated names see `a=1&&b=2` as it is. Nothing behind
/// the last `&` is none.
pub fn query(bytes: &[u8], bounds: &Bounds, sink: &mut dyn Sink) -> Result<(), BodyError> {
    let mut count = 0;
    let (mut name_buffer, mut value_buffer) = (Vec::new(), Vec::new());
    if bytes.is_empty() {
        return Ok(());
    }
    for piece in bytes.strip_suffix(b"&").unwrap_or(bytes).split(|&byte| byte == b'&') {
        count += 1;
        if count > bounds.args {
            return Err(BodyError::TooManyArgs(bounds.args));
        }
        let (name, value) = match memchr(b'=', piece) {
            Some(at) => (&piece[..at], &piece[at + 1..]),
            None => (piece, &b""[..]),
        };
        let name = if url_decode(name, &mut name_buffer) { &name_buffer } else { name };
        let value = if url_decode(value, &mut value_buffer) { &value_buffer } else { value };
        if name.len() > bounds.name_bytes {
            return Err(BodyError::NameTooLong(bounds.name_bytes));
        }
        if value.len() > bounds.value_bytes {
            return Err(BodyError::ValueTooLong(bounds.value_bytes));
        }
        sink.arg(name, value);
    }
    Ok(())
}

/// True when a `%` stands without two digits behind it: `urlencoded_error`. Looked for in the
/// undecoded text as a whole, since neither `&` nor `=` is a digit.
pub fn has_invalid_percent(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'%', bytes).any(|at| {
        !matches!(bytes.get(at + 1..at + 3), Some([one, two]) if one.is_ascii_hexdigit() && two.is_ascii_hexdigit())
    })
}

/// Reads one Cookie field: pieces between semicolons, white space around a name cut, nothing
/// decoded. A cookie without `=` has an empty value. The field's length is bounded by the head's.
pub fn cookies(value: &[u8], sink: &mut dyn Sink) {
    for piece in value.split(|&byte| byte == b';') {
        let (name, value) = match memchr(b'=', piece) {
            Some(at) => (&piece[..at], &piece[at + 1..]),
            None => (piece, &b""[..]),
        };
        let (name, value) = (name.trim_ascii(), value.trim_ascii_end());
        if !(name.is_empty() && value.is_empty()) {
            sink.arg(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Notes;
    use super::*;

    fn read(text: &str) -> Notes {
        let mut notes = Notes::default();
        query(text.as_bytes(), &Bounds::default(), &mut notes).unwrap();
        notes
    }

    #[test]
    fn arguments_are_decoded_once_and_kept_in_order_with_duplicates() {
        for (text, expect) in [
            ("", vec![]),
            ("a=1&b=2&a=3", vec![("a", "1"), ("b", "2"), ("a", "3")]),
            ("a", vec![("a", "")]),
            ("=x", vec![("", "x")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("&&a=1&", vec![("", ""), ("", ""), ("a", "1")]),
            ("a=1&&b=2", vec![("a", "1"), ("", ""), ("b", "2")]),
            ("&", vec![("", "")]),
            ("=", vec![("", "")]),
            ("a=1&&", vec![("a", "1"), ("", "")]),
            ("a%20b=c+d%2541", vec![("a b", "c d%41")]),
            ("a=%zz%4&b=%", vec![("a", "%zz%4"), ("b", "%")]),
            ("a=1;b=2", vec![("a", "1;b=2")]),
            ("a%3Db=c%26d", vec![("a=b", "c&d")]),
            ("a=%00\u{e4}", vec![("a", "\0\u{e4}")]),
        ] {
            assert_eq!(read(text).pairs(), expect, "{text}");
        }
    }

    #[test]
    fn a_percent_sign_without_two_digits_is_invalid() {
        for (text, expect) in [
            ("", false),
            ("a=%41%2b", false),
            ("a=%", true),
            ("a=%4&b", true),
            ("%4=1", true),
            ("%zz", true),
            ("100%", true),
        ] {
            assert_eq!(has_invalid_percent(text.as_bytes()), expect, "{text}");
        }
    }

    #[test]
    fn bounds_stop_the_reading_with_an_error_and_keep_what_was_read() {
        let bounds = Bounds { args: 2, name_bytes: 3, value_bytes: 3, ..Bounds::default() };
        for (text, error, kept) in [
            ("a=1&b=2&c=3", BodyError::TooManyArgs(2), 2),
            ("a=1&abcd=2", BodyError::NameTooLong(3), 1),
            ("a=1234", BodyError::ValueTooLong(3), 0),
        ] {
            let mut notes = Notes::default();
            assert_eq!(query(text.as_bytes(), &bounds, &mut notes), Err(error), "{text}");
            assert_eq!(notes.args.len(), kept, "{text}");
        }
    }

    #[test]
    fn cookies_are_split_but_not_decoded() {
        let mut notes = Notes::default();
        cookies(b"a=1; b=%41+x;c; =v;; = ; d = 2 ", &mut notes);
        assert_eq!(notes.pairs(), [("a", "1"), ("b", "%41+x"), ("c", ""), ("", "v"), ("d", " 2")]);
    }
}
