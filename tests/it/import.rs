//! Rules written for ModSecurity work in Portward: Debian's package of the OWASP Core Rule Set is imported by the command,
//! and then stops what it is made to stop; so do rules that count between exchanges.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use crate::support::Http;
use crate::support::client::{Client, Entry, request};
use crate::support::origin::{HELLO, Origin, Spec};
use crate::support::proxy::{Proxy, Setup, portward};

/// The files of Debian's package modsecurity-crs in the order in which its own loader includes them.
fn core_rule_set() -> Vec<String> {
    let mut files: Vec<PathBuf> = fs::read_dir("/usr/share/modsecurity-crs/rules")
        .expect("tests/run installs modsecurity-crs")
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    files.sort();
    let setup = PathBuf::from("/etc/modsecurity/crs/crs-setup.conf");
    [setup].into_iter().chain(files).map(|path| path.display().to_string()).collect()
}

/// Imports these files, or says why not.
fn import(files: &[String], to: &str, more: &[&str]) -> std::process::Output {
    let mut args = vec!["rules", "import", "-o", to];
    args.extend(more);
    args.extend(files.iter().map(String::as_str));
    portward(&args)
}

async fn imported(setup: Setup) -> (Origin, Proxy) {
    let to = setup.dir().join("crs").display().to_string();
    let output = import(&core_rule_set(), &to, &["--skip-unsupported"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let origin = Spec::tls(&["origin.test"]).start().await;
    let setup = setup.arg("--rules").arg("{dir}/crs").arg("--no-core-rules").origin(&origin);
    let proxy = setup.start().await;
    (origin, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_imported_core_rule_set_stops_attacks_and_lets_a_page_pass() {
    let (origin, proxy) = imported(Setup::new()).await;
    let browser = &[("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"), ("accept", "*/*")];
    let form = [browser, &[("content-type", "application/x-www-form-urlencoded")][..]].concat();
    for http in Http::BOTH {
        let client = Client::new(Entry::HttpProxy, &proxy);
        let get = |target: &str| request("GET", &format!("https://origin.test{target}"), browser, "");
        let page = client.send(http, "origin.test", get("/page?q=harbour")).await;
        assert_eq!((page.status.as_u16(), page.body.as_ref()), (200, HELLO.as_bytes()), "{http:?}");
        let before = origin.seen().len();
        for (rule, attack) in [
            (942_100, get("/?id=1%27%20OR%20%271%27=%271")),
            (941_100, get("/?q=%3Cscript%3Ealert(1)%3C/script%3E")),
            (930_120, get("/?file=../../../../etc/passwd")),
            (932_160, request("POST", "https://origin.test/", &form, "cmd=%3B%2Fbin%2Fbash+-c+id")),
        ] {
            let answer = client.send(http, "origin.test", attack).await;
            assert_eq!(answer.status.as_u16(), 403, "{rule} {http:?}: {}", answer.text());
            let record = proxy
                .record("the rule and the one that adds up", |record| {
                    let rules = record["waf"]["matches"].as_array().into_iter().flatten();
                    let ids: Vec<u64> = rules.filter_map(|found| found["rule"].as_u64()).collect();
                    ids.contains(&rule) && ids.contains(&949_110)
                })
                .await;
            assert_eq!(record["waf"]["interruption"]["rule"], 949_110, "{record}");
        }
        assert_eq!(origin.seen().len(), before, "{http:?}: an attack arrived");
    }
}

#[test]
fn what_cannot_be_imported_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("out").display().to_string();
    let output = import(&core_rule_set(), &to, &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("REQUEST-910-IP-REPUTATION.conf:") && told.contains("@rbl"), "{told}");
    assert!(told.contains("--skip-unsupported"), "{told}");
    assert!(!dir.path().join("out").exists(), "half an import was written");
    let output = import(&core_rule_set(), &to, &["--skip-unsupported", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["counts"]["rules"].as_u64() > Some(400), "{}", answer["counts"]);
    assert_eq!(answer["counts"]["skipped"], 2, "{}", answer["counts"]);
}

#[test]
fn two_imports_of_the_same_files_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| {
        let to = dir.path().join(name);
        let output = import(&core_rule_set(), &to.display().to_string(), &["--skip-unsupported"]);
        assert!(output.status.success());
        let mut files: Vec<_> = fs::read_dir(&to)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.file_name().unwrap().to_owned(), fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let one = read("one");
    assert!(one.len() > 20);
    assert_eq!(one, read("two"));
    let folder = dir.path().join("one").display().to_string();
    let test = portward(&["rules", "test", &folder]);
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stdout));
}

/// Two hundred rules that all match, some of them many values, with much to say.
fn wordy() -> String {
    let rule = |number: u32| {
        let (phase, targets) = [
            (1, "ARGS|REQUEST_HEADERS"),
            (2, "ARGS"),
            (3, "RESPONSE_STATUS"),
            (4, "RESPONSE_BODY"),
            (5, "ARGS"),
        ][number as usize % 5];
        format!(
            "SecRule {targets} \"@rx .\" \"id:{},phase:{phase},pass,log,capture,t:none,t:urlDecodeUni,t:lowercase,\
             msg:'Rule {number} %{{MATCHED_VAR}}',logdata:'Matched Data: %{{TX.0}} found within %{{MATCHED_VAR_NAME}}: \
             %{{MATCHED_VAR}}',tag:'OWN',tag:'paranoia-level/4',severity:'CRITICAL',setvar:'tx.score=+5'\"\n",
            700_000 + number
        )
    };
    let base = "SecRuleEngine DetectionOnly\nSecResponseBodyAccess On\nSecResponseBodyMimeType text/plain text/html\n\
                SecDefaultAction \"phase:1,log,auditlog,pass\"\n";
    let last = "SecAction \"id:799999,phase:5,pass,t:none,noauditlog,msg:'Score %{tx.score}'\"\n";
    base.to_owned() + &(0..200).map(rule).collect::<String>() + last
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_that_logs_stands_in_the_record_however_many_there_are() {
    let setup = Setup::new().file("wordy.conf", wordy());
    let (from, to) = (setup.dir().join("wordy.conf"), setup.dir().join("wordy"));
    let output = import(&[from.display().to_string()], &to.display().to_string(), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let origin = Spec::tls(&["origin.test"]).start().await;
    let setup = setup.arg("--rules").arg("{dir}/wordy").arg("--no-core-rules").origin(&origin);
    let proxy = setup.start().await;
    let query: Vec<String> = (0..60).map(|n| format!("name{n}={}", "%41value".repeat(10))).collect();
    let url = format!("https://origin.test/page?{}", query.join("&"));
    for http in Http::BOTH {
        let answer = Client::new(Entry::HttpProxy, &proxy).get(http, &url).await;
        assert_eq!(answer.status.as_u16(), 200, "{http:?}");
    }
    for record in [
        proxy.record("HTTP/1.1", |r| r["client_leg"]["protocol"] == "HTTP/1.1" && !r["waf"].is_null()).await,
        proxy.record("HTTP/2", |r| r["client_leg"]["protocol"] == "HTTP/2.0" && !r["waf"].is_null()).await,
    ] {
        let found = record["waf"]["matches"].as_array().expect("rules matched");
        let mut ids: Vec<u64> = found.iter().filter_map(|found| found["rule"].as_u64()).collect();
        ids.dedup();
        let expect: Vec<u64> = (0..5)
            .flat_map(|phase| (0..200).filter(move |n| n % 5 == phase).map(|n| 700_000 + n))
            .chain([799_999])
            .collect();
        assert_eq!(ids, expect);
        // 40 rules for each of 60 arguments in two phases and in logging, one of them for fields, too.
        let score = found.last().and_then(|last| last["message"].as_str()).unwrap_or_default();
        assert!(score.starts_with("Score ") && score.len() >= "Score 36000".len(), "{score}");
    }
}

/// Three requests in an hour from one address, and no more.
const LIMIT: &str = r#"{ "name": "limit", "version": "1", "rules": [
    { "id": 900001, "phase": "request_headers", "message": "Too many logins", "severity": "warning",
      "when": { "variables": ["request_filename"], "operator": { "streq": "/login" } },
      "then": [{ "rate_limit": { "key": "%{remote_addr}", "requests": 3, "seconds": 3600 } }] },
    { "id": 900002, "phase": "request_headers",
      "when": { "variables": ["request_filename"], "operator": { "streq": "/count" } },
      "then": ["no_log", { "init_collection": { "global": "all" } }, { "set": { "global.n": "+1" } }] },
    { "id": 900003, "phase": "request_headers", "message": "Counted to five", "severity": "warning",
      "when": { "variables": ["global:n"], "operator": { "ge": 5 } }, "then": [{ "deny": { "status": 410 } }] }
] }"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_count_outlives_connections_and_reloads() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let setup = Setup::new().file("limit.json", LIMIT).arg("--rules").arg("{dir}/limit.json");
    let proxy = setup.origin(&origin).start().await;
    let status = async |path: &str| {
        let client = Client::new(Entry::HttpProxy, &proxy);
        client.get(Http::H1, &format!("https://origin.test{path}")).await.status.as_u16()
    };
    for _ in 0..3 {
        assert_ne!(status("/login").await, 429);
        assert_ne!(status("/count").await, 410);
    }
    assert_eq!(status("/login").await, 429);
    assert_ne!(status("/other").await, 429);
    proxy.signal(Signal::SIGHUP);
    proxy.stderr.line("the reload", |line| line.contains("reloaded")).await;
    assert_eq!(status("/login").await, 429, "a reload forgot the limit");
    assert_ne!(status("/count").await, 410);
    assert_eq!(status("/count").await, 410, "a reload forgot the count");
}
