//! Where a request ends: Content-Length, Transfer-Encoding, chunks, and what follows.

use super::lab::{Row, post, row};

const FOLLOW: &str = "GET /second HTTP/1.1\r\nHost: {h}\r\n\r\n";

pub fn rows() -> Vec<Row> {
    let mut rows = lengths();
    rows.extend(codings());
    rows.extend(chunks());
    rows.extend(following());
    rows
}

fn lengths() -> Vec<Row> {
    let mut rows = vec![
        post(
            "9112 6.3",
            "a length and chunks",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400; 0",
        ),
        post(
            "9112 6.3",
            "chunks and a length",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "400; 0",
        ),
        post(
            "9112 6.3",
            "two lengths that differ",
            "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            "400; 0",
        ),
        post("9112 6.3", "a list of lengths that differ", "Content-Length: 5, 6\r\n\r\nabcdef", "400; 0"),
        post(
            "9112 6.3",
            "two lengths that are the same",
            "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
            "200; 1",
        )
        .origin(["Content-Length: 5\r\n", "\r\n\r\nabcde"]),
        post(
            "9112 6.3",
            "a list of lengths that are the same",
            "Content-Length: 5, 5\r\n\r\nabcde",
            "200; 1",
        )
        .origin(["Content-Length: 5\r\n", "\r\n\r\nabcde"])
        .not_origin(["5, 5"]),
        post("9112 6.3", "a length of a GET", "Content-Length: 3\r\n\r\nabc", "200; 1")
            .origin(["\r\n\r\nabc"]),
        post("9112 6.3", "no length is no body", "X-A: b\r\n\r\n", "200; 1"),
        post("9110 8.6", "a length of nothing", "Content-Length: 0\r\n\r\n", "200; 1")
            .origin(["Content-Length: 0\r\n"]),
        post("9112 8", "a body that ends early is no request", "Content-Length: 10\r\n\r\nabc", "400; 0")
            .half_close(true),
        post(
            "9112 6.3",
            "both lengths with LF line ends",
            "Content-Length: 5\nTransfer-Encoding: chunked\n\n0\r\n\r\n",
            "400; 0",
        ),
    ];
    for (what, length) in [
        ("a length with a sign", "+5"),
        ("a negative length", "-5"),
        ("a hexadecimal length", "0x5"),
        ("a length with a space inside", "5 5"),
        ("a length that is empty", ""),
        ("a length with a unit", "5b"),
        ("a list that ends in a comma", "5,"),
        ("a length beyond 64 bits", "18446744073709551621"),
        ("a length with a fraction", "5.0"),
    ] {
        rows.push(post("9110 8.6", what, format!("Content-Length: {length}\r\n\r\nabcde"), "400; 0"));
    }
    rows
}

