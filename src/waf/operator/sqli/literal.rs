//! The tokens that take more than a byte to tell: strings in all their prefixes and quotes, numbers, variables, words.
//!
//! A list of bytes here often ends with zero: what libinjection compares with a C string also takes the zero at the
//! string's end for a member, and attacks written against it rely on what it does.

use memchr::{memchr, memmem};

use crate::waf::bytes::ByteSet;

use super::lexer::{Lexer, find_pair, is_white};
use super::token::{Kind, TEXT_BYTES, Token};
use super::words;

/// What ends a word.
const WORD_END: ByteSet = ByteSet::of(b" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r\"\xa0\0");

/// What ends the name of a variable.
const VARIABLE_END: ByteSet = ByteSet::of(b" <>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r'`\"\0");

const MONEY: ByteSet = ByteSet::range(b'0', b'9').union(ByteSet::of(b".,\0"));

const LETTERS: ByteSet =
    ByteSet::range(b'a', b'z').union(ByteSet::range(b'A', b'Z')).union(ByteSet::of(b"\0"));

impl<'a> Lexer<'a> {
    /// A string whose content begins `prefix` bytes on. A backslash or a second quote keeps the quote in it.
    pub(super) fn quoted(&mut self, quote: u8, prefix: usize) -> Token {
        let content = &self.value[self.at + prefix..];
        let mut from = 0;
        let end = loop {
            let Some(found) = content.get(from..).and_then(|rest| memchr(quote, rest)) else { break None };
            let found = from + found;
            let slashes = content[..found].iter().rev().take_while(|byte| **byte == b'\\').count();
            if slashes % 2 == 1 {
                from = found + 1;
            } else if content.get(found + 1) == Some(&quote) {
                from = found + 2;
            } else {
                break Some(found);
            }
        };
        let open = if prefix > 0 { quote } else { 0 };
        self.string(prefix, end, 1, open, quote)
    }

    /// A string whose content begins `prefix` bytes on and ends `end` bytes later with a mark of `mark` bytes.
    fn string(&mut self, prefix: usize, end: Option<usize>, mark: usize, open: u8, close: u8) -> Token {
        let at = self.at + prefix;
        let text = Token::new(Kind::Text, at, end.unwrap_or(self.value.len() - at));
        self.at = end.map_or(self.value.len(), |end| at + end + mark);
        text.quoted_by(open, if end.is_some() { close } else { 0 })
    }

    /// `e'...'` of PostgreSQL, `n'...'` of MySQL.
    pub(super) fn escape_string(&mut self) -> Token {
        if self.left() > 2 && self.peek(1) == b'\'' { self.quoted(b'\'', 2) } else { self.word() }
    }

    /// `n'...'`, and `nq'...'` of Oracle.
    pub(super) fn national_string(&mut self) -> Token {
        if self.left() > 2 && self.peek(1) == b'\'' { self.quoted(b'\'', 2) } else { self.oracle_string(1) }
    }

    /// `u&'...'`.
    pub(super) fn unicode_string(&mut self) -> Token {
        if self.peek(1) != b'&' || self.peek(2) != b'\'' {
            return self.word();
        }
        let token = self.quoted(b'\'', 3);
        token.quoted_by(b'u', if token.close == 0 { 0 } else { b'u' })
    }

    /// `q'(...)'` with a delimiter of the writer's choice, behind a prefix of that length.
    pub(super) fn oracle_string(&mut self, prefix: usize) -> Token {
        let delimiter = self.peek(prefix + 2);
        let quoted = matches!(self.peek(prefix), b'q' | b'Q') && self.peek(prefix + 1) == b'\'';
        // A byte above ASCII is no delimiter: as a signed character it is below the space.
        if !quoted || delimiter <= b' ' || !delimiter.is_ascii() {
            return self.word();
        }
        let end = match delimiter {
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            other => other,
        };
        let content = &self.value[self.at + prefix + 3..];
        let end = find_pair(content, [end, b'\'']);
        self.string(prefix + 3, end, 2, b'q', b'q')
    }

    /// `b'01'` and `x'0f'` are numbers.
    pub(super) fn digit_string(&mut self, digits: &[u8]) -> Token {
        if self.left() > 2 && self.peek(1) == b'\'' {
            let content = &self.value[self.at + 2..];
            let len = content.iter().take_while(|byte| digits.contains(byte)).count();
            if content.get(len) == Some(&b'\'') {
                return self.take(Kind::Number, len + 3);
            }
        }
        self.word()
    }

