//! The bars that the core rules have to clear at the default level: how much of the public lists they
//! stop, in which places and under which encodings, and that no rule is there for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use portward::cli::rules::eval::{self, EvalArgs};
use portward::config::core_rules;
use portward::waf::measure::{Cell, Label, Tally};
use portward::waf::{Engine, Mode, Settings};

use crate::attack;

static DATA: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = match std::env::var_os("PORTWARD_DETECTION_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("detection"),
    };
    attack::write(&folder);
    folder
});

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| {
    let settings = Settings { mode: Some(Mode::Detect), ..Settings::default() };
    Arc::new(Engine::compile(&core_rules::core(), &settings).expect("the core rules load"))
});

/// Measures the attacks, or some classes of them.
fn measured(classes: &[&str], placements: &[&str], encodings: &[&str], limit: Option<u64>) -> Tally {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let args = EvalArgs {
        paths: vec![DATA.join("attack")],
        classes: words(classes),
        placements: words(placements),
        encodings: words(encodings),
        limit,
        ..EvalArgs::default()
    };
    let measured = eval::measure(&ENGINE, &args).unwrap_or_else(|error| panic!("{error}"));
    assert!(!measured.tally.samples.is_empty(), "nothing was measured: {classes:?}");
    measured.tally
}

fn rate(cell: Cell) -> f64 {
    cell.rate().expect("something ran")
}

/// Values of every source, limited so that the table stays quick.
const VALUES: u64 = 1500;

#[test]
fn lists_of_libinjection_are_stopped_as_query_form_and_json() {
    let lists = ["sqli-libinjection", "xss-libinjection"];
    let places = ["query", "form", "json"];
    let tally = measured(&lists, &places, &["plain"], None);
    for list in lists {
        for placement in places {
            let cell = tally.sum(|_, class, place| class == list && place.placement() == placement);
            println!("{list} {placement}: {:.3}% of {}", rate(cell), cell.exchanges);
            assert!(cell.exchanges > 80_000, "{list} {placement}: values are missing: {cell:?}");
            assert!(rate(cell) >= 99.5, "{list} {placement}: {:.3}%", rate(cell));
        }
    }
}

#[test]
fn what_only_looks_like_sql_passes() {
    let args = EvalArgs {
        paths: vec![DATA.join("benign/libinjection-false-positives.jsonl")],
        placements: vec!["query".to_owned()],
        encodings: vec!["plain".to_owned()],
        ..EvalArgs::default()
    };
    let tally = eval::measure(&ENGINE, &args).unwrap_or_else(|error| panic!("{error}")).tally;
    let cell = tally.of(Label::Benign);
    println!("false positives of libinjection: {} of {}", cell.blocked, cell.exchanges);
    assert!(cell.exchanges >= 400 && cell.blocked <= 8, "{cell:?}");
}

/// A class under an encoding (or in a place) may be stopped less often than plain (or in a query) by so
/// many points.
const POINTS: f64 = 1.0;

/// Holds each row of a table against its first column, and prints the table.
fn hold_against_first(
    tally: &Tally,
    columns: &[&str],
    column: impl Fn(&str, portward::waf::measure::Place) -> bool,
    accepted: &str,
) {
    let accepted: BTreeMap<(&str, &str), &str> = accepted
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut fields = line.splitn(3, '\t');
            let mut next =
                || fields.next().unwrap_or_else(|| panic!("not three fields with tabs between: {line}"));
            ((next(), next()), next())
        })
        .collect();
    let classes: BTreeSet<&str> = tally.samples.keys().map(|(_, class)| class.as_str()).collect();
    println!("{:<32}{}", "", columns.iter().map(|name| format!(" {name:>15}")).collect::<String>());
    let (mut wrong, mut stale) = (Vec::new(), Vec::new());
    for class in classes {
        let rates: Vec<Option<f64>> = columns
            .iter()
            .map(|name| tally.sum(|_, own, place| own == class && column(name, place)).rate())
            .collect();
        let shown = rates.iter().map(|rate| rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.2}")));
        println!("{class:<32}{}", shown.map(|rate| format!(" {rate:>15}")).collect::<String>());
        let Some(first) = rates[0] else { continue };
        for (name, rate) in columns.iter().zip(&rates).skip(1) {
            let less = rate.is_some_and(|rate| rate < first - POINTS);
            match (less, accepted.contains_key(&(class, *name))) {
                (true, false) => {
                    wrong.push(format!("{class} {name}: {:.2} of {first:.2}", rate.unwrap_or_default()))
                }
                (false, true) => stale.push(format!("{class} {name}")),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "stopped less often than in the first column:\n{}", wrong.join("\n"));
    assert!(stale.is_empty(), "listed as stopped less often, and are not:\n{}", stale.join("\n"));
}

#[test]
fn an_encoded_attack_is_stopped_as_often_as_a_plain_one() {
    let encodings = [
        "plain",
        "url",
        "double-url",
        "base64",
        "base64url",
        "hex",
        "js-unicode",
        "js-unicode-all",
        "html-entities",
        "html-hex",
        "overlong-utf8",
        "fullwidth",
        "gzip",
    ];
    let tally = measured(&[], &["query", "form", "json"], &encodings, Some(VALUES));
    hold_against_first(
        &tally,
        &encodings,
        |name, place| place.encoding() == name,
        include_str!("attack/encodings.tsv"),
    );
}

#[test]
fn an_attack_is_stopped_in_every_place_as_often_as_in_a_query() {
    let places = [
        "query",
        "path",
        "form",
        "multipart",
        "json",
        "json-nested",
        "xml-text",
        "xml-attribute",
        "xml-cdata",
        "soap",
        "header",
        "cookie",
        "graphql",
        "graphql-inline",
    ];
    let tally = measured(&[], &places, &["plain"], Some(VALUES));
    hold_against_first(
        &tally,
        &places,
        |name, place| place.placement() == name,
        include_str!("attack/placements.tsv"),
    );
}

#[test]
fn every_rule_fires_on_the_attacks_or_says_why_not() {
    let mut fired: BTreeSet<u32> = BTreeSet::new();
    for (encodings, placements) in [("plain", "all"), ("url", "query"), ("overlong-utf8", "query,path")] {
        let placements: Vec<&str> = placements.split(',').collect();
        fired.extend(measured(&[], &placements, &[encodings], Some(VALUES)).rules.keys());
    }
    let reasons: BTreeMap<u32, &str> = include_str!("attack/quiet.tsv")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (id, reason) = line.split_once('\t').unwrap_or_else(|| panic!("no tab: {line}"));
            (id.parse().unwrap_or_else(|_| panic!("no id: {line}")), reason)
        })
        .collect();
    let active: BTreeMap<u32, &str> =
        ENGINE.rules().filter(|rule| rule.active).map(|rule| (rule.id, rule.message.as_str())).collect();
    let silent: Vec<String> = active
        .iter()
        .filter(|(id, _)| !fired.contains(id) && !reasons.contains_key(id))
        .map(|(id, message)| format!("{id}\t{message}"))
        .collect();
    let stale: Vec<&u32> =
        reasons.keys().filter(|id| fired.contains(id) || !active.contains_key(id)).collect();
    println!("{} of {} active rules fire, {} have a reason not to", fired.len(), active.len(), reasons.len());
    assert!(silent.is_empty(), "fire on no attack, and no reason is given:\n{}", silent.join("\n"));
    assert!(stale.is_empty(), "have a reason not to fire, and fire or are not active: {stale:?}");
}
