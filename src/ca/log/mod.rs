//! The mint log: one line of JSON per certificate we issued, so that every one of them can be
//! accounted for; each line carries the hash of the one before it (`chain`). Written by a thread of
//! its own; a minting connection never waits for the disk. When the disk is full or slow, lines are
//! lost, counted, warned of, and the log says so itself.

mod chain;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use chain::{Broken, Checkpoint, NotACheckpoint, Verified};
use writer::Writer;

/// The file in the CA folder; older ones are `.1` and so on.
const FILE: &str = "mints.jsonl";

/// Older files that are kept. The oldest is removed to make room, and the log says so.
const KEPT: u32 = 7;

/// A line is about 500 bytes: eight files of this size hold some 500,000 mints.
const FILE_BYTES: u64 = 32 * 1024 * 1024;

/// Lines that wait for the disk. At 4,000 mints a second, two seconds of a stalled disk.
const QUEUE: usize = 8192;

/// The log as the minting side holds it. Dropping the last one writes what is queued.
#[derive(Debug)]
pub struct MintLog {
    queue: Option<SyncSender<Item>>,
    lost: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

/// What the writer is sent.
enum Item {
    Mint(Box<dyn FnOnce() -> MintRecord + Send>),
    /// Everything before it is to be written by when this is answered.
    Flush(SyncSender<()>),
}

/// One certificate that we issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MintRecord {
    #[serde(with = "time::serde::rfc3339")]
    pub time: time::OffsetDateTime,
    pub names: Vec<String>,
    pub serial: String,
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: time::OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: time::OffsetDateTime,
    pub sha256: String,
    /// SHA-256 of the origin's certificate that the leaf stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_sha256: Option<String>,
}

impl MintLog {
    /// Starts the writer. A folder that cannot be written to is warned of once per outage, not
    /// an error: minting goes on, and `lost` counts.
    pub fn start(dir: &Path) -> io::Result<MintLog> {
        MintLog::with_size(dir, FILE_BYTES)
    }

    fn with_size(dir: &Path, file_bytes: u64) -> io::Result<MintLog> {
        let (queue, records) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let closing = Arc::new(AtomicBool::new(false));
        let mut writer = Writer::new(dir.join(FILE), file_bytes, lost.clone(), closing.clone());
        let writer =
            std::thread::Builder::new().name("mint-log".into()).spawn(move || writer.run(&records))?;
        Ok(MintLog { queue: Some(queue), lost, closing, writer: Some(writer) })
    }

    /// Queues a line; never waits. The record is put into words by the writer: that takes as long as a tenth of a mint.
    pub fn record(&self, record: impl FnOnce() -> MintRecord + Send + 'static) {
        let Some(queue) = &self.queue else { return };
        let item = Item::Mint(Box::new(record));
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(item) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was recorded is written, so long at most; false when it is not.
    pub fn flush(&self, limit: Duration) -> bool {
        let Some(queue) = &self.queue else { return true };
        self.closing.store(true, Ordering::Release);
        if let Some(writer) = &self.writer {
            writer.thread().unpark();
        }
        let flushed = flushed(queue, Instant::now() + limit);
        self.closing.store(false, Ordering::Release);
        flushed
    }

    /// Lines that were not written since start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The last `count` records in the folder's logs, oldest first. Lines that are not records
    /// (torn by a crash) are counted, not returned.
    pub fn tail(dir: &Path, count: usize) -> io::Result<(Vec<MintRecord>, u64)> {
        let mut tail = std::collections::VecDeque::new();
        let mut broken = 0;
        for number in (0..=KEPT).rev() {
            let path = numbered(&dir.join(FILE), number);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            // Our own file, of bounded size: a line is bounded by it too.
            for line in BufReader::new(file).split(b'\n') {
                let line = line?;
                // Two proxies on one folder may both end a line of a third that was killed.
                if line.is_empty() {
                    continue;
                }
                match serde_json::from_slice(&line) {
                    Ok(record) => tail.push_back(record),
                    // What the log tells of itself is for `verify`.
                    Err(_) if serde_json::from_slice::<chain::Link>(&line).is_ok() => {}
                    Err(_) => broken += 1,
                }
                if tail.len() > count {
                    tail.pop_front();
                }
            }
        }
        Ok((tail.into(), broken))
    }

    /// Checks the whole chain, and that it goes on from `since`, where an earlier check ended.
    pub fn verify(dir: &Path, since: Option<&Checkpoint>) -> io::Result<Verified> {
        chain::verify(dir, since)
    }
}

fn flushed(queue: &SyncSender<Item>, until: Instant) -> bool {
    let (done, written) = sync_channel(1);
    let mut item = Item::Flush(done);
    while let Err(TrySendError::Full(back)) = queue.try_send(item) {
        if Instant::now() >= until {
            return false;
        }
        item = back;
        std::thread::sleep(Duration::from_millis(1));
    }
    written.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok()
}

impl Drop for MintLog {
    fn drop(&mut self) {
        // Closing the queue ends the thread once it has written what was queued.
        self.queue = None;
        self.closing.store(true, Ordering::Release);
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            let _ = writer.join();
        }
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_path_buf();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}
