//! What an argument looks like: an option, a path, an address. A few shapes tell a command line from a sentence.

use super::table;

/// A set of shapes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Shapes(u32);

impl Shapes {
    pub(super) const NONE: Shapes = Shapes(0);
    /// `-l`, `--all`
    pub(super) const OPTION: Shapes = Shapes(1);
    /// `/s`, as Windows writes options
    pub(super) const SWITCH: Shapes = Shapes(1 << 1);
    /// `/x`, `~/x`, `../x`, `c:\x`
    pub(super) const PATH: Shapes = Shapes(1 << 2);
    /// a path into a folder that every system has
    pub(super) const SYSTEM_PATH: Shapes = Shapes(1 << 3);
    /// `name.conf`
    pub(super) const FILE: Shapes = Shapes(1 << 4);
    pub(super) const URL: Shapes = Shapes(1 << 5);
    pub(super) const IP: Shapes = Shapes(1 << 6);
    pub(super) const HOST: Shapes = Shapes(1 << 7);
    pub(super) const NUMBER: Shapes = Shapes(1 << 8);
    /// three digits and more
    pub(super) const BIG_NUMBER: Shapes = Shapes(1 << 9);
    pub(super) const GLOB: Shapes = Shapes(1 << 10);
    pub(super) const VARIABLE: Shapes = Shapes(1 << 11);
    pub(super) const QUOTE: Shapes = Shapes(1 << 12);
    pub(super) const SUBSTITUTION: Shapes = Shapes(1 << 13);
    pub(super) const REDIRECT: Shapes = Shapes(1 << 14);
    pub(super) const WORD: Shapes = Shapes(1 << 15);
    /// files with accounts, keys and settings that attacks ask for
    pub(super) const SECRET: Shapes = Shapes(1 << 16);
    /// written so that nobody sees what it is
    pub(super) const DISGUISE: Shapes = Shapes(1 << 18);

    /// the name of a command that is no word
    pub(super) const PROGRAM: Shapes = Shapes(1 << 19);

    /// What no sentence has.
    pub(super) const SOLID: Shapes = Shapes::OPTION
        .and(Shapes::SYSTEM_PATH)
        .and(Shapes::IP)
        .and(Shapes::SECRET)
        .and(Shapes::SWITCH)
        .and(Shapes::SUBSTITUTION);

    /// What also stands in sentences, next to words.
    pub(super) const SOFT: Shapes = Shapes::FILE
        .and(Shapes::HOST)
        .and(Shapes::NUMBER)
        .and(Shapes::BIG_NUMBER)
        .and(Shapes::QUOTE)
        .and(Shapes::WORD)
        .and(Shapes::VARIABLE)
        .and(Shapes::GLOB)
        .and(Shapes::PATH)
        .and(Shapes::URL);

    pub(super) const fn and(self, other: Shapes) -> Shapes {
        Shapes(self.0 | other.0)
    }

    pub(super) const fn meets(self, other: Shapes) -> bool {
        self.0 & other.0 != 0
    }

    /// The shape as `commands.txt` names it.
    pub(super) fn named(name: &str) -> Option<Shapes> {
        Some(match name {
            "option" => Shapes::OPTION,
            "switch" => Shapes::SWITCH,
            "path" => Shapes::PATH.and(Shapes::SYSTEM_PATH),
            "file" => Shapes::FILE,
            "url" => Shapes::URL,
            "ip" => Shapes::IP,
            "host" => Shapes::HOST,
            "number" => Shapes::NUMBER,
            "bignumber" => Shapes::BIG_NUMBER,
            "glob" => Shapes::GLOB,
            "variable" => Shapes::VARIABLE,
            "quote" => Shapes::QUOTE,
            "substitution" => Shapes::SUBSTITUTION,
            "redirect" => Shapes::REDIRECT,
            "word" => Shapes::WORD,
            "program" => Shapes::PROGRAM,
            _ => return None,
        })
    }

