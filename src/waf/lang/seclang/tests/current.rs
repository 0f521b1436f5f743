//! The idioms of the current generation of public rules, one after the other, in rules of our own:
//! from SecLang to what was logged. Every exchange runs with prefilters and without them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{imported, told};
use crate::waf::example::Outcome;
use crate::waf::input::{Body, ConnectionFacts, Extent, Field, RequestHead, ResponseHead};
use crate::waf::{Engine, Mode, Settings};

/// What every set begins with: bodies as the recommended configuration reads them.
const BASE: &str = r#"
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecDefaultAction "phase:1,log,auditlog,pass"
SecDefaultAction "phase:2,log,auditlog,pass"
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" \
    "id:1,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" \
    "id:2,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQBODY_ERROR "!@eq 0" "id:3,phase:2,t:none,log,pass,msg:'%{reqbody_error_msg}'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:4,phase:2,t:none,log,pass,msg:'multipart'"
"#;

/// The same rules in both ways of evaluation.
fn engines(rules: &str) -> [Arc<Engine>; 2] {
    let sources = imported(&format!("{BASE}\n{rules}")).sources;
    let settings = || Settings { mode: Some(Mode::Detect), ..Settings::default() };
    [Engine::compile(&sources, &settings()), Engine::compile_plain(&sources, &settings())]
        .map(|engine| Arc::new(engine.unwrap_or_else(|errors| panic!("{errors:#?}\n{sources:?}"))))
}

/// Bytes of a message as first line, fields and body; nothing is added.
fn split(text: &str) -> (&str, Vec<Field<'_>>, &[u8]) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.split('\n');
    let first = lines.next().unwrap_or_default();
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':').expect("a field");
        Field { name: name.as_bytes(), value: value.trim().as_bytes() }
    });
    (first, fields.collect(), body.as_bytes())
}

fn run(engine: &Arc<Engine>, request: &str, response: &str) -> Outcome {
    let whole = |bytes| Body { bytes, extent: Extent::Whole, coding_error: None };
    let (line, fields, body) = split(request);
    let mut parts = line.splitn(3, ' ');
    let mut part = || parts.next().unwrap_or_default();
    let (method, target, protocol) = (part(), part(), part());
    let mut tx = engine.begin(&ConnectionFacts {
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        client_port: 40_000,
        server_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        server_port: 80,
        sni: None,
        identity: None,
        unix_ms: 1_700_000_000_000,
        unique_id: "A1B2C3D4",
    });
    let (method, protocol) = (method, if protocol.is_empty() { "HTTP/1.1" } else { protocol });
    tx.request_headers(&RequestHead {
        method,
        target: target.as_bytes(),
        protocol,
        scheme: "http",
        host: "shop.test",
        port: 80,
        fields: &fields,
    });
    tx.request_body(&whole(body));
    let (status, fields, body) = split(response);
    tx.response_headers(&ResponseHead {
        status: status.parse().expect("a status"),
        protocol: "HTTP/1.1",
        fields: &fields,
    });
    let wanted = tx.wants_response_body();
    tx.response_body(&whole(if wanted { body } else { b"" }));
    tx.finish_with_matches()
}

/// Holds what was logged against what was expected, sorted by id.
fn check(rules: &str, cases: &[(&str, &[u32])]) {
    let with: Vec<(&str, &str, &[u32])> = cases
        .iter()
        .map(|(request, expect)| (*request, "200\nContent-Type: text/html\n\nfine", *expect))
        .collect();
    check_with(rules, &with);
}

fn check_with(rules: &str, cases: &[(&str, &str, &[u32])]) {
    let engines = engines(rules);
    for (request, response, expect) in cases {
        let [fast, plain] = engines.each_ref().map(|engine| run(engine, request, response));
        assert_eq!(fast.report, plain.report, "{request}\n{response}");
        let mut ids = told(&fast);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids, *expect, "{request}\n{response}\n{:#?}", fast.report.matches);
    }
}

const FORM: &str = "POST / HTTP/1.1\nHost: shop.test\nContent-Type: application/x-www-form-urlencoded\n\n";

#[test]
fn initialisation_fills_in_what_the_setup_left_open() {
    let rules = r#"
SecAction "id:10,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=2,setvar:tx.sampling_percentage=50"
SecRule &TX:crs_setup_version "@eq 0" "id:11,phase:1,log,pass,msg:'no setup'"
SecRule &TX:inbound_threshold "@eq 0" "id:12,phase:1,pass,nolog,setvar:'tx.inbound_threshold=5'"
SecRule &TX:blocking_paranoia_level "@eq 0" "id:13,phase:1,pass,nolog,setvar:'tx.blocking_paranoia_level=1'"
SecRule &TX:detection_paranoia_level "@eq 0" \
    "id:14,phase:1,pass,nolog,setvar:'tx.detection_paranoia_level=%{TX.blocking_paranoia_level}'"
SecRule &TX:charsets "@eq 0" "id:15,phase:1,pass,nolog,setvar:'tx.charsets=|utf-8| |iso-8859-1|'"
SecAction "id:16,phase:1,pass,t:none,nolog,setvar:'tx.score=0',setvar:'tx.score_pl1=0'"
SecRule TX:ENABLE_DEFAULT_COLLECTIONS "@eq 1" "id:17,phase:1,pass,t:none,nolog,chain"
    SecRule REQUEST_HEADERS:User-Agent "@rx ^.*$" \
        "t:none,t:sha1,t:hexEncode,setvar:'tx.ua_hash=%{MATCHED_VAR}',initcol:global=global,initcol:ip=%{remote_addr}_%{tx.ua_hash}"
SecRule REQBODY_PROCESSOR "!@rx (?:URLENCODED|MULTIPART|XML|JSON)" \
    "id:18,phase:1,pass,nolog,noauditlog,msg:'raw',ctl:forceRequestBodyVariable=On"
SecRule TX:sampling_percentage "@eq 100" "id:19,phase:1,pass,nolog,skipAfter:END-SAMPLING"
SecRule UNIQUE_ID "@rx ^[a-f]*([0-9])[a-f]*([0-9])" \
    "id:20,phase:1,pass,capture,t:sha1,t:hexEncode,nolog,setvar:'TX.sampling_rnd100=%{TX.1}%{TX.2}'"
SecRule TX:sampling_rnd100 "!@lt %{tx.sampling_percentage}" \
    "id:21,phase:1,pass,log,noauditlog,msg:'sampled out',ctl:ruleRemoveByTag=OWN"
SecMarker "END-SAMPLING"
SecRule TX:detection_paranoia_level "@lt %{tx.blocking_paranoia_level}" "id:22,phase:1,deny,status:500,t:none,log,msg:'levels'"
SecRule TX:charsets "@streq |utf-8| |iso-8859-1|" "id:23,phase:2,log,pass,msg:'set'"
SecRule TX:INBOUND_THRESHOLD "@eq 5" "id:24,phase:4,log,pass,msg:'phases share it'"
SecRule &TX:ua_hash "@eq 0" "id:25,phase:1,log,pass,msg:'no collections'"
SecRule REQUEST_BODY "@rx raw" "id:26,phase:2,log,pass,msg:'forced',tag:'other'"
SecRule TX:sampling_rnd100 "@rx ^[0-9]{2}$" "id:27,phase:2,log,pass,msg:'two digits'"
"#;
    // SHA-1 of A1B2C3D4 is 00ea..., whose first two digits are 00: below 50.
    let digits = first_digits(b"A1B2C3D4");
    let sampled_out: &[u32] = if digits >= 50 { &[21] } else { &[] };
    let with = |others: &[u32]| {
        let mut all = [others, sampled_out].concat();
        all.sort_unstable();
        all
    };
    let get = with(&[11, 23, 24, 25, 27]);
    let post = with(&[11, 23, 24, 25, 26, 27]);
    check(
        rules,
        &[
            ("GET / HTTP/1.1\nUser-Agent: x", &get),
            ("POST / HTTP/1.1\nContent-Type: text/plain\n\na raw body", &post),
            ("POST / HTTP/1.1\n\na raw body", &post),
            // JSON and XML are not forced, and `request_body` stays empty with them.
            ("POST / HTTP/1.1\nContent-Type: application/json\n\n{\"a\": \"raw\"}", &get),
            ("POST / HTTP/1.1\nContent-Type: text/xml\n\n<a>raw</a>", &get),
        ],
    );
}

