//! What the rule language says beyond single conditions: effects of conditions, jumps, switches,
//! macros, and collections that outlive an exchange.

use serde_json::{Value, json};

use super::*;

fn leaf(variable: &str, operator: Value) -> Value {
    json!({ "variables": [variable], "operator": operator })
}

fn always(id: u32, then: Value) -> Value {
    json!({ "id": id, "phase": "request_headers", "message": format!("rule {id}"), "then": then })
}

fn when(id: u32, condition: Value, then: Value) -> Value {
    with(always(id, then), "when", condition)
}

/// The ids that matched, also of rules that do not log.
fn matched(engine: &Arc<Engine>, target: &str) -> Vec<u32> {
    let mut transaction = engine.begin(&facts());
    transaction.request_headers(&head(target, &[]));
    transaction.request_body(&body(b""));
    transaction.finish_with_matches().matched
}

/// What `tx.NAME` is after these rules have run.
fn tx(rules: Value, target: &str, name: &str) -> Option<String> {
    let mut rules = rules;
    let list = rules.as_array_mut().expect("a list");
    list.push(with(
        always(999, json!(["log"])),
        "when",
        leaf(&format!("tx:{name}"), json!({"unconditional_match": true})),
    ));
    let report = ask(&compile(rules), target, &[]).1;
    report.matches.iter().find(|found| found.rule == 999).map(|found| found.value.clone())
}

#[test]
fn a_condition_acts_for_each_value_even_when_the_rule_then_fails() {
    let mut counting = leaf("args", json!({"contains": "x"}));
    counting["on_match"] = json!([{ "set": { "tx.n": "+%{tx.step}", "tx.last": "%{matched_var_name}" } }]);
    let rules = json!([
        always(1, json!([{ "set": { "tx.step": 3 } }])),
        when(
            2,
            json!({ "all": [counting, leaf("request_method", json!({"streq": "POST"}))] }),
            json!(["block"])
        ),
    ]);
    assert_eq!(tx(rules.clone(), "/?a=x&b=y&c=xx", "n").as_deref(), Some("6"));
    assert_eq!(tx(rules.clone(), "/?a=x&b=y&c=xx", "last").as_deref(), Some("args:c"));
    assert_eq!(tx(rules, "/?b=y", "n"), None);
}

#[test]
fn the_last_match_is_one_of_the_last_variable() {
    for (variables, expect) in [
        (["args_names", "args_get"], "args_get:b=x"),
        (["args_get", "args_names"], "args_names:bx=bx"),
        (["args_names:bx", "args"], "args:b=x"),
    ] {
        let condition = json!({ "variables": variables, "operator": {"rx": "x"}, "capture": true });
        let rules = json!([when(
            1,
            condition,
            json!([{ "set": { "tx.last": "%{matched_var_name}=%{matched_var}" } }])
        )]);
        let last = tx(rules, "/?bx=1&a=x&b=x", "last");
        assert_eq!(last.as_deref(), Some(expect), "{variables:?}");
    }
}

#[test]
fn variables_are_set_counted_named_by_macros_and_taken_away() {
    let set = |all: Value| always(1, json!([{ "set": all }]));
    let value = |rules: Value, name: &str| tx(rules, "/?id=7", name);
    assert_eq!(
        value(json!([set(json!({ "tx.a": "%{args.id}/%{request_method}" }))]), "a").as_deref(),
        Some("7/GET")
    );
    assert_eq!(value(json!([set(json!({ "tx.N_%{args.id}": 1 }))]), "n_7").as_deref(), Some("1"));
    assert_eq!(value(json!([set(json!({ "tx.a": "5x", "tx.b": "+1" }))]), "b").as_deref(), Some("1"));
    let more = always(2, json!([{ "set": { "tx.a": "-2" } }]));
    assert_eq!(value(json!([set(json!({ "tx.a": "5x" })), more]), "a").as_deref(), Some("3"));
    let gone = always(2, json!([{ "set": { "tx.a": null } }]));
    assert_eq!(value(json!([set(json!({ "tx.a": 1 })), gone]), "a"), None);
}

