//! Decode candidates: what a value may be the encoded form of. A rule that asks for them
//! (`"decode": 2`) looks at a value and at what it decodes to, layer by layer, so that a payload in
//! base64 is met by the same rule as the plain one.
//!
//! A candidate is made only when decoding is plausible: the whole value is written in the
//! encoding's alphabet and text comes out, or what begins as serialised objects do. A word that
//! happens to be base64 decodes to noise and makes none. Numbers, sizes and depth are bounded; what
//! is beyond the bounds is looked at as it stands, and `decode_limit_exceeded` says so.
//!
//! Layers of one kind that lie directly on each other count as one: whoever writes percent signs
//! twice has hidden nothing more than who did it once, and an attack that is written with percent
//! signs itself is met by the same rules however often it is encoded again.

mod characters;
mod packed;
mod parts;

use super::bytes::ByteSet;
use characters::{entities, escapes, percent, unicode};
use packed::unpack;

/// Layers at most, each one counted.
pub const MOST_LAYERS: u8 = 4;
/// A longer value is not decoded.
pub(super) const LONGEST: usize = 64 * 1024;
/// Shorter values of base64 and hex hold nothing that a rule could mean.
const SHORTEST: usize = 6;
/// The same where a character is encoded by itself: `;w` with an overlong semicolon.
const SHORTEST_MARKED: usize = 3;

/// One way to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Encoding {
    /// RFC 4648 sections 4 and 5, padded or not, also behind `base64,` and `Basic `; the parts of a
    /// JSON Web Token (RFC 7519). What comes out in UTF-16 is narrowed.
    Base64,
    /// Pairs of digits, also behind `0x` or `x'`.
    Hex,
    /// `%41` and `%u0041`.
    Url,
    /// `&lt;`, `&lpar;` and `&#60;`, where no markup stands beside them.
    Html,
    /// `\u0041`, `\u{41}`, `\x41` and octal `\101`.
    Escapes,
    /// Overlong UTF-8 (RFC 3629 section 3 forbids it), full-width forms (U+FF01 to U+FF5E), and ASCII in UTF-16.
    Unicode,
    /// What is a value inside a value: segments of a path, strings of JSON and of GraphQL.
    Parts,
}

impl Encoding {
    pub const ALL: [Encoding; 7] = [
        Encoding::Base64,
        Encoding::Hex,
        Encoding::Url,
        Encoding::Html,
        Encoding::Escapes,
        Encoding::Unicode,
        Encoding::Parts,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Encoding::Base64 => "base64",
            Encoding::Hex => "hex",
            Encoding::Url => "url",
            Encoding::Html => "html",
            Encoding::Escapes => "escapes",
            Encoding::Unicode => "unicode",
            Encoding::Parts => "parts",
        }
    }

    pub fn find(name: &str) -> Option<Encoding> {
        Encoding::ALL.into_iter().find(|encoding| encoding.name() == name)
    }
}

/// A set of encodings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Encodings(u8);

impl Encodings {
    pub const NONE: Encodings = Encodings(0);
    pub const ALL: Encodings = Encodings((1 << Encoding::ALL.len()) - 1);

    pub fn with(self, encoding: Encoding) -> Encodings {
        Encodings(self.0 | 1 << encoding as u8)
    }

    pub fn contains(self, encoding: Encoding) -> bool {
        self.0 & 1 << encoding as u8 != 0
    }

    pub fn union(self, other: Encodings) -> Encodings {
        Encodings(self.0 | other.0)
    }

    pub fn is_subset(self, other: Encodings) -> bool {
        self.0 & !other.0 == 0
    }
}

/// What a condition asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decode {
    /// Layers, 0 to [`MOST_LAYERS`].
    pub depth: u8,
    pub encodings: Encodings,
}

impl Decode {
    pub fn all(depth: u8) -> Decode {
        Decode { depth, encodings: Encodings::ALL }
    }

    pub fn union(self, other: Decode) -> Decode {
        Decode { depth: self.depth.max(other.depth), encodings: self.encodings.union(other.encodings) }
    }

    /// True when a candidate that took these layers is asked for.
    pub fn takes(self, depth: u8, layers: Encodings) -> bool {
        depth <= self.depth && layers.is_subset(self.encodings)
    }
}

/// Where a decoded value came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The value that was decoded, by number, and the one that came in.
    pub from: u32,
    pub root: u32,
    /// The last layer.
    pub encoding: Encoding,
    /// How many layers there were, with those of one kind on each other as one, and of which kinds.
    pub depth: u8,
    pub layers: Encodings,
    /// How many there were, each one counted.
    pub steps: u8,
}

impl Origin {
    /// What lies one layer below this value (or below one that came in), if it is asked for.
    pub fn below(above: Option<Origin>, number: u32, encoding: Encoding, reach: Decode) -> Option<Origin> {
        let above = above.unwrap_or(Origin {
            from: number,
            root: number,
            encoding,
            depth: 0,
            layers: Encodings::NONE,
            steps: 0,
        });
        // Strings inside strings are pieces of something, and not the same thing written again.
        let again = above.steps > 0 && above.encoding == encoding && encoding != Encoding::Parts;
        let depth = above.depth + u8::from(!again);
        (depth <= reach.depth && above.steps < MOST_LAYERS).then(|| Origin {
            from: number,
            root: above.root,
            encoding,
            depth,
            layers: above.layers.with(encoding),
            steps: above.steps + 1,
        })
    }
}

