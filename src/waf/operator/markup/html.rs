//! Tags and their attributes, as forgiving as browsers of all times were: any byte that no name has parts
//! attributes, three kinds of quotes, quotes escaped by a JSON writer, tags without an end. It does not build a
//! tree and keeps no state between tags.

use smallvec::SmallVec;

use super::names::ENTITIES;

/// A tag with more attributes is no tag of an attack; the rest is not looked at.
const MOST_ATTRIBUTES: usize = 40;
/// A tag is read this far. Longer ones carry inline images.
const LONGEST_TAG: usize = 4096;
/// Longest name of an entity, and digits of a numbered one: browsers accept any number of zeros.
const LONGEST_ENTITY: usize = 24;

#[derive(Debug)]
pub(super) struct Tag<'a> {
    /// Without prefix and in lower case when the value is.
    pub name: &'a [u8],
    pub attributes: SmallVec<[Attribute<'a>; 8]>,
    /// Behind the `>`, or where reading stopped.
    pub end: usize,
    /// The tag has its `>`.
    pub closed: bool,
    /// An end tag. Browsers run no handlers of those any more.
    pub ends: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub name: &'a [u8],
    /// As written, without its quotes.
    pub value: &'a [u8],
    /// Where the name and the value begin.
    pub name_at: usize,
    pub value_at: usize,
    /// Its opening quote has no closing one.
    pub open_quote: bool,
}

impl<'a> Tag<'a> {
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value)
    }
}

/// The tag whose `<` is at `at`. `None` for a `<` of another kind: before a space, a digit, `=`.
pub(super) fn tag(value: &[u8], at: usize) -> Option<Tag<'_>> {
    let limit = value.len().min(at + LONGEST_TAG);
    let mut start = at + 1;
    while start < limit && matches!(value[start], b'/' | b'!' | b'?' | b'%' | 0..=8 | 11 | 14..=31) {
        start += 1;
    }
    let mut end = start;
    while end < limit && is_name(value[end]) {
        end += 1;
    }
    let name = &value[start..end];
    let named = name.first().is_some_and(u8::is_ascii_alphabetic);
    if !named && start == at + 1 && !matches!(value.get(start), Some(b'*' | b';' | 0x80..)) {
        return None;
    }
    let mut tag =
        Tag { name, attributes: SmallVec::new(), end, closed: false, ends: value.get(at + 1) == Some(&b'/') };
    (tag.end, tag.closed) = attributes(value, end, limit, &mut tag.attributes);
    Some(tag)
}

/// Reads attributes from `at` on. Tells where it stopped, and whether that was behind a `>`.
pub(super) fn attributes<'a>(
    value: &'a [u8],
    mut at: usize,
    limit: usize,
    found: &mut SmallVec<[Attribute<'a>; 8]>,
) -> (usize, bool) {
    while at < limit && found.len() < MOST_ATTRIBUTES {
        if value[at] == b'>' {
            return (at + 1, true);
        }
        if !is_name(value[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < limit && is_name(value[at]) {
            at += 1;
        }
        let name = &value[start..at];
        let equals = skip_blank(value, at, limit);
        if value.get(equals) != Some(&b'=') || equals >= limit {
            found.push(Attribute { name, value: b"", name_at: start, value_at: at, open_quote: false });
            continue;
        }
        let begin = skip_blank(value, equals + 1, limit);
        let attribute;
        (attribute, at) = attribute_value(value, begin, limit);
        found.push(Attribute { name, name_at: start, ..attribute });
    }
    (at, false)
}

fn attribute_value(value: &[u8], begin: usize, limit: usize) -> (Attribute<'_>, usize) {
    let attribute = |from: usize, to: usize| Attribute {
        name: b"",
        value: &value[from..to],
        name_at: from,
        value_at: from,
        open_quote: false,
    };
    // A JSON writer that got HTML puts a backslash before each quote.
    let escaped = value.get(begin) == Some(&b'\\') && matches!(value.get(begin + 1), Some(b'"' | b'\''));
    let quote_at = begin + usize::from(escaped);
    match value.get(quote_at).filter(|_| quote_at < limit) {
        Some(&quote @ (b'"' | b'\'' | b'`')) => {
            let inside = quote_at + 1;
            match memchr::memchr(quote, &value[inside..limit]) {
                // Old browsers took grave accents for quotes. To others they are part of the value, and attributes
                // may stand between them.
                Some(length) if quote == b'`' => {
                    let end = begin + unquoted(&value[begin..limit]);
                    let old = inside + length;
                    let (from, to) = if end > old + 1 { (begin, end) } else { (inside, old) };
                    let next = if value[inside..old].contains(&b'=') { inside } else { old + 1 };
                    (attribute(from, to), next)
                }
                Some(length) => {
                    let end = inside + length;
                    let cut = usize::from(escaped && value[inside..end].ends_with(b"\\"));
                    (attribute(inside, end - cut), end + 1)
                }
                None => (Attribute { open_quote: true, ..attribute(inside, limit) }, limit),
            }
        }
        _ => {
            let end = begin + unquoted(&value[begin..limit]);
            (attribute(begin, end), end)
        }
    }
}

/// How long a value without quotes is.
fn unquoted(text: &[u8]) -> usize {
    // `<!-->` comments out the rest of a line of script.
    let skip = if text.starts_with(b"<!-->") { 5 } else { 0 };
    let length = text[skip..].iter().position(|&byte| byte <= b' ' || byte == b'>');
    length.map_or(text.len(), |length| length + skip)
}

fn skip_blank(value: &[u8], mut at: usize, limit: usize) -> usize {
    while at < limit && value[at] <= b' ' {
        at += 1;
    }
    at
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-' | b'.' | b'@' | b'#')
}

/// The text with its character references resolved, as a browser does in attributes and in SVG.
pub(super) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (byte, length) = entity(rest).unwrap_or((b'&', 1));
        out.push(byte);
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
}

/// The byte that a reference at the start of `text` stands for, and the reference's length.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    let (digits, radix) = match text {
        [b'&', b'#', b'x' | b'X', ..] => (3, 16),
        [b'&', b'#', ..] => (2, 10),
        _ => return named(text),
    };
    let mut number = 0u32;
    let mut end = digits;
    while end < digits + LONGEST_ENTITY {
        let Some(digit) = text.get(end).and_then(|&byte| char::from(byte).to_digit(radix)) else { break };
        number = number.saturating_mul(radix).saturating_add(digit);
        end += 1;
    }
    // Other characters than ASCII only matter by being there.
    let byte = u8::try_from(number).unwrap_or(b'?');
    (end > digits).then(|| (byte, end + usize::from(text.get(end) == Some(&b';'))))
}

fn named(text: &[u8]) -> Option<(u8, usize)> {
    let length =
        text[1..].iter().take(LONGEST_ENTITY).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let name = &text[1..=length];
    // Those that HTML had first may stand without a semicolon, and run into the next word.
    for (known, byte) in [(&b"lt"[..], b'<'), (b"gt", b'>'), (b"amp", b'&'), (b"quot", b'"')] {
        if name.starts_with(known) && text.get(1 + length) != Some(&b';') {
            return Some((byte, 1 + known.len()));
        }
    }
    let (_, byte) = ENTITIES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))?;
    Some((*byte, 1 + length + usize::from(text.get(1 + length) == Some(&b';'))))
}
