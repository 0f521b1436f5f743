//! Origins that break HTTP/2, or make the most of it: the client is told by a status that is true or by a stream that
//! breaks off, never by an answer that only looks whole; a request that may have been acted on is not sent again (what
//! is in origin_again.rs); a connection whose state nobody knows is used no more.

use std::sync::Arc;

use crate::support::client::{Client, Entry, request};
use crate::support::frames::*;
use crate::support::origin::{Raw, Wire};
use crate::support::proxy::Setup;
use crate::support::{Http, within};

/// `:status: 200` (RFC 7541 appendix A).
const OK: u8 = 0x88;

fn requests(received: &[Vec<u8>]) -> usize {
    received.iter().flat_map(|bytes| came(bytes)).filter(|(kind, _)| *kind == HEADERS).count()
}

struct Case {
    what: &'static str,
    method: &'static str,
    /// What the first request gets, as frames; and the connection's end behind them.
    reply: Vec<u8>,
    ends: bool,
    /// Status, requests at the origin; status of a second request, and whether it went over a new connection.
    expected: &'static str,
}

fn case(what: &'static str, reply: Vec<u8>, expected: &'static str) -> Case {
    Case { what, method: "POST", reply, ends: false, expected }
}

impl Case {
    fn ends(mut self) -> Case {
        self.ends = true;
        self
    }

    fn get(mut self) -> Case {
        self.method = "GET";
        self
    }
}

fn goaway(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

fn rst(code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, 1, &code.to_be_bytes())
}

fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields = fields.iter().flat_map(|(name, value)| literal(0, name, value));
    frame(HEADERS, END_HEADERS, 1, &std::iter::once(OK).chain(fields).collect::<Vec<u8>>())
}

fn without_status(block: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, block)
}

fn data(flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, flags, 1, bytes)
}

fn cases() -> Vec<Case> {
    let long = |len: usize| {
        let block: Vec<u8> = [&[OK][..], &literal(0, "x-long", &"l".repeat(len))].concat();
        let mut parts = block.chunks(16_000).peekable();
        let mut out = frame(HEADERS, 0, 1, parts.next().unwrap());
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_none() { END_HEADERS } else { 0 };
            out.extend(frame(CONTINUATION, flags, 1, part));
        }
        [out, data(END_STREAM, b"ok")].concat()
    };
    let whole = || [head(&[]), data(END_STREAM, b"ok")].concat();
    vec![
        case("an answer as it should be", whole(), "200, 1 request; 200, kept"),
        case("GOAWAY that leaves the request out", goaway(0, 0), "200, 2 requests; 200, any"),
        case("GOAWAY that leaves the request out", goaway(0, 0), "200, 2 requests; 200, any").get(),
        case("GOAWAY with an error that leaves it out", goaway(0, 11), "200, 2 requests; 200, any"),
        case("GOAWAY behind the request, then the end", goaway(1, 0), "502, 1 request; 200, new").ends(),
        case("GOAWAY with an error, then the end", goaway(1, 2), "502, 1 request; 200, new").ends(),
        case("GOAWAY with an error, then nothing", goaway(1, 2), "504, 1 request; 200, new"),
        case(
            "GOAWAY in the middle of the answer, which goes on",
            [head(&[]), goaway(1, 0), data(END_STREAM, b"ok")].concat(),
            "200, 1 request; 200, new",
        ),
        case(
            "GOAWAY in the middle of the answer, then the end",
            [head(&[]), data(0, b"half"), goaway(1, 0)].concat(),
            "broken, 1 request; 200, new",
        )
        .ends(),
        case("RST_STREAM, cancelled", rst(8), "502, 1 request; 200, kept"),
        case("RST_STREAM, refused", rst(7), "200, 2 requests; 200, kept"),
        case("RST_STREAM with no error", rst(0), "502, 1 request; 200, kept"),
        case(
            "RST_STREAM in the answer",
            [head(&[]), data(0, b"half"), rst(8)].concat(),
            "broken, 1 request; 200, kept",
        ),
        case("the end in the answer", [head(&[]), data(0, b"half")].concat(), "broken, 1 request; 200, new")
            .ends(),
        case("the end before the answer", Vec::new(), "502, 1 request; 200, new").ends(),
        case(
            "less than its length",
            [head(&[("content-length", "10")]), data(END_STREAM, b"five.")].concat(),
            "broken, 1 request; 200, kept",
        ),
        case(
            "more than its length",
            [head(&[("content-length", "2")]), data(END_STREAM, b"five.")].concat(),
            "broken, 1 request; 200, kept",
        ),
        case(
            "two lengths",
            [head(&[("content-length", "2"), ("content-length", "5")]), data(END_STREAM, b"five.")].concat(),
            "502, 1 request; 200, kept",
        ),
        case("a head of 300 KB", long(300_000), "502, 1 request; 200, new"),
        case("no status", without_status(&literal(0, "x-a", "b")), "502, 1 request; 200, kept"),
        case(
            "a status that is none",
            without_status(&literal(0, ":status", "2x0")),
            "502, 1 request; 200, new",
        ),
        // Malformed (RFC 9113 section 8.3), but the library leaves it out and goes on; nothing of it gets to the client.
        case(
            "a request's pseudo-field",
            [head(&[(":path", "/")]), data(END_STREAM, b"ok")].concat(),
            "200, 1 request; 200, kept",
        ),
        case("a name in capitals", head(&[("X-A", "b")]), "502, 1 request; 200, new"),
        case("a value with a line", head(&[("x-a", "b\r\nx-evil: c")]), "502, 1 request; 200, new"),
        case("connection", head(&[("connection", "close")]), "502, 1 request; 200, kept"),
        case("transfer-encoding", head(&[("transfer-encoding", "chunked")]), "502, 1 request; 200, kept"),
        case(
            "PUSH_PROMISE",
            frame(5, END_HEADERS, 1, &[&2u32.to_be_bytes()[..], &asks("GET", "/pushed")].concat()),
            "502, 1 request; 200, new",
        ),
        case("PING of six bytes", frame(PING, 0, 0, &[0; 6]), "502, 1 request; 200, new"),
        case("HEADERS on stream 0", frame(HEADERS, END_HEADERS, 0, &[OK]), "502, 1 request; 200, new"),
        case(
            "HEADERS on a stream that nobody opened",
            frame(HEADERS, END_HEADERS, 99, &[OK]),
            "502, 1 request; 200, new",
        ),
        case(
            "a field block that is none",
            frame(HEADERS, END_HEADERS, 1, &[0xff; 9]),
            "502, 1 request; 200, new",
        ),
        case(
            "SETTINGS beyond their bounds",
            frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0, 0, 0]),
            "502, 1 request; 200, new",
        ),
        case("a frame longer than we allow", frame(DATA, 0, 1, &[0; 20_000]), "502, 1 request; 200, new"),
        case(
            "HTTP/1.1 instead",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
            "502, 1 request; 200, new",
        ),
        case(
            "a window beyond its bound",
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes()),
            "502, 1 request; 200, new",
        ),
        case(
            "20,000 SETTINGS before the answer",
            [frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(20_000), whole()].concat(),
            "200, 1 request; 200, kept",
        ),
        case(
            "20,000 PINGs before the answer",
            [ping(7).repeat(20_000), whole()].concat(),
            "200, 1 request; 200, kept",
        ),
        case(
            "DATA behind the answer's end",
            [whole(), data(0, b"more")].concat(),
            "200, 1 request; 200, any",
        ),
    ]
}

