//! Bodies into variables: a parser per format writes arguments, files, part headers and XML
//! nodes into a [`Sink`]. Parsers keep what they read before an error, hold every count and
//! length under [`Bounds`], and never resolve anything outside the bytes they are given.
//!
//! A body that is not what its Content-Type says is read all the same: each parser goes on behind
//! what is wrong, and what none can take apart is shown as the text that it is. Only a bound ends
//! the reading, and what is out of bounds is an error that rules see.

use std::borrow::Cow;

use crate::waf::input::Extent;

mod border;
mod charset;
pub mod events;
mod json;
mod later;
mod lines;
mod multipart;
pub mod protobuf;
pub mod runs;
mod second;
mod tags;
mod urlencoded;
mod wide;
mod xml;

use charset::{Charset, Recoded};
use json::Documents;

pub use border::{Borders, Cut};
pub use second::{is_json_start, text};
pub use urlencoded::{cookies, has_invalid_percent, query};

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Processor {
    Urlencoded,
    Multipart,
    Json,
    /// Many JSON texts.
    JsonLines,
    Xml,
    Protobuf,
    /// Messages in the frames of gRPC.
    Grpc,
}

impl Processor {
    /// The value of the variable `reqbody_processor`.
    pub fn name(self) -> &'static str {
        match self {
            Processor::Urlencoded => "URLENCODED",
            Processor::Multipart => "MULTIPART",
            Processor::Json | Processor::JsonLines => "JSON",
            Processor::Xml => "XML",
            Processor::Protobuf | Processor::Grpc => "PROTOBUF",
        }
    }
}

/// Where a parser puts what it finds, in the order of the body.
pub trait Sink {
    /// A form field, a JSON leaf (`json.a.0.b`), a query argument or a cookie.
    fn arg(&mut self, name: &[u8], value: &[u8]);
    /// A file in a multipart body.
    fn file(&mut self, field: &[u8], filename: &[u8], size: usize);
    /// What is in a file, once for each.
    fn file_content(&mut self, _field: &[u8], _content: &[u8]) {}
    /// A header line of a multipart part, `Name: value`.
    fn part_header(&mut self, part: &[u8], line: &[u8]);
    fn xml_text(&mut self, text: &[u8]);
    fn xml_attribute(&mut self, value: &[u8]);
    /// The body as it stands, where it could not be taken apart as what it says it is.
    fn text(&mut self, _text: &[u8]) {}
    /// Something about a multipart body that parsers read differently from each other. Reading
    /// goes on; rules see it as `multipart_strict_error` and under the flaw's own name.
    fn multipart_flaw(&mut self, flaw: MultipartFlaw);
    /// The name of a multipart part, of a field or a file.
    fn part_name(&mut self, _name: &[u8]) {}
    /// A line that begins as a boundary does and is another one, as in a certificate or in mail.
    /// A true boundary may follow it, or not.
    fn boundary_like(&mut self, _followed: bool) {}
}

/// What multipart parsers disagree on, and attackers therefore use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MultipartFlaw {
    /// The closing boundary is missing.
    NoFinalBoundary,
    /// A line ends with LF alone.
    LineFeed,
    /// Some lines end with LF alone and some with CRLF.
    MixedLines,
    /// A parameter stands twice in a Content-Disposition, or the field itself does, or a part has two types or two
    /// transfer encodings.
    DuplicateDisposition,
    /// Bytes other than line ends before the first boundary.
    DataBefore,
    /// Bytes other than line ends behind the last boundary.
    DataAfter,
    /// The boundary stands in quotes in the Content-Type. ModSecurity counts it among its strict
    /// errors; RFC 2046 section 5.1.1 recommends it, and whole platforms do it.
    BoundaryQuoted,
    /// White space around the `=` of the boundary parameter.
    BoundaryWhitespace,
    /// No semicolon in front of the boundary parameter.
    MissingSemicolon,
    /// The boundary stands twice or holds characters that RFC 2046 does not allow.
    OddBoundary,
    /// The boundary stands in the middle of a line, or its line goes on with other bytes.
    UnmatchedBoundary,
    /// A part has no Content-Disposition, or one without a name.
    NoName,
    /// A header line is folded over two lines.
    FoldedHeader,
    /// A header line is folded with something other than space or tab.
    InvalidFolding,
    /// A header line has no colon.
    BadHeader,
    /// A parameter's value has quotes in odd places, or single ones.
    InvalidQuoting,
    /// More parts than are read.
    TooManyParts,
}

