use std::fs;
use std::io::Write;
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
        (start..start + 10).for_each(|n| log.record(move || record(n)));
        assert_eq!(log.lost(), 0);
    }
    let (all, broken) = MintLog::tail(dir.path(), 100).unwrap();
    assert_eq!((all, broken), ((0..20).map(record).collect(), 0));
    let (last, _) = MintLog::tail(dir.path(), 3).unwrap();
    assert_eq!(last, (17..20).map(record).collect::<Vec<_>>());
    let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// A log of that many lines in a folder of its own, and what `verify` says of it whole.
fn logged(lines: u32) -> (tempfile::TempDir, Verified) {
    let dir = tempfile::tempdir().unwrap();
    let log = MintLog::start(dir.path()).unwrap();
    (0..lines).for_each(|n| log.record(move || record(n)));
    drop(log);
    let whole = MintLog::verify(dir.path(), None).unwrap();
    assert_eq!((whole.lines, &whole.broken), (u64::from(lines), &None));
    (dir, whole)
}

fn append_text(dir: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(dir.join(FILE)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn each_line_names_the_one_before_it() {
    let (dir, whole) = logged(3);
    let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let prev = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["prev"].as_str().unwrap().to_owned()
    };
    assert_eq!(prev(lines[0]), chain::START);
    assert_eq!(prev(lines[1]), crate::ca::sha256_hex(lines[0].as_bytes()));
    let head = Checkpoint { lines: 3, head: crate::ca::sha256_hex(lines[2].as_bytes()) };
    assert_eq!(whole.head, Some(head.clone()));
    assert_eq!(head.to_string().parse(), Ok(head));
    for bad in ["", "3", "3:", "3:12", "x:00", &format!("-1:{}", chain::START)] {
        assert!(bad.parse::<Checkpoint>().is_err(), "{bad}");
    }
}

#[test]
fn the_first_line_that_was_tampered_with_is_named() {
    type Tamper = fn(&mut Vec<String>);
    let cases: &[(&str, u64, Tamper)] = &[
        ("altered", 5, |lines| lines[3] = lines[3].replace("h3.test", "evil.test")),
        ("altered", 2, |lines| lines[0] = lines[0].replace("\"seq\":1", "\"seq\":1 ")),
        ("removed", 4, |lines| drop(lines.remove(3))),
        ("removed", 4, |lines| drop(lines.drain(3..6))),
        ("reordered", 4, |lines| lines.swap(3, 4)),
        ("reordered", 4, |lines| lines.swap(3, 7)),
        ("reordered", 5, |lines| lines.insert(4, lines[3].clone())),
        ("not_a_record", 4, |lines| lines[3].truncate(40)),
        ("not_a_record", 4, |lines| lines.insert(3, "{}".to_owned())),
        ("not_a_record", 10, |lines| lines[9].truncate(40)),
        ("truncated_head", 1, |lines| drop(lines.remove(0))),
        ("truncated_head", 1, |lines| drop(lines.drain(..9))),
    ];
    for (number, (kind, line, tamper)) in cases.iter().enumerate() {
        let (dir, _) = logged(10);
        let path = dir.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        tamper(&mut lines);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        let found = MintLog::verify(dir.path(), None).unwrap();
        let broken = found.broken.unwrap_or_else(|| panic!("case {number}: nothing was found"));
        assert_eq!((broken.kind, broken.line), (*kind, *line), "case {number}: {broken:?}");
        // A proxy that goes on with such a log does not hide it.
        let log = MintLog::start(dir.path()).unwrap();
        (0..3).for_each(|n| log.record(move || record(n)));
        drop(log);
        let broken = MintLog::verify(dir.path(), None).unwrap().broken.unwrap();
        assert_eq!((broken.kind, broken.line), (*kind, *line), "case {number}, later: {broken:?}");
    }
}

#[test]
fn a_checkpoint_finds_what_the_chain_alone_cannot() {
    let (dir, whole) = logged(10);
    let since = whole.head.unwrap();
    assert_eq!(MintLog::verify(dir.path(), Some(&since)).unwrap().broken, None);
    let path = dir.path().join(FILE);
    let text = fs::read_to_string(&path).unwrap();
    let cut: String = text.lines().take(8).map(|line| format!("{line}\n")).collect();
    fs::write(&path, &cut).unwrap();
    assert_eq!(MintLog::verify(dir.path(), None).unwrap().broken, None, "the chain alone is whole");
    let kind = |since: &Checkpoint| {
        MintLog::verify(dir.path(), Some(since)).unwrap().broken.map(|broken| broken.kind)
    };
    assert_eq!(kind(&since), Some("truncated_tail"));
    // Written on as if nothing had happened: line 10 is another now.
    let log = MintLog::start(dir.path()).unwrap();
    (20..25).for_each(|n| log.record(move || record(n)));
    drop(log);
    assert_eq!(kind(&since), Some("altered"));
    // A whole new chain.
    fs::remove_file(&path).unwrap();
    assert_eq!(kind(&since), Some("truncated_tail"));
}

#[test]
fn a_log_written_anew_from_after_its_checkpoint_on_is_not_called_whole() {
    let (dir, whole) = logged(10);
    let since = whole.head.unwrap();
    let path = dir.path().join(FILE);
    // Somebody keeps nothing of the ten lines, and writes a chain of his own that begins after them and says that
    // they were removed to make room.
    let forge = |begins_after: Checkpoint| {
        let mut text = String::new();
        let mut at = begins_after.clone();
        for number in 0..5 {
            let event = match number {
                0 => format!(
                    r#""event":"dropped","lines":{},"head":"{}""#,
                    begins_after.lines, begins_after.head
                ),
                _ => r#""names":["evil.test"]"#.to_owned(),
            };
            let line = format!(r#"{{"seq":{},"prev":"{}",{event}}}"#, at.lines + 1, at.head);
            at = Checkpoint { lines: at.lines + 1, head: crate::ca::sha256_hex(line.as_bytes()) };
            text += &(line + "\n");
        }
        fs::write(&path, text).unwrap();
    };
    let kind = |since: Option<&Checkpoint>| {
        MintLog::verify(dir.path(), since).unwrap().broken.map(|broken| broken.kind)
    };
    for (lines, found) in [(10, "altered"), (11, "checkpoint_gone"), (1000, "checkpoint_gone")] {
        forge(Checkpoint { lines, head: "ab".repeat(32) });
        assert_eq!(kind(None), None, "{lines}: the chain alone is whole");
        assert_eq!(kind(Some(&since)), Some(found), "{lines}");
    }
    // The true one goes on, and nothing of it is left but what follows the checkpoint.
    forge(since.clone());
    assert_eq!(kind(Some(&since)), None);
    assert_eq!(kind(Some(&Checkpoint::start())), None, "the checkpoint of an empty log says nothing");
    forge(Checkpoint::start());
    assert_eq!(kind(Some(&Checkpoint { lines: 0, head: "ab".repeat(32) })), Some("altered"));
}

#[test]
fn bytes_put_in_without_a_line_s_end_are_found_however_many() {
    for bytes in [10, chain::LINE_BYTES as usize, 4 << 20] {
        let (dir, _) = logged(10);
        let path = dir.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        let at = text.match_indices('\n').nth(3).unwrap().0 + 1;
        fs::write(&path, [&text[..at], &"x".repeat(bytes), &text[at..]].concat()).unwrap();
        let broken = MintLog::verify(dir.path(), None).unwrap().broken.expect("something was put in");
        assert_eq!((broken.kind, broken.line), ("not_a_record", 5), "{bytes}: {broken:?}");
    }
}

#[test]
fn a_torn_last_line_is_told_apart_from_tampering_before_and_after_the_next_start() {
    let (dir, _) = logged(3);
    append_text(dir.path(), "{\"seq\":4,\"prev\":\"00");
    let found = MintLog::verify(dir.path(), None).unwrap();
    assert_eq!((found.lines, found.torn_end, found.broken), (3, true, None));
    let log = MintLog::start(dir.path()).unwrap();
    log.record(move || record(9));
    drop(log);
    let found = MintLog::verify(dir.path(), None).unwrap();
    // Three mints, the line that tells of the torn one, and one mint.
    assert_eq!((found.lines, found.torn, found.torn_end, found.broken), (5, 1, false, None));
    assert_eq!(MintLog::tail(dir.path(), 1).unwrap(), (vec![record(9)], 1));
    // The account covers those bytes and no others.
    let path = dir.path().join(FILE);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("{\"seq\":4,\"prev\":\"00\n", "{\"seq\":4,\"prev\":\"01\n")).unwrap();
    assert_eq!(MintLog::verify(dir.path(), None).unwrap().broken.unwrap().kind, "not_a_record");
}

#[test]
fn a_last_line_that_lacks_its_end_alone_is_a_line() {
    let (dir, whole) = logged(3);
    let path = dir.path().join(FILE);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.trim_end()).unwrap();
    assert_eq!(MintLog::verify(dir.path(), None).unwrap(), whole);
    let log = MintLog::start(dir.path()).unwrap();
    log.record(move || record(3));
    drop(log);
    let found = MintLog::verify(dir.path(), whole.head.as_ref()).unwrap();
    assert_eq!((found.lines, found.torn, found.broken), (4, 0, None));
}

