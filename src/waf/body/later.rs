//! A slice of a body, behind its beginning: cut where a value ends, with nothing known of what stands around it. Each
//! reader takes what values it finds; only that there are too many is an error, since half of a document always breaks
//! its format's rules.

use super::{BodyError, Bounds, MultipartFlaw, Processor, Sink, json, multipart, urlencoded};
use crate::waf::input::Extent;

/// Reads it.
pub(super) fn parse(
    processor: Processor,
    content_type: &[u8],
    bytes: &[u8],
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    // A form's fields are as many as a document's leaves here: a slice is longer than forms are.
    let wide = Bounds { args: bounds.leaves, ..*bounds };
    match processor {
        Processor::Urlencoded => urlencoded::query(bytes, &wide, sink),
        Processor::Json | Processor::JsonLines => strings(bytes, bounds, sink),
        Processor::Xml => {
            markup(bytes, sink);
            Ok(())
        }
        Processor::Multipart => {
            match multipart::parse(content_type, bytes, Extent::Partial, bounds, &mut Calm(sink)) {
                Err(BodyError::Malformed { .. }) => Ok(()),
                read => read,
            }
        }
        Processor::Protobuf | Processor::Grpc => Ok(()),
    }
}

/// Everything in quotes. The bytes begin outside of them.
fn strings(bytes: &[u8], bounds: &Bounds, sink: &mut dyn Sink) -> Result<(), BodyError> {
    let mut rest = bytes;
    // Names and values.
    for _ in 0..2 * bounds.leaves {
        let Some(begin) = memchr::memchr(b'"', rest) else { return Ok(()) };
        let mut end = begin + 1;
        while let Some(at) = memchr::memchr2(b'"', b'\\', rest.get(end..).unwrap_or_default()) {
            end += at + 1;
            if rest[end - 1] == b'"' {
                break;
            }
            end += 1;
        }
        let end = if end == begin + 1 { rest.len() } else { end.min(rest.len()) };
        let _ = json::parse(&rest[begin..end], Extent::Partial, bounds, sink);
        rest = &rest[end..];
    }
    Err(BodyError::TooManyArgs(bounds.leaves))
}

/// Text between tags, and what stands in quotes in them.
fn markup(bytes: &[u8], sink: &mut dyn Sink) {
    for piece in bytes.split(|byte| *byte == b'<') {
        let (tag, text) = match memchr::memchr(b'>', piece) {
            Some(at) => (&piece[..at], &piece[at + 1..]),
            None => (&b""[..], piece),
        };
        for value in tag.split(|byte| matches!(byte, b'"' | b'\'')).skip(1).step_by(2) {
            sink.xml_attribute(&unescaped(value));
        }
        if !text.trim_ascii().is_empty() {
            sink.xml_text(&unescaped(text));
        }
    }
}

/// The five entities that every XML document has.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&apos;", "'").replace("&amp;", "&").into_bytes()
}

/// A slice has no end and may have no beginning: that is no flaw of the body.
struct Calm<'s>(&'s mut dyn Sink);

impl Sink for Calm<'_> {
    fn arg(&mut self, name: &[u8], value: &[u8]) {
        self.0.arg(name, value);
    }
    fn file(&mut self, field: &[u8], filename: &[u8], size: usize) {
        self.0.file(field, filename, size);
    }
    fn file_content(&mut self, field: &[u8], content: &[u8]) {
        self.0.file_content(field, content);
    }
    fn part_header(&mut self, part: &[u8], line: &[u8]) {
        self.0.part_header(part, line);
    }
    fn xml_text(&mut self, text: &[u8]) {
        self.0.xml_text(text);
    }
    fn xml_attribute(&mut self, value: &[u8]) {
        self.0.xml_attribute(value);
    }
    fn multipart_flaw(&mut self, _flaw: MultipartFlaw) {}
    fn part_name(&mut self, name: &[u8]) {
        self.0.part_name(name);
    }
}

/// Takes nothing.
pub(super) struct Nothing;

impl Sink for Nothing {
    fn arg(&mut self, _name: &[u8], _value: &[u8]) {}
    fn file(&mut self, _field: &[u8], _filename: &[u8], _size: usize) {}
    fn part_header(&mut self, _part: &[u8], _line: &[u8]) {}
    fn xml_text(&mut self, _text: &[u8]) {}
    fn xml_attribute(&mut self, _value: &[u8]) {}
    fn multipart_flaw(&mut self, _flaw: MultipartFlaw) {}
}

#[cfg(test)]
mod tests {
    use super::super::tests::Notes;
    use super::*;

    fn read(processor: Processor, text: &str) -> Notes {
        let mut notes = Notes::default();
        let media = b"multipart/form-data; boundary=b";
        parse(processor, media, text.as_bytes(), &Bounds::default(), &mut notes).unwrap();
        notes
    }

    #[test]
    fn values_are_found_without_what_stands_around_them() {
        let notes = read(Processor::Json, r#"2], "b": "x\"y\u003c", "c": {"d": "cut"#);
        let values: Vec<_> = notes.args.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["b", "x\"y<", "c", "d", "cut"]);
        let notes = read(Processor::Urlencoded, "b=%27&c=3");
        assert_eq!(notes.pairs(), [("b", "'"), ("c", "3")]);
        let notes = read(Processor::Xml, "text</a><b c=\"1\" d='&lt;'>more &amp; more");
        assert_eq!(notes.text, ["text", "more & more"]);
        assert_eq!(notes.attributes, ["1", "<"]);
        let part = "--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\nvalue\r\n--b\r\n";
        let notes = read(Processor::Multipart, &format!("rest of a file\r\n{part}"));
        assert_eq!(notes.pairs(), [("q", "value")]);
        assert!(notes.flaws.is_empty());
    }
}
