//! Statements: a second one behind a semicolon, one that SQL Server runs without it, and values that are one whole
//! expression or statement of the kind that only attacks send.

use super::super::token::Kind;
use super::Exit;
use super::condition::Operand;
use super::tokens::Tokens;
use super::vocabulary::{self, Function};

const OBJECTS: &[&str] = &[
    "table",
    "database",
    "schema",
    "user",
    "view",
    "index",
    "procedure",
    "proc",
    "function",
    "column",
    "login",
    "role",
    "trigger",
    "sequence",
    "tablespace",
    "temporary",
    "temp",
    "extension",
    "language",
    "alias",
    "assembly",
    "or",
    "unique",
    "global",
    "aggregate",
];

/// A value that begins so is a whole statement, as a console sends it.
const STATEMENTS: &[&str] = &[
    "select", "with", "insert", "create", "explain", "update", "delete", "merge", "alter", "use", "set",
    "declare", "begin",
];

impl Tokens<'_> {
    pub(super) fn stacked(&self, at: usize, exit: Exit) -> Option<&'static str> {
        const FORM: &str = "second statement";
        if self.is_kind(at, Kind::Semicolon) {
            let mut at = at;
            while self.is_kind(at, Kind::Semicolon) {
                at += 1;
            }
            let at = self.behind_openers(at);
            let sure = matches!(exit, Exit::Quote | Exit::Number | Exit::Bare);
            // Scripts as people paste them have a line for each statement.
            if self.is_on_new_line(at) && !self.last_is_cut() {
                return None;
            }
            let opens = self.tight
                && self.is_any(at, &["select", "drop", "insert", "update", "delete", "exec", "declare"])
                && self.is_word(at + 1);
            return (opens || self.is_statement(at, exit == Exit::Bare) && (sure || self.last_is_cut()))
                .then_some(FORM);
        }
        // SQL Server needs no semicolon.
        let runs = exit == Exit::Quote || exit == Exit::Number || self.is(at, "waitfor");
        (runs && self.is_batch(at)).then_some(FORM)
    }

    fn last_is_cut(&self) -> bool {
        self.is_cut(self.len())
    }

    /// A statement in the form that one has, with its object.
    pub(super) fn is_statement(&self, at: usize, bare: bool) -> bool {
        let next = at + 1;
        let named = |at: usize| self.is_word(at) || self.is_string(at);
        if self.is(at, "select") {
            return self.selects(next).is_some();
        }
        if self.is_any(at, &["drop", "create", "alter"]) {
            if self.is(at, "drop") && self.is_word(next) && self.is_cut(next + 1) {
                return true;
            }
            let plain = self.is(at, "drop") || !bare || self.last_is_cut();
            return plain && self.is_any(next, OBJECTS) && named(next + 1);
        }
        if self.is(at, "truncate") {
            return named(next);
        }
        if self.is(at, "insert") || self.is(at, "replace") || self.is(at, "merge") {
            return self.is(next, "into") && named(next + 1)
                || named(next) && self.is_any(next + 1, &["values", "("]);
        }
        if self.is(at, "update") {
            return named(next) && (next + 1..next + 5).any(|index| self.is(index, "set"));
        }
        if self.is(at, "delete") {
            return self.is(next, "from") && named(next + 1) || named(next) && self.is(next + 1, "where");
        }
        if self.is_any(at, &["shutdown", "reconfigure", "vacuum", "commit", "rollback", "go"]) {
            return self.is_end(next) || self.is_kind(next, Kind::Semicolon) || self.is(next, "with");
        }
        if self.is(at, "begin") {
            return self.is(next, "shutdown")
                || self.is_any(next, &["declare", "dbms_lock.sleep", "execute"])
                || self.is_batch(next)
                || (next..next + 2).any(|index| {
                    self.text(index).contains(&b'.') && self.is_kind(index + 1, Kind::LeftParen)
                });
        }
        if self.is_any(
            at,
            &[
                "copy",
                "grant",
                "revoke",
                "handler",
                "prepare",
                "rename",
                "load",
                "call",
                "backup",
                "restore",
                "attach",
                "kill",
                "do",
                "desc",
                "describe",
                "show",
                "set",
                "use",
                "pragma",
                "explain",
                "exec",
                "execute",
                "declare",
                "if",
                "while",
                "waitfor",
                "bulk",
                "lock",
                "analyze",
                "print",
                "raiserror",
                "dbcc",
                "open",
                "fetch",
                "deallocate",
                "with",
            ],
        ) {
            return self.is_batch(at) || self.is_minor(at);
        }
        false
    }

    /// Statements whose first word is a common one: their object tells.
    fn is_minor(&self, at: usize) -> bool {
        let next = at + 1;
        let within = |word: &str| (next..next + 6).any(|index| self.is(index, word));
        match self.text(at).to_ascii_lowercase().as_slice() {
            b"copy" => within("from") || within("to"),
            b"grant" | b"revoke" => within("on") || within("to") || within("from"),
            b"load" => self.is_any(next, &["data", "xml"]),
            b"backup" | b"restore" => self.is_any(next, &["database", "log"]),
            b"attach" => self.is_any(next, &["database"]) || self.is_string(next),
            b"handler" => self.is(next + 1, "open"),
            b"prepare" => self.is_any(next + 1, &["from", "as"]),
            b"rename" => self.is(next, "table"),
            b"bulk" => self.is(next, "insert"),
            b"lock" => self.is_any(next, &["table", "tables"]),
            b"kill" => self.is_kind(next, Kind::Number) && self.is_end(next + 1),
            b"call" => self.is_word(next) && self.is_kind(next + 1, Kind::LeftParen),
            b"do" => {
                self.is_word(next) && self.is_kind(next + 1, Kind::LeftParen)
                    || self.text(next).starts_with(b"$$")
            }
            b"show" => self.is_any(
                next,
                &["tables", "databases", "columns", "grants", "variables", "schemas", "processlist"],
            ),
            b"desc" | b"describe" => self.is_word(next) && self.is_cut(next + 1),
            b"set" => self.is_kind(next, Kind::Variable) || self.is_cut(self.len()),
            b"use" | b"print" | b"analyze" | b"pragma" => self.is_cut(self.len()),
            b"with" => self.is(next + 1, "as") && self.is_kind(next + 2, Kind::LeftParen),
            b"explain" => self.is_statement(next, false),
            _ => false,
        }
    }

    /// Statements that SQL Server runs without a semicolon before them.
    fn is_batch(&self, at: usize) -> bool {
        let next = at + 1;
        if self.is_any(at, &["exec", "execute"]) {
            let text = self.text(next).to_ascii_lowercase();
            let known = |name: &[u8]| {
                text.starts_with(name) || memchr::memmem::find(&text, &[b".", name].concat()).is_some()
            };
            let built = self.is_kind(next, Kind::LeftParen)
                && (self.is_string(next + 1)
                    || self.is_kind(next + 1, Kind::Variable)
                    || self.is_any(next + 1, &["char", "chr", "0x"]));
            return known(b"xp_")
                || known(b"sp_")
                || known(b"master.")
                || known(b"msdb.")
                || built
                || self.is(next, "immediate")
                || self.is_kind(next, Kind::Variable);
        }
        if self.is(at, "waitfor") {
            let ends = self.is_end(next + 1) || self.is_string(next + 1) || !self.is_word(next + 1);
            return self.is_any(next, &["delay", "time"]) && ends;
        }
        if self.is(at, "declare") {
            return self.is_kind(next, Kind::Variable) || self.is_cut(self.len());
        }
        if self.is_any(at, &["if", "while"]) {
            // `if (1=1) waitfor delay`, `if 1=1 select ...`
            return (next..self.len()).any(|index| {
                self.is(index, "waitfor")
                    || self.is(index, "shutdown") && (self.last_is_cut() || self.is_end(index + 1))
                    || self.is_any(index, &["select", "drop", "exec"]) && self.is_statement(index, false)
            });
        }
        if self.is_any(at, &["drop", "insert", "delete", "update", "create", "alter", "truncate"]) {
            return self.is_statement(at, false) && self.last_is_cut();
        }
        false
    }

    /// The whole value is an expression that waits or asks the database, and no statement as a console sends it.
    pub(super) fn whole(&self, at: usize) -> Option<&'static str> {
        const FORM: &str = "expression instead of a value";
        if self.is_bracketed_and_cut() {
            return Some(FORM);
        }
        if self.is(at, "select") {
            let bracketed = at > 0 && self.is_kind(at - 1, Kind::LeftParen);
            let column = self.behind_openers(at + 1);
            let (worth, _) = self.operand(column).unwrap_or((Operand::Name, 0));
            let asks = worth > Operand::Name && self.selects(at + 1).is_some()
                || (at..self.len()).any(|index| {
                    self.is_called(index)
                        && matches!(vocabulary::function(self.text(index)), Some(Function::Database))
                        || self.is(index, "from") && vocabulary::TABLES.has(self.text(index + 1))
                });
            return (bracketed && asks || self.is_cut_short(at)).then_some(FORM);
        }
        if at > 0
            && self.is_kind(at - 1, Kind::LeftParen)
            && self.is_kind(at, Kind::Number)
            && self.text(at + 1) == b"="
        {
            // `(1=2)*3`
            return (self.is_kind(at + 2, Kind::Number) && self.is_kind(at + 3, Kind::RightParen))
                .then_some(FORM);
        }
        if self.is_kind(at, Kind::LeftParen) {
            return None;
        }
        if self.is(at, "case") {
            let (worth, _) = self.operand(at)?;
            return (worth == Operand::Query && self.settles(at + 1..self.len())).then_some(FORM);
        }
        if !self.is_word(at) || !self.is_kind(at + 1, Kind::LeftParen) {
            return None;
        }
        let next = self.behind_brackets(at + 1);
        if vocabulary::WAITING.has(self.text(at)) {
            let ends = self.is_end(next)
                || self.is_any(next, &["or", "and", "||", "&&", "=", "<", ">", ",", "-", "+", "*", ";"]);
            return (ends && self.is_kind(at + 2, Kind::Number) && self.text(at + 2) != b"1").then_some(FORM);
        }
        if vocabulary::function(self.text(at)).is_none() {
            return None;
        }
        let (worth, _) = self.primary(at)?;
        let settled = || self.settles(at + 2..next);
        let asks =
            || (at + 2..next).any(|index| self.is(index, "select") && self.selects(index + 1).is_some());
        let waits = || {
            (at + 2..next).any(|index| {
                vocabulary::WAITING.has(self.text(index))
                    && self.is_kind(index + 1, Kind::LeftParen)
                    && self.is_kind(index + 2, Kind::Number)
            })
        };
        (worth == Operand::Query && (asks() || waits()) || worth >= Operand::Call && settled())
            .then_some(FORM)
    }

    /// `from information_schema.tables`, `from users`: what stands behind FROM is no place or group in a sentence.
    fn names_table(&self, at: usize) -> bool {
        let Some(from) = (at..at + 40).find(|index| self.is(*index, "from")) else { return false };
        let name = self.text(from + 1);
        name.iter().any(|byte| b"_.[`".contains(byte))
            || vocabulary::TABLES.has(self.text(from + 1))
            || self.is_kind(from + 1, Kind::LeftParen)
    }

    /// A batch of SQL Server behind other statements: nobody but it knows `declare @s` and `waitfor delay`.
    pub(super) fn batch_anywhere(&self) -> Option<&'static str> {
        let batch = (0..self.len()).any(|at| {
            self.is(at, "declare")
                && self.is_kind(at + 1, Kind::Variable)
                && self.text(at + 1).starts_with(b"@")
                || self.is(at, "waitfor") && self.is(at + 1, "delay") && self.is_string(at + 2)
                || self.is_any(at, &["exec", "execute"]) && self.is_batch(at)
        });
        batch.then_some("second statement")
    }

    /// A subquery anywhere, and nothing but a comment behind it all.
    pub(super) fn asks_and_cuts(&self) -> bool {
        self.last_is_cut()
            && (0..self.len()).any(|at| {
                self.is_kind(at, Kind::LeftParen)
                    && self.is(at + 1, "select")
                    && self.selects(at + 2).is_some()
            })
    }

    /// `((select 1)) --`: brackets in brackets, without a word that is not SQL, and then only a comment.
    fn is_bracketed_and_cut(&self) -> bool {
        let Some(last) = self.len().checked_sub(1) else { return false };
        let outer =
            self.is_kind(0, Kind::LeftParen) && self.is_kind(last, Kind::RightParen) && self.is_cut(last + 1);
        outer
            && last > 3
            && self.strings_are_modest(0..last)
            && (1..last).all(|at| !self.is_kind(at, Kind::Bareword))
            && (1..last).any(|at| self.is_word(at) || self.is_kind(at, Kind::Variable))
    }

    /// `select 1, sin(2) from t where`: a query of constants that the statement around it is to complete.
    fn is_cut_short(&self, at: usize) -> bool {
        let last = self.len().saturating_sub(1);
        let columns = self.is_any(at + 1, &["-", "("])
            || !self.is_kind(at + 1, Kind::Bareword)
            || self.is_kind(at + 2, Kind::Comma);
        self.is(last, "where") && self.is_end(last + 1) && last >= 4 && self.is(last - 2, "from") && columns
    }

    /// Two numbers are compared among these.
    fn settles(&self, mut tokens: std::ops::Range<usize>) -> bool {
        tokens.any(|at| {
            self.is_kind(at, Kind::Number) && self.text(at + 1) == b"=" && self.is_kind(at + 2, Kind::Number)
        })
    }

    /// `and 1=2-- x` at the very end of a line of whatever: a browser's name, a title. Numbers side by side, as who
    /// probes writes them and who calculates does not.
    pub(super) fn settled_anywhere(&self) -> Option<&'static str> {
        if self.value.len() > 512 || self.value.contains(&b'\n') || self.is_any(0, STATEMENTS) {
            return None;
        }
        for at in 1..self.len() {
            if self.is(at, "select") {
                return None;
            }
            if !self.is_any(at, &["and", "or", "xor"]) {
                continue;
            }
            let number = self.behind_prefixes(at + 1);
            let sides = self.span(number).end == self.span(number + 1).start
                && self.span(number + 1).end == self.span(number + 2).start;
            let settled = self.is_kind(number, Kind::Number)
                && self.text(number + 1) == b"="
                && self.is_kind(number + 2, Kind::Number);
            let next = self.behind_closers(number + 3);
            if settled && sides && (self.is_end(next) || self.is_any(next, &["and", "or"])) {
                return Some("condition joined to the statement's own");
            }
        }
        None
    }

    /// `if (...) waitfor delay '0:0:5'`, and a batch that is hidden in a number and run.
    pub(super) fn waits_anywhere(&self) -> Option<&'static str> {
        let number = |at: usize| {
            self.is_kind(at, Kind::Number) && self.text(at).len() > 10 && self.text(at).starts_with(b"0x")
        };
        let waits = |at: usize| {
            self.is(at, "waitfor")
                && self.is(at + 1, "delay")
                && self.is_string(at + 2)
                && self.text(at + 2).contains(&b':')
        };
        let runs = |at: usize| {
            self.is_any(at, &["exec", "execute"])
                && self.is_kind(at + 1, Kind::LeftParen)
                && self.is_kind(at + 2, Kind::Variable)
        };
        let waits = (0..self.len()).any(waits) && !self.value.contains(&b'\n');
        let hidden = self.is(0, "declare") && (0..self.len()).any(number) && (0..self.len()).any(runs);
        (waits || hidden).then_some("second statement")
    }

    /// UNION SELECT anywhere, with columns that nobody asks for: NULLs, small numbers, the version.
    pub(super) fn united_anywhere(&self, sure: bool) -> Option<&'static str> {
        if self.is_any(0, STATEMENTS) {
            return None;
        }
        for at in 0..self.len() {
            if self.is(at, "select") && !(at > 0 && self.is_kind(at - 1, Kind::LeftParen)) {
                return None;
            }
            if !self.is(at, "union") {
                continue;
            }
            let mut next = at + 1;
            while self.is_any(next, &["all", "distinct", "distinctrow", "("]) {
                next += 1;
            }
            if !self.is(next, "select") {
                continue;
            }
            let bracketed = self.is_kind(at + 1, Kind::LeftParen);
            if sure && (bracketed || self.selects(next + 1).is_some_and(|end| self.names_table(end))) {
                return Some("second query joined by UNION");
            }
            let Some((worth, end)) = self.operand(next + 1) else { continue };
            let listed = self.is_kind(end, Kind::Comma)
                || self.is(end, "from")
                || self.is_end(end)
                || self.is_kind(end, Kind::Semicolon);
            if worth > Operand::Name && listed {
                return Some("second query joined by UNION");
            }
        }
        None
    }
}
