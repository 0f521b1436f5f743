//! `uppercase`: ASCII letters in upper case; other bytes stay (the C locale's `toupper`).
//!
//! Example: `"transformations": ["uppercase"]` turns `SeLeCt` into `SELECT`.

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static UPPERCASE: Transformation =
    Transformation { name: "uppercase", apply, triggers: ByteSet::range(b'a', b'z') };

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    if !value.iter().any(u8::is_ascii_lowercase) {
        return false;
    }
    out.clear();
    out.extend_from_slice(value);
    out.make_ascii_uppercase();
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn only_ascii_letters_change() {
        check(
            "uppercase",
            &[(b"", b""), (b"ABC", b"ABC"), (b"az@[`{", b"AZ@[`{"), (b"\xc3\xa4x\0", b"\xc3\xa4X\0")],
        );
    }
}