/// Bytes that an encoding other than base64 and hex cannot do without.
const MARKS: ByteSet = ByteSet::of(b"\0%&\\\xc0\xc1\xe0\xef\xf0");
const LETTERS: ByteSet =
    ByteSet::range(b'a', b'z').union(ByteSet::range(b'A', b'Z')).union(ByteSet::range(b'0', b'9'));
/// Both alphabets; a plus sign may have become a space in a query, and long lines are broken.
const BASE64: ByteSet = LETTERS.union(ByteSet::of(b"+/-_= \r\n\t."));

/// Writes what a value decodes to; false when there is nothing to decode.
type Way = fn(&[u8], &mut Vec<u8>) -> bool;

/// Tells each candidate of one layer. `is_path` splits the value at slashes first. `out` is room to work in.
pub(crate) fn candidates(
    value: &[u8],
    is_path: bool,
    wanted: Encodings,
    out: &mut Vec<u8>,
    mut found: impl FnMut(Encoding, &[u8]),
) {
    if value.len() < SHORTEST_MARKED || value.len() > LONGEST {
        return;
    }
    // RFC 6750 section 2.1: what follows is a token.
    let value = match value.get(..7) {
        Some(label) if label.eq_ignore_ascii_case(b"bearer ") => &value[7..],
        _ => value,
    };
    let present = ByteSet::present_in(value);
    if value.len() >= SHORTEST && (wanted.contains(Encoding::Base64) || wanted.contains(Encoding::Hex)) {
        let mut packed = |piece: &[u8], out: &mut Vec<u8>| {
            if let Some(encoding) = unpack(piece, wanted, out) {
                found(encoding, out);
            }
        };
        let strange = present.intersects(&BASE64.complement());
        if is_path {
            let pieces = value.split(|byte| *byte == b'/').filter(|piece| piece.len() >= SHORTEST);
            pieces.for_each(|piece| packed(piece, out));
        } else if let Some(token) = (!strange && present.contains(b'.')).then(|| token(value)).flatten() {
            // A token's head and claims; its signature is noise.
            token.split(|byte| *byte == b'.').take(2).for_each(|piece| packed(piece, out));
        } else if let Some(piece) = behind_label(value) {
            packed(piece, out);
        } else if !strange || value.starts_with(b"x'") || value.starts_with(b"X'") {
            packed(value, out);
        }
    }
    if value.len() >= SHORTEST && wanted.contains(Encoding::Parts) {
        if is_path {
            parts::of_path(value, |piece| found(Encoding::Parts, piece));
        } else if present.contains(b'"') {
            parts::of_text(value, out, |piece| found(Encoding::Parts, piece));
        }
    }
    if !MARKS.intersects(&present) {
        return;
    }
    let ways: [(Encoding, bool, Way); 4] = [
        (Encoding::Url, present.contains(b'%'), percent),
        (Encoding::Html, present.contains(b'&') && !present.contains(b'<'), entities),
        (Encoding::Escapes, present.contains(b'\\'), escapes),
        (Encoding::Unicode, present.intersects(&ByteSet::of(b"\0\xc0\xc1\xe0\xef\xf0")), unicode),
    ];
    for (encoding, possible, apply) in ways {
        if possible && wanted.contains(encoding) && apply(value, out) {
            found(encoding, out);
        }
    }
}

/// A web token, also behind the scheme of an Authorization field (`Bearer`, `DPoP`, `JWT`).
fn token(value: &[u8]) -> Option<&[u8]> {
    const LONGEST_SCHEME: usize = 6;
    let token = match value.iter().take(LONGEST_SCHEME + 1).position(|byte| *byte == b' ') {
        Some(end) if value[..end].iter().all(u8::is_ascii_alphabetic) => &value[end + 1..],
        _ => value,
    };
    token.starts_with(b"ey").then_some(token)
}