impl MultipartFlaw {
    /// In the order of the enumeration.
    pub const ALL: [MultipartFlaw; 17] = [
        MultipartFlaw::NoFinalBoundary,
        MultipartFlaw::LineFeed,
        MultipartFlaw::MixedLines,
        MultipartFlaw::DuplicateDisposition,
        MultipartFlaw::DataBefore,
        MultipartFlaw::DataAfter,
        MultipartFlaw::BoundaryQuoted,
        MultipartFlaw::BoundaryWhitespace,
        MultipartFlaw::MissingSemicolon,
        MultipartFlaw::OddBoundary,
        MultipartFlaw::UnmatchedBoundary,
        MultipartFlaw::NoName,
        MultipartFlaw::FoldedHeader,
        MultipartFlaw::InvalidFolding,
        MultipartFlaw::BadHeader,
        MultipartFlaw::InvalidQuoting,
        MultipartFlaw::TooManyParts,
    ];

    /// Its place in a set of flaws.
    pub fn bit(self) -> u32 {
        1 << self as u32
    }

    pub fn code(self) -> &'static str {
        match self {
            MultipartFlaw::NoFinalBoundary => "no_final_boundary",
            MultipartFlaw::LineFeed => "line_feed",
            MultipartFlaw::MixedLines => "mixed_lines",
            MultipartFlaw::DuplicateDisposition => "duplicate_disposition",
            MultipartFlaw::DataBefore => "data_before",
            MultipartFlaw::DataAfter => "data_after",
            MultipartFlaw::BoundaryQuoted => "boundary_quoted",
            MultipartFlaw::BoundaryWhitespace => "boundary_whitespace",
            MultipartFlaw::MissingSemicolon => "missing_semicolon",
            MultipartFlaw::OddBoundary => "odd_boundary",
            MultipartFlaw::UnmatchedBoundary => "unmatched_boundary",
            MultipartFlaw::NoName => "no_name",
            MultipartFlaw::FoldedHeader => "folded_header",
            MultipartFlaw::InvalidFolding => "invalid_folding",
            MultipartFlaw::BadHeader => "bad_header",
            MultipartFlaw::InvalidQuoting => "invalid_quoting",
            MultipartFlaw::TooManyParts => "too_many_parts",
        }
    }
}

/// How much of a body is taken apart. Beyond any of these reading stops with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Arguments of a query or form. Servers stop at 1,000 (PHP, Tomcat, ASP.NET) or 10,000: more
    /// than this is no form that anybody reads.
    pub args: usize,
    /// Leaves of a JSON body, nodes and attributes of an XML one. API documents are wider than
    /// forms: two thousand rows of ten columns still fit, and many more numbers.
    pub leaves: usize,
    /// Nesting of JSON and XML. Libraries stop at 64 to 512. Multipart in multipart: three.
    pub depth: usize,
    /// Parts of a multipart body.
    pub parts: usize,
    /// Header lines of one part.
    pub part_headers: usize,
    /// Bytes of a JSON path, which every value below it has once more.
    pub name_bytes: usize,
    /// Bytes of one value, or of a name in a query or form, after decoding. Far above the request window's default:
    /// windows bound what is kept, and pictures in forms are as large as they are.
    pub value_bytes: usize,
    /// Whether a body that is not what it says is read as what it is, too.
    pub second_reading: bool,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            args: 10_000,
            leaves: 20_000,
            depth: 64,
            parts: 1000,
            part_headers: 32,
            name_bytes: 8 * 1024,
            value_bytes: 64 * 1024 * 1024,
            second_reading: true,
        }
    }
}

