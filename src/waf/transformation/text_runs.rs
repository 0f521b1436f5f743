//! `text_runs` leaves of bytes that are no text the texts in them, a line each: runs of twelve bytes or more of UTF-8
//! without control characters. What has no control character stays as it is.
//!
//! Example: `"transformations": ["text_runs"]` turns `\x01\x02;cat /etc/passwd\x03` into `;cat /etc/passwd`.

use crate::waf::body::runs::{SHORTEST_IN_NOISE, is_control, runs};
use crate::waf::bytes::ByteSet;

use super::Transformation;

const CONTROLS: ByteSet = ByteSet::range(0, 8)
    .union(ByteSet::range(0x0e, 0x1a))
    .union(ByteSet::range(0x1c, 0x1f))
    .union(ByteSet::range(0x7f, 0x7f));

pub(super) static TEXT_RUNS: Transformation =
    Transformation { name: "text_runs", apply: text_runs, triggers: CONTROLS };

fn text_runs(value: &[u8], out: &mut Vec<u8>) -> bool {
    if !value.iter().any(|byte| is_control(*byte)) {
        return false;
    }
    out.clear();
    for (at, run) in runs(value, SHORTEST_IN_NOISE).enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        out.extend_from_slice(run);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn texts_stay_and_what_is_between_them_goes() {
        check(
            "text_runs",
            &[
                (b"", b""),
                (b"short\n\xff\xfe", b"short\n\xff\xfe"),
                (b"\x01\x02;cat /etc/passwd\x03", b";cat /etc/passwd"),
                (
                    b"\x00twelve bytes\x00eleven byte\x7fand some more\xffof it",
                    b"twelve bytes\nand some more",
                ),
                (b"\x00", b""),
            ],
        );
    }
}
