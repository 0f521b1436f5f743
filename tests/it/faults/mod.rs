//! What must hold when things go wrong: fifty-four numbered faults, run through the real binary and printed as one
//! table. `tests/run faults --nocapture` is the command. A fault that another test holds already is a line here that
//! runs that test; what of a fault nobody holds yet is listed below the table, and counted.

mod attacks;
mod bodies;
mod held;
mod origins;
mod slow;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};

/// One line of the table. Several may share an id.
pub struct Case {
    /// `F01` to `F54`.
    pub id: &'static str,
    /// What goes wrong.
    pub what: String,
    /// What must hold, in the words that `Seen` uses.
    pub expected: &'static str,
    pub run: Run,
}

/// What a case does: it drives a proxy of its own, asserts the particulars, and tells what it saw.
pub type Run = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Seen> + Send>> + Send + Sync>;

/// What a case saw, and what it measured meanwhile.
pub struct Seen {
    pub told: String,
    pub figures: String,
}

impl<T: Into<String>> From<T> for Seen {
    fn from(told: T) -> Seen {
        Seen { told: told.into(), figures: String::new() }
    }
}

impl Case {
    /// A case passes when what `run` tells is `expected`.
    pub fn new<F, S>(
        id: &'static str,
        what: impl Into<String>,
        expected: &'static str,
        run: impl Fn() -> F + Send + Sync + 'static,
    ) -> Case
    where
        F: Future<Output = S> + Send + 'static,
        S: Into<Seen> + 'static,
    {
        Case { id, what: what.into(), expected, run: Box::new(move || Box::pin(run().map(Into::into))) }
    }
}

/// Faults that cannot pass as stated, and why. Three at most.
const DECLARED: &[(&str, &str)] = &[];

/// What of the faults no case holds yet. The table is whole when this is empty.
const NOT_YET: &[(&str, &str)] = &[
    ("F11", "a loop of CNAMEs, an answer of 64 KB, a thousand addresses, the cache of failures"),
    ("F13", "a flood of interim answers is dropped, but only the wait for the first byte ends it"),
    ("F15", "ten thousand idle connections beside a busy one"),
    ("F24", "CR, LF and NUL in names, values and pseudo-fields"),
    ("F26", "archives in archives"),
    ("F31", "a budget of processor time for the rules of an exchange; that they are linear is held"),
    ("F32", "a rule file of 100 MB and a half-written one"),
    ("F33", "ten minutes of it; the case runs seconds"),
    ("F34", "a flood of server names"),
    ("F36", "a clock that jumps"),
    ("F39", "two hundred kills; the case is a torn line and a restart"),
    ("F49", "WebSocket frames"),
    ("F50", "the admin interface: there is none yet"),
    ("F52", "ten thousand interleaved clients with canaries"),
    ("F53", "state of earlier releases: there are none yet"),
    ("F54", "an hour of all of it"),
];

/// Lines that do not hold yet: each is a fault of the product, printed as open. One that holds must be taken off.
const OPEN: &[(&str, &str)] = &[];

/// No case takes longer.
const LONGEST: Duration = Duration::from_secs(120);

/// Cases that run at a time.
const AT_A_TIME: usize = 5;

fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(attacks::cases());
    cases.extend(slow::cases());
    cases.extend(origins::cases());
    cases.extend(bodies::cases());
    cases.extend(held::cases());
    cases.sort_by_key(|case| case.id);
    cases
}

/// `PORTWARD_FAULTS=F17,F22` runs these alone, for working on them.
fn chosen(id: &str) -> bool {
    std::env::var("PORTWARD_FAULTS").map_or(true, |ids| ids.split(',').any(|wanted| wanted == id))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_faults_are_survived_from_the_first_to_the_last() {
    let started = Instant::now();
    let mut lines: Vec<(Case, Seen, f64)> = stream::iter(all().into_iter().filter(|case| chosen(case.id)))
        .map(async |case| {
            let began = Instant::now();
            // A case that panics is a line of the table as well, so that one run shows all that is wrong.
            let run = tokio::time::timeout(LONGEST, AssertUnwindSafe((case.run)()).catch_unwind());
            let seen = match run.await {
                Ok(Ok(seen)) => seen,
                Ok(Err(panic)) => {
                    let text = panic.downcast_ref::<String>().cloned();
                    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
                    format!("PANIC {}", text.unwrap_or_else(|| "without a text".to_owned())).into()
                }
                Err(_) => format!("nothing after {LONGEST:?}").into(),
            };
            let seconds = began.elapsed().as_secs_f64();
            if seen.told != case.expected {
                eprintln!("{} {}: {} {seconds:.1} s", case.id, case.what, seen.told);
            }
            (case, seen, seconds)
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    lines.sort_by_key(|(case, ..)| case.id);
    let mut failed = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    println!("{:<4} {:<4} {:<78} {:<40} {:>5} seen", "", "case", "fault", "expected", "s");
    for (case, seen, seconds) in &lines {
        *counts.entry(case.id).or_default() += 1;
        let good = seen.told == case.expected;
        let is_open = OPEN.contains(&(case.id, case.what.as_str()));
        let mark = match (good, is_open) {
            (true, _) => "ok",
            (false, true) => "OPEN",
            (false, false) => "FAIL",
        };
        let Seen { told, figures } = seen;
        let told = if good { "as expected" } else { told };
        println!(
            "{mark:<4} {:<4} {:<78} {:<40} {seconds:>5.1} {told} {figures}",
            case.id, case.what, case.expected
        );
        let declared = DECLARED.iter().any(|(id, _)| *id == case.id);
        if good && is_open {
            failed.push(format!("{} {} is listed as open and holds", case.id, case.what));
        }
        if !good && !declared && !is_open {
            failed.push(format!("{} {}: expected {}, seen {}", case.id, case.what, case.expected, seen.told));
        }
    }
    for (id, why) in DECLARED {
        println!("{id} is declared: {why}");
    }
    for (id, what) in NOT_YET {
        println!("{id} is not yet held: {what}");
    }
    let open: BTreeSet<&str> = NOT_YET.iter().map(|(id, _)| *id).collect();
    let whole = counts.keys().filter(|id| !open.contains(*id)).count();
    println!(
        "{whole} of 54 faults are held whole, {} in part or not at all yet; {} lines, {} failed, {:.0} s",
        open.len(),
        lines.len(),
        failed.len(),
        started.elapsed().as_secs_f64()
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(DECLARED.len() <= 3);
    if std::env::var_os("PORTWARD_FAULTS").is_none() {
        let missing: Vec<String> = (1..=54)
            .map(|n| format!("F{n:02}"))
            .filter(|id| !counts.contains_key(id.as_str()) && !open.contains(id.as_str()))
            .collect();
        assert!(missing.is_empty(), "no case for {missing:?}, and not said to be missing");
    }
}
