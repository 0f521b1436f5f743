//! What the engine promises, end to end: rules as text, exchanges as slices.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::{Value, json};

use super::input::{Body, ConnectionFacts, Extent, Field, RequestHead, ResponseHead};
use super::report::{Decision, Disruption, PhaseName, Report};
use super::{Engine, HeaderEdit, Mode, Settings, Source, Sources, Transaction};

mod chosen;
mod decode;
mod idioms;
mod language;
mod linear;
mod prefilter;
mod settled;
mod time;
mod trace;
mod variables;

pub(super) fn facts() -> ConnectionFacts<'static> {
    ConnectionFacts {
        client_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        client_port: 4000,
        server_ip: None,
        server_port: 443,
        sni: Some("app.test"),
        identity: Some("ann"),
        unix_ms: 1_000,
        unique_id: "ID",
    }
}

fn compile_all(files: &[Value], settings: &Settings) -> Arc<Engine> {
    let files = files
        .iter()
        .enumerate()
        .map(|(index, file)| Source { name: format!("{index}.json"), text: file.to_string() })
        .collect();
    let sources = Sources { files, ..Sources::default() };
    Arc::new(Engine::compile(&sources, settings).unwrap_or_else(|errors| panic!("{errors:#?}")))
}

fn set(rules: Value) -> Value {
    json!({ "name": "set", "version": "1", "rules": rules })
}

fn compile(rules: Value) -> Arc<Engine> {
    compile_all(&[set(rules)], &Settings::default())
}

/// A rule that blocks when `when` holds in the phase of request headers.
fn rule(id: u32, when: Value) -> Value {
    json!({ "id": id, "phase": "request_headers", "message": format!("rule {id}"), "severity": "critical",
        "tags": [format!("tag-{}", id % 10)], "when": when, "then": ["block"] })
}

fn with(mut rule: Value, key: &str, value: Value) -> Value {
    rule[key] = value;
    rule
}

fn contains(variables: Value, text: &str) -> Value {
    json!({ "variables": variables, "operator": { "contains": text } })
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn fields<'a>(pairs: Pairs<'a>) -> Vec<Field<'a>> {
    pairs.iter().map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() }).collect()
}

fn head<'a>(target: &'a str, fields: &'a [Field<'a>]) -> RequestHead<'a> {
    RequestHead {
        method: "GET",
        target: target.as_bytes(),
        protocol: "HTTP/1.1",
        scheme: "https",
        host: "app.test",
        port: 443,
        fields,
    }
}

fn body(bytes: &[u8]) -> Body<'_> {
    Body { bytes, extent: Extent::Whole, coding_error: None }
}

/// Request headers only.
fn ask(engine: &Arc<Engine>, target: &str, pairs: Pairs) -> (Decision, Report) {
    let mut transaction = engine.begin(&facts());
    let decision = transaction.request_headers(&head(target, &fields(pairs)));
    (decision, transaction.finish())
}

fn stops(engine: &Arc<Engine>, target: &str, pairs: Pairs) -> bool {
    ask(engine, target, pairs).0 != Decision::Continue
}

fn ids(report: &Report) -> Vec<u32> {
    report.matches.iter().map(|m| m.rule).collect()
}

#[test]
fn a_transaction_moves_between_threads() {
    fn check<T: Send + 'static>() {}
    check::<Transaction>();
}

#[test]
fn opaque_bodies_show_their_beginning_and_long_ones_only_their_length() {
    let when = json!({ "any": [
        contains(json!(["request_body"]), "attack"),
        { "variables": ["request_body_length"], "operator": { "gt": 100_000 } },
    ]});
    let engine = compile(json!([with(rule(1, when), "phase", json!("request_body"))]));
    let show = |pairs: Pairs, bytes: &[u8]| {
        let mut transaction = engine.begin(&facts());
        transaction.request_headers(&head("/", &fields(pairs)));
        let wanted = transaction.wants_request_body();
        let shown = if wanted { bytes } else { b"" };
        (wanted, transaction.request_body(&body(shown)) != Decision::Continue)
    };
    const SEEN: usize = 16 * 1024;
    let at = |place: usize| [&vec![b'.'; place][..], b"attack"].concat();
    let binary = ("content-type", "application/octet-stream");
    // Within the first 16 KiB, across their end, behind it.
    assert_eq!(show(&[binary], &at(SEEN - 6)), (true, true));
    assert_eq!(show(&[binary], &at(SEEN - 5)), (true, false));
    assert_eq!(show(&[binary, ("content-length", "16384")], &at(SEEN - 6)), (true, true));
    // Announced as longer: let go unseen, and its length is known all the same.
    assert_eq!(show(&[binary, ("content-length", "16385")], &at(0)), (false, false));
    assert_eq!(show(&[binary, ("content-length", "100001")], b"..."), (false, true));
    // Text, coded bodies, forms and what does not say what it is are looked at.
    for pairs in [
        &[("content-type", "text/plain"), ("content-length", "20000")][..],
        &[binary, ("content-length", "20000"), ("content-encoding", "gzip")],
        &[("content-length", "20000")],
        &[("content-type", "application/json"), ("content-length", "20000")],
    ] {
        assert_eq!(show(pairs, &at(0)), (true, true), "{pairs:?}");
    }
    // A form is seen whole.
    let form = ("content-type", "application/x-www-form-urlencoded");
    assert_eq!(show(&[form, ("content-length", "20000")], &at(SEEN)), (true, true));
}

