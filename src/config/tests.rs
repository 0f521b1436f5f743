//! From text to settings and back, and what is said when the text is wrong.

use std::fs;
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::policy::{AuditFull, Fronting, PortAction};

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
}

fn flags(args: &[&str]) -> Flags {
    Cli::try_parse_from(["portward"].iter().chain(args)).unwrap_or_else(|e| panic!("{args:?}: {e}")).flags
}

/// A machine with nothing but a home directory, and optionally a configuration in the working one.
fn machine(file: Option<&str>) -> (TempDir, System) {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let system = System { cwd: at("cwd"), home: Some(at("home")), etc: at("etc"), ..System::default() };
    if let Some(text) = file {
        fs::write(system.cwd.join("portward.toml"), text).unwrap();
    }
    (dir, system)
}

fn load_text(file: &str, args: &[&str]) -> Result<Config, String> {
    let (_dir, system) = machine(Some(file));
    load(&flags(args), &system).map_err(|e| e.to_string())
}

fn defaults(args: &[&str]) -> Result<Config, String> {
    let (_dir, system) = machine(None);
    load(&flags(args), &system).map_err(|e| e.to_string())
}

#[test]
fn without_anything_written_the_defaults_hold() {
    let (_dir, system) = machine(None);
    let config = load(&Flags::default(), &system).unwrap();
    let state = system.home.as_ref().unwrap().join(".local/state/portward");
    assert_eq!(config.listen, ["127.0.0.1:8443".parse().unwrap()]);
    assert_eq!(config.ca_dir, state.join("ca"));
    assert_eq!(config.audit.path, Some(state.join("audit.jsonl")));
    assert_eq!(config.policy, policy::Config::default());
    assert_eq!(config.limits, Limits::default());
    assert!(config.rules.core && config.rules.mode.is_none());
    assert_eq!((config.file, config.auth_file), (None, None));
}

#[test]
fn the_example_says_the_defaults() {
    let (_dir, system) = machine(Some(EXAMPLE));
    let written = load(&Flags::default(), &system).unwrap();
    fs::remove_file(written.file.as_ref().unwrap()).unwrap();
    let default = load(&Flags::default(), &system).unwrap();
    assert_eq!(Config { file: None, ..written }, default);
}

#[test]
fn what_the_example_leaves_commented_can_be_uncommented() {
    let is_setting = |line: &str| {
        line.strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
            .map(str::to_owned)
    };
    let count = EXAMPLE.lines().filter_map(is_setting).count();
    assert!(count > 20, "only {count} commented settings");
    let text: Vec<String> = EXAMPLE.lines().map(|l| is_setting(l).unwrap_or_else(|| l.to_owned())).collect();
    let (_dir, system) = machine(Some(&text.join("\n")));
    fs::create_dir(system.cwd.join("lists")).unwrap();
    for file in ["users.htpasswd", "company-root.pem", "lists/banking.txt"] {
        fs::write(system.cwd.join(file), "").unwrap();
    }
    let config = load(&Flags::default(), &system).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config.workers, Some(4));
    assert_eq!(config.policy.bypass[0].name.as_ref(), "banking");
    // Whatever can be set is in the example.
    for line in config.render().unwrap().lines() {
        let key = line.split(" = ").next().unwrap();
        assert!(
            text.iter().any(|l| l == line || l.starts_with(&format!("{key} = "))),
            "not in the example: {line}"
        );
    }
}

const FULL: &str = r#"
listen = ["0.0.0.0:3128", "[::]:3128"]
log = "info,portward::origin=debug"
workers = 2
state_dir = "/srv/state"
[[transparent]]
listen = "0.0.0.0:8080"
mode = "tproxy"
[ca]
dir = "/srv/ca"
[clients]
networks = ["10.0.0.0/8", "2001:db8::/32"]
[rules]
core = false
mode = "detect"
paranoia_level = 3
inbound_threshold = 7
[origin]
resolve = ["a.test:192.0.2.7", "a.test:443:[2001:db8::7]"]
[audit]
max_size = "1GiB"
keep = 0
stdout = true
[policy]
other_ports = "tunnel"
allow_private = ["127.0.0.1", "10.0.0.0/8"]
fronting = "allow"
[policy.ports]
22 = "tunnel"
80 = "deny"
[policy.fail]
audit_full = "block"
[[policy.deny]]
name = "no \"games\""
hosts = [".games.test", "10.9.0.0/16"]
identities = ["ann"]
clients = ["10.1.0.0/16"]
reason = "line one\nline two"
[[policy.bypass]]
name = "bank"
hosts = ["*.bank.test"]
[[policy.fronting_allow]]
targets = ["cdn.test"]
hosts = ["shop.test"]
[limits]
tunnel_idle = "90s"
request_window = "2MiB"
h2_streams = 7
window_pause = "50ms"
"#;

