//! The operating system's store. All kinds work alike: a folder for certificates that the
//! administrator adds, and a command that builds the bundle from it. Debian's is the one that is
//! tested here; the others differ in the two paths and the command, and are proved by the same
//! handshake where they are used.

use std::fs;
use std::path::{Path, PathBuf};

use super::probe::{Probe, Proof};
use super::step::{self, LOOK_TIME, Step};
use super::{Anchor, Entry, Place, Problem, Store, certificate_in, is_our_name};
use crate::ca::pem_certificates;

/// How a family of systems keeps its roots.
struct Family {
    added: &'static str,
    update: &'static [&'static str],
    /// After a certificate was taken away.
    fresh: &'static [&'static str],
    /// The built store, the first that is there.
    bundles: &'static [&'static str],
}

const FAMILIES: [Family; 4] = [
    // Debian, Ubuntu, Alpine.
    Family {
        added: "/usr/local/share/ca-certificates",
        update: &["update-ca-certificates"],
        fresh: &["update-ca-certificates", "--fresh"],
        bundles: &["/etc/ssl/certs/ca-certificates.crt"],
    },
    // Fedora and its kin.
    Family {
        added: "/etc/pki/ca-trust/source/anchors",
        update: &["update-ca-trust", "extract"],
        fresh: &["update-ca-trust", "extract"],
        bundles: &["/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/pki/tls/certs/ca-bundle.crt"],
    },
    // Arch.
    Family {
        added: "/etc/ca-certificates/trust-source/anchors",
        update: &["update-ca-trust"],
        fresh: &["update-ca-trust"],
        bundles: &["/etc/ca-certificates/extracted/tls-ca-bundle.pem"],
    },
    // SUSE.
    Family {
        added: "/etc/pki/trust/anchors",
        update: &["update-ca-certificates"],
        fresh: &["update-ca-certificates"],
        bundles: &["/var/lib/ca-certificates/ca-bundle.pem", "/etc/ssl/ca-bundle.pem"],
    },
];

/// The store of this machine.
pub struct System {
    added: PathBuf,
    update: Vec<PathBuf>,
    fresh: Vec<PathBuf>,
    bundle: PathBuf,
}

/// The store of this machine, or what to do by hand where it is of no kind that we know.
pub fn find(anchors: &[Anchor]) -> Result<System, Problem> {
    for family in &FAMILIES {
        let (Some(program), true) = (step::find(family.update[0]), Path::new(family.added).is_dir()) else {
            continue;
        };
        // Named in full: an ordinary user's search path lacks it.
        let command = |words: &[&str]| {
            std::iter::once(program.clone()).chain(words[1..].iter().map(PathBuf::from)).collect()
        };
        let bundle = family.bundles.iter().map(Path::new).find(|path| path.exists());
        return Ok(System {
            added: family.added.into(),
            update: command(family.update),
            fresh: command(family.fresh),
            bundle: bundle.unwrap_or(Path::new(family.bundles[0])).into(),
        });
    }
    let file = anchors.first().map_or("FILE".to_string(), |anchor| anchor.file.display().to_string());
    let by_hand = if step::find("apt-get").is_some() {
        "apt-get install ca-certificates, then run this again".to_string()
    } else if step::find("trust").is_some() {
        format!("sudo trust anchor {}", crate::net::shell::word(&file))
    } else {
        format!("add {file} to the system's roots as its manual says; for one command: portward exec -- CMD")
    };
    Err(Problem::new("unknown_system", "the system's store is of no kind that Portward knows", by_hand))
}

impl System {
    /// The file that an anchor is, or would be.
    fn file(&self, anchor: &Anchor, taken: &[PathBuf]) -> PathBuf {
        let plain = self.added.join("portward.crt");
        let free = !taken.contains(&plain)
            && match certificate_in(&plain) {
                Some(der) => der == anchor.der,
                None => !plain.exists(),
            };
        if free { plain } else { self.added.join(format!("portward-{}.crt", anchor.tag)) }
    }
}

impl Place for System {
    fn store(&self) -> Store {
        Store::System
    }

    fn name(&self) -> String {
        self.bundle.display().to_string()
    }

    fn look(&self, anchors: &[Anchor]) -> Result<Vec<Entry>, Problem> {
        let built = fs::read(&self.bundle).unwrap_or_default();
        let built = pem_certificates(&built);
        let mut entries = Vec::new();
        let mut files: Vec<PathBuf> =
            fs::read_dir(&self.added).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        for path in files {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(der) = certificate_in(&path).filter(|_| is_our_name(name)) else { continue };
            let live = built.contains(&der);
            entries.push(Entry { label: path.display().to_string(), der, live, ours: true });
        }
        for anchor in anchors {
            if built.contains(&anchor.der) && !entries.iter().any(|entry| entry.der == anchor.der) {
                let label = format!("{} in {}", anchor.tag, self.bundle.display());
                entries.push(Entry { label, der: anchor.der.clone(), live: true, ours: false });
            }
        }
        Ok(entries)
    }

    fn install(&self, missing: &[&Anchor], present: &[Entry]) -> Result<Vec<Step>, Problem> {
        let mut steps = Vec::new();
        let mut taken = Vec::new();
        for anchor in missing {
            // A file that is there already only waits for the bundle to be built.
            if present.iter().any(|entry| entry.ours && entry.der == anchor.der) {
                continue;
            }
            let file = self.file(anchor, &taken);
            let (mode, from, to) = ("644".as_ref(), anchor.file.as_os_str(), file.as_os_str());
            steps.push(Step::new("install", ["-m".as_ref(), mode, from, to]));
            taken.push(file);
        }
        steps.push(Step::new(&self.update[0], &self.update[1..]));
        Ok(steps)
    }

    fn remove(&self, entries: &[&Entry]) -> Result<Vec<Step>, Problem> {
        let files: Vec<&str> = entries.iter().map(|entry| entry.label.as_str()).collect();
        let files = [&["-f", "--"][..], &files].concat();
        Ok(vec![Step::new("rm", files), Step::new(&self.fresh[0], &self.fresh[1..])])
    }

    fn needs_root(&self) -> bool {
        let built = self.bundle.parent().unwrap_or(&self.bundle);
        !step::writable(&self.added) || !step::writable(built)
    }

    fn prove(&self, probe: &Probe) -> Proof {
        probe.proof(|port| {
            let (program, command) = match (step::find("curl"), step::find("openssl")) {
                (Some(curl), _) => {
                    let mut command = step::clean(curl);
                    // -q: not what the user's own .curlrc says.
                    command.args(["-q", "-sS", "--http1.1", "--noproxy", "*", "-o", "/dev/null"]);
                    command.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
                    command.arg(format!("https://localhost:{port}/"));
                    ("curl", command)
                }
                (None, Some(openssl)) => {
                    let mut command = step::clean(openssl);
                    command.args([
                        "s_client",
                        "-connect",
                        &format!("127.0.0.1:{port}"),
                        "-servername",
                        "localhost",
                    ]);
                    command.args(["-verify_hostname", "localhost", "-verify_return_error"]);
                    ("openssl", command)
                }
                (None, None) => {
                    return Err(Proof::None { why: "there is neither curl nor openssl".into() });
                }
            };
            let by = program.to_string();
            match step::output(command, LOOK_TIME) {
                Ok(output) if output.status.success() => Ok(by),
                Ok(output) => Err(Proof::Refused { by, said: step::last_words(&output) }),
                Err(error) => Err(Proof::Refused { by, said: error.to_string() }),
            }
        })
    }
}