#[test]
fn scores_add_up_to_an_interruption_at_the_end_of_the_phase() {
    let scoring = |id: u32, severity: &str, text: &str| {
        let rule = with(rule(id, contains(json!(["args"]), text)), "then", json!(["score"]));
        with(rule, "severity", json!(severity))
    };
    let engine =
        compile(json!([scoring(1, "warning", "a"), scoring(2, "notice", "b"), scoring(3, "error", "c")]));
    assert!(!stops(&engine, "/?x=a", &[]));
    let (decision, report) = ask(&engine, "/?x=ab", &[]);
    let Decision::Interrupt(interruption) = decision else { panic!("{decision:?}") };
    assert_eq!((interruption.rule, interruption.phase), (1, PhaseName::RequestHeaders));
    assert_eq!(interruption.action, Disruption::Deny { status: 403 });
    assert_eq!(interruption.reason, "rule 1 (anomaly score 5, the threshold is 5)");
    assert_eq!((report.ledger.inbound, report.ledger.inbound_threshold), (5, 5));
    // One rule scores once, however many values match, and the highest one gives the reason.
    let (_, report) = ask(&engine, "/?x=a&y=a&z=a", &[]);
    assert_eq!((report.ledger.inbound, report.matches.len(), report.interruption), (3, 3, None));
    assert_eq!(report.matches.iter().map(|m| m.score).collect::<Vec<_>>(), [3, 0, 0]);
    let (_, report) = ask(&engine, "/?x=abc", &[]);
    assert_eq!(report.interruption.map(|i| i.rule), Some(3));
}

#[test]
fn thresholds_and_paranoia_come_from_settings_then_setup_then_defaults() {
    let scoring = |id: u32, level: u8| {
        let rule = with(rule(id, contains(json!(["args"]), "x")), "then", json!(["score"]));
        with(rule, "paranoia_level", json!(level))
    };
    let files = [
        set(json!([scoring(1, 1), scoring(2, 2), scoring(3, 3)])),
        json!({"setup": {"paranoia_level": 2, "inbound_threshold": 11, "outbound_threshold": 7}}),
    ];
    let engine = compile_all(&files, &Settings::default());
    assert_eq!((engine.paranoia_level(), engine.thresholds()), (2, (11, 7)));
    let (decision, report) = ask(&engine, "/?q=x", &[]);
    assert_eq!((decision, ids(&report), report.ledger.paranoia_level), (Decision::Continue, vec![1, 2], 2));
    let settings = Settings { paranoia_level: Some(3), inbound_threshold: Some(15), ..Settings::default() };
    let engine = compile_all(&files, &settings);
    assert!(stops(&engine, "/?q=x", &[]));
    assert_eq!(engine.rules().filter(|rule| rule.active).count(), 3);
    assert_eq!(compile_all(&files[..1], &Settings::default()).thresholds(), (5, 4));
    let [rules, core] = files.clone();
    let engine = compile_all(&[rules, core, json!({"setup": {"paranoia_level": 1}})], &Settings::default());
    assert_eq!((engine.paranoia_level(), engine.thresholds()), (1, (11, 7)), "a later setup overrides");
    let engine = compile_all(&files, &settings);
    assert_ne!(engine.fingerprint(), compile_all(&files, &Settings::default()).fingerprint());
}

