//! A request head taken apart without a question asked: what is refused as broken is still shown to
//! rules, so that the log tells an attack on parsers from a typing error. Nothing read here is ever
//! sent on.

/// The first line, split at its first and last space, and the fields. Whatever is missing is empty.
#[derive(Debug, PartialEq, Eq)]
pub struct RawHead<'a> {
    pub method: &'a [u8],
    pub target: &'a [u8],
    pub protocol: &'a [u8],
    pub fields: Vec<(&'a [u8], &'a [u8])>,
    /// Every line behind the first is a field (RFC 9112 section 5). Where one is not, parsers disagree
    /// on which fields there are, and no answer about them would be worth much.
    pub has_clear_fields: bool,
}

/// More fields than this are not shown: no head that is let through has as many.
const MOST_FIELDS: usize = 256;

impl<'a> RawHead<'a> {
    /// Reads as far as the head goes; `None` when there is nothing to read.
    pub fn read(bytes: &'a [u8]) -> Option<RawHead<'a>> {
        let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let (first, mut rest) = line(&bytes[blank..]);
        if first.is_empty() {
            return None;
        }
        let space = memchr::memchr(b' ', first).unwrap_or(first.len());
        let (method, after) = (&first[..space], first.get(space + 1..).unwrap_or_default());
        let space = memchr::memrchr(b' ', after).unwrap_or(after.len());
        let (target, protocol) = (&after[..space], after.get(space + 1..).unwrap_or_default());
        let mut fields = Vec::new();
        let mut has_clear_fields = true;
        while !rest.is_empty() && fields.len() < MOST_FIELDS {
            let (next, after) = line(rest);
            rest = after;
            if next.is_empty() {
                break;
            }
            let colon = memchr::memchr(b':', next).unwrap_or(next.len());
            let (name, value) = (&next[..colon], next.get(colon + 1..).unwrap_or_default());
            // A name is a token (RFC 9110 section 5.6.2); a lone CR ends a line for some.
            let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
            has_clear_fields &= colon > 0 && colon < next.len() && name.iter().all(token);
            has_clear_fields &= !value.iter().any(|b| matches!(b, b'\r' | 0));
            fields.push((name, value.trim_ascii()));
        }
        Some(RawHead { method, target, protocol, fields, has_clear_fields })
    }

    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| *value)
    }
}

fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let line = &bytes[..end];
    (line.strip_suffix(b"\r").unwrap_or(line), bytes.get(end + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_taken_apart_however_odd_it_is() {
        let head = RawHead::read(b"GET /a b<c> HTTP/1.1\r\nHost:  h \r\nodd\r\nA: b\n\r\nC: d\r\n").unwrap();
        assert_eq!(
            (head.method, head.target, head.protocol),
            (&b"GET"[..], &b"/a b<c>"[..], &b"HTTP/1.1"[..])
        );
        assert_eq!(head.fields, [(&b"Host"[..], &b"h"[..]), (b"odd", b""), (b"A", b"b")]);
        assert_eq!((head.field("HOST"), head.has_clear_fields), (Some(&b"h"[..]), false));
        for (field, clear) in
            [("A: b", true), ("A:", true), (": b", false), ("A : b", false), ("A: b\rC: d", false)]
        {
            let text = format!("GET / HTTP/1.1\r\n{field}\r\n\r\n");
            assert_eq!(RawHead::read(text.as_bytes()).unwrap().has_clear_fields, clear, "{field:?}");
        }
        let short = RawHead::read(b"GET /").unwrap();
        assert_eq!((short.method, short.target, short.protocol), (&b"GET"[..], &b"/"[..], &b""[..]));
        assert_eq!(RawHead::read(b"\r\n\nGET / HTTP/1.1\r\n").unwrap().method, b"GET");
        assert_eq!(RawHead::read(b"\r\n"), None);
        assert_eq!(RawHead::read(b""), None);
    }
}
