//! Turns away what the tokeniser would surely find nothing in, without tokens. Most values of real traffic are names,
//! numbers, dates, addresses and a few words; this costs them about as much as looking at each byte once.

use std::sync::LazyLock;

use crate::waf::bytes::ByteSet;

use super::token::{Kind, TEXT_BYTES};
use super::words;

/// The tokeniser stops early in most long values, so that looking at the whole of them first would cost more.
const LONGEST: usize = 128;

/// Words and numbers are made of these.
const IN_WORDS: ByteSet = ByteSet::range(b'a', b'z')
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'0', b'9'))
    .union(ByteSet::of(b"_"));

/// What stands between words in prose, names, dates and paths. Not among them is what makes strings, comments,
/// parentheses, statements and variables.
const BETWEEN_WORDS: ByteSet = ByteSet::range(0x80, 0xff).union(ByteSet::of(b" \t\r\n.,-:/+=?%~&"));

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Between,
    /// Harmless alone; two in a row are a comment or a logical operator.
    Doubling,
    Loud,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Loud; 256];
    let mut byte = 0;
    while byte < 256 {
        if IN_WORDS.contains(byte as u8) {
            classes[byte] = Class::Word;
        } else if BETWEEN_WORDS.contains(byte as u8) {
            classes[byte] = Class::Between;
        }
        byte += 1;
    }
    classes[b'-' as usize] = Class::Doubling;
    classes[b'&' as usize] = Class::Doubling;
    classes
};

/// True for a value in which the tokeniser surely finds nothing; false says nothing.
///
/// A value of one word or number, however odd, is three tokens at most, and no three such tokens are an attack. In a
/// value of quiet bytes every token is a word, a number or a mark, and no attack is made of these without a word that
/// tells: see the tests, which look through the lists for both.
pub(in super::super) fn is_quiet(value: &[u8]) -> bool {
    if value.len() > LONGEST {
        return false;
    }
    let mut start = 0;
    let mut between = false;
    for (at, &byte) in value.iter().enumerate() {
        match CLASSES[usize::from(byte)] {
            Class::Word => continue,
            Class::Between => {}
            Class::Doubling if value.get(at + 1) != Some(&byte) => {}
            Class::Doubling | Class::Loud => return false,
        }
        between = true;
        if may_tell(value, start, at) {
            return false;
        }
        start = at + 1;
    }
    !between || !may_tell(value, start, value.len())
}

/// Whether a token that tells can be in this run of word bytes.
fn may_tell(value: &[u8], start: usize, end: usize) -> bool {
    let run = &value[start..end];
    let [first, _, ..] = run else { return false };
    // A number may end anywhere in the run and a word begin there; and it may have begun before a dot: `1.e5or`.
    let in_number = first.is_ascii_digit() || matches!(value[..start], [.., b'0'..=b'9', b'.']);
    if !in_number {
        return run.len() <= TEXT_BYTES && TELLING.may_have(run);
    }
    (run.len().saturating_sub(TEXT_BYTES)..run.len() - 1).any(|at| TELLING.may_have(&run[at..]))
}

/// The words of which every attack of quiet bytes has one: statements, unions, groups, logic, keywords, named
/// variables, collations. A phrase is here by its longest word.
static TELLING: LazyLock<Telling> = LazyLock::new(|| {
    let mut telling = Telling { bits: Box::new([0; _]) };
    for word in words::all().iter().filter(|word| word.kind.is_some_and(tells)) {
        let parts = word.text.split(|byte| *byte == b' ');
        telling.add(parts.max_by_key(|part| part.len()).unwrap_or_default());
    }
    telling
});

fn tells(kind: Kind) -> bool {
    use Kind::{Collate, Expression, Group, Keyword, Logic, Statement, Union, Variable};
    matches!(kind, Collate | Expression | Group | Keyword | Logic | Statement | Union | Variable)
}

/// A set of words by a few of their letters: it may have more than was put in, never less.
struct Telling {
    bits: Box<[u64; 1 << (Telling::BITS - 6)]>,
}

