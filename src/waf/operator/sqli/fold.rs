//! Reduces a stream of tokens to the first five that matter. `1+2` is as good as `1`, `a.b` as `a`, a second string
//! as the first, and so on: whatever does not change the shape of the statement is folded away as it is read, so that
//! padding does not hide what comes behind it.

use super::lexer::Lexer;
use super::token::{Kind, TEXT_BYTES, Token};
use super::words;

/// A fingerprint has this many kinds.
pub(super) const MOST: usize = 5;

/// Names that are functions only where a parenthesis follows.
const FUNCTIONS_WHEN_CALLED: &[&[u8]] = &[
    b"USER_ID",
    b"USER_NAME",
    b"DATABASE",
    b"PASSWORD",
    b"USER",
    b"CURRENT_USER",
    b"CURRENT_DATE",
    b"CURRENT_TIME",
    b"CURRENT_TIMESTAMP",
    b"LOCALTIME",
    b"LOCALTIMESTAMP",
];

/// What is left after folding: up to five tokens, and one more that was read to make sure of the fifth.
pub(super) struct Folded {
    tokens: [Token; 8],
    len: usize,
}

impl Folded {
    pub(super) fn tokens_mut(&mut self) -> &mut [Token] {
        &mut self.tokens[..self.len]
    }
}

/// Reads as many tokens as it takes.
pub(super) fn fold(lexer: &mut Lexer) -> Folded {
    Folder { lexer, tokens: [Token::BLANK; 8], len: 0, done: 0, more: true, comment: None }.run()
}

struct Folder<'l, 'a> {
    lexer: &'l mut Lexer<'a>,
    tokens: [Token; 8],
    /// How many of them are filled.
    len: usize,
    /// Those before this one are settled, unless a fold begins again from the start.
    done: usize,
    /// False once the value is read to its end.
    more: bool,
    /// The comment behind the last token. Only at the end does a comment count.
    comment: Option<Token>,
}

/// What a look at the tokens from `done` on led to.
#[derive(PartialEq, Eq)]
enum Fold {
    /// The tokens changed: look again.
    Changed,
    /// Nothing to fold.
    Kept,
}

impl Folder<'_, '_> {
    fn run(mut self) -> Folded {
        if !self.skip_beginning() {
            return Folded { tokens: self.tokens, len: 0 };
        }
        loop {
            self.fold_five();
            if !self.more || self.done >= MOST {
                break;
            }
            self.read(2);
            if self.len - self.done < 2 {
                self.done = self.len;
                continue;
            }
            match self.fold_two() {
                Ok(Fold::Changed) => continue,
                Ok(Fold::Kept) => {}
                Err(Evil) => {
                    return Folded { tokens: self.tokens, len: (self.done + 2).min(self.tokens.len()) };
                }
            }
            self.read(3);
            if self.len - self.done < 3 {
                self.done = self.len;
            } else if self.fold_three() == Fold::Kept {
                self.done += 1;
            }
        }
        if let Some(comment) = self.comment.filter(|_| self.len < MOST) {
            self.tokens[self.len] = comment;
            self.len += 1;
        }
        Folded { tokens: self.tokens, len: self.len.min(MOST) }
    }

    /// Passes over comments, parentheses, types and signs. False when nothing else follows.
    fn skip_beginning(&mut self) -> bool {
        while let Some(token) = self.lexer.next() {
            let skipped = matches!(token.kind, Kind::Comment | Kind::LeftParen | Kind::SqlType);
            if !skipped && !token.is_unary(self.lexer.value) {
                self.tokens[0] = token;
                self.len = 1;
                return true;
            }
        }
        false
    }

    /// Reads on until there are `count` tokens behind the settled ones, or six in all, or the value ends.
    fn read(&mut self, count: usize) {
        while self.more && self.len <= MOST && self.len - self.done < count {
            match self.lexer.next() {
                None => self.more = false,
                Some(token) if token.kind == Kind::Comment => self.comment = Some(token),
                Some(token) => {
                    self.comment = None;
                    self.tokens[self.len] = token;
                    self.len += 1;
                }
            }
        }
    }

