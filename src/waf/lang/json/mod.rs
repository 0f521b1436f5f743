//! Our JSON format, from nodes to the tree. Reading goes on after an error with the next value,
//! so that one run tells all that is wrong.

mod action;
mod condition;
mod exclusion;
mod rule;
#[cfg(test)]
mod tests;

pub(super) use action::counted;
pub(crate) use exclusion::host_pattern;

use serde::de::IntoDeserializer;

use super::ast::{Marker, Program, RequestBodies, RuleSet, SetMode, Setup, SetupMode, ShadowMode};
use super::error::{At, Place, Problems, shown};
use super::node::{Kind, Node};

/// Reads one file into the program; its keys tell what it holds.
pub fn file(node: &Node, program: &mut Program, problems: &mut Problems) {
    let Kind::Object(entries) = &node.kind else {
        problems.add(node.place, format!("a rule file is an object, not {}", node.kind_name()));
        return;
    };
    let has = |key: &str| entries.iter().any(|(known, _)| known.value == key);
    let kinds: Vec<&str> = ["rules", "exclusions", "setup"].into_iter().filter(|key| has(key)).collect();
    match kinds[..] {
        ["rules"] => program.sets.extend(rule_set(node, problems)),
        ["exclusions"] => program.exclusions.extend(exclusion::exclusion_set(node, problems)),
        ["setup"] => {
            // A later file, the user's, overrides an earlier one, the core's.
            if let Some(setup) = setup(node, problems) {
                let before = program.setup.take().unwrap_or_default();
                program.setup = Some(setup.over(before));
            }
        }
        [] => problems.add(node.place, "the file has none of the keys `rules`, `exclusions` and `setup`"),
        _ => problems.add(
            node.place,
            format!("the file has both `{}` and `{}`; a file holds one of them", kinds[0], kinds[1]),
        ),
    }
}

const SET_KEYS: &[&str] = &["$schema", "name", "version", "description", "mode", "rules"];

fn rule_set(node: &Node, problems: &mut Problems) -> Option<RuleSet> {
    let fields = Fields::of(node, "a rule set", SET_KEYS, problems)?;
    let name = fields.text("name", problems);
    let version = fields.text("version", problems);
    let description = fields.optional_text("description", problems);
    let mode = text_of(&fields, "mode", problems).and_then(|word| match word.value.as_str() {
        "detect" => Some(SetMode::Detect),
        "off" => Some(SetMode::Off),
        _ => {
            problems.unknown(word.place, "mode", &word.value, ["detect", "off"]);
            None
        }
    });
    let nodes = fields.required("rules", problems).and_then(|node| list(node, "`rules`", problems))?;
    let (mut rules, mut markers) = (Vec::with_capacity(nodes.len()), Vec::new());
    for node in nodes {
        match &node.kind {
            Kind::Object(entries) if matches!(&entries[..], [(key, _)] if key.value == "marker") => {
                let name = non_empty(&entries[0].1, "`marker`", problems);
                markers.extend(name.map(|name| Marker { before: rules.len(), name }));
            }
            _ => rules.extend(rule::rule(node, problems)),
        }
    }
    Some(RuleSet { place: node.place, name: name?, version: version?, description, mode, rules, markers })
}

const SETUP_KEYS: &[&str] = &[
    "paranoia_level",
    "inbound_threshold",
    "outbound_threshold",
    "mode",
    "request_body_access",
    "response_body_access",
    "response_body_types",
    "arguments_limit",
    "request_bodies",
    "sets",
    "exclusion_packs",
];

fn setup(node: &Node, problems: &mut Problems) -> Option<Setup> {
    let file = Fields::of(node, "a setup file", &["$schema", "setup"], problems)?;
    let inner = file.required("setup", problems)?;
    let fields = Fields::of(inner, "`setup`", SETUP_KEYS, problems)?;
    let most = i64::from(u32::MAX);
    let types = fields.texts("response_body_types", problems);
    let mode = fields.get("mode").and_then(|node| setup_mode(node, problems));
    let bodies = text_of(&fields, "request_bodies", problems).and_then(|word| match word.value.as_str() {
        "by_content_type" => Some(RequestBodies::ByContentType),
        "as_modsecurity" => Some(RequestBodies::AsModsecurity),
        _ => {
            let known = ["by_content_type", "as_modsecurity"];
            problems.unknown(word.place, "way to read request bodies", &word.value, known);
            None
        }
    });
    Some(Setup {
        paranoia_level: fields.paranoia_level(problems),
        inbound_threshold: fields.integer("inbound_threshold", 1, most, problems),
        outbound_threshold: fields.integer("outbound_threshold", 1, most, problems),
        mode,
        request_body_access: fields.boolean("request_body_access", problems),
        response_body_access: fields.boolean("response_body_access", problems),
        response_body_types: types
            .map(|types| types.into_iter().map(|at| at.value.to_ascii_lowercase()).collect()),
        arguments_limit: fields
            .integer("arguments_limit", 1, most, problems)
            .and_then(|limit| u32::try_from(limit).ok()),
        request_bodies: bodies,
        sets: fields
            .named("sets", problems)
            .filter_map(|(name, node)| Some((name.clone(), setup_mode(node, problems)?)))
            .collect(),
        exclusion_packs: fields
            .named("exclusion_packs", problems)
            .filter_map(|(name, node)| Some((name.clone(), hosts(node, problems)?)))
            .collect(),
    })
}

