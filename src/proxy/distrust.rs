//! How clients' handshakes ended, by client, fingerprint and host: a bounded table, kept over restarts in a file that
//! `portward doctor --client` reads. What it means is judged in `policy::distrust`; here it is counted and told.
//!
//! Judging looks at the whole table, which takes milliseconds: it is done once in a while for all that was counted
//! meanwhile, and never by a connection.

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use moka::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::net::Host;
use crate::policy::distrust::{Case, Cause, Ending, Finding, judge_case};

/// Clients and hosts remembered; the least used are forgotten first. About 300 bytes each.
const CASES: u64 = 8192;
/// What was not seen for a day is forgotten.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// A finding is told again after this.
const TOLD_AGAIN: Duration = Duration::from_secs(3600);
/// Findings told within [`TOLD_AGAIN`] in all: a client can have as many names as it likes.
const TOLD: u64 = 256;
/// Refusals that wait to be judged, at most. One that finds no place is judged when it comes again.
const PENDING: usize = 64;
/// The file is written by us; one of this size is not ours.
const LONGEST_FILE: u64 = 32 << 20;

/// Its name in the state directory.
pub const FILE: &str = "clients.json";

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    client: IpAddr,
    ja4: Arc<str>,
    host: Host,
}

/// The table.
pub struct Clients {
    cases: Cache<Key, Arc<Mutex<Case>>>,
    told: Cache<(IpAddr, Arc<str>, Option<Host>), ()>,
    /// Refusals that were not judged yet.
    pending: Mutex<Vec<Case>>,
    file: Option<PathBuf>,
    /// Something that changes what is found.
    news: AtomicBool,
    /// Counts alone.
    changed: AtomicBool,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    cases: Vec<Case>,
}

/// The file of a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    #[error("{path} cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a table of clients: {problem}")]
    Content { path: PathBuf, problem: String },
}

impl Clients {
    /// `file` is where the table is kept; one that cannot be read is told and written anew.
    pub fn open(file: Option<PathBuf>) -> Clients {
        let clients = Clients {
            cases: Cache::builder().max_capacity(CASES).time_to_idle(REMEMBERED).build(),
            told: Cache::builder().max_capacity(TOLD).time_to_live(TOLD_AGAIN).build(),
            pending: Mutex::default(),
            file,
            news: AtomicBool::new(false),
            changed: AtomicBool::new(false),
        };
        let known = clients.file.as_deref().map(read).transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "what was seen of clients before is forgotten");
            None
        });
        let oldest = seconds() - REMEMBERED.as_secs() as i64;
        for case in known.into_iter().flatten().filter(|case| case.last() >= oldest) {
            let key = Key { client: case.client, ja4: case.ja4.as_str().into(), host: case.host.clone() };
            clients.cases.insert(key, Arc::new(Mutex::new(case)));
        }
        clients
    }

    /// One more handshake ended. Never waits and never takes long.
    pub fn saw(&self, client: IpAddr, ja4: Option<&Arc<str>>, host: &Host, ending: &Ending) {
        let ja4: Arc<str> = ja4.cloned().unwrap_or_default();
        let key = Key { client, ja4: ja4.clone(), host: host.clone() };
        let case = self.cases.get_with(key, || Arc::new(Mutex::new(Case::new(client, &ja4, host.clone()))));
        let about = {
            let Ok(mut case) = case.lock() else { return };
            let routine =
                *ending == Ending::Trusted && case.trusted > 0 && case.trusted_at >= case.refused_at;
            let kind = if routine { &self.changed } else { &self.news };
            kind.store(true, Ordering::Relaxed);
            case.count(ending, seconds());
            // Most clients trust us, every time; and leaving once means nothing yet.
            if *ending == Ending::Trusted || case.refuses().is_none() {
                return;
            }
            case.clone()
        };
        if let Ok(mut pending) = self.pending.lock()
            && pending.len() < PENDING
        {
            pending.push(about);
        }
    }

    /// Whether there is something to judge.
    pub fn is_pending(&self) -> bool {
        self.pending.lock().is_ok_and(|pending| !pending.is_empty())
    }

    /// Judges what was counted since the last time, and tells the operator what is found. Takes milliseconds.
    pub fn tell(&self) {
        let Ok(pending) = self.pending.lock().map(|mut pending| std::mem::take(&mut *pending)) else {
            return;
        };
        if pending.is_empty() {
            return;
        }
        let all = self.all();
        for about in pending {
            // A client is told of once for all hosts, and once for each host that it pins.
            let ja4: Arc<str> = about.ja4.as_str().into();
            let whole = (about.client, ja4.clone(), None);
            let single = (about.client, ja4, Some(about.host.clone()));
            if self.told.contains_key(&single) || self.told.entry_count() >= TOLD {
                continue;
            }
            let Some(finding) = judge_case(&all, &about, seconds()) else { continue };
            let key = if finding.cause == Cause::Pinned { single } else { whole };
            if self.told.entry(key).or_insert(()).is_fresh() {
                warn(&finding);
            }
        }
    }

    fn all(&self) -> Vec<Case> {
        self.cases.iter().filter_map(|(_, case)| case.lock().ok().map(|case| case.clone())).collect()
    }

    /// Writes the table when there is something new; with `counts`, also when only numbers changed. Blocks on the
    /// disk. What was not told yet is told first.
    pub fn save(&self, counts: bool) {
        self.tell();
        let Some(file) = &self.file else { return };
        let news = self.news.swap(false, Ordering::Relaxed);
        let changed = counts && self.changed.swap(false, Ordering::Relaxed);
        if !news && !changed {
            return;
        }
        if let Err(error) = write(file, &Written { version: 1, cases: self.all() }) {
            tracing::warn!(%error, file = %file.display(), "what was seen of clients cannot be kept");
        }
    }
}

