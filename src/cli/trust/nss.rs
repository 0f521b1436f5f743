//! NSS databases of this user: the one that Chromium and its kin share, and one per profile of
//! Firefox and Thunderbird, wherever packages put them. Read and written by `certutil` alone, the
//! database's own tool.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::probe::{Probe, Proof};
use super::step::{self, LOOK_TIME, Step};
use super::{Anchor, Entry, Place, Problem, Store, is_our_name};
use crate::ca::pem_certificates;
use crate::config::System;

/// Databases that programs share.
const SHARED: [&str; 6] = [
    ".pki/nssdb",
    ".local/share/pki/nssdb",
    "snap/chromium/current/.pki/nssdb",
    ".var/app/org.chromium.Chromium/.pki/nssdb",
    ".var/app/org.chromium.Chromium/data/pki/nssdb",
    ".var/app/com.google.Chrome/.pki/nssdb",
];

/// Folders of profiles, each with a database of its own.
const PROFILES: [&str; 9] = [
    ".mozilla/firefox",
    ".config/mozilla/firefox",
    "snap/firefox/common/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/.mozilla/firefox",
    ".var/app/org.mozilla.firefox/config/mozilla/firefox",
    ".librewolf",
    ".thunderbird",
    "snap/thunderbird/common/.thunderbird",
    ".var/app/org.mozilla.Thunderbird/.thunderbird",
];

/// Programs that read the shared database, and make it when it is not there.
const CHROMIUMS: [&str; 9] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "brave-browser",
    "microsoft-edge",
    "microsoft-edge-stable",
    "vivaldi",
    "opera",
];

/// More profiles than a person has.
const MOST: usize = 100;

/// One database.
pub struct Nss {
    dir: PathBuf,
    certutil: PathBuf,
    /// Not there yet: Chromium is, and looks here.
    absent: bool,
}

/// Every database of this user.
pub fn find() -> Result<Vec<Nss>, Problem> {
    let none =
        |message: &str| Problem::new("none_here", message, "start the browser once, then run this again");
    let Some(home) = System::current().home else {
        return Err(none("HOME is not set, so that no browser is found"));
    };
    let dirs = databases(&home);
    let shared = home.join(SHARED[0]);
    let chromium = CHROMIUMS.iter().any(|name| step::find(name).is_some());
    let absent = chromium && !SHARED[..2].iter().any(|dir| dirs.contains(&home.join(dir)));
    if dirs.is_empty() && !absent {
        return Err(none("no Firefox profile and no Chromium of this user"));
    }
    let Some(certutil) = step::find("certutil") else {
        let message = "there are browsers with a store of their own (NSS), but no certutil to change it";
        return Err(Problem::new("no_certutil", message, package()));
    };
    let mut places: Vec<Nss> =
        dirs.into_iter().map(|dir| Nss { dir, certutil: certutil.clone(), absent: false }).collect();
    if absent {
        places.insert(0, Nss { dir: shared, certutil, absent: true });
    }
    Ok(places)
}

/// The package that certutil is in.
fn package() -> String {
    for (program, line) in [
        ("apt-get", "sudo apt-get install libnss3-tools"),
        ("dnf", "sudo dnf install nss-tools"),
        ("pacman", "sudo pacman -S nss"),
        ("zypper", "sudo zypper install mozilla-nss-tools"),
        ("apk", "sudo apk add nss-tools"),
    ] {
        if step::find(program).is_some() {
            return line.into();
        }
    }
    "install NSS' tools (libnss3-tools, nss-tools)".into()
}

fn databases(home: &Path) -> Vec<PathBuf> {
    let is_database = |dir: &PathBuf| dir.join("cert9.db").is_file();
    let mut dirs: Vec<PathBuf> = SHARED.iter().map(|dir| home.join(dir)).filter(is_database).collect();
    for folder in PROFILES {
        let Ok(entries) = fs::read_dir(home.join(folder)) else { continue };
        let mut found: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(is_database).take(MOST).collect();
        found.sort();
        dirs.extend(found);
    }
    dirs
}

/// Whose a folder is, or would be: that of the nearest one above that is there.
fn owner(dir: &Path) -> u32 {
    dir.ancestors().find_map(|dir| fs::metadata(dir).ok()).map(|meta| meta.uid()).unwrap_or_default()
}

impl Nss {
    fn database(&self) -> String {
        format!("sql:{}", self.dir.display())
    }

    fn certutil(&self, args: &[&str]) -> Result<Vec<u8>, Problem> {
        let database = self.database();
        let mut command = step::clean(&self.certutil);
        command.args(["-d", &database]).args(args);
        let fix = format!("certutil -d {} -L", crate::net::shell::word(&database));
        match step::output(command, LOOK_TIME) {
            Ok(output) if output.status.success() => Ok(output.stdout),
            Ok(output) => {
                Err(Problem::new("unreadable", format!("certutil: {}", step::last_words(&output)), fix))
            }
            Err(error) => Err(Problem::new("unreadable", format!("certutil: {error}"), fix)),
        }
    }

    fn nickname(anchor: &Anchor) -> String {
        format!("portward-{}", anchor.tag)
    }

    fn step(&self, args: &[&str]) -> Step {
        let database = self.database();
        Step::new("certutil", [&["-d", &database][..], args].concat())
    }
}

