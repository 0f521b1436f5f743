//! That no input makes rules slow: what a byte costs at three sizes, for expressions and inputs
//! that are slow where matching backtracks or where work is done once per pair of things. Linear
//! means that the largest size costs per byte what the middle one does; the run fails where it
//! costs more than [`MOST`] times that.
//!
//!   cargo bench --bench linear
//!
//! The imported Core Rule Set is Debian's (package modsecurity-crs), where that is installed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use nix::time::{ClockId, clock_gettime};
use portward::cli::rules::import::Disk;
use portward::config::core_rules;
use portward::waf::input::{Body, ConnectionFacts, Extent, Field, RequestHead};
use portward::waf::lang::seclang::{Input as Conf, Options, import};
use portward::waf::{Engine, Mode, Settings, Source, Sources};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Caches fill up between one size and the next; what is quadratic costs four times as much.
const MOST: f64 = 2.0;

/// Each size is four times the one before.
const SIZES: [usize; 3] = [4 * 1024, 16 * 1024, 64 * 1024];

/// An input of about so many bytes.
struct Input {
    name: &'static str,
    content_type: &'static str,
    /// From its size, and a number that makes what may be remembered new.
    make: fn(usize, usize) -> String,
}

const FORM: &str = "application/x-www-form-urlencoded";

const INPUTS: &[Input] = &[
    Input { name: "one value of `<`", content_type: FORM, make: |size, _| value("<", size) },
    Input { name: "one value of `%`", content_type: FORM, make: |size, _| value("%", size) },
    Input { name: "one value of `'`", content_type: FORM, make: |size, _| value("'", size) },
    Input { name: "one value of `a`", content_type: FORM, make: |size, _| value("a", size) },
    Input { name: "one value of `a `", content_type: FORM, make: |size, _| value("a+", size) },
    Input { name: "one value of `/*`", content_type: FORM, make: |size, _| value("/*", size) },
    Input { name: "one value of `../`", content_type: FORM, make: |size, _| value("../", size) },
    Input { name: "one value of `<a `", content_type: FORM, make: |size, _| value("<a+", size) },
    Input { name: "one value of `union `", content_type: FORM, make: |size, _| value("union+", size) },
    Input { name: "one value of `%26%23`", content_type: FORM, make: |size, _| value("%26%23", size) },
    Input { name: "one value of `\\u`", content_type: FORM, make: |size, _| value("\\u", size) },
    Input { name: "form of many arguments", content_type: FORM, make: arguments },
    Input {
        name: "form of one name, often",
        content_type: FORM,
        make: |size, _| "id=1%27+or+1&".repeat(size / 13),
    },
    Input { name: "JSON list", content_type: "application/json", make: list },
    Input { name: "JSON list, 60 deep", content_type: "application/json", make: deep },
    Input {
        name: "JSON nesting without end",
        content_type: "application/json",
        make: |size, _| "[".repeat(size),
    },
    Input {
        name: "XML elements",
        content_type: "application/xml",
        make: |size, _| format!("<a>{}</a>", "<b c='d'>e</b>".repeat(size / 14)),
    },
];

fn value(text: &str, size: usize) -> String {
    format!("q={}", text.repeat(size / text.len()))
}

/// 64 bytes each, so that the largest size has a thousand of them.
fn arguments(size: usize, salt: usize) -> String {
    let pair = |n: usize| format!("name{n:04}=some+words+of+an+ordinary+answer+{salt:06}+to+question+{n:04}");
    let pairs: Vec<String> = (0..size / 66).map(pair).collect();
    pairs.join("&")
}

fn list(size: usize, salt: usize) -> String {
    let items: Vec<String> = (0..size / 23).map(|n| format!("\"item {salt:06} {n:07}\"")).collect();
    format!("[{}]", items.join(","))
}

fn deep(size: usize, salt: usize) -> String {
    let one = |n: usize| format!("{}{salt}{n:04}{}", "[".repeat(59), "]".repeat(59));
    format!("[{}]", (0..size / 128).map(one).collect::<Vec<_>>().join(","))
}

/// Expressions that take exponential or quadratic time where matching backtracks, each with the
/// text that does it.
const EXPRESSIONS: &[(&str, &str)] = &[
    ("(a+)+$", "a"),
    ("^(a|a)*b$", "a"),
    ("(?:x+x+)+y", "x"),
    ("(\\w+\\s?)*!", "word+"),
    ("(?i)^(([a-z])+.)+[A-Z]([a-z])+$", "a"),
    ("(.*)*=(.*)*;", "="),
    ("(?:a?){50}a{50}b", "a"),
    ("\\d+\\d+\\d+x", "1"),
    ("<[^>]*<[^>]*<[^>]*x>", "<a"),
    (".*.*.*=.*;.*q", "=;"),
];