#[test]
fn disruptive_actions_end_the_phase_and_say_how() {
    let when = || contains(json!(["args"]), "x");
    for (action, expect) in [
        (json!("block"), Disruption::Deny { status: 403 }),
        (json!({"deny": {"status": 451}}), Disruption::Deny { status: 451 }),
        (json!("drop"), Disruption::Drop),
        (
            json!({"redirect": {"location": "/no?h=%{request_headers.host}"}}),
            Disruption::Redirect { status: 302, location: "/no?h=app.test%C3".into() },
        ),
    ] {
        let engine = compile(json!([with(rule(1, when()), "then", json!([action])), rule(2, when())]));
        let mut transaction = engine.begin(&facts());
        let host = [Field { name: b"HOST", value: b"app.test\r\n\xc3" }];
        let decision = transaction.request_headers(&head("/?q=x", &host));
        let Decision::Interrupt(interruption) = &decision else { panic!("{decision:?}") };
        assert_eq!(interruption.action, expect);
        assert_eq!(transaction.request_body(&body(b"")), decision, "an interruption stays");
        assert_eq!(ids(&transaction.finish()), [1]);
    }
}

#[test]
fn allow_lets_the_rest_of_the_exchange_pass() {
    let allow = with(rule(1, contains(json!(["request_uri"]), "/ok")), "then", json!(["allow"]));
    let late = with(rule(3, contains(json!(["args"]), "x")), "phase", json!("request_body"));
    let engine = compile(json!([allow, rule(2, contains(json!(["args"]), "x")), late]));
    let mut transaction = engine.begin(&facts());
    assert_eq!(transaction.request_headers(&head("/ok?q=x", &[])), Decision::Continue);
    assert!(!transaction.wants_request_body() && !transaction.wants_response_body());
    assert_eq!(transaction.request_body(&body(b"")), Decision::Continue);
    assert_eq!(ids(&transaction.finish()), [1]);
    assert!(stops(&engine, "/?q=x", &[]));
}

#[test]
fn detection_only_reports_and_stops_nothing() {
    let strip = json!(["block", {"strip_request_header": "X-A"}]);
    let one = || with(rule(1, contains(json!(["args"]), "x")), "then", strip.clone());
    let scored = with(rule(2, contains(json!(["args"]), "x")), "then", json!(["score"]));
    // Everywhere: what would have happened is told.
    let settings = Settings { mode: Some(Mode::Detect), ..Settings::default() };
    let engine = compile_all(&[set(json!([one(), scored.clone()]))], &settings);
    let mut transaction = engine.begin(&facts());
    assert_eq!(transaction.request_headers(&head("/?q=x", &[])), Decision::Continue);
    assert!(transaction.header_edits().is_empty());
    let report = transaction.finish();
    assert!(report.detection_only && report.interruption.is_some());
    assert_eq!((ids(&report), report.ledger.inbound), (vec![1, 2], 5));
    // One rule, or one set: a shadow without a trace in score or decision.
    let shadow_rules = set(json!([
        with(one(), "mode", json!("detect")),
        with(scored.clone(), "mode", json!("detect")),
        with(
            with(rule(3, contains(json!(["args"]), "x")), "then", json!(["allow"])),
            "mode",
            json!("detect")
        ),
        with(rule(4, contains(json!(["args"]), "xy")), "then", json!(["block"])),
    ]));
    let mut shadow_set = set(json!([one(), scored]));
    shadow_set["mode"] = json!("detect");
    for files in [[shadow_rules.clone()], [shadow_set]] {
        let engine = compile_all(&files, &Settings::default());
        let mut transaction = engine.begin(&facts());
        assert_eq!(transaction.request_headers(&head("/?q=x", &[])), Decision::Continue);
        assert!(transaction.header_edits().is_empty());
        let report = transaction.finish();
        assert!(!report.detection_only && report.interruption.is_none() && report.ledger.inbound == 0);
        assert!(report.matches.len() >= 2 && report.matches.iter().all(|m| m.shadow && m.score == 0));
    }
    assert!(stops(&compile_all(&[shadow_rules], &Settings::default()), "/?q=xy", &[]));
}

#[test]
fn missing_variables_never_match_negated_or_not_but_not_of_them_is_true() {
    let leaf = |negate: bool| json!({"variables": ["request_headers:accept"], "operator": {"contains": "html"}, "negate": negate});
    for (when, expect) in [
        (leaf(false), [false, true, false]),
        (leaf(true), [false, false, true]),
        (json!({"not": leaf(false)}), [true, false, true]),
        (json!({"not": leaf(true)}), [true, true, false]),
    ] {
        let engine = compile(json!([rule(1, when.clone())]));
        let cases: [Pairs; 3] = [&[], &[("Accept", "text/html")], &[("accept", "image/png")]];
        for (pairs, expect) in cases.iter().zip(expect) {
            assert_eq!(stops(&engine, "/", pairs), expect, "{when} {pairs:?}");
        }
    }
}

