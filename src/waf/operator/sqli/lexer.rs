//! Cuts a value into SQL tokens, one at a time and never looking back. It reads a mixture of dialects, with the odd
//! corners of MySQL, PostgreSQL, Oracle and SQL Server in which attacks hide; it does not tell good SQL from bad.
//!
//! Strings, words and numbers, which take several bytes to tell apart, are in `literal.rs`.

use memchr::{memchr, memchr_iter};

use crate::waf::bytes::ByteSet;

use super::token::{Kind, Token};

/// Where the value is taken to stand in the statement around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quote {
    /// On its own.
    None,
    /// Behind a quote that was opened before it.
    Single,
    Double,
}

/// Who reads `#` and `--x`: in MySQL the first begins a comment and the second does not; elsewhere it is the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Ansi,
    MySql,
    /// Both are comments, and what MySQL runs in `/*! */` is read as if it stood there alone.
    Any,
}

/// White space as databases see it: Oracle takes zero for it, and the no-break space of Latin-1 counts too.
const WHITE: ByteSet = ByteSet::of(b" \t\n\x0b\x0c\r\xa0\0");

#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    pub(super) value: &'a [u8],
    /// Where the next token begins.
    pub(super) at: usize,
    /// Where the last token began.
    pub(super) began: usize,
    quote: Quote,
    dialect: Dialect,
    /// How many tokens were handed out, comments and all.
    pub(super) tokens: usize,
    /// True once the other dialect would have read something differently.
    pub(super) dialects_differ: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(value: &'a [u8], quote: Quote, dialect: Dialect) -> Lexer<'a> {
        Lexer { value, at: 0, began: 0, quote, dialect, tokens: 0, dialects_differ: false }
    }

    /// The byte `ahead` of the next token's first; zero behind the end, which no caller takes for content.
    pub(super) fn peek(&self, ahead: usize) -> u8 {
        self.value.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.value.len() - self.at
    }

    /// The next `len` bytes as a token.
    pub(super) fn take(&mut self, kind: Kind, len: usize) -> Token {
        let token = Token::new(kind, self.at, len);
        self.at += len;
        token
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        if self.at == 0 && !self.value.is_empty() {
            let quote = match self.quote {
                Quote::None => None,
                Quote::Single => Some(b'\''),
                Quote::Double => Some(b'"'),
            };
            if let Some(quote) = quote {
                self.tokens += 1;
                return Some(self.quoted(quote, 0));
            }
        }
        self.skip_white();
        while self.dialect == Dialect::Any && self.skip_conditional() {
            self.skip_white();
        }
        self.began = self.at;
        let first = *self.value.get(self.at)?;
        self.tokens += 1;
        Some(self.token(first))
    }

    fn skip_white(&mut self) {
        let skipped = self.value[self.at..].iter().position(|&byte| !is_skipped(byte));
        self.at = skipped.map_or(self.value.len(), |skipped| self.at + skipped);
    }

    /// Passes over `/*!50000` or the `*/` behind it: what stands between them runs.
    fn skip_conditional(&mut self) -> bool {
        let rest = &self.value[self.at..];
        if rest.starts_with(b"/*!") {
            let digits = rest[3..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
            self.at += 3 + digits;
            return true;
        }
        if rest.starts_with(b"*/") {
            self.at += 2;
            return true;
        }
        false
    }

    fn token(&mut self, first: u8) -> Token {
        match first {
            b'(' => self.take(Kind::LeftParen, 1),
            b')' => self.take(Kind::RightParen, 1),
            b'{' => self.take(Kind::LeftBrace, 1),
            b'}' => self.take(Kind::RightBrace, 1),
            b',' => self.take(Kind::Comma, 1),
            b';' => self.take(Kind::Semicolon, 1),
            b'?' | b']' => self.take(Kind::Unknown, 1),
            b'%' | b'+' | b'^' | b'~' => self.take(Kind::Operator, 1),
            b'!' | b'&' | b'*' | b':' | b'<' | b'=' | b'>' | b'|' => self.operator(),
            b'-' => self.dash(),
            b'#' => self.hash(),
            b'/' => self.slash(),
            b'\\' => self.backslash(),
            b'"' | b'\'' => self.quoted(first, 1),
            b'`' => self.tick(),
            b'@' => self.variable(),
            b'$' => self.dollar(),
            b'[' => self.bracketed(),
            b'.' | b'0'..=b'9' => self.number(),
            b'b' | b'B' => self.digit_string(b"01\0"),
            b'x' | b'X' => self.digit_string(b"0123456789abcdefABCDEF\0"),
            b'e' | b'E' => self.escape_string(),
            b'n' | b'N' => self.national_string(),
            b'q' | b'Q' => self.oracle_string(0),
            b'u' | b'U' => self.unicode_string(),
            _ => self.word(),
        }
    }

    /// Operators of up to three bytes.
    fn operator(&mut self) -> Token {
        match (self.peek(0), self.peek(1)) {
            (b'<', b'=') if self.peek(2) == b'>' => self.take(Kind::Operator, 3),
            (b'&', b'&') | (b'|', b'|') => self.take(Kind::Logic, 2),
            (b'!', b'!' | b'<' | b'=' | b'>')
            | (b'&' | b'*', b'=')
            | (b':', b':' | b'=')
            | (b'<', b'<' | b'=' | b'>' | b'@')
            | (b'>', b'=' | b'>')
            | (b'|', b'/' | b'=') => self.take(Kind::Operator, 2),
            (b':', _) if self.left() > 1 => self.take(Kind::Colon, 1),
            _ => self.take(Kind::Operator, 1),
        }
    }

    fn dash(&mut self) -> Token {
        if self.peek(1) != b'-' {
            return self.take(Kind::Operator, 1);
        }
        if self.left() == 2 || WHITE.contains(self.peek(2)) {
            return self.line_comment();
        }
        match self.dialect {
            Dialect::Ansi => {
                self.dialects_differ = true;
                self.line_comment()
            }
            Dialect::MySql => self.take(Kind::Operator, 1),
            Dialect::Any => self.line_comment(),
        }
    }

    fn hash(&mut self) -> Token {
        self.dialects_differ = true;
        match self.dialect {
            Dialect::Ansi => self.take(Kind::Operator, 1),
            Dialect::MySql | Dialect::Any => self.line_comment(),
        }
    }

    fn line_comment(&mut self) -> Token {
        match memchr(b'\n', &self.value[self.at..]) {
            Some(len) => {
                let comment = self.take(Kind::Comment, len);
                self.at += 1;
                comment
            }
            None => self.take(Kind::Comment, self.left()),
        }
    }

    /// A division or a comment. PostgreSQL nests comments and others do not, and MySQL runs what is in `/*! */`:
    /// whichever it is, it was not written in good faith.
    fn slash(&mut self) -> Token {
        if self.peek(1) != b'*' {
            return self.take(Kind::Operator, 1);
        }
        let inside = &self.value[self.at + 2..];
        let end = find_pair(inside, *b"*/");
        // The star that ends the comment counts: `/*/*/` nests too.
        let nested = end.is_some_and(|end| find_pair(&inside[..=end], *b"/*").is_some());
        let evil = nested || self.peek(2) == b'!';
        let kind = if evil && self.dialect != Dialect::Any { Kind::Evil } else { Kind::Comment };
        self.take(kind, end.map_or(self.left(), |end| end + 4))
    }

    fn backslash(&mut self) -> Token {
        match self.peek(1) {
            // MySQL's other way to write NULL.
            b'N' => self.take(Kind::Number, 2),
            _ => self.take(Kind::Backslash, 1),
        }
    }
}

/// White space and control characters between tokens.
fn is_skipped(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f || byte == 0xa0
}

pub(super) fn is_white(byte: u8) -> bool {
    WHITE.contains(byte)
}

/// Where two bytes stand side by side. Cheaper to begin than a general search, of which a value may ask for thousands.
pub(super) fn find_pair(value: &[u8], pair: [u8; 2]) -> Option<usize> {
    memchr_iter(pair[1], value).find(|&at| at > 0 && value[at - 1] == pair[0]).map(|at| at - 1)
}
