//! Which leaves look at a value, told by its collection and key.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use smallvec::SmallVec;

use super::bits::Bits;
use super::rule::Leaf;
use super::variable::Collection;
use super::variable::target::{Role, Selector, Target};

/// The leaves that look at one collection.
#[derive(Debug)]
pub(crate) struct Interest {
    /// Leaves that look at every key, apart from the exceptions in `keyed`.
    all: Bits,
    /// By key in lower case: leaves that look at this key only, and leaves that leave it out.
    keyed: HashMap<Box<[u8]>, Keyed, BuildHasherDefault<Fnv>>,
    /// Leaves that have to be asked, for their targets have patterns.
    asked: Vec<usize>,
    /// All of them.
    pub any: Bits,
}

#[derive(Debug)]
struct Keyed {
    add: Bits,
    remove: Bits,
}

impl Interest {
    pub fn build(collection: Collection, leaves: &[Leaf]) -> Interest {
        let none = || Bits::none(leaves.len());
        let mut interest =
            Interest { all: none(), keyed: HashMap::default(), asked: Vec::new(), any: none() };
        for (index, leaf) in leaves.iter().enumerate() {
            let of = |role: Role| {
                move |target: &&Target| target.role == role && target.collections().contains(&collection)
            };
            if !leaf.targets.iter().any(|target| of(Role::Include)(&target)) {
                continue;
            }
            interest.any.insert(index);
            let mut relevant = leaf.targets.iter().filter(|t| of(Role::Include)(t) || of(Role::Exclude)(t));
            let whole_out = |t: &Target| t.role == Role::Exclude && whole(t);
            if relevant.clone().any(whole_out) {
                continue;
            }
            if relevant.any(|target| matches!(target.selector, Selector::Pattern(_))) {
                interest.asked.push(index);
                continue;
            }
            if leaf.targets.iter().filter(of(Role::Include)).any(whole) {
                interest.all.insert(index);
            }
            for target in leaf.targets.iter().filter(|t| of(Role::Include)(t) || of(Role::Exclude)(t)) {
                if let Selector::Key(key) = &target.selector
                    && !whole(target)
                {
                    let keyed = interest
                        .keyed
                        .entry(key.as_slice().into())
                        .or_insert_with(|| Keyed { add: none(), remove: none() });
                    if target.role == Role::Include { &mut keyed.add } else { &mut keyed.remove }
                        .insert(index);
                }
            }
        }
        interest
    }

    /// Writes the leaves that look at the value under this key.
    pub fn leaves(&self, all: &[Leaf], collection: Collection, key: &[u8], out: &mut Vec<u64>) {
        out.clear();
        out.extend_from_slice(&self.all.words);
        if !self.keyed.is_empty() && !key.is_empty() {
            let mut lower: SmallVec<[u8; 64]> = SmallVec::from_slice(key);
            lower.make_ascii_lowercase();
            if let Some(keyed) = self.keyed.get(&lower[..]) {
                for ((word, add), remove) in out.iter_mut().zip(&keyed.add.words).zip(&keyed.remove.words) {
                    *word = (*word | add) & !remove;
                }
            }
        }
        for &index in &self.asked {
            if takes(&all[index].targets, collection, key) {
                super::bits::insert(out, index);
            }
        }
    }
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
