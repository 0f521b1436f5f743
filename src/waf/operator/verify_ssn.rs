//! `verify_ssn`: the value holds a US social security number: nine digits, area (three, neither 000
//! nor 666 nor from 740 on), group (two, not 00) and serial (four, not 0000). Digits that are all
//! the same or count upwards from 0 or 1 are none. Areas are those that were given out before 2011, as
//! ModSecurity has them: a wider range would match one number in nine more by chance.
//!
//! Argument: the expression that says what may be one.
//! Example: `{"verify_ssn": "\\d{3}-?\\d{2}-?\\d{4}"}`.

use serde_json::Value;

use super::verify::{self, Parts, is_made_up};
use super::{Data, Operator, OperatorError};

pub(super) fn build(_: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    verify::build("verify_ssn", argument, Parts::WholeAndGroups, holds)
}

fn holds(digits: &[u8]) -> bool {
    let Ok(digits) = <&[u8; 9]>::try_from(digits) else { return false };
    let number = |part: &[u8]| part.iter().fold(0u32, |number, &digit| 10 * number + u32::from(digit));
    let area = number(&digits[..3]);
    !is_made_up(digits)
        && !matches!(area, 0 | 666 | 740..)
        && number(&digits[3..5]) != 0
        && number(&digits[5..]) != 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};

    #[test]
    fn only_numbers_that_were_given_out_match() {
        check(
            &*built("verify_ssn", json!("\\d{3}-?\\d{2}-?\\d{4}")),
            &[
                (b"574-57-8065", Some(0..11)),
                (b"ssn 574578065.", Some(4..13)),
                (b"000-57-8065", None),
                (b"666-57-8065", None),
                (b"740-57-8065", None),
                (b"574-00-8065", None),
                (b"574-57-0000", None),
                (b"111-11-1111", None),
                (b"123-45-6789", None),
                (b"574-57-806", None),
                (b"", None),
            ],
        );
        check(&*built("verify_ssn", json!("\\d{10}")), &[(b"5745780650", None)]);
    }
}
