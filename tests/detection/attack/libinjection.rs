//! The lists that libinjection is tested with: SQL injections, scripts, and texts that only look
//! like SQL. Lines are percent-encoded as in a query; empty ones and comments are left out.

use super::{Class, Sample, data, files, read};

const LISTS: &str = "modsecurity/others/libinjection/data";

pub fn attacks() -> Vec<Class> {
    vec![class("sqli-libinjection", "sqli-", 80_000), class("xss-libinjection", "xss-", 80_000)]
}

pub fn benign() -> Vec<Class> {
    vec![class("libinjection-false-positives", "false_positives", 400)]
}

fn class(name: &str, files_begin: &str, least: usize) -> Class {
    let files = files(&data(LISTS), |file| file.starts_with(files_begin) && file.ends_with(".txt"));
    let values = files.iter().flat_map(|file| values(&read(file)));
    let class = Class::new(name, values.map(Sample::Value));
    assert!(class.samples.len() >= least, "{name}: {} values, {least} were expected", class.samples.len());
    class
}

fn values(list: &[u8]) -> Vec<Vec<u8>> {
    let lines = list.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines = lines.filter(|line| !line.trim_ascii().is_empty() && !line.starts_with(b"#"));
    lines
        .map(|line| {
            let spaces: Vec<u8> = line.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
            percent_encoding::percent_decode(&spaces).collect()
        })
        .collect()
}
