//! A slice of a body, behind its beginning, as [`super::border`] cuts them: read by the readers of whole bodies, behind
//! what brings them to where they were. That half of a document breaks its format's rules is no error; that there is
//! too much of something is.

use super::{BodyError, Bounds, Charset, MultipartFlaw, Processor, Recoded, Sink, each_reading};
use super::{json, lines, multipart, second, urlencoded, wide, xml};
use crate::waf::input::Extent;

/// Reads it.
pub(super) fn parse(
    processor: Processor,
    content_type: &[u8],
    bytes: &[u8],
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    let charset = Charset::of(content_type);
    let sink = &mut Calm(sink);
    let text = wide::narrowed_if_marked(bytes);
    let read = match processor {
        Processor::Urlencoded => form(charset, &text, bounds, sink),
        Processor::Json => each_reading(charset, &text, |text| {
            json::parse_all(text, json::Documents::Part, Extent::Partial, bounds, sink)
        }),
        Processor::JsonLines => each_reading(charset, &text, |text| {
            lines::parse(content_type, text, Extent::Partial, bounds, sink)
        }),
        Processor::Xml => each_reading(charset, &text, |text| xml::parse_part(text, bounds, sink)),
        Processor::Multipart => multipart::parse(content_type, charset, bytes, Extent::Partial, bounds, sink),
        Processor::Protobuf | Processor::Grpc => return Ok(()),
    };
    match charset.outcome(read) {
        Err(BodyError::Malformed { .. } | BodyError::NoBoundary) => Ok(()),
        read => read,
    }
}

fn form(charset: Charset, text: &[u8], bounds: &Bounds, sink: &mut dyn Sink) -> Result<(), BodyError> {
    // A form's fields are as many as a document's leaves here: a slice is longer than forms are.
    let wide = Bounds { args: bounds.leaves, ..*bounds };
    urlencoded::query(text, &wide, &mut Recoded { charset, most: bounds.value_bytes, sink })?;
    second::json_in_form(text, Extent::Partial, bounds, sink)
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
    fn text(&mut self, text: &[u8]) {
        self.0.text(text);
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
    fn a_slice_is_read_as_a_whole_body_is() {
        let notes = read(Processor::Json, r#"{"":"x\"y\u003c", "c": {'d': `e"f`, g: h i}}, "cut"#);
        let values: Vec<_> = notes.args.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["x\"y<", "e\"f", "h i", "cut"]);
        let notes = read(Processor::JsonLines, "{\"\":\"x\"}\n{\"a\": \"broken\n{\"b\":\"\\u0027\"}");
        assert_eq!(notes.pairs(), [("json.", "x"), ("json.a", "broken"), ("json.b", "'")]);
        let notes = read(Processor::Urlencoded, "a=%27&c=3");
        assert_eq!(notes.pairs(), [("a", "'"), ("c", "3")]);
        let notes = read(Processor::Xml, "te<!-- -->xt</a></z><b c=\"1\" d='&#39;'>more<![CDATA[<&>]]>");
        assert_eq!(notes.text, ["text", "more<&>"]);
        assert_eq!(notes.attributes, ["1", "'"]);
        let part = "--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\nvalue\r\n--b\r\n";
        let notes = read(Processor::Multipart, &format!("rest of a file\r\n{part}"));
        assert_eq!(notes.pairs(), [("q", "value")]);
        assert!(notes.flaws.is_empty());
    }

    #[test]
    fn that_there_is_too_much_is_an_error() {
        for (processor, text) in [
            (Processor::Json, "[".to_owned() + &r#""","#.repeat(20_001)),
            (Processor::Xml, format!("<a {}>", "b='' ".repeat(20_001))),
            (Processor::Urlencoded, "a&".repeat(20_001)),
            (Processor::Multipart, "--b\r\n\r\n\r\n".repeat(1001)),
        ] {
            let read = parse(
                processor,
                b"multipart/form-data; boundary=b",
                text.as_bytes(),
                &Bounds::default(),
                &mut Nothing,
            );
            assert!(read.is_err_and(|error| error.is_bound()), "{processor:?}");
        }
    }
}
