//! The command line: a first start that works, refusals that say what to do, and exit codes that scripts can use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use x509_parser::prelude::FromDer;

use crate::support::client::{Client, Entry};
use crate::support::origin::{HELLO, Spec};
use crate::support::peer::{self, Ended};
use crate::support::proxy::{PORTWARD, Setup, portward};
use crate::support::{Http, until};

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_that_a_first_start_prints_work_as_they_stand() {
    // The banner's host is example.com: here it is an origin of ours.
    let origin = Spec::tls(&["example.com"]).start().await;
    let proxy = Setup::new().route("example.com", 443, origin.addr).start().await;
    let is = |start: &'static str| move |line: &str| line.trim().starts_with("curl ") && line.contains(start);
    let works = proxy.stdout.line("the curl line", is("https://example.com/")).await;
    let blocked = proxy.stdout.line("the curl line that is blocked", is("UNION")).await;
    let run = |line: String| {
        let mut shell = peer::command("sh");
        shell.args(["-c", &format!("{} -sS", line.trim())]);
        peer::run(shell)
    };
    assert_eq!(run(works).await.ok().text(), HELLO);
    let page = run(blocked).await.ok().text();
    assert!(page.contains("blocked"), "{page}");
    assert_eq!(origin.seen().len(), 1, "the second never arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_is_what_happens_without_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(PORTWARD)
        .args(["--listen", "127.0.0.1:0", "--ca"])
        .arg(dir.path().join("ca"))
        .arg("--audit-log")
        .arg(dir.path().join("audit.jsonl"))
        .current_dir(dir.path())
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    let lines = crate::support::proxy::Lines::collect(child.0.stderr.take().unwrap());
    lines.line("the listener", |line| line.starts_with("portward: listening on 127.0.0.1:")).await;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.0.id() as i32), Signal::SIGTERM).unwrap();
    assert!(until("its end", || child.0.try_wait().unwrap()).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_on_the_first_start_is_for_its_owner_alone() {
    let proxy = Setup::new().start().await;
    let ca = proxy.ca_dir();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&ca) & 0o077, 0, "{ca:?}");
    let mut keys = 0;
    for entry in fs::read_dir(&ca).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "key") {
            assert_eq!(mode(&path), 0o600, "{path:?}");
            keys += 1;
        }
        assert_eq!(mode(&path) & 0o022, 0, "{path:?} can be changed by others");
    }
    assert!(keys >= 2, "a root and an intermediate");
    assert_eq!(mode(&proxy.audit_path()) & 0o077, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_stops_the_start_and_names_who_has_it() {
    let holder = Setup::new().start().await;
    let addr = holder.addr().to_string();
    let refused = Setup::new().listen(&[&addr]).refused();
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains(&addr), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("pid {}", holder.pid())), "{}", refused.stderr);
    assert!(refused.stderr.contains("--listen"), "{}", refused.stderr);
}

