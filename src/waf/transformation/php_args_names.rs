//! `php_args_names`: the name under which PHP keeps an argument. Spaces before it go, ` ` and `.`
//! become `_`, and of what follows the first `[` only whole indices are kept: `[]` for an index that
//! is empty or one white space byte, any other as it is; text behind the last `]` goes. A `[` that
//! nothing closes becomes `_` too, and what follows it stays. A name that begins with `[` is none.
//!
//! Example: `"transformations": ["php_args_names"]` turns `user.name[ ]x` into `user_name[]`.

use memchr::memchr;

use crate::waf::bytes::ByteSet;

use super::{SPACE, Transformation};

pub(super) static PHP_ARGS_NAMES: Transformation =
    Transformation { name: "php_args_names", apply, triggers: ByteSet::of(b" .[") };

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    if PHP_ARGS_NAMES.triggers.find(value).is_none() {
        return false;
    }
    out.clear();
    let start = value.iter().position(|&byte| byte != b' ').unwrap_or(value.len());
    let name = &value[start..];
    let end = memchr(b'[', name).unwrap_or(name.len());
    out.extend(name[..end].iter().map(|&byte| if matches!(byte, b' ' | b'.') { b'_' } else { byte }));
    if end > 0 {
        indices(&name[end..], out);
    }
    out != value
}

/// Appends what PHP makes of the text from the first `[` on.
fn indices(mut rest: &[u8], out: &mut Vec<u8>) {
    let mut first = true;
    while let [b'[', behind @ ..] = rest {
        let Some(close) = memchr(b']', behind) else {
            if first {
                out.push(b'_');
                out.extend_from_slice(behind);
            }
            return;
        };
        match &behind[..close] {
            [space] if SPACE.contains(*space) => out.extend_from_slice(b"[]"),
            _ => out.extend_from_slice(&rest[..close + 2]),
        }
        rest = &behind[close + 1..];
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn names_become_what_php_calls_them() {
        check(
            "php_args_names",
            &[
                (b"", b""),
                (b"a_b", b"a_b"),
                (b"  a.b c", b"a_b_c"),
                (b"user.name[ ]x", b"user_name[]"),
                (b"a[b][c.d]e", b"a[b][c.d]"),
                (b"a[b", b"a_b"),
                (b"a[ b.c", b"a_ b.c"),
                (b"a[b][c", b"a[b]"),
                (b"a[[b]", b"a[[b]"),
                (b"[a]", b""),
                (b" ", b""),
                (b"]", b"]"),
            ],
        );
    }
}
