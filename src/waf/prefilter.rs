//! Which leaves can match a value at all. One automaton holds the literals of all leaves, one
//! table tells for each byte which leaves want it; what a leaf's operator needs is stated by
//! [`Need`](super::operator::Need) and proven there. `rules cost` prints what each rule got.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::bits::{self, Bits};
use super::bytes::ByteSet;
use super::rule::Leaf;

/// The filters for the leaves of one side, request or response.
#[derive(Debug)]
pub(crate) struct Prefilter {
    automaton: Option<AhoCorasick>,
    /// For each literal of the automaton, the leaves that want it.
    wanted_by: Vec<Vec<u32>>,
    /// Leaves with literals.
    pub literal: Bits,
    /// Leaves that nothing keeps from running.
    pub always: Bits,
    /// For each byte, the leaves that run when a value has it.
    by_byte: Vec<Bits>,
    /// Bytes with such leaves.
    telling: ByteSet,
    telling_bytes: Vec<u8>,
    /// The shortest literal.
    shortest: usize,
}

/// A full table costs about 60 entries of 4 bytes per state, so this bounds a DFA to a few MiB;
/// larger sets take the compact automaton, which is 5 to 15 percent slower.
const DFA_LITERAL_BYTES: usize = 8 * 1024;

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
            automaton: None,
            wanted_by: Vec::new(),
            literal: Bits::none(leaves.len()),
            always: Bits::none(leaves.len()),
            by_byte: vec![Bits::none(leaves.len()); 256],
            telling: ByteSet::EMPTY,
            telling_bytes: Vec::new(),
            shortest: 0,
        };
        let mut literals: std::collections::BTreeMap<Vec<u8>, Vec<u32>> = Default::default();
        for (index, leaf) in leaves.iter().enumerate().filter(|(index, _)| members.contains(*index)) {
            match guard(leaf, plain) {
                Guard::Nothing => filter.always.insert(index),
                Guard::Bytes => {
                    let rarest = leaf.need.bytes.iter().min_by_key(|set| set.len()).copied();
                    for byte in rarest.unwrap_or(ByteSet::FULL).iter() {
                        filter.by_byte[usize::from(byte)].insert(index);
                        filter.telling.insert(byte);
                    }
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
        filter.telling_bytes = filter.telling.iter().collect();
        filter.shortest = literals.keys().map(Vec::len).min().unwrap_or(0);
        if !literals.is_empty() {
            let bytes: usize = literals.keys().map(Vec::len).sum();
            let kind = if bytes <= DFA_LITERAL_BYTES {
                AhoCorasickKind::DFA
            } else {
                AhoCorasickKind::ContiguousNFA
            };
            let automaton = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .kind(Some(kind))
                .build(literals.keys())
                .map_err(|error| error.to_string())?;
            filter.automaton = Some(automaton);
            filter.wanted_by = literals.into_values().collect();
        }
        Ok(filter)
    }

    /// Writes the leaves that may match the value, in its own case or in lower case. What a leaf
    /// needs beside its first need is left to [`Need::admits`](super::operator::Need::admits).
    pub fn hits(&self, value: &[u8], present: &ByteSet, wanted: &[u64], hits: &mut Vec<u64>) {
        hits.clear();
        hits.extend_from_slice(&self.always.words);
        if let Some(automaton) = &self.automaton
            && value.len() >= self.shortest
            && bits::intersects(&self.literal.words, wanted)
        {
            for found in automaton.find_overlapping_iter(value) {
                for leaf in &self.wanted_by[found.pattern().as_usize()] {
                    bits::insert(hits, *leaf as usize);
                }
            }
        }
        let both = present.union(present.lowercased());
        if self.telling.intersects(&both) {
            for byte in self.telling_bytes.iter().filter(|byte| both.contains(**byte)) {
                for (word, wanted) in hits.iter_mut().zip(&self.by_byte[usize::from(*byte)].words) {
                    *word |= wanted;
                }
            }
        }
    }
}
