//! Regular expressions of PCRE, as SecLang has them, for the `regex` crate: the same meaning on
//! bytes, in linear time. What cannot be said so is refused with its place and a way out.
//!
//! The meaning taken is ModSecurity 2's: `.` matches every byte, `$` only the very end
//! (PCRE's DOTALL and DOLLAR_ENDONLY), no UTF.

mod ahead;
mod back;
mod escape;
mod parse;
mod resolve;
mod tree;
mod write;

use serde_json::{Value, json};

use tree::{Around, Look, Tree};

/// An expression for the operator `rx`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    pub pattern: String,
    /// Groups of which the second, when it took part, must be equal to the first.
    pub equal: Vec<[usize; 2]>,
    /// The same, but they must be different.
    pub different: Vec<[usize; 2]>,
    /// Groups are compared whatever their case.
    pub ignore_case: bool,
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
        if self.ignore_case {
            object.insert("ignore_case".to_owned(), json!(true));
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
    let (flags, tree) = without_flags(parsed.tree);
    let mut tree = back::compared(tree, &mut rewritten);
    if !flags.is_empty() || resolve::is_special(&tree) {
        tree = linear(tree, &flags, parsed.caseless, &mut rewritten)?;
    }
    rewritten.pattern = spelled(&flags, &tree);
    Ok(rewritten)
}

/// Parts to be written otherwise; each costs a walk over what follows it. Real expressions have up
/// to twenty.
const MOST_SPECIAL: usize = 64;

/// Flags at the very start, which hold for all of the expression.
fn without_flags(mut tree: Tree) -> (String, Tree) {
    let list = match &mut tree {
        Tree::Concat(parts) => Some(parts),
        Tree::Alternation(branches) => match branches.first_mut() {
            Some(Tree::Concat(parts)) => Some(parts),
            _ => None,
        },
        _ => None,
    };
    match list {
        Some(parts) if matches!(parts.first(), Some(Tree::Flags(_))) => match parts.remove(0) {
            Tree::Flags(flags) => (flags, tree),
            _ => (String::new(), tree),
        },
        _ => (String::new(), tree),
    }
}

fn spelled(flags: &str, tree: &Tree) -> String {
    let text = write::expression(tree);
    if flags.is_empty() { text } else { format!("(?{flags}){text}") }
}

/// The expression without look-around and the like. What can only be asked of the whole value
/// becomes a condition beside it.
fn linear(tree: Tree, flags: &str, caseless: bool, rewritten: &mut Rewritten) -> Result<Tree, Refusal> {
    if resolve::count_special(&tree) > MOST_SPECIAL {
        return Err(Refusal {
            at: 1,
            what: format!("more than {MOST_SPECIAL} look-arounds, possessive repetitions and atomic groups"),
            help: "split the expression into several rules".to_owned(),
        });
    }
    let mut parts = match tree {
        Tree::Concat(parts) => parts,
        one => vec![one],
    };
    loop {
        let mut resolver = resolve::Resolver::new(caseless);
        let stuck = match resolver.expression(&Tree::Concat(parts.clone())) {
            Ok(tree) => {
                rewritten.notes.append(&mut resolver.notes);
                return Ok(tree);
            }
            Err(stuck) => refusal(&stuck),
        };
        let (around, whole) = anchored(&mut parts).ok_or(stuck)?;
        let tree = Tree::Concat(whole);
        let Some(lost) = resolve::lost_captures(&around) else {
            return Err(refusal(&Tree::Around(Box::new(around))));
        };
        let at = if around.ahead { 1 } else { parts.len() - 1 };
        parts.splice(at..at, lost);
        let mut resolver = resolve::Resolver::new(caseless);
        let tree = resolver.expression(&tree).map_err(|stuck| refusal(&stuck))?;
        let list = if around.negative { &mut rewritten.unless } else { &mut rewritten.also };
        list.insert(0, spelled(flags, &tree));
    }
}

/// A look-ahead right behind `^` at the start, or a look-behind right before `$` at the end, asks
/// something of the whole value: it is taken out, with the expression that asks it.
fn anchored(parts: &mut Vec<Tree>) -> Option<(Around, Vec<Tree>)> {
    let start = matches!(parts.first(), Some(Tree::Look(Look::Start)));
    if start
        && matches!(parts.get(1), Some(Tree::Around(around)) if around.ahead)
        && let Tree::Around(around) = parts.remove(1)
    {
        let whole = vec![Tree::Look(Look::Start), Tree::group(around.inner.clone())];
        return Some((*around, whole));
    }
    let before = parts.len().checked_sub(2)?;
    let end = matches!(parts.last(), Some(Tree::Look(Look::End)));
    if end
        && matches!(&parts[before], Tree::Around(around) if !around.ahead)
        && let Tree::Around(around) = parts.remove(before)
    {
        let whole = vec![Tree::group(around.inner.clone()), Tree::Look(Look::End)];
        return Some((*around, whole));
    }
    None
}

