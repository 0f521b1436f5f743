//! What stands behind a backslash, and classes in brackets.

use super::Refusal;
use super::parse::Parser;
use super::tree::{Group, GroupKind, Look, Tree};
use super::write;
use crate::waf::bytes::ByteSet;

pub(super) enum Escape {
    Byte(u8),
    Tree(Tree),
}

const DIGIT: ByteSet = ByteSet::range(b'0', b'9');
pub(super) const WORD: ByteSet =
    DIGIT.union(ByteSet::range(b'a', b'z')).union(ByteSet::range(b'A', b'Z')).union(ByteSet::of(b"_"));
const SPACE: ByteSet = ByteSet::of(b"\t\n\x0b\x0c\r ");
const HORIZONTAL: ByteSet = ByteSet::of(b"\t \xa0");
const VERTICAL: ByteSet = ByteSet::of(b"\n\x0b\x0c\r\x85");

/// Escapes that mean a set, wherever they stand: the set and its spelling inside brackets.
fn set_of(letter: u8) -> Option<(ByteSet, &'static str)> {
    Some(match letter {
        b'd' => (DIGIT, "\\d"),
        b'D' => (DIGIT.complement(), "\\D"),
        b'w' => (WORD, "\\w"),
        b'W' => (WORD.complement(), "\\W"),
        b's' => (SPACE, "\\s"),
        b'S' => (SPACE.complement(), "\\S"),
        b'h' => (HORIZONTAL, "\\t \\xa0"),
        b'H' => (HORIZONTAL.complement(), "[^\\t \\xa0]"),
        b'v' => (VERTICAL, "\\n\\x0b\\x0c\\r\\x85"),
        b'V' => (VERTICAL.complement(), "[^\\n\\x0b\\x0c\\r\\x85]"),
        _ => return None,
    })
}

/// Behind a backslash outside brackets.
pub(super) fn outside(parser: &mut Parser, start: usize) -> Result<Escape, Refusal> {
    let Some(letter) = parser.peek() else {
        return Err(parser.refuse(start, "a backslash stands at the end", "write `\\\\` for the character"));
    };
    if let Some((set, text)) = set_of(letter) {
        parser.at += 1;
        let text = match text.as_bytes() {
            [b'\\', letter] if letter.is_ascii_alphabetic() => text.to_owned(),
            [b'[', ..] => text.to_owned(),
            _ => format!("[{text}]"),
        };
        return Ok(Escape::Tree(Tree::Class { set, text }));
    }
    let look = match letter {
        b'b' => Some(Look::Word),
        b'B' => Some(Look::NotWord),
        // A search begins at the start of the value, so \G is there.
        b'A' | b'G' => Some(Look::Start),
        b'z' => Some(Look::End),
        _ => None,
    };
    if let Some(look) = look {
        parser.at += 1;
        return Ok(Escape::Tree(Tree::Look(look)));
    }
    match letter {
        b'Z' => {
            parser.at += 1;
            Ok(Escape::Tree(parser.almost_end(start)))
        }
        b'1'..=b'9' => numbered(parser, start),
        b'g' | b'k' => {
            parser.at += 1;
            reference(parser, start, letter)
        }
        b'N' => {
            parser.at += 1;
            if parser.peek() == Some(b'{') {
                return Err(parser.refuse(
                    start,
                    "`\\N{...}` names a character of Unicode",
                    "write the byte as \\xHH",
                ));
            }
            let set = ByteSet::of(b"\n").complement();
            Ok(Escape::Tree(Tree::Class { set, text: "[^\\n]".to_owned() }))
        }
        b'C' => {
            parser.at += 1;
            Ok(Escape::Tree(Tree::set(ByteSet::FULL)))
        }
        b'R' => {
            parser.at += 1;
            let inner = Tree::Alternation(vec![
                Tree::Concat(vec![Tree::byte(b'\r'), Tree::byte(b'\n')]),
                Tree::Class { set: VERTICAL, text: "[\\n\\x0b\\x0c\\r\\x85]".to_owned() },
            ]);
            Ok(Escape::Tree(Tree::Group(Box::new(Group { kind: GroupKind::Atomic, inner }))))
        }
        b'K' => Err(parser.refuse(
            start,
            "`\\K` moves the start of the match",
            "leave it out: whether the rule matches does not depend on it",
        )),
        _ => common(parser, start),
    }
}

/// `\1`, or an octal number when there are not so many groups.
fn numbered(parser: &mut Parser, start: usize) -> Result<Escape, Refusal> {
    let digits = parser.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = String::from_utf8_lossy(&parser.rest()[..digits]).into_owned();
    let number = text.parse::<usize>().unwrap_or(usize::MAX);
    if number < 10 || number <= parser.all_groups {
        parser.at += digits;
        if number > parser.all_groups {
            let what = format!("`\\{number}` refers to a group that the expression does not have");
            return Err(parser.refuse(start, what, "write the byte as \\xHH, or add the group"));
        }
        return Ok(Escape::Tree(parser.back(number, start)));
    }
    common(parser, start)
}

