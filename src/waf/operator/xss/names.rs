//! Which tags, attributes, addresses and comments can run a script. The lists and how freely their spelling is taken
//! are libinjection's (libinjection_xss.c of 3.9.2, Copyright (c) 2012-2016 Nick Galbreath, BSD 3-clause licence; its
//! text stands in `../sqli/words.txt`).

use memchr::memchr;

/// What an attribute can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Harmless,
    /// Whatever its value is, it may run.
    Script,
    Style,
    /// Its value is an address.
    Address,
    /// Its value is the name of another attribute.
    Indirect,
}

pub(super) fn attribute(name: &[u8]) -> Attribute {
    if name.len() >= 5 {
        let starts = |word: &[u8]| name[..word.len()].eq_ignore_ascii_case(word);
        if starts(b"on") || starts(b"xmlns") || starts(b"xlink") {
            return Attribute::Script;
        }
    }
    if name.len() < 2 {
        return Attribute::Harmless;
    }
    match Plain::of(name).text() {
        b"dataformatas" | b"datasrc" => Attribute::Script,
        b"filter" | b"style" => Attribute::Style,
        b"attributename" => Attribute::Indirect,
        b"action" | b"background" | b"by" | b"dynsrc" | b"folder" | b"formaction" | b"from" | b"handler"
        | b"href" | b"lowsrc" | b"poster" | b"src" | b"to" | b"values" => Attribute::Address,
        _ => Attribute::Harmless,
    }
}

pub(super) fn is_harmful_tag(name: &[u8]) -> bool {
    if name.len() < 3 {
        return false;
    }
    if [b"svg", b"xsl"].iter().any(|start| name[..3].eq_ignore_ascii_case(*start)) {
        return true;
    }
    matches!(
        Plain::of(name).text(),
        b"applet"
            | b"base"
            | b"comment"
            | b"embed"
            | b"frame"
            | b"frameset"
            | b"handler"
            | b"iframe"
            | b"import"
            | b"isindex"
            | b"link"
            | b"listener"
            | b"meta"
            | b"noscript"
            | b"object"
            | b"script"
            | b"style"
            | b"vmlframe"
            | b"xml"
            | b"xss"
    )
}

/// Conditional comments of Internet Explorer, and declarations that it reads in comments.
pub(super) fn is_harmful_comment(text: &[u8]) -> bool {
    let starts = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    // It also takes a back quote for the end of a tag.
    memchr(b'`', text).is_some()
        || text.len() > 3 && (starts(b"[if") || starts(b"xml"))
        || starts(b"import")
        || starts(b"entity")
}

/// An address that runs or hides a script. Characters may be written as numeric entities.
pub(super) fn is_harmful_address(text: &[u8]) -> bool {
    /// As long as the longest beginning.
    const LONGEST: usize = 11;
    let start = text.iter().position(|byte| (b'!'..=b'~').contains(byte)).unwrap_or(text.len());
    let mut rest = &text[start..];
    let mut first = [0; LONGEST];
    let mut len = 0;
    while len < LONGEST && !rest.is_empty() {
        let (character, read) = character(rest);
        rest = &rest[read..];
        // What browsers skip: anything up to a space at the beginning, line ends and zeros everywhere.
        if character <= 32 && (len == 0 || character == 0 || character == 10) {
            continue;
        }
        let upper = if (97..=122).contains(&character) { character - 32 } else { character };
        first[len] = upper as u8;
        len += 1;
    }
    let starts = |scheme: &[u8]| first[..len].starts_with(scheme);
    starts(b"DATA") || starts(b"VIEW-SOURCE") || starts(b"JAVA") || starts(b"VBSCRIPT")
}

/// The first character and how many bytes it takes. What is no numeric entity is one byte.
fn character(text: &[u8]) -> (u32, usize) {
    /// No character is beyond.
    const LAST: u32 = 0x10_00ff;
    let (digits, radix) = match text {
        [b'&', b'#', b'x' | b'X', ..] => (3, 16),
        [b'&', b'#', ..] => (2, 10),
        _ => return (u32::from(text[0]), 1),
    };
    let mut character = 0;
    let mut len = digits;
    while let Some(digit) = text.get(len).and_then(|byte| char::from(*byte).to_digit(radix)) {
        character = character * radix + digit;
        if character > LAST {
            return (u32::from(b'&'), 1);
        }
        len += 1;
    }
    match text.get(len) {
        _ if len == digits => (u32::from(b'&'), 1),
        Some(b';') => (character, len + 1),
        _ => (character, len),
    }
}

/// A name in lower case and without the zeros that browsers skip. Empty when it is longer than any name here.
struct Plain {
    bytes: [u8; Plain::LONGEST],
    len: usize,
}

impl Plain {
    /// `attributename`.
    const LONGEST: usize = 13;

    fn of(name: &[u8]) -> Plain {
        let mut plain = Plain { bytes: [0; Plain::LONGEST], len: 0 };
        for byte in name.iter().filter(|byte| **byte != 0) {
            let Some(place) = plain.bytes.get_mut(plain.len) else {
                plain.len = 0;
                break;
            };
            *place = byte.to_ascii_lowercase();
            plain.len += 1;
        }
        plain
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
