//! SecLang, the rule language of ModSecurity, in: our rule files out. What a rule says is kept; what
//! is not a rule becomes setup or a note, and nothing is passed over in silence. What ModSecurity has
//! and we have not is an error, or a counted note when the caller says so.
//!
//! The order of rules, chains, markers and jumps stays as it is. Only the jumps that stand for a
//! paranoia level become levels, when it is certain which level that is.
//!
//! Where ModSecurity's versions differ, version 2 is meant, whose verdicts public rules were written
//! for. No files are read here: [`Files`] brings them.

mod actions;
mod assemble;
mod directive;
mod draft;
mod effect;
mod fault;
mod gates;
mod lexer;
mod macros;
mod names;
mod operator;
pub mod pattern;
mod rule;
mod target;
#[cfg(test)]
mod tests;
mod translate;
mod update;

use super::LoadError;
use super::error::{Place, Problems};
use crate::waf::Sources;

use fault::{Fault, FaultKind};

/// A .conf file; its name is its path as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub name: String,
    pub text: String,
}

/// How included files and data files are found.
pub trait Files {
    /// The files that a pattern names, relative to the file `from`, in the order of their names.
    fn include(&mut self, from: &str, pattern: &str) -> Result<Vec<Input>, String>;
    /// A file of phrases or addresses, relative to the file `from`.
    fn data(&mut self, from: &str, path: &str) -> Result<Vec<u8>, String>;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Leave rules out that need what we have not, instead of ending with an error.
    pub skip_unsupported: bool,
}

/// What an import gives.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Rule files in the order of the import, and the phrase files that they need.
    pub sources: Sources,
    pub notes: Vec<Note>,
    pub counts: Counts,
}

/// Something in the files that is no rule of the result, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Note {
    pub file: String,
    pub line: usize,
    /// The directive, or the rule by its id.
    pub directive: String,
    pub reason: String,
}

/// How much an import took in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Rules of the result, a chain being one.
    pub rules: usize,
    /// Links of chains beyond the first.
    pub chained: usize,
    pub markers: usize,
    /// Rules that only jumped over a paranoia level.
    pub gates: usize,
    /// What `skip_unsupported` left out.
    pub skipped: usize,
}

/// Reads the files as if they were one, in order, or tells everything that is wrong with them.
pub fn import(
    inputs: &[Input],
    files: &mut dyn Files,
    options: &Options,
) -> Result<Imported, Vec<LoadError>> {
    let mut reader = directive::Reader::new(files);
    for input in inputs {
        reader.file(input.clone(), 0);
    }
    update::finish(&mut reader);
    assemble::assemble(reader, options)
}

/// A note before its place has become a line.
#[derive(Clone, Debug)]
struct RawNote {
    place: Place,
    directive: String,
    reason: String,
}

/// What is wrong and what is only worth telling.
struct Log<'a> {
    faults: &'a mut Vec<Fault>,
    notes: &'a mut Vec<RawNote>,
}

impl Log<'_> {
    fn note(&mut self, place: Place, directive: &str, reason: &str) {
        self.notes.push(RawNote { place, directive: directive.to_owned(), reason: reason.to_owned() });
    }
}

/// The faults as errors with file, line and column.
fn errors(inputs: &[Input], faults: Vec<Fault>) -> Vec<LoadError> {
    let mut problems =
        Problems::new(inputs.iter().map(|input| (input.name.as_str(), input.text.as_str())).collect());
    for Fault { place, problem, help, kind } in faults {
        let help = match kind {
            FaultKind::Unsupported if help.is_none() => Some("--skip-unsupported leaves it out".to_owned()),
            _ => help,
        };
        problems.add_with_help(place, problem, help);
    }
    problems.into_errors()
}
