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

use memchr::memchr;

use self::condition::{Condition, Operand};
use self::tokens::Tokens;
use super::token::Kind;
use super::{MOST_BYTES, is_quiet};

mod condition;
mod statement;
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
    let tokens = Tokens::read(value, 0);
    let found = tokens.operand_exit().or_else(|| {
        tokens
            .united_anywhere(tokens.is_kind(0, Kind::Number) || tokens.is(0, "-"))
            .map(|form| tokens.escape(form, 0))
    });
    if found.is_some() {
        return found;
    }
    for quote in [b'\'', b'"', b'`'] {
        let Some(first) = memchr(quote, value) else { continue };
        let mut at = first;
        // A value may hold strings of its own before it leaves; these are short and close together.
        for nth in 0..MOST_QUOTES {
            let mut tokens = Tokens::read(value, at + 1);
            tokens.tight = at <= 40 && !value[..at].trim_ascii_start().contains(&b' ');
            let found = if nth == 0 { tokens.quote_exit(at) } else { tokens.late_exit(at) };
            if found.is_some() {
                return found;
            }
            let Some(next) = memchr(quote, &value[at + 1..]) else { break };
            if at - first + next > 40 || value[..at + 1 + next].contains(&b' ') && value[at + 1] != quote {
                break;
            }
            at += 1 + next;
        }
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
        if self.is_sum(at) {
            return None;
        }
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

    /// `2 and 2 = 4` is arithmetic.
    fn is_sum(&self, at: usize) -> bool {
        let number = |at: usize| std::str::from_utf8(self.text(at)).ok()?.parse::<u32>().ok();
        let joined = self.is_any(at + 1, &["and", "or"]) && self.text(at + 3) == b"=" && self.is_end(at + 5);
        match (number(at), number(at + 2), number(at + 4)) {
            (Some(one), Some(other), Some(sum)) if joined && sum != other && one > 1 => {
                sum == one.saturating_add(other) || sum == one.saturating_mul(other)
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

    /// `' or '1`, `'-'`: an expression up to a string that the statement's own quote closes.
    fn balanced(&self, left: usize) -> Option<&'static str> {
        let before = &self.value[..left];
        let last = self.len().checked_sub(1)?;
        let short = before.len() <= 24 && !before.trim_ascii_start().contains(&b' ') && last <= 16;
        if !short || last == 0 || !self.is_open_string(last) || self.more {
            return None;
        }
        let closing = self.text(last);
        let word =
            |text: &[u8]| text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.%".contains(byte));
        if closing[0] != self.value[left] || closing.len() > 12 || !word(&closing[1..]) {
            return None;
        }
        let mut operators = 0;
        let mut operands = 0;
        let mut wordy = false;
        for at in 0..last {
            let logic = self.is_joint(at);
            let operator = logic
                || self.is_any(at, JOINING) && !self.is_kind(at, Kind::Comma)
                || self.is_any(at, COMPARING)
                || self.is_any(at, vocabulary::COMPARING_WORDS)
                || self.is_any(at, &["!", "~", "is", "not", "xor", "sounds"]);
            if operator {
                operators += 1;
                wordy |= logic;
            } else if self.is_plain_string(at)
                || self.is_kind(at, Kind::Number)
                || self.is_kind(at, Kind::Variable)
                || self.is_any(at, &["(", ")"])
                || self.is_word(at)
            {
                operands += 1;
                if self.is_word(at)
                    && at > 0
                    && self.is_word(at - 1)
                    && !self.is_joint(at - 1)
                    && !self.is_any(at - 1, vocabulary::COMPARING_WORDS)
                    && !self.is_any(at - 1, &["is", "not", "div", "mod", "sounds"])
                {
                    return None;
                }
            } else {
                return None;
            }
        }
        let bare = closing.len() == 1;
        let number =
            !before.is_empty() && before.iter().all(|byte| byte.is_ascii_digit() || b". -".contains(byte));
        let leads = self.is_joint(0)
            || self.is_any(0, JOINING) && !self.is_kind(0, Kind::Comma)
            || self.is_any(0, COMPARING)
            || self.is_any(0, vocabulary::COMPARING_WORDS)
            || self.is_any(0, &["!", "is", "not", "sounds"]);
        // `5' - 6'` is a size; `'and'` a word in quotes.
        let size =
            bare && number && operators == 1 && (0..last).all(|at| !self.is_word(at) || self.is_joint(at));
        let quoted_word = bare
            && before.is_empty()
            && operands == 0
            && operators == 1
            && self.is_word(0)
            && (!self.is(0, "or") || self.value[left] == b'"');
        // So is `"-flag"`; `'-'` alone is known for what it does to a login.
        let flag = bare && !wordy && (operands > 0 || self.value[left] == b'"');
        (leads && operators > 0 && !size && !quoted_word && !flag)
            .then_some("expression up to the closing quote")
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
        let form = self
            .cut(at, exit, left)
            .or_else(|| self.goes_on(at, exit))
            .or_else(|| self.computed(at, exit))?;
        Some(self.escape(form, left))
    }

    fn goes_on(&self, at: usize, exit: Exit) -> Option<&'static str> {
        self.joined(at, exit)
            .or_else(|| self.united(at, exit))
            .or_else(|| self.stacked(at, exit))
            .or_else(|| self.trailing(at, exit))
    }

    /// `admin'--`: nothing follows but a comment. Dashes in prose have words behind them.
    fn cut(&self, at: usize, exit: Exit, left: usize) -> Option<&'static str> {
        const FORM: &str = "comment that cuts the statement";
        let mut at = at;
        while self.is_kind(at, Kind::Semicolon) {
            at += 1;
        }
        if !self.is_cut(at) {
            return None;
        }
        let comment = self.comment()?;
        let marks = if comment.starts_with(b"#") { 1 } else { 2 };
        let content = comment[marks..].trim_ascii();
        let word = content.len() <= 8
            && content.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-+*".contains(byte));
        if exit == Exit::Number {
            let short = self.span(at.saturating_sub(1)).end <= 4;
            let cut = content.is_empty() && comment[0] != b'#' || content == b"-" || content == b"+";
            return (short && cut).then_some(FORM);
        }
        if exit != Exit::Quote || self.value.get(left) == Some(&b'`') {
            return None;
        }
        let before = &self.value[..left];
        let plain = before.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_@.-+)%".contains(byte));
        let cut = match comment[0] {
            b'#' | b'/' => content.is_empty() && plain,
            _ if before.is_empty() => {
                word && (content.is_empty() || comment[2] == b' ' || content.starts_with(b"-"))
            }
            _ if plain => {
                content.is_empty()
                    || word && (content.len() <= 4 || comment[2] != b' ')
                    || content.starts_with(b"-")
            }
            // Quotations end with a quote, and dashes before who said it.
            _ => {
                before.len() <= 40 && content == b"-"
                    || content.is_empty() && self.comment_start() == left + 1
            }
        };
        cut.then_some(FORM)
    }

    /// `or 1=1`: a condition is joined to the one before.
    fn joined(&self, at: usize, exit: Exit) -> Option<&'static str> {
        let mut at = at;
        // A condition that says nothing may be followed by one that does.
        for _ in 0..8 {
            if !self.is_joint(at) && !(exit == Exit::Quote && self.is(at, "where")) {
                return None;
            }
            let marked = self.is_any(at, &["||", "&&"]);
            at += 1;
            while self.is_joint(at) {
                at += 1;
            }
            let (condition, next) = self.condition(at)?;
            if condition != Condition::Query && !self.strings_are_modest(at..next) {
                return None;
            }
            let found = self
                .judged(condition, next, exit, marked)
                .or_else(|| self.united(next, exit))
                .or_else(|| self.stacked(next, exit))
                .or_else(|| self.trailing(next, exit));
            if found.is_some() {
                return found;
            }
            at = next;
        }
        None
    }

    fn is_joint(&self, at: usize) -> bool {
        self.is_any(at, &["or", "and", "xor", "||", "&&", "having", "when"]) || at > 0 && self.is(at, "where")
    }

    /// Whether a condition of this kind behind that exit is an injection.
    fn judged(&self, condition: Condition, next: usize, exit: Exit, marked: bool) -> Option<&'static str> {
        let ends = self.is_end(next)
            || self.is_joint(next)
            || self.is_any(next, ENDS)
            || self.comparison(next).is_some();
        let cut = self.is_cut(next);
        let last_open = next == self.len() && self.is_open_string(next.wrapping_sub(1));
        let sure = matches!(exit, Exit::Quote | Exit::Number | Exit::Bare);
        let injection = match condition {
            Condition::Query => sure || !marked || cut,
            Condition::Call => {
                sure && (!marked || exit == Exit::Quote) && (ends || exit == Exit::Quote) || cut
            }
            Condition::Settled => ends || exit == Exit::Quote,
            Condition::Field => {
                let closes = cut
                    || last_open
                    || self.is_kind(next, Kind::Semicolon)
                    || self.is_end(next) && self.tight;
                let text = self.is_end(next) && self.is_string(next.wrapping_sub(1));
                exit == Exit::Quote && closes
                    || exit == Exit::Number && text
                    || cut && !marked && exit != Exit::Name
            }
            Condition::Constant => {
                let closes = exit == Exit::Quote && self.is_end(next) && !last_open;
                cut && !marked || closes && !self.is_string(next.wrapping_sub(1))
            }
            Condition::Name => exit == Exit::Quote && cut,
        };
        injection.then_some("condition joined to the statement's own")
    }

    /// `union select`: a second query.
    fn united(&self, at: usize, exit: Exit) -> Option<&'static str> {
        if !self.is_any(at, &["union", "intersect", "except", "minus"]) {
            return None;
        }
        let mut at = at + 1;
        let bracketed = self.is_kind(at, Kind::LeftParen);
        while self.is_any(at, &["all", "distinct", "distinctrow", "(", "+", "-"]) {
            at += 1;
        }
        let sure = matches!(exit, Exit::Quote | Exit::Number);
        let united = if self.is(at, "select") {
            self.selects(at + 1).is_some() || sure && (self.is_end(at + 1) || bracketed)
        } else if self.is_any(at, &["values", "table"]) {
            self.is_kind(at + 1, Kind::LeftParen) || self.is_cut(at + 2)
        } else {
            let dangles = || self.is_end(at) && (exit == Exit::Quote || self.value.first() == Some(&b'-'));
            sure && dangles()
                || sure
                    && self.is_kind(at, Kind::Number)
                    && self.is_kind(at + 1, Kind::Comma)
                    && self.is_kind(at + 2, Kind::Number)
        };
        united.then_some("second query joined by UNION")
    }

    /// `order by 10`: what may follow a condition.
    fn trailing(&self, at: usize, exit: Exit) -> Option<&'static str> {
        let sure = matches!(exit, Exit::Quote | Exit::Number | Exit::Bare);
        if self.is_any(at, &["order", "group", "own3d", "partition"]) && self.is(at + 1, "by") {
            return self.sorted(at + 2, exit).then_some("ORDER BY or GROUP BY behind the end");
        }
        if self.is_any(at, &["limit", "offset", "fetch"]) {
            let mut next = at + 2;
            if self.is_kind(next, Kind::Comma) || self.is(next, "offset") {
                next += 2;
            }
            let goes_on = self.is_any(next, &["into", "procedure", "union"]);
            let found = self.is_kind(at + 1, Kind::Number)
                && (self.is_cut(next) && exit != Exit::Bare
                    || exit == Exit::Quote && self.is_end(next)
                    || goes_on);
            return found.then_some("LIMIT behind the end");
        }
        // Cassandra's way to have a filter without an index.
        if self.is(at, "allow") && self.is(at + 1, "filtering") {
            return (exit == Exit::Quote).then_some("ALLOW FILTERING behind the end");
        }
        if self.is(at, "procedure") {
            return self.is(at + 1, "analyse").then_some("PROCEDURE ANALYSE behind the end");
        }
        if self.is(at, "into") {
            let name = self.behind_openers(at + 2);
            let file = self.is_any(at + 1, &["outfile", "dumpfile"])
                && (self.is_string(name)
                    || self.is_kind(name, Kind::Number)
                    || self.is_end(name)
                    || self.is_kind(name + 1, Kind::LeftParen));
            let variable = sure && self.is_kind(at + 1, Kind::Variable) && self.is_end(at + 2);
            return (file || variable).then_some("INTO a file");
        }
        None
    }

    fn sorted(&self, at: usize, exit: Exit) -> bool {
        let sure = matches!(exit, Exit::Quote | Exit::Number | Exit::Bare);
        let Some((mut listed, mut next)) = self.operand(at) else { return false };
        while self.is_kind(next, Kind::Comma) {
            let Some((more, after)) = self.operand(next + 1) else { return false };
            (listed, next) = (listed.max(more), after);
        }
        if self.is_any(next, &["asc", "desc"]) {
            next += 1;
        }
        if self.is(next, "having") {
            return sure && self.condition(next + 1).is_some();
        }
        match listed {
            Operand::Query => true,
            Operand::Name => exit == Exit::Quote && self.is_cut(next),
            Operand::Constant | Operand::Call => {
                sure && (self.is_end(next) || self.is_joint(next)) && exit != Exit::Bare || self.is_cut(next)
            }
        }
    }

    /// `'||(select ...)`, `'='`: the value's place becomes part of an expression.
    fn computed(&self, at: usize, exit: Exit) -> Option<&'static str> {
        const FORM: &str = "expression around the value";
        let joins = self.is_any(at, JOINING);
        let behind = if joins { Some(at + 1) } else { self.comparison(at) }?;
        let (worth, next) = self.operand(behind)?;
        let cut = self.is_cut(next);
        let quote = exit == Exit::Quote;
        let strings_plain = (behind..next).all(|index| !self.is_string(index) || self.is_plain_string(index));
        let by_word = !joins && self.is_word(at);
        if by_word && !self.strings_are_modest(behind..next) {
            return None;
        }
        if !strings_plain && !by_word && worth < Operand::Query {
            return None;
        }
        let found = match worth {
            Operand::Call if by_word => {
                cut || (quote || exit == Exit::Number) && (self.is_end(next) || self.is_joint(next))
            }
            Operand::Query => {
                quote
                    || exit == Exit::Number
                    || cut
                    || exit == Exit::Name && joins && self.is_kind(behind, Kind::LeftParen)
            }
            Operand::Call => cut || quote && self.is_any(next, JOINING) && self.is_string(next + 1),
            Operand::Constant if joins => {
                let settled = || {
                    self.comparison(next)
                        .is_some_and(|behind| self.operand(behind).is_some_and(|(_, end)| self.is_end(end)))
                };
                quote && (cut || settled()) || cut && self.is_any(at, &["div", "mod", "*"])
            }
            Operand::Constant => {
                let pattern = by_word && self.tight && next == self.len() && self.is_open_string(next - 1);
                quote
                    && (cut
                        || pattern
                        || self.comparison(next).is_some_and(|behind| {
                            self.operand(behind).is_some_and(|(_, end)| self.is_end(end))
                        }))
            }
            Operand::Name => quote && cut && !joins,
        };
        found.then_some(FORM)
    }
}

/// What may stand before the operand that ends a value's place.
const LEADING: &[&str] =
    &["(", ")", "-", "+", "~", "!", "%", ",", ".", "]", "}", "'", "\\", "&", "?", "*", "/"];

/// What a condition may be followed by in a statement.
const ENDS: &[&str] = &[
    "union",
    "order",
    "limit",
    "group",
    ";",
    ",",
    "having",
    "into",
    "for",
    "procedure",
    "rlike",
    "regexp",
    "waitfor",
    "else",
    "end",
    "as",
    "then",
];

/// Marks that compare, or are part of what does.
const COMPARING: &[&str] =
    &["=", "==", "<", ">", "<=", ">=", "<>", "!=", "<=>", "!", "~", ":=", "!<", "!>", "*=", "^="];

/// Operators that make one value of two.
const JOINING: &[&str] =
    &["+", "-", "*", "/", "%", "^", "&", "|", "<<", ">>", "div", "mod", ",", "||", "sounds"];
