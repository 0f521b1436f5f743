//! Secrets that show themselves by their look: tokens, keys and payment card numbers.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::packed::Searcher;
use regex::Regex;

/// Texts that are keys or tokens by their look.
pub(super) fn shapes(text: &str, hidden: &mut Vec<Range<usize>>) {
    static SHAPES: LazyLock<Regex> = LazyLock::new(|| {
        // A JSON web token; credentials behind their scheme's name; keys with the prefixes that
        // their issuers document; a PEM private key.
        Regex::new(concat!(
            r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*",
            r"|(?i:\b(?:bearer|basic|negotiate)(?:\s|\+|%20)+)[A-Za-z0-9._~+/=-]{6,}",
            r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
            r"|\bgh[pousr]_[A-Za-z0-9]{20,}",
            r"|\bgithub_pat_[A-Za-z0-9_]{20,}",
            r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
            r"|\bAIza[A-Za-z0-9_-]{30,}",
            r"|\bsk-[A-Za-z0-9_-]{20,}",
            r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        ))
        .expect("a constant pattern")
    });
    // Nearly all texts have none, which is told much faster than by the expression.
    if !may_have_shape(text) {
        return;
    }
    hidden.extend(SHAPES.find_iter(text).map(|found| found.range()));
}

/// One of the beginnings of the shapes that have one, or what must stand behind a scheme's name.
/// A processor without vector instructions has no searcher and runs the expression.
fn may_have_shape(text: &str) -> bool {
    static BEGINNINGS: LazyLock<Option<Searcher>> = LazyLock::new(|| {
        let keys = ["eyJ", "AKIA", "ASIA", "github_pat_", "xox", "AIza", "sk-", "-----BEGIN "];
        let tokens = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"];
        Searcher::new(keys.iter().chain(&tokens))
    });
    // White space outside of ASCII counts too.
    let blank = |b: &u8| u8::from((*b <= b' ') | (*b >= 0x80) | (*b == b'+') | (*b == b'%'));
    text.as_bytes().iter().fold(0, |found, b| found | blank(b)) != 0
        || BEGINNINGS.as_ref().is_none_or(|beginnings| beginnings.find(text).is_some())
}

/// The shortest card number.
const FEWEST_DIGITS: usize = 13;

/// Payment card numbers: 13 to 19 digits that begin as issuers number them, with a right check
/// digit (ISO/IEC 7812-1, Luhn), in groups or not. A blank may be written `+` or `%20`.
pub(super) fn cards(text: &str, hidden: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    if bytes.iter().filter(|b| b.is_ascii_digit()).count() < FEWEST_DIGITS {
        return;
    }
    let mut at = 0;
    while at < bytes.len() {
        let group = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        if group == 0 {
            at += 1;
        } else if let Some(end) = card_end(bytes, at) {
            hidden.push(at..end);
            at = end;
        } else {
            // A card number can still begin at the next group.
            at += group;
        }
    }
}

/// Where the longest card number that begins at `at` ends; it takes whole groups of digits.
fn card_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut digits = [0u8; 19];
    let mut count = 0;
    let mut next = at;
    let mut best = None;
    while count < digits.len() && bytes.get(next).is_some_and(u8::is_ascii_digit) {
        digits[count] = bytes[next] - b'0';
        count += 1;
        next += 1;
        if !bytes.get(next).is_some_and(u8::is_ascii_digit) {
            if count >= FEWEST_DIGITS && is_card(&digits[..count]) {
                best = Some(next);
            }
            next += separator(&bytes[next..]);
        }
    }
    best
}

fn separator(rest: &[u8]) -> usize {
    let length = match rest.first() {
        Some(b' ' | b'-' | b'+' | b'.') => 1,
        Some(b'%') if rest.starts_with(b"%20") || rest.starts_with(b"%2D") || rest.starts_with(b"%2d") => 3,
        _ => 0,
    };
    if rest.get(length).is_some_and(u8::is_ascii_digit) { length } else { 0 }
}

fn is_card(digits: &[u8]) -> bool {
    let issuer = matches!(digits[0], 3..=6) || (digits[0] == 2 && matches!(digits[1], 2..=7));
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, &digit)| {
            let digit = u32::from(digit);
            match i % 2 {
                0 => digit,
                _ if digit > 4 => digit * 2 - 9,
                _ => digit * 2,
            }
        })
        .sum();
    issuer && sum.is_multiple_of(10) && digits.iter().any(|&digit| digit != digits[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_key_is_found_without_anything_else_in_the_text() {
        let prefixes = [
            "AKIA",
            "ASIA",
            "ghp_",
            "gho_",
            "ghu_",
            "ghs_",
            "ghr_",
            "github_pat_",
            "xoxa-",
            "xoxb-",
            "xoxs-",
            "AIza",
            "sk-",
        ];
        let mut keys: Vec<String> = prefixes
            .iter()
            // The length of the first two is fixed.
            .map(|prefix| prefix.to_string() + &"A".repeat(if prefix.ends_with("IA") { 16 } else { 40 }))
            .collect();
        keys.push(format!("eyJ{0}.{0}.{0}", "a".repeat(9)));
        keys.extend(["Bearer+", "basic%20", "negotiate\u{a0}"].map(|scheme| scheme.to_owned() + "abcdefg"));
        for key in keys {
            for (before, after) in [("", ""), ("/a/", "/z"), ("https://shop.test/a/path/of/some/length/", "")]
            {
                let mut hidden = Vec::new();
                shapes(&format!("{before}{key}{after}"), &mut hidden);
                let start = before.len();
                assert!(matches!(&hidden[..], [one] if one.start == start), "{before}{key}: {hidden:?}");
            }
        }
        let mut hidden = Vec::new();
        shapes("https://shop.test/items/2026-11/keyed_values.html", &mut hidden);
        assert!(hidden.is_empty());
    }
}
