//! `portward rules import`: SecLang files become rule files in a folder. Nothing is written unless
//! everything loads.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::waf::lang::seclang::{self, Counts, Files, Imported, Input, Note, Options};
use crate::waf::{Engine, LoadError, Settings};

use super::Finding;

#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    /// SecLang files, in the order in which ModSecurity would load them
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The folder to write to; it must be new or empty
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Leave out rules that need what Portward does not have, instead of stopping
    #[arg(long)]
    pub skip_unsupported: bool,
    /// Answer with JSON
    #[arg(long)]
    pub json: bool,
}

/// A larger file is no rule file.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Notes of one kind that a person is shown.
const SHOWN: usize = 5;

/// Imports, checks and writes.
pub(super) fn run(args: &ImportArgs, out: &mut dyn Write) -> io::Result<Finding> {
    let mut inputs = Vec::new();
    for path in &args.files {
        let text = text(path).map_err(io::Error::other)?;
        inputs.push(Input { name: path.display().to_string(), text });
    }
    let options = Options { skip_unsupported: args.skip_unsupported };
    let imported = match seclang::import(&inputs, &mut Disk, &options) {
        Ok(imported) => imported,
        Err(errors) => return super::broken(&errors, args.json, out),
    };
    // Whatever the importer thinks, only what loads is a result.
    if let Err(errors) = Engine::compile(&imported.sources, &Settings::default()) {
        return super::broken(&errors, args.json, out);
    }
    if imported.counts.rules == 0 {
        let problem = "there is no rule in these files".to_owned();
        let file = args.files.first().map(|path| path.display().to_string()).unwrap_or_default();
        return super::broken(&[LoadError { file, line: 0, column: 0, problem, help: None }], args.json, out);
    }
    write(&args.output, &imported)?;
    tell(&args.output, &imported, args.json, out)?;
    Ok(Finding::Fine)
}

/// Writes the files into a folder that holds nothing else.
fn write(folder: &Path, imported: &Imported) -> io::Result<()> {
    let about =
        |path: &Path, error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| about(folder, error))?;
    if fs::read_dir(folder).map_err(|error| about(folder, error))?.next().is_some() {
        let problem = format!("{}: the folder is not empty; name a new one", folder.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
    }
    for source in &imported.sources.files {
        let path = folder.join(&source.name);
        fs::write(&path, &source.text).map_err(|error| about(&path, error))?;
    }
    let data = folder.join("data");
    if !imported.sources.data.is_empty() {
        fs::create_dir_all(&data).map_err(|error| about(&data, error))?;
    }
    for (name, bytes) in &imported.sources.data {
        let path = data.join(name);
        fs::write(&path, bytes).map_err(|error| about(&path, error))?;
    }
    Ok(())
}

fn tell(folder: &Path, imported: &Imported, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let Imported { sources, notes, counts } = imported;
    if json {
        let answer = serde_json::json!({
            "files": sources.files.iter().map(|source| &source.name).collect::<Vec<_>>(),
            "data": sources.data.keys().collect::<Vec<_>>(),
            "counts": counts,
            "notes": notes,
            "errors": [],
        });
        return writeln!(out, "{answer}");
    }
    let Counts { rules, chained, markers, gates, skipped } = counts;
    writeln!(
        out,
        "{rules} rules ({chained} more links of chains), {markers} markers, {gates} jumps that became paranoia \
         levels, {skipped} skipped",
    )?;
    let mut by_reason: BTreeMap<&str, Vec<&Note>> = BTreeMap::new();
    for note in notes {
        by_reason.entry(&note.reason).or_default().push(note);
    }
    if !by_reason.is_empty() {
        writeln!(out, "not taken over as a rule:")?;
    }
    for (reason, notes) in by_reason {
        writeln!(out, "  {reason}")?;
        for note in notes.iter().take(SHOWN) {
            writeln!(out, "    {}:{}: {}", note.file, note.line, note.directive)?;
        }
        if notes.len() > SHOWN {
            writeln!(out, "    and {} more (--json shows all)", notes.len() - SHOWN)?;
        }
    }
    writeln!(
        out,
        "{} rule files and {} data files in {}",
        sources.files.len(),
        sources.data.len(),
        folder.display()
    )
}

/// The file's text. Comments in old files may be in Latin-1; in a rule, what is not UTF-8 would
/// become other bytes than those that its author meant.
fn text(path: &Path) -> Result<String, String> {
    let bytes = match String::from_utf8(bytes(path)?) {
        Ok(text) => return Ok(text),
        Err(error) => error.into_bytes(),
    };
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if !line.trim_ascii_start().starts_with(b"#") && std::str::from_utf8(line).is_err() {
            let place = format!("{}:{}", path.display(), number + 1);
            return Err(format!("{place}: the line is not UTF-8; write a byte in an expression as \\xHH"));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let about = |error: io::Error| format!("{}: {error}", path.display());
    let length = fs::metadata(path).map_err(about)?.len();
    if length > FILE_BYTES {
        return Err(format!("{}: larger than {FILE_BYTES} bytes", path.display()));
    }
    fs::read(path).map_err(about)
}

/// Files as they lie on the disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Disk {
    /// A path as a file names it: absolute, or beside that file.
    fn resolve(from: &str, path: &str) -> PathBuf {
        Path::new(from).parent().unwrap_or(Path::new("")).join(path)
    }
}

