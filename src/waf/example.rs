//! Examples: exchanges written as text, which rules must match or must not. They run through
//! the same calls as live traffic.
//!
//! A request is `METHOD target [HTTP/x.y]`, then `Name: value` lines, an empty line, and the
//! body as it stands. A response is a status, then the same. `Host: example.test` and
//! `Content-Length` are added when they are missing. `<<500 x a=1&>>` stands for five hundred times
//! `a=1&`, and in a body `<<hex cafebabe>>` for these four bytes.
//!
//! Behind a request with `Upgrade: websocket` the body is a client's message on the WebSocket; with a
//! response, whose status is then 101, the response's body is an origin's message.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::engine::Engine;
use super::input::{Body, ConnectionFacts, End, Extent, Field, Message, Opcode, RequestHead, ResponseHead};
use super::lang::ast::Example;
use super::report::{Decision, Report};
use super::transaction::Transaction;

/// A parsed example.
#[derive(Clone, Debug)]
pub struct Exchange {
    method: String,
    target: String,
    protocol: String,
    host: String,
    port: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    response: Option<Response>,
}

#[derive(Clone, Debug)]
struct Response {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The text with what is to be repeated written out; what would be longer than any body stays as it is.
fn repeated(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 4 * 1024 * 1024;
    let piece = |rest: &str, room: usize| -> Option<(String, usize)> {
        let end = rest.find(">>")?;
        let (count, piece) = rest[2..end].split_once(" x ")?;
        let count = count.parse().ok().filter(|count| *count <= room / piece.len().max(1))?;
        Some((piece.repeat(count), end + 2))
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("<<") {
        let Some((piece, end)) = piece(&rest[at..], LONGEST - out.len().min(LONGEST)) else {
            out.push_str(&rest[..at + 2]);
            rest = &rest[at + 2..];
            continue;
        };
        out.push_str(&rest[..at]);
        out.push_str(&piece);
        rest = &rest[at + end..];
    }
    if out.is_empty() {
        return Cow::Borrowed(rest);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The bytes of a body, with those written out that are given in hexadecimal.
fn spelt(text: &str) -> Vec<u8> {
    const MARK: &str = "<<hex ";
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let digits = &rest[at + MARK.len()..];
        let found = digits.find(">>").and_then(|end| Some((hex::decode(&digits[..end]).ok()?, end + 2)));
        let (bytes, after) = found.unwrap_or((MARK.as_bytes().to_vec(), 0));
        out.extend_from_slice(&rest.as_bytes()[..at]);
        out.extend(bytes);
        rest = &digits[after..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Why a text is not an example.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExampleError {
    #[error("an example's first line is `METHOD target`, not `{0}`")]
    RequestLine(String),
    #[error("a response's first line is its status, not `{0}`")]
    StatusLine(String),
    #[error("`{0}` is not a header line `Name: value`")]
    Field(String),
    #[error("an example with a body needs a Content-Type")]
    ContentType,
}

/// What came of running an example.
#[derive(Debug)]
pub struct Outcome {
    /// Every rule that matched, also those that do not log.
    pub matched: Vec<u32>,
    pub report: Report,
}

impl Exchange {
    pub fn parse(example: &Example) -> Result<Exchange, ExampleError> {
        let request = repeated(example.request.as_deref().unwrap_or("GET /"));
        let (first, mut fields, body) = split(&request)?;
        let body = spelt(body);
        let refuse = || ExampleError::RequestLine(super::lang::error::shown(first));
        let (method, rest) = first.split_once(' ').ok_or_else(refuse)?;
        let (target, protocol) = match rest.rsplit_once(' ') {
            Some((target, protocol)) if protocol.starts_with("HTTP/") => (target, protocol),
            _ => (rest, "HTTP/1.1"),
        };
        if method.is_empty() || target.is_empty() {
            return Err(refuse());
        }
        let has = |fields: &[(String, String)], name: &str| {
            fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        let upgrade = is_upgrade(&fields);
        if !body.is_empty() && !upgrade && !has(&fields, "content-type") {
            return Err(ExampleError::ContentType);
        }
        if !has(&fields, "host") {
            fields.insert(0, ("Host".to_owned(), "example.test".to_owned()));
        }
        let framed = has(&fields, "content-length") || has(&fields, "transfer-encoding");
        if !framed && !upgrade && (!body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH")) {
            fields.push(("Content-Length".to_owned(), body.len().to_string()));
        }
        let host =
            fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).map_or("", |(_, value)| value);
        let (host, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() && !port.contains(']') => {
                (name, port.parse().unwrap_or(443))
            }
            _ => (host, 443),
        };
        let host = host.to_ascii_lowercase();
        let response = match &example.response {
            None => None,
            Some(text) => Some(response(&repeated(text))?),
        };
        Ok(Exchange {
            method: method.to_owned(),
            target: target.to_owned(),
            protocol: protocol.to_owned(),
            host,
            port,
            fields,
            body,
            response,
        })
    }

    /// Runs all phases. The engine should be in detection mode, or an early rule may keep a
    /// later one from being asked.
    pub fn run(&self, engine: &Arc<Engine>) -> Outcome {
        self.play(engine).finish_with_matches()
    }

    /// Runs all phases but the last.
    pub fn play(&self, engine: &Arc<Engine>) -> Transaction {
        let facts = ConnectionFacts {
            client_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            client_port: 40_000,
            server_ip: Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1))),
            server_port: self.port,
            sni: Some(&self.host),
            identity: None,
            unix_ms: 0,
            unique_id: "EXAMPLE",
        };
        let mut transaction = engine.begin(&facts);
        let fields = as_fields(&self.fields);
        let head = RequestHead {
            method: &self.method,
            target: self.target.as_bytes(),
            protocol: &self.protocol,
            scheme: "https",
            host: &self.host,
            port: self.port,
            fields: &fields,
        };
        let mut go_on = transaction.request_headers(&head) == Decision::Continue;
        if is_upgrade(&self.fields) && (!self.body.is_empty() || self.response.is_some()) {
            if go_on {
                self.talk(&mut transaction);
            }
            return transaction;
        }
        go_on = go_on && transaction.request_body(&whole(&self.body)) == Decision::Continue;
        if let Some(response) = self.response.as_ref().filter(|_| go_on) {
            let fields = as_fields(&response.fields);
            let head = ResponseHead { status: response.status, protocol: "HTTP/1.1", fields: &fields };
            if transaction.response_headers(&head) == Decision::Continue {
                let wanted =
                    transaction.wants_response_body() || transaction.wants_response_start().is_some();
                let body = whole(if wanted { &response.body } else { b"" });
                match is_events(&response.fields) {
                    true => transaction.event(&body),
                    false => transaction.response_body(&body),
                };
            }
        }
        transaction
    }

    /// One message on the WebSocket that the request opens.
    fn talk(&self, transaction: &mut Transaction) {
        let (from, bytes) = match &self.response {
            None => (End::Client, &self.body),
            Some(response) => (End::Origin, &response.body),
        };
        let is_text = std::str::from_utf8(bytes).is_ok();
        let opcode = if is_text { Opcode::Text } else { Opcode::Binary };
        if from == End::Origin {
            let head = ResponseHead { status: 101, protocol: "HTTP/1.1", fields: &[] };
            if transaction.response_headers(&head) != Decision::Continue {
                return;
            }
        }
        transaction.websocket_message(&Message { from, opcode, bytes, extent: Extent::Whole });
    }
}

/// True for a request that opens a WebSocket.
fn is_upgrade(fields: &[(String, String)]) -> bool {
    fields.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("upgrade") && value.trim().eq_ignore_ascii_case("websocket")
    })
}

/// True for an answer whose body is an event.
fn is_events(fields: &[(String, String)]) -> bool {
    fields.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-type") && super::body::events::is_events(value.as_bytes())
    })
}