/// Nicknames with their trust for TLS: the last word of a line, three lists with commas between.
fn nicknames(listing: &str) -> Vec<(String, bool)> {
    let lines = listing.lines().filter_map(|line| line.trim_end().rsplit_once(char::is_whitespace));
    lines
        .filter(|(_, trust)| trust.split(',').count() == 3 && !trust.contains('/'))
        .map(|(name, trust)| {
            (name.trim().to_string(), trust.split(',').next().unwrap_or_default().contains('C'))
        })
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

impl Place for Nss {
    fn store(&self) -> Store {
        Store::Nss
    }

    fn name(&self) -> String {
        self.dir.display().to_string()
    }

    fn look(&self, anchors: &[Anchor]) -> Result<Vec<Entry>, Problem> {
        // What we would write as root is not the user's own any more, and the browser fails on it.
        let owner = owner(&self.dir);
        if owner != nix::unistd::geteuid().as_raw() {
            let message = format!("it belongs to user {owner}");
            return Err(Problem::new("other_owner", message, "run this as that user, without sudo"));
        }
        if self.absent && !self.dir.join("cert9.db").exists() {
            return Ok(Vec::new());
        }
        let listing = self.certutil(&["-L"])?;
        let mut entries = Vec::new();
        for (label, live) in nicknames(&String::from_utf8_lossy(&listing)).into_iter().take(1000) {
            // A certificate that went away between the two looks is not there.
            let Ok(pem) = self.certutil(&["-L", "-a", "-n", &label]) else { continue };
            for der in pem_certificates(&pem) {
                let ours = is_our_name(&label);
                if ours || anchors.iter().any(|anchor| anchor.der == der) {
                    entries.push(Entry { label: label.clone(), der, live, ours });
                }
            }
        }
        Ok(entries)
    }

    fn install(&self, missing: &[&Anchor], _: &[Entry]) -> Result<Vec<Step>, Problem> {
        let mut steps = Vec::new();
        if self.absent {
            steps.push(Step::new(
                "mkdir",
                ["-p".as_ref(), "-m".as_ref(), "700".as_ref(), self.dir.as_os_str()],
            ));
            steps.push(self.step(&["-N", "--empty-password"]));
        }
        for anchor in missing {
            let file = anchor.file.to_string_lossy();
            steps.push(self.step(&["-A", "-t", "C,,", "-n", &Nss::nickname(anchor), "-i", &file]));
        }
        Ok(steps)
    }

    fn remove(&self, entries: &[&Entry]) -> Result<Vec<Step>, Problem> {
        Ok(entries.iter().map(|entry| self.step(&["-D", "-n", &entry.label])).collect())
    }

    fn needs_root(&self) -> bool {
        false
    }

    fn prove(&self, probe: &Probe) -> Proof {
        probe.proof(|port| {
            // The test client of NSS itself; the browsers' own handshakes are its libraries'.
            let Some(client) = step::find("tstclnt").or_else(|| {
                // Where it is kept on Fedora and its kin.
                let path = PathBuf::from("/usr/lib64/nss/unsupported-tools/tstclnt");
                step::is_program(&path).then_some(path)
            }) else {
                return Err(Proof::None {
                    why: "NSS' test client (tstclnt) is not here; certutil lists it".into(),
                });
            };
            let mut command = step::clean(client);
            command.args(["-4", "-h", "localhost", "-p", &port.to_string(), "-Q", "-d", &self.database()]);
            let by = "NSS (tstclnt)".to_string();
            match step::output(command, LOOK_TIME) {
                Ok(output) if output.status.success() => Ok(by),
                Ok(output) => Err(Proof::Refused { by, said: step::last_words(&output) }),
                Err(error) => Err(Proof::Refused { by, said: error.to_string() }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames_with_spaces_are_read_with_their_trust_and_headings_are_not_names() {
        let listing = "
Certificate Nickname                                         Trust Attributes
                                                             SSL,S/MIME,JAR/XPI

portward-00ff                                                C,,  
Portward CA 12AB (host)                                      ,,   
A name, with a comma                                         CT,C,c
mail only                                                    ,C,  
";
        let found = nicknames(listing);
        let wanted = [
            ("portward-00ff", true),
            ("Portward CA 12AB (host)", false),
            ("A name, with a comma", true),
            ("mail only", false),
        ];
        assert_eq!(found, wanted.map(|(name, live)| (name.to_string(), live)));
    }

    #[test]
    fn no_database_is_made_in_somebody_elses_home() {
        let home = tempfile::tempdir().unwrap();
        let me = nix::unistd::geteuid();
        let (theirs, owner) = if me.is_root() {
            std::os::unix::fs::chown(home.path(), Some(12345), None).unwrap();
            (home.path().to_owned(), 12345)
        } else {
            (PathBuf::from("/"), 0)
        };
        let place = Nss { dir: theirs.join("no/such/nssdb"), certutil: "certutil".into(), absent: true };
        let problem = place.look(&[]).unwrap_err();
        assert_eq!((problem.code, problem.message), ("other_owner", format!("it belongs to user {owner}")));
        let own = tempfile::tempdir().unwrap();
        let place = Nss { dir: own.path().join(".pki/nssdb"), ..place };
        assert_eq!(place.look(&[]), Ok(Vec::new()));
    }

    #[test]
    fn every_profile_of_every_packaging_is_found() {
        let home = tempfile::tempdir().unwrap();
        let dirs = [
            ".pki/nssdb",
            ".mozilla/firefox/ab.default",
            ".mozilla/firefox/cd.work",
            "snap/firefox/common/.mozilla/firefox/ef.default",
            ".var/app/org.mozilla.firefox/.mozilla/firefox/gh.default",
        ];
        for dir in dirs {
            fs::create_dir_all(home.path().join(dir)).unwrap();
            fs::write(home.path().join(dir).join("cert9.db"), "").unwrap();
        }
        fs::create_dir_all(home.path().join(".mozilla/firefox/Crash Reports")).unwrap();
        assert_eq!(databases(home.path()), dirs.map(|dir| home.path().join(dir)));
    }
}
