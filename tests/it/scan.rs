//! Files that are fetched and files that are sent pass clamd first: the real daemon, with one signature of our own.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::client::{Answer, Client, Entry, request, rest};
use crate::support::origin::{Body, Origin, Raw, Spec, gzip, patterned};
use crate::support::proxy::{Proxy, Setup, portward};
use crate::support::{Http, until, within};

/// The name clamd gives it: ours, and that the signature is not one of its own.
const SIGNATURE: &str = "Portward.Test.Eicar.UNOFFICIAL";

/// The test file of the scanners' makers, in parts so that no file of this repository is one.
fn eicar() -> Vec<u8> {
    let parts = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS", "-TEST-FILE!$H+H*"];
    assert_eq!(parts.concat().len(), 68);
    parts.concat().into_bytes()
}

/// A running clamd that knows one signature: the test file, at the start of a file.
struct Clamd {
    child: Child,
    dir: TempDir,
}

impl Drop for Clamd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Clamd {
    async fn start() -> Clamd {
        let dir = TempDir::with_prefix("portward-clamd-").unwrap();
        let at = dir.path();
        fs::create_dir(at.join("db")).unwrap();
        let name = SIGNATURE.trim_end_matches(".UNOFFICIAL");
        fs::write(at.join("db/own.ndb"), format!("{name}:0:0:{}\n", hex::encode(eicar()))).unwrap();
        let folder = at.display();
        let config = format!(
            "LocalSocket {folder}/socket\nDatabaseDirectory {folder}/db\nTemporaryDirectory {folder}\n\
             Foreground yes\nStreamMaxLength 4M\nMaxThreads 4\n"
        );
        fs::write(at.join("clamd.conf"), config).unwrap();
        let log = fs::File::create(at.join("log")).unwrap();
        let mut command = Command::new("clamd");
        command.arg("-c").arg(at.join("clamd.conf")).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut clamd = Clamd { child: command.spawn().unwrap(), dir };
        let socket = clamd.dir.path().join("socket");
        until("clamd to listen", || {
            if let Some(status) = clamd.child.try_wait().unwrap() {
                let log = fs::read_to_string(clamd.dir.path().join("log")).unwrap();
                panic!("clamd ended, {status}: {log}");
            }
            UnixStream::connect(&socket).ok()
        })
        .await;
        clamd
    }

    fn settings(&self) -> String {
        format!("[scan]\nclamd = \"unix:{}/socket\"\n", self.dir.path().display())
    }
}

/// An archive with one compressed file.
fn zip(content: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).unwrap();
    let packed = encoder.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let name = b"file.txt";
    // What both headers of the file have in common: version, flags, method, time, date, sums, lengths.
    let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0x5b];
    common.extend(crc.sum().to_le_bytes());
    common.extend((packed.len() as u32).to_le_bytes());
    common.extend((content.len() as u32).to_le_bytes());
    common.extend([name.len() as u8, 0, 0, 0]);
    let mut out = [b"PK\x03\x04", &common[..], name, &packed].concat();
    let directory = [b"PK\x01\x02\x14\x00", &common[..], &[0; 14], name].concat();
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn multipart(content: &[u8]) -> Vec<u8> {
    let before = b"--border\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n\
                   --border\r\nContent-Disposition: form-data; name=\"b\"; filename=\"b.bin\"\r\n\
                   Content-Type: application/octet-stream\r\n\r\n";
    [&before[..], content, b"\r\n--border--\r\n"].concat()
}

/// A body, its type and its coding.
type Shape = (&'static str, Vec<u8>, &'static str, &'static str);

const BINARY: &str = "application/octet-stream";
const FORM: &str = "multipart/form-data; boundary=border";

fn shapes(content: &[u8]) -> Vec<Shape> {
    vec![
        ("plain", content.to_vec(), BINARY, ""),
        ("gzip", gzip(content), BINARY, "gzip"),
        ("a gzip file", gzip(content), "application/gzip", ""),
        ("zip", zip(content), "application/zip", ""),
        ("zip in gzip", gzip(&zip(content)), "application/zip", "gzip"),
        ("multipart", multipart(content), FORM, ""),
        ("zip in multipart", multipart(&zip(content)), FORM, ""),
        ("multipart in gzip", gzip(&multipart(content)), FORM, "gzip"),
    ]
}

/// Sends a body to `/echo`; its answer has the coding of `coding`.
fn post(body: &[u8], content_type: &str, coding: (&str, &str)) -> Request<Body> {
    let mut fields = vec![("content-type", content_type)];
    if !coding.1.is_empty() {
        fields.push(coding);
    }
    request("POST", "https://origin.test/echo", &fields, Bytes::copy_from_slice(body))
}

async fn start(settings: &str) -> (Origin, Proxy, Client) {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).config(settings).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    (origin, proxy, client)
}