/// What stands behind a label that says how it is encoded.
fn behind_label(value: &[u8]) -> Option<&[u8]> {
    const NEAR: usize = 128;
    if value.len() > 6 && value[..6].eq_ignore_ascii_case(b"basic ") {
        return Some(&value[6..]);
    }
    let start = &value[..value.len().min(NEAR)];
    let at = memchr::memmem::find(start, b"base64,")?;
    Some(&value[at + 7..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(value: &[u8]) -> Vec<(Encoding, String)> {
        let mut candidates = Vec::new();
        super::candidates(value, false, Encodings::ALL, &mut Vec::new(), |encoding, bytes| {
            candidates.push((encoding, bytes.escape_ascii().to_string()));
        });
        candidates
    }

    #[test]
    fn an_encoded_text_is_decoded() {
        for (value, encoding, text) in [
            (&b"PHNjcmlwdD4="[..], Encoding::Base64, "<script>"),
            (b"PHNjcmlwdD4", Encoding::Base64, "<script>"),
            (b"Jz8_Pz4-", Encoding::Base64, "\\'???>>"),
            (b"Jz8/Pz4 ", Encoding::Base64, "\\'???>"),
            (b"Basic YWRtaW46JyBvciAx", Encoding::Base64, "admin:\\' or 1"),
            (b"data:text/html;base64,PHNjcmlwdD4=", Encoding::Base64, "<script>"),
            (b"PABzAGMAcgBpAHAAdAA+AA==", Encoding::Base64, "<script>"),
            (b"3c7363726970743e", Encoding::Hex, "<script>"),
            (b"0x3C7363726970743E", Encoding::Hex, "<script>"),
            (b"x'3C7363726970743E'", Encoding::Hex, "<script>"),
            (b"%3cscript%3E", Encoding::Url, "<script>"),
            (b"a%u003cb%uff1e", Encoding::Url, "a<b>"),
            (b"&lt;script&#62;", Encoding::Html, "<script>"),
            (b"a&LPAR;&#x27&#39;&#59", Encoding::Html, "a(\\'\\';"),
            (b"&ltimg src=x&gtx", Encoding::Html, "<img src=x>x"),
            (b"&#8232;&amp;amp", Encoding::Html, "\\xe2\\x80\\xa8&amp"),
            (b"\\u003cscript\\x3e\\u{3e}\\076", Encoding::Escapes, "<script>>>"),
            (b"\xc0\xbbw", Encoding::Unicode, ";w"),
            (b"%3bw", Encoding::Url, ";w"),
            (b"UEhOamNtbHdkRDR4", Encoding::Base64, "PHNjcmlwdD4x"),
            (b"rO0ABXNyAAE=", Encoding::Base64, "\\xac\\xed\\x00\\x05sr\\x00\\x01"),
            (b"aced000573720001", Encoding::Hex, "\\xac\\xed\\x00\\x05sr\\x00\\x01"),
            (b"..\xc0\xaf..\xe0\x80\xaf..\xf0\x80\x80\xaf", Encoding::Unicode, "../../../"),
            ("\u{ff1c}script\u{ff1e}".as_bytes(), Encoding::Unicode, "<script>"),
            (b"<\0s\0c\0r\0i\0p\0t\0>\0", Encoding::Unicode, "<script>"),
            (b"\0<\0s\0c\0r\0i\0p\0t\0>", Encoding::Unicode, "<script>"),
        ] {
            let all = all(value);
            assert_eq!(all, [(encoding, text.to_owned())], "{}", value.escape_ascii());
        }
        let token = all(b"eyJhbGciOiJub25lIn0.eyJzdWIiOiInIG9yIDEifQ.c2ln");
        assert_eq!(token.len(), 2, "{token:?}");
        assert!(token[0].1.contains("none") && token[1].1.contains("or 1"), "{token:?}");
        assert_eq!(all(b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiInIG9yIDEifQ.c2ln"), token);
    }

    #[test]
    fn ordinary_values_make_no_candidates() {
        for value in [
            &b"password"[..],
            b"hello world",
            b"1234567890",
            b"20261121",
            b"d41d8cd98f00b204e9800998ecf8427e",
            b"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            b"123e4567-e89b-12d3-a456-426614174000",
            b"GA1.2.1234567890.1600000000",
            b"application/json",
            b"/assets/js/main",
            b"100% sure",
            b"50%off",
            b"R&D",
            b"a&sol=1&#;&#x;&",
            b"a && b",
            b"C:\\Users\\me",
            "na\u{ef}ve caf\u{e9}".as_bytes(),
            "\u{65e5}\u{672c}\u{8a9e}".as_bytes(),
            b"",
        ] {
            assert_eq!(all(value), [], "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_path_is_decoded_piece_by_piece() {
        let mut candidates = Vec::new();
        super::candidates(b"/api/PHNjcmlwdD4=/x", true, Encodings::ALL, &mut Vec::new(), |_, bytes| {
            candidates.push(bytes.to_vec());
        });
        assert_eq!(candidates[0], b"<script>", "{candidates:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_candidate_is_longer_than_its_value_or_the_same(value in proptest::collection::vec(any::<u8>(), 0..64), path in any::<bool>()) {
            super::candidates(&value, path, Encodings::ALL, &mut Vec::new(), |encoding, bytes| {
                assert!(bytes.len() < value.len(), "{encoding:?}: {} of {}", bytes.escape_ascii(), value.escape_ascii());
            });
        }

        #[test]
        fn what_was_encoded_comes_back(text in "[ -~]{6,40}[!-/][ -~]{1,9}") {
            use base64::Engine;
            use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            let percent: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let escapes: String = text.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
            for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text), hex, percent, escapes] {
                let mut back = Vec::new();
                super::candidates(encoded.as_bytes(), false, Encodings::ALL, &mut Vec::new(), |_, bytes| back.push(bytes.to_vec()));
                prop_assert!(back.iter().any(|back| back == text.as_bytes()), "{encoded}");
            }
        }
    }
}
