//! The rule language: files in, one checked tree out, or every error with file, line and
//! column. Nothing unknown is skipped.

pub mod ast;
pub mod error;
pub mod json;
pub mod node;
pub mod print;
pub mod schema;
pub mod seclang;
pub mod words;

pub use error::LoadError;

use error::Problems;

use super::{Source, Sources};

/// Reads all files into one program. What needs the whole picture (operators, exclusions) is
/// checked when it is compiled.
pub(crate) fn read<'a>(sources: &'a Sources, problems: &mut Problems<'a>) -> ast::Program {
    let mut program = ast::Program::default();
    for (file, Source { text, .. }) in sources.files.iter().enumerate() {
        if let Some(node) = node::Node::parse(file, text, problems) {
            json::file(&node, &mut program, problems);
        }
    }
    program
}

/// The tree of these files, for what needs it beside the engine: examples, listings.
pub fn read_all(sources: &Sources) -> Result<ast::Program, Vec<LoadError>> {
    let mut problems = problems(sources);
    let program = read(sources, &mut problems);
    if problems.count() == 0 { Ok(program) } else { Err(problems.into_errors()) }
}

/// The files of a load, as places count them.
pub(crate) fn problems(sources: &Sources) -> Problems<'_> {
    Problems::new(sources.files.iter().map(|source| (source.name.as_str(), source.text.as_str())).collect())
}
