//! The parts of a multipart body, cut out as it streams: scanners look for a file at the start of what they are given.
//! Lenient on purpose (bare line feeds, any text around); what is malformed is scanned as a whole all the same. Where
//! receivers would cut in different places that is noted: then no cut is known to show the file that they will see.

use memchr::memmem;

/// Of a part's head no more than this is kept. A longer one is a head all the same: receivers differ in their limits.
const MOST_HEAD: usize = 16 * 1024;

/// What of a part comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Data(Vec<u8>),
    End,
}

/// Of the line behind a delimiter no more than this is looked at; there is white space in it, if anything.
const MOST_PADDING: usize = 1024;

/// Cuts along a boundary. Its work is linear in the body, however small the parts and large the pieces.
pub struct Splitter {
    delimiter: memmem::Finder<'static>,
    state: State,
    buffer: Vec<u8>,
    /// What of the buffer is done with.
    at: usize,
    /// How the first delimiter's line ended.
    lines: Option<Line>,
    /// The last delimiter was that of the end.
    closed: bool,
    odd: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    /// Behind a delimiter, on its line; and how the line before it ended, if there was one.
    Delimiter(Option<Line>),
    Head,
    /// So many bytes at the front are the end of the head still: a delimiter may begin in it.
    Content(usize),
}

/// How a line ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    CrLf,
    Lf,
}

impl Splitter {
    pub fn new(boundary: &[u8]) -> Splitter {
        let delimiter = memmem::Finder::new(&[b"\n--", boundary].concat()).into_owned();
        // The first delimiter needs no line before it.
        let (buffer, state) = (b"\n".to_vec(), State::Between);
        Splitter { delimiter, state, buffer, at: 0, lines: None, closed: false, odd: false }
    }

    /// Some receivers would cut in other places than this.
    pub fn is_odd(&self) -> bool {
        self.odd
    }

    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        self.buffer.extend_from_slice(bytes);
        while self.step(out) {}
        self.buffer.drain(..self.at);
        self.at = 0;
    }

    /// The body has ended.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if let State::Content(head) = self.state {
            data(&self.buffer[head..], out);
            out.push(Event::End);
        }
    }

    /// False when more bytes are needed.
    fn step(&mut self, out: &mut Vec<Event>) -> bool {
        match self.state {
            State::Between => self.content(0, None),
            State::Content(head) => self.content(head, Some(out)),
            State::Delimiter(before) => self.delimiter(before),
            State::Head => self.head(),
        }
    }

    /// What there is up to the next delimiter.
    fn content(&mut self, head: usize, out: Option<&mut Vec<Event>>) -> bool {
        let rest = &self.buffer[self.at..];
        let found = self.delimiter.find(rest);
        // A delimiter may lie across the border, with the carriage return before it.
        let keep = self.delimiter.needle().len() + 1;
        let upto = found.unwrap_or(rest.len().saturating_sub(keep));
        let content = rest.get(head..upto).unwrap_or_default();
        let line = match upto.checked_sub(1).map(|before| rest[before]) {
            Some(b'\r') => Some(Line::CrLf),
            Some(_) => Some(Line::Lf),
            None => None,
        };
        let part = out.is_some();
        if let Some(out) = out {
            data(content.strip_suffix(b"\r").filter(|_| found.is_some()).unwrap_or(content), out);
            if found.is_some() {
                out.push(Event::End);
            }
        }
        if found.is_none() {
            if upto > head {
                self.at += upto;
                self.state = if part { State::Content(0) } else { State::Between };
            }
            return false;
        }
        // For some the line's end is the head's alone, and the part begins with what looks like a delimiter.
        self.odd |= upto < head;
        self.at += upto + self.delimiter.needle().len();
        self.state = State::Delimiter(line);
        true
    }

    /// The rest of a delimiter's line: two dashes or none, white space (RFC 2046 section 5.1.1). For some receivers
    /// whatever begins with a boundary is one, for others only what is nothing else; the same goes for the line before.
    fn delimiter(&mut self, before: Option<Line>) -> bool {
        let rest = &self.buffer[self.at..];
        let line = padded(rest.strip_prefix(b"--").unwrap_or(rest));
        let line = match line {
            [] | [b'\r'] if rest.len() - line.len() <= MOST_PADDING => return false,
            [b'-'] if rest.len() == 1 => return false,
            [b'\n', ..] => Some(Line::Lf),
            [b'\r', b'\n', ..] => Some(Line::CrLf),
            _ => None,
        };
        let lines = *self.lines.get_or_insert(line.unwrap_or(Line::CrLf));
        self.odd |= line != Some(lines) || before.is_some_and(|before| before != lines);
        self.closed = rest.starts_with(b"--");
        self.state = State::Head;
        true
    }

    fn head(&mut self) -> bool {
        let rest = &self.buffer[self.at..];
        let Some((end, line)) = head_end(rest) else {
            // The end may lie across the border.
            self.at += if rest.len() > MOST_HEAD { rest.len() - 3 } else { 0 };
            return false;
        };
        // Behind the last part there may be any text.
        self.odd |= !self.closed && line != self.lines;
        // The last line's end may be that before a delimiter.
        self.at += end - 1;
        self.state = State::Content(1);
        true
    }
}

