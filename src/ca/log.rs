//! The mint log: one line of JSON per certificate we issued, so that every one of them can be
//! accounted for. Written by a thread of its own; a minting connection never waits for the disk.
//! When the disk is full or slow, lines are lost, counted, and warned of.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The file in the CA folder; older ones are `.1` and `.2`.
const FILE: &str = "mints.jsonl";

/// A line is about 350 bytes: three files of this size hold some 270,000 mints.
const FILE_BYTES: u64 = 32 * 1024 * 1024;

/// Lines that wait for the disk. At 4,000 mints a second, two seconds of a stalled disk.
const QUEUE: usize = 8192;

/// How long a first line waits for company: waking the thread and asking the kernel costs as much
/// as a tenth of a mint. This is also what a kill -9 can take.
const GATHER: Duration = Duration::from_millis(50);

/// Bytes in one write, about.
const BATCH_BYTES: usize = 64 * 1024;

/// The log as the minting side holds it. Dropping the last one writes what is queued.
#[derive(Debug)]
pub struct MintLog {
    queue: Option<SyncSender<MintRecord>>,
    lost: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
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
        let mut writer = Writer {
            path: dir.join(FILE),
            file_bytes,
            lost: lost.clone(),
            closing: closing.clone(),
            file: None,
            size: 0,
            outage: None,
        };
        let writer =
            std::thread::Builder::new().name("mint-log".into()).spawn(move || writer.run(&records))?;
        Ok(MintLog { queue: Some(queue), lost, closing, writer: Some(writer) })
    }

    /// Queues a line; never waits.
    pub fn record(&self, record: MintRecord) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(record) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
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
        for number in (0..=2).rev() {
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
                    Err(_) => broken += 1,
                }
                if tail.len() > count {
                    tail.pop_front();
                }
            }
        }
        Ok((tail.into(), broken))
    }
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

struct Writer {
    path: PathBuf,
    file_bytes: u64,
    lost: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
    file: Option<File>,
    size: u64,
    /// Lines lost in the present outage, once it was warned of.
    outage: Option<u64>,
}

impl Writer {
    fn run(&mut self, records: &Receiver<MintRecord>) {
        let mut batch = Vec::new();
        while let Ok(record) = records.recv() {
            self.gather();
            let mut next = Some(record);
            while let Some(record) = next {
                let mut lines = append(&mut batch, &record);
                while batch.len() < BATCH_BYTES
                    && let Ok(record) = records.try_recv()
                {
                    lines += append(&mut batch, &record);
                }
                self.write(&batch, lines);
                batch.clear();
                next = records.try_recv().ok();
            }
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

    fn write(&mut self, batch: &[u8], lines: u64) {
        match self.try_write(batch) {
            Ok(()) => {
                if let Some(lost) = self.outage.take() {
                    tracing::warn!(path = %self.path.display(), lost, "the mint log is written again");
                }
            }
            Err(error) => {
                self.file = None;
                self.lost.fetch_add(lines, Ordering::Relaxed);
                if self.outage.is_none() {
                    tracing::warn!(path = %self.path.display(), %error, "the mint log cannot be written");
                }
                *self.outage.get_or_insert(0) += lines;
            }
        }
    }

    fn try_write(&mut self, batch: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .custom_flags(nix::libc::O_NOFOLLOW)
                .open(&self.path)?;
            self.size = file.metadata()?.len();
            // The last write may have ended in the middle of a line.
            if !ends_in_newline(&self.path)? {
                file.write_all(b"\n")?;
                self.size += 1;
            }
            self.file = Some(file);
        }
        if self.size > 0 && self.size + batch.len() as u64 > self.file_bytes {
            for number in (0..2).rev() {
                let from = numbered(&self.path, number);
                if from.exists() {
                    fs::rename(from, numbered(&self.path, number + 1))?;
                }
            }
            self.file = None;
            return self.try_write(batch);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(batch)?;
        self.size += batch.len() as u64;
        Ok(())
    }
}

fn append(batch: &mut Vec<u8>, record: &MintRecord) -> u64 {
    // A record is text, numbers and dates: it always has a JSON form.
    let before = batch.len();
    match serde_json::to_writer(&mut *batch, record) {
        Ok(()) => batch.push(b'\n'),
        Err(_) => batch.truncate(before),
    }
    1
}

fn ends_in_newline(path: &Path) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last == *b"\n")
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_path_buf();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use time::macros::datetime;

    use super::*;

    fn record(number: u32) -> MintRecord {
        MintRecord {
            time: datetime!(2026-11-21 09:00 UTC),
            names: vec![format!("h{number}.test")],
            serial: format!("{number:032x}"),
            not_before: datetime!(2026-11-21 08:00 UTC),
            not_after: datetime!(2026-11-22 09:00 UTC),
            sha256: "00".repeat(32),
            origin_sha256: number.is_multiple_of(2).then(|| "11".repeat(32)),
        }
    }

    #[test]
    fn what_was_recorded_reads_back_in_order_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        for start in [0, 10] {
            let log = MintLog::start(dir.path()).unwrap();
            (start..start + 10).for_each(|n| log.record(record(n)));
            assert_eq!(log.lost(), 0);
        }
        let (all, broken) = MintLog::tail(dir.path(), 100).unwrap();
        assert_eq!((all, broken), ((0..20).map(record).collect(), 0));
        let (last, _) = MintLog::tail(dir.path(), 3).unwrap();
        assert_eq!(last, (17..20).map(record).collect::<Vec<_>>());
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_torn_last_line_costs_that_line_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"\n{\"time\":\"2026-").unwrap();
        let log = MintLog::start(dir.path()).unwrap();
        log.record(record(1));
        drop(log);
        assert_eq!(MintLog::tail(dir.path(), 9).unwrap(), (vec![record(1)], 1));
    }

    #[test]
    fn the_log_rotates_by_size_and_keeps_three_files() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..40 {
            // A log per line, because a batch is written in one file.
            MintLog::with_size(dir.path(), 1024).unwrap().record(record(number));
        }
        let mut total = 0;
        for entry in fs::read_dir(dir.path()).unwrap() {
            let size = entry.unwrap().metadata().unwrap().len();
            assert!(size <= 1024, "{size}");
            total += 1;
        }
        assert_eq!(total, 3);
        let (tail, broken) = MintLog::tail(dir.path(), 100).unwrap();
        assert_eq!((tail.last(), broken), (Some(&record(39)), 0));
        assert!(tail.len() >= 4 && tail.windows(2).all(|w| w[0].serial < w[1].serial));
    }

    #[test]
    fn a_dead_disk_is_counted_and_forgiven() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let log = MintLog::start(&gone).unwrap();
        (0..5).for_each(|n| log.record(record(n)));
        let lost = log.lost.clone();
        drop(log);
        assert_eq!(lost.load(Ordering::Relaxed), 5);

        // /dev/full takes the open and fails the write, as a full disk does.
        let full = dir.path().join("full");
        fs::create_dir(&full).unwrap();
        let mut writer = Writer {
            path: full.join(FILE),
            file_bytes: FILE_BYTES,
            lost,
            closing: Arc::default(),
            file: Some(OpenOptions::new().append(true).open("/dev/full").unwrap()),
            size: 0,
            outage: None,
        };
        writer.write(b"{}\n", 1);
        assert_eq!(writer.outage, Some(1));
        let mut line = Vec::new();
        append(&mut line, &record(1));
        writer.write(&line, 1);
        assert_eq!((writer.outage, writer.lost.load(Ordering::Relaxed)), (None, 6));
        assert_eq!(MintLog::tail(&full, 9).unwrap(), (vec![record(1)], 0));
    }
}