/// The first two decimal digits of the SHA-1 of a text in hexadecimal, which is how sampling
/// makes a number of an id.
fn first_digits(text: &[u8]) -> u32 {
    let apply = |name: &str, bytes: &[u8]| {
        let mut out = Vec::new();
        let transformation = crate::waf::transformation::find(name).expect("it is known");
        (transformation.apply)(bytes, &mut out);
        out
    };
    let hex = apply("hex_encode", &apply("sha1", text));
    let digits: String = hex.iter().filter(|b| b.is_ascii_digit()).take(2).map(|b| char::from(*b)).collect();
    digits.parse().expect("two digits")
}

#[test]
fn exceptions_switch_rules_off_for_one_request() {
    check(
        r#"
SecRule REQUEST_LINE "@streq GET /probe" "id:10,phase:1,pass,t:none,nolog,chain"
    SecRule REMOTE_ADDR "@ipMatch 127.0.0.1,::1" "t:none,ctl:ruleRemoveByTag=OWN,ctl:auditEngine=Off"
SecRule REMOTE_ADDR "@ipMatch 127.0.0.1,::1" "id:11,phase:1,pass,t:none,nolog,chain"
    SecRule REQUEST_HEADERS:User-Agent "@endsWith (internal check)" "t:none,chain"
        SecRule REQUEST_LINE "@rx ^(?:GET /|OPTIONS \*) HTTP/[12]\.[01]$" "t:none,ctl:ruleRemoveByTag=OWN,ctl:auditEngine=Off"
SecRule REQUEST_URI "@beginsWith /off" "id:12,phase:1,pass,nolog,ctl:ruleEngine=Off"
SecRule REQUEST_URI "@beginsWith /one" "id:13,phase:1,pass,nolog,ctl:ruleRemoveTargetById=20;ARGS:a,ctl:ruleRemoveTargetByTag=OWN;REQUEST_COOKIES:b"
SecRule ARGS|REQUEST_COOKIES|REQUEST_HEADERS:User-Agent "@rx i" "id:20,phase:2,block,tag:'OWN',msg:'i'"
SecAction "id:21,phase:2,block,tag:'OWN',tag:'OWN/SUB',msg:'always'"
"#,
        &[
            ("GET / HTTP/1.1\nUser-Agent: Srv (internal check)", &[]),
            ("OPTIONS * HTTP/1.0\nUser-Agent: Srv (internal check)", &[]),
            ("GET /a HTTP/1.1\nUser-Agent: Srv (internal check)", &[20, 21]),
            ("GET /off?a=i HTTP/1.1", &[]),
            ("GET /one?a=i HTTP/1.1\nCookie: b=i", &[21]),
            ("GET /one?a=i HTTP/1.1\nCookie: c=i", &[20, 21]),
        ],
    );
}

#[test]
fn gates_in_all_phases_jump_to_the_same_marker() {
    let rules = |setup: &str| {
        let mut rules = setup.to_owned();
        for (number, level) in (1..=4).enumerate() {
            for phase in 1..=4 {
                let id = 100 * (number + 1) + phase;
                rules += &format!(
                    "SecRule TX:DETECTION_PARANOIA_LEVEL \"@lt {level}\" \"id:{},phase:{phase},pass,nolog,\
                     skipAfter:END-OWN\"\nSecAction \"id:{id},phase:{phase},block,msg:'x',tag:'paranoia-level/{level}',\
                     setvar:'tx.sum=+1'\"\n",
                    id + 50
                );
            }
        }
        rules
            + "SecMarker \"END-OWN\"\nSecRule TX:sum \"@eq %{tx.expected}\" \"id:900,phase:5,pass,log,msg:'sum'\"\n"
    };
    for (level, expect) in [
        (1, &[101, 102, 103, 104, 900][..]),
        (2, &[101, 102, 103, 104, 201, 202, 203, 204, 900]),
        (3, &[101, 102, 103, 104, 201, 202, 203, 204, 301, 302, 303, 304, 900]),
        (4, &[101, 102, 103, 104, 201, 202, 203, 204, 301, 302, 303, 304, 401, 402, 403, 404, 900]),
    ] {
        let set = format!("setvar:tx.blocking_paranoia_level={level},setvar:tx.expected={}", level * 4);
        let copy = "SecRule &TX:detection_paranoia_level \"@eq 0\" \"id:6,phase:1,pass,nolog,\
                    setvar:'tx.detection_paranoia_level=%{TX.blocking_paranoia_level}'\"\n";
        for head in ["SecAction", "SecRule REQUEST_LINE \"@rx .\""] {
            let setup = format!("{head} \"id:5,phase:1,pass,nolog,{set}\"\n{copy}");
            check(&rules(&setup), &[("GET / HTTP/1.1", expect)]);
        }
    }
}

