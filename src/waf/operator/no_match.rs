//! `no_match`: no value matches. It stands in rules that somebody has switched off; negated, it
//! matches everything.
//!
//! Argument: `true`. Example: `{"no_match": true}`.

use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::{Data, Hit, Need, Operator, OperatorError, true_argument};

#[derive(Debug)]
struct NoMatch;

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    true_argument(name, argument)?;
    Ok(Box::new(NoMatch))
}

impl Operator for NoMatch {
    fn evaluate(&self, _: &[u8]) -> Option<Hit> {
        None
    }

    fn need(&self) -> Need {
        // A byte of the empty set, which no value has.
        Need { bytes: vec![ByteSet::EMPTY], ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "no_match".into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};

    #[test]
    fn nothing_matches_and_nothing_may() {
        let operator = built("no_match", json!(true));
        check(&*operator, &[(b"", None), (b"abc", None)]);
        assert!(!operator.need().may_match(b"abc") && !operator.need().may_match(b""));
    }
}