#[test]
fn conditions_nest_and_an_absent_one_holds() {
    let a = || contains(json!(["args"]), "a");
    let b = || contains(json!(["args"]), "b");
    let c = || contains(json!(["args"]), "c");
    let when = json!({"all": [{"any": [a(), b()]}, {"not": c()}]});
    let engine = compile(json!([rule(1, when)]));
    for (query, expect) in
        [("a", true), ("b", true), ("c", false), ("ac", false), ("bc", false), ("x", false)]
    {
        assert_eq!(stops(&engine, &format!("/?q={query}"), &[]), expect, "{query}");
    }
    let mut always = rule(1, json!(null));
    always.as_object_mut().expect("an object").remove("when");
    assert!(stops(&compile(json!([always])), "/", &[]));
}

#[test]
fn selectors_exclusions_and_counts_choose_values() {
    for (variables, query, expect) in [
        (json!(["args:id"]), "ID=x", true),
        (json!(["args:id"]), "idx=x", false),
        (json!(["args:/^id/"]), "IDX=x", true),
        (json!(["args", "!args:id"]), "id=x", false),
        (json!(["args", "!args:id"]), "id=y&a=x", true),
        (json!(["args", "!args:/^i/"]), "Id=x", false),
        (json!(["args_names"]), "x=1", true),
        (json!(["args_names", "!args_names:x"]), "x=1", false),
        (json!(["args", "!args_get"]), "a=x", false),
        (json!(["args:id", "!args:/./"]), "id=x", false),
    ] {
        let engine = compile(json!([rule(1, contains(variables.clone(), "x"))]));
        assert_eq!(stops(&engine, &format!("/?{query}"), &[]), expect, "{variables} {query}");
    }
    for (variables, query, count) in [
        (json!(["&args"]), "a=1&b=2", 2),
        (json!(["&args:A"]), "a=1&b=2&a=3", 2),
        (json!(["&args", "!args:/b/"]), "a=1&b=2", 1),
        (json!(["&args:none"]), "a=1", 0),
        (json!(["&tx:none"]), "a=1", 0),
        (json!(["&request_headers"]), "", 1),
    ] {
        let when = json!({"variables": variables, "operator": {"eq": count}});
        let engine = compile(json!([rule(1, when)]));
        assert!(stops(&engine, &format!("/?{query}"), &[("Host", "h")]), "{variables} {query}");
        let when = json!({"variables": variables, "operator": {"eq": count + 1}});
        assert!(!stops(&compile(json!([rule(1, when)])), &format!("/?{query}"), &[("Host", "h")]));
    }
}

#[test]
fn variables_hold_what_their_names_say() {
    let target = "/a%20b/./c.php?x=%41+b&y";
    let pairs: Pairs = &[("Host", "app.test"), ("Cookie", "k=v; n=%41"), ("User-Agent", "ua")];
    for (variable, value) in [
        ("request_uri", target),
        ("request_uri_raw", target),
        ("request_filename", "/a b/./c.php"),
        ("request_basename", "c.php"),
        ("query_string", "x=%41+b&y"),
        ("request_line", "GET /a%20b/./c.php?x=%41+b&y HTTP/1.1"),
        ("request_method", "GET"),
        ("request_protocol", "HTTP/1.1"),
        ("args:x", "A b"),
        ("args:y", ""),
        ("args_names:x", "x"),
        ("args_get_names:y", "y"),
        ("request_cookies:n", "%41"),
        ("request_cookies_names:k", "k"),
        ("request_headers:user-agent", "ua"),
        ("request_headers_names:host", "Host"),
        ("remote_addr", "192.0.2.7"),
        ("remote_port", "4000"),
        ("remote_user", "ann"),
        ("server_name", "app.test"),
        ("server_port", "443"),
        ("sni", "app.test"),
        ("unique_id", "ID"),
    ] {
        let when = json!({"variables": [variable], "operator": {"str_match": value}});
        let when =
            if value.is_empty() { json!({"variables": [variable], "operator": {"rx": "^$"}}) } else { when };
        assert!(stops(&compile(json!([rule(1, when)])), target, pairs), "{variable}");
        let other = json!({"variables": [variable], "operator": {"streq": format!("{value}-")}});
        assert!(!stops(&compile(json!([rule(1, other)])), target, pairs), "{variable}");
    }
}

