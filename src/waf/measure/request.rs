//! A request of bytes: what an attacker sends need not be text. It is read from the bytes of a
//! message or put together around a value, and then played as live traffic is.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::waf::Engine;
use crate::waf::input::{ConnectionFacts, Field, RequestHead};
use crate::waf::transaction::Transaction;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: Vec<u8>,
    pub protocol: String,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// As it is sent, under its content coding.
    pub body: Vec<u8>,
}

/// Why bytes are no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("a request's first line is `METHOD target`, not `{0}`")]
    RequestLine(String),
    #[error("`{0}` is not a header line `Name: value`")]
    Field(String),
}

/// What a browser sends with everything.
const USUAL: &[(&str, &str)] = &[
    ("Host", "example.test"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
];

impl Request {
    /// A GET as browsers send it.
    pub fn get(target: &[u8]) -> Request {
        let usual = USUAL.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        Request {
            method: "GET".to_owned(),
            target: target.to_vec(),
            protocol: "HTTP/1.1".to_owned(),
            fields: usual.collect(),
            body: Vec::new(),
        }
    }

    /// A POST as browsers send it.
    pub fn post(target: &str, content_type: &str, body: Vec<u8>) -> Request {
        let mut request = Request::get(target.as_bytes());
        request.method = "POST".to_owned();
        let mut request = request.with("Content-Type", content_type.as_bytes());
        request.set_body(body);
        request
    }

    /// The same with this field instead of those of its name.
    pub fn with(mut self, name: &str, value: &[u8]) -> Request {
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_bytes()));
        self.fields.push((name.as_bytes().to_vec(), value.to_vec()));
        self
    }

    /// Another body, and its length.
    pub fn set_body(&mut self, body: Vec<u8>) {
        self.fields.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"));
        self.fields.push((b"Content-Length".to_vec(), body.len().to_string().into_bytes()));
        self.body = body;
    }

    /// A whole request as bytes, lines ended by CRLF or LF. `Host` and `Content-Length` are added
    /// when they are missing, an absolute-form target loses what stands before its path, and the
    /// body ends where its framing says.
    pub fn parse(bytes: &[u8]) -> Result<Request, RequestError> {
        let (first, mut rest) = line(bytes);
        let refuse = || RequestError::RequestLine(shown(first));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| refuse());
        let at = first.iter().position(|byte| *byte == b' ').ok_or_else(refuse)?;
        let (method, target) = (&first[..at], &first[at + 1..]);
        let (target, protocol) = match target.iter().rposition(|byte| *byte == b' ') {
            Some(at) if target[at + 1..].starts_with(b"HTTP/") => (&target[..at], &target[at + 1..]),
            _ => (target, &b"HTTP/1.1"[..]),
        };
        if method.is_empty() || target.is_empty() {
            return Err(refuse());
        }
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (next, after) = line(rest);
            rest = after;
            if next.is_empty() {
                break;
            }
            let colon = next.iter().position(|byte| *byte == b':').filter(|at| *at > 0);
            let colon = colon.ok_or_else(|| RequestError::Field(shown(next)))?;
            fields.push((next[..colon].to_vec(), next[colon + 1..].trim_ascii().to_vec()));
        }
        let mut request = Request {
            method: text(method)?,
            target: origin_form(target).to_vec(),
            protocol: text(protocol)?,
            fields,
            body: rest.to_vec(),
        };
        if request.field("host").is_none() {
            request.fields.insert(0, (b"Host".to_vec(), b"example.test".to_vec()));
        }
        let framed =
            request.field("content-length").is_some() || request.field("transfer-encoding").is_some();
        let expected = matches!(&*request.method, "POST" | "PUT" | "PATCH");
        if !framed && (!request.body.is_empty() || expected) {
            request.set_body(rest.to_vec());
        }
        request.unframe();
        Ok(request)
    }

    /// Takes chunks apart, and cuts off what the length leaves out: that would be another request.
    /// A body whose framing is broken stays as it is.
    fn unframe(&mut self) {
        let chunked = self
            .field("transfer-encoding")
            .is_some_and(|codings| codings.trim_ascii().to_ascii_lowercase().ends_with(b"chunked"));
        if chunked {
            if let Some(body) = unchunked(&self.body) {
                self.body = body;
            }
            return;
        }
        let length =
            self.field("content-length").and_then(|length| std::str::from_utf8(length).ok()?.parse().ok());
        self.body.truncate(length.unwrap_or(usize::MAX));
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| &value[..])
    }

    /// Begins the exchange and shows its head. The body is the caller's to show, decoded.
    pub fn begin(&self, engine: &Arc<Engine>) -> Transaction {
        let host = String::from_utf8_lossy(self.field("host").unwrap_or_default()).to_ascii_lowercase();
        let (host, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() && !port.contains(']') => {
                (name, port.parse().unwrap_or(443))
            }
            _ => (&*host, 443),
        };
        let facts = ConnectionFacts {
            client_ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            client_port: 40_000,
            server_ip: Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1))),
            server_port: port,
            sni: Some(host),
            identity: None,
            unix_ms: 0,
            unique_id: "MEASURED",
        };
        let mut transaction = engine.begin(&facts);
        let fields: Vec<Field> = self.fields.iter().map(|(name, value)| Field { name, value }).collect();
        transaction.request_headers(&RequestHead {
            method: &self.method,
            target: &self.target,
            protocol: &self.protocol,
            scheme: "https",
            host,
            port,
            fields: &fields,
        });
        transaction
    }
}