#[test]
fn the_protocol_is_checked() {
    check(
        r#"
SecAction "id:10,phase:1,pass,nolog,setvar:'tx.methods=GET HEAD POST OPTIONS',\
    setvar:'tx.types=|application/x-www-form-urlencoded| |multipart/form-data| |text/xml|',\
    setvar:'tx.versions=HTTP/1.0 HTTP/1.1 HTTP/2 HTTP/2.0',setvar:'tx.extensions=.bak/ .sql/',\
    setvar:'tx.headers=/proxy/ /if/',setvar:'tx.max_num_args=3',setvar:'tx.arg_name_length=10',\
    setvar:'tx.arg_length=20',setvar:'tx.total_arg_length=60',setvar:'tx.validate_utf8=1'"
SecRule REQUEST_LINE "!@rx (?i)^(?:get /[^#?]*(?:\?[^\s\x0b#]*)?|options \*|[a-z]{3,10} (?:[0-9a-z]{3,7}?://[\-\.0-9a-z]*(?::[0-9]+)?)?/[^#?]*(?:\?[^\s\x0b#]*)?) [\.0-9A-Z_a-z/]+$" \
    "id:20,phase:1,block,t:none,msg:'line',severity:'WARNING'"
SecRule REQUEST_HEADERS:Content-Length "!@rx ^\d+$" "id:21,phase:1,block,t:none,msg:'length'"
SecRule REQUEST_METHOD "@rx ^(?:GET|HEAD)$" "id:22,phase:1,block,t:none,msg:'body with GET',chain"
    SecRule REQUEST_HEADERS:Content-Length "!@rx ^0?$" "t:none"
SecRule REQUEST_METHOD "@rx ^(?:GET|HEAD)$" "id:23,phase:1,block,t:none,msg:'chunks with GET',chain"
    SecRule &REQUEST_HEADERS:Transfer-Encoding "!@eq 0" "t:none"
SecRule REQUEST_PROTOCOL "!@within HTTP/2 HTTP/2.0 HTTP/3 HTTP/3.0" "id:24,phase:1,block,t:none,msg:'no length',chain"
    SecRule REQUEST_METHOD "@streq POST" "chain"
        SecRule &REQUEST_HEADERS:Content-Length "@eq 0" "chain"
            SecRule &REQUEST_HEADERS:Transfer-Encoding "@eq 0" "setvar:'tx.score=+5'"
SecRule REQUEST_HEADERS:Content-Length "!@rx ^0?$" "id:25,phase:1,block,t:none,msg:'both',chain"
    SecRule REQUEST_HEADERS:Transfer-Encoding "!@rx ^$" "t:none"
SecRule REQUEST_HEADERS:Range|REQUEST_HEADERS:Request-Range "@rx (\d+)-(\d+)" "id:26,phase:1,block,capture,t:none,msg:'range',chain"
    SecRule TX:2 "@lt %{tx.1}" "setvar:'tx.score=+3'"
SecRule REQUEST_HEADERS:Range "@rx ^bytes=(?:(?:\d+)?-(?:\d+)?\s*,?\s*){6}" "id:27,phase:1,block,t:none,msg:'ranges'"
SecRule &REQUEST_HEADERS:Host "@eq 0" "id:28,phase:1,block,t:none,msg:'no host',skipAfter:END-HOST"
SecRule REQUEST_HEADERS:Host "@rx ^$" "id:29,phase:1,block,t:none,msg:'empty host'"
SecMarker "END-HOST"
SecRule REQUEST_HEADERS:Accept "@rx ^$" "id:30,phase:1,block,t:none,msg:'empty accept',chain"
    SecRule REQUEST_METHOD "!@rx ^OPTIONS$" "chain"
        SecRule REQUEST_HEADERS:User-Agent "!@pm Android Entreprise" "t:none"
SecRule REQUEST_HEADERS:Accept "@rx ^$" "id:31,phase:1,block,t:none,msg:'empty accept, no agent',chain"
    SecRule &REQUEST_HEADERS:User-Agent "@eq 0" "t:none"
SecRule REQUEST_HEADERS:Content-Length "!@rx ^0$" "id:32,phase:1,block,t:none,msg:'no type',chain"
    SecRule &REQUEST_HEADERS:Content-Type "@eq 0" "t:none"
SecRule REQUEST_METHOD "!@within %{tx.methods}" "id:33,phase:1,block,msg:'method'"
SecRule REQUEST_HEADERS:Content-Type "@rx ^[^;\s]+" \
    "id:34,phase:1,block,capture,t:none,t:lowercase,msg:'type',setvar:'tx.content_type=|%{tx.0}|',chain"
    SecRule TX:content_type "!@within %{tx.types}" "t:lowercase,ctl:forceRequestBodyVariable=On"
SecRule REQUEST_PROTOCOL "!@within %{tx.versions}" "id:35,phase:1,block,t:none,msg:'version'"
SecRule REQUEST_BASENAME "@rx \.([^.]+)$" "id:36,phase:1,block,capture,t:none,msg:'extension',setvar:'tx.extension=.%{tx.1}/',chain"
    SecRule TX:EXTENSION "@within %{tx.extensions}" "t:none,t:urlDecodeUni,t:lowercase"
SecRule REQUEST_HEADERS_NAMES "@rx ^.*$" \
    "id:37,phase:1,block,capture,t:none,t:lowercase,msg:'header',setvar:'tx.header_name_37_%{tx.0}=/%{tx.0}/',chain"
    SecRule TX:/^header_name_37_/ "@within %{tx.headers}" "setvar:'tx.score=+5'"
SecRule &TX:MAX_NUM_ARGS "@eq 1" "id:38,phase:2,block,t:none,msg:'number',chain"
    SecRule &ARGS "@gt %{tx.max_num_args}" "t:none"
SecRule &TX:ARG_NAME_LENGTH "@eq 1" "id:39,phase:2,block,t:none,msg:'name',chain"
    SecRule ARGS_NAMES "@gt %{tx.arg_name_length}" "t:none,t:length"
SecRule &TX:ARG_LENGTH "@eq 1" "id:40,phase:2,block,t:none,msg:'value',chain"
    SecRule ARGS "@gt %{tx.arg_length}" "t:none,t:length"
SecRule &TX:TOTAL_ARG_LENGTH "@eq 1" "id:41,phase:2,block,t:none,msg:'total',chain"
    SecRule ARGS_COMBINED_SIZE "@gt %{tx.total_arg_length}" "t:none"
SecRule &REQUEST_HEADERS:Content-Type "@gt 1" "id:42,phase:1,block,msg:'two types'"
SecRule TX:VALIDATE_UTF8 "@eq 1" "id:43,phase:2,block,t:none,msg:'utf-8',chain"
    SecRule REQUEST_FILENAME|ARGS|ARGS_NAMES "@validateUtf8Encoding" "t:none"
SecRule REQUEST_URI_RAW "@rx \x25" "id:44,phase:1,block,t:none,msg:'percent',chain"
    SecRule REQUEST_URI_RAW "@validateUrlEncoding" "t:none"
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?i)application/x-www-form-urlencoded" "id:45,phase:2,block,t:none,msg:'form',chain"
    SecRule REQUEST_BODY "@rx \x25" "chain"
        SecRule REQUEST_BODY "@validateUrlEncoding" "t:none"
SecRule REQUEST_HEADERS:Connection "@rx \b(?:keep-alive|close),\s?(?:keep-alive|close)\b" "id:46,phase:1,block,t:none,msg:'connection'"
SecRule &REQUEST_HEADERS:/^x[.\-_]file/ "@gt 1" "id:47,phase:1,block,msg:'twice'"
SecRule REQUEST_HEADERS:X.File "@rx a" "id:48,phase:1,block,msg:'dot'"
SecRule REQUEST_FILENAME "@rx \.[^.~]+~(?:/.*|)$" "id:49,phase:1,block,t:none,t:urlDecodeUni,msg:'backup'"
"#,
        &[
            ("GET /a?b HTTP/1.1\nHost: h", &[]),
            ("GET /a?b c HTTP/1.1\nHost: h", &[20, 35]),
            ("OPTIONS * HTTP/1.1\nHost: h", &[]),
            ("GET http://h.test:80/a HTTP/1.1\nHost: h", &[]),
            ("GET / HTTP/1.1\nHost: h\nContent-Length: 5x", &[21, 22, 32]),
            ("GET / HTTP/1.1\nHost: h\nContent-Length: 5\nContent-Type: text/xml", &[22]),
            ("GET / HTTP/1.1\nHost: h\nContent-Length: 0\nContent-Type: text/xml", &[]),
            ("GET / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked", &[23]),
            ("POST / HTTP/1.1\nHost: h", &[24]),
            ("POST / HTTP/2.0\nHost: h", &[]),
            (
                "POST / HTTP/1.1\nHost: h\nContent-Length: 3\nTransfer-Encoding: chunked\nContent-Type: text/xml\n\n<a/>",
                &[25],
            ),
            ("GET / HTTP/1.1\nHost: h\nRange: bytes=1-9", &[]),
            ("GET / HTTP/1.1\nHost: h\nRange: bytes=90-10", &[26]),
            ("GET / HTTP/1.1\nHost: h\nRequest-Range: bytes=90-10", &[26]),
            ("GET / HTTP/1.1\nHost: h\nRange: bytes=1-2,3-4, 5-6,7-8,9-10,11-12", &[27]),
            ("GET / HTTP/1.1", &[28]),
            ("GET / HTTP/1.1\nHost:", &[29]),
            ("GET / HTTP/1.1\nHost: h\nAccept:\nUser-Agent: x", &[30]),
            ("GET / HTTP/1.1\nHost: h\nAccept:\nUser-Agent: Android 4", &[]),
            ("GET / HTTP/1.1\nHost: h\nAccept:", &[31]),
            ("DELETE / HTTP/1.1\nHost: h", &[33]),
            (
                "POST / HTTP/1.1\nHost: h\nContent-Length: 1\nContent-Type: Text/XML; charset=utf-8\n\n<a/>",
                &[],
            ),
            ("POST / HTTP/1.1\nHost: h\nContent-Length: 1\nContent-Type: text/x\n\na", &[34]),
            ("GET / HTTP/3.1\nHost: h", &[35]),
            ("GET /a.txt.BaK HTTP/1.1\nHost: h", &[36]),
            ("GET /a.b%61k HTTP/1.1\nHost: h", &[36]),
            ("GET /a.sqlx HTTP/1.1\nHost: h", &[]),
            ("GET / HTTP/1.1\nHost: h\nProxy: x", &[37]),
            ("GET / HTTP/1.1\nHost: h\nPROXY: x\nIF: y", &[37]),
            ("GET /?a=1&b=2&c=3&d=4 HTTP/1.1\nHost: h", &[38]),
            ("GET /?a=1&b=2&c=3 HTTP/1.1\nHost: h", &[]),
            ("GET /?abcdefghijk=1 HTTP/1.1\nHost: h", &[39]),
            ("GET /?a=123456789012345678901 HTTP/1.1\nHost: h", &[40]),
            (
                "GET /?a=12345678901234567890&b=12345678901234567890&c=12345678901234567890 HTTP/1.1\nHost: h",
                &[41],
            ),
            ("GET / HTTP/1.1\nHost: h\nContent-Type: text/xml\nContent-Type: text/xml", &[42]),
            ("GET /?a=%c3%28 HTTP/1.1\nHost: h", &[43]),
            ("GET /?a=%4x HTTP/1.1\nHost: h", &[44]),
            ("GET /?a=%41 HTTP/1.1\nHost: h", &[]),
            ("GET / HTTP/1.1\nHost: h\nConnection: keep-alive, close", &[46]),
            ("GET / HTTP/1.1\nHost: h\nX-File: 1\nX_File: 2", &[47]),
            ("GET / HTTP/1.1\nHost: h\nX.FILE: a", &[48]),
            ("GET /a.php~ HTTP/1.1\nHost: h", &[49]),
            (&format!("{FORM}a=%z"), &[24, 45]),
        ],
    );
}