    /// The shapes of an argument whose quotes and escapes are gone.
    pub(super) fn of(text: &[u8]) -> Shapes {
        let Some(&first) = text.first() else { return Shapes::NONE };
        let mut shapes = Shapes::NONE;
        if is_secret(text) {
            shapes = shapes.and(Shapes::SECRET).and(Shapes::SYSTEM_PATH);
        }
        if text.iter().any(|byte| matches!(byte, b'*' | b'?'))
            && (text.len() == 1 || first != b'?')
            && !is_url(text)
        {
            shapes = shapes.and(Shapes::GLOB);
        }
        let kind = match first {
            b'-' if text.len() > 1 && (text[1].is_ascii_alphanumeric() || text[1] == b'-') => Shapes::OPTION,
            b'/' | b'~' | b'\\' | b'.' if !is_number(text) => path(text),
            b'%' if text.len() > 2 => Shapes::VARIABLE,
            b'0'..=b'9' if is_ip(text) => Shapes::IP,
            b'0'..=b'9' | b'.' if is_number(text) => match text.len() {
                0..=2 => Shapes::NUMBER,
                _ => Shapes::NUMBER.and(Shapes::BIG_NUMBER),
            },
            _ if is_url(text) => Shapes::URL,
            _ if memchr::memchr(b'@', text).is_some_and(|at| at > 0 && is_ip(&text[at + 1..])) => Shapes::IP,
            _ if text.len() > 2 && text[1] == b':' && matches!(text[2], b'\\' | b'/') => {
                Shapes::PATH.and(Shapes::SYSTEM_PATH)
            }
            _ if text.len() == 2 && text[1] == b':' && first.is_ascii_alphabetic() => Shapes::PATH,
            _ if text.eq_ignore_ascii_case(b"localhost") => Shapes::HOST,
            _ if memchr::memchr(b'=', text).is_some_and(|at| text[at + 1..].starts_with(b"/")) => {
                Shapes::PATH
            }
            _ => name(text),
        };
        shapes.and(kind)
    }
}

fn path(text: &[u8]) -> Shapes {
    const ROOTS: [&[u8]; 19] = [
        b"etc", b"proc", b"dev", b"var", b"tmp", b"usr", b"bin", b"sbin", b"root", b"home", b"opt", b"boot",
        b"lib", b"mnt", b"sys", b"srv", b"run", b"windows", b"passwd",
    ];
    match text {
        [b'/'] | [b'/', b'/'] => Shapes::PATH.and(Shapes::SYSTEM_PATH),
        [b'/', rest @ ..] => {
            let start = rest.iter().position(|byte| !matches!(byte, b'/' | b'.')).unwrap_or(rest.len());
            let rest = &rest[start..];
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let root = &rest[..end];
            let wild = root.iter().any(|byte| matches!(byte, b'?' | b'*' | b'['));
            if wild || ROOTS.iter().any(|known| known.eq_ignore_ascii_case(root)) {
                Shapes::PATH.and(Shapes::SYSTEM_PATH)
            } else if end == rest.len() && rest.len() <= 12 && rest.iter().all(u8::is_ascii_alphabetic) {
                Shapes::SWITCH.and(Shapes::PATH)
            } else {
                Shapes::PATH
            }
        }
        [b'~']
        | [b'~', b'/', ..]
        | [b'.']
        | [b'.', b'.']
        | [b'.', b'.', b'/' | b'\\', ..]
        | [b'.', b'/', ..] => Shapes::PATH,
        [b'\\', b'\\', _, ..] => Shapes::PATH.and(Shapes::SYSTEM_PATH),
        [b'\\', rest @ ..] if rest.len() > 2 => Shapes::PATH,
        [b'.', rest @ ..]
            if rest.starts_with(b"env") || rest.starts_with(b"ht") || rest.starts_with(b"ssh") =>
        {
            Shapes::FILE
        }
        _ => Shapes::WORD,
    }
}

/// A file name, a host name, or a word.
fn name(text: &[u8]) -> Shapes {
    const FILES: [&[u8]; 35] = [
        b"php",
        b"conf",
        b"cfg",
        b"ini",
        b"txt",
        b"log",
        b"env",
        b"xml",
        b"yml",
        b"yaml",
        b"json",
        b"key",
        b"pem",
        b"htaccess",
        b"htpasswd",
        b"asp",
        b"aspx",
        b"jsp",
        b"py",
        b"rb",
        b"sh",
        b"db",
        b"sql",
        b"pl",
        b"exe",
        b"bat",
        b"ps1",
        b"vbs",
        b"hta",
        b"dll",
        b"config",
        b"bak",
        b"elf",
        b"jar",
        b"c",
    ];
    let inside =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b':' | b'@');
    let Some(dot) = memchr::memrchr(b'.', text) else {
        return match text {
            [b'@', ..] => Shapes::FILE,
            // A drive of PowerShell.
            [letters @ .., b':'] if letters.eq_ignore_ascii_case(b"env") => Shapes::PATH,
            [class @ .., _] if class.len() > 6 && class[..6].eq_ignore_ascii_case(b"win32_") => Shapes::PATH,
            _ if table::find(text).is_some_and(|command| command.odd) => Shapes::PROGRAM.and(Shapes::WORD),
            _ if text.contains(&b'/') && text.ends_with(b"passwd") => Shapes::PATH,
            _ => Shapes::WORD,
        };
    };
    let (before, end) = (&text[..dot], &text[dot + 1..]);
    if before.is_empty() || end.is_empty() || !text.iter().all(inside) {
        return Shapes::WORD;
    }
    if FILES.iter().any(|known| known.eq_ignore_ascii_case(end)) {
        return Shapes::FILE;
    }
    let host = end.split(|byte| matches!(byte, b'/' | b':')).next().unwrap_or_default();
    if host.len() >= 2 && host.iter().all(u8::is_ascii_alphabetic) { Shapes::HOST } else { Shapes::WORD }
}

