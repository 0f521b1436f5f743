//! The forms in which a statement goes on: a condition, UNION, an order or limit, an expression, a comment. Each asks
//! for what SQL needs there and sentences do not have.

use super::super::token::Kind;
use super::condition::{Condition, Operand};
use super::tokens::Tokens;
use super::{Exit, JOINING, vocabulary};

impl Tokens<'_> {
    pub(super) fn goes_on(&self, at: usize, exit: Exit) -> Option<&'static str> {
        self.joined(at, exit)
            .or_else(|| self.united(at, exit))
            .or_else(|| self.stacked(at, exit))
            .or_else(|| self.trailing(at, exit))
    }

    /// `admin'--`: nothing follows but a comment. Dashes in prose have words behind them.
    pub(super) fn cut(&self, at: usize, exit: Exit, left: usize) -> Option<&'static str> {
        const FORM: &str = "comment that cuts the statement";
        let mut at = at;
        while self.is_kind(at, Kind::Semicolon) {
            at += 1;
        }
        let ends_in_null = at > 0 && self.value.ends_with(b"\0") && self.is_end(at);
        if exit == Exit::Quote && self.tight && ends_in_null {
            return Some(FORM);
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
            let short = self.span(at.saturating_sub(1)).end <= 4
                && self.value.first().is_some_and(|byte| byte.is_ascii_digit() || b"-(".contains(byte));
            let cut = content.is_empty() && comment[0] != b'#' || content == b"-" || content == b"+";
            return (short && cut).then_some(FORM);
        }
        if exit != Exit::Quote || self.value.get(left) == Some(&b'`') {
            return None;
        }
        let before = &self.value[..left];
        let plain = before.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_@.-+)%".contains(byte))
            && !before.ends_with(b".");
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
    pub(super) fn joined(&self, at: usize, exit: Exit) -> Option<&'static str> {
        let mut at = at;
        // A condition that says nothing may be followed by one that does.
        for _ in 0..8 {
            if !self.is_joint(at)
                && !(self.is(at, "where") && (exit != Exit::Quote || self.tight) && exit != Exit::Bare)
            {
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

    pub(super) fn is_joint(&self, at: usize) -> bool {
        self.is_any(at, &["or", "and", "xor", "||", "&&", "having", "when"]) || at > 0 && self.is(at, "where")
    }

    /// Whether a condition of this kind behind that exit is an injection.
    fn judged(&self, condition: Condition, next: usize, exit: Exit, marked: bool) -> Option<&'static str> {
        let ends = self.is_end(next)
            || self.is_joint(next)
            || vocabulary::ENDS.has(self.text(next))
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
    pub(super) fn united(&self, at: usize, exit: Exit) -> Option<&'static str> {
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
            self.is_kind(at + 1, Kind::LeftParen) || self.is(at + 1, "row") || self.is_cut(at + 2)
        } else {
            let dangles = || {
                self.is_end(at) && (exit == Exit::Quote && self.tight || self.value.first() == Some(&b'-'))
            };
            sure && dangles()
                || sure
                    && self.is_kind(at, Kind::Number)
                    && self.is_kind(at + 1, Kind::Comma)
                    && self.is_kind(at + 2, Kind::Number)
        };
        united.then_some("second query joined by UNION")
    }

    /// `order by 10`: what may follow a condition.
    pub(super) fn trailing(&self, at: usize, exit: Exit) -> Option<&'static str> {
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
            if self.is_cut(next + 1) {
                return sure;
            }
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
    pub(super) fn computed(&self, at: usize, exit: Exit) -> Option<&'static str> {
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
                let pattern = by_word
                    && self.tight
                    && next == self.len()
                    && self.is_open_string(next - 1)
                    && self.text(next - 1).len() <= 24;
                let modest = self.tight && self.strings_are_modest(behind..self.len());
                quote
                    && (cut
                        || pattern
                        || modest
                            && self.comparison(next).is_some_and(|behind| {
                                self.operand(behind).is_some_and(|(_, end)| self.is_end(end))
                            }))
            }
            Operand::Name => quote && cut && !joins,
        };
        found.then_some(FORM)
    }
}
