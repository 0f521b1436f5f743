//! PCRE's grammar: what an expression says, as a [`Tree`] whose classes are spelled for the regex
//! crate already. Literals and classes are bytes, as PCRE reads them without its UTF option.

use super::Refusal;
use super::escape::{self, Escape};
use super::tree::{Around, Greed, Group, GroupKind, Look, Repeat, Tree};
use super::write;
use crate::waf::bytes::ByteSet;

/// Groups inside each other at most; the regex crate's own limit is of that order.
const DEPTH: usize = 100;
/// Bytes of an expression; the longest of public rule sets has 12 KB.
const LONGEST: usize = 64 * 1024;

pub(super) struct Parsed {
    pub tree: Tree,
    /// Case does not count somewhere.
    pub caseless: bool,
    pub notes: Vec<String>,
}

#[derive(Clone, Copy)]
pub(super) struct Flags {
    pub caseless: bool,
    pub lines: bool,
    pub dot_all: bool,
    extended: bool,
    extended_classes: bool,
    ungreedy: bool,
}

pub(super) struct Parser<'a> {
    pub text: &'a [u8],
    pub at: usize,
    pub flags: Flags,
    pub groups: usize,
    /// All capturing groups of the expression, counted beforehand.
    pub all_groups: usize,
    pub names: Vec<(String, usize)>,
    pub notes: Vec<String>,
    depth: usize,
}

pub(super) fn parse(pattern: &str) -> Result<Parsed, Refusal> {
    let mut parser = Parser {
        text: pattern.as_bytes(),
        at: 0,
        flags: Flags {
            caseless: false,
            lines: false,
            dot_all: true,
            extended: false,
            extended_classes: false,
            ungreedy: false,
        },
        groups: 0,
        all_groups: count_groups(pattern.as_bytes()),
        names: Vec::new(),
        notes: Vec::new(),
        depth: 0,
    };
    if pattern.len() > LONGEST {
        return Err(parser.refuse(0, "the expression is longer than 64 KiB", "split it into several rules"));
    }
    if pattern.starts_with("(*") {
        return Err(parser.refuse(
            0,
            "`(*...)` sets options of PCRE alone",
            "leave it out, or write the flag `(?i)`",
        ));
    }
    let tree = parser.alternation()?;
    if parser.at < parser.text.len() {
        return Err(parser.refuse(parser.at, "a `)` without its `(`", "write `\\)` for the character"));
    }
    let caseless = tree.any(&mut |part| match part {
        Tree::Flags(flags) => flags.contains('i'),
        Tree::Group(group) => matches!(&group.kind, GroupKind::Plain(flags) if flags.contains('i')),
        _ => false,
    });
    Ok(Parsed { tree, caseless, notes: parser.notes })
}

/// Capturing groups, told from the text alone: `\12` is a back-reference when there are so many.
fn count_groups(text: &[u8]) -> usize {
    let (mut count, mut at, mut in_class) = (0, 0, false);
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            b'[' if !in_class => {
                in_class = true;
                at += usize::from(text.get(at + 1) == Some(&b'^'));
                at += usize::from(text.get(at + 1) == Some(&b']'));
            }
            b']' => in_class = false,
            b'(' if !in_class => {
                let rest = &text[at + 1..];
                count += usize::from(
                    !rest.starts_with(b"?") && !rest.starts_with(b"*")
                        || rest.starts_with(b"?P<")
                        || rest.starts_with(b"?'")
                        || rest.starts_with(b"?<") && !matches!(rest.get(2), Some(b'=' | b'!')),
                );
            }
            _ => {}
        }
        at += 1;
    }
    count
}

