//! Attacks to develop rules on: public lists from Debian's source packages, the positive cases of the
//! Core Rule Set's own tests, wfuzz's word lists, and seeds of our own with what attackers make of
//! them. All of it is written to files for `rules eval`; none of the public data is committed.

mod crs;
pub mod libinjection;
mod own;
mod wfuzz;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::data::data;

/// One sample: a value that is put in places, or a request as it goes on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sample {
    Value(Vec<u8>),
    Request { name: String, bytes: Vec<u8> },
}

/// Samples of one technique from one source.
#[derive(Clone, Debug)]
pub struct Class {
    pub name: String,
    pub samples: Vec<Sample>,
}

impl Class {
    /// Each sample once.
    fn new(name: &str, samples: impl IntoIterator<Item = Sample>) -> Class {
        let mut seen = BTreeSet::new();
        let samples = samples.into_iter().filter(|sample| seen.insert(sample.clone())).collect();
        Class { name: name.to_owned(), samples }
    }
}

/// Everything, by class.
pub fn classes() -> Vec<Class> {
    let mut all = libinjection::attacks();
    all.extend(crs::classes());
    all.extend(wfuzz::classes());
    all.extend(own::classes());
    all
}

/// Writes the attacks below `attack`, and what libinjection's authors found to be harmless below
/// `benign`, in this folder.
pub fn write(folder: &Path) {
    for (label, classes) in [("attack", classes()), ("benign", libinjection::benign())] {
        let folder = folder.join(label);
        fs::create_dir_all(&folder).expect("a folder for the data can be made");
        for class in classes {
            assert!(!class.samples.is_empty(), "{}: no samples", class.name);
            let file = fs::File::create(folder.join(format!("{}.jsonl", class.name))).expect("a file");
            let mut file = BufWriter::new(file);
            for sample in &class.samples {
                writeln!(file, "{}", line(sample)).expect("the disk has room");
            }
            file.flush().expect("the disk has room");
        }
    }
}

fn line(sample: &Sample) -> serde_json::Value {
    match sample {
        Sample::Value(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!({ "value": text }),
            Err(_) => json!({ "value_base64": STANDARD.encode(bytes) }),
        },
        Sample::Request { name, bytes } => json!({ "name": name, "request_base64": STANDARD.encode(bytes) }),
    }
}

fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = listed.map(|entry| entry.expect("a folder that opens can be read").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&wanted)).collect();
    files.sort();
    files
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
