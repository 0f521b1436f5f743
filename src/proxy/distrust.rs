//! How clients' handshakes ended, by client, fingerprint and host: a bounded table, kept over restarts in a file that
//! `portward doctor --client` reads. What it means is judged in `policy::distrust`; here it is counted and told.
//!
//! Judging walks over the whole table, which takes milliseconds: it is done once in a while for all that was counted
//! meanwhile, and never by a connection.

use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use moka::sync::Cache;
use serde::{Deserialize, Serialize};

use crate::net::Host;
use crate::policy::distrust::{Case, Cause, Ending, Finding, Table};

/// Clients and hosts remembered; the least used are forgotten first. About 300 bytes each.
const CASES: u64 = 8192;
/// What was not seen for a day is forgotten.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// A finding is told again after this.
const TOLD_AGAIN: Duration = Duration::from_secs(3600);
/// Findings told within [`TOLD_AGAIN`] in all, and of one address: a client can have as many names as it likes.
const TOLD: usize = 256;
const TOLD_OF_ONE: usize = 32;
/// Refusals that wait to be judged, in all and of one address. One that finds no place is judged when it comes
/// again.
const WAITING: usize = 128;
const WAITING_OF_ONE: usize = 8;
/// The file is written by us; one of this size is not ours.
const LONGEST_FILE: u64 = 32 << 20;

/// Its name in the state directory.
pub const FILE: &str = "clients.json";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    client: IpAddr,
    ja4: Arc<str>,
    host: Host,
}

/// The table.
pub struct Clients {
    cases: Cache<Key, Arc<Mutex<Case>>>,
    attention: Mutex<Attention>,
    file: Option<PathBuf>,
    /// One writer at a time.
    saving: Mutex<()>,
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
    /// `file` is where the table is kept. One that cannot be read is told, and set aside before another is written in
    /// its place: it may be of a later release, which is to find it again.
    pub fn open(file: Option<PathBuf>) -> Clients {
        let clients = Clients {
            cases: Cache::builder().max_capacity(CASES).time_to_idle(REMEMBERED).build(),
            attention: Mutex::default(),
            file,
            saving: Mutex::new(()),
            news: AtomicBool::new(false),
            changed: AtomicBool::new(false),
        };
        let known = clients.file.as_deref().map(read).transpose().unwrap_or_else(|error| {
            let aside = clients.file.as_deref().and_then(|file| {
                let aside = file.with_extension("json.unread");
                std::fs::rename(file, &aside).ok().map(|()| aside)
            });
            let kept = aside.map(|path| path.display().to_string()).unwrap_or_default();
            tracing::warn!(%error, kept, "what was seen of clients before is not used; a later release reads it when it is moved back");
            None
        });
        let oldest = seconds() - REMEMBERED.as_secs() as i64;
        for case in known.into_iter().flatten().filter(|case| case.last() >= oldest) {
            let key = Key { client: case.client, ja4: case.ja4.as_str().into(), host: case.host.clone() };
            clients.cases.insert(key, Arc::new(Mutex::new(case)));
        }
        clients
    }

    /// One more handshake ended. Takes no time to speak of.
    pub fn saw(&self, client: IpAddr, ja4: Option<&Arc<str>>, host: &Host, ending: &Ending) {
        let ja4: Arc<str> = ja4.cloned().unwrap_or_default();
        let key = Key { client, ja4: ja4.clone(), host: host.clone() };
        let case =
            self.cases.get_with(key.clone(), || Arc::new(Mutex::new(Case::new(client, &ja4, host.clone()))));
        {
            let Ok(mut case) = case.lock() else { return };
            let routine =
                *ending == Ending::Trusted && case.trusted > 0 && case.trusted_at >= case.refused_at;
            let kind = if routine { &self.changed } else { &self.news };
            kind.store(true, Ordering::Relaxed);
            case.count(ending, seconds());
            // Most clients trust us, every time; and to leave once means nothing yet.
            if *ending == Ending::Trusted || case.refuses().is_none() {
                return;
            }
        }
        if let Ok(mut attention) = self.attention.lock() {
            attention.wait(key);
        }
    }

    /// Whether there is something to judge.
    pub fn is_pending(&self) -> bool {
        self.attention.lock().is_ok_and(|attention| !attention.waiting.is_empty())
    }

    /// Judges what was counted since the last time, and tells the operator what is found.
    pub fn tell(&self) {
        let now = seconds();
        let Ok(waiting) = self.attention.lock().map(|mut attention| attention.take(now)) else { return };
        if waiting.is_empty() {
            return;
        }
        let cases = self.all();
        let table = Table::of(&cases);
        for Key { client, ja4, host } in waiting {
            let Some(finding) = table.judge(client, &ja4, &host, now) else { continue };
            // A client is told of once for all hosts, and once for each host that it pins.
            let about = (client, ja4, (finding.cause == Cause::Pinned).then_some(host));
            if self.attention.lock().is_ok_and(|mut attention| attention.told(about, now)) {
                warn(&finding);
            }
        }
    }

    fn all(&self) -> Vec<Case> {
        self.cases.iter().filter_map(|(_, case)| case.lock().ok().map(|case| case.clone())).collect()
    }

    /// Writes the table when there is something new; with `counts`, also when only numbers changed. Blocks on the
    /// disk. Where another writer is still at it, or the disk fails, what is new stays new for the next time. What
    /// was not told yet is told first.
    pub fn save(&self, counts: bool) {
        self.tell();
        if let Ok(_one) = self.saving.try_lock() {
            self.write_news(counts);
        }
    }

