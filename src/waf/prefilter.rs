//! Which leaves can match a value at all. One search looks for the literals of all leaves, one
//! table tells for each byte which leaves want it; what a leaf's operator needs is stated by
//! [`Need`](super::operator::Need) and proven there. `rules cost` prints what each rule got.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::bits::{self, Bits};
use super::bytes::ByteSet;
use super::grams::Grams;
use super::operator;
use super::rule::Leaf;
use super::variable::Collection;

/// The filters for some leaves: those of one side below one node of the
/// transformation tree.
#[derive(Debug)]
pub(crate) struct Prefilter {
    search: Search,
    /// For each literal of the search, the leaves that want it.
    wanted_by: Vec<Vec<u32>>,
    /// Leaves with literals.
    pub literal: Bits,
    /// Leaves that nothing keeps from running.
    pub always: Bits,
    /// Leaves that run when a value has a byte of the set, those with the same set together.
    by_bytes: Vec<(ByteSet, Bits)>,
    /// Bytes with such leaves.
    telling: ByteSet,
    /// The shortest literal.
    shortest: usize,
}

/// Values that the same filters serve. Bodies as they are have their own: they are long, and few
/// leaves look at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    RequestBody,
    Response,
}

impl Side {
    pub const COUNT: usize = Side::Response as usize + 1;

    pub fn of(collection: Collection) -> Side {
        match collection {
            Collection::RequestBody | Collection::FilesTmpContent => Side::RequestBody,
            other if other.is_response() => Side::Response,
            _ => Side::Request,
        }
    }
}

/// How literals are looked for.
#[derive(Debug)]
enum Search {
    Nothing,
    Grams(Grams),
    Automaton(AhoCorasick),
}

/// With more literals than this triples hit too often, and an automaton is faster.
const MOST_GRAMS: usize = 4096;

/// What guards a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    Literals,
    Bytes,
    Nothing,
}

/// A mask of most bytes keeps nothing back.
const WEAK_MASK: u32 = 200;

pub(crate) fn guard(leaf: &Leaf, plain: bool) -> Guard {
    // A negated operator matches what its need is not met by.
    if plain || leaf.negate {
        return Guard::Nothing;
    }
    match &leaf.need.literals {
        Some(literals) if literals.iter().all(|literal| !literal.is_empty()) => Guard::Literals,
        _ if leaf.need.bytes.iter().any(|set| set.len() < WEAK_MASK) => Guard::Bytes,
        _ => Guard::Nothing,
    }
}

impl Prefilter {
    /// For the leaves in `members`; with `plain` nothing is filtered.
    pub fn build(leaves: &[Leaf], members: &Bits, plain: bool) -> Result<Prefilter, String> {
        let mut filter = Prefilter {
            search: Search::Nothing,
            wanted_by: Vec::new(),
            literal: Bits::none(leaves.len()),
            always: Bits::none(leaves.len()),
            by_bytes: Vec::new(),
            telling: ByteSet::EMPTY,
            shortest: 0,
        };
        let mut literals: std::collections::BTreeMap<Vec<u8>, Vec<u32>> = Default::default();
        for (index, leaf) in leaves.iter().enumerate().filter(|(index, _)| members.contains(*index)) {
            match guard(leaf, plain) {
                Guard::Nothing => filter.always.insert(index),
                Guard::Bytes => {
                    let rarest = leaf.need.bytes.iter().min_by_key(|set| operator::commonness(set)).copied();
                    filter.want(rarest.unwrap_or(ByteSet::FULL), index, leaves.len());
                }
                Guard::Literals => {
                    filter.literal.insert(index);
                    for literal in leaf.need.literals.iter().flatten() {
                        let wanted_by = literals.entry(literal.to_ascii_lowercase()).or_default();
                        if wanted_by.last() != Some(&(index as u32)) {
                            wanted_by.push(index as u32);
                        }
                    }
                }
            }
        }
        filter.shortest = literals.keys().map(Vec::len).min().unwrap_or(0);
        filter.search = match literals.len() {
            0 => Search::Nothing,
            1..=MOST_GRAMS => Search::Grams(Grams::new(literals.keys().map(Vec::as_slice))),
            _ => Search::Automaton(
                AhoCorasick::builder()
                    .ascii_case_insensitive(true)
                    .match_kind(MatchKind::Standard)
                    .kind(Some(AhoCorasickKind::ContiguousNFA))
                    .build(literals.keys())
                    .map_err(|error| error.to_string())?,
            ),
        };
        filter.wanted_by = literals.into_values().collect();
        Ok(filter)
    }

    fn want(&mut self, set: ByteSet, leaf: usize, leaves: usize) {
        self.telling = self.telling.union(set);
        let at = match self.by_bytes.iter().position(|(known, _)| *known == set) {
            Some(at) => at,
            None => {
                self.by_bytes.push((set, Bits::none(leaves)));
                self.by_bytes.len() - 1
            }
        };
        self.by_bytes[at].1.insert(leaf);
    }

    /// Writes the leaves that may match the value, in its own case or in lower case. What a leaf
    /// needs beside its first need is left to [`Need::admits`](super::operator::Need::admits).
    pub fn hits(&self, value: &[u8], present: &ByteSet, wanted: &[u64], hits: &mut Vec<u64>) {
        hits.clear();
        hits.extend_from_slice(&self.always.words);
        if value.len() >= self.shortest && bits::intersects(&self.literal.words, wanted) {
            let found = |literal: usize| {
                for leaf in &self.wanted_by[literal] {
                    bits::insert(hits, *leaf as usize);
                }
            };
            match &self.search {
                Search::Nothing => {}
                Search::Grams(grams) => grams.find(value, found),
                Search::Automaton(automaton) => {
                    automaton
                        .find_overlapping_iter(value)
                        .map(|hit| hit.pattern().as_usize())
                        .for_each(found);
                }
            }
        }
        let both = present.union(present.lowercased());
        if self.telling.intersects(&both) {
            for (_, leaves) in self.by_bytes.iter().filter(|(set, _)| set.intersects(&both)) {
                for (word, wanted) in hits.iter_mut().zip(&leaves.words) {
                    *word |= wanted;
                }
            }
        }
    }
}
