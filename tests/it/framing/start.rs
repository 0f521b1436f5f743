//! Request lines, targets and Host.

use super::lab::{Row, row};

pub fn rows() -> Vec<Row> {
    let get = |clause, what, line: &str, expected| {
        row(clause, what, format!("{line}\r\nHost: {{h}}\r\n\r\n"), expected)
    };
    let long = format!("GET /{} HTTP/1.1", "a".repeat(17 * 1024));
    let mut rows = vec![
        // The request line.
        get("9112 3", "two spaces before the target", "GET  /r HTTP/1.1", "400; 0"),
        get("9112 3", "two spaces before the version", "GET /r  HTTP/1.1", "400; 0"),
        get("9112 3", "a space behind the version", "GET /r HTTP/1.1 ", "400; 0"),
        get("9112 3", "tabs between the parts", "GET\t/r\tHTTP/1.1", "none; 0"),
        get("9112 3", "no version", "GET /r", "400; 0"),
        get("9112 3", "no target", "GET HTTP/1.1", "400; 0"),
        get("9112 3", "no method", " /r HTTP/1.1", "none; 0"),
        get("9112 2.3", "a version in small letters", "GET /r http/1.1", "400; 0"),
        get("9112 2.3", "a major version that is another protocol", "GET /r HTTP/2.0", "400; 0"),
        get("9112 2.3", "a version of more digits", "GET /r HTTP/1.10", "400; 0"),
        get("9110 9.1", "a method that is no token", "GE(T /r HTTP/1.1", "none; 0"),
        get("9110 9.1", "a method in small letters is another method", "get /r HTTP/1.1", "200; 1")
            .origin(["get /r HTTP/1.1"]),
        get("9110 9.1", "a method that nobody knows passes", "BREW-7 /r HTTP/1.1", "200; 1")
            .origin(["BREW-7 /r HTTP/1.1"]),
        row(
            "9112 2.2",
            "empty lines before the request",
            "\r\n\r\nGET /r HTTP/1.1\r\nHost: {h}\r\n\r\n",
            "200; 1",
        ),
        row(
            "9112 2.2",
            "white space before the first field",
            "GET /r HTTP/1.1\r\n Host: {h}\r\n\r\n",
            "400; 0",
        ),
        row("9112 2.2", "a bare CR in the request line", "GET /r\r HTTP/1.1\r\nHost: {h}\r\n\r\n", "400; 0"),
        row(
            "9112 2.2",
            "lines that end in LF alone are written anew",
            "GET /r HTTP/1.1\nHost: {h}\nX-A: b\n\n",
            "200; 1",
        )
        .origin(["x-a: b\r\n"]),
        get("9112 3", "a target that is too long", &long, "414; 0"),
        // Targets.
        get("9112 3.2", "a space in the target", "GET /a b HTTP/1.1", "400; 0"),
        get("9112 3.2", "a control byte in the target", "GET /a\u{1}b HTTP/1.1", "400; 0"),
        get("9112 3.2", "a delete in the target", "GET /a\u{7f}b HTTP/1.1", "400; 0"),
        get("9112 3.2", "a fragment goes no further", "GET /r#part HTTP/1.1", "200; 1")
            .origin(["GET /r HTTP"])
            .not_origin(["#"]),
        get("9110 4.2.5", "a raw angle bracket is encoded", "GET /<r> HTTP/1.1", "200; 1")
            .origin(["GET /%3Cr%3E HTTP"]),
        get(
            "9112 3.2.1",
            "path and query pass untouched",
            "GET /a/../b/%2e%2E//c;d?x=%zz&&=+ HTTP/1.1",
            "200; 1",
        )
        .origin(["GET /a/../b/%2e%2E//c;d?x=%zz&&=+ HTTP/1.1\r\n"]),
        get("9112 3.2.2", "absolute-form in a tunnel", "GET http://{h}/r HTTP/1.1", "200; 1")
            .origin(["GET /r HTTP/1.1\r\n"]),
        get("9112 3.2.2", "absolute-form of an unknown scheme", "GET ftp://{h}/r HTTP/1.1", "400; 0"),
        get("9110 4.2.4", "user information in the target", "GET http://user@{h}/r HTTP/1.1", "400; 0"),
        get("9112 3.2.3", "authority-form without CONNECT", "GET {h}:80 HTTP/1.1", "400; 0"),
        get("9112 3.2.4", "asterisk-form without OPTIONS", "GET * HTTP/1.1", "400; 0"),
        get("9112 3.2.4", "OPTIONS of the server as a whole", "OPTIONS * HTTP/1.1", "200; 1")
            .origin(["OPTIONS * HTTP/1.1\r\n"]),
        get("9110 9.3.6", "CONNECT inside a tunnel", "CONNECT {h}:80 HTTP/1.1", "400; 0"),
        get(
            "9112 3.2.4",
            "OPTIONS of an empty path becomes the asterisk",
            "OPTIONS http://{h} HTTP/1.1",
            "200; 1",
        )
        .proxied()
        .origin(["OPTIONS * HTTP/1.1\r\n"]),
        get("9112 3.2.1", "an empty path becomes a slash", "GET http://{h} HTTP/1.1", "200; 1")
            .proxied()
            .origin(["GET / HTTP/1.1\r\n"]),
        get("9112 3.2.1", "a query without a path gets a slash", "GET http://{h}?q=1 HTTP/1.1", "200; 1")
            .proxied()
            .origin(["GET /?q=1 HTTP/1.1\r\n"]),
        get("9112 3.2.2", "origin-form to the proxy itself", "GET /r HTTP/1.1", "400; 0").proxied(),
        get("9110 7.4", "https in clear to the proxy", "GET https://{h}/r HTTP/1.1", "400; 0")
            .proxied()
            .half_close(true),
        get("9110 9.3.6", "CONNECT without a port", "CONNECT {h} HTTP/1.1", "400; 0")
            .proxied()
            .half_close(true),
        get("9110 9.3.6", "CONNECT to port 0", "CONNECT {h}:0 HTTP/1.1", "400; 0").proxied().half_close(true),
        get("9110 9.3.6", "CONNECT with a path", "CONNECT http://{h}:80/r HTTP/1.1", "400; 0")
            .proxied()
            .half_close(true),
        get("9110 9.3.6", "CONNECT with user information", "CONNECT u@{h}:80 HTTP/1.1", "400; 0")
            .proxied()
            .half_close(true),
        get("9110 9.3.6", "an answer to CONNECT has no length", "CONNECT {h}:80 HTTP/1.1", "200; 0")
            .proxied()
            .not_client(["content-length", "transfer-encoding"]),
        row("9112 3.2", "CONNECT without Host", "CONNECT {h}:80 HTTP/1.1\r\n\r\n", "400; 0")
            .proxied()
            .half_close(true),
        // Host.
        row("9112 3.2", "no Host", "GET /r HTTP/1.1\r\nA: b\r\n\r\n", "400; 0"),
        row(
            "9112 3.2",
            "no Host beside an absolute target",
            "GET http://{h}/r HTTP/1.1\r\nA: b\r\n\r\n",
            "400; 0",
        )
        .proxied(),
        row("9112 3.2", "two Hosts", "GET /r HTTP/1.1\r\nHost: {h}\r\nHost: other.test\r\n\r\n", "400; 0"),
        row("9112 3.2", "the same Host twice", "GET /r HTTP/1.1\r\nHost: {h}\r\nHost: {h}\r\n\r\n", "400; 0"),
        row("9112 3.2", "a Host in capitals is Host", "GET /r HTTP/1.1\r\nHOST: {h}\r\n\r\n", "200; 1")
            .origin(["Host: {h}"]),
        row(
            "9112 3.2.2",
            "the target wins over Host",
            "GET http://{h}/r HTTP/1.1\r\nHost: other.test\r\n\r\n",
            "200; 1",
        )
        .proxied()
        .origin(["Host: {h}\r\n"])
        .not_origin(["other.test"]),
        row("9112 3.3", "HTTP/1.0 without Host gets the tunnel's", "GET /r HTTP/1.0\r\n\r\n", "200; 1")
            .origin(["Host: {h}\r\n"]),
        row(
            "9110 7.4",
            "a Host other than the tunnel's",
            "GET /r HTTP/1.1\r\nHost: other.test\r\n\r\n",
            "421; 0",
        ),
    ];
    for (what, host) in [
        ("an empty Host", ""),
        ("a Host with a space", "{h} x"),
        ("a Host with a path", "{h}/x"),
        ("a Host with user information", "user@{h}"),
        ("a Host that is a list", "{h}, other.test"),
        ("a Host with a port of letters", "{h}:http"),
        ("a Host with a port beyond 65535", "{h}:65616"),
        ("a Host with a percent-encoded byte", "{h}%00"),
    ] {
        rows.push(row("9112 3.2", what, format!("GET /r HTTP/1.1\r\nHost: {host}\r\n\r\n"), "400; 0"));
    }
    rows
}
