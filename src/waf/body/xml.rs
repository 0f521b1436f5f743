//! XML bodies into text nodes and attribute values. Only the five predefined entities and
//! character references are resolved; a document type, or any other entity, ends the reading
//! with an error, so that nothing is ever fetched or expanded. Comments say nothing; text on both
//! sides of them is one text, as applications read it. Processing instructions are shown among the
//! attributes, since some name a stylesheet to fetch. Namespace declarations are not attributes
//! (XPath 1.0 section 5.4), but for those that let a document include or run something.
//!
//! Bytes that are not UTF-8 are read as Latin-1 where the declaration says so. Other charsets,
//! UTF-16 and EBCDIC among them, are an error: rules would not see what the application sees.

use quick_xml::XmlVersion;
use quick_xml::encoding::EncodingError;
use quick_xml::escape::{EscapeError, resolve_xml_entity};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Error, Reader};

use crate::waf::input::Extent;

use super::{BodyError, Bounds, Sink};

/// Reads an XML document.
pub(super) fn parse(
    bytes: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    if bytes.starts_with(b"\xff\xfe")
        || bytes.starts_with(b"\xfe\xff")
        || bytes.iter().take(4).any(|&b| b == 0)
    {
        return Err(BodyError::Charset);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let declared = declared(bytes);
    let (text, charset) = match std::str::from_utf8(bytes) {
        Ok(text) => (std::borrow::Cow::Borrowed(text), declared.utf8_or_subset()),
        // The window ended inside a character.
        Err(error) if extent == Extent::Partial && error.error_len().is_none() => {
            (String::from_utf8_lossy(&bytes[..error.valid_up_to()]), declared.utf8_or_subset())
        }
        Err(_) if declared == Declared::Latin1 => {
            (bytes.iter().map(|&byte| char::from(byte)).collect::<String>().into(), Ok(()))
        }
        Err(_) => (String::from_utf8_lossy(bytes), Err(BodyError::Charset)),
    };
    let mut document = Document { text: String::new(), leaves: 0, depth: 0, elements: false, bounds, sink };
    document.read(&text, extent).and(charset)
}

/// Beginnings of namespaces whose elements and functions read files, fetch or run code.
const POWERS: &[&str] = &[
    "http://www.w3.org/2001/XInclude",
    "http://xml.apache.org/xal",
    "http://php.net/xsl",
    "http://saxon.sf.net/",
    "urn:schemas-microsoft-com:xslt",
    "java:",
];

/// The charset that an XML declaration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Declared {
    /// None, or UTF-8, or ASCII.
    Utf8,
    /// ISO-8859-1 or the Windows page that replaces it; ASCII means the same in both.
    Latin1,
    Other,
}

impl Declared {
    /// The outcome for a text which is UTF-8 as it stands.
    fn utf8_or_subset(self) -> Result<(), BodyError> {
        if self == Declared::Other { Err(BodyError::Charset) } else { Ok(()) }
    }
}

fn declared(bytes: &[u8]) -> Declared {
    let head = bytes.split(|&byte| byte == b'>').next().unwrap_or(bytes);
    let head = String::from_utf8_lossy(&head[..head.len().min(256)]).to_ascii_lowercase();
    let Some(rest) = head.strip_prefix("<?xml").and_then(|rest| rest.split_once("encoding")) else {
        return Declared::Utf8;
    };
    let name = rest.1.trim_start_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '"' | '\''));
    let name =
        name.split(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'' | '?')).next().unwrap_or("");
    match name {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => Declared::Utf8,
        "iso-8859-1" | "latin1" | "windows-1252" | "cp1252" => Declared::Latin1,
        _ => Declared::Other,
    }
}

struct Document<'s> {
    /// The text node that is being read.
    text: String,
    leaves: usize,
    depth: usize,
    elements: bool,
    bounds: &'s Bounds,
    sink: &'s mut dyn Sink,
}

