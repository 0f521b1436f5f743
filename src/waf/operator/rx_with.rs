//! `rx` with an object: an expression, and what its linear engine cannot be asked itself.
//!
//! - `equal_groups`, `different_groups`: pairs `[FIRST, SECOND]` of groups. A match counts only when
//!   in each pair whose second group took part the two are equal, or different; with `ignore_case`
//!   whatever their case. Matches are tried one after the other. The second groups are there for the
//!   comparison alone and are not told as `tx.N`.
//! - `also`, `unless`: expressions that must match, and must not match, the same value.
//!
//! Example: `{"rx": {"pattern": "\\b(\\w+)\\b=\\b(\\w+)\\b", "equal_groups": [[1, 2]]}}`.

use regex::bytes::Captures;
use serde_json::{Map, Value};

use super::expression::Expression;
use super::rx::{GROUPS, compile};
use super::{Hit, Need, Operator, OperatorError, kind_of, literals};

/// Matches of which the groups are compared, in a value of any length. Each search reads the value
/// once at worst, so that this is the factor over one search.
const MOST_MATCHES: usize = 64;
/// A short value may have more matches tried, as long as no more is read than of one of this length:
/// harmless pairs before the one that counts do not hide it.
const SHORT: usize = 16 * 1024;

const KEYS: &[&str] = &["pattern", "equal_groups", "different_groups", "ignore_case", "also", "unless"];

#[derive(Debug)]
struct RxWith {
    regex: Expression,
    pairs: Vec<Pair>,
    ignore_case: bool,
    also: Vec<Expression>,
    unless: Vec<Expression>,
    /// The groups that are told.
    told: Vec<usize>,
    need: Need,
}

#[derive(Debug)]
struct Pair {
    groups: [usize; 2],
    equal: bool,
}

pub(super) fn build(fields: &Map<String, Value>) -> Result<Box<dyn Operator>, OperatorError> {
    let wrong = |problem: String| {
        OperatorError::argument(problem, "write {\"rx\": {\"pattern\": \"...\", \"equal_groups\": [[1, 2]]}}")
    };
    if let Some(unknown) = fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(wrong(format!("`rx` does not know the key `{unknown}`")));
    }
    let pattern = fields.get("pattern").and_then(Value::as_str);
    let pattern = pattern.ok_or_else(|| wrong("`rx` needs the key `pattern`, a text".to_owned()))?;
    let regex = compile(pattern)?;
    let ignore_case = match fields.get("ignore_case") {
        None => false,
        Some(Value::Bool(ignore)) => *ignore,
        Some(other) => return Err(wrong(format!("`ignore_case` is true or false, not {}", kind_of(other)))),
    };
    let mut pairs = Vec::new();
    for (key, equal) in [("equal_groups", true), ("different_groups", false)] {
        for groups in fields
            .get(key)
            .map_or(Ok(Vec::new()), |value| pairs_of(value).ok_or(value))
            .map_err(|value| wrong(format!("`{key}` is a list of pairs of groups, not {}", kind_of(value))))?
        {
            if groups.iter().any(|group| !(1..regex.captures_len()).contains(group)) {
                return Err(wrong(format!("`{key}` names a group that the expression does not have")));
            }
            pairs.push(Pair { groups, equal });
        }
    }
    let list = |key: &str| -> Result<Vec<Expression>, OperatorError> {
        let Some(value) = fields.get(key) else { return Ok(Vec::new()) };
        let texts: Option<Vec<&str>> =
            value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        let texts = texts.ok_or_else(|| wrong(format!("`{key}` is a list of expressions")))?;
        texts.into_iter().map(compile).collect()
    };
    let (also, unless) = (list("also")?, list("unless")?);
    let told = (1..regex.captures_len()).filter(|group| !pairs.iter().any(|pair| pair.groups[1] == *group));
    let told = told.take(GROUPS).collect();
    Ok(Box::new(RxWith { need: literals::need(pattern), regex, pairs, ignore_case, also, unless, told }))
}

/// `[1, 2]`, or a list of such pairs.
fn pairs_of(value: &Value) -> Option<Vec<[usize; 2]>> {
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    let pair = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([first, second]) => Some([number(first)?, number(second)?]),
        _ => None,
    };
    let list = value.as_array()?;
    if let Some(one) = pair(value) {
        return Some(vec![one]);
    }
    list.iter().map(pair).collect()
}

impl RxWith {
    fn holds(&self, value: &[u8], captures: &Captures) -> bool {
        self.pairs.iter().all(|pair| {
            let [first, second] = pair.groups.map(|group| captures.get(group).map(|found| found.range()));
            let Some(second) = second else { return true };
            let (first, second) = (&value[first.unwrap_or(0..0)], &value[second]);
            let equal = if self.ignore_case { first.eq_ignore_ascii_case(second) } else { first == second };
            equal == pair.equal
        })
    }

