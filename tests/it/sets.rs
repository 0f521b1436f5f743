//! Rule sets and exclusion packs that are asked for by name, in the configuration, on the command line, in the
//! environment; and the client's own side: what it fetches and sends.

use std::fs;
use std::process::Command;

use crate::support::Http;
use crate::support::client::{Client, Entry, request};
use crate::support::origin::Spec;
use crate::support::proxy::{PORTWARD, Setup, portward};

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