impl Parser<'_> {
    pub fn refuse(&self, at: usize, what: impl Into<String>, help: impl Into<String>) -> Refusal {
        Refusal { at: characters(self.text, at), what: what.into(), help: help.into() }
    }

    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub fn rest(&self) -> &[u8] {
        &self.text[self.at.min(self.text.len())..]
    }

    pub fn take(&mut self, start: &str) -> bool {
        let found = self.rest().starts_with(start.as_bytes());
        if found {
            self.at += start.len();
        }
        found
    }

    /// The text up to this byte, which is taken as well.
    pub fn until(&mut self, end: u8) -> Option<String> {
        let length = self.rest().iter().position(|&byte| byte == end)?;
        let text = String::from_utf8_lossy(&self.rest()[..length]).into_owned();
        self.at += length + 1;
        Some(text)
    }

    fn alternation(&mut self) -> Result<Tree, Refusal> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.refuse(
                self.at,
                "more than 100 groups inside each other",
                "take some of them apart",
            ));
        }
        let mut branches = vec![self.concat()?];
        while self.take("|") {
            branches.push(self.concat()?);
        }
        self.depth -= 1;
        Ok(if branches.len() == 1 { branches.remove(0) } else { Tree::Alternation(branches) })
    }

    fn concat(&mut self) -> Result<Tree, Refusal> {
        let mut parts = Vec::new();
        loop {
            self.skip_comments()?;
            let start = self.at;
            match self.peek() {
                None | Some(b'|' | b')') => break,
                Some(_) => {}
            }
            if self.take("\\Q") {
                let quoted = self.quoted();
                parts.extend(quoted.iter().map(|&byte| self.literal(byte)));
                // A quantifier after \E is the last character's.
                if let Some(last) = parts.pop() {
                    let last = self.repeats(last, start)?;
                    parts.push(last);
                }
                continue;
            }
            if self.take("\\E") {
                continue;
            }
            let Some(atom) = self.atom()? else { continue };
            let atom = self.repeats(atom, start)?;
            parts.push(atom);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tree::Concat(parts) })
    }

    /// `(?#...)`, and with the flag x white space and `#` lines.
    fn skip_comments(&mut self) -> Result<(), Refusal> {
        loop {
            let start = self.at;
            if self.take("(?#") {
                if self.until(b')').is_none() {
                    return Err(self.refuse(start, "a comment without its `)`", "close it"));
                }
            } else if self.flags.extended
                && self.peek().is_some_and(|byte| b" \t\n\r\x0b\x0c".contains(&byte))
            {
                self.at += 1;
            } else if self.flags.extended && self.peek() == Some(b'#') {
                if self.until(b'\n').is_none() {
                    self.at = self.text.len();
                }
            } else {
                return Ok(());
            }
        }
    }

    /// What `\Q` quotes.
    pub fn quoted(&mut self) -> Vec<u8> {
        let rest = self.rest();
        let length = rest.windows(2).position(|two| two == b"\\E").unwrap_or(rest.len());
        let quoted = rest[..length].to_vec();
        self.at = (self.at + length + 2).min(self.text.len());
        quoted
    }

    pub fn literal(&self, byte: u8) -> Tree {
        Tree::Class { set: self.folded(ByteSet::of(&[byte])), text: write::literal(byte) }
    }

    /// With the other case when case does not count.
    pub fn folded(&self, set: ByteSet) -> ByteSet {
        if !self.flags.caseless {
            return set;
        }
        let both: Vec<u8> =
            set.iter().flat_map(|byte| [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()]).collect();
        ByteSet::of(&both)
    }

    fn atom(&mut self) -> Result<Option<Tree>, Refusal> {
        let start = self.at;
        let Some(byte) = self.peek() else { return Ok(None) };
        self.at += 1;
        Ok(Some(match byte {
            b'.' if self.flags.dot_all => Tree::Class { set: ByteSet::FULL, text: ".".to_owned() },
            b'.' => Tree::Class { set: ByteSet::of(b"\n").complement(), text: ".".to_owned() },
            b'^' if self.flags.lines => {
                self.notes.push("`^` also matches after a line break at the very end".to_owned());
                Tree::Look(Look::LineStart)
            }
            b'$' if self.flags.lines => Tree::Look(Look::LineEnd),
            b'^' => Tree::Look(Look::Start),
            b'$' => Tree::Look(Look::End),
            b'[' if self.take("[:<:]]") => Tree::Look(Look::WordStart),
            b'[' if self.take("[:>:]]") => Tree::Look(Look::WordEnd),
            b'[' => self.class(start)?,
            b'(' => return self.group(start),
            b'*' | b'+' | b'?' => {
                return Err(self.refuse(
                    start,
                    format!("`{}` has nothing before it to repeat", char::from(byte)),
                    "write a backslash before it for the character",
                ));
            }
            b'{' => {
                self.at -= 1;
                if self.counted()?.is_some() {
                    let help = "write a backslash before it for the character";
                    return Err(self.refuse(start, "a repetition has nothing before it to repeat", help));
                }
                self.at += 1;
                self.literal(byte)
            }
            b'\\' => match escape::outside(self, start)? {
                Escape::Tree(tree) => tree,
                Escape::Byte(byte) => self.literal(byte),
            },
            _ => self.literal(byte),
        }))
    }

    /// The quantifiers behind an atom.
    fn repeats(&mut self, atom: Tree, start: usize) -> Result<Tree, Refusal> {
        self.skip_comments()?;
        let at = self.at;
        let Some((min, max)) = self.quantifier()? else { return Ok(atom) };
        let mut greed = match self.peek() {
            Some(b'?') => Greed::Lazy,
            Some(b'+') => Greed::Possessive,
            _ => Greed::Greedy,
        };
        self.at += usize::from(greed != Greed::Greedy);
        greed = match greed {
            Greed::Greedy if self.flags.ungreedy => Greed::Lazy,
            Greed::Lazy if self.flags.ungreedy => Greed::Greedy,
            greed => greed,
        };
        if matches!(self.peek(), Some(b'*' | b'+' | b'?')) {
            return Err(self.refuse(
                at,
                "one quantifier stands behind another",
                "put the first in `(?:...)`",
            ));
        }
        match atom {
            // A place holds as often as it is asked, and an optional one says nothing.
            Tree::Look(_) | Tree::Around(_) => Ok(if min == 0 { Tree::empty() } else { atom }),
            Tree::Flags(_) => {
                Err(self.refuse(start, "a quantifier behind flags repeats nothing", "remove it"))
            }
            inner => Ok(Tree::Repeat(Box::new(Repeat { inner, min, max, greed }))),
        }
    }

    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, Refusal> {
        let found = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => return self.counted(),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(found))
    }

    /// `{n}`, `{n,}`, `{n,m}`. Any other `{` is a character, `{,n}` as well (up to PCRE 10.42).
    fn counted(&mut self) -> Result<Option<(u32, Option<u32>)>, Refusal> {
        let start = self.at;
        let Some(length) = self.rest().iter().position(|&byte| byte == b'}') else { return Ok(None) };
        let inner = String::from_utf8_lossy(&self.rest()[1..length]).into_owned();
        let (min, max) = inner.split_once(',').map_or((inner.as_str(), None), |(min, max)| (min, Some(max)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(min) || max.is_some_and(|max| !max.is_empty() && !digits(max)) {
            return Ok(None);
        }
        // PCRE's own limit.
        let number = |text: &str| text.parse::<u32>().ok().filter(|&number| number <= 65_535);
        let too_big = || self.refuse(start, "a repetition of more than 65535", "use a smaller number");
        let least = number(min).ok_or_else(too_big)?;
        let most = match max {
            None => Some(least),
            Some("") => None,
            Some(max) => Some(number(max).ok_or_else(too_big)?),
        };
        if most.is_some_and(|most| most < least) {
            return Err(self.refuse(
                start,
                "the numbers of the repetition are the wrong way round",
                "swap them",
            ));
        }
        self.at += length + 1;
        Ok(Some((least, most)))
    }

    fn group(&mut self, start: usize) -> Result<Option<Tree>, Refusal> {
        let kind = if self.take("?") {
            match self.special(start)? {
                Special::Kind(kind) => kind,
                Special::Tree(tree) => return Ok(tree),
            }
        } else if self.peek() == Some(b'*') {
            let help = "leave the verb out; back-tracking control has no meaning in linear time";
            return Err(self.refuse(start, "`(*...)` steers PCRE's back-tracking", help));
        } else {
            self.groups += 1;
            GroupKind::Capture(self.groups, None)
        };
        let inner = self.inside(start)?;
        Ok(Some(Tree::Group(Box::new(Group { kind, inner }))))
    }

    /// What stands before the `)`; flags set in it end with it.
    fn inside(&mut self, start: usize) -> Result<Tree, Refusal> {
        let flags = self.flags;
        let inner = self.alternation()?;
        self.flags = flags;
        if !self.take(")") {
            return Err(self.refuse(start, "a `(` without its `)`", "close the group, or write `\\(`"));
        }
        Ok(inner)
    }

    /// What follows `(?`.
    fn special(&mut self, start: usize) -> Result<Special, Refusal> {
        for (sign, ahead, negative) in
            [("=", true, false), ("!", true, true), ("<=", false, false), ("<!", false, true)]
        {
            if self.take(sign) {
                let inner = self.inside(start)?;
                let at = characters(self.text, start);
                return Ok(Special::Tree(Some(Tree::Around(Box::new(Around {
                    ahead,
                    negative,
                    inner,
                    at,
                })))));
            }
        }
        if self.take(":") {
            return Ok(Special::Kind(GroupKind::Plain(String::new())));
        }
        if self.take(">") {
            return Ok(Special::Kind(GroupKind::Atomic));
        }
        for (open, close) in [("P<", b'>'), ("<", b'>'), ("'", b'\'')] {
            if self.take(open) {
                return self.named(start, close);
            }
        }
        if self.take("P=") {
            let name = self.until(b')').unwrap_or_default();
            return Ok(Special::Tree(Some(self.back(self.named_group(&name, start)?, start))));
        }
        match self.peek() {
            Some(b'|') => Err(self.refuse(
                start,
                "`(?|` counts groups anew in each branch",
                "number the groups in order",
            )),
            Some(b'(') => Err(self.refuse(
                start,
                "a conditional group cannot be matched in linear time",
                "write its two cases as two rules, or as two branches",
            )),
            Some(b'R' | b'&' | b'0'..=b'9' | b'+') => Err(self.recursion(start)),
            Some(b'P') => Err(self.recursion(start)),
            Some(b'-') if self.rest().get(1).is_some_and(u8::is_ascii_digit) => Err(self.recursion(start)),
            Some(b'C') => Err(self.refuse(start, "`(?C` calls out of the expression", "leave it out")),
            _ => self.options(start),
        }
    }

    /// `\Z`: at the end, or before a line break there.
    pub fn almost_end(&self, start: usize) -> Tree {
        let end = || Tree::Look(Look::End);
        let inner = Tree::Alternation(vec![end(), Tree::Concat(vec![Tree::byte(b'\n'), end()])]);
        let at = characters(self.text, start);
        Tree::Around(Box::new(Around { ahead: true, negative: false, inner, at }))
    }

    pub fn back(&self, group: usize, start: usize) -> Tree {
        Tree::Back { group, caseless: self.flags.caseless, at: characters(self.text, start) }
    }

    pub fn recursion(&self, start: usize) -> Refusal {
        self.refuse(
            start,
            "an expression that calls itself cannot be matched in linear time",
            "write the nesting out as deep as it is needed",
        )
    }

    fn named(&mut self, start: usize, close: u8) -> Result<Special, Refusal> {
        let name = self.until(close).unwrap_or_default();
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty()
            || name.starts_with(|first: char| first.is_ascii_digit())
            || !name.bytes().all(word)
        {
            return Err(self.refuse(
                start,
                "the name of a group is not a word",
                "use letters, digits and `_`",
            ));
        }
        self.groups += 1;
        if self.names.iter().any(|(known, _)| *known == name) {
            return Err(self.refuse(start, format!("two groups have the name `{name}`"), "rename one"));
        }
        self.names.push((name.clone(), self.groups));
        Ok(Special::Kind(GroupKind::Capture(self.groups, Some(name))))
    }

    pub fn named_group(&self, name: &str, start: usize) -> Result<usize, Refusal> {
        let found = self.names.iter().find(|(known, _)| known == name);
        found.map(|(_, group)| *group).ok_or_else(|| {
            self.refuse(start, format!("no group before it has the name `{name}`"), "name the group first")
        })
    }

    /// `(?i)`, `(?i-s:...)`.
    fn options(&mut self, start: usize) -> Result<Special, Refusal> {
        let before = self.flags;
        let mut on = true;
        if self.take("^") {
            self.flags =
                Flags { caseless: false, lines: false, dot_all: false, extended: false, ..self.flags };
        }
        loop {
            let Some(byte) = self.peek() else {
                return Err(self.refuse(start, "a `(` without its `)`", "close the group"));
            };
            self.at += 1;
            match byte {
                b'-' => on = false,
                b'i' => self.flags.caseless = on,
                b'm' => self.flags.lines = on,
                b's' => self.flags.dot_all = on,
                b'x' => {
                    self.flags.extended = on;
                    self.flags.extended_classes = on && self.take("x");
                }
                b'U' => self.flags.ungreedy = on,
                b'J' => {}
                b')' => return Ok(Special::Tree(changes(before, self.flags).map(Tree::Flags))),
                b':' => {
                    let kind = GroupKind::Plain(changes(before, self.flags).unwrap_or_default());
                    let inner = self.inside(start)?;
                    self.flags = before;
                    return Ok(Special::Tree(Some(Tree::Group(Box::new(Group { kind, inner })))));
                }
                _ => {
                    return Err(self.refuse(
                        start,
                        format!("`(?` with `{}` is not known", char::from(byte).escape_default()),
                        "flags are i, m, s, x and U",
                    ));
                }
            }
        }
    }

    pub fn skips_space_in_classes(&self) -> bool {
        self.flags.extended_classes
    }
}

enum Special {
    Kind(GroupKind),
    Tree(Option<Tree>),
}

/// The flags that the regex crate is told of: `^` and `$` are written out, and layout is gone.
fn changes(before: Flags, now: Flags) -> Option<String> {
    let (mut on, mut off) = (String::new(), String::new());
    for (was, is, sign) in [(before.caseless, now.caseless, 'i'), (before.dot_all, now.dot_all, 's')] {
        if was != is {
            if is { &mut on } else { &mut off }.push(sign);
        }
    }
    if !off.is_empty() {
        on.push('-');
        on.push_str(&off);
    }
    (!on.is_empty()).then_some(on)
}

/// The number of the character at this byte, from 1.
fn characters(text: &[u8], at: usize) -> usize {
    text[..at.min(text.len())].iter().filter(|&&byte| byte & 0xc0 != 0x80).count() + 1
}