#[test]
fn bytes_have_their_four_levels() {
    check(
        r#"
SecRule REQUEST_URI|REQUEST_HEADERS|ARGS|ARGS_NAMES "@validateByteRange 1-255" "id:10,phase:2,block,t:none,t:urlDecodeUni,msg:'1'"
SecRule REQUEST_URI|REQUEST_HEADERS|ARGS|ARGS_NAMES "@validateByteRange 9,10,13,32-126,128-255" "id:11,phase:2,block,t:none,t:urlDecodeUni,msg:'2'"
SecRule REQUEST_URI|REQUEST_HEADERS|ARGS|ARGS_NAMES|REQUEST_BODY "@validateByteRange 32-36,38-126" "id:12,phase:2,block,t:none,t:urlDecodeUni,msg:'3'"
SecRule ARGS|ARGS_NAMES|REQUEST_BODY "@validateByteRange 38,44-46,48-58,61,65-90,95,97-122" "id:13,phase:2,block,t:none,t:urlDecodeUni,msg:'4'"
SecRule REQUEST_HEADERS|!REQUEST_HEADERS:User-Agent|!REQUEST_HEADERS:Referer|!REQUEST_HEADERS:Cookie "@validateByteRange 32,34,38,42-59,61,65-90,95,97-122" "id:14,phase:2,block,t:none,t:urlDecodeUni,msg:'headers'"
SecRule REQUEST_HEADERS:Sec-Fetch-User "!@rx ^\?[01]$" "id:15,phase:1,block,t:none,msg:'mark'"
SecRule ARGS "@rx %[0-9a-fA-F]{2}" "id:16,phase:2,block,t:none,msg:'twice'"
SecRule REQUEST_URI|REQUEST_BODY "@rx (?i)%uff[0-9a-f]{2}" "id:17,phase:2,block,t:none,msg:'wide'"
"#,
        &[
            ("GET /?a=b HTTP/1.1", &[]),
            ("GET /?a=%00 HTTP/1.1", &[10, 11, 12, 13]),
            ("GET /?a=%7f HTTP/1.1", &[11, 12, 13]),
            ("GET /?a=%e9 HTTP/1.1", &[12, 13]),
            ("GET /?a=%2525 HTTP/1.1", &[12, 13, 16]),
            ("GET /?a=%3c HTTP/1.1", &[13]),
            ("GET / HTTP/1.1\nX: <\nUser-Agent: <\nCookie: <", &[14]),
            ("GET / HTTP/1.1\nSec-Fetch-User: ?2", &[14, 15]),
            ("GET /?a=%uff41 HTTP/1.1", &[17]),
        ],
    );
}

