//! Harmless values and requests against the core rules at their default level. The scripts beside this
//! file make them: `generate.py` from Debian packages, `record.py` from real clients on loopback;
//! tests/run runs both. A value counts once, and as stopped when any place it is put in is stopped.
//! What is still stopped stands in remaining.txt with a reason, and nothing else may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portward::cli::rules::eval::{EvalArgs, measure};
use portward::cli::rules::{SetArgs, load};
use portward::waf::measure::{Label, Tally};
use portward::waf::{Engine, Mode, Settings};
use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::attack::Sample;
use crate::data::data;

const REMAINING: &str = include_str!("../remaining.txt");

/// Where the values and requests are. The scripts leave a mark when they are done.
fn folder() -> PathBuf {
    data("detection/benign/complete").with_file_name("")
}

fn engine() -> Arc<Engine> {
    let sources = load(&SetArgs::default()).expect("the core rules are embedded");
    let settings = Settings { mode: Some(Mode::Detect), ..Settings::default() };
    Arc::new(Engine::compile(&sources, &settings).unwrap_or_else(|errors| panic!("{errors:?}")))
}

/// A sample that was stopped.
struct Stopped {
    class: String,
    text: String,
    rules: BTreeSet<u64>,
    places: BTreeSet<String>,
    exchanges: u64,
}

/// What became of some classes.
struct Outcome {
    tally: Tally,
    /// By identity.
    stopped: BTreeMap<String, Stopped>,
}

impl Outcome {
    fn samples(&self) -> u64 {
        self.tally.samples.values().sum()
    }

    fn rate(&self) -> f64 {
        self.stopped.len() as f64 * 100.0 / self.samples() as f64
    }

    /// Classes, how many samples, how many of them stopped.
    fn print(&self, what: &str) {
        for ((_, class), samples) in &self.tally.samples {
            let stopped = self.stopped.values().filter(|one| one.class == *class).count();
            println!("{class:32}{samples:>8}{stopped:>6}{:>9.3}%", stopped as f64 * 100.0 / *samples as f64);
        }
        for (identity, one) in &self.stopped {
            println!(
                "stopped: {identity} {} by {:?}, {} times in {:?}: {:?}",
                one.class,
                one.rules,
                one.exchanges,
                one.places,
                short(&one.text)
            );
        }
        println!("{what}: {} of {} stopped, {:.4}%", self.stopped.len(), self.samples(), self.rate());
    }

    /// Fails on a sample that is stopped and not listed, and on one that is listed and not stopped.
    fn hold_against_the_list(&self, kind: &str) {
        let listed = listed(kind);
        let mut wrong = String::new();
        for (identity, one) in &self.stopped {
            match listed.get(identity.as_str()) {
                Some(reason) => {
                    println!("remains: {identity} {}: {:?} ({reason})", one.class, short(&one.text))
                }
                None => {
                    // Ready to be pasted, but for the reason.
                    let rules: Vec<String> = one.rules.iter().map(u64::to_string).collect();
                    let _ = writeln!(
                        wrong,
                        "{kind}\t{identity}\t{}\t{}\t{:?}\t",
                        rules.join(","),
                        one.class,
                        short(&one.text)
                    );
                }
            }
        }
        for identity in listed.keys().filter(|identity| !self.stopped.contains_key(**identity)) {
            let _ = writeln!(wrong, "{kind}\t{identity} is listed and is no longer stopped");
        }
        assert!(wrong.is_empty(), "what is stopped differs from remaining.txt:\n{wrong}");
    }
}

fn short(text: &str) -> String {
    text.chars().take(70).collect()
}

/// The samples of a kind that may be stopped: identity and reason.
fn listed(kind: &str) -> BTreeMap<&'static str, &'static str> {
    let mut all = BTreeMap::new();
    for (number, line) in REMAINING.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let [of, identity, _rules, _class, _text, reason] = fields[..] else {
            panic!("remaining.txt:{}: not six fields with tabs between them", number + 1)
        };
        assert!(!reason.trim().is_empty(), "remaining.txt:{}: no reason", number + 1);
        if of == kind {
            assert!(all.insert(identity, reason).is_none(), "remaining.txt:{}: listed twice", number + 1);
        }
    }
    all
}

