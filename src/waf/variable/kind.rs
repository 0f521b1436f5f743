//! What an ordinary value is: a number, a date, a word. A condition that says
//! `"skip_types": ["number", "word"]` does not look at values that are wholly of such a kind, which
//! keeps a rule from being asked about what cannot be an attack in any context.

/// One kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Digits with a sign, one decimal sign, an exponent: `-12.5`, `3e8`.
    Number,
    /// RFC 9562 section 4, hyphens in place, also in braces.
    Uuid,
    /// Letters and digits of any script, `_` and `-`, 128 bytes at most.
    Word,
    /// `name@host.tld` without quotes.
    Email,
    /// An absolute http or https URL of ordinary characters, also behind its percent signs; no user name, no
    /// steps up.
    Url,
    /// Two or three parts in base64url, the first of which is a JSON object (RFC 7519).
    Jwt,
    /// Eight hexadecimal digits or more: digests, identifiers.
    Hex,
    /// Numbers with `-`, `/`, `:`, `.`, `T`, `Z`, `+` between them as in RFC 3339.
    Date,
}

impl Kind {
    pub const ALL: [Kind; 8] =
        [Kind::Number, Kind::Uuid, Kind::Word, Kind::Email, Kind::Url, Kind::Jwt, Kind::Hex, Kind::Date];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Number => "number",
            Kind::Uuid => "uuid",
            Kind::Word => "word",
            Kind::Email => "email",
            Kind::Url => "url",
            Kind::Jwt => "jwt",
            Kind::Hex => "hex",
            Kind::Date => "date",
        }
    }

    pub fn find(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kinds(u8);

type Test = fn(&[u8]) -> bool;

impl Kinds {
    pub const NONE: Kinds = Kinds(0);

    pub fn with(self, kind: Kind) -> Kinds {
        Kinds(self.0 | 1 << kind as u8)
    }

    pub fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    pub fn intersects(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All kinds that a value is.
    pub fn of(value: &[u8]) -> Kinds {
        // No kind begins with anything else, and most payloads do.
        let Some(first) = value.first() else { return Kinds::NONE };
        if !(first.is_ascii_alphanumeric()
            || matches!(first, b'+' | b'-' | b'_' | b'.' | b'{')
            || *first >= 0x80)
        {
            return Kinds::NONE;
        }
        let mut kinds = Kinds::NONE;
        let tests: [(Kind, Test); 8] = [
            (Kind::Number, is_number),
            (Kind::Uuid, is_uuid),
            (Kind::Word, is_word),
            (Kind::Email, is_email),
            (Kind::Url, is_url),
            (Kind::Jwt, is_jwt),
            (Kind::Hex, is_hex),
            (Kind::Date, is_date),
        ];
        for (kind, test) in tests {
            if test(value) {
                kinds = kinds.with(kind);
            }
        }
        kinds
    }
}

/// Of these a kind but a URL or a token is never longer.
const LONGEST: usize = 128;

fn is_number(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"-").or(value.strip_prefix(b"+")).unwrap_or(value);
    let (mantissa, exponent) = match value.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&value[..at], Some(&value[at + 1..])),
        None => (value, None),
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let mut parts = mantissa.splitn(2, |byte| matches!(byte, b'.' | b','));
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next();
    let exponent = exponent.map(|text| text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text));
    value.len() <= LONGEST && digits(whole) && fraction.is_none_or(digits) && exponent.is_none_or(digits)
}

fn is_uuid(value: &[u8]) -> bool {
    let value = match value {
        [b'{', inner @ .., b'}'] => inner,
        value => value,
    };
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    value.len() == 36
        && value
            .iter()
            .enumerate()
            .all(|(at, byte)| if dash(at) { *byte == b'-' } else { byte.is_ascii_hexdigit() })
}

