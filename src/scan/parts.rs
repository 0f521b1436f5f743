//! The parts of a multipart body, cut out as it streams: scanners look for a file at the start of what they are given.
//! Lenient on purpose (bare line feeds, any text around); what is malformed is scanned as a whole all the same.

use memchr::memmem;

/// Of a part's head no more than this is kept. A longer one is a head all the same: receivers differ in their limits.
const MOST_HEAD: usize = 16 * 1024;

/// What of a part comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Data(Vec<u8>),
    End,
}

/// Cuts along a boundary. Its work is linear in the body, however small the parts and large the pieces.
pub struct Splitter {
    delimiter: memmem::Finder<'static>,
    state: State,
    buffer: Vec<u8>,
    /// What of the buffer is done with.
    at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Head,
    Content,
}

impl Splitter {
    pub fn new(boundary: &[u8]) -> Splitter {
        let delimiter = memmem::Finder::new(&[b"\n--", boundary].concat()).into_owned();
        // The first delimiter needs no line before it.
        Splitter { delimiter, state: State::Between, buffer: b"\n".to_vec(), at: 0 }
    }

    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        self.buffer.extend_from_slice(bytes);
        while self.step(out) {}
        self.buffer.drain(..self.at);
        self.at = 0;
    }

    /// The body has ended.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if self.state == State::Content {
            data(&self.buffer, out);
            out.push(Event::End);
        }
    }

    /// False when more bytes are needed.
    fn step(&mut self, out: &mut Vec<Event>) -> bool {
        let rest = &self.buffer[self.at..];
        if self.state == State::Head {
            let Some(end) = head_end(rest) else {
                // The end may lie across the border.
                self.at += if rest.len() > MOST_HEAD { rest.len() - 2 } else { 0 };
                return false;
            };
            self.at += end;
            self.state = State::Content;
            return true;
        }
        let found = self.delimiter.find(rest);
        // A delimiter may lie across the border, with the carriage return before it.
        let keep = self.delimiter.needle().len() + 1;
        let upto = found.unwrap_or(rest.len().saturating_sub(keep));
        if self.state == State::Content {
            let content = &rest[..upto];
            data(content.strip_suffix(b"\r").filter(|_| found.is_some()).unwrap_or(content), out);
        }
        self.at += upto;
        if found.is_none() {
            return false;
        }
        if self.state == State::Content {
            out.push(Event::End);
        }
        self.at += self.delimiter.needle().len();
        self.state = State::Head;
        true
    }
}

/// Behind the empty line that ends a head.
fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|line| match &bytes[line + 1..] {
        [b'\n', ..] => Some(line + 2),
        [b'\r', b'\n', ..] => Some(line + 3),
        _ => None,
    })
}

fn data(bytes: &[u8], out: &mut Vec<Event>) {
    if !bytes.is_empty() {
        out.push(Event::Data(bytes.to_vec()));
    }
}

/// Receivers would not agree where the parts of such a body begin, so that none of it is known to be scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OddBoundary;

/// The boundary of a multipart type (RFC 2046 section 5.1.1); `None` for every other type.
pub fn boundary(content_type: &[u8]) -> Result<Option<Vec<u8>>, OddBoundary> {
    if !content_type.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/")) {
        return Ok(None);
    }
    let mut parameters = parameters(content_type).into_iter();
    if parameters.next().is_some_and(|essence| essence.trim_ascii().contains(&b' ')) {
        return Err(OddBoundary);
    }
    let mut values = parameters.filter_map(|parameter| {
        let equals = memchr::memchr(b'=', parameter)?;
        let (name, value) = (parameter[..equals].trim_ascii(), parameter[equals + 1..].trim_ascii());
        name.eq_ignore_ascii_case(b"boundary").then_some(value)
    });
    let (Some(value), None) = (values.next(), values.next()) else { return Err(OddBoundary) };
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    // The clause allows 70 bytes; many senders do not know.
    let usual = (1..=256).contains(&bare.len()) && !bare.iter().any(|b| b"\"\\".contains(b));
    if usual { Ok(Some(bare.to_vec())) } else { Err(OddBoundary) }
}

