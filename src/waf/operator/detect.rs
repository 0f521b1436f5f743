//! `detect_sqli` and `detect_xss`: libinjection's tokenisers for SQL and HTML. The fingerprint
//! of an SQL injection is the hit's note.
//!
//! The port is kept at arm's length: values that cannot hit are turned away first, a value is
//! read up to a bounded length, and a panic in it is a hit of its own (`tokeniser-failed`), so
//! that a value which breaks the tokeniser does not pass for it.
//!
//! Argument: `true`. Example: `{"detect_sqli": true}`.

use std::collections::HashSet;
use std::panic::catch_unwind;
use std::sync::LazyLock;

use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;
use memchr::memmem;
use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::{Data, Hit, Need, Operator, OperatorError, true_argument};

/// SQL is fingerprinted from its first five tokens; the worst input costs a millisecond at this
/// length.
const SQL_BYTES: usize = 4 * 1024;

/// HTML is read whole up to this length, which costs a fraction of a millisecond.
const HTML_BYTES: usize = 64 * 1024;

/// The port's verdict on a value which made it panic.
const FAILED: &str = "tokeniser-failed";

#[derive(Debug)]
struct DetectSqli;

#[derive(Debug)]
struct DetectXss;

pub(super) fn build_sqli(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    true_argument(name, argument)?;
    Ok(Box::new(DetectSqli))
}

pub(super) fn build_xss(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    true_argument(name, argument)?;
    Ok(Box::new(DetectXss))
}

/// A single word or number is one or two tokens, and no fingerprint that short is an attack
/// without a byte of these.
const SQL_MARKS: ByteSet = ByteSet::range(b'a', b'z')
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'0', b'9'))
    .complement();

/// Prose, names, dates and paths are made of these. What is left out are quotes, brackets,
/// semicolons, variables, comments and logical operators.
const QUIET: ByteSet = ByteSet::range(b'a', b'z')
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'0', b'9'))
    .union(ByteSet::range(0x80, 0xff))
    .union(ByteSet::of(b" \t\r\n_.,-:/+=?%~&"));

/// The words of which some fingerprint of quiet bytes needs one: without a token of these kinds
/// (statements, unions, groups, logic, procedural words, keywords, named variables, collations)
/// no fingerprint is an attack. A phrase stands here with its longest word. In upper case.
static TELLING: LazyLock<HashSet<&'static [u8]>> = LazyLock::new(|| {
    let kinds = b"EUB&TkvA";
    SQL_KEYWORDS
        .iter()
        .filter(|keyword| kinds.contains(&keyword.token_type))
        .filter_map(|keyword| {
            keyword
                .word
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .max_by_key(|word| word.len())
        })
        .filter(|word| !word.is_empty())
        .map(str::as_bytes)
        .collect()
});

/// True for a value that the tokeniser surely finds nothing in. It is some ten times faster
/// than the tokeniser, and most values of real traffic are quiet.
fn is_quiet(value: &[u8]) -> bool {
    let doubled = |mark: &[u8; 2]| memmem::find(value, mark).is_some();
    if !value.iter().all(|&byte| QUIET.contains(byte)) || doubled(b"--") || doubled(b"&&") {
        return false;
    }
    let mut upper = [0; 32];
    value.split(|&byte| !(byte.is_ascii_alphanumeric() || byte == b'_')).all(|word| {
        // The tail of a word that is longer than any keyword may still be one, behind a number.
        let tail = &word[word.len().saturating_sub(upper.len())..];
        let upper = &mut upper[..tail.len()];
        upper.copy_from_slice(tail);
        upper.make_ascii_uppercase();
        if !word.first().is_some_and(u8::is_ascii_digit) {
            return tail.len() < word.len() || !TELLING.contains(&*upper);
        }
        // A number may end anywhere inside the word and a keyword begin there.
        upper.iter().all(u8::is_ascii_digit)
            || (0..upper.len()).all(|at| upper[at].is_ascii_digit() || !TELLING.contains(&upper[at..]))
    })
}

