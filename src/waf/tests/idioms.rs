//! The idioms of public rule sets, from SecLang to the verdict: small rules in the manner of the
//! OWASP Core Rule Set, and which of them log.

use std::sync::Arc;

use crate::waf::example::Exchange;
use crate::waf::input::{Body, Extent, Field, ResponseHead};
use crate::waf::lang::ast::Example;
use crate::waf::lang::seclang::{self, Files, Input, Options};
use crate::waf::{Engine, Settings, Sources};

struct Phrases;

impl Files for Phrases {
    fn include(&mut self, _: &str, pattern: &str) -> Result<Vec<Input>, String> {
        Err(pattern.to_owned())
    }
    fn data(&mut self, _: &str, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "errors.data" => Ok(b"# comment\nSyntax error near\nORA-00933\n".to_vec()),
            other => Err(format!("no {other}")),
        }
    }
}

fn sources(rules: &str) -> Sources {
    let base = "SecRuleEngine DetectionOnly\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n\
        SecResponseBodyMimeType text/plain text/html text/xml application/json\n\
        SecRule REQUEST_HEADERS:Content-Type \"^(?:application(?:/soap\\+|/)|text/)xml\" \
        \"id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
        SecRule REQUEST_HEADERS:Content-Type \"^application/json\" \
        \"id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
        SecDefaultAction \"phase:1,log,auditlog,pass\"\nSecDefaultAction \"phase:2,log,auditlog,pass\"\n";
    let input = Input { name: "idioms.conf".into(), text: format!("{base}{rules}") };
    match seclang::import(&[input], &mut Phrases, &Options::default()) {
        Ok(imported) => imported.sources,
        Err(errors) => panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

fn engine(rules: &str) -> Arc<Engine> {
    let sources = sources(rules);
    match Engine::compile(&sources, &Settings::default()) {
        Ok(engine) => Arc::new(engine),
        Err(errors) => panic!("{errors:#?}\n{}", sources.files[0].text),
    }
}

/// Ids of the rules that log, each once, in their order.
fn ask(engine: &Arc<Engine>, request: &str, response: Option<&str>) -> Vec<u32> {
    let example = Example { request: Some(request.into()), response: response.map(str::to_owned) };
    let report = Exchange::parse(&example).expect("an example").run(engine).report;
    let mut ids: Vec<u32> = report.matches.iter().map(|found| found.rule).collect();
    ids.dedup();
    ids
}

fn logged(rules: &str, request: &str) -> Vec<u32> {
    ask(&engine(rules), request, None)
}

/// No rule logs.
const NONE: [u32; 0] = [];
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

#[test]
fn a_parameter_given_twice_is_counted_by_its_name() {
    let rules = r#"
SecRule ARGS_NAMES "@rx ." "id:1,phase:2,pass,nolog,t:none,setvar:'TX.paramcounter_%{MATCHED_VAR_NAME}=+1'"
SecRule TX:/paramcounter_.*/ "@gt 1" "id:2,phase:2,pass,t:none,msg:'twice',logdata:'%{MATCHED_VAR_NAME}',chain"
    SecRule MATCHED_VARS_NAMES "@rx TX:paramcounter_(.*)" "capture,setvar:'tx.http_violation_score=+5'"
SecRule TX:HTTP_VIOLATION_SCORE "@ge 5" "id:3,phase:2,pass,t:none,msg:'scored'""#;
    assert_eq!(logged(rules, "GET /?a=1&b=2"), NONE);
    assert_eq!(logged(rules, "GET /?a=1&b=2&a=3"), [2, 3]);
    assert_eq!(logged(rules, &format!("POST /?a=1\n{FORM}\n\na=2")), [2, 3]);
}

#[test]
fn every_header_name_is_held_against_a_list() {
    let rules = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:'tx.restricted_headers_basic=/proxy/ /lock-token/ /if/'"
SecRule REQUEST_HEADERS_NAMES "@rx ^.*$" "id:2,phase:1,pass,capture,t:none,t:lowercase,msg:'restricted %{MATCHED_VAR}',\
    setvar:'tx.header_name_%{tx.0}=/%{tx.0}/',chain"
    SecRule TX:/^header_name_/ "@within %{tx.restricted_headers_basic}" "setvar:'tx.score=+5'""#;
    assert_eq!(logged(rules, "GET /\nAccept: */*"), NONE);
    assert_eq!(logged(rules, "GET /\nAccept: */*\nProxy: x"), [2]);
    assert_eq!(logged(rules, "GET /\nIF: x"), [2]);
}

#[test]
fn lists_hold_methods_protocols_types_and_extensions() {
    let rules = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:'tx.allowed_methods=GET HEAD POST',\
    setvar:'tx.types=|application/json| |text/xml|',setvar:'tx.restricted_extensions=.bak/ .sql/'"
SecRule REQUEST_METHOD "!@within %{tx.allowed_methods}" "id:2,phase:1,pass,t:none,msg:'method'"
SecRule REQUEST_HEADERS:Content-Type "@rx ^[^;\s]+" "id:3,phase:1,pass,capture,t:none,t:lowercase,msg:'type',\
    setvar:'tx.content_type=|%{tx.0}|',chain"
    SecRule TX:content_type "!@within %{tx.types}" "t:none"
SecRule REQUEST_BASENAME "@rx \.([^.]+)$" "id:4,phase:1,pass,capture,t:none,msg:'extension',\
    setvar:'tx.extension=.%{tx.1}/',chain"
    SecRule TX:EXTENSION "@within %{tx.restricted_extensions}" "t:none,t:urlDecodeUni,t:lowercase"
SecRule REQUEST_HEADERS:Range "@rx (\d+)-(\d+)" "id:5,phase:1,pass,capture,t:none,msg:'range',chain"
    SecRule TX:2 "@lt %{tx.1}" """#;
    assert_eq!(logged(rules, "GET /a.html\nRange: bytes=1-5"), NONE);
    assert_eq!(logged(rules, "PUT /a/b.BAK?x=.html"), [2, 4]);
    assert_eq!(logged(rules, "GET /a.sql/b"), NONE);
    assert_eq!(logged(rules, "GET /\nRange: bytes=5-1"), [5]);
    assert_eq!(logged(rules, "POST /\nContent-Type: Application/JSON; charset=utf-8\n\n{}"), NONE);
    assert_eq!(logged(rules, "POST /\nContent-Type: text/csv\n\na"), [3]);
}

#[test]
fn part_headers_are_read_whole_and_their_types_compared() {
    let rules = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:'tx.charsets=|utf-8| |iso-8859-1|'"
SecRule &MULTIPART_PART_HEADERS:_charset_ "!@eq 0" "id:2,phase:2,pass,t:none,msg:'global charset',chain"
    SecRule ARGS:_charset_ "!@within |%{tx.charsets}|" "t:lowercase"
SecRule MULTIPART_PART_HEADERS "@rx ^content-type\s*:\s*(.*)$" "id:3,phase:2,pass,capture,t:none,t:lowercase,\
    msg:'part type',setvar:'tx.type=%{TX.1}',chain"
    SecRule TX:1 "!@rx ^(?:text/plain|image/png)$" "t:none"
SecRule MULTIPART_PART_HEADERS "@rx content-transfer-encoding:(.*)" "id:4,phase:2,pass,capture,t:none,t:lowercase,msg:'encoding'"
SecRule FILES|FILES_NAMES "@rx ['\";=]" "id:5,phase:2,pass,t:none,t:urlDecodeUni,msg:'odd file name'""#;
    let ask = |parts: &[(&str, &str)]| {
        let mut body = String::new();
        for (head, text) in parts {
            body.push_str(&format!("--b\r\n{head}\r\n\r\n{text}\r\n"));
        }
        logged(rules, &format!("POST /\nContent-Type: multipart/form-data; boundary=b\n\n{body}--b--\r\n"))
    };
    let field = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"");
    assert_eq!(ask(&[(&field("a"), "x")]), NONE);
    assert_eq!(ask(&[(&format!("{}\r\nContent-Type: text/plain", field("a")), "x")]), NONE);
    assert_eq!(ask(&[(&format!("{}\r\nContent-Type: text/html", field("a")), "x")]), [3]);
    assert_eq!(ask(&[(&field("_charset_"), "utf-7")]), [2]);
    assert_eq!(ask(&[(&format!("{}\r\nContent-Transfer-Encoding: base64", field("a")), "x")]), [4]);
    assert_eq!(ask(&[("Content-Disposition: form-data; name=\"f\"; filename=\"a=b.txt\"", "x")]), [5]);
}

#[test]
fn json_and_xml_are_taken_apart_and_their_text_is_not_matched_twice() {
    let rules = r#"
SecRule REQBODY_PROCESSOR "!@rx (?:URLENCODED|MULTIPART|XML|JSON)" "id:1,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On"
SecRule ARGS|ARGS_NAMES|XML:/*|XML://@* "@rx evil" "id:2,phase:2,pass,t:none,msg:'args'"
SecRule REQUEST_BODY "@rx evil" "id:3,phase:2,pass,t:none,msg:'body'"
SecRule REQBODY_PROCESSOR "!@streq JSON" "id:4,phase:2,pass,t:none,msg:'escape',chain"
    SecRule ARGS "@rx (?i)\x5cu[0-9a-f]{4}" "t:none"
SecRule ARGS:json.a.0.b "@streq deep" "id:5,phase:2,pass,t:none,msg:'path'"
SecRule ARGS:/^json\.a\.\d+\.c$/ "@rx ." "id:6,phase:2,pass,t:none,msg:'path by expression'""#;
    let ask = |kind: &str, body: &str| logged(rules, &format!("POST /\nContent-Type: {kind}\n\n{body}"));
    assert_eq!(ask("application/json", r#"{"a": [{"b": "evil"}]}"#), [2]);
    assert_eq!(ask("application/json", r#"{"evil": 1}"#), [2]);
    assert_eq!(ask("application/json", r#"{"a": [{"b": "deep"}, {"c": null}, {"c": 1}]}"#), [5, 6]);
    assert_eq!(ask("application/json; charset=utf-8", r#"{"a": "\\u0041"}"#), NONE);
    assert_eq!(ask("text/xml", "<a>evil</a>"), [2]);
    assert_eq!(ask("application/xml", "<a b=\"evil\"/>"), [2]);
    assert_eq!(ask("text/plain", "evil"), [3]);
    assert_eq!(ask("application/x-www-form-urlencoded", "a=evil"), [2, 3]);
    assert_eq!(ask("application/x-www-form-urlencoded", "a=%5cu0041"), [4]);
}

#[test]
fn scores_of_both_request_phases_add_up_and_only_the_rules_that_log_are_seen() {
    let rules = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=2,setvar:tx.critical=5,setvar:tx.inbound_threshold=5"
SecRule &TX:detection_paranoia_level "@eq 0" "id:2,phase:1,pass,nolog,setvar:'tx.detection_paranoia_level=%{TX.blocking_paranoia_level}'"
SecAction "id:3,phase:1,pass,nolog,setvar:tx.score_pl1=0,setvar:tx.score_pl2=0,setvar:tx.blocking_score=0"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 1" "id:11,phase:1,pass,nolog,skipAfter:END-A"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 1" "id:12,phase:2,pass,nolog,skipAfter:END-A"
SecRule REQUEST_URI "@contains one" "id:20,phase:1,block,t:none,msg:'one',severity:'CRITICAL',setvar:'tx.score_pl1=+%{tx.critical}'"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 2" "id:13,phase:1,pass,nolog,skipAfter:END-A"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 2" "id:14,phase:2,pass,nolog,skipAfter:END-A"
SecRule ARGS "@contains two" "id:21,phase:2,block,t:none,msg:'two',setvar:'tx.score_pl2=+%{tx.critical}'"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 3" "id:15,phase:1,pass,nolog,skipAfter:END-A"
SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 3" "id:16,phase:2,pass,nolog,skipAfter:END-A"
SecRule ARGS "@rx ." "id:22,phase:2,block,t:none,msg:'three'"
SecMarker "END-A"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 1" "id:30,phase:2,pass,t:none,nolog,setvar:'tx.blocking_score=+%{tx.score_pl1}'"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 2" "id:31,phase:2,pass,t:none,nolog,setvar:'tx.blocking_score=+%{tx.score_pl2}'"
SecRule TX:BLOCKING_SCORE "@ge %{tx.inbound_threshold}" "id:40,phase:2,deny,t:none,msg:'Score %{TX.BLOCKING_SCORE}'"
SecRule TX:BLOCKING_SCORE "@ge 15" "id:41,phase:5,pass,t:none,msg:'much'"
SecRule TX:BLOCKING_SCORE "@lt %{tx.inbound_threshold}" "id:42,phase:5,pass,t:none,nolog""#;
    assert_eq!(logged(rules, "GET /?q=x"), NONE);
    assert_eq!(logged(rules, "GET /one"), [20, 40]);
    assert_eq!(logged(rules, "GET /?q=two"), [21, 40]);
    // Once per value that matches: 5 for the URI and 5 for each argument.
    assert_eq!(logged(rules, "GET /one?q=two&r=two"), [20, 21, 40, 41]);
}

#[test]
fn what_a_response_says_is_scored_with_and_without_a_body_to_look_at() {
    let rules = r#"
SecRule RESPONSE_STATUS "@rx ^5\d{2}$" "id:1,phase:3,pass,capture,t:none,msg:'status',setvar:'tx.out=+4'"
SecRule RESPONSE_BODY "@pmFromFile errors.data" "id:2,phase:4,pass,nolog,capture,t:none,setvar:'tx.sql_error_match=1'"
SecRule TX:sql_error_match "@eq 1" "id:3,phase:4,block,capture,t:none,msg:'leak',chain"
    SecRule RESPONSE_BODY "@rx ORA-[0-9]{5}" "capture,setvar:'tx.out=+4'"
SecRule RESPONSE_HEADERS:Content-Encoding "@pm gzip br" "id:4,phase:4,pass,nolog,skipAfter:END-R"
SecRule RESPONSE_BODY "@contains page" "id:5,phase:4,pass,t:none,msg:'page'"
SecMarker END-R
SecRule TX:OUT "@ge 4" "id:6,phase:4,deny,t:none,msg:'out %{tx.out}'"
SecRule &TX:OUT "@gt 0" "id:7,phase:5,pass,t:none,msg:'in the log'""#;
    let engine = engine(rules);
    let ask = |response: &str| ask(&engine, "GET /reflect", Some(response));
    assert_eq!(ask("200\nContent-Type: text/html\n\na page"), [5]);
    assert_eq!(ask("200\nContent-Type: text/html\nContent-Encoding: gzip\n\na page"), NONE);
    assert_eq!(ask("200\nContent-Type: text/html\n\nora-00933: ORA-00933"), [3, 6, 7]);
    assert_eq!(ask("200\nContent-Type: image/png\n\nORA-00933"), NONE);
    assert_eq!(ask("500\nContent-Type: image/png\n\nORA-00933"), [1, 6, 7]);
    assert_eq!(ask("503\nContent-Type: text/html\n\n"), [1, 6, 7]);
}

#[test]
fn what_one_part_of_a_body_held_is_scored_once_however_many_parts_follow() {
    let engine = engine(
        r#"
SecAction "id:1,phase:4,pass,nolog,setvar:tx.parts=+1"
SecRule RESPONSE_BODY "@contains half" "id:2,phase:4,pass,t:none,msg:'half',setvar:tx.out=+2"
SecRule RESPONSE_BODY "@contains other" "id:3,phase:4,pass,t:none,msg:'other',setvar:tx.out=+2"
SecRule TX:OUT "@ge 4" "id:4,phase:4,deny,t:none,msg:'out %{tx.out}'"
SecRule TX:parts "@gt 1" "id:5,phase:5,pass,t:none,msg:'parts'""#,
    );
    let ask = |parts: &[&str]| {
        let mut transaction = engine.begin(&super::facts());
        transaction.request_headers(&super::head("/", &[]));
        transaction.request_body(&super::body(b""));
        let fields = [Field { name: b"content-type", value: b"text/plain" }];
        transaction.response_headers(&ResponseHead { status: 200, protocol: "HTTP/1.1", fields: &fields });
        for part in parts {
            let extent = Extent::Partial;
            transaction.response_body(&Body { bytes: part.as_bytes(), extent, coding_error: None });
        }
        transaction.finish().matches.iter().map(|found| found.rule).collect::<Vec<_>>()
    };
    assert_eq!(ask(&["half", "nothing", "nothing"]), [2]);
    assert_eq!(ask(&["half", "nothing", "other"]), [2, 3, 4]);
    assert_eq!(ask(&["nothing"]), NONE);
}

#[test]
fn targets_and_rules_are_taken_out_while_rules_run() {
    let rules = r#"
SecRule REQUEST_FILENAME "!@validateByteRange 47,48-57,97-122" "id:1,phase:1,pass,nolog,t:none,\
    ctl:ruleRemoveTargetByTag=perf;REQUEST_FILENAME"
SecRule REQUEST_FILENAME "@streq /a" "id:2,phase:1,pass,nolog,t:none,ctl:ruleRemoveTargetById=11;ARGS:q,ctl:ruleRemoveById=12-13"
SecRule REQUEST_FILENAME "@streq /b" "id:3,phase:1,pass,nolog,t:none,ctl:ruleRemoveByTag=^attack-"
SecRule REQUEST_COOKIES|!REQUEST_COOKIES:/__utm/|ARGS|REQUEST_FILENAME "@contains evil" "id:11,phase:2,pass,t:none,msg:'11',tag:'perf',tag:'attack-x'"
SecRule ARGS "@contains evil" "id:12,phase:2,pass,t:none,msg:'12'"
SecRule ARGS_GET "@rx ^e" "id:13,phase:2,pass,t:none,msg:'13',tag:'attack-y',chain"
    SecRule MATCHED_VAR "@rx l$" "t:none""#;
    assert_eq!(logged(rules, "GET /?q=evil"), [11, 12, 13]);
    assert_eq!(logged(rules, "GET /a?q=evil"), NONE);
    assert_eq!(logged(rules, "GET /a?r=evil"), [11]);
    assert_eq!(logged(rules, "GET /evil"), NONE);
    assert_eq!(logged(rules, "GET /EVIL-evil"), [11]);
    assert_eq!(logged(rules, "GET /\nCookie: __utma=evil; a=b"), NONE);
    assert_eq!(logged(rules, "GET /\nCookie: a=evil"), [11]);
    assert_eq!(logged(rules, "GET /b?q=evil"), [12]);
}

#[test]
fn targets_are_taken_out_when_the_rules_load() {
    let rules = r#"
SecRule ARGS|REQUEST_COOKIES|REQUEST_HEADERS|!REQUEST_HEADERS:Cookie "@contains evil" "id:11,phase:2,pass,t:none,msg:'11',tag:'a/b'"
SecRuleUpdateTargetById 11 "!ARGS:token"
SecRuleUpdateTargetById 11 "!REQUEST_COOKIES:/^(?:_ga|_pk)[a-z]*/"
SecRuleUpdateTargetById 11 "!REQUEST_HEADERS:Referer""#;
    assert_eq!(logged(rules, "GET /?token=evil\nReferer: evil\nCookie: _gac=evil"), NONE);
    assert_eq!(logged(rules, "GET /?tokens=evil"), [11]);
    assert_eq!(logged(rules, "GET /\nCookie: ga=evil"), [11]);
}

#[test]
fn each_step_of_multi_match_and_every_link_of_a_chain_counts() {
    let rules = r#"
SecRule ARGS "@rx ^[a-z]+=$" "id:1,phase:2,pass,t:none,t:base64Decode,multiMatch,msg:'raw'"
SecRule ARGS "@streq abc" "id:2,phase:2,pass,t:none,t:urlDecodeUni,t:base64Decode,t:lowercase,multiMatch,msg:'step'"
SecRule ARGS "@rx (\w+)=(\w+)" "id:3,phase:2,pass,capture,t:none,msg:'equal words',setvar:tx.first=1,chain"
    SecRule TX:1 "@streq %{TX.2}" "t:none,setvar:tx.second=1"
SecRule TX:first "@eq 1" "id:4,phase:2,pass,t:none,msg:'first'"
SecRule TX:second "@eq 1" "id:5,phase:2,pass,t:none,msg:'second'"
SecRule UNIQUE_ID "@rx ^[0-9a-f]" "id:6,phase:2,pass,t:none,t:sha1,t:hexEncode,nolog,capture,setvar:tx.hash=%{TX.0}"
SecRule &TX:hash "@eq 1" "id:7,phase:2,pass,t:none,msg:'hash'"
SecRule ARGS:missing "!@streq x" "id:8,phase:2,pass,t:none,msg:'what is not there does not match'""#;
    assert_eq!(logged(rules, "GET /?q=x"), [7]);
    assert_eq!(logged(rules, "GET /?q=QUJD"), [2, 7]);
    assert_eq!(logged(rules, "GET /?q=ab%3D"), [1, 7]);
    assert_eq!(logged(rules, "GET /?q=one%3Done"), [3, 4, 5, 7]);
    assert_eq!(logged(rules, "GET /?q=one%3Dtwo"), [4, 7]);
    assert_eq!(logged(rules, "GET /?missing=y"), [7, 8]);
}

#[test]
fn nothing_hides_behind_a_long_name() {
    let rules = r#"
SecRule ARGS_NAMES "@gt 100" "id:1,phase:2,pass,t:none,t:length,msg:'long'"
SecRule ARGS "@streq evil" "id:2,phase:2,pass,t:none,msg:'behind it'""#;
    let long = "n".repeat(20_000);
    assert_eq!(logged(rules, &format!("GET /?{long}=1&q=evil")), [1, 2]);
    assert_eq!(logged(rules, &format!("POST /\n{FORM}\n\n{long}=1&q=evil")), [1, 2]);
}

#[test]
fn what_a_client_sent_is_seen_as_it_was_sent_and_decoded_once() {
    let rules = r#"
SecRule REQUEST_URI_RAW "@contains #" "id:1,phase:1,pass,t:none,msg:'fragment'"
SecRule REQUEST_URI_RAW "@rx (?i)%2e%2e/" "id:2,phase:1,pass,t:none,msg:'raw'"
SecRule REQUEST_LINE "!@rx ^(?i:get|post) /\S* HTTP/1\.[01]$" "id:3,phase:1,pass,t:none,msg:'line'"
SecRule ARGS "@rx ^%3c$" "id:4,phase:2,pass,t:none,t:lowercase,msg:'once'"
SecRule ARGS "@streq <" "id:5,phase:2,pass,t:none,t:urlDecodeUni,msg:'twice'"
SecRule REQUEST_HEADERS:Host "@rx ^[\d.:]+$" "id:6,phase:1,pass,t:none,msg:'numeric'"
SecRule QUERY_STRING "@streq a=%2541" "id:7,phase:1,pass,t:none,msg:'query'"
SecRule REQUEST_URI "@rx \x25" "id:8,phase:1,pass,t:none,nolog,chain"
    SecRule REQUEST_URI "@validateUrlEncoding" "setvar:tx.bad_encoding=1"
SecRule TX:bad_encoding "@eq 1" "id:9,phase:1,pass,t:none,msg:'bad encoding'"
SecRule &ARGS_NAMES "@eq 0" "id:10,phase:2,pass,t:none,nolog"
SecRule REQUEST_BASENAME "@streq c d" "id:11,phase:1,pass,t:none,t:urlDecodeUni,msg:'base name'""#;
    assert_eq!(logged(rules, "GET /a?b"), NONE);
    assert_eq!(logged(rules, "GET /a?b#c"), [1]);
    assert_eq!(logged(rules, "GET /%2E%2e/x"), [2]);
    assert_eq!(logged(rules, "PUT /a"), [3]);
    assert_eq!(logged(rules, "GET /?a=%253C"), [4, 5]);
    assert_eq!(logged(rules, "GET /\nHost: 10.0.0.1:80"), [6]);
    assert_eq!(logged(rules, "GET /?a=%2541"), [7]);
    assert_eq!(logged(rules, "GET /?a=%zz"), [9]);
    assert_eq!(logged(rules, "GET /a/b%5Cc%20d"), [11]);
}
