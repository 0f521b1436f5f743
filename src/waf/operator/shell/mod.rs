//! Command injection, judged on tokens: does a value, put into a command line as an argument or a part of one, start a
//! command of its own? It may stand bare, in single or in double quotes; the shell may be sh, cmd.exe or PowerShell.
//!
//! Every separator and every substitution may start a command. There the command's name is read with its disguise
//! taken away, its arguments by their shapes, and what is before and behind. Text with separators is ordinary (`Tom &
//! Jerry`, tables, style sheets, pasted scripts); so the less the head looks like data, the surer the command must be.
//! No grammar of a shell is kept, and nothing is expanded: a value is read once, each command in a bounded part.

use self::command::{By, End, Parsed};
use self::head::{Head, Kind};
use self::shapes::Shapes;

mod command;
mod head;
mod shapes;
mod table;
#[cfg(test)]
mod tests;
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

/// A command that is a piece of a path, or starts in one: what follows the piece is not the command's.
fn in_path(value: &[u8]) -> Option<Found> {
    /// Pieces that are looked at. Applications have what a user gave them in the first few.
    const MOST_PIECES: usize = 6;
    let last = memchr::memrchr(b'/', value).filter(|last| *last > 0)?;
    let blank = value.iter().any(|byte| command::is_blank(*byte));
    let pieces = memchr::memchr_iter(b'/', value).take(if blank { MOST_PIECES } else { 0 });
    let piece = |at: usize| {
        let found = whole(&value[at + 1..]).or_else(|| whole(&value[(at + 1).min(last)..last]));
        found.map(|found| Found { start: found.start + at + 1, end: found.end + at + 1, ..found })
    };
    pieces.map(piece).find(Option::is_some).flatten().or_else(|| within(&value[..last]))
}

/// A command that starts in a string of a GraphQL document: each is a value of its own.
fn in_strings(value: &[u8]) -> Option<Found> {
    let text = value.trim_ascii_start();
    let words = [&b"query"[..], b"mutation", b"subscription"];
    let named = words.iter().any(|word| text.starts_with(word) && memchr::memchr(b'{', text).is_some());
    let anonymous = matches!(text, [b'{', rest @ ..] if rest.trim_ascii_start().first().is_some_and(u8::is_ascii_alphabetic));
    if !named && !anonymous {
        return None;
    }
    let mut quotes = memchr::memchr_iter(b'"', value).filter(|at| *at == 0 || value[at - 1] != b'\\');
    while let (Some(open), Some(close)) = (quotes.next(), quotes.next()) {
        let part = &value[open + 1..close];
        if let Some(found) = whole(part).or_else(|| within(part)) {
            return Some(Found { start: found.start + open + 1, end: found.end + open + 1, ..found });
        }
    }
    None
}

/// The first command that starts somewhere in the value.
fn within(value: &[u8]) -> Option<Found> {
    let mut head = Head::default();
    let mut at = 0;
    while let Some(next) = memchr_separator(&value[at..]) {
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
        head.commands += 1;
    }
    None
}

fn memchr_separator(value: &[u8]) -> Option<usize> {
    SEPARATORS.find(value)
}

/// The bytes that may start a command within a value.
const SEPARATORS: crate::waf::bytes::ByteSet = crate::waf::bytes::ByteSet::of(b";|&\n\r`$<>\\");

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

