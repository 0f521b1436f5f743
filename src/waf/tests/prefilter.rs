//! The fast path against the slow one: with prefilters and without, every exchange must end
//! the same.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::report::Report;
use super::super::trace::Traced;
use super::super::{Engine, Mode, Settings, Source, Sources};
use super::{body, facts, head};
use crate::waf::input::{Field, RequestHead};

/// Pieces that operators, literals and transformations meet in, whole and broken.
const PIECES: &[&str] = &[
    "union",
    "UNION",
    "SeLeCt",
    "select",
    "%75nion",
    "%2575",
    "\\x3cscript",
    "<script",
    "&lt;script",
    "&#x3c;",
    "/*",
    "*/",
    "--",
    "' or 1=1",
    "../",
    "..\\",
    "%2e%2e%2f",
    "etc/passwd",
    "\0",
    "\u{e4}",
    "%u0075",
    "+",
    " ",
    "\t",
    ";",
    "&",
    "=",
    "a",
    "Z",
    "0",
    "9",
    "alert(1)",
    "${jndi:",
    "{",
    "}",
    "AAAA",
    "YWxlcnQ=",
    "PHNjcmlwdD4",
    "3c7363726970743e",
    "\\u003c",
    "id",
    ":",
    "http://",
    "^",
    "\"",
];

fn leaf() -> impl Strategy<Value = Value> {
    let variables = prop_oneof![
        Just(json!(["args"])),
        Just(json!(["args", "args_names", "request_cookies", "!args:id"])),
        Just(json!(["args:id", "request_headers:x-a"])),
        Just(json!(["request_headers", "!request_headers:/^x/"])),
        Just(json!(["request_uri", "request_filename"])),
        Just(json!(["args:/i/", "query_string"])),
        Just(json!(["&args", "&request_cookies:k"])),
        Just(json!(["tx:0", "tx:1", "args_post"])),
        Just(json!(["matched_vars", "args_get"])),
        Just(json!(["tx:n", "tx:last"])),
        Just(json!(["&tx:n", "args:id"])),
        Just(json!(["tx:/^made_/", "!tx:made_args:id"])),
        Just(json!(["matched_var", "matched_var_name"])),
        Just(json!(["request_body", "reqbody_error", "args_combined_size"])),
    ];
    let names: Vec<&'static str> = crate::waf::transformation::names().collect();
    let transformations = prop_oneof![
        2 => Just(Vec::new()),
        2 => Just(vec!["lowercase"]),
        1 => Just(vec!["lowercase", "url_decode_uni", "html_entity_decode"]),
        1 => Just(vec!["url_decode_uni", "lowercase", "compress_whitespace"]),
        3 => proptest::collection::vec(proptest::sample::select(names), 0..5),
    ];
    let operator = prop_oneof![
        Just(json!({"rx": "union\\s+select|<script"})),
        Just(json!({"rx": "(?i)(un)ion"})),
        Just(json!({"rx": "['\"]\\s*or\\s*\\d"})),
        Just(json!({"rx": "^[a-z0-9]+$"})),
        Just(json!({"rx": "[^\\x20-\\x7e]"})),
        Just(json!({"rx": "(?:\\.\\./){2}"})),
        Just(json!({"rx": ""})),
        Just(json!({"pm": ["select", "passwd", "jndi"]})),
        Just(json!({"contains": "SeLeCt"})),
        Just(json!({"contains": "<"})),
        Just(json!({"begins_with": "a"})),
        Just(json!({"ends_with": "0"})),
        Just(json!({"streq": "id"})),
        Just(json!({"within": "a id union select"})),
        Just(json!({"eq": 0})),
        Just(json!({"ge": 3})),
        Just(json!({"lt": 5})),
        Just(json!({"detect_sql_escape": true})),
        Just(json!({"detect_shell": true})),
        Just(json!({"detect_sqli": true})),
        Just(json!({"detect_xss": true})),
        Just(json!({"validate_byte_range": "9,32-126"})),
        Just(json!({"validate_url_encoding": true})),
        Just(json!({"validate_utf8_encoding": true})),
        Just(json!({"unconditional_match": true})),
        Just(json!({"no_match": true})),
        Just(json!({"rx_global": "(?i)(un)ion"})),
        Just(json!({"contains_word": "or"})),
        Just(json!({"verify_cc": "\\d+"})),
        Just(json!({"streq": "%{tx.last}"})),
        Just(json!({"ge": "%{tx.n}"})),
        Just(json!({"within": "%{tx.0} id union"})),
        Just(json!({"contains": "%{matched_var}"})),
        Just(json!({"rx": "(%{tx.step})"})),
    ];
    let decode = prop_oneof![
        3 => Just(Value::Null),
        2 => Just(json!(2)),
        1 => Just(json!({"depth": 1, "as": ["url", "html"]})),
    ];
    let skip = prop_oneof![2 => Just(Value::Null), 1 => Just(json!(["word", "number"]))];
    (variables, transformations, operator, on_match(), any::<[bool; 3]>(), decode, skip).prop_map(
        |(variables, steps, operator, on_match, flags, decode, skip)| {
            let mut leaf = json!({"variables": variables, "transformations": steps, "operator": operator,
            "negate": flags[0] && flags[1], "capture": flags[1], "multi_match": flags[2] && flags[0]});
            for (key, value) in [("on_match", on_match), ("decode", decode), ("skip_types", skip)] {
                if !value.is_null() {
                    leaf[key] = value;
                }
            }
            leaf
        },
    )
}

