//! A trace tells what happened, in order, and how.

use std::sync::Arc;

use serde_json::json;

use super::super::trace::{Because, Event};
use super::super::{Engine, Settings, Source, Sources};
use super::{body, facts, head};

fn events(rules: serde_json::Value, target: &str) -> Vec<Event> {
    let text = json!({"name": "set", "version": "1", "rules": rules}).to_string();
    let sources = Sources { files: vec![Source { name: "r.json".into(), text }], ..Sources::default() };
    let engine =
        Engine::compile(&sources, &Settings::default()).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let engine = Arc::new(engine);
    let mut transaction = engine.begin(&facts());
    transaction.trace();
    transaction.request_headers(&head(target, &[]));
    transaction.request_body(&body(b""));
    let traced = transaction.finish_traced();
    assert_eq!(traced.trace.dropped, 0);
    traced.trace.events
}

#[test]
fn values_are_told_as_they_come_change_and_match() {
    let rule = json!({"id": 7, "phase": "request_headers", "message": "found %{matched_var}",
        "when": {"variables": ["args:q"], "transformations": ["lowercase", "trim"],
            "operator": {"rx": "^(b)c"}, "capture": true, "on_match": [{"set": {"tx.n": "+2"}}]},
        "then": ["log"]});
    let events = events(json!([rule]), "/?q=%20BC&r=x");
    let from = events.iter().position(|event| matches!(event, Event::Rule { .. })).expect("its turn came");
    let to = events.iter().position(|event| matches!(event, Event::Matched { .. })).expect("it matched");
    let expect = [
        Event::Rule { rule: 7, conditional: true },
        Event::Comparison {
            rule: 7,
            first: true,
            variables: vec!["args:q".into()],
            operator: "rx ^(b)c".into(),
            argument: None,
            negated: false,
        },
        Event::Transformed { name: "lowercase", result: b" bc".to_vec() },
        Event::Transformed { name: "trim", result: b"bc".to_vec() },
        Event::Asked { name: b"args:q".to_vec(), value: b"bc".to_vec(), matched: true },
        Event::Captured { group: 0, text: b"bc".to_vec() },
        Event::Captured { group: 1, text: b"b".to_vec() },
        Event::Set { name: b"tx:n".to_vec(), value: Some(b"2".to_vec()) },
        Event::Compared { rule: 7, matched: true },
    ];
    assert_eq!(events[from..to], expect);
    assert!(events.contains(&Event::Collected { name: b"args_get:r".to_vec(), value: b"x".to_vec() }));
    assert!(matches!(&events[to], Event::Matched { message, .. } if message == b"found bc"));
}

#[test]
fn rules_without_a_turn_are_told_with_the_reason() {
    let rule = |id: u32, then: serde_json::Value| json!({"id": id, "phase": "request_headers", "message": "m", "then": then});
    let rules = json!([
        rule(1, json!(["log", {"skip": 1}])),
        rule(2, json!(["log"])),
        rule(3, json!(["log", {"exclude": {"rules": [4]}}, {"skip_after": "end"}])),
        rule(5, json!(["log"])),
        {"marker": "end"},
        rule(4, json!(["log"])),
        rule(6, json!([{"allow": "phase"}])),
        rule(8, json!(["log"])),
    ]);
    let skipped: Vec<(u32, Because)> = events(rules, "/")
        .iter()
        .filter_map(|event| match event {
            Event::Skipped { rule, because } => Some((*rule, *because)),
            _ => None,
        })
        .collect();
    let expect = [(2, Because::Skip), (5, Because::Marker), (4, Because::Excluded), (8, Because::Allowed)];
    assert_eq!(skipped, expect);
}
