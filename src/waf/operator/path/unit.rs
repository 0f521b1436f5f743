//! What stands at one place of a value, whatever notation it has: a dot may be `.`, `%2e`, `%252e`, `%%32%65`, `%u002e`,
//! `\u002e`, an overlong UTF-8 sequence or a full-width character. It also says how the unit was written, since some
//! of these notations no client uses.

/// One unit of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Slash,
    Backslash,
    Dot,
    /// A character that some normalisation makes two dots of.
    TwoDots,
    Nul,
    /// Any other byte, in lower case.
    Byte(u8),
}

/// How something was written: a set, the parts of a path put theirs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Writing(u8);

impl Writing {
    pub(super) const PLAIN: Writing = Writing(0);
    /// A percent escape that is still there.
    pub(super) const PERCENT: Writing = Writing(1);
    /// Percent escapes of percent escapes.
    pub(super) const NESTED: Writing = Writing(2);
    /// UTF-8 with more bytes than the character needs (RFC 3629 section 3 forbids it).
    pub(super) const OVERLONG: Writing = Writing(4);
    /// `%uHHHH`, `\uHHHH`, `\xHH` and `0xHH`, or a character that only looks like the one meant.
    pub(super) const UNICODE: Writing = Writing(8);

    pub(super) fn with(self, other: Writing) -> Writing {
        Writing(self.0 | other.0)
    }

    pub(super) fn has(self, other: Writing) -> bool {
        self.0 & other.0 != 0
    }

    /// For people; the oddest first.
    pub(super) fn name(self) -> &'static str {
        if self.has(Writing::OVERLONG) {
            "overlong UTF-8"
        } else if self.has(Writing::UNICODE) {
            "Unicode escapes"
        } else if self.has(Writing::NESTED) {
            "nested percent escapes"
        } else if self.has(Writing::PERCENT) {
            "percent escapes"
        } else {
            "plain"
        }
    }
}

/// A unit, how many bytes of the value it is, and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub unit: Unit,
    pub len: usize,
    pub writing: Writing,
}

const fn plain(unit: Unit) -> Read {
    Read { unit, len: 1, writing: Writing::PLAIN }
}

/// The unit at the start of `rest`, which is not empty.
pub(super) fn read(rest: &[u8]) -> Read {
    match rest[0] {
        b'/' => plain(Unit::Slash),
        b'.' => plain(Unit::Dot),
        0 => plain(Unit::Nul),
        b'\\' => text_escape(rest).unwrap_or(plain(Unit::Backslash)),
        b'0' => hexadecimal(rest).unwrap_or(plain(Unit::Byte(b'0'))),
        b'%' => escaped(rest),
        byte @ 0x21..0x80 => plain(Unit::Byte(byte.to_ascii_lowercase())),
        byte @ 0xc0.. => {
            let lead = Octet { byte, len: 1, writing: Writing::PLAIN };
            sequence(rest, lead).unwrap_or(plain(Unit::Byte(byte)))
        }
        byte => plain(Unit::Byte(byte)),
    }
}

/// `\u002e`, `\x2f`: only for what paths are made of. A backslash before something else is a separator.
fn text_escape(rest: &[u8]) -> Option<Read> {
    let (digits, most) = match rest.get(1)? {
        b'u' => (rest.get(2..6)?, 4),
        b'x' => (rest.get(2..4)?, 2),
        _ => return None,
    };
    let unit = look_alike(number(digits)?)?;
    let path = matches!(unit, Unit::Slash | Unit::Backslash | Unit::Dot | Unit::TwoDots);
    // Serialisers escape the slash; nobody escapes a dot.
    let is_dot = matches!(unit, Unit::Dot | Unit::TwoDots);
    let writing = if is_dot { Writing::UNICODE } else { Writing::PLAIN };
    path.then_some(Read { unit, len: 2 + most, writing })
}

/// `0x2e`, `0x2f`, `0x5c`.
fn hexadecimal(rest: &[u8]) -> Option<Read> {
    let unit = match rest.get(1..4)? {
        [b'x' | b'X', b'2', b'e' | b'E'] => Unit::Dot,
        [b'x' | b'X', b'2', b'f' | b'F'] => Unit::Slash,
        [b'x' | b'X', b'5', b'c' | b'C'] => Unit::Backslash,
        _ => return None,
    };
    Some(Read { unit, len: 4, writing: Writing::UNICODE })
}

/// A value that begins with a percent sign.
fn escaped(rest: &[u8]) -> Read {
    // A made-up pair that a decoder without checks turns into a slash, in lists since the first
    // worms of that kind.
    if rest.len() >= 6 && rest[..6].eq_ignore_ascii_case(b"%bg%qf") {
        return Read { unit: Unit::Slash, len: 6, writing: Writing::OVERLONG };
    }
    if let Some(read) = percent_u(rest) {
        return read;
    }
    let Some(octet) = octet(rest) else { return plain(Unit::Byte(b'%')) };
    if octet.byte == b'%' {
        // `%25u2215`
        if let Some(read) = rest.get(octet.len..).and_then(percent_u_behind) {
            let writing = read.writing.with(octet.writing).with(Writing::NESTED);
            return Read { len: octet.len + read.len, writing, ..read };
        }
    }
    let Octet { byte, len, writing } = octet;
    let unit = match byte {
        b'/' => Unit::Slash,
        b'\\' => Unit::Backslash,
        b'.' => Unit::Dot,
        0 => Unit::Nul,
        0xc0.. => {
            return sequence(rest, octet).unwrap_or(Read { unit: Unit::Byte(byte), len, writing });
        }
        _ => Unit::Byte(byte.to_ascii_lowercase()),
    };
    Read { unit, len, writing }
}

