//! Does a value leave the place it was put into and go on as SQL?
//!
//! A place is a number, a name or a string. A value leaves it by ending it (with an operand of its own, with the quote
//! that opened the string) and goes on with what a statement may go on with: a condition, a UNION, a second statement,
//! an order, a comment that hides the rest. Text has quotes and the words `or`, `and`, `union`, `select` as well, but
//! seldom right behind the exit, and seldom with what SQL needs behind them: constants that are compared, functions that
//! databases have, column lists, a comment at the very end.
//!
//! This is no parser of any dialect. It asks little of the grammar: attacks are cut out of the middle of statements,
//! and much of what is tried does not run.

use std::ops::Range;

use memchr::{memchr, memmem};

use self::condition::Operand;
use self::tokens::Tokens;
use super::token::Kind;
use super::{MOST_BYTES, is_quiet};

mod balanced;
mod condition;
mod forms;
mod hints;
mod statement;
#[cfg(test)]
mod tests;
mod tokens;
mod vocabulary;

/// An injection: how the value goes on behind its exit, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Escape {
    pub(in super::super) form: &'static str,
    pub(in super::super) span: Range<usize>,
}

/// How the value ends the place it was put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// It does not: it begins with what goes on.
    Bare,
    /// With a number, `null` and the like.
    Number,
    /// With a string of its own.
    Text,
    /// With a name, or a comparison.
    Name,
    /// With the quote that opened the string around it.
    Quote,
}

/// So many quotes of a kind are tried as the one that ends the string.
const MOST_QUOTES: usize = 4;

/// The first exit of the value with an SQL continuation.
pub(in super::super) fn find(value: &[u8]) -> Option<Escape> {
    if value.len() < 2 || is_quiet(value) {
        return None;
    }
    let value = &value[..value.len().min(MOST_BYTES)];
    if value.len() > LONGEST_WORD && hints::is_one_word(value) {
        return None;
    }
    find_as_written(value)
        .or_else(|| respelled(value).and_then(|spelling| find_as_written(&spelling)))
        .or_else(|| find_inside(value))
}

/// The last piece of a path, and the strings of a query in GraphQL or of a JSON text: values inside the value.
fn find_inside(value: &[u8]) -> Option<Escape> {
    let inner = |from: usize, to: usize| {
        let inner = &value[from..to];
        if inner.len() < 2 || is_quiet(inner) {
            return None;
        }
        let Escape { form, span } = find_as_written(inner)?;
        Some(Escape { form, span: from + span.start..from + span.end })
    };
    if value.first() == Some(&b'/') {
        let end = value.iter().position(|byte| !byte.is_ascii_alphanumeric() && !b"/._-~".contains(byte))?;
        let from = value[..end].iter().rposition(|byte| *byte == b'/')? + 1;
        return inner(from, value.len());
    }
    if !is_document(value) {
        return None;
    }
    let mut rest = 0;
    for _ in 0..MOST_STRINGS {
        let from = rest + memchr(b'"', &value[rest..])? + 1;
        let ends = |at: &usize| value[*at] == b'"' && value[*at - 1] != b'\\';
        let len = (from..value.len()).find(ends).unwrap_or(value.len()) - from;
        if let Some(found) = inner(from, from + len) {
            return Some(found);
        }
        rest = (from + len + 1).min(value.len());
    }
    None
}

/// A query in GraphQL or a JSON text.
fn is_document(value: &[u8]) -> bool {
    let begins = |start: &&[u8]| value.trim_ascii_start().starts_with(start);
    [&b"{"[..], b"[", b"query", b"mutation", b"subscription"].iter().any(begins)
}

/// So many strings of a document are looked at by themselves.
const MOST_STRINGS: usize = 32;

/// A short value as it is meant where it passes one more decoder or filter: with spaces for its plus signs, and
/// without the empty comments that break words.
fn respelled(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() > MOST_RESPELLED {
        return None;
    }
    let plus = memchr(b'+', value).is_some() && memchr(b' ', value).is_none();
    let broken = memmem::find(value, b"/**/").is_some();
    if !plus && !broken {
        return None;
    }
    let mut spelling = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&first, behind)) = rest.split_first() {
        if broken && rest.starts_with(b"/**/") {
            rest = &rest[4..];
            continue;
        }
        spelling.push(if plus && first == b'+' { b' ' } else { first });
        rest = behind;
    }
    Some(spelling)
}

