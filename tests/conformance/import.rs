//! Debian's Core Rule Set through the importer: every rule comes over and the result compiles.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use portward::cli::rules::import::Disk;
use portward::waf::lang::seclang::{Imported, Input, Options, import};
use portward::waf::{Engine, Settings};

use crate::support;

fn input(path: &Path) -> Input {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Input { name: path.display().to_string(), text }
}

/// The set with the settings that it comes with.
pub fn core_rule_set(options: &Options) -> Imported {
    let root = support::data("modsecurity-crs");
    let mut inputs = vec![input(&root.join("crs-setup.conf.example"))];
    inputs.extend(support::files(&root.join("rules"), "conf").iter().map(|path| input(path)));
    import(&inputs, &mut Disk, options).unwrap_or_else(|errors| {
        errors.iter().for_each(|error| println!("{error}"));
        panic!("{} errors", errors.len())
    })
}

/// The ids that stand in rules of these files, found without the importer.
fn ids(root: &Path) -> BTreeSet<u32> {
    let mut files = vec![root.join("crs-setup.conf.example")];
    files.extend(support::files(&root.join("rules"), "conf"));
    let mut ids = BTreeSet::new();
    for file in files {
        let text = input(&file).text;
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let Some((_, rest)) = line.split_once("\"id:") else { continue };
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            assert!(ids.insert(digits.parse().expect("an id is a number")), "{digits} twice");
        }
    }
    ids
}

/// Rules that need what there is not: a database of places, and a name server.
const SKIPPED: [u32; 2] = [910100, 910140];

#[test]
fn the_core_rule_set_imports_whole_and_compiles() {
    let root = support::data("modsecurity-crs");
    let imported = core_rule_set(&Options { skip_unsupported: true });
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for note in &imported.notes {
        *reasons.entry(&note.reason).or_default() += 1;
    }
    for (reason, count) in reasons {
        println!("{count:>5} {reason}");
    }
    println!("{:?}", imported.counts);
    let engine = Engine::compile(&imported.sources, &Settings::default()).unwrap_or_else(|errors| {
        errors.iter().for_each(|error| println!("{error}"));
        panic!("{} errors", errors.len())
    });
    let loaded: BTreeSet<u32> = engine.rules().map(|rule| rule.id).collect();
    let written = ids(&root);
    assert!(written.len() > 600, "only {} rules were found", written.len());
    let noted = |id: u32, part: &str| {
        let name = format!("rule {id}");
        imported.notes.iter().any(|note| note.directive == name && note.reason.contains(part))
    };
    for id in written.difference(&loaded) {
        let is_gate = noted(*id, "became the paranoia level");
        assert!(is_gate || (SKIPPED.contains(id) && noted(*id, "skipped: ")), "rule {id} is lost");
    }
    assert!(loaded.is_subset(&written));
    assert_eq!(imported.counts.skipped, SKIPPED.len());
    assert_eq!(imported.counts.rules + imported.counts.gates + imported.counts.skipped, written.len());
    println!("{} rules compile", loaded.len());
}

#[test]
fn without_leave_to_skip_every_unsupported_rule_is_an_error() {
    let root = support::data("modsecurity-crs");
    let file = input(&root.join("rules/REQUEST-910-IP-REPUTATION.conf"));
    let errors = import(&[file], &mut Disk, &Options::default()).expect_err("two rules are not supported");
    assert!(errors.iter().any(|error| error.problem.contains("@geoLookup")), "{errors:#?}");
    assert!(errors.iter().all(|error| error.line > 0 && error.help.is_some()), "{errors:#?}");
}
