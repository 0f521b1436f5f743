//! `unconditional_match`: every value matches, the empty one too. A missing variable still has
//! no value and does not match.
//!
//! Argument: `true`. Example: `{"unconditional_match": true}`.

use serde_json::Value;

use super::{Data, Hit, Need, Operator, OperatorError, true_argument};

#[derive(Debug)]
struct UnconditionalMatch;

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    true_argument(name, argument)?;
    Ok(Box::new(UnconditionalMatch))
}

impl Operator for UnconditionalMatch {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        Some(Hit::at(0..value.len()))
    }

    fn need(&self) -> Need {
        Need::ALWAYS
    }

    fn describe(&self) -> String {
        "unconditional_match".into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};

    #[test]
    fn everything_matches_whole() {
        check(&*built("unconditional_match", json!(true)), &[(b"", Some(0..0)), (b"abc", Some(0..3))]);
    }
}