    /// Drops that many tokens from the end and looks again from the start.
    fn drop_last(&mut self, count: usize) -> Fold {
        self.len -= count;
        self.done = 0;
        Fold::Changed
    }

    /// Drops the last token and looks again one token earlier.
    fn step_back(&mut self) -> Fold {
        self.len -= 1;
        self.done = self.done.saturating_sub(1);
        Fold::Changed
    }

    /// Puts the token at `to + 1` in the place of the one before it, and drops one.
    fn pull(&mut self, to: usize) -> Fold {
        self.tokens[to] = self.tokens[to + 1];
        self.drop_last(1)
    }

    /// Five tokens that stand for one value each: `1+(2)`, `a=(b)`, `1),(2`, `a)+(b`.
    fn fold_five(&mut self) {
        use Kind::{Bareword, Comma, LeftParen, Number, Operator, RightParen};
        if self.len < MOST {
            return;
        }
        let [a, b, c, d, e, ..] = self.tokens.map(|token| token.kind);
        let one_value = matches!(
            (a, b, c, d, e),
            (Number, Operator | Comma, LeftParen, Number, RightParen)
                | (Bareword, Operator, LeftParen, Bareword | Number, RightParen)
                | (Number, RightParen, Comma, LeftParen, Number)
                | (Bareword, RightParen, Operator, LeftParen, Bareword)
        );
        if one_value {
            self.done = 0;
            if self.len > MOST {
                self.tokens[1] = self.tokens[MOST];
                self.len = 2;
            } else {
                self.len = 1;
            }
        }
    }

