//! Transformations: a value in, the value as an application further inside would see it out.
//! One file per transformation and one table; names are ModSecurity's in snake_case and the
//! meaning is ModSecurity's, byte for byte where rules depend on it. Where its versions differ, the
//! one that lets a rule see more is followed, and where it errs (a value cut at a NUL byte), it is
//! not; the files say so.
//!
//! None of them allocates beyond `out`, and each looks before it copies: an unchanged value
//! costs a scan.

use crate::waf::bytes::ByteSet;

mod base64_decode;
mod base64_encode;
mod best_fit;
mod cmd_line;
mod comments;
mod css_decode;
mod digest;
mod escape_seq_decode;
mod hex;
mod html_entity_decode;
mod js_decode;
mod length;
mod lowercase;
mod none;
mod normalise_path;
mod parity;
mod php_args_names;
mod remove_nulls;
mod sql_hex_decode;
mod text_runs;
mod trim;
mod uppercase;
mod url_decode;
mod url_decode_uni;
mod url_encode;
mod utf8_to_unicode;
mod whitespace;

pub(crate) use url_decode::url_decode;

/// One transformation of the table.
#[derive(Debug)]
pub struct Transformation {
    pub name: &'static str,
    /// Writes the result to `out` (cleared first). True: `out` is a different value; false: the
    /// value is unchanged and `out` holds nothing of use.
    pub apply: fn(&[u8], &mut Vec<u8>) -> bool,
    /// A value without any of these bytes is its own result. A full set means that even the
    /// empty value may change; ask [`Transformation::may_change`].
    pub triggers: ByteSet,
}

impl Transformation {
    /// False when a value of exactly these bytes is surely its own result.
    pub fn may_change(&self, present: &ByteSet) -> bool {
        self.triggers.is_full() || self.triggers.intersects(present)
    }
}

impl Transformation {
    /// Bytes that a result may have although the value has them in neither case.
    pub fn makes(&self) -> ByteSet {
        const DIGITS: ByteSet = ByteSet::range(b'0', b'9');
        const HEX: ByteSet = DIGITS.union(ByteSet::range(b'a', b'f'));
        match self.name {
            "lowercase"
            | "none"
            | "normalise_path"
            | "remove_comments_char"
            | "remove_nulls"
            | "remove_whitespace"
            | "trim"
            | "trim_left"
            | "trim_right" => ByteSet::EMPTY,
            "base64_encode" => base64_encode::MAKES,
            "cmd_line" | "compress_whitespace" | "replace_comments" | "replace_nulls" => ByteSet::of(b" "),
            "hex_encode" => HEX,
            "length" => DIGITS,
            "normalise_path_win" => ByteSet::of(b"/"),
            "parity_zero_7bit" => ByteSet::range(0, 0x7f),
            "php_args_names" => ByteSet::of(b"_"),
            "remove_comments" => ByteSet::of(b" \0"),
            "text_runs" => ByteSet::of(b"\n"),
            "uppercase" => ByteSet::range(b'A', b'Z'),
            "url_encode" => HEX.union(ByteSet::of(b"%+")),
            "utf8_to_unicode" => HEX.union(ByteSet::of(b"%u")),
            _ => ByteSet::FULL,
        }
    }
}

/// The transformation of that name.
pub fn find(name: &str) -> Option<&'static Transformation> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
    TABLE.iter().copied().find(|transformation| transformation.name == name)
}

/// The transformation that SecLang (ModSecurity's rule language) calls so, in any of its spellings:
/// `urlDecodeUni`, `normalizePath`, `cmd_line`, `utf8toUnicode`. Case and underscores do not count.
pub fn find_seclang(name: &str) -> Option<&'static Transformation> {
    let letters = |name: &str| name.bytes().filter(|&byte| byte != b'_').collect::<Vec<u8>>();
    let wanted = letters(name);
    names().find(|known| letters(known).eq_ignore_ascii_case(&wanted)).and_then(find)
}

