//! `trim`, `trim_left`, `trim_right`: white space at the ends goes.
//!
//! Example: `"transformations": ["trim"]` turns ` id\t` into `id`.

use super::{SPACE, Transformation};

pub(super) static TRIM: Transformation = Transformation { name: "trim", apply: both, triggers: SPACE };

pub(super) static TRIM_LEFT: Transformation =
    Transformation { name: "trim_left", apply: left, triggers: SPACE };

pub(super) static TRIM_RIGHT: Transformation =
    Transformation { name: "trim_right", apply: right, triggers: SPACE };

fn both(value: &[u8], out: &mut Vec<u8>) -> bool {
    keep(value, without_trailing(without_leading(value)), out)
}

fn left(value: &[u8], out: &mut Vec<u8>) -> bool {
    keep(value, without_leading(value), out)
}

fn right(value: &[u8], out: &mut Vec<u8>) -> bool {
    keep(value, without_trailing(value), out)
}

fn keep(value: &[u8], kept: &[u8], out: &mut Vec<u8>) -> bool {
    if kept.len() == value.len() {
        return false;
    }
    out.clear();
    out.extend_from_slice(kept);
    true
}

fn without_leading(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|&byte| !SPACE.contains(byte)).unwrap_or(value.len());
    &value[start..]
}

fn without_trailing(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|&byte| !SPACE.contains(byte)).map_or(0, |last| last + 1);
    &value[..end]
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn each_side_is_trimmed_by_its_own_name() {
        let value = b"\x0b \ta b\r\n\x0c";
        check("trim", &[(b"", b""), (b" \t", b""), (value, b"a b"), (b"a", b"a"), (b"\xa0a", b"\xa0a")]);
        check("trim_left", &[(b"", b""), (b" ", b""), (value, b"a b\r\n\x0c"), (b"a ", b"a ")]);
        check("trim_right", &[(b"", b""), (b" ", b""), (value, b"\x0b \ta b"), (b" a", b" a")]);
    }
}
