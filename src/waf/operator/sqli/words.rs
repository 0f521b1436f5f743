//! The words, phrases and fingerprints that the tokeniser knows, read once from the two lists beside this file.

use std::sync::LazyLock;

use super::token::{Kind, TEXT_BYTES};

/// What a text is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// In upper case.
    pub(super) text: &'static [u8],
    /// None for what is only the beginning of a phrase.
    pub(super) kind: Option<Kind>,
    pub(super) starts_phrase: bool,
    /// Its place among [`all`].
    pub(super) number: u16,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| Words::read(include_str!("words.txt")));

static FINGERPRINTS: LazyLock<Fingerprints> =
    LazyLock::new(|| Fingerprints::of(read_fingerprints(include_str!("fingerprints.txt"))));

/// The word or phrase of this text, in any case.
pub(super) fn find(text: &[u8]) -> Option<&'static Word> {
    WORDS.find(text)
}

/// Every word and phrase, for those who look at a part of them.
pub(super) fn all() -> &'static [Word] {
    &WORDS.entries
}

/// The fingerprints of all attacks, in upper case.
#[cfg(test)]
pub(super) fn attacks() -> Vec<Vec<u8>> {
    let kinds = |packed: u32| (0..5).rev().map(move |at| (packed >> (6 * at) & 63) as u8);
    let letters = |packed| kinds(packed).filter(|kind| *kind != 0).map(|kind| kind + b' ').collect();
    FINGERPRINTS.sorted.iter().map(|packed| letters(*packed)).collect()
}

/// True for the fingerprint of an attack.
pub(super) fn is_attack(kinds: &[u8]) -> bool {
    pack(kinds).is_some_and(|packed| FINGERPRINTS.contains(packed))
}

/// A hash table with open addressing, made once and never full.
struct Words {
    entries: Vec<Word>,
    /// Upper half of the hash and index into `entries`.
    slots: Box<[(u16, u16); SLOTS]>,
}

/// A quarter of them is in use.
const SLOTS: usize = 4096;

const EMPTY: u16 = u16::MAX;