/// Why this part is in the way.
fn refusal(stuck: &Tree) -> Refusal {
    match stuck {
        Tree::Around(around) => Refusal {
            at: around.at,
            what: format!(
                "this look-{} cannot be matched in linear time",
                if around.ahead { "ahead" } else { "behind" }
            ),
            help: "write two conditions under \"all\", the second with \"negate\": true".to_owned(),
        },
        Tree::Back { group, at, .. } => Refusal {
            at: *at,
            what: format!("the back-reference \\{group} cannot be matched in linear time"),
            help: "compare whole words, `\\b(\\w+)\\b ... \\b\\1\\b`, or write the rule without it"
                .to_owned(),
        },
        _ => Refusal {
            at: 1,
            what: "the expression cannot be matched in linear time".to_owned(),
            help: "write it without look-around".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcre_is_spelled_for_the_regex_crate() {
        for (pcre, expected) in [
            (r"\x{bc}[\x{be}]\/", r"\xbc[\xbe]/"),
            (r"a{|{b}|[[&&~~x]", r"a\{|\{b\}|[\[\&\&\~\~x]"),
            (r"[\s\v]\<\h", r"[\s\n\x0b\x0c\r\x85]<[\t \xa0]"),
            (r"\Qa.b\E*\012", r"a\.b*\n"),
            ("(?i)(?P<n>\u{e4})", r"(?i)(?<n>\xc3\xa4)"),
            (r"\s*+;", r"\s*;"),
            (r"<\?(?!xml)", r"<\?(?:[^x]|x(?:[^m]|m(?:[^l]|$)|$)|$)"),
            (r"(?x) a # b", "a"),
        ] {
            let found = rewrite(pcre).unwrap_or_else(|refusal| panic!("{pcre}: {refusal}"));
            assert_eq!(found.argument(), json!(expected), "{pcre}");
        }
    }

    #[test]
    fn what_one_expression_cannot_ask_stands_beside_it() {
        let argument =
            |pcre: &str| rewrite(pcre).unwrap_or_else(|refusal| panic!("{pcre}: {refusal}")).argument();
        assert_eq!(
            argument(r"(?i)^(?=.*\d)(?!.*x$)\w+"),
            json!({ "pattern": r"(?i)^\w+", "also": [r"(?i)^(?:.*\d)"], "unless": ["(?i)^(?:.*x$)"] })
        );
        assert_eq!(
            argument(r"(?i:\b(\w+)\b=\b\1\b)"),
            json!({ "pattern": r"(?i:\b(\w+)\b=\b(\w+)\b)", "equal_groups": [[1, 2]], "ignore_case": true })
        );
    }

    #[test]
    fn a_refusal_says_where_and_what_to_do() {
        let refusal = rewrite("(?i)\u{e4}(\\w+)=\\1").expect_err("a part of a word");
        assert_eq!(refusal.at, 12);
        assert!(
            refusal.to_string().contains("back-reference \\1 cannot be matched in linear time"),
            "{refusal}"
        );
        for pcre in [
            "(", "a)", "[a", "*a", "a**", "a{2,1}", "\\", "\\x{100}", "(?<1>a)", "\\2", "[z-a]", "{2}",
            "[[:no:]]",
        ] {
            assert!(rewrite(pcre).is_err(), "{pcre}");
        }
    }

    /// A hostile rule file costs no more than a refusal.
    #[test]
    fn deep_and_wide_expressions_end() {
        for pcre in [
            "(".repeat(10_000),
            "(?:a".repeat(90) + &")*".repeat(90),
            format!("(?!{})[ab]{{50}}c", "a?".repeat(30)),
            "(?!ab)(?:a|b)?".repeat(60),
            format!("{}x", "a*+".repeat(3_000)),
            format!("{}x", "(?>ab|a)".repeat(300)),
            format!("(?:{}b){{1,50}}", "a\\R\\(?".repeat(20)),
            "a++b*+c?+".repeat(17),
            format!("{}x{}", "(?:\\R+".repeat(30), "a)?".repeat(30)),
        ] {
            let _ = rewrite(&pcre);
        }
    }
}