impl Files for Disk {
    fn include(&mut self, from: &str, pattern: &str) -> Result<Vec<Input>, String> {
        let mut found = Vec::new();
        expand(&Disk::resolve(from, pattern), &mut found)?;
        found.sort();
        found
            .into_iter()
            .map(|path| Ok(Input { name: path.display().to_string(), text: text(&path)? }))
            .collect()
    }

    fn data(&mut self, from: &str, path: &str) -> Result<Vec<u8>, String> {
        bytes(&Disk::resolve(from, path))
    }
}

/// The files that a path with `*` and `?` in its names stands for; a folder stands for all in it.
fn expand(pattern: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let mut folders = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str().to_string_lossy();
        let mut next = Vec::new();
        for folder in folders {
            if !name.contains(['*', '?']) {
                next.push(folder.join(part));
                continue;
            }
            let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            let Ok(entries) = fs::read_dir(listed) else { continue };
            for entry in entries {
                let entry = entry.map_err(|error| format!("{}: {error}", folder.display()))?;
                let own = entry.file_name();
                if !own.to_string_lossy().starts_with('.') && glob(name.as_bytes(), own.as_encoded_bytes()) {
                    next.push(folder.join(own));
                }
            }
        }
        folders = next;
    }
    for path in folders {
        if path.is_dir() {
            let entries = fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let files = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
            found.extend(files.filter(|path| path.is_file()));
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

/// `*` stands for any bytes, `?` for one.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p).is_some_and(|byte| *byte == b'?' || *byte == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, n) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(folder: &Path, text: &[u8], json: bool) -> (Result<Finding, String>, String) {
        let file = folder.join("own.conf");
        fs::write(&file, text).expect("a folder of the test's own");
        let args =
            ImportArgs { files: vec![file], output: folder.join("out"), skip_unsupported: false, json };
        let mut out = Vec::new();
        let finding = run(&args, &mut out).map_err(|error| error.to_string());
        (finding, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn an_import_writes_files_that_load_and_tells_what_it_left_out() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("words.data"), "evil\n")?;
        fs::create_dir(folder.path().join("more"))?;
        fs::write(folder.path().join("more/a.conf"), "SecRule ARGS \"@rx a\" \"id:2,phase:1\"")?;
        let conf = "# caf\u{e9}\nSecDebugLogLevel 9\nSecRule ARGS \"@pmFromFile words.data\" \"id:1,phase:1\"\nInclude more/*.conf\n";
        let conf: Vec<u8> = conf.chars().map(|c| c as u8).collect();
        let (finding, told) = import(folder.path(), &conf, false);
        assert_eq!(finding, Ok(Finding::Fine), "{told}");
        assert!(told.contains("own.conf:2: SecDebugLogLevel"), "{told}");
        let sources = crate::config::core_rules::load_path(&folder.path().join("out"))?;
        let engine = Engine::compile(&sources, &Settings::default()).expect("what was written loads");
        assert_eq!(engine.rules().map(|rule| rule.id).collect::<Vec<_>>(), [1, 2]);
        // The folder holds something now.
        let (finding, _) = import(folder.path(), &conf, false);
        assert!(finding.expect_err("it is not empty").contains("the folder is not empty"));
        Ok(())
    }

    #[test]
    fn a_broken_file_writes_nothing_and_says_where() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        for (conf, expect) in [
            (&b"SecRule ARGS \"@rx a\" \"id:1,denny\""[..], "own.conf:1:28: unknown action `denny`"),
            (b"# nothing", "there is no rule in these files"),
        ] {
            let (finding, told) = import(folder.path(), conf, false);
            assert_eq!(finding, Ok(Finding::Broken));
            assert!(told.contains(expect), "{told}");
            assert!(!folder.path().join("out").exists());
        }
        let (_, told) = import(folder.path(), b"SecRule ARGS \"@rx a\" \"id:1,denny\"", true);
        let json: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(json["errors"][0]["column"], 28);
        let (finding, _) = import(folder.path(), b"SecRule ARGS \"@rx \xe4\" \"id:1\"", false);
        assert!(finding.expect_err("it is not UTF-8").contains("own.conf:1: the line is not UTF-8"));
        Ok(())
    }

    #[test]
    fn patterns_of_file_names_stand_for_files_in_order() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        for name in ["b-1.conf", "a-2.conf", "a-10.conf", "c.txt", ".a-3.conf"] {
            fs::write(folder.path().join(name), "")?;
        }
        let from = folder.path().join("main.conf").display().to_string();
        let names = |pattern: &str| {
            let found = Disk.include(&from, pattern).unwrap_or_else(|error| panic!("{error}"));
            let name = |input: Input| input.name.rsplit('/').next().unwrap_or_default().to_owned();
            found.into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names("*.conf"), ["a-10.conf", "a-2.conf", "b-1.conf"]);
        assert_eq!(names("?-?.conf"), ["a-2.conf", "b-1.conf"]);
        assert_eq!(names("none*"), [""; 0]);
        assert_eq!(names("c.txt"), ["c.txt"]);
        Ok(())
    }
}