/// All names, aliases included.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|transformation| transformation.name).chain(ALIASES.iter().map(|(alias, _)| *alias))
}

/// The other spelling of a name.
const ALIASES: &[(&str, &str)] =
    &[("normalize_path", "normalise_path"), ("normalize_path_win", "normalise_path_win")];

static TABLE: &[&Transformation] = &[
    &base64_decode::BASE64_DECODE,
    &base64_decode::BASE64_DECODE_EXT,
    &base64_encode::BASE64_ENCODE,
    &cmd_line::CMD_LINE,
    &comments::REMOVE_COMMENTS,
    &comments::REMOVE_COMMENTS_CHAR,
    &comments::REPLACE_COMMENTS,
    &css_decode::CSS_DECODE,
    &escape_seq_decode::ESCAPE_SEQ_DECODE,
    &hex::HEX_DECODE,
    &hex::HEX_ENCODE,
    &html_entity_decode::HTML_ENTITY_DECODE,
    &js_decode::JS_DECODE,
    &length::LENGTH,
    &lowercase::LOWERCASE,
    &digest::MD5,
    &none::NONE,
    &normalise_path::NORMALISE_PATH,
    &normalise_path::NORMALISE_PATH_WIN,
    &parity::PARITY_EVEN_7BIT,
    &parity::PARITY_ODD_7BIT,
    &parity::PARITY_ZERO_7BIT,
    &php_args_names::PHP_ARGS_NAMES,
    &remove_nulls::REMOVE_NULLS,
    &remove_nulls::REPLACE_NULLS,
    &digest::SHA1,
    &sql_hex_decode::SQL_HEX_DECODE,
    &text_runs::TEXT_RUNS,
    &trim::TRIM,
    &trim::TRIM_LEFT,
    &trim::TRIM_RIGHT,
    &uppercase::UPPERCASE,
    &url_decode::URL_DECODE,
    &url_decode_uni::URL_DECODE_UNI,
    &url_encode::URL_ENCODE,
    &utf8_to_unicode::UTF8_TO_UNICODE,
    &whitespace::COMPRESS_WHITESPACE,
    &whitespace::REMOVE_WHITESPACE,
];

/// White space as C's `isspace` has it.
pub(crate) const SPACE: ByteSet = ByteSet::of(b" \t\n\x0b\x0c\r");

/// The value of a hexadecimal digit.
fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that two hexadecimal digits at the start of `text` stand for.
pub(crate) fn hex_pair(text: &[u8]) -> Option<u8> {
    match text {
        [high, low, ..] => Some(hex_digit(*high)? << 4 | hex_digit(*low)?),
        _ => None,
    }
}

