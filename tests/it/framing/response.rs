//! Answers of origins: status lines, fields, where they end, and what follows them.

use super::lab::{Row, answered, row};

const TWO: &str =
    "GET /r HTTP/1.1\r\nHost: {h}\r\n\r\nGET /r HTTP/1.1\r\nHost: {h}\r\nConnection: close\r\n\r\n";

pub fn rows() -> Vec<Row> {
    let mut rows = lines();
    rows.extend(fields());
    rows.extend(ends());
    rows
}

fn lines() -> Vec<Row> {
    let line = |what, line: &str, expected| {
        answered("9112 4", what, format!("{line}\r\nContent-Length: 2\r\n\r\nok"), expected).closes()
    };
    vec![
        line("an empty reason", "HTTP/1.1 200 ", "200; 1"),
        line("no reason and no space", "HTTP/1.1 200", "200; 1"),
        line("a status that nobody knows", "HTTP/1.1 299 Odd", "299; 1"),
        line("a status of a class that nobody knows", "HTTP/1.1 799 Odder", "799; 1"),
        line("a status of two digits", "HTTP/1.1 20 OK", "502; 1"),
        line("a status of four digits", "HTTP/1.1 2000 OK", "502; 1"),
        line("a status below 100", "HTTP/1.1 099 OK", "502; 1"),
        line("a status with a sign", "HTTP/1.1 +20 OK", "502; 1"),
        line("a protocol that is not HTTP", "ICY 200 OK", "502; 1"),
        line("another major version", "HTTP/2.0 200 OK", "502; 1"),
        line("HTTP in small letters", "http/1.1 200 OK", "502; 1"),
        line("HTTP/1.0 of an origin", "HTTP/1.0 200 OK", "200; 1").client(["HTTP/1.1 200 OK\r\n"]),
        line("a null in the reason", "HTTP/1.1 200 O\0K", "502; 1"),
        line("a bare CR in the reason", "HTTP/1.1 200 O\rK", "502; 1"),
        answered("9112 4", "an answer that is none", "what do you want?\r\n\r\n", "502; 1").closes(),
        answered("9112 4", "an origin that closes without an answer", "", "502; 1").closes(),
    ]
}

fn fields() -> Vec<Row> {
    let field = |clause, what, lines: &[u8], expected| {
        let reply = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", lines, b"\r\n\r\nok"].concat();
        answered(clause, what, reply, expected).closes()
    };
    vec![
        field("9112 5.2", "an answer's folded line", b"X-A: b\r\n c", "502; 1"),
        field("9112 5.1", "an answer's space before the colon", b"X-A : b", "502; 1"),
        field("9110 5.1", "an answer's empty name", b": b", "502; 1"),
        field("9110 5.5", "an answer's null", b"X-A: b\0c", "502; 1"),
        field("9112 2.2", "an answer's bare CR", b"X-A: b\rSet-Cookie: c", "502; 1"),
        field("9110 5.3", "cookies stay apart", b"Set-Cookie: a=b, c\r\nSet-Cookie: d=e", "200; 1")
            .client(["Set-Cookie: a=b, c\r\nSet-Cookie: d=e\r\n"]),
        field(
            "9110 7.6.1",
            "an answer's fields of one hop",
            b"Connection: X-A\r\nX-A: b\r\nKeep-Alive: 5\r\nX-C: d",
            "200; 1",
        )
        .client(["X-C: d"])
        .not_client(["X-A", "keep-alive"]),
        field(
            "9110 11.7.1",
            "an origin does not ask for the proxy's credentials",
            b"Proxy-Authenticate: Basic",
            "200; 1",
        )
        .not_client(["proxy-authenticate"]),
        field("9110 6.6.1", "an answer without a date gets one", b"X-A: b", "200; 1")
            .client(["\r\nDate: ", " GMT\r\n"]),
        field("9110 6.6.1", "an answer's date is its own", b"Date: some other day", "200; 1")
            .client(["Date: some other day\r\n"])
            .not_client(["GMT"]),
        field("9110 10.2.4", "Server is not invented", b"X-A: b", "200; 1").not_client(["\r\nserver:"]),
        field("9110 10.2.4", "Server is the origin's", b"Server: theirs/1", "200; 1")
            .client(["Server: theirs/1\r\n"]),
        field(
            "9110 8.8",
            "validators pass untouched",
            b"ETag: W/\"a\"\r\nLast-Modified: once\r\nVary: *\r\nAge: 7",
            "200; 1",
        )
        .client(["ETag: W/\"a\"\r\n", "Last-Modified: once\r\n", "Vary: *\r\n", "Age: 7\r\n"]),
        answered(
            "9110 15.3.7",
            "a part passes as a part",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-2/5\r\n\
            Content-Length: 2\r\n\r\nok",
            "206; 1",
        )
        .client(["Content-Range: bytes 1-2/5\r\n", "\r\n\r\nok"]),
    ]
}

