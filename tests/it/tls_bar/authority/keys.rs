//! T55 and T56: what a fresh install makes, and that nobody else gets at its keys.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::support::client::{Client, Entry};
use crate::support::origin::Spec;
use crate::support::proxy::{Proxy, Setup, portward};
use crate::support::{Http, peer, within};
use crate::tls_bar::Case;

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("T55", "the chain served by two fresh installs", "own keys, CA pathLen 0", fresh_installs),
        Case::new("T55", "the files of the package", "no key, no certificate", package),
        Case::new("T56", "a core dump, a debugger", "no core, closed", no_dump),
        Case::new("T56", "logs, audit, check, ca show, ca log after traffic", "no key in them", no_leak),
        Case::new("T56", "the memory of a running proxy", "no root key in it", no_root_in_memory),
    ];
    let damages: [(&str, &'static str, Damage); 9] = [
        ("root.key mode 0640", "refused, mended by its fix", |ca| mode(&ca.join("root.key"), 0o640)),
        ("root.key mode 0644", "refused, mended by its fix", |ca| mode(&ca.join("root.key"), 0o644)),
        ("intermediate.key mode 0604", "refused, mended by its fix", |ca| {
            mode(&ca.join("intermediate.key"), 0o604);
        }),
        ("root.pem mode 0664", "refused, mended by its fix", |ca| mode(&ca.join("root.pem"), 0o664)),
        ("CA folder mode 0777", "refused, mended by its fix", |ca| mode(ca, 0o777)),
        ("root.key of another owner", "refused, mended by its fix", |ca| {
            chown(ca.join("root.key"), Some(12345), None).unwrap();
        }),
        ("root.key a symbolic link", "refused, mended by its fix", |ca| {
            let away = ca.parent().unwrap().join("away.key");
            fs::rename(ca.join("root.key"), &away).unwrap();
            symlink(&away, ca.join("root.key")).unwrap();
        }),
        ("intermediate.pem a symbolic link", "refused, mended by its fix", |ca| {
            let away = ca.parent().unwrap().join("away.pem");
            fs::rename(ca.join("intermediate.pem"), &away).unwrap();
            symlink(&away, ca.join("intermediate.pem")).unwrap();
        }),
        ("a parent writable by all", "refused, mended by its fix", |ca| mode(ca.parent().unwrap(), 0o777)),
    ];
    for (what, expected, damage) in damages {
        cases.push(Case::new("T56", what, expected, move || guarded(damage)));
    }
    cases
}

type Damage = fn(&Path);

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The start with a damaged folder, and the start after what the refusal said was typed.
async fn guarded(damage: Damage) -> String {
    let place = tempfile::TempDir::with_prefix("portward-it-").unwrap();
    let ca = place.path().join("outer/ca");
    fs::create_dir(place.path().join("outer")).unwrap();
    let made = portward(&["ca", "init", "--ca", ca.to_str().unwrap()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    damage(&ca);
    let refused = Setup::new().ca(&ca).refused();
    assert!(matches!(refused.code, Some(1 | 2)), "{refused:?}");
    assert!(!refused.stderr.contains("PRIVATE"), "{}", refused.stderr);
    let fix = refused.stderr.lines().find_map(|line| line.trim().strip_prefix("fix: ")).expect("a fix");
    // These tests are root already, and `#` starts what is for the reader alone.
    let typed = fix.split("   #").next().unwrap().trim_start_matches("sudo ");
    let done = Command::new("sh").args(["-c", typed]).output().unwrap();
    assert!(done.status.success(), "{typed}: {}", String::from_utf8_lossy(&done.stderr));
    drop(Setup::new().ca(&ca).start().await);
    "refused, mended by its fix".to_owned()
}

/// What a client is shown for `origin.test`.
async fn served(proxy: &Proxy) -> Vec<CertificateDer<'static>> {
    let stream = Client::new(Entry::HttpProxy, proxy).tls("origin.test", 443, &[Http::H1]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap().to_vec()
}

fn spki(der: &[u8]) -> Vec<u8> {
    X509Certificate::from_der(der).unwrap().1.public_key().raw.to_vec()
}

fn check_ca(der: &[u8], path_len: Option<u32>) {
    let (_, cert) = X509Certificate::from_der(der).unwrap();
    let basic = cert.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    assert_eq!(basic.value.path_len_constraint, path_len);
    let usage = cert.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert_eq!(usage.value.flags.count_ones(), 2, "keyCertSign and cRLSign alone");
}

async fn fresh_installs() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let proxy = Setup::new().origin(&origin).start().await;
        let chain = served(&proxy).await;
        assert_eq!(chain.len(), 2, "the leaf and what signed it");
        let root = proxy.ca().remove(0);
        check_ca(&chain[1], Some(0));
        check_ca(&root, None);
        let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
        assert!(leaf.basic_constraints().unwrap().is_none_or(|basic| !basic.value.ca));
        keys.extend([spki(&chain[0]), spki(&chain[1]), spki(&root)]);
    }
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), 6, "leaf, intermediate and root of both have keys of their own");
    "own keys, CA pathLen 0".to_owned()
}