fn response(text: &str) -> Result<Response, ExampleError> {
    let (first, mut fields, body) = split(text)?;
    let body = spelt(body);
    let status = first.strip_prefix("HTTP/1.1 ").unwrap_or(first).split(' ').next().unwrap_or_default();
    let status = status
        .parse()
        .ok()
        .filter(|status| (100..=599).contains(status))
        .ok_or_else(|| ExampleError::StatusLine(super::lang::error::shown(first)))?;
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        fields.push(("Content-Length".to_owned(), body.len().to_string()));
    }
    Ok(Response { status, fields, body })
}

type Fields = Vec<(String, String)>;

/// First line, header lines, body.
fn split(text: &str) -> Result<(&str, Fields, &str), ExampleError> {
    let (first, mut rest) = line(text);
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (next, after) = line(rest);
        rest = after;
        if next.is_empty() {
            break;
        }
        let refuse = || ExampleError::Field(super::lang::error::shown(next));
        let (name, value) = next.split_once(':').ok_or_else(refuse)?;
        if name.is_empty() {
            return Err(refuse());
        }
        fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok((first, fields, rest))
}

fn line(text: &str) -> (&str, &str) {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    (line.strip_suffix('\r').unwrap_or(line), rest)
}

fn as_fields(fields: &Fields) -> Vec<Field<'_>> {
    fields.iter().map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() }).collect()
}

fn whole(bytes: &[u8]) -> Body<'_> {
    Body { bytes, extent: Extent::Whole, coding_error: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(request: &str) -> Result<Exchange, ExampleError> {
        Exchange::parse(&Example { request: Some(request.to_owned()), response: None })
    }

    #[test]
    fn a_request_is_read_from_text() {
        let exchange =
            parse("POST /a?b=c\nContent-Type: text/plain\r\nHost: A.test:8443\n\none\n\ntwo").expect("valid");
        assert_eq!(
            (&*exchange.method, &*exchange.target, &*exchange.protocol),
            ("POST", "/a?b=c", "HTTP/1.1")
        );
        assert_eq!((&*exchange.host, exchange.port, &*exchange.body), ("a.test", 8443, &b"one\n\ntwo"[..]));
        assert_eq!(exchange.fields.last(), Some(&("Content-Length".to_owned(), "8".to_owned())));
        let plain = parse("GET /a b HTTP/1.0").expect("valid");
        assert_eq!((&*plain.target, &*plain.protocol, &*plain.host), ("/a b", "HTTP/1.0", "example.test"));
    }

    #[test]
    fn what_is_to_be_repeated_is_written_out() {
        let exchange = parse("POST /?<<3 x a&>>z\nContent-Type: text/plain\n\n<<2 x b>>c<<d<<99999999 x e>>")
            .expect("valid");
        assert_eq!((&*exchange.target, &*exchange.body), ("/?a&a&a&z", &b"bbc<<d<<99999999 x e>>"[..]));
        let exchange = parse("POST /\nContent-Type: image/png\n\na<<hex CAfe00>>b<<hex x>>").expect("valid");
        assert_eq!(exchange.body, b"a\xca\xfe\0b<<hex x>>");
    }

    #[test]
    fn what_is_not_an_example_is_refused() {
        assert!(matches!(parse("GET"), Err(ExampleError::RequestLine(_))));
        assert!(matches!(parse("GET /\nnonsense"), Err(ExampleError::Field(_))));
        assert_eq!(parse("POST /\n\nbody").err(), Some(ExampleError::ContentType));
        let example = Example { request: None, response: Some("OK".to_owned()) };
        assert!(matches!(Exchange::parse(&example), Err(ExampleError::StatusLine(_))));
    }
}
