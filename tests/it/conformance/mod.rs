//! Other people's suites, run against Portward as they are: what they find is theirs, what is said of it is ours.
//! `tests/run` installs them from the crates registry in exact versions, beside the other public data.

mod httpwg;
mod smugglex;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::peer;

/// A program that `tests/run` installs.
fn tool(name: &str) -> Command {
    let root = match std::env::var_os("PORTWARD_CONFORMANCE") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/conformance"),
    };
    let program = root.join("tools/bin").join(name);
    assert!(
        program.exists(),
        "there is no {}: run tests/run, which installs it and says where it is in PORTWARD_CONFORMANCE",
        program.display()
    );
    let mut command = peer::command(program.to_str().unwrap());
    command.env("RUST_BACKTRACE", "0").env("RUST_LIB_BACKTRACE", "0").env("NO_COLOR", "1");
    command
}
