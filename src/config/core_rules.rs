//! Where rule files come from: the core sets that the binary carries, and files and folders
//! that the user names. Nothing is checked here; that is the engine's.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::waf::{Source, Sources};

include!(concat!(env!("OUT_DIR"), "/core_rules.rs"));

/// A larger file is not a rule file. Imported sets stay below 2 MiB.
const FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Files in one folder tree.
const FILES_AT_MOST: usize = 10_000;
/// Folders inside each other, which also ends loops of links.
const DEPTH: usize = 16;

/// The embedded core rule sets, with their phrase files and setup.
pub fn core() -> Sources {
    Sources {
        files: FILES
            .iter()
            .map(|(name, text)| Source { name: (*name).into(), text: (*text).into() })
            .collect(),
        data: DATA.iter().map(|(name, bytes)| ((*name).into(), bytes.to_vec())).collect(),
    }
}

/// A rule file, or every `.json` file of a folder tree in the order of their paths. Files in
/// folders named `data` are phrase files; for a single rule file, those in a `data` beside it.
pub fn load_path(path: &Path) -> io::Result<Sources> {
    let mut sources = Sources::default();
    if path.is_dir() {
        let mut files = Vec::new();
        list(path, 0, &mut files)?;
        files.sort();
        for file in files {
            add(&file, &mut sources)?;
        }
    } else {
        let text = String::from_utf8(read(path)?).map_err(|_| not_utf8(path))?;
        sources.files.push(Source { name: path.display().to_string(), text });
        let data = path.parent().unwrap_or(Path::new(".")).join("data");
        if data.is_dir() {
            let mut files = Vec::new();
            list(&data, DEPTH, &mut files)?;
            for file in files {
                add(&file, &mut sources)?;
            }
        }
    }
    Ok(sources)
}

fn add(file: &Path, sources: &mut Sources) -> io::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if file.parent().and_then(Path::file_name).is_some_and(|folder| folder == "data") {
        sources.data.insert(name.into_owned(), read(file)?);
    } else if name.ends_with(".json") && name != "schema.json" {
        let text = String::from_utf8(read(file)?).map_err(|_| not_utf8(file))?;
        sources.files.push(Source { name: file.display().to_string(), text });
    }
    Ok(())
}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let about = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(about)? {
        let path = entry.map_err(about)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        if path.is_dir() {
            if depth < DEPTH {
                list(&path, depth + 1, files)?;
            }
        } else if files.len() < FILES_AT_MOST {
            files.push(path);
        } else {
            return Err(about(io::Error::other(format!("more than {FILES_AT_MOST} files"))));
        }
    }
    Ok(())
}

/// The file's bytes; errors name the file.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let about = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes)).map_err(about)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(about(io::Error::other(format!("larger than {FILE_BYTES} bytes"))));
    }
    Ok(bytes)
}

fn not_utf8(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: the file is not UTF-8 text", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_rule_files_in_order_and_its_data() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(folder.path().join("b/data"))?;
        for (name, text) in [
            ("b/z.json", "{}"),
            ("a.json", "[]"),
            ("schema.json", "x"),
            ("README.md", "x"),
            (".hidden.json", "x"),
            ("b/data/words.txt", "one\ntwo"),
        ] {
            fs::write(folder.path().join(name), text)?;
        }
        let sources = load_path(folder.path())?;
        let texts: Vec<_> = sources.files.iter().map(|source| source.text.as_str()).collect();
        assert_eq!(texts, ["[]", "{}"]);
        assert_eq!(sources.data.get("words.txt").map(Vec::as_slice), Some(&b"one\ntwo"[..]));
        let one = load_path(&folder.path().join("b/z.json"))?;
        assert_eq!((one.files.len(), one.data.len()), (1, 1));
        let missing = load_path(&folder.path().join("none.json")).expect_err("there is none");
        assert!(missing.to_string().contains("none.json"), "{missing}");
        Ok(())
    }
}
