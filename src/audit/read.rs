//! Finds records in the log: from the newest file to the oldest, each from its end, in bounded
//! memory. Lines that are not whole records (torn by a crash, gap lines) are passed over.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;

use super::record::Record;
use crate::net::ReceiptId;

/// A record and where it stood.
#[derive(Clone, Debug)]
pub struct Found {
    pub record: Record,
    /// The line as it stands in the log.
    pub line: String,
    pub file: PathBuf,
}

/// The log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the audit log {path} cannot be read")]
pub struct ReadError {
    pub path: String,
    pub source: io::Error,
}

/// Bytes read at once.
const BLOCK: usize = 64 * 1024;

/// Lines beyond this are no records of ours; a report's values are cut far below it.
const LONGEST_LINE: usize = 8 << 20;

/// Looks for the record with this receipt in the log and its rotated files.
pub fn find(path: &Path, id: ReceiptId) -> Result<Option<Found>, ReadError> {
    let needle = format!("\"id\":\"{id}\"");
    let needle = Finder::new(needle.as_bytes());
    for file in files(path)? {
        let failed = |source| ReadError { path: file.display().to_string(), source };
        let log = match File::open(&file) {
            Ok(log) => log,
            // Rotated away between listing and opening.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        let mut found = None;
        lines_from_end(&log, |line| {
            found = needle
                .find(line)
                .and_then(|_| std::str::from_utf8(line).ok())
                .and_then(|text| Some((serde_json::from_str::<Record>(text).ok()?, text)))
                .filter(|(record, _)| record.id == id)
                .map(|(record, text)| Found { record, line: text.to_owned(), file: file.clone() });
            found.is_some()
        })
        .map_err(failed)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The log's files that exist, the newest first.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let failed = |source| ReadError { path: path.display().to_string(), source };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut numbers = Vec::new();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    for entry in entries {
        let entry = entry.map_err(failed)?.file_name();
        let Some(entry) = entry.to_str() else { continue };
        if entry == name {
            numbers.push(0);
        } else if let Some(number) = entry.strip_prefix(&name).and_then(|rest| rest.strip_prefix('.'))
            && let Ok(number) = number.parse::<u32>()
            && number > 0
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    let file = |n| if n == 0 { path.to_owned() } else { super::sink::file::rotated(path, n) };
    Ok(numbers.into_iter().map(file).collect())
}

/// Gives the lines of a file to `each`, the last first, without their line feeds, until it
/// answers true.
fn lines_from_end(file: &File, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut position = file.metadata()?.len();
    // The beginning of a line whose end was read already, followed by what was read of it.
    let mut carried: Vec<u8> = Vec::new();
    let mut too_long = false;
    let mut block = vec![0; BLOCK];
    while position > 0 {
        let length = usize::try_from(position).unwrap_or(usize::MAX).min(BLOCK);
        position -= length as u64;
        let block = &mut block[..length];
        file.read_exact_at(block, position)?;
        let mut end = length;
        for at in memchr::memrchr_iter(b'\n', block) {
            let head = &block[at + 1..end];
            end = at;
            if too_long {
                too_long = false;
                carried.clear();
                continue;
            }
            let whole = if carried.is_empty() {
                head
            } else {
                carried.splice(..0, head.iter().copied());
                &carried
            };
            if !whole.is_empty() && each(whole) {
                return Ok(());
            }
            carried.clear();
        }
        if carried.len() + end > LONGEST_LINE {
            too_long = true;
            carried.clear();
        } else if !too_long {
            carried.splice(..0, block[..end].iter().copied());
        }
    }
    if !too_long && !carried.is_empty() {
        each(&carried);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::audit::record::tests::{plain, receipt};

    fn line(seed: u8, url: &str) -> String {
        let mut record = plain(seed);
        record.url = url.to_owned();
        serde_json::to_string(&record).unwrap() + "\n"
    }

    #[test]
    fn lines_come_last_first_at_every_length_around_a_block() {
        for length in [0, 1, BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7] {
            for tail in ["", "torn"] {
                let mut file = tempfile::tempfile().unwrap();
                let long = "x".repeat(length);
                write!(file, "first\n{long}\nlast\n{tail}").unwrap();
                let mut seen = Vec::new();
                lines_from_end(&file, |line| {
                    seen.push(String::from_utf8(line.to_vec()).unwrap());
                    false
                })
                .unwrap();
                let expect: Vec<&str> =
                    [tail, "last", &long, "first"].into_iter().filter(|s| !s.is_empty()).collect();
                assert_eq!(seen, expect, "{length} {tail:?}");
            }
        }
    }

    #[test]
    fn a_record_is_found_in_the_newest_file_that_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        fs::write(&path, line(1, "https://a.test/") + "{\"id\":\"" + &receipt(9).to_string() + "\",\"tor")
            .unwrap();
        fs::write(dir.path().join("audit.jsonl.1"), line(2, "https://b.test/")).unwrap();
        fs::write(dir.path().join("audit.jsonl.10"), line(3, "https://c.test/")).unwrap();
        fs::write(dir.path().join("audit.jsonl.2"), line(9, "https://d.test/") + &line(4, "x")).unwrap();
        fs::write(dir.path().join("audit.jsonl.bak"), line(5, "https://e.test/")).unwrap();
        for (seed, expect) in [(1, ""), (2, ".1"), (3, ".10"), (9, ".2"), (4, ".2")] {
            let found = find(&path, receipt(seed)).unwrap().unwrap();
            assert_eq!(found.file.display().to_string(), format!("{}{expect}", path.display()), "{seed}");
            assert_eq!(found.record.id, receipt(seed));
        }
        assert!(find(&path, receipt(5)).unwrap().is_none());
        assert!(find(&dir.path().join("none/audit.jsonl"), receipt(1)).unwrap().is_none());
    }

    #[test]
    fn an_id_inside_a_hostile_url_is_not_the_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let url = format!("https://a.test/?x=\"id\":\"{}\"", receipt(7));
        fs::write(&path, line(1, &url)).unwrap();
        assert!(find(&path, receipt(7)).unwrap().is_none());
    }
}
