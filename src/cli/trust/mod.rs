//! `portward trust`: puts the CA into the stores of roots that programs on this machine use, says
//! where it is, and takes it out again. One file per kind of store. Every command that changes
//! something is printed as it is run, and with `--dry-run` instead of being run; a store counts as
//! trusting only when a program that uses it has completed a TLS handshake with this CA's leaf.
//! Never runs sudo, and never touches an entry that does not bear our name: a company's root that
//! the company installed stays.

mod java;
mod nss;
mod probe;
mod report;
mod step;
mod system;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use time::OffsetDateTime;

use self::probe::{Probe, Proof};
use self::report::{Outcome, PlaceReport, Report, State};
use self::step::Step;
use super::ca::{CaArgs, refuse};
use crate::ca::{Ca, CaError, pem_certificates, sha256_hex};

#[derive(Args, Debug)]
pub struct TrustCommand {
    #[command(flatten)]
    pub ca: CaArgs,
    /// Only these stores
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST", env = "TRUST_STORES", global = true)]
    pub store: Vec<Store>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub verb: TrustVerb,
}

#[derive(Subcommand, Debug)]
pub enum TrustVerb {
    /// Make the stores trust the CA, and prove each by a TLS handshake
    Install {
        /// Print the commands and run none; only the certificates that they name are written, in the CA's folder
        #[arg(long)]
        dry_run: bool,
    },
    /// Say for each store whether it trusts the CA
    Status {
        /// Prove it by a TLS handshake too
        #[arg(long)]
        check: bool,
    },
    /// Take the CA out of the stores again
    Remove {
        /// Print the commands and run none
        #[arg(long)]
        dry_run: bool,
        /// CAs of other or lost Portward folders too; needs no CA
        #[arg(long)]
        all: bool,
    },
}

impl TrustCommand {
    /// Every certificate that bears our name is to go, whosesoever it was.
    pub fn needs_no_ca(&self) -> bool {
        matches!(self.verb, TrustVerb::Remove { all: true, .. })
    }
}

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// The operating system's: curl, wget, git, Python's ssl, Go and most others
    System,
    /// NSS databases of this user: Chromium and its kin, Firefox, Thunderbird
    Nss,
    /// The trust store of each JDK
    Java,
}

impl Store {
    const ALL: [Store; 3] = [Store::System, Store::Nss, Store::Java];

    fn name(self) -> &'static str {
        match self {
            Store::System => "system",
            Store::Nss => "nss",
            Store::Java => "java",
        }
    }
}

/// A CA certificate that clients are to trust, and a file that holds it alone.
#[derive(Clone, Debug)]
struct Anchor {
    der: Vec<u8>,
    file: PathBuf,
    /// Sixteen digits of the SHA-256: names entries, tells ours from others.
    tag: String,
}

/// Something in a store that is one of our anchors, or bears our name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// How the store calls it: a file, a nickname, an alias.
    label: String,
    der: Vec<u8>,
    /// The store's programs trust it.
    live: bool,
    /// Put there by us, so that we may take it away.
    ours: bool,
}

/// Something that cannot be done, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
struct Problem {
    code: &'static str,
    message: String,
    fix: String,
}

impl Problem {
    fn new(code: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem { code, message: message.into(), fix: fix.into() }
    }
}

/// One store at one place.
trait Place {
    fn store(&self) -> Store;
    /// What it is called in reports: a file or a folder.
    fn name(&self) -> String;
    /// Our entries, and those of others that are our anchors.
    fn look(&self, anchors: &[Anchor]) -> Result<Vec<Entry>, Problem>;
    /// What makes it trust `missing`.
    fn install(&self, missing: &[&Anchor], present: &[Entry]) -> Result<Vec<Step>, Problem>;
    /// What takes `entries` out.
    fn remove(&self, entries: &[&Entry]) -> Result<Vec<Step>, Problem>;
    /// The steps need another user's rights.
    fn needs_root(&self) -> bool;
    /// Another store that fills this one by itself.
    fn fed_by(&self) -> Option<Store> {
        None
    }
    /// Has a program that uses this store connect to the probe.
    fn prove(&self, probe: &Probe) -> Proof;
}

