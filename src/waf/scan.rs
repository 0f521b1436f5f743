//! A new value meets the program: it goes down the transformation tree once, as far as some
//! leaf that looks at it asks, and wherever the prefilter cannot rule a leaf out the
//! transformed value becomes that leaf's candidate and its rule is woken.
//!
//! A transformation none of whose trigger bytes occur is skipped; `lowercase` is put off until
//! somebody needs the bytes, since literals are found in any case and byte masks can be folded.

use super::bits;
use super::bytes::ByteSet;
use super::engine::Program;
use super::scratch::{Buffer, Candidate, Scratch};

/// Scans the values from number `from` on for the leaves from `first_leaf` on: those of phases
/// that are still to run.
pub(crate) fn scan(program: &Program, scratch: &mut Scratch, from: usize, first_leaf: usize) {
    for number in from..scratch.store.values.len() {
        let value = scratch.store.values[number];
        let interest = &program.interests[value.collection as usize];
        if interest.any.is_empty() {
            continue;
        }
        let key = scratch.store.get(value.key);
        interest.leaves(&program.leaves, value.collection, key, &mut scratch.applicable);
        drop_below(&mut scratch.applicable, first_leaf);
        if scratch.applicable.iter().all(|word| *word == 0) {
            continue;
        }
        if scratch.buffers.is_empty() {
            scratch.buffers.push(Buffer::default());
        }
        let present = ByteSet::present_in(scratch.store.get(value.value));
        let root = &mut scratch.buffers[0];
        root.start(present, program.leaves.len());
        root.original = Some(value.value);
        let side = usize::from(value.collection.is_response());
        Walk { program, scratch, side, value: number as u32, used: 1 }
            .node(0, At { buffer: 0, folded: false });
    }
}

fn drop_below(words: &mut [u64], bit: usize) {
    for (index, word) in words.iter_mut().enumerate().take(bit / 64 + 1) {
        *word &= if index < bit / 64 { 0 } else { u64::MAX << (bit % 64) };
    }
}

/// Where the value of a node lies: in a buffer, and perhaps its lower case is meant.
#[derive(Clone, Copy)]
struct At {
    buffer: usize,
    folded: bool,
}

struct Walk<'a> {
    program: &'a Program,
    scratch: &'a mut Scratch,
    side: usize,
    value: u32,
    /// Buffers in use; a node's buffers are free again when its subtree is done.
    used: usize,
}

