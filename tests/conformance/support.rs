//! What every module of this binary needs: where the public data lies, which differences from it
//! are accepted, and a count of what ran. A run never skips: data that is missing, fewer cases than
//! expected, a difference that nobody wrote down and one that is no longer there are all failures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use crate::data::data;

/// The accepted differences of every kind.
const DIFFERENCES: &str = include_str!("differences.txt");

/// The files of a folder with this ending, by name.
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = listed
        .map(|entry| entry.expect("a folder that opens can be read").path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    files.sort();
    files
}

/// Counts the cases of one kind and holds them against the accepted differences of it.
pub struct Tally {
    kind: &'static str,
    ran: usize,
    /// Identity of a case, and what was different.
    different: BTreeMap<String, String>,
}

impl Tally {
    pub fn new(kind: &'static str) -> Tally {
        Tally { kind, ran: 0, different: BTreeMap::new() }
    }

    /// One case ran. Its identity says what is tested, so that it outlives an update of the data;
    /// it is one line without tabs.
    pub fn case(&mut self, identity: String, outcome: Result<(), String>) {
        self.ran += 1;
        if let Err(difference) = outcome {
            self.different.insert(identity, difference);
        }
    }

    /// Prints what was found and fails unless it is exactly what was expected.
    #[track_caller]
    pub fn finish(self, least: usize) {
        let accepted = accepted(self.kind);
        let found: BTreeSet<&str> = self.different.keys().map(String::as_str).collect();
        let mut wrong = 0;
        for (identity, difference) in &self.different {
            match accepted.get(identity.as_str()) {
                Some(reason) => println!("accepted: {}\t{identity}: {difference} ({reason})", self.kind),
                None => {
                    wrong += 1;
                    println!("DIFFERENT: {}\t{identity}\n    {difference}", self.kind);
                }
            }
        }
        for identity in accepted.keys().filter(|identity| !found.contains(**identity)) {
            wrong += 1;
            println!("STALE: {}\t{identity} is listed as different and is not", self.kind);
        }
        println!("{}: {} cases, {} accepted differences", self.kind, self.ran, accepted.len());
        assert!(self.ran >= least, "{}: {} cases ran, at least {least} were expected", self.kind, self.ran);
        assert_eq!(wrong, 0, "{}: cases differ, or no longer differ, as printed above", self.kind);
    }
}

/// True when this difference stands in `differences.txt`.
pub fn is_accepted(kind: &str, identity: &str) -> bool {
    accepted(kind).contains_key(identity)
}

/// The accepted differences of a kind: identity and reason.
fn accepted(kind: &str) -> BTreeMap<&'static str, &'static str> {
    let mut all = BTreeMap::new();
    for (number, line) in DIFFERENCES.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let [of, identity, reason] = fields[..] else {
            panic!("differences.txt:{}: not three fields with tabs between them", number + 1)
        };
        assert!(!reason.trim().is_empty(), "differences.txt:{}: no reason", number + 1);
        if of == kind {
            assert!(all.insert(identity, reason).is_none(), "differences.txt:{}: listed twice", number + 1);
        }
    }
    all
}
