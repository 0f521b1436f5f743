//! Finds which of many literals stand in a value, whatever the case of ASCII letters. Each
//! literal is represented by three neighbouring bytes of it, the rarest that it has; a value is
//! read once, and only where such a triple stands is a literal compared. Unlike an automaton the
//! reading of one byte does not wait for what the byte before led to.

/// Bytes fall into 64 classes, so that a triple has 18 bits.
const CLASS_BITS: usize = 6;
const CLASSES: usize = 1 << CLASS_BITS;
const PAIRS: usize = CLASSES * CLASSES;

/// Letters by themselves in either case, digits, nearly all marks; class 0 is the rest.
static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < NAMED.len() {
        table[NAMED[at] as usize] = at as u8 + 1;
        table[NAMED[at].to_ascii_uppercase() as usize] = at as u8 + 1;
        at += 1;
    }
    // These are rare, or stand for the same things.
    table[b'+' as usize] = table[b' ' as usize];
    table[b'\t' as usize] = table[b' ' as usize];
    table[b'\r' as usize] = table[b'\n' as usize];
    table
}

/// The bytes with a class of their own, and how common each is in text and markup, in tenths of
/// a percent or so: which triple stands for a literal is chosen by that.
const NAMED: &[u8; 63] = b"abcdefghijklmnopqrstuvwxyz0123456789 \n<>=\"'./\\:&-_,();|`{}[]$%#";
const COMMON: [u32; CLASSES] = [
    8, 60, 14, 30, 32, 95, 20, 18, 32, 62, 4, 8, 38, 24, 58, 62, 22, 3, 52, 56, 72, 26, 10, 14, 6, 14, 4, 25,
    22, 15, 10, 10, 10, 10, 10, 10, 10, 110, 15, 30, 30, 25, 35, 5, 30, 40, 1, 12, 10, 25, 20, 15, 4, 4, 10,
    1, 1, 2, 2, 2, 2, 1, 6, 2,
];

/// A literal behind one triple.
#[derive(Clone, Copy, Debug)]
struct Entry {
    literal: u32,
    /// Bytes of the literal that follow the triple.
    after: u32,
}

/// A set of literals.
#[derive(Debug)]
pub(crate) struct Grams {
    /// By the first two classes of a triple, the third ones that some literal has.
    map: Box<[u64; PAIRS]>,
    /// By the same pairs, how many triples stand before theirs.
    rank: Box<[u32; PAIRS]>,
    /// By triple, in order: where its entries begin. One more at the end.
    starts: Vec<u32>,
    entries: Vec<Entry>,
    /// In lower case; where each begins, and one more.
    text: Vec<u8>,
    bounds: Vec<u32>,
}

