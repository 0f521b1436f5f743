//! Whole exchanges through the engine: with prefilters and without, everything comes out the same.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use portward::config::core_rules;
use portward::waf::example::Exchange as Parsed;
use portward::waf::input::{Body, ConnectionFacts, Extent, Field, RequestHead, ResponseHead};
use portward::waf::lang::ast::Example;
use portward::waf::persistent::{Memory, Persistent, Store, Variables};
use portward::waf::report::{Decision, Report};
use portward::waf::{Engine, HeaderEdit, Mode, Settings, Source, Sources};

use super::{line, shown};

/// The same rules, fast and plain.
pub struct Pair {
    fast: Arc<Engine>,
    plain: Arc<Engine>,
    kept: Arc<Fresh>,
}

/// What outlives an exchange, taken away before the next, so that all of them begin alike.
#[derive(Debug, Default)]
struct Fresh(Mutex<Memory>);

impl Fresh {
    fn now(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Fresh {
    fn open(&self, kind: Persistent, key: &[u8], now: u64) -> Variables {
        self.now().open(kind, key, now)
    }
    fn set(&self, kind: Persistent, key: &[u8], name: &[u8], value: Option<&[u8]>, now: u64) {
        self.now().set(kind, key, name, value, now);
    }
    fn add(&self, kind: Persistent, key: &[u8], name: &[u8], by: i64, now: u64) -> i64 {
        self.now().add(kind, key, name, by, now)
    }
    fn expire(&self, kind: Persistent, key: &[u8], name: &[u8], at: u64, now: u64) {
        self.now().expire(kind, key, name, at, now);
    }
    fn hit(&self, rule: u32, key: &[u8], seconds: u32, now: u64) -> u64 {
        self.now().hit(rule, key, seconds, now)
    }
}

impl Pair {
    pub fn new(sources: &Sources, settings: &Settings) -> Option<Pair> {
        let kept = Arc::new(Fresh::default());
        let [fast, plain] = [Engine::compile, Engine::compile_plain].map(|compile| {
            let engine = compile(sources, settings).ok()?;
            Some(Arc::new(engine.with_store(Arc::clone(&kept) as Arc<dyn Store>)))
        });
        assert_eq!(fast.is_some(), plain.is_some(), "what compiles fast compiles plain");
        Some(Pair { fast: fast?, plain: plain?, kept })
    }
}

/// Rules with everything that one rule does to another: chains with captures, actions of single
/// values, counts, negation, jumps, exclusions, macros in arguments. The last one tells what is left
/// in `tx`.
static SMALL: LazyLock<[Pair; 2]> = LazyLock::new(|| {
    let sources = Sources {
        files: vec![Source { name: "rules.json".into(), text: include_str!("rules.json").into() }],
        ..Sources::default()
    };
    [Mode::Detect, Mode::Block].map(|mode| {
        let settings = Settings { mode: Some(mode), paranoia_level: Some(4), ..Settings::default() };
        match Engine::compile(&sources, &settings) {
            Ok(_) => Pair::new(&sources, &settings).expect("it has just been compiled"),
            Err(errors) => panic!("{errors:#?}"),
        }
    })
});

static CORE: LazyLock<Pair> = LazyLock::new(|| {
    let settings = Settings { mode: Some(Mode::Detect), paranoia_level: Some(4), ..Settings::default() };
    Pair::new(&core_rules::core(), &settings).expect("the shipped rules load")
});

/// An exchange as a fuzzer writes it: target, header lines, an empty line, the body. The response has
/// the same body.
struct Exchange<'a> {
    target: &'a [u8],
    fields: Vec<Field<'a>>,
    body: &'a [u8],
}

impl Exchange<'_> {
    fn parse(data: &[u8]) -> Exchange<'_> {
        let (target, mut rest) = line(data);
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (field, after) = line(rest);
            rest = after;
            if field.is_empty() {
                break;
            }
            let at = field.iter().position(|&byte| byte == b':');
            let (name, value) = at.map_or((field, &b""[..]), |at| (&field[..at], &field[at + 1..]));
            fields.push(Field { name, value: value.trim_ascii() });
        }
        Exchange { target, fields, body: rest }
    }
}

/// All that can be seen of an exchange.
#[derive(Debug, PartialEq)]
struct Outcome {
    decisions: Vec<Decision>,
    edits: Vec<HeaderEdit>,
    matched: Vec<u32>,
    report: Report,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Untraced,
    /// Everything is noted on the way, which must change nothing.
    Traced,
}

