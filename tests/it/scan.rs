//! Files that are fetched and files that are sent pass clamd first: the real daemon, with one signature of our own.
//! The same before an ICAP service is in scan_icap.rs.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::{Answer, Client, Entry, request};
use crate::support::origin::{Body, Origin, Raw, Spec, gzip, patterned};
use crate::support::proxy::{Proxy, Setup, portward};
use crate::support::{Http, until, within};

/// The name clamd gives it: ours, and that the signature is not one of its own.
pub const SIGNATURE: &str = "Portward.Test.Eicar.UNOFFICIAL";

/// The test file of the scanners' makers, in parts so that no file of this repository is one.
pub fn eicar() -> Vec<u8> {
    let parts = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-ANTIVIRUS", "-TEST-FILE!$H+H*"];
    assert_eq!(parts.concat().len(), 68);
    parts.concat().into_bytes()
}

/// A running clamd that knows one signature: the test file, at the start of a file.
pub struct Clamd {
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
    pub async fn start() -> Clamd {
        Clamd::with("").await
    }

    /// With more lines of clamd.conf.
    pub async fn with(more: &str) -> Clamd {
        let dir = TempDir::with_prefix("portward-clamd-").unwrap();
        let at = dir.path();
        fs::create_dir(at.join("db")).unwrap();
        let name = SIGNATURE.trim_end_matches(".UNOFFICIAL");
        fs::write(at.join("db/own.ndb"), format!("{name}:0:0:{}\n", hex::encode(eicar()))).unwrap();
        let folder = at.display();
        let config = format!(
            "LocalSocket {folder}/socket\nDatabaseDirectory {folder}/db\nTemporaryDirectory {folder}\n\
             Foreground yes\nStreamMaxLength 4M\nMaxThreads 4\n{more}"
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

    pub fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("socket")
    }

    pub fn settings(&self) -> String {
        format!("[scan]\nclamd = \"unix:{}\"\n", self.socket().display())
    }
}

/// An archive with one compressed file.
pub fn zip(content: &[u8]) -> Vec<u8> {
    crate::support::archive::zip(&[("file.txt", content)])
}

pub fn multipart(content: &[u8]) -> Vec<u8> {
    let before = b"--border\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n\
                   --border\r\nContent-Disposition: form-data; name=\"b\"; filename=\"b.bin\"\r\n\
                   Content-Type: application/octet-stream\r\n\r\n";
    [&before[..], content, b"\r\n--border--\r\n"].concat()
}

/// A body, its type and its coding.
pub type Shape = (&'static str, Vec<u8>, &'static str, &'static str);

pub const BINARY: &str = "application/octet-stream";
pub const FORM: &str = "multipart/form-data; boundary=border";

pub fn shapes(content: &[u8]) -> Vec<Shape> {
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
pub fn post(body: &[u8], content_type: &str, coding: (&str, &str)) -> Request<Body> {
    let mut fields = vec![("content-type", content_type)];
    if !coding.1.is_empty() {
        fields.push(coding);
    }
    request("POST", "https://origin.test/echo", &fields, Bytes::copy_from_slice(body))
}

pub async fn start(settings: &str) -> (Origin, Proxy, Client) {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).config(settings).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    (origin, proxy, client)
}

pub async fn record(proxy: &Proxy, answer: &Answer) -> Value {
    let receipt = answer.header("portward-receipt").to_owned();
    assert!(!receipt.is_empty(), "no receipt: {:?}", answer.headers);
    proxy.record("the one of the receipt", |record| record["id"] == receipt.as_str()).await
}

/// A page that says what was found, its record, and the explanation of its receipt.
async fn assert_found(proxy: &Proxy, answer: &Answer, side: &str, case: &str) {
    assert_found_by("clamd", proxy, answer, side, case).await;
}

pub async fn assert_found_by(engine: &str, proxy: &Proxy, answer: &Answer, side: &str, case: &str) {
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{case}: {}", answer.text());
    assert!(answer.text().contains("Malware was found"), "{case}: {}", answer.text());
    let record = record(proxy, answer).await;
    assert_eq!((&record["verdict"], &record["reason"]), (&"blocked".into(), &"malware".into()), "{case}");
    let scan = &record[side];
    assert_eq!(
        (&scan["engine"], &scan["result"], &scan["signature"]),
        (&engine.into(), &"found".into(), &SIGNATURE.into()),
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
pub fn long() -> Vec<u8> {
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
    let settings = |time: &str| {
        let at = silent.local_addr().unwrap();
        format!("[scan]\nclamd = \"tcp:{at}\"\ntime = \"{time}\"\nconnections = 4\nskip = [\"text/plain\"]\n")
    };
    let sends = |client: &Client| {
        let client = client.clone();
        async move { client.send(Http::H1, "origin.test", post(b"a file", BINARY, ("", ""))).await }
    };
    let (_origin, proxy, client) = start(&settings("59s")).await;
    let mut waiting = tokio::task::JoinSet::from_iter((0..8).map(|_| sends(&client)));
    // No client has more than half of them.
    let _taken = [silent.accept().await.unwrap(), silent.accept().await.unwrap()];
    for http in Http::BOTH {
        for _ in 0..10 {
            assert_eq!(client.get(http, "https://origin.test/").await.status, StatusCode::OK);
        }
    }
    assert!(waiting.try_join_next().is_none(), "the others were served while these waited");
    waiting.abort_all();
    let skipped =
        proxy.record("a skipped type", |record| record["response_scan"]["result"] == "skipped").await;
    assert_eq!(skipped["verdict"], "passed");

    let (_origin, proxy, client) = start(&settings("1s")).await;
    let mut waiting = tokio::task::JoinSet::from_iter((0..8).map(|_| sends(&client)));
    while let Some(answer) = within("an answer without a verdict", waiting.join_next()).await {
        assert_eq!(answer.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let late = |record: &&Value| record["reason"] == "scan_unavailable";
    until("the records", || (proxy.audit().iter().filter(late).count() == 8).then_some(())).await;
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

/// Has one file, and serves pieces of it: those that are asked for, or the first half whatever was asked for.
async fn serves_pieces(file: Vec<u8>, always: bool) -> Raw {
    Raw::tls("origin.test", move |mut wire, _| {
        let file = file.clone();
        async move {
            while let Some(head) = wire.head().await {
                let range = head.lines().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
                let range = range.or(always.then(|| format!("0-{}", file.len() / 2)));
                let Some(range) = range else {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {BINARY}\r\nContent-Length: {}\r\n\r\n", file.len());
                    wire.write([head.as_bytes(), &file].concat()).await;
                    continue;
                };
                let (from, to) = range.split_once('-').unwrap();
                let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                let piece = &file[from..=to.min(file.len() - 1)];
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\nContent-Type: {BINARY}\r\nContent-Range: bytes {range}/{}\r\nContent-Length: {}\r\n\r\n",
                    file.len(),
                    piece.len()
                );
                wire.write([head.as_bytes(), piece].concat()).await;
            }
        }
    })
    .await
}

async fn asks_for(client: &Client, http: Http, range: &str) -> Answer {
    let fields = [("range", range), ("if-range", "\"tag\"")];
    client.send(http, "origin.test", request("GET", "https://origin.test/file", &fields, "")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_fetched_in_pieces_is_scanned_whole() {
    let clamd = Clamd::start().await;
    let twin: Vec<u8> = eicar().iter().rev().copied().collect();
    for (file, infected) in [(eicar(), true), (twin, false)] {
        let origin = serves_pieces(file.clone(), false).await;
        let proxy = Setup::new().raw(&origin).config(&clamd.settings()).start().await;
        let client = Client::new(Entry::HttpProxy, &proxy);
        for http in Http::BOTH {
            // As a downloader with several connections asks, each for its own piece.
            let ranges = ["bytes=0-33", "bytes=34-67"];
            let answers =
                futures_util::future::join_all(ranges.map(|range| asks_for(&client, http, range))).await;
            for answer in answers {
                if infected {
                    assert_found(&proxy, &answer, "response_scan", &format!("{http:?}")).await;
                } else {
                    assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &file[..]), "{http:?}");
                }
            }
        }
        let told = || proxy.audit().iter().filter(|record| record["range_removed"] == true).count() == 4;
        until("records that say so", || told().then_some(())).await;
        for head in origin.received() {
            let head = String::from_utf8_lossy(&head).to_lowercase();
            assert!(!head.contains("range:"), "{head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_comes_all_the_same_is_refused_or_told_apart_from_the_file() {
    let clamd = Clamd::start().await;
    let origin = serves_pieces(b"a file of no harm".to_vec(), true).await;
    for (ranges, status) in [("whole", StatusCode::BAD_GATEWAY), ("pass", StatusCode::PARTIAL_CONTENT)] {
        let settings = clamd.settings() + &format!("ranges = \"{ranges}\"\n");
        let proxy = Setup::new().raw(&origin).config(&settings).start().await;
        let client = Client::new(Entry::HttpProxy, &proxy);
        let answer = asks_for(&client, Http::H1, "bytes=0-4").await;
        assert_eq!(answer.status, status, "{}", answer.text());
        if ranges == "whole" {
            assert_eq!(record(&proxy, &answer).await["reason"], "scan_partial");
        } else {
            assert_eq!(&answer.body[..], b"a fil");
            let record =
                proxy.record("the scan", |record| record["response_scan"]["result"] == "partial").await;
            assert_eq!(
                (&record["response_scan"]["bytes"], &record["range_removed"]),
                (&5.into(), &Value::Null)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scanner_is_changed_by_a_reload() {
    let clamd = Clamd::start().await;
    let (_origin, proxy, client) = start("[rules]\ncore = false\n").await;
    let send =
        async || client.send(Http::H1, "origin.test", post(&eicar(), BINARY, ("", ""))).await.status.as_u16();
    assert_eq!(send().await, 200);
    let settings = clamd.settings();
    let down = "[scan]\nclamd = \"unix:/nowhere/clamd\"\n".to_owned();
    for (text, status) in [(settings.as_str(), 403), (&down, 503), ("", 200), (&settings, 403)] {
        let text = format!("{text}[rules]\ncore = false\n");
        std::fs::write(proxy.dir().join("portward.toml"), text).unwrap();
        proxy.signal(nix::sys::signal::Signal::SIGHUP);
        within("the new scanner", async {
            while send().await != status {
                tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            }
        })
        .await;
    }
    assert!(!proxy.stderr.text().contains("`scan` takes effect"), "{}", proxy.stderr.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_part_that_passes_by_policy_does_not_hide_the_next() {
    let clamd = Clamd::with("AlertExceedsMax yes\nMaxFiles 3\n").await;
    let settings = clamd.settings() + "unscannable = \"pass\"\n[rules]\ncore = false\n";
    let (origin, proxy, client) = start(&settings).await;
    let many =
        crate::support::archive::zip(&[("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4"), ("e", b"5")]);
    let head = "--border\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\n";
    let both = [head.as_bytes(), &many, b"\r\n", &multipart(&eicar())].concat();
    let answer = client.send(Http::H1, "origin.test", post(&both, FORM, ("", ""))).await;
    assert_found(&proxy, &answer, "request_scan", "the second").await;
    assert_eq!(origin.seen().len(), 0);
    let first = [head.as_bytes(), &many, b"\r\n--border--\r\n"].concat();
    let answer = client.send(Http::H1, "origin.test", post(&first, FORM, ("", ""))).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let told =
        proxy.record("what kept it from looking", |r| r["request_scan"]["result"] == "unscannable").await;
    assert_eq!(told["request_scan"]["signature"], "Heuristics.Limits.Exceeded.MaxFiles");
}

#[test]
fn an_address_that_is_none_is_refused_with_its_place() {
    let refused = Setup::new().config("[scan]\nclamd = \"/run/clamd\"").refused();
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("unix:/run/clamav/clamd.ctl"), "{}", refused.stderr);
    for (settings, told) in [
        ("icap = \"icap://scanner.test/avscan\"", "icap://127.0.0.1:1344/avscan"),
        ("clamd = \"tcp:127.0.0.1:1\"\nicap = \"icap://127.0.0.1/a\"", "two scanners"),
        ("icap_upload = \"icap://127.0.0.1/a\"", "for uploads only"),
        ("clamd = \"tcp:127.0.0.1:1\"\nmax_bytes = \"0\"", "at least 1"),
        ("clamd = \"tcp:127.0.0.1:1\"\ndirections = []", "nothing would be scanned"),
    ] {
        let refused = Setup::new().config(&format!("[scan]\n{settings}")).refused();
        assert!(refused.code == Some(2) && refused.stderr.contains(told), "{}", refused.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_its_coding_says_is_scanned_as_it_stands() {
    let clamd = Clamd::start().await;
    let raw = Raw::tls("origin.test", |mut wire, _| async move {
        wire.head().await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {BINARY}\r\nContent-Encoding: gzip\r\n");
        wire.write(&[format!("{head}Content-Length: 68\r\n\r\n").as_bytes(), &eicar()].concat()).await;
        wire.drained().await;
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
