//! One command of a command line: which it is, and how much its name and arguments look like one that runs.

use super::arguments::{Arguments, weigh};
use super::resolve::resolve;
use super::shapes::Shapes;
use super::special::{call, compound, powershell_call, reads_file};
use super::table;
use super::word::{Inside, Place, Stop, Tricks, Word, read};

/// A command that begins somewhere in a value.
pub(super) struct Parsed {
    pub(super) name: &'static str,
    /// 0 nothing, 1 a name that may be a word, 2 likely, 3 a command line, 4 nothing else.
    pub(super) strength: u8,
    pub(super) disguised: bool,
    /// The name came with the path of the program.
    pub(super) by_path: bool,
    pub(super) shapes: Shapes,
    pub(super) arguments: u32,
    pub(super) end: End,
}

impl Parsed {
    /// What is a command line by its form alone.
    pub(super) fn certain(name: &'static str, end: usize) -> Parsed {
        Parsed {
            name,
            strength: 3,
            disguised: false,
            by_path: false,
            shapes: Shapes::OPTION,
            arguments: 1,
            end: End { at: end, by: By::Value },
        }
    }
}

/// Where a command ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct End {
    pub(super) at: usize,
    pub(super) by: By,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    /// The end of the value.
    Value,
    /// `#`, which hides the rest of the line that the value was put into.
    Comment,
    Separator,
    /// What closes a substitution or a group.
    Close,
    /// A quote that goes back into the string the value was put into.
    Quote,
    /// It is longer than what is looked at.
    Long,
}

/// Words before a command that only say how it runs (`sudo`, `nohup`, `time`), assignments, brackets.
const MOST_PREFIXES: usize = 6;

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

pub(super) fn skip_blanks(value: &[u8], at: usize) -> usize {
    at + value[at..].iter().take_while(|byte| is_blank(**byte)).count()
}

/// The command that begins at `at`; none when what stands there is no name of one.
pub(super) fn parse(value: &[u8], at: usize, mut inside: Inside) -> Option<Parsed> {
    if is_plain_word(value, at) {
        return None;
    }
    let mut at = at;
    let mut assigned = false;
    let start = skip_openers(value, at);
    for blank in [&b"${IFS}"[..], b"$IFS"] {
        // A command behind blanks that no filter sees.
        if value[start.min(value.len())..].starts_with(blank) {
            let parsed = simple(value, start + blank.len()).filter(|parsed| parsed.strength > 0)?;
            return Some(Parsed { strength: 4, disguised: true, ..parsed });
        }
    }
    if let Some(parsed) = powershell_call(value, skip_blanks(value, at)).or_else(|| reads_file(value, at)) {
        return Some(parsed);
    }
    for _ in 0..MOST_PREFIXES {
        at = skip_openers(value, at);
        if opens_brace_list(value, at) {
            inside.braces = true;
            at += 1;
        }
        let word = read(value, at, Place::Name, inside);
        match word.stop {
            Stop::Assign if inside.assigns && !word.text.is_empty() && word.tricks == Tricks::NONE => {
                let text = read(value, word.end + 1, Place::Argument, inside);
                assigned = true;
                at = text.end;
                if text.stop == Stop::End && value.get(at).is_some_and(|byte| b";&\n".contains(byte)) {
                    at += value[at..].iter().take(2).take_while(|byte| b";&\n".contains(byte)).count();
                }
                if matches!(text.stop, Stop::Quote | Stop::Redirect) || at >= value.len() {
                    return None;
                }
                continue;
            }
            Stop::Call => return call(value, &word),
            Stop::Assign | Stop::Other => return None,
            _ => {}
        }
        if word.stop == Stop::Blank
            && (table::is_prefix(&word.text) || matches!(&word.text[..], b"for" | b"[" | b"[["))
        {
            let prefixed = compound(value, &word).or_else(|| after_prefix(value, word.end, inside));
            return match prefixed {
                Some(parsed) if matches!(&word.text[..], b"sudo" | b"doas") && parsed.arguments < 3 => {
                    Some(Parsed { strength: parsed.strength.max(2), ..parsed })
                }
                Some(parsed) => Some(parsed),
                None => known(value, &word, at, inside, assigned),
            };
        }
        return known(value, &word, at, inside, assigned);
    }
    None
}

