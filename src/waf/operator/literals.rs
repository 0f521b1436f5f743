//! What a regular expression needs: walks its syntax tree and finds texts and bytes without
//! which no value can match. Weak where it must be (an expression that matches everything needs
//! nothing), never wrong: the tests hold it against the regex itself.
//!
//! For each subexpression the walk keeps the whole language when that is a small finite set of
//! texts (`exact`), the best set of texts of which one must occur (`texts`), and sets of bytes
//! of each of which one must occur (`bytes`). Texts are in ASCII lower case, which makes
//! `(?i)select` one text instead of 64.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::waf::bytes::ByteSet;

use super::Need;

/// Texts that a set may hold. The largest alternation in public rule sets has about 300 words.
const MOST_TEXTS: usize = 512;
/// Texts that a product of neighbours may grow to, before the run is closed and a new one begun.
const MOST_EXACT: usize = 64;
/// A text is cut to this many bytes: longer ones select no better.
const LONGEST_TEXT: usize = 12;
/// A class with more values than this is not spelled out.
const WIDEST_CLASS: u32 = 10;
/// Byte sets kept.
const MOST_BYTE_SETS: usize = 4;
/// The weight of a byte set that few benign values have a byte of.
const RARE_BYTES: u32 = 6;
/// Shorter texts fire on nearly every value; byte sets do their work for less.
const SHORTEST_USEFUL_TEXT: usize = 2;

/// The need of an expression which the regex crate accepted under the same settings as `rx`.
pub(super) fn need(pattern: &str) -> Need {
    let parsed =
        ParserBuilder::new().unicode(false).utf8(false).dot_matches_new_line(true).build().parse(pattern);
    // The regex crate accepted the expression with its own nesting limit, which is this one;
    // should the two ever disagree, an expression without a need is merely slower.
    let Ok(hir) = parsed else { return Need::ALWAYS };
    let facts = walk(&hir);
    let rare_byte = facts.bytes.first().is_some_and(|(_, weight)| *weight <= RARE_BYTES);
    let texts = facts.best_texts().filter(|texts| match shortest(texts) {
        0..SHORTEST_USEFUL_TEXT => false,
        // `on` is in every other sentence, while `<` keeps nearly all of them away.
        SHORTEST_USEFUL_TEXT => {
            !(rare_byte && texts.iter().any(|text| text.iter().all(u8::is_ascii_alphanumeric)))
        }
        _ => true,
    });
    Need {
        literals: texts,
        bytes: facts.bytes.into_iter().map(|(set, _)| set).collect(),
        min_len: hir.properties().minimum_len().unwrap_or(0),
    }
}

/// About how many states the automaton of an expression has: its bytes and classes, with counted
/// repetitions spelled out.
pub(super) fn states(pattern: &str) -> usize {
    fn size(hir: &Hir) -> usize {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => 1,
            HirKind::Literal(literal) => literal.0.len(),
            HirKind::Class(_) => 1,
            HirKind::Repetition(repetition) => {
                let times = repetition.max.unwrap_or(repetition.min + 1).max(1) as usize;
                size(&repetition.sub).saturating_mul(times).saturating_add(1)
            }
            HirKind::Capture(capture) => size(&capture.sub),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => {
                parts.iter().map(size).fold(1, usize::saturating_add)
            }
        }
    }
    let parsed =
        ParserBuilder::new().unicode(false).utf8(false).dot_matches_new_line(true).build().parse(pattern);
    parsed.map_or(1, |hir| size(&hir))
}

/// What is known of a subexpression.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// Every text that it matches, when those are few. Cut texts never get in here.
    exact: Option<Vec<Vec<u8>>>,
    /// One of these is part of whatever it matches.
    texts: Option<Vec<Vec<u8>>>,
    /// Of each of these sets, one byte is part of whatever it matches; best first, with weights.
    bytes: Vec<(ByteSet, u32)>,
}

impl Facts {
    fn nothing() -> Facts {
        Facts::default()
    }

    fn empty_text() -> Facts {
        Facts { exact: Some(vec![Vec::new()]), ..Facts::default() }
    }

    /// The better of the required texts and the exact language.
    fn best_texts(&self) -> Option<Vec<Vec<u8>>> {
        better(self.texts.clone(), self.exact.clone().and_then(usable))
    }

    fn add_bytes(&mut self, set: ByteSet) {
        let weight = commonness(&set);
        if set.is_full() || self.bytes.iter().any(|(known, _)| *known == set) {
            return;
        }
        let at = self.bytes.partition_point(|(_, other)| *other <= weight);
        self.bytes.insert(at, (set, weight));
        self.bytes.truncate(MOST_BYTE_SETS);
    }
}

