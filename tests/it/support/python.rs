//! Scripts in Python with packages of the registry, which `tests/run` fetches in exact versions and which nothing is
//! installed for.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::peer::{self, Ended};
use super::proxy::Lines;

/// The folder of the packages.
fn packages() -> PathBuf {
    let root = match std::env::var_os("PORTWARD_CONFORMANCE") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/conformance"),
    };
    let found = root.join("python");
    assert!(
        found.join("tlslite").exists(),
        "there is no tlslite-ng in {}: run tests/run, which fetches it and says where it is in PORTWARD_CONFORMANCE",
        found.display()
    );
    found
}

/// A script of `tests/it/`.
pub fn script(name: &str) -> Command {
    let mut command = peer::command("python3");
    command.env("PYTHONPATH", packages()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name));
    command
}

/// A script that serves: its first line is its port. It is killed when dropped.
pub struct Server {
    _child: Ended,
    pub addr: SocketAddr,
    pub lines: Lines,
}

impl Server {
    pub fn start(mut command: Command) -> Server {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut child = Ended(child);
        let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        let port: u16 = first.trim().parse().unwrap_or_else(|_| panic!("{command:?} said {first:?}"));
        Server {
            _child: child,
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            lines: Lines::collect(stdout),
        }
    }

    /// How often it said this.
    pub fn said(&self, line: &str) -> usize {
        self.lines.all().iter().filter(|said| *said == line).count()
    }
}
