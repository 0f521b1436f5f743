//! Where each request of an HTTP/1.1 connection begins and ends, read from the bytes beside hyper,
//! and what stands in a head that hyper does not show: it normalises some that must not pass. This
//! reading refuses nothing itself. A request that it did not see as hyper did has no verdict here,
//! and an exchange without one is refused: two readers that disagree are what smuggling lives on.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

use http::{Method, Uri};

/// What is wrong with a head, although hyper would serve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its length can be read in two ways (RFC 9112 section 6.3).
    TwoLengths,
    /// A transfer coding beside `chunked`, which we do not undo (RFC 9112 section 6.1).
    Coding,
    /// hyper read another request than the bytes say.
    Unforeseen,
}

/// A whole head, for the exchange that it begins.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    line: u64,
    pub fault: Option<Fault>,
    /// What follows the `#` of the target, with it.
    pub fragment: Option<String>,
    /// The target is absolute and has neither path nor query, which http's Uri does not tell from `/`.
    pub is_bare: bool,
}

impl Verdict {
    /// Whether this is the head of the request that hyper read.
    pub fn is_of(&self, method: &Method, uri: &Uri) -> bool {
        let path = match uri.path_and_query() {
            Some(path) if uri.scheme().is_none() && uri.authority().is_none() => path.as_str(),
            _ => "",
        };
        self.line == line_hash(method.as_str().as_bytes(), path.as_bytes())
    }
}

/// The reader.
#[derive(Debug, Default)]
pub struct Follower {
    state: State,
    /// The head that is coming, or that came last.
    head: Vec<u8>,
    /// Where its last line begins.
    line: usize,
    whole: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Length(u64),
    Chunk(Chunk),
    /// What follows is nobody's request.
    Lost,
}

/// Where in a chunked body (RFC 9112 section 7.1) the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size { size: u64, digits: u8 },
    Blank { size: u64 },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
}

/// A longer head is refused by hyper.
const LONGEST: usize = 128 * 1024;

/// What a waiting connection holds on to: most heads are shorter.
const KEPT: usize = 4 * 1024;

/// Requests that wait behind one another. A client that sends more before it reads an answer has
/// the rest refused.
const MOST_WAITING: usize = 1024;

impl Follower {
    /// Reads on. What is said twice the same in a length is blanked, so that it is said once
    /// (RFC 9112 section 6.3 allows both that and a refusal).
    pub fn follow(&mut self, bytes: &mut [u8], ready: &mut VecDeque<Verdict>) {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Lost => return,
                State::Head => at += self.head_bytes(&mut bytes[at..], ready),
                State::Length(left) => {
                    let here = left.min((bytes.len() - at) as u64);
                    at += here as usize;
                    self.state = if left == here { State::Head } else { State::Length(left - here) };
                }
                State::Chunk(Chunk::Data { left }) => {
                    let here = left.min((bytes.len() - at) as u64);
                    at += here as usize;
                    let rest = left - here;
                    self.state =
                        State::Chunk(if rest == 0 { Chunk::DataCr } else { Chunk::Data { left: rest } });
                }
                State::Chunk(chunk) => {
                    self.state = chunk.step(bytes[at]);
                    at += 1;
                }
            }
        }
    }

    /// The head that is coming or came last, as far as it is here.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// That head is whole.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// True in the middle of a message, or where nobody knows: the client may have more on the way.
    pub fn is_amid(&self) -> bool {
        self.state != State::Head || !(self.whole || self.head.is_empty())
    }

    /// Takes bytes of a head up to its end at most; returns how many.
    fn head_bytes(&mut self, bytes: &mut [u8], ready: &mut VecDeque<Verdict>) -> usize {
        if std::mem::take(&mut self.whole) {
            self.head.clear();
            self.head.shrink_to(KEPT);
            self.line = 0;
        }
        let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
        let taken = end.unwrap_or(bytes.len());
        let piece = &mut bytes[..taken];
        let before = self.head.len();
        if before + taken > LONGEST {
            self.state = State::Lost;
            return taken;
        }
        self.head.extend_from_slice(piece);
        if let Some(comma) = list_of_lengths(&self.head[self.line..]) {
            let from = (self.line + comma).saturating_sub(before);
            piece[from..]
                .iter_mut()
                .filter(|byte| !matches!(byte, b'\r' | b'\n'))
                .for_each(|byte| *byte = b' ');
        }
        if end.is_none() {
            return taken;
        }
        let line = &self.head[self.line..];
        if line != b"\n" && line != b"\r\n" {
            self.line = self.head.len();
        } else if self.line == 0 {
            // Empty lines before a head belong to no head (RFC 9112 section 2.2).
            self.head.clear();
        } else {
            self.whole = true;
            let (verdict, next) = judge(&self.head);
            self.state = if ready.len() < MOST_WAITING { next } else { State::Lost };
            ready.push_back(verdict);
        }
        taken
    }
}

