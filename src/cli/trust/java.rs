//! The trust stores of the JDKs: those of `JAVA_HOME`, of the search path, of the system and of
//! the usual managers. Several JDKs of a distribution share one file, which is looked at once; the
//! one that Debian's ca-certificates-java fills from the system's store is left to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::probe::{Probe, Proof};
use super::step::{self, LOOK_TIME, Step};
use super::{Anchor, Entry, Place, Problem, Store, is_our_name};
use crate::ca::{JAVA_PASSWORD, pem_certificates};
use crate::config::System;

/// Debian's store for all its JDKs, and what fills it after `update-ca-certificates`.
const DEBIAN: (&str, &str) = ("/etc/ssl/certs/java/cacerts", "/etc/ca-certificates/update.d/jks-keystore");

/// What Debian's hook calls an entry, before the file's name.
const DEBIAN_ALIAS: &str = "debian:";

/// A program that connects and reads one answer. Java 11 and later run a source file (JEP 330).
const PROGRAM: &str = "public class Probe {
    public static void main(String[] args) throws Exception {
        java.net.URLConnection connection =
            new java.net.URL(args[0]).openConnection(java.net.Proxy.NO_PROXY);
        connection.setConnectTimeout(10000);
        connection.setReadTimeout(10000);
        connection.getInputStream().read();
    }
}
";

/// One trust store, and the JDKs that use it.
pub struct Java {
    file: PathBuf,
    homes: Vec<PathBuf>,
}

/// Every trust store of a JDK on this machine.
pub fn find() -> Result<Vec<Java>, Problem> {
    let mut stores: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for home in homes() {
        let Some(file) = store_of(&home) else { continue };
        let homes = stores.entry(file).or_default();
        if !homes.contains(&home) {
            homes.push(home);
        }
    }
    if stores.is_empty() {
        let fix = "set JAVA_HOME if there is one that was not found";
        return Err(Problem::new("none_here", "no Java with a trust store of its own", fix));
    }
    Ok(stores.into_iter().map(|(file, homes)| Java { file, homes }).collect())
}

/// The trust store of a home: one file since Java 9, in the JRE's folder before.
fn store_of(home: &Path) -> Option<PathBuf> {
    ["lib/security/cacerts", "jre/lib/security/cacerts"]
        .iter()
        .find_map(|path| fs::canonicalize(home.join(path)).ok())
        .filter(|path| path.is_file())
}

fn homes() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::env::var_os("JAVA_HOME").map(PathBuf::from).into_iter().collect();
    if let Some(java) = step::find("java") {
        let real = fs::canonicalize(&java).unwrap_or_else(|_| java.clone());
        match real.parent().and_then(Path::parent).filter(|home| store_of(home).is_some()) {
            Some(home) => found.push(home.into()),
            // A shim of a version manager: it is asked.
            None => found.extend(asked(&java)),
        }
    }
    let mut folders =
        vec![PathBuf::from("/usr/lib/jvm"), PathBuf::from("/usr/java"), PathBuf::from("/opt/java")];
    if let Some(home) = System::current().home {
        folders.extend([".sdkman/candidates/java", ".jdks", ".asdf/installs/java"].map(|dir| home.join(dir)));
    }
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        inside.sort();
        found.extend(inside);
    }
    let mut homes: Vec<PathBuf> = Vec::new();
    for home in found.into_iter().filter_map(|home| fs::canonicalize(home).ok()) {
        if !homes.contains(&home) {
            homes.push(home);
        }
    }
    homes
}

/// `java.home` as that Java prints it.
fn asked(java: &Path) -> Option<PathBuf> {
    let mut command = step::clean(java);
    command.args(["-XshowSettings:properties", "-version"]);
    let output = step::output(command, LOOK_TIME).ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let home = text.lines().find_map(|line| line.trim().strip_prefix("java.home = ").map(str::to_string));
    home.map(PathBuf::from)
}

impl Java {
    /// Debian's hook fills it from the system's store.
    fn is_fed(&self) -> bool {
        self.file == Path::new(DEBIAN.0) && Path::new(DEBIAN.1).exists()
    }

    fn keytool(&self) -> Option<PathBuf> {
        let own = self.homes.iter().map(|home| home.join("bin/keytool")).find(|path| step::is_program(path));
        own.or_else(|| step::find("keytool"))
    }

    /// How keytool is told which store: `-cacerts` is that of its own home, since Java 9.
    fn which(&self, keytool: &Path) -> Vec<String> {
        let home =
            fs::canonicalize(keytool).ok().and_then(|path| Some(path.parent()?.parent()?.to_path_buf()));
        let own = home.is_some_and(|home| {
            fs::canonicalize(home.join("lib/security/cacerts")).is_ok_and(|file| file == self.file)
        });
        let mut words = if own {
            vec!["-cacerts".to_string()]
        } else {
            vec!["-keystore".to_string(), self.file.display().to_string()]
        };
        words.extend(["-storepass".to_string(), JAVA_PASSWORD.to_string()]);
        words
    }

