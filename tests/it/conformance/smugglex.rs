//! `smugglex`: probes for requests that two readers take apart differently, through Portward to origins that read for
//! themselves. It must find nothing; and no origin may have got a request that is not one in the audit log.
//!
//! It judges by time: a request that is answered late, or not at all, is a finding where an ordinary one is quick.
//! `PORTWARD_DESYNC=fuzz` has it change its probes at random as well. Some of those promise a body that never comes,
//! and whoever reads a request before passing it on waits for that: such a finding is told from one here by the
//! probe's own bytes, and every other one fails.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;

use super::tool;
use crate::framing::lab::{Kind, answer, messages};
use crate::support::client::{Client, Entry};
use crate::support::door::Door;
use crate::support::nginx::Nginx;
use crate::support::origin::Raw;
use crate::support::peer::{self, command};
use crate::support::proxy::{Proxy, Setup};
use crate::support::python::Server;
use crate::support::{Http, until};

/// Every check there is for a connection that may be a tunnel.
const CHECKS: &str = "cl-te,te-cl,te-te,h2c,h2,cl-edge,cl-0,0-cl,parser-discrepancy";

/// One at a time: what it takes for a finding is an answer that is late.
static TURN: Mutex<()> = Mutex::const_new(());

/// Runs it and returns its checks.
async fn scan(args: &[&str]) -> Vec<Value> {
    let _turn = TURN.lock().await;
    let mut smugglex = tool("smugglex");
    smugglex.args(["--json", "--no-color"]).args(args);
    let said = peer::run_within(Duration::from_secs(400), smugglex).await;
    let found: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    let checks = found["results"][0]["checks"].as_array().unwrap_or_else(|| panic!("{found}")).clone();
    for check in &checks {
        assert!(check["normal_status"].as_str().is_some_and(|s| s.contains("200")), "no baseline: {check}");
    }
    checks
}

/// A head that says how long its body is, and less of it than that.
fn is_unfinished(check: &Value) -> bool {
    let probe = check["payload"].as_str().unwrap_or_default();
    let chunked = probe.to_lowercase().contains("transfer-encoding");
    !chunked && messages(probe.as_bytes(), Kind::Request).last().is_some_and(|last| !last.complete)
}

fn assert_nothing_found(title: &str, checks: &[Value], least: usize) {
    let fuzzed = std::env::var("PORTWARD_DESYNC").is_ok_and(|value| value == "fuzz");
    for check in checks {
        let found = check["vulnerable"] != false;
        let excused = found && fuzzed && is_unfinished(check);
        let word = if excused { "waits for a body that never comes" } else { "nothing" };
        println!("{title}: {} {}", check["check_type"], if found && !excused { "FOUND" } else { word });
        assert!(!found || excused, "{title}: {check:#}");
    }
    assert!(checks.len() >= least, "{title}: {} checks ran", checks.len());
}

/// Scans `url` through the proxy.
async fn scan_through(proxy: &Proxy, url: &str) -> Vec<Value> {
    let (proxied, ca) = (format!("http://{}", proxy.addr()), proxy.ca_pem().display().to_string());
    let mut args = vec!["--proxy", &proxied, "--cacert", &ca, "--checks", CHECKS, "--timeout", "15"];
    if std::env::var("PORTWARD_DESYNC").is_ok_and(|value| value == "fuzz") {
        args.push("--fuzz");
    }
    args.push(url);
    scan(&args).await
}

/// Each request at the origin is one that the proxy read as such, and let pass.
async fn assert_each_is_recorded(proxy: &Proxy, arrived: impl Fn() -> Vec<String>) {
    until("every request at the origin to be in the audit log", || {
        let mut left: HashMap<String, i64> = HashMap::new();
        for record in proxy.audit().iter().filter(|record| record["origin_leg"]["address"].is_string()) {
            let url = record["url"].as_str().unwrap_or_default();
            let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
            let line = format!("{} {}", record["method"].as_str().unwrap_or_default(), path.unwrap_or("/"));
            *left.entry(line).or_default() += 1;
        }
        let arrived = arrived();
        for line in &arrived {
            *left.entry(line.clone()).or_default() -= 1;
        }
        (arrived.len() > 50 && left.values().all(|count| *count >= 0)).then_some(())
    })
    .await;
}

