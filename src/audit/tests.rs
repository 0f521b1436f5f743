use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use super::record::tests::{blocked, found, plain, receipt};
use super::sink::{Batch, Sink};
use super::*;

/// A sink whose every step the test decides: each write waits for how many bytes it may take
/// before it fails, `None` for all.
struct Gate {
    allow: mpsc::Receiver<Option<usize>>,
    seen: mpsc::Sender<Vec<u8>>,
}

impl Sink for Gate {
    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        // A test that ended leaves the gate open.
        let allowed = self.allow.recv().unwrap_or(None);
        let take = allowed.unwrap_or(usize::MAX).min(batch.rest().len());
        let _ = self.seen.send(batch.rest()[..take].to_vec());
        batch.advance(take);
        if allowed.is_some() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn name(&self) -> String {
        "gate".to_owned()
    }
}

struct Gated {
    audit: Audit,
    metrics: Arc<Metrics>,
    allow: mpsc::Sender<Option<usize>>,
    seen: mpsc::Receiver<Vec<u8>>,
}

fn gated(when_full: WhenFull, records: usize) -> Gated {
    let (allow, allowed) = mpsc::channel();
    let (see, seen) = mpsc::channel();
    let metrics = Arc::new(Metrics::default());
    let config = AuditConfig { when_full, queue_records: records, ..AuditConfig::new(Destination::Stdout) };
    let gate = Gate { allow: allowed, seen: see };
    let audit = Audit::with_sink(&config, Arc::clone(&metrics), Box::new(gate)).unwrap();
    Gated { audit, metrics, allow, seen }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn submit(audit: &Audit, seed: u8) -> Submitted {
    audit.submit(Box::new(plain(seed)))
}

fn lines(bytes: &[u8]) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(lines: &[serde_json::Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["id"].as_str()).collect()
}

#[test]
fn records_reach_the_file_in_order_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let config = AuditConfig::new(Destination::File(FileConfig::new(&path)));
    for round in 0..2u8 {
        let metrics = Arc::new(Metrics::default());
        let audit = Audit::start(&config, Arc::clone(&metrics)).unwrap();
        for seed in 0..100 {
            assert_eq!(submit(&audit, round * 100 + seed), Submitted::Queued);
        }
        audit.flush(soon()).unwrap();
        assert_eq!(metrics.audit_written.get(), 100);
        assert_eq!(audit.pending(), 0);
    }
    let bytes = fs::read(&path).unwrap();
    let expect: Vec<String> = (0..200).map(|seed| receipt(seed).to_string()).collect();
    assert_eq!(ids(&lines(&bytes)), expect);
    assert_eq!(read::find(&path, receipt(150)).unwrap().unwrap().record, plain(150));
}

#[test]
fn many_threads_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let file = FileConfig { max_bytes: 20_000, keep: 1000, path: path.clone() };
    let audit = Audit::start(&AuditConfig::new(Destination::File(file)), Arc::default()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for seed in 0..250 {
                    assert_eq!(submit(&audit, seed), Submitted::Queued);
                }
            });
        }
    });
    audit.flush(soon()).unwrap();
    let files = read::files(&path).unwrap();
    assert!(files.len() > 10);
    let mut count = 0;
    for file in files {
        let bytes = fs::read(file).unwrap();
        assert!(bytes.len() <= 20_000);
        count += lines(&bytes).len();
    }
    assert_eq!(count, 2000);
}

#[test]
fn secrets_are_redacted_before_they_are_written() {
    let gated = gated(WhenFull::Drop, 10);
    let mut record = blocked(1, vec![found("args:password", "CANARY' or 1=1", "' or 1=1")]);
    record.url = "https://u:CANARY@a.test/?token=CANARY&q=1".into();
    assert_eq!(gated.audit.submit(Box::new(record)), Submitted::Queued);
    gated.allow.send(None).unwrap();
    let bytes = gated.seen.recv().unwrap();
    assert!(!String::from_utf8_lossy(&bytes).to_lowercase().contains("canary"));
    assert_eq!(lines(&bytes)[0]["reason"], "score");
}

#[test]
fn a_full_queue_drops_counts_and_tells_when_it_recovers() {
    let gated = gated(WhenFull::Drop, 4);
    for seed in 0..4 {
        assert_eq!(submit(&gated.audit, seed), Submitted::Queued);
    }
    for seed in 4..7 {
        assert_eq!(submit(&gated.audit, seed), Submitted::Dropped);
    }
    assert!(gated.audit.accepting(), "traffic goes on");
    assert_eq!(gated.metrics.audit_dropped.get(), 3);
    // However the writer cuts its batches, the sink now takes everything.
    drop(gated.allow);
    gated.audit.flush(soon()).unwrap();
    assert_eq!(submit(&gated.audit, 9), Submitted::Queued);
    gated.audit.flush(soon()).unwrap();
    let all: Vec<u8> = gated.seen.try_iter().flatten().collect();
    let all = lines(&all);
    let expect: Vec<String> = [0, 1, 2, 3, 9].into_iter().map(|seed| receipt(seed).to_string()).collect();
    assert_eq!(ids(&all), expect);
    assert_eq!(all[4]["kind"], "gap");
    assert_eq!(all[4]["dropped"], 3);
    assert_eq!(all[4]["time"], all[0]["time"]);
}

