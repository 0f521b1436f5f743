//! `verify_svnr`: the value holds an Austrian social insurance number: ten digits, a serial number of
//! three, a check digit (modulo 11) and a date of birth. Digits that are all the same or count
//! upwards from 0 or 1 are none.
//!
//! Argument: the expression that says what may be one.
//! Example: `{"verify_svnr": "[0-9]{4} ?[0-9]{6}"}`.

use serde_json::Value;

use super::verify::{self, Parts, is_made_up};
use super::{Data, Operator, OperatorError};

pub(super) fn build(_: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    verify::build("verify_svnr", argument, Parts::WholeAndGroups, holds)
}

const LENGTH: usize = 10;

/// Where the check digit stands.
const CHECK: usize = 3;

/// How much each digit counts; the check digit itself does not.
const WEIGHTS: [u32; LENGTH] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];

fn holds(digits: &[u8]) -> bool {
    // More digits than that are not looked at.
    let Some(digits) = digits.first_chunk::<LENGTH>() else { return false };
    let sum: u32 = WEIGHTS.iter().zip(digits).map(|(weight, &digit)| weight * u32::from(digit)).sum();
    // Numbers whose sum leaves 10 are not given out; a check digit of 0 is accepted for them.
    !is_made_up(digits) && sum % 11 % 10 == u32::from(digits[CHECK])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};

    #[test]
    fn only_a_right_check_digit_matches() {
        check(
            &*built("verify_svnr", json!("[0-9]{4} ?[0-9]{6}")),
            &[
                (b"1237010180", Some(0..10)),
                (b"nr 1237 010180", Some(3..14)),
                (b"1236010180", None),
                (b"8888888888", None),
                (b"1234567890", None),
                (b"123701018", None),
                (b"", None),
            ],
        );
    }
}
