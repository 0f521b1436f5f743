//! The character set that a Content-Type names, of a body or of one part of it, and what its text
//! is. An application that decodes `%89%84` by the table of an IBM mainframe reads another text
//! than the bytes show, so rules are shown both; a set that cannot be read here is an error.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::{BodyError, MultipartFlaw, Sink};

/// How text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// ASCII means ASCII, byte by byte: nothing is hidden in it. Also when none is named.
    Plain,
    /// Bytes of ASCII may mean something else, or something else may mean ASCII.
    Other(&'static Encoding),
    /// A name that no table here has.
    Unknown,
}

impl Charset {
    /// Of a Content-Type; of several names the first that is not plain.
    pub fn of(content_type: &[u8]) -> Charset {
        const NAME: &[u8] = b"charset";
        let lower = content_type.to_ascii_lowercase();
        let mut found = Charset::Plain;
        for at in memchr::memmem::find_iter(&lower, NAME) {
            let rest = lower[at + NAME.len()..].trim_ascii_start();
            let Some(rest) = rest.strip_prefix(b"=") else { continue };
            let rest = rest.trim_ascii_start();
            let rest = rest.strip_prefix(b"\"").or(rest.strip_prefix(b"'")).unwrap_or(rest);
            let is_part =
                |byte: &&u8| !matches!(byte, b';' | b',' | b'"' | b'\'') && !byte.is_ascii_whitespace();
            let label = &rest[..rest.iter().take_while(is_part).count()];
            match Charset::named(label) {
                Charset::Plain => {}
                other if found == Charset::Plain => found = other,
                _ => {}
            }
        }
        found
    }

    /// By a label of the Encoding Standard, or one that clients write by mistake.
    pub fn named(label: &[u8]) -> Charset {
        if let Some(encoding) = Encoding::for_label_no_replacement(label) {
            let plain = encoding == UTF_8 || encoding.is_single_byte();
            return if plain { Charset::Plain } else { Charset::Other(encoding) };
        }
        let letters: Vec<u8> = label.iter().filter(|byte| byte.is_ascii_alphanumeric()).copied().collect();
        let plain = letters.starts_with(b"utf8")
            || matches!(
                &letters[..],
                b"" | b"latin1" | b"ansi" | b"none" | b"null" | b"undefined" | b"binary"
            );
        if plain { Charset::Plain } else { Charset::Unknown }
    }

    /// What is to be said of a text that was read: bytes of an unknown set can be anything, whatever
    /// they looked like.
    pub fn outcome(self, read: Result<(), BodyError>) -> Result<(), BodyError> {
        match read {
            Err(error) if error.is_bound() => Err(error),
            _ if self == Charset::Unknown => Err(BodyError::Charset),
            read => read,
        }
    }

    pub fn is_wide(self) -> bool {
        matches!(self, Charset::Other(encoding) if encoding == UTF_16LE || encoding == UTF_16BE)
    }

    /// The texts that these bytes may be beside what they are as they stand. UTF-16 without a mark
    /// is read in either order: readers differ.
    pub fn readings(self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let Charset::Other(encoding) = self else { return Vec::new() };
        let wide = encoding == UTF_16LE || encoding == UTF_16BE;
        let encodings: &[&'static Encoding] = if wide { &[UTF_16LE, UTF_16BE] } else { &[encoding] };
        let texts = encodings.iter().filter_map(|encoding| decoded(encoding, bytes));
        texts.filter(|text| text != bytes).collect()
    }

    /// The text of a whole body that is not UTF-8 as it stands.
    pub fn text(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Charset::Other(encoding)
                if std::str::from_utf8(bytes).is_err() || encoding == encoding_rs::ISO_2022_JP =>
            {
                decoded(encoding, bytes).map_or(Cow::Borrowed(bytes), Cow::Owned)
            }
            _ => Cow::Borrowed(bytes),
        }
    }
}