#[test]
fn what_is_written_is_what_is_used() {
    let config = load_text(FULL, &[]).unwrap();
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.transparent[0].mode, TransparentMode::Tproxy);
    assert_eq!(config.ca_dir, PathBuf::from("/srv/ca"));
    assert_eq!(config.audit.path, Some(PathBuf::from("/srv/state/audit.jsonl")));
    assert_eq!(config.rules.paranoia_level, Some(3));
    assert_eq!(config.origin.resolve[1].port.unwrap().get(), 443);
    assert_eq!(config.policy.fail.audit_full, AuditFull::Block);
    assert_eq!(config.policy.fronting, Fronting::Allow);
    let ports: Vec<(u16, PortAction)> = config.policy.ports.iter().map(|(p, a)| (p.get(), *a)).collect();
    assert_eq!(
        ports,
        [
            (22, PortAction::Tunnel),
            (80, PortAction::Deny),
            (443, PortAction::Inspect),
            (8443, PortAction::Inspect)
        ]
    );
    assert_eq!(config.limits.tunnel_idle, Duration::from_secs(90));
    assert_eq!(config.limits.request_window, 2 << 20);
    assert_eq!(config.limits.header_time, Limits::default().header_time);
}

#[test]
fn what_is_printed_brings_about_the_same_configuration() {
    for file in ["", FULL, EXAMPLE, "audit.enabled = false"] {
        let (_dir, system) = machine(Some(file));
        let config = load(&Flags::default(), &system).unwrap();
        let text = config.render().unwrap();
        fs::write(system.cwd.join("portward.toml"), &text).unwrap();
        let again = load(&Flags::default(), &system).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(again, config, "{text}");
    }
}

#[test]
fn flags_win_over_the_file_and_a_given_list_replaces_it() {
    let (_dir, system) = machine(Some(FULL));
    for file in ["root.pem", "users", "mine.json"] {
        fs::write(system.cwd.join(file), "").unwrap();
    }
    let args = flags(&[
        "--listen",
        "127.0.0.1:1",
        "--listen",
        "127.0.0.1:2",
        "--ca",
        "my-ca",
        "--rules",
        "mine.json",
        "--mode",
        "block",
        "--origin-ca",
        "root.pem",
        "--resolve",
        "b.test:192.0.2.8",
        "--allow-private",
        "192.168.0.0/16",
        "--auth-file",
        "users",
        "--allow-client",
        "192.0.2.0/24",
        "--audit-log",
        "here.jsonl",
        "--log",
        "debug",
    ]);
    let config = load(&args, &system).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
    assert_eq!(config.ca_dir, system.cwd.join("my-ca"));
    assert_eq!(config.state_dir, PathBuf::from("/srv/state"));
    assert_eq!(config.rules.paths, [system.cwd.join("mine.json")]);
    assert_eq!(config.rules.mode, Some(RulesMode::Block));
    assert_eq!(config.origin.verify.ca_file, Some(system.cwd.join("root.pem")));
    assert_eq!(config.origin.resolve, [value::FromText::from_text("b.test:192.0.2.8").unwrap()]);
    assert_eq!(config.policy.allow_private, ["192.168.0.0/16".parse().unwrap()]);
    assert_eq!(config.policy.client_networks, ["192.0.2.0/24".parse().unwrap()]);
    assert_eq!(config.auth_file, Some(system.cwd.join("users")));
    assert_eq!(config.audit.path, Some(system.cwd.join("here.jsonl")));
    assert_eq!(config.log, "debug");
    // What no flag speaks of is as the file has it.
    assert_eq!(config.rules.paranoia_level, Some(3));
    assert!(!config.rules.core);
    assert!(load_text("rules.core = true", &[]).unwrap().rules.core);
    assert!(!load_text("rules.core = true", &["--no-core-rules"]).unwrap().rules.core);
}

