//! What stands before a separator. An injection leaves a place for data: a number, a host, a file name, a closed quote,
//! nothing. Prose, scripts and code have words there.

use super::command::is_blank;
use super::shapes::is_ip;
use super::table;

/// The part of a value before a separator, read once from left to right.
#[derive(Default)]
pub(super) struct Head {
    read: usize,
    words: u32,
    pub(super) lines: u32,
    /// An option among the words.
    options: bool,
    in_word: bool,
    /// Marks that code has and data has not: ` = `, `) {`, `<?`, `//`.
    code: u32,
    /// Quotes of each kind so far.
    single: u32,
    double: u32,
    /// A back quote behind a blank is open: code in a text, as Markdown writes it.
    pub(super) in_code: bool,
    /// Separators that began no command.
    pub(super) idle: u32,
    /// Where the text begins.
    begins: usize,
    /// More lines than a payload has.
    pub(super) many_lines: bool,
}

/// What a head is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Data, or a string that was closed.
    Data,
    /// One word that may be anything.
    Token,
    /// So many words.
    Words(u32),
    /// A command line, code, a text of several lines.
    Script,
}

/// One word longer than this is not looked into.
const LONGEST_TOKEN: usize = 120;

impl Head {
    /// The head of a value of which nothing has been read.
    pub(super) fn of(value: &[u8]) -> Head {
        let begins = value.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(value.len());
        Head { begins, many_lines: many_lines(value), ..Head::default() }
    }

    /// The value up to `end` without what surrounds it.
    pub(super) fn text<'a>(&self, value: &'a [u8], end: usize) -> &'a [u8] {
        value[self.begins.min(end)..end].trim_ascii_end()
    }

    /// Reads on to the separator at `end`.
    pub(super) fn advance(&mut self, value: &[u8], end: usize) {
        for at in self.read..end {
            let byte = value[at];
            match byte {
                b'\'' => self.single += 1,
                b'"' => self.double += 1,
                b'`' => self.in_code = !self.in_code && at > 0 && is_blank(value[at - 1]),
                b'=' if at > 0 && is_blank(value[at - 1]) => self.code += 1,
                b'{' if at > 0 && (is_blank(value[at - 1]) || value[at - 1] == b')') => self.code += 1,
                b'?' if at > 0 && value[at - 1] == b'<' => self.code += 1,
                b'\n' => self.lines += 1,
                b'-' if at > 0
                    && is_blank(value[at - 1])
                    && value.get(at + 1).is_some_and(|next| next.is_ascii_alphabetic() || *next == b'-') =>
                {
                    self.options = true;
                }
                b'(' if at > 0 && value[at - 1] == b'=' => self.code += 1,
                _ => {}
            }
            let blank = is_blank(byte) || matches!(byte, b'\n' | b'\r');
            // A separator alone is no word.
            let begins = !blank && !self.in_word && !matches!(byte, b';' | b'|' | b'&');
            self.words += u32::from(begins);
            self.in_word = begins || self.in_word && !blank;
        }
        self.read = self.read.max(end);
    }

    /// What the value up to `end` is; `advance` has read so far.
    pub(super) fn kind(&self, value: &[u8], end: usize) -> Kind {
        let separators = |byte: &u8| byte.is_ascii_whitespace() || b";|&".contains(byte);
        let text = &value[self.begins.min(end)..end];
        let text = &text[..text.len() - text.iter().rev().take_while(|byte| separators(byte)).count()];
        if text.is_empty() {
            return Kind::Data;
        }
        let json = text.len() > 64 && (text.starts_with(b"{\"") || text.starts_with(b"[{"));
        // Code keeps its indentation, quoted mail and patches their marks.
        let indented = value.starts_with(b"    ") || value.starts_with(b"\t") || value.starts_with(b"> ");
        if self.lines > 1 || json || indented {
            return Kind::Script;
        }
        let closes = |quote: u8, count: u32| text.ends_with(&[quote]) && count % 2 == 1;
        let quoted = closes(b'\'', self.single) || closes(b'"', self.double);
        if quoted && self.words <= 8 && self.code == 0 && !self.options {
            return Kind::Data;
        }
        if self.words > 1 {
            let inner = &text[..text.len().min(64)];
            let open = inner.iter().take_while(|byte| matches!(byte, b'(' | b'{' | b'"' | b'\'')).count();
            let first =
                inner[open..].split(|byte| !byte.is_ascii_alphanumeric() && !b"_-./".contains(byte)).next();
            let first = first.unwrap_or_default();
            // In a path the words of a user are a piece of it.
            let base = first.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let is_command =
                table::find(base).is_some() || table::is_prefix(base) || first.starts_with(b"./");
            let prompt = inner
                .iter()
                .position(|byte| is_blank(*byte))
                .is_some_and(|end| matches!(inner[..end], [b'$' | b'%' | b'>'] | [.., b'#'] | [.., _, b'$']));
            let comment =
                prompt || text.starts_with(b"#") || text.starts_with(b"//") || text.starts_with(b"`");
            return match is_command || comment || self.code > 0 || self.options {
                true => Kind::Script,
                false => Kind::Words(self.words),
            };
        }
        // `ls | wc -l` is a line of a shell, `ls; id` is one that was added to.
        let piped = matches!(value[end..], [b'|', next, ..] if next != b'|');
        let command = table::is_prefix(text) || piped && table::find(text).is_some_and(|command| command.odd);
        if self.code > 0 || command || text.starts_with(b"#") || text.ends_with(b":") {
            return Kind::Script;
        }
        match is_data(text) && self.idle == 0 {
            true => Kind::Data,
            false => Kind::Token,
        }
    }
}

/// Whether the head is nothing, an address or a closed string: what a list of names never has before its items.
pub(super) fn is_bare(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.is_empty()
        || is_ip(text)
        || text.starts_with(b"-")
        || text.contains(&b'/')
        || matches!(text[text.len() - 1], b'\'' | b'"' | b')' | b';' | b'|' | b'&')
}

/// Whether one word is a value of its own: a number, an address, a file, a host, a letter.
fn is_data(text: &[u8]) -> bool {
    if text.len() > LONGEST_TOKEN {
        return false;
    }
    // A body of plain text, or a pair that stands as one value: what counts is behind the name.
    let pair = memchr::memchr(b'=', text).filter(|at| (1..=40).contains(at));
    let text = pair.map_or(text, |at| &text[at + 1..]);
    if text.len() <= 2 || text[0] == b'-' || is_ip(text) {
        return true;
    }
    if text.iter().all(|byte| byte.is_ascii_digit() || b".:,-+/eExX".contains(byte)) {
        return true;
    }
    let mixed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.len() <= 40 && text.iter().all(mixed) && text.iter().any(u8::is_ascii_digit) {
        return true;
    }
    if matches!(text[text.len() - 1], b')' | b'}' | b']' | b'$') {
        return text.len() <= 12;
    }
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:@\\~%".contains(byte);
    text.iter().all(inside) && text.iter().any(|byte| b"./@\\".contains(byte))
}

/// More lines than a payload has.
pub(super) fn many_lines(value: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', value.trim_ascii()).take(3).count() > 2
}
