//! `detect_xss`: does the value run a script in some place of an HTML page, by libinjection's algorithm?
//!
//! Argument: `true`. Example: `{"detect_xss": true}`.

use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::{Data, Hit, Need, Operator, OperatorError, true_argument, xss};

/// A longer value is judged by this much of its beginning. It is the default bound of all that is inspected of a
/// message, and the worst value of this length takes some hundredths of a second.
const MOST_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
struct DetectXss;

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    true_argument(name, argument)?;
    Ok(Box::new(DetectXss))
}

/// Tags and comments begin with `<`; an attribute that could do harm has `=` before its value.
const MARKS: ByteSet = ByteSet::of(b"<=");

impl Operator for DetectXss {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let head = &value[..value.len().min(MOST_BYTES)];
        memchr::memchr2(b'<', b'=', head)?;
        xss::detect(head).then(|| Hit::at(0..value.len()))
    }

    fn need(&self) -> Need {
        Need { bytes: vec![MARKS], min_len: 3, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "detect_xss".into()
    }
}
