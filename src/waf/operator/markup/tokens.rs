//! The tokens of JavaScript, as far as they matter to what a script calls. Comments and blanks are left out.

use smallvec::SmallVec;

/// More tokens than this are not looked at: an attack comes to the point.
const MOST_TOKENS: usize = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or keyword.
    Word,
    Number,
    /// A string, without its quotes.
    Text,
    /// What stands between grave accents.
    Template,
    /// A regular expression.
    Pattern,
    Sign(u8),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a [u8],
    /// It has `\u` or, in a text, another escape that hides a letter.
    pub escaped: bool,
}

pub(super) fn tokens(code: &[u8]) -> SmallVec<[Token<'_>; 32]> {
    let mut found: SmallVec<[Token<'_>; 32]> = SmallVec::new();
    let mut at = 0;
    while at < code.len() && found.len() < MOST_TOKENS {
        let rest = &code[at..];
        let byte = rest[0];
        let divides = found.last().is_some_and(|last| {
            matches!(last.kind, Kind::Word | Kind::Number | Kind::Text | Kind::Template | Kind::Pattern)
                || matches!(last.kind, Kind::Sign(b')' | b']' | b'}'))
        });
        let (kind, skip, length, behind) = match byte {
            0..=b' ' => {
                at += 1;
                continue;
            }
            b'/' if rest.starts_with(b"/*") => {
                at += memchr::memmem::find(&rest[2..], b"*/").map_or(rest.len(), |end| end + 4);
                continue;
            }
            b'/' if rest.starts_with(b"//") => {
                at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                continue;
            }
            b'<' if rest.starts_with(b"<!--") => {
                at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(4);
                continue;
            }
            b'"' | b'\'' | b'`' => {
                let length = quoted(&rest[1..], byte);
                (if byte == b'`' { Kind::Template } else { Kind::Text }, 1, length, 1)
            }
            // A quote that a JSON writer escaped.
            b'\\' if matches!(rest.get(1), Some(b'"' | b'\'')) => {
                let quote = rest[1];
                let length = memchr::memchr(quote, &rest[2..]).unwrap_or(rest.len() - 2);
                (Kind::Text, 2, length, 1)
            }
            0xe2 if is_curved(rest) => match curved(rest) {
                Some(length) => (Kind::Text, 3, length, 3),
                None => (Kind::Sign(b'"'), 0, 3, 0),
            },
            b'/' if !divides && pattern(rest).is_some() => (Kind::Pattern, 1, pattern(rest).unwrap_or(0), 1),
            b'0'..=b'9' => {
                (Kind::Number, 0, rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count(), 0)
            }
            _ if starts_word(rest) => (Kind::Word, 0, word(rest), 0),
            _ => (Kind::Sign(byte), 0, 1, 0),
        };
        let text = &rest[skip..skip + length];
        let escaped = match kind {
            Kind::Word => hides_letter(text),
            Kind::Text | Kind::Template => hides(text),
            _ => false,
        };
        found.push(Token { kind, text, escaped });
        at += skip + length + behind;
    }
    found
}

fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < text.len() && text[at] != quote {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    // A text without an end may have had its end escaped by the page.
    if at < text.len() { at } else { memchr::memchr(quote, text).unwrap_or(text.len()) }
}

/// The curved quotation marks of a word processor, which payloads catch on their way through a blog.
fn is_curved(text: &[u8]) -> bool {
    matches!(text, [0xe2, 0x80, 0x98..=0x9f, ..])
}

/// The length of a short text between curved marks.
fn curved(text: &[u8]) -> Option<usize> {
    const LONGEST: usize = 80;
    (3..text.len().min(LONGEST)).find(|&at| is_curved(&text[at..])).map(|at| at - 3)
}

/// A name with an ASCII letter written as `\u0061` or `\u{61}`. Nobody writes one so by chance.
fn hides_letter(word: &[u8]) -> bool {
    memchr::memmem::find_iter(word, b"\\u").any(|at| {
        let digits = &word[at + 2..];
        match digits.strip_prefix(b"{") {
            None => matches!(digits, [b'0', b'0', b'4'..=b'7', _, ..]),
            Some(digits) => {
                let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
                matches!(&digits[zeros..], [b'4'..=b'7', _, b'}', ..])
            }
        }
    })
}

/// The length of the expression between two slashes on one line.
fn pattern(text: &[u8]) -> Option<usize> {
    const LONGEST: usize = 200;
    let mut at = 1;
    while at < text.len().min(LONGEST) && text[at] != b'\n' {
        match text[at] {
            b'/' => return (at > 1).then_some(at - 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

fn starts_word(text: &[u8]) -> bool {
    matches!(text[0], b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' | 0x80..) || text.starts_with(b"\\u")
}

fn word(text: &[u8]) -> usize {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            0xe2 if is_curved(&text[at..]) => break,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | 0x80.. => at += 1,
            b'\\' if text[at..].starts_with(b"\\u{") => {
                at += memchr::memchr(b'}', &text[at..]).map_or(3, |length| length + 1);
            }
            b'\\' if text[at..].starts_with(b"\\u") => at = text.len().min(at + 6),
            _ => break,
        }
    }
    at
}

/// The text has letters written as numbers.
fn hides(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\\', text).any(|at| match text.get(at + 1) {
        Some(b'x' | b'u') => true,
        Some(b'1') => text.get(at + 2).is_some_and(u8::is_ascii_digit),
        _ => false,
    })
}
