//! `detect_sqli`: does the value look like an SQL injection to libinjection's algorithm? The hit's note is the
//! fingerprint, the kinds of the tokens it was known by. Of a value above 1 MiB the first 1 MiB is judged.
//!
//! Argument: `true`. Example: `{"detect_sqli": true}`.

use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::{Data, Hit, Need, Operator, OperatorError, sqli, true_argument};

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
        if sqli::is_quiet(value) {
            return None;
        }
        let fingerprint = sqli::detect(value)?;
        Some(Hit { span: 0..value.len(), note: Some(fingerprint.to_string()), ..Hit::default() })
    }

    fn need(&self) -> Need {
        Need { bytes: vec![MARKS], min_len: 2, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "detect_sqli".into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sqli::MOST_BYTES;
    use super::super::tests::built;

    #[test]
    fn an_injection_has_a_fingerprint_and_prose_has_none() {
        let operator = built("detect_sqli", json!(true));
        for (value, fingerprint) in [
            ("1' OR '1'='1", "s&sos"),
            ("-1 union select 1,2", "1UE1"),
            ("1 or 1=1", "1&1"),
            ("'; drop table users--", "s;Tnn"),
            ("' into outfile '/tmp/x", "sks"),
            ("1 into outfile '/tmp/x'", "1ks"),
            ("1/*!or*/", "X"),
            ("1.e5or 1=1", "1&1"),
        ] {
            let hit = operator.evaluate(value.as_bytes()).unwrap_or_else(|| panic!("{value}"));
            assert_eq!(hit.note.as_deref(), Some(fingerprint), "{value}");
            assert_eq!(hit.span, 0..value.len());
            assert!(operator.need().may_match(value.as_bytes()));
        }
        for value in ["", "1", "hello", "hello world", "O'Brien", "bread or butter", "a-b_c.d"] {
            assert_eq!(operator.evaluate(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn a_long_value_is_judged_by_its_beginning() {
        let operator = built("detect_sqli", json!(true));
        let padded = |before: usize| {
            let mut value = vec![b'x'; before];
            value.extend_from_slice(b"' or '1'='1");
            value.resize(2 * MOST_BYTES, b'<');
            value
        };
        assert!(operator.evaluate(&padded(0)).is_some());
        let hit = operator.evaluate(&padded(MOST_BYTES - 100)).expect("this much is read");
        assert_eq!(hit.span, 0..2 * MOST_BYTES);
        assert!(operator.evaluate(&padded(MOST_BYTES)).is_none());
    }
}
