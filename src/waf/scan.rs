//! A new value meets the program: it goes down the transformation tree once, as far as some
//! leaf that looks at it asks, and wherever the prefilter cannot rule a leaf out the
//! transformed value becomes that leaf's candidate and its rule is woken.
//!
//! A transformation none of whose trigger bytes occur is skipped; `lowercase` is put off until
//! somebody needs the bytes, since literals are found in any case and byte masks can be folded.
//! What the value decodes to goes the same way, for the leaves that asked.

use super::bits;
use super::bytes::ByteSet;
use super::clean;
use super::engine::Program;
use super::prefilter::{Prefilter, Side};
use super::scratch::{Buffer, Candidate, Scratch};

/// Scans the values from number `from` on for the leaves from `first_leaf` on: those of phases
/// that are still to run.
pub(crate) fn scan(program: &Program, scratch: &mut Scratch, from: usize, first_leaf: usize) {
    for number in from..scratch.store.values.len() {
        let value = scratch.store.values[number];
        let interest = &program.interests[value.collection as usize];
        if interest.is_empty {
            continue;
        }
        // What a value decodes to is scanned with it.
        if value.origin.is_some() {
            continue;
        }
        let (key, bytes) = (scratch.store.get(value.key), scratch.store.get(value.value));
        // Bodies hardly ever come twice, and what rules ask of them depends on how they were read.
        let repeats = Side::of(value.collection) != Side::RequestBody;
        let clean = program.clean.as_ref().filter(|_| repeats && key.len() + bytes.len() <= clean::LONGEST);
        let name = clean.map(|clean| clean.name(value.collection as u8, first_leaf, key, bytes));
        if let (Some(clean), Some(name)) = (clean, name)
            && clean.knows(name)
        {
            continue;
        }
        if scratch.meter.is_spent() {
            return;
        }
        let known = scratch.candidates.len();
        family(program, scratch, number as u32, first_leaf);
        if let (Some(clean), Some(name)) = (clean, name) {
            keep_matching(program, scratch, known);
            // What was not looked at to its end is not known to be clean.
            if scratch.meter.is_spent() {
                return;
            }
            // What was not decoded for want of room is not known to be clean.
            if scratch.candidates.len() == known && !scratch.store.limits.candidates {
                clean.learn(name);
            }
        }
        for at in known..scratch.candidates.len() {
            let leaf = &program.leaves[scratch.candidates[at].leaf as usize];
            if leaf.wakes {
                bits::insert(&mut scratch.awake, leaf.rule);
            }
        }
    }
}

/// Scans a value, and what it decodes to for the leaves that asked.
fn family(program: &Program, scratch: &mut Scratch, number: u32, first_leaf: usize) {
    let value = scratch.store.values[number as usize];
    let key = scratch.store.get(value.key);
    let interest = &program.interests[value.collection as usize];
    interest.leaves(key, &mut scratch.applicable, &mut scratch.removed);
    drop_below(&mut scratch.applicable, first_leaf);
    // What is in no body is remembered, whatever the body of its exchange was like.
    if Side::of(value.collection) == Side::RequestBody {
        for (word, unwanted) in scratch.applicable.iter_mut().zip(&scratch.unwanted) {
            *word &= !unwanted;
        }
    }
    let decoding = bits::intersects(&scratch.applicable, &program.sifting.decoding.words);
    program.sifting.sift(&scratch.store, &value, &mut scratch.applicable);
    if scratch.applicable.iter().any(|word| *word != 0) {
        if scratch.buffers.is_empty() {
            scratch.buffers.push(Buffer::default());
        }
        scratch.buffers[0].original = Some(value.value);
        let filters = &program.prefilters[Side::of(value.collection) as usize];
        let mut walk = Walk { program, filters, scratch, value: number, used: 1 };
        walk.start(0, 0);
        walk.node(0, At { buffer: 0, folded: false });
    }
    if decoding {
        for child in program.sifting.candidates(scratch, number) {
            family(program, scratch, child, first_leaf);
        }
    }
}

/// Drops the candidates from number `from` on that their operators do not match. A short value
/// is worth asking about at once, for the answer can be remembered.
fn keep_matching(program: &Program, scratch: &mut Scratch, from: usize) {
    let mut kept = from;
    for at in from..scratch.candidates.len() {
        let candidate = scratch.candidates[at];
        let leaf = &program.leaves[candidate.leaf as usize];
        scratch.spend(candidate.span.len());
        if scratch.meter.is_spent() {
            return;
        }
        if leaf.operator.evaluate(scratch.store.get(candidate.span)).is_some() != leaf.negate {
            scratch.candidates[kept] = candidate;
            kept += 1;
        }
    }
    scratch.candidates.truncate(kept);
}

fn drop_below(words: &mut [u64], bit: usize) {
    for (index, word) in words.iter_mut().enumerate().take(bit / 64 + 1) {
        *word &= if index < bit / 64 { 0 } else { u64::MAX << (bit % 64) };
    }
}