/// Whether the command that was read there is one that the value starts, and not text.
fn starts(value: &[u8], at: usize, separator: Separator, head: &Head, parsed: &Parsed) -> bool {
    use Separator::{Ampersand, And, Dollar, Line, Or, Pipe, Process, Semicolon, Tick};
    let kind = head.kind(value, at);
    let rest = match parsed.name {
        // Its output is an object, and members are asked of it.
        "a cmdlet" if parsed.end.by == By::Close => Rest::Quiet,
        _ => Rest::of(value, parsed.end, separator),
    };
    let solid = parsed.shapes.meets(Shapes::SOLID) || parsed.disguised || parsed.by_path;
    let escaped = value[at] == b'\\';
    let need = match (kind, separator) {
        // `\n` as two characters is also in Windows paths and regular expressions.
        (Kind::Data, Line) if escaped => 2 - u8::from(rest == Rest::Quiet),
        (Kind::Script, Line) if escaped => 5,
        (_, Line) if escaped => 4,
        (_, Tick) if !is_closed(value, parsed.end.at) => 5,
        (Kind::Script, Tick | Dollar | Process) => 5,
        (Kind::Words(_), Dollar | Process) if head.lines > 0 => 5,
        // The version of the running kernel, in a path or the name of a package.
        (Kind::Data | Kind::Token, Tick | Dollar)
            if parsed.name == "uname" && matches!(value[..at].last(), Some(b'/' | b'-' | b'\\')) =>
        {
            4
        }
        (Kind::Data, Tick | Dollar | Process) if value[..at].ends_with(b"=") && at > 1 => 4,
        (Kind::Data, Tick | Dollar | Process) => match rest {
            Rest::Quiet => 1,
            Rest::Word => 2,
            Rest::Text if parsed.arguments > 0 && separator == Dollar => 3,
            Rest::Text => 4,
        },
        (_, Line) if is_layout(value, at) => 5,
        (Kind::Data, Line) if rest != Rest::Quiet => 4,
        (Kind::Data, Ampersand)
            if parsed.arguments == 0 && matches!(&value[..at], [byte] if byte.is_ascii_alphabetic()) =>
        {
            2
        }
        (Kind::Data, _) => match rest {
            Rest::Quiet => 1,
            Rest::Word => 2,
            Rest::Text => 3,
        },
        (Kind::Token, And | Or) => match rest {
            Rest::Text => 3,
            _ => 1,
        },
        (Kind::Token, Semicolon | Pipe) => match rest {
            Rest::Quiet => 2,
            _ => 3,
        },
        (Kind::Token, Tick) if command::is_blank(value[at - 1]) => 4,
        (Kind::Token, Tick | Dollar | Process) => match rest {
            Rest::Text => 4,
            _ => 2,
        },
        (Kind::Token, _) => 3,
        (Kind::Words(_), Tick) => 5,
        (Kind::Words(words), Line) => 4 + u8::from(words > 6),
        (Kind::Words(_), Dollar | Process) if solid && rest != Rest::Text => 3,
        (Kind::Words(words), _) if words <= 4 && solid && rest == Rest::Quiet => 3,
        (Kind::Words(_), _) => 4,
        (Kind::Script, _) if rest == Rest::Quiet && !many_lines(value) => 4,
        (Kind::Script, _) => 5,
    };
    parsed.strength >= need
}

/// Whether a back quote follows that closes the one before the command.
fn is_closed(value: &[u8], at: usize) -> bool {
    let rest = &value[at..];
    memchr::memchr(b'`', &rest[..rest.len().min(300)]).is_some()
}

/// Lines of a text or a program: indented, more than a payload has, or behind a line that ends as code does.
fn is_layout(value: &[u8], at: usize) -> bool {
    let line = &value[at..];
    let text = line.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(line.len());
    let indented = line[text..].starts_with(b"  ") || line[text..].starts_with(b"\t");
    let before = value[..at].trim_ascii_end();
    let code = before.first().is_some_and(|byte| b"#<{(+>".contains(byte))
        || before.last().is_some_and(|byte| b"{}(>:,".contains(byte));
    indented || code || many_lines(value)
}

/// More lines than a payload has.
fn many_lines(value: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', value.trim_ascii()).take(3).count() > 2
}

/// What follows a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rest {
    /// Nothing, a comment, marks that open a string again, another command.
    Quiet,
    /// A word.
    Word,
    Text,
}

impl Rest {
    fn of(value: &[u8], end: End, behind: Separator) -> Rest {
        match end.by {
            By::Value | By::Comment => return Rest::Quiet,
            By::Long => return Rest::Text,
            By::Separator | By::Close | By::Quote => {}
        }
        let marks = |byte: &u8| byte.is_ascii_whitespace() || b";|&)}(]{[`'\"\\\0".contains(byte);
        let skipped = value[end.at..].iter().take(16).take_while(|byte| marks(byte)).count();
        let rest = &value[end.at + skipped..];
        let rest = rest.trim_ascii();
        if rest.is_empty() || rest.starts_with(b"#") || rest.starts_with(b"//") || rest.starts_with(b"--") {
            return Rest::Quiet;
        }
        if matches!(rest, [b'n' | b'r'] | [b'n' | b'r', b'\\' | b';' | b'|', ..]) {
            return Rest::Quiet;
        }
        let comment =
            rest.len() >= 3 && rest[..3].eq_ignore_ascii_case(b"rem") && !rest[3..].starts_with(b"o");
        if comment || matches!(rest, [b'>' | b'<', ..] | [b'0'..=b'9', b'>', ..]) {
            return Rest::Quiet;
        }
        // `||a #'`: a command that there is none of, then a comment.
        let dummy = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        if dummy <= 2 && rest[dummy..].starts_with(b" #") {
            return Rest::Quiet;
        }
        if rest.len() <= 2 && rest.iter().all(u8::is_ascii_alphanumeric) {
            return Rest::Quiet;
        }
        if rest[0] == b'.' && rest.len() <= 5 && rest[1..].iter().all(u8::is_ascii_alphanumeric) {
            return Rest::Quiet;
        }
        let called =
            matches!(behind, Separator::Dollar | Separator::Tick) && rest[0] == b'.' && rest.contains(&b'(');
        let next = command::parse(value, end.at + skipped, word::Inside::default());
        if end.by == By::Separator && next.is_some_and(|next| next.strength > 0) {
            return Rest::Quiet;
        }
        let words =
            rest[..rest.len().min(64)].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
        match words {
            0 | 1 if rest.len() < 48 && !called => Rest::Word,
            _ => Rest::Text,
        }
    }
}

