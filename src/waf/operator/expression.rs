//! A regular expression as operators keep it. It is compiled when rules are loaded, to say what is
//! wrong with it, and that is let go again: an automaton takes a hundred times the room of its text,
//! and most rules of most sites never have a value that gets past their prefilter. The first one that
//! does has it compiled for good, which takes about a millisecond once.
//!
//! Whoever has the same text shares one automaton: several rules, and the rules before and after a
//! reload, which for that reason does not compile again what it has.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use regex::bytes::{Regex, RegexBuilder};

use super::OperatorError;
use super::rx::refusal;
use crate::waf::meter;

/// A compiled expression stays under this, which is ten times what the largest expression in
/// public rule sets (12 KB of text) needs.
pub(super) const SIZE_LIMIT: usize = 10 * 1024 * 1024;

/// The lazy automaton of one expression in one thread; some 200 expressions on every thread would
/// take 2 MiB each otherwise.
pub(super) const DFA_CACHE: usize = 256 * 1024;

/// One expression, on bytes: see `rx`.
#[derive(Clone, Debug)]
pub(super) struct Expression(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    text: Box<str>,
    /// Groups, and one for the whole.
    groups: usize,
    regex: OnceLock<Regex>,
}

/// Those in use, by their texts.
static KNOWN: Mutex<BTreeMap<Box<str>, Weak<Shared>>> = Mutex::new(BTreeMap::new());

impl Expression {
    /// The expression, or what is wrong with it and what to write instead.
    pub fn new(text: &str) -> Result<Expression, OperatorError> {
        // Nobody panics with the lock held, and if so the map is whole.
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = known().get(text).and_then(Weak::upgrade) {
            return Ok(Expression(shared));
        }
        let groups = compile(text).map_err(|error| refusal(text, &error))?.captures_len();
        let shared = Arc::new(Shared { text: text.into(), groups, regex: OnceLock::new() });
        let mut known = known();
        known.retain(|_, other| other.strong_count() > 0);
        known.insert(text.into(), Arc::downgrade(&shared));
        Ok(Expression(shared))
    }

    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    pub fn captures_len(&self) -> usize {
        self.0.groups
    }
}

impl Deref for Expression {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        let compiled = || meter::making(|| compile(&self.0.text));
        self.0.regex.get_or_init(|| compiled().expect("it was compiled when it was loaded"))
    }
}

fn compile(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(DFA_CACHE)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_compiled_when_it_is_asked_and_shared_by_its_text() {
        let one = Expression::new("(shared) by its text").expect("it is right");
        let two = Expression::new("(shared) by its text").expect("it is right");
        assert!(Arc::ptr_eq(&one.0, &two.0));
        assert_eq!((one.captures_len(), one.as_str()), (2, "(shared) by its text"));
        assert!(one.0.regex.get().is_none());
        assert!(two.is_match(b"a shared by its text"));
        assert!(one.0.regex.get().is_some());
        drop((one, two));
        let again = Expression::new("(shared) by its text").expect("it is right");
        assert!(again.0.regex.get().is_none(), "what nobody has is let go");
        assert!(Expression::new("(").is_err());
    }
}
