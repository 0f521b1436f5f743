//! The commands that the judgement knows, read once from the list beside this file.

use std::sync::LazyLock;

use super::shapes::Shapes;

/// What is known of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) system: System,
    /// What the bare name says, 0 to 3.
    pub(super) alone: u8,
    /// True for what is no word of any language.
    pub(super) odd: bool,
    /// The shapes of arguments of which one makes it a command line.
    pub(super) takes: Shapes,
    /// First words that make it one, separated by commas.
    pub(super) subcommands: &'static str,
}

impl Command {
    pub(super) fn has_subcommand(&self, word: &[u8]) -> bool {
        self.subcommands
            .split(',')
            .any(|known| known.as_bytes().eq_ignore_ascii_case(word) && !word.is_empty())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum System {
    Unix,
    Windows,
    Any,
}

/// By name.
static COMMANDS: LazyLock<Vec<Command>> = LazyLock::new(|| {
    let mut commands: Vec<Command> =
        include_str!("commands.txt").lines().filter(|line| !line.starts_with('#')).flat_map(read).collect();
    commands.sort_by_key(|command| command.name);
    commands.dedup_by_key(|command| command.name);
    commands
});

/// The longest name in the list; what is longer needs no look.
const LONGEST: usize = 16;

/// The command of this name: Windows takes any case, Unix lower case.
pub(super) fn find(name: &[u8]) -> Option<&'static Command> {
    if !(1..=LONGEST).contains(&name.len()) {
        return None;
    }
    let mut lower = [0; LONGEST];
    let lower = &mut lower[..name.len()];
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let at = COMMANDS.binary_search_by(|command| command.name.as_bytes().cmp(lower)).ok()?;
    let command = &COMMANDS[at];
    (command.system != System::Unix || lower == name).then_some(command)
}

/// Every command, for patterns that stand for several.
pub(super) fn all() -> &'static [Command] {
    &COMMANDS
}

/// The commands of one line; the list is ours and a test reads all of it.
fn read(line: &'static str) -> impl Iterator<Item = Command> {
    let (facts, names) = line.split_once(": ").unwrap_or_default();
    let mut facts = facts.splitn(4, ' ');
    let system = match facts.next() {
        Some("unix") => System::Unix,
        Some("windows") => System::Windows,
        _ => System::Any,
    };
    let alone = facts.next().and_then(|digit| digit.parse().ok()).unwrap_or(0);
    let odd = facts.next() == Some("odd");
    let shapes = facts.next().unwrap_or_default();
    let (shapes, subcommands) = match shapes.split_once("sub(") {
        Some((shapes, rest)) => (shapes, rest.trim_end_matches(')')),
        None => (shapes, ""),
    };
    let takes = shapes.split(',').filter_map(Shapes::named).fold(Shapes::NONE, Shapes::and);
    names.split_ascii_whitespace().map(move |name| Command { name, system, alone, odd, takes, subcommands })
}

/// Words that stand before the command they run.
pub(super) fn is_prefix(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 26] = [
        b"sudo", b"doas", b"nohup", b"exec", b"command", b"builtin", b"env", b"time", b"nice", b"setsid",
        b"xargs", b"busybox", b"then", b"do", b"else", b"if", b"while", b"until", b"eval", b"start", b"call",
        b"!", b"elif", b"stdbuf", b"timeout", b"case",
    ];
    PREFIXES.contains(&name)
}

/// The shape of a PowerShell cmdlet: a verb that is one of its verbs, a noun that is one of its nouns.
pub(super) fn is_cmdlet(name: &[u8]) -> bool {
    const VERBS: [&str; 24] = [
        "get",
        "set",
        "invoke",
        "start",
        "stop",
        "new",
        "remove",
        "add",
        "copy",
        "move",
        "out",
        "write",
        "select",
        "test",
        "convertto",
        "convertfrom",
        "import",
        "export",
        "enable",
        "disable",
        "resolve",
        "register",
        "unregister",
        "restart",
    ];
    const NOUNS: [&str; 54] = [
        "process",
        "service",
        "item",
        "itemproperty",
        "content",
        "childitem",
        "webrequest",
        "restmethod",
        "expression",
        "command",
        "object",
        "sleep",
        "host",
        "location",
        "wmiobject",
        "ciminstance",
        "wmimethod",
        "computerinfo",
        "localuser",
        "localgroup",
        "localgroupmember",
        "aduser",
        "adcomputer",
        "addomain",
        "netipaddress",
        "netipconfiguration",
        "nettcpconnection",
        "netadapter",
        "hotfix",
        "eventlog",
        "winevent",
        "executionpolicy",
        "variable",
        "alias",
        "history",
        "date",
        "psdrive",
        "acl",
        "clipboard",
        "connection",
        "netconnection",
        "dnsname",
        "job",
        "scheduledtask",
        "bitstransfer",
        "mppreference",
        "module",
        "file",
        "output",
        "string",
        "credential",
        "mimikatz",
        "type",
        "ciminstancemethod",
    ];
    let Some(dash) = memchr::memchr(b'-', name) else { return false };
    let has =
        |list: &[&str], word: &[u8]| list.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word));
    has(&VERBS, &name[..dash]) && has(&NOUNS, &name[dash + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_read() {
        let lines =
            include_str!("commands.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        for line in lines {
            let (facts, names) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
            let facts: Vec<&str> = facts.splitn(4, ' ').collect();
            assert!(["unix", "windows", "any"].contains(&facts[0]), "{line}");
            assert!(
                ["0", "1", "2", "3"].contains(&facts[1]) && ["odd", "word"].contains(&facts[2]),
                "{line}"
            );
            let shapes = facts[3].split("sub(").next().unwrap_or_default();
            for shape in shapes.split(',').filter(|shape| !shape.is_empty()) {
                assert!(Shapes::named(shape).is_some(), "{shape} in {line}");
            }
            for name in names.split_ascii_whitespace() {
                assert!(name.len() <= LONGEST && find(name.as_bytes()).is_some(), "{name}");
            }
        }
        assert!(all().len() > 250);
    }

    #[test]
    fn unix_names_are_lower_case_and_windows_names_are_any() {
        assert!(find(b"ls").is_some() && find(b"LS").is_none());
        assert!(find(b"dir").is_some() && find(b"DIR").is_some());
        assert!(is_cmdlet(b"Get-ChildItem") && is_cmdlet(b"invoke-webrequest"));
        assert!(!is_cmdlet(b"set-top") && !is_cmdlet(b"start-up") && !is_cmdlet(b"getchilditem"));
    }
}
