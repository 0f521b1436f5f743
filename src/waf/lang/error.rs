//! What is wrong with a rule file, where, and what was probably meant.

use std::fmt;

/// One thing that keeps a rule set from loading. `line` and `column` count from 1, columns in
/// characters; both are 0 when the trouble is with a file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LoadError {
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub problem: String,
    /// What to do about it: "did you mean `rx`?".
    pub help: Option<String>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.problem)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for LoadError {}

/// A place in one of the loaded files: the file's number and the offset in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    pub file: usize,
    pub offset: usize,
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At<T> {
    pub place: Place,
    pub value: T,
}

impl<T> At<T> {
    pub fn new(place: Place, value: T) -> At<T> {
        At { place, value }
    }
}

/// The files being loaded and the errors found so far. Loading goes on after an error, so that
/// one run shows all of them.
pub struct Problems<'a> {
    files: Vec<(&'a str, &'a str)>,
    found: Vec<LoadError>,
}

impl<'a> Problems<'a> {
    /// `files` are names and texts; a [`Place`] counts them in this order.
    pub fn new(files: Vec<(&'a str, &'a str)>) -> Problems<'a> {
        Problems { files, found: Vec::new() }
    }

    pub fn add(&mut self, place: Place, problem: impl Into<String>) {
        self.add_with_help(place, problem, None);
    }

    pub fn add_with_help(&mut self, place: Place, problem: impl Into<String>, help: Option<String>) {
        let (name, text) = self.files.get(place.file).copied().unwrap_or(("", ""));
        let (line, column) = line_and_column(text, place.offset);
        self.found.push(LoadError { file: name.to_owned(), line, column, problem: problem.into(), help });
    }

    /// An error of which the line and the column are known already.
    pub fn add_at(&mut self, file: usize, line: usize, column: usize, problem: impl Into<String>) {
        let name = self.files.get(file).map_or("", |(name, _)| name).to_owned();
        self.found.push(LoadError { file: name, line, column, problem: problem.into(), help: None });
    }

    /// An error in something that is not one of the files: a flag, the configuration.
    pub fn add_elsewhere(&mut self, name: &str, problem: String, help: Option<String>) {
        self.found.push(LoadError { file: name.to_owned(), line: 0, column: 0, problem, help });
    }

    /// "unknown KIND `WORD`", with the nearest of the known words as help.
    pub fn unknown<'w>(
        &mut self,
        place: Place,
        kind: &str,
        word: &str,
        known: impl IntoIterator<Item = &'w str>,
    ) {
        let help = nearest(word, known).map(|near| format!("did you mean `{near}`?"));
        self.add_with_help(place, format!("unknown {kind} `{}`", shown(word)), help);
    }

    /// "FILE:LINE:COLUMN" of a place, to mention it in another place's error.
    pub fn spell(&self, place: Place) -> String {
        let (name, text) = self.files.get(place.file).copied().unwrap_or(("", ""));
        let (line, column) = line_and_column(text, place.offset);
        format!("{name}:{line}:{column}")
    }

    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// The errors in the order of the files.
    pub fn into_errors(self) -> Vec<LoadError> {
        let mut found = self.found;
        let order: Vec<&str> = self.files.iter().map(|(name, _)| *name).collect();
        found.sort_by_key(|error| {
            (order.iter().position(|name| *name == error.file), error.line, error.column)
        });
        found
    }
}

/// Cuts what a file said before it goes into a message.
pub fn shown(word: &str) -> String {
    const SHOWN: usize = 80;
    match word.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &word[..end]),
        None => word.to_owned(),
    }
}

/// The known word that `word` was probably meant to be.
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // Camel case and dashes are how other languages write the same names.
    let plain = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
    let wanted = plain(word);
    if wanted.is_empty() || wanted.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wanted, &plain(name)), name))
        .filter(|(distance, name)| *distance * 3 <= name.len().max(wanted.len()))
        .min_by_key(|(distance, name)| (*distance, name.len()))
        .map(|(_, name)| name)
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        assert_eq!(line_and_column("a\n\u{e4}\u{f6}x", 6), (2, 3));
        assert_eq!(line_and_column("", 0), (1, 1));
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["rx", "pm", "contains", "begins_with", "url_decode", "url_decode_uni"];
        assert_eq!(nearest("rxx", known), Some("rx"));
        assert_eq!(nearest("beginsWith", known), Some("begins_with"));
        assert_eq!(nearest("urlDecodeUni", known), Some("url_decode_uni"));
        assert_eq!(nearest("detect_magic", known), None);
        assert_eq!(nearest("", known), None);
    }
}
