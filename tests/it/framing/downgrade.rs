//! HTTP/2 in, HTTP/1.1 out: what is harmless between length-prefixed frames is a line of its own in HTTP/1.1. The
//! frames are written by hand, because no client library sends them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::lab::{Kind, answer, messages};
use super::table;
use crate::support::client::{Client, Entry};
use crate::support::origin::Raw;
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Http, within};

type Field = (&'static [u8], &'static [u8]);

struct Case {
    clause: &'static str,
    what: &'static str,
    fields: Vec<Field>,
    body: Option<&'static [u8]>,
    trailers: Vec<Field>,
    refused: bool,
}

const METHOD: Field = (b":method", b"GET");
const SCHEME: Field = (b":scheme", b"https");
const AUTHORITY: Field = (b":authority", b"origin.test");
const PATH: Field = (b":path", b"/d");

/// A request with `fields` behind the usual four, or in the place of one of the same name.
fn case(clause: &'static str, what: &'static str, fields: &[Field], refused: bool) -> Case {
    let mut all = vec![METHOD, SCHEME, AUTHORITY, PATH];
    for field in fields {
        match all.iter_mut().find(|known| known.0 == field.0 && field.0.starts_with(b":")) {
            Some(known) => *known = *field,
            None => all.push(*field),
        }
    }
    Case { clause, what, fields: all, body: None, trailers: Vec::new(), refused }
}

fn exactly(clause: &'static str, what: &'static str, fields: &[Field]) -> Case {
    Case { clause, what, fields: fields.to_vec(), body: None, trailers: Vec::new(), refused: true }
}