/// An address, a token, an encoded picture: values of this length without spaces are common.
const LONGEST_WORD: usize = 64;

/// So many tokens are read of a value that may be a sentence.
const FIRST_TOKENS: usize = 16;

/// A longer value is read as it is written only.
const MOST_RESPELLED: usize = 1024;

fn find_as_written(value: &[u8]) -> Option<Escape> {
    let mut tokens = Tokens::read_some(value, 0, FIRST_TOKENS);
    if tokens.is_sum(0) {
        return None;
    }
    let mut found = tokens.operand_exit().or_else(|| tokens.word_exit());
    let later = hints::has_later_form(value);
    if found.is_none() && tokens.more && (later || !tokens.is_sentence()) {
        tokens = Tokens::read(value, 0);
        found = tokens.operand_exit().or_else(|| tokens.word_exit());
    }
    if found.is_none() && (later || hints::has_settled_numbers(value)) {
        found = tokens.anywhere();
    }
    if found.is_some() {
        return found;
    }
    for quote in [b'\'', b'"', b'`'] {
        // The quotes of a document are its own; what stands between them is looked at by itself.
        if quote == b'"' && is_document(value) {
            continue;
        }
        if let Some(first) = memchr(quote, value)
            && let Some(found) = quote_exits(value, quote, first)
        {
            return Some(found);
        }
    }
    None
}

/// A quote ends the string that the value was put into. A value may hold strings of its own before it leaves; these
/// are short and close together.
fn quote_exits(value: &[u8], quote: u8, first: usize) -> Option<Escape> {
    let mut at = first;
    let later = hints::has_later_form(value);
    for nth in 0..MOST_QUOTES {
        if !hints::may_go_on(&value[at + 1..]) && !(later && nth == 0) {
            let next = at + 1 + memchr(quote, &value[at + 1..])?;
            if next - first > 40 || value[..next].contains(&b' ') && next != at + 1 {
                return None;
            }
            at = next;
            continue;
        }
        let mut tokens = Tokens::read(value, at + 1);
        tokens.tight = at <= 40 && !value[..at].trim_ascii_start().contains(&b' ');
        let found = if nth == 0 { tokens.quote_exit(at) } else { tokens.late_exit(at) };
        if found.is_some() {
            return found;
        }
        let next = at + 1 + memchr(quote, &value[at + 1..])?;
        if next - first > 40 || value[..next].contains(&b' ') && next != at + 1 {
            return None;
        }
        at = next;
    }
    None
}