fn setup_mode(node: &Node, problems: &mut Problems) -> Option<SetupMode> {
    word::<SetupMode>(node, "mode", &["block", "detect", "off"], problems).map(|at| at.value)
}

/// Host patterns as they are written; they are understood when the program is compiled.
fn hosts(node: &Node, problems: &mut Problems) -> Option<Vec<At<String>>> {
    let nodes = list(node, "the hosts of a pack", problems)?;
    Some(nodes.iter().filter_map(|node| non_empty(node, "a host", problems)).collect())
}

fn text_of(fields: &Fields, key: &str, problems: &mut Problems) -> Option<At<String>> {
    text(fields.get(key)?, &format!("`{key}`"), problems)
}

/// An object's entries, its keys having been checked.
struct Fields<'n> {
    place: Place,
    what: &'static str,
    entries: &'n [(At<String>, Node)],
}

impl<'n> Fields<'n> {
    fn of(node: &'n Node, what: &'static str, known: &[&str], problems: &mut Problems) -> Option<Fields<'n>> {
        let Kind::Object(entries) = &node.kind else {
            problems.add(node.place, format!("{what} is an object, not {}", node.kind_name()));
            return None;
        };
        for (key, _) in entries {
            if !known.contains(&key.value.as_str()) {
                let known = known.iter().copied().filter(|known| !known.starts_with('$'));
                problems.unknown(key.place, "key", &key.value, known);
            }
        }
        Some(Fields { place: node.place, what, entries })
    }

    fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(known, _)| known.value == key).map(|(_, node)| node)
    }

    /// The entries of an object under this key.
    fn named(&self, key: &str, problems: &mut Problems) -> std::slice::Iter<'n, (At<String>, Node)> {
        match self.get(key).map(|node| (&node.kind, node)) {
            None => [].iter(),
            Some((Kind::Object(entries), _)) => entries.iter(),
            Some((_, node)) => {
                problems.add(node.place, format!("`{key}` is an object, not {}", node.kind_name()));
                [].iter()
            }
        }
    }

    fn required(&self, key: &str, problems: &mut Problems) -> Option<&'n Node> {
        let node = self.get(key);
        if node.is_none() {
            problems.add(self.place, format!("{} needs the key `{key}`", self.what));
        }
        node
    }

    fn text(&self, key: &str, problems: &mut Problems) -> Option<String> {
        let node = self.required(key, problems)?;
        let text = text(node, &format!("`{key}`"), problems)?;
        if text.value.is_empty() {
            problems.add(node.place, format!("`{key}` is empty"));
        }
        Some(text.value)
    }

    fn optional_text(&self, key: &str, problems: &mut Problems) -> Option<String> {
        text(self.get(key)?, &format!("`{key}`"), problems).map(|at| at.value)
    }

    /// A text whose macros name variables.
    fn template(&self, key: &str, problems: &mut Problems) -> Option<String> {
        let node = self.get(key)?;
        let text = text(node, &format!("`{key}`"), problems)?.value;
        action::check_template(&text, node, problems)?;
        Some(text)
    }

    fn integer(&self, key: &str, least: i64, most: i64, problems: &mut Problems) -> Option<i64> {
        integer(self.get(key)?, &format!("`{key}`"), least, most, problems)
    }

    fn paranoia_level(&self, problems: &mut Problems) -> Option<u8> {
        self.integer("paranoia_level", 1, 4, problems).and_then(|level| u8::try_from(level).ok())
    }

    fn boolean(&self, key: &str, problems: &mut Problems) -> Option<bool> {
        let node = self.get(key)?;
        match node.kind {
            Kind::Bool(value) => Some(value),
            _ => {
                problems.add(node.place, format!("`{key}` is true or false, not {}", node.kind_name()));
                None
            }
        }
    }

    fn mode(&self, problems: &mut Problems) -> Option<ShadowMode> {
        let word = text(self.get("mode")?, "`mode`", problems)?;
        if word.value != "detect" {
            problems.unknown(word.place, "mode", &word.value, ["detect"]);
        }
        Some(ShadowMode::Detect)
    }

    fn list(&self, key: &str, problems: &mut Problems) -> Option<&'n [Node]> {
        list(self.get(key)?, &format!("`{key}`"), problems)
    }

    fn texts(&self, key: &str, problems: &mut Problems) -> Option<Vec<At<String>>> {
        let nodes = self.list(key, problems)?;
        let what = format!("each of `{key}`");
        Some(nodes.iter().filter_map(|node| non_empty(node, &what, problems)).collect())
    }
}