/// Method and target of nginx's access log.
fn logged(access: &str) -> Vec<String> {
    let lines = access.lines().filter_map(|line| line.split('"').nth(1));
    lines.map(|request| request.rsplit_once(' ').map_or(request, |(line, _)| line).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_smugglex_finds_nothing_before_nginx() {
    let nginx = Nginx::start(Http::H1, 3).await;
    let proxy = Setup::new()
        .arg("--no-core-rules")
        .route("origin.test", 80, nginx.plain)
        .route("origin.test", 443, nginx.addr)
        .start()
        .await;
    for url in ["http://origin.test/post", "https://origin.test/post"] {
        assert_nothing_found(&format!("nginx, {url}"), &scan_through(&proxy, url).await, 9);
    }
    // HTTP/2 in, HTTP/1.1 out; for this the program knows of no proxy.
    let door = Door::to(Client::new(Entry::HttpProxy, &proxy), "origin.test").await;
    let url = format!("https://{}/post", door.addr);
    let args = ["--insecure", "--vhost", "origin.test", "--checks", "h2-downgrade", "--timeout", "15", &url];
    assert_nothing_found("nginx, h2-downgrade", &scan(&args).await, 1);
    proxy.record("HTTP/2", |record| record["client_leg"]["protocol"] == "HTTP/2.0").await;
    assert_each_is_recorded(&proxy, || logged(&nginx.access())).await;
}

const NODE: &str = "require('http').createServer((q, r) => {
    console.log(q.method + ' ' + q.url);
    q.on('error', () => {});
    q.resume();
    q.on('end', () => r.end('hello from node'));
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });";

#[tokio::test(flavor = "multi_thread")]
async fn conformance_smugglex_finds_nothing_before_node() {
    let mut node = command("node");
    node.args(["-e", NODE]);
    let node = Server::start(node);
    let proxy = Setup::new().arg("--no-core-rules").route("origin.test", 80, node.addr).start().await;
    assert_nothing_found("node", &scan_through(&proxy, "http://origin.test/").await, 9);
    assert_each_is_recorded(&proxy, || node.lines.all()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_smugglex_finds_nothing_before_an_origin_that_keeps_every_byte() {
    let origin = Raw::plain(|wire, _| {
        answer(wire, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec(), false)
    })
    .await;
    let proxy = Setup::new().arg("--no-core-rules").route("origin.test", 80, origin.addr).start().await;
    assert_nothing_found("raw", &scan_through(&proxy, "http://origin.test/").await, 9);
    let arrived = || {
        let heads = origin.received().into_iter().flat_map(|bytes| messages(&bytes, Kind::Request));
        let lines = heads.filter_map(|message| message.head.lines().next().map(str::to_owned));
        lines.map(|line| line.rsplit_once(' ').map_or(line.clone(), |(front, _)| front.to_owned())).collect()
    };
    assert_each_is_recorded(&proxy, arrived).await;
    for bytes in origin.received() {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        for message in messages(&bytes, Kind::Request) {
            let head = message.head.to_lowercase();
            let both = head.contains("content-length") && head.contains("transfer-encoding");
            assert!(!both, "a request with two lengths: {text:?}");
        }
    }
}

/// The program is not blind: a server that stops at two lengths is what it looks for.
#[tokio::test(flavor = "multi_thread")]
async fn conformance_smugglex_finds_a_server_that_waits_at_two_lengths() {
    let origin = Raw::plain(|mut wire, _| async move {
        let Some(head) = wire.head().await.map(|head| head.to_lowercase()) else { return };
        if !(head.contains("content-length") && head.contains("transfer-encoding")) {
            wire.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
            return wire.shutdown().await;
        }
        wire.drained().await;
    })
    .await;
    let url = format!("http://{}/", origin.addr);
    let found = scan(&["--checks", "cl-te", "--max-payloads", "1", "--timeout", "1", "-1", &url]).await;
    assert_eq!(found[0]["vulnerable"], true, "{found:?}");
}
