//! The payload lists of Debian's package wfuzz. Lines that hold nothing of a technique (a quote, a
//! number, a word) are put apart: nobody could call them attacks.

use std::path::Path;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::{Class, Sample, read};

const LISTS: &str = "/usr/share/wfuzz/wordlist";

/// Class, and its lists.
const CLASSES: &[(&str, &[&str])] = &[
    (
        "wfuzz-traversal",
        &[
            "vulns/dirTraversal-nix.txt",
            "vulns/dirTraversal-win.txt",
            "vulns/dirTraversal.txt",
            "Injections/Traversal.txt",
        ],
    ),
    ("wfuzz-xss", &["Injections/XSS.txt"]),
    ("wfuzz-xml", &["Injections/XML.txt"]),
    ("wfuzz-sql", &["Injections/SQL.txt", "vulns/sql_inj.txt"]),
    ("wfuzz-mixed", &["Injections/All_attack.txt", "Injections/bad_chars.txt"]),
];

static BARE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?-u)^(?:[^A-Za-z.<(]{0,8}|[A-Za-z0-9_$]+|(?i:\\x|&#x0*|\\u00|%)[0-9a-f]{1,4};?|&(?:lt|gt|quot|apos);?|(?i:#x[ad]){1,2}|.?&apos;.?|\\[tn]|'?test(?:--)?)$",
    )
    .expect("an expression")
});

pub fn classes() -> Vec<Class> {
    let mut known = std::collections::BTreeSet::new();
    let mut bare = Vec::new();
    let mut classes = Vec::new();
    for (name, lists) in CLASSES {
        let mut samples = Vec::new();
        for list in *lists {
            let path = Path::new(LISTS).join(list);
            assert!(path.exists(), "there is no {}: install Debian's package wfuzz", path.display());
            for line in read(&path).split(|byte| *byte == b'\n') {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                // Of one list; it begins with a few lines about itself.
                let comment = list.starts_with("vulns/dir") && line.starts_with(b"#");
                if line.is_empty() || comment || !known.insert(line.to_vec()) {
                    continue;
                }
                let into = if BARE.is_match(line) { &mut bare } else { &mut samples };
                into.push(Sample::Value(line.to_vec()));
            }
        }
        classes.push(Class::new(name, samples));
    }
    classes.push(Class::new("wfuzz-bare", bare));
    classes
}
