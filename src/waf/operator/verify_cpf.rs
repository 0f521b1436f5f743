//! `verify_cpf`: the value holds a Brazilian taxpayer number (CPF): eleven digits of which the last
//! two are right check digits (modulo 11). Digits that are all the same or count
//! upwards from 0 or 1 are none.
//!
//! Argument: the expression that says what may be one.
//! Example: `{"verify_cpf": "(?:[0-9]{3}\\.){2}[0-9]{3}-[0-9]{2}"}`.

use serde_json::Value;

use super::verify::{self, Parts, is_made_up};
use super::{Data, Operator, OperatorError};

pub(super) fn build(_: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    verify::build("verify_cpf", argument, Parts::WholeAndGroups, holds)
}

const LENGTH: usize = 11;

fn holds(digits: &[u8]) -> bool {
    // More digits than that are not looked at.
    let Some(digits) = digits.first_chunk::<LENGTH>() else { return false };
    let check = |before: &[u8]| {
        let sum: usize =
            before.iter().rev().enumerate().map(|(place, &digit)| (place + 2) * usize::from(digit)).sum();
        match sum % LENGTH {
            0 | 1 => 0,
            rest => LENGTH - rest,
        }
    };
    !is_made_up(digits)
        && check(&digits[..9]) == usize::from(digits[9])
        && check(&digits[..10]) == usize::from(digits[10])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};

    #[test]
    fn only_right_check_digits_match() {
        check(
            &*built("verify_cpf", json!("(?:[0-9]{3}\\.?){2}[0-9]{3}-?[0-9]{2}")),
            &[
                (b"cpf 111.444.777-35!", Some(4..18)),
                (b"52998224725", Some(0..11)),
                (b"111.444.777-36", None),
                (b"111.444.777-45", None),
                (b"111.111.111-11", None),
                (b"01234567890", None),
                (b"111.444.777", None),
                (b"", None),
            ],
        );
    }
}
