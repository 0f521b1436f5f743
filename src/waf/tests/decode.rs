//! Decode candidates and types of values, as rules meet them.

use serde_json::json;

use super::*;

fn decoding(variables: Value, decode: Value, text: &str) -> Value {
    json!({ "variables": variables, "decode": decode, "operator": { "contains": text } })
}

#[test]
fn a_rule_that_asks_meets_what_a_value_decodes_to() {
    let engine = compile(json!([
        rule(1, decoding(json!(["args", "request_headers", "request_filename"]), json!(2), "<script>")),
        rule(2, contains(json!(["args"]), "<script>")),
    ]));
    // `<script>` in base64, in hex, in base64 of percent signs, as escapes, and plain.
    for target in [
        "/?q=PHNjcmlwdD4%3D",
        "/?q=3c7363726970743e",
        "/?q=JTNDc2NyaXB0JTNF",
        "/?q=%5Cu003cscript%5Cu003e",
        "/?q=%2526lt;script%2526gt;",
        "/x/PHNjcmlwdD4=/y",
    ] {
        let (decision, report) = ask(&engine, target, &[]);
        assert!(decision != Decision::Continue, "{target}");
        assert!(ids(&report).iter().all(|id| *id == 1), "{target}");
    }
    assert!(stops(&engine, "/", &[("x-state", "PHNjcmlwdD4=")]));
    // Three layers of three kinds are one too many.
    assert!(!stops(&engine, "/?q=MjUzMzYzNzM2MzcyNjk3MDc0MjUzMzY1", &[]));
    assert!(!stops(&engine, "/?q=password", &[]));
}

#[test]
fn a_decoded_value_has_the_name_of_its_source_and_its_layers_in_the_report() {
    let engine = compile(json!([rule(1, decoding(json!(["args"]), json!(2), "<script>"))]));
    let (_, report) = ask(&engine, "/?q=JTNDc2NyaXB0JTNF", &[]);
    let [found] = &report.matches[..] else { panic!("{report:?}") };
    assert_eq!(
        (&*found.variable, &*found.value, &*found.matched),
        ("args:q", "JTNDc2NyaXB0JTNF", "<script>")
    );
    let steps: Vec<_> = found.steps.iter().map(|step| (&*step.transformation, &*step.result)).collect();
    assert_eq!(steps, [("decode base64", "%3Cscript%3E"), ("decode url", "<script>")]);
    let exclusion = json!({ "name": "e", "version": "1", "exclusions": [serde_json::from_str::<Value>(&found.exclusion).expect("JSON")] });
    let engine = compile_all(
        &[set(json!([rule(1, decoding(json!(["args"]), json!(2), "<script>"))])), exclusion],
        &Settings::default(),
    );
    assert!(!stops(&engine, "/?q=JTNDc2NyaXB0JTNF", &[]));
    assert!(stops(&engine, "/?r=JTNDc2NyaXB0JTNF", &[]));
}

#[test]
fn depth_and_encodings_are_those_asked_for() {
    let engine = |decode: Value| compile(json!([rule(1, decoding(json!(["args"]), decode, "<script>"))]));
    let (once, twice) = ("/?q=PHNjcmlwdD4%3D", "/?q=JTNDc2NyaXB0JTNF");
    assert!(stops(&engine(json!(1)), once, &[]) && !stops(&engine(json!(1)), twice, &[]));
    let only = |names: Value| engine(json!({ "depth": 2, "as": names }));
    assert!(stops(&only(json!(["base64"])), once, &[]) && !stops(&only(json!(["base64"])), twice, &[]));
    assert!(stops(&only(json!(["base64", "url"])), twice, &[]));
    assert!(!stops(&only(json!(["hex", "url"])), once, &[]));
}

/// Layers of one kind on each other count as one, four of them at most.
#[test]
fn what_is_encoded_again_the_same_way_is_as_deep_as_before() {
    let engine = |depth: u8| compile(json!([rule(1, decoding(json!(["args"]), json!(depth), "<script>"))]));
    let percent = |layers: usize| format!("/?q=%{}3cscript%{}3e", "25".repeat(layers), "25".repeat(layers));
    for layers in 1..=5 {
        assert_eq!(stops(&engine(1), &percent(layers), &[]), layers <= 4, "{layers}");
    }
    // `<script>` with percent signs three times, in base64, and base64 in base64.
    let (inside, packed) = ("/?q=JTI1MjUzY3NjcmlwdCUyNTI1M2U%3D", "/?q=UEhOamNtbHdkRDQ9");
    assert!(stops(&engine(2), inside, &[]) && !stops(&engine(1), inside, &[]));
    assert!(stops(&engine(1), packed, &[]));
    // A later condition asks the same.
    let when = json!({ "all": [contains(json!(["args:a"]), "go"), decoding(json!(["args:q"]), json!(1), "<script>")] });
    assert!(stops(&compile(json!([rule(1, when)])), &format!("{}&a=go", percent(3)), &[]));
}