#[test]
pub fn a_ca_that_cannot_be_trusted_stops_the_start_with_the_way_to_mend_it() {
    type Spoil = fn(&std::path::Path);
    let cases: &[(&str, Spoil, &str)] = &[
        (
            "no root key and a dead intermediate",
            |ca| {
                fs::remove_file(ca.join("root.key")).unwrap();
                fs::remove_file(ca.join("intermediate.key")).unwrap();
            },
            "root.key",
        ),
        (
            "an open key",
            |ca| fs::set_permissions(ca.join("root.key"), fs::Permissions::from_mode(0o644)).unwrap(),
            "chmod 600",
        ),
        ("an open folder", |ca| fs::set_permissions(ca, fs::Permissions::from_mode(0o777)).unwrap(), "chmod"),
        (
            "a key that is a link",
            |ca| {
                fs::rename(ca.join("root.key"), ca.join("real.key")).unwrap();
                std::os::unix::fs::symlink(ca.join("real.key"), ca.join("root.key")).unwrap();
            },
            "root.key",
        ),
        (
            "half a key",
            |ca| {
                let text = fs::read_to_string(ca.join("root.key")).unwrap();
                fs::write(ca.join("root.key"), &text[..text.len() / 2]).unwrap();
            },
            "root.key",
        ),
        ("an empty certificate", |ca| fs::write(ca.join("root.pem"), "").unwrap(), "root.pem"),
        (
            "another CA's key",
            |ca| {
                let other = tempfile::tempdir().unwrap();
                let dir = other.path().join("ca");
                assert!(portward(&["ca", "init", "--ca", dir.to_str().unwrap()]).status.success());
                fs::copy(dir.join("root.key"), ca.join("root.key")).unwrap();
            },
            "root.key",
        ),
    ];
    for (case, spoil, says) in cases {
        let setup = Setup::new();
        let ca = setup.dir().join("ca");
        let made = portward(&["ca", "init", "--ca", ca.to_str().unwrap()]);
        assert!(made.status.success(), "{}", text(&made));
        spoil(&ca);
        let refused = setup.refused();
        assert!(matches!(refused.code, Some(1 | 2)), "{case}: {:?}", refused.code);
        assert!(refused.stderr.contains(says), "{case}: {}", refused.stderr);
        assert!(refused.stderr.contains("fix:"), "{case}: no way out is named: {}", refused.stderr);
        assert!(!refused.stderr.contains("PRIVATE KEY") && !refused.stderr.contains("panicked"), "{case}");
    }
}

const BROKEN: &str = "{\n  \"name\": \"own\", \"version\": \"1.0.0\",\n  \"rules\": [{\n    \"id\": 900001, \"phase\": \
                      \"request_headers\", \"message\": \"m\", \"severity\": \"critical\",\n    \"when\": { \
                      \"variables\": [\"args\"], \"operator\": { \"contians\": \"x\" } },\n    \"then\": [\"block\"],\n    \
                      \"examples\": { \"match\": [\"GET /?q=x\"], \"no_match\": [\"GET /?q=y\"] }\n  }]\n}\n";

#[test]
pub fn a_broken_rule_file_stops_check_and_start_with_file_line_column_and_the_nearest_name() {
    let setup = Setup::new().file("broken.json", BROKEN);
    let path = setup.dir().join("broken.json").display().to_string();
    for args in [vec!["check", "--rules", &path], vec!["rules", "check", &path]] {
        let done = portward(&args);
        assert_eq!(done.status.code(), Some(2), "{args:?}: {}", text(&done));
        assert!(text(&done).contains("broken.json:5:"), "{args:?}: {}", text(&done));
        assert!(text(&done).contains("contains"), "{args:?}: no suggestion: {}", text(&done));
    }
    let refused = setup.arg("--rules").arg("{dir}/broken.json").refused();
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("broken.json:5:"), "{}", refused.stderr);
}

#[test]
fn a_broken_configuration_stops_check_and_start_with_its_place() {
    for (config, says) in [
        ("lisen = [\"127.0.0.1:8443\"]", "portward.toml:1:1"),
        ("[limits]\nheader_tiem = \"1s\"", "portward.toml:2:1"),
        ("[limits]\nheader_time = \"soon\"", "portward.toml:2:15"),
        ("[policy.ports]\n443 = \"inspekt\"", "portward.toml:2:"),
        ("listen = [", "portward.toml:1:"),
    ] {
        let refused = Setup::new().config(config).refused();
        assert_eq!(refused.code, Some(2), "{config}: {}", refused.stderr);
        assert!(refused.stderr.contains(says), "{config}: {}", refused.stderr);
    }
}

