//! Values that were seen before and matched nothing. Most of what a client sends repeats from
//! request to request: its headers, its cookies. Whether a value matches a leaf depends on
//! nothing but the collection, the key and the bytes, so a value found clean stays clean for as
//! long as its engine lives.
//!
//! A table holds keyed 64-bit hashes, never values: nothing secret stays in memory. The key is
//! random per engine, so nobody outside can look for a value that is taken for another, and by
//! chance it happens once in 2^64 values.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Longer values are rarely seen twice, and hashing them would cost what it saves.
pub(crate) const LONGEST: usize = 1024;

/// Slots per thread, a power of two: 128 KiB.
const SLOTS: usize = 16 * 1024;

thread_local! {
    static SEEN: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// An engine's way to hash.
#[derive(Debug, Default)]
pub(crate) struct Clean {
    keys: RandomState,
}

impl Clean {
    /// What stands for a value in a collection under a key. 0 stands for an empty slot.
    pub fn name(&self, collection: u8, first_leaf: usize, key: &[u8], value: &[u8]) -> u64 {
        let mut hasher = self.keys.build_hasher();
        // The lengths keep key and value apart.
        let head = (first_leaf as u64) << 40 | (key.len() as u64) << 8 | u64::from(collection);
        hasher.write_u64(head);
        hasher.write(key);
        hasher.write(value);
        hasher.finish().max(1)
    }

    pub fn knows(&self, name: u64) -> bool {
        SEEN.with_borrow(|seen| seen.get(slot(name)) == Some(&name))
    }

    pub fn learn(&self, name: u64) {
        SEEN.with_borrow_mut(|seen| {
            if seen.is_empty() {
                seen.resize(SLOTS, 0);
            }
            seen[slot(name)] = name;
        });
    }
}

fn slot(name: u64) -> usize {
    (name % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_apart_what_differs() {
        let clean = Clean::default();
        let names = [
            clean.name(1, 0, b"a", b"bc"),
            clean.name(1, 0, b"ab", b"c"),
            clean.name(2, 0, b"a", b"bc"),
            clean.name(1, 7, b"a", b"bc"),
            Clean::default().name(1, 0, b"a", b"bc"),
        ];
        clean.learn(names[0]);
        assert!(clean.knows(names[0]));
        for name in &names[1..] {
            assert!(!clean.knows(*name));
        }
        assert_eq!(clean.name(1, 0, b"a", b"bc"), names[0]);
    }
}
