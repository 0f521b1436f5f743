//! Values that were looked at before and matched nothing. Clients repeat themselves: the same
//! agent, the same accepted languages, the same cookies with every request. What a value can match
//! depends on the program, on where the value stands and on its bytes alone, so a value that
//! no leaf matched need not be looked at again.
//!
//! One table for each thread, of fixed size; a new value takes its slot from the one before. Bytes
//! are compared whole: a colliding hash costs a look, never a miss.

use std::cell::RefCell;

use super::variable::Collection;

/// Slots of a table: some hundreds of clients' usual fields.
const SLOTS: usize = 1024;

/// Longer values are not remembered: they are bodies and tokens, which do not come again.
const LONGEST: usize = 512;

/// What a value's outcome depends on.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    /// Tells compiled programs apart.
    pub program: u64,
    pub collection: Collection,
    /// Leaves below this one belong to phases that have run.
    pub first_leaf: usize,
    pub key: &'a [u8],
    pub value: &'a [u8],
}

#[derive(Clone, Default)]
struct Slot {
    program: u64,
    first_leaf: usize,
    collection: u8,
    key_len: usize,
    /// Key, then value.
    bytes: Vec<u8>,
}

thread_local! {
    static HARMLESS: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) };
}

impl Slot {
    fn answers(&self, question: &Question) -> bool {
        self.program == question.program
            && self.first_leaf == question.first_leaf
            && self.collection == question.collection as u8
            && self.key_len == question.key.len()
            && self.bytes.len() == question.key.len() + question.value.len()
            && self.bytes[..self.key_len] == *question.key
            && self.bytes[self.key_len..] == *question.value
    }
}

impl Question<'_> {
    /// Where the answer is remembered, if it is worth it.
    pub fn slot(&self) -> Option<usize> {
        (self.key.len() + self.value.len() <= LONGEST).then(|| self.hash() as usize % SLOTS)
    }

    /// True when it is known that no leaf matches.
    pub fn is_known_harmless(&self, slot: usize) -> bool {
        HARMLESS.with_borrow(|slots| slots.get(slot).is_some_and(|slot| slot.answers(self)))
    }

    /// Remembers that no leaf matches.
    pub fn is_harmless(&self, slot: usize) {
        HARMLESS.with_borrow_mut(|slots| {
            if slots.is_empty() {
                slots.resize(SLOTS, Slot::default());
            }
            let slot = &mut slots[slot];
            slot.program = self.program;
            slot.first_leaf = self.first_leaf;
            slot.collection = self.collection as u8;
            slot.key_len = self.key.len();
            slot.bytes.clear();
            slot.bytes.extend_from_slice(self.key);
            slot.bytes.extend_from_slice(self.value);
        });
    }

    /// Quick rather than strong, since all that a bad spread costs is a look.
    fn hash(&self) -> u64 {
        let mut hash = fold(self.collection as u64 ^ (self.first_leaf as u64) << 8, self.program);
        for bytes in [self.key, self.value] {
            let (words, rest) = bytes.as_chunks::<8>();
            for word in words {
                hash = fold(hash ^ u64::from_le_bytes(*word), MIX);
            }
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            hash = fold(hash ^ u64::from_le_bytes(last), bytes.len() as u64 ^ MIX);
        }
        hash
    }
}

/// An odd number without a pattern: the golden ratio's fraction in 64 bits.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Both halves of the product, so that every bit reaches the low ones.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ MIX) * u128::from(b | 1);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_question_is_known() {
        let asked = Question {
            program: 7_000_001,
            collection: Collection::RequestHeaders,
            first_leaf: 3,
            key: b"user-agent",
            value: b"curl/8.5.0",
        };
        // Whatever their hashes, all of them look into the same slot here.
        let slot = asked.slot().unwrap();
        assert!(!asked.is_known_harmless(slot));
        asked.is_harmless(slot);
        assert!(asked.is_known_harmless(slot));
        let others = [
            Question { program: 7_000_002, ..asked },
            Question { collection: Collection::RequestCookies, ..asked },
            Question { first_leaf: 4, ..asked },
            Question { key: b"user-agen", value: b"tcurl/8.5.0", ..asked },
            Question { value: b"curl/8.5.1", ..asked },
            Question { value: b"", ..asked },
        ];
        for other in others {
            assert!(!other.is_known_harmless(slot));
        }
        others[4].is_harmless(slot);
        assert!(!asked.is_known_harmless(slot), "the slot holds one answer");
    }

    #[test]
    fn long_values_are_not_remembered() {
        let value = [b'a'; LONGEST + 1];
        let question = |value| Question {
            program: 7_000_003,
            collection: Collection::RequestHeaders,
            first_leaf: 0,
            key: b"",
            value,
        };
        assert_eq!(question(&value).slot(), None);
        assert!(question(&value[1..]).slot().is_some());
    }
}
