//! One word of a command line as the shell would see it: quotes, escapes, empty expansions and carets taken away, and a
//! note of each trick that was used. Nobody writes `c''at` but to hide `cat`.
//!
//! Read leniently, as sh, cmd.exe and PowerShell at once; never further than a bounded part of the value.

use smallvec::SmallVec;

use super::table;

/// How a word was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tricks(u16);

impl Tricks {
    pub(super) const NONE: Tricks = Tricks(0);
    /// quotes around a part of it
    pub(super) const QUOTES: Tricks = Tricks(1);
    /// quotes around all of it, which is ordinary
    pub(super) const WHOLE: Tricks = Tricks(1 << 1);
    pub(super) const ESCAPE: Tricks = Tricks(1 << 2);
    pub(super) const CARET: Tricks = Tricks(1 << 3);
    /// `$@`, `$()`, two back quotes
    pub(super) const EMPTY: Tricks = Tricks(1 << 4);
    /// `$x`, `%x%`
    pub(super) const VARIABLE: Tricks = Tricks(1 << 5);
    /// `$'\x63'`
    pub(super) const ANSI: Tricks = Tricks(1 << 6);
    /// a command's output inside the word
    pub(super) const SUBSTITUTION: Tricks = Tricks(1 << 7);
    /// `${PATH:0:1}`, `%PATH:~0,1%`
    pub(super) const SLICE: Tricks = Tricks(1 << 8);
    /// `$IFS` for a space
    pub(super) const IFS: Tricks = Tricks(1 << 9);
    /// `{cat,file}`
    pub(super) const BRACE: Tricks = Tricks(1 << 10);
    pub(super) const WILD: Tricks = Tricks(1 << 11);

    /// The ones that nobody uses honestly inside the name of a command.
    pub(super) const DISGUISE: Tricks = Tricks(
        Tricks::QUOTES.0
            | Tricks::ESCAPE.0
            | Tricks::CARET.0
            | Tricks::EMPTY.0
            | Tricks::ANSI.0
            | Tricks::SUBSTITUTION.0
            | Tricks::SLICE.0
            | Tricks::IFS.0
            | Tricks::BRACE.0,
    );

    pub(super) fn add(&mut self, other: Tricks) {
        self.0 |= other.0;
    }

    pub(super) fn has(self, other: Tricks) -> bool {
        self.0 & other.0 != 0
    }
}

/// What a word ended at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    Blank,
    /// The end of the value, a separator, what closes a substitution.
    End,
    /// A quote that nothing closes: the value leaves the string it was put into, or goes back into it.
    Quote,
    /// `(`
    Call,
    /// `=`
    Assign,
    /// `<` or `>`
    Redirect,
    /// A byte that no name of a command has.
    Other,
}

/// A word without its disguise.
pub(super) struct Word {
    pub(super) text: SmallVec<[u8; 64]>,
    /// The index after it.
    pub(super) end: usize,
    pub(super) tricks: Tricks,
    pub(super) stop: Stop,
}

/// What kind of word is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The name of a command: only bytes that names have.
    Name,
    /// An argument: anything up to a blank.
    Argument,
}

/// What surrounds the word.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Inside {
    /// Between back quotes.
    pub(super) ticks: bool,
    /// In a list of braces: commas are blanks.
    pub(super) braces: bool,
    /// Names may be given values before the command. In a query `a=b` is a parameter.
    pub(super) assigns: bool,
}

/// More of a word is not kept: the longest name is far shorter, and a path that long is only a path.
const LONGEST: usize = 64;
/// How far the end of a quoted part is looked for.
const LONGEST_QUOTE: usize = 200;

/// Reads the word that begins at `at`.
pub(super) fn read(value: &[u8], at: usize, place: Place, inside: Inside) -> Word {
    let word = Word { text: SmallVec::new(), end: at, tricks: Tricks::NONE, stop: Stop::End };
    let mut reader = Reader { value, word, place, inside, began: at };
    reader.run();
    reader.word
}

struct Reader<'a> {
    value: &'a [u8],
    word: Word,
    place: Place,
    inside: Inside,
    began: usize,
}

