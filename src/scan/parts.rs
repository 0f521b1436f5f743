//! The parts of a multipart body, cut out as it streams: scanners look for a file at the start of what they are given.
//! Lenient on purpose (bare line feeds, any text around); what is malformed is scanned as a whole all the same.

use memchr::memmem;

/// The head of a part is no longer than this; what is, counts as content.
const MOST_HEAD: usize = 16 * 1024;

/// What of a part comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Data(Vec<u8>),
    End,
}

/// Cuts along a boundary.
pub struct Splitter {
    delimiter: Vec<u8>,
    state: State,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Head,
    Content,
}

impl Splitter {
    pub fn new(boundary: &[u8]) -> Splitter {
        // The first delimiter needs no line before it.
        Splitter { delimiter: [b"\n--", boundary].concat(), state: State::Between, buffer: b"\n".to_vec() }
    }

    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        self.buffer.extend_from_slice(bytes);
        while self.step(out) {}
    }

    /// The body has ended.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if self.state == State::Content {
            data(std::mem::take(&mut self.buffer), out);
            out.push(Event::End);
        }
    }

    /// False when more bytes are needed.
    fn step(&mut self, out: &mut Vec<Event>) -> bool {
        match self.state {
            State::Head => {
                let end = [&b"\n\r\n"[..], b"\n\n"]
                    .iter()
                    .filter_map(|end| memmem::find(&self.buffer, end).map(|at| at + end.len()))
                    .min();
                match end {
                    Some(end) => drop(self.buffer.drain(..end)),
                    None if self.buffer.len() > MOST_HEAD => {}
                    None => return false,
                }
                self.state = State::Content;
                true
            }
            State::Between | State::Content => {
                let found = memmem::find(&self.buffer, &self.delimiter);
                // A delimiter may lie across the border, with the carriage return before it.
                let keep = self.delimiter.len() + 1;
                let upto = found.unwrap_or(self.buffer.len().saturating_sub(keep));
                let rest = self.buffer.split_off(upto);
                let mut before = std::mem::replace(&mut self.buffer, rest);
                if found.is_some() && before.last() == Some(&b'\r') {
                    before.pop();
                }
                if self.state == State::Content {
                    data(before, out);
                }
                if found.is_none() {
                    return false;
                }
                if self.state == State::Content {
                    out.push(Event::End);
                }
                self.buffer.drain(..self.delimiter.len());
                self.state = State::Head;
                true
            }
        }
    }
}

fn data(bytes: Vec<u8>, out: &mut Vec<Event>) {
    if !bytes.is_empty() {
        out.push(Event::Data(bytes));
    }
}

/// The boundary of a multipart type.
pub fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let multipart = content_type.get(..10)?.eq_ignore_ascii_case(b"multipart/");
    let lower = content_type.to_ascii_lowercase();
    let at = memmem::find(&lower, b"boundary=").filter(|_| multipart)? + b"boundary=".len();
    let value = &content_type[at..];
    let value = match value.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|b| *b == b'"').next()?,
        None => value.split(|b| *b == b';').next()?.trim_ascii(),
    };
    // RFC 2046 section 5.1.1 allows 70.
    (1..=256).contains(&value.len()).then(|| value.to_vec())
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
    fn a_boundary_is_read_in_every_spelling() {
        for (content_type, expect) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Mixed;Boundary=\"a b;c\"; x=y", Some("a b;c")),
            ("multipart/form-data; boundary=abc; charset=utf-8", Some("abc")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("text/plain; boundary=abc", None),
            ("text", None),
        ] {
            let found = boundary(content_type.as_bytes());
            assert_eq!(found.as_deref(), expect.map(str::as_bytes), "{content_type}");
        }
    }
}
