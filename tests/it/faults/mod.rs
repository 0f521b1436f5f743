//! What must hold when things go wrong: fifty-four numbered faults, run through the real binary and printed as one
//! table. `tests/run faults --nocapture` is the command. A fault that another test holds already is a line here that
//! names that test; what of a fault nobody holds yet is listed below the table, and counted.

mod archives;
mod attacks;
mod bodies;
mod canaries;
mod clock;
mod crowd;
mod held;
mod kills;
mod names;
mod origins;
mod own;
mod slow;
mod soak;
mod sockets;
mod state;

use std::time::Duration;

use crate::support::table::Table;
pub use crate::support::table::{Case, Measured, Seen};

/// Faults that cannot pass as stated, and why. Three at most.
const DECLARED: &[(&str, &str)] = &[];

/// What of the faults no case holds yet. The table is whole when this is empty.
const NOT_YET: &[(&str, &str)] = &[];

/// Lines that do not hold yet: each is a fault of the product, printed as open. One that holds must be taken off.
const OPEN: &[(&str, &str)] = &[];

/// `PORTWARD_FAULTS=F17,F22` runs these alone, for working on them.
fn table() -> Table {
    // An hour of F54 has its own time.
    let patient = is_long() || std::env::var_os("PORTWARD_SOAK").is_some();
    Table {
        prefix: 'F',
        count: 54,
        at_a_time: 5,
        longest: Duration::from_secs(if patient { 3 * 3600 } else { 300 }),
        variable: "PORTWARD_FAULTS",
        declared: DECLARED,
        open: OPEN,
        not_yet: NOT_YET,
    }
}

/// `PORTWARD_LONG=1` runs the numbers that the faults ask for, where those take minutes.
fn is_long() -> bool {
    std::env::var_os("PORTWARD_LONG").is_some()
}

/// A number for every day, and the one that the fault asks for.
fn size(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(archives::cases());
    cases.extend(attacks::cases());
    cases.extend(slow::cases());
    cases.extend(origins::cases());
    cases.extend(bodies::cases());
    cases.extend(names::cases());
    cases.extend(clock::cases());
    cases.extend(canaries::cases());
    cases.extend(crowd::cases());
    cases.extend(own::cases());
    cases.extend(state::cases());
    cases.extend(kills::cases());
    cases.extend(soak::cases());
    cases.extend(held::cases());
    cases.extend(sockets::cases());
    cases.sort_by_key(|case| case.id);
    cases
}

// Cases block their threads: they wait for programs, compress, and drop what has to end first.
#[tokio::test(flavor = "multi_thread", worker_threads = 16)]
async fn the_faults_are_survived_from_the_first_to_the_last() {
    table().hold(all()).await;
}
