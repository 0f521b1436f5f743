//! Debian's Core Rule Set through the importer: every rule comes over and the result compiles.

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

#[test]
fn the_core_rule_set_imports_and_compiles() {
    let imported = core_rule_set(&Options { skip_unsupported: true });
    for note in imported.notes.iter().filter(|note| !note.reason.starts_with("there is one log")) {
        println!(
            "{}:{}: {}: {}",
            note.file.rsplit('/').next().unwrap_or_default(),
            note.line,
            note.directive,
            note.reason
        );
    }
    println!("{:?}", imported.counts);
    let engine = Engine::compile(&imported.sources, &Settings::default()).unwrap_or_else(|errors| {
        errors.iter().for_each(|error| println!("{error}"));
        panic!("{} errors", errors.len())
    });
    println!("{} rules compile", engine.rules().count());
}
