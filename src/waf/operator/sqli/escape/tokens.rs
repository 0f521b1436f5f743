//! The tokens behind an exit, as the forms look at them: by index, with their full text. What is behind the end is
//! nothing of any kind, so that no look ahead has to be guarded.

use std::ops::Range;

use smallvec::SmallVec;

use super::super::lexer::{Dialect, Lexer, Quote};
use super::super::token::Kind;

/// A comment that only cuts has a word in it at most.
const MOST_COMMENT: usize = 20;

/// So many tokens behind an exit are looked at. An injection shows itself in the first dozen.
const MOST_TOKENS: usize = 64;

/// A string's text without the quotes around it.
trait Unquoted {
    fn trim_matches_quotes(&self) -> &Self;
}

impl Unquoted for [u8] {
    fn trim_matches_quotes(&self) -> &[u8] {
        let quote = |byte: &u8| matches!(byte, b'\'' | b'"');
        let inner = self.split_first().filter(|(first, _)| quote(first)).map_or(self, |(_, rest)| rest);
        inner.split_last().filter(|(last, _)| quote(last)).map_or(inner, |(_, rest)| rest)
    }
}

pub(super) struct Tokens<'a> {
    pub(super) value: &'a [u8],
    items: SmallVec<[Item; MOST_TOKENS]>,
    /// The comment that cuts off what follows the value.
    comment: Option<Item>,
    /// True when there was more than is looked at.
    pub(super) more: bool,
    /// True when one word at most stands before the exit.
    pub(super) tight: bool,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    kind: Kind,
    start: usize,
    end: usize,
    /// A string that the value does not close.
    open_ended: bool,
}

impl<'a> Tokens<'a> {
    /// What stands from `at` on.
    pub(super) fn read(value: &'a [u8], at: usize) -> Tokens<'a> {
        Tokens::read_some(value, at, MOST_TOKENS)
    }

    /// So many tokens of it.
    pub(super) fn read_some(value: &'a [u8], at: usize, most: usize) -> Tokens<'a> {
        let mut lexer = Lexer::new(&value[at..], Quote::None, Dialect::Any);
        let mut tokens = Tokens { value, items: SmallVec::new(), comment: None, more: false, tight: false };
        while let Some(token) = lexer.next() {
            let (start, end) = (at + lexer.began, at + lexer.at);
            let item = Item { kind: token.kind, start, end, open_ended: token.close == 0 };
            if token.kind == Kind::Comment {
                tokens.comment = Some(item);
                continue;
            }
            tokens.comment = None;
            if tokens.items.len() == most {
                tokens.more = true;
                break;
            }
            tokens.items.push(item);
        }
        tokens
    }

    /// Four names in a row: a sentence, in which an operand ends no place.
    pub(super) fn is_sentence(&self) -> bool {
        self.items.windows(4).any(|four| four.iter().all(|item| item.kind == Kind::Bareword))
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn kind(&self, at: usize) -> Option<Kind> {
        self.items.get(at).map(|item| item.kind)
    }

    pub(super) fn is_kind(&self, at: usize, kind: Kind) -> bool {
        self.kind(at) == Some(kind)
    }

    /// The text of a token, quotes and all.
    pub(super) fn text(&self, at: usize) -> &'a [u8] {
        self.items.get(at).map_or(b"", |item| &self.value[item.start..item.end])
    }

    pub(super) fn span(&self, at: usize) -> Range<usize> {
        self.items.get(at).map_or(self.value.len()..self.value.len(), |item| item.start..item.end)
    }

    pub(super) fn is(&self, at: usize, word: &str) -> bool {
        self.text(at).eq_ignore_ascii_case(word.as_bytes())
    }

    pub(super) fn is_any(&self, at: usize, words: &[&str]) -> bool {
        let text = self.text(at);
        !text.is_empty() && words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// A name or a word of the language, no matter which.
    pub(super) fn is_word(&self, at: usize) -> bool {
        let first = self.text(at).first().copied().unwrap_or(0);
        first.is_ascii_alphabetic()
            || matches!(first, b'_' | b'[' | b'`')
            || (!first.is_ascii() && self.is_kind(at, Kind::Bareword))
    }

    pub(super) fn is_string(&self, at: usize) -> bool {
        self.is_kind(at, Kind::Text)
    }

    /// A string of a few letters or digits, as is compared with another.
    pub(super) fn is_plain_string(&self, at: usize) -> bool {
        let inner = self.text(at).trim_matches_quotes();
        self.is_string(at)
            && inner.len() <= 32
            && inner.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.%@-".contains(byte))
    }

    /// True when no string among these is a stretch of text between two quotes: that begins with a space or goes on
    /// for long.
    pub(super) fn strings_are_modest(&self, tokens: Range<usize>) -> bool {
        tokens.into_iter().filter(|at| self.is_string(*at)).all(|at| {
            let inner = self.text(at).trim_matches_quotes().trim_ascii_end();
            let begins = inner.first().is_none_or(|byte| !b" \t\n,;".contains(byte));
            let whole = inner.iter().all(|byte| !b"\n\r".contains(byte));
            begins && whole && inner.len() <= 48
        })
    }

    pub(super) fn is_open_string(&self, at: usize) -> bool {
        self.items.get(at).is_some_and(|item| item.kind == Kind::Text && item.open_ended)
    }

    /// Nothing or a comment follows.
    pub(super) fn is_end(&self, at: usize) -> bool {
        !self.more && (at..self.items.len()).all(|at| self.is_kind(at, Kind::Semicolon))
    }

    /// A comment follows that hides the rest of the statement. A sentence behind dashes is none.
    pub(super) fn is_cut(&self, at: usize) -> bool {
        self.is_end(at)
            && self.comment().is_some_and(|comment| {
                let text = comment.trim_ascii();
                text.len() <= MOST_COMMENT && text.iter().filter(|byte| **byte == b' ').count() <= 2
            })
    }

    /// The text of that comment.
    pub(super) fn comment(&self) -> Option<&'a [u8]> {
        self.comment.map(|item| &self.value[item.start..item.end])
    }

    /// Where that comment begins.
    pub(super) fn comment_start(&self) -> usize {
        self.comment.map_or(self.value.len(), |item| item.start)
    }

    /// What stands between a token and the one before it has a line break.
    pub(super) fn is_on_new_line(&self, at: usize) -> bool {
        let before = at.checked_sub(1).map_or(0, |before| self.span(before).end);
        self.value[before.min(self.span(at).start)..self.span(at).start].contains(&b'\n')
    }

    /// A bracket follows the name at `at` directly, or behind a comment, as in a call.
    pub(super) fn is_called(&self, at: usize) -> bool {
        self.is_kind(at + 1, Kind::LeftParen)
            && self.value.get(self.span(at).end).is_some_and(|byte| matches!(byte, b'(' | b'/'))
    }

    /// The first token from `at` on that is no closing bracket.
    pub(super) fn behind_closers(&self, mut at: usize) -> usize {
        while matches!(self.kind(at), Some(Kind::RightParen | Kind::RightBrace)) || self.text(at) == b"]" {
            at += 1;
        }
        at
    }

    pub(super) fn behind_openers(&self, mut at: usize) -> usize {
        while self.is_kind(at, Kind::LeftParen) {
            at += 1;
        }
        at
    }

    /// The token behind the bracket that closes the one at `at`, or the end.
    pub(super) fn behind_brackets(&self, at: usize) -> usize {
        let mut depth = 0usize;
        for index in at..self.items.len() {
            match self.items[index].kind {
                Kind::LeftParen => depth += 1,
                Kind::RightParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return index + 1;
            }
        }
        self.items.len()
    }
}