#[test]
fn reaching_a_bound_is_told_and_what_was_not_decoded_is_not_taken_for_clean() {
    let limit = |value: u8| json!({ "variables": ["decode_limit_exceeded"], "operator": { "eq": value } });
    let engine = compile_all(
        &[set(json!([
            rule(1, decoding(json!(["args"]), json!(2), "<script>")),
            rule(2, limit(1)),
            rule(3, limit(2)),
        ]))],
        &Settings { mode: Some(Mode::Detect), ..Settings::default() },
    );
    let fired = |target: &str| ids(&ask(&engine, target, &[]).1);
    let attack = "q=PHNjcmlwdD4%3D";
    assert_eq!(fired("/?q=harmless"), [0u32; 0]);
    assert_eq!(fired(&format!("/?a={}", "x".repeat(64 * 1024 + 1))), [2]);
    // Each of them different, for one that was seen before is not decoded again.
    let list = |number: usize| format!("a=[{}{number}]&", "\"%2541 b\",".repeat(64));
    let many: String = (0..40).map(list).collect();
    assert_eq!(fired(&format!("/?{many}{attack}")), [3]);
    assert_eq!(fired(&format!("/?{attack}")), [1]);
    // 1 MiB of them together.
    let long = format!("a=%2541{}&", "x".repeat(60_000));
    assert_eq!(fired(&format!("/?{}q=harmless", long.repeat(18))), [3]);
}

#[test]
fn candidates_are_not_counted_and_not_looked_at_unasked() {
    let engine = compile(json!([
        rule(1, decoding(json!(["args"]), json!(1), "never")),
        rule(2, json!({ "variables": ["&args"], "operator": { "gt": 1 } })),
        rule(3, contains(json!(["args"]), "<")),
    ]));
    assert!(!stops(&engine, "/?q=PHNjcmlwdD4%3D", &[]));
}

#[test]
fn candidates_are_bounded() {
    let engine = compile(json!([rule(1, decoding(json!(["args"]), json!(4), "never"))]));
    let piece = "JTI1M0NzY3JpcHQlMjUzRQ%3D%3D";
    let target = format!("/?{}", format!("q={piece}&").repeat(900));
    let mut transaction = engine.begin(&facts());
    transaction.request_headers(&head(&target, &[]));
    assert!(transaction.work() < 40 * target.len() as u64, "{} for {}", transaction.work(), target.len());
}

#[test]
fn values_of_a_type_are_left_out() {
    let when =
        json!({ "variables": ["args"], "skip_types": ["number", "uuid"], "operator": { "contains": "1" } });
    let engine = compile(json!([rule(1, when)]));
    assert!(!stops(&engine, "/?q=12.5&r=123e4567-e89b-12d3-a456-426614174000", &[]));
    assert!(stops(&engine, "/?q=12.5&r=1+or", &[]));
    let when = json!({ "variables": ["args"], "skip_types": ["number"], "negate": true, "operator": { "streq": "x" } });
    let engine = compile(json!([rule(1, when)]));
    assert!(!stops(&engine, "/?q=1", &[]) && stops(&engine, "/?q=y", &[]));
}

#[test]
fn later_conditions_and_traces_see_the_same_candidates() {
    let when = json!({ "all": [
        contains(json!(["args:a"]), "go"),
        { "variables": ["args:q"], "decode": 2, "skip_types": ["word"], "operator": { "rx": "^<[a-z]+>$" } },
    ]});
    let engine = compile(json!([rule(1, when)]));
    for (target, expect) in [("/?a=go&q=JTNDc2NyaXB0JTNF", true), ("/?a=no&q=JTNDc2NyaXB0JTNF", false)] {
        assert_eq!(stops(&engine, target, &[]), expect, "{target}");
        let mut transaction = engine.begin(&facts());
        transaction.trace();
        transaction.request_headers(&head(target, &[]));
        assert_eq!(
            transaction.finish_traced().report.matches,
            ask(&engine, target, &[]).1.matches,
            "{target}"
        );
    }
}

#[test]
fn json_and_xml_in_utf_16_are_read() {
    let when = contains(json!(["args_post", "xml:/*"]), "<script>");
    let engine = compile(json!([with(rule(1, when), "phase", json!("request_body"))]));
    for (kind, text) in [("application/json", r#"{"a":"<script>"}"#), ("text/xml", "<a>&lt;script></a>")] {
        let wide: Vec<u8> =
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let mut transaction = engine.begin(&facts());
        let length = wide.len().to_string();
        transaction
            .request_headers(&head("/", &fields(&[("content-type", kind), ("content-length", &length)])));
        assert!(transaction.request_body(&body(&wide)) != Decision::Continue, "{kind}");
    }
}

#[test]
fn mistakes_have_a_place() {
    for (leaf, part) in [
        (json!({ "decode": 5 }), "the depth of `decode` is a whole number from 1 to 4, not 5"),
        (json!({ "decode": { "depth": 1, "as": ["base46"] } }), "unknown encoding `base46`"),
        (json!({ "decode": { "as": ["hex"] } }), "needs the key `depth`"),
        (json!({ "decode": { "depth": 1, "as": [] } }), "`decode` as nothing"),
        (json!({ "skip_types": ["nummer"] }), "unknown type of values `nummer`"),
    ] {
        let mut when = contains(json!(["args"]), "x");
        for (key, value) in leaf.as_object().expect("an object") {
            when[key] = value.clone();
        }
        let files = vec![Source { name: "f.json".into(), text: set(json!([rule(1, when)])).to_string() }];
        let errors = Engine::compile(&Sources { files, ..Sources::default() }, &Settings::default());
        let errors = errors.err().map(|errors| format!("{errors:?}")).unwrap_or_default();
        assert!(errors.contains(part), "{part}: {errors}");
    }
}
