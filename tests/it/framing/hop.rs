//! What ends at a proxy and what it adds: Connection, Via, TE, Max-Forwards, Expect, Upgrade, HTTP/1.0.

use super::lab::{Row, post, row};

pub fn rows() -> Vec<Row> {
    let mut rows = fields();
    rows.extend(last_hops());
    rows.extend(versions());
    rows
}

fn fields() -> Vec<Row> {
    let field =
        |clause, what, lines: &str, expected| post(clause, what, format!("{lines}\r\n\r\n"), expected);
    vec![
        field("9110 7.6.1", "fields that Connection names end here", "Connection: X-A, x-b\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3", "200; 1")
            .origin(["X-C: 3"])
            .not_origin(["X-A", "X-B"]),
        field("9110 7.6.1", "Connection in two fields", "Connection: X-A\r\nConnection: X-B\r\nX-A: 1\r\nX-B: 2", "200; 1")
            .not_origin(["X-A", "X-B"]),
        field("9110 7.6.1", "Keep-Alive and Proxy-Connection end here", "Keep-Alive: 5\r\nProxy-Connection: keep-alive", "200; 1")
            .not_origin(["keep-alive"]),
        post("9110 7.6.1", "Connection takes out no framing", "Connection: Transfer-Encoding, Content-Length\r\n\
            Content-Length: 3\r\n\r\nabc", "200; 1").origin(["Content-Length: 3", "abc"]),
        post("9110 7.6.1", "Connection takes out no chunks", "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\nabc\r\n0\r\n\r\n", "200; 1").origin(["abc"]),
        field("9110 7.6.1", "Connection takes out no routing", "Connection: Host, Authorization, Cookie\r\nAuthorization: a\r\nCookie: b=c", "200; 1")
            .origin(["Host: {h}", "Authorization: a", "Cookie: b=c"]),
        field("9110 10.1.4", "TE ends here", "TE: gzip;q=0.5, deflate\r\nConnection: TE", "200; 1").not_origin(["TE:"]),
        field("9110 10.1.4", "TE may ask for trailers", "TE: trailers, gzip\r\nConnection: TE", "200; 1")
            .origin(["TE: trailers\r\n"])
            .not_origin(["gzip"]),
        field("9110 11.7.2", "credentials for the proxy end here", "Proxy-Authorization: Basic Y2FuYXJ5", "200; 1").not_origin(["Y2FuYXJ5"]),
        field("9110 7.6.3", "Via is added", "X-A: b", "200; 1").origin(["Via: 1.1 portward-"]).client(["Via: 1.1 portward-"]),
        field("9110 7.6.3", "Via is added behind those before", "Via: 1.0 fred, 1.1 p.test", "200; 1")
            .origin(["Via: 1.0 fred, 1.1 p.test\r\nVia: 1.1 portward-"]),
        row("9110 7.6.3", "Via tells the version that came", "GET /r HTTP/1.0\r\nHost: {h}\r\n\r\n", "200; 1").origin(["Via: 1.0 portward-"]),
        field("9110 7.8", "an upgrade that we do not know is not offered", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, IRC/6.9\r\n\
            HTTP2-Settings: AAMAAABk", "200; 1").not_origin(["upgrade", "h2c", "settings"]),
        row("9110 7.8", "an upgrade that was refused is a plain answer", "GET /r HTTP/1.1\r\nHost: {h}\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\
            GET /second HTTP/1.1\r\nHost: {h}\r\n\r\n", "200 200; 2").connections(2),
        row("9110 15.2.2", "a change of protocol that nobody asked for", "GET /r HTTP/1.1\r\nHost: {h}\r\n\r\n", "502; 1")
            .reply("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
        field("9110 10.1.1", "an expectation that nobody knows", "Expect: miracles", "417; 0"),
        post("9110 10.1.1", "100-continue is answered", "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\nabc", "100 200; 1").origin(["abc"]),
        row("9110 10.1.1", "100-continue in HTTP/1.0 is ignored", "POST /r HTTP/1.0\r\nHost: {h}\r\nExpect: 100-continue\r\n\
            Content-Length: 3\r\n\r\nabc", "200; 1").not_client(["HTTP/1.1 100"]),
    ]
}

fn last_hops() -> Vec<Row> {
    let ask = |what, method: &str, value: &str, expected| {
        let text = format!(
            "{method} /r HTTP/1.1\r\nHost: {{h}}\r\nMax-Forwards: {value}\r\nX-A: b\r\nCookie: canary\r\n\r\n"
        );
        row("9110 7.6.2", what, text, expected)
    };
    vec![
        ask("OPTIONS may go no further", "OPTIONS", "0", "200; 0").client(["Content-Length: 0\r\n"]),
        ask("OPTIONS is counted down", "OPTIONS", "10", "200; 1").origin(["Max-Forwards: 9\r\n"]),
        ask("TRACE may go no further", "TRACE", "0", "200; 0")
            .client(["Content-Type: message/http\r\n", "\r\n\r\nTRACE /r HTTP/1.1\r\n", "X-A: b\r\n"])
            .not_client(["canary"]),
        ask("TRACE is counted down", "TRACE", "1", "200; 1").origin(["Max-Forwards: 0\r\n"]),
        ask("Max-Forwards beyond what fits", "OPTIONS", "99999999999", "200; 1")
            .origin(["Max-Forwards: 4294967294\r\n"]),
        ask("Max-Forwards of other methods is not looked at", "GET", "0", "200; 1")
            .origin(["Max-Forwards: 0\r\n"]),
        row(
            "9110 7.6.2",
            "OPTIONS to the proxy may go no further",
            "OPTIONS http://{h}/ HTTP/1.1\r\nHost: {h}\r\nMax-Forwards: 0\r\n\r\n",
            "200; 0",
        )
        .proxied(),
    ]
}

fn versions() -> Vec<Row> {
    vec![
        row("9112 2.3", "our own version goes to the origin", "GET /r HTTP/1.0\r\nHost: {h}\r\n\r\n", "200; 1").origin(["GET /r HTTP/1.1\r\n"]),
        row("9112 9.3", "HTTP/1.0 is closed after its answer", "GET /r HTTP/1.0\r\nHost: {h}\r\n\r\n", "200; 1").half_close(false),
        row("9112 9.3", "HTTP/1.0 gets no lasting connection", "GET /r HTTP/1.0\r\nHost: {h}\r\nConnection: keep-alive\r\n\r\n\
            GET /r HTTP/1.0\r\nHost: {h}\r\n\r\n", "200; 1").half_close(false),
        row("9112 6.1", "HTTP/1.0 gets no chunks", "GET /r HTTP/1.0\r\nHost: {h}\r\n\r\n", "200; 1")
            .reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
            .client(["\r\n\r\nabc"])
            .not_client(["transfer-encoding", "3\r\n"]),
        row("9110 15.2", "HTTP/1.0 gets no interim answer", "GET /r HTTP/1.0\r\nHost: {h}\r\n\r\n", "200; 1")
            .reply("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        row("9112 9.6", "a client that closes is closed upon", "GET /r HTTP/1.1\r\nHost: {h}\r\nConnection: close\r\n\r\n", "200; 1")
            .half_close(false)
            .client(["Connection: close\r\n"]),
        row("9112 9.3", "a client's wish to close is not the origin's", "GET /r HTTP/1.1\r\nHost: {h}\r\nConnection: close\r\n\r\n", "200; 1")
            .not_origin(["close"]),
    ]
}
