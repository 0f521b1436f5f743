//! The narrowest exclusion file that would have let an exchange through: of the exclusions that
//! the report has for each match, the fewest that bring the score below its threshold, and
//! those of the rule that decided, if a rule did.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::audit::Record;
use crate::message::reason::Code;
use crate::waf::report::{Match, PhaseName, Report};

/// A whole exclusion file, or `None` when nothing was stopped or no exclusion is known.
pub(super) fn file(record: &Record, report: &Report) -> Option<Value> {
    let interruption = report.interruption.as_ref()?;
    let side = Side::of(interruption.phase);
    let over = side.total(report) >= side.threshold(report);
    let scored = record.reason == Code::Score.as_str() || (over && record.reason != Code::Blocked.as_str());

    let mut chosen: Vec<&str> = Vec::new();
    let mut left = side.total(report);
    if !scored {
        for found in report.matches.iter().filter(|found| found.rule == interruption.rule && !found.shadow) {
            if !chosen.contains(&found.exclusion.as_str()) {
                chosen.push(&found.exclusion);
            }
        }
        left -= points(report, side, |found| chosen.contains(&found.exclusion.as_str()));
    }
    let mut others = by_points(report, side);
    while over && left >= side.threshold(report) {
        let Some((exclusion, points)) = others.pop() else { break };
        if !chosen.contains(&exclusion) {
            chosen.push(exclusion);
            left -= points;
        }
    }
    let entries = merged(chosen.iter().flat_map(|text| entries(text)));
    if entries.is_empty() {
        return None;
    }
    Some(json!({ "name": "local-exclusions", "version": "1.0.0", "exclusions": entries }))
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
            PhaseName::ResponseHeaders | PhaseName::ResponseBody | PhaseName::Logging => Side::Outbound,
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

fn counts(found: &Match, side: Side) -> bool {
    !found.shadow && found.score != 0 && Side::of(found.phase) == side
}

fn points(report: &Report, side: Side, which: impl Fn(&Match) -> bool) -> i64 {
    report.matches.iter().filter(|found| counts(found, side) && which(found)).map(|found| found.score).sum()
}

/// Each different exclusion with the points it would take away, the most last.
fn by_points(report: &Report, side: Side) -> Vec<(&str, i64)> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for found in report.matches.iter().filter(|found| counts(found, side)) {
        *sums.entry(&found.exclusion).or_default() += found.score;
    }
    let mut sums: Vec<(&str, i64)> = sums.into_iter().collect();
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

/// Entries that differ only in their rules become one.
fn merged(entries: impl Iterator<Item = Map<String, Value>>) -> Vec<Map<String, Value>> {
    let mut out: Vec<Map<String, Value>> = Vec::new();
    for mut entry in entries {
        let rules = entry.get("rules").and_then(Value::as_array).cloned().unwrap_or_default();
        entry.entry("reason").or_insert_with(|| json!("false positive: say here what it was"));
        let twin = out.iter_mut().find(|other| {
            let rest = |map: &Map<String, Value>| {
                map.iter()
                    .filter(|(key, _)| *key != "rules")
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect::<Vec<_>>()
            };
            !rules.is_empty() && other.contains_key("rules") && rest(other) == rest(&entry)
        });
        match twin.and_then(|twin| twin.get_mut("rules")).and_then(Value::as_array_mut) {
            Some(known) => {
                for rule in rules {
                    if !known.contains(&rule) {
                        known.push(rule);
                    }
                }
            }
            None => out.push(entry),
        }
    }
    out
}