fn percent_u(rest: &[u8]) -> Option<Read> {
    let read = percent_u_behind(&rest[1..])?;
    Some(Read { len: read.len + 1, ..read })
}

/// `uHHHH`
fn percent_u_behind(rest: &[u8]) -> Option<Read> {
    if !matches!(rest.first()?, b'u' | b'U') {
        return None;
    }
    let code = number(rest.get(1..5)?)?;
    let ascii = || u8::try_from(code).ok().map(|byte| Unit::Byte(byte.to_ascii_lowercase()));
    let unit = look_alike(code).or_else(ascii).unwrap_or(Unit::Byte(0x80));
    Some(Read { unit, len: 5, writing: Writing::UNICODE })
}

/// One byte, as it stands or behind any number of percent escapes.
#[derive(Clone, Copy)]
struct Octet {
    byte: u8,
    len: usize,
    writing: Writing,
}

fn octet(rest: &[u8]) -> Option<Octet> {
    let &first = rest.first()?;
    if first != b'%' {
        return Some(Octet { byte: first, len: 1, writing: Writing::PLAIN });
    }
    let mut len = 1;
    let mut writing = Writing::PERCENT;
    let mut known = None;
    loop {
        let pair = || {
            let (high, taken) = digit(&rest[len..])?;
            let (low, more) = digit(&rest[len + taken..])?;
            Some((high << 4 | low, taken + more))
        };
        let Some((byte, taken)) = pair() else { return known };
        len += taken;
        if taken > 2 {
            writing = writing.with(Writing::NESTED);
        }
        known = Some(Octet { byte, len, writing });
        if byte != b'%' {
            return known;
        }
        writing = writing.with(Writing::NESTED);
    }
}

/// A hexadecimal digit, as it stands or itself escaped: `%%32%65`.
fn digit(rest: &[u8]) -> Option<(u8, usize)> {
    match rest {
        [b'%', high, low, ..] => {
            let value = hex(*high)? << 4 | hex(*low)?;
            Some((hex(value)?, 3))
        }
        [first, ..] => Some((hex(*first)?, 1)),
        [] => None,
    }
}

fn hex(byte: u8) -> Option<u8> {
    // A digit is below 16.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |all, &digit| Some(all << 4 | u32::from(hex(digit)?)))
}

/// A UTF-8 sequence with that first byte. Only when it is overlong or looks like part of a path; other text is left
/// to be read byte by byte.
fn sequence(rest: &[u8], lead: Octet) -> Option<Read> {
    let more = match lead.byte {
        0xc0..0xe0 => 1,
        0xe0..0xf0 => 2,
        0xf0..0xf8 => 3,
        0xf8..0xfc => 4,
        0xfc..0xfe => 5,
        _ => return None,
    };
    let mut code = u32::from(lead.byte) & (0x3f >> more);
    let (mut len, mut writing) = (lead.len, lead.writing);
    for _ in 0..more {
        let Some(next) = octet(rest.get(len..)?) else { return made_up(rest, len, lead) };
        if more == 1
            && let Some(unit) = careless(lead.byte, next.byte)
        {
            let writing = writing.with(next.writing).with(Writing::OVERLONG);
            return Some(Read { unit, len: len + next.len, writing });
        }
        if next.byte & 0xc0 != 0x80 {
            return None;
        }
        code = code << 6 | u32::from(next.byte & 0x3f);
        len += next.len;
        writing = writing.with(next.writing);
    }
    if let Ok(byte @ ..0x80) = u8::try_from(code) {
        let unit = look_alike(code).unwrap_or(Unit::Byte(byte.to_ascii_lowercase()));
        return Some(Read { unit, len, writing: writing.with(Writing::OVERLONG) });
    }
    Some(Read { unit: look_alike(code)?, len, writing: writing.with(Writing::UNICODE) })
}

/// Two-byte forms whose second byte is no continuation, which decoders without checks took all the same.
fn careless(lead: u8, next: u8) -> Option<Unit> {
    match (lead, next) {
        (0xc0, b'.') => Some(Unit::Dot),
        (0xc0, b'/') | (0xc1, 0xaf) => Some(Unit::Slash),
        (0xc0, b'\\') | (0xc1, 0x1c) => Some(Unit::Backslash),
        _ => None,
    }
}