fn with_body(what: &'static str, fields: &[Field], body: &'static [u8], refused: bool) -> Case {
    let mut case = case("9113 8.1.1", what, fields, refused);
    case.fields[0] = (b":method", b"POST");
    case.body = Some(body);
    case
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("9113 8.3.1", "a request as it should be", &[(b"x-a", b"b")], false),
        case("9113 8.2.3", "crumbs of a cookie", &[(b"cookie", b"a=b"), (b"cookie", b"c=d")], false),
        case("9113 8.2.2", "te may ask for trailers", &[(b"te", b"trailers")], false),
        case("9113 8.3.1", "Host that says the same", &[(b"host", b"origin.test")], false),
        with_body("a body as long as its length", &[(b"content-length", b"3")], b"abc", false),
        with_body("a body longer than its length", &[(b"content-length", b"2")], b"abc", true),
        with_body("a body shorter than its length", &[(b"content-length", b"5")], b"abc", true),
        with_body("two lengths", &[(b"content-length", b"3"), (b"content-length", b"4")], b"abc", true),
        with_body("a length that is none", &[(b"content-length", b"+3")], b"abc", true),
        with_body(
            "a length and a transfer coding",
            &[(b"content-length", b"3"), (b"transfer-encoding", b"chunked")],
            b"abc",
            true,
        ),
        exactly("9113 8.3.1", "no :method", &[SCHEME, AUTHORITY, PATH]),
        exactly("9113 8.3.1", "no :path", &[METHOD, SCHEME, AUTHORITY]),
        exactly("9113 8.3.1", "no :scheme", &[METHOD, AUTHORITY, PATH]),
        exactly("9113 8.3.1", "neither :authority nor Host", &[METHOD, SCHEME, PATH]),
        exactly("9113 8.3.1", "two :path", &[METHOD, SCHEME, AUTHORITY, PATH, (b":path", b"/e")]),
        exactly(
            "9113 8.3.1",
            "two :authority",
            &[METHOD, SCHEME, AUTHORITY, (b":authority", b"evil.test"), PATH],
        ),
        exactly(
            "9113 8.3",
            "a pseudo-field behind a field",
            &[METHOD, SCHEME, AUTHORITY, (b"x-a", b"b"), PATH],
        ),
        exactly("9113 8.5", "CONNECT with :path", &[(b":method", b"CONNECT"), SCHEME, AUTHORITY, PATH]),
        exactly("9113 8.5", "CONNECT without :authority", &[(b":method", b"CONNECT")]),
        case("9113 8.3", "a pseudo-field that nobody knows", &[(b":odd", b"b")], true),
        case("9113 8.3", "a response's pseudo-field", &[(b":status", b"200")], true),
        case("9113 8.3.1", "Host other than :authority", &[(b"host", b"evil.test")], true),
        case("9113 8.3.1", "two Hosts", &[(b"host", b"origin.test"), (b"host", b"evil.test")], true),
        case("9113 8.3.1", "a scheme that nobody knows", &[(b":scheme", b"ftp")], true),
        case(
            "9113 8.3.1",
            "a scheme that is not the connection's",
            &[(b":scheme", b"http"), (b":authority", b"origin.test:443")],
            true,
        ),
    ];
    for (what, name) in [
        ("a name in capitals", &b"X-A"[..]),
        ("a name with CR", b"x\ra"),
        ("a name with LF", b"x\na"),
        ("a name with a line", b"x: b\r\nhost"),
        ("a name with a null", b"x\0a"),
        ("a name with a colon", b"x:a"),
        ("a name with a space", b"x a"),
        ("a name with a byte above 127", b"x\xe4"),
        ("an empty name", b""),
    ] {
        cases.push(case("9113 8.2.1", what, &[(name, b"b")], true));
    }
    for (what, value) in [
        ("a value with CR", &b"b\rc"[..]),
        ("a value with LF", b"b\nc"),
        ("a value with a line", b"b\r\nx-evil: c"),
        ("a value with a request", b"b\r\n\r\nGET /evil HTTP/1.1\r\nHost: origin.test\r\n\r\n"),
        ("a value with a null", b"b\0c"),
        ("a value that begins with a space", b" b"),
        ("a value that ends in a tab", b"b\t"),
    ] {
        cases.push(case("9113 8.2.1", what, &[(b"x-a", value)], true));
    }
    for (what, name, value) in [
        (":path with a space", &b":path"[..], &b"/d HTTP/1.1\r\nx: y"[..]),
        (":path with a line", b":path", b"/d\r\nx-evil: c"),
        (":path with a null", b":path", b"/d\0"),
        (":path with a bare space", b":path", b"/d e"),
        (":path that is empty", b":path", b""),
        (":path without a slash", b":path", b"d"),
        (":path in absolute-form", b":path", b"https://evil.test/d"),
        (":path that is an asterisk", b":path", b"*"),
        (":method with a space", b":method", b"GET /evil HTTP/1.1"),
        (":method with a line", b":method", b"GET\r\nx-evil: c"),
        (":method that is empty", b":method", b""),
        (":method with a colon", b":method", b"GE:T"),
        (":authority with a line", b":authority", b"origin.test\r\nx-evil: c"),
        (":authority with a space", b":authority", b"origin.test evil.test"),
        (":authority with a null", b":authority", b"origin.test\0"),
        (":authority with user information", b":authority", b"user@origin.test"),
        (":authority with a path", b":authority", b"origin.test/evil"),
        (":authority that is empty", b":authority", b""),
        (":scheme with a line", b":scheme", b"https://evil.test/\r\nx-evil: c"),
    ] {
        cases.push(case("9113 8.3.1", what, &[(name, value)], true));
    }
    for (what, name, value) in [
        ("connection", &b"connection"[..], &b"x-a"[..]),
        ("proxy-connection", b"proxy-connection", b"keep-alive"),
        ("keep-alive", b"keep-alive", b"5"),
        ("transfer-encoding", b"transfer-encoding", b"chunked"),
        ("upgrade", b"upgrade", b"websocket"),
        ("te with something else", b"te", b"gzip"),
    ] {
        cases.push(case("9113 8.2.2", what, &[(name, value)], true));
    }
    for (what, trailer) in [
        ("a trailer with a line", (&b"x-a"[..], &b"b\r\nx-evil: c"[..])),
        ("a trailer that is a pseudo-field", (b":path", b"/evil")),
        ("a trailer in capitals", (b"X-A", b"b")),
    ] {
        let mut case = with_body(what, &[], b"abc", true);
        case.clause = "9113 8.1";
        case.trailers.push(trailer);
        cases.push(case);
    }
    cases
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// Literals without indexing and without Huffman's code (RFC 7541 section 6.2.2).
fn block(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            out.push(text.len() as u8);
            out.extend(*text);
        }
    }
    out
}

