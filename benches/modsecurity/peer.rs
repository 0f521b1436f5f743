//! libmodsecurity3 in a process of its own: `peer.c`, built here with the C compiler, told one
//! exchanges file after the other.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What must be there, and the Debian package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("/usr/bin/cc", "gcc"),
    ("/usr/include/modsecurity/modsecurity.h", "libmodsecurity-dev"),
    (super::rules::SETUP, "modsecurity-crs"),
    (super::rules::FOLDER, "modsecurity-crs"),
];

/// The packages that are missing.
pub fn missing() -> Vec<&'static str> {
    let mut missing: Vec<_> =
        NEEDED.iter().filter(|(path, _)| !Path::new(path).exists()).map(|(_, package)| *package).collect();
    missing.dedup();
    missing
}

/// Where the comparison's files go.
pub fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("modsecurity");
    std::fs::create_dir_all(&folder).expect("a folder under target");
    folder
}

/// Builds the program.
pub fn build() -> PathBuf {
    let program = folder().join("peer");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/modsecurity/peer.c");
    let done = Command::new("cc")
        .args(["-O2", "-o"])
        .args([&program, &source])
        .arg("-lmodsecurity")
        .status()
        .expect("cc starts");
    assert!(done.success(), "{} does not compile: is libmodsecurity-dev whole?", source.display());
    program
}

/// The running program with its rules loaded.
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What loading took: CPU nanoseconds, and resident memory in KiB.
    pub load: (u64, u64),
}

impl Peer {
    pub fn start(program: &Path, rules: &Path) -> Peer {
        let mut child = Command::new(program)
            .arg(rules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let input = child.stdin.take().expect("its input is piped");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut peer = Peer { child, input, output, load: (0, 0) };
        let line = peer.line();
        peer.load = pair(line.strip_prefix("ready ").unwrap_or_else(|| panic!("the peer said {line:?}")));
        peer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the peer answers");
        assert!(!line.is_empty(), "the peer ended early");
        line.trim_end().to_owned()
    }

    /// Runs the exchanges of a file: CPU nanoseconds, and how many were stopped.
    pub fn run(&mut self, exchanges: &Path) -> (u64, u64) {
        writeln!(self.input, "{}", exchanges.display()).expect("the peer listens");
        let line = self.line();
        pair(&line)
    }

    /// Lets it end.
    pub fn stop(self) {
        let Peer { mut child, input, .. } = self;
        drop(input);
        let _ = child.wait();
    }
}

fn pair(line: &str) -> (u64, u64) {
    let mut numbers = line.split(' ').map(|word| word.parse().expect("the peer writes numbers"));
    (numbers.next().expect("one number"), numbers.next().expect("another"))
}
