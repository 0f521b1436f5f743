//! `eq`, `ge`, `gt`, `le`, `lt`: the value, read as a decimal number, against a whole number.
//!
//! A value is read as C's `atoi` does: leading white space, a sign, then digits up to the
//! first other byte; what does not start like a number is 0. Rules over counts (`&args`) and
//! lengths depend on it.
//!
//! Argument: a whole number. Example: `{"gt": 100}`.

use serde_json::Value;

use crate::waf::transformation::SPACE;

use super::{Data, Hit, Need, Operator, OperatorError, kind_of};

#[derive(Debug)]
struct Number {
    name: &'static str,
    holds: fn(&i64, &i64) -> bool,
    bound: i64,
}

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    let bound = argument.as_i64().ok_or_else(|| {
        OperatorError::argument(
            format!("`{name}` takes a whole number, not {}", kind_of(argument)),
            format!("write {{\"{name}\": 10}}, without quotes or decimals"),
        )
    })?;
    let names = ["eq", "ge", "gt", "le", "lt"];
    let name = names.into_iter().find(|known| *known == name).unwrap_or("eq");
    Ok(Box::new(Number { name, holds: comparison(name).unwrap_or(i64::eq), bound }))
}

/// What an operator of this name asks of the value and the bound.
pub(super) fn comparison(name: &str) -> Option<fn(&i64, &i64) -> bool> {
    Some(match name {
        "eq" => i64::eq,
        "ge" => i64::ge,
        "gt" => i64::gt,
        "le" => i64::le,
        "lt" => i64::lt,
        _ => return None,
    })
}

impl Operator for Number {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        (self.holds)(&read(value), &self.bound).then(|| Hit::at(0..value.len()))
    }

    fn need(&self) -> Need {
        Need::ALWAYS
    }

    fn describe(&self) -> String {
        format!("{} {}", self.name, self.bound)
    }
}

/// The number at the start of a value; beyond 64 bits it stays at the bound.
pub(crate) fn read(value: &[u8]) -> i64 {
    let start = value.iter().position(|&byte| !SPACE.contains(byte)).unwrap_or(value.len());
    let (negative, digits) = match &value[start..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    digits.iter().take_while(|byte| byte.is_ascii_digit()).fold(0i64, |number, byte| {
        let digit = i64::from(byte - b'0');
        let number = number.saturating_mul(10);
        if negative { number.saturating_sub(digit) } else { number.saturating_add(digit) }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::built;
    use super::*;

    #[test]
    fn values_are_read_as_atoi_reads_them() {
        for (value, number) in [
            ("", 0),
            ("abc", 0),
            ("12abc", 12),
            (" \t+7", 7),
            ("-3", -3),
            ("- 3", 0),
            ("0x10", 0),
            ("007", 7),
            ("99999999999999999999", i64::MAX),
            ("-99999999999999999999", i64::MIN),
        ] {
            assert_eq!(read(value.as_bytes()), number, "{value:?}");
        }
    }

    #[test]
    fn each_name_compares_the_value_with_the_bound() {
        for (name, below, at, above) in [
            ("eq", false, true, false),
            ("ge", false, true, true),
            ("gt", false, false, true),
            ("le", true, true, false),
            ("lt", true, false, false),
        ] {
            let operator = built(name, json!(5));
            for (value, expect) in [("4", below), ("5", at), ("6", above)] {
                assert_eq!(operator.evaluate(value.as_bytes()).is_some(), expect, "{name} {value}");
            }
        }
        assert!(build("eq", &json!("5"), &Data::new()).is_err());
        assert!(build("eq", &json!(1.5), &Data::new()).is_err());
    }
}