#[test]
fn what_check_loads_starts_and_what_it_refuses_does_not() {
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (config, says) in [
        ("[clients]\nauth_file = \"bad\"", "bad:1"),
        ("[origin]\nca_file = \"bad\"", "bad"),
        ("[origin]\ncrls = [\"bad\"]", "bad"),
        ("[[origin.client_certificates]]\nhosts = [\"a.test\"]\ncertificate = \"bad\"\nkey = \"bad\"", "bad"),
    ] {
        let bad = if config.contains("auth_file") { "no user\n" } else { garbage };
        let setup = Setup::new().public_roots().config(config).file("bad", bad);
        let file = setup.dir().join("portward.toml");
        fs::write(&file, config).unwrap();
        let checked = portward(&["check", "--config", file.to_str().unwrap()]);
        assert_eq!(checked.status.code(), Some(2), "{config}: {}", text(&checked));
        assert!(checked.stdout.is_empty(), "{config}: nothing is in effect");
        let refused = setup.refused();
        assert_eq!(refused.code, Some(2), "{config}: {}", refused.stderr);
        for said in [text(&checked), refused.stderr] {
            assert!(said.contains(says), "{config}: {said}");
        }
    }
}

#[test]
fn every_command_finds_the_ca_where_the_configuration_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    // Another part of it is broken, which is none of these commands' business.
    let config = "[ca]\ndir = \"own\"\npassphrase_file = \"secret\"\n[rules]\npaths = [\"no/such\"]\n";
    fs::create_dir(at("here")).unwrap();
    fs::write(at("here/portward.toml"), config).unwrap();
    fs::write(at("here/secret"), "a phrase of some length\n").unwrap();
    fs::set_permissions(at("here/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let run = |folder: &str, args: &[&str]| {
        let mut command = Command::new(PORTWARD);
        command.args(args).current_dir(at(folder)).env("HOME", at("home")).env("NO_COLOR", "1");
        command.env_remove("XDG_STATE_HOME").env_remove("PORTWARD_CA").stdin(std::process::Stdio::null());
        let done = command.output().unwrap();
        (done.status.code(), text(&done))
    };
    let own = at("here/own");
    let (code, said) = run("here", &["ca", "init"]);
    assert_eq!((code, own.join("root.pem").exists()), (Some(0), true), "{said}");
    let key = fs::read_to_string(own.join("root.key")).unwrap();
    assert!(key.contains("ENCRYPTED"), "by the passphrase of the configuration");
    let (code, said) = run("here", &["ca", "show"]);
    assert!(code == Some(0) && said.contains(own.to_str().unwrap()), "{said}");
    let (code, said) = run("here", &["env"]);
    assert!(code == Some(0) && said.contains(&format!("{}/", own.display())), "{said}");
    let (_, said) = run("here", &["trust", "status", "--json", "--store", "system"]);
    let tag = &portward::ca::sha256_hex(&pem(&own.join("root.pem")))[..16];
    assert!(said.contains(tag), "{said}");
    let (_, said) = run("here", &["exec", "--proxy", "http://127.0.0.1:1", "--", "true"]);
    assert!(said.contains("nothing answers"), "it came past the CA: {said}");
    // From elsewhere by its name; a flag goes before the file.
    fs::create_dir(at("elsewhere")).unwrap();
    let file = at("here/portward.toml").display().to_string();
    let (code, said) = run("elsewhere", &["ca", "show", "--config", &file]);
    assert!(code == Some(0) && said.contains(own.to_str().unwrap()), "{said}");
    let other = at("other").display().to_string();
    let (code, said) = run("here", &["ca", "init", "--ca", &other]);
    assert!(code == Some(0) && said.contains(&other), "{said}");
    assert!(!at("home").exists() && !at("here/ca").exists() && !at("elsewhere/ca").exists());
    // What cannot be read at all is told.
    fs::write(at("here/portward.toml"), "[ca\n").unwrap();
    let (code, said) = run("here", &["ca", "show"]);
    assert!(code == Some(2) && said.contains("portward.toml:1:"), "{said}");
    // It does not stop who says where the CA is, and did not ask for it.
    let secret = at("here/secret").display().to_string();
    let (code, said) = run("here", &["ca", "show", "--ca", &other, "--passphrase-file", &secret]);
    assert!(code == Some(0) && said.contains(&other) && said.contains("warning"), "{said}");
    let (code, said) = run("here", &["ca", "show", "--ca", &other, "--config", &file]);
    assert!(code == Some(2) && said.contains("portward.toml:1:"), "{said}");
}

