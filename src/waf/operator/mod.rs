//! Operators: does a value match? One file per operator, one table. An operator is built once
//! from its JSON argument, with a load error that says what to write instead, and evaluated
//! on bytes without allocation unless it hits.
//!
//! Each operator also states what a value must have to match at all ([`Need`]). The engine
//! puts those needs into shared automata and byte masks; `evaluate` is exact without them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;

use serde_json::Value;
use smallvec::SmallVec;

use crate::waf::bytes::ByteSet;

pub(crate) use dynamic::Dynamic;
pub(crate) use literals::commonness;
pub(crate) use number::read as number;

mod data_file;
mod detect_markup;
mod detect_path;
mod detect_shell;
mod detect_sql_escape;
mod detect_sqli;
mod detect_xss;
mod dynamic;
mod expression;
mod ip_match;
mod literals;
mod markup;
mod no_match;
mod number;
mod path;
mod pm;
mod rx;
mod rx_global;
mod rx_with;
mod shell;
mod sqli;
mod text;
mod unconditional_match;
mod validate;
mod verify;
mod verify_cc;
mod verify_cpf;
mod verify_ssn;
mod verify_svnr;
mod xss;

/// A test of one value.
pub trait Operator: Send + Sync + Debug {
    fn evaluate(&self, value: &[u8]) -> Option<Hit>;

    /// What a value must have for `evaluate` to hit. Never wrong, possibly weak.
    fn need(&self) -> Need;

    /// The operator as a person reads it: `rx \bunion\b`.
    fn describe(&self) -> String;

    /// Steps per byte of a value at worst. Every operator is linear; this is its factor.
    fn steps_per_byte(&self) -> usize {
        1
    }
}

/// Where and how an operator hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// The part of the value that hit; the whole value when no part can be told.
    pub span: Range<usize>,
    /// The groups 1 to 9 of a regular expression; a group that took no part is empty. Group 0
    /// is `span`.
    pub captures: SmallVec<[Range<usize>; 4]>,
    /// What the operator has to say beside its span: libinjection's fingerprint for instance,
    /// which is then what `capture` stores as `tx.0`.
    pub note: Option<String>,
}

impl Hit {
    pub fn at(span: Range<usize>) -> Hit {
        Hit { span, ..Hit::default() }
    }
}

/// Necessary conditions for a hit; all of them must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// In ASCII lower case: a value without one of these, compared ASCII-case-insensitively,
    /// cannot hit.
    pub literals: Option<Vec<Vec<u8>>>,
    /// A value cannot hit that lacks, for any one of these sets, every byte of it.
    pub bytes: Vec<ByteSet>,
    /// A shorter value cannot hit.
    pub min_len: usize,
}

impl Need {
    /// Nothing is known: every value must be evaluated.
    pub const ALWAYS: Need = Need { literals: None, bytes: Vec::new(), min_len: 0 };

    /// The cheap half of the need: length and bytes present.
    pub fn admits(&self, len: usize, present: &ByteSet) -> bool {
        len >= self.min_len && self.bytes.iter().all(|set| set.intersects(present))
    }

    /// The whole need, checked plainly. The engine's automata must agree with this.
    pub fn may_match(&self, value: &[u8]) -> bool {
        self.admits(value.len(), &ByteSet::present_in(value))
            && self.literals.as_ref().is_none_or(|literals| {
                let lower = value.to_ascii_lowercase();
                literals.iter().any(|literal| memchr::memmem::find(&lower, literal).is_some())
            })
    }
}

/// Why an operator could not be built. `help` says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct OperatorError {
    pub kind: OperatorErrorKind,
    pub problem: String,
    pub help: Option<String>,
}

/// What was wrong, as a stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorErrorKind {
    UnknownOperator,
    Argument,
    Expression,
    MissingData,
}

impl OperatorErrorKind {
    pub fn code(self) -> &'static str {
        match self {
            OperatorErrorKind::UnknownOperator => "unknown_operator",
            OperatorErrorKind::Argument => "operator_argument",
            OperatorErrorKind::Expression => "operator_expression",
            OperatorErrorKind::MissingData => "operator_data",
        }
    }
}

impl OperatorError {
    fn argument(problem: impl Into<String>, help: impl Into<String>) -> OperatorError {
        OperatorError { kind: OperatorErrorKind::Argument, problem: problem.into(), help: Some(help.into()) }
    }
}

/// The phrase files under `rules/data`, by name.
pub type Data = BTreeMap<String, Vec<u8>>;

type Build = fn(&str, &Value, &Data) -> Result<Box<dyn Operator>, OperatorError>;

/// Builds the operator of that name from its JSON argument.
pub fn build(name: &str, argument: &Value, data: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    match TABLE.iter().find(|(known, _)| *known == name) {
        Some((name, build)) => build(name, argument, data),
        None => {
            let near = TABLE
                .iter()
                .map(|(known, _)| (strsim::damerau_levenshtein(known, name), *known))
                .min()
                .filter(|(distance, known)| *distance <= known.len().div_ceil(3));
            Err(OperatorError {
                kind: OperatorErrorKind::UnknownOperator,
                problem: format!("unknown operator `{name}`"),
                help: near.map(|(_, known)| format!("did you mean `{known}`?")),
            })
        }
    }
}

