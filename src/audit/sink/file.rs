//! Audit lines in a file that rotates by size: `audit.jsonl`, then `audit.jsonl.1` and so on to
//! the oldest. Only ever appends: what is in a file stays as it is, and a line torn by a crash is
//! closed with a line feed so that it spoils no other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Batch, Sink};

/// Where, how large, how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    pub path: PathBuf,
    /// A file is rotated before it grows beyond this.
    pub max_bytes: u64,
    /// Rotated files kept, at least one.
    pub keep: u32,
}

impl FileConfig {
    /// 64 MiB is about 100,000 plain records; ten of those are a day of a busy office.
    pub fn new(path: impl Into<PathBuf>) -> FileConfig {
        FileConfig { path: path.into(), max_bytes: 64 << 20, keep: 10 }
    }
}

/// An append-only file with rotation.
#[derive(Debug)]
pub struct FileSink {
    config: FileConfig,
    open: Option<Opened>,
    rotation_failed: bool,
}

#[derive(Debug)]
struct Opened {
    file: File,
    size: u64,
    /// Device and inode, to notice that someone else moved the file away.
    identity: (u64, u64),
}

impl FileSink {
    /// Opens the file at once, so that a path that cannot work is an error at the start.
    pub fn open(config: FileConfig) -> io::Result<FileSink> {
        let open = Some(open(&config.path)?);
        Ok(FileSink { config, open, rotation_failed: false })
    }

    /// The open file, opened again when it was moved away or failed before.
    fn ready(&mut self, batch: &mut Batch) -> io::Result<&mut Opened> {
        let current = self.open.take().filter(|open| {
            fs::metadata(&self.config.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == open.identity)
        });
        let open = match current {
            Some(open) => open,
            None => {
                batch.rewind_line();
                open(&self.config.path)?
            }
        };
        Ok(self.open.insert(open))
    }

    fn rotate(&mut self) {
        match rotate(&self.config.path, self.config.keep.max(1)) {
            Ok(()) => {
                self.rotation_failed = false;
                if let Some(Err(error)) = self.open.take().map(|open| open.file.sync_data()) {
                    tracing::warn!(%error, "the rotated audit log could not be synchronised to the disk");
                }
            }
            // A log that grows is better than none: go on in the same file and say so once.
            Err(error) if !self.rotation_failed => {
                self.rotation_failed = true;
                let path = self.config.path.display();
                tracing::warn!(%error, %path, "the audit log cannot be rotated and grows beyond its size");
            }
            Err(_) => {}
        }
    }
}

impl Sink for FileSink {
    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        while !batch.is_done() {
            let max = self.config.max_bytes;
            let open = self.ready(batch)?;
            let fits =
                batch.lines_within(usize::try_from(max.saturating_sub(open.size)).unwrap_or(usize::MAX));
            let too_large = open.size.saturating_add(fits.len() as u64) > max;
            if batch.at_line_start() && open.size > 0 && too_large {
                self.rotate();
                if !self.rotation_failed {
                    continue;
                }
            }
            let Some(open) = self.open.as_mut() else { continue };
            match open.file.write(fits) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    open.size += n as u64;
                    batch.advance(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |open| open.file.sync_data())
    }

    fn name(&self) -> String {
        self.config.path.display().to_string()
    }
}

fn open(path: &Path) -> io::Result<Opened> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        // A pipe in the log's place must fail instead of hanging; regular files ignore the flag.
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)?;
    let meta = file.metadata()?;
    let mut size = meta.len();
    if meta.is_file() && size > 0 {
        let mut last = [0u8];
        file.read_exact_at(&mut last, size - 1)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok(Opened { file, size, identity: (meta.dev(), meta.ino()) })
}

/// `path.1` becomes `path.2` and so on, the oldest is replaced, `path` becomes `path.1`.
fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    for n in (1..keep).rev() {
        match fs::rename(rotated(path, n), rotated(path, n + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, rotated(path, 1))
}

/// The name of the `n`th rotated file.
pub fn rotated(path: &Path, n: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn batch(lines: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for line in lines {
            batch.bytes_mut().extend_from_slice(line.as_bytes());
            batch.bytes_mut().push(b'\n');
        }
        batch
    }

    fn sink(path: &Path, max_bytes: u64, keep: u32) -> FileSink {
        FileSink::open(FileConfig { path: path.into(), max_bytes, keep }).unwrap()
    }

    #[test]
    fn only_the_owner_reads_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        sink(&path, 100, 2).write(&mut batch(&["{}"])).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn rotation_cuts_between_lines_and_keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let mut sink = sink(&path, 10, 2);
        sink.write(&mut batch(&["aaaa", "bbbb", "cccc"])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "cccc\n");
        assert_eq!(fs::read_to_string(rotated(&path, 1)).unwrap(), "aaaa\nbbbb\n");
        sink.write(&mut batch(&["a line longer than a file may be", "dddd"])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "dddd\n");
        assert_eq!(fs::read_to_string(rotated(&path, 1)).unwrap(), "a line longer than a file may be\n");
        assert_eq!(fs::read_to_string(rotated(&path, 2)).unwrap(), "cccc\n");
        assert!(!rotated(&path, 3).exists());
    }

    #[test]
    fn a_line_torn_by_a_crash_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        fs::write(&path, "{\"whole\":1}\n{\"to").unwrap();
        sink(&path, 1000, 2).write(&mut batch(&["{\"new\":1}"])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"whole\":1}\n{\"to\n{\"new\":1}\n");
    }

    #[test]
    fn a_log_moved_away_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let mut sink = sink(&path, 1000, 2);
        sink.write(&mut batch(&["one"])).unwrap();
        fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        sink.write(&mut batch(&["two"])).unwrap();
        fs::remove_file(&path).unwrap();
        sink.write(&mut batch(&["three"])).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("elsewhere")).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_full_device_is_an_error_and_takes_nothing() {
        let mut sink = sink(Path::new("/dev/full"), 1000, 2);
        let mut batch = batch(&["one", "two"]);
        let error = sink.write(&mut batch).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(batch.rest(), b"one\ntwo\n");
    }

    #[test]
    fn a_directory_in_the_way_is_an_error_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let config = FileConfig::new(dir.path());
        assert!(FileSink::open(config).is_err());
    }
}
