//! One command of a command line: which it is, and how much its name and arguments look like one that runs.

use super::shapes::Shapes;
use super::table::{self, Command, System};
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
/// Arguments and bytes of a command that are looked at.
const MOST_ARGUMENTS: u32 = 24;
const MOST_BYTES: usize = 320;

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

pub(super) fn skip_blanks(value: &[u8], at: usize) -> usize {
    at + value[at..].iter().take_while(|byte| is_blank(**byte)).count()
}

/// The command that begins at `at`; none when what stands there is no name of one.
pub(super) fn parse(value: &[u8], at: usize, mut inside: Inside) -> Option<Parsed> {
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

/// `if [ ...`, `if true; then`, `for x in $(...`, `while :; do`
fn compound(value: &[u8], word: &Word) -> Option<Parsed> {
    let rest = &value[skip_blanks(value, word.end)..];
    let rest = &rest[..rest.len().min(160)];
    let opens = |marks: [&[u8]; 2]| marks.iter().any(|mark| memchr::memmem::find(rest, mark).is_some());
    let name = match &word.text[..] {
        b"if" | b"while" | b"until" | b"elif" => {
            let test = [&b"[ "[..], b"[[ ", b"test "].iter().any(|test| rest.starts_with(test));
            (test || opens([b";then ", b"; then "]) || opens([b";do ", b"; do "])).then_some("if")?
        }
        b"for" => {
            let name = rest
                .iter()
                .take(24)
                .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
                .count();
            let list = rest[name..].strip_prefix(b" in ").filter(|_| name > 0);
            let unix = list.is_some_and(|list| {
                list.first().is_some_and(|byte| b"$`/{".contains(byte)) || opens([b";do ", b"; do "])
            });
            let windows = matches!(rest, [b'/', b'f' | b'F' | b'd' | b'r', b' ', ..]) && rest.contains(&b'%');
            (unix || windows).then_some("for")?
        }
        b"[" | b"[[" => {
            let tests = opens([b" = ", b" == "]) || opens([b" -", b" != "]);
            memchr::memmem::find(rest, b" ]").filter(|_| tests).map(|_| "[")?
        }
        _ => return None,
    };
    Some(Parsed {
        name,
        strength: 3,
        disguised: false,
        by_path: false,
        shapes: Shapes::OPTION,
        arguments: 1,
        end: End { at: word.end, by: By::Value },
    })
}

/// `[System.Diagnostics.Process]::Start(...)`, `&('i'+'ex')`, `&'whoami'`: what only PowerShell calls.
fn powershell_call(value: &[u8], at: usize) -> Option<Parsed> {
    const TYPES: [&[u8]; 13] = [
        b"system.",
        b"net.",
        b"diagnostics.",
        b"io.",
        b"convert",
        b"reflection.",
        b"text.",
        b"activator",
        b"appdomain",
        b"ref]",
        b"environment]",
        b"runtime.",
        b"scriptblock",
    ];
    let rest = &value[at.min(value.len())..];
    let rest = &rest[..rest.len().min(120)];
    let name = match rest {
        [b'$', b'e' | b'E', b'n' | b'N', b'v' | b'V', b':', letter, ..] if letter.is_ascii_alphabetic() => {
            "$env"
        }
        [b'[', name @ ..] => {
            let known = TYPES
                .iter()
                .any(|known| name.len() > known.len() && name[..known.len()].eq_ignore_ascii_case(known));
            let member = memchr::memmem::find(name, b"]::")
                .or_else(|| memchr::memmem::find(name, b"]."))
                .filter(|_| known)?;
            if !name[..10].eq_ignore_ascii_case(b"environmen") {
                memchr::memchr(b'(', &name[member..])?;
            }
            "a .NET type"
        }
        [b'.' | b'&', b'(', quote @ (b'\'' | b'"'), name @ ..] => {
            let close = memchr::memchr(*quote, name)?;
            let known = table::find(&name[..close]).is_some() || table::is_cmdlet(&name[..close]);
            known.then_some("a name in quotes")?
        }
        [b'(', quote @ (b'\'' | b'"'), name @ ..] => {
            let close = memchr::memchr(*quote, name)?;
            // After URL decoding a plus sign is a space.
            let joined = matches!(name[close + 1..].trim_ascii_start(), [b'+' | b'\'' | b'"', ..]);
            joined.then_some("a joined name")?
        }
        _ => return None,
    };
    Some(Parsed {
        name,
        strength: 3,
        disguised: true,
        by_path: false,
        shapes: Shapes::OPTION,
        arguments: 1,
        end: End { at, by: By::Value },
    })
}

/// `$(<file)` is the text of the file.
fn reads_file(value: &[u8], at: usize) -> Option<Parsed> {
    if value.get(at) != Some(&b'<') || !value[..at].ends_with(b"$(") {
        return None;
    }
    let arguments = Arguments::read(value, at + 1, Inside::default());
    let strength = match arguments.count {
        1 if arguments.shapes.meets(Shapes::SECRET) => 4,
        1 if arguments.shapes.meets(Shapes::PATH.and(Shapes::SYSTEM_PATH)) => 3,
        _ => return None,
    };
    let (shapes, end) = (arguments.shapes, arguments.end);
    Some(Parsed { name: "<file", strength, disguised: false, by_path: false, shapes, arguments: 1, end })
}

/// `system('id')`: a function of a language that runs a command, with one in its argument.
fn call(value: &[u8], word: &Word) -> Option<Parsed> {
    const FUNCTIONS: [(&[u8], &str); 10] = [
        (b"system", "system()"),
        (b"exec", "exec()"),
        (b"passthru", "passthru()"),
        (b"shell_exec", "shell_exec()"),
        (b"popen", "popen()"),
        (b"proc_open", "proc_open()"),
        (b"execsync", "execSync()"),
        (b"os.system", "os.system()"),
        (b"os.popen", "os.popen()"),
        (b"pcntl_exec", "pcntl_exec()"),
    ];
    if word.tricks != Tricks::NONE {
        return None;
    }
    let name = word.text.strip_prefix(b"@").unwrap_or(&word.text);
    if [&b"iex"[..], b"iwr", b"irm"].iter().any(|known| known.eq_ignore_ascii_case(name))
        || table::is_cmdlet(name)
    {
        let end = End { at: word.end, by: By::Value };
        let shapes = Shapes::OPTION;
        return Some(Parsed {
            name: "a cmdlet",
            strength: 3,
            disguised: false,
            by_path: false,
            shapes,
            arguments: 1,
            end,
        });
    }
    let (_, name) = FUNCTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    let at = skip_blanks(value, word.end + 1);
    let quote = *value.get(at)?;
    if !matches!(quote, b'\'' | b'"' | b'`') {
        return None;
    }
    let inner = simple(value, at + 1)?;
    let strength = match inner.strength {
        0 => return None,
        2.. if matches!(inner.end.by, By::Quote | By::Separator) => 4,
        _ => 2,
    };
    Some(Parsed { name, strength, ..inner })
}

/// A command without prefixes.
fn simple(value: &[u8], at: usize) -> Option<Parsed> {
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

struct Named {
    command: &'static Command,
    by_path: bool,
    /// Windows takes switches without a blank before them: `dir/s`, `cmd/c`.
    arguments_from: Option<usize>,
}

/// A program that a pattern or a path names and the list does not.
static PATTERN: Command = Command {
    name: "a pattern",
    system: System::Any,
    alone: 0,
    odd: true,
    takes: Shapes::NONE,
    subcommands: "",
};

/// `x.exe`
static PROGRAM: Command = Command {
    name: "a program",
    system: System::Windows,
    alone: 2,
    odd: true,
    takes: Shapes::SOLID,
    subcommands: "",
};

static CMDLET: Command = Command {
    name: "a cmdlet",
    system: System::Windows,
    alone: 3,
    odd: true,
    takes: Shapes::SOLID.and(Shapes::SOFT),
    subcommands: "",
};

fn resolve(word: &Word, disguised: &mut bool) -> Option<Named> {
    let text = &word.text[..];
    let wild = text.iter().any(|byte| matches!(byte, b'?' | b'*'));
    if wild {
        let command = by_pattern(text, word.tricks)?;
        *disguised = true;
        return Some(Named { command, by_path: true, arguments_from: None });
    }
    let base_at = text.iter().rposition(|byte| matches!(byte, b'/' | b'\\')).map_or(0, |at| at + 1);
    let mut base = &text[base_at..];
    for end in [&b".exe"[..], b".com"] {
        if base.len() > 4 && base[base.len() - 4..].eq_ignore_ascii_case(end) {
            base = &base[..base.len() - 4];
        }
    }
    let folder = &text[..base_at];
    let is_program_folder = || {
        let has = |part: &[u8]| memchr::memmem::find(&folder.to_ascii_lowercase(), part).is_some();
        has(b"bin/") || has(b"system32") || has(b"windows") || folder.iter().all(|byte| *byte == b'/')
    };
    if let Some(command) = table::find(base) {
        if base_at == 0 {
            return Some(Named { command, by_path: false, arguments_from: None });
        }
        if is_program_folder() || word.tricks.has(Tricks::VARIABLE) {
            // `//bin/x` is a comment or an address as often as not; `///bin/cat` is neither.
            return Some(Named { command, by_path: folder != b"/", arguments_from: None });
        }
    }
    if base.len() < text.len() - base_at && base.len() > 1 && word.tricks == Tricks::NONE {
        return Some(Named { command: &PROGRAM, by_path: base_at > 0, arguments_from: None });
    }
    if table::is_cmdlet(text) {
        return Some(Named { command: &CMDLET, by_path: false, arguments_from: None });
    }
    // `dir/s`, `cmd/c`, `cd\`.
    let first = text.iter().position(|byte| matches!(byte, b'/' | b'\\' | b'.'))?;
    let command = table::find(&text[..first]).filter(|command| command.system == System::Windows)?;
    let plain = word.tricks == Tricks::NONE && text[first] != b'.';
    plain.then_some(Named { command, by_path: false, arguments_from: Some(first) })
}

/// `/???/c?t`, `/bin/c*`: folders that programs are in, then a program.
fn by_pattern(text: &[u8], tricks: Tricks) -> Option<&'static Command> {
    const FOLDERS: [&[u8]; 6] = [b"bin", b"usr", b"sbin", b"local", b"windows", b"system32"];
    let mut parts =
        text.split(|byte| matches!(byte, b'/' | b'\\')).filter(|part| !part.is_empty()).peekable();
    let letters = text.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    if matches!(text, [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic()) {
        let wild = |byte: &&u8| matches!(**byte, b'?' | b'*');
        return (text.iter().filter(wild).count() >= 3 && letters >= 3).then_some(&PATTERN);
    }
    let mut folders = 0;
    while let Some(part) = parts.next() {
        if parts.peek().is_some() {
            folders += 1;
            if !FOLDERS.iter().any(|folder| matches_pattern(part, folder)) {
                return None;
            }
            continue;
        }
        let enough = match folders {
            0 => tricks.has(Tricks::SLICE) && letters >= 2,
            _ => text[0] == b'/' && letters >= 1 && part.len() >= 2,
        };
        let command = table::all().iter().find(|command| matches_pattern(part, command.name.as_bytes()));
        return command.filter(|_| enough);
    }
    None
}

/// Whether a pattern of `?`, `*` and letters stands for the name. The star is tried greedily, so the time is the
/// product of two short lengths.
fn matches_pattern(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// What follows the name of a command.
struct Arguments {
    shapes: Shapes,
    count: u32,
    /// How many are words of letters.
    words: u32,
    /// Parentheses that arguments have opened.
    open: u32,
    first: smallvec::SmallVec<[u8; 16]>,
    end: End,
}

impl Arguments {
    fn read(value: &[u8], from: usize, inside: Inside) -> Arguments {
        let mut all = Arguments {
            shapes: Shapes::NONE,
            count: 0,
            words: 0,
            open: 0,
            first: smallvec::SmallVec::new(),
            end: End { at: from, by: By::Value },
        };
        let mut at = from;
        loop {
            while value.get(at).is_some_and(|byte| is_blank(*byte) || inside.braces && *byte == b',') {
                at += 1;
            }
            match all.step(value, at, from, inside) {
                Ok(next) => at = next,
                Err(by) => {
                    all.end = End { at, by };
                    return all;
                }
            }
        }
    }

    /// One argument: where the next may begin, or what ends the command.
    fn step(&mut self, value: &[u8], at: usize, from: usize, inside: Inside) -> Result<usize, By> {
        let Some(&byte) = value.get(at) else { return Err(By::Value) };
        if self.count >= MOST_ARGUMENTS || at - from > MOST_BYTES {
            return Err(By::Long);
        }
        match byte {
            b'&' if value.get(at + 1) == Some(&b'>') => Ok(at + 1),
            b';' | b'|' | b'&' | b'\n' | b'\r' => Err(By::Separator),
            b'\\'
                if matches!(value.get(at + 1), Some(b'n' | b'r'))
                    && value.get(at + 2).is_none_or(|byte| !byte.is_ascii_alphanumeric()) =>
            {
                Err(By::Separator)
            }
            b')' if self.open > 0 => {
                self.open -= 1;
                Ok(at + 1)
            }
            b')' => Err(By::Close),
            b'}' if inside.braces => Err(By::Close),
            b'`' if inside.ticks => Err(By::Close),
            b'#' | 0 => Err(By::Comment),
            // `2>&1`
            b'0'..=b'9' if value.get(at + 1) == Some(&b'>') => Ok(at + 1),
            b'>' if value.get(at + 1) == Some(&b'&') && value.get(at + 2).is_some_and(u8::is_ascii_digit) => {
                Ok(at + 3)
            }
            b'<' | b'>' => {
                self.shapes = self.shapes.and(Shapes::REDIRECT);
                if value.get(at + 1) == Some(&b'(') {
                    self.shapes = self.shapes.and(Shapes::SUBSTITUTION);
                }
                let skip = value[at..].iter().take(4).take_while(|byte| b"<>&".contains(byte)).count();
                Ok(at + skip)
            }
            _ => self.take(value, at, inside),
        }
    }

    fn take(&mut self, value: &[u8], at: usize, inside: Inside) -> Result<usize, By> {
        let word = read(value, at, Place::Argument, inside);
        let tricks = word.tricks;
        let mut shapes = Shapes::of(&word.text);
        if tricks.has(Tricks::QUOTES) || tricks.has(Tricks::WHOLE) {
            shapes = shapes.and(Shapes::QUOTE);
        }
        if tricks.has(Tricks::VARIABLE) || tricks.has(Tricks::SLICE) || tricks.has(Tricks::EMPTY) {
            shapes = shapes.and(Shapes::VARIABLE);
        }
        if tricks.has(Tricks::SUBSTITUTION) {
            shapes = shapes.and(Shapes::SUBSTITUTION);
        }
        if tricks.has(Tricks::SLICE)
            || tricks.has(Tricks::ANSI)
            || tricks.has(Tricks::IFS)
            || tricks.has(Tricks::CARET)
        {
            shapes = shapes.and(Shapes::DISGUISE);
        }
        self.shapes = self.shapes.and(shapes);
        if word.end > at {
            self.count += 1;
            self.open += u32::from(word.text.contains(&b'('));
            let is_word = !tricks.has(Tricks::WHOLE) && word.text.iter().any(u8::is_ascii_alphabetic);
            let prose =
                |byte: &u8| byte.is_ascii_alphabetic() || b",.'!?-".contains(byte) || !byte.is_ascii();
            if is_word && word.text.iter().all(prose) && word.text.first() != Some(&b'-') {
                self.words += 1;
            }
            if self.count == 1 {
                self.first = word.text.iter().take(16).copied().collect();
            }
        }
        match word.stop {
            Stop::Quote => Err(By::Quote),
            // A byte that cannot be read as anything: it counts as part of an argument.
            _ if word.end == at => Ok(at + 1),
            _ => Ok(word.end),
        }
    }
}

fn weigh(command: &Command, by_path: bool, arguments: &Arguments) -> u8 {
    let shapes = arguments.shapes;
    if arguments.count == 0 {
        return match by_path {
            true if command.alone > 0 => 3,
            true => 2,
            false => command.alone,
        };
    }
    if command.has_subcommand(&arguments.first) && arguments.words <= if command.odd { 5 } else { 3 } {
        return 3;
    }
    let prose = arguments.words >= 3 && !shapes.meets(Shapes::SOLID);
    if prose {
        return 0;
    }
    if shapes.meets(Shapes::SECRET) && command.takes.meets(Shapes::GLOB) && arguments.count <= 6 {
        return 4;
    }
    if shapes.meets(Shapes::REDIRECT)
        && shapes.meets(Shapes::SYSTEM_PATH.and(Shapes::PATH))
        && (command.alone > 0 || by_path || command.takes.meets(Shapes::REDIRECT))
    {
        return 3;
    }
    let strong = shapes.meets(command.takes);
    let only_soft = !shapes.meets(Shapes::SOLID) && arguments.words >= 2;
    let only_number = shapes == Shapes::NUMBER || shapes == Shapes::NUMBER.and(Shapes::BIG_NUMBER);
    if command.takes.meets(Shapes::NUMBER) && !command.takes.meets(Shapes::OPTION.and(Shapes::SWITCH)) {
        return if only_number && arguments.count == 1 { 3 } else { 0 };
    }
    if command.takes.meets(Shapes::PROGRAM) && shapes.meets(Shapes::PROGRAM) {
        return if arguments.count == 1 { 3 } else { 0 };
    }
    match (strong, only_soft) {
        (true, false) => 3,
        (true, true) => u8::from(command.odd || by_path),
        (false, _) if by_path => 2,
        (false, _) if command.odd && arguments.count <= 3 => command.alone.max(1),
        (false, _) if matches!(command.name, "echo" | "print") && arguments.count == 1 => 2,
        // `id x` or `dir names` is a sentence.
        (false, _) => 0,
    }
}
