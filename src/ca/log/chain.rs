//! The mint log's hash chain: each line carries its number and the SHA-256 of the line before it, so that a line
//! that was altered, taken out, put in or moved no longer fits. Reading and checking only; writing is the log's.
//!
//! A chain does not prove that its newest lines are still there, and someone who may write to the folder can make a
//! whole new chain: against both helps a [`Checkpoint`] that is kept elsewhere.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{FILE, KEPT, numbered};
use crate::ca::export::sha256_hex;

/// What the first line of all names as the one before it.
pub(super) const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A line has the names of one leaf, 8 KiB of them at most.
pub(super) const LINE_BYTES: u64 = 64 * 1024;

/// How far a log had come: so many lines, and the hash of the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub lines: u64,
    pub head: String,
}

impl Checkpoint {
    /// Of a log without a line.
    pub(super) fn start() -> Checkpoint {
        Checkpoint { lines: 0, head: START.to_owned() }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lines, self.head)
    }
}

/// A text is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a checkpoint is LINES:HASH, as `portward ca log verify` prints it")]
pub struct NotACheckpoint;

impl FromStr for Checkpoint {
    type Err = NotACheckpoint;

    fn from_str(text: &str) -> Result<Checkpoint, NotACheckpoint> {
        let (lines, head) = text.trim().split_once(':').ok_or(NotACheckpoint)?;
        let lines = lines.parse().map_err(|_| NotACheckpoint)?;
        if head.len() != START.len() || !head.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotACheckpoint);
        }
        Ok(Checkpoint { lines, head: head.to_ascii_lowercase() })
    }
}

/// What stands in every line beside what it tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    pub seq: u64,
    pub prev: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
}

/// Lines that are no mints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// The bytes before this line were cut short by a crash, and are no line.
    Torn { sha256: String },
    /// The oldest file was removed to make room; the log now begins after this checkpoint.
    Dropped { lines: u64, head: String },
    /// Mints that could not be written: a full disk, or a queue that was full.
    Lost { count: u64 },
}

/// What a check of the whole log found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Whole lines that were read.
    pub lines: u64,
    /// The number of the first of them: 1 unless older files were removed to make room.
    pub first: u64,
    /// Where the log ends: keep it elsewhere, and give it to the next check.
    pub head: Option<Checkpoint>,
    /// Lines cut short by a crash, accounted for by the line after them.
    pub torn: u64,
    /// The last line has no end: a crash, or a proxy that is writing it now.
    pub torn_end: bool,
    /// Mints of which the log itself says that they could not be written.
    pub lost: u64,
    /// The first line that does not fit.
    pub broken: Option<Broken>,
}

/// The first line at which a log does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub file: String,
    /// Counted from 1 in that file.
    pub line: u64,
    /// `altered`, `removed`, `reordered`, `truncated_head`, `truncated_tail`, `not_a_record` or `checkpoint_gone`.
    pub kind: &'static str,
    pub what: String,
}

