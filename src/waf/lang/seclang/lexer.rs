//! From text to directives: lines, continuations, comments, quotes. Every byte of an argument
//! knows where it stands in the file. Nothing is understood here.
//!
//! A line that ends in `\` goes on in the next; a line that begins with `#` is a comment, also
//! between continued lines. A directive that is commented out takes its continuation lines along
//! (Apache and libmodsecurity agree on that). In a quoted argument `\"` is a quote and every other
//! backslash stays. A quote that is not closed goes on to the end of the line, which is noted.

use crate::waf::lang::error::Place;

use super::Log;
use super::fault::Fault;

/// One directive with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    pub place: Place,
    pub name: String,
    pub arguments: Vec<Text>,
    /// The comment block right above it, one line per line.
    pub comment: Vec<String>,
}

/// An argument, unquoted.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    pub value: String,
    file: usize,
    /// By byte of `value`, its offset in the file; one more for the end.
    offsets: Vec<u32>,
}

impl Text {
    /// A piece of an argument that was read before, all of it at one place.
    pub fn at(place: Place, value: &str) -> Text {
        Text { value: value.to_owned(), file: place.file, offsets: vec![small(place.offset)] }
    }

    /// Where the byte at this index stands.
    pub fn place(&self, index: usize) -> Place {
        let offset = self.offsets.get(index).or(self.offsets.last()).copied().unwrap_or(0);
        Place { file: self.file, offset: offset as usize }
    }

    fn push(&mut self, character: char, offset: u32) {
        self.value.push(character);
        self.offsets.extend(std::iter::repeat_n(offset, character.len_utf8()));
    }

    fn end(mut self, offset: u32) -> Text {
        self.offsets.push(offset);
        self
    }
}

/// All directives of a file. Its number is for places.
pub(super) fn lex(file: usize, text: &str, log: &mut Log) -> Vec<Directive> {
    // Some editors mark UTF-8 so.
    let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut lexer = Lexer { file, lines: Lines { text, at }, comment: Vec::new(), log };
    let mut directives = Vec::new();
    while let Some((offset, line)) = lexer.lines.next() {
        directives.extend(lexer.line(offset, line));
    }
    directives
}

/// Lines with their offsets, without what ends them.
struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<(usize, &'a str)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let start = self.at;
        let length = rest.find('\n').unwrap_or(rest.len());
        self.at = start + length + 1;
        Some((start, rest[..length].trim_end_matches('\r')))
    }
}

struct Lexer<'a, 'l, 'm> {
    file: usize,
    lines: Lines<'a>,
    comment: Vec<String>,
    log: &'l mut Log<'m>,
}

impl Lexer<'_, '_, '_> {
    fn line(&mut self, offset: usize, line: &str) -> Option<Directive> {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            self.comment.clear();
            return None;
        }
        if let Some(said) = trimmed.strip_prefix('#') {
            self.comment_line(said);
            return None;
        }
        let joined = self.joined(offset, line);
        let comment = std::mem::take(&mut self.comment);
        let mut words = self.words(&joined).into_iter();
        let name = words.next()?;
        let place = name.place(0);
        if name.value.starts_with('<') {
            if !name.value.starts_with("</") {
                let section = name.value.trim_end_matches('>').to_owned() + ">";
                self.log.faults.push(
                    Fault::error(place, format!("`{section}` is a section of Apache's configuration"))
                        .help("import the rules inside it from a file of their own"),
                );
            }
            return None;
        }
        Some(Directive { place, name: name.value, arguments: words.collect(), comment })
    }

    fn comment_line(&mut self, said: &str) {
        let directive = said.trim_start();
        // `SecRule`, not `Security`.
        let is_directive = directive
            .strip_prefix("Sec")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
        if !is_directive {
            self.comment.push(said.trim().to_owned());
            return;
        }
        self.comment.clear();
        let mut goes_on = continued(said).is_some();
        while goes_on {
            let Some((_, line)) = self.lines.next() else { return };
            goes_on = continued(line).is_some();
        }
    }

    /// The line and those that it goes on in.
    fn joined(&mut self, offset: usize, line: &str) -> Text {
        let mut joined = Text { file: self.file, ..Text::default() };
        let (mut offset, mut line) = (offset, line);
        loop {
            let part = continued(line);
            for (at, character) in part.unwrap_or(line).char_indices() {
                joined.push(character, small(offset + at));
            }
            let end = small(offset + line.len());
            if part.is_none() {
                return joined.end(end);
            }
            // Comments between continued lines say nothing and end nothing.
            let mut next = self.lines.next();
            while next.is_some_and(|(_, line)| line.trim_start().starts_with('#')) {
                next = self.lines.next();
            }
            match next {
                Some((start, text)) => (offset, line) = (start, text),
                None => return joined.end(end),
            }
        }
    }

    /// Words between white space, quoted ones whole.
    fn words(&mut self, line: &Text) -> Vec<Text> {
        let mut words = Vec::new();
        let mut at = 0;
        let skip = |at: usize| {
            let rest = &line.value[at..];
            at + (rest.len() - rest.trim_start().len())
        };
        at = skip(at);
        while at < line.value.len() {
            let (word, end) = match line.value.as_bytes()[at] {
                quote @ (b'"' | b'\'') => self.quoted(line, at, quote),
                _ => plain(line, at),
            };
            words.push(word);
            at = skip(end);
        }
        words
    }

    /// The word in these quotes, and where it ends.
    fn quoted(&mut self, line: &Text, start: usize, quote: u8) -> (Text, usize) {
        let mut word = Text { file: self.file, ..Text::default() };
        let quote = char::from(quote);
        let mut characters = line.value[start + 1..].char_indices().map(|(at, c)| (start + 1 + at, c));
        while let Some((at, character)) = characters.next() {
            if character == quote {
                return (word.end(small(line.place(at).offset)), at + 1);
            }
            if character != '\\' {
                word.push(character, small(line.place(at).offset));
                continue;
            }
            match characters.next() {
                Some((next, escaped)) => {
                    if escaped != quote {
                        word.push('\\', small(line.place(at).offset));
                    }
                    word.push(escaped, small(line.place(next).offset));
                }
                None => word.push('\\', small(line.place(at).offset)),
            }
        }
        self.log.note(
            line.place(start),
            "quote",
            "it is not closed; the argument goes on to the end of the line",
        );
        let end = line.value.len();
        (word.end(small(line.place(end).offset)), end)
    }
}

