//! `parity_even_7bit`, `parity_odd_7bit`, `parity_zero_7bit`: the highest bit of each byte becomes
//! a parity bit. Even and odd count all eight bits as they come in: `even` sets the highest where
//! their number is odd, `odd` where it is even, and both clear it elsewhere. `zero` always clears it.
//!
//! Example: `"transformations": ["parity_zero_7bit"]` turns the bytes E1 62 into `ab`.

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static PARITY_EVEN_7BIT: Transformation = Transformation {
    name: "parity_even_7bit",
    apply: |value, out| apply(value, out, &PARITY_EVEN_7BIT.triggers),
    triggers: changed(Parity::Even),
};

pub(super) static PARITY_ODD_7BIT: Transformation = Transformation {
    name: "parity_odd_7bit",
    apply: |value, out| apply(value, out, &PARITY_ODD_7BIT.triggers),
    triggers: changed(Parity::Odd),
};

pub(super) static PARITY_ZERO_7BIT: Transformation = Transformation {
    name: "parity_zero_7bit",
    apply: |value, out| apply(value, out, &PARITY_ZERO_7BIT.triggers),
    triggers: changed(Parity::Zero),
};

#[derive(Clone, Copy)]
enum Parity {
    Even,
    Odd,
    Zero,
}

/// The bytes whose highest bit is not what the parity asks for.
const fn changed(parity: Parity) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    let mut byte = 0u16;
    while byte < 256 {
        let odd = byte.count_ones() % 2 == 1;
        let wanted = match parity {
            Parity::Even => odd,
            Parity::Odd => !odd,
            Parity::Zero => false,
        };
        if wanted != (byte & 0x80 != 0) {
            set.insert(byte as u8);
        }
        byte += 1;
    }
    set
}

fn apply(value: &[u8], out: &mut Vec<u8>, changed: &ByteSet) -> bool {
    if changed.find(value).is_none() {
        return false;
    }
    out.clear();
    out.extend(value.iter().map(|&byte| if changed.contains(byte) { byte ^ 0x80 } else { byte }));
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn the_highest_bit_becomes_the_parity() {
        check("parity_even_7bit", &[(b"", b""), (b"abc", b"\xe1\xe2c"), (b"\0\x80\xff", b"\0\x80\x7f")]);
        check("parity_odd_7bit", &[(b"", b""), (b"abc", b"ab\xe3"), (b"\0\x80\xff", b"\x80\0\xff")]);
        check("parity_zero_7bit", &[(b"", b""), (b"abc", b"abc"), (b"\0\x80\xff", b"\0\0\x7f")]);
    }
}
