//! What `detect_sqli`, `detect_sql_escape` and `detect_xss` cost: ordinary values, by the value, and hostile ones at three sizes, by the
//! byte. The first should be far below a microsecond, the second the same at every size.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portward::waf::operator::{self, Data, Operator};
use serde_json::json;

/// What stands in query strings and forms, 24 bytes on average.
const QUERY: &[&str] = &[
    "harbour-lights",
    "John Smith",
    "2025-11-04T08:15:30Z",
    "550e8400-e29b-41d4-a716-446655440000",
    "ada.lovelace@example.org",
    "/guide/tides.html?page=2",
    "price_asc",
    "New York, NY 10001",
    "https://example.org/a/b?c=d&e=f",
    "1,299.00",
    "en-GB,en;q=0.9",
    "+351 912 345 678",
    "ferry timetable november",
    "id:4711 status:open",
    "a=1&b=2&c=3",
    "51.5074,-0.1278",
];

const PROSE: &[&str] = &[
    "The ferry leaves at nine and comes back in the evening",
    "Please send two copies to the office in the old town",
    "It's raining, so we will stay; see you on Monday (maybe)",
    "Order number 1845 was not delivered or has been lost",
];

const HEADERS: &[&str] = &[
    "text/html,application/xml;q=0.9",
    "gzip, deflate, br, zstd",
    "Mozilla/5.0 (X11; Linux x86_64)",
    "max-age=0, no-cache",
    "W/\"5f3c-18b2a9e1d40\"",
    "same-origin",
];

const BASE64: &[&str] = &[
    "VGhlIGZlcnJ5IGxlYXZlcyBhdCBuaW5lIGFuZCBjb21lcyBiYWNrIGluIHRoZSBldmVuaW5n",
    "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0NzExIn0.q3Zk-8wLr0Xb7J2vGm9QdT1yNcUeKfHs5aBoIxPtYlE",
];

const ATTACKS: &[&str] = &[
    "1' or '1'='1' -- ",
    "-1 union all select 1,2,version()",
    "\"><script>alert(1)</script>",
    "' onerror=alert(1) x='",
];

/// Repeated to the size wanted.
const HOSTILE: &[&str] = &[
    "<",
    "%",
    "'",
    "\"",
    "`",
    "(",
    ")",
    "/*",
    "/**/",
    "\\",
    "\\'",
    "-",
    "--x\n",
    "#\n",
    "&",
    "=",
    "/",
    "{",
    "@",
    "$a$",
    "1+",
    "a.",
    "not.",
    "select.",
    "a ",
    "int ",
    "<a ",
    "<a b='c' ",
    "<!--",
    "<!---",
    "<%",
    "</a ",
    "a=b ",
    "&#0;",
    "\0",
    "<![CDATA[",
    "]",
    "' \" ` ",
];

fn detectors() -> [(&'static str, Box<dyn Operator>); 3] {
    ["detect_sqli", "detect_sql_escape", "detect_xss"].map(|name| {
        (name, operator::build(name, &json!(true), &Data::new()).unwrap_or_else(|e| panic!("{name}: {e}")))
    })
}

fn ordinary(criterion: &mut Criterion) {
    for (name, operator) in detectors() {
        let mut group = criterion.benchmark_group(format!("{name} ordinary"));
        let sets = [
            ("query", QUERY),
            ("prose", PROSE),
            ("headers", HEADERS),
            ("base64", BASE64),
            ("attacks", ATTACKS),
        ];
        for (what, values) in sets {
            group.throughput(Throughput::Elements(values.len() as u64));
            group.bench_function(what, |bench| {
                bench.iter(|| {
                    let hit =
                        |value: &&str| operator.evaluate(std::hint::black_box(value.as_bytes())).is_some();
                    values.iter().filter(|value| hit(value)).count()
                });
            });
        }
        group.finish();
    }
}

fn hostile(criterion: &mut Criterion) {
    for (name, operator) in detectors() {
        let mut group = criterion.benchmark_group(format!("{name} hostile"));
        for piece in HOSTILE {
            for size in [1024, 8 * 1024, 64 * 1024] {
                let value: Vec<u8> = piece.bytes().cycle().take(size).collect();
                group.throughput(Throughput::Bytes(size as u64));
                let id = BenchmarkId::new(piece.escape_debug().to_string(), size);
                group.bench_with_input(id, &value, |bench, value| {
                    bench.iter(|| operator.evaluate(std::hint::black_box(value)));
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots().sample_size(10)
        .warm_up_time(std::time::Duration::from_millis(50))
        .measurement_time(std::time::Duration::from_millis(200));
    targets = ordinary, hostile
}
criterion_main!(benches);