impl Grams {
    /// For these literals, none of them empty, numbered in this order.
    pub fn new<'a>(literals: impl IntoIterator<Item = &'a [u8]>) -> Grams {
        let mut grams = Grams {
            map: Box::new([0; PAIRS]),
            rank: Box::new([0; PAIRS]),
            starts: Vec::new(),
            entries: Vec::new(),
            text: Vec::new(),
            bounds: vec![0],
        };
        let mut all: Vec<(usize, Entry)> = Vec::new();
        for (literal, bytes) in literals.into_iter().enumerate() {
            let literal = literal as u32;
            grams.text.extend(bytes.iter().map(u8::to_ascii_lowercase));
            grams.bounds.push(grams.text.len() as u32);
            let classes: Vec<usize> =
                bytes.iter().map(|byte| usize::from(CLASS[usize::from(*byte)])).collect();
            match classes[..] {
                [] => {}
                // Anything may stand before a short one; the start of a value reads as class 0.
                [one] => all.extend((0..PAIRS).map(|x| (x * CLASSES + one, Entry { literal, after: 0 }))),
                [one, two] => all.extend(
                    (0..CLASSES).map(|x| ((x * CLASSES + one) * CLASSES + two, Entry { literal, after: 0 })),
                ),
                _ => {
                    let cost = |triple: &[usize]| triple.iter().map(|class| COMMON[*class]).product::<u32>();
                    let (at, triple) = classes
                        .windows(3)
                        .enumerate()
                        .min_by_key(|(_, triple)| cost(triple))
                        .unwrap_or((0, &classes[..3]));
                    let triple = (triple[0] * CLASSES + triple[1]) * CLASSES + triple[2];
                    all.push((triple, Entry { literal, after: (classes.len() - at - 3) as u32 }));
                }
            }
        }
        all.sort_by_key(|(triple, entry)| (*triple, entry.literal));
        let mut last = None;
        for (triple, entry) in all {
            if last != Some(triple) {
                grams.starts.push(grams.entries.len() as u32);
                grams.map[triple / CLASSES] |= 1 << (triple % CLASSES);
                last = Some(triple);
            }
            grams.entries.push(entry);
        }
        grams.starts.push(grams.entries.len() as u32);
        let mut before = 0;
        for (rank, word) in grams.rank.iter_mut().zip(&grams.map[..]) {
            *rank = before;
            before += word.count_ones();
        }
        grams
    }

    /// Tells every literal that stands in the value, some of them more than once.
    pub fn find(&self, value: &[u8], mut found: impl FnMut(usize)) {
        const MASK: usize = PAIRS * CLASSES - 1;
        let class = |byte: u8| usize::from(CLASS[usize::from(byte)]);
        let bit = |triple: usize| self.map[(triple & MASK) >> CLASS_BITS] >> (triple % CLASSES) & 1;
        // The classes of the last bytes, the newest lowest.
        let mut last = 0usize;
        let mut chunks = value.chunks_exact(4);
        let mut at = 0;
        for chunk in &mut chunks {
            last = last << (4 * CLASS_BITS)
                | class(chunk[0]) << (3 * CLASS_BITS)
                | class(chunk[1]) << (2 * CLASS_BITS)
                | class(chunk[2]) << CLASS_BITS
                | class(chunk[3]);
            let hits = bit(last >> (3 * CLASS_BITS)) << 3
                | bit(last >> (2 * CLASS_BITS)) << 2
                | bit(last >> CLASS_BITS) << 1
                | bit(last);
            if hits != 0 {
                for back in (0..4).rev().filter(|back| hits >> back & 1 != 0) {
                    self.compare(value, at + 4 - back, last >> (back * CLASS_BITS) & MASK, &mut found);
                }
            }
            at += 4;
        }
        for byte in chunks.remainder() {
            last = last << CLASS_BITS | class(*byte);
            at += 1;
            if bit(last) != 0 {
                self.compare(value, at, last & MASK, &mut found);
            }
        }
    }

    /// Compares the literals of a triple that ends before `end`.
    fn compare(&self, value: &[u8], end: usize, triple: usize, found: &mut impl FnMut(usize)) {
        let pair = triple / CLASSES;
        let below = self.map[pair] & ((1 << (triple % CLASSES)) - 1);
        let rank = (self.rank[pair] + below.count_ones()) as usize;
        let entries = &self.entries[self.starts[rank] as usize..self.starts[rank + 1] as usize];
        for entry in entries {
            let literal = entry.literal as usize;
            let text = &self.text[self.bounds[literal] as usize..self.bounds[literal + 1] as usize];
            let stop = end + entry.after as usize;
            if stop <= value.len()
                && stop >= text.len()
                && value[stop - text.len()..stop].eq_ignore_ascii_case(text)
            {
                found(literal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn found(grams: &Grams, value: &[u8]) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        grams.find(value, |literal| {
            all.insert(literal);
        });
        all
    }

    #[test]
    fn literals_of_every_length_are_found_at_both_ends() {
        let literals: [&[u8]; 7] = [b"<", b"on", b"union", b"Select", b"\xe4\0", b"../", b"x'a union b"];
        let grams = Grams::new(literals);
        for (number, literal) in literals.iter().enumerate() {
            for (before, after) in
                [("", ""), ("a", ""), ("", "b"), ("abcde", "fgh"), ("on", "un"), ("\0", "\0")]
            {
                let value = [before.as_bytes(), &literal.to_ascii_uppercase(), after.as_bytes()].concat();
                assert!(found(&grams, &value).contains(&number), "{:?}", value.escape_ascii().to_string());
            }
        }
        assert!(found(&grams, b"").is_empty());
        assert!(found(&grams, b"o n u").is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_finds_what_a_plain_search_finds(
            literals in proptest::collection::vec("[a-cA-C<'. \\x00]{1,6}", 0..40),
            value in "[a-cA-C<'. \\x00\u{e4}]{0,60}",
        ) {
            let lower = value.to_ascii_lowercase();
            let expect: BTreeSet<usize> = literals
                .iter()
                .enumerate()
                .filter(|(_, literal)| lower.contains(&literal.to_ascii_lowercase()))
                .map(|(number, _)| number)
                .collect();
            let grams = Grams::new(literals.iter().map(|literal| literal.as_bytes()));
            prop_assert_eq!(found(&grams, value.as_bytes()), expect);
        }
    }
}