#[test]
fn the_chain_goes_on_over_files_and_says_what_was_removed_to_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = None;
    for number in 0..60 {
        // A log per line, because a batch is written in one file.
        MintLog::with_size(dir.path(), 1600).unwrap().record(move || record(number));
        let found = MintLog::verify(dir.path(), None).unwrap();
        assert_eq!(found.broken, None, "after {number}");
        first.get_or_insert(found.head.clone().unwrap());
    }
    let found = MintLog::verify(dir.path(), None).unwrap();
    assert!(found.first > 1 && found.lines > 15 && found.broken.is_none(), "{found:?}");
    // A checkpoint of what was removed since says nothing any more, and is not said to hold.
    let gone = MintLog::verify(dir.path(), first.as_ref()).unwrap().broken.unwrap();
    assert_eq!(gone.kind, "checkpoint_gone");
    let files = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(files, KEPT as usize + 2, "the files and the lock");
    let (tail, broken) = MintLog::tail(dir.path(), 100).unwrap();
    assert_eq!((tail.last(), broken), (Some(&record(59)), 0));
    assert!(tail.windows(2).all(|w| w[0].serial < w[1].serial));
    // What nobody removed to make room is missed.
    fs::remove_file(numbered(&dir.path().join(FILE), KEPT)).unwrap();
    assert_eq!(MintLog::verify(dir.path(), None).unwrap().broken.unwrap().kind, "truncated_head");
}