    /// `` `name` `` of MySQL: a function's name or just a name.
    pub(super) fn tick(&mut self) -> Token {
        let token = self.quoted(b'`', 1);
        let word = words::find(token.text(self.value));
        let kind = word.and_then(|word| word.kind).filter(|kind| *kind == Kind::Function);
        token.as_kind(kind.unwrap_or(Kind::Bareword)).known_as(word)
    }

    /// `[name]` of SQL Server.
    pub(super) fn bracketed(&mut self) -> Token {
        let end = memchr(b']', &self.value[self.at..]);
        self.take(Kind::Bareword, end.map_or(self.left(), |end| end + 1))
    }

    /// `@name`, `@@name`, and both with the name in quotes.
    pub(super) fn variable(&mut self) -> Token {
        self.at += if self.peek(1) == b'@' { 2 } else { 1 };
        match self.peek(0) {
            b'`' => self.tick().as_kind(Kind::Variable),
            quote @ (b'\'' | b'"') => self.quoted(quote, 1).as_kind(Kind::Variable),
            _ => {
                let rest = &self.value[self.at..];
                self.take(Kind::Variable, VARIABLE_END.find(rest).unwrap_or(rest.len()))
            }
        }
    }

    /// Money (`$1,000.00`), PostgreSQL's strings (`$$...$$`, `$name$...$name$`), or a name.
    pub(super) fn dollar(&mut self) -> Token {
        let rest = &self.value[self.at + 1..];
        match span(rest, &MONEY) {
            0 => {}
            1 if rest[0] == b'.' => return self.word(),
            len => return self.take(Kind::Number, len + 1),
        }
        // `$$` is the case of no name.
        let name = if rest.first() == Some(&b'$') { 0 } else { span(rest, &LETTERS) };
        if rest.get(name) != Some(&b'$') {
            return self.take(Kind::Bareword, 1);
        }
        let tag = &self.value[self.at..self.at + name + 2];
        let end =
            if name == 0 { find_pair(&rest[1..], *b"$$") } else { memmem::find(&rest[name + 1..], tag) };
        self.string(tag.len(), end, tag.len(), b'$', b'$')
    }

    pub(super) fn number(&mut self) -> Token {
        let rest = &self.value[self.at..];
        let digits: Option<&[u8]> = match (self.peek(0), self.peek(1)) {
            (b'0', b'x' | b'X') => Some(b"0123456789abcdefABCDEF\0"),
            (b'0', b'b' | b'B') => Some(b"01\0"),
            _ => None,
        };
        if let Some(digits) = digits {
            let len = rest[2..].iter().take_while(|byte| digits.contains(byte)).count();
            let kind = if len == 0 { Kind::Bareword } else { Kind::Number };
            return self.take(kind, len + 2);
        }
        let digits = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let at = |index: usize| rest.get(index).copied();
        let mut len = digits(0);
        if at(len) == Some(b'.') {
            len += 1;
            len += digits(len);
            if len == 1 {
                return self.take(Kind::Dot, 1);
            }
        }
        let mut kind = Kind::Number;
        if matches!(at(len), Some(b'e' | b'E')) {
            len += 1;
            if matches!(at(len), Some(b'+' | b'-')) {
                len += 1;
            }
            match digits(len) {
                // `1.e` is a name.
                0 => kind = Kind::Bareword,
                exponent => len += exponent,
            }
        }
        // Oracle's suffixes. `1fUNION` is `1f UNION`, while `1FROM` is `1 FROM`.
        if matches!(at(len), Some(b'd' | b'D' | b'f' | b'F')) {
            match at(len + 1) {
                None | Some(b';' | b'u' | b'U') => len += 1,
                Some(next) if is_white(next) => len += 1,
                Some(_) => {}
            }
        }
        self.take(kind, len)
    }

    /// A name or a word of the language. `select.1` and ``select`a` `` begin with one; it ends there.
    pub(super) fn word(&mut self) -> Token {
        let rest = &self.value[self.at..];
        let mut len = 0;
        while let Some(&byte) = rest.get(len) {
            if WORD_END.contains(byte) {
                break;
            }
            if (byte == b'.' || byte == b'`') && len < TEXT_BYTES {
                let word = words::find(&rest[..len]);
                let kind = word.and_then(|word| word.kind).filter(|kind| *kind != Kind::Bareword);
                if let Some(kind) = kind {
                    return self.take(kind, len).known_as(word);
                }
            }
            len += 1;
        }
        let word = if len <= TEXT_BYTES { words::find(&rest[..len]) } else { None };
        self.take(word.and_then(|word| word.kind).unwrap_or(Kind::Bareword), len).known_as(word)
    }
}

/// How many bytes at the beginning are of the set.
fn span(value: &[u8], set: &ByteSet) -> usize {
    value.iter().take_while(|byte| set.contains(**byte)).count()
}
