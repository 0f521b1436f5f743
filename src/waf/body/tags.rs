//! Where an XML document can be cut, and what is to stand in front of its later part so that a reader that begins there
//! reads on as it would have. Text on both sides of a comment is one text, and so is what CDATA sections hold: only a
//! tag ends it.

use memchr::{memchr, memchr3, memmem};

use super::border::Place;

const COMMENT: &[u8] = b"<!--";
const DATA: &[u8] = b"<![CDATA[";

/// Where the last text ends behind `begin`.
pub(super) fn last_end(text: &[u8], begin: usize) -> Option<Place> {
    let Scan { tag, .. } = scan(text);
    tag.filter(|at| *at > begin).map(|at| Place { at, prefix: Vec::new() })
}

/// What brings a reader to where it stands at the end of the text. The place may be a little in front of it.
pub(super) fn place(text: &[u8]) -> Place {
    let Scan { at, inside, .. } = scan(text);
    Place { at, prefix: inside.to_vec() }
}

struct Scan {
    /// The last tag.
    tag: Option<usize>,
    at: usize,
    /// What opens that in which the text ends; empty for text.
    inside: &'static [u8],
}

fn scan(text: &[u8]) -> Scan {
    let (mut at, mut tag) = (0, None);
    while let Some(found) = memchr(b'<', &text[at..]) {
        let open = at + found;
        let rest = &text[open..];
        if [COMMENT, DATA].iter().any(|marker| rest.len() < marker.len() && marker.starts_with(rest)) {
            return Scan { tag, at: open, inside: b"" };
        }
        let ended = match rest {
            [b'<', b'!', b'-', b'-', ..] => up_to(b"-->", rest, COMMENT),
            [b'<', b'!', b'[', ..] if rest.starts_with(DATA) => up_to(b"]]>", rest, DATA),
            [b'<', b'?', ..] => up_to(b"?>", rest, b"<?x "),
            [b'<', b'!', ..] => declaration(rest),
            _ => {
                tag = Some(open);
                element(rest)
            }
        };
        match ended {
            Ok(length) => at = open + length,
            Err((back, inside)) => return Scan { tag, at: text.len() - back, inside },
        }
    }
    Scan { tag, at: text.len(), inside: b"" }
}

/// The length of something, or what opens it and how many bytes at the end may be the half of what closes it.
type Ended = Result<usize, (usize, &'static [u8])>;

fn up_to(end: &[u8], rest: &[u8], open: &'static [u8]) -> Ended {
    let from = open.len().min(rest.len());
    let found = memmem::find(&rest[from..], end).map(|at| from + at + end.len());
    let half = |length: &usize| rest[from..].ends_with(&end[..*length]);
    found.ok_or_else(|| ((1..end.len()).rev().find(half).unwrap_or(0), open))
}

/// A document type with what it declares.
fn declaration(rest: &[u8]) -> Ended {
    let mut open = 0usize;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'<' => open += 1,
            b'>' if open == 1 => return Ok(at + 1),
            b'>' => open -= 1,
            _ => {}
        }
    }
    Err((0, if open == 1 { b"<!DOCTYPE a [" } else { b"<!DOCTYPE a [<!ENTITY " }))
}

fn element(rest: &[u8]) -> Ended {
    let mut at = 1;
    while let Some(found) = memchr3(b'>', b'"', b'\'', &rest[at..]) {
        at += found + 1;
        let quote = rest[at - 1];
        if quote == b'>' {
            return Ok(at);
        }
        match memchr(quote, &rest[at..]) {
            Some(end) => at += end + 1,
            None => return Err((0, if quote == b'"' { b"<a a=\"" } else { b"<a a='" })),
        }
    }
    let outside = rest[at..].trim_ascii_end();
    let last = outside.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
    // In front of a value, or in one without quotes.
    Err((0, if last.contains(&b'=') { b"<a a=" } else { b"<a " }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_front_of_a_later_part_says_where_it_is() {
        for (text, expect, back) in [
            ("<a>text", "", 0),
            ("<a>text<", "", 1),
            ("<a>text<!-", "", 3),
            ("<a>text<![CDAT", "", 7),
            ("<a><![CDATA[x<y>", "<![CDATA[", 0),
            ("<a><![CDATA[x]]", "<![CDATA[", 2),
            ("<a><!-- <b> -", "<!--", 1),
            ("<a><!-- --><?b c?", "<?x ", 1),
            ("<a b='x>y", "<a a='", 0),
            ("<a b=\"x\" c=\"it's", "<a a=\"", 0),
            ("<a b='x' ", "<a ", 0),
            ("<a b='x' c = ", "<a a=", 0),
            ("<a b='x' c=y", "<a a=", 0),
            ("<!DOCTYPE a [ <!ENTITY b 'c'> ", "<!DOCTYPE a [", 0),
            ("<!DOCTYPE a [ <!ENTITY b '", "<!DOCTYPE a [<!ENTITY ", 0),
            ("<!DOCTYPE a [ <!ENTITY b 'c'> ]><d>", "", 0),
        ] {
            let place = place(text.as_bytes());
            assert_eq!((&*place.prefix, place.at), (expect.as_bytes(), text.len() - back), "{text}");
        }
        for (text, begin, expect) in [
            ("<a>one</a>two", 0, Some(6)),
            ("<a>one</a>two", 6, None),
            ("<a>one<!-- <b> -->two<![CDATA[<c>]]>three<?d?>", 0, None),
        ] {
            assert_eq!(last_end(text.as_bytes(), begin).map(|place| place.at), expect, "{text}");
        }
    }
}
