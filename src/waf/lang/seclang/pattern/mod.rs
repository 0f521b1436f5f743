//! Regular expressions of PCRE, as SecLang has them, for the `regex` crate: the same meaning on
//! bytes, in linear time. What cannot be said so is refused with its place and a way out.
//!
//! The meaning taken is ModSecurity 2's: `.` matches every byte, `$` only the very end
//! (PCRE's DOTALL and DOLLAR_ENDONLY), no UTF.

mod escape;
mod parse;
mod tree;
mod write;

use serde_json::{Value, json};

use tree::{Group, GroupKind, Tree};

/// An expression for the operator `rx`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    pub pattern: String,
    /// Groups of which the second, when it took part, must be equal to the first.
    pub equal: Vec<[usize; 2]>,
    /// The same, but they must be different.
    pub different: Vec<[usize; 2]>,
    /// Expressions that must match the value as well.
    pub also: Vec<String>,
    /// Expressions that must not match the value.
    pub unless: Vec<String>,
    /// Where the meaning is not the same to the letter.
    pub notes: Vec<String>,
}

impl Rewritten {
    /// The argument of the operator `rx`.
    pub fn argument(&self) -> Value {
        let mut object = serde_json::Map::new();
        for (key, pairs) in [("equal_groups", &self.equal), ("different_groups", &self.different)] {
            if !pairs.is_empty() {
                object.insert(key.to_owned(), json!(pairs));
            }
        }
        for (key, patterns) in [("also", &self.also), ("unless", &self.unless)] {
            if !patterns.is_empty() {
                object.insert(key.to_owned(), json!(patterns));
            }
        }
        if object.is_empty() {
            return Value::String(self.pattern.clone());
        }
        object.insert("pattern".to_owned(), json!(self.pattern));
        Value::Object(object)
    }
}

/// Why an expression cannot be said in linear time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {at}: {what} ({help})")]
pub struct Refusal {
    /// The character, from 1.
    pub at: usize,
    pub what: String,
    pub help: String,
}

/// The same expression for the `regex` crate on bytes.
pub fn rewrite(pcre: &str) -> Result<Rewritten, Refusal> {
    let parsed = parse::parse(pcre)?;
    let mut rewritten = Rewritten { notes: parsed.notes, ..Rewritten::default() };
    refuse_rest(&parsed.tree)?;
    rewritten.pattern = write::expression(&parsed.tree);
    Ok(rewritten)
}

/// What no step has taken away.
fn refuse_rest(tree: &Tree) -> Result<(), Refusal> {
    let mut found = None;
    tree.any(&mut |part| {
        let refusal = match part {
            Tree::Around(around) => Refusal {
                at: around.at,
                what: format!(
                    "this look-{} cannot be matched in linear time",
                    if around.ahead { "ahead" } else { "behind" }
                ),
                help: "write two conditions under \"all\", the second with \"negate\": true".to_owned(),
            },
            Tree::Back(group) => Refusal {
                at: 1,
                what: format!("the back-reference \\{group} cannot be matched in linear time"),
                help: "compare whole words: `\\b(\\w+)\\b ... \\b\\1\\b`; or write the rule without it"
                    .to_owned(),
            },
            _ => return false,
        };
        found = Some(refusal);
        true
    });
    found.map_or(Ok(()), Err)
}