fn ends() -> Vec<Row> {
    let framed = |what, lines: &str, body: &str, expected| {
        answered("9112 6.3", what, format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{body}"), expected)
    };
    let chunked = |what, body: &str, expected| framed(what, "Transfer-Encoding: chunked", body, expected);
    vec![
        framed("an answer that ends with its connection", "X-A: b", "until the end", "200; 1").closes().client(["until the end"]),
        framed("an answer's lengths that differ", "Content-Length: 2\r\nContent-Length: 3", "oks", "502; 1"),
        framed("an answer's list of lengths that differ", "Content-Length: 2, 3", "oks", "502; 1"),
        framed("an answer's lengths that are the same", "Content-Length: 2\r\nContent-Length: 2", "ok", "200; 1")
            .client(["Content-Length: 2\r\n", "\r\n\r\nok"])
            .not_client(["2\r\nContent-Length", "2, 2"]),
        framed("an answer's length with a sign", "Content-Length: +2", "ok", "502; 1"),
        framed("an answer's empty length", "Content-Length:", "ok", "502; 1"),
        framed("an answer with chunks and a length", "Content-Length: 50\r\nTransfer-Encoding: chunked", "2\r\nok\r\n0\r\n\r\n", "200; 1")
            .not_client(["Content-Length: 50"])
            .client(["ok"]),
        framed("an answer with a coding that nobody asked for", "Transfer-Encoding: gzip, chunked", "2\r\nok\r\n0\r\n\r\n", "502; 1"),
        framed("an answer with a coding and no chunks", "Transfer-Encoding: gzip", "ok", "502; 1").closes(),
        framed("an answer shorter than its length", "Content-Length: 9", "ok", "broken; 1").closes(),
        chunked("an answer's chunks", "2\r\nok\r\n0\r\n\r\n", "200; 1").client(["ok"]),
        chunked("an answer's chunk extensions go no further", "2;name=x\r\nok\r\n0\r\n\r\n", "200; 1").client(["ok"]).not_client(["name"]),
        chunked("an answer without its last chunk", "2\r\nok\r\n", "broken; 1").closes(),
        chunked("an answer with a broken chunk", "2\r\nokXX0\r\n\r\n", "broken; 1").closes(),
        chunked("an answer with a chunk size that is none", "xyz\r\nok\r\n0\r\n\r\n", "broken; 1").closes(),
        chunked("an answer's trailer never frames", "2\r\nok\r\n0\r\nContent-Length: 99\r\nSet-Cookie: a\r\n\r\n", "200; 1")
            .not_client(["99", "Set-Cookie"]),
        answered("9112 6.1", "an HTTP/1.0 origin has no chunks", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "502; 1").closes(),
        answered("9110 8.6", "204 has no length", "HTTP/1.1 204 No Content\r\n\r\n", "204; 1").not_client(["content-length", "transfer-encoding"]),
        answered("9110 15.4.5", "304 keeps its length and has no body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", "304; 1"),
        row("9110 9.3.2", "an answer to HEAD keeps its length and has no body", "HEAD /r HTTP/1.1\r\nHost: {h}\r\n\r\n", "200; 1")
            .reply("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
            .client(["Content-Length: 500\r\n"]),
        row("9110 9.3.2", "an answer to HEAD with chunks has no body", "HEAD /r HTTP/1.1\r\nHost: {h}\r\n\r\n", "200; 1")
            .reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .not_client(["0\r\n\r\n"]),
        row("9112 6.3", "a body behind 204 is not the next answer", TWO, "204 204; 2")
            .reply("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
            .connections(2)
            .not_client(["poison"]),
        row("9112 6.3", "an answer behind an answer is not the next one", TWO, "200 200; 2")
            .reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
            .connections(2)
            .not_client(["poison"]),
        row("9112 9.6", "an origin that closes is not asked again", TWO, "200 200; 2")
            .reply("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .closes()
            .connections(2),
        row("9112 9.3", "an origin that keeps its connection is asked again", TWO, "200 200; 2").connections(1),
        answered(
            "9110 15.2",
            "an interim answer is passed on",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "103 200; 1",
        ),
        answered("9110 15.2", "an interim answer is never the answer", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200; 1"),
    ]
}
