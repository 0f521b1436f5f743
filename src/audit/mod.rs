//! The audit log: what happened, written once for each exchange, tunnel and refused connection.
//!
//! The caller moves a boxed record into a bounded queue and goes on; one thread redacts,
//! serialises and writes in batches. When the sink fails, records wait in the queue and the
//! thread tries again with growing pauses. When the queue is full, [`WhenFull`] says what
//! happens. Nothing here waits on behalf of traffic.

mod clock;
pub mod read;
pub mod record;
pub mod redact;
pub mod sink;
pub mod visible;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

pub use record::{Kind, Record, Stage, Verdict};
pub use redact::Redaction;
pub use sink::file::FileConfig;

use crate::metrics::Metrics;
use sink::file::FileSink;
use sink::stdout::{Copied, Stdout};
use sink::{Nowhere, Sink};

/// What the audit log does, as usable values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    pub destination: Destination,
    pub when_full: WhenFull,
    /// Records that may wait, those being written included.
    pub queue_records: usize,
    /// About how much memory they may hold.
    pub queue_bytes: usize,
    pub redaction: Redaction,
}

impl AuditConfig {
    /// 64 Ki records are some seconds of the fastest traffic that one machine inspects; 64 MiB
    /// is what they hold when most of them pass.
    pub fn new(destination: Destination) -> AuditConfig {
        AuditConfig {
            destination,
            when_full: WhenFull::Drop,
            queue_records: 64 * 1024,
            queue_bytes: 64 << 20,
            redaction: Redaction::default(),
        }
    }
}

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    File(FileConfig),
    Stdout,
    /// Standard output gets a copy of what the file has.
    FileAndStdout(FileConfig),
    /// Records are made and thrown away; no receipt can be explained.
    Nowhere,
}

/// What happens when records come faster than they can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Traffic goes on; further records are counted and lost, and a `gap` line tells how many
    /// as soon as lines can be written again.
    #[default]
    Drop,
    /// [`Audit::accepting`] turns false when the queue is half full, and the proxy refuses new
    /// exchanges with 503 `audit_unavailable` until it has drained to a quarter. The other half
    /// is for the exchanges that had begun by then. The refusals themselves ([`UNAVAILABLE`])
    /// are counted, not recorded, or they would use up that room.
    Block,
}

/// The reason code of an exchange that was refused because it could not be recorded.
pub const UNAVAILABLE: &str = "audit_unavailable";

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Submitted {
    Queued,
    /// A refusal for want of the log itself: counted instead of recorded.
    Counted,
    /// The queue is full, or the log is closed; the loss is counted.
    Dropped,
}

/// The audit log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("the audit log {path} cannot be opened")]
    Open { path: String, source: io::Error },
    #[error("the thread that writes the audit log cannot be started")]
    Thread { source: io::Error },
}

/// Records were still waiting when the time for writing them ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pending} audit records are not written yet")]
pub struct NotFlushed {
    pub pending: usize,
}

/// The handle that the flow holds; clones share one queue. Dropping the last one lets the
/// thread write what it has, once, and end; [`Audit::flush`] is how to wait for that.
#[derive(Clone)]
pub struct Audit {
    handle: Arc<Handle>,
}

impl Audit {
    /// Opens the destination and starts the writer.
    pub fn start(config: &AuditConfig, metrics: Arc<Metrics>) -> Result<Audit, AuditError> {
        let open = |file: &FileConfig| {
            FileSink::open(file.clone())
                .map_err(|source| AuditError::Open { path: file.path.display().to_string(), source })
        };
        let sink: Box<dyn Sink> = match &config.destination {
            Destination::File(file) => Box::new(open(file)?),
            Destination::Stdout => Box::new(Stdout),
            Destination::FileAndStdout(file) => Box::new(Copied::new(open(file)?)),
            Destination::Nowhere => Box::new(Nowhere),
        };
        Audit::with_sink(config, metrics, sink)
    }