/// Serves HTTP/2 by hand: the first request of the first connection gets `reply`, every other a good answer.
async fn serve(mut wire: Wire, first: bool, reply: Vec<u8>, ends: bool) {
    let mut all = Vec::new();
    let mut answered = 0;
    if !wire.write(frame(SETTINGS, 0, 0, &[])).await {
        return;
    }
    while let Some(part) = wire.read().await {
        all.extend(part);
        let asked: Vec<u32> =
            came(&all).into_iter().filter(|(kind, _)| *kind == HEADERS).map(|(_, stream)| stream).collect();
        for stream in &asked[answered..] {
            answered += 1;
            if first && answered == 1 {
                wire.write(&reply).await;
                if ends {
                    return wire.shutdown().await;
                }
            } else {
                let head = frame(HEADERS, END_HEADERS, *stream, &[OK]);
                wire.write([head, frame(DATA, END_STREAM, *stream, b"ok")].concat()).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_that_break_http_2_break_their_own_answer_and_nothing_else() {
    let cases = cases();
    let mut failed = Vec::new();
    for case in &cases {
        let reply = Arc::new(case.reply.clone());
        let ends = case.ends;
        let origin = Raw::tls_for(Http::H2, "origin.test", move |wire, index| {
            let reply = Arc::clone(&reply);
            async move { serve(wire, index == 0, reply.to_vec(), ends).await }
        })
        .await;
        // An origin that says nothing more is waited for this long.
        let limits = "[limits]\nfirst_byte_time = \"5s\"\nbody_idle = \"5s\"";
        let proxy = Setup::new().raw(&origin).arg("--no-core-rules").config(limits).start().await;
        let mut connection =
            Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H2).await.unwrap();
        let before = proxy.rss();
        let ask = request(case.method, "https://origin.test/first", &[], "");
        let first = match within(case.what, connection.try_send(ask)).await {
            Ok(answer) => answer.status.as_u16().to_string(),
            Err(_) => "broken".to_owned(),
        };
        let asked = requests(&origin.received());
        let connections = origin.connections();
        let ask = request("GET", "https://origin.test/second", &[], "");
        let second = match within(case.what, connection.try_send(ask)).await {
            Ok(answer) => answer.status.as_u16().to_string(),
            Err(error) => format!("{error:?}"),
        };
        let way = match origin.connections() > connections {
            _ if case.expected.ends_with("any") => "any",
            true => "new",
            false => "kept",
        };
        let noun = if asked == 1 { "request" } else { "requests" };
        let grown = proxy.peak_rss().saturating_sub(before) >> 20;
        let mut seen = format!("{first}, {asked} {noun}; {second}, {way}");
        if grown >= 16 {
            seen.push_str(&format!(", {grown} MiB of memory"));
        }
        let mark = if seen == case.expected { "ok" } else { "FAIL" };
        println!("{mark:<4} {:<4} {:<50} {:<32} {seen}", case.method, case.what, case.expected);
        if seen != case.expected {
            failed.push(format!("{}: expected {}, seen {seen}", case.what, case.expected));
        }
    }
    println!("{} ways to break HTTP/2 as an origin, {} failed", cases.len(), failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