#[test]
fn an_argument_with_macros_is_filled_in_when_the_rule_runs() {
    let allowed =
        always(1, json!([{ "set": { "tx.allowed": "|GET|HEAD|", "tx.most": 2, "tx.word": "b+" } }]));
    let engine = compile(json!([
        allowed,
        when(2, leaf("request_method", json!({"within": "%{tx.allowed}"})), json!(["log"])),
        when(3, leaf("&args", json!({"gt": "%{tx.most}"})), json!(["log"])),
        when(4, leaf("args:q", json!({"rx": "^a%{tx.word}$"})), json!(["log"])),
        when(5, leaf("args:q", json!({"streq": "%{tx.nothing}"})), json!(["log"])),
        when(
            6,
            json!({ "variables": ["args:q"], "negate": true, "operator": {"contains": "%{tx.word}"} }),
            json!(["log"])
        ),
    ]));
    assert_eq!(matched(&engine, "/?q=abb"), [1, 2, 4, 6]);
    assert_eq!(matched(&engine, "/?q=&r=1&s=2"), [1, 2, 3, 5, 6]);
    assert_eq!(matched(&engine, "/"), [1, 2], "a variable that is not there matches nothing, negated or not");
}

#[test]
fn rules_are_left_out_up_to_a_marker_of_their_phase() {
    let rules = |jump: Value| {
        compile(json!([
            when(1, leaf("args:jump", json!({"streq": "1"})), json!([jump])),
            always(2, json!(["log"])),
            { "marker": "HERE" },
            with(always(3, json!(["log"])), "phase", json!("request_body")),
            always(4, json!(["log"])),
            { "marker": "THERE" },
            always(5, json!(["log"])),
        ]))
    };
    let after = |name: &str| matched(&rules(json!({ "skip_after": name })), "/?jump=1");
    assert_eq!(after("HERE"), [1, 4, 5, 3]);
    assert_eq!(after("THERE"), [1, 5, 3]);
    assert_eq!(after("NOWHERE"), [1, 3], "the rest of the phase");
    assert_eq!(matched(&rules(json!({ "skip": 1 })), "/?jump=1"), [1, 4, 5, 3]);
    assert_eq!(matched(&rules(json!({ "skip": 2 })), "/?jump=1"), [1, 5, 3]);
    assert_eq!(matched(&rules(json!({ "skip": 99 })), "/?jump=1"), [1, 3]);
    assert_eq!(matched(&rules(json!({ "skip": 99 })), "/"), [2, 4, 5, 3]);
}

#[test]
fn allow_lets_a_phase_the_request_or_the_exchange_pass() {
    let run = |action: Value| {
        let engine = compile(json!([
            always(1, json!([action])),
            always(2, json!(["log"])),
            with(always(3, json!(["log"])), "phase", json!("request_body")),
            with(always(4, json!(["log"])), "phase", json!("response_headers")),
            with(always(5, json!(["log"])), "phase", json!("logging")),
        ]));
        let mut transaction = engine.begin(&facts());
        transaction.request_headers(&head("/", &[]));
        transaction.request_body(&body(b""));
        transaction.response_headers(&ResponseHead { status: 200, protocol: "HTTP/1.1", fields: &[] });
        transaction.finish_with_matches().matched
    };
    assert_eq!(run(json!({ "allow": "phase" })), [1, 3, 4, 5]);
    assert_eq!(run(json!({ "allow": "request" })), [1, 4, 5]);
    assert_eq!(run(json!("allow")), [1, 5]);
}

#[test]
fn a_rule_switches_the_engine_for_its_exchange() {
    let rules = |mode: &str| {
        compile(json!([
            when(1, leaf("args:switch", json!({"streq": "1"})), json!([{ "engine": mode }])),
            when(2, leaf("args:x", json!({"contains": "bad"})), json!(["block"])),
            with(always(3, json!(["log"])), "phase", json!("logging")),
        ]))
    };
    for (mode, stopped, found) in
        [("block", true, vec![1, 2, 3]), ("detect", false, vec![1, 2, 3]), ("off", false, vec![1])]
    {
        let engine = rules(mode);
        assert_eq!(stops(&engine, "/?switch=1&x=bad", &[]), stopped, "{mode}");
        assert_eq!(matched(&engine, "/?switch=1&x=bad"), found, "{mode}");
        assert!(stops(&engine, "/?x=bad", &[]), "{mode}: only the exchange that was switched");
    }
    let (_, report) = ask(&rules("detect"), "/?switch=1&x=bad", &[]);
    assert!(report.detection_only && report.interruption.is_some());
}

