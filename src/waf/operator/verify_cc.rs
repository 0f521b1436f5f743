//! `verify_cc`: the value holds a payment card number: digits whose checksum is right (Luhn's, ISO/IEC
//! 7812-1). The expression says what may be one, separators and surroundings included; only the
//! digits of what it matches are counted.
//!
//! Argument: the expression. Example: `{"verify_cc": "(?:^|[^\\d])(?:\\d[ -]?){13,19}(?:[^\\d]|$)"}`.

use serde_json::Value;

use super::verify::{self, Parts};
use super::{Data, Operator, OperatorError};

pub(super) fn build(_: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    verify::build("verify_cc", argument, Parts::Whole, holds)
}

/// Every second digit from the right but one counts twice, its digits added up.
fn holds(digits: &[u8]) -> bool {
    let weigh = |(place, &digit): (usize, &u8)| match (place % 2, u32::from(digit)) {
        (0, digit) => digit,
        (_, digit @ 0..=4) => 2 * digit,
        (_, digit) => 2 * digit - 9,
    };
    !digits.is_empty() && digits.iter().rev().enumerate().map(weigh).sum::<u32>().is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};

    #[test]
    fn only_the_right_checksum_matches() {
        check(
            &*built("verify_cc", json!("\\b\\d(?:[ -]?\\d){12,18}\\b")),
            &[
                (b"4111111111111111", Some(0..16)),
                (b"card: 4111-1111 1111-1111.", Some(6..25)),
                (b"4111111111111112", None),
                (b"4111111111111112 4111111111111111", Some(17..33)),
                (b"x94111111111111111x", None),
                (b"no digits", None),
                (b"", None),
            ],
        );
        check(
            &*built("verify_cc", json!(".*")),
            &[(b"no digits", None), (b"a4111111111111111", Some(0..17))],
        );
    }
}