fn text(node: &Node, what: &str, problems: &mut Problems) -> Option<At<String>> {
    match &node.kind {
        Kind::Text(text) => Some(At::new(node.place, text.clone())),
        _ => {
            problems.add(node.place, format!("{what} is a string, not {}", node.kind_name()));
            None
        }
    }
}

fn non_empty(node: &Node, what: &str, problems: &mut Problems) -> Option<At<String>> {
    let text = text(node, what, problems)?;
    if text.value.is_empty() {
        problems.add(node.place, format!("{what} is not the empty string"));
        return None;
    }
    Some(text)
}

fn list<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n [Node]> {
    match &node.kind {
        Kind::List(items) => Some(items),
        _ => {
            problems.add(node.place, format!("{what} is a list, not {}", node.kind_name()));
            None
        }
    }
}

fn integer(node: &Node, what: &str, least: i64, most: i64, problems: &mut Problems) -> Option<i64> {
    let value = match &node.kind {
        Kind::Number(number) => number.as_i64(),
        _ => None,
    };
    if let Some(value) = value.filter(|value| (least..=most).contains(value)) {
        return Some(value);
    }
    let found = match &node.kind {
        Kind::Number(number) => number.to_string(),
        _ => node.kind_name().to_owned(),
    };
    problems.add(node.place, format!("{what} is a whole number from {least} to {most}, not {found}"));
    None
}

/// One of an enumeration's words, as serde spells them.
fn word<T: serde::de::DeserializeOwned>(
    node: &Node,
    kind: &str,
    known: &[&str],
    problems: &mut Problems,
) -> Option<At<T>> {
    let word = text(node, &format!("`{kind}`"), problems)?;
    let deserializer: serde::de::value::StrDeserializer<serde::de::value::Error> =
        word.value.as_str().into_deserializer();
    match T::deserialize(deserializer) {
        Ok(value) => Some(At::new(node.place, value)),
        Err(_) => {
            problems.unknown(node.place, kind, &word.value, known.iter().copied());
            None
        }
    }
}

/// A target, its error turned into a problem.
fn target(at: &At<String>, problems: &mut Problems) -> Option<crate::waf::variable::target::Target> {
    use crate::waf::variable::target::{Target, TargetError};
    match Target::parse(&at.value) {
        Ok(target) => Some(target),
        Err(TargetError::Unknown(name)) => {
            problems.unknown(at.place, "variable", &name, crate::waf::variable::names());
            None
        }
        Err(error) => {
            problems.add(at.place, error.to_string());
            None
        }
    }
}

/// `from 1 to 4`-like ids: a number, or "FIRST-LAST".
fn id_range(node: &Node, problems: &mut Problems) -> Option<At<super::ast::IdRange>> {
    use super::ast::IdRange;
    let range = match &node.kind {
        Kind::Number(number) => {
            number.as_u64().and_then(|id| u32::try_from(id).ok()).map(|id| IdRange { first: id, last: id })
        }
        Kind::Text(text) => match text.split_once('-') {
            Some((first, last)) => first
                .parse()
                .ok()
                .zip(last.parse().ok())
                .filter(|(first, last)| first <= last)
                .map(|(first, last)| IdRange { first, last }),
            None => text.parse().ok().map(|id| IdRange { first: id, last: id }),
        },
        _ => None,
    };
    if range.is_none() {
        let found = match &node.kind {
            Kind::Text(text) => format!("`{}`", shown(text)),
            Kind::Number(number) => number.to_string(),
            _ => node.kind_name().to_owned(),
        };
        problems.add(node.place, format!("a rule id is a number or a range \"FIRST-LAST\", not {found}"));
    }
    range.map(|range| At::new(node.place, range))
}
