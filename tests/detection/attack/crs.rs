//! The positive cases of the Core Rule Set's own tests: requests of which a rule about attacks is
//! expected to say so. Only the data is of use here, not the rules; of those only the paranoia level
//! is looked up, for what a higher level is meant for is no attack at the lowest.

use std::collections::BTreeMap;

use portward::waf::measure::Request;

use super::{Class, Sample, data, files, read};

#[allow(dead_code, reason = "what the conformance tests need beside")]
#[path = "../../conformance/crs/case.rs"]
mod case;

/// By the first three digits of a rule's id.
const FAMILIES: &[(u32, &str)] = &[
    (930, "traversal"),
    (931, "rfi"),
    (932, "command"),
    (933, "php"),
    (934, "node"),
    (941, "xss"),
    (942, "sqli"),
    (943, "session-fixation"),
    (944, "java"),
];

/// Cases that there are at least; fewer means that some were lost.
const CASES: usize = 1300;

pub fn classes() -> Vec<Class> {
    let levels = levels();
    let mut found: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for folder in files(&data("modsecurity-crs/tests/regression/tests"), |name| name.starts_with("REQUEST-"))
    {
        for case in files(&folder, |name| name.ends_with(".yaml")).iter().flat_map(|file| case::read(file)) {
            let Some(rule) = case.expect.logged else { continue };
            let Some((_, family)) = FAMILIES.iter().find(|(number, _)| rule / 1000 == *number) else {
                continue;
            };
            // What is no HTTP is not for rules to judge.
            if Request::parse(&case.bytes).is_err() {
                continue;
            }
            let class = match levels.get(&rule).copied().unwrap_or(1) {
                1 => format!("crs-{family}"),
                level => format!("crs-{family}-level{level}"),
            };
            found.entry(class).or_default().push(Sample::Request { name: case.id, bytes: case.bytes });
        }
    }
    let cases: usize = found.values().map(Vec::len).sum();
    assert!(cases >= CASES, "{cases} positive cases, at least {CASES} were expected");
    found.into_iter().map(|(name, samples)| Class::new(&name, samples)).collect()
}

/// Paranoia levels by rule id, from the rules' tags.
fn levels() -> BTreeMap<u32, u32> {
    let mut levels = BTreeMap::new();
    for file in files(&data("modsecurity-crs/rules"), |name| name.ends_with(".conf")) {
        let text = String::from_utf8_lossy(&read(&file)).into_owned();
        for rule in text.split("id:").skip(1) {
            let id: String = rule.chars().take_while(char::is_ascii_digit).collect();
            let level = rule.split_once("paranoia-level/").and_then(|(_, level)| level.chars().next());
            if let (Ok(id), Some(level)) = (id.parse(), level.and_then(|level| level.to_digit(10))) {
                levels.insert(id, level);
            }
        }
    }
    levels
}