/// `\g{1}`, `\g{-1}`, `\k<name>`.
fn reference(parser: &mut Parser, start: usize, letter: u8) -> Result<Escape, Refusal> {
    let close = match parser.peek() {
        Some(b'{') => b'}',
        Some(b'<') => b'>',
        Some(b'\'') => b'\'',
        _ => 0,
    };
    let subroutine = letter == b'g' && matches!(close, b'>' | b'\'');
    if subroutine {
        return Err(parser.recursion(start));
    }
    let name = if close != 0 {
        parser.at += 1;
        parser.until(close)
    } else {
        let length = parser.rest().iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
        let text = String::from_utf8_lossy(&parser.rest()[..length]).into_owned();
        parser.at += length;
        (letter == b'g').then_some(text)
    };
    let name = name.unwrap_or_default();
    let group = match name.parse::<i64>() {
        Ok(back @ ..0) => usize::try_from(back + 1 + i64::try_from(parser.groups).unwrap_or(0)).ok(),
        Ok(number) => usize::try_from(number).ok(),
        Err(_) => Some(parser.named_group(&name, start)?),
    };
    match group.filter(|group| (1..=parser.all_groups).contains(group)) {
        Some(group) => Ok(Escape::Tree(parser.back(group, start))),
        None => Err(parser.refuse(start, "a reference to a group that is not there", "add the group")),
    }
}

/// Escapes that mean one byte inside and outside brackets.
fn common(parser: &mut Parser, start: usize) -> Result<Escape, Refusal> {
    let letter = parser.peek().unwrap_or(b'\\');
    parser.at += 1;
    let byte = match letter {
        b'a' => 0x07,
        b'e' => 0x1b,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0'..=b'7' => {
            parser.at -= 1;
            octal(parser, start)?
        }
        b'8' | b'9' => letter,
        b'o' if parser.take("{") => {
            let digits = parser.until(b'}').unwrap_or_default();
            code(parser, start, &digits, 8)?
        }
        b'x' if parser.take("{") => {
            let digits = parser.until(b'}').unwrap_or_default();
            code(parser, start, &digits, 16)?
        }
        b'x' => {
            let length = parser.rest().iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let digits = String::from_utf8_lossy(&parser.rest()[..length]).into_owned();
            parser.at += length;
            if length == 0 { 0 } else { code(parser, start, &digits, 16)? }
        }
        b'c' => match parser.peek() {
            Some(control @ 0x20..=0x7e) => {
                parser.at += 1;
                control.to_ascii_uppercase() ^ 64
            }
            _ => return Err(parser.refuse(start, "`\\c` needs a character", "write the byte as \\xHH")),
        },
        b'p' | b'P' | b'X' => {
            let what = format!("`\\{}` asks for properties of Unicode characters", char::from(letter));
            return Err(parser.refuse(start, what, "rules see bytes: name the bytes or their classes"));
        }
        b'L' | b'l' | b'U' | b'u' | b'N' | b'R' | b'B' | b'K' | b'g' | b'k' => {
            let what = format!("`\\{}` has no meaning here", char::from(letter));
            return Err(parser.refuse(start, what, "remove the backslash, or write the byte as \\xHH"));
        }
        letter if letter.is_ascii_alphabetic() => {
            // PCRE 1 reads it so; PCRE 2 takes no unknown letters.
            parser.notes.push(format!("`\\{0}` is read as the letter `{0}`", char::from(letter)));
            letter
        }
        byte => byte,
    };
    Ok(Escape::Byte(byte))
}

fn octal(parser: &mut Parser, start: usize) -> Result<u8, Refusal> {
    let length = parser.rest().iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let digits = String::from_utf8_lossy(&parser.rest()[..length]).into_owned();
    parser.at += length;
    code(parser, start, &digits, 8)
}

fn code(parser: &Parser, start: usize, digits: &str, radix: u32) -> Result<u8, Refusal> {
    let value = u32::from_str_radix(digits.trim(), radix).ok();
    value.and_then(|value| u8::try_from(value).ok()).ok_or_else(|| {
        parser.refuse(
            start,
            format!("`{digits}` is not the number of a byte"),
            "rules see bytes: write \\xHH",
        )
    })
}

const POSIX: &[(&str, ByteSet)] = &[
    ("alnum", DIGIT.union(ByteSet::range(b'a', b'z')).union(ByteSet::range(b'A', b'Z'))),
    ("alpha", ByteSet::range(b'a', b'z').union(ByteSet::range(b'A', b'Z'))),
    ("ascii", ByteSet::range(0, 0x7f)),
    ("blank", ByteSet::of(b"\t ")),
    ("cntrl", ByteSet::range(0, 0x1f).union(ByteSet::of(b"\x7f"))),
    ("digit", DIGIT),
    ("graph", ByteSet::range(0x21, 0x7e)),
    ("lower", ByteSet::range(b'a', b'z')),
    ("print", ByteSet::range(0x20, 0x7e)),
    (
        "punct",
        ByteSet::range(0x21, 0x2f)
            .union(ByteSet::range(0x3a, 0x40))
            .union(ByteSet::range(0x5b, 0x60))
            .union(ByteSet::range(0x7b, 0x7e)),
    ),
    ("space", SPACE),
    ("upper", ByteSet::range(b'A', b'Z')),
    ("word", WORD),
    ("xdigit", DIGIT.union(ByteSet::range(b'a', b'f')).union(ByteSet::range(b'A', b'F'))),
];

