//! `detect_xss`: does the value run a script in some place of an HTML page, by libinjection's algorithm? Of a value
//! above 1 MiB the first 1 MiB is judged.
//!
//! Argument: `true`. Example: `{"detect_xss": true}`.

use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::{Data, Hit, Need, Operator, OperatorError, true_argument, xss};

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
        memchr::memchr2(b'<', b'=', value)?;
        xss::detect(value).then(|| Hit::at(0..value.len()))
    }

    fn need(&self) -> Need {
        Need { bytes: vec![MARKS], min_len: 3, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "detect_xss".into()
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;

    use super::super::tests::built;
    use super::super::xss::MOST_BYTES;
    use super::*;

    #[test]
    fn markup_that_runs_is_found_and_text_is_not() {
        let operator = built("detect_xss", json!(true));
        for value in [
            "<script>x</script>",
            "\"><svg onload=alert(1)>",
            "x' onerror='y",
            "<a href=javascript:x>",
            "<a href=' &#x6A;ava\0script:x'>",
            "<a \0style=x>",
            "<a \0xlink:href=x>",
            "<a onfocushref=x>",
            "<!-- ` -->",
            "<!doctype html>",
            "<?import x>",
            "</a ><script>",
            "</><script>",
            "x onload=y",
        ] {
            assert!(operator.evaluate(value.as_bytes()).is_some(), "{value}");
            assert!(operator.need().may_match(value.as_bytes()), "{value}");
        }
        assert!(operator.evaluate(b"<a \xff onload=x>").is_some());
        for value in [
            "",
            "a < b",
            "x=1",
            "<b>bold</b>",
            "on time = in time",
            "1 <= 2",
            "<a href=/guide>",
            "</script>",
            "<!-- a note -->",
            "it's = \"so\"",
        ] {
            assert_eq!(operator.evaluate(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn a_long_value_is_judged_by_its_beginning() {
        let operator = built("detect_xss", json!(true));
        let padded = |before: usize| {
            let mut value = vec![b' '; before];
            value.extend_from_slice(b"<script>");
            value.resize(2 * MOST_BYTES, b'<');
            value
        };
        assert!(operator.evaluate(&padded(0)).is_some());
        assert!(operator.evaluate(&padded(MOST_BYTES - 100)).is_some());
        assert!(operator.evaluate(&padded(MOST_BYTES)).is_none());
    }

    fn html() -> impl Strategy<Value = Vec<u8>> {
        let piece = select(vec![
            "<",
            "</",
            ">",
            "/",
            "!",
            "-",
            "=",
            "'",
            "\"",
            "`",
            " ",
            "script",
            "svg",
            "onload",
            "style",
            "href",
            "javascript:",
            "x",
            "\0",
            "[if",
            "doctype",
            "xml",
            "import",
            "entity",
            "?",
            "%",
            "&#",
            "&#x6a",
            "src",
            "on",
            "data:",
            "a",
            "\t",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "<%",
            "%>",
            "attributename",
            "xmlns",
        ]);
        let any = proptest::collection::vec(any::<u8>(), 0..3);
        let part = prop_oneof![9 => piece.prop_map(|piece| piece.as_bytes().to_vec()), 1 => any];
        proptest::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 8_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn turning_values_away_early_loses_no_hit(value in html()) {
            let operator = built("detect_xss", json!(true));
            let found = xss::detect(&value);
            prop_assert_eq!(operator.evaluate(&value).is_some(), found, "{}", value.escape_ascii());
            prop_assert!(!found || operator.need().may_match(&value), "{}", value.escape_ascii());
        }
    }
}