impl Reader<'_> {
    fn run(&mut self) {
        while let Some(&byte) = self.value.get(self.word.end) {
            let stop = match byte {
                b'a'..=b'z'
                | b'A'..=b'Z'
                | b'0'..=b'9'
                | b'_'
                | b'-'
                | b'.'
                | b'/'
                | b':'
                | b'+'
                | b'~'
                | b'@' => self.push(byte),
                b' ' | b'\t' | 0x0b | 0x0c => Some(Stop::Blank),
                b'\n' | b'\r' | b';' | b'|' | b'&' | b')' | 0 => Some(Stop::End),
                b'#' if self.place == Place::Name && !self.word.text.is_empty() => Some(Stop::End),
                b'}' if self.inside.braces || self.place == Place::Name => Some(Stop::End),
                b',' if self.inside.braces => Some(Stop::Blank),
                b'<' | b'>' => Some(Stop::Redirect),
                b'\'' | b'"' => self.quote(byte),
                b'\\' => self.backslash(),
                b'^' => self.caret(),
                b'$' => self.dollar(),
                b'`' => self.tick(),
                b'%' => self.percent(),
                b'?' | b'*' => {
                    self.word.tricks.add(Tricks::WILD);
                    self.push(byte)
                }
                b'[' if self.at(1) != Some(b' ') => self.class(),
                b'(' if self.place == Place::Name => Some(Stop::Call),
                b'=' if self.place == Place::Name => Some(Stop::Assign),
                b'[' | b'!' if self.word.text.is_empty() => self.push(byte),
                _ if self.place == Place::Argument => self.push(byte),
                _ => Some(Stop::Other),
            };
            if let Some(stop) = stop {
                self.word.stop = stop;
                return;
            }
        }
        self.word.stop = Stop::End;
    }

    fn at(&self, ahead: usize) -> Option<u8> {
        self.value.get(self.word.end + ahead).copied()
    }

    fn keep(&mut self, byte: u8) {
        if self.word.text.len() < LONGEST {
            self.word.text.push(byte);
        }
    }

    fn push(&mut self, byte: u8) -> Option<Stop> {
        self.keep(byte);
        self.word.end += 1;
        None
    }

    /// The index of `byte` from `from` on, within the bound.
    fn find(&self, byte: u8, from: usize) -> Option<usize> {
        let rest = self.value.get(from..)?;
        memchr::memchr(byte, &rest[..rest.len().min(LONGEST_QUOTE)]).map(|at| from + at)
    }

    fn quote(&mut self, quote: u8) -> Option<Stop> {
        let open = self.word.end;
        let Some(close) = self.find(quote, open + 1) else {
            // An odd quote in a word that has others.
            if self.word.tricks.has(Tricks::QUOTES)
                && self.at(1).is_some_and(|next| next.is_ascii_alphabetic())
            {
                self.word.end += 1;
                return None;
            }
            return Some(Stop::Quote);
        };
        let part = &self.value[open + 1..close];
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./\\:^@$*?~+".contains(byte);
        if self.place == Place::Name && !part.iter().all(plain) {
            return Some(Stop::Quote);
        }
        let ends = self
            .value
            .get(close + 1)
            .is_none_or(|next| !next.is_ascii_alphanumeric() && !b"'\"\\/$_-".contains(next));
        let whole = open == self.began && ends && !part.is_empty();
        self.word.tricks.add(if whole { Tricks::WHOLE } else { Tricks::QUOTES });
        let (start, end) = (open + 1, close.min(open + 1 + LONGEST));
        (start..end).for_each(|at| {
            if !matches!(self.value[at], b'^' | b'\\') || self.place == Place::Argument {
                self.keep(self.value[at]);
            }
        });
        self.word.end = close + 1;
        None
    }

    fn backslash(&mut self) -> Option<Stop> {
        let text = &self.word.text;
        let in_windows_path = text.contains(&b'\\')
            || matches!(text[..], [_, b':', ..] | [b'.', b'.', ..] | [b'.'])
            || self.word.tricks.has(Tricks::VARIABLE);
        match self.at(1) {
            _ if in_windows_path => self.push(b'\\'),
            // A line break as text.
            Some(b'n' | b'r') if !text.is_empty() && self.ends_behind(2) => Some(Stop::End),
            Some(b'\n') => {
                self.word.tricks.add(Tricks::ESCAPE);
                self.word.end += 2;
                None
            }
            Some(b'\\') if text.is_empty() => self.push(b'\\'),
            Some(next) if next.is_ascii_alphabetic() || matches!(next, b'/' | b'-' | b'_' | b'.') => {
                if !self.word.text.is_empty() {
                    self.word.tricks.add(Tricks::ESCAPE);
                }
                self.word.end += 1;
                if self.word.text.is_empty() && self.place == Place::Argument {
                    self.keep(b'\\');
                }
                self.push(next)
            }
            _ if self.place == Place::Argument => self.push(b'\\'),
            _ => Some(Stop::Other),
        }
    }

    fn ends_behind(&self, ahead: usize) -> bool {
        self.at(ahead).is_none_or(|byte| {
            matches!(byte, b' ' | b';' | b'|' | b'&' | b'\\' | b'\'' | b'"' | b'\n' | b'`')
        })
    }

    fn caret(&mut self) -> Option<Stop> {
        if self.at(1).is_some_and(|next| next.is_ascii_alphanumeric() || matches!(next, b'"' | b'^' | b'\''))
        {
            self.word.tricks.add(Tricks::CARET);
            self.word.end += 1;
            return None;
        }
        if self.place == Place::Argument { self.push(b'^') } else { Some(Stop::Other) }
    }

    /// `[a]` is a, `[abc]` any letter.
    fn class(&mut self) -> Option<Stop> {
        let open = self.word.end;
        let close = self.find(b']', open + 1).filter(|close| (open + 2..open + 16).contains(close));
        let Some(close) = close else {
            return if self.place == Place::Argument { self.push(b'[') } else { Some(Stop::Other) };
        };
        self.word.tricks.add(Tricks::WILD);
        self.keep(if close == open + 2 { self.value[open + 1] } else { b'?' });
        self.word.end = close + 1;
        None
    }

    fn tick(&mut self) -> Option<Stop> {
        if self.inside.ticks {
            return Some(Stop::End);
        }
        let open = self.word.end;
        // Two of them before a word are markup.
        if self.word.text.is_empty() && self.at(1) == Some(b'`') {
            return Some(Stop::Other);
        }
        match self.find(b'`', open + 1) {
            Some(close) => {
                let part = &self.value[open + 1..close];
                let letters = part.len() <= 3 && part.iter().all(u8::is_ascii_alphabetic);
                self.word.tricks.add(match part.len() {
                    0 => Tricks::EMPTY,
                    // PowerShell's escape: only the back quotes go.
                    _ if letters && table::find(part).is_none() => Tricks::CARET,
                    _ => Tricks::SUBSTITUTION,
                });
                if self.word.tricks.has(Tricks::CARET) {
                    (open + 1..close).for_each(|at| self.keep(self.value[at]));
                }
                self.word.end = close + 1;
                None
            }
            None if self.at(1).is_some_and(|next| next.is_ascii_alphabetic())
                && !self.word.text.is_empty() =>
            {
                self.word.tricks.add(Tricks::CARET);
                self.word.end += 1;
                None
            }
            None => Some(Stop::End),
        }
    }

    fn percent(&mut self) -> Option<Stop> {
        let open = self.word.end;
        if let Some(end) = self.undecoded_slice(open) {
            self.word.tricks.add(Tricks::SLICE);
            self.word.end = end;
            return Some(Stop::Blank);
        }
        let close = self.find(b'%', open + 1).filter(|close| close - open <= 40);
        let name = close.map(|close| &self.value[open + 1..close]).unwrap_or_default();
        let usual = |byte: &u8| byte.is_ascii_alphanumeric() || b"_()".contains(byte);
        let (plain, slice) = match memchr::memmem::find(name, b":~") {
            Some(at) => (&name[..at], true),
            None => (name, false),
        };
        let Some(close) =
            close.filter(|_| plain.len() > 1 && plain[0].is_ascii_alphabetic() && plain.iter().all(usual))
        else {
            return if self.place == Place::Argument { self.push(b'%') } else { Some(Stop::Other) };
        };
        if slice {
            self.word.tricks.add(Tricks::SLICE);
            if self.place == Place::Name && table::find(&self.word.text).is_some() {
                self.word.end = close + 1;
                return Some(Stop::Blank);
            }
            self.keep(b'?');
        } else {
            self.word.tricks.add(Tricks::VARIABLE);
            if plain.eq_ignore_ascii_case(b"comspec") {
                b"cmd".iter().for_each(|byte| self.keep(*byte));
            }
        }
        self.word.end = close + 1;
        None
    }

    /// `ping%PROGRAMFILES:~10,-5%127.0.0.1` of which URL decoding has eaten the last `%12`.
    fn undecoded_slice(&self, open: usize) -> Option<usize> {
        let rest = &self.value[open + 1..self.value.len().min(open + 40)];
        let name =
            rest.iter().take_while(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'(' | b')')).count();
        let numbers = rest[name..].strip_prefix(b":~").filter(|_| name > 1)?;
        let len =
            numbers.iter().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b',')).count();
        let end = open + 1 + name + 2 + len;
        let cut = len > 1 && self.value.get(end).is_some_and(|byte| byte.is_ascii_control());
        (cut && self.place == Place::Name && table::find(&self.word.text).is_some()).then_some(end + 1)
    }

    fn dollar(&mut self) -> Option<Stop> {
        let at = self.word.end;
        match self.at(1) {
            Some(b'\'') => self.ansi(),
            Some(b'"') => {
                self.word.end += 1;
                None
            }
            Some(b'(') => self.substitution(),
            Some(b'{') => self.braced(),
            Some(b'@' | b'*' | b'!' | b'?' | b'-' | b'#' | b'0'..=b'9' | b'$') => {
                self.word.tricks.add(Tricks::EMPTY);
                self.word.end += 2;
                None
            }
            Some(next) if next.is_ascii_alphabetic() || next == b'_' => {
                let name = &self.value[at + 1..];
                let len = name
                    .iter()
                    .take(40)
                    .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
                    .count();
                self.word.end = at + 1 + len;
                self.variable(at + 1, len)
            }
            _ if self.place == Place::Argument => self.push(b'$'),
            _ => Some(Stop::Other),
        }
    }

    /// What a variable of this name stands for; the reader is behind it.
    fn variable(&mut self, start: usize, len: usize) -> Option<Stop> {
        let name = &self.value[start..start + len];
        if name == b"IFS" || name.starts_with(b"IFS") && len <= 6 && !name[3].is_ascii_alphanumeric() {
            return Some(self.ifs());
        }
        self.word.tricks.add(Tricks::VARIABLE);
        if matches!(name, b"SHELL" | b"BASH") && self.word.text.is_empty() {
            b"sh".iter().for_each(|byte| self.keep(*byte));
        }
        None
    }

    /// `$IFS` stands for blanks; `$9` or `$@` behind it only parts it from what follows.
    fn ifs(&mut self) -> Stop {
        self.word.tricks.add(Tricks::IFS);
        while let (Some(b'$'), Some(b'0'..=b'9' | b'@' | b'*')) = (self.at(0), self.at(1)) {
            self.word.end += 2;
        }
        Stop::Blank
    }

    fn braced(&mut self) -> Option<Stop> {
        let start = self.word.end + 2;
        let Some(close) = self.find(b'}', start).filter(|close| close - start <= 60) else {
            return if self.place == Place::Argument { self.push(b'$') } else { Some(Stop::Other) };
        };
        let part = &self.value[start..close];
        self.word.end = close + 1;
        let len = part.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let (name, rest) = part.split_at(len);
        if name == b"IFS" {
            return Some(self.ifs());
        }
        match rest.first() {
            None if !name.is_empty() => return self.variable(start, len),
            Some(b':' | b'%' | b'#' | b'/' | b'^' | b',' | b'!' | b'?' | b'~') => {
                self.word.tricks.add(Tricks::SLICE);
                let slash =
                    matches!(name, b"PATH" | b"HOME" | b"PWD" | b"SHELL" | b"OLDPWD" | b"BASH" | b"HISTFILE")
                        && (rest.starts_with(b":0:1") || rest.starts_with(b"%%"));
                self.keep(if slash { b'/' } else { b'?' });
            }
            _ => self.word.tricks.add(Tricks::EMPTY),
        }
        None
    }

    fn substitution(&mut self) -> Option<Stop> {
        let open = self.word.end + 1;
        let rest = &self.value[open..self.value.len().min(open + LONGEST_QUOTE)];
        let mut depth = 0_u32;
        for (at, byte) in rest.iter().enumerate() {
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.word.tricks.add(if at == 1 { Tricks::EMPTY } else { Tricks::SUBSTITUTION });
                self.word.end = open + at + 1;
                return None;
            }
        }
        // Cut off, or closed by what the value is put into.
        self.word.tricks.add(Tricks::SUBSTITUTION);
        Some(Stop::Other)
    }

    /// `$'\x63\141t'`
    fn ansi(&mut self) -> Option<Stop> {
        let open = self.word.end + 2;
        let Some(close) = self.find(b'\'', open) else { return Some(Stop::Quote) };
        let mut at = open;
        while at < close {
            let (byte, len) = match self.value[at] {
                b'\\' => escape(&self.value[at + 1..close]),
                byte => (byte, 0),
            };
            at += len + 1;
            // The word ends in the middle of the quotes; what follows is its arguments.
            if byte == b' ' && self.place == Place::Name {
                self.word.tricks.add(Tricks::ANSI);
                self.word.end = close + 1;
                return Some(Stop::Blank);
            }
            self.keep(byte);
        }
        self.word.tricks.add(Tricks::ANSI);
        self.word.end = close + 1;
        None
    }
}

/// The byte that an escape of `$'...'` stands for, and the length of what follows the backslash.
fn escape(text: &[u8]) -> (u8, usize) {
    let number = |digits: &[u8], base: u32| {
        digits.iter().fold(0_u32, |sum, digit| sum * base + char::from(*digit).to_digit(base).unwrap_or(0))
            as u8
    };
    match text {
        [b'x', rest @ ..] => {
            let len = rest.iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
            (number(&rest[..len], 16), len + 1)
        }
        [b'0'..=b'7', ..] => {
            let len = text.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
            (number(&text[..len], 8), len)
        }
        [b'n' | b't', ..] => (b' ', 1),
        [other, ..] => (*other, 1),
        [] => (b'\\', 0),
    }
}
