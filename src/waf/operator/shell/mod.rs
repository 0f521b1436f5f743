//! Command injection, judged on tokens: does a value, put into a command line as an argument or a part of one, start a
//! command of its own? It may stand bare, in single or in double quotes; the shell may be sh, cmd.exe or PowerShell.
//!
//! Every separator and every substitution may start a command. There the command's name is read with its disguise
//! taken away, its arguments by their shapes, and what is before and behind. Text with separators is ordinary (`Tom &
//! Jerry`, tables, style sheets, pasted scripts); so the less the head looks like data, the surer the command must be.
//! No grammar of a shell is kept, and nothing is expanded: a value is read once, each command in a bounded part.

use crate::waf::bytes::ByteSet;

use self::command::Parsed;
use self::head::Head;
use self::judge::starts;
use self::whole::{in_path, in_strings, whole};

mod arguments;
mod command;
mod head;
mod judge;
mod resolve;
mod shapes;
mod special;
mod table;
#[cfg(test)]
mod tests;
mod whole;
mod word;

/// A longer value is judged by this much of its beginning.
pub(super) const MOST_BYTES: usize = 256 * 1024;

/// A command that a value starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// From the separator to the end of the command.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) command: &'static str,
    pub(super) behind: Separator,
    pub(super) disguised: bool,
}

/// What starts a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Separator {
    /// The value itself is the command.
    None,
    Semicolon,
    Pipe,
    Or,
    Ampersand,
    And,
    Line,
    /// a back quote
    Tick,
    /// `$(`
    Dollar,
    /// `<(`, `>(`
    Process,
}

impl Separator {
    pub(super) fn text(self) -> &'static str {
        match self {
            Separator::None => "no separator",
            Separator::Semicolon => ";",
            Separator::Pipe => "|",
            Separator::Or => "||",
            Separator::Ampersand => "&",
            Separator::And => "&&",
            Separator::Line => "a line break",
            Separator::Tick => "a back quote",
            Separator::Dollar => "$(",
            Separator::Process => "<(",
        }
    }

    /// The separator at `at`, and where the command behind it begins.
    fn at(value: &[u8], at: usize) -> Option<(Separator, usize)> {
        let next = value.get(at + 1).copied();
        Some(match (value[at], next) {
            (b';', _) => (Separator::Semicolon, at + 1),
            (b'|', Some(b'|')) => (Separator::Or, at + 2),
            (b'|', _) => (Separator::Pipe, at + 1),
            (b'&', Some(b'&')) => (Separator::And, at + 2),
            (b'&', _) => (Separator::Ampersand, at + 1),
            (b'\n' | b'\r', _) => (Separator::Line, at + 1),
            (b'\\', Some(b'n' | b'r')) => (Separator::Line, at + 2),
            // Not a fence of Markdown.
            (b'`', next) if next != Some(b'`') && (at == 0 || value[at - 1] != b'`') => {
                (Separator::Tick, at + 1)
            }
            (b'$', Some(b'(')) => (Separator::Dollar, at + 2),
            (b'<' | b'>', Some(b'(')) => (Separator::Process, at + 2),
            _ => return None,
        })
    }
}

/// The first command that the value starts.
pub(super) fn detect(value: &[u8]) -> Option<Found> {
    let value = &value[..value.len().min(MOST_BYTES)];
    whole(value).or_else(|| within(value)).or_else(|| match value.trim_ascii_start().first()? {
        b'/' => in_path(value),
        b'{' | b'q' | b'm' | b's' => in_strings(value),
        _ => None,
    })
}

/// The first command that starts somewhere in the value.
fn within(value: &[u8]) -> Option<Found> {
    let mut head = Head::of(value);
    let mut at = 0;
    while let Some(next) = SEPARATORS.find(&value[at..]) {
        let start = at + next;
        let Some((separator, begin)) = Separator::at(value, start) else {
            at = start + 1;
            continue;
        };
        at = begin;
        if separator == Separator::Semicolon && ends_entity(value, start) {
            continue;
        }
        let parsed = parse(value, begin, separator);
        let Some(parsed) = parsed.filter(|parsed| parsed.strength > 0) else {
            let empty = command::skip_blanks(value, begin);
            let more = value.get(empty).is_some_and(|byte| !b";|&\r\n`'\"#".contains(byte));
            head.idle += u32::from(more);
            continue;
        };
        head.advance(value, start);
        if starts(value, start, separator, &head, &parsed) {
            return Some(Found {
                start,
                end: parsed.end.at,
                command: parsed.name,
                behind: separator,
                disguised: parsed.disguised,
            });
        }
    }
    None
}

/// The bytes that may start a command within a value.
const SEPARATORS: ByteSet = ByteSet::of(b";|&\n\r`$<>\\");

fn parse(value: &[u8], at: usize, separator: Separator) -> Option<Parsed> {
    let ticks = separator == Separator::Tick;
    let assigns = separator != Separator::Ampersand || value.get(at) == Some(&b' ');
    command::parse(value, at, word::Inside { ticks, braces: false, assigns })
}

/// `&amp;` and `&#39;`: the semicolon belongs to the character.
fn ends_entity(value: &[u8], at: usize) -> bool {
    let from = at.saturating_sub(9);
    let Some(amp) = memchr::memrchr(b'&', &value[from..at]) else { return false };
    let name = &value[from + amp + 1..at];
    let name = name.strip_prefix(b"#").unwrap_or(name);
    name.len() >= 2 && name.iter().all(u8::is_ascii_alphanumeric)
}
