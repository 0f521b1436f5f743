//! The certificate authority from the command line to the client: a sub-CA under a company's root, keys under a
//! passphrase and in a token, the record of what was minted, and changes that only tell what they would do.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime};

use crate::support::client::{Client, Entry};
use crate::support::company::{Change, Company};
use crate::support::origin::{Origin, Spec};
use crate::support::proxy::{PORTWARD, Proxy, Setup, portward};
use crate::support::{Http, peer, until};

fn place() -> TempDir {
    TempDir::with_prefix("portward-ca-").unwrap()
}

fn secret(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, format!("{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn ok(output: std::process::Output) -> String {
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

async fn inspects(proxy: &Proxy, origin: &Origin) {
    let before = origin.seen().len();
    let client = Client::new(Entry::HttpProxy, proxy);
    assert_eq!(client.get(Http::H2, "https://origin.test/").await.status, 200);
    assert_eq!(origin.seen().len(), before + 1);
}

/// openssl as a client that knows the company's root alone: verification and the certificates sent.
async fn s_client(proxy: &Proxy, root: &Path) -> (bool, usize) {
    let mut openssl = peer::command("openssl");
    openssl.args(["s_client", "-proxy", &proxy.addr().to_string(), "-connect", "origin.test:443"]);
    openssl.args(["-servername", "origin.test", "-verify_hostname", "origin.test", "-verify_return_error"]);
    openssl.args(["-showcerts", "-no-CApath", "-no-CAstore", "-CAfile", root.to_str().unwrap()]);
    let said = peer::run(openssl).await;
    let text = said.text();
    (text.contains("Verify return code: 0 (ok)"), text.matches("BEGIN CERTIFICATE").count())
}

fn path_len<const N: u8>(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(N));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_with_the_companys_root_alone_accept_what_a_sub_ca_under_it_serves() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    // (change of the root, of the sub-CA, certificates served): with room for it an intermediate of ours signs, without
    // it the sub-CA itself does.
    let cases: [(Change, Change, usize); 4] = [
        (|_| {}, |_| {}, 3),
        (|_| {}, path_len::<1>, 3),
        (|_| {}, path_len::<0>, 2),
        (path_len::<1>, |_| {}, 2),
    ];
    for (number, (root, sub, served)) in cases.into_iter().enumerate() {
        let company = Company::under(root, sub);
        let proxy = Setup::new().ca(company.imported()).origin(&origin).start().await;
        let seen = s_client(&proxy, &company.file("root.pem")).await;
        assert_eq!(seen, (true, served), "case {number}");
        let stranger = Company::new(|_| {});
        let seen = s_client(&proxy, &stranger.file("root.pem")).await;
        assert!(!seen.0, "case {number}: a client without that root must refuse");
    }
}

#[test]
fn a_ca_that_cannot_sign_is_refused_with_a_sentence_and_nothing_is_written() {
    let cases: [(Change, &str, &str); 7] = [
        (|p| p.is_ca = IsCa::ExplicitNoCa, "ca_not_a_ca", "CA:FALSE"),
        (|p| p.is_ca = IsCa::NoCa, "ca_not_a_ca", "no basicConstraints"),
        (|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature], "ca_not_a_ca", "lacks keyCertSign"),
        (
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            "ca_not_a_ca",
            "lacks serverAuth",
        ),
        (|p| p.not_after = OffsetDateTime::now_utc() - Duration::days(1), "ca_expired", "expired at"),
        (
            |p| p.not_before = OffsetDateTime::now_utc() + Duration::days(1),
            "ca_not_yet_valid",
            "is not valid before",
        ),
        (|_| {}, "ca_rejected", "path length"),
    ];
    for (change, code, sentence) in cases {
        let root: Change = if code == "ca_rejected" { path_len::<0> } else { |_| {} };
        let company = Company::under(root, change);
        let into = company.file("into");
        let (cert, key) = (company.file("sub.pem"), company.file("sub.key"));
        for dry in [&["--dry-run"][..], &[]] {
            let mut words = vec!["ca", "import", "--json", "--ca", into.to_str().unwrap()];
            words.extend(["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()]);
            words.extend(dry);
            let done = portward(&words);
            assert_eq!(done.status.code(), Some(2), "{}", said(&done));
            let error: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
            assert_eq!(error["error"]["code"], code, "{error}");
            assert!(error["error"]["message"].as_str().unwrap().contains(sentence), "{error}");
            assert!(!error["error"]["fix"].as_str().unwrap().is_empty());
            assert!(!into.exists(), "{code}: something was written");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_under_a_passphrase_serve_with_it_and_stop_the_start_without_it() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let place = place();
    let ca = place.path().join("ca");
    let (ca_text, phrase) = (ca.to_str().unwrap(), secret(place.path(), "phrase", "correct horse"));
    let phrase = phrase.to_str().unwrap();
    ok(portward(&["ca", "init", "--ca", ca_text, "--passphrase-file", phrase]));
    for key in ["root.key", "intermediate.key"] {
        let text = fs::read_to_string(ca.join(key)).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{key} is in plain text");
        // PKCS #8 with PBES2 is not our own invention.
        let mut openssl = peer::command("openssl");
        openssl.args(["pkey", "-noout", "-passin", &format!("file:{phrase}"), "-in"]).arg(ca.join(key));
        peer::run(openssl).await.ok();
    }
    let refused = Setup::new().ca(&ca).refused();
    assert!(refused.stderr.contains("protected by a passphrase"), "{}", refused.stderr);
    assert!(refused.stderr.contains("fix: give its passphrase"), "{}", refused.stderr);
    let wrong = secret(place.path(), "wrong", "battery staple");
    let refused = Setup::new().ca(&ca).args(["--ca-passphrase-file", wrong.to_str().unwrap()]).refused();
    assert!(refused.stderr.contains("does not open"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("battery"), "{}", refused.stderr);
    fs::set_permissions(phrase, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Setup::new().ca(&ca).args(["--ca-passphrase-file", phrase]).refused();
    assert!(refused.stderr.contains(&format!("fix: chmod 600 {phrase}")), "{}", refused.stderr);
    fs::set_permissions(phrase, fs::Permissions::from_mode(0o600)).unwrap();

    let config = format!("[ca]\npassphrase_file = \"{phrase}\"");
    inspects(&Setup::new().ca(&ca).origin(&origin).config(&config).start().await, &origin).await;

    // Another passphrase, by a variable, then none.
    let before = fs::read(ca.join("root.pem")).unwrap();
    let mut passwd = Command::new(PORTWARD);
    passwd.args([
        "ca",
        "passwd",
        "--ca",
        ca_text,
        "--passphrase-file",
        phrase,
        "--new-passphrase-env",
        "NEW",
    ]);
    ok(passwd.env("NEW", "battery staple").output().unwrap());
    assert_eq!(
        portward(&["ca", "show", "--ca", ca_text, "--passphrase-file", phrase]).status.code(),
        Some(2)
    );
    let wrong = wrong.to_str().unwrap();
    ok(portward(&["ca", "rotate", "--ca", ca_text, "--passphrase-file", wrong]));
    assert!(fs::read_to_string(ca.join("intermediate.key")).unwrap().contains("ENCRYPTED"));
    ok(portward(&["ca", "passwd", "--ca", ca_text, "--passphrase-file", wrong, "--remove"]));
    for key in ["root.key", "intermediate.key"] {
        assert!(
            fs::read_to_string(ca.join(key)).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"),
            "{key}"
        );
    }
    ok(portward(&["ca", "show", "--ca", ca_text]));
    // Keys that were made without one are told of, and put under it.
    let shown = portward(&["ca", "show", "--ca", ca_text, "--passphrase-file", phrase]);
    assert!(shown.status.code() == Some(1) && said(&shown).contains("is not under it"), "{}", said(&shown));
    ok(portward(&["ca", "passwd", "--ca", ca_text, "--new-passphrase-file", phrase]));
    assert_eq!(portward(&["ca", "show", "--ca", ca_text]).status.code(), Some(2));
    assert_eq!(fs::read(ca.join("root.pem")).unwrap(), before, "the CA itself is the one it was");
    // Nobody is asked where there is no terminal.
    let asked = portward(&["ca", "init", "--passphrase", "--ca", place.path().join("new").to_str().unwrap()]);
    assert!(asked.status.code() == Some(2) && said(&asked).contains("terminal"), "{}", said(&asked));
}

/// A SoftHSM2 token of a test's own.
struct Token {
    place: TempDir,
    pin: PathBuf,
}

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "246813";

impl Token {
    async fn new() -> Token {
        let place = place();
        fs::create_dir(place.path().join("tokens")).unwrap();
        let config = format!("directories.tokendir = {}\n", place.path().join("tokens").display());
        fs::write(place.path().join("softhsm2.conf"), config).unwrap();
        let pin = secret(place.path(), "pin", PIN);
        let token = Token { place, pin };
        let mut init = token.command("softhsm2-util");
        init.args(["--init-token", "--free", "--label", "portward", "--so-pin", "135790", "--pin", PIN]);
        peer::run(init).await.ok();
        token
    }

    fn config(&self) -> String {
        self.place.path().join("softhsm2.conf").display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = peer::command(program);
        command.env("SOFTHSM2_CONF", self.config()).env("NO_COLOR", "1");
        command
    }

    fn portward(&self, args: &[&str]) -> std::process::Output {
        self.command(PORTWARD).args(args).output().unwrap()
    }

    fn uri(&self, object: &str) -> String {
        format!("pkcs11:token=portward;object={object}?module-path={MODULE}")
    }

    fn setup(&self, ca: &Path) -> Setup {
        let pin = format!("[ca]\npin_file = \"{}\"", self.pin.display());
        Setup::new()
            .ca(ca)
            .config(&pin)
            .behind(["env".to_owned(), format!("SOFTHSM2_CONF={}", self.config())])
    }

    /// What `pkcs11-tool` says of the private keys.
    async fn private_keys(&self) -> String {
        let mut tool = self.command("pkcs11-tool");
        tool.args(["--module", MODULE, "--token-label", "portward", "--login", "--pin", PIN]);
        tool.args(["--list-objects", "--type", "privkey"]);
        peer::run(tool).await.ok().text()
    }
}

/// No key of these folders in plain text but the intermediate's.
fn no_root_key_in(ca: &Path) {
    for entry in fs::read_dir(ca).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert!(name == "intermediate.key" || !text.contains("PRIVATE KEY"), "{name} holds a key");
        assert!(!text.contains(PIN), "{name} holds the PIN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_key_made_in_a_token_signs_intermediates_and_never_leaves_it() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let token = Token::new().await;
    let ca = token.place.path().join("ca");
    let (ca_text, pin) = (ca.to_str().unwrap(), token.pin.to_str().unwrap());
    let uri = token.uri("root");
    let init = ["ca", "init", "--ca", ca_text, "--pkcs11", &uri];
    let without_pin = token.portward(&init);
    assert!(
        without_pin.status.code() == Some(2) && said(&without_pin).contains("PIN"),
        "{}",
        said(&without_pin)
    );
    let told = ok(token.portward(&[&init[..], &["--pin-file", pin]].concat()));
    assert!(told.contains("in a token"), "{told}");
    assert!(
        fs::read_to_string(ca.join("root.key")).unwrap().starts_with("pkcs11:token=portward;object=root")
    );
    no_root_key_in(&ca);
    let listed = token.private_keys().await;
    assert!(listed.contains("sensitive") && listed.contains("never extractable"), "{listed}");

    let proxy = token.setup(&ca).origin(&origin).start().await;
    inspects(&proxy, &origin).await;
    assert_eq!(s_client(&proxy, &ca.join("root.pem")).await, (true, 2));

    // Both rotations sign with the token, under the running proxy; the new root's key is made in it too.
    let first = fs::read(ca.join("intermediate.pem")).unwrap();
    ok(token.portward(&["ca", "rotate", "--ca", ca_text, "--pin-file", pin]));
    assert_ne!(fs::read(ca.join("intermediate.pem")).unwrap(), first);
    let old_root = ca.join("old.pem");
    fs::copy(ca.join("root.pem"), &old_root).unwrap();
    ok(token.portward(&["ca", "rotate", "--root", "--ca", ca_text, "--pin-file", pin]));
    no_root_key_in(&ca);
    assert_eq!(token.private_keys().await.matches("Private Key Object").count(), 2);
    let new_root = ca.join("root.pem");
    let mut seen = (false, 0);
    for _ in 0..200 {
        seen = s_client(&proxy, &new_root).await;
        if seen.0 {
            break;
        }
    }
    assert_eq!(seen, (true, 3), "leaf, intermediate and the new root signed by the old one");
    assert!(s_client(&proxy, &old_root).await.0, "clients of the old root go on");
    assert!(!proxy.stderr.text().contains(PIN));
    drop(proxy);

    // Taken out, the token is a root key that is offline: everything goes on, and says until when.
    fs::rename(token.place.path().join("tokens"), token.place.path().join("drawer")).unwrap();
    fs::create_dir(token.place.path().join("tokens")).unwrap();
    let proxy = token.setup(&ca).origin(&origin).start().await;
    inspects(&proxy, &origin).await;
    proxy.stderr.line("the warning", |line| line.contains("a token that does not answer")).await;
    let refused = token.portward(&["ca", "rotate", "--ca", ca_text, "--pin-file", pin]);
    assert!(
        refused.status.code() == Some(2) && said(&refused).contains("no such token"),
        "{}",
        said(&refused)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_sub_ca_whose_key_is_in_a_token_signs_leaves_with_it() {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let token = Token::new().await;
    // Without room for an intermediate, every leaf is signed in the token.
    let company = Company::new(path_len::<0>);
    let mut import = token.command("softhsm2-util");
    import.args(["--import", company.file("sub.key").to_str().unwrap(), "--token", "portward", "--pin", PIN]);
    import.args(["--label", "issuing", "--id", "0A0B"]);
    peer::run(import).await.ok();
    let ca = token.place.path().join("ca");
    let (uri, cert) = (token.uri("issuing"), company.file("sub.pem"));
    let pin = token.pin.to_str().unwrap();
    let words =
        ["ca", "import", "--ca", ca.to_str().unwrap(), "--pin-file", pin, "--cert", cert.to_str().unwrap()];
    // Another company's certificate is not this key's.
    let other = Company::new(path_len::<0>);
    let others = other.file("sub.pem");
    let stranger = [&words[..7], &[others.to_str().unwrap(), "--pkcs11", &uri]].concat();
    let refused = token.portward(&stranger);
    assert!(
        refused.status.code() == Some(2) && said(&refused).contains("is not the key of"),
        "{}",
        said(&refused)
    );
    ok(token.portward(&[&words[..], &["--pkcs11", &uri]].concat()));
    no_root_key_in(&ca);
    let proxy = token.setup(&ca).origin(&origin).start().await;
    assert_eq!(
        s_client(&proxy, &company.file("root.pem")).await,
        (true, 2),
        "leaf and sub-CA, nothing between"
    );
    let client = Client::new(Entry::HttpProxy, &proxy).trusting([company.root()]);
    for http in Http::BOTH {
        assert_eq!(client.get(http, "https://origin.test/").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pin_is_tried_once_and_a_token_is_not_locked_by_us() {
    let token = Token::new().await;
    let ca = token.place.path().join("ca");
    let wrong = secret(token.place.path(), "wrong", "999999");
    let uri = token.uri("root");
    let init = |pin: &Path| {
        token.portward(&[
            "ca",
            "init",
            "--ca",
            ca.to_str().unwrap(),
            "--pkcs11",
            &uri,
            "--pin-file",
            pin.to_str().unwrap(),
        ])
    };
    let first = init(&wrong);
    assert!(first.status.code() == Some(2) && said(&first).contains("PIN is wrong"), "{}", said(&first));
    assert!(!said(&first).contains("999999"));
    assert!(!ca.join("root.pem").exists());
    for _ in 0..5 {
        assert_eq!(init(&wrong).status.code(), Some(2));
    }
    // A person's one right attempt is all that it takes.
    let mut tool = token.command("pkcs11-tool");
    tool.args(["--module", MODULE, "--token-label", "portward", "--login", "--pin", PIN, "--list-objects"]);
    peer::run(tool).await.ok();
    ok(init(&token.pin));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_proxy_never_tries_a_wrong_pin_twice() {
    let token = Token::new().await;
    let ca = token.place.path().join("ca");
    let (ca_text, uri) = (ca.to_str().unwrap(), token.uri("root"));
    let pin = token.pin.to_str().unwrap();
    ok(token.portward(&["ca", "init", "--ca", ca_text, "--pkcs11", &uri, "--pin-file", pin]));
    // Another PIN, of which nobody told the proxy.
    fs::write(&token.pin, "999999\n").unwrap();
    let proxy = token.setup(&ca).start().await;
    proxy.stderr.line("the first attempt", |line| line.contains("a token that does not answer")).await;
    let log_in = |pin: &str| {
        let mut tool = token.command("pkcs11-tool");
        tool.args([
            "--module",
            MODULE,
            "--token-label",
            "portward",
            "--login",
            "--pin",
            pin,
            "--list-objects",
        ]);
        peer::run(tool)
    };
    let tries = || async {
        let mut tool = token.command("pkcs11-tool");
        tool.args(["--module", MODULE, "--list-token-slots"]);
        peer::run(tool).await.ok().text().contains("user PIN count low")
    };
    assert!(tries().await, "the token saw a wrong PIN");
    // A person's login forgives it, after which a token lets everybody try again.
    log_in(PIN).await.ok();
    assert!(!tries().await);
    for round in 0..2 {
        let reloaded = || proxy.stderr.all().iter().filter(|line| line.ends_with("reloaded")).count();
        let before = reloaded();
        proxy.signal(nix::sys::signal::Signal::SIGHUP);
        until("a reload", || (reloaded() > before).then_some(())).await;
        assert!(!tries().await, "round {round}: the wrong PIN was tried again");
    }
    secret(token.place.path(), "pin", PIN);
    ok(token.portward(&["ca", "rotate", "--ca", ca_text, "--pin-file", pin]));
    assert!(!proxy.stderr.text().contains("999999"));
}

/// Every file of a folder and what is in it.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeMap::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap_or_default()))
        .collect()
}

#[test]
fn a_dry_run_writes_nothing_and_names_what_the_real_one_then_writes() {
    let place = place();
    let ca = place.path().join("ca");
    let company = Company::new(|_| {});
    let phrase = secret(place.path(), "phrase", "correct horse");
    let (cert, key) = (company.file("sub.pem"), company.file("sub.key"));
    let [ca_text, phrase, cert, key] = [&ca, &phrase, &cert, &key].map(|path| path.to_str().unwrap());
    let verbs: [&[&str]; 5] = [
        &["init", "--permit", "corp.test"],
        &["rotate"],
        &["rotate", "--root"],
        &["passwd", "--new-passphrase-file", phrase],
        &["import", "--cert", cert, "--key", key, "--force", "--passphrase-file", phrase],
    ];
    // What needs a person, or would be refused, is told before anything is written.
    let dry = |words: &[&str]| portward(&[&["ca"], words, &["--dry-run", "--ca", ca_text]].concat());
    let told = ok(dry(&["init", "--passphrase"]));
    assert!(told.contains("under the passphrase") && !told.contains("without"), "{told}");
    let out = place.path().join("portward.crt");
    let export = ["export", "-o", out.to_str().unwrap()];
    for verb in verbs {
        let words = [&["ca"], verb, &["--ca", ca_text]].concat();
        let before = content(&ca);
        let told = ok(portward(&[&words[..], &["--dry-run"]].concat()));
        assert_eq!(content(&ca), before, "{verb:?}: the dry run wrote");
        ok(portward(&words));
        let written: Vec<PathBuf> = content(&ca)
            .into_iter()
            .filter(|(path, bytes)| before.get(path) != Some(bytes) && !path.ends_with("lock"))
            .map(|(path, _)| path)
            .collect();
        assert!(!written.is_empty(), "{verb:?}");
        for path in written {
            let name = path.file_name().unwrap().to_str().unwrap();
            // The second in a dated name has passed.
            let name = if name.starts_with("root-") { "root-" } else { name };
            assert!(told.contains(name), "{verb:?} wrote {name}, and told:\n{told}");
        }
        assert!(told.lines().all(|line| line.starts_with("would ")), "{told}");
        if verb[0] == "init" {
            let told = ok(dry(&["passwd"]));
            assert!(told.contains("under the new passphrase") && !told.contains("without"), "{told}");
            let told = ok(dry(&["passwd", "--remove"]));
            assert!(told.contains("without a passphrase"), "{told}");
            for dry_run in [&["--dry-run"][..], &[]] {
                let narrower = [&["ca", "init", "--permit", "b.test", "--ca", ca_text], dry_run].concat();
                let refused = portward(&narrower);
                assert!(
                    refused.status.code() == Some(2) && said(&refused).contains("already"),
                    "{refused:?}"
                );
            }
            let told = ok(dry(&export));
            assert!(told.contains("portward.crt") && !out.exists(), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_pointed_at_the_ca_without_its_passphrase() {
    let place = place();
    let ca = place.path().join("ca");
    let (ca_text, phrase) = (ca.to_str().unwrap(), secret(place.path(), "phrase", "correct horse"));
    ok(portward(&["ca", "init", "--ca", ca_text, "--passphrase-file", phrase.to_str().unwrap()]));
    let origin = Spec::tls(&["origin.test"]).start().await;
    let config = format!("[ca]\npassphrase_file = \"{}\"", phrase.display());
    let proxy = Setup::new().ca(&ca).origin(&origin).config(&config).start().await;
    let pem = fs::read_to_string(ca.join("root.pem")).unwrap();
    assert_eq!(ok(portward(&["ca", "export", "--ca", ca_text])), pem);
    assert!(ok(portward(&["env", "--ca", ca_text])).contains("SSL_CERT_FILE"));
    let url = format!("http://{}", proxy.addr());
    let run = ["exec", "--ca", ca_text, "--proxy", &url, "--", "sh", "-c", "cat \"$NODE_EXTRA_CA_CERTS\""];
    let done = portward(&run);
    assert!(done.status.success() && said(&done).contains(pem.trim()), "{}", said(&done));
    assert!(!said(&done).contains("does not prove"), "{}", said(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_passphrase_is_asked_for_before_the_new_one_and_each_once() {
    let place = place();
    let ca = place.path().join("ca");
    let (ca_text, phrase) = (ca.to_str().unwrap(), secret(place.path(), "phrase", "old one"));
    ok(portward(&["ca", "init", "--ca", ca_text, "--passphrase-file", phrase.to_str().unwrap()]));
    // A terminal, at which each question is answered in turn.
    let script = "import os, pty, sys\n\
        answers = [b'old one', b'new one', b'new one']\n\
        pid, terminal = pty.fork()\n\
        if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n\
        seen, asked = b'', 0\n\
        while True:\n\
        \x20   try: more = os.read(terminal, 4096)\n\
        \x20   except OSError: break\n\
        \x20   if not more: break\n\
        \x20   seen += more\n\
        \x20   while seen.count(b': ') > asked and asked < len(answers) and seen.endswith(b': '):\n\
        \x20       os.write(terminal, answers[asked] + b'\\n')\n\
        \x20       asked += 1\n\
        _, status = os.waitpid(pid, 0)\n\
        sys.stdout.buffer.write(seen)\n\
        sys.exit(os.waitstatus_to_exitcode(status))\n";
    let mut python = peer::command("python3");
    python.args(["-c", script, PORTWARD, "ca", "passwd", "--ca", ca_text]);
    let text = peer::run(python).await.ok().text();
    let asked: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(": ").map(|(asked, _)| asked)).collect();
    let questions = ["passphrase of the CA's keys", "new passphrase of the CA's keys", "the same once more"];
    assert_eq!(asked[..3], questions, "{text}");
    assert_eq!(text.matches("passphrase of the CA's keys: ").count(), 2, "{text}");
    secret(place.path(), "phrase", "new one");
    ok(portward(&["ca", "show", "--ca", ca_text, "--passphrase-file", phrase.to_str().unwrap()]));
}

/// The checkpoint that a check printed.
fn checkpoint(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("checkpoint: ")).expect("a checkpoint");
    line.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_minted_leaf_is_in_the_log_and_the_log_tells_when_it_was_touched() {
    let names: Vec<String> = (0..12).map(|n| format!("h{n}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let origin = Spec::tls(&names).start().await;
    let place = place();
    let ca = place.path().join("ca");
    let ca_text = ca.to_str().unwrap();
    let verify = |more: &[&str]| portward(&[&["ca", "log", "verify", "--ca", ca_text], more].concat());
    let mut setup = Setup::new().ca(&ca);
    for name in &names {
        setup = setup.route(name, 443, origin.addr);
    }
    let mut proxy = setup.start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    for name in &names {
        assert_eq!(client.get(Http::H1, &format!("https://{name}/")).await.status, 200);
    }
    // While it runs, a check finds nothing wrong.
    assert!(verify(&[]).status.success());
    proxy.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(proxy.ended().await.success());
    let whole = ok(verify(&[]));
    assert!(whole.starts_with("whole: 12 lines"), "{whole}");
    let since = checkpoint(&whole);
    // The service's own log has the checkpoint as well.
    let ended = proxy.stderr.line("the checkpoint", |line| line.contains("the mint log ends")).await;
    assert!(ended.contains(&since), "{ended}");
    let log = ca.join("mints.jsonl");
    let good = fs::read_to_string(&log).unwrap();
    for name in &names {
        assert!(good.contains(&format!("\"{name}\"")), "{name} was minted unlogged");
    }

    type Tamper = fn(&mut Vec<&str>);
    let cases: [(&str, Option<u64>, Tamper); 5] = [
        ("removed", Some(5), |lines| _ = lines.remove(4)),
        ("reordered", Some(5), |lines| lines.swap(4, 5)),
        ("truncated_head", Some(1), |lines| drop(lines.drain(..3))),
        ("not_a_record", Some(3), |lines| lines[2] = "{\"seq\":3"),
        ("truncated_tail", None, |lines| lines.truncate(10)),
    ];
    for (kind, line, tamper) in cases {
        let mut lines: Vec<&str> = good.lines().collect();
        tamper(&mut lines);
        fs::write(&log, lines.join("\n") + "\n").unwrap();
        let found = verify(&["--json", "--since", &since]);
        assert_eq!(found.status.code(), Some(1), "{kind}");
        let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
        assert_eq!(found["broken"]["kind"], kind, "{found}");
        if let Some(line) = line {
            assert_eq!(found["broken"]["line"], line, "{found}");
        }
    }
    let eighth = good.lines().nth(7).unwrap();
    let other = eighth.replacen("\"names\":[", "\"names\":[\"evil.test\",", 1);
    assert_ne!(other, eighth);
    fs::write(&log, good.replace(eighth, &other)).unwrap();
    let found = verify(&[]);
    assert_eq!(found.status.code(), Some(1));
    assert!(said(&found).contains("mints.jsonl:9") && said(&found).contains("altered"), "{}", said(&found));

    // What a crash leaves is told apart, before and after the next start.
    fs::write(&log, &good[..good.len() - 40]).unwrap();
    let torn = ok(verify(&[]));
    assert!(torn.contains("torn: 1 lines"), "{torn}");
    let mut setup = Setup::new().ca(&ca);
    for name in &names {
        setup = setup.route(name, 443, origin.addr);
    }
    let proxy = setup.start().await;
    assert_eq!(Client::new(Entry::HttpProxy, &proxy).get(Http::H1, "https://h1.test/").await.status, 200);
    until("the line after the torn one", || said(&verify(&[])).contains("whole: 13 lines").then_some(()))
        .await;
    assert!(ok(verify(&[])).contains("torn: 1 lines"));
    assert_eq!(verify(&["--since", &since]).status.code(), Some(1), "the torn line was in the checkpoint");
    assert_eq!(verify(&["--since", "nonsense"]).status.code(), Some(2));
}