/// Split at semicolons that are not quoted.
fn parameters(value: &[u8]) -> Vec<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(|byte| {
            let divides = *byte == b';' && !quoted;
            (quoted, escaped) = match byte {
                _ if escaped => (quoted, false),
                b'\\' if quoted => (quoted, true),
                b'"' => (!quoted, false),
                _ => (quoted, false),
            };
            divides
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(body: &[u8], size: usize) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::new(b"xx");
        let mut events = Vec::new();
        body.chunks(size).for_each(|chunk| splitter.push(chunk, &mut events));
        splitter.finish(&mut events);
        let (mut parts, mut part) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Data(bytes) => part.extend(bytes),
                Event::End => parts.push(std::mem::take(&mut part)),
            }
        }
        assert!(part.is_empty());
        parts
    }

    #[test]
    fn parts_are_the_same_wherever_the_body_is_cut() {
        let bodies: [(&[u8], &[&[u8]]); 6] = [
            (b"--xx\r\na: b\r\n\r\none\r\n--xx\r\n\r\ntwo\r\n\r\n--xx--\r\n", &[b"one", b"two\r\n"]),
            (b"preamble\r\n--xx\r\na: b\r\n\r\n\n--x\r\r\n--xx--", &[b"\n--x\r"]),
            (b"--xx\na: b\n\nbare\n--xx--", &[b"bare"]),
            (b"--xx\r\na: b\r\n\r\ncut of", &[b"cut of"]),
            (b"--xx\r\na: b\r\n\r\none\r\n--xx--\r\n--xx\r\n\r\nlate", &[b"one", b"late"]),
            (b"no delimiter", &[]),
        ];
        for (body, expect) in bodies {
            for size in 1..=body.len() {
                assert_eq!(split(body, size), expect, "{} by {size}", body.escape_ascii());
            }
        }
    }

    #[test]
    fn a_long_head_is_no_content_and_a_million_small_parts_are_soon_cut() {
        let long = [&b"--xx\r\nX: "[..], &[b'a'; 3 * MOST_HEAD], b"\r\n\r\nfile\r\n--xx--"].concat();
        for size in [1, 4096, long.len()] {
            assert_eq!(split(&long, size), [b"file"]);
        }
        // Quadratic work would take hours here.
        assert_eq!(split(&b"\n--xx\n\n".repeat(1_000_000), usize::MAX).len(), 1_000_000);
    }

    #[test]
    fn a_boundary_is_read_in_every_spelling() {
        let odd = Err(OddBoundary);
        let found = |text: &str| Ok(Some(text.as_bytes().to_vec()));
        for (content_type, expect) in [
            ("multipart/form-data; boundary=abc", found("abc")),
            ("Multipart/Mixed;Boundary=\"a b;c\"; x=y", found("a b;c")),
            (
                "multipart/form-data; boundary=----WebKitFormBoundaryX; charset=utf-8",
                found("----WebKitFormBoundaryX"),
            ),
            ("multipart/form-data; xboundary=a; boundary = real", found("real")),
            ("multipart/form-data; x=\"; boundary=a\"; boundary=b", found("b")),
            ("multipart/form-data; boundary=a; boundary=b", odd.clone()),
            ("multipart/form-data; boundary=\"a\\\"b\"", odd.clone()),
            ("multipart/form-data boundary=a; boundary=b", odd.clone()),
            ("multipart/form-data", odd.clone()),
            ("multipart/form-data; boundary=", odd.clone()),
            ("text/plain; boundary=abc", Ok(None)),
            ("text", Ok(None)),
        ] {
            assert_eq!(boundary(content_type.as_bytes()), expect, "{content_type}");
        }
    }
}
