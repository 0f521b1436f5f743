//! The shipped rule sets: they load, every rule has examples that hold, the schema is current
//! and agrees with the loader.

use std::path::Path;
use std::sync::Arc;

use portward::cli::rules::{SetArgs, load, test_examples};
use portward::config::core_rules;
use portward::waf::{Engine, Mode, Settings, Sources, lang};

fn shipped() -> Sources {
    core_rules::load_path(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).expect("rules/ is readable")
}

fn told(errors: &[portward::waf::LoadError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

#[test]
fn every_shipped_rule_matches_its_attacks_and_spares_their_twins() {
    let sources = shipped();
    let tested = test_examples(&sources, &[]).unwrap_or_else(|errors| panic!("{}", told(&errors)));
    println!("{} rules, {} examples", tested.rules, tested.examples);
    assert!(tested.rules > 0 && tested.examples >= 2 * tested.rules, "{} examples", tested.examples);
    assert!(tested.failures.is_empty(), "{:#?}", tested.failures);
    let program = lang::read_all(&sources).unwrap_or_else(|errors| panic!("{}", told(&errors)));
    for rule in program.sets.iter().flat_map(|set| &set.rules) {
        let examples =
            rule.examples.as_ref().unwrap_or_else(|| panic!("rule {} has no examples", rule.id.value));
        assert!(!examples.matching.is_empty(), "rule {} has no attack among its examples", rule.id.value);
        assert!(!examples.no_match.is_empty(), "rule {} has no benign twin", rule.id.value);
    }
}

#[test]
fn the_shipped_sets_load_in_every_mode_and_at_every_paranoia_level() {
    let sources = shipped();
    let mut active = Vec::new();
    for level in 1..=4 {
        for mode in [Mode::Block, Mode::Detect] {
            let settings = Settings { mode: Some(mode), paranoia_level: Some(level), ..Settings::default() };
            let engine =
                Engine::compile(&sources, &settings).unwrap_or_else(|errors| panic!("{}", told(&errors)));
            active.push(engine.rules().filter(|rule| rule.active).count());
        }
    }
    assert!(active[0] > 0 && active.is_sorted(), "{active:?}");
}

/// The fast path and the plain one on what the rules were made for, and on what nobody thought
/// of.
#[test]
fn prefilters_change_no_outcome_of_a_shipped_rule() {
    use portward::waf::example::Exchange;
    use portward::waf::input::{Body, ConnectionFacts, Extent, Field, RequestHead};
    let sources = shipped();
    let settings = portward::waf::cost::settings();
    let [fast, plain] = [Engine::compile, Engine::compile_plain].map(|compile| {
        Arc::new(compile(&sources, &settings).unwrap_or_else(|errors| panic!("{}", told(&errors))))
    });
    let program = lang::read_all(&sources).unwrap_or_else(|errors| panic!("{}", told(&errors)));
    let rules = program.sets.iter().flat_map(|set| &set.rules);
    let mut ran = 0;
    let mut texts = Vec::new();
    for at in
        rules.filter_map(|rule| rule.examples.as_ref()).flat_map(|e| e.matching.iter().chain(&e.no_match))
    {
        let exchange = Exchange::parse(&at.value).expect("examples were parsed when loaded");
        let (one, other) = (exchange.run(&fast), exchange.run(&plain));
        assert_eq!((one.matched, one.report), (other.matched, other.report), "{:?}", at.value);
        ran += 1;
        texts.extend(at.value.request.clone().into_iter().chain(at.value.response.clone()));
    }
    assert!(ran > 100, "{ran} examples");

    // Halves of examples crossed and cut anywhere, as target, header and body.
    let facts = ConnectionFacts {
        client_ip: std::net::Ipv4Addr::LOCALHOST.into(),
        client_port: 1,
        server_ip: None,
        server_port: 443,
        sni: None,
        identity: None,
        unix_ms: 0,
        unique_id: "ID",
    };
    for (index, text) in texts.iter().enumerate().step_by(7) {
        let other = texts[(index * 31 + 17) % texts.len()].as_bytes();
        let text = text.as_bytes();
        let target = [b"/?q=", &text[index % (text.len() + 1)..]].concat();
        let value = [&other[..other.len() / 2], &text[text.len() / 2..]].concat();
        let types = ["application/json", "text/xml", "application/x-www-form-urlencoded", "text/plain"];
        let fields = [
            Field { name: b"X-Odd", value: &value },
            Field { name: b"Cookie", value: other },
            Field { name: b"Content-Type", value: types[index % types.len()].as_bytes() },
        ];
        let head = RequestHead {
            method: "POST",
            target: &target,
            protocol: "HTTP/1.1",
            scheme: "https",
            host: "app.test",
            port: 443,
            fields: &fields,
        };
        let run = |engine: &Arc<Engine>| {
            let mut transaction = engine.begin(&facts);
            transaction.request_headers(&head);
            transaction.request_body(&Body { bytes: &value, extent: Extent::Partial, coding_error: None });
            let outcome = transaction.finish_with_matches();
            (outcome.matched, outcome.report)
        };
        assert_eq!(run(&fast), run(&plain), "{:?}", String::from_utf8_lossy(&value));
    }
}

#[test]
fn the_binary_carries_the_same_files() {
    let root = format!("{}/", env!("CARGO_MANIFEST_DIR"));
    let mut on_disk = shipped();
    for source in &mut on_disk.files {
        source.name = source.name.replace(&root, "");
    }
    let embedded = core_rules::core();
    assert_eq!(embedded.files, on_disk.files);
    assert_eq!(embedded.data, on_disk.data);
    let none = load(&SetArgs { no_core_rules: true, ..SetArgs::default() }).expect("nothing to read");
    assert!(none.files.is_empty());
}

#[test]
fn the_committed_schema_is_current() {
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/rules/schema.json"));
    let committed = committed.expect("rules/schema.json is there");
    assert!(committed == lang::schema::schema(), "write it anew: portward rules schema > rules/schema.json");
}

#[test]
fn the_schema_accepts_what_the_loader_accepts() {
    let schema: serde_json::Value = serde_json::from_str(&lang::schema::schema()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let sources = shipped();
    assert!(!sources.files.is_empty());
    for source in &sources.files {
        let document: serde_json::Value = serde_json::from_str(&source.text).expect("JSON");
        let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", source.name);
    }
}

/// A document with one mistake is refused by both the schema and the loader; without the
/// mistake, by neither.
#[test]
fn the_schema_refuses_what_the_loader_refuses() {
    let schema: serde_json::Value = serde_json::from_str(&lang::schema::schema()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let whole = serde_json::json!({
        "$schema": "schema.json", "name": "n", "version": "1", "description": "d", "mode": "detect",
        "rules": [{
            "id": 900001, "phase": "request_body", "message": "m", "description": "d", "severity": "critical",
            "paranoia_level": 2, "tags": ["t"], "mode": "detect",
            "when": { "all": [
                { "variables": ["args", "!args:/^x/", "&request_headers:host", "xml:/*"],
                  "transformations": ["lowercase", "none"], "operator": { "rx": "x" },
                  "negate": true, "capture": false, "multi_match": true },
                { "any": [{ "not": { "variables": ["tx:a"], "operator": { "ge": 1 } } }] }
            ] },
            "then": ["score", "block", "drop", "allow", "log", "no_log", { "score": 3 }, { "deny": { "status": 404 } },
                { "redirect": { "status": 307, "location": "/x%{tx.a}" } }, { "set": { "tx.a": "+1", "tx.b": 2 } },
                { "strip_request_header": "A" }, { "strip_response_header": "B" },
                { "exclude": { "rules": [900001, "900000-900002"], "tags": ["t"], "variables": ["args:a"] } }],
            "examples": { "match": ["GET /"], "no_match": [{ "request": "GET /", "response": "200" }] }
        }, { "marker": "HERE" }, {
            "id": 900002, "phase": "request_headers", "log_data": "%{matched_var}", "version": "v", "revision": "2",
            "maturity": 9, "accuracy": 8,
            "when": { "variables": ["ip:n"], "operator": { "ge": "%{tx.most}" },
                "on_match": [{ "set": { "tx.a": "+%{tx.b}", "ip.n": null } }] },
            "then": ["no_log", { "allow": "phase" }, { "expire": { "ip.n": 60 } },
                { "init_collection": { "global": "all" } }, { "rate_limit": { "key": "k", "requests": 1, "seconds": 60 } },
                { "engine": "off" }, { "body_processor": "json" }, "force_request_body_variable",
                { "request_body_access": false }, { "response_body_access": true }, { "skip": 2 }, { "skip_after": "HERE" }]
        }]
    });
    let refused = |document: &serde_json::Value| {
        let file = portward::waf::Source { name: "d.json".into(), text: document.to_string() };
        let sources = Sources { files: vec![file], ..Sources::default() };
        (!validator.is_valid(document), Engine::compile(&sources, &Settings::default()).is_err())
    };
    assert_eq!(
        refused(&whole),
        (false, false),
        "{:?}",
        validator.iter_errors(&whole).next().map(|e| e.to_string())
    );
    let mistakes: &[(&str, serde_json::Value)] = &[
        ("/name", serde_json::Value::Null),
        ("/more", 1.into()),
        ("/mode", "block".into()),
        ("/rules/0/id", "x".into()),
        ("/rules/0/phase", "body".into()),
        ("/rules/0/severity", "high".into()),
        ("/rules/0/paranoia_level", 5.into()),
        ("/rules/0/more", 1.into()),
        ("/rules/0/tags", "t".into()),
        ("/rules/0/when/all", serde_json::json!([])),
        ("/rules/0/when/any", serde_json::json!([])),
        ("/rules/0/when/all/0/variables/0", "arg".into()),
        ("/rules/0/when/all/0/transformations/0", "lower".into()),
        ("/rules/0/when/all/0/operator", serde_json::json!({ "regex": "x" })),
        ("/rules/0/when/all/0/operator/pm", serde_json::json!(["x"])),
        ("/rules/0/when/all/0/negated", true.into()),
        ("/rules/0/then/0", "scores".into()),
        ("/rules/0/then/6/score", serde_json::json!(-1)),
        ("/rules/0/then/7/deny/status", 200.into()),
        ("/rules/0/then/8/redirect/status", 304.into()),
        ("/rules/0/then/9/set/env.x", "1".into()),
        ("/rules/0/then/9/set/tx.x", 1.5.into()),
        ("/rules/1/marker", 1.into()),
        ("/rules/1/more", 1.into()),
        ("/rules/2/maturity", 11.into()),
        ("/rules/2/log_data", 1.into()),
        ("/rules/2/then/1/allow", "all".into()),
        ("/rules/2/then/2/expire/tx.n", 60.into()),
        ("/rules/2/then/3/init_collection/tx", "k".into()),
        ("/rules/2/then/4/rate_limit/requests", 0.into()),
        ("/rules/2/then/4/rate_limit/more", 0.into()),
        ("/rules/2/then/5/engine", "on".into()),
        ("/rules/2/then/6/body_processor", "csv".into()),
        ("/rules/2/then/8/request_body_access", "on".into()),
        ("/rules/2/then/10/skip", 0.into()),
        ("/rules/2/then/11/skip_after", 1.into()),
        ("/rules/0/then/12/exclude/rules/0", "x".into()),
        ("/rules/0/then/12/exclude/more", 1.into()),
        ("/rules/0/examples/match/0", 1.into()),
        ("/rules/0/examples/more", serde_json::json!([])),
    ];
    for (pointer, value) in mistakes {
        let mut document = whole.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        match document.pointer_mut(parent) {
            Some(serde_json::Value::Object(object)) => drop(object.insert(key.to_owned(), value.clone())),
            Some(serde_json::Value::Array(items)) => {
                items[key.parse::<usize>().expect("an index")] = value.clone()
            }
            _ => panic!("nothing at {parent}"),
        }
        assert_eq!(refused(&document), (true, true), "{pointer}");
    }
}
