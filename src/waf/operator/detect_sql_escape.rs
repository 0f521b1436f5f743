//! `detect_sql_escape`: does the value leave the place it was put into and go on as SQL? A closing quote or a number,
//! and behind it a condition, UNION, a second statement, an order, an expression that asks the database, or a comment
//! that hides the rest. It reads the tokens of `detect_sqli` and asks more of them than a known sequence, so that text
//! with quotes, filters of search interfaces and whole statements of SQL consoles are left alone. The hit's note is
//! the form that was found; its span begins at the exit. Of a value above 1 MiB the first 1 MiB is judged.
//!
//! Argument: `true`. Example: `{"detect_sql_escape": true}`.

use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::{Data, Hit, Need, Operator, OperatorError, sqli, true_argument};

#[derive(Debug)]
struct DetectSqlEscape;

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    true_argument(name, argument)?;
    Ok(Box::new(DetectSqlEscape))
}

/// What is no injection without one of these: more than a word or a number.
const MARKS: ByteSet = ByteSet::range(b'a', b'z')
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'0', b'9'))
    .complement();

impl Operator for DetectSqlEscape {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let escape = sqli::find_escape(value)?;
        Some(Hit { span: escape.span, note: Some(escape.form.to_owned()), ..Hit::default() })
    }

    fn need(&self) -> Need {
        Need { bytes: vec![MARKS], min_len: 2, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "detect_sql_escape".into()
    }
}
