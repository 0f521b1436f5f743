//! ModSecurity's own engine cases: rules in SecLang, an exchange, and what must come of it: a status,
//! a redirect, an error while the rules are read, and sentences of its logs. The rules are imported,
//! the exchange is traced in process, and the trace is told in ModSecurity's words
//! ([`render`]), so that names, values, results and decisions are compared.
//!
//! Where the test data's runner goes on after a rule stopped an exchange, as no server does, an
//! exchange ends here.

mod case;
mod concern;
mod logs;
mod render;
mod run;
mod version_2;

use std::collections::BTreeMap;

use case::Case;

use crate::support::{self, Tally};

/// Cases that concern a proxy, of 636 in all; a run of fewer is a run that lost some.
const LEAST: usize = 480;
/// Of a hundred of them so many must agree, whatever the accepted differences are.
const SHARE: usize = 95;

#[test]
fn rules_do_what_modsecurity_does_with_them() {
    let folder = support::data("modsecurity/test/test-cases/regression");
    let cases: Vec<Case> = support::files(&folder, "json").iter().flat_map(|file| case::read(file)).collect();
    let stale = concern::stale(&cases);
    assert!(stale.is_empty(), "cases that are listed as of no concern are not there: {stale:?}");
    let mut tally = Tally::new("engine");
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut ran, mut agreed) = (0, 0);
    for case in &cases {
        if let Some(reason) = concern::no_concern(case) {
            *left_out.entry(reason).or_default() += 1;
            continue;
        }
        let outcome = match version_2::judged(case) {
            None => run::run(case),
            Some((case, _)) => run::run(&case),
        };
        ran += 1;
        agreed += usize::from(outcome.is_ok());
        tally.case(case.identity.clone(), outcome);
    }
    for (reason, count) in &left_out {
        println!("of no concern, {count} cases: {reason}");
    }
    for case in &cases {
        if let Some((case, reason)) = version_2::judged(case) {
            println!("as version 2 does: {}: {reason}", case.identity);
        }
    }
    println!(
        "engine: {} cases, {ran} of concern, {agreed} agree, {} of these with version 2",
        cases.len(),
        version_2::count()
    );
    tally.finish(LEAST);
    assert!(agreed * 100 >= ran * SHARE, "{agreed} of {ran} agree, {SHARE} of a hundred must");
}
