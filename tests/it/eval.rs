//! `rules eval` measures what it is given, all of it, and says so with figures and exit codes; what it cannot read it
//! names by file and line.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::proxy::portward;

/// One rule, so that every figure is known: `evil` anywhere, and `worse` in a cookie.
const RULES: &str = r#"{"name": "own", "version": "1", "rules": [
    {"id": 900001, "phase": "request_body", "message": "evil", "severity": "critical", "then": ["block"],
     "when": {"variables": ["args", "xml:/*", "xml://@*", "request_headers", "files", "request_filename", "request_body"],
              "operator": {"contains": "evil"}}},
    {"id": 900002, "phase": "request_headers", "message": "worse", "severity": "critical", "then": ["block"],
     "when": {"variables": ["request_cookies"], "operator": {"contains": "worse"}}}]}"#;

struct Data(tempfile::TempDir);

impl Data {
    fn new(files: &[(&str, &str)]) -> Data {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("own.json"), RULES).unwrap();
        for (name, text) in files {
            let path = dir.path().join("data").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Data(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn eval(&self, more: &[&str]) -> Output {
        let (rules, data) = (self.path("own.json"), self.path("data"));
        let mut args = vec!["rules", "eval", &data, "--no-core-rules", "--rules", &rules];
        args.extend(more);
        portward(&args)
    }

    fn json(&self, more: &[&str]) -> Value {
        let output = self.eval(&[more, &["--json"]].concat());
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The counts of one class: samples, exchanges, blocked, values without a place.
fn class(answer: &Value, label: &str, name: &str) -> [u64; 4] {
    let classes = answer["classes"].as_array().unwrap();
    let found = classes.iter().find(|class| class["label"] == label && class["class"] == name);
    let found = found.unwrap_or_else(|| panic!("no {label} {name} in {classes:?}"));
    ["samples", "exchanges", "blocked", "not_placeable"].map(|key| found[key].as_u64().unwrap())
}

#[test]
fn every_sample_is_counted_in_every_place() {
    let data = Data::new(&[
        ("attack/words.txt", "evil\nan evil one\nnice\n\nevil\r\n"),
        ("benign/words.txt", "good\nnot evil\n"),
        (
            "benign/mixed.jsonl",
            "{\"value\": \"a\\r\\nb\"}\n{\"value_base64\": \"/w==\"}\n{\"request\": \"GET /?q=1\\nCookie: a=worse\\n\", \
             \"class\": \"cookies\", \"name\": \"first\"}\n{\"label\": \"attack\", \"value\": \"evil\", \"class\": \"apart\"}\n",
        ),
        ("benign/README.md", "no sample"),
    ]);
    let answer = data.json(&["--in", "query,json,header", "--worst", "5"]);
    assert_eq!(class(&answer, "attack", "words"), [4, 12, 9, 0], "{answer}");
    assert_eq!(class(&answer, "benign", "words"), [2, 6, 3, 0]);
    // A line break stands in no header, and a byte that is no UTF-8 in no JSON.
    assert_eq!(class(&answer, "benign", "mixed"), [2, 4, 0, 2]);
    assert_eq!(class(&answer, "benign", "cookies"), [1, 1, 1, 0]);
    assert_eq!(class(&answer, "attack", "apart"), [1, 3, 3, 0]);
    assert_eq!(answer["true_positive_rate"].as_f64(), Some(80.0));
    let hits = |rule: u64| {
        let rules = answer["rules"].as_array().unwrap();
        rules.iter().find(|found| found["rule"] == rule).unwrap()["hits"].clone()
    };
    assert_eq!(
        (hits(900_001)["attack"].as_u64(), hits(900_001)["benign_blocked"].as_u64()),
        (Some(12), Some(3))
    );
    assert_eq!(hits(900_002)["benign"].as_u64(), Some(1));
    // A receipt says what matched where, and what would let it pass.
    let worst = answer["worst"].as_array().unwrap();
    assert_eq!(worst.len(), 4, "{worst:?}");
    let cookie = worst.iter().find(|receipt| receipt["name"] == "first").unwrap();
    let matched = &cookie["report"]["matches"][0];
    assert_eq!((&matched["rule"], &matched["variable"]), (&900_002.into(), &"request_cookies:a".into()));
    assert!(matched["exclusion"].as_str().unwrap().contains("request_cookies:a"), "{matched}");
}

#[test]
fn every_place_and_every_encoding_arrives() {
    let data = Data::new(&[("attack/one.txt", "evil\n")]);
    let answer = data.json(&["--in", "all"]);
    assert_eq!(class(&answer, "attack", "one")[1], 20, "{answer}");
    for cell in answer["cells"].as_array().unwrap() {
        // The name of an argument is no value of one; what is in a GraphQL operation is part of a value.
        let expected = u64::from(cell["placement"] != "query-name");
        assert_eq!(cell["blocked"].as_u64(), Some(expected), "{cell}");
    }
    let answer = data.json(&["--in", "form,json", "--encode", "all"]);
    for cell in answer["cells"].as_array().unwrap() {
        let encoding = cell["encoding"].as_str().unwrap();
        // Bodies are decoded as live ones are; values are for rules to decode, and letters need no escape.
        let seen = !["base64", "base64url", "hex", "js-unicode-all", "fullwidth-all"].contains(&encoding);
        let placed = encoding != "utf-16" || cell["placement"] == "json";
        assert_eq!(cell["exchanges"].as_u64(), Some(u64::from(placed)), "{cell}");
        if encoding != "utf-16" {
            assert_eq!(cell["blocked"].as_u64(), Some(u64::from(seen)), "{cell}");
        }
    }
}

#[test]
fn missed_attacks_and_false_positives_are_lists_that_can_be_measured_again() {
    let data = Data::new(&[("attack/words.txt", "evil\nnice\n"), ("benign/words.txt", "good\nnot evil\n")]);
    let (missed, wrong) = (data.path("missed.jsonl"), data.path("wrong.jsonl"));
    let answer = data.json(&["--in", "query", "--missed", &missed, "--false-positives", &wrong]);
    assert_eq!(answer["false_positive_rate"].as_f64(), Some(50.0));
    for (list, value, rule) in [(&missed, "nice", None), (&wrong, "not evil", Some(900_001))] {
        let text = fs::read_to_string(list).unwrap();
        let line: Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!((line["value"].as_str(), line["matches"][0]["rule"].as_u64()), (Some(value), rule));
        // The list carries its own labels.
        let output = portward(&["rules", "eval", list, "--no-core-rules", "--rules", &data.path("own.json")]);
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn gates_fail_a_run_and_say_why() {
    let data = Data::new(&[("attack/words.txt", "evil\nnice\n"), ("benign/words.txt", "good\nnot evil\n")]);
    for (gate, code, says) in [
        (["--at-least", "50"], 0, ""),
        (["--at-least", "50.1"], 1, "50.000% of the attacks were stopped, at least 50.1% are asked for"),
        (["--at-most", "50"], 0, ""),
        (["--at-most", "0.1"], 1, "50.000% of the harmless were stopped, at most 0.1% are asked for"),
        (["--class", "none"], 1, "there is no sample in these files"),
    ] {
        let output = data.eval(&gate);
        assert_eq!(output.status.code(), Some(code), "{gate:?}: {}", said(&output));
        assert!(said(&output).contains(says), "{gate:?}: {}", said(&output));
    }
    let answer = data.eval(&["--at-most", "0.1", "--json"]);
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["problems"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_cannot_be_measured_is_named_by_file_and_line() {
    let plain = |text: &str| Data::new(&[("attack/a.jsonl", text)]);
    for (data, more, says) in [
        (Data::new(&[("other/words.txt", "evil\n")]), &[][..], "words.txt:1: the sample has no label"),
        (plain("{\"value\": \"a\"}\n{\"value\": \n"), &[], "a.jsonl:2: the line is no sample: "),
        (plain("{}\n"), &[], "a.jsonl:1: a sample is one of value, value_base64, request and request_base64"),
        (plain("{\"value\": \"a\", \"request\": \"GET /\"}\n"), &[], "a.jsonl:1: a sample is one of"),
        (plain("\n{\"value_base64\": \"?\"}\n"), &[], "a.jsonl:2: a sample's base64 cannot be decoded"),
        (
            plain("{\"request\": \"GET\"}\n"),
            &[],
            "a.jsonl:1: a request's first line is `METHOD target`, not `GET`",
        ),
        (
            plain("{\"value\": \"a\", \"label\": \"bad\"}\n"),
            &[],
            "a.jsonl:1: a label is `attack` or `benign`, not `bad`",
        ),
        (plain(""), &["--in", "nowhere"], "there is no placement `nowhere`"),
        (plain(""), &["--encode", "rot13"], "there is no encoding `rot13`"),
        (plain(""), &["--attack", "/nowhere"], "/nowhere: No such file"),
        (plain(""), &["--attack", "Cargo.toml"], "Cargo.toml: a file of samples ends in .txt or .jsonl"),
    ] {
        let output = data.eval(more);
        assert_eq!(output.status.code(), Some(2), "{says}: {}", said(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{says}: {}", said(&output));
    }
}

#[test]
fn rules_that_do_not_load_are_told_as_everywhere() {
    let data = Data::new(&[("attack/a.txt", "evil\n")]);
    fs::write(Path::new(&data.path("own.json")), RULES.replace("contains", "contain")).unwrap();
    let output = data.eval(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("unknown operator `contain`"), "{}", said(&output));
}

#[test]
fn a_person_is_shown_tables_and_receipts_without_control_characters() {
    let data = Data::new(&[("attack/words.txt", "evil\n"), ("benign/words.txt", "an \u{1b}[31mevil\n")]);
    let output = data.eval(&["--table", "--worst", "1", "--encode", "plain,url,base64"]);
    let text = said(&output);
    for says in [
        "stopped, by class and encoding, in per cent",
        "stopped, by class and placement, in per cent",
        "900001",
        "false positive: ",
        "\\x1b[31mevil",
        "exclusion: {",
        "stopped of attacks (TPR)",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
}
