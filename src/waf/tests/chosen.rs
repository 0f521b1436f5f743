//! Sets and exclusion packs that hold only when they are asked for.

use serde_json::{Value, json};

use super::super::lang::ast::SetupMode;
use super::super::{Choice, Engine, LoadError, Settings, Source, Sources};
use super::*;

/// A set named so, with a rule of this id that blocks the argument `x`.
fn named(name: &str, id: u32, mode: Value) -> Value {
    let mut set = set(json!([rule(id, contains(json!(["args"]), "x"))]));
    set["name"] = json!(name);
    if !mode.is_null() {
        set["mode"] = mode;
    }
    set
}

fn setup(key: &str, value: Value) -> Value {
    json!({ "setup": { key: value } })
}

/// Whether a request with `x` is stopped, and by which rules it is noticed.
fn outcome(files: &[Value], settings: &Settings) -> (bool, Vec<u32>) {
    let engine = compile_all(files, settings);
    let mut transaction = engine.begin(&facts());
    let stopped = transaction.request_headers(&head("/?q=x", &[])) != Decision::Continue;
    (stopped, ids(&transaction.finish()))
}

fn asked(name: &str, mode: SetupMode) -> Settings {
    let choice = Choice { name: name.to_owned(), value: mode, said_at: "--rule-set".to_owned() };
    Settings { sets: vec![choice], ..Settings::default() }
}

fn errors(files: &[Value], settings: &Settings) -> Vec<LoadError> {
    let files = files.iter().enumerate();
    let files = files.map(|(at, file)| Source { name: format!("{at}.json"), text: file.to_string() });
    let sources = Sources { files: files.collect(), ..Sources::default() };
    Engine::compile(&sources, settings).expect_err("it must not load")
}

#[test]
fn a_set_that_is_off_does_not_run_until_it_is_asked_for() {
    let off = || named("quiet", 1, json!("off"));
    assert_eq!(outcome(&[off()], &Settings::default()), (false, vec![]));
    assert_eq!(outcome(&[off()], &asked("quiet", SetupMode::Detect)), (false, vec![1]));
    assert_eq!(outcome(&[off()], &asked("quiet", SetupMode::Block)), (true, vec![1]));
    // Examples and measurements ask for all.
    let every = Settings { run_every_set: true, ..Settings::default() };
    assert_eq!(outcome(&[off()], &every), (true, vec![1]));
}

#[test]
fn the_configuration_wins_over_the_setup_and_the_setup_over_the_file() {
    let files = |own: Value, in_setup: Value| [named("quiet", 1, own), setup("sets", in_setup)];
    let none = Settings::default();
    assert_eq!(outcome(&files(json!("off"), json!({"quiet": "detect"})), &none), (false, vec![1]));
    assert_eq!(outcome(&files(json!("off"), json!({"quiet": "block"})), &none), (true, vec![1]));
    assert_eq!(outcome(&files(Value::Null, json!({"quiet": "off"})), &none), (false, vec![]));
    assert_eq!(outcome(&files(json!("detect"), json!({"quiet": "block"})), &none), (true, vec![1]));
    let off = asked("quiet", SetupMode::Off);
    assert_eq!(outcome(&files(Value::Null, json!({"quiet": "block"})), &off), (false, vec![]));
    // A later setup file speaks for the names it has.
    let mut both = files(json!("off"), json!({"quiet": "block"})).to_vec();
    both.push(named("other", 2, json!("off")));
    both.push(setup("sets", json!({"other": "detect"})));
    assert_eq!(outcome(&both, &none), (true, vec![1]));
    both.push(setup("sets", json!({"quiet": "off"})));
    assert_eq!(outcome(&both, &none), (false, vec![2]));
}

#[test]
fn a_shadow_rule_stays_one_when_its_set_blocks() {
    let mut set = named("quiet", 1, json!("off"));
    set["rules"][0]["mode"] = json!("detect");
    assert_eq!(outcome(&[set], &asked("quiet", SetupMode::Block)), (false, vec![1]));
}

#[test]
fn a_set_that_is_off_has_to_be_right_all_the_same_and_exclusions_may_name_it() {
    let mut broken = named("quiet", 1, json!("off"));
    broken["rules"][0]["when"]["operator"] = json!({ "rx": "(" });
    assert_eq!(errors(&[broken], &Settings::default()).len(), 1);
    let exclusion = json!({"name": "e", "version": "1", "exclusions": [{"rules": [1], "reason": "r"}]});
    let files = [named("quiet", 1, json!("off")), exclusion];
    assert_eq!(outcome(&files, &Settings::default()), (false, vec![]));
    assert_eq!(outcome(&files, &asked("quiet", SetupMode::Block)), (false, vec![]));
}

