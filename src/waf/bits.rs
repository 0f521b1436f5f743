//! A set of small numbers (rules, leaves) as words of bits.

/// Fixed-size when compiled; all sets over the same things have the same number of words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    pub words: Vec<u64>,
}

impl Bits {
    pub fn none(size: usize) -> Bits {
        Bits { words: vec![0; size.div_ceil(64)] }
    }

    pub fn insert(&mut self, bit: usize) {
        insert(&mut self.words, bit);
    }

    pub fn contains(&self, bit: usize) -> bool {
        contains(&self.words, bit)
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub fn intersect(&mut self, other: &Bits) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    pub fn union(&mut self, other: &Bits) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }
}

pub(crate) fn insert(words: &mut [u64], bit: usize) {
    if let Some(word) = words.get_mut(bit / 64) {
        *word |= 1 << (bit % 64);
    }
}

pub(crate) fn remove(words: &mut [u64], bit: usize) {
    if let Some(word) = words.get_mut(bit / 64) {
        *word &= !(1 << (bit % 64));
    }
}

pub(crate) fn contains(words: &[u64], bit: usize) -> bool {
    words.get(bit / 64).is_some_and(|word| word & 1 << (bit % 64) != 0)
}

pub(crate) fn intersects(one: &[u64], other: &[u64]) -> bool {
    one.iter().zip(other).any(|(one, other)| one & other != 0)
}

/// The smallest member that is at least `from`.
pub(crate) fn next(words: &[u64], from: usize) -> Option<usize> {
    let first = from / 64;
    let mut word = words.get(first)? & (u64::MAX << (from % 64));
    let mut index = first;
    loop {
        if word != 0 {
            return Some(index * 64 + word.trailing_zeros() as usize);
        }
        index += 1;
        word = *words.get(index)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_order() {
        let mut bits = Bits::none(200);
        for bit in [0, 63, 64, 130, 199] {
            bits.insert(bit);
        }
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(bit) = next(&bits.words, from) {
            found.push(bit);
            from = bit + 1;
        }
        assert_eq!(found, [0, 63, 64, 130, 199]);
        assert!(bits.contains(64) && !bits.contains(65) && !bits.contains(9999));
        assert!(!bits.is_empty() && Bits::none(10).is_empty());
        assert_eq!(next(&[], 0), None);
    }
}
