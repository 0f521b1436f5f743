//! `md5` and `sha1`: the digest of the value as raw bytes, 16 or 20 of them. A rule that compares
//! it with a text puts `hex_encode` behind it.
//!
//! Example: `"transformations": ["sha1", "hex_encode"]`.

use md5::Md5;
use sha1::{Digest, Sha1};

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static MD5: Transformation =
    Transformation { name: "md5", apply: apply::<Md5>, triggers: ByteSet::FULL };

pub(super) static SHA1: Transformation =
    Transformation { name: "sha1", apply: apply::<Sha1>, triggers: ByteSet::FULL };

fn apply<D: Digest>(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    out.extend_from_slice(&D::digest(value));
    out != value
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn digests_are_raw_bytes() {
        check(
            "md5",
            &[
                (b"", b"\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\x09\x98\xec\xf8\x42\x7e"),
                (b"abc", b"\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72"),
            ],
        );
        check(
            "sha1",
            &[
                (b"", b"\xda\x39\xa3\xee\x5e\x6b\x4b\x0d\x32\x55\xbf\xef\x95\x60\x18\x90\xaf\xd8\x07\x09"),
                (b"abc", b"\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d"),
            ],
        );
    }
}
