//! `html_entity_decode`: `&#DD;` and `&#xHH;` become the low byte of their number, `&quot;`
//! `&amp;` `&lt;` `&gt;` and `&nbsp;` (0xA0) their character, in any case; the semicolon may be
//! missing. Other entities stay as they are.
//!
//! Example: `"transformations": ["html_entity_decode"]` turns `&lt;b&#62;` into `<b>`.

use memchr::memchr;

use crate::waf::bytes::ByteSet;

use super::Transformation;

pub(super) static HTML_ENTITY_DECODE: Transformation =
    Transformation { name: "html_entity_decode", apply, triggers: ByteSet::of(b"&") };

fn apply(value: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(mut at) = memchr(b'&', value) else { return false };
    out.clear();
    let mut changed = false;
    let mut rest = value;
    loop {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        match entity(&rest[1..]) {
            Some((byte, length)) => {
                out.push(byte);
                changed = true;
                rest = &rest[1 + length..];
                if let [b';', behind @ ..] = rest {
                    rest = behind;
                }
            }
            None => {
                out.push(b'&');
                rest = &rest[1..];
            }
        }
        match memchr(b'&', rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    out.extend_from_slice(rest);
    changed
}

/// The byte of the entity whose text, behind the `&`, begins `text`; and how long the text is,
/// without its semicolon.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    let (start, radix) = match text {
        [b'#', b'x' | b'X', ..] => (2, 16),
        [b'#', ..] => (1, 10),
        _ => return named(text),
    };
    let mut number = 0u64;
    let mut length = start;
    while let Some(digit) = text.get(length).and_then(|&byte| char::from(byte).to_digit(radix)) {
        // C's strtol stays at its largest value, whose low byte is 0xFF.
        number = number.saturating_mul(u64::from(radix)).saturating_add(u64::from(digit));
        length += 1;
    }
    (length > start).then_some((number.min(i64::MAX as u64) as u8, length))
}

fn named(text: &[u8]) -> Option<(u8, usize)> {
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let name = &text[..length];
    let known: [(&[u8], u8); 5] =
        [(b"quot", b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", 0xa0)];
    known.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, byte)| (*byte, length))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn numbers_and_five_names_decode() {
        check(
            "html_entity_decode",
            &[
                (b"", b""),
                (b"a b", b"a b"),
                (b"&lt;b&#62;", b"<b>"),
                (b"&LT&gT&QuOt;&amp;&nbsp;", b"<>\"&\xa0"),
                (b"&#x3c&#X3C;&#060;&#0000000060x", b"<<<<x"),
                (b"&#x3cd", b"\xcd"),
                (b"&#8217;", b"\x19"),
                (b"&#99999999999999999999999;", b"\xff"),
                (b"&", b"&"),
                (b"&#", b"&#"),
                (b"&#x", b"&#x"),
                (b"&#xg;&#a;", b"&#xg;&#a;"),
                (b"&lta;&apos;&;", b"&lta;&apos;&;"),
                (b"&&lt;", b"&<"),
                (b"&amp;lt;", b"&lt;"),
                (b"&#;", b"&#;"),
            ],
        );
    }
}
