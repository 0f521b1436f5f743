//! What stands for single characters: percent signs, entities, escapes, overlong and full-width forms.

use crate::waf::transformation;

/// Percent-decodes; a plus sign stays.
pub(super) fn percent(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut changed = false;
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (code, length) = match rest {
            [b'%', b'u' | b'U', digits @ ..] => (code_point(digits, 4), 6),
            [b'%', digits @ ..] => (transformation::hex_pair(digits).map(u32::from), 3),
            _ => (None, 1),
        };
        match code {
            // What is written in pairs is bytes.
            Some(byte) if length == 3 => out.push(byte as u8),
            Some(code) => push(code, out),
            None => out.push(b'%'),
        }
        changed |= code.is_some();
        rest = &rest[if code.is_some() { length } else { 1 }..];
    }
    out.extend_from_slice(rest);
    changed
}

/// Character references as browsers read them. The transformation of that name is ModSecurity's: it
/// knows five names, and of a number it keeps one byte.
pub(super) fn entities(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut changed = false;
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'&', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let found = match rest {
            [_, b'#', b'x' | b'X', digits @ ..] => numbered(digits, 16).map(|(code, end)| (code, end + 3)),
            [_, b'#', digits @ ..] => numbered(digits, 10).map(|(code, end)| (code, end + 2)),
            [_, name @ ..] => named(name).map(|(code, end)| (code, end + 1)),
            [] => None,
        };
        let (code, length) = found.unwrap_or((u32::from(b'&'), 1));
        push(code, out);
        changed |= found.is_some();
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
    changed
}

/// The number that the digits stand for, and their length with the semicolon, which may be missing.
fn numbered(text: &[u8], radix: u32) -> Option<(u32, usize)> {
    let digits = text.iter().map_while(|byte| char::from(*byte).to_digit(radix));
    let (code, length) = digits.fold((0u32, 0), |(code, length), digit| {
        (code.saturating_mul(radix).saturating_add(digit), length + 1)
    });
    (length > 0).then(|| (code, length + usize::from(text.get(length) == Some(&b';'))))
}

/// Names of ASCII characters (HTML Living Standard section 13.5), but for letters and digits, which
/// have none. The first ones do without a semicolon.
const NAMES: [(&[u8], u8); 38] = [
    (b"lt", b'<'),
    (b"gt", b'>'),
    (b"amp", b'&'),
    (b"quot", b'"'),
    (b"nbsp", 0xa0),
    (b"apos", b'\''),
    (b"tab", b'\t'),
    (b"newline", b'\n'),
    (b"excl", b'!'),
    (b"num", b'#'),
    (b"dollar", b'$'),
    (b"percnt", b'%'),
    (b"lpar", b'('),
    (b"rpar", b')'),
    (b"ast", b'*'),
    (b"midast", b'*'),
    (b"plus", b'+'),
    (b"comma", b','),
    (b"period", b'.'),
    (b"sol", b'/'),
    (b"colon", b':'),
    (b"semi", b';'),
    (b"equals", b'='),
    (b"quest", b'?'),
    (b"commat", b'@'),
    (b"lsqb", b'['),
    (b"lbrack", b'['),
    (b"bsol", b'\\'),
    (b"rsqb", b']'),
    (b"rbrack", b']'),
    (b"hat", b'^'),
    (b"lowbar", b'_'),
    (b"grave", b'`'),
    (b"lcub", b'{'),
    (b"lbrace", b'{'),
    (b"verbar", b'|'),
    (b"rcub", b'}'),
    (b"rbrace", b'}'),
];
const WITHOUT_SEMICOLON: usize = 5;

/// The character of that name in any case, and the name's length with the semicolon. Of what no semicolon ends, the
/// beginning is enough for the names that do without (section 13.2.5.73), as in `&ltimg`.
fn named(text: &[u8]) -> Option<(u32, usize)> {
    let length = text.iter().take(8).take_while(|byte| byte.is_ascii_alphabetic()).count();
    if text.get(length) == Some(&b';')
        && let Some((_, code)) = NAMES.iter().find(|(name, _)| text[..length].eq_ignore_ascii_case(name))
    {
        return Some((u32::from(*code), length + 1));
    }
    let begins = |name: &[u8]| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let (name, code) = NAMES[..WITHOUT_SEMICOLON].iter().find(|(name, _)| begins(name))?;
    Some((u32::from(*code), name.len()))
}

pub(super) fn escapes(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut changed = false;
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        match escape(&rest[1..]) {
            Some((code, length)) => {
                push(code, out);
                rest = &rest[1 + length..];
                changed = true;
            }
            None => {
                out.push(b'\\');
                rest = &rest[1..];
            }
        }
    }
    out.extend_from_slice(rest);
    changed
}

/// The character of the escape behind a backslash, and how long its text is.
fn escape(text: &[u8]) -> Option<(u32, usize)> {
    match text {
        [b'u', b'{', digits @ ..] => {
            let end = digits.iter().take(7).position(|byte| *byte == b'}')?;
            Some((code_point(digits, end)?, end + 3))
        }
        [b'u' | b'U', digits @ ..] => Some((code_point(digits, 4)?, 5)),
        [b'x' | b'X', digits @ ..] => Some((u32::from(transformation::hex_pair(digits)?), 3)),
        [high @ b'0'..=b'1', middle @ b'0'..=b'7', low @ b'0'..=b'7', ..] => {
            let digit = |byte: &u8| u32::from(byte - b'0');
            Some((digit(high) * 64 + digit(middle) * 8 + digit(low), 3))
        }
        _ => None,
    }
}

/// The number that so many hexadecimal digits stand for.
fn code_point(digits: &[u8], count: usize) -> Option<u32> {
    let digits = digits.get(..count).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0u32, |number, byte| Some(number << 4 | char::from(*byte).to_digit(16)?))
}

/// Writes a character; a full-width form as what it is the form of, half of a pair not at all.
fn push(code: u32, out: &mut Vec<u8>) {
    let code = if (0xff01..=0xff5e).contains(&code) { code - 0xfee0 } else { code };
    if let Some(character) = char::from_u32(code) {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Overlong sequences of ASCII characters and full-width forms become ASCII, and so does ASCII in UTF-16.
pub(super) fn unicode(value: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let every_other = |from: usize| value.iter().skip(from).step_by(2).all(|byte| *byte == 0);
    if let Some(zeros) = [1, 0].into_iter().find(|from| every_other(*from)) {
        out.extend(value.iter().skip(1 - zeros).step_by(2));
        return true;
    }
    let mut changed = false;
    let mut at = 0;
    while let Some(byte) = value.get(at) {
        let (code, length) = match &value[at..] {
            [lead @ 0xc0..=0xc1, low @ 0x80..=0xbf, ..] => ((lead & 1) << 6 | low & 0x3f, 2),
            [0xe0, high @ 0x80..=0x81, low @ 0x80..=0xbf, ..] => ((high & 1) << 6 | low & 0x3f, 3),
            [0xf0, 0x80, high @ 0x80..=0x81, low @ 0x80..=0xbf, ..] => ((high & 1) << 6 | low & 0x3f, 4),
            [0xef, 0xbc, low @ 0x81..=0xbf, ..] => (low - 0x60, 3),
            [0xef, 0xbd, low @ 0x80..=0x9e, ..] => (low - 0x20, 3),
            _ => {
                out.push(*byte);
                at += 1;
                continue;
            }
        };
        out.push(code);
        changed = true;
        at += length;
    }
    changed
}
