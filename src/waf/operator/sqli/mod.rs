//! SQL injection, found the way libinjection does it: a value is cut into SQL tokens, what does not matter is folded
//! away, and the kinds of the first five tokens are looked up in a list of known attacks.
//!
//! A value may stand on its own in the statement, or inside a string that it closes. So it is read from up to three
//! starts: as it is, behind a single quote if it has one, behind a double quote if it has one; and once more as MySQL
//! would where that makes a difference. Each reading is one pass over the value at most, without allocation.
//!
//! The reference is libinjection 3.9.2; the lists are its data, see `words.txt`. It has no notion of a grammar: a
//! sentence with quotes in the wrong places can look like an attack.

use std::fmt;

use memchr::{memchr, memmem};

use self::fold::{MOST, fold};
use self::lexer::{Dialect, Lexer, Quote};
use self::token::{Kind, Token};

mod escape;
mod fold;
mod lexer;
mod literal;
mod quiet;
#[cfg(test)]
mod tests;
mod token;
mod words;

pub(super) use escape::find as find_escape;
pub(super) use quiet::is_quiet;

/// The kinds of the tokens that make an attack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    kinds: [u8; MOST],
    len: usize,
}

impl Fingerprint {
    fn of(tokens: &[Token]) -> Fingerprint {
        let mut kinds = [0; MOST];
        if tokens.iter().any(|token| token.kind == Kind::Evil) {
            kinds[0] = Kind::Evil as u8;
            return Fingerprint { kinds, len: 1 };
        }
        for (kind, token) in kinds.iter_mut().zip(tokens) {
            *kind = token.kind as u8;
        }
        Fingerprint { kinds, len: tokens.len().min(MOST) }
    }

    fn kinds(&self) -> &[u8] {
        &self.kinds[..self.len]
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kinds().iter().try_for_each(|kind| write!(f, "{}", char::from(*kind)))
    }
}

/// A longer value is judged by this much of its beginning. It is the default bound of all that is inspected of a
/// message, and the worst value of this length takes some hundredths of a second.
pub(super) const MOST_BYTES: usize = 1024 * 1024;

/// The fingerprint of the attack that a value is, if it is one.
pub(super) fn detect(value: &[u8]) -> Option<Fingerprint> {
    let value = &value[..value.len().min(MOST_BYTES)];
    let in_any_dialect = |quote| match read(value, quote, Dialect::Ansi) {
        Reading::Attack(fingerprint) => Some(fingerprint),
        Reading::Benign { dialects_differ: false } => None,
        Reading::Benign { dialects_differ: true } => read(value, quote, Dialect::MySql).attack(),
    };
    let has = |quote| memchr(quote, value).is_some();
    in_any_dialect(Quote::None)
        .or_else(|| if has(b'\'') { in_any_dialect(Quote::Single) } else { None })
        // Only MySQL writes strings in double quotes.
        .or_else(|| if has(b'"') { read(value, Quote::Double, Dialect::MySql).attack() } else { None })
}

#[cfg(test)]
fn fingerprint_is_attack(kinds: &[u8]) -> bool {
    words::is_attack(kinds)
}

/// What one way to read a value came to.
enum Reading {
    Attack(Fingerprint),
    Benign { dialects_differ: bool },
}

impl Reading {
    fn attack(self) -> Option<Fingerprint> {
        match self {
            Reading::Attack(fingerprint) => Some(fingerprint),
            Reading::Benign { .. } => None,
        }
    }
}

fn read(value: &[u8], quote: Quote, dialect: Dialect) -> Reading {
    let mut lexer = Lexer::new(value, quote, dialect);
    let mut folded = fold(&mut lexer);
    let tokens = folded.tokens_mut();
    // PHP's drivers let an opened back quote begin a comment.
    if let [_, _, .., last] = tokens
        && last.kind == Kind::Bareword
        && last.len() == 0
        && last.open == b'`'
        && last.close == 0
    {
        last.kind = Kind::Comment;
    }
    let fingerprint = Fingerprint::of(tokens);
    let attack =
        words::is_attack(fingerprint.kinds()) && !is_pardoned(value, &fingerprint, tokens, lexer.tokens);
    match attack {
        true => Reading::Attack(fingerprint),
        false => Reading::Benign { dialects_differ: lexer.dialects_differ },
    }
}

/// Short fingerprints are also those of ordinary text. True for what is more likely text. `read` is how many tokens
/// there were before folding.
fn is_pardoned(value: &[u8], fingerprint: &Fingerprint, tokens: &[Token], read: usize) -> bool {
    let kinds = fingerprint.kinds();
    // SQL Server leaves a statement with this word out of its log.
    if let [_, .., b'c'] = kinds
        && memmem::find(value, b"sp_password").is_some()
    {
        return false;
    }
    match (kinds, tokens) {
        ([_, _], [first, second]) => is_text_of_two(value, first, second, read),
        ([_, _, _], [first, second, third]) => is_text_of_three(value, kinds, [first, second, third], read),
        _ => false,
    }
}

fn is_text_of_two(value: &[u8], first: &Token, second: &Token, read: usize) -> bool {
    if second.kind == Kind::Union {
        // `1 union` alone is the start of many a sentence.
        return read == 2;
    }
    let begins = |byte| second.text(value).first() == Some(&byte);
    if begins(b'#') {
        return true;
    }
    if second.kind == Kind::Comment {
        if first.kind == Kind::Bareword && !begins(b'/') {
            return true;
        }
        if first.kind == Kind::Number {
            return !begins(b'/') && read <= 2 && !is_number_before_comment(value, first);
        }
    }
    // Many end a line of text with dashes; few attacks go on behind them.
    begins(b'-') && second.len() > 2
}

/// `1234-ABCDEF--` in a query is no comment, `1234--` and `1234 --` are. What counts is the byte which would follow the
/// number if the value began with it.
fn is_number_before_comment(value: &[u8], number: &Token) -> bool {
    let at = |index: usize| value.get(index).copied().unwrap_or(0);
    let len = number.len();
    match at(len) {
        b'/' => at(len + 1) == b'*',
        b'-' => at(len + 1) == b'-',
        next => next <= b' ' || !next.is_ascii(),
    }
}

fn is_text_of_three(value: &[u8], kinds: &[u8], [first, second, third]: [&Token; 3], read: usize) -> bool {
    match kinds {
        // `foo" + "bar`: the outer quotes are missing and the inner ones are of one kind.
        b"sos" | b"s&s" => !(first.open == 0 && third.close == 0 && first.close == third.open),
        // `sexy and 17` is text, `sexy and 17<18` is not.
        b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => read == 3,
        _ => {
            let into = second.len() > 4 && second.text(value)[..4].eq_ignore_ascii_case(b"INTO");
            second.kind == Kind::Keyword && !into
        }
    }
}
