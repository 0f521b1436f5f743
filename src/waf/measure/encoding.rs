//! Ways to write a value so that an application that decodes once more has the value itself.
//! Refuses nothing: an encoding says of bytes that it cannot write that it cannot.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// As it is; the placement escapes what must be escaped.
    Plain,
    /// One more layer of percent-encoding than the place asks for.
    Url,
    /// Two more.
    DoubleUrl,
    /// `%uXXXX`, as IIS once took it.
    UrlUnicode,
    Base64,
    /// Of the URL-safe alphabet, without padding.
    Base64Url,
    Hex,
    /// `\uXXXX` for all but letters and digits.
    JsUnicode,
    /// `\uXXXX` for everything.
    JsUnicodeAll,
    /// `&lt;` where there is a name, `&#NN;` for what else is no letter or digit.
    HtmlEntities,
    /// `&#xHH;` for all but letters and digits.
    HtmlHex,
    /// Two bytes of UTF-8 where one would do, for all ASCII but letters and digits.
    OverlongUtf8,
    /// The forms U+FF01 to U+FF5E for all but letters and digits.
    Fullwidth,
    /// The same for letters and digits, too.
    FullwidthAll,
    /// The whole body in gzip, said in Content-Encoding.
    Gzip,
    /// A JSON body in UTF-16 with a byte order mark.
    Utf16,
}

impl Encoding {
    pub const ALL: [Encoding; 16] = [
        Encoding::Plain,
        Encoding::Url,
        Encoding::DoubleUrl,
        Encoding::UrlUnicode,
        Encoding::Base64,
        Encoding::Base64Url,
        Encoding::Hex,
        Encoding::JsUnicode,
        Encoding::JsUnicodeAll,
        Encoding::HtmlEntities,
        Encoding::HtmlHex,
        Encoding::OverlongUtf8,
        Encoding::Fullwidth,
        Encoding::FullwidthAll,
        Encoding::Gzip,
        Encoding::Utf16,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Encoding::Plain => "plain",
            Encoding::Url => "url",
            Encoding::DoubleUrl => "double-url",
            Encoding::UrlUnicode => "url-unicode",
            Encoding::Base64 => "base64",
            Encoding::Base64Url => "base64url",
            Encoding::Hex => "hex",
            Encoding::JsUnicode => "js-unicode",
            Encoding::JsUnicodeAll => "js-unicode-all",
            Encoding::HtmlEntities => "html-entities",
            Encoding::HtmlHex => "html-hex",
            Encoding::OverlongUtf8 => "overlong-utf8",
            Encoding::Fullwidth => "fullwidth",
            Encoding::FullwidthAll => "fullwidth-all",
            Encoding::Gzip => "gzip",
            Encoding::Utf16 => "utf-16",
        }
    }

    pub fn find(name: &str) -> Option<Encoding> {
        Encoding::ALL.into_iter().find(|encoding| encoding.name() == name)
    }

    /// The value under this encoding. None when it cannot be written so: escapes that stand for
    /// characters need a value that is UTF-8. What is done to the whole body leaves the value.
    pub fn encode(self, value: &[u8]) -> Option<Vec<u8>> {
        let plain = |c: char| c.is_ascii_alphanumeric();
        match self {
            Encoding::Plain | Encoding::Gzip | Encoding::Utf16 => Some(value.to_vec()),
            Encoding::Url => Some(percent(value)),
            Encoding::DoubleUrl => Some(percent(&percent(value))),
            Encoding::UrlUnicode => chars(value, plain, |out, c| units(out, c, "%u")),
            Encoding::Base64 => Some(STANDARD.encode(value).into_bytes()),
            Encoding::Base64Url => Some(URL_SAFE_NO_PAD.encode(value).into_bytes()),
            Encoding::Hex => Some(hex::encode(value).into_bytes()),
            Encoding::JsUnicode => chars(value, plain, |out, c| units(out, c, "\\u")),
            Encoding::JsUnicodeAll => chars(value, |_| false, |out, c| units(out, c, "\\u")),
            Encoding::HtmlEntities => chars(value, plain, entity),
            Encoding::HtmlHex => chars(value, plain, |out, c| {
                let _ = write!(out, "&#x{:x};", u32::from(c));
            }),
            Encoding::OverlongUtf8 => Some(overlong(value)),
            Encoding::Fullwidth => chars(value, plain, wide),
            Encoding::FullwidthAll => chars(value, |_| false, wide),
        }
    }
}

