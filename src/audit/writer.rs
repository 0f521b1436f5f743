//! The thread that writes the audit log: takes records from the queue, redacts, serialises and
//! hands them to the sink in batches; when the sink fails it keeps the batch and tries again.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::record::line::Lines;
use super::record::{Gap, GapKind};
use super::redact::{Redaction, redact};
use super::sink::{Batch, Sink};
use super::{Lost, Queued, Shared, State, WriterState};

/// Records in one batch at most.
pub(super) const BATCH_RECORDS: usize = 256;

/// Serialised bytes after which a batch is written even if it has fewer records.
const BATCH_BYTES: usize = 512 * 1024;

/// How long the first record of a batch waits for company, because the thread's waking costs as
/// much as some ten records. This is also what a kill -9 can take: what was written before is
/// with the kernel.
const GATHER: Duration = Duration::from_millis(20);

/// Pauses between attempts on a sink that fails: the first, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

pub(super) struct Writer {
    shared: Arc<Shared>,
    sink: Box<dyn Sink>,
    redaction: Redaction,
    lines: Lines,
    batch: Batch,
    /// Room for the records of a batch, empty between batches.
    taken: Vec<Queued>,
    /// Records in the batch, and what they weighed.
    taken_records: usize,
    taken_weight: usize,
    failing: Option<Failing>,
    clock: Clock,
    /// Set once when the handles are gone: what is left gets one more attempt.
    last_attempt: bool,
}

struct Failing {
    since: Instant,
    pause: Duration,
}

