//! The tree as text for the regex crate.

use super::tree::{Greed, GroupKind, Look, Tree};
use crate::waf::bytes::ByteSet;

/// The whole expression.
pub(super) fn expression(tree: &Tree) -> String {
    let mut out = String::new();
    write(tree, &mut out);
    out
}

fn write(tree: &Tree, out: &mut String) {
    match tree {
        Tree::Class { text, .. } => out.push_str(text),
        Tree::Look(look) => out.push_str(match look {
            Look::LineStart => "(?m:^)",
            Look::LineEnd => "(?m:$)",
            Look::Start => "^",
            Look::End => "$",
            Look::Word => "\\b",
            Look::NotWord => "\\B",
            Look::WordStart => "\\b{start}",
            Look::WordEnd => "\\b{end}",
        }),
        Tree::Flags(flags) => {
            out.push_str("(?");
            out.push_str(flags);
            out.push(')');
        }
        Tree::Concat(parts) => parts.iter().for_each(|part| match part {
            Tree::Alternation(_) => grouped(part, out),
            _ => write(part, out),
        }),
        Tree::Alternation(branches) => {
            for (at, branch) in branches.iter().enumerate() {
                if at > 0 {
                    out.push('|');
                }
                match branch {
                    Tree::Alternation(_) => grouped(branch, out),
                    _ => write(branch, out),
                }
            }
        }
        Tree::Repeat(repeat) => {
            match &repeat.inner {
                Tree::Class { .. } | Tree::Group(_) => write(&repeat.inner, out),
                inner => grouped(inner, out),
            }
            match (repeat.min, repeat.max) {
                (0, None) => out.push('*'),
                (1, None) => out.push('+'),
                (0, Some(1)) => out.push('?'),
                (min, None) => out.push_str(&format!("{{{min},}}")),
                (min, Some(max)) if min == max => out.push_str(&format!("{{{min}}}")),
                (min, Some(max)) => out.push_str(&format!("{{{min},{max}}}")),
            }
            if repeat.greed == Greed::Lazy {
                out.push('?');
            }
        }
        Tree::Group(group) => {
            match &group.kind {
                GroupKind::Capture(_, None) | GroupKind::Added(_) => out.push('('),
                GroupKind::Capture(_, Some(name)) => {
                    out.push_str("(?<");
                    out.push_str(name);
                    out.push('>');
                }
                GroupKind::Plain(flags) => {
                    out.push_str("(?");
                    out.push_str(flags);
                    out.push(':');
                }
                GroupKind::Atomic => out.push_str("(?:"),
            }
            write(&group.inner, out);
            out.push(')');
        }
        // None is left when a tree is written.
        Tree::Around(_) | Tree::Back { .. } => {}
    }
}

fn grouped(tree: &Tree, out: &mut String) {
    out.push_str("(?:");
    write(tree, out);
    out.push(')');
}

/// A byte outside a class.
pub(super) fn literal(byte: u8) -> String {
    match byte {
        b'\\' | b'.' | b'+' | b'*' | b'?' | b'(' | b')' | b'|' | b'[' | b']' | b'{' | b'}' | b'^' | b'$' => {
            format!("\\{}", char::from(byte))
        }
        _ => plain(byte),
    }
}

/// A byte inside a class. The regex crate nests classes and has `&&`, `--` and `~~`.
pub(super) fn member(byte: u8) -> String {
    match byte {
        b'\\' | b'[' | b']' | b'^' | b'-' | b'&' | b'~' => format!("\\{}", char::from(byte)),
        _ => plain(byte),
    }
}

fn plain(byte: u8) -> String {
    match byte {
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\t' => "\\t".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    }
}

/// A set as a class, in its shorter form.
pub(super) fn class(set: &ByteSet) -> String {
    if set.is_full() {
        return "(?s:.)".to_owned();
    }
    if set.len() == 1 {
        return set.iter().map(literal).collect();
    }
    let negated = set.contains(0) || set.is_empty();
    let members = if negated { set.complement() } else { *set };
    let mut text = String::from(if negated { "[^" } else { "[" });
    let mut bytes = members.iter().peekable();
    while let Some(first) = bytes.next() {
        let mut last = first;
        while let Some(next) = bytes.next_if(|&next| last < u8::MAX && next == last + 1) {
            last = next;
        }
        text.push_str(&member(first));
        if last > first {
            if last > first + 1 {
                text.push('-');
            }
            text.push_str(&member(last));
        }
    }
    text.push(']');
    text
}
