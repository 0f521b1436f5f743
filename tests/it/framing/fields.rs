//! The syntax of fields.

use super::lab::{Row, post, row};

pub fn rows() -> Vec<Row> {
    let field =
        |clause, what, line: &[u8], expected| post(clause, what, [line, b"\r\n\r\n"].concat(), expected);
    let many: String = (0..101).map(|n| format!("X-{n}: v\r\n")).collect();
    vec![
        field("9112 5.1", "a space before the colon", b"X-A : b", "400; 0"),
        field("9112 5.1", "a tab before the colon", b"X-A\t: b", "400; 0"),
        field("9110 5.1", "an empty name", b": b", "400; 0"),
        field("9110 5.1", "a space in a name", b"X A: b", "400; 0"),
        field("9110 5.6.2", "a name that is no token", b"X(A): b", "400; 0"),
        field("9110 5.6.2", "a null in a name", b"X\0A: b", "400; 0"),
        field("9110 5.6.2", "a byte above 127 in a name", b"X\xe4A: b", "400; 0"),
        field("9112 5", "a line without a colon", b"nonsense", "400; 0"),
        field("9112 5.2", "a line folded by a space", b"X-A: b\r\n c", "400; 0"),
        field("9112 5.2", "a line folded by a tab", b"X-A: b\r\n\tc", "400; 0"),
        field("9112 2.2", "a bare CR in a value", b"X-A: b\rc", "400; 0"),
        field("9112 2.2", "a bare CR before a field", b"X-A: b\r\rX-B: c", "400; 0"),
        field("9110 5.5", "a null in a value", b"X-A: b\0c", "400; 0"),
        field("9110 5.5", "a control byte in a value", b"X-A: b\x01c", "400; 0"),
        field("9110 5.5", "a delete in a value", b"X-A: b\x7fc", "400; 0"),
        field("9110 5.5", "bytes above 127 in a value pass", b"X-A: b\xe4\xffc", "200; 1").origin(["X-A: b\u{e4}\u{ff}c\r\n"]),
        field("9110 5.5", "white space around a value is no part of it", b"X-A: \t b c \t", "200; 1").origin(["X-A: b c\r\n"]),
        field("9112 5.1", "no white space before a value", b"X-A:b", "200; 1").origin(["X-A: b\r\n"]),
        field("9110 5.5", "an empty value passes", b"X-A:", "200; 1").origin(["\r\nX-A:"]),
        field("9110 5.6.1", "empty elements of a list pass", b"X-A: ,b,, c,", "200; 1").origin(["X-A: ,b,, c,\r\n"]),
        field("9110 5.3", "fields of one name keep their order", b"X-A: 1\r\nX-B: 2\r\nX-A: 3", "200; 1")
            .origin(["X-A: 1\r\nX-A: 3\r\n"]),
        field("9110 5.1", "fields that nobody knows pass", b"X-Unheard-Of: \"a, b\"; c=(d)", "200; 1")
            .origin(["X-Unheard-Of: \"a, b\"; c=(d)\r\n"]),
        field("9110 5.4", "a head that is too long", &[&b"X-A: "[..], &vec![b'a'; 70 * 1024]].concat(), "431; 0"),
        post("9110 5.4", "too many fields", format!("{many}\r\n"), "431; 0"),
        row("9110 14.2", "Range and conditions pass untouched", "GET /r HTTP/1.1\r\nHost: {h}\r\nRange: bytes=0-1,-5\r\n\
            If-Range: \"a\"\r\nIf-None-Match: W/\"b\", *\r\nIf-Match: \"c\"\r\nIf-Modified-Since: never\r\n\r\n", "200; 1")
            .origin(["Range: bytes=0-1,-5\r\n", "If-Range: \"a\"\r\n", "If-None-Match: W/\"b\", *\r\n", "If-Match: \"c\"\r\n",
                "If-Modified-Since: never\r\n"]),
        row("9110 12.5", "preferences pass untouched", "GET /r HTTP/1.1\r\nHost: {h}\r\nAccept: a/b;q=0.1, */*\r\n\
            Accept-Language: de;q=2\r\nAuthorization: Bearer x\r\nCookie: a=b; c\r\nCookie: d=e\r\n\r\n", "200; 1")
            .origin(["Accept: a/b;q=0.1, */*\r\n", "Accept-Language: de;q=2\r\n", "Authorization: Bearer x\r\n",
                "Cookie: a=b; c\r\nCookie: d=e\r\n"]),
    ]
}