#[test]
fn parameters_and_parts_are_counted() {
    let part = |head: &str, value: &str| {
        format!(
            "POST / HTTP/1.1\nHost: h\nContent-Type: multipart/form-data; boundary=b\n\n--b\r\n{head}\r\n\r\n{value}\r\n--b--\r\n"
        )
    };
    let named = |name: &str, more: &str| format!("Content-Disposition: form-data; name=\"{name}\"{more}");
    check(
        r#"
SecAction "id:9,phase:1,pass,nolog,setvar:'tx.charsets=|utf-8| |iso-8859-1|'"
SecRule ARGS_NAMES "@rx ." "id:10,phase:2,pass,nolog,t:none,setvar:'TX.paramcounter_%{MATCHED_VAR_NAME}=+1'"
SecRule TX:/paramcounter_.*/ "@gt 1" "id:11,phase:2,pass,t:none,msg:'twice',logdata:'%{TX.1}',chain"
    SecRule MATCHED_VARS_NAMES "@rx TX:paramcounter_(.*)" "capture,t:none,setvar:'tx.score=+5'"
SecRule TX:score "@eq 5" "id:12,phase:2,pass,log,msg:'one of them'"
SecRule ARGS_NAMES "@rx (][^\]]+$|][^\]]+\[)" "id:13,phase:2,block,msg:'array'"
SecRule ARGS_GET "@rx [\n\r]" "id:14,phase:1,block,t:none,t:urlDecodeUni,t:htmlEntityDecode,t:lowercase,msg:'split'"
SecRule REQUEST_HEADERS_NAMES|REQUEST_HEADERS "@rx [\n\r]" "id:15,phase:1,block,t:none,t:htmlEntityDecode,msg:'split header'"
SecRule ARGS_NAMES|ARGS|REQUEST_BODY|XML:/* "@rx (?:get|post|head)\s+(?:/|\w)[^\s]*(?:\s+http/\d|[\r\n])" "id:16,phase:2,block,capture,t:none,t:urlDecodeUni,t:htmlEntityDecode,t:lowercase,msg:'smuggled'"
SecRule &MULTIPART_PART_HEADERS:_charset_ "!@eq 0" "id:20,phase:2,block,t:none,msg:'charset',chain"
    SecRule ARGS:_charset_ "@rx .*" "capture,t:lowercase,setvar:'tx.922100_charset=|%{ARGS._charset_}|',chain"
        SecRule TX:922100_CHARSET "!@within %{tx.charsets}" "t:lowercase"
SecRule MULTIPART_PART_HEADERS "@rx ^content-type\s*:\s*(.*)$" "id:21,phase:2,block,capture,t:none,t:lowercase,msg:'type',chain"
    SecRule TX:1 "!@rx ^(?:text/plain|image/\w+)$" "t:none"
SecRule MULTIPART_PART_HEADERS "@rx content-transfer-encoding:(.*)" "id:22,phase:2,block,capture,t:none,t:lowercase,msg:'coding'"
SecRule MULTIPART_PART_HEADERS "@rx [^\x21-\x7E][\x21-\x39\x3B-\x7E]*:" "id:23,phase:2,block,t:none,msg:'name'"
SecRule FILES|FILES_NAMES "!@rx (?i)^(?:&(?:amp|quot);|[^\"';=\x5c])*$" "id:24,phase:2,block,t:urlDecodeUni,msg:'file'"
SecRule FILES|REQUEST_HEADERS:X-Filename|REQUEST_HEADERS:X_Filename|REQUEST_HEADERS:X.Filename|REQUEST_HEADERS:X-File-Name "@rx .*\.ph(?:p\d*|tml)\.*$" "id:25,phase:2,block,t:none,t:lowercase,msg:'script'"
"#,
        &[
            ("GET /?a=1&b=2 HTTP/1.1", &[]),
            ("GET /?a=1&A=2&b=3 HTTP/1.1", &[11, 12]),
            ("GET /?a[x]y=1 HTTP/1.1", &[13]),
            ("GET /?a=x%0d%0aSet-Cookie:b HTTP/1.1", &[14]),
            ("GET / HTTP/1.1\nX: a&#10;b", &[15]),
            (&format!("{FORM}a=get%20/x%20http/1.1"), &[16]),
            ("POST / HTTP/1.1\nContent-Type: text/xml\n\n<a>POST /x HTTP/1.1</a>", &[16]),
            (&part(&named("_charset_", ""), "UTF-8"), &[]),
            (&part(&named("_charset_", ""), "utf-7"), &[3, 20]),
            (&part(&(named("a", "") + "\r\nContent-Type: Text/Plain"), "x"), &[]),
            (&part(&(named("a", "") + "\r\nContent-Type: text/x;q"), "x"), &[21]),
            (&part(&(named("a", "") + "\r\nContent-Transfer-Encoding: base64"), "x"), &[22]),
            (&part(&named("a", "; filename=\"it's\""), "x"), &[24]),
            (&part(&named("a", "; filename=\"a.PHP5\""), "x"), &[25]),
            ("GET / HTTP/1.1\nX_Filename: a.php", &[25]),
            ("GET / HTTP/1.1\nX.Filename: a.phtml.", &[25]),
        ],
    );
}

const LONG: &str =
    "t:none,t:utf8toUnicode,t:urlDecodeUni,t:htmlEntityDecode,t:jsDecode,t:cssDecode,t:removeNulls";
const ALL: &str =
    "REQUEST_COOKIES|!REQUEST_COOKIES:/__utm/|REQUEST_COOKIES_NAMES|ARGS_NAMES|ARGS|XML:/*|XML://@*";

#[test]
fn attacks_are_found_where_they_hide() {
    let rules = format!(
        r#"
SecAction "id:9,phase:1,pass,nolog,setvar:'tx.critical=5',setvar:'tx.score_pl1=0'"
SecRule ARGS "@rx (?i)(?:url|link)?https?://(?:[^@]+@)?([^/]*)" \
    "id:10,phase:2,block,capture,t:none,msg:'elsewhere',setvar:'tx.rfi_parameter_%{{MATCHED_VAR_NAME}}=.%{{tx.1}}',chain"
    SecRule TX:/rfi_parameter_.*/ "!@endsWith .%{{request_headers.host}}" "setvar:'tx.score_pl1=+%{{tx.critical}}'"
SecRule {ALL} "@rx (?i)<script[^>]*>[\s\S]*?" "id:11,phase:2,block,capture,{LONG},msg:'tag',logdata:'%{{TX.0}}'"
SecRule {ALL}|REQUEST_HEADERS:User-Agent|REQUEST_HEADERS:Referer|REQUEST_FILENAME "@detectXSS" "id:12,phase:2,block,{LONG},msg:'xss'"
SecRule {ALL} "@detectSQLi" "id:13,phase:2,block,capture,t:none,t:urlDecodeUni,t:removeNulls,multiMatch,msg:'sqli'"
SecRule {ALL} "@rx (?i)[\s'\"`()]*?([\d\w]+)[\s'\"`()]*?=[\s'\"`()]*?([\d\w]+)" \
    "id:14,phase:2,block,capture,t:none,t:urlDecodeUni,t:replaceComments,multiMatch,msg:'same',chain"
    SecRule TX:1 "@streq %{{TX.2}}" "t:none,setvar:'tx.score_pl1=+%{{tx.critical}}'"
SecRule {ALL} "@rx (?i)[\s'\"`()]*?([\d\w]+)[\s'\"`()]*?(?:!=|<>)[\s'\"`()]*?([\d\w]+)" \
    "id:15,phase:2,block,capture,t:none,t:urlDecodeUni,multiMatch,msg:'different',chain"
    SecRule TX:1 "!@streq %{{TX.2}}" "t:none"
SecRule ARGS_NAMES "@rx ^(?:jsessionid|phpsessid)$" "id:16,phase:2,block,capture,t:none,t:lowercase,msg:'session',chain"
    SecRule REQUEST_HEADERS:Referer "@rx ^(?:ht|f)tps?://(.*?)\/" "capture,chain"
        SecRule TX:1 "!@endsWith %{{request_headers.host}}" "setvar:'tx.score_pl1=+%{{tx.critical}}'"
SecRule ARGS_NAMES "@rx ^(?:jsessionid|phpsessid)$" "id:17,phase:2,block,t:none,t:lowercase,msg:'session without referer',chain"
    SecRule &REQUEST_HEADERS:Referer "@eq 0" "t:none"
SecRule ARGS|REQUEST_BODY|REQUEST_HEADERS "@rx java" "id:18,phase:2,block,t:none,t:base64Decode,multiMatch,msg:'packed'"
SecRule ARGS "@pmFromFile words.data" "id:19,phase:2,block,capture,t:none,t:normalizePath,t:lowercase,msg:'words',chain"
    SecRule MATCHED_VARS "@pm =" "capture,setvar:'tx.score_pl1=+%{{tx.critical}}'"
SecRule ARGS "@rx ^echo" "id:20,phase:2,block,t:none,t:cmdLine,msg:'command',chain"
    SecRule MATCHED_VAR "!@rx ^echo hello$" "t:none"
SecRule REQUEST_URI_RAW|ARGS|REQUEST_HEADERS|!REQUEST_HEADERS:Referer|FILES|XML:/* "@rx (?:\.|%2e){{2}}/" "id:21,phase:2,block,t:none,msg:'up'"
SecRule ARGS "@rx [\x{{bc}}\xbe]script" "id:22,phase:2,block,t:none,msg:'odd brackets'"
SecRule ARGS "@rx x41z" "id:23,phase:2,block,t:none,t:escapeSeqDecode,msg:'escaped'"
SecRule ARGS "@rx ^AZ$" "id:24,phase:2,block,t:none,t:escapeSeqDecode,t:removeWhitespace,t:removeCommentsChar,msg:'unescaped'"
"#
    );
    check(
        &rules,
        &[
            ("GET /?a=b HTTP/1.1\nHost: shop.test", &[]),
            ("GET /?a=http://shop.test/x HTTP/1.1\nHost: shop.test", &[]),
            ("GET /?a=http://evil.test/x HTTP/1.1\nHost: shop.test", &[10]),
            // The one that is elsewhere is enough.
            ("GET /?a=http://evil.test/x&b=http://shop.test/ HTTP/1.1\nHost: shop.test", &[10]),
            ("GET /?a=%26lt;script> HTTP/1.1", &[11, 12]),
            ("GET / HTTP/1.1\nCookie: a=%3Cscript%3E", &[11, 12]),
            ("GET / HTTP/1.1\nCookie: x__utma=%3Cscript%3E", &[]),
            ("GET / HTTP/1.1\nCookie: <script>=1", &[11, 12]),
            ("POST / HTTP/1.1\nContent-Type: text/xml\n\n<a>&lt;script&gt;</a>", &[11, 12]),
            ("POST / HTTP/1.1\nContent-Type: text/xml\n\n<a b='&lt;script&gt;'/>", &[11, 12]),
            ("POST / HTTP/1.1\nContent-Type: application/json\n\n{\"a\":{\"b\":[\"<script>\"]}}", &[11, 12]),
            ("GET / HTTP/1.1\nUser-Agent: <script>alert(1)</script>", &[12]),
            ("GET /?a=-1%27%20or%201%3d1--%20- HTTP/1.1", &[13, 14]),
            ("GET /?a=7%3d7 HTTP/1.1", &[14]),
            ("GET /?a=7%3d8 HTTP/1.1", &[]),
            ("GET /?a=7/**/%3d/**/7 HTTP/1.1", &[14]),
            ("GET /?a=7<>8 HTTP/1.1", &[15]),
            ("GET /?a=7<>7 HTTP/1.1", &[]),
            ("GET /?PHPSESSID=1 HTTP/1.1\nHost: shop.test\nReferer: http://evil.test/", &[16]),
            ("GET /?PHPSESSID=1 HTTP/1.1\nHost: shop.test\nReferer: http://shop.test/", &[]),
            ("GET /?PHPSESSID=1 HTTP/1.1\nHost: shop.test", &[17]),
            ("GET /?a=amF2YQ== HTTP/1.1", &[18]),
            ("GET / HTTP/1.1\nX: java", &[18]),
            ("GET /?a=passwd%3d1 HTTP/1.1", &[19]),
            ("GET /?a=passwd HTTP/1.1", &[]),
            ("GET /?a=e^cho%20%22hello%22 HTTP/1.1", &[]),
            ("GET /?a=e^cho%20,bye HTTP/1.1", &[20]),
            ("GET /%2e%2e/ HTTP/1.1", &[21]),
            ("GET /?a=..%2f HTTP/1.1", &[21]),
            ("GET /?a=%bcscript HTTP/1.1", &[22]),
            ("GET /?a=%c2%bcscript HTTP/1.1", &[22]),
            ("GET /?a=%5cx41+%5cx5a HTTP/1.1", &[24]),
        ],
    );
}