/// The other half of the next test: runs only where that one sets the environment.
#[test]
fn environment_child() {
    let Ok(dir) = std::env::var("PORTWARD_TEST_DIR") else { return };
    let system = System { cwd: dir.into(), home: Some("/nowhere".into()), ..System::default() };
    let args: Vec<String> =
        std::env::var("PORTWARD_TEST_ARGS").unwrap().split_whitespace().map(str::to_owned).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let config = load(&flags(&args), &system).unwrap();
    println!(
        "<<<{:?} {:?} {:?} {}>>>",
        config.listen, config.rules.mode, config.policy.allow_private, config.rules.core
    );
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let (_dir, system) = machine(Some("listen = ['127.0.0.1:1']\nrules.mode = 'detect'"));
    let run = |env: &[(&str, &str)], args: &str| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "config::tests::environment_child", "--nocapture"])
            .env("PORTWARD_TEST_DIR", &system.cwd)
            .env("PORTWARD_TEST_ARGS", args)
            .envs(env.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.split("<<<").nth(1).and_then(|t| t.split(">>>").next());
        line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).to_owned()
    };
    let env = [
        ("PORTWARD_LISTEN", "127.0.0.1:2,127.0.0.1:3"),
        ("PORTWARD_MODE", "block"),
        ("PORTWARD_ALLOW_PRIVATE", "10.0.0.0/8,127.0.0.1"),
        ("PORTWARD_NO_CORE_RULES", "1"),
    ];
    assert_eq!(run(&[], ""), "[127.0.0.1:1] Some(Detect) [] true");
    assert_eq!(run(&env, ""), "[127.0.0.1:2, 127.0.0.1:3] Some(Block) [10.0.0.0/8, 127.0.0.1/32] false");
    assert_eq!(
        run(&env, "--listen 127.0.0.1:4 --mode detect"),
        "[127.0.0.1:4] Some(Detect) [10.0.0.0/8, 127.0.0.1/32] false"
    );
    assert_eq!(run(&[("PORTWARD_NO_CORE_RULES", "false")], ""), "[127.0.0.1:1] Some(Detect) [] true");
}