/// Percent-encodes all but what RFC 3986 section 2.3 calls unreserved.
pub(super) fn percent(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 3);
    for byte in value {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}

/// Each character as it is, or as `other` writes it.
fn chars(value: &[u8], same: impl Fn(char) -> bool, other: impl Fn(&mut String, char)) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    let mut out = String::with_capacity(text.len() * 4);
    for c in text.chars() {
        if same(c) { out.push(c) } else { other(&mut out, c) }
    }
    Some(out.into_bytes())
}

fn units(out: &mut String, c: char, mark: &str) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(out, "{mark}{unit:04x}");
    }
}

fn entity(out: &mut String, c: char) {
    match c {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '&' => out.push_str("&amp;"),
        c => {
            let _ = write!(out, "&#{};", u32::from(c));
        }
    }
}

fn wide(out: &mut String, c: char) {
    match c {
        '!'..='~' => out.extend(char::from_u32(u32::from(c) + 0xfee0)),
        c => out.push(c),
    }
}

fn overlong(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 2);
    for byte in value {
        if byte.is_ascii() && !byte.is_ascii_alphanumeric() {
            out.extend_from_slice(&[0xc0 | (byte >> 6), 0x80 | (byte & 0x3f)]);
        } else {
            out.push(*byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_writes_what_its_name_says() {
        for (encoding, expect) in [
            (Encoding::Plain, "a <\u{e9}"),
            (Encoding::Url, "a%20%3C%C3%A9"),
            (Encoding::DoubleUrl, "a%2520%253C%25C3%25A9"),
            (Encoding::UrlUnicode, "a%u0020%u003c%u00e9"),
            (Encoding::Base64, "YSA8w6k="),
            (Encoding::Base64Url, "YSA8w6k"),
            (Encoding::Hex, "61203cc3a9"),
            (Encoding::JsUnicode, "a\\u0020\\u003c\\u00e9"),
            (Encoding::JsUnicodeAll, "\\u0061\\u0020\\u003c\\u00e9"),
            (Encoding::HtmlEntities, "a&#32;&lt;&#233;"),
            (Encoding::HtmlHex, "a&#x20;&#x3c;&#xe9;"),
            (Encoding::Fullwidth, "a \u{ff1c}\u{e9}"),
            (Encoding::FullwidthAll, "\u{ff41} \u{ff1c}\u{e9}"),
            (Encoding::Gzip, "a <\u{e9}"),
        ] {
            let encoded = encoding.encode("a <\u{e9}".as_bytes()).expect("text can be written in all");
            assert_eq!(String::from_utf8_lossy(&encoded), expect, "{encoding:?}");
        }
        assert_eq!(Encoding::OverlongUtf8.encode(b"a/.\xff"), Some(b"a\xc0\xaf\xc0\xae\xff".to_vec()));
    }

    #[test]
    fn bytes_that_are_no_text_have_no_escapes_for_characters() {
        assert_eq!(Encoding::JsUnicode.encode(b"\xff"), None);
        assert_eq!(Encoding::Hex.encode(b"\xff"), Some(b"ff".to_vec()));
    }

    #[test]
    fn every_encoding_is_found_by_its_name() {
        for encoding in Encoding::ALL {
            assert_eq!(Encoding::find(encoding.name()), Some(encoding));
        }
        assert_eq!(Encoding::find("rot13"), None);
    }
}
