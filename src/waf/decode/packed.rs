//! Base64 and hex: a value is packed in one of them when all of it is in the alphabet and text comes out, or what
//! begins as serialised objects do.

use super::{Encoding, Encodings, SHORTEST};
use crate::waf::transformation;

/// Base64 or hex, if the whole piece is that and text comes out.
pub(super) fn unpack(piece: &[u8], wanted: Encodings, out: &mut Vec<u8>) -> Option<Encoding> {
    let piece = piece.trim_ascii();
    if piece.len() < SHORTEST {
        return None;
    }
    // Numbers and dates are hex too: what they decode to mostly has control characters.
    let clean = |out: &[u8]| !piece.iter().all(u8::is_ascii_digit) || !out.iter().any(u8::is_ascii_control);
    if wanted.contains(Encoding::Hex) && hex(piece, out) && tells(out) && clean(out) {
        return Some(Encoding::Hex);
    }
    (wanted.contains(Encoding::Base64) && base64(piece, out) && tells(out)).then_some(Encoding::Base64)
}

fn hex(piece: &[u8], out: &mut Vec<u8>) -> bool {
    let digits = match piece {
        [b'0', b'x' | b'X', digits @ ..] => digits,
        [b'x' | b'X', b'\'', digits @ .., b'\''] => digits,
        digits => digits,
    };
    // Shorter ones are numbers.
    if digits.len() < 8 || !digits.len().is_multiple_of(2) {
        return false;
    }
    out.clear();
    for pair in digits.chunks_exact(2) {
        match transformation::hex_pair(pair) {
            Some(byte) => out.push(byte),
            None => return false,
        }
    }
    true
}

fn base64(piece: &[u8], out: &mut Vec<u8>) -> bool {
    let end = piece.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    // Three bytes need two padding signs at most.
    if piece.len() - end > 2 {
        return false;
    }
    out.clear();
    let (mut bits, mut count, mut digits) = (0u32, 0u32, 0usize);
    for byte in &piece[..end] {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' | b' ' => 62,
            b'/' | b'_' => 63,
            b'\r' | b'\n' | b'\t' => continue,
            _ => return false,
        };
        digits += 1;
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    // One digit left over is no byte.
    digits % 4 != 1
}

/// What serialised objects begin with (Java, .NET, Python's pickle, Ruby's Marshal): there are rules for them.
const STREAMS: [&[u8]; 7] = [
    b"\xac\xed\x00\x05",
    b"\x00\x01\x00\x00\x00\xff\xff\xff\xff",
    b"\x80\x02",
    b"\x80\x03",
    b"\x80\x04\x95",
    b"\x80\x05\x95",
    b"\x04\x08",
];

/// True for text, also for text in UTF-16, which is narrowed, and for serialised objects.
fn tells(out: &mut Vec<u8>) -> bool {
    if is_text(out) || STREAMS.iter().any(|stream| out.starts_with(stream)) {
        return true;
    }
    let wide =
        out.len() >= 8 && out.len().is_multiple_of(2) && out.iter().skip(1).step_by(2).all(|byte| *byte == 0);
    if wide {
        let mut at = 0;
        out.retain(|_| {
            at += 1;
            at % 2 == 1
        });
    }
    wide && is_text(out)
}

/// Text of a person or a program: UTF-8, hardly a control character but white space, and more to it than letters and
/// digits, of which alone nothing is made that a rule looks for, unless there are enough of them to be packed
/// themselves. Noise of that length is not ASCII throughout.
fn is_text(bytes: &[u8]) -> bool {
    const PACKED: usize = 12;
    if bytes.len() < 4 {
        return false;
    }
    let mut controls = 0;
    let mut signs = false;
    for byte in bytes {
        match byte {
            b'\t' | b'\n' | 0x0b | 0x0c | b'\r' => signs = true,
            0..=0x1f | 0x7f => controls += 1,
            byte => signs |= byte.is_ascii_punctuation() || *byte == b' ',
        }
    }
    let is_ascii = bytes.is_ascii();
    let most = if is_ascii { 1 + bytes.len() / 8 } else { 1 };
    let more = signs || (is_ascii && controls == 0 && bytes.len() >= PACKED);
    more && controls <= most && (is_ascii || std::str::from_utf8(bytes).is_ok())
}