/// Runs the command: 0 all is as asked, 1 a store is not, 2 there is no usable CA.
pub fn run(command: &TrustCommand, now: OffsetDateTime, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let all = command.needs_no_ca();
    let ca = match command.ca.dir().open(now) {
        Ok(ca) => Some(ca),
        Err(_) if all => None,
        Err(error) => {
            if matches!(command.verb, TrustVerb::Remove { .. }) {
                eprintln!(
                    "portward: to remove every Portward CA without this one: portward trust remove --all"
                );
            }
            return refuse(&error, command.json, out);
        }
    };
    let anchors = ca.as_ref().map(anchors).unwrap_or_default();
    // The folder may be read-only to who only looks.
    if let (Some(ca), TrustVerb::Install { dry_run }) = (&ca, &command.verb)
        && let Err(error) = write_anchors(ca, &anchors)
    {
        if !*dry_run {
            return refuse(&error, command.json, out);
        }
        eprintln!("portward: {error}\n  whoever runs these commands needs that file: portward trust install");
    }
    let stores = if command.store.is_empty() { Store::ALL.to_vec() } else { command.store.clone() };
    let work = Work { anchors: &anchors, probe: ca.as_ref().map(|ca| Probe::start(ca, now)) };
    let mut report = Report::new(&command.verb, &anchors, command.json);
    for store in Store::ALL.into_iter().filter(|store| stores.contains(store)) {
        let places = match places(store, &anchors) {
            Ok(places) => places,
            Err(problem) => {
                report.none(out, store, problem, !command.store.is_empty())?;
                continue;
            }
        };
        for place in &places {
            let done = match &command.verb {
                TrustVerb::Install { dry_run } => work.install(place.as_ref(), *dry_run, &mut report, out),
                TrustVerb::Status { check } => work.status(place.as_ref(), *check, &mut report, out),
                TrustVerb::Remove { dry_run, all } => {
                    work.remove(place.as_ref(), *dry_run, *all, &mut report, out)
                }
            }?;
            report.place(done, out)?;
        }
    }
    report.finish(out)?;
    Ok(report.exit())
}

/// The places of a store on this machine; that there is none is said with what to do.
fn places(store: Store, anchors: &[Anchor]) -> Result<Vec<Box<dyn Place>>, Problem> {
    Ok(match store {
        Store::System => vec![Box::new(system::find(anchors)?)],
        Store::Nss => nss::find()?.into_iter().map(|place| Box::new(place) as Box<dyn Place>).collect(),
        Store::Java => java::find()?.into_iter().map(|place| Box::new(place) as Box<dyn Place>).collect(),
    })
}

/// The certificates that clients are to trust, the present one first.
fn anchors(ca: &Ca) -> Vec<Anchor> {
    let dir = ca.dir().path();
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf()).join("trust");
    let anchor = |der: &[u8]| {
        let tag = sha256_hex(der)[..16].to_string();
        Anchor { file: dir.join(format!("portward-{tag}.crt")), der: der.to_vec(), tag }
    };
    ca.anchors().iter().map(|der| anchor(der)).collect()
}

/// Each anchor as a file of its own in the CA's folder: the commands that we print name them, also
/// those of a dry run.
fn write_anchors(ca: &Ca, anchors: &[Anchor]) -> Result<(), CaError> {
    let pem = ca.export(crate::ca::Format::Pem, "")?;
    let pem = String::from_utf8_lossy(&pem);
    let failed = |path: &Path, source| CaError::Io { doing: "write", path: path.to_path_buf(), source };
    for (anchor, text) in anchors.iter().zip(pem.split_inclusive("-----END CERTIFICATE-----\n")) {
        if fs::read_to_string(&anchor.file).is_ok_and(|old| old == text) {
            continue;
        }
        let dir = anchor.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
        fs::write(&anchor.file, text).map_err(|error| failed(&anchor.file, error))?;
    }
    Ok(())
}

/// What all verbs need.
struct Work<'a> {
    anchors: &'a [Anchor],
    probe: Option<Probe>,
}