#[test]
fn a_flush_writes_what_was_recorded_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = MintLog::start(dir.path()).unwrap();
    assert!(log.flush(Duration::from_secs(10)), "nothing to write");
    for round in 1..=3 {
        (0..300).for_each(|n| log.record(move || record(n)));
        assert!(log.flush(Duration::from_secs(10)));
        assert_eq!(MintLog::verify(dir.path(), None).unwrap().lines, round * 300);
    }
}

#[test]
fn a_flush_that_came_too_late_leaves_the_log_as_it_was() {
    let (queue, _held) = sync_channel(1);
    let log = MintLog { queue: Some(queue), lost: Arc::default(), closing: Arc::default(), writer: None };
    log.record(record(1));
    assert!(!log.flush(Duration::from_millis(5)), "nobody writes");
    assert!(!log.closing.load(Ordering::Relaxed), "lines are gathered as before");
}

#[test]
fn several_writers_on_one_folder_make_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = dir.path();
            scope.spawn(move || {
                for number in 0..5 {
                    let log = MintLog::start(path).unwrap();
                    (0..20).for_each(|n| log.record(move || record(writer * 1000 + number * 20 + n)));
                }
            });
        }
    });
    let found = MintLog::verify(dir.path(), None).unwrap();
    assert_eq!((found.lines, found.torn, found.broken), (400, 0, None));
}

#[test]
fn a_dead_disk_is_counted_forgiven_and_told_of_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    let log = MintLog::start(&gone).unwrap();
    (0..5).for_each(|n| log.record(move || record(n)));
    let lost = log.lost.clone();
    drop(log);
    assert_eq!(lost.load(Ordering::Relaxed), 5);

    // A folder in the file's place: it cannot be opened.
    let full = dir.path().join("full");
    fs::create_dir_all(full.join(FILE)).unwrap();
    let lost = Arc::new(AtomicU64::new(0));
    let mut writer = Writer::new(full.join(FILE), FILE_BYTES, lost.clone(), Arc::default());
    writer.write(&[record(1), record(2)]);
    assert_eq!((writer.outage, lost.load(Ordering::Relaxed)), (Some(2), 2));
    fs::remove_dir(full.join(FILE)).unwrap();
    writer.write(&[record(3)]);
    assert_eq!((writer.outage, lost.load(Ordering::Relaxed)), (None, 2));
    assert_eq!(MintLog::tail(&full, 9).unwrap(), (vec![record(3)], 0));
    let found = MintLog::verify(&full, None).unwrap();
    assert_eq!((found.lines, found.lost, found.broken), (2, 2, None));
}
