//! Reads HTML as browsers do, old ones too, without building anything: from a place in the text or in a tag to the
//! next such place. Every step moves forward, so a reading takes one pass.
//!
//! The names are the states of the HTML standard's tokeniser (section 13.2.5).

use memchr::{memchr, memchr_iter};

use crate::waf::bytes::ByteSet;

use super::names::{Attribute, attribute, is_harmful_address, is_harmful_comment, is_harmful_tag};

/// Where a reading can be between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Outside any tag.
    Text(usize),
    /// In a tag, before the name of an attribute.
    Tag(usize),
}

impl Place {
    pub(super) fn at(self) -> usize {
        match self {
            Place::Text(at) | Place::Tag(at) => at,
        }
    }
}

/// What a step came upon.
pub(super) enum Finding {
    Attack,
    Harmless(Place),
    End,
}

/// Old versions of Internet Explorer count the vertical tab and zero.
const WHITE: ByteSet = ByteSet::of(b" \t\n\x0b\x0c\r\0");

const TAG_NAME_END: ByteSet = ByteSet::of(b" \t\n\x0b\x0c\r/>");

const ATTRIBUTE_NAME_END: ByteSet = WHITE.union(ByteSet::of(b"/=>"));

const VALUE_END: ByteSet = WHITE.union(ByteSet::of(b">"));

/// One step: over the next tag's name, comment or declaration, or over the next attribute.
pub(super) fn read(value: &[u8], place: Place) -> Finding {
    match place {
        Place::Text(at) => match find(value, at, |rest| memchr(b'<', rest)) {
            Some(found) => read_markup(value, found + 1),
            None => Finding::End,
        },
        Place::Tag(at) => read_attribute(value, at),
    }
}

/// Behind a `<`.
fn read_markup(value: &[u8], at: usize) -> Finding {
    match value.get(at) {
        None => Finding::End,
        Some(b'!') => read_declaration(value, at + 1),
        Some(b'/') => match value.get(at + 1) {
            None => Finding::End,
            Some(b'>') => Finding::Harmless(Place::Text(at + 1)),
            Some(byte) if byte.is_ascii_alphabetic() => read_tag_name(value, at + 1, Tag::Closing),
            Some(_) => read_comment(value, at + 1, |rest| memchr(b'>', rest).map(|end| (end, 1))),
        },
        Some(b'?') => read_comment(value, at + 1, |rest| memchr(b'>', rest).map(|end| (end, 1))),
        // A comment to Internet Explorer up to 9 and to Safari before 4.
        Some(b'%') => read_comment(value, at + 1, percent_end),
        Some(byte) if byte.is_ascii_alphabetic() || *byte == 0 => read_tag_name(value, at, Tag::Opening),
        Some(_) => Finding::Harmless(Place::Text(at)),
    }
}

#[derive(PartialEq, Eq)]
enum Tag {
    Opening,
    Closing,
}

fn read_tag_name(value: &[u8], at: usize, tag: Tag) -> Finding {
    let end = find(value, at, |rest| TAG_NAME_END.find(rest));
    let name = &value[at..end.unwrap_or(value.len())];
    let closed = end.is_some_and(|end| value[end] == b'>');
    // A closing tag that goes on behind its name is not one to every browser.
    let counts = tag == Tag::Opening || !closed;
    match end {
        _ if counts && is_harmful_tag(name) => Finding::Attack,
        Some(end) if closed => Finding::Harmless(Place::Text(end + 1)),
        Some(end) => Finding::Harmless(Place::Tag(end + 1)),
        None => Finding::End,
    }
}

/// In a tag: an attribute with its value, or the end of the tag.
fn read_attribute(value: &[u8], at: usize) -> Finding {
    let between = |rest: &[u8]| rest.iter().position(|&byte| !WHITE.contains(byte) && byte != b'/');
    let Some(start) = find(value, at, between) else { return Finding::End };
    if value[start] == b'>' {
        return Finding::Harmless(Place::Text(start + 1));
    }
    // The first byte belongs to the name whatever it is.
    let Some(end) = find(value, start + 1, |rest| ATTRIBUTE_NAME_END.find(rest)) else { return Finding::End };
    let Some(behind) = skip_white(value, end) else { return Finding::End };
    match value[behind] {
        b'=' => read_value(value, behind + 1, attribute(&value[start..end])),
        _ => Finding::Harmless(Place::Tag(behind)),
    }
}

fn read_value(value: &[u8], at: usize, attribute: Attribute) -> Finding {
    let Some(start) = skip_white(value, at) else { return Finding::End };
    let (text, next) = match value[start] {
        quote @ (b'"' | b'\'' | b'`') => {
            let end = find(value, start + 1, |rest| memchr(quote, rest));
            (&value[start + 1..end.unwrap_or(value.len())], end.map(|end| Place::Tag(end + 1)))
        }
        _ => {
            let end = find(value, start, |rest| VALUE_END.find(rest));
            (&value[start..end.unwrap_or(value.len())], end.map(Place::Tag))
        }
    };
    let harmful = match attribute {
        Attribute::Harmless => false,
        Attribute::Script | Attribute::Style => true,
        Attribute::Address => is_harmful_address(text),
        Attribute::Indirect => self::attribute(text) != Attribute::Harmless,
    };
    match next {
        _ if harmful => Finding::Attack,
        Some(place) => Finding::Harmless(place),
        None => Finding::End,
    }
}

/// Behind `<!`.
fn read_declaration(value: &[u8], at: usize) -> Finding {
    let rest = &value[at..];
    if rest.get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"doctype")) {
        return Finding::Attack;
    }
    if let Some(data) = rest.strip_prefix(b"[CDATA[") {
        let mut ends = memchr_iter(b'>', data).filter(|&end| end >= 2 && &data[end - 2..end] == b"]]");
        return ends.next().map_or(Finding::End, |end| Finding::Harmless(Place::Text(at + 7 + end + 1)));
    }
    if rest.starts_with(b"--") {
        return read_comment(value, at + 2, dashes_end);
    }
    read_comment(value, at, |rest| memchr(b'>', rest).map(|end| (end, 1)))
}

/// A comment whose text begins here. `end` says where it ends and how long the mark is that ends it.
fn read_comment(value: &[u8], at: usize, end: impl Fn(&[u8]) -> Option<(usize, usize)>) -> Finding {
    let rest = &value[at..];
    let end = end(rest);
    match end {
        _ if is_harmful_comment(&rest[..end.map_or(rest.len(), |(end, _)| end)]) => Finding::Attack,
        Some((end, mark)) => Finding::Harmless(Place::Text(at + end + mark)),
        None => Finding::End,
    }
}

fn percent_end(rest: &[u8]) -> Option<(usize, usize)> {
    memchr_iter(b'%', rest).find(|&at| rest.get(at + 1) == Some(&b'>')).map(|at| (at, 2))
}

/// `-->` or `-!>`, and zeros may stand behind the first dash.
fn dashes_end(rest: &[u8]) -> Option<(usize, usize)> {
    memchr_iter(b'-', rest).find_map(|at| {
        let zeros = rest[at + 1..].iter().take_while(|byte| **byte == 0).count();
        match rest.get(at + 1 + zeros..)? {
            [b'-' | b'!', b'>', ..] => Some((at, zeros + 3)),
            _ => None,
        }
    })
}

fn skip_white(value: &[u8], at: usize) -> Option<usize> {
    find(value, at, |rest| rest.iter().position(|&byte| !WHITE.contains(byte)))
}

/// The place in `value` that `search` finds from `at` on.
fn find(value: &[u8], at: usize, search: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    search(value.get(at..)?).map(|found| at + found)
}