impl Document<'_> {
    fn read(&mut self, text: &str, extent: Extent) -> Result<(), BodyError> {
        let mut reader = Reader::from_str(text);
        loop {
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(error) => {
                    let at = usize::try_from(reader.error_position()).unwrap_or(text.len()).min(text.len());
                    return self.broken(&error, text, at, extent);
                }
            };
            let at = usize::try_from(reader.buffer_position()).unwrap_or(text.len());
            match event {
                Event::Text(part) => self.add(&part.xml10_content())?,
                Event::CData(part) => self.add(&part.xml10_content())?,
                Event::GeneralRef(entity) => self.entity(&entity, at)?,
                Event::Start(element) => {
                    self.flush()?;
                    self.depth += 1;
                    if self.depth > self.bounds.depth {
                        return Err(BodyError::TooDeep(self.bounds.depth));
                    }
                    self.attributes(&element, at)?;
                }
                Event::Empty(element) => {
                    self.flush()?;
                    self.attributes(&element, at)?;
                }
                Event::End(_) => {
                    self.flush()?;
                    self.depth = self.depth.saturating_sub(1);
                }
                Event::DocType(_) => return Err(BodyError::Entities),
                Event::PI(instruction) => {
                    self.attribute(&format!("<?{}?>", &*instruction))?;
                }
                Event::Comment(_) | Event::Decl(_) => {}
                Event::Eof => break,
            }
        }
        self.flush()?;
        match extent {
            Extent::Partial => Ok(()),
            Extent::Whole if self.depth > 0 => Err(malformed("an element is not closed", text.len())),
            Extent::Whole if !self.elements => Err(malformed("it has no element", text.len())),
            Extent::Whole => Ok(()),
        }
    }

    /// The markup at `at` cannot be read. What stands there is shown to rules all the same; at
    /// the cut end of a body it is no error.
    fn broken(&mut self, error: &Error, text: &str, at: usize, extent: Extent) -> Result<(), BodyError> {
        let rest = text.get(at..).unwrap_or("");
        if let Some(rest) = rest.strip_prefix("<![CDATA[") {
            self.add(rest)?;
            self.flush()?;
        } else {
            self.flush()?;
            if !rest.is_empty() && !rest.starts_with("<!--") {
                self.attribute(rest)?;
            }
        }
        let unclosed = match error {
            Error::Syntax(_) => true,
            Error::IllFormed(quick_xml::errors::IllFormedError::UnclosedReference) => !rest.contains(';'),
            _ => false,
        };
        let problem = match error {
            Error::Syntax(_) => "markup is not closed",
            Error::IllFormed(_) => "it is not well-formed",
            Error::Encoding(EncodingError::Utf8(_)) => return Err(BodyError::Charset),
            _ => "it cannot be read",
        };
        if unclosed && extent == Extent::Partial { Ok(()) } else { Err(malformed(problem, at)) }
    }

    fn entity(&mut self, entity: &BytesRef<'_>, at: usize) -> Result<(), BodyError> {
        match entity.resolve_char_ref() {
            Ok(Some(character)) => self.add(character.encode_utf8(&mut [0; 4])),
            Ok(None) => match resolve_xml_entity(entity) {
                Some(text) => self.add(text),
                None => Err(BodyError::Entities),
            },
            Err(_) => Err(malformed("a character reference names no character", at)),
        }
    }

    fn attributes(&mut self, element: &BytesStart<'_>, at: usize) -> Result<(), BodyError> {
        self.elements = true;
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|_| malformed("an attribute is not well-formed", at))?;
            let names_space = attribute.key.as_namespace_binding().is_some();
            // The replacement texts of predefined entities hold no entities themselves.
            match attribute.normalized_value_with(XmlVersion::Implicit1_0, 1, resolve_xml_entity) {
                Ok(value) if names_space && !POWERS.iter().any(|power| value.starts_with(power)) => {}
                Ok(value) => self.attribute(&value)?,
                Err(Error::Escape(EscapeError::UnrecognizedEntity(..))) => return Err(BodyError::Entities),
                Err(_) => return Err(malformed("an attribute is not well-formed", at)),
            }
        }
        Ok(())
    }

    fn attribute(&mut self, value: &str) -> Result<(), BodyError> {
        self.count(value.len())?;
        self.sink.xml_attribute(value.as_bytes());
        Ok(())
    }

    fn add(&mut self, text: &str) -> Result<(), BodyError> {
        if self.text.len() + text.len() > self.bounds.value_bytes {
            return Err(BodyError::ValueTooLong(self.bounds.value_bytes));
        }
        self.text.push_str(text);
        Ok(())
    }

    /// Ends the text node. White space between elements is none.
    fn flush(&mut self) -> Result<(), BodyError> {
        if !self.text.bytes().all(|byte| byte.is_ascii_whitespace()) {
            self.count(self.text.len())?;
            self.sink.xml_text(self.text.as_bytes());
        }
        self.text.clear();
        Ok(())
    }

    fn count(&mut self, length: usize) -> Result<(), BodyError> {
        self.leaves += 1;
        if self.leaves > self.bounds.leaves {
            return Err(BodyError::TooManyArgs(self.bounds.leaves));
        }
        if length > self.bounds.value_bytes {
            return Err(BodyError::ValueTooLong(self.bounds.value_bytes));
        }
        Ok(())
    }
}