async fn package() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cargo = peer::command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo.args(["package", "--list", "--allow-dirty", "--offline"]).current_dir(root);
    let listed = peer::run(cargo).await.ok().text();
    assert!(listed.lines().count() > 100, "{listed}");
    for file in listed.lines() {
        let extension = Path::new(file).extension().and_then(|e| e.to_str()).unwrap_or_default();
        assert!(
            !matches!(extension, "key" | "pem" | "p12" | "crt" | "der" | "jsonl"),
            "{file} is in the package"
        );
        let inside_ca = Path::new(file).starts_with("ca");
        assert!(!inside_ca || ["ca/README.md", "ca/.gitignore"].contains(&file), "{file} is in the package");
        let Ok(text) = fs::read_to_string(root.join(file)) else { continue };
        let block =
            text.lines().any(|line| line.starts_with("-----BEGIN ") && line.ends_with("PRIVATE KEY-----"));
        assert!(!block, "{file} holds a private key");
    }
    "no key, no certificate".to_owned()
}

/// Neither this proxy nor the program beside it may attach to others or read their memory.
const UNPRIVILEGED: [&str; 4] = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", "--"];

async fn no_dump() -> String {
    let mut proxy = Setup::new().behind(UNPRIVILEGED).start().await;
    let pid = proxy.pid().as_raw();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");

    // The same user, without the capability to trace: the memory of a sleep can be read, the proxy's cannot.
    let [program, words @ ..] = UNPRIVILEGED;
    let sleep = peer::Ended(peer::command(program).args(words).args(["sleep", "60"]).spawn().unwrap());
    let readable = async |pid: i32| {
        let mut shell = peer::command(program);
        shell.args(words).args(["sh", "-c", &format!(": </proc/{pid}/mem")]);
        peer::run(shell).await.code == Some(0)
    };
    // Until setpriv has become sleep, it has the capability.
    let traceable = within("a process that can be read", async {
        while !readable(sleep.0.id() as i32).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    })
    .await;
    let open = readable(pid).await;
    drop(sleep);
    assert!(traceable && !open, "the proxy's memory can be read by others of its user");

    proxy.signal(Signal::SIGABRT);
    let status = proxy.ended().await;
    assert_eq!(status.signal(), Some(Signal::SIGABRT as i32));
    if status.core_dumped() { "a core".to_owned() } else { "no core, closed".to_owned() }
}