fn run(engine: &Arc<Engine>, exchange: &Exchange, how: How) -> Outcome {
    let facts = ConnectionFacts {
        client_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        client_port: 40_000,
        server_ip: None,
        server_port: 443,
        sni: Some("app.test"),
        identity: None,
        unix_ms: 1_750_000_000_000,
        unique_id: "FUZZ",
    };
    let mut transaction = engine.begin(&facts);
    if how == How::Traced {
        transaction.trace();
    }
    let head = RequestHead {
        method: if exchange.body.is_empty() { "GET" } else { "POST" },
        target: exchange.target,
        protocol: "HTTP/1.1",
        scheme: "https",
        host: "app.test",
        port: 443,
        fields: &exchange.fields,
    };
    let body = Body { bytes: exchange.body, extent: Extent::Whole, coding_error: None };
    let mut decisions = vec![transaction.request_headers(&head), transaction.request_body(&body)];
    let kind = [Field { name: b"Content-Type", value: b"text/html" }];
    let head = ResponseHead { status: 200, protocol: "HTTP/1.1", fields: &kind };
    decisions.push(transaction.response_headers(&head));
    decisions.push(transaction.response_body(&body));
    let edits = transaction.header_edits().to_vec();
    let (matched, report) = match how {
        How::Traced => (Vec::new(), transaction.finish_traced().report),
        How::Untraced => {
            let outcome = transaction.finish_with_matches();
            (outcome.matched, outcome.report)
        }
    };
    Outcome { decisions, edits, matched, report }
}

/// Fast and plain agree, a second time too, when clean values are remembered, and when traced.
fn agree(pair: &Pair, exchange: &Exchange) {
    let what = || format!("{} {}", shown(exchange.target), shown(exchange.body));
    let run = |engine: &Arc<Engine>, how: How| {
        *pair.kept.now() = Memory::default();
        run(engine, exchange, how)
    };
    let expect = run(&pair.plain, How::Untraced);
    assert_eq!(run(&pair.fast, How::Untraced), expect, "{}", what());
    assert_eq!(run(&pair.fast, How::Untraced), expect, "again: {}", what());
    let traced = run(&pair.fast, How::Traced);
    assert_eq!(Outcome { matched: expect.matched.clone(), ..traced }, expect, "traced: {}", what());
    bounded(&expect.report);
}

/// A report has room for so much of what a client sends, and no more.
fn bounded(report: &Report) {
    assert!(report.matches.len() <= 64 + 1024, "{} matches", report.matches.len());
    for found in &report.matches {
        for text in
            [&found.message, &found.data, &found.variable, &found.value, &found.matched, &found.operator]
        {
            // 512 bytes, each of them escaped, and the marks of a cut.
            assert!(text.len() <= 4 * 512 + 64, "{} bytes in {found:?}", text.len());
        }
    }
    let text = serde_json::to_string(report).expect("a report is data");
    let again: Report = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(&again, report);
}

pub fn exchange(data: &[u8]) {
    let exchange = Exchange::parse(data);
    SMALL.iter().for_each(|pair| agree(pair, &exchange));
}

pub fn core_rules(data: &[u8]) {
    agree(&CORE, &Exchange::parse(data));
}

/// A few exchanges for rules that a fuzzer wrote.
pub fn try_out(pair: &Pair) {
    const EXCHANGES: &[&[u8]] = &[
        b"/",
        b"/a/b.php?id=1%27+or+1=1--&q=%3Cscript%3E&id=2\nCookie: k=v; s=UNION select\nX-A: a\0b\n\n",
        b"/p?a\nContent-Type: application/json\n\n{\"a\":[1,\"../../etc/passwd\",{\"b\":null}]}",
        b"/?\nContent-Type: application/x-www-form-urlencoded\n\nx=%75nion+select&y=&y=a%00b&=1",
    ];
    EXCHANGES.iter().for_each(|data| agree(pair, &Exchange::parse(data)));
}

/// A request, and behind a line of three hyphens a response, as rules have them for examples.
pub fn example(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (request, response) = match text.split_once("\n---\n") {
        Some((request, response)) => (request, Some(response.to_owned())),
        None => (text, None),
    };
    let request = (!request.is_empty()).then(|| request.to_owned());
    match Parsed::parse(&Example { request, response }) {
        Ok(exchange) => {
            for pair in SMALL.iter() {
                let [fast, plain] = [&pair.fast, &pair.plain].map(|engine| exchange.run(engine));
                assert_eq!((fast.matched, &fast.report), (plain.matched, &plain.report), "{text:?}");
                bounded(&fast.report);
            }
        }
        Err(error) => assert!(error.to_string().len() < 512, "{error}"),
    }
}