#[test]
fn a_wrong_file_is_told_with_place_value_and_nearest_word() {
    let table = [
        (
            "lisen = []",
            "portward.toml:1:1: unknown key `lisen`\n  help: did you mean `listen`? known here: `listen`, ",
        ),
        (
            "\n[limits]\n  Header-Time = '1s'",
            "portward.toml:3:3: unknown key `Header-Time`\n  help: did you mean `header_time`?",
        ),
        (
            "[rules]\nmode = 'blok'",
            "portward.toml:2:8: unknown value `blok`\n  help: did you mean `block`? known here: `block`, `detect`",
        ),
        ("[policy]\nqqq = 1", "portward.toml:2:1: unknown key `qqq`\n  help: known here: `other_ports`"),
        (
            "[policy.fail]\nnot_http = 'pass'",
            "portward.toml:2:12: unknown value `pass`\n  help: known here: `deny`, `tunnel`",
        ),
        (
            "[policy.ports]\n0 = 'inspect'",
            "portward.toml:2:1: \"0\" is not usable; expected a port from 1 to 65535",
        ),
        (
            "[limits]\nheader_time = 10",
            "portward.toml:2:15: \"10\" is not usable: it has no unit; expected a duration such as",
        ),
        ("[limits]\nhead_fields = 0", "portward.toml:2:15: "),
        (
            "[limits]\nuri_bytes = '16kib'",
            "portward.toml:2:13: \"16kib\" is not usable: its unit is not known; expected a size",
        ),
        (
            "listen = ['localhost:8443']",
            "portward.toml:1:11: \"localhost:8443\" is not usable: write 127.0.0.1:8443",
        ),
        ("listen = '127.0.0.1:8443'", "portward.toml:1:10: invalid type: string"),
        ("listen = [", "portward.toml:1:11: "),
        ("log = 'a'\nlog = 'b'", "portward.toml:2:1: duplicate key"),
        ("[[policy.deny]]\nhosts = ['a.test']", "portward.toml:1:1: missing field `name`"),
        (
            "[[policy.deny]]\nname = 'x'\nhosts = ['a.*.test']",
            "portward.toml:3:10: \"a.*.test\" is not usable: a star stands",
        ),
        ("[rules]\nparanoia_level = 5", "portward.toml:2:18: paranoia level 5 does not exist\n  help: use 1"),
        ("[rules]\ninbound_threshold = 0", "portward.toml:2:21: inbound_threshold 0 would block everything"),
        (
            "[[policy.bypass]]\nname = 'all'",
            "portward.toml:1:1: rule `all` of [[policy.bypass]] would hold for everything",
        ),
        (
            "[[policy.deny]]\nname='a'\nhosts=['*']\n[[policy.deny]]\nname='a'\nhosts=['*']",
            "portward.toml:1:1: two rules of [[policy.deny]] are named `a`",
        ),
        ("[limits]\nuri_bytes = '1MiB'", "head_bytes (64KiB) must hold a target of uri_bytes (1MiB)"),
        (
            "[limits]\nrequest_window = '1GiB'",
            "decoded_bytes (32MiB) must be at least the inspection windows",
        ),
        ("[clients]\nauth_file = 'none'", "portward.toml:2:13: the file "),
        ("[rules]\npaths = ['no-such.json']", "portward.toml:2:9: the rules "),
        ("log = 'loud=very=much'", "portward.toml:1:7: \"loud=very=much\" is not a log filter"),
        ("workers = 0", "portward.toml:1:11: "),
        ("listen = []", "portward.toml:1:10: there is nothing to listen on"),
        ("listen = ['127.0.0.1:1', '127.0.0.1:1']", "portward.toml:1:10: 127.0.0.1:1 is listened on twice"),
    ];
    for (text, expected) in table {
        let error = load_text(text, &[]).expect_err(text);
        assert!(error.starts_with(expected), "{text}\n--- said\n{error}\n--- not\n{expected}");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let error = load_text("[rules]\nparanoia_level = 9\npaths = ['x']\n[limits]\nhead_bytes = '4KiB'", &[])
        .unwrap_err();
    for part in
        [":2:18: paranoia", ":3:9: the rules", ":5:14: head_bytes (4KiB)", ":5:14: head_bytes under 8KiB"]
    {
        assert!(error.contains(part), "{part}\n{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let (_dir, system) = machine(None);
    let error = load(&flags(&["--config", "gone.toml"]), &system).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the configuration gone.toml: "), "{error}");
    fs::write(system.cwd.join("bin.toml"), b"log = 'info'\nx = '\xff'").unwrap();
    let error = load(&flags(&["--config", "bin.toml"]), &system).unwrap_err().to_string();
    assert_eq!(error, "bin.toml:2:6: the file is not UTF-8");
}

#[test]
fn listening_beyond_loopback_needs_to_say_for_whom() {
    let (_dir, system) = machine(None);
    fs::write(system.cwd.join("users"), "").unwrap();
    let start = |args: &[&str]| load(&flags(args), &system).map_err(|e| e.to_string());
    for open in ["0.0.0.0:8443", "[::]:8443", "192.0.2.7:8443", "[::ffff:192.0.2.7]:1"] {
        let error = start(&["--listen", open]).unwrap_err();
        assert!(error.contains("would let every machine"), "{error}");
        assert!(error.contains("--allow-client") && error.contains("--auth-file"), "{error}");
        assert!(start(&["--listen", open, "--allow-client", "10.0.0.0/8"]).is_ok());
        assert!(start(&["--listen", open, "--auth-file", "users"]).is_ok());
    }
    for closed in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(start(&["--listen", closed]).is_ok(), "{closed}");
    }
    // Redirected clients cannot authenticate, so names and passwords do not close that door.
    let transparent = "[[transparent]]\nlisten = '0.0.0.0:8080'\nmode = 'redirect'\n";
    let error = load_text(transparent, &[]).unwrap_err();
    assert!(
        error.starts_with("portward.toml:1:1: listening for redirected traffic on 0.0.0.0:8080"),
        "{error}"
    );
    assert!(load_text(transparent, &["--allow-client", "10.0.0.0/8"]).is_ok());
}

#[test]
fn directories_are_the_ones_asked_for_then_the_checkout_then_the_platform() {
    let (_dir, mut system) = machine(None);
    let cwd = system.cwd.clone();
    let dirs = |system: &System, args: &[&str]| {
        let config = load(&flags(args), system).unwrap();
        (config.ca_dir, config.state_dir)
    };
    system.root = true;
    assert_eq!(dirs(&system, &[]), ("/var/lib/portward/ca".into(), "/var/lib/portward".into()));
    system.xdg_state_home = Some("/x".into());
    assert_eq!(dirs(&system, &[]), ("/x/portward/ca".into(), "/x/portward".into()));
    system.state_directory = Some("/s".into());
    assert_eq!(dirs(&system, &[]), ("/s/ca".into(), "/s".into()));
    fs::write(cwd.join("Cargo.toml"), "[package]\nname = 'other'").unwrap();
    assert_eq!(dirs(&system, &[]).1, PathBuf::from("/s"));
    fs::write(cwd.join("Cargo.toml"), "[package]\nname = 'portward'").unwrap();
    assert_eq!(dirs(&system, &[]), (cwd.join("ca"), cwd.join("ca/state")));
    assert_eq!(dirs(&system, &["--ca", "/c"]), ("/c".into(), "/c/state".into()));
    let bare = System { cwd: "/nonexistent".into(), ..System::default() };
    let error = load(&Flags::default(), &bare).unwrap_err().to_string();
    assert!(error.contains("--ca DIR"), "{error}");
}

#[test]
fn the_file_is_found_here_then_with_the_user_then_with_the_system() {
    let (_dir, system) = machine(None);
    let place = |dir: PathBuf, port: u16| {
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("portward.toml"), format!("listen = ['127.0.0.1:{port}']")).unwrap();
    };
    let port = || load(&Flags::default(), &system).unwrap().listen[0].port();
    assert_eq!(port(), 8443);
    place(system.etc.join("portward"), 3);
    assert_eq!(port(), 3);
    place(system.home.as_ref().unwrap().join(".config/portward"), 2);
    assert_eq!(port(), 2);
    place(system.cwd.clone(), 1);
    assert_eq!(port(), 1);
}

#[test]
fn wrong_flags_say_what_can_be_written() {
    for (args, part) in [
        (["--listen", "8443"], "expected an address and port"),
        (["--resolve", "a.test"], "HOST:ADDR"),
        (["--allow-private", "ten"], "expected a network"),
        (["--mode", "blok"], "block, detect"),
    ] {
        let Err(error) = Cli::try_parse_from(["portward"].iter().chain(&args)) else { panic!("{args:?}") };
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_path_in_the_file_is_relative_to_the_file() {
    let (_dir, system) = machine(None);
    let dir = system.etc.join("pw");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("c.toml"), "clients.auth_file = 'users'\nca.dir = 'ca'").unwrap();
    fs::write(dir.join("users"), "").unwrap();
    let args = Flags { config: Some(dir.join("c.toml")), ..Flags::default() };
    let config = load(&args, &system).unwrap();
    assert_eq!((config.auth_file, config.ca_dir), (Some(dir.join("users")), dir.join("ca")));
    assert!(defaults(&["--auth-file", "users"]).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_loading_panic(
        head in "[a-z_\\[\\].=\"' \n0-9]{0,40}",
        key in prop::sample::select(vec!["listen", "log", "limits.uri_bytes", "origin.resolve", "policy.ports.80"]),
        value in "\\PC{0,30}",
    ) {
        let quoted = value.replace('\'', "");
        for text in [head.clone(), format!("{key} = {value}"), format!("{key} = ['{quoted}']"), format!("{key} = '{quoted}'")] {
            if let Err(error) = load_text(&text, &[]) {
                prop_assert!(!error.is_empty());
            }
        }
    }
}