#[test]
fn words_about_a_match_have_macros_and_name_their_own_value() {
    let mut rule = when(
        1,
        json!({ "variables": ["args"], "operator": { "rx": "b(a)d" }, "capture": true }),
        json!(["log"]),
    );
    rule["message"] = json!("found at %{matched_var_name}");
    rule["log_data"] = json!("%{tx.0}/%{tx.1}/%{matched_var}/%{rule.id}/%{nothing");
    let report = ask(&compile(json!([rule])), "/?q=1bad&r=2bad", &[]).1;
    let words: Vec<_> = report.matches.iter().map(|m| (m.message.as_str(), m.data.as_str())).collect();
    assert_eq!(
        words,
        [("found at args:q", "bad/a/1bad/1/%{nothing"), ("found at args:r", "bad/a/2bad/1/%{nothing")]
    );
}

#[test]
fn what_matched_is_reported_however_often_something_else_did() {
    let noisy = when(1, leaf("args", json!({"contains": "x"})), json!(["log"]));
    let last = when(2, leaf("request_method", json!({"streq": "GET"})), json!(["log"]));
    let target = format!("/?{}", "a=x&".repeat(500));
    let report = ask(&compile(json!([noisy, last])), &target, &[]).1;
    assert_eq!(report.matches.last().map(|found| found.rule), Some(2));
    assert!(report.matches.len() <= 65 && report.matches_dropped >= 400, "{}", report.matches_dropped);
}

#[test]
fn a_collection_outlives_its_exchange_and_its_engine() {
    let rules = json!([
        always(
            1,
            json!(["no_log", { "init_collection": { "ip": "%{remote_addr}" } }, { "set": { "ip.n": "+1" } }, { "expire": { "ip.n": 60 } }])
        ),
        when(2, leaf("ip:n", json!({"ge": 3})), json!([{ "deny": { "status": 429 } }])),
        when(3, leaf("session:n", json!({"ge": 0})), json!(["block"])),
    ]);
    let engine = compile(rules.clone());
    assert!(!stops(&engine, "/", &[]));
    assert!(!stops(&engine, "/", &[]));
    assert!(stops(&engine, "/", &[]));
    let reloaded =
        Engine::compile(&sources_of(rules), &Settings::default()).expect("valid").with_store(engine.store());
    let reloaded = Arc::new(reloaded);
    assert!(stops(&reloaded, "/", &[]), "a reload goes on counting");
    let mut other = facts();
    other.client_ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8));
    assert_eq!(reloaded.begin(&other).request_headers(&head("/", &[])), Decision::Continue);
    let mut later = facts();
    later.unix_ms += 60_000;
    assert_eq!(reloaded.begin(&later).request_headers(&head("/", &[])), Decision::Continue, "it has expired");
}

#[test]
fn a_rate_limit_denies_what_comes_too_often_under_its_key() {
    let limit =
        json!({ "rate_limit": { "key": "%{remote_addr} %{args.user}", "requests": 2, "seconds": 10 } });
    let engine =
        compile(json!([when(1, leaf("request_filename", json!({"streq": "/login"})), json!([limit]))]));
    let ask = |target: &str, unix_ms: u64| {
        let facts = ConnectionFacts { unix_ms, ..facts() };
        engine.begin(&facts).request_headers(&head(target, &[]))
    };
    for _ in 0..2 {
        assert_eq!(ask("/login?user=a", 10_000), Decision::Continue);
    }
    let Decision::Interrupt(stop) = ask("/login?user=a", 10_000) else { panic!("the third is too much") };
    assert_eq!(stop.action, Disruption::Deny { status: 429 });
    assert_eq!(ask("/login?user=b", 10_000), Decision::Continue);
    assert_eq!(ask("/other?user=a", 10_000), Decision::Continue);
    assert_eq!(ask("/login?user=a", 40_000), Decision::Continue);
}

fn sources_of(rules: Value) -> Sources {
    Sources {
        files: vec![Source { name: "r.json".into(), text: set(rules).to_string() }],
        ..Sources::default()
    }
}
