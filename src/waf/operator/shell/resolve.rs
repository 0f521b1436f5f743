//! From a word to the command it names: by name, by path, by a pattern that stands for one.

use super::shapes::Shapes;
use super::table::{self, Command, System};
use super::word::{Tricks, Word};

/// A command by its name, however that is written.
pub(super) struct Named {
    pub(super) command: &'static Command,
    pub(super) by_path: bool,
    /// Windows takes switches without a blank before them: `dir/s`, `cmd/c`.
    pub(super) arguments_from: Option<usize>,
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

/// The command that a word names. Sets `disguised` where the name is a pattern.
pub(super) fn resolve(word: &Word, disguised: &mut bool) -> Option<Named> {
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
