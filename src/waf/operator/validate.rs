//! Operators that match what is invalid:
//!
//! - `validate_byte_range`: a byte that is not in the list;
//! - `validate_url_encoding`: a `%` without two hexadecimal digits behind it;
//! - `validate_utf8_encoding`: a byte that does not go on as UTF-8 (overlong forms, surrogates
//!   and code points beyond Unicode included).
//!
//! Argument: a list of decimal bytes and ranges for the first, `true` for the others.
//! Example: `{"validate_byte_range": "9,10,13,32-126"}`.

use memchr::memchr_iter;
use serde_json::Value;

use crate::waf::bytes::ByteSet;
use crate::waf::transformation::hex_pair;

use super::{Data, Hit, Need, Operator, OperatorError, text_argument, true_argument};

#[derive(Debug)]
struct ByteRange {
    text: String,
    forbidden: ByteSet,
}

#[derive(Debug)]
struct UrlEncoding;

#[derive(Debug)]
struct Utf8Encoding;

pub(super) fn build_byte_range(
    name: &str,
    argument: &Value,
    _: &Data,
) -> Result<Box<dyn Operator>, OperatorError> {
    let text = text_argument(name, argument)?;
    let mut allowed = ByteSet::EMPTY;
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        match (first.trim().parse::<u8>(), last.trim().parse::<u8>()) {
            (Ok(first), Ok(last)) if first <= last => allowed = allowed.union(ByteSet::range(first, last)),
            _ => {
                return Err(OperatorError::argument(
                    format!("`{item}` is neither a byte nor a range of bytes"),
                    "write decimal numbers from 0 to 255 and ranges of them: \"9,10,13,32-126\"",
                ));
            }
        }
    }
    Ok(Box::new(ByteRange { text: text.to_owned(), forbidden: allowed.complement() }))
}

pub(super) fn build_url_encoding(
    name: &str,
    argument: &Value,
    _: &Data,
) -> Result<Box<dyn Operator>, OperatorError> {
    true_argument(name, argument)?;
    Ok(Box::new(UrlEncoding))
}

pub(super) fn build_utf8_encoding(
    name: &str,
    argument: &Value,
    _: &Data,
) -> Result<Box<dyn Operator>, OperatorError> {
    true_argument(name, argument)?;
    Ok(Box::new(Utf8Encoding))
}

impl Operator for ByteRange {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        self.forbidden.find(value).map(|at| Hit::at(at..at + 1))
    }

    fn need(&self) -> Need {
        Need { bytes: vec![self.forbidden], min_len: 1, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        format!("validate_byte_range {}", self.text)
    }
}

impl Operator for UrlEncoding {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        memchr_iter(b'%', value)
            .find(|&at| hex_pair(&value[at + 1..]).is_none())
            .map(|at| Hit::at(at..value.len().min(at + 3)))
    }

    fn need(&self) -> Need {
        Need { bytes: vec![ByteSet::of(b"%")], min_len: 1, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "validate_url_encoding".into()
    }
}

impl Operator for Utf8Encoding {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let error = std::str::from_utf8(value).err()?;
        let start = error.valid_up_to();
        Some(Hit::at(start..error.error_len().map_or(value.len(), |length| start + length)))
    }

    fn need(&self) -> Need {
        Need { bytes: vec![ByteSet::range(0x80, 0xff)], min_len: 1, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "validate_utf8_encoding".into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};
    use super::*;

    #[test]
    fn the_first_byte_outside_of_the_range_is_told() {
        check(
            &*built("validate_byte_range", json!("9,10,13, 32 - 126")),
            &[(b"", None), (b"a\tb\r\n~", None), (b"a\0b", Some(1..2)), (b"\x7f", Some(0..1))],
        );
        check(&*built("validate_byte_range", json!("0-255")), &[(b"\0\xff", None)]);
        for bad in ["", "1-", "-1", "5-4", "256", "a", "1,,2"] {
            assert!(build_byte_range("validate_byte_range", &json!(bad), &Data::new()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_broken_escape_is_told() {
        check(
            &*built("validate_url_encoding", json!(true)),
            &[
                (b"", None),
                (b"a%20%fF", None),
                (b"a%2", Some(1..3)),
                (b"%", Some(0..1)),
                (b"%41%4g1", Some(3..6)),
                (b"%u0041", Some(0..3)),
            ],
        );
    }

    #[test]
    fn a_broken_sequence_is_told() {
        check(
            &*built("validate_utf8_encoding", json!(true)),
            &[
                (b"", None),
                ("a\u{e4}\u{1f600}".as_bytes(), None),
                (b"a\xff", Some(1..2)),
                (b"\xc0\xaf", Some(0..1)),
                (b"\xed\xa0\x80", Some(0..1)),
                (b"ab\xe2\x82", Some(2..4)),
                (b"\xf4\x90\x80\x80", Some(0..1)),
            ],
        );
    }
}
