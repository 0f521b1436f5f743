//! Transformations and operators over any value: what they claim to need, to make and to leave
//! alone is true.

use std::sync::LazyLock;

use portward::config::core_rules;
use portward::waf::bytes::ByteSet;
use portward::waf::lang::ast::{All, Any, Condition, Not};
use portward::waf::operator::{self, Data, Hit, Operator};
use portward::waf::{lang, transformation};
use serde_json::{Value, json};

use super::{line, shown};

/// Doing these twice is doing them once.
const IDEMPOTENT: &[&str] = &[
    "compress_whitespace",
    "lowercase",
    "none",
    "normalise_path",
    "normalise_path_win",
    "parity_zero_7bit",
    "remove_nulls",
    "remove_whitespace",
    "replace_nulls",
    "trim",
    "trim_left",
    "trim_right",
    "uppercase",
];

/// The transformation's name stands in the first line; without a name the first byte chooses.
pub fn transformation(data: &[u8]) {
    let (name, value) = line(data);
    let named = std::str::from_utf8(name).ok().and_then(transformation::find);
    let (step, value) = match (named, data) {
        (Some(step), _) => (step, value),
        (None, []) => return,
        (None, [first, rest @ ..]) => {
            let names: Vec<&str> = transformation::names().collect();
            let name = names[usize::from(*first) % names.len()];
            (transformation::find(name).expect("a listed name is found"), rest)
        }
    };
    let apply = |value: &[u8]| {
        let mut out = b"left over".to_vec();
        let changed = (step.apply)(value, &mut out);
        assert!(!changed || out != value, "{} says that it changed {}", step.name, shown(value));
        if changed { out } else { value.to_vec() }
    };
    let out = apply(value);
    let present = ByteSet::present_in(value);
    assert!(step.may_change(&present) || out == value, "{} has no trigger in {}", step.name, shown(value));
    let known = present.union(present.lowercased()).union(step.makes());
    assert!(out == value || !ByteSet::present_in(&out).intersects(&known.complement()), "{}", step.name);
    // A digest in hexadecimal of nothing is the most that a short value becomes.
    assert!(out.len() <= 3 * value.len() + 20, "{}: {} of {}", step.name, out.len(), value.len());
    if IDEMPOTENT.contains(&step.name) {
        assert_eq!(apply(&out), out, "{} twice: {}", step.name, shown(value));
    }
}

/// Every operator that the core rules have, and some of each kind.
static OPERATORS: LazyLock<Vec<Box<dyn Operator>>> = LazyLock::new(|| {
    let sources = core_rules::core();
    let program = lang::read_all(&sources).expect("the shipped rules load");
    let mut calls: Vec<(String, Value)> = Vec::new();
    for rule in program.sets.iter().flat_map(|set| &set.rules) {
        rule.when.iter().for_each(|when| gather(when, &mut calls));
    }
    let own = [
        ("begins_with", json!("ab")),
        ("contains", json!("SeLeCt")),
        ("contains_word", json!("or")),
        ("detect_sql_escape", json!(true)),
        ("detect_shell", json!(true)),
        ("detect_sqli", json!(true)),
        ("detect_xss", json!(true)),
        ("ends_with", json!("%00")),
        ("eq", json!(0)),
        ("ge", json!(400)),
        ("gt", json!(-1)),
        ("ip_match", json!(["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"])),
        ("le", json!(12)),
        ("lt", json!(7)),
        ("no_match", json!(true)),
        ("pm", json!(["select", "passwd", "\u{e4}", "a b"])),
        ("rx", json!("(?i)^(?:[a-z]+\\s*=\\s*)+(\"[^\"]*\"|'[^']*')?$")),
        ("rx", json!("(?:a|b(c)?)*d|\\xff+")),
        ("rx_global", json!("(?i)(un)ion|s(el)ect")),
        ("str_match", json!("passwd")),
        ("streq", json!("GET")),
        ("unconditional_match", json!(true)),
        ("validate_byte_range", json!("9,10,13,32-126")),
        ("validate_url_encoding", json!(true)),
        ("validate_utf8_encoding", json!(true)),
        ("verify_cc", json!("\\d{13,16}")),
        ("verify_cpf", json!("\\d{3}\\.?\\d{3}\\.?\\d{3}-?\\d{2}")),
        ("verify_ssn", json!("\\d{3}-?\\d{2}-?\\d{4}")),
        ("verify_svnr", json!("\\d{4} ?\\d{6}")),
        ("within", json!("GET HEAD POST OPTIONS")),
    ];
    calls.extend(own.map(|(name, argument)| (name.to_owned(), argument)));
    calls.sort_by_key(|(name, argument)| (name.clone(), argument.to_string()));
    calls.dedup();
    let built = calls.iter().filter(|(_, argument)| !argument.to_string().contains("%{"));
    built
        .map(|(name, argument)| operator::build(name, argument, &sources.data).expect("a good argument"))
        .collect()
});