/// True for a word as it stands in any text, which names no command; false says nothing. Nearly all that stands behind
/// separators is such a word, and this costs a few nanoseconds.
fn is_plain_word(value: &[u8], at: usize) -> bool {
    /// Longer than any name in the list.
    const LONGEST: usize = 24;
    let text = &value[skip_blanks(value, at)..];
    let is_in_word = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    let len = text.iter().take(LONGEST).take_while(is_in_word).count();
    let word = &text[..len];
    let ends = match text.get(len) {
        _ if len == 0 => false,
        None | Some(b' ' | b'\t' | b';' | b'|' | b'&' | b')' | b'\n' | b'\r' | b',' | b'}') => true,
        // A drive, a folder of programs, a switch: those are read.
        Some(b':') => len > 1,
        Some(b'/') => len > 1 && !matches!(word, b"usr" | b"bin" | b"sbin" | b"opt" | b"local"),
        Some(b'.') => {
            !text[len..].starts_with(b".exe")
                && !text[len..].starts_with(b".com")
                && text[len + 1..].first().is_some_and(u8::is_ascii_digit)
        }
        _ => false,
    };
    ends && !table::may_be_known(word)
}

/// The command behind `sudo`, `time` and the like.
fn after_prefix(value: &[u8], at: usize, inside: Inside) -> Option<Parsed> {
    let mut at = skip_openers(value, at);
    let mut option = false;
    for _ in 0..MOST_PREFIXES {
        let word = read(value, at, Place::Name, inside);
        if let Some(parsed) = compound(value, &word) {
            return Some(parsed);
        }
        // `sudo -u root id`
        let taken = option && table::find(&word.text).is_none();
        option = word.text.starts_with(b"-");
        let number = word.text.iter().all(|byte| byte.is_ascii_digit() || b"smh.".contains(byte));
        let again = table::is_prefix(&word.text) || option || taken || number && !word.text.is_empty();
        if matches!(word.stop, Stop::Blank) && again {
            at = skip_openers(value, word.end);
            continue;
        }
        return match word.stop {
            Stop::Other | Stop::Call | Stop::Assign => None,
            _ => known(value, &word, at, inside, false),
        };
    }
    None
}

fn skip_openers(value: &[u8], at: usize) -> usize {
    let mut at = at;
    while let Some(&byte) = value.get(at) {
        match byte {
            b'(' | b'!' | b'@' => at += 1,
            b'{' if !opens_brace_list(value, at) => at += 1,
            _ if is_blank(byte) => at += 1,
            _ => break,
        }
    }
    at
}

/// `{cat,/etc/passwd}`
fn opens_brace_list(value: &[u8], at: usize) -> bool {
    let Some((b'{', rest)) = value[at.min(value.len())..].split_first() else { return false };
    let rest = &rest[..rest.len().min(120)];
    let Some(close) = memchr::memchr(b'}', rest) else { return false };
    memchr::memchr(b',', &rest[..close]).is_some_and(|comma| comma > 0 && !rest[..close].contains(&b' '))
}

/// A command without prefixes.
pub(super) fn simple(value: &[u8], at: usize) -> Option<Parsed> {
    let at = skip_blanks(value, at);
    let word = read(value, at, Place::Name, Inside::default());
    match word.stop {
        Stop::Call | Stop::Assign | Stop::Other => None,
        _ => known(value, &word, at, Inside::default(), false),
    }
}

/// The command that a word names, with its arguments.
fn known(value: &[u8], word: &Word, at: usize, inside: Inside, assigned: bool) -> Option<Parsed> {
    if word.text.is_empty() {
        // `X=whoami;$X`: nobody sees what runs.
        let variable = assigned && word.tricks.has(Tricks::VARIABLE);
        return variable.then(|| hidden("a variable", word, Arguments::read(value, word.end, inside)));
    }
    // `type = 5`, `cmd := x`, `script: y`
    let next = skip_blanks(value, word.end);
    if !inside.braces && matches!(value.get(next), Some(b'=' | b':' | b','))
        || value[next..].starts_with(b"+=")
    {
        return None;
    }
    let mut disguised = word.tricks.has(Tricks::DISGUISE);
    let named = resolve(word, &mut disguised)?;
    let from = named.arguments_from.map_or(word.end, |inside_word| at + inside_word);
    let mut arguments = Arguments::read(value, from, inside);
    if word.tricks.has(Tricks::IFS) || word.tricks.has(Tricks::BRACE) || inside.braces {
        disguised = true;
    }
    if inside.braces {
        arguments.end.by = By::Close;
    }
    let strength = match disguised {
        true if table::is_prefix(&word.text) && arguments.count == 0 => 1,
        true => 4,
        false => weigh(named.command, named.by_path, &arguments),
    };
    Some(Parsed {
        name: named.command.name,
        strength,
        disguised,
        by_path: named.by_path,
        shapes: arguments.shapes,
        arguments: arguments.count,
        end: arguments.end,
    })
}

fn hidden(name: &'static str, word: &Word, arguments: Arguments) -> Parsed {
    let sliced = word.tricks.has(Tricks::SLICE);
    Parsed {
        name,
        strength: if arguments.words < 2 || sliced { 3 } else { 0 },
        disguised: sliced,
        by_path: false,
        shapes: arguments.shapes.and(Shapes::DISGUISE),
        arguments: arguments.count,
        end: arguments.end,
    }
}