    fn step(&self, keytool: &Path, args: &[&str]) -> Step {
        let which = self.which(keytool);
        let (verb, rest) = args.split_at(1);
        let which: Vec<&str> = which.iter().map(String::as_str).collect();
        Step::new(keytool, [verb, &which, rest].concat())
    }

    fn need_keytool(&self) -> Result<PathBuf, Problem> {
        self.keytool().ok_or_else(|| {
            let message = "there is a Java trust store, but no keytool to change it";
            Problem::new("no_keytool", message, "install a JRE or JDK with keytool")
        })
    }
}

/// Aliases and certificates of `keytool -list -rfc`.
fn listed(text: &str) -> Vec<(String, Vec<u8>)> {
    let parts = text.split("Alias name: ").skip(1);
    parts
        .filter_map(|part| {
            let (alias, rest) = part.split_once('\n')?;
            Some((alias.trim().to_string(), pem_certificates(rest.as_bytes()).into_iter().next()?))
        })
        .collect()
}

impl Place for Java {
    fn store(&self) -> Store {
        Store::Java
    }

    fn name(&self) -> String {
        self.file.display().to_string()
    }

    fn look(&self, anchors: &[Anchor]) -> Result<Vec<Entry>, Problem> {
        let keytool = self.need_keytool()?;
        let mut command = step::clean(&keytool);
        command.args(["-list", "-rfc"]).args(self.which(&keytool));
        let failed = |said: String| {
            let fix = format!("{} -list -keystore {}", keytool.display(), self.file.display());
            Problem::new("unreadable", format!("keytool: {said}"), fix)
        };
        let output = step::output(command, LOOK_TIME).map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(step::last_words(&output)));
        }
        let mut entries = Vec::new();
        for (label, der) in listed(&String::from_utf8_lossy(&output.stdout)) {
            let ours = is_our_name(label.strip_prefix(DEBIAN_ALIAS).unwrap_or(&label));
            if ours || anchors.iter().any(|anchor| anchor.der == der) {
                entries.push(Entry { label, der, live: true, ours });
            }
        }
        Ok(entries)
    }

    fn install(&self, missing: &[&Anchor], _: &[Entry]) -> Result<Vec<Step>, Problem> {
        let keytool = self.need_keytool()?;
        let import = |anchor: &&Anchor| {
            let (alias, file) = (format!("portward-{}", anchor.tag), anchor.file.to_string_lossy());
            self.step(&keytool, &["-importcert", "-noprompt", "-alias", &alias, "-file", &file])
        };
        Ok(missing.iter().map(import).collect())
    }

    fn remove(&self, entries: &[&Entry]) -> Result<Vec<Step>, Problem> {
        let keytool = self.need_keytool()?;
        // Debian's hook is not told of what was removed: entries that it made stay until taken out here.
        Ok(entries.iter().map(|entry| self.step(&keytool, &["-delete", "-alias", &entry.label])).collect())
    }

    fn needs_root(&self) -> bool {
        // keytool writes a new file beside it.
        !step::writable(&self.file) || !self.file.parent().is_some_and(step::writable)
    }

    fn fed_by(&self) -> Option<Store> {
        self.is_fed().then_some(Store::System)
    }

    fn prove(&self, probe: &Probe) -> Proof {
        probe.proof(|port| {
            let not = |why: &str| Proof::None { why: format!("{why}; keytool lists it") };
            let java =
                self.homes.iter().map(|home| home.join("bin/java")).find(|path| step::is_program(path));
            let Some(java) = java else { return Err(not("its home has no java program")) };
            let dir = std::env::temp_dir().join(format!("portward-{}-{port}", std::process::id()));
            let source = dir.join("Probe.java");
            fs::create_dir(&dir)
                .and_then(|()| fs::write(&source, PROGRAM))
                .map_err(|error| not(&format!("{}: {error}", dir.display())))?;
            let mut command = step::clean(&java);
            command.arg(&source).arg(format!("https://localhost:{port}/"));
            let output = step::output(command, LOOK_TIME);
            // Left behind it is a few lines of Java in a temporary folder.
            let _ = fs::remove_dir_all(&dir);
            let by = format!("Java ({})", java.display());
            match output {
                Ok(output) if output.status.success() => Ok(by),
                Ok(output) if String::from_utf8_lossy(&output.stderr).contains("SSLHandshakeException") => {
                    let text = String::from_utf8_lossy(&output.stderr).into_owned();
                    let said = text.lines().find(|line| line.contains("SSLHandshakeException"));
                    Err(Proof::Refused { by, said: said.unwrap_or_default().chars().take(300).collect() })
                }
                // A JRE without a compiler, or a Java before 11.
                Ok(_) => Err(not("this Java does not run a source file")),
                Err(error) => Err(not(&error.to_string())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_read_with_their_certificates() {
        let text = "Keystore type: PKCS12\n\nAlias name: portward-1\nCreation date: today\n\n\
                    -----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n\n\n\
                    Alias name: empty\nEntry type: PrivateKeyEntry\n\n\
                    Alias name: debian:portward.pem\n-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n";
        let found = listed(text);
        assert_eq!(
            found,
            [("portward-1".into(), vec![0x30, 0]), ("debian:portward.pem".into(), vec![0x30, 0, 0])]
        );
    }
}