/// Why a body could not be read whole. What was read before is in the sink.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("more than {0} arguments")]
    TooManyArgs(usize),
    #[error("nested deeper than {0}")]
    TooDeep(usize),
    #[error("more than {0} parts")]
    TooManyParts(usize),
    #[error("more than {0} header lines in a part")]
    TooManyPartHeaders(usize),
    #[error("a name is longer than {0} bytes")]
    NameTooLong(usize),
    #[error("the names, or names and values of Protocol Buffers, are longer than {0} bytes together")]
    NamesTooLong(usize),
    #[error("a value is longer than {0} bytes")]
    ValueTooLong(usize),
    #[error("the body is not {processor}: {problem} at byte {at}")]
    Malformed { processor: &'static str, problem: &'static str, at: usize },
    #[error("the content type names no usable boundary")]
    NoBoundary,
    #[error("the XML document declares a document type or entities")]
    Entities,
    #[error("the body is in a charset that is not known here")]
    Charset,
}

impl BodyError {
    /// True when reading ended because a bound was reached: what stands behind was not seen.
    pub fn is_bound(&self) -> bool {
        use BodyError::*;
        match self {
            TooManyArgs(_)
            | TooDeep(_)
            | TooManyParts(_)
            | TooManyPartHeaders(_)
            | NameTooLong(_)
            | NamesTooLong(_)
            | ValueTooLong(_) => true,
            Malformed { .. } | NoBoundary | Entities | Charset => false,
        }
    }

    /// A stable name, the value of the variable `reqbody_error_code`.
    pub fn code(&self) -> &'static str {
        match self {
            BodyError::TooManyArgs(_) => "too_many_args",
            BodyError::TooDeep(_) => "too_deep",
            BodyError::TooManyParts(_) => "too_many_parts",
            BodyError::TooManyPartHeaders(_) => "too_many_part_headers",
            BodyError::NameTooLong(_) => "name_too_long",
            BodyError::NamesTooLong(_) => "names_too_long",
            BodyError::ValueTooLong(_) => "value_too_long",
            BodyError::Malformed { .. } => "malformed",
            BodyError::NoBoundary => "no_boundary",
            BodyError::Entities => "entities",
            BodyError::Charset => "charset",
        }
    }
}

/// The media type of a Content-Type, in lower case and without its parameters. It ends at white
/// space, too: ModSecurity and PHP read `multipart/form-data boundary=x` as a multipart body.
pub fn media_type(content_type: &[u8]) -> Vec<u8> {
    let text = content_type.trim_ascii_start();
    let end = text.iter().position(|byte| matches!(byte, b';' | b',' | b' ' | b'\t')).unwrap_or(text.len());
    text[..end].to_ascii_lowercase()
}

/// How a body of this media type is read; `None` when it is not taken apart.
pub fn select(content_type: &[u8]) -> Option<Processor> {
    let media = media_type(content_type);
    match &media[..] {
        b"application/x-www-form-urlencoded" => Some(Processor::Urlencoded),
        b"multipart/form-data" => Some(Processor::Multipart),
        b"application/json" | b"text/json" | b"application/x-json" | b"text/x-json" => Some(Processor::Json),
        b"application/json5" | b"application/csp-report" => Some(Processor::Json),
        b"application/xml" | b"text/xml" => Some(Processor::Xml),
        other if protobuf::is_grpc(other) => Some(Processor::Grpc),
        other if protobuf::is_bare(other) => Some(Processor::Protobuf),
        other if lines::is_lines(other) => Some(Processor::JsonLines),
        other if other.ends_with(b"+json") => Some(Processor::Json),
        other if other.ends_with(b"+xml") => Some(Processor::Xml),
        _ => None,
    }
}

