//! What is read from files that people, other programs or a crash have written: audit records, the log of minted
//! certificates, the configuration.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use portward::audit::Record;
use portward::audit::read::find;
use portward::audit::visible::visible;
use portward::ca::MintLog;
use portward::config::{Config, Flags, System, load};

use super::shown;

/// Lines of the audit log.
pub fn audit_record(data: &[u8]) {
    let lines = || data.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let records: Vec<Record> = lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if records.is_empty() {
        return;
    }
    for record in &records {
        // As we would have written it: a time that no record of ours has is not kept.
        let text = serde_json::to_string(record).expect("a record can be written");
        let record = read(&text);
        assert_eq!(serde_json::to_string(&record).expect("it was written before"), text);
        let visible = visible(&text);
        assert_eq!(read(&visible), record, "{visible}");
        assert!(!visible.chars().any(char::is_control));
    }
    in_folder(|folder| {
        let path = folder.join("audit.jsonl");
        std::fs::write(&path, data).expect("there is room");
        for record in &records {
            let found = find(&path, record.id).expect("it can be read");
            // The receipt may be spelled in JSON so that it does not stand there as it is.
            if let Some(found) = found {
                assert_eq!(found.record.id, record.id);
                assert!(lines().any(|line| line == found.line));
            }
        }
    });
}

fn read(text: &str) -> Record {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The log of minted certificates.
pub fn mint_log(data: &[u8]) {
    in_folder(|folder| {
        std::fs::write(folder.join("mints.jsonl"), data).expect("there is room");
        let found = MintLog::verify(folder, None).expect("it can be read");
        let lines = data.split(|byte| *byte == b'\n').count() as u64;
        assert!(found.lines <= lines, "{} of {lines} lines", found.lines);
        let (records, broken) = MintLog::tail(folder, 3).expect("it can be read");
        assert!(records.len() <= 3 && records.len() as u64 + broken <= lines);
        // What ends well is the beginning of what comes later.
        if let (None, Some(head)) = (&found.broken, &found.head) {
            let again = MintLog::verify(folder, Some(head)).expect("it can be read");
            assert_eq!(again.broken, None, "{}", shown(data));
            assert_eq!(head.to_string().parse().as_ref(), Ok(head));
        }
    });
}

/// A configuration that can be used, printed as it is in force, is the same configuration; of one that cannot, each
/// problem stands in the file.
pub fn config(data: &[u8]) {
    // Files outside of the folder are not for this.
    if [&b"/"[..], b"..", b"\\"].iter().any(|part| data.windows(part.len()).any(|window| window == *part)) {
        return;
    }
    in_folder(|folder| {
        let flags = Flags { config: Some("portward.toml".into()), ..Flags::default() };
        let system = System { cwd: folder.to_owned(), home: Some(folder.to_owned()), ..System::default() };
        let write = |text: &[u8]| std::fs::write(folder.join("portward.toml"), text).expect("there is room");
        write(data);
        match load(&flags, &system) {
            Ok(config) => {
                let printed = config.render().unwrap_or_else(|error| panic!("{error}: {}", shown(data)));
                write(printed.as_bytes());
                let again = load(&flags, &system).unwrap_or_else(|error| panic!("{error}\n{printed}"));
                assert_eq!(placeless(again), placeless(config), "{printed}");
            }
            Err(error) => {
                let lines = data.split(|byte| *byte == b'\n').count();
                assert!(!error.problems.is_empty());
                for problem in &error.problems {
                    assert!(!problem.what.is_empty());
                    let place = problem.place.as_ref();
                    assert!(place.is_none_or(|place| (1..=lines).contains(&place.line)), "{problem}");
                }
            }
        }
    });
}

/// Lines and columns are others in what is printed.
fn placeless(mut config: Config) -> Config {
    config.rules.sets.iter_mut().for_each(|choice| choice.said_at.clear());
    config.rules.exclusion_packs.iter_mut().for_each(|choice| choice.said_at.clear());
    config
}

/// One for each thread: what is tried next overwrites what was tried before.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("portward-fuzz-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).expect("there is no such folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn in_folder(go: impl FnOnce(&Path)) {
    thread_local! {
        static FOLDER: Folder = Folder::new();
    }
    FOLDER.with(|folder| go(&folder.0));
}