/// What the proxy does with one request: its status, a reset of the stream, or the end of the connection.
async fn ask(proxy: &Proxy, case: &Case) -> String {
    let client = Client::new(Entry::HttpProxy, proxy);
    let mut stream = client.tls("origin.test", 443, &[Http::H2]).await.unwrap();
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    out.extend(frame(4, 0, 0, &[]));
    let last = case.body.is_none();
    out.extend(frame(1, 4 | u8::from(last), 1, &block(&case.fields)));
    if let Some(body) = case.body {
        out.extend(frame(0, u8::from(case.trailers.is_empty()), 1, body));
        if !case.trailers.is_empty() {
            out.extend(frame(1, 5, 1, &block(&case.trailers)));
        }
    }
    let _ = stream.write_all(&out).await;
    let _ = stream.flush().await;
    within(case.what, async {
        let mut head = [0; 9];
        loop {
            if stream.read_exact(&mut head).await.is_err() {
                return "closed".to_owned();
            }
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; len];
            if stream.read_exact(&mut payload).await.is_err() {
                return "closed".to_owned();
            }
            match head[3] {
                3 => return "reset".to_owned(),
                7 => return "goaway".to_owned(),
                // :status 200 and 400 are one byte each (RFC 7541 appendix A), behind a size update at most.
                1 => {
                    let status = payload.iter().find(|byte| **byte & 0xe0 != 0x20);
                    return match status {
                        Some(0x88) => "200".to_owned(),
                        Some(0x8c) => "400".to_owned(),
                        other => format!("status {other:?} in {}", String::from_utf8_lossy(&payload)),
                    };
                }
                _ => {}
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
pub async fn framing_of_http_2_that_would_break_http_1_1_never_reaches_an_origin() {
    let origin = Raw::tls("origin.test", |wire, _| {
        answer(wire, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(), false)
    })
    .await;
    let proxy = Setup::new().raw(&origin).arg("--no-core-rules").start().await;
    let (mut lines, mut counted) = (Vec::new(), 0);
    for case in cases() {
        let before: Vec<usize> = origin.received().iter().map(Vec::len).collect();
        let told = ask(&proxy, &case).await;
        let mut fresh = Vec::new();
        for (index, bytes) in origin.received().into_iter().enumerate() {
            fresh.extend_from_slice(&bytes[before.get(index).copied().unwrap_or(0)..]);
        }
        let whole = messages(&fresh, Kind::Request).iter().filter(|m| m.complete).count();
        counted += whole;
        let text = String::from_utf8_lossy(&fresh).into_owned();
        // A body that turns out wrong may have begun to stream; a head that is wrong has nothing to show.
        let nothing =
            if case.body.is_some() { whole == 0 && !text.contains("evil") } else { text.is_empty() };
        let seen = match (told.as_str(), nothing) {
            ("400" | "reset" | "goaway" | "closed", true) => "refused".to_owned(),
            ("200", false) if whole == 1 && !text.contains("evil") => "passed".to_owned(),
            _ => format!("{told}, at the origin: {text:?}"),
        };
        let seen = match case.what {
            "crumbs of a cookie" if !text.contains("cookie: a=b; c=d\r\n") => format!("not joined: {text:?}"),
            _ => seen,
        };
        let expected = if case.refused { "refused" } else { "passed" };
        lines.push([case.clause.into(), case.what.into(), expected.into(), seen]);
    }
    let failed = table("HTTP/2 to HTTP/1.1", &lines, &[]);
    println!("{} cases from HTTP/2 to HTTP/1.1, {} failed", lines.len(), failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(lines.len() >= 60);
    // What was still on its way when a client had its answer would be here by now.
    let received = origin.received();
    let all: usize = received.iter().map(|bytes| messages(bytes, Kind::Request).len()).sum();
    assert_eq!(all, counted, "requests that came late");
    assert!(!String::from_utf8_lossy(&received.concat()).contains("evil"));
}
