//! Where the data is, and which differences are accepted.

use std::env;
use std::path::PathBuf;

/// A file or folder of the unpacked source packages: `modsecurity/...` or `modsecurity-crs/...`.
pub fn data(path: &str) -> PathBuf {
    let root = env::var_os("PORTWARD_CONFORMANCE")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/conformance"), PathBuf::from);
    let found = root.join(path);
    assert!(found.exists(), "{} is missing: run tests/run, which fetches it", found.display());
    found
}

/// True when `differences.txt` accepts this difference: a line that begins with its name and goes on with the reason.
pub fn is_accepted(name: &str) -> bool {
    include_str!("differences.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .any(|(known, reason)| known == name && !reason.is_empty())
}
