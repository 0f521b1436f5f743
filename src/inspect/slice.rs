//! What follows the first window of a long body, in slices as long as a window: each is cut where a value ends, so that
//! nothing hides on the border, and shown with what a reader of it alone needs to know. Only formats that are text are
//! cut; of others rules see no more than the beginning anyway.

use memchr::memmem::Finder;

use crate::waf::body::{self, Processor};

/// Of plain text, this much of one slice is shown again with the next.
const OVERLAP: usize = 256;

/// The head of a multipart part that is remembered for its later slices.
const MOST_HEAD: usize = 4096;

/// Cuts one body.
pub struct Slicer {
    kind: Kind,
    /// Bytes of the slice that were looked at, and behind which of them it can be cut.
    scanned: usize,
    safe: usize,
    /// What the slice is to be read behind.
    prefix: Vec<u8>,
}

enum Kind {
    Text,
    Form,
    Json { inside: bool, escaped: bool },
    Xml,
    Parts(Finder<'static>),
}

impl Slicer {
    /// For a request's body; `None` where slices would tell nothing.
    pub fn request(content_type: &[u8]) -> Option<Slicer> {
        let kind = match body::select(content_type)? {
            Processor::Urlencoded => Kind::Form,
            Processor::Json | Processor::JsonLines => Kind::Json { inside: false, escaped: false },
            Processor::Xml => Kind::Xml,
            Processor::Multipart => {
                let boundary = body::boundary(content_type)?;
                Kind::Parts(Finder::new(&[b"--", &boundary[..]].concat()).into_owned())
            }
            Processor::Protobuf | Processor::Grpc => return None,
        };
        Some(Slicer::of(kind))
    }

    /// For an answer.
    pub fn text() -> Slicer {
        Slicer::of(Kind::Text)
    }

    fn of(kind: Kind) -> Slicer {
        Slicer { kind, scanned: 0, safe: 0, prefix: Vec::new() }
    }

    /// True where there is no value that has to be whole to be read.
    pub fn may_pause(&self) -> bool {
        matches!(self.kind, Kind::Text)
    }

    /// What the slice that begins now is to be read behind.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The bytes that end here, but for those that are shown again, are done with.
    pub fn cut(&mut self, bytes: &[u8]) -> (usize, usize) {
        self.scan(bytes);
        let length = match (self.safe, &self.kind) {
            (_, Kind::Text) => bytes.len(),
            (0, Kind::Parts(delimiter)) => {
                let kept = delimiter.needle().len() + 2;
                if bytes.len() > kept { bytes.len() - kept } else { bytes.len() }
            }
            (0, _) => bytes.len(),
            (safe, _) => safe,
        };
        match &self.kind {
            Kind::Json { inside, .. } => {
                let goes_on = self.safe == 0 && *inside;
                self.prefix = if goes_on { b"\"".to_vec() } else { Vec::new() };
            }
            Kind::Parts(delimiter) if self.safe == 0 => {
                if bytes.starts_with(delimiter.needle()) {
                    self.prefix = part_head(&bytes[..length]);
                }
            }
            _ => self.prefix.clear(),
        }
        self.scanned = bytes.len() - length;
        if let Kind::Parts(_) = self.kind {
            self.scanned = 0;
        }
        self.safe = 0;
        let kept = if self.may_pause() { OVERLAP.min(length / 2) } else { 0 };
        (length, kept)
    }

    /// Looks for the last place where the bytes can be cut.
    pub fn scan(&mut self, bytes: &[u8]) {
        let from = self.scanned.min(bytes.len());
        let new = &bytes[from..];
        match &mut self.kind {
            Kind::Text => {}
            Kind::Form => {
                self.safe = memchr::memrchr(b'&', new).map_or(self.safe, |at| from + at + 1);
            }
            Kind::Xml => {
                self.safe = memchr::memrchr(b'<', new).map_or(self.safe, |at| from + at);
            }
            Kind::Json { inside, escaped } => {
                for (at, byte) in new.iter().enumerate() {
                    match (*inside, byte) {
                        (true, _) if *escaped => *escaped = false,
                        (true, b'\\') => *escaped = true,
                        (_, b'"') => *inside = !*inside,
                        (false, b',' | b'\n' | b'}' | b']') => self.safe = from + at + 1,
                        _ => {}
                    }
                }
            }
            Kind::Parts(delimiter) => {
                // It may have begun before what is new.
                let from = from.saturating_sub(delimiter.needle().len());
                let last = delimiter.find_iter(&bytes[from..]).last();
                self.safe = last.map_or(self.safe, |at| from + at);
            }
        }
        self.scanned = bytes.len();
    }
}

/// The head of the part at the front, for the rest of its value; a file's rest is nothing that rules read.
fn part_head(bytes: &[u8]) -> Vec<u8> {
    let end = memchr::memmem::find(&bytes[..bytes.len().min(MOST_HEAD)], b"\r\n\r\n");
    let head = end.map_or(&b""[..], |end| &bytes[..end + 4]);
    let is_file = memchr::memmem::find(&head.to_ascii_lowercase(), b"filename").is_some();
    if is_file { Vec::new() } else { head.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slices of a text, each with its prefix, for a window of so many bytes.
    fn slices(content_type: &str, text: &str, window: usize) -> Vec<String> {
        let mut slicer = Slicer::request(content_type.as_bytes()).unwrap();
        let (mut out, mut held) = (Vec::new(), Vec::new());
        for byte in text.bytes() {
            held.push(byte);
            slicer.scan(&held);
            if held.len() >= window {
                let prefix = slicer.prefix().to_vec();
                let (length, kept) = slicer.cut(&held);
                let slice = [prefix, held.drain(..length - kept).collect()].concat();
                out.push(String::from_utf8(slice).unwrap());
            }
        }
        let rest = [slicer.prefix(), &held].concat();
        out.push(String::from_utf8(rest).unwrap());
        out
    }

    #[test]
    fn slices_end_where_values_do() {
        let form = slices("application/x-www-form-urlencoded", "a=1&b=22222&c=3&d=4", 10);
        assert_eq!(form, ["a=1&", "b=22222&", "c=3&d=4"]);
        let json = slices("application/json", r#"{"a":"x,\"y","b":[1,2],"c":"3"}"#, 16);
        assert_eq!(json, [r#"{"a":"x,\"y","#, r#""b":[1,2],"#, r#""c":"3"}"#]);
        let xml = slices("text/xml", "<a>one</a><b>two</b>", 12);
        assert_eq!(xml, ["<a>one</a>", "<b>two", "</b>"]);
    }

    #[test]
    fn a_value_longer_than_a_slice_goes_on_in_the_next() {
        let json = slices("application/json", r#"{"a":"0123456789abcdef","b":1}"#, 12);
        assert_eq!(json[0], r#"{"a":"012345"#);
        assert_eq!(json[1], r#""6789abcdef","#);
        let head = "--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n";
        let text = format!("{head}{}\r\n--b--", "x".repeat(150));
        let parts = slices("multipart/form-data; boundary=b", &text, 100);
        assert!(
            parts.len() >= 2 && parts[1..].iter().all(|part| part.starts_with(head) || part == "--b--"),
            "{parts:?}"
        );
        let file = text.replace("name=\"q\"", "name=\"q\"; filename=\"a\"");
        let parts = slices("multipart/form-data; boundary=b", &file, 100);
        assert!(parts[1].starts_with('x'), "{parts:?}");
    }
}