impl Telling {
    /// Some three hundred words set one bit in a hundred.
    const BITS: u32 = 15;

    fn add(&mut self, word: &[u8]) {
        if let Some((index, bit)) = Telling::place(word) {
            self.bits[index] |= bit;
        }
    }

    fn may_have(&self, word: &[u8]) -> bool {
        Telling::place(word).is_some_and(|(index, bit)| self.bits[index] & bit != 0)
    }

    /// By the first three letters, the last, and the length. In any case of letters.
    fn place(word: &[u8]) -> Option<(usize, u64)> {
        let [first, second, ..] = word else { return None };
        let (third, last) = (word.get(2).unwrap_or(second), word.last()?);
        let letters = [first, second, third, last].map(|letter| u32::from(letter & 31));
        let known = letters.iter().fold(word.len() as u32, |known, letter| known << 5 | letter);
        let hash = (known.wrapping_mul(0x9e37_79b1) >> (32 - Telling::BITS)) as usize;
        Some((hash / 64, 1 << (hash % 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fingerprint_is_attack;
    use super::*;

    /// All texts of up to five of these kinds.
    fn texts(kinds: &[u8]) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..5 {
            let until = all.len();
            for at in from..until {
                for kind in kinds {
                    let mut longer = all[at].clone();
                    longer.push(*kind);
                    all.push(longer);
                }
            }
            from = until;
        }
        all
    }

    #[test]
    fn no_attack_is_made_of_quiet_kinds() {
        // Types are apart: the list does not tell them from statements. One that is followed by a word, a number or
        // another type is folded away, so it cannot stand in the middle.
        for kinds in texts(b"1nof.,:?") {
            assert!(!fingerprint_is_attack(&kinds), "{}", kinds.escape_ascii());
        }
        for kinds in texts(b"1nof.,:?t") {
            let folded = kinds.windows(2).any(|pair| pair[0] == b't' && b"n1tf".contains(&pair[1]));
            assert!(folded || !fingerprint_is_attack(&kinds), "{}", kinds.escape_ascii());
        }
    }

    #[test]
    fn one_word_or_number_is_no_attack() {
        let numbers = [
            "", "1", "12", "0x1f", "0x", "0b1", "0b", "0b2", "1e5", "1e", "1f", "7d", "0b2e5", "0b2e", "0b3f",
        ];
        for word in words::all() {
            for number in numbers {
                let value = [number.as_bytes(), word.text].concat();
                if value.iter().all(|byte| IN_WORDS.contains(*byte)) {
                    assert_eq!(super::super::detect(&value).map(|found| found.to_string()), None);
                    assert!(is_quiet(&value));
                }
            }
        }
    }

    #[test]
    fn every_word_that_tells_is_loud_between_others() {
        let quiet = |text: &[u8]| is_quiet(text);
        for word in words::all().iter().filter(|word| word.kind.is_some_and(tells)) {
            let text = word.text.to_ascii_lowercase();
            for before in ["a ", "1", "1.e5", "0x1f", "1.f", ".5", "7 "] {
                let value = [before.as_bytes(), &text, b" b"].concat();
                assert!(!quiet(&value), "{}", value.escape_ascii());
            }
        }
    }

    #[test]
    fn most_plain_values_are_quiet() {
        for value in [
            "John Smith",
            "2024-01-02 10:11:12",
            "New York, NY",
            "/a/b.html?c=d",
            "caf\u{e9} au lait",
            "en-GB",
            "550e8400-e29b-41d4-a716-446655440000",
            "51.5074,-0.1278",
            "https://example.org/a/b?c=d&e=f",
        ] {
            assert!(is_quiet(value.as_bytes()), "{value}");
        }
        for value in [
            "1 union select 2",
            "O'Brien",
            "a--b",
            "1or 1",
            "1e5or 1",
            "1.e5or 1",
            "a&&b",
            "order by 1",
            "current_date ",
            "x;y",
        ] {
            assert!(!is_quiet(value.as_bytes()), "{value}");
        }
    }
}
