//! `cmd_line` undoes what shells ignore: `\ " ' ^` go, `,` and `;` count as spaces, runs of
//! spaces become one, spaces before `/` and `(` go, letters become lower case.
//!
//! Example: `"transformations": ["cmd_line"]` turns `C^at   /e"t"c;ls` into `cat/etc ls`.

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static CMD_LINE: Transformation = Transformation {
    name: "cmd_line",
    apply,
    triggers: ByteSet::range(b'A', b'Z').union(ByteSet::of(b"\\\"'^,; \t\r\n/(")),
};

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    if CMD_LINE.triggers.find(value).is_none() {
        return false;
    }
    out.clear();
    for &byte in value {
        match byte {
            b'\\' | b'"' | b'\'' | b'^' => {}
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if out.last() != Some(&b' ') {
                    out.push(b' ');
                }
            }
            b'/' | b'(' => {
                if out.last() == Some(&b' ') {
                    out.pop();
                }
                out.push(byte);
            }
            other => out.push(other.to_ascii_lowercase()),
        }
    }
    out != value
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn what_a_shell_ignores_goes() {
        check(
            "cmd_line",
            &[
                (b"", b""),
                (b"ls", b"ls"),
                (b"ls -l", b"ls -l"),
                (b"C^at   /e\"t\"c;ls", b"cat/etc ls"),
                (b"c\\a't'", b"cat"),
                (b"a,;\t\r\n b", b"a b"),
                (b"f  (x)", b"f(x)"),
                (b" ^ ^ /", b"/"),
                (b"/a (b", b"/a(b"),
            ],
        );
    }
}