fn walk(hir: &Hir) -> Facts {
    match hir.kind() {
        // An assertion consumes nothing.
        HirKind::Empty | HirKind::Look(_) => Facts::empty_text(),
        HirKind::Literal(literal) => {
            let mut facts = Facts { exact: Some(vec![literal.0.to_ascii_lowercase()]), ..Facts::default() };
            for &byte in &literal.0 {
                facts.add_bytes(ByteSet::of(&[byte]));
            }
            facts
        }
        HirKind::Class(class) => class_facts(class),
        HirKind::Repetition(repetition) => repeated(&repetition.sub, repetition.min, repetition.max),
        HirKind::Capture(capture) => walk(&capture.sub),
        HirKind::Concat(parts) => concat(parts.iter().map(walk)),
        HirKind::Alternation(branches) => alternation(branches.iter().map(walk)),
    }
}

fn class_facts(class: &Class) -> Facts {
    let mut set = ByteSet::EMPTY;
    match class {
        Class::Bytes(class) => {
            for range in class.ranges() {
                set = set.union(ByteSet::range(range.start(), range.end()));
            }
        }
        Class::Unicode(class) => {
            // Only under (?u). Beyond ASCII a character is several bytes: its first is kept.
            for range in class.ranges() {
                let end = u8::try_from(u32::from(range.end()));
                match (u8::try_from(u32::from(range.start())), end) {
                    (Ok(start), Ok(end)) if end < 0x80 => set = set.union(ByteSet::range(start, end)),
                    _ => return Facts::nothing(),
                }
            }
        }
    }
    let mut facts = Facts::nothing();
    if set.is_empty() {
        // Matches nothing at all; no claim about it is needed.
        return facts;
    }
    let mut lower: Vec<Vec<u8>> =
        set.iter().take(2 * WIDEST_CLASS as usize + 1).map(|b| vec![b.to_ascii_lowercase()]).collect();
    lower.sort();
    lower.dedup();
    if set.len() <= 2 * WIDEST_CLASS && lower.len() <= WIDEST_CLASS as usize {
        facts.exact = Some(lower);
    }
    facts.add_bytes(set);
    facts
}

fn repeated(sub: &Hir, min: u32, max: Option<u32>) -> Facts {
    let facts = walk(sub);
    if min == 0 {
        let mut exact = (max == Some(1)).then_some(facts.exact).flatten();
        if let Some(texts) = &mut exact {
            texts.push(Vec::new());
            texts.sort();
            texts.dedup();
        }
        return Facts { exact, ..Facts::default() };
    }
    // At least `min` copies in a row; a text longer than we keep is not worth more copies.
    let copies = min.min(LONGEST_TEXT as u32);
    let mut all = concat((0..copies).map(|_| facts.clone()));
    if max != Some(copies) {
        // More may follow: what the copies need is still needed, but it is not all.
        all.texts = all.best_texts();
        all.exact = None;
    }
    all
}

fn concat(parts: impl Iterator<Item = Facts>) -> Facts {
    let mut all = Facts::nothing();
    // The exact language of the neighbours seen last; `whole` while that is everything so far.
    let mut run: Vec<Vec<u8>> = vec![Vec::new()];
    let mut whole = true;
    for part in parts {
        for (set, _) in part.bytes {
            all.add_bytes(set);
        }
        all.texts = better(all.texts.take(), part.texts);
        let joined = part.exact.as_ref().and_then(|next| product(&run, next));
        match (joined, part.exact) {
            (Some(joined), _) => run = joined,
            (None, next) => {
                all.texts = better(all.texts.take(), usable(std::mem::take(&mut run)));
                whole = false;
                // The next run begins with this part, or behind it when its language is open.
                run = next.unwrap_or_else(|| vec![Vec::new()]);
            }
        }
    }
    if whole {
        all.exact = Some(run);
    } else {
        all.texts = better(all.texts.take(), usable(run));
    }
    all
}

fn alternation(branches: impl Iterator<Item = Facts>) -> Facts {
    let branches: Vec<Facts> = branches.collect();
    let gather = |of: fn(&Facts) -> Option<Vec<Vec<u8>>>, most: usize| {
        let mut all: Vec<Vec<u8>> = Vec::new();
        for branch in &branches {
            all.extend(of(branch)?);
            if all.len() > most {
                return None;
            }
        }
        all.sort();
        all.dedup();
        Some(all)
    };
    let mut facts = Facts {
        exact: gather(|branch| branch.exact.clone(), MOST_TEXTS),
        texts: gather(Facts::best_texts, MOST_TEXTS),
        bytes: Vec::new(),
    };
    // One set from each branch: together they are needed by every branch. The best of each make
    // the best one, and the next ones another: what lets one through is often kept by the other.
    if branches.iter().all(|branch| !branch.bytes.is_empty()) {
        for at in 0..MOST_BYTE_SETS {
            let of = |branch: &Facts| branch.bytes[at.min(branch.bytes.len() - 1)].0;
            facts.add_bytes(branches.iter().map(of).fold(ByteSet::EMPTY, ByteSet::union));
        }
    }
    facts
}

