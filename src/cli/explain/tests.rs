use std::fs;

use super::*;
use crate::audit::record::tests::{blocked, found, plain, receipt};
use crate::audit::{Record, Verdict};
use crate::waf::report::Step;

fn log(records: &[Record]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let lines: String = records.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect();
    fs::write(&path, lines).unwrap();
    (dir, path)
}

fn explained(path: &Path, seed: u8, json: bool, colour: Colour) -> (u8, String) {
    let args = ExplainArgs { id: receipt(seed), json, audit_log: None, config: None };
    let mut out = Vec::new();
    let code = explain(&args, &mut out, path, colour).unwrap();
    (code, String::from_utf8(out).unwrap())
}

fn sqli() -> Record {
    let mut one = found("args:id", "1+UNION+SELECT+x", "union select");
    one.steps = vec![
        Step { transformation: "url_decode_uni".into(), result: "1 UNION SELECT x".into() },
        Step { transformation: "lowercase".into(), result: "1 union select x".into() },
    ];
    let mut record = blocked(1, vec![one]);
    record.url = "https://shop.test/?id=1+UNION+SELECT+x".into();
    record
}

#[test]
fn a_block_is_explained_from_headline_to_exclusion() {
    let (_dir, path) = log(&[plain(2), sqli(), plain(3)]);
    let (code, text) = explained(&path, 1, false, Colour::Off);
    assert_eq!(code, 0);
    for part in [
        "Blocked: SQL injection: UNION SELECT\n",
        "GET https://shop.test/?id=1+UNION+SELECT+x\n",
        "by 127.0.0.1:50000",
        "120010  SQL injection: UNION SELECT\n",
        "critical, paranoia level 1, set sql-injection, tags attack-sqli\n",
        "args:id         1+UNION+SELECT+x\n",
        "url_decode_uni  1 UNION SELECT x\n",
        "lowercase       1 union select x\n                            ^^^^^^^^^^^^\n",
        "matched by      rx union\n",
        "  120010     +5  SQL injection: UNION SELECT in args:id\n",
        "   total      5  threshold 5, reached (paranoia level 1)\n",
        "Save it as exclusions/local.json",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let start = text.find("\n{\n").unwrap();
    let end = text.find("\n}\n").unwrap();
    let file: serde_json::Value = serde_json::from_str(&text[start..end + 2]).unwrap();
    assert_eq!(file["exclusions"][0]["rules"], json!([120010]));
    assert_eq!(file["exclusions"][0]["variables"], json!(["args:id"]));
    assert!(file["exclusions"][0]["reason"].is_string());
}

#[test]
fn the_exclusion_has_the_fewest_rules_that_suffice_and_all_their_matches() {
    let part = |rule: u32, score: i64, variable: &str| {
        let mut one = found(variable, "x", "x");
        one.rule = rule;
        one.score = score;
        one.message = format!("rule {rule}");
        one.exclusion = format!(r#"{{"rules":[{rule}],"variables":["{variable}"],"hosts":["shop.test"]}}"#);
        one
    };
    let score = "rule 1 (anomaly score)";
    let excluded = |total: i64, reason: &str, matches: Vec<crate::waf::report::Match>| {
        let mut record = blocked(1, matches);
        let report = record.waf.as_mut().unwrap();
        report.ledger.inbound = total;
        let interruption = report.interruption.as_mut().unwrap();
        interruption.rule = 1;
        interruption.by_score = reason == score;
        interruption.reason = reason.to_owned();
        exclusion::file(report).map(|file| file["exclusions"].clone())
    };
    let entry = |rule: u32, variables: &[&str]| json!({ "rules": [rule], "variables": variables, "hosts": ["shop.test"], "reason": "matched legitimate traffic" });
    let (a, b) = ("args:a", "args:b");
    assert_eq!(excluded(5, score, vec![part(1, 2, a), part(2, 3, a)]), Some(json!([entry(2, &[a])])));
    assert_eq!(
        excluded(10, score, vec![part(1, 5, a), part(2, 5, b)]),
        Some(json!([entry(1, &[a]), entry(2, &[b])]))
    );
    // A rule scores once, and all its matches must go for that.
    assert_eq!(
        excluded(8, score, vec![part(1, 3, a), part(2, 5, a), part(2, 0, b)]),
        Some(json!([entry(2, &[a, b])]))
    );
    // A rule that blocks by itself, and one whose points alone would not do.
    assert_eq!(excluded(2, "rule 1", vec![part(1, 0, a), part(2, 2, b)]), Some(json!([entry(1, &[a])])));
    assert_eq!(
        excluded(9, "rule 1", vec![part(1, 2, a), part(2, 2, b), part(3, 5, b)]),
        Some(json!([entry(1, &[a]), entry(3, &[b])]))
    );
    let mut shadow = part(1, 5, a);
    shadow.shadow = true;
    assert_eq!(excluded(5, score, vec![shadow]), None);
}

#[test]
fn what_was_relayed_is_not_explained_as_denied() {
    let mut record = plain(1);
    record.verdict = Verdict::Tunnelled;
    record.kind = crate::audit::Kind::Tunnel;
    record.reason = "port".into();
    let (_dir, path) = log(&[record]);
    let text = explained(&path, 1, false, Colour::Off).1;
    assert!(text.contains("relay what comes through it. (port)"), "{text}");
    assert!(!text.contains("not allowed") && !text.contains("What to do"), "{text}");
}

#[test]
fn a_cut_match_still_has_its_carets() {
    let mut one = found("args:q", "x attack...", "attack...");
    one.steps.clear();
    let (_dir, path) = log(&[blocked(1, vec![one])]);
    let text = explained(&path, 1, false, Colour::Off).1;
    assert!(text.contains("x attack...\n                        ^^^^^^\n"), "{text}");
}

#[test]
fn the_audit_module_and_the_catalogue_agree() {
    assert_eq!(Code::AuditUnavailable.as_str(), crate::audit::UNAVAILABLE);
}

#[test]
fn hostile_data_never_reaches_the_terminal_raw() {
    let evil = "a\x1b[2J\x07\r\n\u{202e}\u{9b}31m\x7f";
    let mut one = found(evil, evil, "\x1b[2J");
    one.message = evil.into();
    one.severity = evil.into();
    one.set = evil.into();
    one.tags = vec![evil.into()];
    one.operator = evil.into();
    one.steps = vec![Step { transformation: evil.into(), result: evil.into() }];
    one.exclusion = json!({ "rules": [1], "variables": [evil] }).to_string();
    let mut record = blocked(1, vec![one]);
    record.url = evil.into();
    record.method = evil.to_owned().into();
    record.identity = Some(evil.into());
    record.sentence = evil.to_owned().into();
    record.reason = evil.to_owned().into();
    record.client_leg.protocol = evil.to_owned().into();
    record.waf.as_mut().unwrap().interruption.as_mut().unwrap().reason = evil.into();
    let (_dir, path) = log(&[record]);
    for json in [false, true] {
        let (_, text) = explained(&path, 1, json, Colour::Off);
        let raw = |c: char| (c != '\n' && c.is_control()) || c == '\u{202e}';
        assert!(!text.contains(raw), "{text:?}");
    }
}

#[test]
fn colour_is_only_added_when_asked_for() {
    let (_dir, path) = log(&[sqli()]);
    assert!(!explained(&path, 1, false, Colour::Off).1.contains('\x1b'));
    let coloured = explained(&path, 1, false, Colour::On).1;
    assert!(coloured.contains("\x1b[1;31m^^^^^^^^^^^^\x1b[0m"));
    assert!(!explained(&path, 1, true, Colour::On).1.contains('\x1b'));
}

#[test]
fn an_error_explains_its_code_and_what_to_do() {
    let mut record = plain(1);
    record.verdict = Verdict::Failed;
    record.reason = "cert_expired".into();
    record.sentence = "the certificate of a.test ended on 2020-01-01".into();
    let (_dir, path) = log(&[record]);
    let (code, text) = explained(&path, 1, false, Colour::Off);
    let words = Code::CertExpired.explanation();
    assert_eq!(code, 0);
    for part in [words.title, words.sentence, words.next, "the certificate of a.test ended on 2020-01-01"] {
        assert!(text.contains(part), "{part}");
    }
    let json: serde_json::Value = serde_json::from_str(&explained(&path, 1, true, Colour::Off).1).unwrap();
    assert_eq!(json["explanation"]["title"], words.title);
    assert_eq!(json["record"]["reason"], "cert_expired");
}

#[test]
fn an_unknown_receipt_is_exit_1_and_says_where_it_looked() {
    let (dir, path) = log(&[plain(1)]);
    let (code, text) = explained(&path, 2, false, Colour::Off);
    assert_eq!(code, 1);
    assert!(text.contains(&path.display().to_string()) && text.contains("--audit-log"), "{text}");
    let missing = dir.path().join("none.jsonl");
    let (code, text) = explained(&missing, 2, false, Colour::Off);
    assert_eq!(code, 1);
    assert!(text.contains("There is no audit log at"), "{text}");
    let (code, text) = explained(&path, 2, true, Colour::Off);
    assert_eq!(code, 1);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["found"], false);
}

#[test]
fn the_flag_names_another_log_and_a_bad_id_is_a_usage_error() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        explain: ExplainArgs,
    }
    use clap::Parser;
    let (_dir, path) = log(&[sqli()]);
    let id = receipt(1).to_string().to_lowercase();
    let log = path.to_str().unwrap();
    let cli = Cli::try_parse_from(["explain", &id, "--audit-log", log, "--json"]).unwrap();
    let mut out = Vec::new();
    assert_eq!(run(&cli.explain, &mut out, Path::new("/nowhere/audit.jsonl")).unwrap(), 0);
    let error = Cli::try_parse_from(["explain", "nonsense"]).err().unwrap();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("16 characters"), "{error}");
}

#[test]
fn carets_stand_under_the_match_wherever_it_is() {
    for length in [0, 1, 59, 60, 61, 500] {
        let value = format!("{}\u{e4}\nHIT{}", "a".repeat(length), "b".repeat(length));
        let mut one = found("args:q", &value, "HIT");
        one.steps.clear();
        let (_dir, path) = log(&[blocked(1, vec![one])]);
        let text = explained(&path, 1, false, Colour::Off).1;
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|line| line.trim() == "^^^").unwrap();
        let column = |line: &str, what: &str| line[..line.find(what).unwrap()].chars().count();
        assert_eq!(column(lines[at], "^^^"), column(lines[at - 1], "HIT"), "{length}\n{text}");
    }
}