#[test]
fn body_variables_hold_what_their_names_say() {
    let in_body = |when: Value| with(rule(1, when), "phase", json!("request_body"));
    let ask = |when: Value, content_type: &str, bytes: &[u8], coding_error: Option<&str>| {
        let engine = compile(json!([in_body(when)]));
        let mut transaction = engine.begin(&facts());
        let pairs = [("Content-Type", content_type)];
        assert_eq!(transaction.request_headers(&head("/?g=1", &fields(&pairs))), Decision::Continue);
        let body = Body { bytes, extent: Extent::Whole, coding_error };
        transaction.request_body(&body) != Decision::Continue
    };
    let form = "application/x-www-form-urlencoded";
    for (variable, value, content_type, bytes, error) in [
        ("args:p", "a b", form, "p=a+b", None),
        ("args_post:p", "a b", form, "p=a+b", None),
        ("args_post_names", "p", form, "p=a+b", None),
        ("request_body", "p=a+b", form, "p=a+b", None),
        ("request_body", "zz", "application/octet-stream", "zz", None),
        ("request_body_length", "5", form, "p=a+b", None),
        ("args_combined_size", "6", form, "p=a+b", None),
        ("reqbody_processor", "URLENCODED", form, "p=a+b", None),
        ("reqbody_processor", "JSON", "application/json", "{}", None),
        ("reqbody_error", "0", form, "p=a+b", None),
        ("reqbody_error", "1", form, "p=a+b", Some("no such coding")),
        ("reqbody_error_msg", "content coding: no such coding", form, "", Some("no such coding")),
        ("files_combined_size", "0", form, "", None),
        ("multipart_strict_error", "0", form, "", None),
    ] {
        let when = |value: &str| json!({"variables": [variable], "operator": {"streq": value}});
        assert!(ask(when(value), content_type, bytes.as_bytes(), error), "{variable} {value}");
        assert!(!ask(when(&format!("{value}-")), content_type, bytes.as_bytes(), error), "{variable}");
    }
    // A body that breaks its format is looked at as it is.
    let raw = |text: &str| json!({"variables": ["request_body"], "operator": {"contains": text}});
    assert!(ask(raw("evil"), "application/json", b"{\"a\": evil", None));
    assert!(!ask(raw("evil"), "application/json", b"{\"a\": \"evil\"}", None));
}

#[test]
fn an_argument_beyond_the_bound_is_an_error_that_rules_see() {
    let when = json!({"variables": ["reqbody_error"], "operator": {"eq": 1}});
    let engine = compile(json!([with(rule(1, when), "phase", json!("request_body"))]));
    let target = format!("/?{}", "a&".repeat(10_001));
    let mut transaction = engine.begin(&facts());
    assert_eq!(transaction.request_headers(&head(&target, &[])), Decision::Continue);
    assert_ne!(transaction.request_body(&body(b"")), Decision::Continue);
}

#[test]
fn responses_are_scored_apart_and_can_be_stopped() {
    let scored = |id: u32, phase: &str, variable: &str, text: &str| {
        let rule = with(rule(id, contains(json!([variable]), text)), "phase", json!(phase));
        with(rule, "then", json!(["score"]))
    };
    let engine = compile(json!([
        scored(1, "request_headers", "args", "nothing"),
        scored(2, "response_headers", "response_status", "500"),
        scored(3, "response_body", "response_body", "ORA-00933"),
    ]));
    let respond = |status: u16, content_type: &str, bytes: &[u8]| {
        let mut transaction = engine.begin(&facts());
        assert_eq!(transaction.request_headers(&head("/", &[])), Decision::Continue);
        assert_eq!(transaction.request_body(&body(b"")), Decision::Continue);
        let pairs = [("Content-Type", content_type)];
        let fields = fields(&pairs);
        let head = ResponseHead { status, protocol: "HTTP/1.1", fields: &fields };
        let at_head = transaction.response_headers(&head);
        let wanted = transaction.wants_response_body();
        let at_body = transaction.response_body(&body(bytes));
        (at_head != Decision::Continue, wanted, at_body != Decision::Continue, transaction.finish())
    };
    let (at_head, wanted, at_body, report) = respond(200, "text/html; charset=utf-8", b"an ORA-00933 error");
    assert_eq!((at_head, wanted, at_body), (false, true, true));
    assert_eq!((report.ledger.inbound, report.ledger.outbound), (0, 5));
    assert_eq!(report.interruption.map(|i| (i.rule, i.phase)), Some((3, PhaseName::ResponseBody)));
    let (at_head, wanted, ..) = respond(500, "text/html", b"");
    assert_eq!((at_head, wanted), (true, false));
    for (content_type, expect) in [
        ("image/png", false),
        ("application/octet-stream", false),
        ("video/mp4", false),
        ("application/problem+json", true),
        ("Application/JSON", true),
        ("text/event-stream", true),
        ("", true),
    ] {
        assert_eq!(respond(200, content_type, b"").1, expect, "{content_type}");
    }
}