#[test]
fn scores_are_summed_and_weighed_in_every_phase() {
    let rules = |early: u8, report: u8| {
        format!(
            r#"
SecAction "id:9,phase:1,pass,nolog,setvar:'tx.early_blocking={early}',setvar:'tx.reporting_level={report}',\
    setvar:'tx.blocking_paranoia_level=1',setvar:'tx.inbound_threshold=5',setvar:'tx.outbound_threshold=4'"
SecAction "id:10,phase:1,pass,nolog,setvar:'tx.in_pl1=0',setvar:'tx.in_pl2=0',setvar:'tx.out_pl1=0',\
    setvar:'tx.in_blocking=0',setvar:'tx.in_detection=0',setvar:'tx.out_blocking=0'"
SecRule REQUEST_HEADERS:X "@rx bad" "id:20,phase:1,block,msg:'header',setvar:'tx.in_pl1=+5'"
SecRule ARGS "@rx bad" "id:21,phase:2,block,msg:'argument',setvar:'tx.in_pl1=+5'"
SecRule ARGS "@rx odd" "id:22,phase:2,block,msg:'level 2',setvar:'tx.in_pl2=+5'"
SecRule RESPONSE_BODY "@rx leak" "id:23,phase:4,block,msg:'leak',setvar:'tx.out_pl1=+4'"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 1" "id:30,phase:1,pass,t:none,nolog,setvar:'tx.in_blocking=+%{{tx.in_pl1}}'"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 1" "id:31,phase:1,pass,t:none,nolog,setvar:'tx.in_detection=+%{{tx.in_pl1}}'"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 2" "id:32,phase:1,pass,t:none,nolog,setvar:'tx.in_blocking=+%{{tx.in_pl2}}'"
SecRule TX:IN_BLOCKING "@ge %{{tx.inbound_threshold}}" "id:33,phase:1,deny,t:none,msg:'early %{{TX.IN_BLOCKING}}',chain"
    SecRule TX:EARLY_BLOCKING "@eq 1"
SecAction "id:34,phase:2,pass,t:none,nolog,setvar:'tx.in_blocking=0'"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 1" "id:35,phase:2,pass,t:none,nolog,setvar:'tx.in_blocking=+%{{tx.in_pl1}}'"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 2" "id:36,phase:2,pass,t:none,nolog,setvar:'tx.in_blocking=+%{{tx.in_pl2}}'"
SecRule TX:IN_BLOCKING "@ge %{{tx.inbound_threshold}}" "id:37,phase:2,deny,t:none,msg:'in',tag:'x',ver:'OWN/4.0.0'"
SecRule TX:BLOCKING_PARANOIA_LEVEL "@ge 1" "id:40,phase:4,pass,t:none,nolog,setvar:'tx.out_blocking=+%{{tx.out_pl1}}'"
SecRule TX:OUT_BLOCKING "@ge %{{tx.outbound_threshold}}" "id:41,phase:4,deny,t:none,msg:'out'"
SecAction "id:50,phase:5,pass,t:none,nolog,noauditlog,setvar:'tx.sum=%{{tx.in_blocking}}',setvar:'tx.sum=+%{{tx.out_blocking}}'"
SecRule TX:REPORTING_LEVEL "@eq 0" "id:51,phase:5,pass,nolog,skipAfter:END-REPORTING"
SecRule TX:REPORTING_LEVEL "@ge 5" "id:52,phase:5,pass,nolog,skipAfter:LOG-REPORTING"
SecRule TX:SUM "@eq 0" "id:53,phase:5,pass,nolog,skipAfter:END-REPORTING"
SecMarker "LOG-REPORTING"
SecAction "id:54,phase:5,pass,t:none,noauditlog,msg:'sums %{{tx.sum}}'"
SecMarker "END-REPORTING"
SecRule TX:SUM "@eq 14" "id:55,phase:5,pass,log,msg:'all'"
"#
        )
    };
    let leak = "200\nContent-Type: text/html; charset=x\n\na leak";
    let fine = "200\nContent-Type: text/html\n\nfine";
    check_with(
        &rules(0, 2),
        &[
            ("GET / HTTP/1.1", fine, &[]),
            ("GET / HTTP/1.1\nX: bad", fine, &[20, 37, 54]),
            ("GET /?a=odd HTTP/1.1", fine, &[22]),
            ("GET /?a=bad HTTP/1.1", fine, &[21, 37, 54]),
            ("GET / HTTP/1.1", leak, &[23, 41, 54]),
            ("GET /?a=bad HTTP/1.1\nX: bad", leak, &[20, 21, 23, 37, 41, 54, 55]),
        ],
    );
    check_with(
        &rules(1, 5),
        &[("GET / HTTP/1.1", fine, &[54]), ("GET / HTTP/1.1\nX: bad", fine, &[20, 33, 37, 54])],
    );
    check_with(&rules(1, 0), &[("GET / HTTP/1.1\nX: bad", fine, &[20, 33, 37])]);
}