fn warn(finding: &Finding) {
    tracing::warn!(
        client = %finding.client,
        ja4 = finding.ja4,
        certainty = ?finding.certainty,
        "{}\n{}\n\n{}",
        finding.sentence,
        finding.advice,
        finding.rule
    );
}

/// Reads a table that a proxy keeps; none is an empty one.
pub fn read(file: &Path) -> Result<Vec<Case>, ClientsError> {
    let failed = |source| ClientsError::Read { path: file.to_owned(), source };
    let content = |problem: String| ClientsError::Content { path: file.to_owned(), problem };
    match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
        Ok(meta) if meta.len() > LONGEST_FILE => return Err(content(format!("it has {} bytes", meta.len()))),
        Ok(_) => {}
    }
    let bytes = std::fs::read(file).map_err(failed)?;
    let written: Written = serde_json::from_slice(&bytes).map_err(|error| content(error.to_string()))?;
    match written.version {
        1 => Ok(written.cases),
        other => Err(content(format!("its version is {other}, this program knows 1"))),
    }
}

/// Whole or not at all: a reader never sees half a table.
fn write(file: &Path, written: &Written) -> std::io::Result<()> {
    let text = serde_json::to_vec(written)?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension("json.new");
    let mut out =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    out.write_all(&text)?;
    std::fs::rename(&beside, file)
}

fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state").join(FILE);
        let clients = Clients::open(Some(file.clone()));
        let host = Host::parse("a.test").unwrap();
        let ja4: Arc<str> = "t13d".into();
        let client: IpAddr = "10.0.0.7".parse().unwrap();
        clients.saw(client, Some(&ja4), &host, &Ending::Certain("UnknownCA"));
        clients.saw(client, Some(&ja4), &host, &Ending::Probable);
        clients.save(true);
        let again = Clients::open(Some(file.clone()));
        again.saw(client, Some(&ja4), &host, &Ending::Certain("UnknownCA"));
        again.save(true);
        let cases = read(&file).unwrap();
        assert_eq!(cases.len(), 1);
        assert_eq!((cases[0].certain, cases[0].probable), (2, 1));
        for n in 0..3 * CASES {
            again.saw(client, None, &Host::parse(&format!("h{n}.test")).unwrap(), &Ending::Trusted);
        }
        again.cases.run_pending_tasks();
        assert!(again.cases.entry_count() <= CASES);
        std::fs::write(&file, "{").unwrap();
        assert!(read(&file).is_err());
        assert!(Clients::open(Some(file)).all().is_empty());
    }
}
