//! What a malware scanner says is worth as much as it has seen: a word that came too early, or of another body than
//! the receiver will see, lets nothing through; a find is a find however it is told.

use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::scan::{BINARY, Clamd, FORM, eicar, post, record, start};
use crate::support::Http;

/// Core rules have a word to say about such bodies too; here it is the scanner's.
const ALONE: &str = "directions = [\"upload\"]\n[rules]\ncore = false\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_ok_before_the_end_of_the_body_is_not_believed() {
    let scanner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = format!("[scan]\nclamd = \"tcp:{}\"\n{ALONE}", scanner.local_addr().unwrap());
    let hasty = tokio::spawn(async move {
        while let Ok((mut stream, _)) = scanner.accept().await {
            let _ = stream.read_exact(&mut [0; 100]).await;
            let _ = stream.write_all(b"stream: OK\0").await;
        }
    });
    let _hasty = AbortOnDropHandle::new(hasty);
    let (origin, proxy, client) = start(&settings).await;
    // More than sockets hold.
    let body = vec![b'x'; 20_000_000];
    let answer = client.send(Http::H1, "origin.test", post(&body, BINARY, ("", ""))).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(record(&proxy, &answer).await["request_scan"]["result"], "failed");
    assert!(!origin.seen().iter().any(|seen| seen.complete), "{:?}", origin.seen().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_whose_parts_receivers_cut_in_different_places_are_not_clean() {
    let clamd = Clamd::start().await;
    let (origin, _proxy, client) = start(&(clamd.settings() + ALONE)).await;
    let head = "Content-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\n";
    let file = |inside: &str| {
        let text = String::from_utf8(eicar()).unwrap();
        format!("--border\r\n{head}{}\r\n--border--\r\n", text.replacen("EICAR", inside, 1))
    };
    // Where the file is whole for one receiver, another one sees two parts, and the other way round.
    let bodies = [
        ("a line feed alone before it", file("EI\n--border\r\n\r\nCAR")),
        ("more behind it", file("EI\r\n--borderX\r\n\r\nCAR")),
        ("one dash behind it", file("EI\r\n--border-\r\n\r\nCAR")),
        ("more behind its end", file("EI\r\n--border--X\r\n\r\nCAR")),
        (
            "at the very beginning of a part",
            format!(
                "--border\r\n{head}--border\r\n{head}{}\r\n--border--\r\n",
                String::from_utf8(eicar()).unwrap()
            ),
        ),
        (
            "a head that ends in two ways",
            format!("--border\r\nA: b\n\nc\r\n\r\n{}\r\n--border--\r\n", String::from_utf8(eicar()).unwrap()),
        ),
    ];
    for (what, body) in bodies {
        let answer = client.send(Http::H1, "origin.test", post(body.as_bytes(), FORM, ("", ""))).await;
        let status = answer.status;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{what}: {}", answer.text());
    }
    assert_eq!(origin.seen().len(), 0);
    for (what, body) in [
        (
            "white space behind it",
            format!("--border \r\n{head}a\r\n--border\t \r\n{head}b\r\n--border-- \r\n"),
        ),
        ("line feeds alone", format!("--border\r\n{head}a\r\n--border--").replace("\r\n", "\n")),
        ("text around", format!("before\r\n--border\r\n{head}a\nb\r\n--borde\r\n--border--\r\nafter\n")),
    ] {
        let answer = client.send(Http::H1, "origin.test", post(body.as_bytes(), FORM, ("", ""))).await;
        assert_eq!(answer.status, StatusCode::OK, "{what}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_types_with_two_boundaries_are_not_clean() {
    let clamd = Clamd::start().await;
    let (origin, _proxy, client) = start(&(clamd.settings() + ALONE)).await;
    let head = "\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\n";
    let body = [b"--other", head.as_bytes(), b"x--border", head.as_bytes(), &eicar(), b"\r\n--border--\r\n"]
        .concat();
    let body = String::from_utf8(body).unwrap().replace("x--border", "x\r\n--border");
    for (second, status) in [("border", 503), ("other", 200)] {
        let body = if second == "border" { body.as_str() } else { "--other\r\n\r\na\r\n--other--\r\n" };
        let mut request = post(body.as_bytes(), "multipart/form-data; boundary=other", ("", ""));
        let second = format!("multipart/form-data; boundary={second}").parse().unwrap();
        request.headers_mut().append(CONTENT_TYPE, second);
        let answer = client.send(Http::H1, "origin.test", request).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_takes_no_uploads_is_asked_again_before_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = format!("[scan]\nicap = \"icap://{}/a\"\n{ALONE}", listener.local_addr().unwrap());
    let service = tokio::spawn(async move {
        for methods in ["RESPMOD", "REQMOD"] {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                head.push(byte);
            }
            let options = format!(
                "ICAP/1.0 200 OK\r\nMethods: {methods}\r\nOptions-TTL: 86400\r\nConnection: close\r\n\
                 Encapsulated: null-body=0\r\n\r\n"
            );
            let _ = stream.write_all(options.as_bytes()).await;
        }
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n0\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                asked.push(byte);
            }
            let _ = stream.write_all(b"ICAP/1.0 204 No\r\nConnection: close\r\n\r\n").await;
        }
    });
    let _service = AbortOnDropHandle::new(service);
    let (origin, _proxy, client) = start(&settings).await;
    let send = async || client.send(Http::H1, "origin.test", post(b"a file", BINARY, ("", ""))).await.status;
    assert_eq!(send().await, StatusCode::SERVICE_UNAVAILABLE);
    let again = async {
        while send().await != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    crate::support::within("the service that was mended", again).await;
    assert_eq!(origin.seen().len(), 1);
}