#[test]
fn responses_are_looked_at_by_type_coding_and_status() {
    let rules = r#"
SecRule RESPONSE_HEADERS:Content-Encoding "@pm gzip compress deflate br zstd" "id:10,phase:4,pass,nolog,skipAfter:END-OWN"
SecRule RESPONSE_STATUS "@rx ^5\d{2}$" "id:11,phase:3,block,capture,t:none,msg:'5xx'"
SecRule RESPONSE_BODY "!@pmFromFile words.data" "id:12,phase:4,pass,nolog,skipAfter:END-WORDS"
SecRule RESPONSE_BODY "@rx (?i)passwd is (\w+)" "id:13,phase:4,block,capture,t:none,msg:'leak',logdata:'%{TX.1}'"
SecMarker "END-WORDS"
SecRule RESPONSE_STATUS "!@rx ^404$" "id:14,phase:4,block,t:none,msg:'error page',chain"
    SecRule RESPONSE_BODY "@rx \bServer Error in.{0,50}?\bApplication\b" "t:none,setvar:'tx.out=+4'"
SecRule RESPONSE_BODY "@rx ^<html>\n<head>\n<title>sh[^l]?ll" "id:15,phase:4,block,t:none,msg:'shell'"
SecRule RESPONSE_HEADERS:X-Powered-By "@contains php" "id:16,phase:3,block,t:none,t:lowercase,msg:'header'"
SecMarker "END-OWN"
"#;
    let get = "GET / HTTP/1.1";
    check_with(
        rules,
        &[
            (get, "200\nContent-Type: text/html\n\nthe passwd is x", &[13]),
            (get, "200\nContent-Type: Text/HTML;charset=utf-8\n\nthe passwd is x", &[13]),
            (get, "200\nContent-Type: image/png\n\nthe passwd is x", &[]),
            (get, "200\nContent-Type: text/css\n\nthe passwd is x", &[]),
            (get, "200\n\nthe passwd is x", &[]),
            // Such rules leave coded bodies alone, whether or not we could read them.
            (get, "200\nContent-Type: text/html\nContent-Encoding: gzip\n\nthe passwd is x", &[]),
            (get, "503\nContent-Type: text/html\n\n", &[11]),
            (get, "500\nContent-Type: text/html\n\nServer Error in '/' Application", &[11, 14]),
            (get, "404\nContent-Type: text/html\n\nServer Error in '/' Application", &[]),
            (get, "200\nContent-Type: text/html\n\n<html>\n<head>\n<title>shell", &[15]),
            (get, "200\nContent-Type: text/html\n\n \n<html>\n<head>\n<title>shell", &[]),
            (get, "200\nContent-Type: text/html\nX-Powered-By: PHP/5\n\n", &[16]),
            ("HEAD / HTTP/1.1", "304\nX-Powered-By: PHP/5", &[16]),
        ],
    );
}