/// None when most of it is no text in this encoding.
fn decoded(encoding: &'static Encoding, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = String::with_capacity(decoder.max_utf8_buffer_length(bytes.len())?);
    let (mut rest, mut broken) = (bytes, 0usize);
    loop {
        let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, true);
        rest = &rest[read..];
        match result {
            DecoderResult::InputEmpty => break,
            DecoderResult::OutputFull => text.reserve(rest.len() + 16),
            DecoderResult::Malformed(..) => {
                broken += 1;
                text.reserve(4);
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }
    (broken <= text.chars().count() / 2).then(|| text.into_bytes())
}

/// A sink that gets each argument once more as the charset says it is to be read.
pub(super) struct Recoded<'s> {
    pub charset: Charset,
    pub most: usize,
    pub sink: &'s mut dyn Sink,
}

impl Sink for Recoded<'_> {
    fn arg(&mut self, name: &[u8], value: &[u8]) {
        self.sink.arg(name, value);
        let mut names = self.charset.readings(name).into_iter();
        let values = self.charset.readings(value);
        for text in values.iter().filter(|text| text.len() <= self.most) {
            self.sink.arg(&names.next().unwrap_or_else(|| name.to_vec()), text);
        }
        if values.is_empty() {
            names.for_each(|name| self.sink.arg(&name, value));
        }
    }
    fn text(&mut self, text: &[u8]) {
        self.sink.text(text);
    }
    fn file(&mut self, field: &[u8], filename: &[u8], size: usize) {
        self.sink.file(field, filename, size);
    }
    fn file_content(&mut self, field: &[u8], content: &[u8]) {
        self.sink.file_content(field, content);
    }
    fn part_header(&mut self, part: &[u8], line: &[u8]) {
        self.sink.part_header(part, line);
    }
    fn xml_text(&mut self, text: &[u8]) {
        self.sink.xml_text(text);
    }
    fn xml_attribute(&mut self, value: &[u8]) {
        self.sink.xml_attribute(value);
    }
    fn multipart_flaw(&mut self, flaw: MultipartFlaw) {
        self.sink.multipart_flaw(flaw);
    }
    fn part_name(&mut self, name: &[u8]) {
        self.sink.part_name(name);
    }
    fn boundary_like(&mut self, followed: bool) {
        self.sink.boundary_like(followed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_and_known_or_not() {
        for (content_type, expect) in [
            ("text/plain", Charset::Plain),
            ("text/plain; charset=utf-8", Charset::Plain),
            ("text/plain; charset=\"UTF-8\"", Charset::Plain),
            ("text/plain; charset=utf_8;x=y", Charset::Plain),
            ("text/plain; charset=iso-8859-1", Charset::Plain),
            ("text/plain; charset=", Charset::Plain),
            ("text/plain; charset=Shift_JIS", Charset::Other(encoding_rs::SHIFT_JIS)),
            ("text/plain; charset = utf-16", Charset::Other(UTF_16LE)),
            ("text/plain; charset=utf-8, text/plain; charset=utf-16be", Charset::Other(UTF_16BE)),
            ("text/plain; charset=utf-7", Charset::Unknown),
            ("text/plain; charset='ibm037'", Charset::Unknown),
            ("text/plain; charset=iso-2022-kr", Charset::Unknown),
            ("text/plain; charsets=utf-7", Charset::Plain),
        ] {
            assert_eq!(Charset::of(content_type.as_bytes()), expect, "{content_type}");
        }
    }

    #[test]
    fn text_is_read_by_its_charset_and_what_is_none_is_not() {
        let utf16: Vec<u8> = "<b>".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let readings = Charset::of(b"a; charset=utf-16").readings(&utf16);
        assert!(readings.contains(&b"<b>".to_vec()), "{readings:?}");
        let shift = Charset::of(b"a; charset=shift_jis");
        assert_eq!(shift.readings(b"\x83\x65\x83\x58\x83\x67"), ["\u{30c6}\u{30b9}\u{30c8}".as_bytes()]);
        assert!(shift.readings(b"plain").is_empty() && shift.readings(b"\xff\xff\xff").is_empty());
        assert_eq!(&*shift.text(b"\x83\x65<"), "\u{30c6}<".as_bytes());
        assert_eq!(&*Charset::Plain.text(b"\xff"), b"\xff");
    }
}