#[test]
fn header_edits_tell_what_to_strip_once() {
    let then = json!([{"strip_request_header": "X-Secret"}, {"strip_response_header": "Server"}]);
    let strip = |id| with(rule(id, contains(json!(["args"]), "x")), "then", then.clone());
    let engine = compile(json!([strip(1), strip(2)]));
    let mut transaction = engine.begin(&facts());
    assert_eq!(transaction.request_headers(&head("/?q=x", &[])), Decision::Continue);
    let expect = [HeaderEdit::StripRequest("x-secret".into()), HeaderEdit::StripResponse("server".into())];
    assert_eq!(transaction.header_edits(), expect);
}

#[test]
fn captures_sets_and_macros_carry_text_between_rules() {
    let capture = |id: u32, pattern: &str, then: Value| {
        let when = json!({"variables": ["args"], "operator": {"rx": pattern}, "capture": true});
        with(rule(id, when), "then", then)
    };
    let tx = |id: u32, name: &str, value: &str| {
        let when = json!({"variables": [format!("tx:{name}")], "operator": {"streq": value}});
        with(rule(id, when), "then", json!(["log"]))
    };
    let engine = compile(json!([
        capture(
            1,
            "(a+)(b)?(c)",
            json!([{"set": {
                "tx.Seen": "%{tx.1}-%{matched_var}-%{matched_var_name}-%{request_headers.HOST}",
                "tx.count": "+3"
            }}])
        ),
        tx(2, "0", "aac"),
        tx(3, "1", "aa"),
        tx(4, "2", ""),
        tx(5, "3", "c"),
        tx(6, "seen", "aa-xaacx-args:q-h"),
        tx(7, "COUNT", "3"),
        with(rule(8, json!({"variables": ["&tx:/^\\d$/"], "operator": {"eq": 4}})), "then", json!(["log"])),
        capture(9, "x$", json!([{"set": {"tx.count": "-1", "tx.n": 7}}])),
        tx(10, "count", "2"),
        tx(11, "n", "7"),
        tx(12, "1", "aa"),
        tx(13, "0", "x"),
    ]));
    let (_, report) = ask(&engine, "/?q=xaacx", &[("Host", "h")]);
    // 12 must not match: the groups of rule 1 are gone once rule 9 captured.
    assert_eq!(ids(&report), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13]);
}

#[test]
fn matched_vars_accumulate_over_a_rule_and_start_anew_with_the_next() {
    let both = json!({"all": [
        {"variables": ["args"], "transformations": ["lowercase"], "operator": {"contains": "x"}},
        {"variables": ["&matched_vars"], "operator": {"eq": 2}},
        {"variables": ["matched_vars_names"], "operator": {"streq": "args:b"}},
        {"variables": ["matched_vars"], "operator": {"streq": "x1"}},
    ]});
    let fresh = json!({"variables": ["&matched_vars"], "operator": {"eq": 0}});
    let engine = compile(json!([
        with(rule(1, both), "then", json!(["log"])),
        with(rule(2, fresh), "then", json!(["log"])),
    ]));
    let (_, report) = ask(&engine, "/?a=X1&b=x2&c=3", &[]);
    assert!(ids(&report).contains(&1) && ids(&report).ends_with(&[2]), "{:?}", ids(&report));
    assert!(!ids(&ask(&engine, "/?a=X1&c=3", &[]).1).contains(&1));
}