fn pem(path: &std::path::Path) -> Vec<u8> {
    portward::ca::pem_certificates(&fs::read(path).unwrap()).remove(0)
}

#[test]
fn check_prints_the_configuration_in_effect_and_it_can_be_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let done = portward(&["check", "--listen", "127.0.0.1:9999", "--mode", "detect"]);
    assert!(done.status.success(), "{}", text(&done));
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(printed.contains("127.0.0.1:9999") && printed.contains("detect"), "{printed}");
    let file = dir.path().join("printed.toml");
    fs::write(&file, &printed).unwrap();
    let again = portward(&["check", "--config", file.to_str().unwrap()]);
    assert!(again.status.success(), "{}", text(&again));
}

#[test]
fn usage_errors_are_2_and_help_is_0() {
    for args in [
        vec!["--no-such-flag"],
        vec!["run", "--mode", "panic"],
        vec!["run", "--listen", "nowhere"],
        vec!["frobnicate"],
        vec!["explain"],
    ] {
        let done = portward(&args);
        assert_eq!(done.status.code(), Some(2), "{args:?}: {}", text(&done));
    }
    for args in [
        vec!["--help"],
        vec!["--version"],
        vec!["run", "--help"],
        vec!["rules", "--help"],
        vec!["ca", "--help"],
    ] {
        let done = portward(&args);
        assert_eq!(done.status.code(), Some(0), "{args:?}: {}", text(&done));
        assert!(!done.stdout.is_empty());
    }
    let missing = portward(&["run", "--config", "/does/not/exist.toml"]);
    assert_eq!(missing.status.code(), Some(2), "{}", text(&missing));
    assert!(text(&missing).contains("/does/not/exist.toml"), "{}", text(&missing));
}

