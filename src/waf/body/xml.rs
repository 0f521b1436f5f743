//! XML bodies into text nodes and attribute values. Only the five predefined entities and
//! character references are resolved; a document type, or any other entity, ends the reading
//! with an error, so that nothing is ever fetched or expanded. Comments say nothing; text on both
//! sides of them is one text, as applications read it. Processing instructions are shown among the
//! attributes, since some name a stylesheet to fetch. Namespace declarations are not attributes
//! (XPath 1.0 section 5.4), but for those that let a document include or run something.
//!
//! Bytes that are not UTF-8 are read by the charset that the declaration names. One that is not
//! known here, EBCDIC among them, is an error: rules would not see what the application sees.
//!
//! Behind an error reading goes on, loosely: what stands between tags is text, and what follows an
//! `=` in a tag, or stands in quotes in a declaration, is an attribute.

use std::borrow::Cow;

use encoding_rs::{Encoding, WINDOWS_1252};
use quick_xml::XmlVersion;
use quick_xml::escape::{EscapeError, resolve_xml_entity, unescape_with};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Error, Reader};

use crate::waf::input::Extent;

use super::{BodyError, Bounds, Charset, Sink, each_reading};

/// Reads an XML document.
pub(super) fn parse(
    bytes: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    read(bytes, extent, Ends::Matched, bounds, sink)
}

/// Reads a piece of a document, whose elements were opened before it.
pub(super) fn parse_part(bytes: &[u8], bounds: &Bounds, sink: &mut dyn Sink) -> Result<(), BodyError> {
    read(bytes, Extent::Partial, Ends::Any, bounds, sink)
}

/// Which end tags are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Matched,
    Any,
}

fn read(
    bytes: &[u8],
    extent: Extent,
    ends: Ends,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    // `<?xm` in EBCDIC (XML 1.0 appendix F).
    const EBCDIC: &[u8] = b"\x4c\x6f\xa7\x94";
    if bytes.starts_with(EBCDIC) || bytes.iter().take(4).any(|&b| b == 0) {
        return Err(BodyError::Charset);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let label = declared(bytes);
    let charset = Charset::named(label.as_bytes());
    // Where the message's head names a charset, the declaration says nothing (RFC 7303 section 3.2).
    charset.outcome(each_reading(charset, bytes, |bytes| document(bytes, &label, extent, ends, bounds, sink)))
}

/// Reads a document in UTF-8, or else in the charset of one byte a character that it declares.
fn document(
    bytes: &[u8],
    label: &str,
    extent: Extent,
    ends: Ends,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    let mut flaw = None;
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        // The window ended inside a character.
        Err(error) if extent == Extent::Partial && error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()])
        }
        Err(error) => {
            let encoding = Encoding::for_label(label.as_bytes()).filter(|encoding| encoding.is_single_byte());
            if encoding.is_none() {
                flaw = Some(malformed("it is not in UTF-8", error.valid_up_to()));
            }
            encoding.unwrap_or(WINDOWS_1252).decode_without_bom_handling(bytes).0
        }
    };
    let text = &*text;
    let mut document =
        Document { text: String::new(), leaves: 0, depth: 0, elements: false, flaw, bounds, sink };
    document.read(text, extent, ends)?;
    document.flaw.take().map_or(Ok(()), Err)
}

/// The declaration that a document begins with, if it names a charset: its later parts are read by it, too.
pub(super) fn declaration(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let end = bytes.iter().take(256).position(|byte| *byte == b'>').map_or(0, |at| at + 1);
    if declared(bytes).is_empty() { b"" } else { &bytes[..end] }
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

/// The charset that an XML declaration names, in lower case; empty when there is none.
fn declared(bytes: &[u8]) -> String {
    let head = bytes.split(|&byte| byte == b'>').next().unwrap_or(bytes);
    let head = String::from_utf8_lossy(&head[..head.len().min(256)]).to_ascii_lowercase();
    let Some(rest) = head.strip_prefix("<?xml").and_then(|rest| rest.split_once("encoding")) else {
        return String::new();
    };
    let name = rest.1.trim_start_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '"' | '\''));
    let end = name.find(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\'' | '?'));
    let name = &name[..end.unwrap_or(name.len())];
    // What stands here is no longer in UTF-16, or never was.
    if name.starts_with("utf-16") || name.starts_with("utf-32") { String::new() } else { name.to_owned() }
}