#[test]
fn multi_match_sees_the_value_between_transformations() {
    let when = |multi: bool| {
        json!({"variables": ["args"], "transformations": ["url_decode", "lowercase"],
            "operator": {"rx": "^%41|^A|^a!"}, "multi_match": multi})
    };
    let (one, many) = (compile(json!([rule(1, when(false))])), compile(json!([rule(1, when(true))])));
    for (query, single, multi) in
        [("%2541", false, true), ("%41", false, true), ("%41!", true, true), ("b", false, false)]
    {
        assert_eq!(stops(&one, &format!("/?q={query}"), &[]), single, "{query}");
        assert_eq!(stops(&many, &format!("/?q={query}"), &[]), multi, "{query}");
    }
    let report = ask(&many, "/?q=%2541!", &[]).1;
    let steps = |i: usize| report.matches[i].steps.iter().map(|s| s.result.as_str()).collect::<Vec<_>>();
    assert_eq!((steps(0), steps(1), steps(2)), (vec![], vec!["A!"], vec!["A!", "a!"]));
}

#[test]
fn a_match_explains_itself() {
    let when = json!({"variables": ["args"], "transformations": ["url_decode_uni", "trim", "lowercase"],
        "operator": {"rx": "un(ion)"}});
    let engine = compile(json!([with(rule(31, when), "description", json!("d"))]));
    let (_, report) = ask(&engine, "/item?q=%2555NION&ok=1", &[]);
    let found = &report.matches[0];
    assert_eq!(
        (found.rule, &*found.set, &*found.message, &*found.severity),
        (31, "set", "rule 31", "critical")
    );
    assert_eq!((&*found.variable, &*found.value, &*found.matched), ("args:q", "%55NION", "union"));
    assert!(found.operator.contains("un(ion)"), "{}", found.operator);
    let steps: Vec<_> = found.steps.iter().map(|s| (s.transformation.as_str(), s.result.as_str())).collect();
    assert_eq!(steps, [("url_decode_uni", "UNION"), ("lowercase", "union")]);
    let exclusion: Value = serde_json::from_str(&found.exclusion).expect("JSON");
    assert_eq!(exclusion["variables"], json!(["args:q"]));
    assert_eq!((&exclusion["hosts"], &exclusion["paths"]), (&json!(["app.test"]), &json!(["/item"])));
}

#[test]
fn the_offered_exclusion_lets_this_request_pass_and_no_other() {
    let rules = set(json!([rule(1, contains(json!(["args", "request_headers"]), "evil"))]));
    let engine = compile_all(std::slice::from_ref(&rules), &Settings::default());
    let (decision, report) = ask(&engine, "/a?q=evil", &[]);
    assert_ne!(decision, Decision::Continue);
    let exclusion: Value = serde_json::from_str(&report.matches[0].exclusion).expect("JSON");
    let file = json!({"name": "mine", "version": "1", "exclusions": [exclusion]});
    let engine = compile_all(&[rules, file], &Settings::default());
    assert!(!stops(&engine, "/a?q=evil", &[]));
    assert!(stops(&engine, "/a?p=evil", &[]));
    assert!(stops(&engine, "/b?q=evil", &[]));
    assert!(stops(&engine, "/a?q=evil", &[("X", "evil")]));
    let fields = fields(&[]);
    let other = RequestHead { host: "other.test", ..head("/a?q=evil", &fields) };
    assert_ne!(engine.begin(&facts()).request_headers(&other), Decision::Continue);
}