/// A value that is a command line as a whole. Only what nobody writes into a field: people look for commands.
fn whole(value: &[u8]) -> Option<Found> {
    let start = value.iter().position(|byte| !byte.is_ascii_whitespace())?;
    if !matches!(value[start], b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'{' | b'$' | b'@' | b'\'' | b'"' | b'%' | b'(' | b'\\' | b'.' | b'&')
    {
        return None;
    }
    let begin = start + usize::from(value[start] == b'$' && value.get(start + 1) == Some(&b' ')) * 2;
    let inside = word::Inside { assigns: true, ..word::Inside::default() };
    let parsed = command::parse(value, begin, inside)?;
    let rest = Rest::of(value, parsed.end, Separator::None);
    let shapes = parsed.shapes;
    let long_name = parsed.arguments > 0 || parsed.name.len() >= 4;
    let address = shapes.meets(Shapes::URL) || shapes.meets(Shapes::IP);
    let probes =
        parsed.name.starts_with("ping") && shapes.meets(Shapes::OPTION.and(Shapes::SWITCH)) && address;
    // `{sleep 5;}`: a group, and nothing else.
    let group =
        value[start] == b'{' && matches!(value.trim_ascii_end(), [.., b';', b'}'] | [.., b';', b' ', b'}']);
    let hides = shapes.meets(Shapes::DISGUISE.and(Shapes::SUBSTITUTION))
        && !shapes.meets(Shapes::PATH.and(Shapes::SYSTEM_PATH));
    let function = parsed.name.ends_with(')');
    let reads = matches!(parsed.name, "cat" | "head" | "tail" | "tac" | "nl" | "more" | "less");
    let runs = matches!(parsed.name, "cmd" | "powershell" | "pwsh") && runs_argument(&value[begin..]);
    let cmdlet = parsed.name == "a cmdlet"
        && shapes.meets(Shapes::SOLID.and(Shapes::FILE).and(Shapes::URL).and(Shapes::PATH));
    let found = match parsed.strength {
        4.. if function => rest != Rest::Text,
        4.. if parsed.disguised => long_name && rest != Rest::Text,
        4.. => parsed.arguments <= 3 && rest != Rest::Text,
        3 if parsed.by_path => rest == Rest::Quiet && parsed.arguments <= 3 && tells(&parsed),
        1.. if group => parsed.strength > 2 || parsed.arguments == 0,
        _ if runs => parsed.strength > 0,
        3 if matches!(parsed.name, "if" | "for") => begin == start && shell_statement(value),
        3 if matches!(parsed.name, "a name in quotes" | "a joined name") => true,
        3 if parsed.name == "dir" => rest != Rest::Text,
        3 if parsed.name == "a variable" || reads && hides => {
            parsed.arguments <= 6 && rest != Rest::Text && !many_lines(value)
        }
        3 if cmdlet => rest != Rest::Text,
        3 => probes && parsed.arguments <= 4 && rest == Rest::Quiet,
        _ => false,
    };
    found.then_some(Found {
        start,
        end: parsed.end.at,
        command: parsed.name,
        behind: Separator::None,
        disguised: parsed.disguised,
    })
}

/// `cmd /c x`, `powershell -enc x`: a shell that is told what to run, and not by a sentence.
fn runs_argument(text: &[u8]) -> bool {
    let mut words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(1).take(12);
    let mut plain = 0;
    let mut told = false;
    for word in words.by_ref() {
        let lower = word.to_ascii_lowercase();
        told |= matches!(
            &lower[..],
            b"/c"
                | b"/k"
                | b"/r"
                | b"-c"
                | b"-command"
                | b"-e"
                | b"-ec"
                | b"-f"
                | b"-file"
                | b"-nop"
                | b"-noprofile"
        ) || lower.starts_with(b"-enc");
        plain += usize::from(word.iter().all(u8::is_ascii_alphabetic));
    }
    told && plain <= 2
}

/// A loop or a test of sh on one line.
fn shell_statement(value: &[u8]) -> bool {
    let has = |mark: &[u8]| memchr::memmem::find(&value[..value.len().min(300)], mark).is_some();
    let runs = has(b"$(") || has(b"`") || has(b"[ ");
    let closed = has(b"; done") || has(b";done") || has(b"; fi") || has(b";fi");
    runs && closed && memchr::memchr(b'\n', value.trim_ascii()).is_none()
}

/// Programs that only tell about the system.
fn tells(parsed: &Parsed) -> bool {
    matches!(
        parsed.name,
        "id" | "whoami"
            | "uname"
            | "ifconfig"
            | "netstat"
            | "ls"
            | "ps"
            | "cat"
            | "pwd"
            | "cmd"
            | "powershell"
    )
}