/// Tags and comments begin with `<`; an attribute that could do harm has `=` before its value.
const HTML_MARKS: ByteSet = ByteSet::of(b"<=");

impl Operator for DetectSqli {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        if value.len() < 2 || SQL_MARKS.find(value).is_none() {
            return None;
        }
        let head = &value[..value.len().min(SQL_BYTES)];
        if is_quiet(head) {
            return None;
        }
        let note = match catch_unwind(|| libinjectionrs::detect_sqli(head)) {
            Ok(result) if !result.is_injection() => return None,
            Ok(result) => result.fingerprint.map(|fingerprint| fingerprint.as_str().to_owned()),
            Err(_) => Some(FAILED.to_owned()),
        };
        Some(Hit { span: 0..value.len(), note, ..Hit::default() })
    }

    fn need(&self) -> Need {
        Need { bytes: vec![SQL_MARKS], min_len: 2, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "detect_sqli".into()
    }
}

impl Operator for DetectXss {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        HTML_MARKS.find(value)?;
        let head = &value[..value.len().min(HTML_BYTES)];
        let note = match catch_unwind(|| libinjectionrs::detect_xss(head)) {
            Ok(result) if !result.is_injection() => return None,
            Ok(_) => None,
            Err(_) => Some(FAILED.to_owned()),
        };
        Some(Hit { span: 0..value.len(), note, ..Hit::default() })
    }

    fn need(&self) -> Need {
        Need { bytes: vec![HTML_MARKS], min_len: 3, ..Need::ALWAYS }
    }

    fn describe(&self) -> String {
        "detect_xss".into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::tests::built;
    use super::*;

    #[test]
    fn sql_injection_has_a_fingerprint_and_prose_has_none() {
        let operator = built("detect_sqli", json!(true));
        for (value, fingerprint) in [
            ("1' OR '1'='1", "s&sos"),
            ("-1 union select 1,2", "1UE1"),
            ("1 or 1=1", "1&1"),
            ("'; drop table users--", "s;Tnn"),
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
    fn markup_that_runs_is_found_and_text_is_not() {
        let operator = built("detect_xss", json!(true));
        for value in
            ["<script>x</script>", "\"><svg onload=alert(1)>", "x' onerror='y", "<a href=javascript:x>"]
        {
            assert!(operator.evaluate(value.as_bytes()).is_some(), "{value}");
            assert!(operator.need().may_match(value.as_bytes()), "{value}");
        }
        for value in ["", "a < b", "x=1", "<b>bold</b>", "on time = in time", "1 <= 2"] {
            assert_eq!(operator.evaluate(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn long_values_cost_their_bound() {
        let sqli = built("detect_sqli", json!(true));
        let mut value = b"1' or '1'='1".to_vec();
        value.resize(1 << 20, b'<');
        assert!(sqli.evaluate(&value).is_some());
        let xss = built("detect_xss", json!(true));
        let mut value = vec![b' '; HTML_BYTES - 100];
        value.extend_from_slice(b"<script>");
        value.resize(1 << 20, b'<');
        assert!(xss.evaluate(&value).is_some());
    }

    fn sql() -> impl Strategy<Value = Vec<u8>> {
        let word = proptest::sample::select(vec![
            "union", "select", "or", "and", "1", "0x1", "1e5", "'", "\"", "--", "#", "/*", "*/", "(", ")",
            "=", "@", "$", "{", "`", ";", ",", ".", "drop", "table", "a", "null", "having", "like", "not",
            "in", "all", "x", "n", "\\", "\0", "\u{a0}", "\t", " ", "case", "sleep", "_", "q", "u&", "&&",
            "||", "!", "^", "~", "b", "e", "1f", ".1",
        ]);
        proptest::collection::vec(word, 0..7).prop_map(|words| words.concat().into_bytes())
    }

    fn html() -> impl Strategy<Value = Vec<u8>> {
        let word = proptest::sample::select(vec![
            "<",
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
            "src",
            "on",
            "data:",
            "a",
            "\t",
        ]);
        proptest::collection::vec(word, 0..8).prop_map(|words| words.concat().into_bytes())
    }

    /// A known attack's token kinds, each filled with a word of its kind and none that is loud.
    fn quiet_sql() -> impl Strategy<Value = Vec<u8>> {
        let attacks: Vec<&[u8]> = SQL_KEYWORDS
            .iter()
            .filter(|keyword| keyword.token_type == b'F')
            .map(|keyword| &keyword.word.as_bytes()[1..])
            .filter(|kinds| kinds.iter().all(|kind| b"N1KOVAFTEUB&.,".contains(kind)))
            .collect();
        let space = proptest::sample::select(vec![" ", "\n", "", "  ", " -", "/", ":"]);
        let draw =
            (proptest::sample::select(attacks), any::<[u16; 5]>(), proptest::collection::vec(space, 5));
        draw.prop_map(|(kinds, picks, spaces)| {
            let mut text = Vec::new();
            for ((kind, pick), space) in kinds.iter().zip(picks).zip(spaces) {
                let pick = usize::from(pick);
                let plain: &[&str] = match kind {
                    b'N' => &["foo", "x", "caf\u{e9}", "n", "q"],
                    b'1' => &["1", "2.5", "1e5", "0x1f", "7"],
                    b'.' => &["."],
                    b',' => &[","],
                    b'O' if pick % 3 == 0 => &["=", "+", "-", "%", "~", "&"],
                    b'&' if pick % 3 == 0 => &["&&"],
                    _ => &[],
                };
                let word = if plain.is_empty() {
                    let of_kind = |keyword: &&libinjectionrs::sqli::sqli_data::Keyword| {
                        keyword.token_type.eq_ignore_ascii_case(kind)
                            && keyword.word.bytes().all(|byte| QUIET.contains(byte))
                    };
                    let words: Vec<_> = SQL_KEYWORDS.iter().filter(of_kind).collect();
                    words[pick % words.len()].word
                } else {
                    plain[pick % plain.len()]
                };
                text.extend_from_slice(word.to_ascii_lowercase().as_bytes());
                text.extend_from_slice(space.as_bytes());
            }
            text
        })
    }

    #[test]
    fn most_plain_values_are_quiet() {
        for value in [
            "John Smith",
            "2024-01-02 10:11:12",
            "New York, NY",
            "/a/b.html?c=d",
            "caf\u{e9} au lait",
            "en-GB",
        ] {
            assert!(is_quiet(value.as_bytes()), "{value}");
        }
        for value in [
            "1 union select 2",
            "O'Brien",
            "a--b",
            "1or 1",
            "1e5or 1",
            "a&&b",
            "order by 1",
            "current_date",
            "x;y",
        ] {
            assert!(!is_quiet(value.as_bytes()), "{value}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 8_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn turning_values_away_early_loses_no_hit(sql in prop_oneof![sql(), quiet_sql()], html in html()) {
            let (sqli, xss) = (DetectSqli, DetectXss);
            let plain = libinjectionrs::detect_sqli(&sql).is_injection();
            prop_assert_eq!(sqli.evaluate(&sql).is_some(), plain, "{:?}", sql.escape_ascii().to_string());
            prop_assert!(!plain || sqli.need().may_match(&sql), "{:?}", sql.escape_ascii().to_string());
            let plain = libinjectionrs::detect_xss(&html).is_injection();
            prop_assert_eq!(xss.evaluate(&html).is_some(), plain, "{:?}", html.escape_ascii().to_string());
            prop_assert!(!plain || xss.need().may_match(&html), "{:?}", html.escape_ascii().to_string());
        }
    }
}
