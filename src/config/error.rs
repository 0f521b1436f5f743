//! What is wrong with a configuration, said so that it can be put right: where it stands, what
//! was written, what can be written, and the nearest known word.

use std::fmt;
use std::path::{Path, PathBuf};

/// Everything that keeps a configuration from being used; never empty.
#[derive(Debug)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

/// One thing to put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: Option<Place>,
    pub what: String,
    pub help: Option<String>,
}

/// A spot in a file; line and column count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: PathBuf,
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl Problem {
    pub(super) fn new(what: impl Into<String>) -> Problem {
        Problem { place: None, what: what.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    pub(super) fn at(mut self, place: Option<Place>) -> Problem {
        self.place = place;
        self
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> ConfigError {
        ConfigError { problems: vec![problem] }
    }
}

impl Place {
    pub(super) fn at(file: &Path, text: &str, offset: usize) -> Place {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Place { file: file.to_owned(), line, column }
    }
}

/// A TOML or serde error in the words of the rest.
pub(super) fn from_toml(file: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let place = error.span().map(|span| Place::at(file, text, span.start));
    let message = error.message().trim();
    let (what, help) = match message.split_once(", expected ") {
        Some((head, known)) if head.starts_with("unknown field") || head.starts_with("unknown variant") => {
            let mut quoted = message.split('`').skip(1).step_by(2);
            let wrong = quoted.next().unwrap_or_default();
            let known_words: Vec<&str> = quoted.collect();
            let kind = if head.starts_with("unknown field") { "key" } else { "value" };
            let near =
                nearest(wrong, &known_words).map(|w| format!("did you mean `{w}`? ")).unwrap_or_default();
            let list = match known_words.is_empty() {
                true => known.to_owned(),
                false => known_words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "),
            };
            (format!("unknown {kind} `{wrong}`"), Some(format!("{near}known here: {list}")))
        }
        _ => (message.to_owned(), None),
    };
    Problem { place, what, help }
}

/// The known word nearest to what was written, when one is near enough to be meant.
pub(super) fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let wrong = wrong.to_ascii_lowercase().replace('-', "_");
    let score = |word: &&str| strsim::jaro_winkler(&wrong, word);
    let best = known.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(&best) > 0.8).then_some(best)
}
