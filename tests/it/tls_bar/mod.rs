//! The TLS bar: sixty numbered cases by which a client behind Portward is never less safe than without it, run
//! through the real binary and printed as one table. `tests/run tls_bar` is the command.

mod authority;
mod certificates;
mod handshake;
mod leaves;
mod names;

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use futures_util::{FutureExt, StreamExt, stream};

/// One line of the table. Several may share an id.
pub struct Case {
    /// `T01` to `T60`.
    pub id: &'static str,
    /// What is simulated.
    pub what: String,
    /// The answer that the bar asks for, in the words that `Seen` uses.
    pub expected: &'static str,
    pub run: Run,
}

/// What a case does: it drives a proxy of its own, asserts the particulars, and tells what it saw.
pub type Run = Box<dyn Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + Sync>;

impl Case {
    /// A case passes when what `run` tells is `expected`.
    pub fn new<F>(
        id: &'static str,
        what: impl Into<String>,
        expected: &'static str,
        run: impl Fn() -> F + Send + Sync + 'static,
    ) -> Case
    where
        F: Future<Output = String> + Send + 'static,
    {
        Case { id, what: what.into(), expected, run: Box::new(move || Box::pin(run())) }
    }
}

/// Cases that cannot pass as stated, and why. Three at most.
const DECLARED: &[(&str, &str)] = &[];

/// Cases that run at a time.
const AT_A_TIME: usize = 6;

fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(certificates::cases());
    cases.extend(handshake::cases());
    cases.extend(names::cases());
    cases.extend(leaves::cases());
    cases.extend(authority::cases());
    cases.sort_by_key(|case| case.id);
    cases
}

/// `PORTWARD_TLS_BAR=T29,T30` runs these alone, for working on them.
fn chosen(id: &str) -> bool {
    std::env::var("PORTWARD_TLS_BAR").map_or(true, |ids| ids.split(',').any(|wanted| wanted == id))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tls_bar_holds_from_the_first_case_to_the_last() {
    let lines: Vec<(Case, String)> = stream::iter(all().into_iter().filter(|case| chosen(case.id)))
        .map(async |case| {
            // A case that panics is a line of the table as well, so that one run shows all that is wrong.
            let seen = AssertUnwindSafe((case.run)()).catch_unwind().await.unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                format!("PANIC {}", text.unwrap_or_else(|| "without a text".to_owned()))
            });
            (case, seen)
        })
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let mut failed = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    println!("{:<4} {:<4} {:<60} {:<34} seen", "", "case", "simulated", "expected");
    for (case, seen) in &lines {
        *counts.entry(case.id).or_default() += 1;
        let declared = DECLARED.iter().find(|(id, _)| *id == case.id);
        let good = *seen == case.expected;
        let mark = if good { "ok" } else { "FAIL" };
        println!("{mark:<4} {:<4} {:<60} {:<34} {seen}", case.id, case.what, case.expected);
        match (good, declared) {
            (false, None) => {
                failed.push(format!("{} {}: expected {}, seen {seen}", case.id, case.what, case.expected))
            }
            (true, Some(_))
                if lines.iter().all(|(other, seen)| other.id != case.id || *seen == other.expected) =>
            {
                failed.push(format!("{} is declared as failing and passes", case.id));
            }
            _ => {}
        }
    }
    for (id, why) in DECLARED {
        println!("{id} is declared: {why}");
    }
    println!("{} of 60 cases, {} lines, {} failed", counts.len(), lines.len(), failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(DECLARED.len() <= 3);
    if std::env::var_os("PORTWARD_TLS_BAR").is_none() {
        let missing: Vec<String> =
            (1..=60).map(|n| format!("T{n:02}")).filter(|id| !counts.contains_key(id.as_str())).collect();
        assert!(missing.is_empty(), "no case for {missing:?}");
    }
}