fn codings() -> Vec<Row> {
    let coded = |what, fields: &str, expected| {
        post("9112 6.1", what, format!("{fields}\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"), expected)
    };
    vec![
        coded("chunks in capitals", "transfer-encoding: CHUNKED", "200; 1").origin(["abcde"]),
        coded("a coding that nobody knows", "Transfer-Encoding: xchunked", "400; 0"),
        coded("another coding before chunked", "Transfer-Encoding: gzip, chunked", "501; 0"),
        coded(
            "another coding in a field before",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
            "501; 0",
        ),
        coded("identity before chunked", "Transfer-Encoding: identity, chunked", "501; 0"),
        coded("chunked before another coding", "Transfer-Encoding: chunked, identity", "400; 0"),
        coded("chunked twice in a list", "Transfer-Encoding: chunked, chunked", "400; 0"),
        coded("chunked in two fields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "400; 0"),
        coded("an empty coding", "Transfer-Encoding:", "400; 0"),
        coded("an empty element before chunked", "Transfer-Encoding: , chunked", "501; 0"),
        coded("chunked in quotes", "Transfer-Encoding: \"chunked\"", "400; 0"),
        coded("chunked with a parameter", "Transfer-Encoding: chunked;q=1", "400; 0"),
        coded("chunked behind a vertical tab", "Transfer-Encoding: \u{b}chunked", "400; 0"),
        coded("a space before the coding's colon", "Transfer-Encoding : chunked", "400; 0"),
        coded("a coding in a folded line", "Transfer-Encoding:\r\n chunked", "400; 0"),
        row(
            "9112 6.1",
            "chunks in HTTP/1.0",
            "POST /r HTTP/1.0\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400; 0",
        ),
    ]
}

fn chunks() -> Vec<Row> {
    let chunked = |clause, what, body: &str, expected| {
        post(clause, what, format!("Transfer-Encoding: chunked\r\n\r\n{body}"), expected)
    };
    let extension = format!("5;{}\r\nabcde\r\n0\r\n\r\n", "e".repeat(20 * 1024));
    vec![
        chunked("9112 7.1", "chunks are put together", "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n", "200; 1"),
        chunked(
            "9112 7.1",
            "chunk sizes in either case",
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "200; 1",
        ),
        chunked("9112 7.1", "a chunk size with zeros before it", "0005\r\nabcde\r\n000\r\n\r\n", "200; 1"),
        chunked(
            "9112 7.1.1",
            "chunk extensions go no further",
            "5;name=\"quoted\"\r\nabcde\r\n0;last\r\n\r\n",
            "200; 1",
        )
        .origin(["abcde"])
        .not_origin(["name", "last"]),
        chunked("9112 7.1.1", "chunk extensions without end", &extension, "400; 0"),
        chunked("9112 7.1.1", "a line feed in a chunk extension", "5;a\nb\r\nabcde\r\n0\r\n\r\n", "400; 0"),
        chunked("9112 7.1", "a chunk size with 0x", "0x5\r\nabcde\r\n0\r\n\r\n", "400; 0"),
        chunked("9112 7.1", "a chunk size with a sign", "+5\r\nabcde\r\n0\r\n\r\n", "400; 0"),
        chunked("9112 7.1", "a negative chunk size", "-5\r\nabcde\r\n0\r\n\r\n", "400; 0"),
        chunked("9112 7.1", "an empty chunk size", "\r\nabcde\r\n0\r\n\r\n", "400; 0"),
        chunked("9112 7.1", "a chunk size behind a space", " 5\r\nabcde\r\n0\r\n\r\n", "400; 0"),
        chunked(
            "9112 7.1",
            "a chunk size beyond 64 bits",
            "10000000000000005\r\nabcde\r\n0\r\n\r\n",
            "400; 0",
        ),
        chunked("9112 7.1", "a chunk line that ends in LF", "5\nabcde\r\n0\r\n\r\n", "400; 0"),
        chunked("9112 7.1", "a chunk that ends in LF", "5\r\nabcde\n0\r\n\r\n", "400; 0"),
        chunked("9112 7.1", "a chunk longer than its size", "5\r\nabcdeXX\r\n0\r\n\r\n", "400; 0"),
        chunked("9112 7.1", "a chunk shorter than its size", "5\r\nabc\r\n0\r\n\r\n", "400; 0"),
        chunked("9112 8", "chunks without the last are no request", "5\r\nabcde\r\n", "400; 0")
            .half_close(true),
        chunked(
            "9110 6.5.1",
            "a trailer never frames or routes",
            "5\r\nabcde\r\n0\r\nContent-Length: 9\r\nHost: evil.test\r\n\
            Transfer-Encoding: gzip\r\nAuthorization: Bearer x\r\n\r\n",
            "200; 1",
        )
        .not_origin(["Content-Length", "evil.test", "gzip", "Bearer"]),
        chunked("9112 7.1.2", "a trailer without a colon", "5\r\nabcde\r\n0\r\nnonsense\r\n\r\n", "400; 0"),
        chunked("9112 7.1.2", "a folded trailer", "5\r\nabcde\r\n0\r\nX-A: b\r\n c\r\n\r\n", "400; 0"),
    ]
}

/// What stands behind a request on its connection.
fn following() -> Vec<Row> {
    let hidden = "GET /hidden HTTP/1.1\r\nHost: hidden.test\r\n\r\n";
    let two = |what, tail: String, expected| post("9112 9.3.2", what, tail, expected);
    vec![
        two("a request behind one without a body", format!("\r\n{FOLLOW}"), "200 200; 2"),
        two("a request behind a length", format!("Content-Length: 3\r\n\r\nabc{FOLLOW}"), "200 200; 2")
            .origin(["GET /second HTTP/1.1"]),
        two(
            "a request behind chunks",
            format!("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{FOLLOW}"),
            "200 200; 2",
        ),
        two(
            "a request inside a body is none",
            format!("Content-Length: {}\r\n\r\n{hidden}", hidden.len()),
            "200; 1",
        ),
        post(
            "9112 6.3",
            "both lengths behind a request",
            "\r\nPOST /second HTTP/1.1\r\nHost: {h}\r\nContent-Length: 5\r\n\
            Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "200 400; 1",
        )
        .not_origin(["second"]),
        post(
            "9112 6.3",
            "both lengths behind chunks",
            "Transfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nX-T: u\r\n\r\nPOST /second HTTP/1.1\r\n\
            Host: {h}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "200 400; 1",
        )
        .not_origin(["second"]),
        post(
            "9112 6.3",
            "both lengths behind a length",
            "Content-Length: 3\r\n\r\nabcPOST /second HTTP/1.1\r\nHost: {h}\r\nContent-Length: 5\r\n\
            Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "200 400; 1",
        )
        .not_origin(["second"]),
        post(
            "9112 6.1",
            "another coding behind a request",
            "\r\nPOST /second HTTP/1.1\r\nHost: {h}\r\n\
            Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "200 501; 1",
        )
        .not_origin(["second"]),
        post(
            "9112 6.3",
            "a list of lengths behind a request",
            "\r\nPOST /second HTTP/1.1\r\nHost: {h}\r\nContent-Length: 3, 3\r\n\r\nabc",
            "200 200; 2",
        )
        .origin(["Content-Length: 3\r\n"])
        .not_origin(["3, 3"]),
        post(
            "9112 6.3",
            "nothing behind a framing error is a request",
            format!("Content-Length: x\r\n\r\n{FOLLOW}"),
            "400; 0",
        ),
        post(
            "9112 6.3",
            "nothing behind two lengths is a request",
            format!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{FOLLOW}"),
            "400; 0",
        ),
        row(
            "9112 6.3",
            "nothing behind two lengths of a target that is too long",
            format!(
                "POST /{} HTTP/1.1\r\nHost: {{h}}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
                 0\r\n\r\n{FOLLOW}",
                "l".repeat(17 * 1024)
            ),
            "400; 0",
        ),
        post(
            "9112 7.1",
            "nothing behind a broken chunk is a request",
            format!("Transfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n{FOLLOW}"),
            "400; 0",
        )
        .not_origin(["second"]),
        post(
            "9112 9.6",
            "nothing behind Connection: close is a request",
            format!("Connection: close\r\n\r\n{FOLLOW}"),
            "200; 1",
        )
        .half_close(false)
        .not_origin(["second"]),
    ]
}
