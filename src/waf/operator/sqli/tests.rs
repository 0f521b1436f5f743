//! Properties of the whole: what is turned away early, what any bytes do, and how the cost grows.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::super::tests::built;
use super::{detect, is_quiet, words};

/// A handful of pieces that the tokeniser looks for.
fn sql() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        "union",
        "select",
        "or",
        "and",
        "1",
        "0x1",
        "0x",
        "0b1",
        "1e5",
        "1.",
        "1f",
        "1d",
        ".1",
        "'",
        "\"",
        "--",
        "#",
        "/*",
        "*/",
        "/*!",
        "(",
        ")",
        "=",
        "@",
        "$",
        "$$",
        "$a$",
        "{",
        "}",
        "[",
        "]",
        "`",
        ";",
        ",",
        ".",
        ":",
        "::",
        "<",
        ">",
        "drop",
        "table",
        "a",
        "null",
        "having",
        "like",
        "not",
        "in",
        "all",
        "x",
        "n",
        "\\",
        "\\N",
        "\0",
        "\u{a0}",
        "\t",
        "\n",
        " ",
        "case",
        "sleep",
        "_",
        "q",
        "q'(",
        "u&",
        "&&",
        "||",
        "!",
        "^",
        "~",
        "b",
        "e",
        "if",
        "user",
        "collate",
        "int",
        "into",
        "outfile",
        "order",
        "by",
        "group",
        "sp_password",
        "%",
        "+",
        "-",
        "*",
        "/",
        "?",
    ]);
    let any = proptest::collection::vec(any::<u8>(), 0..3);
    let part = prop_oneof![9 => piece.prop_map(|piece| piece.as_bytes().to_vec()), 1 => any];
    proptest::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
}

/// A known attack's kinds, each with a word of its kind and nothing loud.
fn quiet_sql() -> impl Strategy<Value = Vec<u8>> {
    let attacks: Vec<Vec<u8>> = words::attacks()
        .into_iter()
        .filter(|kinds| kinds.iter().all(|kind| b"N1KOVAFTEUB&.,:".contains(kind)))
        .collect();
    let space = select(vec![" ", "\n", "", "  ", " -", "/", ":", "."]);
    let draw = (select(attacks), any::<[u16; 5]>(), proptest::collection::vec(space, 5));
    draw.prop_map(|(kinds, picks, spaces)| {
        let mut text = Vec::new();
        for ((kind, pick), space) in kinds.iter().zip(picks).zip(spaces) {
            text.extend_from_slice(&word_of(*kind, usize::from(pick)));
            text.extend_from_slice(space.as_bytes());
        }
        text
    })
}

fn word_of(kind: u8, pick: usize) -> Vec<u8> {
    let plain: &[&str] = match kind {
        b'N' => &["foo", "x", "caf\u{e9}", "n", "q"],
        b'1' => &["1", "2.5", "1e5", "1.e5", "0x1f", "7", "1f", ".5"],
        b'.' => &["."],
        b',' => &[","],
        b':' => &[":"],
        b'O' if pick.is_multiple_of(3) => &["=", "+", "-", "%", "~", "&"],
        b'&' if pick.is_multiple_of(3) => &["&&"],
        _ => &[],
    };
    if let Some(word) = plain.get(pick % plain.len().max(1)) {
        return word.as_bytes().to_vec();
    }
    let of_kind = |word: &&words::Word| word.kind.is_some_and(|of| (of as u8).eq_ignore_ascii_case(&kind));
    let words: Vec<_> = words::all().iter().filter(of_kind).collect();
    words[pick % words.len()].text.to_ascii_lowercase()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn turning_values_away_early_loses_no_hit(value in prop_oneof![sql(), quiet_sql()]) {
        let shown = || value.escape_ascii().to_string();
        let found = detect(&value);
        prop_assert!(found.is_none() || !is_quiet(&value), "{}", shown());
        let operator = built("detect_sqli", json!(true));
        let hit = operator.evaluate(&value);
        prop_assert_eq!(hit.clone().and_then(|hit| hit.note), found.map(|found| found.to_string()), "{}", shown());
        prop_assert!(hit.is_none() || operator.need().may_match(&value), "{}", shown());
    }

    #[test]
    fn no_bytes_make_it_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = (detect(&value), is_quiet(&value));
    }
}
