//! What stands in the corpus of `http1`, read by us and by h11, a strict reader in another language: both see the same
//! requests with the same fields and bodies, but for the differences in a table. In all of them one of the two refuses
//! what the other takes; nothing is read in two ways.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::files;
use super::targets::TARGETS;
use super::targets::http1::{Served, served, spelled, target};

/// Who refuses a request that the other takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stricter {
    Ours,
    H11,
}

/// Inputs of which one of the two takes fewer requests, and why.
const DIFFERENCES: &[(&str, Stricter, &str)] = &[
    ("blank-before", Stricter::H11, "an empty line before a request is passed over (RFC 9112 section 2.2)"),
    ("blank-before-line-feed", Stricter::H11, "the same"),
    (
        "both-lengths",
        Stricter::Ours,
        "a Content-Length beside a Transfer-Encoding may be refused (section 6.1)",
    ),
    ("coding-in-1-0", Stricter::Ours, "HTTP/1.0 has no Transfer-Encoding (section 6.1)"),
    ("folded", Stricter::Ours, "a folded line may be refused (section 5.2)"),
    ("preface", Stricter::Ours, "it is HTTP/2, where nobody agreed on it"),
    ("target-high", Stricter::H11, "single bytes of other encodings are encoded before they are sent on"),
    ("target-no-slash", Stricter::Ours, "it is no form of a target (section 3.2)"),
    ("target-utf8", Stricter::H11, "the same"),
    ("version-1-0-kept", Stricter::H11, "it closes after every request of HTTP/1.0"),
    ("version-1-2", Stricter::Ours, "only 1.0 and 1.1 are known"),
    ("version-2-0", Stricter::Ours, "the same"),
];

#[derive(Deserialize)]
struct Answer {
    name: String,
    requests: Vec<Theirs>,
}

#[derive(Deserialize)]
struct Theirs {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: String,
    whole: bool,
}

/// The folder of Python packages that `tests/run` fetches.
fn python() -> std::path::PathBuf {
    let root = match std::env::var_os("PORTWARD_CONFORMANCE") {
        Some(root) => root.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/conformance"),
    };
    let found = root.join("python");
    let folder = found.display();
    assert!(
        found.join("h11").exists(),
        "there is no h11 in {folder}: run tests/run, which fetches it and says where it is in PORTWARD_CONFORMANCE"
    );
    found
}

/// All of them in one process.
fn by_h11(inputs: &[(String, Vec<u8>)]) -> Vec<Answer> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/read_by_h11.py");
    let mut command = Command::new("python3");
    command.arg(script).env("PYTHONPATH", python()).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 runs");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    let lines: String = inputs
        .iter()
        .map(|(name, bytes)| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}\n", serde_json::json!({ "name": name, "bytes": hex }))
        })
        .collect();
    // It reads and answers line by line: a pipe that is full both ways would hold both up.
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let out = child.wait_with_output().expect("it ends");
    writer.join().expect("it does not panic").expect("it reads everything");
    assert!(out.status.success(), "{}", out.status);
    let text = String::from_utf8(out.stdout).expect("JSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("an answer")).collect()
}

fn same(ours: &Served, theirs: &Theirs) -> Result<(), String> {
    let latin = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
    let mut fields: Vec<_> = theirs
        .fields
        .iter()
        .filter(|(name, _)| name != "content-length")
        .map(|(name, value)| (latin(name), latin(value)))
        .collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    let body: Vec<u8> = theirs
        .body
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).expect("hexadecimal"))
        .collect();
    // h11 writes the names of codings in lower case.
    let mut ours = ours.clone();
    let codings = ours.fields.iter_mut().filter(|(name, _)| name == b"transfer-encoding");
    codings.for_each(|(_, value)| value.make_ascii_lowercase());
    let both_whole = ours.whole && theirs.whole;
    let unlike = match () {
        () if ours.method.as_str() != theirs.method => "the method",
        () if target(&ours.uri) != spelled(&latin(&theirs.target)) => "the target",
        () if ours.fields != fields => "the fields",
        () if both_whole && ours.body != body => "the body",
        // The body of a PUT is not read here.
        () if ours.whole != theirs.whole && ours.method != http::Method::PUT => "the end of the body",
        () => return Ok(()),
    };
    Err(unlike.to_owned())
}

#[test]
fn h11_reads_what_we_read() {
    let target = TARGETS.iter().find(|target| target.name == "http1").expect("there is one");
    let inputs = files(target);
    let answers = by_h11(&inputs);
    assert_eq!(answers.len(), inputs.len());
    let (mut problems, mut compared) = (Vec::new(), 0);
    for ((name, bytes), answer) in inputs.iter().zip(&answers) {
        assert_eq!(*name, answer.name);
        let mut ours = served(bytes, usize::MAX);
        ours.retain(|one| !one.faulty);
        for (at, (ours, theirs)) in ours.iter().zip(&answer.requests).enumerate() {
            compared += 1;
            if let Err(what) = same(ours, theirs) {
                problems.push(format!("{name}: {what} of request {at} is read in two ways"));
            }
        }
        let found = match ours.len().cmp(&answer.requests.len()) {
            std::cmp::Ordering::Less => Some(Stricter::Ours),
            std::cmp::Ordering::Greater => Some(Stricter::H11),
            std::cmp::Ordering::Equal => None,
        };
        let declared = DIFFERENCES.iter().find(|(known, ..)| known == name);
        if found != declared.map(|(_, who, _)| *who) {
            let (we, they) = (ours.len(), answer.requests.len());
            problems
                .push(format!("{name}: {we} requests are taken here and {they} by h11, not {declared:?}"));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    assert!(compared >= 55, "only {compared} requests were compared");
    println!("{} inputs, {compared} requests, {} differences", inputs.len(), DIFFERENCES.len());
}
