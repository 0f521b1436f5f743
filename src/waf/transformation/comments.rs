//! Comments of C, SQL and HTML:
//!
//! - `replace_comments`: each `/* ... */` becomes one space, an unclosed one too; a `*/` alone
//!   stays;
//! - `remove_comments`: comments that begin with `/*` or `<!--` go, up to the first `*/` or `-->`;
//!   an unclosed one becomes a space; at `--` or `#` outside of them the rest of the value goes. As
//!   in ModSecurity, the byte behind a comment stays whatever it is, so that a second comment right
//!   there is not seen as one, and a comment that ends the value leaves a NUL;
//! - `remove_comments_char`: only the signs `/*`, `*/`, `<!--`, `-->`, `--` and `#` go.
//!
//! Example: `"transformations": ["replace_comments"]` turns `union/**/select` into
//! `union select`.

use memchr::memmem;

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static REPLACE_COMMENTS: Transformation =
    Transformation { name: "replace_comments", apply: replace, triggers: ByteSet::of(b"*") };

pub(super) static REMOVE_COMMENTS: Transformation =
    Transformation { name: "remove_comments", apply: remove, triggers: ByteSet::of(b"*-#") };

pub(super) static REMOVE_COMMENTS_CHAR: Transformation =
    Transformation { name: "remove_comments_char", apply: remove_signs, triggers: ByteSet::of(b"*-#") };

fn replace(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(mut start) = memmem::find(value, b"/*") else { return false };
    out.clear();
    let mut rest = value;
    loop {
        out.extend_from_slice(&rest[..start]);
        out.push(b' ');
        let Some(end) = memmem::find(&rest[start + 2..], b"*/") else { return true };
        rest = &rest[start + 2 + end + 2..];
        match memmem::find(rest, b"/*") {
            Some(next) => start = next,
            None => break,
        }
    }
    out.extend_from_slice(rest);
    true
}

fn remove(value: &[u8], out: &mut Vec<u8>) -> bool {
    if REMOVE_COMMENTS.triggers.find(value).is_none() {
        return false;
    }
    /// Where something may begin, and where it may end.
    const OUTSIDE: ByteSet = ByteSet::of(b"/<-#");
    const INSIDE: ByteSet = ByteSet::of(b"*-");
    out.clear();
    let mut rest = value;
    let mut inside = false;
    loop {
        let next = if inside { INSIDE.find(rest) } else { OUTSIDE.find(rest) };
        let (before, tail) = rest.split_at(next.unwrap_or(rest.len()));
        if !inside {
            out.extend_from_slice(before);
        }
        let [byte, behind @ ..] = tail else { break };
        rest = match tail {
            [b'*', b'/', behind @ ..] | [b'-', b'-', b'>', behind @ ..] if inside => {
                inside = false;
                // Whatever stands there; at the end of the value the reference reads its terminator.
                let (byte, behind) = behind.split_first().unwrap_or((&0, &[]));
                out.push(*byte);
                behind
            }
            _ if inside => behind,
            [b'/', b'*', behind @ ..] | [b'<', b'!', b'-', b'-', behind @ ..] => {
                inside = true;
                behind
            }
            [b'-', b'-', ..] | [b'#', ..] => break,
            _ => {
                out.push(*byte);
                behind
            }
        };
    }
    if inside {
        out.push(b' ');
    }
    out != value
}

fn remove_signs(value: &[u8], out: &mut Vec<u8>) -> bool {
    if REMOVE_COMMENTS_CHAR.triggers.find(value).is_none() {
        return false;
    }
    out.clear();
    let mut rest = value;
    while let [byte, behind @ ..] = rest {
        let sign = match rest {
            [b'<', b'!', b'-', b'-', ..] => 4,
            [b'-', b'-', b'>', ..] => 3,
            [b'/', b'*', ..] | [b'*', b'/', ..] | [b'-', b'-', ..] => 2,
            [b'#', ..] => 1,
            _ => {
                out.push(*byte);
                rest = behind;
                continue;
            }
        };
        rest = &rest[sign..];
    }
    out.len() != value.len()
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn c_comments_become_one_space_each() {
        check(
            "replace_comments",
            &[
                (b"", b""),
                (b"a*b", b"a*b"),
                (b"union/**/select", b"union select"),
                (b"/*a*//*b*/c", b"  c"),
                (b"a/*b", b"a "),
                (b"a/*/b*/c", b"a c"),
                (b"a*/b", b"a*/b"),
                (b"/*", b" "),
                (b"a/*b*/c*/d", b"a c*/d"),
            ],
        );
    }

    #[test]
    fn comments_go_and_line_comments_cut_the_value() {
        check(
            "remove_comments",
            &[
                (b"", b""),
                (b"a-b", b"a-b"),
                (b"un/*x*/ion", b"union"),
                (b"a<!-- b -->c", b"ac"),
                (b"a -- b", b"a "),
                (b"a#b", b"a"),
                (b"a/*b", b"a "),
                (b"a<!--b", b"a "),
                (b"/*#*/a", b"a"),
                (b"a/*b*/", b"a\0"),
                (b"/*a*//*b*/c", b"/*b*/c"),
                (b"/*a-->b<!--c*/d", b"bd"),
                (b"/*/b", b" "),
                (b"*/a", b"*/a"),
                (b"--", b""),
            ],
        );
    }

    #[test]
    fn signs_go_and_what_they_enclose_stays() {
        check(
            "remove_comments_char",
            &[
                (b"", b""),
                (b"a-b", b"a-b"),
                (b"un/**/ion", b"union"),
                (b"<!--a-->b", b"ab"),
                (b"a--b#c", b"abc"),
                (b"/*/", b"/"),
                (b"---", b"-"),
            ],
        );
    }
}