#[test]
fn the_ca_is_made_shown_exported_and_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca");
    let ca = ca.to_str().unwrap();
    assert!(portward(&["ca", "init", "--ca", ca]).status.success());
    let first = fs::read_to_string(format!("{ca}/root.pem")).unwrap();
    // Making it again changes nothing.
    let _ = portward(&["ca", "init", "--ca", ca]);
    assert_eq!(fs::read_to_string(format!("{ca}/root.pem")).unwrap(), first);
    let show = portward(&["ca", "show", "--ca", ca]);
    assert!(show.status.success(), "{}", text(&show));
    assert!(!text(&show).contains("PRIVATE"), "the key is never shown");
    let json: serde_json::Value =
        serde_json::from_slice(&portward(&["ca", "show", "--ca", ca, "--json"]).stdout).unwrap();
    assert!(json.to_string().contains("sha256"), "{json}");
    for (format, mark) in [
        ("pem", b"-----BEGIN CERTIFICATE-----".as_slice()),
        ("der", b"\x30\x82"),
        ("p12", b"\x30\x82"),
        ("bundle", b"-----BEGIN CERTIFICATE-----"),
        ("mobileconfig", b"<?xml"),
    ] {
        let out = portward(&["ca", "export", "--ca", ca, "--format", format]);
        assert!(out.status.success(), "{format}: {}", text(&out));
        let found = out.stdout.windows(mark.len()).take(4096).any(|part| part == mark);
        assert!(found, "{format}: {}", String::from_utf8_lossy(&out.stdout[..out.stdout.len().min(200)]));
        assert!(!String::from_utf8_lossy(&out.stdout).contains("PRIVATE KEY"), "{format}: a key leaves");
    }
    let der = portward(&["ca", "export", "--ca", ca, "--format", "der"]).stdout;
    let (_, root) = x509_parser::certificate::X509Certificate::from_der(&der).unwrap();
    assert!(root.basic_constraints().unwrap().unwrap().value.ca);
    let rotated = portward(&["ca", "rotate", "--ca", ca]);
    assert!(rotated.status.success(), "{}", text(&rotated));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_company_ca_is_imported_and_used() {
    // A root as a company would have it.
    let dir = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Company root");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let root = params.self_signed(&key).unwrap();
    fs::write(dir.path().join("root.crt"), root.pem()).unwrap();
    fs::write(dir.path().join("root.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(dir.path().join("root.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let ca = dir.path().join("ca");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let done = portward(&[
        "ca",
        "import",
        "--ca",
        ca.to_str().unwrap(),
        "--cert",
        &path("root.crt"),
        "--key",
        &path("root.key"),
    ]);
    assert!(done.status.success(), "{}", text(&done));
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().ca(&ca).origin(&origin).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy).trusting([root.der().clone()]);
    assert_eq!(client.get(Http::H2, "https://origin.test/").await.text(), HELLO);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_that_env_prints_makes_programs_use_the_proxy() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    let ca = proxy.ca_dir().display().to_string();
    let url = format!("http://{}", proxy.addr());
    let mut shell = peer::command("sh");
    shell.args([
        "-c",
        "eval \"$(\"$0\" env --ca \"$1\" --proxy \"$2\")\" && curl -sS https://origin.test/",
        PORTWARD,
        &ca,
        &url,
    ]);
    assert_eq!(peer::run(shell).await.ok().text(), HELLO);
    for shell in ["sh", "fish", "powershell", "docker", "java", "dotenv"] {
        let printed = portward(&["env", "--ca", &ca, "--proxy", &url, "--shell", shell]);
        assert!(printed.status.success(), "{shell}: {}", text(&printed));
        assert!(text(&printed).contains(&proxy.addr().port().to_string()), "{shell}: {}", text(&printed));
        let unset = portward(&["env", "--ca", &ca, "--shell", shell, "--unset"]);
        assert!(matches!(unset.status.code(), Some(0 | 2)), "{shell}: {}", text(&unset));
    }
    let mut exec = peer::command(PORTWARD);
    exec.args(["exec", "--ca", &ca, "--proxy", &url, "--", "curl", "-sS", "https://origin.test/exec"]);
    assert_eq!(peer::run(exec).await.ok().text(), HELLO);
    assert_eq!(origin.seen().len(), 2);
}

#[test]
fn the_schema_describes_the_rules_that_are_shipped() {
    let printed = portward(&["rules", "schema"]);
    assert!(printed.status.success(), "{}", text(&printed));
    let schema: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let rules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let committed: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(rules.join("schema.json")).unwrap()).unwrap();
    assert_eq!(committed, schema, "rules/schema.json is not what `portward rules schema` prints");
    let mut files = 0;
    let mut folders = vec![rules];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "json")
                && path.file_name().unwrap() != "schema.json"
            {
                let document: serde_json::Value =
                    serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
                let errors: Vec<String> = validator
                    .iter_errors(&document)
                    .map(|error| format!("{}: {error}", error.instance_path()))
                    .collect();
                assert!(errors.is_empty(), "{path:?}: {errors:#?}");
                files += 1;
            }
        }
    }
    assert!(files >= 9, "{files} rule files");
    let broken: serde_json::Value = serde_json::from_str(BROKEN).unwrap();
    assert!(!validator.is_valid(&broken), "the schema lets an unknown operator pass");
}

#[test]
fn output_to_a_pipe_has_no_colour_and_a_closed_pipe_is_no_failure() {
    let listed = Command::new(PORTWARD).args(["rules", "list"]).output().unwrap();
    assert!(listed.status.success(), "{}", text(&listed));
    assert!(!text(&listed).contains('\u{1b}'));
    let closed =
        Command::new("sh").args(["-c", "\"$0\" rules list | head -n 1; exit 0", PORTWARD]).output().unwrap();
    assert!(!text(&closed).contains("panicked"), "{}", text(&closed));
}