#[test]
fn exclusions_choose_by_rule_tag_variable_host_path_and_day() {
    let rules = set(json!([
        rule(11, contains(json!(["args"]), "x")),
        rule(12, contains(json!(["args", "request_headers"]), "y")),
    ]));
    let passes = |exclusion: Value, target: &str, pairs: Pairs| {
        let file = json!({"name": "mine", "version": "1", "exclusions": [exclusion]});
        !stops(&compile_all(&[rules.clone(), file], &Settings::default()), target, pairs)
    };
    let x = "/p?q=x";
    for (exclusion, expect) in [
        (json!({"rules": [11], "reason": "r"}), true),
        (json!({"rules": ["10-11"], "reason": "r"}), true),
        (json!({"rules": [12], "reason": "r"}), false),
        (json!({"tags": ["tag-1"], "reason": "r"}), true),
        (json!({"tags": ["tag-2"], "reason": "r"}), false),
        (json!({"rules": [11], "variables": ["args:q"], "reason": "r"}), true),
        (json!({"rules": [11], "variables": ["args:/^Q$/"], "reason": "r"}), true),
        (json!({"rules": [11], "variables": ["args:other"], "reason": "r"}), false),
        (json!({"rules": [11], "hosts": ["app.test"], "reason": "r"}), true),
        (json!({"rules": [11], "hosts": ["*.test"], "reason": "r"}), true),
        (json!({"rules": [11], "hosts": ["b.test"], "reason": "r"}), false),
        (json!({"rules": [11], "paths": ["/p"], "reason": "r"}), true),
        (json!({"rules": [11], "paths": ["/p/*"], "reason": "r"}), false),
        // The clock of these tests stands at one second past 1970-01-01 00:00 UTC.
        (json!({"rules": [11], "expires": "1970-01-01", "reason": "r"}), true),
        (json!({"rules": [11], "expires": "1970-01-02", "reason": "r"}), true),
    ] {
        assert_eq!(passes(exclusion.clone(), x, &[]), expect, "{exclusion}");
    }
    let file = json!({"name": "mine", "version": "1", "exclusions": [{"rules": [11], "expires": "1970-01-01", "reason": "r"}]});
    let engine = compile_all(&[rules.clone(), file], &Settings::default());
    let later = ConnectionFacts { unix_ms: 86_400_000, ..facts() };
    assert_ne!(engine.begin(&later).request_headers(&head(x, &[])), Decision::Continue);
    let only_header = json!({"rules": [12], "variables": ["request_headers:a"], "reason": "r"});
    assert!(passes(only_header.clone(), "/", &[("A", "y")]));
    assert!(!passes(only_header.clone(), "/", &[("B", "y")]));
    assert!(!passes(only_header, "/?q=y", &[("A", "y")]));
}

#[test]
fn an_exclude_action_holds_for_the_rest_of_the_exchange() {
    let exclude = |what: Value| {
        with(rule(1, contains(json!(["request_uri"]), "/editor")), "then", json!([{"exclude": what}]))
    };
    for (what, target, expect) in [
        (json!({"rules": [2]}), "/editor?q=x", false),
        (json!({"rules": [2]}), "/other?q=x", true),
        (json!({"tags": ["tag-2"]}), "/editor?q=x", false),
        (json!({"rules": [2], "variables": ["args:q"]}), "/editor?q=x", false),
        (json!({"rules": [2], "variables": ["args:q"]}), "/editor?p=x", true),
    ] {
        let late = with(rule(2, contains(json!(["args"]), "x")), "phase", json!("request_body"));
        let engine = compile(json!([exclude(what.clone()), late]));
        let mut transaction = engine.begin(&facts());
        assert_eq!(transaction.request_headers(&head(target, &[])), Decision::Continue);
        assert_eq!(transaction.request_body(&body(b"")) != Decision::Continue, expect, "{what} {target}");
    }
}

#[test]
fn reports_are_bounded_and_no_log_is_silent() {
    let quiet =
        with(rule(2, contains(json!(["args"]), "x")), "then", json!(["no_log", {"set": {"tx.seen": "1"}}]));
    let after =
        with(rule(3, json!({"variables": ["tx:seen"], "operator": {"eq": 1}})), "then", json!(["log"]));
    let (_, report) = ask(&compile(json!([quiet, after])), "/?q=x", &[]);
    assert_eq!(ids(&report), [3]);
    let engine = compile(json!([with(rule(1, contains(json!(["args"]), "x")), "then", json!(["score"]))]));
    let target = format!("/?{}{}", "a=x&".repeat(100), format_args!("z=x{}", "y".repeat(10_000)));
    let (_, report) = ask(&engine, &target, &[]);
    assert_eq!((report.matches.len(), report.matches_dropped), (64, 37));
    let long = ask(&engine, &format!("/?z=x{}", "y".repeat(10_000)), &[]).1;
    assert!(long.matches[0].value.len() < 300 && long.matches[0].exclusion.len() < 1000);
}

#[test]
fn the_logging_phase_runs_after_an_interruption() {
    let log = with(rule(2, contains(json!(["args"]), "x")), "phase", json!("logging"));
    let engine = compile(json!([rule(1, contains(json!(["args"]), "x")), with(log, "then", json!(["log"]))]));
    assert_eq!(ids(&ask(&engine, "/?q=x", &[]).1), [1, 2]);
}

#[test]
fn scratch_memory_carries_nothing_over() {
    let engine = compile(json!([rule(1, contains(json!(["args", "tx:/./"]), "x"))]));
    for _ in 0..3 {
        assert!(stops(&engine, "/?q=x", &[]));
        assert!(!stops(&engine, "/?q=y", &[]));
    }
}