async fn record(proxy: &Proxy, answer: &Answer) -> Value {
    let receipt = answer.header("portward-receipt").to_owned();
    assert!(!receipt.is_empty(), "no receipt: {:?}", answer.headers);
    proxy.record("the one of the receipt", |record| record["id"] == receipt.as_str()).await
}

/// A page that says what was found, its record, and the explanation of its receipt.
async fn assert_found(proxy: &Proxy, answer: &Answer, side: &str, case: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{case}: {}", answer.text());
    assert!(answer.text().contains("Malware was found"), "{case}: {}", answer.text());
    let record = record(proxy, answer).await;
    assert_eq!((&record["verdict"], &record["reason"]), (&"blocked".into(), &"malware".into()), "{case}");
    let scan = &record[side];
    assert_eq!(
        (&scan["engine"], &scan["result"], &scan["signature"]),
        (&"clamd".into(), &"found".into(), &SIGNATURE.into()),
        "{case}: {record}"
    );
    let (id, log) = (record["id"].as_str().unwrap(), proxy.audit_path().display().to_string());
    let explained = portward(&["explain", id, "--audit-log", &log]);
    let text = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(explained.status.success() && text.contains(SIGNATURE), "{case}: {text}");
    assert!(text.contains("Blocked: Malware was found"), "{case}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_infected_upload_does_not_reach_the_origin() {
    let clamd = Clamd::start().await;
    let (origin, proxy, client) = start(&clamd.settings()).await;
    for http in Http::BOTH {
        for (name, body, content_type, coding) in shapes(&eicar()) {
            let case = format!("{name}, {http:?}");
            let request = post(&body, content_type, ("content-encoding", coding));
            let answer = client.send(http, "origin.test", request).await;
            assert_found(&proxy, &answer, "request_scan", &case).await;
            assert_eq!(origin.seen().len(), 0, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_infected_download_does_not_reach_the_client() {
    let clamd = Clamd::start().await;
    let (origin, proxy, client) =
        start(&(clamd.settings() + "directions = [\"download\"]\n[rules]\ncore = false\n")).await;
    for http in Http::BOTH {
        for (name, body, content_type, coding) in shapes(&eicar()) {
            let case = format!("{name}, {http:?}");
            let request = post(&body, content_type, ("x-answer-coding", coding));
            let answer = client.send(http, "origin.test", request).await;
            assert_found(&proxy, &answer, "response_scan", &case).await;
        }
    }
    // It was the download: the origin had all of the requests, which nobody scanned.
    assert_eq!(origin.seen().len(), 2 * shapes(b"").len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_benign_twin_passes_byte_for_byte() {
    let clamd = Clamd::start().await;
    let (origin, proxy, client) = start(&clamd.settings()).await;
    let twin: Vec<u8> = eicar().iter().rev().copied().collect();
    for http in Http::BOTH {
        for (name, body, content_type, coding) in shapes(&twin) {
            let case = format!("{name}, {http:?}");
            let mut request = post(&body, content_type, ("content-encoding", coding));
            if !coding.is_empty() {
                request.headers_mut().insert("x-answer-coding", coding.parse().unwrap());
            }
            let answer = client.send(http, "origin.test", request).await;
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &body[..]), "{case}");
            let seen = origin.seen().pop().unwrap();
            assert!(seen.complete && seen.body == body, "{case}");
        }
    }
    let count = 2 * shapes(b"").len();
    until("the records", || (proxy.audit().len() >= count).then_some(())).await;
    for record in proxy.audit() {
        for side in ["request_scan", "response_scan"] {
            assert_eq!(record[side]["result"], "clean", "{record}");
            assert!(record[side]["bytes"].as_u64().unwrap() >= 68, "{record}");
        }
    }
}

/// Longer than the window, shorter than what is scanned; the signature stands at the start.
fn long() -> Vec<u8> {
    let mut body = eicar();
    body.resize(200_000, b' ');
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn an_infected_file_that_is_longer_than_its_window_is_never_complete() {
    const WINDOW: usize = 65_536;
    let limits = "[rules]\ncore = false\n[limits]\nrequest_window = \"64KiB\"\nresponse_window = \"64KiB\"\n";
    let clamd = Clamd::start().await;
    let body = long();
    for http in Http::BOTH {
        let download = clamd.settings() + "directions = [\"download\"]\n" + limits;
        let (_origin, proxy, client) = start(&download).await;
        let mut connection = client.https("origin.test", http).await.unwrap();
        let response = connection.start(post(&body, BINARY, ("", ""))).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{http:?}");
        let (mut got, mut broke, mut stream) = (0, false, response.into_body());
        while let Some(frame) = within("the body", stream.frame()).await {
            match frame {
                Ok(frame) => got += frame.data_ref().map_or(0, Bytes::len),
                Err(_) => {
                    broke = true;
                    break;
                }
            }
        }
        assert!(broke && got <= body.len() - WINDOW, "{http:?}: {got} bytes, broke: {broke}");
        let record = proxy.record("the block", |record| record["reason"] == "malware").await;
        assert_eq!(
            (&record["verdict"], &record["response_scan"]["signature"]),
            (&"blocked".into(), &SIGNATURE.into()),
            "{record}"
        );

        let upload = clamd.settings() + "directions = [\"upload\"]\n" + limits;
        let (origin, proxy, client) = start(&upload).await;
        let answer = client.send(http, "origin.test", post(&body, BINARY, ("", ""))).await;
        assert_found(&proxy, &answer, "request_scan", &format!("{http:?}")).await;
        for seen in origin.seen() {
            assert!(!seen.complete && seen.body_len as usize <= body.len() - WINDOW, "{http:?}");
        }

        let benign = vec![b'x'; 200_000];
        let answer = client.send(http, "origin.test", post(&benign, BINARY, ("", ""))).await;
        assert!(answer.status == StatusCode::OK && answer.body == benign, "{http:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_over_the_limit_has_its_stated_outcome() {
    let clamd = Clamd::start().await;
    let mut late = vec![b' '; 100_000];
    late.extend(zip(&eicar()));
    for (outcome, status) in [("deny", StatusCode::PAYLOAD_TOO_LARGE), ("pass", StatusCode::OK)] {
        let settings = clamd.settings()
            + &format!("max_bytes = \"64KiB\"\noversize = \"{outcome}\"\ndirections = [\"upload\"]\n");
        let (origin, proxy, client) = start(&settings).await;
        let answer = client.send(Http::H1, "origin.test", post(&late, BINARY, ("", ""))).await;
        assert_eq!(answer.status, status, "{outcome}: {}", answer.text());
        let result = if outcome == "deny" { "too_large" } else { "partial" };
        let record = proxy.record("the scan", |record| record["request_scan"]["result"] == result).await;
        assert!(record["request_scan"]["bytes"].as_u64().unwrap() <= 65_536, "{record}");
        assert_eq!(origin.seen().len(), usize::from(outcome == "pass"));
        // So much as is scanned of a longer one still counts.
        if outcome == "pass" {
            let answer = client.send(Http::H1, "origin.test", post(&long(), BINARY, ("", ""))).await;
            assert_found(&proxy, &answer, "request_scan", outcome).await;
        }
    }
    // clamd's own limit is the same situation: here it is 4 MiB, ours stays at its default.
    let settings = clamd.settings() + "oversize = \"deny\"\ndirections = [\"download\"]\n";
    let (_origin, proxy, client) = start(&settings).await;
    let mut connection = client.https("origin.test", Http::H1).await.unwrap();
    let answer = connection.try_send(crate::support::client::get("https://origin.test/bytes/8000000")).await;
    assert!(answer.is_err(), "a download that is too long is not complete: {answer:?}");
    proxy.record("the refusal", |record| record["reason"] == "scan_too_large").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_that_is_down_has_its_stated_outcome() {
    for (outcome, status) in [("deny", StatusCode::SERVICE_UNAVAILABLE), ("pass", StatusCode::OK)] {
        let settings = format!("[scan]\nclamd = \"unix:/nowhere/clamd\"\nunavailable = \"{outcome}\"\n");
        let (origin, proxy, client) = start(&settings).await;
        let answer = client.send(Http::H2, "origin.test", post(b"a file", BINARY, ("", ""))).await;
        assert_eq!(answer.status, status, "{outcome}: {}", answer.text());
        let record = proxy.record("the scan", |record| record["request_scan"]["result"] == "failed").await;
        assert!(record["request_scan"]["why"].as_str().unwrap().contains("unix:/nowhere/clamd"), "{record}");
        if outcome == "deny" {
            assert_eq!(record["reason"], "scan_unavailable", "{record}");
            assert!(answer.text().contains("could not be scanned"), "{}", answer.text());
            assert_eq!(origin.seen().len(), 0);
            // What has no body has nothing to scan.
            assert_eq!(client.get(Http::H2, "https://origin.test/status/204").await.status, 204);
        } else {
            assert_eq!(&answer.body[..], b"a file");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_scanner_stalls_nothing_but_what_waits_for_it() {
    // It takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = format!(
        "[scan]\nclamd = \"tcp:{}\"\ntime = \"6s\"\nconnections = 2\nskip = [\"text/plain\"]\n",
        silent.local_addr().unwrap()
    );
    let (_origin, proxy, client) = start(&settings).await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        waiting.spawn(async move {
            let request = post(b"a file", BINARY, ("", ""));
            client.send(Http::H1, "origin.test", request).await
        });
    }
    let _taken = [silent.accept().await.unwrap(), silent.accept().await.unwrap()];
    for http in Http::BOTH {
        for _ in 0..10 {
            assert_eq!(client.get(http, "https://origin.test/").await.status, StatusCode::OK);
        }
    }
    assert!(waiting.try_join_next().is_none(), "the others were served while these waited");
    while let Some(answer) = within("an answer without a verdict", waiting.join_next()).await {
        assert_eq!(answer.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let late = |record: &&Value| record["reason"] == "scan_unavailable";
    until("the records", || (proxy.audit().iter().filter(late).count() == 8).then_some(())).await;
    let skipped =
        proxy.record("a skipped type", |record| record["response_scan"]["result"] == "skipped").await;
    assert_eq!(skipped["verdict"], "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_clean_download_streams_through() {
    let clamd = Clamd::start().await;
    let (_origin, proxy, client) = start(&clamd.settings()).await;
    for http in Http::BOTH {
        let mut connection = client.https("origin.test", http).await.unwrap();
        let answer = connection.send(crate::support::client::get("https://origin.test/bytes/3000000")).await;
        let expect = patterned(3_000_000).collect().await.unwrap().to_bytes();
        assert!(answer.body == expect, "{http:?}: {} bytes", answer.body.len());
    }
    let record = proxy.record("the scan", |record| record["response_scan"]["result"] == "clean").await;
    assert_eq!(record["response_scan"]["bytes"], 3_000_000, "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_bodies_than_connections_take_turns() {
    let clamd = Clamd::start().await;
    let (_origin, proxy, client) = start(&(clamd.settings() + "connections = 2\n")).await;
    let mut sending = tokio::task::JoinSet::new();
    for at in 0..40 {
        let client = client.clone();
        // Every fourth is infected; each is two streams for clamd, the whole and its part.
        let (body, infected) = if at % 4 == 0 { (zip(&eicar()), true) } else { (zip(b"harmless"), false) };
        sending.spawn(async move {
            let request = post(&multipart(&body), FORM, ("", ""));
            (client.send(Http::H2, "origin.test", request).await.status.as_u16(), infected)
        });
    }
    while let Some(sent) = within("an answer", sending.join_next()).await {
        let (status, infected) = sent.unwrap();
        assert_eq!(status, if infected { 403 } else { 200 });
    }
    until("the records", || (proxy.audit().len() >= 40).then_some(())).await;
    assert!(proxy.audit().iter().all(|record| record["request_scan"]["result"] != "failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_come_through_behind_the_verdict() {
    let clamd = Clamd::start().await;
    let (_origin, proxy, client) = start(&clamd.settings()).await;
    for http in Http::BOTH {
        let ask = request("GET", "https://origin.test/trailers", &[("te", "trailers")], "");
        let answer = client.send(http, "origin.test", ask).await;
        assert_eq!(&answer.body[..], b"body, then trailers\n", "{http:?}");
        assert_eq!(answer.trailers.unwrap()["x-checksum"], "42", "{http:?}");
    }
    proxy.record("the scan", |record| record["response_scan"]["result"] == "clean").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_of_a_file_is_told_apart_from_the_file() {
    let clamd = Clamd::start().await;
    let origin = Raw::tls("origin.test", |mut wire, _| async move {
        if wire.head().await.is_some() {
            let answer = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/68\r\nContent-Length: 5\r\n\r\nhello";
            wire.write(answer).await;
        }
        wire.drained().await;
    })
    .await;
    let proxy = Setup::new().raw(&origin).config(&clamd.settings()).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let ask = request("GET", "https://origin.test/file", &[("range", "bytes=0-4")], "");
    let answer = client.send(Http::H1, "origin.test", ask).await;
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::PARTIAL_CONTENT, &b"hello"[..]));
    let record = proxy.record("the scan", |record| record["response_scan"]["result"] == "partial").await;
    assert_eq!(record["response_scan"]["bytes"], 5, "{record}");
}

#[test]
fn an_address_that_is_none_is_refused_with_its_place() {
    let refused = Setup::new().config("[scan]\nclamd = \"/run/clamd\"").refused();
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("unix:/run/clamav/clamd.ctl"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_its_coding_says_is_scanned_as_it_stands() {
    let clamd = Clamd::start().await;
    let raw = Raw::tls("origin.test", |mut wire, _| async move {
        wire.read().await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {BINARY}\r\nContent-Encoding: gzip\r\n");
        wire.write(&[format!("{head}Content-Length: 68\r\n\r\n").as_bytes(), &eicar()].concat()).await;
    })
    .await;
    let proxy = Setup::new().raw(&raw).config(&clamd.settings()).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let answer = client.get(Http::H1, "https://origin.test/").await;
    assert_found(&proxy, &answer, "response_scan", "plain, said to be gzip").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_cannot_be_told_apart_are_not_clean() {
    let clamd = Clamd::start().await;
    let (origin, proxy, client) = start(&(clamd.settings() + "[rules]\ncore = false\n")).await;
    for odd in ["multipart/form-data", "multipart/form-data; boundary=x; boundary=border"] {
        let request = post(&multipart(&eicar()), odd, ("", ""));
        let answer = client.send(Http::H1, "origin.test", request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{odd}: {}", answer.text());
        let record = record(&proxy, &answer).await;
        assert_eq!(record["reason"], "scan_unavailable", "{record}");
    }
    // Names that only end like the one that counts do not change what is read.
    let request = post(&multipart(&eicar()), "multipart/form-data; xboundary=a; boundary=border", ("", ""));
    assert_found(&proxy, &client.send(Http::H1, "origin.test", request).await, "request_scan", "two names")
        .await;
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sender_gives_its_place_at_the_scanner_to_one_who_waits() {
    // It finds nothing; that a stream began is seen here, in time.
    let scanner = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits =
        "time = \"20s\"\nconnections = 1\n[rules]\ncore = false\n[limits]\nrequest_window = \"64KiB\"\n";
    let settings = format!("[scan]\nclamd = \"tcp:{}\"\n{limits}", scanner.local_addr().unwrap());
    let (_origin, proxy, client) = start(&settings).await;
    let mut slow = client.tls("origin.test", 443, &[]).await.unwrap();
    let head = format!("POST /echo HTTP/1.1\r\nHost: origin.test\r\nContent-Type: {BINARY}\r\n");
    let start = [format!("{head}Content-Length: 900000\r\n\r\n").as_bytes(), &[b'a'; 200_000]].concat();
    slow.write_all(&start).await.unwrap();
    slow.flush().await.unwrap();
    let (first, _) = within("the slow one's stream", scanner.accept()).await.unwrap();
    let clean = async move {
        let mut streams = tokio::task::JoinSet::from_iter([finds_nothing(first)]);
        while let Ok((stream, _)) = scanner.accept().await {
            streams.spawn(finds_nothing(stream));
        }
    };
    let _clean = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(clean));
    let answer = client.send(Http::H1, "origin.test", post(b"a file", BINARY, ("", ""))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let answer = rest(&mut slow).await;
    assert!(answer.starts_with(b"HTTP/1.1 503 "), "{}", answer.escape_ascii());
    let record = proxy.record("the slow one", |record| record["reason"] == "scan_unavailable").await;
    assert!(record["request_scan"]["why"].as_str().unwrap().contains("too slowly"), "{record}");
}

/// One stream of a scanner: a command, pieces behind their lengths, an empty one at the end.
async fn finds_nothing(mut stream: tokio::net::TcpStream) {
    let mut command = [0; 10];
    let _ = stream.read_exact(&mut command).await;
    while let Ok(length @ 1..) = stream.read_u32().await {
        let _ = stream.read_exact(&mut vec![0; length as usize]).await;
    }
    let _ = stream.write_all(b"stream: OK\0").await;
}
