//! The TLS bar: sixty numbered cases by which a client behind Portward is never less safe than without it, run
//! through the real binary and printed as one table. `tests/run tls_bar` is the command.

mod authority;
mod certificates;
mod handshake;
pub mod leaves;
mod names;

use std::time::Duration;

pub use crate::support::table::Case;
use crate::support::table::Table;

/// Cases that cannot pass as stated, and why. Three at most.
const DECLARED: &[(&str, &str)] = &[];

/// `PORTWARD_TLS_BAR=T29,T30` runs these alone, for working on them.
const BAR: Table = Table {
    prefix: 'T',
    count: 60,
    at_a_time: 6,
    // Browsers, scanners and thousands of handshakes, on a machine that does much else; longer than any of them may
    // take by itself, which tells more when it is over.
    longest: Duration::from_secs(480),
    variable: "PORTWARD_TLS_BAR",
    declared: DECLARED,
    open: &[],
    not_yet: &[],
};

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

// Cases block their threads: they wait for programs, compress, and drop what has to end first.
#[tokio::test(flavor = "multi_thread", worker_threads = 16)]
async fn the_tls_bar_holds_from_the_first_case_to_the_last() {
    BAR.hold(all()).await;
}
