//! `rx_global`: as `rx`, and groups are told of every match and not of the first one only. They are
//! numbered on: of `(a)(.)` in `ax ay`, `tx.0` is `ax`, `tx.1` `a`, `tx.2` `x`, and then `tx.3` `ay`,
//! `tx.4` `a`, `tx.5` `y`. An empty match counts only when it is the first.
//!
//! Argument: the expression. Example: `{"rx_global": "(?i)(\\w+)=on\\w+"}`.

use serde_json::Value;

use super::expression::Expression;
use super::rx::{GROUPS, compile};
use super::{Data, Hit, Need, Operator, OperatorError, literals, text_argument};

/// Matches that are looked at. Each search may read all of a long value, so that there is an end to
/// them even where empty matches say nothing.
const MOST_MATCHES: usize = 32;

#[derive(Debug)]
struct RxGlobal {
    regex: Expression,
    need: Need,
}

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    let pattern = text_argument(name, argument)?;
    Ok(Box::new(RxGlobal { regex: compile(pattern)?, need: literals::need(pattern) }))
}

impl Operator for RxGlobal {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let mut hit = Hit::at(self.regex.find(value)?.range());
        let mut groups = Vec::with_capacity(GROUPS);
        let mut from = hit.span.start;
        for number in 0..MOST_MATCHES {
            if from > value.len() || groups.len() >= GROUPS {
                break;
            }
            let Some(captures) = self.regex.captures_at(value, from) else { break };
            let whole = captures.get_match().range();
            from = if whole.is_empty() { whole.end + 1 } else { whole.end };
            if number > 0 && whole.is_empty() {
                continue;
            }
            // The first match as a whole is the hit itself.
            let told = captures.iter().skip(usize::from(number == 0));
            groups.extend(told.map(|group| group.map_or(0..0, |group| group.range())));
        }
        hit.captures = groups.into_iter().take(GROUPS).collect();
        Some(hit)
    }

    fn need(&self) -> Need {
        self.need.clone()
    }

    fn describe(&self) -> String {
        format!("rx_global {}", self.regex.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};

    fn told(pattern: &str, value: &str) -> Vec<String> {
        let hit = built("rx_global", json!(pattern)).evaluate(value.as_bytes()).expect("a match");
        std::iter::once(hit.span).chain(hit.captures).map(|range| value[range].to_owned()).collect()
    }

    #[test]
    fn groups_of_all_matches_are_numbered_on() {
        assert_eq!(told("(a)(.)", "ax ay"), ["ax", "a", "x", "ay", "a", "y"]);
        assert_eq!(told("(^|a)(b|c)(d)", "bdacd"), ["bd", "", "b", "d", "acd", "a", "c", "d"]);
        assert_eq!(told("[a-z]*", "aaa00bbb"), ["aaa", "bbb"]);
        assert_eq!(told("([a-z]*)", ""), ["", ""]);
        assert_eq!(told("[0-9]", "0123456789abc").len(), 10);
        // Empty matches run out.
        assert_eq!(told("a*", &format!("a{}a", "-".repeat(100))), ["a"]);
    }

    #[test]
    fn it_matches_where_rx_does() {
        check(
            &*built("rx_global", json!("b+")),
            &[(b"abba", Some(1..3)), (b"a", None), (b"", None), (b"bcb", Some(0..1))],
        );
    }
}
