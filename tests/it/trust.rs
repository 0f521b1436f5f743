//! `portward trust`: what it prints is what it runs, what it says of a store is so, and it takes away only what it
//! brought.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::clients::{Stores, isolated};
use crate::support::peer::{Said, run};
use crate::support::proxy::PORTWARD;

/// A home with a CA, a browser's database in it, and stores of its own.
struct Machine {
    stores: Stores,
    home: TempDir,
}

impl Machine {
    async fn new() -> Machine {
        let machine = Machine { stores: Stores::new(), home: tempfile::tempdir().unwrap() };
        machine.portward(&["ca", "init"]).await.ok();
        let profile = machine.profile();
        fs::create_dir_all(&profile).unwrap();
        machine
            .run("certutil", &["-N", "-d", &format!("sql:{}", profile.display()), "--empty-password"])
            .await
            .ok();
        machine
    }

    fn profile(&self) -> PathBuf {
        self.home.path().join(".mozilla/firefox/ab12.default")
    }

    fn ca(&self) -> PathBuf {
        self.home.path().join("ca")
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let inside = self.stores.inside();
        let words: Vec<&str> =
            inside[1..].iter().map(String::as_str).chain([program]).chain(args.iter().copied()).collect();
        isolated(&inside[0], self.home.path(), &words)
    }

    async fn run(&self, program: &str, args: &[&str]) -> Said {
        run(self.command(program, args)).await
    }

    async fn portward(&self, args: &[&str]) -> Said {
        let ca = self.ca();
        self.run(PORTWARD, &[args, &["--ca", ca.to_str().unwrap()]].concat()).await
    }

    /// `trust ARGS --json`: exit code and places.
    async fn trust(&self, args: &[&str]) -> (Option<i32>, Vec<Value>) {
        let said = self.portward(&[&["trust", "--json"], args].concat()).await;
        let document: Value =
            serde_json::from_slice(&said.stdout).unwrap_or_else(|e| panic!("{e}: {said:?}"));
        (said.code, document["places"].as_array().unwrap().clone())
    }

