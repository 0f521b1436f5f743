//! An ICAP answer as it comes in, read without I/O. The service is a program that reads files made to break it, so its
//! bytes are believed as little as any others: every length has a bound, and nothing of a body is kept but its sum.

use aws_lc_rs::digest;

use super::head::{self, Encapsulated, Head};

/// Bytes of an ICAP head, and of the trailers behind a body.
const MOST_HEAD: usize = 16 * 1024;

/// Bytes of the line before a chunk.
const MOST_LINE: usize = 256;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("its answer is not ICAP/1.0")]
    NotIcap,
    #[error("the head of its answer is longer than {MOST_HEAD} bytes")]
    TooLong,
    #[error("the head of its answer cannot be read")]
    Head,
    #[error("it said 100 where nothing was to be continued")]
    Continue,
    #[error("the field Encapsulated of its answer cannot be read")]
    Encapsulated,
    #[error("the message in its answer cannot be read")]
    Message,
    #[error("a chunk of its answer cannot be read")]
    Chunk,
}

/// A stream's length and sum, to tell whether two are the same.
#[derive(Clone)]
pub struct Sum {
    length: u64,
    digest: digest::Context,
}

impl Default for Sum {
    fn default() -> Sum {
        Sum { length: 0, digest: digest::Context::new(&digest::SHA256) }
    }
}

impl Sum {
    pub fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.digest.update(bytes);
    }

    pub fn is(&self, other: &Sum) -> bool {
        self.length == other.length
            && self.digest.clone().finish().as_ref() == other.digest.clone().finish().as_ref()
    }
}

/// The head of the message in an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// The first line of a request.
    Request(Vec<u8>),
    /// The status of a response.
    Response(u16),
}

/// Reads one answer.
pub struct Answer {
    state: State,
    buffer: Vec<u8>,
    may_continue: bool,
    /// It said 100, once.
    pub continued: bool,
    pub head: Option<Head>,
    pub message: Option<Message>,
    /// The name of what was found.
    pub found: Option<String>,
    /// What came of the body.
    pub body: Sum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Message,
    Size,
    Data(u64),
    DataEnd,
    Trailers(usize),
    Done,
}

impl Answer {
    /// `may_continue` where a preview waits for a 100.
    pub fn new(may_continue: bool) -> Answer {
        Answer {
            state: State::Head,
            buffer: Vec::new(),
            may_continue,
            continued: false,
            head: None,
            message: None,
            found: None,
            body: Sum::default(),
        }
    }