/// One thing in brackets.
enum Item {
    Byte(u8),
    Set(ByteSet, String),
    Nothing,
}

impl Parser<'_> {
    /// A class, its `[` being taken.
    pub fn class(&mut self, start: usize) -> Result<Tree, Refusal> {
        let negated = self.take("^");
        let (mut set, mut text, mut first) = (ByteSet::EMPTY, String::new(), true);
        loop {
            let Some(byte) = self.peek() else {
                return Err(self.refuse(start, "a `[` without its `]`", "close the class, or write `\\[`"));
            };
            if byte == b']' && !first {
                self.at += 1;
                break;
            }
            if self.take("\\Q") {
                for byte in self.quoted() {
                    set.insert(byte);
                    text.push_str(&write::member(byte));
                }
                first = false;
                continue;
            }
            let from = match self.item()? {
                Item::Nothing => continue,
                Item::Set(more, spelled) => {
                    set = set.union(more);
                    text.push_str(&spelled);
                    first = false;
                    continue;
                }
                Item::Byte(byte) => byte,
            };
            first = false;
            // A hyphen makes a range between two bytes; beside a set or the bracket it is itself.
            let hyphen = self.at;
            if self.peek() == Some(b'-') && !matches!(self.text.get(hyphen + 1), Some(b']') | None) {
                self.at += 1;
                match self.item()? {
                    Item::Byte(to) if to >= from => {
                        set = set.union(ByteSet::range(from, to));
                        text.push_str(&format!("{}-{}", write::member(from), write::member(to)));
                        continue;
                    }
                    Item::Byte(_) => {
                        return Err(self.refuse(
                            hyphen,
                            "a range whose ends are the wrong way round",
                            "swap them, or write `\\-`",
                        ));
                    }
                    Item::Set(..) | Item::Nothing => self.at = hyphen,
                }
            }
            set.insert(from);
            text.push_str(&write::member(from));
        }
        set = self.folded(set);
        let set = if negated { set.complement() } else { set };
        Ok(Tree::Class { set, text: format!("[{}{text}]", if negated { "^" } else { "" }) })
    }

    fn item(&mut self) -> Result<Item, Refusal> {
        let start = self.at;
        let byte = self.peek().unwrap_or(b']');
        if byte == b'['
            && let Some(item) = self.posix(start)?
        {
            return Ok(item);
        }
        self.at += 1;
        if byte != b'\\' {
            let skipped = self.skips_space_in_classes() && matches!(byte, b' ' | b'\t');
            return Ok(if skipped { Item::Nothing } else { Item::Byte(byte) });
        }
        let Some(letter) = self.peek() else {
            return Err(self.refuse(
                start,
                "a backslash stands at the end",
                "write `\\\\` for the character",
            ));
        };
        if let Some((set, text)) = set_of(letter) {
            self.at += 1;
            return Ok(Item::Set(set, text.to_owned()));
        }
        match letter {
            b'E' => {
                self.at += 1;
                Ok(Item::Nothing)
            }
            b'b' => {
                self.at += 1;
                Ok(Item::Byte(0x08))
            }
            b'1'..=b'7' => octal(self, start).map(Item::Byte),
            _ => match common(self, start)? {
                Escape::Byte(byte) => Ok(Item::Byte(byte)),
                Escape::Tree(_) => Ok(Item::Nothing),
            },
        }
    }

    /// `[:alpha:]`, `[:^alpha:]`.
    fn posix(&mut self, start: usize) -> Result<Option<Item>, Refusal> {
        let rest = self.rest();
        if !rest.starts_with(b"[:") {
            return Ok(None);
        }
        let Some(end) = rest.windows(2).position(|two| two == b":]") else { return Ok(None) };
        let name = String::from_utf8_lossy(&rest[2..end.max(2)]).into_owned();
        let (negated, word) = name.strip_prefix('^').map_or((false, name.as_str()), |word| (true, word));
        if !word.bytes().all(|byte| byte.is_ascii_lowercase()) || end < 2 {
            return Ok(None);
        }
        let Some((_, set)) = POSIX.iter().find(|(known, _)| *known == word) else {
            return Err(self.refuse(
                start,
                format!("no class has the name `{word}`"),
                "write its characters out",
            ));
        };
        self.at += end + 2;
        let set = self.folded(*set);
        Ok(Some(Item::Set(if negated { set.complement() } else { set }, format!("[:{name}:]"))))
    }
}