impl Chunk {
    fn step(self, byte: u8) -> State {
        State::Chunk(match (self, byte) {
            (Chunk::Size { size, digits }, digit) if digit.is_ascii_hexdigit() && digits < 16 => {
                let value = (digit as char).to_digit(16).unwrap_or(0);
                Chunk::Size { size: size << 4 | u64::from(value), digits: digits + 1 }
            }
            (Chunk::Size { digits: 0, .. }, _) => return State::Lost,
            (Chunk::Size { size, .. } | Chunk::Blank { size }, b' ' | b'\t') => Chunk::Blank { size },
            (Chunk::Size { size, .. } | Chunk::Blank { size }, b';') => Chunk::Extension { size },
            (Chunk::Size { size, .. } | Chunk::Blank { size } | Chunk::Extension { size }, b'\r') => {
                Chunk::SizeEnd { size }
            }
            (Chunk::Extension { size }, other) if other != b'\n' => Chunk::Extension { size },
            (Chunk::SizeEnd { size: 0 }, b'\n') => Chunk::TrailerStart,
            (Chunk::SizeEnd { size }, b'\n') => Chunk::Data { left: size },
            (Chunk::DataCr, b'\r') => Chunk::DataLf,
            (Chunk::DataLf, b'\n') => Chunk::Size { size: 0, digits: 0 },
            (Chunk::TrailerStart, b'\r') => Chunk::EndLf,
            (Chunk::TrailerStart | Chunk::Trailer, other) if other != b'\r' && other != b'\n' => {
                Chunk::Trailer
            }
            (Chunk::Trailer, b'\r') => Chunk::TrailerLf,
            (Chunk::TrailerLf, b'\n') => Chunk::TrailerStart,
            (Chunk::EndLf, b'\n') => return State::Head,
            _ => return State::Lost,
        })
    }
}

/// What a whole head says of itself, and what follows it.
fn judge(head: &[u8]) -> (Verdict, State) {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let mut length = None;
    let mut unequal = false;
    let (mut chunked, mut other) = (0, false);
    for line in lines {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.eq_ignore_ascii_case(b"content-length") {
            for part in value.split(|byte| *byte == b',') {
                let number = digits(part.trim_ascii());
                unequal |= number.is_none() || length.is_some_and(|known| Some(known) != number);
                length = length.or(number);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            for coding in value.split(|byte| *byte == b',') {
                match coding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    true => chunked += 1,
                    false => other = true,
                }
            }
        }
    }
    let coded = chunked > 0 || other;
    let fault = if unequal || coded && length.is_some() || chunked > 1 {
        Some(Fault::TwoLengths)
    } else {
        other.then_some(Fault::Coding)
    };
    let next = match length {
        _ if coded => State::Chunk(Chunk::Size { size: 0, digits: 0 }),
        Some(length) if length > 0 => State::Length(length),
        _ => State::Head,
    };
    (Verdict { line: line_of(first), fault, fragment: fragment(first), is_bare: is_bare(first) }, next)
}

fn digits(text: &[u8]) -> Option<u64> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| all)?.parse().ok()
}

/// Where the comma is in a line that lists lengths.
fn list_of_lengths(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let start = line.get(..NAME.len())?;
    start.eq_ignore_ascii_case(NAME).then(|| memchr::memchr(b',', line)).flatten()
}

/// The target in the first line.
fn target(first: &[u8]) -> &[u8] {
    let rest = memchr::memchr(b' ', first).map_or(&b""[..], |at| &first[at + 1..]);
    memchr::memrchr(b' ', rest).map_or(rest, |at| &rest[..at])
}

fn is_bare(first: &[u8]) -> bool {
    let target = target(first);
    let rest = memchr::memmem::find(target, b"://").map(|at| &target[at + 3..]);
    rest.is_some_and(|rest| !rest.iter().any(|byte| matches!(byte, b'/' | b'?')))
}

fn fragment(first: &[u8]) -> Option<String> {
    let target = target(first);
    let fragment = &target[memchr::memchr(b'#', target)?..];
    Some(String::from_utf8_lossy(fragment).into_owned())
}

fn line_of(first: &[u8]) -> u64 {
    let method = &first[..memchr::memchr(b' ', first).unwrap_or(first.len())];
    let target = target(first);
    let path = &target[..memchr::memchr(b'#', target).unwrap_or(target.len())];
    line_hash(method, if path.starts_with(b"/") { path } else { b"" })
}

