//! Where the public test data lies, for the tests of conformance and of detection.

use std::path::{Path, PathBuf};

/// A file or folder of the public data. Panics with a sentence that says how to get it.
pub fn data(path: &str) -> PathBuf {
    let root = match std::env::var_os("PORTWARD_CONFORMANCE") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/conformance"),
    };
    let found = root.join(path);
    assert!(
        found.exists(),
        "there is no {}: run tests/run, which fetches the public test data and says where it is in \
         PORTWARD_CONFORMANCE",
        found.display()
    );
    found
}