enum Work {
    Write { flush: Option<u64> },
    End,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, sink: Box<dyn Sink>, redaction: Redaction) -> Writer {
        Writer {
            shared,
            sink,
            redaction,
            lines: Lines::default(),
            batch: Batch::default(),
            taken: Vec::with_capacity(BATCH_RECORDS),
            taken_records: 0,
            taken_weight: 0,
            failing: None,
            clock: Clock::start(),
            last_attempt: false,
        }
    }

    pub(super) fn run(mut self) {
        // Ends the log for callers even if a sink or a serialiser should panic.
        let _ended = EndOnDrop(Arc::clone(&self.shared));
        while let Work::Write { flush } = self.wait() {
            let done = self.write_waiting() && self.report(flush);
            if !done && self.last_attempt {
                self.give_up();
                return;
            }
        }
    }

    /// Waits for work, for as long as the sink needs to be left alone, and for company.
    fn wait(&mut self) -> Work {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            let flush = (state.flushes_wanted > state.flushes_done).then_some(state.flushes_wanted);
            if state.closing {
                self.last_attempt = true;
                let nothing = state.queue.is_empty() && state.writing == 0 && state.lost.is_none();
                return if nothing && flush.is_none() { Work::End } else { Work::Write { flush } };
            }
            if let Some(failing) = &self.failing {
                // A flush does not shorten the pause: a full disk is not asked harder.
                let pause = failing.pause;
                state.writer = WriterState::Busy;
                let until = Instant::now() + pause;
                while !state.closing {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    state = shared.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                }
                let flush = (state.flushes_wanted > state.flushes_done).then_some(state.flushes_wanted);
                self.last_attempt = state.closing;
                return Work::Write { flush };
            }
            if flush.is_some() {
                return Work::Write { flush };
            }
            if state.queue.is_empty() && state.lost.is_none() {
                state.writer = WriterState::Idle;
                state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state = gather(&shared, state);
            state.writer = WriterState::Busy;
            return Work::Write { flush: None };
        }
    }

    /// Writes, batch after batch, what waits now; what comes meanwhile is for the next round,
    /// so that a flush ends under load too. False when the sink failed.
    fn write_waiting(&mut self) -> bool {
        let mut waiting = {
            let state = self.shared.lock();
            state.queue.len() + state.writing
        };
        loop {
            if self.batch.is_empty() && !self.take() {
                return true;
            }
            if let Err(error) = self.sink.write(&mut self.batch) {
                self.failed(&error);
                return false;
            }
            self.recovered();
            self.batch.clear();
            let count = std::mem::take(&mut self.taken_records);
            waiting = waiting.saturating_sub(count);
            self.shared.metrics.audit_written.add(count as u64);
            let mut state = self.shared.lock();
            state.writing = 0;
            state.bytes = state.bytes.saturating_sub(self.taken_weight);
            self.shared.update_accepting(&state);
            if waiting == 0 && state.lost.is_none() {
                return true;
            }
        }
    }

    /// Takes records and makes lines of them. False when there was nothing to take.
    fn take(&mut self) -> bool {
        let lost: Option<Lost> = {
            let mut state = self.shared.lock();
            let mut weight = 0;
            while self.taken.len() < BATCH_RECORDS && weight < BATCH_BYTES {
                let Some(queued) = state.queue.pop_front() else { break };
                weight += queued.weight;
                self.taken.push(queued);
            }
            self.taken_records = self.taken.len();
            state.writing = self.taken_records;
            self.taken_weight = weight;
            // Records that were lost are younger than all that were queued at that time.
            if state.queue.is_empty() { state.lost.take() } else { None }
        };
        if let Some(jump) = self.clock.jumped(Clock::now()) {
            tracing::warn!(
                seconds = jump.seconds,
                "the system's clock jumped; leaves are judged by the new time"
            );
            said(Lines::other(self.batch.bytes_mut(), &jump));
        }
        // Each record is freed as soon as it is a line, while it is still in the processor's cache.
        for mut queued in self.taken.drain(..) {
            redact(&mut queued.record, &self.redaction);
            said(self.lines.record(self.batch.bytes_mut(), &queued.record));
        }
        if let Some(lost) = lost {
            let gap = Gap { time: lost.from, until: lost.until, kind: GapKind::Gap, dropped: lost.count };
            said(Lines::other(self.batch.bytes_mut(), &gap));
        }
        self.taken_records > 0 || !self.batch.is_empty()
    }

    fn failed(&mut self, error: &std::io::Error) {
        self.shared.metrics.audit_write_errors.increment();
        match &mut self.failing {
            Some(failing) => failing.pause = (failing.pause * 2).min(RETRY_LONGEST),
            None => {
                let (sink, when_full) = (self.sink.name(), self.shared.limits.when_full);
                tracing::warn!(%error, %sink, ?when_full, "the audit log cannot be written; records wait and it is tried again");
                self.failing = Some(Failing { since: Instant::now(), pause: RETRY_FIRST });
            }
        }
    }

    fn recovered(&mut self) {
        if let Some(failing) = self.failing.take() {
            let seconds = failing.since.elapsed().as_secs();
            tracing::info!(sink = %self.sink.name(), seconds, "the audit log can be written again");
        }
    }

    /// Brings what was written to the disk and tells whoever waits for that. False when the
    /// sink failed.
    fn report(&mut self, flush: Option<u64>) -> bool {
        let Some(flush) = flush else { return true };
        if let Err(error) = self.sink.sync() {
            self.failed(&error);
            return false;
        }
        self.shared.lock().flushes_done = flush;
        self.shared.written.notify_all();
        true
    }

    /// The handles are gone and the sink still fails.
    fn give_up(&mut self) {
        let state = self.shared.lock();
        let count = state.queue.len() + state.writing;
        drop(state);
        self.shared.metrics.audit_dropped.add(count as u64);
        tracing::error!(sink = %self.sink.name(), count, "the audit log is closed and these records could not be written");
    }
}

/// Waits a moment for more records, unless there are enough or someone is in a hurry.
fn gather<'a>(
    shared: &'a Shared,
    mut state: std::sync::MutexGuard<'a, State>,
) -> std::sync::MutexGuard<'a, State> {
    let until = Instant::now() + GATHER;
    state.writer = WriterState::Gathering;
    loop {
        let hurry = state.closing || state.flushes_wanted > state.flushes_done;
        let left = until.saturating_duration_since(Instant::now());
        if hurry || left.is_zero() || state.queue.len() >= BATCH_RECORDS {
            return state;
        }
        state = shared.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Serialising plain data into memory fails only for maps with keys that are no strings, of
/// which a record has none; should it happen, it is logged.
fn said(line: Result<(), serde_json::Error>) {
    if let Err(error) = line {
        tracing::error!(%error, "an audit record cannot be serialised");
    }
}

struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        state.closing = true;
        self.0
            .accepting
            .store(self.0.limits.when_full == super::WhenFull::Drop, std::sync::atomic::Ordering::Relaxed);
        drop(state);
        self.0.written.notify_all();
    }
}