fn run(paths: Vec<PathBuf>) -> Outcome {
    let kept = tempfile::NamedTempFile::new().expect("a temporary file");
    let args = EvalArgs {
        benign: paths,
        placements: ["query", "form", "json"].map(str::to_owned).to_vec(),
        encodings: vec!["plain".to_owned()],
        false_positives: Some(kept.path().to_owned()),
        ..EvalArgs::default()
    };
    let measured = measure(&engine(), &args).unwrap_or_else(|error| panic!("{error}"));
    let mut stopped = BTreeMap::new();
    for line in std::fs::read_to_string(kept.path()).expect("the list was written").lines() {
        let line: Value = serde_json::from_str(line).expect("a line of the list is JSON");
        take(&line, &mut stopped);
    }
    assert_eq!(measured.tally.of(Label::Attack).exchanges, 0);
    Outcome { tally: measured.tally, stopped }
}

/// A value is known by its digest. Recorded requests differ from run to run, so requests are known by
/// their class and by the rules that stop them.
fn take(line: &Value, stopped: &mut BTreeMap<String, Stopped>) {
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    let class = text("class").expect("each line has its class");
    let rules: BTreeSet<u64> =
        line["matches"].as_array().into_iter().flatten().filter_map(|found| found["rule"].as_u64()).collect();
    let (identity, text) = match text("value").or_else(|| text("value_base64")) {
        Some(value) => (hex::encode(&Sha1::digest(value.as_bytes())[..8]), value),
        None => {
            let rules: Vec<String> = rules.iter().map(u64::to_string).collect();
            let request = text("request").or_else(|| text("request_base64")).unwrap_or_default();
            (format!("{class}:{}", rules.join("+")), request)
        }
    };
    let place = line["placement"].as_str().unwrap_or_default().to_owned();
    let one = stopped.entry(identity).or_insert_with(|| Stopped {
        class,
        text,
        rules,
        places: BTreeSet::new(),
        exchanges: 0,
    });
    one.places.insert(place);
    one.exchanges += 1;
}

fn files(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder()).expect("the folder was there");
    let paths = listed.map(|entry| entry.expect("a folder that opens can be read").path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .filter(|path| path.file_stem().and_then(|name| name.to_str()).is_some_and(&wanted))
        .collect();
    files.sort();
    files
}

fn is_request(name: &str) -> bool {
    name.starts_with("requests-") || name.starts_with("recorded-")
}

#[test]
fn of_a_hundred_thousand_harmless_values_at_most_two_in_ten_thousand_are_stopped() {
    let outcome = run(files(|name| !is_request(name)));
    outcome.print("values");
    assert!(outcome.samples() >= 100_000, "{} values", outcome.samples());
    assert!(outcome.rate() <= 0.02, "{:.4}% of the values are stopped", outcome.rate());
    outcome.hold_against_the_list("value");
}

#[test]
fn of_five_thousand_harmless_requests_at_most_one_in_a_thousand_is_stopped() {
    let outcome = run(files(is_request));
    outcome.print("requests");
    let clients = outcome.tally.samples.keys().filter(|(_, class)| class.starts_with("recorded-")).count();
    assert!(clients >= 8, "requests of {clients} clients were recorded");
    assert!(outcome.samples() >= 5_000, "{} requests", outcome.samples());
    let cell = outcome.tally.of(Label::Benign);
    let rate = cell.rate().expect("requests ran");
    assert!(rate <= 0.1, "{} requests are stopped, {rate:.3}%", cell.blocked);
    outcome.hold_against_the_list("request");
}

/// The texts that the authors of libinjection collected because they look like SQL and are not.
#[test]
fn of_libinjections_false_positives_at_most_eight_are_stopped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut paths = Vec::new();
    for class in crate::attack::libinjection::benign() {
        let lines = class.samples.iter().map(|sample| match sample {
            Sample::Value(value) => format!("{{\"value_base64\": \"{}\"}}\n", STANDARD.encode(value)),
            Sample::Request { .. } => panic!("the list has values only"),
        });
        let path = folder.path().join(format!("{}.jsonl", class.name));
        std::fs::write(&path, lines.collect::<String>()).expect("the disk has room");
        paths.push(path);
    }
    let outcome = run(paths);
    outcome.print("libinjection's false positives");
    assert!(outcome.samples() >= 400, "{} texts", outcome.samples());
    assert!(outcome.stopped.len() <= 8, "{} are stopped", outcome.stopped.len());
    outcome.hold_against_the_list("libinjection");
}