/// Media types whose bodies are text. A message that does not say is taken for text, since
/// browsers guess too.
pub fn is_textual(content_type: &[u8]) -> bool {
    let media = media_type(content_type);
    media.is_empty()
        || media.starts_with(b"text/")
        || media.ends_with(b"+json")
        || media.ends_with(b"+xml")
        || lines::is_lines(&media)
        || !media.contains(&b'/')
        || matches!(
            &media[..],
            b"application/json"
                | b"application/xml"
                | b"application/javascript"
                | b"application/x-javascript"
                | b"application/ecmascript"
                | b"application/x-www-form-urlencoded"
                | b"application/graphql"
                | b"application/csp-report"
                | b"application/x-httpd-php"
                | b"application/x-sh"
        )
}

/// What rules on answers see of one in a format that is no text by itself: an event's values, the strings of
/// Protocol Buffers. `None` for all others.
pub fn answer_text(content_type: &[u8], bytes: &[u8], extent: Extent) -> Option<Vec<u8>> {
    if events::is_events(content_type) {
        return Some(events::Event::read(bytes).text);
    }
    holds_strings(content_type).then(|| protobuf::strings(content_type, bytes, extent, &Bounds::default()))
}

/// True for media types that are no text and have texts in them.
pub fn holds_strings(content_type: &[u8]) -> bool {
    matches!(select(content_type), Some(Processor::Protobuf | Processor::Grpc))
}

/// Of two outcomes the one that says more: what ended at a bound was not seen, whatever is wrong with the rest.
fn worse(one: Result<(), BodyError>, other: Result<(), BodyError>) -> Result<(), BodyError> {
    match (&one, &other) {
        (Err(first), Err(second)) if second.is_bound() && !first.is_bound() => other,
        _ => one.and(other),
    }
}

/// Reads a text as it stands, and once more as its charset says where that is another text: some readers of the
/// format heed the charset, and some do not. What is wrong with it is what the charset's reading says.
fn each_reading(
    charset: Charset,
    text: &[u8],
    mut read: impl FnMut(&[u8]) -> Result<(), BodyError>,
) -> Result<(), BodyError> {
    let plain = read(text);
    let Cow::Owned(decoded) = charset.text(text) else { return plain };
    match (plain, read(&decoded)) {
        (Err(error), _) if error.is_bound() => Err(error),
        (_, read) => read,
    }
}

/// Reads a slice of a body, from behind its beginning, into the sink.
pub fn parse_part(
    processor: Processor,
    content_type: &[u8],
    bytes: &[u8],
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    later::parse(processor, content_type, bytes, bounds, sink)
}

