//! The bars that the core rules have to clear at the default level: how much of the public lists they
//! stop, in which places and under which encodings, and that no rule is there for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use portward::cli::rules::eval::{self, EvalArgs};
use portward::config::core_rules;
use portward::waf::measure::{Cell, Place, Tally};
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

static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(|| engine(Settings::default()));

fn engine(settings: Settings) -> Arc<Engine> {
    let settings = Settings { mode: Some(Mode::Detect), ..settings };
    Arc::new(Engine::compile(&core_rules::core(), &settings).expect("the core rules load"))
}

/// Measures the attacks, or some classes of them.
fn measured(classes: &[&str], placements: &[&str], encodings: &[&str], limit: Option<u64>) -> Tally {
    measured_by(&ENGINE, classes, placements, encodings, limit)
}

fn measured_by(
    engine: &Arc<Engine>,
    classes: &[&str],
    placements: &[&str],
    encodings: &[&str],
    limit: Option<u64>,
) -> Tally {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let args = EvalArgs {
        paths: vec![DATA.join("attack")],
        classes: words(classes),
        placements: words(placements),
        encodings: words(encodings),
        limit,
        ..EvalArgs::default()
    };
    let measured = eval::measure(engine, &args).unwrap_or_else(|error| panic!("{error}"));
    assert!(!measured.tally.samples.is_empty(), "nothing was measured: {classes:?}");
    measured.tally
}

fn rate(cell: Cell) -> f64 {
    cell.rate().expect("something ran")
}

/// Values of every source, limited so that the table stays quick.
const VALUES: u64 = 400;

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

/// A technique under an encoding (or in a place) may be stopped less often than plain (or in a query) by
/// so many points.
const POINTS: f64 = 1.0;

/// What a class is about, whatever its source: the figures of thirty seeds alone would move by points
/// with each of them. None for mixed lists.
fn technique(class: &str) -> Option<&str> {
    if matches!(class, "wfuzz-bare" | "wfuzz-mixed" | "wfuzz-xml") {
        return None;
    }
    let name = ["own-", "wfuzz-"].iter().find_map(|source| class.strip_prefix(source)).unwrap_or(class);
    let name =
        ["-libinjection", "-variants", "-grid"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    Some(if name == "sql" { "sqli" } else { name })
}

/// Technique and column, and why the one is stopped less often in the other.
fn accepted(list: &str) -> BTreeSet<(&str, &str)> {
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [technique, column, reason] if !reason.is_empty() => (technique, column),
            _ => panic!("not a technique, a column and a reason with tabs between: {line}"),
        })
        .collect()
}

/// Holds each row of a table against its first column, and prints the table. Only exchanges that differ
/// in nothing else are compared: `same` says what else there is.
fn hold_against_first(
    tally: &Tally,
    columns: &[&str],
    column: impl Fn(Place) -> &'static str,
    same: impl Fn(Place) -> &'static str,
    list: &str,
) {
    let accepted = accepted(list);
    let all: BTreeSet<&str> = tally.samples.keys().filter_map(|(_, class)| technique(class)).collect();
    let sum = |about: &str, wanted: &dyn Fn(Place) -> bool| {
        tally.sum(|_, class, place| technique(class) == Some(about) && wanted(place))
    };
    println!("{:<24}{}", "", columns.iter().map(|name| format!(" {name:>14}")).collect::<String>());
    let (mut wrong, mut needed) = (Vec::new(), BTreeSet::new());
    for about in &all {
        let about = *about;
        let mut row = String::new();
        for name in columns {
            let cell = sum(about, &|place| column(place) == *name);
            let Some(rate) = cell.rate() else {
                row.push_str(&format!(" {:>14}", "-"));
                continue;
            };
            row.push_str(&format!(" {rate:>14.2}"));
            let others: BTreeSet<&str> = tally
                .cells
                .iter()
                .filter(|((_, class, place), cell)| {
                    technique(class) == Some(about) && column(*place) == *name && cell.exchanges > 0
                })
                .map(|((_, _, place), _)| same(*place))
                .collect();
            let first = sum(about, &|place| column(place) == columns[0] && others.contains(same(place)));
            let Some(first) = first.rate() else { continue };
            if rate >= first - POINTS {
                continue;
            }
            if accepted.contains(&(about, *name)) {
                needed.insert((about, *name));
            } else {
                wrong.push(format!("{about}\t{name}\t{rate:.2} of {first:.2}"));
            }
        }
        println!("{about:<24}{row}");
    }
    assert!(wrong.is_empty(), "stopped less often than {}:\n{}", columns[0], wrong.join("\n"));
    let stale: Vec<_> = accepted.difference(&needed).collect();
    assert!(stale.is_empty(), "accepted, and stopped as often as {} all the same: {stale:?}", columns[0]);
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
        Place::encoding,
        Place::placement,
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
        Place::placement,
        Place::encoding,
        include_str!("attack/placements.tsv"),
    );
}

#[test]
fn every_rule_fires_on_the_attacks_or_says_why_not() {
    // Also those of higher levels, and of sets that are off.
    let engine = engine(Settings { paranoia_level: Some(4), run_every_set: true, ..Settings::default() });
    let mut fired: BTreeSet<u32> = BTreeSet::new();
    for (encodings, placements) in [("plain", "all"), ("url", "query"), ("overlong-utf8", "query,path")] {
        let placements: Vec<&str> = placements.split(',').collect();
        fired.extend(measured_by(&engine, &[], &placements, &[encodings], Some(VALUES)).rules.keys());
    }
    // By rule, or by set.
    let reasons: BTreeMap<&str, &str> = include_str!("attack/quiet.tsv")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once('\t').unwrap_or_else(|| panic!("no tab: {line}")))
        .collect();
    let (mut silent, mut needed) = (Vec::new(), BTreeSet::new());
    for rule in engine.rules().filter(|rule| rule.active && !fired.contains(&rule.id)) {
        let id = rule.id.to_string();
        match [id.as_str(), &rule.set].into_iter().find_map(|name| reasons.get_key_value(name)) {
            Some((name, _)) => {
                needed.insert(*name);
            }
            None => silent.push(format!("{id}\t{}", rule.message)),
        }
    }
    println!("{} rules fire", fired.len());
    assert!(silent.is_empty(), "fire on no attack, and no reason is given:\n{}", silent.join("\n"));
    let stale: Vec<&&str> = reasons.keys().filter(|name| !needed.contains(**name)).collect();
    assert!(stale.is_empty(), "have a reason not to fire, and fire or are not there: {stale:?}");
}
