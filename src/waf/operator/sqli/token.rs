//! What the tokeniser hands out: a kind, and as much of the text as the rules look at.

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

/// One token. `text` lacks the quotes of a string and is at most [`TEXT_BYTES`] long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// The quote that opened a string; zero when it began before the value.
    pub(super) open: u8,
    /// The quote that closed it; zero when it goes on behind the value.
    pub(super) close: u8,
    /// True when some phrase of several words begins with this text.
    pub(super) starts_phrase: bool,
    pub(super) text: &'a [u8],
}

impl<'a> Token<'a> {
    pub(super) const BLANK: Token<'static> =
        Token { kind: Kind::Unknown, open: 0, close: 0, starts_phrase: false, text: b"" };

    pub(super) fn new(kind: Kind, text: &'a [u8]) -> Token<'a> {
        let text = &text[..text.len().min(TEXT_BYTES)];
        Token { kind, open: 0, close: 0, starts_phrase: false, text }
    }

    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn is_any(&self, words: &[&[u8]]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    pub(super) fn is_unary(&self) -> bool {
        self.kind == Kind::Operator
            && match self.text {
                [one] => b"+-!~".contains(one),
                [b'!', b'!'] => true,
                _ => self.is(b"NOT"),
            }
    }

    pub(super) fn is_arithmetic(&self) -> bool {
        self.kind == Kind::Operator && matches!(self.text, [b'*' | b'/' | b'-' | b'+' | b'%'])
    }
}
