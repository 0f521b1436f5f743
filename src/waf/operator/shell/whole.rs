//! Values that are a command line as a whole, and the parts of a value that are values of their own: pieces of a path,
//! strings of a GraphQL document.

use super::command::{self, Parsed};
use super::head::many_lines;
use super::judge::Rest;
use super::shapes::Shapes;
use super::word::Inside;
use super::{Found, Separator, within};

/// A value that is a command line as a whole. Only what nobody writes into a field: people look for commands.
pub(super) fn whole(value: &[u8]) -> Option<Found> {
    let start = value.iter().position(|byte| !byte.is_ascii_whitespace())?;
    if !value[start].is_ascii_alphabetic() && !b"/{$@'\"%(\\.&".contains(&value[start]) {
        return None;
    }
    let begin = start + usize::from(value[start] == b'$' && value.get(start + 1) == Some(&b' ')) * 2;
    let inside = Inside { assigns: true, ..Inside::default() };
    let parsed = command::parse(value, begin, inside)?;
    let rest = Rest::of(value, parsed.end, Separator::None);
    let found = is_unmistakable(value, start, begin, &parsed, rest);
    found.then_some(Found {
        start,
        end: parsed.end.at,
        command: parsed.name,
        behind: Separator::None,
        disguised: parsed.disguised,
    })
}

fn is_unmistakable(value: &[u8], start: usize, begin: usize, parsed: &Parsed, rest: Rest) -> bool {
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
    match parsed.strength {
        4.. if function => rest != Rest::Text,
        4.. if parsed.disguised => long_name && rest != Rest::Text,
        4.. => parsed.arguments <= 3 && rest != Rest::Text,
        3 if parsed.by_path => rest == Rest::Quiet && parsed.arguments <= 3 && tells(parsed),
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
    }
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

/// A command that is a piece of a path, or starts in one: what follows the piece is not the command's.
pub(super) fn in_path(value: &[u8]) -> Option<Found> {
    /// Pieces that are looked at. Applications have what a user gave them in the first few.
    const MOST_PIECES: usize = 6;
    let last = memchr::memrchr(b'/', value).filter(|last| *last > 0)?;
    let blank = value.iter().any(|byte| command::is_blank(*byte));
    let pieces = memchr::memchr_iter(b'/', value).take(if blank { MOST_PIECES } else { 0 });
    let piece = |at: usize| {
        // `/usr/bin/id` is one path.
        if value[at + 1..].starts_with(b"bin/") {
            return None;
        }
        let found = whole(&value[at + 1..]).or_else(|| whole(&value[(at + 1).min(last)..last]));
        found.map(|found| Found { start: found.start + at + 1, end: found.end + at + 1, ..found })
    };
    pieces.map(piece).find(Option::is_some).flatten().or_else(|| within(&value[..last]))
}

/// Whether an odd number of backslashes stands before `at`; of many only the last are counted.
fn is_escaped(value: &[u8], at: usize) -> bool {
    value[..at].iter().rev().take(64).take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// A string of GraphQL without its escapes; those of other characters than ASCII matter to no shell.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(other) => other,
                None => b'\\',
            },
            other => other,
        });
    }
    plain
}

/// A command that starts in a string of a GraphQL document: each is a value of its own.
pub(super) fn in_strings(value: &[u8]) -> Option<Found> {
    let text = value.trim_ascii_start();
    let words = [&b"query"[..], b"mutation", b"subscription"];
    let named = words.iter().any(|word| text.starts_with(word) && memchr::memchr(b'{', text).is_some());
    let anonymous = matches!(text, [b'{', rest @ ..] if rest.trim_ascii_start().first().is_some_and(u8::is_ascii_alphabetic));
    if !named && !anonymous {
        return None;
    }
    let mut quotes = memchr::memchr_iter(b'"', value).filter(|at| !is_escaped(value, *at));
    while let (Some(open), Some(close)) = (quotes.next(), quotes.next()) {
        let part = &value[open + 1..close];
        if memchr::memchr(b'\\', part).is_some() {
            let plain = unescape(part);
            if let Some(found) = whole(&plain).or_else(|| within(&plain)) {
                return Some(Found { start: open + 1, end: close, ..found });
            }
        } else if let Some(found) = whole(part).or_else(|| within(part)) {
            return Some(Found { start: found.start + open + 1, end: found.end + open + 1, ..found });
        }
    }
    None
}