    fn fold_two(&mut self) -> Result<Fold, Evil> {
        let (at, value) = (self.done, self.lexer.value);
        let (a, b) = (self.tokens[at], self.tokens[at + 1]);
        match (a.kind, b.kind) {
            // A second string or semicolon adds nothing.
            (Kind::Text, Kind::Text) | (Kind::Semicolon, Kind::Semicolon) => {
                self.len -= 1;
                return Ok(Fold::Changed);
            }
            (Kind::Operator | Kind::Logic, Kind::SqlType) => return Ok(self.drop_last(1)),
            (Kind::Operator | Kind::Logic, Kind::Operator) if b.is_unary(value) => {
                return Ok(self.drop_last(1));
            }
            (Kind::LeftParen, Kind::Operator) if b.is_unary(value) => return Ok(self.step_back()),
            _ => {}
        }
        if let Some(phrase) = phrase(value, &a, &b) {
            self.tokens[at] = phrase;
            return Ok(self.step_back());
        }
        match a.kind {
            // `; if` is the statement of Transact-SQL and not the function.
            Kind::Semicolon
                if b.kind == Kind::Function
                    && b.text(value).get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"if")) =>
            {
                self.tokens[at + 1].kind = Kind::Statement;
                return Ok(Fold::Changed);
            }
            Kind::Bareword | Kind::Variable
                if b.kind == Kind::LeftParen && a.is_any(value, FUNCTIONS_WHEN_CALLED) =>
            {
                self.tokens[at].kind = Kind::Function;
                return Ok(Fold::Changed);
            }
            // `in (` compares; elsewhere it is a word such as any other.
            Kind::Keyword if a.is_any(value, &[b"IN", b"NOT IN"]) => {
                let called = b.kind == Kind::LeftParen;
                self.tokens[at].kind = if called { Kind::Operator } else { Kind::Bareword };
                return Ok(Fold::Changed);
            }
            Kind::Operator if a.is_any(value, &[b"LIKE", b"NOT LIKE"]) => {
                if b.kind == Kind::LeftParen {
                    self.tokens[at].kind = Kind::Function;
                }
                return Ok(Fold::Kept);
            }
            _ => {}
        }
        self.fold_two_marks(at, &a, &b)
    }

    fn fold_two_marks(&mut self, at: usize, a: &Token, b: &Token) -> Result<Fold, Evil> {
        let value = self.lexer.value;
        use Kind::{
            Backslash, Bareword, Collate, Function, LeftBrace, LeftParen, Number, RightBrace, RightParen,
            SqlType, Text, Variable,
        };
        Ok(match (a.kind, b.kind) {
            (SqlType, Bareword | Number | SqlType | LeftParen | Function | Variable | Text) => self.pull(at),
            // There are too many collations to list them; they have an underscore.
            (Collate, Bareword) => {
                if b.text(value).iter().take_while(|byte| **byte != 0).any(|byte| *byte == b'_') {
                    self.tokens[at + 1].kind = SqlType;
                    self.done = 0;
                }
                Fold::Kept
            }
            // Transact-SQL reads `\%1` as `0 % 1`, and `\1` as `1`.
            (Backslash, _) if b.is_arithmetic(value) => {
                self.tokens[at].kind = Number;
                self.done = 0;
                Fold::Changed
            }
            (Backslash, _) => self.pull(at),
            (LeftParen, LeftParen) | (RightParen, RightParen) => self.drop_last(1),
            // MySQL takes ``{``.``.a}`` for a column.
            (LeftBrace, Bareword) if b.len() == 0 => {
                self.tokens[at + 1].kind = Kind::Evil;
                return Err(Evil);
            }
            // `{name expression}` of ODBC is the expression.
            (LeftBrace, Bareword) => self.drop_last(2),
            (_, RightBrace) => self.drop_last(1),
            _ => Fold::Kept,
        })
    }

    fn fold_three(&mut self) -> Fold {
        use Kind::{
            Bareword, Comma, Dot, Expression, Function, Group, Keyword, LeftParen, Logic, Number, Operator,
            RightParen, SqlType, Text, Variable,
        };
        let (at, value) = (self.done, self.lexer.value);
        let (a, b, c) = (self.tokens[at], self.tokens[at + 1], self.tokens[at + 2]);
        match (a.kind, b.kind, c.kind) {
            (Number | Bareword, Operator, Number | Bareword)
            | (Logic, _, Logic)
            | (Variable, Operator, Variable | Number | Bareword)
            | (Number | Bareword | Text | Variable, Comma, Number | Bareword | Text | Variable) => {
                self.drop_last(2)
            }
            (Operator, between, Operator) if between != LeftParen => self.drop_last(2),
            (Number | Bareword | Text | Variable, Operator, SqlType) if b.text(value) == b"::" => {
                self.drop_last(2)
            }
            (Expression | Group | Comma, Operator, LeftParen) if b.is_unary(value) => self.pull(at + 1),
            (Keyword | Expression | Group, Operator, Number | Bareword | Variable | Text | Function)
                if b.is_unary(value) =>
            {
                self.pull(at + 1)
            }
            // `1,-1` is to be `1`: the comma goes too, and what stood before it is looked at again.
            (Comma, Operator, Number | Bareword | Variable | Text) if b.is_unary(value) => {
                self.tokens[at + 1] = c;
                self.drop_last(3)
            }
            (Comma, Operator, Function) if b.is_unary(value) => self.pull(at + 1),
            (Bareword, Dot, Bareword) => self.drop_last(2),
            (Expression, Dot, Bareword) => self.pull(at + 1),
            // `user()` is a function, `user(a)` is none.
            (Function, LeftParen, third) if third != RightParen && a.is(value, b"USER") => {
                self.tokens[at].kind = Bareword;
                Fold::Kept
            }
            _ => Fold::Kept,
        }
    }
}

/// The value holds what only an attacker writes; the rest does not matter.
struct Evil;

/// Two tokens that are one phrase together: `union all`.
fn phrase(value: &[u8], a: &Token, b: &Token) -> Option<Token> {
    use Kind::{Bareword, Expression, Function, Keyword, Logic, Operator, SqlType, Statement, Union};
    let joins = |kind| {
        matches!(kind, Keyword | Bareword | Operator | Union | Function | Expression | Statement | SqlType)
    };
    if !a.starts_phrase() || !joins(a.kind) || !(joins(b.kind) || b.kind == Logic) {
        return None;
    }
    let mut joined = [0; TEXT_BYTES];
    let len = a.len() + 1 + b.len();
    let (first, second) = joined.get_mut(..len)?.split_at_mut(a.len());
    first.copy_from_slice(a.text(value));
    second[0] = b' ';
    second[1..].copy_from_slice(b.text(value));
    let word = words::find(&joined[..len])?;
    Some(Token::phrase(word.kind?, word, a))
}
