//! The thread that writes the mint log. Several proxies may share a folder: each batch is written under a lock, after
//! a look at where the log ends by then.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::chain::{self, Checkpoint, Event, Link, Tail};
use super::{Item, KEPT, MintRecord, numbered};
use crate::ca::export::sha256_hex;

/// How long a first line waits for company: waking the thread and asking the kernel costs as much
/// as a tenth of a mint. This is also what a kill -9 can take.
const GATHER: Duration = Duration::from_millis(50);

/// Records in one write: some 64 KiB.
const BATCH: usize = 128;

/// Another proxy holds the lock for one write; two seconds is a dead disk.
const LOCK_TIME: Duration = Duration::from_secs(2);

pub(super) struct Writer {
    path: PathBuf,
    file_bytes: u64,
    lost: Arc<AtomicU64>,
    /// How many of the lost the log has told of.
    told: u64,
    closing: Arc<AtomicBool>,
    open: Option<Open>,
    /// Lines lost in the present outage, once it was warned of.
    pub outage: Option<u64>,
}

/// The file, and where the log ends in it.
struct Open {
    file: File,
    size: u64,
    at: Checkpoint,
}

impl Writer {
    pub fn new(path: PathBuf, file_bytes: u64, lost: Arc<AtomicU64>, closing: Arc<AtomicBool>) -> Writer {
        let told = lost.load(Ordering::Relaxed);
        Writer { path, file_bytes, lost, told, closing, open: None, outage: None }
    }

    /// Writes what comes, until the last sender is gone.
    pub fn run(&mut self, records: &Receiver<Item>) {
        // Kept in the service's own log, these two lines find a log that was cut at its end.
        match self.look() {
            Ok(tail) => tracing::info!(checkpoint = %tail.at, "the mint log goes on"),
            Err(error) => tracing::warn!(path = %self.path.display(), %error, "the mint log cannot be read"),
        }
        let mut batch = Vec::new();
        while let Ok(first) = records.recv() {
            self.gather();
            let mut next = Some(first);
            while let Some(item) = next.take() {
                match item {
                    Item::Mint(record) => batch.push(record()),
                    Item::Flush(done) => {
                        self.write_all(&mut batch);
                        self.tell_end();
                        // Whoever asked may have gone.
                        let _ = done.try_send(());
                    }
                }
                if batch.len() >= BATCH {
                    self.write_all(&mut batch);
                }
                next = records.try_recv().ok();
            }
            self.write_all(&mut batch);
        }
    }

    fn write_all(&mut self, batch: &mut Vec<MintRecord>) {
        if !batch.is_empty() {
            self.write(batch);
            batch.clear();
        }
    }

    fn tell_end(&self) {
        match (&self.open, self.outage) {
            (Some(open), None) => tracing::info!(checkpoint = %open.at, "the mint log ends"),
            (_, Some(lost)) => tracing::warn!(lost, "the mint log ends without its last lines"),
            (None, None) => {}
        }
    }

    /// Lets lines queue up, which wakes nobody, unless the log is being closed.
    fn gather(&self) {
        let until = Instant::now() + GATHER;
        while !self.closing.load(Ordering::Acquire) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }

    pub fn write(&mut self, batch: &[MintRecord]) {
        match self.lock().and_then(|_lock| self.try_write(batch)) {
            Ok(()) => {
                if let Some(lost) = self.outage.take() {
                    tracing::warn!(path = %self.path.display(), lost, "the mint log is written again");
                }
            }
            Err(error) => {
                self.open = None;
                let lines = batch.len() as u64;
                self.lost.fetch_add(lines, Ordering::Relaxed);
                if self.outage.is_none() {
                    tracing::warn!(path = %self.path.display(), %error, "the mint log cannot be written");
                }
                *self.outage.get_or_insert(0) += lines;
            }
        }
    }

