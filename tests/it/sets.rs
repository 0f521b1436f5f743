//! Rule sets and exclusion packs that are asked for by name, in the configuration, on the command line, in the
//! environment; and the client's own side: what it fetches and sends.

use std::fs;
use std::process::Command;

use crate::support::client::{Client, Entry, request};
use crate::support::origin::Spec;
use crate::support::proxy::{PORTWARD, Setup, portward};
use crate::support::{Http, until};

const QUIET: &str = r#"{"name": "quiet", "version": "1", "mode": "off", "rules": [{"id": 900001,
    "phase": "request_headers", "message": "m", "severity": "critical", "then": ["score"],
    "when": {"variables": ["args:q"], "operator": {"streq": "quiet"}}}]}"#;
const PACK: &str = r#"{"name": "editor", "version": "1", "enabled": false, "exclusions": [{"tags": ["attack-xss"],
    "variables": ["args:body"], "paths": ["/edit"], "reason": "An editor."}]}"#;

/// A file of its own for the test.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (dir, path)
}

async fn status(setup: Setup, host: &str, target: &str) -> u16 {
    let origin = Spec::tls(&[host]).start().await;
    let proxy = setup.route(host, 443, origin.addr).start().await;
    let answer = Client::new(Entry::HttpProxy, &proxy)
        .send(Http::H1, host, request("GET", &format!("https://{host}{target}"), &[], ""))
        .await;
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_off_stops_nothing_until_it_is_asked_for() {
    let (_dir, path) = file("quiet.json", QUIET);
    let setup = || Setup::new().args(["--rules", &path]);
    let asked = || setup().config("[rules.sets]\nquiet = \"block\"");
    assert_eq!(status(setup(), "origin.test", "/?q=quiet").await, 200);
    assert_eq!(status(asked(), "origin.test", "/?q=quiet").await, 403);
    assert_eq!(status(asked(), "origin.test", "/?q=loud").await, 200);
    // A flag wins over the file.
    assert_eq!(status(asked().args(["--rule-set", "quiet=detect"]), "origin.test", "/?q=quiet").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_lets_its_editor_post_on_the_host_it_is_switched_on_for_and_on_no_other() {
    let (_dir, path) = file("pack.json", PACK);
    let markup = "/edit?body=%3Cscript%3Ealert(1)%3C/script%3E";
    let setup = || Setup::new().args(["--rules", &path]);
    let on = || setup().config("[rules.exclusion_packs]\neditor = [\"blog.test\", \"*.blogs.test\"]");
    assert_eq!(status(setup(), "blog.test", markup).await, 403);
    for (host, target, expect) in [
        ("blog.test", markup, 200),
        ("a.blogs.test", markup, 200),
        ("shop.test", markup, 403),
        ("blog.test", "/view?body=%3Cscript%3Ealert(1)%3C/script%3E", 403),
    ] {
        assert_eq!(status(on(), host, target).await, expect, "{host}{target}");
    }
    let flag = setup().args(["--exclusion-pack", "editor=shop.test"]);
    assert_eq!(status(flag, "shop.test", markup).await, 200);
}

#[test]
fn a_name_that_nothing_has_stops_check_with_its_place_and_the_nearest_name() {
    let (_dir, path) = file("quiet.json", QUIET);
    let (dir, config) = file("portward.toml", "[rules.sets]\nquite = \"block\"\n");
    let ca = dir.path().join("ca").display().to_string();
    let said = |command: &mut Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
    };
    let check = ["check", "--ca", &ca, "--rules", &path];
    let told = said(Command::new(PORTWARD).args(check).args(["--config", &config]));
    assert!(told.contains("portward.toml:2:9: no loaded file is a rule set named `quite`"), "{told}");
    assert!(told.contains("did you mean `quiet`?"), "{told}");
    let told = said(Command::new(PORTWARD).args(check).args(["--rule-set", "quiet=on"]));
    assert!(told.contains("NAME=MODE"), "{told}");
    let told = said(Command::new(PORTWARD).args(check).env("PORTWARD_RULE_SETS", "quite=off"));
    assert!(told.contains("did you mean `quiet`?"), "{told}");
    let told = said(Command::new(PORTWARD).args(["rules", "check", &path, "--exclusion-pack", "editor=*"]));
    assert!(told.contains("no loaded file is an exclusion file named `editor`"), "{told}");
}

#[test]
fn sets_that_are_off_are_listed_so_and_their_examples_are_run() {
    let (_dir, path) =
        file("quiet.json", &QUIET.replace(r#""then""#, r#""examples": {"match": ["GET /?q=loud"]}, "then""#));
    let listed = portward(&["rules", "list", &path, "--no-core-rules"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(" off     quiet "), "{listed:?}");
    let tested = portward(&["rules", "test", &path, "--no-core-rules"]);
    assert_eq!(tested.status.code(), Some(1), "{tested:?}");
    assert!(String::from_utf8_lossy(&tested.stdout).contains("rule 900001 should match"), "{tested:?}");
}

/// The first bytes of a program for Windows, and more behind them than is looked at.
fn program() -> Vec<u8> {
    let mut bytes = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00".to_vec();
    bytes.resize(128, 0);
    bytes.extend_from_slice(b"PE\x00\x00d\x86");
    bytes.resize(200_000, 7);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_behind_the_type_of_a_picture_is_stopped_by_its_first_bytes_when_asked() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let picture = [b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR".to_vec(), vec![7; 200_000]].concat();
    for (args, expect) in [(vec![], 200), (vec!["--rule-set", "malware-downloads=block"], 403)] {
        let setup = args.iter().fold(Setup::new().origin(&origin), |setup, arg| setup.arg(*arg));
        let proxy = setup.start().await;
        for http in Http::BOTH {
            for entry in Entry::EXPLICIT {
                let client = Client::new(entry, &proxy);
                let echo = |body: &[u8]| {
                    let kind = [("content-type", "image/png")];
                    client.send(
                        http,
                        "origin.test",
                        request("POST", "https://origin.test/echo", &kind, body.to_vec()),
                    )
                };
                let answer = echo(&program()).await;
                assert_eq!(answer.status, expect, "{http:?} {entry:?} {args:?}");
                assert_eq!(answer.body == program(), expect == 200, "{http:?} {entry:?} {args:?}");
                let answer = echo(&picture).await;
                assert!(
                    answer.status == 200 && answer.body == picture,
                    "{http:?} {entry:?} {args:?}: the picture"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_must_not_send_never_arrives_when_its_set_blocks() {
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC".repeat(4));
    let part = format!(
        "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"k\"\r\n\r\n{key}\r\n--b--\r\n"
    );
    let multipart = ("content-type", "multipart/form-data; boundary=b");
    type Field<'a> = (&'a str, &'a str);
    let cases: [(&str, &str, &str, Field, &str); 4] = [
        ("exfiltration", "POST", "/drop", ("content-type", "text/plain"), &key),
        ("exfiltration", "POST", "/drop", multipart, &part),
        (
            "doh-evasion",
            "GET",
            "/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB",
            ("accept", "*/*"),
            "",
        ),
        ("command-and-control", "GET", "/a.exe", ("user-agent", "CertUtil URL Agent"), ""),
    ];
    for (set, method, path, field, body) in cases {
        let origin = Spec::tls(&["origin.test"]).start().await;
        let ask = || request(method, &format!("https://origin.test{path}"), &[field], body.to_owned());
        for (mode, expect) in [("off", 200), ("detect", 200), ("block", 403)] {
            let before = origin.seen().len();
            let rule_set = format!("{set}={mode}");
            let proxy = Setup::new().origin(&origin).args(["--rule-set", &rule_set]).start().await;
            let answer = Client::new(Entry::HttpProxy, &proxy).send(Http::H2, "origin.test", ask()).await;
            assert_eq!(answer.status, expect, "{rule_set} {path}");
            assert_eq!(origin.seen().len() - before, usize::from(expect == 200), "{rule_set} {path}");
            let record =
                until("the record", || proxy.audit().into_iter().find(|r| r["kind"] == "exchange")).await;
            let matched = record["waf"]["matches"].as_array().into_iter().flatten();
            let told = matched.filter(|found| found["rule"].as_u64() >= Some(220_000)).count();
            assert_eq!(told > 0, mode != "off", "{rule_set} {path}: {record}");
        }
    }
}