impl Work<'_> {
    fn install(
        &self,
        place: &dyn Place,
        dry_run: bool,
        report: &mut Report,
        out: &mut dyn Write,
    ) -> anyhow::Result<PlaceReport> {
        report.head(place, out)?;
        let mut done = PlaceReport::new(place);
        let before = match place.look(self.anchors) {
            Ok(entries) => entries,
            Err(problem) => return Ok(done.failed(problem)),
        };
        let missing = missing(self.anchors, &before);
        if missing.is_empty() {
            done.outcome = Outcome::Already;
            return Ok(self.proven(place, done, &before));
        }
        if dry_run && let Some(store) = place.fed_by().filter(|store| report.will_change(*store)) {
            done.note = Some(format!("filled by a hook of the {} store: nothing to do", store.name()));
            done.outcome = Outcome::Planned;
            return Ok(done.state(self.anchors, &before));
        }
        let steps = match place.install(&missing, &before) {
            Ok(steps) => steps,
            Err(problem) => return Ok(done.state(self.anchors, &before).failed(problem)),
        };
        let mut done = self.take(place, &steps, dry_run, done, report, out)?;
        if done.outcome != Outcome::Done {
            return Ok(done.state(self.anchors, &before));
        }
        let after = match place.look(self.anchors) {
            Ok(entries) => entries,
            Err(problem) => return Ok(done.failed(problem)),
        };
        if let Some(anchor) = self::missing(self.anchors, &after).first() {
            let message = format!("the commands ran, and yet it does not hold {}", anchor.tag);
            done = done.failed(Problem::new("not_taken", message, "portward trust status"));
        }
        Ok(self.proven(place, done, &after))
    }

    fn status(
        &self,
        place: &dyn Place,
        check: bool,
        report: &mut Report,
        out: &mut dyn Write,
    ) -> anyhow::Result<PlaceReport> {
        report.head(place, out)?;
        let done = PlaceReport::new(place);
        Ok(match place.look(self.anchors) {
            Ok(entries) if check => self.proven(place, done, &entries),
            Ok(entries) => done.state(self.anchors, &entries),
            Err(problem) => done.failed(problem),
        })
    }

    fn remove(
        &self,
        place: &dyn Place,
        dry_run: bool,
        all: bool,
        report: &mut Report,
        out: &mut dyn Write,
    ) -> anyhow::Result<PlaceReport> {
        report.head(place, out)?;
        let mut done = PlaceReport::new(place);
        let before = match place.look(self.anchors) {
            Ok(entries) => entries,
            Err(problem) => return Ok(done.failed(problem)),
        };
        let is_anchor = |entry: &Entry| self.anchors.iter().any(|anchor| anchor.der == entry.der);
        let chosen: Vec<&Entry> = before.iter().filter(|e| e.ours && (all || is_anchor(e))).collect();
        if let Some(other) = before.iter().find(|entry| !entry.ours && is_anchor(entry)) {
            done.note = Some(format!("{} was not put there by us, and is left", other.label));
        }
        if chosen.is_empty() {
            done.outcome = Outcome::Already;
            return Ok(done.state(self.anchors, &before));
        }
        let steps = match place.remove(&chosen) {
            Ok(steps) => steps,
            Err(problem) => return Ok(done.state(self.anchors, &before).failed(problem)),
        };
        let done = self.take(place, &steps, dry_run, done, report, out)?;
        if done.outcome != Outcome::Done {
            return Ok(done.state(self.anchors, &before));
        }
        Ok(match place.look(self.anchors) {
            Ok(after) => {
                match after.iter().find(|left| chosen.iter().any(|entry| entry.der == left.der && left.ours))
                {
                    Some(left) => {
                        let message = format!("the commands ran, and yet {} is still there", left.label);
                        done.failed(Problem::new("not_removed", message, "portward trust status"))
                    }
                    None => done.state(self.anchors, &after),
                }
            }
            Err(problem) => done.failed(problem),
        })
    }

    /// Prints the steps, and runs them unless that was not asked for or cannot be done; the outcome
    /// is `Done` when all of them ran.
    fn take(
        &self,
        place: &dyn Place,
        steps: &[Step],
        dry_run: bool,
        mut done: PlaceReport,
        report: &mut Report,
        out: &mut dyn Write,
    ) -> anyhow::Result<PlaceReport> {
        let root = place.needs_root();
        done.commands = steps.iter().map(|step| step.line(root)).collect();
        if dry_run {
            done.outcome = Outcome::Planned;
            report.commands(&done.commands, out)?;
            return Ok(done);
        }
        if root {
            let fix = done.commands.join(" && ");
            done.commands.clear();
            let message = "it belongs to root, and Portward does not run sudo by itself";
            return Ok(done.failed(Problem::new("needs_root", message, fix)));
        }
        for (number, step) in steps.iter().enumerate() {
            report.commands(&done.commands[number..=number], out)?;
            if let Err(problem) = step.run() {
                done.commands.truncate(number + 1);
                return Ok(done.failed(problem));
            }
        }
        done.outcome = Outcome::Done;
        Ok(done)
    }

    /// The state, with a handshake where it is said to be trusted.
    fn proven(&self, place: &dyn Place, done: PlaceReport, entries: &[Entry]) -> PlaceReport {
        let done = done.state(self.anchors, entries);
        match (&self.probe, done.state) {
            (Some(probe), Some(State::Trusted)) => done.proof(place.prove(probe)),
            _ => done,
        }
    }
}

fn missing<'a>(anchors: &'a [Anchor], entries: &[Entry]) -> Vec<&'a Anchor> {
    let has = |anchor: &&Anchor| entries.iter().any(|entry| entry.live && entry.der == anchor.der);
    anchors.iter().filter(|anchor| !has(anchor)).collect()
}

/// True for what `trust install` names its entries.
fn is_our_name(name: &str) -> bool {
    name == "portward" || name.starts_with("portward-") || name.starts_with("portward.")
}

/// The one certificate of a PEM file, if there is one.
fn certificate_in(path: &Path) -> Option<Vec<u8>> {
    pem_certificates(&fs::read(path).ok()?).into_iter().next()
}