/// `%c0%qf`, `%c0%9v`, `%c1%8s`, `%c1%pc`: escapes that are none.
fn made_up(rest: &[u8], len: usize, lead: Octet) -> Option<Read> {
    let unit = match (lead.byte, rest.get(len..len + 3)?.to_ascii_lowercase().as_slice()) {
        (0xc0, b"%qf" | b"%9v") | (0xc1, b"%pc" | b"%8s") => Unit::Slash,
        _ => return None,
    };
    Some(Read { unit, len: len + 3, writing: Writing::OVERLONG })
}

/// What conversions to ASCII and compatibility normalisation (UAX 15, NFKC) make of a character, as far as it matters
/// for paths. The last of each line are IIS's.
fn look_alike(code: u32) -> Option<Unit> {
    Some(match code {
        0 => Unit::Nul,
        0x2e | 0x2024 | 0xfe52 | 0xff0e => Unit::Dot,
        0x2025 | 0xfe30 => Unit::TwoDots,
        0x2f | 0x2044 | 0x2215 | 0x29f8 | 0xff0f | 0xefc8 => Unit::Slash,
        0x5c | 0x2216 | 0x29f5 | 0x29f9 | 0xfe68 | 0xff3c | 0xf025 => Unit::Backslash,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_of_a_dot_and_a_slash_is_read() {
        use Unit::{Backslash, Byte, Dot, Nul, Slash, TwoDots};
        let (plain, percent, nested) = (Writing::PLAIN, Writing::PERCENT, Writing::NESTED);
        let (overlong, unicode) = (Writing::OVERLONG, Writing::UNICODE);
        for (text, unit, writing) in [
            (&b"."[..], Dot, plain),
            (b"/", Slash, plain),
            (b"\\", Backslash, plain),
            (b"\0", Nul, plain),
            (b"A", Byte(b'a'), plain),
            (b"%2e", Dot, percent),
            (b"%2F", Slash, percent),
            (b"%5c", Backslash, percent),
            (b"%00", Nul, percent),
            (b"%41", Byte(b'a'), percent),
            (b"%252e", Dot, nested),
            (b"%25252f", Slash, nested),
            (b"%2500", Nul, nested),
            (b"%%32%65", Dot, nested),
            (b"%%35c", Backslash, nested),
            (b"%25%32%66", Slash, nested),
            (b"%c0%ae", Dot, overlong),
            (b"\xc0\xae", Dot, overlong),
            (b"\xc0.", Dot, overlong),
            (b"%c0.", Dot, overlong),
            (b"%c0%2f", Slash, overlong),
            (b"%c0%5c", Backslash, overlong),
            (b"%c1%1c", Backslash, overlong),
            (b"%c1%9c", Backslash, overlong),
            (b"%c0%qf", Slash, overlong),
            (b"%bg%qf", Slash, overlong),
            (b"%25c0%25af", Slash, overlong),
            (b"%e0%80%ae", Dot, overlong),
            (b"%f0%80%80%af", Slash, overlong),
            (b"%f8%80%80%80%ae", Dot, overlong),
            (b"%fc%80%80%80%80%af", Slash, overlong),
            (b"\xfc\x80\x80\x80\x80\xaf", Slash, overlong),
            (b"%c1%a5", Byte(b'e'), overlong),
            (b"%u002e", Dot, unicode),
            (b"%uff0e", Dot, unicode),
            (b"%u2215", Slash, unicode),
            (b"%u2216", Backslash, unicode),
            (b"%25u2215", Slash, unicode),
            (b"%u0065", Byte(b'e'), unicode),
            (b"\xef\xbc\x8e", Dot, unicode),
            (b"\xef\xbc\x8f", Slash, unicode),
            (b"\xe2\x80\xa5", TwoDots, unicode),
            (b"\\u002e", Dot, unicode),
            (b"\\x2f", Slash, plain),
            (b"0x2e", Dot, unicode),
            (b"0x5C", Backslash, unicode),
        ] {
            let read = read(text);
            let shown = text.escape_ascii();
            assert_eq!((read.unit, read.len), (unit, text.len()), "{shown}");
            assert!(read.writing == writing || read.writing.has(writing), "{shown}: {read:?}");
        }
    }

    #[test]
    fn what_is_no_notation_stands_for_itself() {
        for (text, unit, len) in [
            (&b"%"[..], Unit::Byte(b'%'), 1),
            (b"%2", Unit::Byte(b'%'), 1),
            (b"%zz", Unit::Byte(b'%'), 1),
            (b"%25", Unit::Byte(b'%'), 3),
            (b"%25zz", Unit::Byte(b'%'), 3),
            (b"%u12", Unit::Byte(b'%'), 1),
            (b"%c3%a9", Unit::Byte(0xc3), 3),
            (b"\xc3\xa9", Unit::Byte(0xc3), 1),
            (b"\xc0", Unit::Byte(0xc0), 1),
            (b"\xc0\xb4", Unit::Byte(b'4'), 2),
            (b"\xe2\x80\x94", Unit::Byte(0xe2), 1),
            (b"\\users", Unit::Backslash, 1),
            (b"\\u0041", Unit::Backslash, 1),
            (b"0x41", Unit::Byte(b'0'), 1),
        ] {
            let read = read(text);
            assert_eq!((read.unit, read.len), (unit, len), "{}", text.escape_ascii());
        }
    }
}