/// Where the value of a node lies: in a buffer, and perhaps its lower case is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
struct At {
    buffer: usize,
    folded: bool,
}

struct Walk<'a> {
    program: &'a Program,
    /// By node.
    filters: &'a [Prefilter],
    scratch: &'a mut Scratch,
    value: u32,
    /// Buffers in use; a node's buffers are free again when its subtree is done.
    used: usize,
}

impl Walk<'_> {
    fn node(&mut self, index: usize, above: At) {
        let node = &self.program.pipelines.nodes[index];
        if self.scratch.meter.is_spent() {
            return;
        }
        if !bits::intersects(&node.subtree.words, &self.scratch.applicable) {
            return;
        }
        let used = self.used;
        let present = self.scratch.buffers[above.buffer].present;
        if !node.demand.intersects(&present.union(present.lowercased())) && !node.demand.is_full() {
            return;
        }
        let at = match node.step {
            None => above,
            Some(step) => {
                let present = self.present(above);
                if !step.transformation.may_change(&present) {
                    above
                } else if step.folds {
                    At { buffer: above.buffer, folded: true }
                } else {
                    self.apply(index, step.transformation.apply, above)
                }
            }
        };
        // Below, the value changes no more but for its case, and no leaf there has a hit on it.
        let present = self.scratch.buffers[at.buffer].present;
        if !node.triggers.is_full()
            && !node.triggers.intersects(&present.union(present.lowercased()))
            && !self.hits(&node.subtree.words, at.buffer)
        {
            self.used = used;
            return;
        }
        self.wake(&node.leaves.words, at);
        if index == 0 || at != above {
            self.wake(&node.passing.words, at);
        }
        for &child in &node.children {
            self.node(child, at);
        }
        self.used = used;
    }

    /// Fills in what is known of the value in a buffer, for the leaves below the node.
    fn start(&mut self, buffer: usize, node: usize) {
        let Scratch { buffers, store, applicable, work, meter, .. } = &mut *self.scratch;
        let Buffer { bytes, original, present, hits, kept } = &mut buffers[buffer];
        let value = original.map_or(&bytes[..], |span| store.get(span));
        *work += value.len() as u64;
        meter.take(value.len());
        *present = ByteSet::present_in(value);
        self.filters[node].hits(value, present, applicable, hits);
        *kept = [None, None];
    }

    /// True when one of these leaves may match the buffer's value.
    fn hits(&self, leaves: &[u64], buffer: usize) -> bool {
        let hits = &self.scratch.buffers[buffer].hits;
        leaves
            .iter()
            .zip(&self.scratch.applicable)
            .zip(hits)
            .any(|((one, two), three)| one & two & three != 0)
    }

    fn present(&self, at: At) -> ByteSet {
        let present = self.scratch.buffers[at.buffer].present;
        if at.folded { present.lowercased() } else { present }
    }

    /// The transformed value in a new buffer, or the old one when nothing changed.
    fn apply(&mut self, node: usize, apply: fn(&[u8], &mut Vec<u8>) -> bool, above: At) -> At {
        if self.used == self.scratch.buffers.len() {
            self.scratch.buffers.push(Buffer::default());
        }
        self.scratch.spend(self.bytes(above.buffer).len());
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
        buffer.original = None;
        if !changed {
            return above;
        }
        self.start(self.used, node);
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

    /// Makes candidates for those of the leaves that the prefilter lets through.
    fn wake(&mut self, leaves: &[u64], at: At) {
        for (index, leaves) in leaves.iter().enumerate() {
            let mut fired =
                leaves & self.scratch.applicable[index] & self.scratch.buffers[at.buffer].hits[index];
            while fired != 0 {
                let leaf = index * 64 + fired.trailing_zeros() as usize;
                fired &= fired - 1;
                self.candidate(leaf, at);
            }
        }
    }

    fn candidate(&mut self, leaf: usize, at: At) {
        let plain = &self.program.leaves[leaf];
        let side = usize::from(at.folded);
        let filtered = !self.filters[0].always.contains(leaf);
        if filtered && !plain.need.admits(self.bytes(at.buffer).len(), &self.present(at)) {
            return;
        }
        let buffer = &mut self.scratch.buffers[at.buffer];
        let span = match (buffer.kept[side], buffer.original) {
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
        self.scratch.buffers[at.buffer].kept[side] = Some(span);
        self.scratch.candidates.push(Candidate {
            leaf: leaf as u32,
            root: self.scratch.store.root(self.value),
            value: self.value,
            span,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_of_earlier_phases_are_dropped() {
        let mut words = [u64::MAX; 3];
        drop_below(&mut words, 70);
        assert_eq!(words, [0, u64::MAX << 6, u64::MAX]);
        drop_below(&mut words, 0);
        assert_eq!(words, [0, u64::MAX << 6, u64::MAX]);
    }
}