#[test]
fn an_unknown_set_is_an_error_with_its_place_and_the_nearest_name() {
    let set = named("cryptominers", 1, json!("off"));
    let told = errors(&[set.clone(), setup("sets", json!({"cryptominer": "block"}))], &Settings::default());
    assert_eq!(
        told[0].to_string(),
        "1.json:1:19: no loaded file is a rule set named `cryptominer` (did you mean `cryptominers`?)"
    );
    let told = errors(std::slice::from_ref(&set), &asked("cryptomners", SetupMode::Block));
    assert_eq!(
        told[0].to_string(),
        "--rule-set: no loaded file is a rule set named `cryptomners` (did you mean `cryptominers`?)"
    );
    let told = errors(&[set, setup("sets", json!({"cryptominers": "on"}))], &Settings::default());
    assert_eq!((told[0].line, told[0].problem.as_str()), (1, "unknown mode `on`"));
}

/// A pack that takes rule 1 out for paths below /edit.
fn pack(enabled: Value) -> Value {
    let mut file = json!({"name": "editor", "version": "1", "exclusions": [
        {"rules": [1], "variables": ["args:body"], "paths": ["/edit/*"], "reason": "r"}]});
    if !enabled.is_null() {
        file["enabled"] = enabled;
    }
    file
}

fn passes(files: &[Value], settings: &Settings, host: &str, target: &str) -> bool {
    let engine = compile_all(files, settings);
    let mut transaction = engine.begin(&facts());
    transaction.request_headers(&RequestHead { host, ..head(target, &[]) }) == Decision::Continue
}

#[test]
fn a_pack_holds_only_on_the_hosts_that_it_is_switched_on_for() {
    let set = || named("s", 1, Value::Null);
    let given = |hosts: &[&str]| {
        let value = hosts.iter().map(|host| host.to_string()).collect();
        let choice = Choice { name: "editor".into(), value, said_at: "--exclusion-pack".into() };
        Settings { exclusion_packs: vec![choice], ..Settings::default() }
    };
    let at = |settings: &Settings, host: &str| {
        passes(&[set(), pack(json!(false))], settings, host, "/edit/1?body=x")
    };
    assert!(!at(&Settings::default(), "blog.test"), "a pack is off by default");
    let two = given(&["Blog.test", "*.example.org"]);
    let expected =
        [("blog.test", true), ("a.example.org", true), ("example.org", false), ("shop.test", false)];
    for (host, expect) in expected {
        assert_eq!(at(&two, host), expect, "{host}");
    }
    assert!(at(&given(&["*"]), "shop.test") && !at(&given(&[]), "shop.test"));
    // What the pack itself narrows stays narrow.
    let files = [set(), pack(json!(false))];
    assert!(!passes(&files, &two, "blog.test", "/other?body=x"));
    assert!(!passes(&files, &two, "blog.test", "/edit/1?title=x"));
    // The setup switches on as well, and the configuration wins over it.
    let written = [set(), pack(json!(false)), setup("exclusion_packs", json!({"editor": ["shop.test"]}))];
    assert!(passes(&written, &Settings::default(), "shop.test", "/edit/1?body=x"));
    assert!(!passes(&written, &two, "shop.test", "/edit/1?body=x"));
    // A file that is no pack holds everywhere until it is given hosts.
    for enabled in [Value::Null, json!(true)] {
        let files = [set(), pack(enabled)];
        assert!(passes(&files, &Settings::default(), "shop.test", "/edit/1?body=x"));
        assert!(!passes(&files, &two, "shop.test", "/edit/1?body=x"));
    }
}

#[test]
fn an_unknown_pack_or_host_is_an_error_with_its_place() {
    let files =
        |packs: Value| [named("s", 1, Value::Null), pack(json!(false)), setup("exclusion_packs", packs)];
    let told = errors(&files(json!({"editors": ["*"]})), &Settings::default());
    assert_eq!(
        told[0].to_string(),
        "2.json:1:30: no loaded file is an exclusion file named `editors` (did you mean `editor`?)"
    );
    let told = errors(&files(json!({"editor": ["a b"]})), &Settings::default());
    assert!(told[0].to_string().starts_with("2.json:1:40: `a b` is not a host"), "{}", told[0]);
    assert_eq!(errors(&files(json!({"editor": "*"})), &Settings::default()).len(), 1);
    let bad = Choice { name: "editor".into(), value: vec!["*.1.2.3.4".into()], said_at: "f.toml:2:1".into() };
    let settings = Settings { exclusion_packs: vec![bad], ..Settings::default() };
    let told = errors(&files(json!({})), &settings);
    assert_eq!(told[0].to_string(), "f.toml:2:1: `*.` before an address stands for nothing");
}