/// A method and a target in origin-form, however its bytes were encoded on their way to hyper. Of
/// the other forms http makes another text, so that only the method is compared.
fn line_hash(method: &[u8], path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(method);
    hasher.write_u8(b' ');
    let path = if path.starts_with(b"/") { path } else { b"" };
    let mut plain = 0;
    for (at, &byte) in path.iter().enumerate() {
        if byte >= 0x80 || matches!(byte, b'"' | b'<' | b'>' | b'`') {
            hasher.write(&path[plain..at]);
            let hex = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
            hasher.write(&[b'%', hex(byte >> 4), hex(byte & 15)]);
            plain = at + 1;
        }
    }
    hasher.write(&path[plain..]);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Faults of the requests in `text`, and what hyper is given; the same however it is cut.
    fn read(text: &str) -> (Vec<Option<Fault>>, String, State) {
        let one = |cut: usize| {
            let (mut follower, mut ready) = (Follower::default(), VecDeque::new());
            let mut bytes = text.as_bytes().to_vec();
            let (front, back) = bytes.split_at_mut(cut);
            follower.follow(front, &mut ready);
            follower.follow(back, &mut ready);
            let faults: Vec<_> = ready.iter().map(|verdict| verdict.fault).collect();
            (faults, String::from_utf8(bytes).unwrap(), follower.state)
        };
        let whole = one(0);
        for cut in 1..=text.len() {
            assert_eq!(one(cut), whole, "{text:?} cut at {cut}");
        }
        whole
    }

    #[test]
    fn every_request_of_a_connection_is_judged_wherever_it_is_cut() {
        let two = Some(Fault::TwoLengths);
        for (text, faults) in [
            ("GET / HTTP/1.1\r\nA: b\r\n\r\n", vec![None]),
            ("\r\n\nGET / HTTP/1.1\nA: b\n\nGET /2 HTTP/1.1\r\n\r\n", vec![None, None]),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n", vec![None, None]),
            (
                "GET / HTTP/1.1\r\nA: b\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
                vec![None, two],
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0a \r\n0123456789\r\n0\r\nT: u\r\n\r\n\
                 POST / HTTP/1.1\nContent-Length: 1\nTransfer-Encoding: chunked\n\n",
                vec![None, two],
            ),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", vec![Some(Fault::Coding)]),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", vec![two]),
            ("POST / HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\n", vec![two]),
            ("POST / HTTP/1.1\r\nContent-Length: 5,\r\n\r\n", vec![two]),
            ("POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\nxGET / HTTP/1.1\r\n\r\n", vec![None, None]),
        ] {
            assert_eq!(read(text).0, faults, "{text:?}");
        }
    }

    #[test]
    fn a_length_said_twice_the_same_is_said_once() {
        let (faults, text, _) = read("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\nA: b, c\r\n\r\n");
        assert_eq!(faults, [None]);
        assert_eq!(text, "POST / HTTP/1.1\r\nContent-Length: 5   \r\nA: b, c\r\n\r\n");
    }

    #[test]
    fn behind_chunks_that_are_none_nothing_is_a_request() {
        for body in
            ["5\nabcde\r\n", "0x5\r\n", "+5\r\n", "\r\n", "5;a\nb\r\n", "2\r\nabX", "11112222333344445\r\n"]
        {
            let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
            let (faults, _, state) = read(&format!("{head}{body}GET / HTTP/1.1\r\n\r\n"));
            assert_eq!((faults, state), (vec![None], State::Lost), "{body:?}");
        }
    }

    #[test]
    fn a_verdict_knows_its_request_and_its_fragment() {
        for (head, method, uri, of, fragment) in [
            ("GET /a?b#c HTTP/1.1\r\n\r\n", "GET", "/a?b", true, Some("#c")),
            ("GET /a?b HTTP/1.1\r\n\r\n", "GET", "/a", false, None),
            ("GET /<\u{e4}> HTTP/1.1\r\n\r\n", "GET", "/%3C%C3%A4%3E", true, None),
            ("POST /a HTTP/1.1\r\n\r\n", "GET", "/a", false, None),
            ("GET http://h HTTP/1.1\r\n\r\n", "GET", "http://h/", true, None),
            ("CONNECT h:443 HTTP/1.1\r\n\r\n", "CONNECT", "h:443", true, None),
            ("OPTIONS * HTTP/1.1\r\n\r\n", "OPTIONS", "*", true, None),
        ] {
            let verdict = judge(head.as_bytes()).0;
            let method: Method = method.parse().unwrap();
            assert_eq!(verdict.is_of(&method, &uri.parse().unwrap()), of, "{head}");
            assert_eq!(verdict.fragment.as_deref(), fragment, "{head}");
        }
    }
}