impl Walk<'_> {
    fn node(&mut self, index: usize, above: At) {
        let node = &self.program.pipelines.nodes[index];
        if !bits::intersects(&node.subtree.words, &self.scratch.applicable) {
            return;
        }
        let used = self.used;
        let at = match node.step {
            None => above,
            Some(step) => {
                let present = self.present(above);
                if !step.transformation.may_change(&present) {
                    above
                } else if step.folds {
                    At { buffer: above.buffer, folded: true }
                } else {
                    self.apply(step.transformation.apply, above)
                }
            }
        };
        if bits::intersects(&node.leaves.words, &self.scratch.applicable) {
            self.wake(&node.leaves.words, at);
        }
        for &child in &node.children {
            self.node(child, at);
        }
        self.used = used;
    }

    fn present(&self, at: At) -> ByteSet {
        let present = self.scratch.buffers[at.buffer].present;
        if at.folded { fold(present) } else { present }
    }

    /// The transformed value in a new buffer, or the old one when nothing changed.
    fn apply(&mut self, apply: fn(&[u8], &mut Vec<u8>) -> bool, above: At) -> At {
        if self.used == self.scratch.buffers.len() {
            self.scratch.buffers.push(Buffer::default());
        }
        let mut out = std::mem::take(&mut self.scratch.buffers[self.used].bytes);
        let changed = if above.folded {
            let mut lower = std::mem::take(&mut self.scratch.temporary[0]);
            lower.clear();
            lower.extend_from_slice(self.bytes(above.buffer));
            lower.make_ascii_lowercase();
            let changed = apply(&lower, &mut out);
            self.scratch.temporary[0] = lower;
            changed
        } else {
            apply(self.bytes(above.buffer), &mut out)
        };
        let buffer = &mut self.scratch.buffers[self.used];
        buffer.bytes = out;
        if !changed {
            return above;
        }
        let present = ByteSet::present_in(&buffer.bytes);
        buffer.start(present, self.program.leaves.len());
        self.used += 1;
        At { buffer: self.used - 1, folded: false }
    }

    fn bytes(&self, buffer: usize) -> &[u8] {
        let buffer = &self.scratch.buffers[buffer];
        match buffer.original {
            Some(span) => self.scratch.store.get(span),
            None => &buffer.bytes,
        }
    }

    /// Makes candidates for the leaves of a node that the prefilter lets through.
    fn wake(&mut self, leaves: &[u64], at: At) {
        let program = self.program;
        let filter = &program.prefilters[self.side];
        let present = self.present(at);
        let side = usize::from(at.folded);
        if !self.scratch.buffers[at.buffer].literals_known
            && leaves
                .iter()
                .zip(&filter.literal.words)
                .zip(&self.scratch.applicable)
                .any(|((a, b), c)| a & b & c != 0)
        {
            let mut hits = std::mem::take(&mut self.scratch.buffers[at.buffer].literal_hits);
            filter.literals(self.bytes(at.buffer), &mut hits);
            let buffer = &mut self.scratch.buffers[at.buffer];
            buffer.literal_hits = hits;
            buffer.literals_known = true;
        }
        let buffer = &mut self.scratch.buffers[at.buffer];
        if !buffer.sides[side].known {
            filter.bytes(&present, &mut buffer.sides[side].byte_hits);
            buffer.sides[side].known = true;
        }
        for (index, leaves) in leaves.iter().enumerate() {
            let buffer = &self.scratch.buffers[at.buffer];
            let mut fired = leaves
                & self.scratch.applicable[index]
                & (filter.always.words[index]
                    | buffer.literal_hits[index]
                    | buffer.sides[side].byte_hits[index]);
            while fired != 0 {
                let leaf = index * 64 + fired.trailing_zeros() as usize;
                fired &= fired - 1;
                self.candidate(leaf, at, &present);
            }
        }
    }

    fn candidate(&mut self, leaf: usize, at: At, present: &ByteSet) {
        let program = self.program;
        let plain = &program.leaves[leaf];
        let side = usize::from(at.folded);
        let filtered = !program.prefilters[self.side].always.contains(leaf);
        if filtered && !plain.need.admits(self.bytes(at.buffer).len(), present) {
            return;
        }
        let buffer = &mut self.scratch.buffers[at.buffer];
        let span = match (buffer.sides[side].kept, buffer.original) {
            (Some(kept), _) => kept,
            (None, Some(original)) if !at.folded => original,
            (None, original) => {
                let store = &mut self.scratch.store;
                let start = store.bytes.len();
                match original {
                    Some(span) => store.bytes.extend_from_within(span.start..span.end),
                    None => store.bytes.extend_from_slice(&buffer.bytes),
                }
                if at.folded {
                    store.bytes[start..].make_ascii_lowercase();
                }
                super::variable::store::Span { start, end: store.bytes.len() }
            }
        };
        self.scratch.buffers[at.buffer].sides[side].kept = Some(span);
        self.scratch.candidates.push(Candidate { leaf: leaf as u32, value: self.value, span });
        if plain.wakes {
            bits::insert(&mut self.scratch.awake, plain.rule);
        }
    }
}

impl Buffer {
    fn start(&mut self, present: ByteSet, leaves: usize) {
        let words = leaves.div_ceil(64);
        let reset = |hits: &mut Vec<u64>| {
            hits.clear();
            hits.resize(words, 0);
        };
        self.original = None;
        self.present = present;
        reset(&mut self.literal_hits);
        self.literals_known = false;
        for side in &mut self.sides {
            reset(&mut side.byte_hits);
            side.known = false;
            side.kept = None;
        }
    }
}

const UPPER: ByteSet = ByteSet::range(b'A', b'Z');

/// The bytes that are present once a value is in lower case.
fn fold(present: ByteSet) -> ByteSet {
    if !present.intersects(&UPPER) {
        return present;
    }
    let mut folded = present.complement().union(UPPER).complement();
    for upper in b'A'..=b'Z' {
        if present.contains(upper) {
            folded.insert(upper.to_ascii_lowercase());
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_a_set_is_the_set_of_the_folded_value() {
        for value in [&b"Hello, World 42"[..], b"", b"abc", b"ABC", b"\xc3\x84Z"] {
            let lower = value.to_ascii_lowercase();
            assert_eq!(fold(ByteSet::present_in(value)), ByteSet::present_in(&lower));
        }
    }

    #[test]
    fn leaves_of_earlier_phases_are_dropped() {
        let mut words = [u64::MAX; 3];
        drop_below(&mut words, 70);
        assert_eq!(words, [0, u64::MAX << 6, u64::MAX]);
        drop_below(&mut words, 0);
        assert_eq!(words, [0, u64::MAX << 6, u64::MAX]);
    }
}
