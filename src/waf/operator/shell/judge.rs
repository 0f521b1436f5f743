//! The judgement: is what was read a command that the value starts, or text? The less the head looks like data and the
//! more follows, the surer the command must be.

use super::Separator;
use super::command::{self, By, End, Parsed};
use super::head::{self, Head, Kind};
use super::shapes::Shapes;
use super::word::Inside;

/// How much of what follows a command is looked at.
const LOOKED_AT: usize = 96;

/// Whether the command that was read there is one that the value starts, and not text.
pub(super) fn starts(value: &[u8], at: usize, separator: Separator, head: &Head, parsed: &Parsed) -> bool {
    use Separator::{Dollar, Line, Pipe, Process, Tick};
    let kind = head.kind(value, at);
    let before = head.text(value, at);
    let rest = match parsed.name {
        // Its output is an object, and members are asked of it.
        "a cmdlet" if parsed.end.by == By::Close => Rest::Quiet,
        _ => Rest::of(value, parsed.end, separator),
    };
    let need = match separator {
        Line => line_need(value, at, kind, rest, head),
        Tick | Dollar | Process => substitution_need(value, at, separator, (kind, rest), head, parsed),
        // "run `ssh web01 uptime; df -h` and look": a line of a shell that is told.
        _ if head.in_code
            && matches!(kind, Kind::Words(_) | Kind::Script)
            && is_closed(value, parsed.end.at) =>
        {
            5
        }
        _ => separator_need(before, separator, kind, rest, head, parsed),
    };
    // Names of commands that are columns and properties as often.
    let column = parsed.strength == 1
        && matches!(
            parsed.name,
            "date" | "last" | "history" | "users" | "groups" | "jobs" | "export" | "env" | "set" | "route"
        );
    let number = separator != Pipe && before.len() <= 20 && before.iter().all(u8::is_ascii_digit);
    parsed.strength >= need && (!column || number || head::is_bare(before))
}

/// The strength a command needs behind a line break. Texts have lines.
fn line_need(value: &[u8], at: usize, kind: Kind, rest: Rest, head: &Head) -> u8 {
    // `\n` as two characters is also in Windows paths and regular expressions.
    if value[at] == b'\\' {
        return match kind {
            Kind::Data => 2 - u8::from(rest == Rest::Quiet),
            Kind::Token | Kind::Words(_) => 4,
            Kind::Script => 5,
        };
    }
    if is_layout(value, at, head) {
        return 5;
    }
    match kind {
        Kind::Data if rest == Rest::Quiet => 1,
        Kind::Data => 4,
        Kind::Token => 3,
        Kind::Words(words) => 4 + u8::from(words > 6),
        Kind::Script => 4 + u8::from(rest != Rest::Quiet),
    }
}

/// The strength a command needs in a substitution. Back quotes are also markup, `$(` is also jQuery.
fn substitution_need(
    value: &[u8],
    at: usize,
    separator: Separator,
    (kind, rest): (Kind, Rest),
    head: &Head,
    parsed: &Parsed,
) -> u8 {
    let tick = separator == Separator::Tick;
    if tick && !is_closed(value, parsed.end.at) || kind == Kind::Script {
        return 5;
    }
    let last = at.checked_sub(1).map(|last| value[last]);
    match kind {
        Kind::Words(_) if tick || head.lines > 0 => 5,
        Kind::Words(_) => 4 - u8::from(is_solid(parsed) && rest != Rest::Text),
        // The version of the running kernel, in a path or the name of a package.
        _ if parsed.name == "uname" && matches!(last, Some(b'/' | b'-' | b'\\')) => 4,
        Kind::Data if last == Some(b'=') && at > 1 => 4,
        Kind::Data => match rest {
            Rest::Quiet => 1,
            Rest::Word => 2,
            Rest::Text if parsed.arguments > 0 && separator == Separator::Dollar => 3,
            Rest::Text => 4,
        },
        _ if tick && last.is_some_and(command::is_blank) => 4,
        _ => 2 + 2 * u8::from(rest == Rest::Text),
    }
}

/// The strength a command needs behind `;`, `|`, `&` and the double ones.
fn separator_need(
    before: &[u8],
    separator: Separator,
    kind: Kind,
    rest: Rest,
    head: &Head,
    parsed: &Parsed,
) -> u8 {
    use Separator::{Ampersand, And, Or};
    match (kind, separator) {
        // `a&id` is a query.
        (Kind::Data, Ampersand)
            if parsed.arguments == 0 && matches!(before, [byte] if byte.is_ascii_alphabetic()) =>
        {
            2
        }
        (Kind::Data, _) => match rest {
            Rest::Quiet => 1,
            Rest::Word => 2,
            Rest::Text => 3,
        },
        (Kind::Token, And | Or) => 1 + 2 * u8::from(rest == Rest::Text),
        (Kind::Token, Ampersand) => 3,
        (Kind::Token, _) => 3 - u8::from(rest == Rest::Quiet),
        (Kind::Words(words), _) if words <= 4 && is_solid(parsed) && rest == Rest::Quiet => 3,
        (Kind::Words(_), _) => 4,
        (Kind::Script, _) if rest == Rest::Quiet && !head.many_lines => 4,
        (Kind::Script, _) => 5,
    }
}

fn is_solid(parsed: &Parsed) -> bool {
    parsed.shapes.meets(Shapes::SOLID) || parsed.disguised || parsed.by_path
}

/// Whether a back quote follows that closes the one before the command.
fn is_closed(value: &[u8], at: usize) -> bool {
    let rest = &value[at..];
    memchr::memchr(b'`', &rest[..rest.len().min(300)]).is_some()
}

/// Lines of a text or a program: indented, more than a payload has, or behind a line that ends as code does.
fn is_layout(value: &[u8], at: usize, head: &Head) -> bool {
    let line = &value[at..];
    let text = line.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(line.len());
    let indented = line[text..].starts_with(b"  ") || line[text..].starts_with(b"\t");
    let before = value[..at].trim_ascii_end();
    // `%%bash` opens a cell of a notebook.
    let code = before.first().is_some_and(|byte| b"#<{(+>".contains(byte))
        || before.starts_with(b"%%")
        || before.last().is_some_and(|byte| b"{}(>:,".contains(byte));
    indented || code || head.many_lines
}

/// What follows a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rest {
    /// Nothing, a comment, marks that open a string again, another command.
    Quiet,
    /// A word.
    Word,
    Text,
}

impl Rest {
    pub(super) fn of(value: &[u8], end: End, behind: Separator) -> Rest {
        match end.by {
            By::Value | By::Comment => return Rest::Quiet,
            By::Long => return Rest::Text,
            By::Separator | By::Close | By::Quote => {}
        }
        let marks = |byte: &u8| byte.is_ascii_whitespace() || b";|&)}(]{[`'\"\\\0".contains(byte);
        let skipped = value[end.at..].iter().take(16).take_while(|byte| marks(byte)).count();
        let rest = &value[end.at + skipped..];
        let rest = rest[..rest.len().min(LOOKED_AT)].trim_ascii();
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
        let next = command::parse(value, end.at + skipped, Inside::default());
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