/// What matches nothing.
pub(crate) fn never() -> Box<dyn Operator> {
    #[derive(Debug)]
    struct Never;
    impl Operator for Never {
        fn evaluate(&self, _: &[u8]) -> Option<Hit> {
            None
        }
        fn need(&self) -> Need {
            Need::ALWAYS
        }
        fn describe(&self) -> String {
            "never".into()
        }
    }
    Box::new(Never)
}

/// All operator names.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

const TABLE: &[(&str, Build)] = &[
    ("begins_with", text::build),
    ("contains", text::build),
    ("contains_word", text::build),
    ("detect_path", detect_path::build),
    ("detect_shell", detect_shell::build),
    ("detect_sql_escape", detect_sql_escape::build),
    ("detect_markup", detect_markup::build),
    ("detect_sqli", detect_sqli::build),
    ("detect_xss", detect_xss::build),
    ("ends_with", text::build),
    ("eq", number::build),
    ("ge", number::build),
    ("gt", number::build),
    ("ip_match", ip_match::build),
    ("ip_match_from_file", ip_match::build_from_file),
    ("le", number::build),
    ("lt", number::build),
    ("no_match", no_match::build),
    ("pm", pm::build),
    ("pm_from_file", pm::build_from_file),
    ("rx", rx::build),
    ("rx_global", rx_global::build),
    ("str_match", text::build),
    ("streq", text::build),
    ("unconditional_match", unconditional_match::build),
    ("validate_byte_range", validate::build_byte_range),
    ("validate_url_encoding", validate::build_url_encoding),
    ("validate_utf8_encoding", validate::build_utf8_encoding),
    ("verify_cc", verify_cc::build),
    ("verify_cpf", verify_cpf::build),
    ("verify_ssn", verify_ssn::build),
    ("verify_svnr", verify_svnr::build),
    ("within", text::build),
];

/// An argument that must be a text.
fn text_argument<'a>(name: &str, argument: &'a Value) -> Result<&'a str, OperatorError> {
    argument.as_str().ok_or_else(|| {
        OperatorError::argument(
            format!("`{name}` takes a text, not {}", kind_of(argument)),
            format!("write {{\"{name}\": \"...\"}}"),
        )
    })
}

/// An argument that must be a list of at least one non-empty text.
fn list_argument<'a>(name: &str, argument: &'a Value) -> Result<Vec<&'a str>, OperatorError> {
    let wrong = |what: String| {
        OperatorError::argument(
            format!("`{name}` takes a list of texts, not {what}"),
            format!("write {{\"{name}\": [\"...\", \"...\"]}}"),
        )
    };
    let list = argument.as_array().ok_or_else(|| wrong(kind_of(argument).into()))?;
    if list.is_empty() {
        return Err(wrong("an empty list".into()));
    }
    list.iter()
        .map(|item| match item.as_str() {
            Some("") => Err(wrong("a list with an empty text, which would match everything".into())),
            Some(text) => Ok(text),
            None => Err(wrong(format!("a list with {}", kind_of(item)))),
        })
        .collect()
}

/// The argument of an operator that needs none: `true`.
fn true_argument(name: &str, argument: &Value) -> Result<(), OperatorError> {
    match argument {
        Value::Bool(true) => Ok(()),
        other => Err(OperatorError::argument(
            format!("`{name}` takes no argument, written `true`, not {}", kind_of(other)),
            format!("write {{\"{name}\": true}}; for the opposite add \"negate\": true to the condition"),
        )),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(true) => "`true`",
        Value::Bool(false) => "`false`",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub(super) fn built(name: &str, argument: Value) -> Box<dyn Operator> {
        build(name, &argument, &Data::new()).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Each case says whether it hits and where; and no hit happens where the need says none can.
    pub(super) fn check(operator: &dyn Operator, cases: &[(&[u8], Option<Range<usize>>)]) {
        for (value, expect) in cases {
            let span = operator.evaluate(value).map(|hit| hit.span);
            let shown = value.escape_ascii().to_string();
            assert_eq!(&span, expect, "{} on {shown:?}", operator.describe());
            if span.is_some() {
                assert!(operator.need().may_match(value), "{} need misses {shown:?}", operator.describe());
            }
        }
    }

    #[test]
    fn an_unknown_operator_names_the_nearest() {
        let error = build("rxx", &json!("a"), &Data::new()).unwrap_err();
        assert_eq!(error.kind.code(), "unknown_operator");
        assert_eq!(error.help.as_deref(), Some("did you mean `rx`?"));
        let error = build("geo_lookup", &json!("a"), &Data::new()).unwrap_err();
        assert_eq!(error.help, None);
    }

    #[test]
    fn every_operator_refuses_an_argument_of_another_kind() {
        for name in names() {
            for bad in [json!(null), json!({"a": 1}), json!(false), json!([1])] {
                let error = build(name, &bad, &Data::new()).err();
                assert!(error.as_ref().is_some_and(|e| e.help.is_some()), "{name} took {bad} : {error:?}");
            }
        }
    }
}