    /// Where the next match can begin: one that does not count is left as late as its first group
    /// allows, and at least one byte later than it began.
    fn after(&self, captures: &Captures) -> usize {
        let start = captures.get(0).map_or(0, |found| found.start());
        let first =
            self.pairs.iter().filter_map(|pair| captures.get(pair.groups[0])).map(|found| found.start());
        first.min().unwrap_or(start).max(start) + 1
    }
}

impl Operator for RxWith {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let mut from = self.regex.find(value)?.start();
        if !self.also.iter().all(|regex| regex.is_match(value))
            || self.unless.iter().any(|regex| regex.is_match(value))
        {
            return None;
        }
        let most = MOST_MATCHES * value.len().max(SHORT) / value.len().max(1);
        for _ in 0..most {
            if from > value.len() {
                return None;
            }
            let captures = self.regex.captures_at(value, from)?;
            if self.holds(value, &captures) {
                let mut hit = Hit::at(captures.get(0)?.range());
                let range = |group: &usize| captures.get(*group).map_or(0..0, |found| found.range());
                hit.captures = self.told.iter().map(range).collect();
                return Some(hit);
            }
            from = self.after(&captures);
        }
        None
    }

    fn need(&self) -> Need {
        self.need.clone()
    }

    fn describe(&self) -> String {
        let mut text = format!("rx {}", self.regex.as_str());
        for pair in &self.pairs {
            let [first, second] = pair.groups;
            let relation = if pair.equal { "equal to" } else { "different from" };
            text.push_str(&format!(", group {second} {relation} group {first}"));
        }
        for (word, list) in [("and", &self.also), ("and not", &self.unless)] {
            list.iter().for_each(|regex| text.push_str(&format!(" {word} {}", regex.as_str())));
        }
        text
    }

    /// Every search of every expression, at worst.
    fn steps_per_byte(&self) -> usize {
        let conditions = self.also.iter().chain(&self.unless).map(|regex| literals::states(regex.as_str()));
        let searches = if self.pairs.is_empty() { 1 } else { MOST_MATCHES };
        literals::states(self.regex.as_str()).saturating_mul(searches).saturating_add(conditions.sum())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};
    use super::super::{Data, build};

    #[test]
    fn groups_are_compared_in_every_match() {
        let same = json!({ "pattern": "(?i)\\b(\\w+)\\b\\s*=\\s*\\b(\\w+)\\b", "equal_groups": [1, 2], "ignore_case": true });
        let operator = built("rx", same);
        check(
            &*operator,
            &[
                (b"a=a", Some(0..3)),
                (b"a=b", None),
                (b"a=b=B", Some(2..5)),
                (b"1=2 and x = X", Some(8..13)),
                (b"ab=abc", None),
            ],
        );
        assert_eq!(operator.evaluate(b"a=a").map(|hit| hit.captures[0].clone()), Some(0..1));
        let other = json!({ "pattern": "(\\w)(?:<(\\w)|=(\\w))", "equal_groups": [[1, 3]], "different_groups": [[1, 2]] });
        check(
            &*built("rx", other),
            &[(b"a<b", Some(0..3)), (b"a<a", None), (b"a=a", Some(0..3)), (b"a=b", None), (b"A=a", None)],
        );
    }

    #[test]
    fn many_harmless_pairs_do_not_hide_the_one_that_counts() {
        let operator = built("rx", json!({ "pattern": "\\b(\\w+)\\b=\\b(\\w+)\\b", "equal_groups": [1, 2] }));
        let value = format!("{}x=x", "a=b&".repeat(200));
        assert!(operator.evaluate(value.as_bytes()).is_some());
    }

    #[test]
    fn conditions_on_the_whole_value() {
        let argument = json!({ "pattern": "^\\w+", "also": ["\\d"], "unless": ["(?i)evil", "!$"] });
        check(
            &*built("rx", argument),
            &[(b"ab1", Some(0..3)), (b"ab", None), (b"a1 Evil", None), (b"a1!", None), (b"a1!.", Some(0..2))],
        );
    }

    #[test]
    fn an_argument_that_says_nothing_is_refused() {
        for (argument, part) in [
            (json!({}), "`pattern`"),
            (json!({ "pattern": "a", "equal": [1, 2] }), "`equal`"),
            (json!({ "pattern": "(a)", "equal_groups": [1, 2] }), "a group that"),
            (json!({ "pattern": "(a)(b)", "equal_groups": [0, 1] }), "a group that"),
            (json!({ "pattern": "(a)(b)", "equal_groups": [1] }), "list of pairs"),
            (json!({ "pattern": "(a)(b)", "ignore_case": 1 }), "true or false"),
            (json!({ "pattern": "a", "also": "b" }), "list of expressions"),
            (json!({ "pattern": "a", "unless": ["("] }), "not accepted"),
        ] {
            let error = build("rx", &argument, &Data::new()).expect_err(&argument.to_string());
            assert!(error.problem.contains(part) && error.help.is_some(), "{argument}: {error:?}");
        }
    }
}
