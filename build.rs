//! Lists every file under rules/ into a table, so that the binary carries the core rule sets.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let rules = root.join("rules");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=rules");
    let mut files = Vec::new();
    if rules.is_dir() {
        list(&rules, &mut files)?;
    }
    files.sort();
    let (mut sets, mut data) = (String::new(), String::new());
    for path in &files {
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path.strip_prefix(&root).map_err(io::Error::other)?;
        let name =
            name.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let in_data = path.parent().and_then(Path::file_name).is_some_and(|parent| parent == "data");
        if in_data {
            writeln!(data, "    ({file_name:?}, include_bytes!({path:?})),").map_err(io::Error::other)?;
        } else if file_name.ends_with(".json") && file_name != "schema.json" {
            writeln!(sets, "    ({name:?}, include_str!({path:?})),").map_err(io::Error::other)?;
        }
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?).join("core_rules.rs");
    let text = format!(
        "static FILES: &[(&str, &str)] = &[\n{sets}];\nstatic DATA: &[(&str, &[u8])] = &[\n{data}];\n"
    );
    fs::write(out, text)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