/// Reads the folder's log from its oldest line on. `since` is what an earlier check printed.
pub(in crate::ca) fn verify(dir: &Path, since: Option<&Checkpoint>) -> io::Result<Verified> {
    // The checkpoint of an empty log is the beginning of every log.
    let since = since.filter(|since| **since != Checkpoint::start()).cloned();
    let mut walk = Walk { since, ..Walk::default() };
    for number in (0..=KEPT).rev() {
        let path = numbered(&dir.join(FILE), number);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        walk.file = path.file_name().and_then(|name| name.to_str()).unwrap_or(FILE).to_owned();
        walk.line = 0;
        walk.oldest.get_or_insert_with(|| walk.file.clone());
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while walk.out.broken.is_none() {
            line.clear();
            let read = (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            walk.line += 1;
            if line.last() == Some(&b'\n') {
                line.pop();
                walk.take(&line);
            } else if reader.fill_buf()?.is_empty() {
                walk.unfinished(&line);
            } else {
                walk.not_a_record(walk.file.clone(), walk.line);
            }
        }
    }
    walk.end();
    if let Some(broken) = walk.out.broken.as_mut().filter(|broken| broken.kind == "removed") {
        // The lines that are not where they belong may be elsewhere.
        if let Some(missing) = walk.missing
            && occurs(dir, missing)?
        {
            broken.kind = "reordered";
            broken.what = format!("line {missing} belongs here, and stands elsewhere");
        }
    }
    Ok(walk.out)
}

/// Whether some line of the log has that number.
fn occurs(dir: &Path, seq: u64) -> io::Result<bool> {
    for number in 0..=KEPT {
        let file = match File::open(numbered(&dir.join(FILE), number)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for line in BufReader::new(file).split(b'\n') {
            if serde_json::from_slice::<Link>(&line?).is_ok_and(|link| link.seq == seq) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[derive(Default)]
struct Walk {
    out: Verified,
    since: Option<Checkpoint>,
    file: String,
    line: u64,
    /// The log so far; none before the first line.
    last: Option<Checkpoint>,
    /// Bytes that are no record, until the next line says that a crash made them.
    odd: Option<Odd>,
    /// The log begins after this; a line of it must say so.
    begins_after: Option<Checkpoint>,
    oldest: Option<String>,
    missing: Option<u64>,
}

struct Odd {
    file: String,
    line: u64,
    sha256: String,
}

impl Walk {
    fn take(&mut self, line: &[u8]) {
        // An older end of a file: nothing is in it.
        if line.is_empty() {
            return;
        }
        let Ok(link) = serde_json::from_slice::<Link>(line) else { return self.odd(line) };
        if let Some(odd) = self.odd.take() {
            let explained = matches!(&link.event, Some(Event::Torn { sha256 }) if *sha256 == odd.sha256);
            if !explained {
                return self.not_a_record(odd.file, odd.line);
            }
            self.out.torn += 1;
        }
        let here = (self.file.clone(), self.line);
        match &self.last {
            None => {
                self.out.first = link.seq;
                if link.seq != 1 || link.prev != START {
                    let lines = link.seq.saturating_sub(1);
                    self.begins_after = Some(Checkpoint { lines, head: link.prev.clone() });
                }
                // The checkpoint's own line may be the last that was removed to make room.
                if let Some(since) = self.since.take_if(|since| since.lines.checked_add(1) == Some(link.seq))
                    && since.head != link.prev
                {
                    let what = format!("line {} was not written after the one of the checkpoint", link.seq);
                    return self.break_at(here.0, here.1, "altered", &what);
                }
            }
            Some(last) if last.lines.checked_add(1) != Some(link.seq) => {
                // Nothing comes after the greatest number; a line that says so was not written by us.
                let wanted = last.lines.saturating_add(1);
                self.missing = Some(wanted);
                let (kind, what) = if link.seq > wanted {
                    ("removed", format!("line {wanted} belongs here, and line {} stands here", link.seq))
                } else {
                    ("reordered", format!("line {} stands here again, after line {}", link.seq, last.lines))
                };
                return self.break_at(here.0, here.1, kind, &what);
            }
            Some(last) if link.prev != last.head => {
                let what = format!(
                    "line {} is not the one that line {} was written after: one of the two was altered",
                    last.lines, link.seq
                );
                return self.break_at(here.0, here.1, "altered", &what);
            }
            Some(_) => {}
        }
        let head = sha256_hex(line);
        match &link.event {
            Some(Event::Dropped { lines, head }) => {
                let says = Checkpoint { lines: *lines, head: head.clone() };
                self.begins_after.take_if(|after| *after == says);
            }
            Some(Event::Lost { count }) => self.out.lost = self.out.lost.saturating_add(*count),
            Some(Event::Torn { .. }) | None => {}
        }
        if let Some(since) = self.since.take_if(|since| since.lines == link.seq)
            && since.head != head
        {
            let what = format!("line {} is not the one of the checkpoint", link.seq);
            return self.break_at(here.0, here.1, "altered", &what);
        }
        self.out.lines += 1;
        self.last = Some(Checkpoint { lines: link.seq, head });
    }

    /// Bytes that are no record: good only if the next line accounts for them.
    fn odd(&mut self, line: &[u8]) {
        if let Some(odd) = self.odd.take() {
            return self.not_a_record(odd.file, odd.line);
        }
        self.odd = Some(Odd { file: self.file.clone(), line: self.line, sha256: sha256_hex(line) });
    }

    /// Bytes without a line's end. At the end of the log they are what a crash leaves.
    fn unfinished(&mut self, line: &[u8]) {
        if self.file != FILE {
            return self.odd(line);
        }
        let whole = serde_json::from_slice::<Link>(line).is_ok_and(|link| {
            let follows =
                |last: &Checkpoint| last.lines.checked_add(1) == Some(link.seq) && link.prev == last.head;
            self.last.as_ref().is_none_or(follows)
        });
        if whole {
            self.take(line);
        } else {
            self.out.torn_end = true;
        }
    }

    fn end(&mut self) {
        if self.out.broken.is_none()
            && let Some(odd) = self.odd.take()
        {
            self.not_a_record(odd.file, odd.line);
        }
        if self.out.broken.is_none()
            && let Some(after) = self.begins_after.take()
        {
            let what = format!("the log begins with line {}, and nothing in it says why", after.lines + 1);
            let oldest = self.oldest.take().unwrap_or_else(|| FILE.to_owned());
            self.break_at(oldest, 1, "truncated_head", &what);
        }
        let reached = self.last.as_ref().map_or(0, |last| last.lines);
        if self.out.broken.is_none()
            && let Some(since) = self.since.take()
        {
            if since.lines > reached {
                let what =
                    format!("the log ends with line {reached}; the checkpoint had {} lines", since.lines);
                self.break_at(FILE.to_owned(), self.line.max(1), "truncated_tail", &what);
            } else if reached == 0 {
                self.break_at(FILE.to_owned(), 1, "altered", "the checkpoint is not one of this log");
            } else {
                // What was written anew from a later line on looks the same.
                let what = format!(
                    "the log begins with line {}; the checkpoint's, {}, is there no longer, so that nothing says \
                     whether this is the same log",
                    self.out.first, since.lines
                );
                let oldest = self.oldest.take().unwrap_or_default();
                self.break_at(oldest, 1, "checkpoint_gone", &what);
            }
        }
        self.out.head = Some(self.last.take().unwrap_or_else(Checkpoint::start));
    }

    fn not_a_record(&mut self, file: String, line: u64) {
        self.break_at(file, line, "not_a_record", "it is not a record of this log");
    }

    fn break_at(&mut self, file: String, line: u64, kind: &'static str, what: &str) {
        self.out.broken = Some(Broken { file, line, kind, what: what.to_owned() });
    }
}

/// Where a file's lines end: the last record in it, and the bytes after that which are none.
pub(super) struct Tail {
    pub at: Checkpoint,
    /// The file's last bytes are a record whose line's end is missing.
    pub unterminated: bool,
    /// Bytes that a crash cut short.
    pub torn: Option<Vec<u8>>,
}

/// The end of a file, from its last bytes alone. None when no record is in them.
pub(super) fn tail(path: &Path) -> io::Result<Option<Tail>> {
    use std::io::{Seek, SeekFrom};
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let size = file.metadata()?.len();
    // From a little before the end, and from farther if no record is in that.
    for window in [LINE_BYTES, 64 * LINE_BYTES] {
        let from = size.saturating_sub(window);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        (&mut file).take(window).read_to_end(&mut bytes)?;
        let ended = bytes.last().is_none_or(|last| *last == b'\n');
        let mut pieces: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
        if from > 0 {
            // The first piece is the end of a line that begins before.
            pieces.remove(0);
        }
        if ended {
            pieces.pop();
        }
        let record = |piece: &[u8]| {
            let link = serde_json::from_slice::<Link>(piece).ok()?;
            Some(Checkpoint { lines: link.seq, head: sha256_hex(piece) })
        };
        let last = pieces.len().checked_sub(1);
        for (index, piece) in pieces.iter().enumerate().rev() {
            if let Some(at) = record(piece) {
                let at_the_end = Some(index) == last;
                let torn = (!ended && !at_the_end).then(|| pieces.last().map(|p| p.to_vec())).flatten();
                return Ok(Some(Tail { at, unterminated: !ended && at_the_end, torn }));
            }
        }
        if from == 0 {
            let torn = (!ended).then(|| pieces.last().map(|p| p.to_vec())).flatten();
            return Ok(torn.map(|torn| Tail {
                at: Checkpoint::start(),
                unterminated: false,
                torn: Some(torn),
            }));
        }
    }
    Ok(None)
}
