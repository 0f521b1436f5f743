//! Each variable holds what its name says, phase by phase, and bodies are read as rules want.

use serde_json::{Value, json};

use super::*;
use crate::waf::Slices;
use crate::waf::body::Processor;

/// One exchange of which rules are asked about.
#[derive(Clone, Copy)]
struct Exchange<'a> {
    setup: Option<&'a str>,
    /// Rules in front of the one that asks.
    first: &'a [&'a str],
    target: &'a str,
    fields: Pairs<'a>,
    body: &'a [u8],
    extent: Extent,
    response: &'a [u8],
}

impl Default for Exchange<'_> {
    fn default() -> Self {
        let extent = Extent::Whole;
        Exchange { setup: None, first: &[], target: "/", fields: &[], body: b"", extent, response: b"" }
    }
}

impl Exchange<'_> {
    /// Whether the condition holds when rules of that phase run.
    fn holds(&self, phase: &str, when: Value) -> bool {
        let mut rules: Vec<Value> =
            self.first.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        rules.push(with(with(rule(9, when), "phase", json!(phase)), "then", json!(["log"])));
        let mut files = vec![set(json!(rules))];
        if let Some(setup) = self.setup {
            files.push(json!({ "setup": serde_json::from_str::<Value>(setup).expect("JSON") }));
        }
        let engine = compile_all(&files, &Settings::default());
        let mut transaction = engine.begin(&facts());
        transaction.at(1_735_689_599_250);
        transaction.request_headers(&head(self.target, &fields(self.fields)));
        let asked = transaction.wants_request_body();
        let none = body(b"");
        let request = Body { bytes: self.body, extent: self.extent, coding_error: None };
        transaction.request_body(if asked { &request } else { &none });
        let pairs = [("Content-Type", "text/html"), ("Content-Length", "9")];
        let fields = fields(&pairs);
        transaction.response_headers(&ResponseHead { status: 503, protocol: "HTTP/1.1", fields: &fields });
        let asked = transaction.wants_response_body();
        let response = Body { bytes: self.response, extent: self.extent, coding_error: None };
        transaction.response_body(if asked { &response } else { &none });
        ids(&transaction.finish()).contains(&9)
    }

    #[track_caller]
    fn has(&self, phase: &str, variable: &str, value: &str) {
        let when = |value: &str| json!({ "variables": [variable], "operator": { "streq": value } });
        assert!(self.holds(phase, when(value)), "{variable} is not {value:?} in {phase}");
        assert!(!self.holds(phase, when(&format!("{value}-"))), "{variable}");
    }

    #[track_caller]
    fn count(&self, variable: &str, count: usize) {
        let when = json!({ "variables": [format!("&{variable}")], "operator": { "eq": count } });
        assert!(self.holds("request_body", when), "{variable} does not stand {count} times");
    }
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const XML: (&str, &str) = ("Content-Type", "text/xml");
const PARTS: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=B");
const MODSECURITY: Option<&str> = Some(r#"{"request_bodies":"as_modsecurity"}"#);

#[test]
fn variables_of_the_head_have_their_values_before_the_body() {
    let exchange = Exchange {
        target: "/one/t%20wo?a=1&&b=%2",
        fields: &[("Authorization", "Basic YTpi"), ("X-A", "1")],
        ..Exchange::default()
    };
    for (variable, value) in [
        ("auth_type", "Basic"),
        ("path_info", "/one/t wo"),
        ("remote_host", "192.0.2.7"),
        ("useragent_ip", "192.0.2.7"),
        ("urlencoded_error", "1"),
        ("reqbody_processor", ""),
        ("webappid", "default"),
        ("sessionid", ""),
        ("msc_pcre_limits_exceeded", "0"),
        ("duration", "1735689598250000"),
        ("time", "23:59:59"),
        ("time_epoch", "1735689599"),
        ("time_year", "2024"),
        ("time_mon", "12"),
        ("time_day", "31"),
        ("time_wday", "2"),
        ("time_hour", "23"),
        ("time_min", "59"),
        ("time_sec", "59"),
    ] {
        exchange.has("request_headers", variable, value);
    }
    let when = json!({ "variables": ["modsec_build"], "operator": { "rx": "^00[0-9]{4}100$" } });
    assert!(exchange.holds("request_headers", when));
    exchange.count("args", 3);
    let plain = Exchange { target: "/?a=%2B", ..Exchange::default() };
    plain.has("request_headers", "urlencoded_error", "0");
    plain.count("auth_type", 0);
}

#[test]
fn the_keys_of_sessions_and_users_are_variables() {
    let open = r#"{"id":1,"phase":"request_headers","message":"m","then":[
        {"init_collection":{"session":"%{request_cookies.sid}"}},{"init_collection":{"user":"ann"}}]}"#;
    let exchange = Exchange { first: &[open], fields: &[("Cookie", "sid=S1")], ..Exchange::default() };
    exchange.has("request_body", "sessionid", "S1");
    exchange.has("request_body", "userid", "ann");
}

