//! Values that were seen before and matched nothing. Most of what a client sends repeats from
//! request to request: its headers, its cookies. Whether a value matches a leaf depends on
//! nothing but the collection, the key and the bytes, so a value found clean stays clean for as
//! long as its engine lives.
//!
//! A table holds keyed 64-bit hashes, never values: nothing secret stays in memory. The keys are
//! random per engine, so nobody outside can look for a value that is taken for another, and by
//! chance it happens once in 2^63 values.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

/// Longer values are rarely seen twice, and hashing them would cost what it saves.
pub(crate) const LONGEST: usize = 1024;

/// Slots per thread, a power of two: 128 KiB.
const SLOTS: usize = 16 * 1024;

thread_local! {
    static SEEN: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Values go in by 16 bytes: lengths and collection, the key, the value. At most 67 of them.
const BLOCKS: usize = (LONGEST / 16 + 3).next_power_of_two();

/// An engine's way to hash: NH, as UMAC has it (RFC 4418 section 5.2), folded by multiplication
/// and shift. Two values have the same name with a chance of at most 2^-63 over the keys, however
/// they were chosen, for nothing that anybody outside sees tells of the keys. It takes one
/// multiplication per 16 bytes, which matters: every value of every exchange is hashed.
#[derive(Debug)]
pub(crate) struct Clean {
    keys: Box<[[u64; 2]; BLOCKS]>,
    fold: [u128; 3],
}

impl Default for Clean {
    fn default() -> Clean {
        let (random, mut count) = (RandomState::new(), 0u64);
        let mut next = || {
            count += 1;
            random.hash_one(count)
        };
        let mut keys = Box::new([[0; 2]; BLOCKS]);
        keys.iter_mut().flatten().for_each(|key| *key = next());
        Clean { keys, fold: [(); 3].map(|()| u128::from(next()) << 64 | u128::from(next())) }
    }
}

impl Clean {
    /// What stands for a value in a collection under a key, both together not longer than
    /// [`LONGEST`]. 0 stands for an empty slot.
    pub fn name(&self, collection: u8, first_leaf: usize, key: &[u8], value: &[u8]) -> u64 {
        // The lengths keep key and value apart, and tell the padding from bytes.
        let head = (first_leaf as u64) << 32
            | (key.len() as u64) << 20
            | (value.len() as u64) << 8
            | u64::from(collection);
        let mut next = 0;
        let mut sum = 0u128;
        let mut add = |one: u64, two: u64| {
            // A power of two above what the longest value takes: the mask never bites.
            let [first, second] = self.keys[next % BLOCKS];
            next += 1;
            let product = u128::from(one.wrapping_add(first)) * u128::from(two.wrapping_add(second));
            sum = sum.wrapping_add(product);
        };
        add(head, 0);
        for bytes in [key, value] {
            let (blocks, rest) = bytes.as_chunks::<16>();
            for block in blocks {
                let [one, two] = halves(block);
                add(one, two);
            }
            if !rest.is_empty() {
                let [one, two] = tail(bytes, rest);
                add(one, two);
            }
        }
        let [low, high, add] = self.fold;
        let folded = low
            .wrapping_mul(u128::from(sum as u64))
            .wrapping_add(high.wrapping_mul(sum >> 64))
            .wrapping_add(add);
        ((folded >> 64) as u64).max(1)
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

fn halves(block: &[u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(*block);
    [both as u64, (both >> 64) as u64]
}

/// The bytes behind the last whole block, with bytes before them where there are any: given the
/// length, it tells them all, and needs no copy of unknown length.
fn tail(bytes: &[u8], rest: &[u8]) -> [u64; 2] {
    if let Some(block) = bytes.last_chunk::<16>() {
        return halves(block);
    }
    if let (Some(first), Some(last)) = (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
        return [u64::from_le_bytes(*first), u64::from_le_bytes(*last)];
    }
    if let (Some(first), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        return [u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last))];
    }
    let middle = rest[rest.len() / 2];
    [u64::from(rest[0]) | u64::from(middle) << 8 | u64::from(rest[rest.len() - 1]) << 16, 0]
}

fn slot(name: u64) -> usize {
    (name % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_of_a_value_goes_unnoticed() {
        let clean = Clean::default();
        for length in 1..70 {
            let value: Vec<u8> = (0..length).collect();
            let name = clean.name(1, 0, b"", &value);
            for at in 0..value.len() {
                let mut other = value.clone();
                other[at] ^= 0x80;
                assert_ne!(clean.name(1, 0, b"", &other), name, "byte {at} of {length}");
                assert_ne!(
                    clean.name(1, 0, &other, b"x"),
                    clean.name(1, 0, &value, b"x"),
                    "byte {at} of {length}"
                );
            }
        }
    }

    #[test]
    fn a_name_tells_apart_what_differs() {
        let clean = Clean::default();
        let names = [
            clean.name(1, 0, b"a", b"bc"),
            clean.name(1, 0, b"ab", b"c"),
            clean.name(2, 0, b"a", b"bc"),
            clean.name(1, 7, b"a", b"bc"),
            clean.name(1, 0, b"a", b"bc\0"),
            clean.name(1, 0, b"a\0", b"bc"),
            clean.name(1, 0, &[b'x'; 17], &[b'y'; LONGEST - 17]),
            clean.name(1, 0, &[b'x'; 17], &[b'y'; LONGEST - 18]),
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
