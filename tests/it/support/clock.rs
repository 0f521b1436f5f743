//! A clock that a test moves, for one program under libfaketime: real time and what is added to it. Waits and time
//! limits stay as they are.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

pub struct Clock {
    place: TempDir,
}

impl Clock {
    /// As the machine's.
    pub fn new() -> Clock {
        let clock = Clock { place: TempDir::with_prefix("portward-clock-").unwrap() };
        clock.set(0);
        clock
    }

    /// So many seconds ahead of the machine's, or behind.
    pub fn set(&self, seconds: i64) {
        // Replaced whole: it is read at any moment.
        let next = self.place.path().join("next");
        fs::write(&next, format!("{seconds:+}\n")).unwrap();
        fs::rename(next, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.place.path().join("clock")
    }

    /// The words before a command that make it live by this clock. The program `faketime` does the same, but stays
    /// between us and the command.
    pub fn words(&self) -> Vec<String> {
        vec![
            "env".into(),
            format!("LD_PRELOAD={}", library().display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file().display()),
            "FAKETIME_NO_CACHE=1".into(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".into(),
            "DONT_FAKE_MONOTONIC=1".into(),
        ]
    }
}

/// Debian's folder is called after the processor.
fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let mut tried = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    tried.find(|path| path.exists()).expect("libfaketime (tests/run installs what is missing)")
}