/// The byte that escapes leave of a UTF-16 unit: full width ASCII, FF01
/// to FF5E, becomes ASCII, anything else its low byte.
fn narrow_full_width(high: u8, low: u8) -> u8 {
    match (high, low) {
        (0xff, 0x01..=0x5e) => low + 0x20,
        _ => low,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each case gives its result, says "unchanged" exactly when it is, and ignores what `out`
    /// held before.
    pub(super) fn check(name: &str, cases: &[(&[u8], &[u8])]) {
        let transformation = find(name).unwrap_or_else(|| panic!("no transformation {name}"));
        for (value, expect) in cases {
            let mut out = b"left over".to_vec();
            let changed = (transformation.apply)(value, &mut out);
            let result = if changed { &out[..] } else { value };
            assert_eq!(
                result.escape_ascii().to_string(),
                expect.escape_ascii().to_string(),
                "{name} of {:?}",
                value.escape_ascii().to_string()
            );
            assert_eq!(changed, value != expect, "{name} of {:?}", value.escape_ascii().to_string());
        }
    }

    #[test]
    fn names_are_unique_and_all_are_found() {
        let mut seen = std::collections::BTreeSet::new();
        for name in names() {
            assert!(seen.insert(name), "{name} twice");
            assert!(find(name).is_some(), "{name}");
        }
        assert!(find("lower_case").is_none());
    }

    #[test]
    fn seclang_names_are_found_in_every_spelling() {
        for (seclang, name) in [
            ("urlDecodeUni", "url_decode_uni"),
            ("URLDECODEUNI", "url_decode_uni"),
            ("utf8toUnicode", "utf8_to_unicode"),
            ("cmdLine", "cmd_line"),
            ("cmd_line", "cmd_line"),
            ("compressWhitespace", "compress_whitespace"),
            ("normalisePath", "normalise_path"),
            ("normalizePathWin", "normalise_path_win"),
            ("parityEven7bit", "parity_even_7bit"),
            ("base64DecodeExt", "base64_decode_ext"),
            ("none", "none"),
        ] {
            assert_eq!(find_seclang(seclang).map(|found| found.name), Some(name), "{seclang}");
        }
        for name in names() {
            assert!(find_seclang(&name.replace('_', "")).is_some(), "{name}");
        }
        assert!(
            find_seclang("").is_none() && find_seclang("_").is_none() && find_seclang("urlDecod").is_none()
        );
    }

    /// What makes each transformation work hardest, over and over: a loop that reads anything twice
    /// per byte would not come back from these, and none may make more than thrice what it got.
    #[test]
    fn long_values_of_any_shape_are_read_once_and_grow_threefold_at_most() {
        let shapes: [&[u8]; 22] = [
            b"a",
            b" ",
            b"%",
            b"%u0041",
            b"+",
            b"\\",
            b"\\u0041",
            b"&",
            b"&#",
            b"&#x3",
            b"/*",
            b"*/",
            b"<!--",
            b"-->",
            b"../",
            b"a/",
            b"/..",
            b"0x",
            b"0x41",
            b"[",
            b"[]",
            b"\xc3\xa4",
        ];
        for size in [1 << 10, 1 << 14, 1 << 18] {
            for shape in shapes {
                let value: Vec<u8> = shape.iter().copied().cycle().take(size).collect();
                for transformation in TABLE {
                    let mut out = Vec::new();
                    (transformation.apply)(&value, &mut out);
                    assert!(
                        out.len() <= 3 * size,
                        "{} makes {} of {size} bytes",
                        transformation.name,
                        out.len()
                    );
                }
            }
        }
    }

    /// Bytes that mean something to some transformation, so that random values meet escapes.
    fn value() -> impl Strategy<Value = Vec<u8>> {
        let telling = proptest::sample::select(
            b"%+uUxX\\&#;/.*-<>!'\"^, \t\r\n\0\xa0\xc2\xe2\xf0\xf5\x80()[]0123456789abcdefABCDEFGzZ="
                .to_vec(),
        );
        proptest::collection::vec(prop_oneof![4 => telling, 1 => any::<u8>()], 0..48)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn triggers_and_the_changed_flag_never_lie(value in value()) {
            for transformation in TABLE {
                let mut out = b"left over".to_vec();
                let changed = (transformation.apply)(&value, &mut out);
                let may_change = transformation.may_change(&ByteSet::present_in(&value));
                prop_assert!(may_change || !changed, "{}: {:?} has no trigger but changed", transformation.name, value);
                if changed {
                    let known = ByteSet::present_in(&value);
                    let known = known.union(known.lowercased()).union(transformation.makes());
                    let strange = ByteSet::present_in(&out).intersects(&known.complement());
                    prop_assert!(!strange, "{}: {:?} became {:?}", transformation.name, value, out);
                }
                prop_assert!(!changed || out != value, "{}: {:?} is said to have changed", transformation.name, value);
            }
        }

        #[test]
        fn a_value_stripped_of_triggers_is_unchanged(value in value()) {
            for transformation in TABLE {
                if transformation.triggers.is_full() {
                    continue;
                }
                let mut stripped = value.clone();
                stripped.retain(|&byte| !transformation.triggers.contains(byte));
                prop_assert!(!(transformation.apply)(&stripped, &mut Vec::new()), "{}: {:?}", transformation.name, stripped);
            }
        }
    }
}
