//! `detect_sqli`: does the value look like an SQL injection to libinjection's algorithm? The hit's note is the
//! fingerprint, the kinds of the tokens it was known by.
//!
//! Argument: `true`. Example: `{"detect_sqli": true}`.

use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::{Data, Hit, Need, Operator, OperatorError, sqli, true_argument};

/// A longer value is judged by this much of its beginning. It is the default bound of all that is inspected of a
/// message, and the worst value of this length takes some hundredths of a second.
const MOST_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
struct DetectSqli;

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    true_argument(name, argument)?;
    Ok(Box::new(DetectSqli))
}

/// A single word or number is three tokens at most, and no fingerprint that short is an attack without a byte of
/// these.
const MARKS: ByteSet = ByteSet::range(b'a', b'z')
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'0', b'9'))
    .complement();

impl Operator for DetectSqli {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let head = &value[..value.len().min(MOST_BYTES)];
        if sqli::is_quiet(head) {
            return None;
        }
        let fingerprint = sqli::detect(head)?;
        Some(Hit { span: 0..value.len(), note: Some(fingerprint.to_string()), ..Hit::default() })
    }

    fn need(&self) -> Need {
        Need { bytes: vec![MARKS], min_len: 2, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "detect_sqli".into()
    }
}