/// Reads a body into the sink.
pub fn parse(
    processor: Processor,
    content_type: &[u8],
    bytes: &[u8],
    extent: Extent,
    bounds: &Bounds,
    sink: &mut dyn Sink,
) -> Result<(), BodyError> {
    let charset = Charset::of(content_type);
    let read = match processor {
        Processor::Urlencoded => {
            let mut sink = Recoded { charset, most: bounds.value_bytes, sink };
            let bytes = second::without_end(bytes);
            let read = query(bytes, bounds, &mut sink);
            let wide = if charset.is_wide() { wide::narrowed(bytes) } else { Cow::Borrowed(bytes) };
            // One reading does not make up for another: a form may be written in UTF-16 as a whole.
            let again = if wide == bytes { Ok(()) } else { query(&wide, bounds, &mut sink) };
            worse(read, again).and_then(|()| second::json_in_form(&wide, extent, bounds, &mut sink))
        }
        Processor::Multipart => {
            let read = multipart::parse(content_type, charset, bytes, extent, bounds, sink);
            second::unless_read(processor, read, bytes, extent, bounds, sink)
        }
        Processor::Json => each_reading(charset, &wide::narrowed(bytes), |text| {
            let documents = if lines::looks_so(text) { Documents::Many } else { Documents::One };
            let read = json::parse_all(text, documents, extent, bounds, sink);
            second::unless_read(processor, read, text, extent, bounds, sink)
        }),
        Processor::JsonLines => each_reading(charset, &wide::narrowed(bytes), |text| {
            lines::parse(content_type, text, extent, bounds, sink)
        }),
        Processor::Protobuf => return protobuf::parse(bytes, extent, bounds, sink),
        Processor::Grpc => return protobuf::frames(content_type, bytes, extent, bounds, sink),
        Processor::Xml => each_reading(charset, &wide::narrowed(bytes), |text| {
            let read = xml::parse(text, extent, bounds, sink);
            second::unless_read(processor, read, text, extent, bounds, sink)
        }),
    };
    if bounds.second_reading { charset.outcome(read) } else { read }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sink that writes down what it is given.
    #[derive(Debug, Default, PartialEq, Eq)]
    pub(super) struct Notes {
        pub args: Vec<(String, String)>,
        pub files: Vec<(String, String, usize)>,
        pub headers: Vec<(String, String)>,
        pub text: Vec<String>,
        pub attributes: Vec<String>,
        pub flaws: Vec<MultipartFlaw>,
        pub whole: Vec<String>,
    }

    fn show(bytes: &[u8]) -> String {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.escape_ascii().to_string(),
        }
    }

    impl Sink for Notes {
        fn arg(&mut self, name: &[u8], value: &[u8]) {
            self.args.push((show(name), show(value)));
        }
        fn file(&mut self, field: &[u8], filename: &[u8], size: usize) {
            self.files.push((show(field), show(filename), size));
        }
        fn part_header(&mut self, part: &[u8], line: &[u8]) {
            self.headers.push((show(part), show(line)));
        }
        fn xml_text(&mut self, text: &[u8]) {
            self.text.push(show(text));
        }
        fn xml_attribute(&mut self, value: &[u8]) {
            self.attributes.push(show(value));
        }
        fn multipart_flaw(&mut self, flaw: MultipartFlaw) {
            self.flaws.push(flaw);
        }
        fn text(&mut self, text: &[u8]) {
            self.whole.push(show(text));
        }
    }

    impl Notes {
        pub fn pairs(&self) -> Vec<(&str, &str)> {
            self.args.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
        }
    }

    #[test]
    fn the_media_type_selects_the_processor() {
        for (content_type, expect) in [
            ("application/x-www-form-urlencoded", Some(Processor::Urlencoded)),
            ("Application/X-WWW-Form-Urlencoded; charset=utf-8", Some(Processor::Urlencoded)),
            ("multipart/form-data; boundary=x", Some(Processor::Multipart)),
            ("multipart/form-data boundary=x", Some(Processor::Multipart)),
            (" application/json ; v=1", Some(Processor::Json)),
            ("application/json", Some(Processor::Json)),
            ("application/problem+json;v=1", Some(Processor::Json)),
            ("application/csp-report", Some(Processor::Json)),
            ("text/xml", Some(Processor::Xml)),
            ("application/soap+xml", Some(Processor::Xml)),
            ("text/plain", None),
            ("", None),
            ("application/jsonx", None),
            ("application/csp-report", Some(Processor::Json)),
            ("application/reports+json", Some(Processor::Json)),
            ("application/x-ndjson", Some(Processor::JsonLines)),
            ("application/geo+json-seq", Some(Processor::JsonLines)),
            ("application/grpc+proto", Some(Processor::Grpc)),
            ("application/grpc+json", Some(Processor::Grpc)),
            ("application/x-protobuf; messageType=a", Some(Processor::Protobuf)),
        ] {
            assert_eq!(select(content_type.as_bytes()), expect, "{content_type}");
        }
    }
}