/// What the origin is asked for: path and query.
fn origin_form(target: &[u8]) -> &[u8] {
    for scheme in [&b"http://"[..], b"https://"] {
        if target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)) {
            let rest = &target[scheme.len()..];
            return rest.iter().position(|byte| *byte == b'/').map_or(b"/", |at| &rest[at..]);
        }
    }
    target
}

/// The chunks' data (RFC 9112 section 7.1).
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let (head, after) = line(rest);
        let size = head.split(|byte| *byte == b';').next()?.trim_ascii();
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            return Some(out);
        }
        out.extend_from_slice(after.get(..size)?);
        rest = line(&after[size..]).1;
    }
}

fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match memchr::memchr(b'\n', bytes) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &b""[..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

fn shown(bytes: &[u8]) -> String {
    crate::waf::explain::shown(bytes, 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_from_bytes() {
        let request =
            Request::parse(b"POST /a b?\xff HTTP/1.0\r\nX-A: 1 \r\nCookie:\r\n\r\n\x00body").expect("valid");
        assert_eq!(
            (&*request.method, &request.target[..], &*request.protocol),
            ("POST", &b"/a b?\xff"[..], "HTTP/1.0")
        );
        assert_eq!((request.field("x-a"), request.field("COOKIE")), (Some(&b"1"[..]), Some(&b""[..])));
        assert_eq!((request.field("content-length"), &request.body[..]), (Some(&b"5"[..]), &b"\x00body"[..]));
        assert_eq!(request.field("host"), Some(&b"example.test"[..]));
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let body = |text: &str| Request::parse(text.as_bytes()).expect("valid").body;
        assert_eq!(body("POST /\nContent-Length: 3\n\nabcdef"), b"abc");
        assert_eq!(body("POST /\nContent-Length: 9\n\nabc"), b"abc");
        assert_eq!(
            body("POST /\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"),
            b"abcde"
        );
        assert_eq!(body("POST /\nTransfer-Encoding: chunked\n\nzz"), b"zz");
    }

    #[test]
    fn a_target_is_what_the_origin_is_asked_for() {
        for (target, expect) in
            [("http://a.test/b?c", "/b?c"), ("HTTPS://a.test", "/"), ("*", "*"), ("/x", "/x")]
        {
            let request = Request::parse(format!("GET {target}").as_bytes()).expect("valid");
            assert_eq!(request.target, expect.as_bytes());
        }
    }

    #[test]
    fn bytes_that_are_no_request_are_refused() {
        assert_eq!(Request::parse(b"GET"), Err(RequestError::RequestLine("GET".into())));
        assert_eq!(Request::parse(b"GET /\nnonsense"), Err(RequestError::Field("nonsense".into())));
    }

    #[test]
    fn a_field_replaces_those_of_its_name() {
        let request = Request::get(b"/").with("user-agent", b"x");
        assert_eq!(
            request.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"user-agent")).count(),
            1
        );
        assert_eq!(request.field("User-Agent"), Some(&b"x"[..]));
    }
}