fn gather(condition: &Condition, calls: &mut Vec<(String, Value)>) {
    match condition {
        Condition::Leaf(leaf) => {
            calls.push((leaf.operator.name.value.clone(), leaf.operator.argument.value.clone()));
        }
        Condition::All(All { all: inner }) | Condition::Any(Any { any: inner }) => {
            inner.iter().for_each(|inner| gather(inner, calls));
        }
        Condition::Not(Not { not }) => gather(not, calls),
    }
}

/// The first byte chooses some of the operators.
pub fn operator(data: &[u8]) {
    const LOTS: usize = 4;
    let Some((first, value)) = data.split_first() else { return };
    for operator in OPERATORS.iter().skip(usize::from(*first) % LOTS).step_by(LOTS) {
        hold(&**operator, value);
    }
}

/// What holds of every operator on every value.
fn hold(operator: &dyn Operator, value: &[u8]) -> Option<Hit> {
    let hit = operator.evaluate(value);
    assert_eq!(hit, operator.evaluate(value), "{} twice", operator.describe());
    if let Some(hit) = &hit {
        let whole = || format!("{} on {}: {hit:?}", operator.describe(), shown(value));
        assert!(hit.span.start <= hit.span.end && hit.span.end <= value.len(), "{}", whole());
        assert!(hit.captures.len() <= 9, "{}", whole());
        for group in &hit.captures {
            assert!(group.start <= group.end && group.end <= value.len(), "{}", whole());
        }
        assert!(hit.note.as_deref() != Some("tokeniser-failed"), "{}", whole());
        assert!(hit.note.as_ref().is_none_or(|note| note.len() <= 64), "{}", whole());
        assert!(operator.need().may_match(value), "the need misses: {}", whole());
        // Transformations that fold case are put off: the need must hold in both cases.
        assert!(operator.need().literals.iter().flatten().all(|text| !text.is_empty()), "{}", whole());
    }
    hit
}

/// Three lines: the operator's name, its argument (as JSON, or a text as it stands), the value.
pub fn operator_argument(data: &[u8]) {
    let (name, rest) = line(data);
    let (argument, value) = line(rest);
    let (Ok(name), Ok(text)) = (std::str::from_utf8(name), std::str::from_utf8(argument)) else { return };
    let argument = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    let files = Data::from([("words.txt".to_owned(), b"# words\nselect\nunion all\n".to_vec())]);
    let operator = match operator::build(name, &argument, &files) {
        Ok(operator) => operator,
        Err(error) => {
            assert!(!error.problem.is_empty() && error.to_string() == error.problem);
            return;
        }
    };
    assert!(operator.steps_per_byte() > 0 && !operator.describe().is_empty());
    let hit = hold(&*operator, value);
    let Value::String(text) = &argument else { return };
    let find = |what: &[u8], inside: &[u8]| what.is_empty() || inside.windows(what.len()).any(|w| w == what);
    let expect = match name {
        "begins_with" => value.starts_with(text.as_bytes()),
        "ends_with" => value.ends_with(text.as_bytes()),
        "contains" | "str_match" => find(text.as_bytes(), value),
        "streq" => value == text.as_bytes(),
        "within" => find(value, text.as_bytes()),
        "rx" => {
            let mut expression = regex::bytes::RegexBuilder::new(text);
            let expression = expression.unicode(false).dot_matches_new_line(true).build();
            expression.expect("the operator has built it").is_match(value)
        }
        _ => return,
    };
    assert_eq!(hit.is_some(), expect, "{} on {}", operator.describe(), shown(value));
}

/// Detection of injected SQL and HTML: a verdict for every value, and the same whatever stands
/// beside it in the process.
pub fn injection(data: &[u8]) {
    static BOTH: LazyLock<[Box<dyn Operator>; 2]> = LazyLock::new(|| {
        ["detect_sqli", "detect_xss"]
            .map(|name| operator::build(name, &json!(true), &Data::new()).expect("it takes `true`"))
    });
    for operator in BOTH.iter() {
        let hit = hold(&**operator, data);
        if let Some(note) = hit.and_then(|hit| hit.note) {
            assert!((1..=8).contains(&note.len()) && note.is_ascii(), "fingerprint {note:?}");
        }
    }
}