/// What a condition leaves behind, for itself and for rules behind it.
fn on_match() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => Just(Value::Null),
        2 => Just(json!([{"set": {"tx.n": "+%{tx.step}"}}])),
        1 => Just(json!([{"set": {"tx.last": "%{matched_var}", "tx.made_%{matched_var_name}": "%{tx.0}"}}])),
        1 => Just(json!([{"set": {"tx.n": null}}])),
        1 => Just(json!([{"exclude": {"rules": ["1-5"], "variables": ["args:id", "tx:n"]}}])),
        1 => Just(json!([{"exclude": {"rules": [2]}}])),
    ]
}

fn condition() -> impl Strategy<Value = Value> {
    leaf().boxed().prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            2 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|all| json!({"all": all})),
            2 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|any| json!({"any": any})),
            1 => inner.prop_map(|not| json!({"not": not})),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(PIECES), 0..6).prop_map(|pieces| pieces.concat())
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![Just("id".to_owned()), Just("x-a".to_owned()), Just("K".to_owned()), text()];
    proptest::collection::vec((name, text()), 0..4)
}

#[derive(Debug)]
struct Exchange {
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    form: Vec<(String, String)>,
    form_is_declared: bool,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    (pairs(), pairs(), pairs(), any::<bool>()).prop_map(|(query, headers, form, form_is_declared)| Exchange {
        query,
        headers,
        form,
        form_is_declared,
    })
}

fn joined(pairs: &[(String, String)], between: &str) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(between)
}

/// All rules that matched, and the report.
fn run(engine: &Arc<Engine>, exchange: &Exchange) -> (Vec<u32>, Report) {
    let target = format!("/a/b?{}", joined(&exchange.query, "&"));
    let cookie = joined(&exchange.headers, "; ");
    let form = joined(&exchange.form, "&");
    let mut fields: Vec<Field> = exchange
        .headers
        .iter()
        .map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() })
        .collect();
    fields.push(Field { name: b"Cookie", value: cookie.as_bytes() });
    if exchange.form_is_declared {
        fields.push(Field { name: b"Content-Type", value: b"application/x-www-form-urlencoded" });
    }
    let head = RequestHead { method: "POST", ..head(&target, &fields) };
    let mut transaction = engine.begin(&facts());
    transaction.request_headers(&head);
    transaction.request_body(&body(form.as_bytes()));
    let outcome = transaction.finish_with_matches();
    // A trace looks at everything plainly, and must not change what comes of it.
    assert_eq!(traced(engine, &head, form.as_bytes()).report, outcome.report);
    (outcome.matched, outcome.report)
}

