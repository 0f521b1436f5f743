//! Which of the leaves that are interested in a value look at it: those that do without values of
//! its kind do not, and what a value decodes to is looked at by those that asked for it.

use super::bits::{self, Bits};
use super::decode::{self, Decode, Encoding, Encodings, Origin};
use super::rule::Leaf;
use super::scratch::Scratch;
use super::variable::Collection;
use super::variable::kind::{Kind, Kinds};
use super::variable::store::{Store, Value};

/// Candidates of one exchange: their number, and their bytes.
const MOST: usize = 4096;
const BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Sifting {
    /// By kind: the leaves that do without it.
    skips: [Bits; Kind::ALL.len()],
    skipping: Bits,
    /// The leaves that want candidates, by what they want.
    wants: Vec<(Decode, Bits)>,
    pub decoding: Bits,
    /// All that any leaf wants.
    reach: Decode,
}

impl Sifting {
    pub fn build(leaves: &[Leaf]) -> Sifting {
        let none = || Bits::none(leaves.len());
        let mut sifting = Sifting {
            skips: std::array::from_fn(|_| none()),
            skipping: none(),
            wants: Vec::new(),
            decoding: none(),
            reach: Decode::default(),
        };
        for (index, leaf) in leaves.iter().enumerate() {
            for kind in Kind::ALL.into_iter().filter(|kind| leaf.skip.contains(*kind)) {
                sifting.skips[kind as usize].insert(index);
                sifting.skipping.insert(index);
            }
            if leaf.decode.depth == 0 {
                continue;
            }
            sifting.decoding.insert(index);
            sifting.reach = sifting.reach.union(leaf.decode);
            match sifting.wants.iter_mut().find(|(decode, _)| *decode == leaf.decode) {
                Some((_, leaves)) => leaves.insert(index),
                None => {
                    let mut leaves = none();
                    leaves.insert(index);
                    sifting.wants.push((leaf.decode, leaves));
                }
            }
        }
        sifting
    }

    /// Takes out the leaves that do not look at such a value.
    pub fn sift(&self, store: &Store, value: &Value, leaves: &mut [u64]) {
        if let Some(origin) = value.origin {
            for (at, word) in leaves.iter_mut().enumerate() {
                let wanted =
                    self.wants.iter().filter(|(decode, _)| decode.takes(origin.depth, origin.layers));
                *word &= wanted.fold(0, |all, (_, leaves)| all | leaves.words[at]);
            }
        }
        if !bits::intersects(leaves, &self.skipping.words) {
            return;
        }
        let kinds = Kinds::of(store.get(value.value));
        for kind in Kind::ALL.into_iter().filter(|kind| kinds.contains(*kind)) {
            for (word, skip) in leaves.iter_mut().zip(&self.skips[kind as usize].words) {
                *word &= !skip;
            }
        }
    }

    /// The numbers of what a value decodes to by one layer; made when they are first asked for.
    pub fn candidates(&self, scratch: &mut Scratch, number: u32) -> std::ops::Range<u32> {
        let Scratch { store, temporary, work, .. } = scratch;
        let value = store.values[number as usize];
        if let Some(children) = value.children {
            return children.0..children.1;
        }
        let first = store.values.len() as u32;
        let wanted = self.below(value.origin);
        if wanted != Encodings::NONE {
            *work += value.value.len() as u64;
            store.limits.long_values |= value.value.len() > decode::LONGEST;
            let is_path = value.origin.is_none() && is_path(value.collection);
            let [room, pieces] = temporary;
            pieces.clear();
            let mut ends: smallvec::SmallVec<[(Encoding, usize); 4]> = Default::default();
            let bytes = store.get(value.value);
            decode::candidates(bytes, is_path, wanted, room, |encoding, piece| {
                pieces.extend_from_slice(piece);
                ends.push((encoding, pieces.len()));
            });
            let mut start = 0;
            for (encoding, end) in ends {
                if store.decoded >= MOST || store.decoded_bytes + (end - start) > BYTES {
                    store.limits.candidates = true;
                    break;
                }
                if let Some(origin) = Origin::below(value.origin, number, encoding, self.reach) {
                    let span = store.keep(&pieces[start..end]);
                    store.add_decoded(value.collection, value.key, span, origin);
                }
                start = end;
            }
        }
        let children = first..store.values.len() as u32;
        store.values[number as usize].children = Some((children.start, children.end));
        children
    }

    /// The encodings that a further layer below such a value may have.
    fn below(&self, above: Option<Origin>) -> Encodings {
        let all = self.reach.encodings;
        match above {
            _ if self.reach.depth == 0 => Encodings::NONE,
            Some(above) if above.steps >= decode::MOST_LAYERS => Encodings::NONE,
            Some(above) if above.depth >= self.reach.depth => {
                // Only one that does not count.
                let again = Origin::below(Some(above), above.from, above.encoding, self.reach);
                again.map_or(Encodings::NONE, |_| Encodings::NONE.with(above.encoding))
            }
            _ => all,
        }
    }

    /// Adds the number of a value and those of its candidates that the leaf looks at.
    pub fn family(&self, scratch: &mut Scratch, leaf: &Leaf, number: u32, out: &mut Vec<u32>) {
        let value = scratch.store.values[number as usize];
        let wanted = value.origin.is_none_or(|origin| leaf.decode.takes(origin.depth, origin.layers));
        if wanted && !self.skips(leaf, &scratch.store, &value) {
            out.push(number);
        }
        // As deep as any leaf goes, so that numbers are given in the same order whoever asks first.
        if leaf.decode.depth > 0 {
            for child in self.candidates(scratch, number) {
                self.family(scratch, leaf, child, out);
            }
        }
    }

    fn skips(&self, leaf: &Leaf, store: &Store, value: &Value) -> bool {
        !leaf.skip.is_empty() && Kinds::of(store.get(value.value)).intersects(leaf.skip)
    }
}

/// Its parts between slashes are values of their own.
fn is_path(collection: Collection) -> bool {
    matches!(
        collection,
        Collection::RequestFilename
            | Collection::RequestUri
            | Collection::RequestUriRaw
            | Collection::RequestLine
    )
}