fn is_word(value: &[u8]) -> bool {
    value.len() <= LONGEST
        && std::str::from_utf8(value)
            .is_ok_and(|text| text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')))
        // Two hyphens begin a comment in SQL.
        && value.first() != Some(&b'-')
        && !value.windows(2).any(|pair| pair == b"--")
}

fn is_email(value: &[u8]) -> bool {
    let Some(at) = memchr::memchr(b'@', value) else { return false };
    let (name, host) = (&value[..at], &value[at + 1..]);
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-');
    let label =
        |label: &[u8]| !label.is_empty() && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    let mut labels = host.rsplit(|byte| *byte == b'.');
    let top = labels.next().unwrap_or_default();
    value.len() <= 254
        && !name.is_empty()
        && name.iter().all(in_name)
        && top.len() >= 2
        && top.iter().all(u8::is_ascii_alphabetic)
        && host.len() > top.len()
        && labels.all(label)
}

fn is_url(value: &[u8]) -> bool {
    let Some(colon) = value.iter().take(6).position(|byte| *byte == b':') else { return false };
    let (scheme, rest) = value.split_at(colon);
    let Some(rest) = rest.strip_prefix(b"://") else { return false };
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return false;
    }
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let in_host =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    let ordinary = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!,=&+*".contains(&byte);
    let mut at = end;
    while let Some(byte) = rest.get(at) {
        let (byte, length) = match byte {
            b'%' => match crate::waf::transformation::hex_pair(&rest[at + 1..]) {
                Some(byte) => (byte, 3),
                None => return false,
            },
            byte => (*byte, 1),
        };
        // Behind a percent sign also white space and letters of other scripts.
        if !ordinary(byte) && !(length == 3 && (byte == b' ' || byte >= 0x80)) {
            return false;
        }
        at += length;
    }
    end > 0 && rest[..end].iter().all(in_host) && memchr::memmem::find(rest, b"..").is_none()
}

fn is_jwt(value: &[u8]) -> bool {
    let in_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
    value.starts_with(b"ey")
        && (2..=3).contains(&value.split(|byte| *byte == b'.').count())
        && value.split(|byte| *byte == b'.').take(2).all(|part| part.len() >= 4)
        && value.iter().all(|byte| in_part(byte) || *byte == b'.')
}

fn is_hex(value: &[u8]) -> bool {
    (8..=LONGEST).contains(&value.len()) && value.iter().all(u8::is_ascii_hexdigit)
}

fn is_date(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let between = |byte: &u8| matches!(byte, b'-' | b'/' | b':' | b'.' | b'T' | b'Z' | b'+' | b' ' | b',');
    (6..=40).contains(&value.len())
        && value[0].is_ascii_digit()
        && digits >= 4
        && value.iter().any(|byte| matches!(byte, b'-' | b'/' | b':'))
        && value.iter().all(|byte| byte.is_ascii_digit() || between(byte))
        && !value.windows(2).any(|pair| pair.iter().all(|byte| matches!(byte, b'-' | b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_values_are_told_by_their_kind() {
        let token = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        for (value, kind) in [
            (&b"-12.5"[..], Kind::Number),
            (b"3e8", Kind::Number),
            (b"1,5", Kind::Number),
            (b"123e4567-e89b-12d3-a456-426614174000", Kind::Uuid),
            (b"{123E4567-e89b-12d3-a456-426614174000}", Kind::Uuid),
            (b"user_name-2", Kind::Word),
            ("stra\u{df}e".as_bytes(), Kind::Word),
            (b"a.b+c@mail.example.org", Kind::Email),
            (b"https://example.org:8443/a/b?c=d%20e&f=%C3%A4#g", Kind::Url),
            (&token[..], Kind::Jwt),
            (b"d41d8cd98f00b204e9800998ecf8427e", Kind::Hex),
            (b"2026-11-21T14:41:45.123Z", Kind::Date),
            (b"21/11/2026", Kind::Date),
        ] {
            assert!(Kinds::of(value).contains(kind), "{} is no {}", value.escape_ascii(), kind.name());
        }
    }

    #[test]
    fn a_payload_is_of_no_kind() {
        for value in [
            &b""[..],
            b"1'",
            b"1 or 1=1",
            b"1--",
            b"--1",
            b"1/**/",
            b"2-1 ",
            b"sleep(5)",
            b"a b",
            b"a@b",
            b"a@b.c' or 1=1",
            b"\"a\"@b.org",
            b"http://h/?a='b",
            b"http://h/?a=%27b",
            b"http://h/../x",
            b"http://good@evil/",
            b"http://h/%zz",
            b"javascript://h/",
            b"..",
            b"../a",
            b"eyJ.x",
            b"\xc0\xaf",
            b"1;id",
            b"5//",
        ] {
            assert_eq!(Kinds::of(value), Kinds::NONE, "{}", value.escape_ascii());
        }
    }
}