fn traced(engine: &Arc<Engine>, head: &RequestHead, form: &[u8]) -> Traced {
    let mut transaction = engine.begin(&facts());
    transaction.trace();
    transaction.request_headers(head);
    transaction.request_body(&body(form));
    transaction.finish_traced()
}

fn engines(conditions: &[Value]) -> [Arc<Engine>; 2] {
    let rules: Vec<Value> = conditions
        .iter()
        .enumerate()
        .map(|(index, when)| {
            let phase = if index % 3 == 2 { "request_body" } else { "request_headers" };
            let since_body = when.to_string().contains("post") || when.to_string().contains("body");
            let late = since_body || when.to_string().contains("combined");
            let then = match index % 4 {
                1 => json!(["score", {"skip": 1}]),
                _ => json!(["score", {"set": {"tx.last": "%{matched_var}"}}]),
            };
            // What rules left behind shows in the report.
            json!({"id": index + 1, "phase": if late { "request_body" } else { phase }, "message": "m",
                "log_data": "%{tx.0}/%{tx.1}/%{tx.n}/%{tx.last}/%{matched_var_name}",
                "severity": "notice", "when": when, "then": then})
        })
        .collect();
    let step = json!({"id": 99, "phase": "request_headers", "message": "step",
        "then": ["no_log", {"set": {"tx.step": 2}}]});
    // Rules that exclusions name have to be there.
    let fill = (rules.len() + 1..=5)
        .map(|id| json!({"id": id, "phase": "logging", "message": "-", "then": ["no_log"]}));
    let rules: Vec<Value> = std::iter::once(step).chain(fill).chain(rules.clone()).collect();
    let text = json!({"name": "set", "version": "1", "rules": rules}).to_string();
    let sources = Sources { files: vec![Source { name: "r.json".into(), text }], ..Sources::default() };
    let settings = Settings { mode: Some(Mode::Detect), ..Settings::default() };
    [Engine::compile, Engine::compile_plain]
        .map(|compile| Arc::new(compile(&sources, &settings).unwrap_or_else(|errors| panic!("{errors:#?}"))))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prefilters_change_no_outcome(
        conditions in proptest::collection::vec(condition(), 1..12),
        exchanges in proptest::collection::vec(exchange(), 1..6),
    ) {
        let [fast, plain] = engines(&conditions);
        for exchange in &exchanges {
            let expect = run(&plain, exchange);
            prop_assert_eq!(run(&fast, exchange), expect.clone());
            // The second time, clean values are remembered.
            prop_assert_eq!(run(&fast, exchange), expect);
        }
    }
}

/// The property above must not hold for want of matches, or for want of a working filter.
#[test]
fn the_property_meets_matches_and_the_filter_spares_work() {
    let when = |literal: &str, transformation: &str| json!({"variables": ["args"], "transformations": [transformation], "operator": {"rx": literal}});
    let conditions = [when("union", "lowercase"), when("select", "url_decode_uni"), when("script", "none")];
    let [fast, plain] = engines(&conditions);
    let exchange = |value: &str| Exchange {
        query: vec![("q".into(), value.into())],
        headers: Vec::new(),
        form: Vec::new(),
        form_is_declared: false,
    };
    let fired = |value: &str| -> Vec<u32> {
        // Beside what `engines` adds.
        run(&fast, &exchange(value)).0.into_iter().filter(|id| *id <= 3).collect()
    };
    assert_eq!(fired("UNION"), [1]);
    assert_eq!(fired("%2573elect script"), [2, 3]);
    let candidates = |engine: &Arc<Engine>| {
        let mut transaction = engine.begin(&facts());
        transaction.request_headers(&head("/?q=harmless&r=Words", &[]));
        transaction.candidates()
    };
    assert_eq!((candidates(&fast), candidates(&plain)), (0, 6));
}