    /// Released by drop.
    fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(self.path.with_extension("lock"))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) if start.elapsed() < LOCK_TIME => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(fs::TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Where the log ends, whoever wrote it.
    fn look(&self) -> io::Result<Tail> {
        for number in 0..=KEPT {
            if let Some(tail) = chain::tail(&numbered(&self.path, number))? {
                // A fragment may stand alone in the newest file; what it follows is in the one before.
                if tail.at.lines > 0 || number == KEPT {
                    return Ok(tail);
                }
                let before = chain::tail(&numbered(&self.path, number + 1))?;
                return Ok(Tail { at: before.map_or(tail.at, |before| before.at), ..tail });
            }
        }
        Ok(Tail { at: Checkpoint::start(), unterminated: false, torn: None })
    }

    /// The file as this process left it, or as it is by now. A torn end is accounted for.
    fn current(&mut self) -> io::Result<Open> {
        if let Some(open) = self.open.take() {
            let (ours, there) = (open.file.metadata()?, fs::symlink_metadata(&self.path));
            if there.is_ok_and(|there| there.ino() == ours.ino() && there.size() == open.size) {
                return Ok(open);
            }
        }
        let tail = self.look()?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&self.path)?;
        let size = file.metadata()?.len();
        let mut open = Open { file, size, at: tail.at };
        let mut text = Vec::new();
        let mut at = open.at.clone();
        if tail.unterminated || tail.torn.is_some() {
            text.push(b'\n');
        }
        if let Some(torn) = tail.torn {
            event(&mut text, &mut at, Event::Torn { sha256: sha256_hex(&torn) })?;
        }
        open.put(&text, at)?;
        Ok(open)
    }

    fn try_write(&mut self, batch: &[MintRecord]) -> io::Result<()> {
        let mut open = self.current()?;
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > self.told {
            let (mut text, mut at) = (Vec::new(), open.at.clone());
            event(&mut text, &mut at, Event::Lost { count: lost - self.told })?;
            open.put(&text, at)?;
            self.told = lost;
        }
        let (mut text, at) = (Vec::new(), open.at.clone());
        let after = append(&mut text, at, batch)?;
        if open.size > 0 && open.size + text.len() as u64 > self.file_bytes {
            open = self.rotate(open)?;
            text.clear();
            let after = append(&mut text, open.at.clone(), batch)?;
            open.put(&text, after)?;
        } else {
            open.put(&text, after)?;
        }
        self.open = Some(open);
        Ok(())
    }

    /// Begins a new file. What is removed for it is told of before, so that a crash in between is no gap.
    fn rotate(&self, mut open: Open) -> io::Result<Open> {
        if let Some(oldest) = chain::tail(&numbered(&self.path, KEPT))? {
            let (mut text, mut at) = (Vec::new(), open.at.clone());
            let Checkpoint { lines, head } = oldest.at;
            event(&mut text, &mut at, Event::Dropped { lines, head })?;
            open.put(&text, at)?;
        }
        for number in (0..KEPT).rev() {
            let from = numbered(&self.path, number);
            if from.exists() {
                fs::rename(from, numbered(&self.path, number + 1))?;
            }
        }
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&self.path)?;
        Ok(Open { file, size: 0, at: open.at })
    }
}

impl Open {
    /// Whole lines or none of them: what a full disk took in part is taken back.
    fn put(&mut self, text: &[u8], after: Checkpoint) -> io::Result<()> {
        if let Err(error) = self.file.write_all(text) {
            let _ = self.file.set_len(self.size);
            return Err(error);
        }
        self.size += text.len() as u64;
        self.at = after;
        Ok(())
    }
}

/// The records as lines after `at`, and where the log is then.
fn append(text: &mut Vec<u8>, mut at: Checkpoint, batch: &[MintRecord]) -> io::Result<Checkpoint> {
    for record in batch {
        let start = text.len();
        write!(text, "{{\"seq\":{},\"prev\":\"{}\",", at.lines + 1, at.head)?;
        let body = text.len();
        serde_json::to_writer(&mut *text, record)?;
        // The record's own opening brace: number and hash stand before its fields.
        text.remove(body);
        at = Checkpoint { lines: at.lines + 1, head: sha256_hex(&text[start..]) };
        text.push(b'\n');
    }
    Ok(at)
}

fn event(text: &mut Vec<u8>, at: &mut Checkpoint, event: Event) -> io::Result<()> {
    let start = text.len();
    let link = Link { seq: at.lines + 1, prev: at.head.clone(), event: Some(event) };
    serde_json::to_writer(&mut *text, &link)?;
    *at = Checkpoint { lines: at.lines + 1, head: sha256_hex(&text[start..]) };
    text.push(b'\n');
    Ok(())
}
