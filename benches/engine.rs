//! What the core rules cost an ordinary exchange, phase by phase as the proxy calls them. The
//! traffic is benign: the price everybody pays. Header fields repeat from request to request, as
//! clients repeat them; arguments and bodies are never the same twice.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use portward::config::core_rules;
use portward::waf::input::{Body, ConnectionFacts, Extent, Field, RequestHead, ResponseHead};
use portward::waf::report::Decision;
use portward::waf::{Engine, Mode, Settings};

/// One exchange as the engine is given it.
struct Exchange {
    name: &'static str,
    method: &'static str,
    target: String,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    /// Content type and body of the response, when it is looked at.
    response: Option<(&'static str, Vec<u8>)>,
}

/// Stands for eight digits that differ in every exchange.
const FRESH: &str = "########";

impl Exchange {
    fn fresh(&self, number: u32) -> Exchange {
        let digits = format!("{number:08x}");
        let mut body = self.body.clone();
        for at in memchr::memmem::find_iter(&self.body, FRESH) {
            body[at..at + FRESH.len()].copy_from_slice(digits.as_bytes());
        }
        let response = self.response.clone();
        Exchange { target: self.target.replace(FRESH, &digits), body, response, ..*self }
    }
}

fn exchanges() -> Vec<Exchange> {
    let get = |name, target: &str| Exchange {
        name,
        method: "GET",
        target: target.to_owned(),
        content_type: None,
        body: Vec::new(),
        response: None,
    };
    let post = |name, content_type, body| Exchange {
        name,
        method: "POST",
        target: "/orders".to_owned(),
        content_type: Some(content_type),
        body,
        response: None,
    };
    vec![
        get("GET static", "/assets/app.########.css"),
        get("GET 3 args", "/search?q=ferry+########&page=2########&sort=price_########"),
        get(
            "GET 10 args",
            "/list?city=Porto########&from=2025-11-########&to=2025-11-########&adults=########&children=1########&rooms=1########&sort=r-########&view=map########&lang=pt########&page=########",
        ),
        post("form 1 KB", "application/x-www-form-urlencoded", form(1024)),
        post("JSON 1 KB, 51 values", "application/json", json(51)),
        post("JSON 4 KB, 201 values", "application/json", json(201)),
        post("form 16 KB", "application/x-www-form-urlencoded", form(16 * 1024)),
        post("upload 64 KB", "application/octet-stream", page(64 * 1024)),
        Exchange {
            response: Some(("text/html; charset=utf-8", page(1024))),
            ..get("HTML response 1 KB", "/article/harbour?page=2")
        },
        Exchange {
            response: Some(("text/html; charset=utf-8", page(16 * 1024))),
            ..get("HTML response 16 KB", "/article/harbour?page=2")
        },
    ]
}

const WORDS: &[&str] = &[
    "harbour",
    "timetable",
    "O'Neill",
    "select",
    "a",
    "quiet",
    "room",
    "with",
    "view",
    "order",
    "by",
    "Friday",
    "50%",
    "and",
    "union",
    "street",
    "12-14",
];

/// Fields with prose in them, some of it in words that attacks use as well.
fn form(len: usize) -> Vec<u8> {
    let mut out = String::new();
    let mut word = WORDS.iter().cycle();
    for field in 0.. {
        let value: Vec<&str> = word.by_ref().take(40).copied().collect();
        let value: String = form_urlencoded::byte_serialize(value.join(" ").as_bytes()).collect();
        out.push_str(&format!("field{field}={FRESH}+{value}&"));
        if out.len() >= len {
            break;
        }
    }
    out.truncate(len);
    // Not in the middle of an escape.
    out.truncate(out.rfind('+').unwrap_or(len));
    out.into_bytes()
}

fn json(values: usize) -> Vec<u8> {
    let items: Vec<serde_json::Value> = (0..values)
        .map(|i| match i % 3 {
            0 => serde_json::json!(format!("{}{FRESH}", WORDS[i % WORDS.len()])),
            1 => serde_json::json!(i * 37),
            _ => serde_json::json!(format!("{} {FRESH}", WORDS[(i + 5) % WORDS.len()])),
        })
        .collect();
    serde_json::json!({ "items": items }).to_string().into_bytes()
}

fn page(len: usize) -> Vec<u8> {
    let part = "<div class=\"card\"><a href=\"/boats?id=12\"><img src=\"/i/boat.webp\" alt=\"A boat\"></a>\
                <p>The harbour opens at six; boats bring in bread &amp; letters.</p></div>\n";
    let mut out = String::from("<!doctype html><html><head><title>Harbour</title></head><body>");
    while out.len() < len {
        out.push_str(part);
    }
    out.truncate(len);
    out.into_bytes()
}

fn run(engine: &Arc<Engine>, exchange: &Exchange) -> Decision {
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
    let length = exchange.body.len().to_string();
    let field =
        |name: &'static str, value: &'static str| Field { name: name.as_bytes(), value: value.as_bytes() };
    let mut fields = vec![
        field("host", "www.bench.test"),
        field("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        field("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        field("accept-language", "en-GB,en;q=0.5"),
        field("accept-encoding", "gzip, deflate, br, zstd"),
        field("referer", "https://www.bench.test/boats?page=1"),
        field("cookie", "session=8c1f0a7e52b94d6c; theme=dark; consent=all"),
    ];
    if let Some(content_type) = exchange.content_type {
        fields.push(field("content-type", content_type));
        fields.push(Field { name: b"content-length", value: length.as_bytes() });
    }
    let mut transaction = engine.begin(&facts);
    let head = RequestHead {
        method: exchange.method,
        target: exchange.target.as_bytes(),
        protocol: "HTTP/1.1",
        scheme: "https",
        host: "www.bench.test",
        port: 443,
        fields: &fields,
    };
    let body = |bytes| Body { bytes, extent: Extent::Whole, coding_error: None };
    let mut decision = transaction.request_headers(&head);
    if decision == Decision::Continue {
        let wanted = transaction.wants_request_body();
        decision = transaction.request_body(&body(if wanted { &exchange.body } else { b"" }));
    }
    let (content_type, text) = match &exchange.response {
        Some((content_type, text)) => (*content_type, text.as_slice()),
        None => ("image/webp", &b""[..]),
    };
    let fields = [field("content-type", content_type), field("cache-control", "no-cache")];
    if decision == Decision::Continue {
        decision = transaction.response_headers(&ResponseHead {
            status: 200,
            protocol: "HTTP/1.1",
            fields: &fields,
        });
    }
    if decision == Decision::Continue && exchange.response.is_some() && transaction.wants_response_body() {
        decision = transaction.response_body(&body(text));
    }
    transaction.finish();
    decision
}

fn engine(criterion: &mut Criterion) {
    let settings = Settings { mode: Some(Mode::Block), ..Settings::default() };
    let engine = match Engine::compile(&core_rules::core(), &settings) {
        Ok(engine) => Arc::new(engine),
        Err(errors) => panic!("the core rules do not load: {}", errors[0]),
    };
    let mut group = criterion.benchmark_group("core rules");
    for exchange in exchanges() {
        // A block would be measured as a fast pass.
        assert_eq!(run(&engine, &exchange), Decision::Continue, "{} is blocked", exchange.name);
        let mut number = 0;
        let mut next = || {
            number += 1;
            exchange.fresh(number)
        };
        group.bench_function(exchange.name, |bench| {
            bench.iter_batched_ref(&mut next, |exchange| run(&engine, exchange), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots().measurement_time(std::time::Duration::from_secs(3));
    targets = engine
}
criterion_main!(benches);
