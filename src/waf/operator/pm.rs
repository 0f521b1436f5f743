//! `pm` and `pm_from_file`: one of many phrases stands somewhere in the value, whatever the
//! case of ASCII letters. All phrases are looked for in one pass.
//!
//! Argument of `pm`: a list of phrases. Argument of `pm_from_file`: the name of a file in
//! `rules/data`, one phrase per line; white space around a phrase is cut, spaces inside stay,
//! empty lines and lines that begin with `#` say nothing.
//! Example: `{"pm": ["sqlmap", "nikto"]}`, `{"pm_from_file": "scanners.txt"}`.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::data_file::DataFile;
use super::{Data, Hit, Need, Operator, OperatorError, list_argument};

#[derive(Debug)]
struct Pm {
    automaton: AhoCorasick,
    phrases: Vec<Vec<u8>>,
    /// The file, for `pm_from_file`.
    file: Option<String>,
}

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    let phrases = list_argument(name, argument)?;
    Pm::boxed(phrases.into_iter().map(str::as_bytes), None)
}

pub(super) fn build_from_file(
    name: &str,
    argument: &Value,
    data: &Data,
) -> Result<Box<dyn Operator>, OperatorError> {
    let file = DataFile::named(name, argument, data)?;
    let phrases: Vec<&[u8]> = file.lines().filter(|line| !line.starts_with(b"#")).collect();
    if phrases.is_empty() {
        return Err(file.holds_nothing("phrase"));
    }
    Pm::boxed(phrases.into_iter(), Some(file.name.to_owned()))
}

impl Pm {
    fn boxed<'a>(
        phrases: impl Iterator<Item = &'a [u8]>,
        file: Option<String>,
    ) -> Result<Box<dyn Operator>, OperatorError> {
        let mut phrases: Vec<Vec<u8>> = phrases.map(<[u8]>::to_ascii_lowercase).collect();
        phrases.sort();
        phrases.dedup();
        // A DFA over thousands of phrases costs megabytes and seconds for a tenth more speed.
        let kind = (phrases.len() > 100).then_some(AhoCorasickKind::ContiguousNFA);
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .kind(kind)
            .build(&phrases)
            .map_err(|error| {
                OperatorError::argument(
                    format!("the phrases do not fit one automaton: {error}"),
                    "split the list over several rules",
                )
            })?;
        Ok(Box::new(Pm { automaton, phrases, file }))
    }
}

impl Operator for Pm {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        self.automaton.find(value).map(|found| Hit::at(found.span().range()))
    }

    fn need(&self) -> Need {
        let mut first = ByteSet::EMPTY;
        let mut last = ByteSet::EMPTY;
        for phrase in &self.phrases {
            for (set, byte) in [(&mut first, phrase.first()), (&mut last, phrase.last())] {
                if let Some(byte) = byte {
                    set.insert(byte.to_ascii_lowercase());
                    set.insert(byte.to_ascii_uppercase());
                }
            }
        }
        Need {
            literals: Some(self.phrases.clone()),
            bytes: vec![first, last],
            min_len: self.phrases.iter().map(Vec::len).min().unwrap_or(0),
        }
    }

    fn describe(&self) -> String {
        match &self.file {
            Some(file) => format!("pm_from_file {file} ({} phrases)", self.phrases.len()),
            None => {
                let shown: Vec<_> =
                    self.phrases.iter().map(|phrase| String::from_utf8_lossy(phrase)).collect();
                format!("pm {}", shown.join(" | "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::OperatorErrorKind;
    use super::super::build as build_any;
    use super::super::tests::{built, check};
    use super::*;

    #[test]
    fn any_phrase_in_any_case_matches_and_the_longest_is_told() {
        check(
            &*built("pm", json!(["union", "Union Select", "--"])),
            &[
                (b"x UNION y", Some(2..7)),
                (b"uNiOn sElEcT", Some(0..12)),
                (b"a--b", Some(1..3)),
                (b"unio n", None),
                (b"", None),
            ],
        );
        check(&*built("pm", json!(["\u{e4}"])), &[(b"\xc3\xa4", Some(0..2)), (b"\xc3\x84", None)]);
    }

    #[test]
    fn a_phrase_file_has_one_phrase_per_line() {
        let data = Data::from([("p.txt".to_owned(), b"# comment\n\n  etc passwd \r\n/#x\n".to_vec())]);
        let operator = build_any("pm_from_file", &json!("p.txt"), &data).unwrap();
        check(
            &*operator,
            &[
                (b"/ETC PASSWD", Some(1..11)),
                (b"# comment", None),
                (b"/#x", Some(0..3)),
                (b"etcpasswd", None),
            ],
        );
        assert_eq!(operator.describe(), "pm_from_file p.txt (2 phrases)");
    }

    #[test]
    fn a_missing_or_empty_phrase_file_is_an_error_with_help() {
        let data = Data::from([("shell.txt".to_owned(), b"# nothing\n".to_vec())]);
        let error = build_any("pm_from_file", &json!("shel.txt"), &data).unwrap_err();
        assert_eq!(error.kind, OperatorErrorKind::MissingData);
        assert_eq!(error.help.as_deref(), Some("did you mean `shell.txt`?"));
        assert!(build_any("pm_from_file", &json!("shell.txt"), &data).is_err());
        assert!(build_any("pm", &json!([""]), &data).is_err());
        assert!(build_any("pm", &json!([]), &data).is_err());
    }

    #[test]
    fn thousands_of_phrases_are_one_automaton() {
        let phrases: Vec<String> = (0..3000).map(|n| format!("phrase{n:04}x")).collect();
        let operator = built("pm", json!(phrases));
        check(&*operator, &[(b"..PHRASE2999X", Some(2..13)), (b"phrase3000x", None)]);
    }
}
