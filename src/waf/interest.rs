//! Which leaves look at a value, told by its collection and key.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use regex::bytes::Regex;
use smallvec::SmallVec;

use super::bits::Bits;
use super::rule::Leaf;
use super::variable::Collection;
use super::variable::target::{Role, Selector, Target};

/// The leaves that look at one collection. A leaf takes a value when a target takes it in and
/// none takes it out, so each target adds its leaf to one of these sets and a value's leaves
/// are a sum less a sum.
#[derive(Debug)]
pub(crate) struct Interest {
    /// Leaves with a target that takes every key.
    all: Bits,
    /// By key in lower case.
    keyed: HashMap<Box<[u8]>, Change, BuildHasherDefault<Fnv>>,
    /// By pattern, each of them once.
    patterns: Vec<(Regex, Change)>,
    /// The lengths of those keys, 63 standing for all from there on.
    lengths: u64,
    /// All leaves that may look at some value, and whether there are none.
    pub any: Bits,
    pub is_empty: bool,
}

#[derive(Debug)]
struct Change {
    add: Bits,
    remove: Bits,
}

impl Change {
    fn none(leaves: usize) -> Change {
        Change { add: Bits::none(leaves), remove: Bits::none(leaves) }
    }
}

impl Interest {
    pub fn build(collection: Collection, leaves: &[Leaf]) -> Interest {
        let none = || Bits::none(leaves.len());
        let mut interest = Interest {
            all: none(),
            keyed: HashMap::default(),
            patterns: Vec::new(),
            lengths: 0,
            any: none(),
            is_empty: true,
        };
        // A late leaf looks at values when its rule gets to it.
        for (index, leaf) in leaves.iter().enumerate().filter(|(_, leaf)| !leaf.late) {
            let targets: Vec<&Target> = leaf
                .targets
                .iter()
                .filter(|target| target.role != Role::Count && target.collections().contains(&collection))
                .collect();
            let taken_out = targets.iter().any(|target| target.role == Role::Exclude && whole(target));
            if taken_out || targets.iter().all(|target| target.role == Role::Exclude) {
                continue;
            }
            interest.any.insert(index);
            for target in targets {
                let change = match &target.selector {
                    _ if whole(target) => {
                        interest.all.insert(index);
                        continue;
                    }
                    Selector::All => continue,
                    Selector::Key(key) => interest
                        .keyed
                        .entry(key.as_slice().into())
                        .or_insert_with(|| Change::none(leaves.len())),
                    Selector::Pattern(regex) => interest.pattern(regex, leaves.len()),
                };
                if target.role == Role::Include { &mut change.add } else { &mut change.remove }.insert(index);
            }
        }
        interest.lengths = interest.keyed.keys().fold(0, |lengths, key| lengths | length_bit(key));
        interest.is_empty = interest.any.is_empty();
        interest
    }

    fn pattern(&mut self, regex: &Regex, leaves: usize) -> &mut Change {
        let at = match self.patterns.iter().position(|(known, _)| known.as_str() == regex.as_str()) {
            Some(at) => at,
            None => {
                self.patterns.push((regex.clone(), Change::none(leaves)));
                self.patterns.len() - 1
            }
        };
        &mut self.patterns[at].1
    }

    /// Writes the leaves that look at the value under this key.
    pub fn leaves(&self, key: &[u8], out: &mut Vec<u64>, removed: &mut Vec<u64>) {
        out.clear();
        out.extend_from_slice(&self.all.words);
        if self.keyed.is_empty() && self.patterns.is_empty() {
            return;
        }
        removed.clear();
        removed.resize(out.len(), 0);
        let mut apply = |change: &Change| {
            for (word, add) in out.iter_mut().zip(&change.add.words) {
                *word |= add;
            }
            for (word, remove) in removed.iter_mut().zip(&change.remove.words) {
                *word |= remove;
            }
        };
        if self.lengths & length_bit(key) != 0 {
            let mut lower: SmallVec<[u8; 64]> = SmallVec::from_slice(key);
            lower.make_ascii_lowercase();
            if let Some(change) = self.keyed.get(&lower[..]) {
                apply(change);
            }
        }
        for (regex, change) in &self.patterns {
            if regex.is_match(key) {
                apply(change);
            }
        }
        for (word, removed) in out.iter_mut().zip(removed) {
            *word &= !*removed;
        }
    }
}

fn length_bit(key: &[u8]) -> u64 {
    1 << key.len().min(63)
}

/// True when the targets take a value in and nothing takes it out again.
pub(crate) fn takes(targets: &[Target], collection: Collection, key: &[u8]) -> bool {
    let covered =
        |role: Role| targets.iter().any(|target| target.role == role && target.covers(collection, key));
    covered(Role::Include) && !covered(Role::Exclude)
}

/// `xml:/*` is its collection, not a key in it.
fn whole(target: &Target) -> bool {
    matches!(target.selector, Selector::All) || target.variable.keys == super::variable::Keys::Xml
}

/// FNV-1a: keys are short, and a table's keys come from rules, not from clients.
#[derive(Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