struct Document<'s> {
    /// The text node that is being read.
    text: String,
    leaves: usize,
    depth: usize,
    elements: bool,
    /// The first thing that is wrong; reading went on.
    flaw: Option<BodyError>,
    bounds: &'s Bounds,
    sink: &'s mut dyn Sink,
}

impl Document<'_> {
    fn read(&mut self, text: &str, extent: Extent, ends: Ends) -> Result<(), BodyError> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().allow_unmatched_ends = ends == Ends::Any;
        reader.config_mut().check_end_names = ends == Ends::Matched;
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
                Event::DocType(declaration) => {
                    self.note(BodyError::Entities);
                    // Entities are not resolved, but what they stand for is looked at.
                    if declaration.contains('[') {
                        self.attribute(&declaration)?;
                    }
                }
                Event::PI(instruction) => {
                    self.attribute(&format!("<?{}?>", &*instruction))?;
                }
                Event::Comment(_) | Event::Decl(_) => {}
                Event::Eof => break,
            }
        }
        self.flush()?;
        if extent == Extent::Whole && self.depth > 0 {
            self.note(malformed("an element is not closed", text.len()));
        } else if extent == Extent::Whole && !self.elements {
            self.note(malformed("it has no element", text.len()));
        }
        Ok(())
    }

    /// The markup at `at` cannot be read. At the cut end of a body it is no error.
    fn broken(&mut self, error: &Error, text: &str, at: usize, extent: Extent) -> Result<(), BodyError> {
        let rest = text.get(at..).unwrap_or("");
        let unclosed = match error {
            Error::Syntax(_) => true,
            Error::IllFormed(quick_xml::errors::IllFormedError::UnclosedReference) => !rest.contains(';'),
            _ => false,
        };
        let problem = match error {
            Error::Syntax(_) => "markup is not closed",
            Error::IllFormed(_) => "it is not well-formed",
            _ => "it cannot be read",
        };
        if !unclosed || extent == Extent::Whole {
            self.note(malformed(problem, at));
        }
        self.loosely(rest)
    }

    /// Markup that no parser of XML takes, as far as it can be told what is text and what is a value.
    fn loosely(&mut self, mut rest: &str) -> Result<(), BodyError> {
        // Whether the end of a comment may still stand somewhere: looked for once in vain, it is not looked for again.
        let mut closes = true;
        loop {
            let open = rest.find('<');
            self.add(&unescaped(&rest[..open.unwrap_or(rest.len())]))?;
            let Some(open) = open else { return self.flush() };
            rest = &rest[open..];
            if let Some(data) = rest.strip_prefix("<![CDATA[") {
                let (data, behind) = data.split_once("]]>").unwrap_or((data, ""));
                self.add(data)?;
                rest = behind;
                continue;
            }
            if let Some(comment) = rest.strip_prefix("<!--").filter(|_| closes) {
                if let Some((_, behind)) = comment.split_once("-->") {
                    rest = behind;
                    continue;
                }
                closes = false;
            }
            self.flush()?;
            let closed = rest.split_once('>');
            let (tag, behind) = closed.unwrap_or((rest, ""));
            let is_value = tag.starts_with("<!") || tag.starts_with("<?");
            if is_value || (closed.is_none() && !tag.contains('=')) {
                self.attribute(tag)?;
            } else {
                self.values(tag)?;
            }
            rest = behind;
        }
    }

    /// What stands behind each `=`, in quotes or up to a space.
    fn values(&mut self, mut tag: &str) -> Result<(), BodyError> {
        while let Some((_, value)) = tag.split_once('=') {
            let value = value.trim_start();
            let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''));
            let (value, behind) = match quote {
                Some(quote) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
                None => value.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((value, "")),
            };
            self.attribute(&unescaped(value))?;
            tag = behind;
        }
        Ok(())
    }

    fn note(&mut self, flaw: BodyError) {
        self.flaw.get_or_insert(flaw);
    }

    /// A reference; as it stands where it names nothing that is known.
    fn entity(&mut self, entity: &BytesRef<'_>, at: usize) -> Result<(), BodyError> {
        match entity.resolve_char_ref() {
            Ok(Some(character)) => return self.add(character.encode_utf8(&mut [0; 4])),
            Ok(None) => match resolve_xml_entity(entity) {
                Some(text) => return self.add(text),
                None => self.note(BodyError::Entities),
            },
            Err(_) => self.note(malformed("a character reference names no character", at)),
        }
        self.add(&format!("&{};", &**entity))
    }

    fn attributes(&mut self, element: &BytesStart<'_>, at: usize) -> Result<(), BodyError> {
        self.elements = true;
        for attribute in element.attributes() {
            let Ok(attribute) = attribute else {
                self.note(malformed("an attribute is not well-formed", at));
                return self.values(element);
            };
            let names_space = attribute.key.as_namespace_binding().is_some();
            // The replacement texts of predefined entities hold no entities themselves.
            match attribute.normalized_value_with(XmlVersion::Implicit1_0, 1, resolve_xml_entity) {
                Ok(value) if names_space && !POWERS.iter().any(|power| value.starts_with(power)) => {}
                Ok(value) => self.attribute(&value)?,
                Err(error) => {
                    let unknown = matches!(error, Error::Escape(EscapeError::UnrecognizedEntity(..)));
                    self.note(match unknown {
                        true => BodyError::Entities,
                        false => malformed("an attribute is not well-formed", at),
                    });
                    self.attribute(&attribute.value)?;
                }
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

/// References resolved, where all of them can be.
fn unescaped(text: &str) -> Cow<'_, str> {
    unescape_with(text, resolve_xml_entity).unwrap_or(Cow::Borrowed(text))
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
    fn document_types_and_entities_are_errors_and_resolve_nothing() {
        for (text, texts, attributes) in [
            ("<!DOCTYPE a><a>x</a>", &["x"][..], &[][..]),
            (
                "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///x\">]><a>&x;</a>",
                &["&x;"],
                &["a [<!ENTITY x SYSTEM \"file:///x\">]"],
            ),
            ("<a>&x;<b>y</b></a>", &["&x;", "y"], &[]),
            ("<a b='&x;' c='y'/>", &[], &["&x;", "y"]),
            ("<a>a&nbsp;b</a>", &["a&nbsp;b"], &[]),
        ] {
            let (notes, outcome) = read(text.as_bytes(), Extent::Whole);
            assert_eq!(outcome, Err(BodyError::Entities), "{text}");
            assert_eq!(notes.text, texts, "{text}");
            assert_eq!(notes.attributes, attributes, "{text}");
        }
    }

    #[test]
    fn behind_an_error_reading_goes_on() {
        for (text, texts, attributes) in [
            ("<a>x</b><c d='1'>y</c>", &["x", "y"][..], &["1"][..]),
            ("<a b=1 c=\"2\" d='3>'>x</a>", &["x"], &["1", "2", "3>"]),
            ("<a>1 & 2 <b>&lt;x</b></a>", &["1 & 2 ", "<x"], &[]),
            ("<a b='1' b='2' c='3'>x</a>", &["x"], &["1", "1", "2", "3"]),
            ("<a>x</a></a><b c='&quot;'>y<![CDATA[<z>]]></b>", &["x", "y<z>"], &["\""]),
            ("<a></b><!-- not -->x<!-- seen", &["x"], &["<!-- seen"]),
            ("<a></b><!ENTITY x 'y'>", &[], &["<!ENTITY x 'y'"]),
        ] {
            let (notes, outcome) = read(text.as_bytes(), Extent::Whole);
            assert_eq!(outcome.map_err(|error| error.code()), Err("malformed"), "{text}");
            assert_eq!(notes.text, texts, "{text}");
            assert_eq!(notes.attributes, attributes, "{text}");
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
        let (notes, outcome) =
            read(b"<?xml version='1.0' encoding='shift_jis'?><a>\x83\x65</a>", Extent::Whole);
        // Some readers go by the message's head instead.
        assert_eq!((outcome, &notes.text[1..]), (Ok(()), &["\u{30c6}".to_owned()][..]));
        let (notes, outcome) = read(b"<a>\xe4</a>", Extent::Whole);
        assert_eq!(outcome.map_err(|error| error.code()), Err("malformed"));
        assert_eq!(notes.text, ["\u{e4}"]);
        for text in [
            &b"<\0a\0/\0>\0"[..],
            b"\x4c\x6f\xa7\x94\x93",
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
