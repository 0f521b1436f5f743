//! Requests and responses between bytes and the engine, in process: what the engine would be shown
//! if every message were let in, however it breaks HTTP's rules.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use portward::waf::Engine;
use portward::waf::input::{Body, ConnectionFacts, Extent, Field, RequestHead, ResponseHead};
use portward::waf::report::Report;
use serde_json::Value;

/// A request taken apart without a question asked.
#[derive(Debug)]
pub struct Message<'a> {
    pub method: String,
    pub target: &'a [u8],
    pub protocol: String,
    pub fields: Vec<Field<'a>>,
    pub body: Vec<u8>,
    /// False for what a server goes on waiting for: a head without its end, or less of a body than it promises.
    pub complete: bool,
}

impl<'a> Message<'a> {
    pub fn read(bytes: &'a [u8]) -> Message<'a> {
        let (first, mut rest) = line(bytes);
        let (method, after) = split_first(first);
        let (target, protocol) = split_last(after);
        let (mut fields, mut complete) = (Vec::new(), false);
        while !rest.is_empty() {
            let (next, after) = line(rest);
            rest = after;
            if next.is_empty() {
                complete = true;
                break;
            }
            let colon = next.iter().position(|b| *b == b':').unwrap_or(next.len());
            let value = next.get(colon + 1..).unwrap_or_default().trim_ascii();
            fields.push(Field { name: &next[..colon], value });
        }
        let (method, protocol) = (text(method), text(protocol));
        let mut message = Message { method, target, protocol, fields, body: Vec::new(), complete };
        message.body = message.body(rest);
        message.complete &= message.is_all_here(rest);
        message
    }

    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        let found = self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|field| field.value)
    }

    /// True for what no server lets its rules see: a line in the head that is no field (RFC 9112
    /// section 5.1), a bare CR (section 2.2), two lengths at once (section 6.3).
    pub fn is_refused(&self) -> bool {
        let bad = |field: &Field| {
            field.name.is_empty() || field.name.contains(&b' ') || field.value.contains(&b'\r')
        };
        let two_lengths = self.field("content-length").and(self.field("transfer-encoding")).is_some();
        two_lengths || self.fields.iter().any(bad)
    }

    fn is_chunked(&self) -> bool {
        self.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"))
    }

    fn length(&self) -> usize {
        self.field("content-length").and_then(|value| text(value).parse().ok()).unwrap_or(0)
    }

    fn body(&self, rest: &[u8]) -> Vec<u8> {
        if self.is_chunked() {
            return chunks(rest);
        }
        rest[..self.length().min(rest.len())].to_vec()
    }

    fn is_all_here(&self, rest: &[u8]) -> bool {
        if self.is_chunked() {
            rest.windows(5).any(|end| end == b"0\r\n\r\n")
        } else {
            rest.len() >= self.length()
        }
    }

    /// Walks an engine through the request and the answer to it.
    pub fn run(&self, engine: &Arc<Engine>) -> Report {
        let host = text(self.field("host").unwrap_or_default()).to_ascii_lowercase();
        let facts = ConnectionFacts {
            client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            client_port: 40_000,
            server_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            server_port: 80,
            sni: None,
            identity: None,
            unix_ms: 1_700_000_000_000,
            unique_id: "CASE",
        };
        let mut transaction = engine.begin(&facts);
        transaction.request_headers(&RequestHead {
            method: &self.method,
            target: self.target,
            protocol: &self.protocol,
            scheme: "http",
            host: host.split(':').next().unwrap_or_default(),
            port: 80,
            fields: &self.fields,
        });
        let wanted = transaction.wants_request_body();
        transaction.request_body(&whole(if wanted { &self.body } else { b"" }));
        let answer = Answer::to(self.target, &self.body);
        let fields: Vec<Field> = answer
            .fields
            .iter()
            .map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() })
            .collect();
        transaction.response_headers(&ResponseHead {
            status: answer.status,
            protocol: "HTTP/1.1",
            fields: &fields,
        });
        let wanted = transaction.wants_response_body();
        transaction.response_body(&whole(if wanted { &answer.body } else { b"" }));
        transaction.finish()
    }
}

/// What the origin of the suite says.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// 200 to any path; on `/reflect` what the posted JSON describes.
    pub fn to(target: &[u8], body: &[u8]) -> Answer {
        let plain = || Answer {
            status: 200,
            fields: vec![("content-type".into(), "text/plain".into())],
            body: b"an answer\n".to_vec(),
        };
        let path = target.split(|b| *b == b'?').next().unwrap_or_default();
        if path != b"/reflect" {
            return plain();
        }
        let Ok(told) = serde_json::from_slice::<Value>(body) else { return plain() };
        let fields = told["headers"].as_object().into_iter().flatten();
        Answer {
            status: told["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200),
            fields: fields
                .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
            body: told["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
        }
    }
}

fn whole(bytes: &[u8]) -> Body<'_> {
    Body { bytes, extent: Extent::Whole, coding_error: None }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let line = &bytes[..end];
    (line.strip_suffix(b"\r").unwrap_or(line), bytes.get(end + 1..).unwrap_or_default())
}

fn split_first(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
    (&line[..end], line.get(end + 1..).unwrap_or_default())
}

fn split_last(line: &[u8]) -> (&[u8], &[u8]) {
    let at = line.iter().rposition(|b| *b == b' ').unwrap_or(line.len());
    (&line[..at], line.get(at + 1..).unwrap_or_default())
}

/// A chunked body as far as it goes.
fn chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let (size, after) = line(rest);
        let size = usize::from_str_radix(text(size).trim(), 16).unwrap_or(0).min(after.len());
        if size == 0 {
            return out;
        }
        out.extend_from_slice(&after[..size]);
        rest = line(&after[size..]).1;
    }
}

#[test]
fn messages_are_taken_apart_however_odd_they_are() {
    let message =
        Message::read(b"POST /a b?c HTTP/1.0\r\nHost:  h \r\nContent-Length: 3\r\nodd\r\n\r\nxyz\r\n");
    assert_eq!((&*message.method, message.target, &*message.protocol), ("POST", &b"/a b?c"[..], "HTTP/1.0"));
    assert_eq!((message.field("host"), message.fields[2].name), (Some(&b"h"[..]), &b"odd"[..]));
    assert_eq!(message.body, b"xyz");
    let chunked =
        Message::read(b"P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nfoo=bar\r\n0\r\n\r\n");
    assert_eq!(chunked.body, b"foo=bar");
    assert!(message.complete && chunked.complete);
    for unfinished in ["GET / HTTP/1.1\r\nHost: h\r\n", "P / HTTP/1.1\r\nContent-Length: 3\r\n\r\nxy"] {
        assert!(!Message::read(unfinished.as_bytes()).complete, "{unfinished}");
    }
    let answer = Answer::to(b"/reflect", br#"{"status": 500, "headers": {"X-A": "b"}, "body": "c"}"#);
    assert_eq!(
        (answer.status, &answer.fields[0], &answer.body[..]),
        (500, &("X-A".into(), "b".into()), &b"c"[..])
    );
}
