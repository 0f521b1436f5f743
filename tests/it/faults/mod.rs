//! What must hold when things go wrong: fifty-four numbered faults, run through the real binary and printed as one
//! table. `tests/run faults --nocapture` is the command. A fault that another test holds already is a line here that
//! runs that test; what of a fault nobody holds yet is listed below the table, and counted.

mod attacks;
mod bodies;
mod held;
mod origins;
mod slow;

use std::time::Duration;

use crate::support::table::Table;
pub use crate::support::table::{Case, Seen};

/// Faults that cannot pass as stated, and why. Three at most.
const DECLARED: &[(&str, &str)] = &[];

/// What of the faults no case holds yet. The table is whole when this is empty.
const NOT_YET: &[(&str, &str)] = &[
    ("F11", "a loop of CNAMEs, an answer of 64 KB, a thousand addresses, the cache of failures"),
    ("F13", "a flood of interim answers is dropped, but only the wait for the first byte ends it"),
    ("F15", "ten thousand idle connections beside a busy one"),
    ("F24", "CR, LF and NUL in names, values and pseudo-fields"),
    ("F26", "archives in archives"),
    ("F28", "what cannot be parsed is let through: see the open lines"),
    ("F29", "what is too deep or too wide is let through: see the open lines"),
    ("F30", "arguments beyond a number are not looked at, NUL passes: see the open lines"),
    ("F31", "an expression or a body made to backtrack"),
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
const OPEN: &[(&str, &str)] = &[
    ("F28", "JSON 100,000 deep"),
    ("F28", "JSON with NaN"),
    ("F29", "XML 100,000 deep"),
    ("F29", "XML: 50,000 attributes, an attack in the last"),
    ("F30", "100,000 arguments, an attack in the last"),
    ("F30", "a NUL in an argument"),
];

/// `PORTWARD_FAULTS=F17,F22` runs these alone, for working on them.
const FAULTS: Table = Table {
    prefix: 'F',
    count: 54,
    at_a_time: 5,
    longest: Duration::from_secs(120),
    variable: "PORTWARD_FAULTS",
    declared: DECLARED,
    open: OPEN,
    not_yet: NOT_YET,
};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_faults_are_survived_from_the_first_to_the_last() {
    FAULTS.hold(all()).await;
}
