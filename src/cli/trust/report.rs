//! What `trust` says: line by line as it goes, or one JSON document at the end.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::probe::Proof;
use super::{Anchor, Entry, Place, Problem, Store, TrustVerb};

/// Whether a place trusts the CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Trusted,
    /// Another CA of ours, not the one that signs now: an old one, or another folder's.
    OlderCa,
    NotTrusted,
}

/// What was done at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing: only looked.
    Looked,
    /// Nothing: it was like that.
    Already,
    /// Nothing: a dry run.
    Planned,
    Done,
    Failed,
}

/// One place and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct PlaceReport {
    pub store: Store,
    pub place: String,
    pub state: Option<State>,
    pub outcome: Outcome,
    /// Names of our entries in it.
    pub entries: Vec<String>,
    /// The commands that were run, or would be.
    pub commands: Vec<String>,
    pub proof: Option<Proof>,
    pub note: Option<String>,
    pub problem: Option<Problem>,
}

impl PlaceReport {
    pub fn new(place: &dyn Place) -> PlaceReport {
        PlaceReport::of(place.store(), place.name())
    }

    fn of(store: Store, place: String) -> PlaceReport {
        PlaceReport {
            store,
            place,
            state: None,
            outcome: Outcome::Looked,
            entries: Vec::new(),
            commands: Vec::new(),
            proof: None,
            note: None,
            problem: None,
        }
    }

    pub fn state(mut self, anchors: &[Anchor], entries: &[Entry]) -> PlaceReport {
        let present = |anchor: &Anchor| entries.iter().any(|entry| entry.live && entry.der == anchor.der);
        self.state = Some(match anchors.first() {
            Some(current) if present(current) => State::Trusted,
            _ if entries.iter().any(|entry| entry.live) => State::OlderCa,
            _ => State::NotTrusted,
        });
        self.entries = entries.iter().filter(|entry| entry.live).map(|entry| entry.label.clone()).collect();
        self
    }

    pub fn failed(mut self, problem: Problem) -> PlaceReport {
        self.outcome = Outcome::Failed;
        self.problem.get_or_insert(problem);
        self
    }

    pub fn proof(mut self, proof: Proof) -> PlaceReport {
        if let Proof::Refused { by, said } = &proof {
            let message = format!("it holds the CA, but {by} does not complete a TLS handshake: {said}");
            self = self.failed(Problem::new("handshake_failed", message, "portward trust status --check"));
        }
        self.proof = Some(proof);
        self
    }
}

/// Everything that is said.
#[derive(Serialize)]
pub struct Report {
    verb: &'static str,
    dry_run: bool,
    /// SHA-256, first sixteen digits, of the certificates to trust; the present one first.
    anchors: Vec<String>,
    places: Vec<PlaceReport>,
    #[serde(skip)]
    json: bool,
    /// A store that was asked for by name is not there.
    #[serde(skip)]
    absent: bool,
}

impl Report {
    pub fn new(verb: &TrustVerb, anchors: &[Anchor], json: bool) -> Report {
        let (verb, dry_run) = match verb {
            TrustVerb::Install { dry_run } => ("install", *dry_run),
            TrustVerb::Status { .. } => ("status", false),
            TrustVerb::Remove { dry_run, .. } => ("remove", *dry_run),
        };
        let anchors = anchors.iter().map(|anchor| anchor.tag.clone()).collect();
        Report { verb, dry_run, anchors, places: Vec::new(), json, absent: false }
    }

    /// Commands of this run change, or in a dry run would change, that store.
    pub fn will_change(&self, store: Store) -> bool {
        self.places.iter().any(|place| place.store == store && !place.commands.is_empty())
    }

    /// The line above what is done at a place.
    pub fn head(&self, place: &dyn Place, out: &mut dyn Write) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(out, "{:<8}{}", place.store().name(), plain(&place.name()))
    }

    /// Commands as they are run.
    pub fn commands(&self, lines: &[String], out: &mut dyn Write) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        for line in lines {
            writeln!(out, "  $ {}", plain(line))?;
        }
        out.flush()
    }

    /// Keeps a place, and says what became of it.
    pub fn place(&mut self, place: PlaceReport, out: &mut dyn Write) -> io::Result<()> {
        if !self.json {
            for line in self.sentences(&place) {
                writeln!(out, "  {}", plain(&line))?;
            }
        }
        self.places.push(place);
        Ok(())
    }

    /// A store that is not on this machine.
    pub fn none(
        &mut self,
        out: &mut dyn Write,
        store: Store,
        problem: Problem,
        asked: bool,
    ) -> io::Result<()> {
        // A machine without Java has nothing to trust there; a tool that is missing leaves a
        // browser that does not.
        let harmless = problem.code == "none_here" && !asked;
        self.absent |= !harmless;
        if !self.json {
            writeln!(out, "{:<8}{}", store.name(), plain(&problem.message))?;
            if !harmless {
                writeln!(out, "  fix: {}", plain(&problem.fix))?;
            }
        }
        let mut place = PlaceReport::of(store, String::new());
        place.problem = Some(problem);
        self.places.push(place);
        Ok(())
    }

    fn sentences(&self, place: &PlaceReport) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(note) = &place.note {
            lines.push(note.clone());
        }
        if let Some(problem) = &place.problem {
            lines.push(problem.message.clone());
            lines.push(format!("fix: {}", problem.fix));
            return lines;
        }
        if place.outcome == Outcome::Planned {
            return lines;
        }
        let entries =
            if place.entries.is_empty() { String::new() } else { format!(": {}", place.entries.join(", ")) };
        match place.state {
            Some(State::Trusted) => lines.push(format!("trusted{entries}")),
            Some(State::OlderCa) => {
                lines.push(format!("not trusted; another Portward CA is{entries}"));
                if self.verb == "status" {
                    lines.push("an old or another folder's: portward trust install, or remove --all".into());
                }
            }
            Some(State::NotTrusted) => lines.push("not trusted".into()),
            None => {}
        }
        match &place.proof {
            Some(Proof::Handshake { by }) => {
                lines.push(format!("proved by a TLS handshake of {by} with a leaf of this CA"));
            }
            Some(Proof::None { why }) => lines.push(format!("not verified by a handshake: {why}")),
            Some(Proof::Refused { .. }) | None => {}
        }
        lines
    }

    pub fn finish(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.json {
            serde_json::to_writer_pretty(&mut *out, self)?;
            writeln!(out)?;
        } else if self.verb == "install"
            && !self.dry_run
            && self.places.iter().any(|p| p.outcome == Outcome::Done)
        {
            writeln!(out, "Programs that run already may need a new start. To undo: portward trust remove")?;
        }
        Ok(())
    }

    /// 1 when a store is not as it was asked to be.
    pub fn exit(&self) -> ExitCode {
        let real = || self.places.iter().filter(|place| !place.place.is_empty());
        let failed = self.absent || real().any(|place| place.outcome == Outcome::Failed);
        let as_asked = match self.verb {
            _ if self.dry_run => true,
            "remove" => true,
            _ => real().all(|place| place.state == Some(State::Trusted)),
        };
        ExitCode::from(u8::from(failed || !as_asked))
    }
}

/// Paths and programs' words are not trusted to hold no control characters for the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