/// A word up to white space; what stands in `'...'` right behind a `:` or `=` may hold some.
fn plain(line: &Text, start: usize) -> (Text, usize) {
    let mut word = Text { file: line.file, ..Text::default() };
    let mut inside = false;
    let mut before = ' ';
    for (at, character) in line.value[start..].char_indices().map(|(at, c)| (start + at, c)) {
        if inside {
            inside = character != '\'' || before == '\\';
        } else if character.is_whitespace() {
            return (word.end(small(line.place(at).offset)), at);
        } else if character == '\'' && matches!(before, ':' | '=') {
            inside = line.value[at + 1..].contains('\'');
        }
        word.push(character, small(line.place(at).offset));
        before = character;
    }
    let end = line.value.len();
    (word.end(small(line.place(end).offset)), end)
}

/// The line without the backslash that makes it go on.
fn continued(line: &str) -> Option<&str> {
    line.trim_end().strip_suffix('\\')
}

/// Files are far below 4 GiB; the importer refuses larger ones.
fn small(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexed(text: &str) -> (Vec<Directive>, Vec<Fault>, usize) {
        let (mut faults, mut notes) = (Vec::new(), Vec::new());
        let directives = lex(0, text, &mut Log { faults: &mut faults, notes: &mut notes });
        (directives, faults, notes.len())
    }

    fn read(text: &str) -> Vec<Vec<String>> {
        let (directives, faults, _) = lexed(text);
        assert!(faults.is_empty(), "{faults:?}");
        let words = |d: Directive| {
            std::iter::once(d.name).chain(d.arguments.into_iter().map(|text| text.value)).collect()
        };
        directives.into_iter().map(words).collect()
    }

    #[test]
    fn lines_go_on_and_comments_between_them_say_nothing() {
        assert_eq!(
            read("SecRule ARGS \"@rx a\" \\\n  # why\n  \"id:1,\\\r\n    pass\"\nSecMarker END"),
            [vec!["SecRule", "ARGS", "@rx a", "  id:1,    pass".trim_start()], vec!["SecMarker", "END"]]
        );
        assert_eq!(read("SecAction \"id:1\" \\"), [["SecAction", "id:1"]]);
        assert_eq!(read("\u{feff}SecAction x \\  \n y"), [["SecAction", "x", "y"]]);
    }

    #[test]
    fn a_directive_that_is_commented_out_takes_its_lines_along() {
        let text =
            "#SecRule ARGS \"@rx a\" \\\n  \"id:1,\\\n pass\"\nSecMarker A\n# Security \\\nSecMarker B";
        assert_eq!(read(text), [["SecMarker", "A"], ["SecMarker", "B"]]);
    }

    #[test]
    fn quotes_hold_spaces_and_only_their_own_quote_is_escaped() {
        assert_eq!(
            read(r#"SecRule "ARGS:a b" "a\"b\\\"\d\'" 'id:1,msg:\'x\''"#),
            [["SecRule", "ARGS:a b", "a\"b\\\\\"\\d\\'", "id:1,msg:'x'"]]
        );
        assert_eq!(read(r"SecRule ARGS:'/a b/' !@rx"), [["SecRule", "ARGS:'/a b/'", "!@rx"]]);
        assert_eq!(read(r#"SecMarker ''"#), [["SecMarker", ""]]);
        let (directives, _, notes) = lexed("SecRule ARGS \"a bc");
        assert_eq!((directives[0].arguments[1].value.as_str(), notes), ("a bc", 1));
    }

    #[test]
    fn sections_of_apache_are_named() {
        let (directives, faults, _) = lexed("<IfModule security2_module>\nSecMarker A\n</IfModule>");
        assert_eq!((directives.len(), faults.len()), (1, 1));
        assert_eq!(faults[0].problem, "`<IfModule>` is a section of Apache's configuration");
    }

    #[test]
    fn places_survive_escapes_and_continuations() {
        let text = "SecRule ARGS \\\n \"\\\"ab\"";
        let (directives, ..) = lexed(text);
        let argument = &directives[0].arguments[1];
        assert_eq!(argument.value, "\"ab");
        for (index, expect) in [(0, '"'), (1, 'a'), (2, 'b'), (3, '"')] {
            assert!(text[argument.place(index).offset..].starts_with(expect), "{index}");
        }
    }

    #[test]
    fn the_comment_right_above_belongs_to_the_directive() {
        let (directives, ..) = lexed("# far\n\n# near\n#\n# more\nSecMarker A\nSecMarker B");
        assert_eq!(directives[0].comment, ["near", "", "more"]);
        assert!(directives[1].comment.is_empty());
    }
}
