//! `remove_whitespace` takes white space out; `compress_whitespace` makes each run of it one
//! space. White space is C's `isspace` and the no-break space of Latin-1, 0xA0, whatever the
//! encoding of the value; `remove_whitespace` takes out 0xC2 too, the first byte of that space in
//! UTF-8. ModSecurity 2 knows the one, ModSecurity 3 the other.
//!
//! Example: `"transformations": ["compress_whitespace"]` turns `union \n\t select` into
//! `union select`.

use crate::waf::bytes::ByteSet;

use super::{SPACE, Transformation};

const WHITE: ByteSet = SPACE.union(ByteSet::of(b"\xa0"));

const REMOVED: ByteSet = WHITE.union(ByteSet::of(b"\xc2"));

pub(super) static REMOVE_WHITESPACE: Transformation =
    Transformation { name: "remove_whitespace", apply: remove, triggers: REMOVED };

pub(super) static COMPRESS_WHITESPACE: Transformation =
    Transformation { name: "compress_whitespace", apply: compress, triggers: WHITE };

fn remove(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(first) = REMOVED.find(value) else { return false };
    out.clear();
    out.extend_from_slice(value);
    // Each byte is written; one that goes is written over by the next. That has no branches.
    let mut kept = first;
    for &byte in &value[first..] {
        out[kept] = byte;
        kept += usize::from(!REMOVED.contains(byte));
    }
    out.truncate(kept);
    true
}

fn compress(value: &[u8], out: &mut Vec<u8>) -> bool {
    // A lone space is already its own compression.
    let ripe = |(at, &byte): (usize, &u8)| {
        WHITE.contains(byte) && (byte != b' ' || at.checked_sub(1).is_some_and(|at| value[at] == b' '))
    };
    let Some(first) = value.iter().enumerate().position(ripe) else { return false };
    out.clear();
    out.extend_from_slice(&value[..first]);
    let mut inside = out.last() == Some(&b' ');
    for &byte in &value[first..] {
        let white = WHITE.contains(byte);
        if !white {
            out.push(byte);
        } else if !inside {
            out.push(b' ');
        }
        inside = white;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn white_space_goes_or_becomes_one_space() {
        check(
            "remove_whitespace",
            &[
                (b"", b""),
                (b"ab", b"ab"),
                (b" a \xa0\x0b\x0c\r\n\tb ", b"ab"),
                (b"a\xc2\xa0b", b"ab"),
                (b" ", b""),
            ],
        );
        check(
            "compress_whitespace",
            &[
                (b"", b""),
                (b"a b c", b"a b c"),
                (b"a  b", b"a b"),
                (b"a\tb", b"a b"),
                (b"\n\na\xa0 \x0bb  ", b" a b "),
                (b"a b \tc", b"a b c"),
                (b"  ", b" "),
            ],
        );
    }
}
