//! What runs a command without beginning with its name: tests and loops, calls of PowerShell and .NET, functions of
//! languages that take a command line, the text of a file.

use super::arguments::Arguments;
use super::command::{By, Parsed, simple, skip_blanks};
use super::shapes::Shapes;
use super::table;
use super::word::{Inside, Tricks, Word};

/// `if [ ...`, `if true; then`, `for x in $(...`, `while :; do`
pub(super) fn compound(value: &[u8], word: &Word) -> Option<Parsed> {
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
    Some(Parsed::certain(name, word.end))
}

/// `[System.Diagnostics.Process]::Start(...)`, `&('i'+'ex')`, `&'whoami'`: what only PowerShell calls.
pub(super) fn powershell_call(value: &[u8], at: usize) -> Option<Parsed> {
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
            let property = name.len() > 11 && name[..11].eq_ignore_ascii_case(b"environment");
            let called = memchr::memchr(b'(', &name[member..]).is_some();
            (property || called).then_some("a .NET type")?
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
    Some(Parsed { disguised: true, ..Parsed::certain(name, at) })
}

/// `$(<file)` is the text of the file.
pub(super) fn reads_file(value: &[u8], at: usize) -> Option<Parsed> {
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
pub(super) fn call(value: &[u8], word: &Word) -> Option<Parsed> {
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
        return Some(Parsed::certain("a cmdlet", word.end));
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
