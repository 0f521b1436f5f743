//! What a doctor says: sections of findings, each with a mark, a stable code and a sentence, then what to
//! do next. Printed for people, or as JSON whose names do not change.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::net::Authority;

/// The version of the JSON form; raised when a name in it changes its meaning.
const SCHEMA: u32 = 1;

/// The code of a verdict whose reasons are findings of their own.
pub const VERDICT: &str = "origin_refused";

/// How good or bad a finding is. The order is that of gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As it should be, or worth knowing.
    Ok,
    /// It works, and someone should look at it.
    Warn,
    /// It does not work.
    Fail,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Mark::Ok => "ok",
            Mark::Warn => "warn",
            Mark::Fail => "FAIL",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub mark: Mark,
    /// Stable; scripts may rely on it.
    pub code: &'static str,
    pub text: String,
    /// Particulars, printed when asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The same as data.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// What to do about it, where who found it knows.
    #[serde(skip)]
    pub remedy: Option<(String, Vec<String>)>,
}

impl Finding {
    pub fn new(mark: Mark, code: &'static str, text: impl Into<String>) -> Finding {
        Finding { mark, code, text: text.into(), details: Vec::new(), data: Value::Null, remedy: None }
    }

    pub fn ok(code: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(Mark::Ok, code, text)
    }

    pub fn warn(code: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(Mark::Warn, code, text)
    }

    pub fn fail(code: &'static str, text: impl Into<String>) -> Finding {
        Finding::new(Mark::Fail, code, text)
    }

    pub fn detail(mut self, line: impl Into<String>) -> Finding {
        self.details.push(line.into());
        self
    }

    pub fn remedy<const N: usize>(mut self, text: impl Into<String>, lines: [String; N]) -> Finding {
        self.remedy = Some((text.into(), lines.to_vec()));
        self
    }

    pub fn data(mut self, data: Value) -> Finding {
        self.data = data;
        self
    }
}

/// Findings on one subject.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    pub name: &'static str,
    /// The heading for people.
    #[serde(skip)]
    pub title: &'static str,
    pub findings: Vec<Finding>,
}

impl Section {
    pub fn new(name: &'static str, title: &'static str) -> Section {
        Section { name, title, findings: Vec::new() }
    }

    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub fn with(mut self, finding: Finding) -> Section {
        self.add(finding);
        self
    }
}

/// Something a person can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The code of the finding that it answers.
    pub code: &'static str,
    pub text: String,
    /// A command to type or lines for the configuration, as they stand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// The whole.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    doctor: u32,
    target: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
    pub sections: Vec<Section>,
    pub next: Vec<Step>,
}

impl Report {
    pub fn new(target: Option<&Authority>, now: OffsetDateTime) -> Report {
        Report {
            doctor: SCHEMA,
            target: target.map(Authority::to_string),
            time: now.replace_nanosecond(0).unwrap_or(now),
            sections: Vec::new(),
            next: Vec::new(),
        }
    }

    pub fn add(&mut self, section: Section) {
        if !section.findings.is_empty() {
            self.sections.push(section);
        }
    }

    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.sections.iter().flat_map(|section| &section.findings)
    }

    /// The worst that was found.
    pub fn verdict(&self) -> Mark {
        self.findings().map(|finding| finding.mark).max().unwrap_or(Mark::Ok)
    }

    /// The verdict in one sentence.
    fn summary(&self) -> String {
        // A verdict that follows from what was told before is no further fault.
        let counts = |finding: &&Finding| finding.code != VERDICT;
        let count = |mark| self.findings().filter(counts).filter(|finding| finding.mark == mark).count();
        let of = |n: usize, one: &str, many: &str| match n {
            1 => format!("1 {one}"),
            n => format!("{n} {many}"),
        };
        let (failed, warned) = (count(Mark::Fail), count(Mark::Warn));
        match (failed, warned) {
            (0, 0) => "everything that was looked at is fine".to_owned(),
            (0, n) => format!("it works, with {}", of(n, "warning", "warnings")),
            (n, 0) => of(n, "thing is wrong", "things are wrong"),
            (n, m) => {
                format!(
                    "{}, and {}",
                    of(n, "thing is wrong", "things are wrong"),
                    of(m, "warning", "warnings")
                )
            }
        }
    }

    pub fn write(&self, json: bool, verbose: bool, out: &mut dyn Write) -> io::Result<()> {
        if json {
            let mut value = serde_json::to_value(self).map_err(io::Error::other)?;
            value["verdict"] = serde_json::to_value(self.verdict()).map_err(io::Error::other)?;
            value["summary"] = self.summary().into();
            return writeln!(out, "{value:#}");
        }
        let subject = self.target.as_deref().unwrap_or("this installation");
        writeln!(out, "{subject}: {}", self.summary())?;
        for section in &self.sections {
            writeln!(out, "\n{}", section.title)?;
            for finding in &section.findings {
                writeln!(out, "  {:<4}  {}", finding.mark.word(), hang(&finding.text, 8))?;
                // What is wrong is told whole; the particulars of what is fine are for who asks.
                if verbose || finding.mark == Mark::Fail {
                    for line in &finding.details {
                        writeln!(out, "        {}", hang(line, 10))?;
                    }
                }
            }
        }
        if !self.next.is_empty() {
            writeln!(out, "\nWhat to do next")?;
        }
        for (at, step) in self.next.iter().enumerate() {
            writeln!(out, "  {:<4}  {}", format!("{}.", at + 1), hang(&step.text, 8))?;
            for line in &step.lines {
                writeln!(out, "            {line}")?;
            }
        }
        Ok(())
    }
}

/// Columns of a line of text.
const WIDTH: usize = 100;

/// A sentence broken into lines, the later ones indented. Words are never broken.
fn hang(text: &str, indent: usize) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut column = indent;
    for word in printable(text).split(' ') {
        let len = word.chars().count();
        if !out.is_empty() && column + 1 + len > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if !out.is_empty() {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
    }
    out
}

/// Certificates and banners are written by strangers: nothing of them may steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_bidi(c) { '\u{fffd}' } else { c }).collect()
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_hang_and_nothing_steers_the_terminal() {
        let text = format!("{} end", ["word"; 30].join(" "));
        let hung = hang(&text, 8);
        assert!(hung.lines().all(|line| line.chars().count() <= WIDTH), "{hung}");
        assert!(hung.lines().skip(1).all(|line| line.starts_with("        w")), "{hung}");
        assert_eq!(hung.split_whitespace().count(), 31);
        assert!(!hang("a\x1b[31mb\u{202e}c\rd", 0).contains(['\x1b', '\u{202e}', '\r']));
    }

    #[test]
    fn the_worst_finding_is_the_verdict() {
        let mut report = Report::new(None, OffsetDateTime::UNIX_EPOCH);
        assert_eq!(report.verdict(), Mark::Ok);
        report.add(Section::new("a", "A").with(Finding::ok("x", "y")).with(Finding::warn("x", "y")));
        assert_eq!(report.verdict(), Mark::Warn);
        report.add(Section::new("b", "B").with(Finding::fail("x", "y")));
        assert_eq!(report.verdict(), Mark::Fail);
        assert_eq!(report.summary(), "1 thing is wrong, and 1 warning");
    }
}