    /// Takes what came. Nothing is to be pushed once the answer is done.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.buffer.extend_from_slice(bytes);
        while self.step()? {}
        Ok(())
    }

    /// The answer is whole, or has said that something was found.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Nothing came yet.
    pub fn is_silent(&self) -> bool {
        !self.continued && self.head.is_none() && self.buffer.is_empty()
    }

    /// Another exchange may follow on the connection.
    pub fn leaves_clean(&self) -> bool {
        let good = |head: &Head| matches!(head.status, 200 | 204) && !head.closes();
        self.is_done()
            && self.found.is_none()
            && self.buffer.is_empty()
            && self.head.as_ref().is_some_and(good)
    }

    /// False when more is needed, or nothing.
    fn step(&mut self) -> Result<bool, Malformed> {
        match self.state {
            State::Head => {
                let end = memchr::memmem::find(&self.buffer, b"\r\n\r\n").map(|at| at + 4);
                match end {
                    Some(end) if end <= MOST_HEAD => {
                        let head: Vec<u8> = self.buffer.drain(..end).collect();
                        self.head(Head::read(&head)?)?;
                        Ok(true)
                    }
                    None if self.buffer.len() <= MOST_HEAD => Ok(false),
                    _ => Err(Malformed::TooLong),
                }
            }
            State::Message => {
                let Some(parts) = self.head.as_ref().map(Head::encapsulated).transpose()?.flatten() else {
                    return Err(Malformed::Encapsulated);
                };
                if self.buffer.len() < parts.end {
                    return Ok(false);
                }
                let heads: Vec<u8> = self.buffer.drain(..parts.end).collect();
                self.message(&heads, &parts)?;
                Ok(true)
            }
            State::Size => {
                let Some(line) = self.line()? else { return Ok(false) };
                self.state = match httparse::parse_chunk_size(&line) {
                    Ok(httparse::Status::Complete((_, 0))) => State::Trailers(0),
                    Ok(httparse::Status::Complete((_, size))) => State::Data(size),
                    _ => return Err(Malformed::Chunk),
                };
                Ok(true)
            }
            State::Data(left) => {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                self.body.add(&self.buffer[..here]);
                self.buffer.drain(..here);
                let left = left - here as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                Ok(left == 0)
            }
            State::DataEnd => {
                match self.line()? {
                    None => return Ok(false),
                    Some(line) if line == b"\r\n" => self.state = State::Size,
                    Some(_) => return Err(Malformed::Chunk),
                }
                Ok(true)
            }
            State::Trailers(seen) => {
                let Some(line) = self.line()? else { return Ok(false) };
                self.state = match seen + line.len() {
                    _ if line == b"\r\n" => State::Done,
                    seen if seen > MOST_HEAD => return Err(Malformed::Chunk),
                    seen => State::Trailers(seen),
                };
                Ok(true)
            }
            State::Done => Ok(false),
        }
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        match memchr::memchr(b'\n', &self.buffer) {
            Some(at) if at < MOST_LINE => Ok(Some(self.buffer.drain(..=at).collect())),
            None if self.buffer.len() < MOST_LINE => Ok(None),
            _ => Err(Malformed::Chunk),
        }
    }

    fn head(&mut self, head: Head) -> Result<(), Malformed> {
        if head.status == 100 {
            if !std::mem::take(&mut self.may_continue) {
                return Err(Malformed::Continue);
            }
            self.continued = true;
            return Ok(());
        }
        self.found = head.found();
        // What was found stands, whatever can be read of the page that is behind it.
        let said = self.found.is_some() || head.status != 200;
        let parts = if said { None } else { head.encapsulated()? };
        self.state = match parts {
            None => State::Done,
            Some(Encapsulated { end: 0, has_body: false, .. }) => State::Done,
            Some(Encapsulated { end: 0, .. }) => State::Size,
            Some(_) => State::Message,
        };
        self.head = Some(head);
        Ok(())
    }

    fn message(&mut self, heads: &[u8], parts: &Encapsulated) -> Result<(), Malformed> {
        if let Some(range) = &parts.response {
            let head = head::response(&heads[range.clone()]).map_err(|_| Malformed::Message)?;
            self.found = head.found();
            self.message = Some(Message::Response(head.status));
        } else if let Some(range) = &parts.request {
            let line = heads[range.clone()].split(|b| *b == b'\n').next().unwrap_or_default();
            self.message = Some(Message::Request(line.trim_ascii_end().to_vec()));
        }
        self.state = if parts.has_body && self.found.is_none() { State::Size } else { State::Done };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "HTTP/1.1 403 Forbidden\r\n\r\n";

    fn with_page(fields: &str, body: &str) -> String {
        let end = PAGE.len();
        format!("ICAP/1.0 200 OK\r\n{fields}Encapsulated: res-hdr=0, res-body={end}\r\n\r\n{PAGE}{body}")
    }

    /// What becomes of it when it comes in pieces of that size.
    fn read(text: &[u8], size: usize) -> Result<Answer, Malformed> {
        let mut answer = Answer::new(true);
        for piece in text.chunks(size) {
            if answer.is_done() {
                break;
            }
            answer.push(piece)?;
        }
        Ok(answer)
    }

    #[test]
    fn an_answer_is_the_same_wherever_it_is_cut() {
        let body = with_page("", "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nA: b\r\n\r\n");
        let both = format!("ICAP/1.0 100 Continue\r\n\r\n{body}");
        let mut sum = Sum::default();
        sum.add(b"abcdefg");
        for size in 1..=both.len() {
            let answer = read(both.as_bytes(), size).unwrap();
            assert!(answer.is_done() && answer.continued && answer.leaves_clean(), "{size}");
            assert_eq!(answer.message, Some(Message::Response(403)));
            assert!(answer.body.is(&sum), "{size}");
            let none = read(b"ICAP/1.0 204 Unmodified\r\nISTag: \"x\"\r\n\r\n", size).unwrap();
            assert!(none.is_done() && none.leaves_clean() && none.found.is_none(), "{size}");
            let found = with_page("X-Infection-Found: Type=0; Threat=Own;\r\n", "");
            let found = read(found.as_bytes(), size).unwrap();
            assert!(found.is_done() && !found.leaves_clean(), "{size}");
            assert_eq!(found.found.as_deref(), Some("Own"));
        }
    }

    #[test]
    fn a_find_stands_whatever_is_behind_it() {
        for rest in ["Encapsulated: res-hdr=0, res-body=70000\r\n\r\n", "Encapsulated: nonsense\r\n\r\nHTTP/"]
        {
            let text = format!("ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Threat=Own;\r\n{rest}");
            for size in [1, 2, 3, 7, text.len()] {
                let answer = read(text.as_bytes(), size).unwrap();
                assert_eq!((answer.found.as_deref(), answer.is_done()), (Some("Own"), true), "{rest}");
                assert!(!answer.leaves_clean());
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_told_wherever_it_is_cut() {
        let long = format!("ICAP/1.0 200 OK\r\nA: {}\r\n\r\n", "a".repeat(MOST_HEAD));
        let many = format!("ICAP/1.0 200 OK\r\n{}\r\n", "A: b\r\n".repeat(70));
        let twice = "ICAP/1.0 100 Continue\r\n\r\n".repeat(2);
        let line = with_page("", &format!("3;{}\r\n", "x".repeat(MOST_LINE)));
        let trailers = with_page("", &format!("0\r\n{}", "A: b\r\n".repeat(MOST_HEAD / 4)));
        for (text, problem) in [
            ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), Malformed::NotIcap),
            ("ICAP/1.0 2x4 No\r\n\r\n".to_owned(), Malformed::Head),
            (many, Malformed::Head),
            (twice, Malformed::Continue),
            ("ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=5\r\n\r\n".to_owned(), Malformed::Encapsulated),
            (with_page("", "").replace("HTTP/1.1 4", "HTTP/1.1 x"), Malformed::Message),
            (with_page("", "xyz\r\n"), Malformed::Chunk),
            (with_page("", "3\r\nabcd\r\n"), Malformed::Chunk),
            (with_page("", "fffffffffffffffff\r\n"), Malformed::Chunk),
            (line, Malformed::Chunk),
            (trailers, Malformed::Chunk),
        ] {
            for size in [1, 2, 3, 7, 100, text.len()] {
                let problem = (text.as_str(), problem);
                let told = read(text.as_bytes(), size).err().unwrap_or_else(|| panic!("{problem:?}"));
                assert_eq!(told, problem.1, "{text}");
            }
        }
        for size in [1000, long.len()] {
            assert_eq!(read(long.as_bytes(), size).err(), Some(Malformed::TooLong));
        }
    }
}
