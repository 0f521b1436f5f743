//! `lowercase`: ASCII letters in lower case; other bytes stay (the C locale's `tolower`).
//!
//! Example: `"transformations": ["lowercase"]` turns `SeLeCt` into `select`.

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static LOWERCASE: Transformation =
    Transformation { name: "lowercase", apply, triggers: ByteSet::range(b'A', b'Z') };

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    if !value.iter().any(u8::is_ascii_uppercase) {
        return false;
    }
    out.clear();
    out.extend_from_slice(value);
    out.make_ascii_lowercase();
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn only_ascii_letters_change() {
        check(
            "lowercase",
            &[(b"", b""), (b"abc", b"abc"), (b"AZ@[`{", b"az@[`{"), (b"\xc3\x84X\0", b"\xc3\x84x\0")],
        );
    }
}