/// A private key as it could show: the lines of its PEM, its number in hexadecimal.
fn signs_of(path: &Path) -> (Vec<String>, Vec<u8>) {
    let text = fs::read_to_string(path).unwrap();
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap();
    // PKCS #8 of P-256: the number follows the header 02 01 01 04 20 (RFC 5915).
    let der = key.secret_der();
    let at = der.windows(5).position(|part| part == [2, 1, 1, 4, 32]).unwrap() + 5;
    let number = der[at..at + 32].to_vec();
    // The number is in the first 68 octets, so in the first two lines; what follows is the public key, which
    // certificates show as well.
    let lines = text.lines().filter(|line| !line.starts_with('-')).take(2);
    let mut signs: Vec<String> = lines.map(str::to_owned).collect();
    signs.push(hex::encode(&number));
    signs.push(hex::encode_upper(&number));
    signs.push(STANDARD.encode(&number));
    signs.push("PRIVATE KEY".to_owned());
    (signs, number)
}

async fn no_leak() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).args(["--log", "trace"]).start().await;
    let client = Client::new(Entry::HttpProxy, &proxy);
    for http in Http::BOTH {
        assert_eq!(client.get(http, "https://origin.test/").await.status, 200);
    }
    assert_eq!(
        client.get(Http::H1, "https://origin.test/?id=1+UNION+SELECT+password+FROM+users").await.status,
        403
    );
    let ca = proxy.ca_dir();
    proxy.record("the last", |record| record["status"] == 403).await;
    let ca_text = ca.to_str().unwrap();
    let mut said = proxy.stderr.text() + &proxy.stdout.text();
    said += &fs::read_to_string(proxy.audit_path()).unwrap();
    for args in [
        vec!["ca", "show", "--ca", ca_text],
        vec!["ca", "show", "--ca", ca_text, "--json"],
        vec!["ca", "log", "--ca", ca_text, "--json"],
        vec!["ca", "log", "verify", "--ca", ca_text],
        vec!["ca", "rotate", "--dry-run", "--ca", ca_text],
        vec!["ca", "export", "--ca", ca_text],
        vec!["ca", "export", "--ca", ca_text, "--format", "mobileconfig"],
        vec!["env", "--ca", ca_text],
        vec!["check", "--ca", ca_text],
        vec!["ca", "init", "--ca", ca_text],
    ] {
        let output = portward(&args);
        said += &String::from_utf8_lossy(&output.stdout);
        said += &String::from_utf8_lossy(&output.stderr);
    }
    assert!(said.len() > 4000, "something was said");
    let keys: Vec<PathBuf> = ["root.key", "intermediate.key"].map(|name| ca.join(name)).into();
    for key in &keys {
        for sign in signs_of(key).0 {
            assert!(!said.contains(&sign), "{} shows in what is printed, as {sign}", key.display());
        }
    }
    "no key in them".to_owned()
}

/// Whether a process has these bytes anywhere in its memory.
fn in_memory(pid: i32, wanted: &[u8]) -> bool {
    use std::io::{Read, Seek, SeekFrom};
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")))
    {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        if memory.seek(SeekFrom::Start(from)).is_err() {
            continue;
        }
        let mut bytes = Vec::new();
        // Pages that were never touched cannot be read; what could be is looked at.
        let _ = (&mut memory).take(to - from).read_to_end(&mut bytes);
        if memchr::memmem::find(&bytes, wanted).is_some() {
            return true;
        }
    }
    false
}

async fn no_root_in_memory() -> String {
    let origin = Spec::tls(&["origin.test"]).start().await;
    let proxy = Setup::new().origin(&origin).start().await;
    served(&proxy).await;
    let pid = proxy.pid().as_raw();
    let (root, intermediate) = (proxy.ca_dir().join("root.key"), proxy.ca_dir().join("intermediate.key"));
    let text = |path: &Path| fs::read_to_string(path).unwrap().lines().nth(1).unwrap().to_owned();
    // The intermediate signs leaves and has to be there: so this would find a key.
    assert!(in_memory(pid, &signs_of(&intermediate).1), "the key that signs leaves was not found");
    assert!(!in_memory(pid, text(&intermediate).as_bytes()), "the text of intermediate.key was left behind");
    assert!(!in_memory(pid, text(&root).as_bytes()), "the text of root.key was left behind");
    if in_memory(pid, &signs_of(&root).1) { "the root key" } else { "no root key in it" }.to_owned()
}