#[test]
fn exceptions_that_are_loaded_last_change_what_stands_before_them() {
    check(
        r#"
Include plugins/*-config.conf
IncludeOptional plugins/*-before.conf
SecRule ARGS|REQUEST_COOKIES|REQUEST_HEADERS|!REQUEST_HEADERS:Cookie "@rx bad" "id:20,phase:2,block,tag:'own',msg:'a'"
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES "@rx bad" "id:21,phase:2,block,tag:'own',msg:'b'"
SecRule ARGS "@rx bad" "id:30,phase:2,block,msg:'c',chain"
    SecRule ARGS "@rx ." "t:none"
SecRuleUpdateTargetById 20 "!REQUEST_COOKIES:/^_ga(?:_\w+)?$/,!REQUEST_COOKIES:sid"
SecRuleUpdateTargetById 20-21 "!ARGS:free"
SecRuleUpdateTargetById 21 "!REQUEST_COOKIES:/S.*s/,!ARGS:/^x\[/"
SecRuleUpdateTargetByTag "own" "!REQUEST_HEADERS:X-Ours"
SecRuleUpdateTargetById 30 "!ARGS:free"
"#,
        &[
            ("GET /?a=bad HTTP/1.1", &[20, 21, 30]),
            ("GET /?FREE=bad HTTP/1.1", &[]),
            ("GET / HTTP/1.1\nCookie: _ga_X1=bad", &[21]),
            ("GET / HTTP/1.1\nCookie: SID=bad", &[21]),
            ("GET / HTTP/1.1\nCookie: sess=bad", &[20]),
            ("GET /?x[1]=bad HTTP/1.1", &[20, 30]),
            ("GET / HTTP/1.1\nX-Ours: bad", &[]),
            ("GET / HTTP/1.1\nX-Other: bad", &[20]),
        ],
    );
}