fn malformed(problem: &'static str, at: usize) -> BodyError {
    BodyError::Malformed { processor: "XML", problem, at }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Notes;
    use super::*;

    fn read(text: &[u8], extent: Extent) -> (Notes, Result<(), BodyError>) {
        let mut notes = Notes::default();
        let outcome = parse(text, extent, &Bounds::default(), &mut notes);
        (notes, outcome)
    }

    #[test]
    fn text_nodes_and_attributes_are_told_apart() {
        let text = br#"<?xml version="1.0" encoding="UTF-8"?>
            <a x="1" y='two &lt; "3"' xmlns="http://n.test/" xmlns:p="http://p.test/">
              one &amp; t&#119;o<b p:z="&#x26;"/> <![CDATA[<raw>&amp;]]> <c><!-- not seen -->se<!-- x -->en</c>
            </a>"#;
        let (notes, outcome) = read(text, Extent::Whole);
        assert_eq!(outcome, Ok(()));
        let trimmed: Vec<_> = notes.text.iter().map(|text| text.trim()).collect();
        assert_eq!(trimmed, ["one & two", "<raw>&amp;", "seen"]);
        assert_eq!(notes.attributes, ["1", "two < \"3\"", "&"]);
    }

    #[test]
    fn what_includes_or_runs_is_shown() {
        let text = br#"<?xml version="1.0"?><?xml-stylesheet href="http://x.test/a.xsl"?>
            <a xmlns="http://n.test/" xmlns:xi="http://www.w3.org/2001/X&#x49;nclude"><xi:include href="b"/></a>"#;
        let (notes, outcome) = read(text, Extent::Whole);
        assert_eq!(outcome, Ok(()));
        let expect =
            ["<?xml-stylesheet href=\"http://x.test/a.xsl\"?>", "http://www.w3.org/2001/XInclude", "b"];
        assert_eq!(notes.attributes, expect);
    }

    #[test]
    fn document_types_and_entities_are_refused() {
        for text in [
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
            "<a>&x;</a>",
            "<a b='&x;'/>",
            "<a>&nbsp;</a>",
        ] {
            let (notes, outcome) = read(text.as_bytes(), Extent::Whole);
            assert_eq!(outcome, Err(BodyError::Entities), "{text}");
            assert_eq!(notes, Notes::default(), "{text}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_an_error_and_what_was_read_stays() {
        for text in [
            "<a>x",
            "<a>x</b>",
            "<a>x</a",
            "<a>x<b c='y</a>",
            "<a>x & y</a>",
            "<a>x<b c=d/></a>",
            "<a>x<b c='1' c='2'/></a>",
            "<a>x<![CDATA[y</a>",
            "<a>x&#0;</a>",
            "<a>x&#xZ;</a>",
        ] {
            let (_, outcome) = read(text.as_bytes(), Extent::Whole);
            assert_eq!(outcome.map_err(|error| error.code()), Err("malformed"), "{text}");
        }
        for text in ["", "x", " ", "<?xml version='1.0'?>"] {
            assert!(read(text.as_bytes(), Extent::Whole).1.is_err(), "{text}");
        }
        let (notes, _) = read(b"<a>one<b>two</c>", Extent::Whole);
        assert_eq!(notes.text, ["one", "two"]);
    }

    #[test]
    fn a_cut_end_shows_what_stands_before_the_cut() {
        for (text, seen) in [
            ("<a>evil te", "evil te"),
            ("<a b=\"evil", "evil"),
            ("<a b='evil' c", "evil"),
            ("<a><![CDATA[evil", "evil"),
            ("<a>evil &am", "evil"),
            ("<a>evil</", "evil"),
        ] {
            let (notes, outcome) = read(text.as_bytes(), Extent::Partial);
            assert_eq!(outcome, Ok(()), "{text}");
            let all = [notes.text, notes.attributes].concat().join("|");
            assert!(all.contains(seen), "{text}: {all}");
        }
        let (notes, outcome) = read("<a>\u{e4}".as_bytes().split_last().unwrap().1, Extent::Partial);
        assert_eq!((outcome, notes.text.len()), (Ok(()), 0));
    }

    #[test]
    fn a_charset_that_rules_cannot_read_is_an_error() {
        let (notes, outcome) = read(b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe4</a>", Extent::Whole);
        assert_eq!((outcome, notes.text), (Ok(()), vec!["\u{e4}".to_owned()]));
        for text in [
            &b"<a>\xe4</a>"[..],
            b"\xff\xfe<\0a\0/\0>\0",
            b"<\0a\0/\0>\0",
            b"<?xml version='1.0' encoding='UTF-7'?><a>+ADw-</a>",
            b"<?xml version=\"1.0\" encoding = \"IBM037\"?><a/>",
        ] {
            assert_eq!(read(text, Extent::Whole).1, Err(BodyError::Charset), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn bounds_are_errors() {
        let bounds = Bounds { leaves: 2, depth: 2, value_bytes: 3, ..Bounds::default() };
        for (text, code) in [
            ("<a b='1' c='2' d='3'/>", "too_many_args"),
            ("<a><b><c/></b></a>", "ok"),
            ("<a><b><c></c></b></a>", "too_deep"),
            ("<a>ab<!-- -->cd</a>", "value_too_long"),
            ("<a b='abcd'/>", "value_too_long"),
        ] {
            let outcome = parse(text.as_bytes(), Extent::Whole, &bounds, &mut Notes::default());
            assert_eq!(outcome.map_or_else(|error| error.code(), |()| "ok"), code, "{text}");
        }
        let deep = "<a>".repeat(100_000);
        assert_eq!(read(deep.as_bytes(), Extent::Whole).1, Err(BodyError::TooDeep(64)));
    }
}