/// All joins of two small languages; `None` when they become too many.
fn product(left: &[Vec<u8>], right: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    // A single text may be followed by any number of others: `on(?:click|load|...)`.
    let most = if left.len() == 1 || right.len() == 1 { MOST_TEXTS } else { MOST_EXACT };
    if left.len() * right.len() > most {
        return None;
    }
    let mut all = Vec::with_capacity(left.len() * right.len());
    for head in left {
        for tail in right {
            all.push([&head[..], tail].concat());
        }
    }
    all.sort();
    all.dedup();
    Some(all)
}

/// A set of texts as a requirement: cut to length; `None` when one of them is empty and would
/// be part of everything.
fn usable(texts: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    if texts.is_empty() || texts.iter().any(Vec::is_empty) {
        return None;
    }
    let mut texts = texts;
    for text in &mut texts {
        text.truncate(LONGEST_TEXT);
    }
    texts.sort();
    texts.dedup();
    // A text that contains another of the set adds nothing; in a sorted list those that begin
    // with another stand behind it.
    texts.dedup_by(|later, earlier| later.starts_with(earlier));
    (texts.len() <= MOST_TEXTS).then_some(texts)
}

/// Longer texts are rarer; among equals fewer are better.
fn better(a: Option<Vec<Vec<u8>>>, b: Option<Vec<Vec<u8>>>) -> Option<Vec<Vec<u8>>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if merit(&b) > merit(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

fn merit(texts: &[Vec<u8>]) -> i64 {
    // A byte more makes a text some eight times rarer; each doubling of the set costs half.
    let letters = texts.iter().map(|text| rarity(text)).min().unwrap_or(0);
    3 * letters - i64::from(texts.len().ilog2())
}

/// What nearly every page has: as a filter worth nothing where there is another.
const IN_PAGES: &[&[u8]] =
    &[b"<html>", b"<head>", b"<title>", b"</title>", b"</head><body>", b"<h1>", b"</h1>", b"<h2>", b"</h2>"];

/// The length of a text as a filter: runs of one byte, spaces mostly, count little.
fn rarity(text: &[u8]) -> i64 {
    if text.len() > 2 && IN_PAGES.iter().any(|page| memchr::memmem::find(page, text).is_some()) {
        return 0;
    }
    let repeats = text.windows(2).filter(|pair| pair[0] == pair[1]).count();
    (text.len() - repeats.min(text.len() - 1)).min(6) as i64
}

fn shortest(texts: &[Vec<u8>]) -> usize {
    texts.iter().map(Vec::len).min().unwrap_or(0)
}

/// How likely a benign value has a byte of the set: letters and digits are in most values,
/// spaces and a few marks in many, the rest in few.
pub(crate) fn commonness(set: &ByteSet) -> u32 {
    set.iter()
        .map(|byte| match byte {
            b'e' | b'a' | b't' | b'o' | b'i' | b'n' | b's' | b'r' => 12,
            b'a'..=b'z' => 6,
            b'0'..=b'9' => 5,
            b'A'..=b'Z' => 3,
            b' ' => 6,
            b'.' | b'-' | b'_' | b'/' => 4,
            b',' | b':' | b'=' | b'%' | b'+' | b'&' => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::RegexBuilder;

    use super::*;

    fn texts(pattern: &str) -> Option<Vec<String>> {
        need(pattern).literals.map(|all| all.iter().map(|text| text.escape_ascii().to_string()).collect())
    }

    #[test]
    fn the_rarest_necessary_texts_are_found() {
        for (pattern, expect) in [
            ("union", Some(vec!["union"])),
            ("(?i)union\\s+select", Some(vec!["select"])),
            ("(?i)\\b(?:union|select)\\b", Some(vec!["select", "union"])),
            ("(?i)on(?:click|load)\\s*=", Some(vec!["onclick", "onload"])),
            ("ab?cd", Some(vec!["abcd", "acd"])),
            ("x*union", Some(vec!["union"])),
            ("(?:abc){2}", Some(vec!["abcabc"])),
            ("(?:abc)+x", Some(vec!["abc"])),
            ("[ab]cd", Some(vec!["acd", "bcd"])),
            ("/etc/(?:passwd|shadow)", Some(vec!["/etc/passwd", "/etc/shadow"])),
            ("averyveryverylongword", Some(vec!["averyveryver"])),
            ("<title>[^<]{0,9}(?:Django|Flask)", Some(vec!["django", "flask"])),
            ("\\d+", None),
            (".", None),
            ("", None),
            ("union|", None),
            ("(?:union)?", None),
            ("'", None),
            ("a|union", None),
        ] {
            let expect = expect.map(|all| all.into_iter().map(str::to_owned).collect::<Vec<_>>());
            let mut got = texts(pattern);
            if let Some(all) = &mut got {
                all.sort();
            }
            assert_eq!(got, expect, "{pattern}");
        }
    }

    #[test]
    fn bytes_and_length_are_found_where_texts_are_not() {
        let quote = need("['\"]\\s*\\d");
        assert_eq!(quote.bytes[0], ByteSet::of(b"'\""));
        assert_eq!(quote.min_len, 2);
        let branches = need("<a|\\$b");
        assert_eq!(branches.bytes[0], ByteSet::of(b"<$"));
        let tag = need("(?i)<[^>]*on\\w+=");
        assert_eq!((tag.literals, tag.bytes[0]), (None, ByteSet::of(b"<")));
        assert!(need(".*").bytes.is_empty());
        assert!(need("a?").bytes.is_empty());
        assert!(need("(?:[^'])+").bytes[0].len() == 255);
    }

    /// Expressions made of the pieces that rules are made of.
    fn pattern() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "[a-cA-C]{1,4}",
            Just("\\s".to_owned()),
            Just("\\b".to_owned()),
            Just("^".to_owned()),
            Just("$".to_owned()),
            Just(".".to_owned()),
            Just("[ab]".to_owned()),
            Just("[^a]".to_owned()),
            Just("[A-Ca]".to_owned()),
            Just("\\xff".to_owned()),
            Just("(?i:ab)".to_owned()),
            Just("(?u:[ab])".to_owned()),
            Just("(?iu:k)".to_owned()),
            Just("['\"]".to_owned()),
            Just("[a&&b]".to_owned()),
            Just("".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..4).prop_map(|all| all.concat()),
                proptest::collection::vec(inner.clone(), 1..4)
                    .prop_map(|all| format!("(?:{})", all.join("|"))),
                (inner.clone(), "[?*+]").prop_map(|(sub, sign)| format!("(?:{sub}){sign}")),
                (inner.clone(), 0u32..3, 0u32..3)
                    .prop_map(|(sub, min, more)| format!("(?:{sub}){{{min},{}}}", min + more)),
                (inner.clone(), 0u32..3).prop_map(|(sub, min)| format!("(?:{sub}){{{min},}}")),
                inner.prop_map(|sub| format!("(?i:{sub})")),
            ]
        })
    }

    /// A text that the expression matches, up to its assertions; `dice` decides.
    fn sample(hir: &Hir, dice: &mut dyn Iterator<Item = u8>, out: &mut Vec<u8>) {
        let mut roll = |sides: usize| usize::from(dice.next().unwrap_or(0)) % sides.max(1);
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => out.extend_from_slice(&literal.0),
            HirKind::Class(Class::Bytes(class)) => {
                if let Some(range) = class.ranges().get(roll(class.ranges().len())) {
                    out.push(range.start() + roll(usize::from(range.end() - range.start()) + 1) as u8);
                }
            }
            HirKind::Class(Class::Unicode(class)) => {
                if let Some(range) = class.ranges().get(roll(class.ranges().len())) {
                    out.extend_from_slice(range.start().encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            HirKind::Repetition(repetition) => {
                let most = repetition.max.unwrap_or(repetition.min + 3).min(repetition.min + 3);
                for _ in 0..repetition.min as usize + roll((most - repetition.min) as usize + 1) {
                    sample(&repetition.sub, dice, out);
                }
            }
            HirKind::Capture(capture) => sample(&capture.sub, dice, out),
            HirKind::Concat(parts) => parts.iter().for_each(|part| sample(part, dice, out)),
            HirKind::Alternation(branches) => {
                let branch = roll(branches.len());
                sample(&branches[branch], dice, out);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_need_never_misses_a_match(
            pattern in pattern(),
            rolls in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 60), 20),
            noise in proptest::collection::vec(proptest::sample::select(b"abcABC '\"\xff\n\0Kk".to_vec()), 0..6),
        ) {
            let regex = RegexBuilder::new(&pattern).unicode(false).dot_matches_new_line(true).build();
            prop_assume!(regex.is_ok());
            let (regex, need) = (regex.unwrap(), need(&pattern));
            let hir = ParserBuilder::new().unicode(false).utf8(false).dot_matches_new_line(true).build()
                .parse(&pattern).unwrap();
            for rolls in rolls {
                let mut text = Vec::new();
                sample(&hir, &mut rolls.iter().copied(), &mut text);
                for value in [text.clone(), [&noise[..], &text, &noise].concat(), noise.clone()] {
                    prop_assert!(
                        !regex.is_match(&value) || need.may_match(&value),
                        "{} matches {:?} but needs {:?}", pattern, value.escape_ascii().to_string(), need
                    );
                }
            }
        }
    }
}