impl Tokens<'_> {
    /// The value ends its place with an operand, or begins with what goes on.
    fn operand_exit(&self) -> Option<Escape> {
        let mut at = 0;
        while self.is_any(at, LEADING) {
            at += 1;
        }
        if let Some(form) = self.whole(at) {
            return Some(self.escape(form, 0));
        }
        if let Some(found) = self.continuation(at, Exit::Bare, 0) {
            return Some(found);
        }
        let (worth, mut next) = self.primary(self.behind_prefixes(at))?;
        let mut exit = match worth {
            Operand::Constant if self.is_string(at) => Exit::Text,
            Operand::Constant => Exit::Number,
            _ => Exit::Name,
        };
        if let Some(found) = self.continuation(next, exit, 0) {
            return Some(found);
        }
        next = self.operand(at)?.1;
        if let Some(behind) = self.comparison(next)
            && let Some((_, after)) = self.operand(behind)
        {
            exit = Exit::Name;
            next = after;
        }
        self.continuation(next, exit, 0)
    }

    /// The first word, whatever it is made of, ends the place: a URL with something behind it.
    fn word_exit(&self) -> Option<Escape> {
        let start = self.span(0).start;
        let spaced = |at: &usize| self.value[start..self.span(*at).start].iter().any(u8::is_ascii_whitespace);
        let at = (1..self.len().min(24)).find(spaced)?;
        let word = self.value[start..self.span(at).start].iter().any(u8::is_ascii_alphanumeric);
        if self.is_on_new_line(at) || !word {
            return None;
        }
        self.continuation(at, Exit::Name, 0)
    }

    /// `2 and 2 = 4` is arithmetic: three numbers with spaces around the sign. Who probes compares what is equal, or
    /// one with zero or two.
    fn is_sum(&self, at: usize) -> bool {
        let number = |at: usize| std::str::from_utf8(self.text(at)).ok()?.parse::<u32>().ok();
        let spaced = || {
            let (left, right) = (self.span(at + 2).end, self.span(at + 4).start);
            left + 3 == right && self.is_any(at + 1, &["and", "or"]) && self.text(at + 3) == b"="
        };
        match (number(at), number(at + 2), number(at + 4)) {
            (Some(one), Some(other), Some(sum)) if self.is_end(at + 5) && !self.is_cut(at + 5) => {
                let probe = other == sum && (other > 0 || one < 2) || one < 2 && other + sum < 4;
                spaced() && !probe
            }
            _ => false,
        }
    }

    /// The first quote of its kind ends the string.
    fn quote_exit(&self, left: usize) -> Option<Escape> {
        let found = self.continuation(0, Exit::Quote, left);
        found.or_else(|| {
            let before = &self.value[..left];
            let short = before.len() <= 100 && !before.contains(&b'\n');
            if !short {
                return None;
            }
            let form = self
                .balanced(left)
                .or_else(|| self.united_anywhere(true))
                .or_else(|| self.batch_anywhere())
                .or_else(|| {
                    (vocabulary::WAITING.has(self.text(0)) && self.is_called(0))
                        .then_some("expression around the value")
                })
                .or_else(|| {
                    (self.is(0, "select") && self.is_cut(self.len()) && self.selects(1).is_some())
                        .then_some("second statement")
                })
                .or_else(|| self.asks_and_cuts().then_some("expression around the value"))
                .or_else(|| {
                    (self.is_kind(0, Kind::LeftParen) && self.is(1, "select") && self.selects(2).is_some())
                        .then_some("expression around the value")
                })?;
            Some(self.escape(form, left))
        })
    }

    /// A later quote does, of which more is asked.
    fn late_exit(&self, left: usize) -> Option<Escape> {
        let at = self.behind_closers(0);
        let form = self.joined(at, Exit::Name).or_else(|| self.united(at, Exit::Name))?;
        Some(self.escape(form, left))
    }

    /// What is looked for behind whatever stands before it.
    fn anywhere(&self) -> Option<Escape> {
        let number = self.is_kind(0, Kind::Number) || self.is(0, "-");
        let form = self.united_anywhere(number);
        let form = form.or_else(|| self.settled_anywhere()).or_else(|| self.waits_anywhere())?;
        Some(self.escape(form, 0))
    }

    fn escape(&self, form: &'static str, left: usize) -> Escape {
        let end = self.span(self.len().saturating_sub(1)).end;
        Escape { form, span: left..end.max(left) }
    }

    /// How the value goes on at `at`. `left` is where it left its place.
    fn continuation(&self, at: usize, exit: Exit, left: usize) -> Option<Escape> {
        let mut at = self.behind_closers(at);
        // A plus that stood for a space.
        while self.text(at) == b"+"
            && (self.is_joint(at + 1)
                || self.is_any(at + 1, &["union", "order", "group", "limit", "waitfor"]))
        {
            at += 1;
        }
        if self.is(at, "in") && self.is(at + 1, "boolean") {
            at = self.behind_closers(at + 3);
        }
        // The subquery that the value stands in has a name, or the text an order of its own.
        if self.is_any(at, &["as", "collate"]) && self.is_word(at + 1) && !self.is_end(at + 2) {
            at += 2;
        }
        let form = self
            .cut(at, exit, left)
            .or_else(|| self.goes_on(at, exit))
            .or_else(|| self.computed(at, exit))?;
        Some(self.escape(form, left))
    }
}

/// What may stand before the operand that ends a value's place.
const LEADING: &[&str] =
    &["(", ")", "-", "+", "~", "!", "%", ",", ".", "]", "}", "'", "\\", "&", "?", "*", "/"];

/// Marks that compare, or are part of what does.
const COMPARING: &[&str] =
    &["=", "==", "<", ">", "<=", ">=", "<>", "!=", "<=>", "!", "~", ":=", "!<", "!>", "*=", "^="];

/// Operators that make one value of two.
const JOINING: &[&str] =
    &["+", "-", "*", "/", "%", "^", "&", "|", "<<", ">>", "div", "mod", ",", "||", "sounds"];