    /// The same with any sink in the place of the configured destination.
    pub fn with_sink(
        config: &AuditConfig,
        metrics: Arc<Metrics>,
        sink: Box<dyn Sink>,
    ) -> Result<Audit, AuditError> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            wake: Condvar::new(),
            written: Condvar::new(),
            accepting: AtomicBool::new(true),
            limits: Limits {
                records: config.queue_records.max(1),
                bytes: config.queue_bytes,
                when_full: config.when_full,
            },
            metrics,
        });
        let writer = writer::Writer::new(Arc::clone(&shared), sink, config.redaction.clone());
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| AuditError::Thread { source })?;
        Ok(Audit { handle: Arc::new(Handle { shared }) })
    }

    /// Hands a record over. Never waits for the sink.
    pub fn submit(&self, record: Box<Record>) -> Submitted {
        let shared = &self.handle.shared;
        if record.reason == UNAVAILABLE {
            shared.metrics.audit_refused.increment();
            return Submitted::Counted;
        }
        let weight = record.weight();
        let mut state = shared.lock();
        let held = state.queue.len() + state.writing;
        let full = held >= shared.limits.records
            || (held > 0 && state.bytes.saturating_add(weight) > shared.limits.bytes);
        if full || state.ended {
            state.lost(record.time);
            drop(state);
            shared.metrics.audit_dropped.increment();
            return Submitted::Dropped;
        }
        state.bytes += weight;
        state.queue.push_back(Queued { record, weight });
        shared.update_accepting(&state);
        let wake = match state.writer {
            WriterState::Idle => true,
            // It is waiting for company; a batch's worth is enough.
            WriterState::Gathering => state.queue.len() == writer::BATCH_RECORDS,
            WriterState::Busy => false,
        };
        if wake {
            state.writer = WriterState::Busy;
            drop(state);
            shared.wake.notify_one();
        }
        Submitted::Queued
    }

    /// False when new exchanges must be refused because they could not be recorded.
    pub fn accepting(&self) -> bool {
        self.handle.shared.accepting.load(Ordering::Relaxed)
    }

    /// Records that wait to be written.
    pub fn pending(&self) -> usize {
        let state = self.handle.shared.lock();
        state.queue.len() + state.writing
    }

    /// Waits until everything submitted before is written and on the disk, at most until
    /// `deadline`. Blocks the calling thread.
    pub fn flush(&self, deadline: Instant) -> Result<(), NotFlushed> {
        let shared = &self.handle.shared;
        let mut state = shared.lock();
        state.flushes_wanted += 1;
        let mine = state.flushes_wanted;
        shared.wake.notify_one();
        while state.flushes_done < mine {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                return Err(NotFlushed { pending: state.queue.len() + state.writing });
            }
            state = shared.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
    }
}

/// What callers and the writer share.
struct Shared {
    state: Mutex<State>,
    /// For the writer: there is work.
    wake: Condvar,
    /// For flushes: something was finished.
    written: Condvar,
    accepting: AtomicBool,
    limits: Limits,
    metrics: Arc<Metrics>,
}

struct Limits {
    records: usize,
    bytes: usize,
    when_full: WhenFull,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Queued>,
    /// Records that the writer has taken and not yet written.
    writing: usize,
    /// Weight of the queued and the taken.
    bytes: usize,
    lost: Option<Lost>,
    writer: WriterState,
    flushes_wanted: u64,
    flushes_done: u64,
    closing: bool,
    ended: bool,
}

struct Queued {
    record: Box<Record>,
    weight: usize,
}

/// Records that were dropped since the last gap line.
#[derive(Clone, Copy, Debug)]
struct Lost {
    from: SystemTime,
    until: SystemTime,
    count: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum WriterState {
    /// Parked until there is work.
    Idle,
    /// Waits a moment for more records to write together.
    Gathering,
    #[default]
    Busy,
}

impl Shared {
    /// No code that runs under the lock can leave the state half changed, so that a poisoned
    /// lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update_accepting(&self, state: &State) {
        if self.limits.when_full == WhenFull::Drop {
            return;
        }
        let held = state.queue.len() + state.writing;
        let (records, bytes) = (self.limits.records, self.limits.bytes);
        if held >= records.div_ceil(2) || state.bytes >= bytes.div_ceil(2) {
            self.accepting.store(false, Ordering::Relaxed);
        } else if held <= records / 4 && state.bytes <= bytes / 4 {
            self.accepting.store(true, Ordering::Relaxed);
        }
    }
}

impl State {
    fn lost(&mut self, time: SystemTime) {
        let lost = self.lost.get_or_insert(Lost { from: time, until: time, count: 0 });
        lost.from = lost.from.min(time);
        lost.until = lost.until.max(time);
        lost.count += 1;
    }
}

#[cfg(test)]
mod tests;
