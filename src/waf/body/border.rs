//! Where a body is cut that is longer than rules look at once: behind the last value that has ended, otherwise
//! anywhere, and then the last bytes are shown again, so that a pattern cannot hide on the border. Each slice is read
//! as the beginning was: in front of it stands what brings a reader to where it was at the cut (the brackets that are
//! open, a quote, the head of a part). Reads for that alone, and keeps nothing of the body but those few bytes.

use std::borrow::Cow;

use memchr::{memchr, memrchr};

use super::wide::Form;
use super::{Charset, Processor, json, lines, multipart, second, tags, wide, xml};

/// So much of a value that goes on is shown again. Half a slice at most.
const OVERLAP: usize = 4096;

/// The longest name of a form's field that is kept for the rest of its value.
const MOST_NAME: usize = 1024;

/// How one body is cut.
pub struct Borders {
    format: Format,
    /// UTF-16 or UTF-32, in which its beginning is.
    wide: Option<Form>,
}

enum Format {
    Text,
    Form,
    Json,
    /// JSON texts with this byte between them.
    Lines(u8),
    /// With the declaration in front, where it says something.
    Xml(Vec<u8>),
    /// With these boundaries: the first of them divides.
    Parts(Vec<Vec<u8>>),
}

/// How a slice ends.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the slice, more than none.
    pub length: usize,
    /// The last of them, fewer than all, with which the next slice begins.
    pub kept: usize,
    /// What the next slice is to be read behind.
    pub prefix: Vec<u8>,
}

/// A place in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub at: usize,
    /// What brings a reader there.
    pub prefix: Vec<u8>,
}

impl Borders {
    /// For a body that begins so and is read so.
    pub fn of(processor: Processor, content_type: &[u8], start: &[u8]) -> Borders {
        let charset = Charset::of(content_type);
        let format = match processor {
            Processor::Urlencoded if second::is_json_start(start) => Format::Json,
            Processor::Urlencoded => Format::Form,
            Processor::Json => Format::Json,
            Processor::JsonLines => Format::Lines(lines::separator(content_type)),
            Processor::Xml => Format::Xml(xml::declaration(start).to_vec()),
            Processor::Multipart => Format::Parts(multipart::boundaries_of(content_type, start)),
            Processor::Protobuf | Processor::Grpc => Format::Text,
        };
        let may_be_wide = match format {
            Format::Form => charset.is_wide(),
            Format::Json | Format::Lines(_) | Format::Xml(_) => true,
            Format::Parts(_) | Format::Text => false,
        };
        Borders { format, wide: Form::of(start).map(|(form, _)| form).filter(|_| may_be_wide) }
    }

    /// For text in which nothing is taken apart.
    pub fn text() -> Borders {
        Borders { format: Format::Text, wide: None }
    }

    /// True where no value has to be whole to be read.
    pub fn is_text(&self) -> bool {
        matches!(self.format, Format::Text)
    }

    /// Cuts bytes that are read behind a prefix. There are some.
    pub fn cut(&self, prefix: &[u8], bytes: &[u8]) -> Cut {
        let whole =
            if prefix.is_empty() { Cow::Borrowed(bytes) } else { Cow::Owned([prefix, bytes].concat()) };
        match self.wide {
            Some(form) => self.cut_wide(form, prefix, bytes, &whole),
            None => {
                let (end, place) = self.find(&whole, prefix.len());
                Cut { length: end - prefix.len(), kept: end - place.at, prefix: place.prefix }
            }
        }
    }

    /// The same for a text in a wide form: the border is looked for in the text.
    fn cut_wide(&self, form: Form, prefix: &[u8], bytes: &[u8], whole: &[u8]) -> Cut {
        let text = wide::narrowed(whole);
        let begin = wide::narrowed(prefix).len();
        if text.len() <= begin {
            return Cut { length: bytes.len(), kept: 0, prefix: prefix.to_vec() };
        }
        let (end, place) = self.find(&text, begin);
        let width = |bytes: &[u8]| form.width(&String::from_utf8_lossy(bytes));
        // The mark of the first slice is none of the text.
        let mark = Form::of(bytes).filter(|_| prefix.is_empty()).map_or(0, |(_, mark)| mark);
        Cut {
            length: mark + width(&text[begin..end]),
            kept: width(&text[place.at..end]),
            prefix: form.widened(&String::from_utf8_lossy(&place.prefix)),
        }
    }

    /// The end of the slice, and where the next begins.
    fn find(&self, text: &[u8], begin: usize) -> (usize, Place) {
        if let Some(place) = self.last_end(text, begin) {
            return (place.at, self.declared(place));
        }
        let at = text.len() - OVERLAP.min((text.len() - begin) / 2);
        let mut place = self.declared(self.place(&text[..at], &text[at..]));
        // Something must be done with, whatever stands there.
        place.at = place.at.max(begin + 1);
        (text.len(), place)
    }

    fn declared(&self, place: Place) -> Place {
        match &self.format {
            Format::Xml(declaration) => Place { prefix: [declaration, &place.prefix[..]].concat(), ..place },
            _ => place,
        }
    }

    /// The last end of a value behind `begin`.
    fn last_end(&self, text: &[u8], begin: usize) -> Option<Place> {
        match &self.format {
            Format::Text => None,
            Format::Form => {
                let at = memrchr(b'&', &text[begin..])? + begin + 1;
                Some(Place { at, prefix: Vec::new() })
            }
            Format::Json => json::last_end(text, begin),
            Format::Lines(separator) => match memrchr(*separator, &text[begin..]) {
                Some(at) => Some(Place { at: begin + at + 1, prefix: Vec::new() }),
                None => json::last_end(text, begin),
            },
            Format::Xml(_) => tags::last_end(text, begin),
            Format::Parts(boundaries) => multipart::last_end(boundaries, text, begin),
        }
    }

    /// What brings a reader to the end of the text, and where exactly; what follows is known.
    fn place(&self, text: &[u8], behind: &[u8]) -> Place {
        match &self.format {
            Format::Text => Place { at: text.len(), prefix: Vec::new() },
            Format::Form => Place { at: text.len(), prefix: field(text) },
            Format::Json => json::place(text),
            Format::Lines(separator) => {
                let line = memrchr(*separator, text).map_or(0, |at| at + 1);
                let place = json::place(&text[line..]);
                Place { at: line + place.at, ..place }
            }
            Format::Xml(_) => tags::place(text),
            Format::Parts(boundaries) => multipart::place(boundaries, text, behind),
        }
    }
}

/// The name of the field in whose value a form ends.
fn field(text: &[u8]) -> Vec<u8> {
    let field = &text[memrchr(b'&', text).map_or(0, |at| at + 1)..];
    match memchr(b'=', field) {
        Some(at) if at <= MOST_NAME => field[..=at].to_vec(),
        Some(_) => b"=".to_vec(),
        None => Vec::new(),
    }
}