    /// Store and state of every place.
    async fn states(&self) -> Vec<(String, String)> {
        let (_, places) = self.trust(&["status"]).await;
        places.iter().map(|place| (text(&place["store"]), text(&place["state"]))).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

/// Commands of every place, in order.
fn commands(places: &[Value]) -> Vec<String> {
    places.iter().flat_map(|place| place["commands"].as_array().unwrap()).map(text).collect()
}

/// Files below, with their length: what a dry run must leave as it was.
async fn listing(machine: &Machine) -> String {
    let script = "find /usr/local/share/ca-certificates /etc/ssl/certs -printf '%p %s %l\\n' | sort; \
                  find \"$HOME\" -path \"$HOME/ca/trust*\" -prune -o -type f -printf '%p %s %T@\\n' | sort";
    machine.run("sh", &["-c", script]).await.ok().text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_and_prints_commands_that_do_it() {
    let machine = Machine::new().await;
    let before = listing(&machine).await;
    let (code, places) = machine.trust(&["install", "--dry-run"]).await;
    assert_eq!(code, Some(0), "{places:#?}");
    let printed = commands(&places);
    assert!(printed.iter().any(|line| line.ends_with("/update-ca-certificates")), "{printed:?}");
    assert!(printed.iter().any(|line| line.contains("certutil -d sql:")), "{printed:?}");
    // Also where the certificates that they name cannot be written.
    let folder = machine.ca().join("trust");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "").unwrap();
    let again = machine.trust(&["install", "--dry-run"]).await;
    assert_eq!((again.0, commands(&again.1)), (Some(0), printed.clone()));
    fs::remove_file(&folder).unwrap();
    machine.trust(&["install", "--dry-run"]).await;
    assert_eq!(listing(&machine).await, before, "a dry run changed something");
    let absent = machine.states().await;
    assert!(absent.iter().all(|(_, state)| state == "not_trusted"), "{absent:?}");
    // Typed as they stand.
    machine.run("sh", &["-ec", &printed.join("\n")]).await.ok();
    let present = machine.states().await;
    assert!(present.iter().all(|(_, state)| state == "trusted") && present.len() >= 4, "{present:?}");
    let (code, places) = machine.trust(&["remove", "--dry-run"]).await;
    assert_eq!(code, Some(0), "{places:#?}");
    assert_eq!(machine.states().await, present, "a dry run removed something");
    machine.run("sh", &["-ec", &commands(&places).join("\n")]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn install_is_proved_by_a_handshake_in_each_store_and_doing_it_again_runs_nothing() {
    let machine = Machine::new().await;
    let (code, places) = machine.trust(&["install"]).await;
    assert_eq!(code, Some(0), "{places:#?}");
    let stores: Vec<String> = places.iter().map(|place| text(&place["store"])).collect();
    // Chromium's database is made, Firefox' was there.
    assert_eq!(&stores[..4], ["system", "nss", "nss", "java"], "{places:#?}");
    for place in &places {
        assert_eq!(place["state"], "trusted", "{place:#}");
        assert_eq!(place["proof"]["result"], "handshake", "{place:#}");
    }
    // Debian's hook has filled Java's store: it is not done twice.
    assert_eq!(places[3]["entries"], serde_json::json!(["debian:portward.pem"]), "{:#}", places[3]);
    let (code, places) = machine.trust(&["install"]).await;
    assert_eq!(code, Some(0), "{places:#?}");
    assert_eq!(commands(&places), [""; 0]);
    assert!(places.iter().all(|place| place["outcome"] == "already"), "{places:#?}");
    // A store that lost it says so, and status is then a finding.
    machine.run("rm", &["/usr/local/share/ca-certificates/portward.crt"]).await.ok();
    machine.run("update-ca-certificates", &[]).await.ok();
    let said = machine.portward(&["trust", "status", "--store", "system"]).await;
    assert_eq!((said.code, said.text().contains("not trusted")), (Some(1), true), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_adds_the_new_root_and_remove_takes_all_of_this_ca_and_nothing_else() {
    let machine = Machine::new().await;
    let profile = format!("sql:{}", machine.profile().display());
    // Another Portward's CA, and a root that somebody put there under a name of their own.
    let other = machine.home.path().join("other");
    machine.run(PORTWARD, &["ca", "init", "--ca", other.to_str().unwrap()]).await.ok();
    let stores = ["--store", "system,nss"];
    let install = [&["trust", "install", "--ca", other.to_str().unwrap()][..], &stores].concat();
    machine.run(PORTWARD, &install).await.ok();
    assert!(machine.states().await.iter().all(|(store, state)| state == "older_ca" || store == "java"));
    let (code, places) = machine.trust(&[&["install"][..], &stores].concat()).await;
    assert_eq!(code, Some(0), "{places:#?}");
    machine.portward(&["ca", "rotate", "--root"]).await.ok();
    assert!(machine.states().await.iter().all(|(_, state)| state == "older_ca"));
    let (code, places) = machine.trust(&[&["install"][..], &stores].concat()).await;
    assert_eq!(code, Some(0), "{places:#?}");
    for place in &places {
        assert_eq!(place["proof"]["result"], "handshake", "{place:#}");
        assert_eq!(place["entries"].as_array().unwrap().len(), 3, "both roots, and the other's: {place:#}");
    }
    let third = ["-A", "-d", &profile, "-t", "C,,", "-n", "Company root", "-i"];
    let lab = machine.home.path().join("lab.pem");
    fs::write(&lab, crate::support::pki::lab().root_pem()).unwrap();
    machine.run("certutil", &[&third[..], &[lab.to_str().unwrap()]].concat()).await.ok();
    let (code, places) = machine.trust(&["remove"]).await;
    assert_eq!(code, Some(0), "{places:#?}");
    assert!(machine.states().await.iter().all(|(_, state)| state == "older_ca"), "the other's is left");
    // Without its folder the other's CA can be taken away by --all alone; what is not ours stays.
    fs::remove_dir_all(&other).unwrap();
    let (code, places) = machine.trust(&["remove", "--all"]).await;
    assert_eq!(code, Some(0), "{places:#?}");
    assert!(machine.states().await.iter().all(|(_, state)| state == "not_trusted"));
    let left = machine.run("certutil", &["-L", "-d", &profile]).await.ok().text();
    assert!(left.contains("Company root") && !left.contains("portward"), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_others_put_there_is_trusted_and_never_removed() {
    let machine = Machine::new().await;
    let profile = format!("sql:{}", machine.profile().display());
    let root = machine.ca().join("root.pem");
    let add = ["-A", "-d", &profile, "-t", "C,,", "-n", "Company root", "-i", root.to_str().unwrap()];
    machine.run("certutil", &add).await.ok();
    let (code, places) = machine.trust(&["install", "--store", "nss"]).await;
    assert_eq!(code, Some(0), "{places:#?}");
    let there = |places: &[Value]| {
        let place = places.iter().find(|place| text(&place["place"]).ends_with("ab12.default")).unwrap();
        place.clone()
    };
    assert_eq!(there(&places)["outcome"], "already", "{places:#?}");
    let (_, places) = machine.trust(&["remove", "--store", "nss", "--all"]).await;
    assert!(text(&there(&places)["note"]).contains("Company root"), "{places:#?}");
    assert_eq!(there(&places)["state"], "trusted", "{places:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_change_a_store_is_told_the_exact_commands() {
    let stores = Stores::new();
    let home = tempfile::tempdir_in("/tmp").unwrap();
    // A binary that everyone may run: the build's folder may be private.
    let binary = home.path().join("portward");
    fs::copy(PORTWARD, &binary).unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    let as_nobody = |words: &[&str]| {
        let inside = stores.inside();
        let mut all: Vec<&str> = inside[1..].iter().map(String::as_str).collect();
        all.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
        all.extend(words);
        isolated(&inside[0], home.path(), &all)
    };
    std::os::unix::fs::chown(home.path(), Some(65534), Some(65534)).unwrap();
    run(as_nobody(&[&path("portward"), "ca", "init", "--ca", &path("ca")])).await.ok();
    let verb = ["trust", "install", "--ca", &path("ca"), "--store", "system"];
    let said = run(as_nobody(&[&[path("portward").as_str()][..], &verb].concat())).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let fix = said.text();
    let fix =
        fix.lines().find_map(|line| line.trim().strip_prefix("fix: ")).unwrap_or_else(|| panic!("{said:?}"));
    assert!(
        fix.starts_with("sudo install -m 644 ") && fix.contains("&& sudo /usr/sbin/update-ca-certificates"),
        "{fix}"
    );
    // What it printed, typed by one who may.
    let inside = stores.inside();
    let line = fix.replace("sudo ", "");
    let words: Vec<&str> = inside[1..].iter().map(String::as_str).chain(["sh", "-ec", &line]).collect();
    run(isolated(&inside[0], home.path(), &words)).await.ok();
    let verb = ["trust", "status", "--check", "--ca", &path("ca"), "--store", "system"];
    let said = run(as_nobody(&[&[path("portward").as_str()][..], &verb].concat())).await.ok();
    assert!(said.text().contains("proved by a TLS handshake of curl"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let ca = home.path().join("ca");
    let trust = |path: &str, args: &[&str]| {
        let mut command =
            isolated(PORTWARD, home.path(), &[&["trust", "--ca", ca.to_str().unwrap()], args].concat());
        command.env("PATH", path);
        run(command)
    };
    let said = trust("/usr/bin", &["status"]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("there is no CA in") && said.stderr.contains("fix:"), "{}", said.stderr);
    let said = trust("/usr/bin", &["status", "--store", "windows"]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    run(isolated(PORTWARD, home.path(), &["ca", "init", "--ca", ca.to_str().unwrap()])).await.ok();
    // No browser: nothing to do, unless it was asked for by name.
    let empty = home.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let only = empty.to_str().unwrap();
    let said = trust(only, &["install", "--store", "nss"]).await;
    assert_eq!((said.code, said.text().contains("no Firefox profile")), (Some(1), true), "{said:?}");
    // A browser's database, and no certutil.
    let database = home.path().join(".pki/nssdb");
    fs::create_dir_all(&database).unwrap();
    fs::write(database.join("cert9.db"), "").unwrap();
    link(&empty, "apt-get");
    let said = trust(only, &["install", "--store", "nss"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.text().contains("fix: sudo apt-get install libnss3-tools"), "{}", said.text());
    // A database that cannot be read is told as such, and is no success.
    let said = trust("/usr/bin", &["install", "--store", "nss"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.text().contains("certutil"), "{}", said.text());
}

fn link(dir: &Path, program: &str) {
    std::os::unix::fs::symlink(Path::new("/usr/bin").join(program), dir.join(program)).unwrap();
}
