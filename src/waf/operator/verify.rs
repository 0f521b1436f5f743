//! What `verify_cc`, `verify_cpf`, `verify_ssn` and `verify_svnr` share: an expression finds what
//! looks like a number, and a checksum says whether it is one. Each has its checksum, and its
//! documentation, in its own file.
//!
//! Candidates may overlap: behind one that fails, the search goes on one byte behind its start. A
//! candidate is at most [`LONGEST`] bytes long, context of the expression included; that bounds what
//! a search reads, and makes the whole linear.

use std::ops::Range;

use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use serde_json::Value;
use smallvec::SmallVec;

use crate::waf::bytes::ByteSet;

use super::expression::{DFA_CACHE, SIZE_LIMIT};
use super::rx::compile;
use super::{Hit, Need, Operator, OperatorError, literals, text_argument};

/// The longest number, a card's, has 19 digits; the rest is for what stands between and around.
const LONGEST: usize = 128;

/// The digits of a candidate, as numbers from 0 to 9.
type Digits = SmallVec<[u8; 32]>;

#[derive(Debug)]
struct Verify {
    name: &'static str,
    pattern: String,
    regex: Regex,
    holds: fn(&[u8]) -> bool,
    parts: Parts,
    need: Need,
}

/// What of a match is a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    Whole,
    /// Each group of the expression too.
    WholeAndGroups,
}

/// The operator of that name, whose `holds` is shown the digits of each candidate.
pub(super) fn build(
    name: &'static str,
    argument: &Value,
    parts: Parts,
    holds: fn(&[u8]) -> bool,
) -> Result<Box<dyn Operator>, OperatorError> {
    let pattern = text_argument(name, argument)?;
    // Says what is wrong with an expression, and how to write it.
    compile(pattern)?;
    let config =
        Regex::config().utf8_empty(false).nfa_size_limit(Some(SIZE_LIMIT)).hybrid_cache_capacity(DFA_CACHE);
    let regex = Regex::builder()
        .configure(config)
        .syntax(syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true))
        .build(pattern)
        .map_err(|error| {
            OperatorError::argument(
                format!("the regular expression is not accepted: {error}"),
                "write a shorter expression",
            )
        })?;
    let mut need = literals::need(pattern);
    need.bytes.push(ByteSet::range(b'0', b'9'));
    Ok(Box::new(Verify { name, pattern: pattern.to_owned(), regex, holds, parts, need }))
}

impl Verify {
    /// The first candidate that holds, and how many searches that took.
    fn search(&self, value: &[u8]) -> (Option<Hit>, usize) {
        let (mut from, mut searches) = (0, 0);
        while from < value.len() {
            let to = value.len().min(from + 2 * LONGEST);
            // What surrounds the window is still seen by `^`, `$` and `\b`.
            let window = Input::new(value).span(from..to);
            searches += 1;
            let Some(found) = self.regex.search(&window) else {
                from += LONGEST;
                continue;
            };
            if to < value.len() && found.start() > from + LONGEST {
                // The window's end may have cut it short.
                from = found.start();
                continue;
            }
            if let Some(span) = self.candidate(value, window, found.range()) {
                return (Some(Hit::at(span)), searches);
            }
            from = found.start() + 1;
        }
        (None, searches)
    }

    /// What holds of the match in a window: the whole, or else one of its groups.
    fn candidate(&self, value: &[u8], window: Input<'_>, whole: Range<usize>) -> Option<Range<usize>> {
        let holds = |span: &Range<usize>| {
            let digits = value[span.clone()].iter().filter(|byte| byte.is_ascii_digit());
            (self.holds)(&digits.map(|byte| byte - b'0').collect::<Digits>())
        };
        if holds(&whole) {
            return Some(whole);
        }
        if self.parts == Parts::Whole || self.regex.captures_len() == 1 {
            return None;
        }
        let mut captures = self.regex.create_captures();
        self.regex.search_captures(&window, &mut captures);
        captures.iter().skip(1).flatten().map(|group| group.range()).find(holds)
    }
}

impl Operator for Verify {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        self.search(value).0
    }

    fn need(&self) -> Need {
        self.need.clone()
    }

    fn describe(&self) -> String {
        format!("{} {}", self.name, self.pattern)
    }
}

/// True when all digits are the same, or count upwards from 0 or 1 (0 follows 9).
pub(super) fn is_made_up(digits: &[u8]) -> bool {
    let steps = |step: u8| digits.windows(2).all(|two| (two[0] + step) % 10 == two[1]);
    steps(0) || (matches!(digits, [0 | 1, ..]) && steps(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(pattern: &str, parts: Parts, holds: fn(&[u8]) -> bool) -> Verify {
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let regex = Regex::builder().syntax(syntax).build(pattern).unwrap();
        Verify { name: "verify_cc", pattern: pattern.into(), regex, holds, parts, need: Need::ALWAYS }
    }

    #[test]
    fn candidates_overlap_and_groups_count_where_asked() {
        let span = |operator: &Verify, value: &[u8]| operator.search(value).0.map(|hit| hit.span);
        let operator = digits("[0-9]{3}", Parts::Whole, |digits| digits == [2, 3, 4]);
        assert_eq!(span(&operator, b"x1234"), Some(2..5));
        assert_eq!(span(&operator, b"x1 234"), Some(3..6));
        let operator = digits("a([0-9]+)b[0-9]", Parts::WholeAndGroups, |digits| digits == [1, 2]);
        assert_eq!(span(&operator, b"a12b3"), Some(1..3));
        let operator = digits("a([0-9]+)b[0-9]", Parts::Whole, |digits| digits == [1, 2]);
        assert_eq!(span(&operator, b"a12b3"), None);
    }

    #[test]
    fn a_candidate_is_found_wherever_windows_end() {
        let operator = digits("(?:^|[^0-9])[0-9]{16}(?:[^0-9]|$)", Parts::Whole, |digits| digits[0] == 7);
        for before in 0..3 * LONGEST {
            let mut value = vec![b'-'; before];
            value.extend_from_slice(b"7123456789012345");
            for after in [0, 1, 500] {
                let mut value = value.clone();
                value.resize(value.len() + after, b'-');
                assert!(operator.search(&value).0.is_some(), "{before} before, {after} behind");
            }
            // Another digit before it: `^` and the window's start are not the same.
            if before > 0 {
                value[before - 1] = b'1';
                assert!(operator.search(&value).0.is_none(), "{before}");
            }
        }
    }

    #[test]
    fn searches_are_no_more_than_bytes() {
        for pattern in ["[0-9]+", "(?:[0-9]+x|[0-9])", ".*", "[0-9]*$", "x*"] {
            let operator = digits(pattern, Parts::WholeAndGroups, |_| false);
            for size in [1000, 10_000, 100_000] {
                for byte in [b"1", b"x", b"-"] {
                    let (hit, searches) = operator.search(&byte.repeat(size));
                    assert!(
                        hit.is_none() && searches <= size,
                        "{pattern}: {searches} searches of {size} bytes"
                    );
                }
            }
        }
    }
}
