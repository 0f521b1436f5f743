//! Comparison with a fixed text, byte for byte and case-sensitive (add the `lowercase`
//! transformation for the other):
//!
//! - `contains`, `str_match`: the text stands somewhere in the value;
//! - `contains_word`: it does, and no ASCII letter stands right beside it; the empty text is a
//!   word of every value;
//! - `begins_with`, `ends_with`, `streq`: where the name says;
//! - `within`: the other way round, the value stands somewhere in the text. The empty value
//!   does. Lists are therefore written with separators: `"|GET|HEAD|"` over a value that a
//!   rule has wrapped, or `"GET HEAD"` where values hold no space.
//!
//! Argument: a text. Example: `{"begins_with": "/admin"}`.

use std::ops::Range;

use memchr::memmem::Finder;
use serde_json::Value;

use crate::waf::bytes::ByteSet;

use super::{Data, Hit, Need, Operator, OperatorError, text_argument};

#[derive(Debug)]
struct Text {
    relation: Relation,
    finder: Finder<'static>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    BeginsWith,
    Contains,
    ContainsWord,
    EndsWith,
    StrMatch,
    Streq,
    Within,
}

/// The relation that an operator's name stands for.
pub(super) fn relation(name: &str) -> Option<Relation> {
    Some(match name {
        "begins_with" => Relation::BeginsWith,
        "contains" => Relation::Contains,
        "contains_word" => Relation::ContainsWord,
        "ends_with" => Relation::EndsWith,
        "str_match" => Relation::StrMatch,
        "streq" => Relation::Streq,
        "within" => Relation::Within,
        _ => return None,
    })
}

pub(super) fn build(name: &str, argument: &Value, _: &Data) -> Result<Box<dyn Operator>, OperatorError> {
    let text = text_argument(name, argument)?;
    let relation = relation(name).unwrap_or(Relation::Streq);
    Ok(Box::new(Text { relation, finder: Finder::new(text.as_bytes()).into_owned() }))
}

impl Relation {
    /// The comparison with a text that is known only now.
    pub fn evaluate(self, text: &[u8], value: &[u8]) -> Option<Hit> {
        match self.anchored(text, value) {
            Some(answer) => answer,
            None => Text { relation: self, finder: Finder::new(text).into_owned() }.evaluate(value),
        }
    }

    /// The answer where no search is needed, or none that is worth preparing.
    fn anchored(self, text: &[u8], value: &[u8]) -> Option<Option<Hit>> {
        let whole = 0..value.len();
        let span = match self {
            Relation::BeginsWith => value.starts_with(text).then_some(0..text.len()),
            Relation::EndsWith => value.ends_with(text).then(|| value.len() - text.len()..value.len()),
            Relation::Streq => (value == text).then_some(whole),
            // The other direction: the value is the needle.
            Relation::Within => stands_in(text, value).then_some(whole),
            Relation::Contains | Relation::ContainsWord | Relation::StrMatch => return None,
        };
        Some(span.map(Hit::at))
    }
}

/// True when `value` is part of `text`. Lists are short, and preparing a search in them would cost
/// more than searching.
fn stands_in(text: &[u8], value: &[u8]) -> bool {
    const SHORT: usize = 256;
    let Some(first) = value.first() else { return true };
    if text.len() > SHORT {
        return memchr::memmem::find(text, value).is_some();
    }
    let Some(last) = text.len().checked_sub(value.len()) else { return false };
    memchr::memchr_iter(*first, &text[..=last]).any(|at| text[at..].starts_with(value))
}

impl Operator for Text {
    fn evaluate(&self, value: &[u8]) -> Option<Hit> {
        let text = self.finder.needle();
        if let Some(answer) = self.relation.anchored(text, value) {
            return answer;
        }
        let span = match self.relation {
            Relation::ContainsWord => self.word(value),
            _ => self.finder.find(value).map(|start| start..start + text.len()),
        };
        span.map(Hit::at)
    }

    fn need(&self) -> Need {
        let text = self.finder.needle();
        if self.relation == Relation::Within {
            // The empty value matches, so that no byte is needed.
            return Need::ALWAYS;
        }
        if text.is_empty() {
            return Need::ALWAYS;
        }
        Need {
            literals: Some(vec![text.to_ascii_lowercase()]),
            bytes: text.iter().take(4).map(|&byte| ByteSet::of(&[byte])).collect(),
            min_len: text.len(),
        }
    }

    fn describe(&self) -> String {
        let name = match self.relation {
            Relation::BeginsWith => "begins_with",
            Relation::Contains => "contains",
            Relation::ContainsWord => "contains_word",
            Relation::EndsWith => "ends_with",
            Relation::StrMatch => "str_match",
            Relation::Streq => "streq",
            Relation::Within => "within",
        };
        format!("{name} {}", String::from_utf8_lossy(self.finder.needle()))
    }
}

impl Text {
    /// Where the text stands as a word. Occurrences may overlap: `a-a` is a word of `xa-a-a`.
    fn word(&self, value: &[u8]) -> Option<Range<usize>> {
        let length = self.finder.needle().len();
        if length == 0 {
            return Some(0..0);
        }
        let mut from = 0;
        loop {
            let start = from + self.finder.find(&value[from..])?;
            let end = start + length;
            let letter_before = start > 0 && value[start - 1].is_ascii_alphabetic();
            if !letter_before && !value.get(end).is_some_and(u8::is_ascii_alphabetic) {
                return Some(start..end);
            }
            from = start + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{built, check};

    #[test]
    fn each_relation_says_where_the_text_stands() {
        check(
            &*built("contains", json!("ab")),
            &[(b"xxabab", Some(2..4)), (b"AB", None), (b"a", None), (b"", None)],
        );
        check(&*built("str_match", json!("ab")), &[(b"xab", Some(1..3)), (b"ba", None)]);
        check(&*built("contains", json!("")), &[(b"", Some(0..0)), (b"x", Some(0..0))]);
        check(&*built("begins_with", json!("/a")), &[(b"/ab", Some(0..2)), (b"x/a", None), (b"/", None)]);
        check(&*built("ends_with", json!(".php")), &[(b"a.php", Some(1..5)), (b"a.php5", None), (b"", None)]);
        check(&*built("streq", json!("a")), &[(b"a", Some(0..1)), (b"A", None), (b"aa", None), (b"", None)]);
    }

    #[test]
    fn a_word_has_borders_on_both_sides() {
        check(
            &*built("contains_word", json!("id")),
            &[
                (b"id", Some(0..2)),
                (b"void id;", Some(5..7)),
                (b"identity", None),
                (b"my_id", Some(3..5)),
                (b"id2", Some(0..2)),
                (b"grid", None),
                (b"(id)", Some(1..3)),
                (b"\xc3id\xc3", Some(1..3)),
                (b"", None),
            ],
        );
        check(&*built("contains_word", json!("a-a")), &[(b"xa-a-a", Some(3..6)), (b"xa-ax", None)]);
        check(&*built("contains_word", json!("")), &[(b"", Some(0..0)), (b"x", Some(0..0))]);
    }

    #[test]
    fn within_looks_for_the_value_in_the_text() {
        check(
            &*built("within", json!("GET HEAD")),
            &[
                (b"GET", Some(0..3)),
                (b"", Some(0..0)),
                (b"EAD", Some(0..3)),
                (b"POST", None),
                (b"GET HEAD ", None),
            ],
        );
    }
}