#[test]
fn a_sink_that_fails_anywhere_in_a_line_tears_none() {
    let whole = serde_json::to_string(&plain(0)).unwrap().len() + 1;
    for cut in [0, 1, whole - 1, whole, whole + 1, whole + 30] {
        let gated = gated(WhenFull::Drop, 10);
        for seed in 0..3 {
            assert_eq!(submit(&gated.audit, seed), Submitted::Queued);
        }
        gated.allow.send(Some(cut)).unwrap();
        gated.allow.send(Some(0)).unwrap();
        drop(gated.allow);
        gated.audit.flush(soon()).unwrap();
        let all: Vec<u8> = gated.seen.try_iter().flatten().collect();
        assert_eq!(ids(&lines(&all)), [0, 1, 2].map(|seed| receipt(seed).to_string()), "{cut}");
        assert_eq!(gated.metrics.audit_write_errors.get(), 2);
        assert_eq!(gated.metrics.audit_written.get(), 3);
        assert_eq!(gated.metrics.audit_dropped.get(), 0);
    }
}

#[test]
fn blocking_refuses_new_work_at_half_and_resumes_when_drained() {
    let gated = gated(WhenFull::Block, 8);
    for seed in 0..3 {
        assert_eq!(submit(&gated.audit, seed), Submitted::Queued);
        assert!(gated.audit.accepting(), "{seed}");
    }
    assert_eq!(submit(&gated.audit, 3), Submitted::Queued);
    assert!(!gated.audit.accepting());
    for seed in 4..8 {
        assert_eq!(submit(&gated.audit, seed), Submitted::Queued, "room for what had begun");
    }
    assert_eq!(submit(&gated.audit, 8), Submitted::Dropped);
    drop(gated.allow);
    gated.audit.flush(soon()).unwrap();
    assert!(gated.audit.accepting());
}

#[test]
fn a_refusal_for_want_of_the_log_takes_no_room_in_it() {
    let gated = gated(WhenFull::Block, 4);
    let mut record = plain(1);
    record.reason = UNAVAILABLE.into();
    for _ in 0..10 {
        assert_eq!(gated.audit.submit(Box::new(record.clone())), Submitted::Counted);
    }
    assert_eq!(gated.metrics.audit_refused.get(), 10);
    assert_eq!(gated.audit.pending(), 0);
    assert!(gated.audit.accepting());
}

#[test]
fn nowhere_takes_everything_and_a_copy_leaves_the_file_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    for destination in [Destination::Nowhere, Destination::FileAndStdout(FileConfig::new(&path))] {
        let metrics = Arc::new(Metrics::default());
        let audit = Audit::start(&AuditConfig::new(destination), Arc::clone(&metrics)).unwrap();
        assert_eq!(submit(&audit, 1), Submitted::Queued);
        audit.flush(soon()).unwrap();
        assert_eq!(metrics.audit_written.get(), 1);
    }
    assert_eq!(ids(&lines(&fs::read(&path).unwrap())), [receipt(1).to_string()]);
}

#[test]
fn the_queue_is_bounded_by_bytes_too() {
    let (allow, allowed) = mpsc::channel();
    let (see, _seen) = mpsc::channel();
    let config = AuditConfig { queue_bytes: 10_000, ..AuditConfig::new(Destination::Stdout) };
    let gate = Gate { allow: allowed, seen: see };
    let audit = Audit::with_sink(&config, Arc::default(), Box::new(gate)).unwrap();
    let mut large = plain(1);
    large.url = "x".repeat(50_000);
    assert_eq!(audit.submit(Box::new(large.clone())), Submitted::Queued, "one always fits");
    assert_eq!(audit.submit(Box::new(large)), Submitted::Dropped);
    drop(allow);
    audit.flush(soon()).unwrap();
    assert_eq!(submit(&audit, 2), Submitted::Queued);
}

#[test]
fn a_flush_gives_up_at_its_deadline() {
    let gated = gated(WhenFull::Drop, 10);
    assert_eq!(submit(&gated.audit, 1), Submitted::Queued);
    assert_eq!(gated.audit.flush(Instant::now()), Err(NotFlushed { pending: 1 }));
    gated.allow.send(None).unwrap();
    gated.audit.flush(soon()).unwrap();
}

#[test]
fn a_full_device_keeps_the_records_and_blocks_nobody() {
    let config = AuditConfig {
        when_full: WhenFull::Block,
        queue_records: 8,
        ..AuditConfig::new(Destination::File(FileConfig::new("/dev/full")))
    };
    let metrics = Arc::new(Metrics::default());
    let audit = Audit::start(&config, Arc::clone(&metrics)).unwrap();
    for seed in 0..4 {
        assert_eq!(submit(&audit, seed), Submitted::Queued);
    }
    assert!(!audit.accepting());
    let until = Instant::now() + Duration::from_secs(60);
    while metrics.audit_write_errors.get() < 2 {
        assert!(Instant::now() < until, "the writer must try again by itself");
        std::thread::yield_now();
    }
    assert_eq!(audit.pending(), 4);
    assert_eq!(metrics.audit_dropped.get(), 0);
}

#[test]
fn what_is_left_is_written_when_the_last_handle_goes() {
    let gated = gated(WhenFull::Drop, 10);
    assert_eq!(submit(&gated.audit, 1), Submitted::Queued);
    gated.allow.send(None).unwrap();
    drop(gated.audit.clone());
    drop(gated.audit);
    assert_eq!(ids(&lines(&gated.seen.recv().unwrap())), [receipt(1).to_string()]);
    assert!(gated.seen.recv().is_err(), "the writer ends");
    assert_eq!(gated.metrics.audit_written.get(), 1);
}

#[test]
fn a_path_that_cannot_work_is_an_error_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = FileConfig::new(dir.path().join("missing/audit.jsonl"));
    let error = Audit::start(&AuditConfig::new(Destination::File(file)), Arc::default()).err().unwrap();
    assert!(error.to_string().contains("missing/audit.jsonl"));
}
