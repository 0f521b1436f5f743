//! `rx`: a regular expression stands somewhere in the value. Expressions are those of the
//! `regex` crate on bytes: linear in the value's length, whatever the rule; `.` matches every
//! byte (ModSecurity's `(?s)`), classes are ASCII, case counts unless `(?i)` says otherwise,
//! and a byte is written `\xHH`.
//!
//! Argument: the expression, or an object with it and what it cannot say itself (see `rx_with`).
//! Example: `{"rx": "(?i)\\bunion\\s+select\\b"}`.

use serde_json::Value;

use super::expression::Expression;
use super::{Data, Hit, Need, Operator, OperatorError, OperatorErrorKind, literals, rx_with, text_argument};

/// Groups kept: `tx.0` is the whole match, `tx.1` to `tx.9` the groups.
pub(super) const GROUPS: usize = 9;

#[derive(Debug)]
struct Rx {
    regex: Expression,
    need: Need,
}

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    if let Value::Object(fields) = argument {
        return rx_with::build(fields);
    }
    let pattern = text_argument(name, argument)?;
    Ok(Box::new(Rx { regex: compile(pattern)?, need: literals::need(pattern) }))
}

/// The expression, or what is wrong with it and what to write instead.
pub(super) fn compile(pattern: &str) -> Result<Expression, OperatorError> {
    if let Some(at) = wide_escape(pattern) {
        return Err(OperatorError {
            kind: OperatorErrorKind::Expression,
            problem: format!("the braced escape at character {} means a character of several bytes", at + 1),
            help: Some(BYTE_HELP.to_owned()),
        });
    }
    Expression::new(pattern)
}

const BYTE_HELP: &str = "expressions match bytes: write a byte as \\xHH (two digits, no braces)";

/// Where a `\x{...}` above ASCII stands. The regex crate reads it as the UTF-8 bytes of a
/// character, where authors who know PCRE mean one byte: a rule would silently never match.
fn wide_escape(pattern: &str) -> Option<usize> {
    let mut escapes = pattern.char_indices();
    while let Some((at, character)) = escapes.next() {
        if character != '\\' {
            continue;
        }
        let digits = match escapes.next() {
            Some((_, 'x' | 'u' | 'U')) => pattern[at + 2..].strip_prefix('{'),
            _ => None,
        };
        if let Some((digits, _)) = digits.and_then(|rest| rest.split_once('}'))
            && u32::from_str_radix(digits.trim(), 16).is_ok_and(|code| code > 0x7f)
        {
            return Some(at);
        }
    }
    None
}

pub(super) fn refusal(pattern: &str, error: &regex::Error) -> OperatorError {
    let text = error.to_string();
    let help = if matches!(error, regex::Error::CompiledTooBig(_)) {
        "the expression is too large when compiled: lower its counted repetitions or split it".to_owned()
    } else if text.contains("look-around") {
        "look-ahead and look-behind cannot be matched in linear time: write two conditions under \"all\", \
         the second with \"negate\": true"
            .to_owned()
    } else if text.contains("backreferences") {
        "backreferences cannot be matched in linear time: capture the text and compare it in a second \
         condition"
            .to_owned()
    } else if text.contains("Unicode not allowed") || text.contains("invalid UTF-8") {
        BYTE_HELP.to_owned()
    } else {
        format!("the expression is {} characters long; the mark shows where reading stopped", pattern.len())
    };
    OperatorError {
        kind: OperatorErrorKind::Expression,
        problem: format!("the regular expression is not accepted: {text}"),
        help: Some(help),
    }
}

impl Operator for Rx {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let found = self.regex.find(value)?;
        let mut hit = Hit::at(found.range());
        if self.regex.captures_len() > 1 {
            // Groups cost a second, slower run, paid only by values that match.
            let captures = self.regex.captures_at(value, found.start())?;
            hit.captures = captures
                .iter()
                .skip(1)
                .take(GROUPS)
                .map(|group| group.map_or(0..0, |group| group.range()))
                .collect();
        }
        Some(hit)
    }

    fn need(&self) -> Need {
        self.need.clone()
    }

    fn describe(&self) -> String {
        format!("rx {}", self.regex.as_str())
    }

    /// The states of its automaton: all of them can be alive at one byte.
    fn steps_per_byte(&self) -> usize {
        literals::states(self.regex.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};
    use super::*;

    #[test]
    fn expressions_match_bytes() {
        check(
            &*built("rx", json!("a.c")),
            &[(b"xa\ncx", Some(1..4)), (b"a\xffc", Some(0..3)), (b"A.C", None)],
        );
        check(&*built("rx", json!("(?i)\\bor\\b")), &[(b"1 OR 1", Some(2..4)), (b"for", None)]);
        check(&*built("rx", json!("[\\x80-\\xff]")), &[(b"a\xc3", Some(1..2)), (b"a", None)]);
        check(&*built("rx", json!("^a$")), &[(b"a", Some(0..1)), (b"a\n", None), (b"b\na", None)]);
        check(&*built("rx", json!("\\x{41}\\\\x\\{bc}")), &[(b"A\\x{bc}", Some(0..7))]);
        check(&*built("rx", json!("")), &[(b"", Some(0..0)), (b"x", Some(0..0))]);
    }

    #[test]
    fn groups_one_to_nine_are_told_and_unused_ones_are_empty() {
        let hit = built("rx", json!("(a)|(b)(c)")).evaluate(b"xbc").unwrap();
        assert_eq!(hit.span, 1..3);
        assert_eq!(hit.captures.as_slice(), [0..0, 1..2, 2..3]);
        let hit = built("rx", json!("(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)")).evaluate(b"0123456789abc").unwrap();
        assert_eq!(hit.captures.len(), 9);
    }

    #[test]
    fn what_is_not_linear_or_not_bytes_is_refused_with_a_way_out() {
        for (pattern, help) in [
            ("(?!x)a", "linear time"),
            ("(?<=x)a", "linear time"),
            ("(a)\\1", "linear time"),
            ("\\x{2019}", "\\xHH"),
            ("a[\\x{bc}]", "\\xHH"),
            ("[\u{e4}]", "\\xHH"),
            ("(", "mark shows"),
            ("a{1000}{1000}{1000}", "too large"),
        ] {
            let error = build("rx", &json!(pattern), &Data::new()).unwrap_err();
            assert_eq!(error.kind, OperatorErrorKind::Expression, "{pattern}");
            assert!(error.help.as_deref().is_some_and(|text| text.contains(help)), "{pattern}: {error:?}");
        }
    }
}
