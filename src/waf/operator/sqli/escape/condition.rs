//! Conditions and what they compare: how far an operand goes, and whether it is a constant, a name, or something
//! that only a database works out.

use super::super::token::Kind;
use super::super::words;
use super::COMPARING;
use super::tokens::Tokens;
use super::vocabulary::{self, Function};

/// What an operand is worth as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operand {
    /// A name, or a call of something that no database has.
    Name,
    /// A number, a string, NULL, the date.
    Constant,
    /// A call of a function that databases have, and other languages may have as well.
    Call,
    /// A subquery, a server variable, a function that nothing but a database has.
    Query,
}

/// What a condition comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// A name alone.
    Name,
    /// A constant alone.
    Constant,
    /// A name is compared with something.
    Field,
    /// Nothing is asked: constants are compared, or a name with itself.
    Settled,
    /// A function is asked.
    Call,
    /// The database is asked.
    Query,
}

impl Tokens<'_> {
    /// The condition at `at`, and the token behind it.
    pub(super) fn condition(&self, at: usize) -> Option<(Condition, usize)> {
        let (mut left, mut next) = self.operand(at)?;
        let left_at = self.behind_prefixes(at);
        // `(1, 2) = (select ...)` compares rows.
        while left_at > at && self.is_kind(next, Kind::Comma) {
            let (more, after) = self.operand(next + 1)?;
            (left, next) = (left.max(more), after);
        }
        let alone = match left {
            Operand::Query => return Some((Condition::Query, next)),
            Operand::Call => Condition::Call,
            Operand::Constant => Condition::Constant,
            Operand::Name => Condition::Name,
        };
        let Some(behind) = self.comparison(next) else { return Some((alone, next)) };
        let right_at = self.behind_prefixes(behind);
        let Some((right, after)) = self.operand(behind) else {
            // `or 1=` goes on in the statement around it.
            let settled = left == Operand::Constant && self.is_end(behind);
            return settled.then_some((Condition::Settled, behind));
        };
        next = after;
        let same = || self.text(left_at).eq_ignore_ascii_case(self.text(right_at)) && next - right_at == 1;
        let condition = match (left, right) {
            (Operand::Query, _) | (_, Operand::Query) => Condition::Query,
            (Operand::Call, _) | (_, Operand::Call) => Condition::Call,
            (Operand::Constant, Operand::Constant) => Condition::Settled,
            _ if same() => Condition::Settled,
            _ => Condition::Field,
        };
        Some((condition, next))
    }

    /// The token behind the comparison at `at`, if there is one.
    pub(super) fn comparison(&self, at: usize) -> Option<usize> {
        let mut next = at;
        if self.is_any(next, &["not", "is", "sounds", "similar"]) {
            let is = self.is(next, "is");
            next += 1;
            if is {
                let negated = usize::from(self.is(next, "not"));
                let asked = self
                    .is_any(next + negated, &["null", "true", "false", "unknown", "distinct", "\\", "\\N"]);
                return (asked || negated > 0).then_some(next + negated);
            }
        }
        if vocabulary::COMPARING_WORDS.has(self.text(next)) {
            next += 1;
            return Some(if self.is_any(next, &["to", "binary"]) { next + 1 } else { next });
        }
        // What PostgreSQL asks of JSON.
        if self.text(next) == b"?" && self.is_string(next + 1) {
            return Some(next + 1);
        }
        if self.text(next) == b"@" && self.text(next + 1) == b">" {
            return Some(next + 2);
        }
        let mut marks = 0;
        while marks < 3 && self.is_any(next, COMPARING) {
            marks += 1;
            next += 1;
        }
        // `!` and `~` alone compare nothing.
        let compares = (at..next).any(|index| self.text(index).iter().any(|byte| b"=<>".contains(byte)));
        (marks > 0 && compares).then_some(next)
    }

    /// Brackets, signs and words that may stand before an operand.
    pub(super) fn behind_prefixes(&self, mut at: usize) -> usize {
        loop {
            let skip = match self.kind(at) {
                Some(Kind::LeftParen | Kind::Backslash) => true,
                Some(Kind::LeftBrace) => {
                    // `{d 1}` is MySQL's way to write a literal, whatever the letter.
                    at += usize::from(self.is_word(at + 1) && !self.is_word(at + 2));
                    true
                }
                _ => self.is_any(
                    at,
                    &[
                        "+", "-", "~", "!", "!!", "not", "binary", "distinct", "all", "any", "some", "prior",
                        "@",
                    ],
                ),
            };
            if !skip || at > self.len() {
                return at;
            }
            at += 1;
        }
    }

    /// What stands at `at`, with whatever arithmetic it is part of, and the token behind it.
    pub(super) fn operand(&self, at: usize) -> Option<(Operand, usize)> {
        let (mut worth, mut next) = self.primary(self.behind_prefixes(at))?;
        loop {
            next = self.behind_closers(next);
            // Strings side by side are one.
            if self.is_string(next) && self.is_string(next.wrapping_sub(1)) {
                next += 1;
                continue;
            }
            if self.is(next, "collate") || self.text(next) == b"::" {
                next += 2;
                continue;
            }
            if !self.is_any(
                next,
                &["+", "-", "*", "/", "%", "^", "&", "|", "<<", ">>", "div", "mod", "->", "->>", "#>"],
            ) {
                return Some((worth, next));
            }
            let Some((with, after)) = self.primary(self.behind_prefixes(next + 1)) else {
                return Some((worth, next));
            };
            worth = match (worth, with) {
                (Operand::Name, Operand::Constant) | (Operand::Constant, Operand::Name) => Operand::Name,
                (one, other) => one.max(other),
            };
            next = after;
        }
    }

    pub(super) fn primary(&self, at: usize) -> Option<(Operand, usize)> {
        let called = self.is_kind(at + 1, Kind::LeftParen);
        match self.kind(at)? {
            Kind::Number if !self.is_word(at) => return Some((Operand::Constant, at + 1)),
            Kind::Text => return Some((Operand::Constant, at + 1)),
            Kind::Variable if self.text(at).starts_with(b"@") => {
                let server = vocabulary::is_server_variable(self.text(at));
                return Some((if server { Operand::Query } else { Operand::Name }, at + 1));
            }
            _ if !self.is_word(at) => return None,
            _ => {}
        }
        let text = self.text(at);
        if self.is(at, "select") {
            let bracketed = at > 0 && self.is_kind(at - 1, Kind::LeftParen);
            let asks = self.selects(at + 1).is_some() || bracketed && self.is_end(at + 1);
            return Some((if asks { Operand::Query } else { Operand::Name }, self.len()));
        }
        if self.is(at, "case") {
            let when = (at + 1..at + 6).any(|index| self.is(index, "when"))
                && (at + 3..self.len()).any(|index| self.is(index, "then"));
            return Some((
                if when { Operand::Query } else { Operand::Name },
                if when { self.len() } else { at + 1 },
            ));
        }
        if !called {
            if vocabulary::is_package(text) {
                return Some((Operand::Query, at + 1));
            }
            if self.is(at, "exists") && self.is_end(self.behind_closers(at + 1)) {
                return Some((Operand::Constant, at + 1));
            }
            let constant = vocabulary::CONSTANT_WORDS.has(self.text(at));
            return (!vocabulary::NO_NAMES.has(self.text(at)))
                .then_some((if constant { Operand::Constant } else { Operand::Name }, at + 1));
        }
        let next = self.behind_brackets(at + 1);
        let asks = (at + 2..next).any(|index| {
            self.is(index, "select") && self.lists_columns(index + 1)
                || self.is_kind(index + 1, Kind::LeftParen)
                    && matches!(vocabulary::function(self.text(index)), Some(Function::Database))
                || vocabulary::is_server_variable(self.text(index))
        });
        let worth = match vocabulary::function(text) {
            known if asks && (known.is_some() || self.is_called(at)) => Operand::Query,
            Some(Function::Database) if self.is_called(at) || !self.is_word(at + 2) => Operand::Query,
            Some(Function::Database) => Operand::Name,
            Some(Function::Common) if self.is_called(at) => Operand::Call,
            Some(Function::Common) => Operand::Name,
            None if self.is_called(at)
                && !text.eq_ignore_ascii_case(b"currentuser")
                && words::find(text).is_some_and(|word| word.kind == Some(Kind::Function)) =>
            {
                Operand::Call
            }
            None => Operand::Name,
        };
        Some((worth, next))
    }

    /// The same at a glance: within brackets it is asked for each SELECT, and must not look into brackets in turn.
    fn lists_columns(&self, at: usize) -> bool {
        let mut at = at;
        while self.is_any(at, &["all", "distinct", "top", "("]) || self.is(at - 1, "top") {
            at += 1;
        }
        let constant = vocabulary::CONSTANT_WORDS.has(self.text(at)) || self.is_kind(at, Kind::Variable);
        let column = self.is_word(at) && self.is_any(at + 1, &[",", "from", ")", "(", "||", "as"]);
        constant
            || column
            || self.is_any(at, &["*", "case", "-", "+", "~", "!"])
            || self.is_string(at)
            || self.is_kind(at, Kind::Number)
    }

    /// What follows SELECT as a list of columns does, not as a sentence does. The token behind the first column.
    pub(super) fn selects(&self, at: usize) -> Option<usize> {
        let mut at = at;
        while self.is_any(
            at,
            &[
                "all",
                "distinct",
                "distinctrow",
                "top",
                "sql_calc_found_rows",
                "sql_no_cache",
                "high_priority",
                "straight_join",
            ],
        ) || self.is_kind(at, Kind::LeftParen)
        {
            at += if self.is(at, "top") && self.is_kind(at + 1, Kind::Number) { 2 } else { 1 };
        }
        if self.text(at) == b"*" {
            return Some(at + 1);
        }
        let (worth, next) = self.operand(at)?;
        let modest = self.strings_are_modest(at..next);
        let listed = || {
            let next = if self.is(next, "as") { next + 2 } else { next };
            self.is_kind(next, Kind::Comma)
                || self.is(next, "from")
                    && (self.is_word(next + 1) || self.is_kind(next + 1, Kind::LeftParen))
                || self.is_any(next, &["into", "where", "union", "limit", "||"])
                || self.is_cut(next)
        };
        // `select null objects` is no SQL, `select 1 a from` is.
        let sentence = worth == Operand::Constant
            && self.is_word(next)
            && !vocabulary::AFTER_COLUMN.has(self.text(next))
            && !self.is_any(next + 1, &["from", ","])
            && !self.is_cut(next + 1);
        (worth > Operand::Name && !sentence && modest || listed()).then_some(next)
    }
}