fn main() {
    let mut quadratic = Vec::new();
    head("core rules");
    let core = compile(&core_rules::core());
    for input in INPUTS {
        row(input.name, &core, input.content_type, input.make, &mut quadratic);
    }
    for level in [1, 4] {
        let Some(sources) = imported() else { continue };
        head(&format!("imported CRS 3.3.4 at paranoia level {level}"));
        let engine = compile_at(&sources, Some(level));
        for input in INPUTS {
            row(input.name, &engine, input.content_type, input.make, &mut quadratic);
        }
    }
    head("one rule with one expression");
    for (expression, text) in EXPRESSIONS {
        let engine = compile(&one_rule(expression));
        row(
            &format!("`{}`", expression.replace('|', "\\|")),
            &engine,
            FORM,
            |size, _| value(text, size),
            &mut quadratic,
        );
    }
    if !quadratic.is_empty() {
        eprintln!("\nnot linear: {}", quadratic.join(", "));
        std::process::exit(1);
    }
}

fn head(rules: &str) {
    println!("\n{rules}: nanoseconds of CPU per byte\n");
    println!("| input | 4 KiB | 16 KiB | 64 KiB | ms for 64 KiB |\n|---|---:|---:|---:|---:|");
}

fn row(
    name: &str,
    engine: &Arc<Engine>,
    content_type: &str,
    make: impl Fn(usize, usize) -> String,
    quadratic: &mut Vec<String>,
) {
    let costs = SIZES.map(|size| {
        let length = make(size, 0).len() as f64;
        cost(|salt| make(size, salt), |body| run(engine, content_type, body)) / length
    });
    let whole = costs[2] * SIZES[2] as f64 / 1e6;
    println!("| {name} | {:.1} | {:.1} | {:.1} | {whole:.2} |", costs[0], costs[1], costs[2]);
    if costs[2] > costs[1] * MOST {
        quadratic.push(name.to_owned());
    }
}

/// CPU nanoseconds for one exchange, the best of several: what disturbs only adds.
fn cost(make: impl Fn(usize) -> String, run: impl Fn(&[u8])) -> f64 {
    let mut salt = 0;
    let mut once = || {
        salt += 1;
        let body = make(salt);
        let start = cpu_nanoseconds();
        run(body.as_bytes());
        (cpu_nanoseconds() - start) as f64
    };
    let first = once();
    let rounds = (3e8 / first.max(1.0)).clamp(3.0, 30.0) as usize;
    (0..rounds).map(|_| once()).fold(f64::MAX, f64::min)
}

fn cpu_nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("threads have a CPU clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

fn run(engine: &Arc<Engine>, content_type: &str, body: &[u8]) {
    let facts = ConnectionFacts {
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        client_port: 40000,
        server_ip: None,
        server_port: 443,
        sni: Some("www.bench.test"),
        identity: None,
        unix_ms: 1_760_000_000_000,
        unique_id: "0123456789abcdef",
    };
    let length = body.len().to_string();
    let fields = [
        ("host", "www.bench.test"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "*/*"),
        ("content-type", content_type),
        ("content-length", length.as_str()),
    ]
    .map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() });
    let mut transaction = engine.begin(&facts);
    transaction.request_headers(&RequestHead {
        method: "POST",
        target: b"/orders",
        protocol: "HTTP/1.1",
        scheme: "https",
        host: "www.bench.test",
        port: 443,
        fields: &fields,
    });
    transaction.request_body(&Body { bytes: body, extent: Extent::Whole, coding_error: None });
    transaction.finish();
}

fn imported() -> Option<Sources> {
    const SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
    const FOLDER: &str = "/usr/share/modsecurity-crs/rules";
    if !Path::new(SETUP).exists() || !Path::new(FOLDER).exists() {
        eprintln!("the imported Core Rule Set needs a Debian package that is not here: modsecurity-crs");
        return None;
    }
    let json = "SecRule REQUEST_HEADERS:Content-Type \"@rx ^application/(json|xml)\" \
                \"id:10,phase:1,pass,nolog,capture,chain\"\n\
                SecRule TX:1 \"@streq json\" \"ctl:requestBodyProcessor=JSON\"\n\
                SecRule REQUEST_HEADERS:Content-Type \"@beginsWith application/xml\" \
                \"id:11,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n";
    let text = format!("{json}Include {SETUP}\nInclude {FOLDER}/*.conf\n");
    let input = Conf { name: "bench.conf".to_owned(), text };
    match import(&[input], &mut Disk, &Options { skip_unsupported: true }) {
        Ok(imported) => Some(imported.sources),
        Err(errors) => panic!("CRS does not import: {}", errors[0]),
    }
}

fn compile(sources: &Sources) -> Arc<Engine> {
    compile_at(sources, None)
}

/// Everything runs: what is stopped early costs little.
fn compile_at(sources: &Sources, paranoia_level: Option<u8>) -> Arc<Engine> {
    let settings = Settings { mode: Some(Mode::Detect), paranoia_level, ..Settings::default() };
    match Engine::compile(sources, &settings) {
        Ok(engine) => Arc::new(engine),
        Err(errors) => panic!("the rules do not load: {}", errors[0]),
    }
}

fn one_rule(expression: &str) -> Sources {
    let rules = serde_json::json!({ "name": "one", "version": "1", "rules": [{
        "id": 1, "phase": "request_body", "message": "one", "severity": "notice",
        "when": { "variables": ["args"], "operator": { "rx": expression } }, "then": ["score"],
    }]});
    let files = vec![Source { name: "one.json".to_owned(), text: rules.to_string() }];
    Sources { files, data: BTreeMap::new() }
}