    /// The last time: waits for a writer that is still at it.
    pub fn save_last(&self) {
        self.tell();
        let _one = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_news(true);
    }

    fn write_news(&self, counts: bool) {
        let Some(file) = &self.file else { return };
        let news = self.news.swap(false, Ordering::Relaxed);
        let changed = counts && self.changed.swap(false, Ordering::Relaxed);
        if !news && !changed {
            return;
        }
        if let Err(error) = write(file, &Written { version: 1, cases: self.all() }) {
            tracing::warn!(%error, file = %file.display(), "what was seen of clients cannot be kept");
            self.news.fetch_or(news, Ordering::Relaxed);
            self.changed.fetch_or(changed, Ordering::Relaxed);
        }
    }
}

/// A client, its fingerprint, and the host, where it is of one alone.
type About = (IpAddr, Arc<str>, Option<Host>);

/// What is to be judged next, and what the operator was told lately: both are bounded, for each client too, so that
/// one that refuses everything hides none of the others.
#[derive(Default)]
struct Attention {
    waiting: Vec<Key>,
    told: HashMap<About, i64>,
}

impl Attention {
    fn wait(&mut self, key: Key) {
        let of_one = self.waiting.iter().filter(|other| other.client == key.client).count();
        if self.waiting.len() < WAITING && of_one < WAITING_OF_ONE && !self.waiting.contains(&key) {
            self.waiting.push(key);
        }
    }

    /// Those that may be told of.
    fn take(&mut self, now: i64) -> Vec<Key> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|key| self.may_tell(&(key.client, key.ja4.clone(), Some(key.host.clone())), now));
        waiting
    }

    fn may_tell(&mut self, about: &About, now: i64) -> bool {
        let old = now - TOLD_AGAIN.as_secs() as i64;
        // A clock that was set back makes nothing unspeakable.
        self.told.retain(|_, at| (old..=now).contains(at));
        let of_one = self.told.keys().filter(|told| told.0 == about.0).count();
        self.told.len() < TOLD && of_one < TOLD_OF_ONE && !self.told.contains_key(about)
    }

    /// True when it is to be told now, and not again for a while.
    fn told(&mut self, about: About, now: i64) -> bool {
        let may = self.may_tell(&about, now);
        if may {
            self.told.insert(about, now);
        }
        may
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
    // A rename that survives a power cut before what it names would leave an empty table.
    out.sync_all()?;
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

    #[test]
    fn what_was_not_written_is_written_the_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        let file = folder.join(FILE);
        // A file is where the folder should be.
        std::fs::write(&folder, "").unwrap();
        let clients = Clients::open(None);
        let clients = Clients { file: Some(file.clone()), ..clients };
        clients.saw("10.0.0.7".parse().unwrap(), None, &Host::parse("a.test").unwrap(), &Ending::Probable);
        clients.save(true);
        std::fs::remove_file(&folder).unwrap();
        // Somebody else is writing: neither beside it, nor forgotten.
        let writing = clients.saving.lock().unwrap();
        clients.save(true);
        assert!(!file.exists());
        drop(writing);
        clients.save(false);
        assert_eq!(read(&file).unwrap().len(), 1);
        // And nothing is written when there is nothing new.
        std::fs::remove_file(&file).unwrap();
        clients.save(true);
        assert!(!file.exists());
    }

    #[test]
    fn one_client_that_refuses_everything_hides_no_other() {
        let mut attention = Attention::default();
        let key = |client: &str, host: usize| {
            let (client, host) = (client.parse().unwrap(), Host::parse(&format!("h{host}.test")).unwrap());
            Key { client, ja4: "t13d".into(), host }
        };
        // A thousand refusals of one client, then one of another: how many of each are told.
        let mut turn = |other: &str, now: usize| {
            (0..1000).for_each(|host| attention.wait(key("10.0.0.7", 1000 * now + host)));
            attention.wait(key(other, 0));
            let now = now as i64;
            let told: Vec<Key> = (attention.take(now).into_iter())
                .filter(|key| attention.told((key.client, key.ja4.clone(), Some(key.host.clone())), now))
                .collect();
            let others = told.iter().filter(|told| **told == key(other, 0)).count();
            (told.len() - others, others)
        };
        assert_eq!(turn("10.0.0.8", 0), (WAITING_OF_ONE, 1));
        assert_eq!(turn("10.0.0.8", 1), (WAITING_OF_ONE, 0), "the same is told once");
        let hour: usize = (2..100).map(|now| turn("10.0.0.9", now).0).sum();
        assert_eq!(hour + 2 * WAITING_OF_ONE, TOLD_OF_ONE, "within an hour");
        assert_eq!(turn("10.0.0.10", 100), (0, 1), "another one in the same hour");
        assert_eq!(turn("10.0.0.10", 101 + 3600), (WAITING_OF_ONE, 1), "later again");
    }

    #[test]
    fn what_is_found_is_told_once() {
        let clients = Clients::open(None);
        let (client, host) = ("10.0.0.7".parse().unwrap(), Host::parse("a.test").unwrap());
        clients.saw(client, None, &host, &Ending::Probable);
        assert!(!clients.is_pending(), "once is chance");
        clients.saw(client, None, &host, &Ending::Probable);
        assert!(clients.is_pending());
        clients.tell();
        let told = || clients.attention.lock().unwrap().told.keys().cloned().collect::<Vec<_>>();
        assert_eq!(told(), [(client, Arc::from(""), None)]);
        clients.saw(client, None, &host, &Ending::Certain("UnknownCA"));
        clients.tell();
        assert_eq!(told().len(), 1);
    }
}
