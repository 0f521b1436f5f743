//! A match as a record for people: what was found where, how it came to look like that, and
//! the narrowest exclusion that would let it through.

use serde_json::json;

use super::engine::Program;
use super::expand;
use super::operator::Dynamic;
use super::report::{Match, Step};
use super::rule::Rule;
use super::scratch::{Matched, Scratch};
use super::template::Template;
use super::transaction::State;
use super::variable::Collection;
use super::variable::store::Store;

/// Bytes kept of a value, of what was hit, and of an operator.
const VALUE: usize = 256;
const HIT: usize = 128;
const OPERATOR: usize = 200;
/// Bytes kept of texts with macros.
const MESSAGE: usize = 512;
const DATA: usize = 512;

/// `matched` is none for a rule that matched without a value, by `not` for instance.
pub(crate) fn match_of(
    program: &Program,
    rule: &Rule,
    matched: Option<&Matched>,
    score: i64,
    scratch: &Scratch,
    state: &State,
) -> Match {
    let store = &scratch.store;
    let text = |template: &Template, most: usize| match template.plain() {
        Some(text) => text.to_owned(),
        None => shown(&expand::template(template, rule, scratch, state, matched), most),
    };
    let variable = matched.map_or_else(String::new, |matched| shown(store.get(matched.name), VALUE));
    Match {
        rule: rule.id,
        set: rule.set.to_string(),
        phase: rule.phase,
        message: text(&rule.message, MESSAGE),
        data: rule.log_data.as_ref().map_or_else(String::new, |data| text(data, DATA)),
        severity: rule.severity.map_or("", |severity| severity.name()).to_owned(),
        paranoia_level: rule.paranoia_level,
        tags: rule.tags.clone(),
        score,
        shadow: rule.shadow,
        variable,
        value: matched.map_or_else(String::new, |matched| shown(store.get(matched.raw), VALUE)),
        matched: matched.map_or_else(String::new, |matched| shown(store.get(matched.hit), HIT)),
        operator: matched.map_or_else(String::new, |matched| operator(program, matched)),
        steps: matched.map_or_else(Vec::new, |matched| steps(program, matched, store)),
        exclusion: exclusion(rule, matched, store),
    }
}

/// Bytes as text: what is not printable UTF-8 as `\xHH`, and no more than so many bytes.
pub(crate) fn shown(bytes: &[u8], most: usize) -> String {
    let escape = |text: &mut String, byte: u8| text.push_str(&format!("\\x{byte:02x}"));
    let cut = bytes.len() > most;
    let mut text = String::new();
    for chunk in bytes[..bytes.len().min(most)].utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                c if c.is_control() => c.to_string().bytes().for_each(|b| escape(&mut text, b)),
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|b| escape(&mut text, *b));
    }
    if cut {
        text.push_str("...");
    }
    text
}

fn operator(program: &Program, matched: &Matched) -> String {
    let leaf = &program.leaves[matched.leaf];
    let mut text = if leaf.negate { "not ".to_owned() } else { String::new() };
    let described = leaf.dynamic.as_ref().map_or_else(|| leaf.operator.describe(), Dynamic::describe);
    text.push_str(&shown(described.as_bytes(), OPERATOR));
    if let Some(note) = &matched.note {
        text.push_str(&format!(" ({})", shown(note.as_bytes(), HIT)));
    }
    text
}

/// The transformations again, one by one; only matches pay for this.
fn steps(program: &Program, matched: &Matched, store: &Store) -> Vec<Step> {
    let leaf = &program.leaves[matched.leaf];
    let mut steps = layers(matched, store);
    let looked_at = matched.value.map_or(matched.raw, |number| store.values[number as usize].value);
    let mut value = store.get(looked_at).to_vec();
    for transformation in &leaf.steps {
        // A multi-match may have hit between two steps.
        if leaf.multi_match && value == store.get(matched.transformed) {
            break;
        }
        let mut out = Vec::new();
        if (transformation.apply)(&value, &mut out) {
            steps.push(Step { transformation: transformation.name.to_owned(), result: shown(&out, VALUE) });
            value = out;
        }
    }
    steps
}

/// What was decoded before the first transformation, outermost layer first.
fn layers(matched: &Matched, store: &Store) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut number = matched.value;
    while let Some(value) = number.map(|number| &store.values[number as usize]) {
        if let Some(origin) = value.origin {
            let result = shown(store.get(value.value), VALUE);
            steps.push(Step { transformation: format!("decode {}", origin.encoding.name()), result });
        }
        number = value.origin.map(|origin| origin.from);
    }
    steps.reverse();
    steps
}

fn exclusion(rule: &Rule, matched: Option<&Matched>, store: &Store) -> String {
    let mut object = serde_json::Map::new();
    object.insert("rules".into(), json!([rule.id]));
    if let Some(matched) = matched.filter(|matched| matched.excludable) {
        object.insert("variables".into(), json!([target(store.get(matched.name))]));
    }
    let host = store.first(Collection::ServerName).unwrap_or_default();
    if let Ok(host) = std::str::from_utf8(host)
        && crate::net::Host::parse(host).is_ok()
    {
        object.insert("hosts".into(), json!([host]));
    }
    let path = store.first(Collection::RequestFilename).unwrap_or_default();
    if let Ok(path) = std::str::from_utf8(path)
        && path.starts_with('/')
        && path.len() <= VALUE
    {
        object.insert("paths".into(), json!([path]));
    }
    object.insert("reason".into(), json!(format!("rule {} matched legitimate traffic", rule.id)));
    serde_json::Value::Object(object).to_string()
}

/// A name as a target; keys that a target's text cannot hold as a pattern for exactly them.
fn target(name: &[u8]) -> String {
    let (variable, key) = match name.iter().position(|b| *b == b':') {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (name, &b""[..]),
    };
    let variable = String::from_utf8_lossy(variable);
    if key.is_empty() || variable == "xml" {
        return String::from_utf8_lossy(name).into_owned();
    }
    match std::str::from_utf8(key) {
        Ok(key) if !key.starts_with('/') && key.len() <= VALUE && key.is_ascii() => {
            format!("{variable}:{key}")
        }
        _ => {
            let literal: String = key
                .iter()
                .take(VALUE)
                .map(|b| {
                    if b.is_ascii_alphanumeric() { char::from(*b).to_string() } else { format!("\\x{b:02x}") }
                })
                .collect();
            let end = if key.len() > VALUE { "" } else { "$" };
            format!("{variable}:/^{literal}{end}/")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::variable::target::Target;

    #[test]
    fn bytes_are_shown_as_text() {
        assert_eq!(shown(b"a\xff\x00\n\xc3\xa4z", 100), "a\\xff\\x00\\n\u{e4}z");
        assert_eq!(shown(b"abcdef", 3), "abc...");
    }

    #[test]
    fn every_key_has_a_target_that_covers_it() {
        for key in [&b"q"[..], b"/x/", b"/", b"a:b", b"\xff\n", b"\xc3\xa4", b"a*b"] {
            let name = [b"args:", key].concat();
            let target = Target::parse(&target(&name)).expect("a target");
            assert!(target.covers(Collection::ArgsGet, key), "{key:?}");
            assert!(!target.covers(Collection::ArgsGet, &[key, b"x"].concat()), "{key:?}");
        }
    }
}
