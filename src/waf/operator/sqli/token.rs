//! What the tokeniser hands out: a kind, and as much of the text as the rules look at.

use super::words::{self, Word};

/// What a token is. The letters are libinjection's; a fingerprint is written with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Keyword = b'k',
    Union = b'U',
    /// `group by`, `limit`, `having`.
    Group = b'B',
    /// What an expression follows: `select`, `case`, `set`.
    Expression = b'E',
    SqlType = b't',
    Function = b'f',
    Bareword = b'n',
    Number = b'1',
    Variable = b'v',
    Text = b's',
    Operator = b'o',
    Logic = b'&',
    Comment = b'c',
    Collate = b'A',
    LeftParen = b'(',
    RightParen = b')',
    LeftBrace = b'{',
    RightBrace = b'}',
    Dot = b'.',
    Comma = b',',
    Colon = b':',
    Semicolon = b';',
    /// A statement of Transact-SQL: `declare`, `drop`, `exec`.
    Statement = b'T',
    Unknown = b'?',
    /// What databases read so differently that nobody writes it in good faith.
    Evil = b'X',
    Backslash = b'\\',
}

/// Longer texts are cut to this length: no word or phrase is longer.
pub(super) const TEXT_BYTES: usize = 31;

/// One token, in eight bytes: tokens are copied more often than anything else here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// The quote that opened a string; zero when it began before the value.
    pub(super) open: u8,
    /// The quote that closed it; zero when it goes on behind the value.
    pub(super) close: u8,
    source: Source,
    /// Where its text begins, or the number of the phrase.
    at: u32,
}

/// Where a token's text is, its length in the lower bits.
#[derive(Clone, Copy, Debug)]
struct Source(u8);

impl Source {
    const LEN: u8 = 0x1f;
    /// Some phrase of several words begins with the text.
    const STARTS_PHRASE: u8 = 0x20;
    /// The text is not in the value: several tokens became a phrase.
    const PHRASE: u8 = 0x40;
}

impl Token {
    pub(super) const BLANK: Token =
        Token { kind: Kind::Unknown, open: 0, close: 0, source: Source(0), at: 0 };

    /// A token of this much of the value, without the quotes of a string.
    pub(super) fn new(kind: Kind, at: usize, len: usize) -> Token {
        let source = Source(len.min(TEXT_BYTES) as u8);
        Token { kind, open: 0, close: 0, source, at: at as u32 }
    }

    /// Tokens that became a phrase of the list, whose quotes are those of the first.
    pub(super) fn phrase(kind: Kind, phrase: &Word, first: &Token) -> Token {
        let starts = if phrase.starts_phrase { Source::STARTS_PHRASE } else { 0 };
        let source = Source(Source::PHRASE | starts | phrase.text.len() as u8);
        Token { kind, open: first.open, close: first.close, source, at: u32::from(phrase.number) }
    }

    pub(super) fn as_kind(self, kind: Kind) -> Token {
        Token { kind, ..self }
    }

    pub(super) fn quoted_by(self, open: u8, close: u8) -> Token {
        Token { open, close, ..self }
    }

    /// The same, and what the list says of its text.
    pub(super) fn known_as(mut self, word: Option<&Word>) -> Token {
        if word.is_some_and(|word| word.starts_phrase) {
            self.source.0 |= Source::STARTS_PHRASE;
        }
        self
    }

    /// True when some phrase of several words begins with its text.
    pub(super) fn starts_phrase(&self) -> bool {
        self.source.0 & Source::STARTS_PHRASE != 0
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.source.0 & Source::LEN)
    }

    /// The text, at most [`TEXT_BYTES`] long. `value` is what the token was read from.
    pub(super) fn text<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        if self.source.0 & Source::PHRASE != 0 {
            return words::all()[self.at as usize].text;
        }
        &value[self.at as usize..][..self.len()]
    }

    pub(super) fn is(&self, value: &[u8], word: &[u8]) -> bool {
        self.len() == word.len() && self.text(value).eq_ignore_ascii_case(word)
    }

    pub(super) fn is_any(&self, value: &[u8], words: &[&[u8]]) -> bool {
        words.iter().any(|word| self.is(value, word))
    }

    pub(super) fn is_unary(&self, value: &[u8]) -> bool {
        self.kind == Kind::Operator
            && match self.text(value) {
                [one] => matches!(one, b'+' | b'-' | b'!' | b'~'),
                [b'!', b'!'] => true,
                _ => self.is(value, b"NOT"),
            }
    }

    pub(super) fn is_arithmetic(&self, value: &[u8]) -> bool {
        self.kind == Kind::Operator && matches!(self.text(value), [b'*' | b'/' | b'-' | b'+' | b'%'])
    }
}
