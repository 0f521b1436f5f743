//! A set of byte values as a 256-bit mask. Masks answer the cheapest question the engine
//! asks, "can this value matter at all?", before any copying or matching.

use std::fmt;

/// A set of byte values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    pub const EMPTY: ByteSet = ByteSet([0; 4]);
    pub const FULL: ByteSet = ByteSet([u64::MAX; 4]);

    /// The set of these bytes.
    pub const fn of(bytes: &[u8]) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        let mut i = 0;
        while i < bytes.len() {
            set.0[(bytes[i] >> 6) as usize] |= 1 << (bytes[i] & 63);
            i += 1;
        }
        set
    }

    /// The set of all bytes from `first` to `last`, both included.
    pub const fn range(first: u8, last: u8) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        let mut byte = first as usize;
        while byte <= last as usize {
            set.0[byte >> 6] |= 1 << (byte & 63);
            byte += 1;
        }
        set
    }

    /// The bytes which occur in a value. The engine computes this once per value and tests all
    /// masks against it.
    pub fn present_in(value: &[u8]) -> ByteSet {
        /// Setting up the table costs about as much as this many bytes one by one.
        const SHORT: usize = 128;
        if value.len() <= SHORT {
            return ByteSet::of(value);
        }
        let mut seen = [false; 256];
        for &byte in value {
            seen[usize::from(byte)] = true;
        }
        let mut set = ByteSet::EMPTY;
        for (word, flags) in set.0.iter_mut().zip(seen.chunks_exact(64)) {
            for (bit, &flag) in flags.iter().enumerate() {
                *word |= u64::from(flag) << bit;
            }
        }
        set
    }

    /// The bytes that are present once a value with these is in lower case.
    pub const fn lowercased(self) -> ByteSet {
        /// `A` to `Z` in the second word; `a` to `z` lie 32 bits higher in the same.
        const UPPER: u64 = 0x07ff_fffe;
        let upper = self.0[1] & UPPER;
        ByteSet([self.0[0], self.0[1] ^ upper | upper << 32, self.0[2], self.0[3]])
    }

    pub const fn contains(&self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] & (1 << (byte & 63)) != 0
    }

    pub const fn insert(&mut self, byte: u8) {
        self.0[(byte >> 6) as usize] |= 1 << (byte & 63);
    }

    pub const fn union(self, other: ByteSet) -> ByteSet {
        ByteSet([
            self.0[0] | other.0[0],
            self.0[1] | other.0[1],
            self.0[2] | other.0[2],
            self.0[3] | other.0[3],
        ])
    }

    pub const fn complement(self) -> ByteSet {
        ByteSet([!self.0[0], !self.0[1], !self.0[2], !self.0[3]])
    }

    /// True when the two sets share a byte.
    pub const fn intersects(&self, other: &ByteSet) -> bool {
        (self.0[0] & other.0[0])
            | (self.0[1] & other.0[1])
            | (self.0[2] & other.0[2])
            | (self.0[3] & other.0[3])
            != 0
    }

    /// Where the first byte of the set stands in `value`.
    pub fn find(&self, value: &[u8]) -> Option<usize> {
        value.iter().position(|&byte| self.contains(byte))
    }

    pub const fn len(&self) -> u32 {
        self.0[0].count_ones() + self.0[1].count_ones() + self.0[2].count_ones() + self.0[3].count_ones()
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub const fn is_full(&self) -> bool {
        self.len() == 256
    }

    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=255).filter(|&byte| self.contains(byte))
    }
}

impl fmt::Debug for ByteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        let mut next = 0u16;
        while next < 256 {
            let first = next;
            while next < 256 && self.contains(next as u8) {
                next += 1;
            }
            match next - first {
                0 => next += 1,
                1 => write!(f, "{}", (first as u8).escape_ascii())?,
                _ => write!(f, "{}-{}", (first as u8).escape_ascii(), ((next - 1) as u8).escape_ascii())?,
            }
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_exactly_its_bytes() {
        let set = ByteSet::of(b"az\x00\xff").union(ByteSet::range(b'0', b'9'));
        for byte in 0..=255u8 {
            let expect = b"az\x00\xff0123456789".contains(&byte);
            assert_eq!(set.contains(byte), expect, "{byte}");
            assert_eq!(set.complement().contains(byte), !expect, "{byte}");
        }
        assert_eq!(set.len(), 14);
        assert_eq!(set.iter().count(), 14);
        assert_eq!(format!("{set:?}"), "[\\x000-9az\\xff]");
        assert!(ByteSet::range(0, 255).is_full() && ByteSet::of(b"").is_empty());
    }

    #[test]
    fn presence_agrees_with_a_search() {
        let value = b"GET /index.html?\x00\x7f\x80\xff";
        let present = ByteSet::present_in(value);
        for byte in 0..=255u8 {
            assert_eq!(present.contains(byte), value.contains(&byte), "{byte}");
            assert_eq!(present.intersects(&ByteSet::of(&[byte])), value.contains(&byte), "{byte}");
            assert_eq!(ByteSet::of(&[byte]).find(value), value.iter().position(|&b| b == byte), "{byte}");
        }
        let long = value.repeat(20);
        assert_eq!(ByteSet::present_in(&long), ByteSet::of(&long));
    }

    #[test]
    fn lower_case_bytes_are_those_of_the_lower_case_value() {
        for value in
            [&b"Hello, World 42"[..], b"", b"abc", b"ABC", b"\xc3\x84Z@[`{", &(0..=255).collect::<Vec<u8>>()]
        {
            let lower = value.to_ascii_lowercase();
            assert_eq!(ByteSet::present_in(value).lowercased(), ByteSet::present_in(&lower));
        }
    }
}