fn is_url(text: &[u8]) -> bool {
    const SCHEMES: [&[u8]; 6] = [b"http:", b"https:", b"ftp:", b"tftp:", b"dict:", b"file:"];
    let starts =
        |scheme: &[u8]| text.len() > scheme.len() && text[..scheme.len()].eq_ignore_ascii_case(scheme);
    SCHEMES.iter().any(|scheme| starts(scheme))
        || text.starts_with(b"//") && text.len() > 6 && text.contains(&b'.')
}

/// An address of four numbers, with a port or a path behind it perhaps.
pub(super) fn is_ip(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| matches!(byte, b'/' | b':')).unwrap_or(text.len());
    let mut parts = 0;
    for part in text[..end].split(|byte| *byte == b'.') {
        parts += 1;
        if part.is_empty() || part.len() > 3 || !part.iter().all(u8::is_ascii_digit) || parts > 4 {
            return false;
        }
    }
    parts == 4
}

/// A number, with a unit of time perhaps.
fn is_number(text: &[u8]) -> bool {
    let digits = match text {
        [rest @ .., b's' | b'm' | b'h'] => rest,
        _ => text,
    };
    digits.iter().any(u8::is_ascii_digit)
        && digits.len() <= 12
        && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// Accounts, keys, the environment, and the Windows files that every machine has.
fn is_secret(text: &[u8]) -> bool {
    const ENDS: [&[u8]; 25] = [
        b"etc/passwd",
        b"etc/shadow",
        b"etc/group",
        b"etc/gshadow",
        b"etc/sudoers",
        b"etc/hosts",
        b"etc/issue",
        b"etc/hostname",
        b"etc/crontab",
        b"etc/fstab",
        b"etc/resolv.conf",
        b"etc/ssh/sshd_config",
        b"etc/master.passwd",
        b"/self/environ",
        b"/self/cmdline",
        b"/.bash_history",
        b"/.htpasswd",
        b"wp-config.php",
        b"/id_rsa",
        b"/authorized_keys",
        b"win.ini",
        b"boot.ini",
        b"drivers/etc/hosts",
        b"config/sam",
        b"/.aws/credentials",
    ];
    if text.len() < 7 {
        return false;
    }
    // Slashes may be doubled and lean either way; a wildcard stands for a letter or several.
    let mut from = text.len();
    ENDS.iter().any(|end| {
        from = text.len();
        let mut want = end.len();
        while want > 0 {
            if from == 0 {
                return false;
            }
            let (have, wanted) = (text[from - 1].to_ascii_lowercase(), end[want - 1]);
            let slash = |byte: u8| matches!(byte, b'/' | b'\\');
            if slash(wanted) && slash(have) {
                while from > 0 && (slash(text[from - 1]) || text[from - 1] == b'.') {
                    from -= 1;
                }
            } else if have == wanted || have == b'?' {
                from -= 1;
            } else {
                return false;
            }
            want -= 1;
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_has_the_shape_it_looks_like() {
        let table: [(&str, Shapes); 17] = [
            ("-la", Shapes::OPTION),
            ("--all", Shapes::OPTION),
            ("/s", Shapes::SWITCH),
            ("/etc/ssl", Shapes::SYSTEM_PATH),
            ("/???/x", Shapes::SYSTEM_PATH),
            ("/srv", Shapes::SYSTEM_PATH),
            ("../x", Shapes::PATH),
            ("c:\\boot", Shapes::SYSTEM_PATH),
            ("config.php", Shapes::FILE),
            ("http://x/", Shapes::URL),
            ("10.0.0.1", Shapes::IP),
            ("10.0.0.1:80", Shapes::IP),
            ("a.example", Shapes::HOST),
            ("5", Shapes::NUMBER),
            ("5s", Shapes::NUMBER),
            ("dog", Shapes::WORD),
            ("*", Shapes::GLOB),
        ];
        for (text, shape) in table {
            assert!(Shapes::of(text.as_bytes()).meets(shape), "{text}");
        }
        for secret in
            ["/etc/passwd", "//etc//.//passwd", "C:\\Windows\\win.ini", "/etc/p?sswd", "../../etc/shadow"]
        {
            assert!(Shapes::of(secret.as_bytes()).meets(Shapes::SECRET), "{secret}");
        }
        for plain in ["passwd", "/etc/nginx/nginx.conf", "etc", "windows", "-", "the", "e.g."] {
            assert!(!Shapes::of(plain.as_bytes()).meets(Shapes::SECRET.and(Shapes::OPTION)), "{plain}");
        }
    }
}