#[test]
fn variables_of_the_response_have_their_values() {
    let exchange = Exchange { response: b"text", ..Exchange::default() };
    for (variable, value) in [
        ("status", "503"),
        ("response_status", "503"),
        ("status_line", "HTTP/1.1 503"),
        ("response_content_type", "text/html"),
        ("response_content_length", "9"),
        ("outbound_data_error", "0"),
    ] {
        exchange.has("response_body", variable, value);
    }
    let cut = Exchange { extent: Extent::Partial, ..exchange };
    cut.has("response_body", "outbound_data_error", "1");
    let closed = Exchange { setup: Some(r#"{"response_body_access":false}"#), ..exchange };
    let when = json!({ "variables": ["&response_body"], "operator": { "eq": 0 } });
    assert!(closed.holds("response_body", when.clone()) && !exchange.holds("response_body", when));
}

#[test]
fn the_whole_request_is_built_for_rules_that_ask() {
    let exchange = Exchange { fields: &[FORM, ("X-A", "b")], body: b"p=1", ..Exchange::default() };
    let text = "Content-Type: application/x-www-form-urlencoded\nX-A: b\n\n\np=1";
    exchange.has("request_body", "full_request", text);
    exchange.has("request_body", "full_request_length", &text.len().to_string());
    // A macro asks, too.
    let keep =
        r#"{"id":1,"phase":"request_body","message":"m","then":[{"set":{"tx.n":"%{full_request_length}"}}]}"#;
    let exchange = Exchange { first: &[keep], ..exchange };
    exchange.has("request_body", "tx:n", &text.len().to_string());
}

#[test]
fn forms_are_read_as_modsecurity_reads_them() {
    let exchange = Exchange { fields: &[FORM], body: b"a=1&&b=c+d%41&=x&e&%zz=", ..Exchange::default() };
    exchange.count("args_post", 6);
    exchange.has("request_body", "args_post:b", "c dA");
    exchange.has("request_body", "args_names:e", "e");
    exchange.has("request_body", "urlencoded_error", "1");
    exchange.has("request_body", "reqbody_error", "0");
    exchange.has("request_body", "inbound_data_error", "0");
    Exchange { extent: Extent::Partial, ..exchange }.has("request_body", "inbound_data_error", "1");
}

#[test]
fn the_limit_on_arguments_holds_for_query_and_body_together() {
    let exchange = Exchange {
        setup: Some(r#"{"arguments_limit":3}"#),
        target: "/?a=1&b=2",
        fields: &[FORM, ("Cookie", "x=1; y=2; z=3; w=4")],
        body: b"c=3",
        ..Exchange::default()
    };
    exchange.has("request_body", "reqbody_error", "0");
    exchange.count("args", 3);
    let over = Exchange { body: b"c=3&d=4", ..exchange };
    over.has("request_body", "reqbody_error", "1");
    over.has("request_body", "reqbody_processor_error", "1");
    over.has("request_body", "reqbody_processor_error_msg", "more than 3 arguments");
    over.count("args", 3);
    over.count("request_cookies", 4);
    let json = Exchange { fields: &[JSON], body: br#"{"a":[1,2]}"#, ..exchange };
    json.has("request_body", "reqbody_error", "1");
    // A limit above the usual one holds as well.
    let many = "a&".repeat(1500);
    let raised = Exchange { setup: Some(r#"{"arguments_limit":2000}"#), body: many.as_bytes(), ..exchange };
    raised.has("request_body", "reqbody_error", "0");
    raised.count("args_post", 1500);
}

const FILE: &str = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n\
    --B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\n12345\r\n--B--\r\n";

#[test]
fn multipart_bodies_fill_the_variables_of_files_and_parts() {
    let exchange = Exchange { fields: &[PARTS], body: FILE.as_bytes(), ..Exchange::default() };
    for (variable, value) in [
        ("args_post:a", "one"),
        ("files:f", "x.txt"),
        ("files_names", "f"),
        ("files_sizes:f", "5"),
        ("files_combined_size", "5"),
        ("multipart_filename", "x.txt"),
        ("multipart_name:a", "a"),
        ("multipart_name:f", "f"),
        ("multipart_part_headers:a", "Content-Disposition: form-data; name=\"a\""),
        ("reqbody_processor", "MULTIPART"),
        ("multipart_strict_error", "0"),
        ("multipart_unmatched_boundary", "0"),
    ] {
        exchange.has("request_body", variable, value);
    }
    exchange.count("multipart_name", 2);
    exchange.count("args", 1);
}

#[test]
fn every_multipart_flag_is_raised_by_what_it_names_and_by_nothing_else() {
    const FLAGS: &[&str] = &[
        "multipart_boundary_quoted",
        "multipart_boundary_whitespace",
        "multipart_data_before",
        "multipart_data_after",
        "multipart_header_folding",
        "multipart_invalid_header_folding",
        "multipart_lf_line",
        "multipart_crlf_lf_lines",
        "multipart_missing_semicolon",
        "multipart_invalid_quoting",
        "multipart_invalid_part",
        "multipart_file_limit_exceeded",
        "multipart_strict_error",
    ];
    let strict = "multipart_strict_error";
    let kind = "multipart/form-data; boundary=B";
    let many = FILE.split("--B\r\nContent-Disposition: form-data; name=\"f\"").next().unwrap().repeat(1001);
    let body = |from: &str, to: &str| FILE.replacen(from, to, 1);
    for (content_type, body, raised) in [
        (kind, FILE.to_owned(), vec![]),
        ("multipart/form-data; boundary=\"B\"", FILE.to_owned(), vec!["multipart_boundary_quoted", strict]),
        ("multipart/form-data; boundary= B", FILE.to_owned(), vec!["multipart_boundary_whitespace", strict]),
        ("multipart/form-data boundary=B", FILE.to_owned(), vec!["multipart_missing_semicolon", strict]),
        (kind, format!("x\r\n{FILE}"), vec!["multipart_data_before", strict]),
        (kind, format!("{FILE}x"), vec!["multipart_data_after", strict]),
        (kind, body("; name", ";\r\n name"), vec!["multipart_header_folding", strict]),
        (
            kind,
            body("; name", ";\r\n\x0cname"),
            vec!["multipart_header_folding", "multipart_invalid_header_folding", strict],
        ),
        (kind, FILE.replace("\r\n", "\n"), vec!["multipart_lf_line", strict]),
        (kind, body("\r\n", "\n"), vec!["multipart_lf_line", "multipart_crlf_lf_lines", strict]),
        (kind, body("\"a\"", "'a'"), vec!["multipart_invalid_quoting", strict]),
        (kind, body("; name=\"a\"", ""), vec!["multipart_invalid_part", strict]),
        (kind, many, vec!["multipart_file_limit_exceeded", strict]),
        (kind, FILE.replace("--B--", ""), vec![strict]),
        ("multipart/form-data", FILE.to_owned(), vec![strict]),
    ] {
        let fields = [("Content-Type", content_type)];
        let exchange =
            Exchange { setup: MODSECURITY, fields: &fields, body: body.as_bytes(), ..Exchange::default() };
        for flag in FLAGS {
            let value = if raised.contains(flag) { "1" } else { "0" };
            exchange.has("request_body", flag, value);
        }
    }
    // Quotes around a boundary are correct: only ModSecurity takes offence.
    let fields = [("Content-Type", "multipart/form-data; boundary=\"B\"")];
    let exchange = Exchange { fields: &fields, body: FILE.as_bytes(), ..Exchange::default() };
    exchange.has("request_body", strict, "0");
}

#[test]
fn a_line_like_a_boundary_is_told_apart_by_what_follows_it() {
    let ask = |body: &str| {
        let exchange = Exchange { fields: &[PARTS], body: body.as_bytes(), ..Exchange::default() };
        ["0", "1", "2"].into_iter().find(|value| {
            let when =
                json!({ "variables": ["multipart_unmatched_boundary"], "operator": { "streq": value } });
            exchange.holds("request_body", when)
        })
    };
    assert_eq!(ask(FILE), Some("0"));
    assert_eq!(ask(&FILE.replace("12345", "-----PEM-----\r\nx")), Some("2"));
    assert_eq!(ask(&FILE.replace("12345", "x\r\n-----PEM-----\r\nx")), Some("2"));
    assert_eq!(ask(&FILE.replace("--B--", "--C--")), Some("1"));
    assert_eq!(ask(&format!("--C\r\n{FILE}")), Some("2"));
    assert_eq!(ask(&FILE.replace("--B", "--C")), Some("1"), "no boundary at all");
    assert_eq!(ask(&FILE.replace("12345", "12--B3")), Some("1"));
}

#[test]
fn json_and_xml_fill_their_variables_and_keep_what_was_read_before_an_error() {
    let json =
        Exchange { fields: &[JSON], body: br#"{"a":[1.50,null],"b":{"c":"x"}}"#, ..Exchange::default() };
    for (variable, value) in [
        ("args:json.a.0", "1.50"),
        ("args:json.a.1", ""),
        ("args:json.a", "2"),
        ("args_names:json.b.c", "json.b.c"),
        ("reqbody_processor", "JSON"),
        ("reqbody_error", "0"),
    ] {
        json.has("request_body", variable, value);
    }
    json.has("request_headers", "reqbody_processor", "JSON");
    let broken = Exchange { body: br#"{"a":"kept","b":"#, ..json };
    broken.has("request_body", "args:json.a", "kept");
    broken.has("request_body", "reqbody_error", "1");
    broken.has("request_body", "reqbody_error_code", "malformed");
    json.count("reqbody_error_code", 0);
    let deep = "[".repeat(100);
    let deep = Exchange { body: deep.as_bytes(), ..json };
    deep.has("request_body", "reqbody_error", "1");
    deep.has("request_body", "reqbody_error_code", "too_deep");
    let xml = Exchange { fields: &[XML], body: b"<a b='attr'>one<c>two</c></a>", ..Exchange::default() };
    for value in ["one", "two"] {
        xml.has("request_body", "xml:/*", value);
    }
    xml.has("request_body", "xml://@*", "attr");
    xml.has("request_body", "reqbody_processor", "XML");
    let entity = b"<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///x'>]><a>&e;</a>";
    let entity = Exchange { body: entity, ..xml };
    entity.has("request_body", "reqbody_error", "1");
    entity.has("request_body", "reqbody_error_code", "entities");
    entity.has("request_body", "xml:/*", "&e;");
}

#[test]
fn a_body_that_is_not_what_it_says_is_an_argument_as_it_stands() {
    let json = Exchange { fields: &[JSON], body: b"a=1&b=<x>", ..Exchange::default() };
    json.has("request_body", "args:request_body", "a=1&b=<x>");
    json.has("request_body", "args_post:b", "<x>");
    json.has("request_body", "reqbody_error_code", "malformed");
    let text = Exchange { fields: &[("Content-Type", "text/plain")], body: b"<x>", ..Exchange::default() };
    text.has("request_body", "args:request_body", "<x>");
    text.has("request_body", "reqbody_error", "0");
    let as_text = Exchange { body: br#"{"a":"x"}"#, ..text };
    as_text.has("request_body", "args:json.a", "x");
    as_text.count("args", 1);
    let form = Exchange { fields: &[FORM], body: br#"{"a":"x"}"#, ..Exchange::default() };
    form.has("request_body", "args:json.a", "x");
    // Rules made for ModSecurity count what it counts.
    for exchange in [json, text, as_text, form] {
        let exchange = Exchange { setup: MODSECURITY, ..exchange };
        exchange.count("args_post:request_body", 0);
        exchange.count("args:json.a", 0);
    }
    let charset = [("Content-Type", "application/x-www-form-urlencoded; charset=ibm037")];
    let charset = Exchange { fields: &charset, body: b"%82=%f1", ..Exchange::default() };
    charset.has("request_body", "reqbody_error_code", "charset");
    let wide = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-16le")];
    let wide = Exchange { fields: &wide, body: b"q=%3c%00x%00", ..Exchange::default() };
    wide.has("request_body", "args:q", "<x");
}

#[test]
fn both_errors_are_told_of_a_query_and_a_body() {
    let many = format!("/?{}", "a&".repeat(10_001));
    let exchange = Exchange { target: &many, fields: &[JSON], body: b"{", ..Exchange::default() };
    for code in ["too_many_args", "malformed"] {
        exchange.has("request_body", "reqbody_error_code", code);
    }
}

fn processor(name: &str) -> String {
    json!({"id": 1, "phase": "request_headers", "message": "m", "then": [{"body_processor": name}]})
        .to_string()
}

#[test]
fn a_rule_says_how_a_body_is_read_whatever_its_content_type() {
    for (name, shown, variable, value, bytes) in [
        ("urlencoded", "URLENCODED", "args:p", "1", &b"p=1"[..]),
        ("json", "JSON", "args:json.p", "1", br#"{"p":1}"#),
        ("xml", "XML", "xml:/*", "1", b"<p>1</p>"),
        ("multipart", "MULTIPART", "reqbody_error", "1", b"--B"),
    ] {
        let first = processor(name);
        for content_type in ["text/plain", "application/octet-stream", "application/json", "text/xml"] {
            for setup in [None, MODSECURITY] {
                let fields = [("Content-Type", content_type), ("Content-Length", "99999")];
                let first = [first.as_str()];
                let exchange =
                    Exchange { setup, first: &first, fields: &fields, body: bytes, ..Exchange::default() };
                exchange.has("request_body", variable, value);
                exchange.has("request_headers", "reqbody_processor", shown);
            }
        }
    }
}

#[test]
fn what_a_rule_has_read_is_taken_apart_and_what_it_forces_is_not() {
    let force = r#"{"id":1,"phase":"request_headers","message":"m","then":["force_request_body_variable"]}"#;
    for (first, content_type, expect) in [
        (processor("json"), "text/plain", true),
        (force.to_owned(), "text/plain", false),
        (force.to_owned(), "application/json", true),
    ] {
        let first: Value = serde_json::from_str(&first).expect("JSON");
        let engine = compile(json!([
            first,
            with(rule(9, contains(json!(["args"]), "x")), "phase", json!("request_body"))
        ]));
        let mut transaction = engine.begin(&facts());
        transaction.request_headers(&head("/", &fields(&[("Content-Type", content_type)])));
        assert_eq!(transaction.takes_request_body_apart(), expect, "{content_type}");
        // What follows the window is read in the same way.
        let slices = Slices { processor: Processor::Json, if_json: false };
        assert_eq!(transaction.slices(), expect.then_some(slices), "{content_type}");
    }
}

#[test]
fn as_modsecurity_only_forms_and_multipart_are_read_without_a_rule() {
    let json = Exchange { setup: MODSECURITY, fields: &[JSON], body: br#"{"p":1}"#, ..Exchange::default() };
    json.has("request_headers", "reqbody_processor", "");
    json.count("args", 0);
    json.count("request_body", 0);
    let force = r#"{"id":2,"phase":"request_headers","message":"m",
        "when":{"not":{"variables":["reqbody_processor"],"operator":{"rx":"URLENCODED|MULTIPART|XML|JSON"}}},
        "then":["force_request_body_variable"]}"#;
    let forced = Exchange { first: &[force], ..json };
    forced.has("request_body", "request_body", r#"{"p":1}"#);
    forced.count("args", 0);
    // What a rule reads before is not forced, and broken bodies are not shown.
    let read = processor("json");
    let first = [read.as_str(), force];
    let chosen = Exchange { first: &first, ..json };
    chosen.has("request_body", "args:json.p", "1");
    chosen.count("request_body", 0);
    Exchange { body: b"{\"p\":", ..chosen }.count("request_body", 0);
    let form = Exchange { fields: &[FORM], body: b"p=1", ..json };
    form.has("request_body", "request_body", "p=1");
    form.has("request_body", "reqbody_processor", "URLENCODED");
    let parts = Exchange { fields: &[PARTS], body: FILE.as_bytes(), ..json };
    parts.count("request_body", 0);
    parts.has("request_body", "args:a", "one");
}

#[test]
fn a_forced_body_is_there_whole_whatever_took_it_apart() {
    let force = r#"{"id":2,"phase":"request_headers","message":"m","then":["force_request_body_variable"]}"#;
    let json = Exchange { first: &[force], fields: &[JSON], body: br#"{"p":1}"#, ..Exchange::default() };
    json.has("request_body", "request_body", r#"{"p":1}"#);
    json.has("request_body", "args:json.p", "1");
    // Also a long one in a format that rules see only the beginning of otherwise.
    let long = [&[b'.'; 20_000][..], b"end"].concat();
    let pairs = [("Content-Type", "application/octet-stream"), ("Content-Length", "20003")];
    let binary = Exchange { fields: &pairs, body: &long, ..json };
    let when = || json!({ "variables": ["request_body"], "operator": { "ends_with": "end" } });
    assert!(binary.holds("request_body", when()));
    assert!(!Exchange { first: &[], ..binary }.holds("request_body", when()));
}

#[test]
fn without_access_to_the_body_nothing_of_it_is_collected() {
    let off = r#"{"id":2,"phase":"request_headers","message":"m","then":[{"request_body_access":false}]}"#;
    for (setup, first) in [(Some(r#"{"request_body_access":false}"#), vec![]), (None, vec![off])] {
        let exchange =
            Exchange { setup, first: &first, fields: &[FORM], body: b"p=1", ..Exchange::default() };
        exchange.count("args", 0);
        exchange.count("request_body", 0);
        exchange.has("request_body", "request_body_length", "0");
        // Not even when the caller shows it.
        let when = json!({ "variables": ["&args"], "operator": { "eq": 1 } });
        let mut files = vec![set(json!([with(rule(9, when), "phase", json!("request_body"))]))];
        files.extend(setup.map(|_| json!({"setup": {"request_body_access": false}})));
        let engine = compile_all(&files, &Settings::default());
        let mut transaction = engine.begin(&facts());
        transaction.request_headers(&head("/", &fields(&[FORM])));
        let decision = transaction.request_body(&body(b"p=1"));
        assert_eq!(decision == Decision::Continue, setup.is_some());
    }
}

#[test]
fn a_rule_that_looks_at_a_flag_alone_has_the_body_read() {
    for variable in
        ["multipart_lf_line", "multipart_unmatched_boundary", "urlencoded_error", "inbound_data_error"]
    {
        let when = json!({ "variables": [variable], "operator": { "eq": 1 } });
        let engine = compile(json!([with(rule(1, when), "phase", json!("request_body"))]));
        let mut transaction = engine.begin(&facts());
        transaction.request_headers(&head("/", &[]));
        assert!(transaction.wants_request_body(), "{variable}");
    }
}

#[test]
fn the_start_of_a_body_of_any_type_is_seen_once_and_the_rest_of_it_is_not() {
    let start =
        with(rule(1, contains(json!(["response_body_start"]), "MZ")), "phase", json!("response_body"));
    let whole = with(rule(2, contains(json!(["response_body"]), "MZ")), "phase", json!("response_body"));
    let ask = |rules: Value, kind: &str, parts: &[&[u8]]| {
        let engine = compile(rules);
        let mut transaction = engine.begin(&facts());
        transaction.request_headers(&head("/", &[]));
        transaction.request_body(&body(b""));
        let pairs = [("Content-Type", kind)];
        let fields = fields(&pairs);
        transaction.response_headers(&ResponseHead { status: 200, protocol: "HTTP/1.1", fields: &fields });
        let asked = (transaction.wants_response_body(), transaction.wants_response_start());
        for part in parts {
            transaction.response_body(&Body { bytes: part, extent: Extent::Partial, coding_error: None });
        }
        (asked, ids(&transaction.finish()))
    };
    let both = || json!([start.clone(), whole.clone()]);
    assert_eq!(ask(both(), "image/png", &[b"MZ"]), ((false, Some(1024)), vec![1]));
    assert_eq!(ask(json!([whole]), "image/png", &[b"MZ"]), ((false, None), vec![]));
    assert_eq!(ask(json!([start]), "text/plain", &[b"MZ"]), ((false, Some(1024)), vec![1]));
    // Later parts are no start, and what is behind the start is not part of it.
    assert_eq!(ask(both(), "image/png", &[b"PNG", b"MZ"]).1, [0u32; 0]);
    let long = [vec![b'x'; 1023], b"MZ".to_vec()].concat();
    assert_eq!(ask(json!([start]), "text/plain", &[&long]).1, [0u32; 0]);
}