impl Words {
    fn read(list: &'static str) -> Words {
        let mut entries: Vec<Word> = Vec::new();
        let mut kind = None;
        for line in list.lines().filter(|line| !line.starts_with('#')) {
            if let Some(section) = line.strip_prefix('[') {
                kind = Some(section_kind(section.trim_end_matches(']')));
                continue;
            }
            for word in line.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                entries.push(Word { text: word.as_bytes(), kind, starts_phrase: false, number: 0 });
            }
        }
        let mut words = Words { entries: Vec::new(), slots: Box::new([(0, EMPTY); SLOTS]) };
        for entry in entries.iter().copied() {
            words.insert(entry);
        }
        for entry in entries {
            let spaces = entry.text.iter().enumerate().filter(|(_, byte)| **byte == b' ');
            for (at, _) in spaces {
                words.insert(Word { text: &entry.text[..at], kind: None, starts_phrase: true, number: 0 });
            }
        }
        words
    }

    fn insert(&mut self, word: Word) {
        debug_assert!(word.text.len() <= TEXT_BYTES, "{word:?} is longer than a token's text");
        let hash = hash(word.text);
        let mut slot = hash as usize % SLOTS;
        while self.slots[slot].1 != EMPTY {
            let known = &mut self.entries[usize::from(self.slots[slot].1)];
            if known.text == word.text {
                known.kind = known.kind.or(word.kind);
                known.starts_phrase |= word.starts_phrase;
                return;
            }
            slot = (slot + 1) % SLOTS;
        }
        let number = self.entries.len() as u16;
        self.slots[slot] = ((hash >> 16) as u16, number);
        self.entries.push(Word { number, ..word });
    }

    fn find(&self, text: &[u8]) -> Option<&Word> {
        if text.len() < 2 || text.len() > TEXT_BYTES {
            return None;
        }
        let hash = hash(text);
        let mut slot = hash as usize % SLOTS;
        loop {
            match self.slots[slot] {
                (_, EMPTY) => return None,
                (tag, index) if tag == (hash >> 16) as u16 => {
                    let word = &self.entries[usize::from(index)];
                    if word.text.eq_ignore_ascii_case(text) {
                        return Some(word);
                    }
                }
                _ => {}
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// Blind to the case of letters. Nobody outside can add to the table, so it need not resist attacks.
fn hash(text: &[u8]) -> u32 {
    const CASE: u64 = 0x2020_2020_2020_2020;
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = text.len() as u64;
    let mut rest = text;
    while let Some((eight, behind)) = rest.split_first_chunk::<8>() {
        state = (state ^ (u64::from_le_bytes(*eight) | CASE)).wrapping_mul(FACTOR);
        state ^= state >> 29;
        rest = behind;
    }
    let last = rest.iter().fold(0, |last, &byte| last << 8 | u64::from(byte | 0x20));
    state = (state ^ last).wrapping_mul(FACTOR);
    (state >> 32) as u32
}

fn section_kind(name: &str) -> Kind {
    match name {
        "bareword" => Kind::Bareword,
        "collate" => Kind::Collate,
        "expression" => Kind::Expression,
        "function" => Kind::Function,
        "group" => Kind::Group,
        "keyword" => Kind::Keyword,
        "logic" => Kind::Logic,
        "number" => Kind::Number,
        "operator" => Kind::Operator,
        "statement" => Kind::Statement,
        "type" => Kind::SqlType,
        "union" => Kind::Union,
        "variable" => Kind::Variable,
        _ => unreachable!("words.txt has the section {name}"),
    }
}

/// A set of packed fingerprints. Nearly all that is asked for is not in it, and one bit says so.
struct Fingerprints {
    sorted: Vec<u32>,
    /// A bit for some hash of each. One in eight is set.
    likely: Box<[u64; 1024]>,
}

impl Fingerprints {
    fn of(sorted: Vec<u32>) -> Fingerprints {
        let mut likely = Box::new([0; 1024]);
        for packed in &sorted {
            let (index, bit) = Fingerprints::place(*packed);
            likely[index] |= bit;
        }
        Fingerprints { sorted, likely }
    }

    fn contains(&self, packed: u32) -> bool {
        let (index, bit) = Fingerprints::place(packed);
        self.likely[index] & bit != 0 && self.sorted.binary_search(&packed).is_ok()
    }

    fn place(packed: u32) -> (usize, u64) {
        let hash = (packed.wrapping_mul(0x9e37_79b1) >> 16) as usize;
        (hash / 64, 1 << (hash % 64))
    }
}

/// Up to five kinds as a number. The list is in upper case: it does not tell a type from a statement. No attack has
/// a brace in its fingerprint.
fn pack(kinds: &[u8]) -> Option<u32> {
    let code = |kind: u8| (b' '..b'`').contains(&kind).then(|| u32::from(kind - b' '));
    kinds.iter().try_fold(0, |packed, kind| Some(packed << 6 | code(kind.to_ascii_uppercase())?))
}

fn read_fingerprints(list: &str) -> Vec<u32> {
    let mut known = Vec::new();
    let mut add = |parts: [&[u8]; 3]| {
        let kinds = parts.concat();
        known.push(pack(&kinds).expect("fingerprints.txt is made of the kinds' letters"));
    };
    let mut lines = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    for short in lines.next().unwrap_or_default().split(' ') {
        add([short.as_bytes(), b"", b""]);
    }
    for line in lines {
        let mut groups = line.split(' ');
        let first = groups.next().unwrap_or_default().as_bytes();
        for group in groups {
            let (fourth, fifth) = group.split_once('=').unwrap_or((group, "$"));
            for fourth in fourth.bytes() {
                for fifth in fifth.bytes() {
                    let present = |kind: &u8| *kind != b'$';
                    let end = [fourth, fifth];
                    let end: Vec<u8> = end.into_iter().filter(present).collect();
                    add([first, &end, b""]);
                }
            }
        }
    }
    known.sort_unstable();
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_read_whole() {
        let of_kind = all().iter().filter(|word| word.kind.is_some()).count();
        assert_eq!(of_kind, 960);
        assert_eq!(FINGERPRINTS.sorted.len(), 8367);
        assert!(FINGERPRINTS.sorted.windows(2).all(|pair| pair[0] < pair[1]), "a fingerprint stands twice");
        assert!(all().len() * 3 < SLOTS);
    }

    #[test]
    fn words_are_found_in_any_case_and_nothing_else_is() {
        for word in all() {
            let lower = word.text.to_ascii_lowercase();
            assert_eq!(find(&lower).map(|found| found.text), Some(word.text));
            assert!(find(&[word.text, b"~"].concat()).is_none());
            let bent: Vec<u8> = word.text.iter().map(|byte| byte ^ 0x80).collect();
            assert!(find(&bent).is_none());
        }
        assert!(find(b"").is_none());
        assert_eq!(find(b"union").and_then(|word| word.kind), Some(Kind::Union));
        assert!(find(b"union").is_some_and(|word| word.starts_phrase));
        assert!(find(b"Natural Left").is_some_and(|word| word.starts_phrase));
        for (fingerprint, attack) in [
            ("1c", true),
            ("s&sos", true),
            ("1UE", true),
            ("s;Tnn", true),
            ("nnnnn", false),
            ("{", false),
            ("", false),
        ] {
            assert_eq!(is_attack(fingerprint.as_bytes()), attack, "{fingerprint}");
        }
    }
}
