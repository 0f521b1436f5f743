//! Messages of gRPC written by hand: fields of Protocol Buffers, and the frames they travel in.

use super::origin::{deflate, gzip};

/// A string field with a number below 16.
pub fn string(number: u8, text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    let mut out = vec![number << 3 | 2];
    let mut length = text.len();
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(text);
    out
}

/// A request as services have them: an id, and the text in a nested message.
pub fn message(text: &str) -> Vec<u8> {
    [&[0x08, 0x96, 0x01][..], &string(2, string(1, text)), &string(3, "en-GB")].concat()
}

/// A frame, compressed where an encoding is named.
pub fn frame(message: &[u8], encoding: &str) -> Vec<u8> {
    let packed = match encoding {
        "" => return framed(0, message),
        "gzip" => gzip(message),
        "deflate" => deflate(message),
        other => panic!("no encoding {other}"),
    };
    framed(1, &packed)
}

pub fn framed(flag: u8, payload: &[u8]) -> Vec<u8> {
    [&[flag][..], &(payload.len() as u32).to_be_bytes(), payload].concat()
}
