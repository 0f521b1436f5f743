//! One record for each exchange, written once, without secrets, and not lost to a restart or a full disk.

use std::fs;

use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;

use crate::support::attack::{self, blocked};
use crate::support::client::{Client, Entry, get, request};
use crate::support::origin::{HELLO, Spec};
use crate::support::proxy::{Setup, portward};
use crate::support::{Http, peer, until};

#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_has_exactly_one_record() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut proxy = Setup::new().origin(&origin).start().await;
    for http in Http::BOTH {
        let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", http).await.unwrap();
        for turn in 0..40 {
            let answer = connection.send(get(&format!("https://origin.test/{http:?}/{turn}"))).await;
            assert_eq!(answer.text(), HELLO);
        }
    }
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.ended().await.success());
    let records: Vec<_> = proxy.audit().into_iter().filter(|r| r["kind"] == "exchange").collect();
    assert_eq!(records.len(), 80);
    let ids: std::collections::BTreeSet<&str> = records.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 80, "a receipt of its own each");
    for record in &records {
        assert_eq!(record["verdict"], "passed", "{record}");
        assert_eq!(record["status"], 200, "{record}");
        assert_eq!(record["stage"], "done", "{record}");
        assert_eq!(record["method"], "GET", "{record}");
        assert!(record["bytes_to_client"].as_u64().unwrap() >= HELLO.len() as u64, "{record}");
        assert!(record["duration_ms"].as_f64().unwrap() > 0.0, "{record}");
        assert!(record["rules"].as_str().is_some_and(|rules| !rules.is_empty()), "{record}");
        assert_eq!(
            record["origin_leg"]["certificate"]["sha256"].as_str().map(str::len),
            Some(64),
            "{record}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn secrets_stay_out_of_everything_that_is_written() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut proxy = Setup::new().args(["--log", "debug"]).origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy).user("someone", "CANARYproxy");
    let fields = [
        ("authorization", "Bearer CANARYbearer"),
        ("cookie", "session=CANARYcookie; theme=dark"),
        ("x-api-key", "CANARYapikey"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let harmless = "https://origin.test/?password=CANARYquery&access_token=CANARYtoken&page=2";
    let answer = client.send(Http::H1, "origin.test", request("GET", harmless, &fields, "")).await;
    assert_eq!(answer.status, 200);
    // The same secrets beside an attack, so that the record tells of matches.
    let evil =
        "https://origin.test/login?password=CANARYquery&id=1%20UNION%20SELECT%20password%20FROM%20users--";
    let body = "password=CANARYform&q=1+UNION+SELECT+x+FROM+y--";
    for http in Http::BOTH {
        let answer = client.send(http, "origin.test", request("POST", evil, &fields, body)).await;
        blocked("with secrets", &answer);
        assert!(!answer.text().contains("CANARY"), "{}", answer.text());
    }
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.ended().await.success());
    assert!(proxy.audit().len() >= 3);
    let log = fs::read_to_string(proxy.audit_path()).unwrap();
    for (place, text) in [
        ("the audit log", log),
        ("standard error", proxy.stderr.text()),
        ("standard output", proxy.stdout.text()),
    ] {
        assert!(!text.contains("CANARY"), "a secret in {place}: {text}");
    }
    // The origin got them all.
    let seen = origin.only();
    assert_eq!(seen.headers["authorization"], "Bearer CANARYbearer");
    assert!(seen.target.contains("CANARYquery") && seen.target.contains("CANARYtoken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_survive_a_restart_and_are_still_explained() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl").display().to_string();
    let mut receipts = Vec::new();
    for life in 0..3 {
        let mut proxy = Setup::new().audit_log(&path).origin(&origin).start().await;
        let answer = Client::new(Entry::HttpProxy, &proxy)
            .send(Http::H1, "origin.test", attack::query().request("origin.test"))
            .await;
        receipts.push(blocked("an attack", &answer));
        // A life ends well, or at once in the middle of everything.
        if life == 1 {
            proxy.record("the block", |r| r["id"] == receipts[life].as_str()).await;
            proxy.signal(Signal::SIGKILL);
        } else {
            proxy.signal(Signal::SIGTERM);
        }
        proxy.ended().await;
    }
    for receipt in &receipts {
        let told = portward(&["explain", receipt, "--audit-log", &path]);
        assert!(told.status.success(), "{receipt}: {}", String::from_utf8_lossy(&told.stderr));
    }
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_line_that_a_crash_tore_does_not_spoil_the_next() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    fs::write(&path, "{\"id\":\"0000000000000000\",\"time\":\"2026-").unwrap();
    let mut proxy = Setup::new().audit_log(&path.display().to_string()).origin(&origin).start().await;
    assert_eq!(
        Client::new(Entry::HttpProxy, &proxy).get(Http::H1, "https://origin.test/after").await.text(),
        HELLO
    );
    proxy.signal(Signal::SIGTERM);
    proxy.ended().await;
    let text = fs::read_to_string(&path).unwrap();
    let whole: Vec<serde_json::Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(whole.iter().any(|r| r["url"].as_str().is_some_and(|u| u.ends_with("/after"))), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
pub async fn a_full_disk_stops_no_traffic_and_loses_no_record_that_the_queue_can_hold() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let setup = Setup::new();
    let disk = setup.dir().join("disk");
    fs::create_dir(&disk).unwrap();
    let log = disk.join("audit.jsonl");
    // A file system of its own, that has no room left but a little.
    let script = format!(
        "mount -t tmpfs -o size=1m none {0} && dd if=/dev/zero of={0}/filler bs=1k count=1000 2>/dev/null; exec \"$@\"",
        disk.display()
    );
    let setup =
        setup.behind(["unshare", "-m", "sh", "-c", &script, "sh"]).audit_log(&log.display().to_string());
    let proxy = setup.origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    let mut connection = client.https("origin.test", Http::H1).await.unwrap();
    for turn in 0..300 {
        assert_eq!(
            connection.send(get(&format!("https://origin.test/{turn}"))).await.text(),
            HELLO,
            "turn {turn}"
        );
    }
    let warning = |line: &str| line.contains("audit") && line.contains("No space left");
    proxy.stderr.line("a warning about the full disk", warning).await;
    let inside = format!("/proc/{}/root{}", proxy.pid(), disk.display());
    let count = || {
        let text = fs::read_to_string(format!("{inside}/audit.jsonl")).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let lines: Vec<serde_json::Value> =
            whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.iter().filter(|r| r["kind"] == "exchange").count()
    };
    assert!(count() < 300, "the disk was not full");
    fs::remove_file(format!("{inside}/filler")).unwrap();
    until("every record to be written", || (count() == 300).then_some(())).await;
}

#[test]
fn an_audit_log_that_cannot_be_opened_stops_the_start_with_its_path() {
    // Not even root can write into /proc.
    let path = "/proc/portward/audit.jsonl";
    let refused = Setup::new().audit_log(path).refused();
    assert!(matches!(refused.code, Some(1 | 2)), "{refused:?}");
    assert!(refused.stderr.contains("/proc/portward"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_rotated_and_only_so_many_are_kept() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut proxy =
        Setup::new().config("[audit]\nmax_size = \"64KiB\"\nkeep = 2").origin(&origin).start().await;
    let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", Http::H1).await.unwrap();
    for turn in 0..500 {
        assert_eq!(connection.send(get(&format!("https://origin.test/{turn}"))).await.text(), HELLO);
    }
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.ended().await.success());
    let mut files: Vec<_> = fs::read_dir(proxy.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("audit.jsonl"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 3, "the log and two old ones: {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.len() < 80 << 10, "{file:?} has {} bytes", text.len());
        assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{file:?}");
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions()) & 0o077,
            0
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
pub async fn nothing_a_client_sends_breaks_a_line_or_reaches_a_terminal() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut proxy = Setup::new().args(["--log", "debug"]).origin(&origin).start().await;
    let mut stream =
        Client::new(Entry::HttpProxy, &proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    let ask = "GET /%0d%0a%1b[31mred%22%7d?a=%0a{\"id\":1}\u{9b}31m HTTP/1.1\r\nHost: origin.test\r\n\
               User-Agent: \u{9b}31m\"}\\\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    crate::support::client::rest(&mut stream).await;
    for target in ["x\u{1b}[31m:443", "a\"b:443", "{}:443"] {
        let _ = Client::new(Entry::HttpProxy, &proxy).tunnel(target, 443).await;
    }
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.ended().await.success());
    assert!(!proxy.audit().is_empty());
    let log = fs::read(proxy.audit_path()).unwrap();
    let shown = proxy.stderr.text().into_bytes();
    for (place, text) in [("the audit log", log), ("standard error", shown)] {
        let bad = text.iter().position(|&b| b < 0x20 && b != b'\n' && b != b'\t');
        assert_eq!(bad, None, "a control byte in {place}: {}", String::from_utf8_lossy(&text));
        assert!(!String::from_utf8_lossy(&text).contains('\u{9b}'), "a C1 control in {place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_is_recorded_as_that() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    for http in Http::BOTH {
        let mut connection = Client::new(Entry::HttpProxy, &proxy).https("origin.test", http).await.unwrap();
        let response =
            connection.start(get(&format!("https://origin.test/bytes/10000000000?{http:?}"))).await.unwrap();
        drop((response, connection));
        let mark = format!("?{http:?}");
        let record = proxy.record("the end", |r| r["url"].as_str().is_some_and(|u| u.ends_with(&mark))).await;
        assert_eq!(record["reason"], "client_gone", "{record}");
        assert_eq!(record["verdict"], "failed", "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_can_go_to_standard_output() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().config("[audit]\nstdout = true").origin(&origin).start().await;
    let mut curl = peer::command("curl");
    curl.args(["-sS", "-x", &format!("http://{}", proxy.addr()), "--cacert"]).arg(proxy.ca_pem());
    curl.arg("https://origin.test/seen");
    assert_eq!(peer::run(curl).await.ok().text(), HELLO);
    let line = proxy.stdout.line("a record", |line| line.starts_with('{') && line.contains("/seen")).await;
    let record: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["status"], 200);
}