/// Behind the empty line that ends a head, and how both its lines end, if in the same way.
fn head_end(bytes: &[u8]) -> Option<(usize, Option<Line>)> {
    memchr::memchr_iter(b'\n', bytes).find_map(|line| {
        let cr = line.checked_sub(1).is_some_and(|before| bytes[before] == b'\r');
        match &bytes[line + 1..] {
            [b'\n', ..] => Some((line + 2, (!cr).then_some(Line::Lf))),
            [b'\r', b'\n', ..] => Some((line + 3, cr.then_some(Line::CrLf))),
            _ => None,
        }
    })
}

/// Without the white space at the front.
fn padded(line: &[u8]) -> &[u8] {
    let padding = line.iter().take_while(|byte| b" \t".contains(byte)).count();
    &line[padding..]
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
        cut(body, size).0
    }

    fn cut(body: &[u8], size: usize) -> (Vec<Vec<u8>>, bool) {
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
        (parts, splitter.is_odd())
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
    fn a_cut_that_not_all_would_make_is_noted_wherever_the_body_is_cut() {
        let whole = |file: &str| format!("--xx\r\na: b\r\n\r\n{file}\r\n--xx--\r\n");
        let bodies = [
            (whole("one"), false),
            (whole(""), false),
            (whole("one\n--x\r\n-xx\r\n--\r\nxx"), false),
            (whole("one\r\n--xx\r\na: b\r\n\r\ntwo"), false),
            (whole("one\r\n--xx \t\r\na: b\r\n\r\ntwo"), false),
            (whole("one") + "after\n\nit\n", false),
            (format!("before\r\n{}", whole("one")), false),
            (whole("one").replace("\r\n", "\n"), false),
            (whole("one\r\n--xx--"), false),
            (whole("one\n--xx\r\na: b\r\n\r\ntwo"), true),
            (whole("one\r\n--xx\na: b\r\n\r\ntwo"), true),
            (whole("one\r\n--xxy\r\na: b\r\n\r\ntwo"), true),
            (whole("one\r\n--xx-\r\na: b\r\n\r\ntwo"), true),
            (whole("one\r\n--xx--y\r\na: b\r\n\r\ntwo"), true),
            (whole("one\r\n--xx\ry\r\n\r\ntwo"), true),
            (whole("--xx\r\na: b\r\n\r\ntwo"), true),
            (whole("one").replacen("\r\n\r\n", "\n\n", 1), true),
            (whole("one").replacen("\r\n\r\n", "\r\n\nc: d\r\n\r\n", 1), true),
            (whole("one").replace("\r\n", "\n").replacen("one\n", "one\r\n", 1), true),
            (whole(&format!("one\r\n--xx{}\r\n", " ".repeat(2 * MOST_PADDING))), true),
        ];
        for (body, odd) in bodies {
            for size in 1..=body.len().min(200) {
                assert_eq!(cut(body.as_bytes(), size).1, odd, "{} by {size}", body.escape_debug());
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
