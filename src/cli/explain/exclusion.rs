//! The narrowest exclusion file that would have let an exchange through: the exclusions that the
//! report has for the matches of the fewest rules without which the score stays below its
//! threshold, and for those of the rule that decided, if a rule did so by itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::waf::report::{PhaseName, Report};

/// A whole exclusion file, or `None` when nothing was stopped or no exclusion is known.
pub(super) fn file(report: &Report) -> Option<Value> {
    let interruption = report.interruption.as_ref()?;
    let side = Side::of(interruption.phase);
    let mut rules = by_points(report, side);
    let mut left = side.total(report);
    let mut chosen = Vec::new();
    // A rule that stops by itself gives its own message as the reason; a score adds to it.
    let by_rule = !interruption.by_score;
    if by_rule {
        chosen.push(interruption.rule);
        left -= rules.iter().find(|(rule, _)| *rule == interruption.rule).map_or(0, |(_, points)| *points);
        rules.retain(|(rule, _)| *rule != interruption.rule);
    }
    while left >= side.threshold(report) {
        let Some((rule, points)) = rules.pop() else { break };
        chosen.push(rule);
        left -= points;
    }
    let matches = report.matches.iter().filter(|found| !found.shadow && chosen.contains(&found.rule));
    let entries = merged(matches.flat_map(|found| entries(&found.exclusion)));
    if entries.is_empty() {
        return None;
    }
    Some(json!({ "name": "local-exclusions", "version": "1.0.0", "exclusions": entries }))
}

/// The file as a person would write it: one entry a line, what it excludes before where.
pub(super) fn text(file: &Value) -> String {
    const ORDER: [&str; 6] = ["rules", "tags", "variables", "hosts", "paths", "reason"];
    let line = |entry: &Map<String, Value>| {
        let known = ORDER.iter().filter_map(|key| Some((*key, entry.get(*key)?)));
        let others = entry.iter().filter(|(key, _)| !ORDER.contains(&key.as_str()));
        let pairs = known.chain(others.map(|(key, value)| (key.as_str(), value)));
        let pairs: Vec<String> = pairs.map(|(key, value)| format!("{}: {value}", json!(key))).collect();
        format!("    {{ {} }}", pairs.join(", "))
    };
    let entries = file["exclusions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lines: Vec<String> = entries.iter().filter_map(Value::as_object).map(line).collect();
    let (name, version) = (&file["name"], &file["version"]);
    let lines = lines.join(",\n");
    format!("{{\n  \"name\": {name},\n  \"version\": {version},\n  \"exclusions\": [\n{lines}\n  ]\n}}")
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Inbound,
    Outbound,
}

impl Side {
    pub(super) fn of(phase: PhaseName) -> Side {
        match phase {
            PhaseName::RequestHeaders | PhaseName::RequestBody => Side::Inbound,
            // Either, and nearly always what a client sent.
            PhaseName::WebsocketMessage => Side::Inbound,
            PhaseName::ResponseHeaders | PhaseName::ResponseBody | PhaseName::Event | PhaseName::Logging => {
                Side::Outbound
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Side::Inbound => "inbound",
            Side::Outbound => "outbound",
        }
    }

    pub(super) fn total(self, report: &Report) -> i64 {
        match self {
            Side::Inbound => report.ledger.inbound,
            Side::Outbound => report.ledger.outbound,
        }
    }

    pub(super) fn threshold(self, report: &Report) -> i64 {
        match self {
            Side::Inbound => report.ledger.inbound_threshold,
            Side::Outbound => report.ledger.outbound_threshold,
        }
    }
}

/// The rules that scored on this side with their points, the most last.
fn by_points(report: &Report, side: Side) -> Vec<(u32, i64)> {
    let mut sums: BTreeMap<u32, i64> = BTreeMap::new();
    for found in report.matches.iter().filter(|m| !m.shadow && Side::of(m.phase) == side) {
        *sums.entry(found.rule).or_default() += found.score;
    }
    let mut sums: Vec<(u32, i64)> = sums.into_iter().filter(|&(_, points)| points > 0).collect();
    sums.sort_by_key(|&(_, points)| points);
    sums
}

/// The entries in the text of an exclusion: one entry, or a whole file of them.
fn entries(text: &str) -> Vec<Map<String, Value>> {
    let Ok(Value::Object(mut object)) = serde_json::from_str(text) else { return Vec::new() };
    match object.remove("exclusions") {
        Some(Value::Array(list)) => list.into_iter().filter_map(|entry| entry.as_object().cloned()).collect(),
        Some(_) => Vec::new(),
        None => vec![object],
    }
}

/// Entries that differ only in their variables become one.
fn merged(entries: impl Iterator<Item = Map<String, Value>>) -> Vec<Map<String, Value>> {
    const LIST: &str = "variables";
    let without = |map: &Map<String, Value>| {
        let mut map = map.clone();
        let list = map.remove(LIST).is_some();
        list.then_some(map)
    };
    let mut out: Vec<Map<String, Value>> = Vec::new();
    for mut entry in entries {
        entry.entry("reason").or_insert_with(|| json!("matched legitimate traffic"));
        if out.contains(&entry) {
            continue;
        }
        let rest = without(&entry);
        let twin = out.iter_mut().find(|other| rest.is_some() && without(other) == rest);
        let known = twin.and_then(|twin| twin.get_mut(LIST)).and_then(Value::as_array_mut);
        match (known, entry.get(LIST).and_then(Value::as_array)) {
            (Some(known), Some(more)) => known.extend(more.iter().cloned()),
            _ => out.push(entry),
        }
    }
    out
}
