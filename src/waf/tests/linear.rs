//! That no input makes rules slow, by counting instead of by a clock: the bytes that prefilters,
//! transformations and operators are given, and the bytes kept, grow with a message and no faster.
//! Each of those is linear in what it is given; `benches/linear.rs` measures that.

use std::sync::Arc;

use serde_json::json;

use super::{body, facts, head};
use crate::waf::input::{Field, RequestHead};
use crate::waf::{Engine, Mode, Settings, Source, Sources};

/// Each size is four times the one before.
const SIZES: [usize; 3] = [4 * 1024, 16 * 1024, 64 * 1024];

/// What the further bytes of the largest size may cost, compared with those of the smallest: what is
/// quadratic costs sixteen times as much.
const MOST: f64 = 1.5;

struct Input {
    name: &'static str,
    content_type: &'static str,
    make: fn(usize) -> Vec<u8>,
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const MULTIPART: &str = "multipart/form-data; boundary=b";

fn value(text: &str, size: usize) -> Vec<u8> {
    format!("q={}", text.repeat(size / text.len())).into_bytes()
}

const INPUTS: &[Input] = &[
    Input { name: "`<`", content_type: FORM, make: |size| value("<", size) },
    Input { name: "`%`", content_type: FORM, make: |size| value("%", size) },
    Input { name: "`(`", content_type: FORM, make: |size| value("(", size) },
    Input { name: "`'`", content_type: FORM, make: |size| value("'", size) },
    Input { name: "`\"`", content_type: FORM, make: |size| value("\"", size) },
    Input { name: "`a`", content_type: FORM, make: |size| value("a", size) },
    Input { name: "`../`", content_type: FORM, make: |size| value("../", size) },
    Input { name: "`/*`", content_type: FORM, make: |size| value("/*", size) },
    Input { name: "`union select`", content_type: FORM, make: |size| value("union+select+", size) },
    Input { name: "`<script>`", content_type: FORM, make: |size| value("<script>", size) },
    Input { name: "escapes in escapes", content_type: FORM, make: |size| value("%2525%26%23x3c;", size) },
    Input {
        name: "attacks in up to 1,000 arguments",
        content_type: FORM,
        make: |size| {
            (0..size / 66)
                .map(|n| format!("a{n:05}=1%27+or+1%3D1+union+select+{n:05}--+%3Cscript%3Ex%3C/script%3E&"))
                .collect::<String>()
                .into_bytes()
        },
    },
    Input { name: "one name, often", content_type: FORM, make: |size| b"id=1'or+1&".repeat(size / 10) },
    Input { name: "empty arguments", content_type: FORM, make: |size| b"&".repeat(size) },
    Input { name: "JSON without end", content_type: JSON, make: |size| b"[".repeat(size) },
    Input {
        name: "JSON strings",
        content_type: JSON,
        make: |size| [b"[", &b"\"1' or 1\",".repeat(size / 11)[..], b"1]"].concat(),
    },
    Input {
        name: "JSON, 60 deep",
        content_type: JSON,
        make: |size| {
            let one = format!("{}1{},", "{\"a\":".repeat(59), "}".repeat(59));
            format!("[{}1]", one.repeat(size / one.len())).into_bytes()
        },
    },
    Input {
        name: "JSON, one long name above all leaves",
        content_type: JSON,
        make: |size| {
            format!("{{\"{}\":[{}1]}}", "n".repeat(size / 16), "1,".repeat(size / 32 * 15)).into_bytes()
        },
    },
    Input {
        name: "XML, elements and attributes",
        content_type: "text/xml",
        make: |size| format!("<a>{}</a>", "<b c='../d'>e</b>".repeat(size / 18)).into_bytes(),
    },
    Input {
        name: "multipart, many parts",
        content_type: MULTIPART,
        make: |size| {
            [
                &b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1' or 1 and some words more\r\n"
                    .repeat(size / 77)[..],
                b"--b--",
            ]
            .concat()
        },
    },
    Input {
        name: "multipart, many names of one part",
        content_type: MULTIPART,
        make: |size| {
            format!(
                "--b\r\nContent-Disposition: form-data{}\r\n\r\n{}\r\n--b--",
                "; name=a".repeat(size / 16),
                "x".repeat(size / 2)
            )
            .into_bytes()
        },
    },
    Input {
        name: "multipart, almost boundaries",
        content_type: MULTIPART,
        make: |size| {
            [
                b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n",
                &b"\r\n--c\n--".repeat(size / 8)[..],
                b"\r\n--b--",
            ]
            .concat()
        },
    },
];

fn run(engine: &Arc<Engine>, content_type: &str, cookie: &[u8], text: &[u8]) -> u64 {
    let length = text.len().to_string();
    let fields = [
        Field { name: b"Content-Type", value: content_type.as_bytes() },
        Field { name: b"Content-Length", value: length.as_bytes() },
        Field { name: b"Cookie", value: cookie },
    ];
    let mut transaction = engine.begin(&facts());
    transaction.request_headers(&RequestHead { method: "POST", ..head("/a", &fields) });
    transaction.request_body(&crate::waf::input::Body { bytes: text, ..body(b"") });
    transaction.work()
}

fn compiled(sources: &Sources) -> Arc<Engine> {
    let settings = Settings { mode: Some(Mode::Detect), paranoia_level: Some(4), ..Settings::default() };
    Arc::new(Engine::compile(sources, &settings).unwrap_or_else(|errors| panic!("{errors:#?}")))
}

/// The name with what a byte costs more at the largest size than at the smallest, if it is too much.
fn grows(name: &str, work: impl Fn(usize) -> u64) -> Option<String> {
    let [small, middle, large] = SIZES.map(&work);
    println!("{name}: {small} {middle} {large}");
    let more = (large - small.min(large)) as f64 / (SIZES[2] - SIZES[0]) as f64;
    let first = small as f64 / SIZES[0] as f64;
    (more > first * MOST + 1.0).then(|| format!("{name}: {first:.1} per byte, and then {more:.1}"))
}

#[test]
fn work_per_byte_does_not_grow_with_a_message() {
    let core = compiled(&crate::config::core_rules::core());
    let mut failures: Vec<String> = INPUTS
        .iter()
        .filter_map(|input| {
            grows(input.name, |size| run(&core, input.content_type, b"", &(input.make)(size)))
        })
        .collect();
    let cookies = |size: usize| (0..size / 16).map(|n| format!("c{n:05}=1'or 1; ")).collect::<String>();
    failures.extend(grows("cookies", |size| run(&core, FORM, cookies(size).as_bytes(), b"")));
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Expressions that take exponential or quadratic time where matching backtracks: each is run at most
/// once over a value, whatever the value is.
#[test]
fn nested_quantifiers_see_each_byte_once() {
    for (expression, text) in [
        ("(a+)+$", "a"),
        ("^(a|a)*b$", "a"),
        ("(?:x+x+)+y", "x"),
        ("(\\w+\\s?)*!", "word+"),
        ("(.*)*=(.*)*;", "="),
        ("(?:a?){50}a{50}b", "a"),
        ("<[^>]*<[^>]*<[^>]*x>", "<a"),
    ] {
        let rules = json!({ "name": "one", "version": "1", "rules": [{
            "id": 1, "phase": "request_body", "message": "one", "severity": "notice",
            "when": { "variables": ["args"], "operator": { "rx": expression } }, "then": ["score"],
        }]});
        let sources = Sources {
            files: vec![Source { name: "r.json".into(), text: rules.to_string() }],
            ..Sources::default()
        };
        let engine = compiled(&sources);
        for size in SIZES {
            // Kept, looked through by the prefilter, and asked about.
            let work = run(&engine, FORM, b"", &value(text, size));
            assert!(work <= 3 * size as u64 + 1024, "{expression}: {work} for {size} bytes");
        }
    }
}
