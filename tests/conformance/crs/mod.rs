//! The Core Rule Set's regression suite: every case of it in process, where any bytes can be shown
//! to the engine, and through the real proxy, which refuses what is not HTTP. A rule counts when it
//! wrote to the log.

mod case;
mod proxy;
mod responses;
mod rules;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;

use portward::waf::report::{Disruption, Report};
use portward::waf::{Engine, Settings};

use crate::support::{self, Tally};
use case::{Case, Expect};
use proxy::Passed;
use rules::Level;
use wire::Message;

/// Cases of the suite. A run of fewer has lost some.
const CASES: usize = 2403;
/// Cases of which rules see at least the head: all but those that end before one is there, or whose
/// lines are no fields.
const THROUGH_THE_PROXY: usize = 2420;

/// What the rules said of one exchange.
#[derive(Debug, Default)]
pub struct Logged {
    pub rules: BTreeSet<u32>,
    /// With what status the exchange was, or would have been, denied.
    pub denied: Option<u16>,
}

impl Logged {
    fn of(report: &Report) -> Logged {
        let denied = report.interruption.as_ref().and_then(|interruption| match interruption.action {
            Disruption::Deny { status } => Some(status),
            _ => None,
        });
        Logged { rules: report.matches.iter().map(|found| found.rule).collect(), denied }
    }

    /// Holds the logged rules against what a case expects of them.
    fn judge(&self, case: &Case) -> Result<(), String> {
        if let Some(missing) = case.expect.logged.filter(|rule| !self.rules.contains(rule)) {
            return Err(format!("{missing} did not log; these did: {:?}", self.rules));
        }
        match case.expect.not_logged.filter(|rule| self.rules.contains(rule)) {
            Some(wrong) => Err(format!("{wrong} logged")),
            None => Ok(()),
        }
    }
}

fn cases() -> Vec<Case> {
    let tests = support::data("modsecurity-crs/tests/regression/tests");
    let mut folders: Vec<_> = std::fs::read_dir(&tests)
        .expect("a folder")
        .map(|entry| entry.expect("a folder that opens can be read").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let mut cases: Vec<Case> = folders
        .iter()
        .flat_map(|folder| support::files(folder, "yaml"))
        .flat_map(|file| case::read(&file))
        .collect();
    assert!(cases.len() >= CASES, "{} cases, at least {CASES} were expected", cases.len());
    cases.extend(responses::cases());
    // One name is given twice.
    let mut known = BTreeSet::new();
    for case in &mut cases {
        while !known.insert(case.id.clone()) {
            case.id.push_str("-again");
        }
    }
    cases
}

/// Statuses are the server's and the proxy's to give. The suite runs where nothing is blocked, but
/// some of its cases allow for a 403: then it is enough that the exchange would have been denied.
fn judge_status(case: &Case, passed: &Passed) -> Result<(), String> {
    let Expect { status: expected, error, .. } = &case.expect;
    let refused = passed.status.is_none_or(|status| status >= 400);
    if *error {
        return if refused {
            Ok(())
        } else {
            Err(format!("no answer was expected, {:?} came", passed.status))
        };
    }
    // The suite's servers refuse with this status or that; what matters is that nobody serves it.
    if expected.is_empty() || (refused && expected.iter().all(|status| *status >= 400)) {
        return Ok(());
    }
    let denied = passed.logged.as_ref().and_then(|logged| logged.denied);
    if [passed.status, denied].into_iter().flatten().any(|status| expected.contains(&status)) {
        return Ok(());
    }
    Err(format!("status {:?}, would have been denied with {denied:?}; expected {expected:?}", passed.status))
}

#[test]
fn every_case_in_process() {
    let sources = rules::import(Level::SUITE);
    let engine = Arc::new(rules::engine(&sources));
    let mut tally = Tally::new("crs");
    for case in cases() {
        let message = Message::read(&case.bytes);
        let logged = match message.is_refused() {
            true => Logged::default(),
            false => Logged::of(&message.run(&engine)),
        };
        let outcome = logged.judge(&case);
        tally.case(case.id, outcome);
    }
    tally.finish(CASES);
}

/// A rule that jumps over a level and a level that the importer made of the jump are the same.
#[test]
fn levels_say_what_jumps_do() {
    let cases = cases();
    for level in 1..=4 {
        let jumping = Arc::new(rules::engine(&rules::import(Level::Decided(level))));
        let levels = Arc::new(rules::engine(&rules::import(Level::Fixed(level))));
        for case in &cases {
            let message = Message::read(&case.bytes);
            let [left, right] = [&jumping, &levels].map(|engine| Logged::of(&message.run(engine)).rules);
            assert_eq!(left, right, "{} at level {level}", case.id);
        }
    }
}

/// Prefilters and what is remembered of earlier values only save time.
#[test]
fn the_fast_path_reports_what_plain_evaluation_does() {
    let sources = rules::import(Level::SUITE);
    let plain = Engine::compile_plain(&sources, &Settings::default()).expect("it compiles");
    let (fast, plain) = (Arc::new(rules::engine(&sources)), Arc::new(plain));
    for case in cases() {
        let message = Message::read(&case.bytes);
        assert_eq!(message.run(&fast), message.run(&plain), "{}", case.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_through_the_proxy() {
    let sources = rules::import(Level::SUITE);
    let cases = cases();
    let engine = Arc::new(rules::engine(&sources));
    let passed = proxy::run(&cases, &sources).await;
    let mut tally = Tally::new("crs-proxy");
    let mut inspected = 0;
    for (case, passed) in cases.iter().zip(&passed) {
        inspected += usize::from(passed.logged.is_some());
        let logged = match &passed.logged {
            // Its body was never read, and it had no answer.
            Some(logged) if passed.refused => logged.judge(case),
            Some(logged) => logged.judge(case).and_then(|()| {
                let alone = Logged::of(&Message::read(&case.bytes).run(&engine)).rules;
                let apart: Vec<_> = alone.symmetric_difference(&logged.rules).collect();
                if apart.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{apart:?} logged here, or in process, but not both"))
                }
            }),
            // The request was refused before rules saw it, so that nothing can go wrong behind us.
            None if passed.status.is_none_or(|status| status >= 400) => Ok(()),
            None => Err(format!("status {:?}, and no rules were asked", passed.status)),
        };
        tally.case(case.id.clone(), logged.and_then(|()| judge_status(case, passed)));
    }
    println!("crs-proxy: rules were asked in {inspected} cases");
    tally.finish(CASES);
    assert!(inspected >= THROUGH_THE_PROXY, "only {inspected} requests got as far as the rules");
}
