//! `length`: the value's length in bytes, as decimal digits, for numeric operators.
//!
//! Example: `"transformations": ["length"], "operator": {"gt": 400}`.

use std::io::Write;

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static LENGTH: Transformation = Transformation { name: "length", apply, triggers: ByteSet::FULL };

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    // A write to a vector does not fail.
    let _ = write!(out, "{}", value.len());
    // "1" is its own length.
    out != value
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn the_length_is_counted_in_bytes() {
        check(
            "length",
            &[(b"", b"0"), (b"a", b"1"), (b"1", b"1"), ("\u{e4}".as_bytes(), b"2"), (&[0; 12], b"12")],
        );
    }
}
