//! Samples out of files, one line at a time. What is no sample is an error that names file and
//! line; nothing is skipped in silence but empty lines.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::waf::measure::{Label, Request};

/// A longer line is no sample.
const LINE_BYTES: u64 = 32 * 1024 * 1024;

/// What is said to be an attack or harmless by the command line.
pub struct Labels<'a> {
    pub attack: &'a [PathBuf],
    pub benign: &'a [PathBuf],
}

/// A file of samples.
pub struct SampleFile {
    path: PathBuf,
    /// None when each line has to say.
    label: Option<Label>,
    class: Arc<str>,
    is_json: bool,
}

/// One sample.
#[derive(Clone, Debug)]
pub struct Sample {
    pub label: Label,
    pub class: Arc<str>,
    /// As its line has it.
    given_name: Option<String>,
    file: Arc<str>,
    line: u64,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    Value(Vec<u8>),
    Request(Box<Request>),
}

/// A line of a `*.jsonl` file. What else it holds is its author's.
#[derive(Default, Deserialize)]
struct Line {
    value: Option<String>,
    value_base64: Option<String>,
    request: Option<String>,
    request_base64: Option<String>,
    class: Option<String>,
    name: Option<String>,
    label: Option<String>,
}

impl Sample {
    /// Its own name, or its place in its file.
    pub fn name(&self) -> String {
        self.given_name.clone().unwrap_or_else(|| format!("{}:{}", self.file, self.line))
    }
}

/// All sample files below these paths, by name.
pub fn files(paths: &[PathBuf], labels: &Labels<'_>) -> io::Result<Vec<SampleFile>> {
    let mut found = Vec::new();
    for path in paths {
        walk(path, None, true, &mut found)?;
    }
    for (label, paths) in [(Label::Attack, labels.attack), (Label::Benign, labels.benign)] {
        for path in paths {
            walk(path, Some(label), true, &mut found)?;
        }
    }
    Ok(found)
}

fn walk(path: &Path, label: Option<Label>, named: bool, found: &mut Vec<SampleFile>) -> io::Result<()> {
    let about = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    if fs::metadata(path).map_err(about)?.is_dir() {
        let entries: io::Result<Vec<PathBuf>> =
            fs::read_dir(path).map_err(about)?.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut entries = entries.map_err(about)?;
        entries.sort();
        return entries.iter().try_for_each(|entry| walk(entry, label, false, found));
    }
    let ending = path.extension().and_then(|ending| ending.to_str());
    let is_json = match ending {
        Some("jsonl") => true,
        Some("txt") => false,
        // In a folder there may be notes and the like.
        _ if !named => return Ok(()),
        _ => {
            let problem = format!("{}: a file of samples ends in .txt or .jsonl", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
    };
    let class = path.file_stem().unwrap_or_default().to_string_lossy().into();
    let label = label.or_else(|| label_of(path));
    found.push(SampleFile { path: path.to_owned(), label, class, is_json });
    Ok(())
}

/// What the innermost folder named after a label says.
fn label_of(path: &Path) -> Option<Label> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let parts = absolute.components().rev();
    parts.filter_map(|part| part.as_os_str().to_str()).find_map(Label::find)
}

impl SampleFile {
    /// Its samples, in order.
    pub fn samples(self) -> io::Result<Samples> {
        let name: Arc<str> = self.path.display().to_string().into();
        let opened = File::open(&self.path);
        let file = opened.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        Ok(Samples { reader: BufReader::new(file), file: self, name, line: 0 })
    }
}

/// The samples of a file.
pub struct Samples {
    reader: BufReader<File>,
    file: SampleFile,
    name: Arc<str>,
    line: u64,
}

impl Samples {
    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut self.reader).take(LINE_BYTES).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if line.last() == Some(&b'\n') {
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
            } else if line.len() as u64 == LINE_BYTES {
                return Err(io::Error::other(format!("the line is longer than {LINE_BYTES} bytes")));
            }
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
    }

    fn sample(&self, line: Vec<u8>) -> Result<Sample, String> {
        let parsed = match self.file.is_json {
            true => {
                serde_json::from_slice(&line).map_err(|error| format!("the line is no sample: {error}"))?
            }
            false => Line::default(),
        };
        let content = if self.file.is_json { parsed.content()? } else { Content::Value(line) };
        let label = match &parsed.label {
            None => self.file.label,
            Some(label) => Some(
                Label::find(label)
                    .ok_or_else(|| format!("a label is `attack` or `benign`, not `{label}`"))?,
            ),
        };
        let label = label.ok_or(
            "the sample has no label: put the file in a folder named `attack` or `benign`, use --attack or \
             --benign, or give the line a \"label\"",
        )?;
        Ok(Sample {
            label,
            class: parsed.class.map_or_else(|| Arc::clone(&self.file.class), Arc::from),
            given_name: parsed.name,
            file: Arc::clone(&self.name),
            line: self.line,
            content,
        })
    }
}

impl Iterator for Samples {
    type Item = io::Result<Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match self.next_line() {
            Ok(line) => line?,
            Err(error) => {
                return Some(Err(io::Error::new(
                    error.kind(),
                    format!("{}:{}: {error}", self.name, self.line),
                )));
            }
        };
        Some(self.sample(line).map_err(|problem| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}:{}: {problem}", self.name, self.line))
        }))
    }
}

impl Line {
    fn content(&self) -> Result<Content, String> {
        let bytes = |text: &str| {
            STANDARD.decode(text).map_err(|error| format!("a sample's base64 cannot be decoded: {error}"))
        };
        let request = |bytes: &[u8]| {
            let request = Request::parse(bytes).map_err(|error| error.to_string())?;
            Ok(Content::Request(Box::new(request)))
        };
        match (&self.value, &self.value_base64, &self.request, &self.request_base64) {
            (Some(text), None, None, None) => Ok(Content::Value(text.as_bytes().to_vec())),
            (None, Some(text), None, None) => Ok(Content::Value(bytes(text)?)),
            (None, None, Some(text), None) => request(text.as_bytes()),
            (None, None, None, Some(text)) => request(&bytes(text)?),
            _ => Err("a sample is one of value, value_base64, request and request_base64".to_owned()),
        }
    }
}
