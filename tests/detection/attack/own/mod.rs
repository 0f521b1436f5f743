//! Our own attacks: seeds, one file for each technique, and what an attacker does to them so that a
//! filter that knows only the seed is passed. A variant must still be an attack.

mod code;
mod command;
mod markup;
mod path;
mod sql;

use std::path::Path;

use serde_json::Value;

use super::{Class, Sample, files, read};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What becomes of a seed.
type Vary = fn(&str) -> Vec<String>;

/// Techniques that have variants; the others are their seeds.
const VARIED: &[(&str, Vary)] = &[
    ("sqli", sql::vary),
    ("xss", markup::vary),
    ("template", code::braces),
    ("command-unix", command::unix),
    ("command-windows", command::windows),
    ("powershell", command::powershell),
    ("php", code::php),
    ("node", code::script),
    ("python", code::script),
    ("ruby", code::script),
    ("java", code::java),
    ("jndi", code::lookup),
    ("traversal", path::vary),
    ("lfi", path::scheme),
    ("rfi", path::scheme),
    ("ssrf", path::address),
    ("ldap", sql::ldap),
    ("xpath", sql::xpath),
    ("ssi", markup::include),
    ("shellshock", command::function),
];

pub fn classes() -> Vec<Class> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/detection/attack/seeds");
    let files = files(&folder, |_| true);
    assert!(files.len() >= 30, "seeds are missing");
    let mut classes = Vec::new();
    for file in files {
        let name = file.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let seeds = seeds(&file);
        classes.push(Class::new(&format!("own-{name}"), seeds.clone()));
        if let Some((_, vary)) = VARIED.iter().find(|(known, _)| *known == name) {
            let texts = seeds.iter().filter_map(|seed| match seed {
                Sample::Value(bytes) => std::str::from_utf8(bytes).ok(),
                Sample::Request { .. } => None,
            });
            let variants = texts.flat_map(vary).map(|text| Sample::Value(text.into_bytes()));
            let variants = variants.filter(|variant| !seeds.contains(variant));
            classes.push(Class::new(&format!("own-{name}-variants"), variants));
        }
    }
    classes.push(Class::new(
        "own-traversal-grid",
        path::grid().into_iter().map(|text| Sample::Value(text.into_bytes())),
    ));
    classes.push(Class::new("own-exhausting", exhausting()));
    classes
}

/// More than is looked at: parameters, encoded values, a value longer than those that are decoded.
fn exhausting() -> Vec<Sample> {
    let request = |name: &str, line: &str, kind: &str, body: &str| {
        let text =
            format!("{line} HTTP/1.1\nHost: example.test\nAccept: */*\nContent-Type: {kind}\n\n{body}");
        Sample::Request { name: format!("exhausting-{name}"), bytes: text.into_bytes() }
    };
    let json = "application/json";
    let packed = format!("[{}\"PHNjcmlwdD4=\"]", "\"%41b\",".repeat(4100));
    vec![
        request("parameters", &format!("GET /?{}", "a=1&".repeat(501)), json, ""),
        request("decoding", "POST /api/items", json, &packed),
        request("length", "POST /api/items", json, &format!("[\"{}\"]", "a ".repeat(40_000))),
    ]
}

/// The samples of a seed file: values on lines, or lines as `rules eval` reads them.
fn seeds(file: &Path) -> Vec<Sample> {
    let text =
        String::from_utf8(read(file)).unwrap_or_else(|_| panic!("{}: seeds are UTF-8", file.display()));
    let lines = text.lines().filter(|line| !line.is_empty());
    if file.extension().is_some_and(|ending| ending == "txt") {
        return lines.map(|line| Sample::Value(line.as_bytes().to_vec())).collect();
    }
    let sample = |(number, line): (usize, &str)| {
        let place = format!("{}:{}", file.display(), number + 1);
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{place}: {error}"));
        match (line["value"].as_str(), line["value_base64"].as_str(), line["request"].as_str()) {
            (Some(text), None, None) => Sample::Value(text.as_bytes().to_vec()),
            (None, Some(text), None) => Sample::Value(STANDARD.decode(text).expect("base64")),
            (None, None, Some(text)) => Sample::Request {
                name: format!("{}-{}", file.file_stem().unwrap_or_default().to_string_lossy(), number + 1),
                bytes: text.as_bytes().to_vec(),
            },
            _ => panic!("{place}: a seed is a value or a request"),
        }
    };
    lines.enumerate().map(sample).collect()
}

/// Letters in turn large and small, where the language does not care.
fn alternating(text: &str) -> String {
    let letter =
        |(at, c): (usize, char)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    text.chars().enumerate().map(letter).collect()
}

#[test]
fn a_variant_is_never_its_seed_and_never_empty() {
    for class in classes() {
        assert!(!class.samples.is_empty(), "{}", class.name);
        assert!(class.samples.iter().all(|sample| *sample != Sample::Value(Vec::new())), "{}", class.name);
    }
}
