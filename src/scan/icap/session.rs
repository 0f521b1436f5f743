//! One stream before a service: its head, its preview, the rest of it, and what the answer means.

use std::sync::Arc;

use tokio::io;

use super::answer::{Message, Sum};
use super::options::Options;
use super::wire::{Until, Wire};
use super::{Budget, Service};
use crate::scan::{About, Direction, Finding};

/// What is gathered before an exchange begins, where the service wants no preview.
const GATHER: usize = 64 * 1024;

/// Bytes of a chunk.
const CHUNK: usize = 64 * 1024;

/// Bytes of a URL that the service is told.
const MOST_URL: usize = 4096;

/// One stream in the hands of the service.
pub struct Session {
    service: Arc<Service>,
    direction: Direction,
    /// The heads of the HTTP messages, and the field that says where they are.
    heads: Vec<u8>,
    encapsulated: String,
    asked_line: String,
    status: u16,
    preview: Option<usize>,
    gathered: Vec<u8>,
    wire: Option<Wire>,
    sent: Sum,
}

/// How much of the stream the service had when it answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Had {
    Preview,
    Part,
    All,
}

impl Session {
    pub async fn open(service: Arc<Service>, about: &About, wait: &mut Budget) -> io::Result<Session> {
        let options: Arc<Options> = service.options(about.direction, wait).await?;
        if !options.takes(about.direction) {
            return Err(io::Error::other(format!("it does not take {}", method(about.direction))));
        }
        let url: String = about.url.chars().take(MOST_URL).collect();
        let asked_line = format!("{} {url} HTTP/1.1", about.method);
        let host = url.split('/').nth(2).unwrap_or_default();
        let mut heads = format!("{asked_line}\r\nHost: {host}\r\n").into_bytes();
        let encapsulated = if about.direction == Direction::Upload {
            content_type(&mut heads, about);
            format!("req-hdr=0, req-body={}", heads.len())
        } else {
            heads.extend(b"\r\n");
            let response = heads.len();
            heads.extend(format!("HTTP/1.1 {} \r\n", about.status).bytes());
            content_type(&mut heads, about);
            format!("req-hdr=0, res-hdr={response}, res-body={}", heads.len())
        };
        Ok(Session {
            service,
            direction: about.direction,
            heads,
            encapsulated,
            asked_line,
            status: about.status,
            preview: options.preview(&extension(&url)),
            gathered: Vec::new(),
            wire: None,
            sent: Sum::default(),
        })
    }

    /// A finding where the service answers before it has everything.
    pub async fn write(&mut self, bytes: &[u8], wait: &mut Budget) -> io::Result<Option<Finding>> {
        self.sent.add(bytes);
        if self.wire.is_some() {
            return self.stream(bytes, wait).await;
        }
        self.gathered.extend_from_slice(bytes);
        let most = self.preview.unwrap_or(GATHER);
        if self.gathered.len() <= most {
            return Ok(None);
        }
        let gathered = std::mem::take(&mut self.gathered);
        let mut opening = self.opening();
        let Some(most) = self.preview else {
            // What has left cannot be sent again, so that no connection is taken that may have been closed.
            self.wire = Some(self.service.begin(&opening, Until::Sent, false, false, wait).await?);
            return self.stream(&gathered, wait).await;
        };
        chunk(&mut opening, &gathered[..most]);
        opening.extend(b"0\r\n\r\n");
        let wire = self.service.begin(&opening, Until::Continued, true, true, wait).await?;
        if wire.is_over() {
            let had = if wire.answer.continued { Had::Part } else { Had::Preview };
            return self.conclude(wire, had).map(Some);
        }
        self.wire = Some(wire);
        self.stream(&gathered[most..], wait).await
    }

    pub async fn finish(mut self, wait: &mut Budget) -> io::Result<Finding> {
        let wire = match self.wire.take() {
            Some(wire) => drive(wire, b"0\r\n\r\n", Until::Done, wait).await?,
            None => {
                let mut opening = self.opening();
                chunk(&mut opening, &self.gathered);
                let end: &[u8] = if self.preview.is_some() { b"0; ieof\r\n\r\n" } else { b"0\r\n\r\n" };
                opening.extend(end);
                self.service.begin(&opening, Until::Done, true, false, wait).await?
            }
        };
        self.conclude(wire, Had::All)
    }

    async fn stream(&mut self, bytes: &[u8], wait: &mut Budget) -> io::Result<Option<Finding>> {
        for piece in bytes.chunks(CHUNK) {
            let Some(wire) = self.wire.take() else { return Ok(None) };
            let mut out = Vec::with_capacity(piece.len() + 16);
            chunk(&mut out, piece);
            let wire = drive(wire, &out, Until::Sent, wait).await?;
            if wire.is_over() {
                return self.conclude(wire, Had::Part).map(Some);
            }
            self.wire = Some(wire);
        }
        Ok(None)
    }

    fn opening(&self) -> Vec<u8> {
        let (at, host) = (self.service.address(), self.service.address().addr);
        let preview = self.preview.map_or(String::new(), |most| format!("Preview: {most}\r\n"));
        let method = method(self.direction);
        let head = format!(
            "{method} {at} ICAP/1.0\r\nHost: {host}\r\nAllow: 204\r\n{preview}Encapsulated: {}\r\n\r\n",
            self.encapsulated
        );
        [head.as_bytes(), &self.heads].concat()
    }

    /// What an answer means. Only one that changes nothing is good, and only from a service that had what it asked for.
    fn conclude(&self, wire: Wire, had: Had) -> io::Result<Finding> {
        let answer = &wire.answer;
        let Some(head) = &answer.head else { return Err(wire.ended()) };
        let had = if wire.unsent { Had::Part } else { had };
        self.service.saw(head.field("istag").unwrap_or_default());
        if let Some(name) = &answer.found {
            return Ok(Finding::named(name));
        }
        let finding = match (head.status, &answer.message) {
            (204, _) if had == Had::Part => {
                return Err(io::Error::other("it let the body pass before it had all of it"));
            }
            (204, _) => Finding::Clean,
            (200, None) => return Err(io::Error::other("its answer has no message")),
            // It may have been about to give the message back.
            (200, Some(message)) if wire.is_late() && self.is_given(message) => return Err(wire.ended()),
            (200, Some(message)) => self.compare(message, &wire, had),
            (status, _) => return Err(io::Error::other(format!("it said: {status} {}", head.reason))),
        };
        if finding == Finding::Clean {
            self.service.give_back(wire);
        }
        Ok(finding)
    }

    /// The head is that of the message that the service was given.
    fn is_given(&self, message: &Message) -> bool {
        match (self.direction, message) {
            (Direction::Upload, Message::Request(line)) => line == self.asked_line.as_bytes(),
            (Direction::Download, Message::Response(status)) => *status == self.status,
            _ => false,
        }
    }

    fn compare(&self, message: &Message, wire: &Wire, had: Had) -> Finding {
        let same = self.is_given(message);
        // Its own page in place of the file.
        if let Message::Response(status) = message
            && !same
        {
            return Finding::Found(format!("refused by the service with status {status}"));
        }
        let whole = had == Had::All && wire.answer.is_done();
        if same && whole && wire.answer.body.is(&self.sent) { Finding::Clean } else { Finding::Changed }
    }
}

async fn drive(mut wire: Wire, out: &[u8], until: Until, wait: &mut Budget) -> io::Result<Wire> {
    match wait.io(wire.drive(out, until)).await {
        Ok(()) => Ok(wire),
        Err(error) => wire.broken(error),
    }
}

fn method(direction: Direction) -> &'static str {
    match direction {
        Direction::Upload => "REQMOD",
        Direction::Download => "RESPMOD",
    }
}

/// The end of a head.
fn content_type(head: &mut Vec<u8>, about: &About) {
    if !about.content_type.is_empty() {
        head.extend(b"Content-Type: ");
        head.extend(&about.content_type);
        head.extend(b"\r\n");
    }
    head.extend(b"\r\n");
}

fn chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.extend(format!("{:x}\r\n", bytes.len()).bytes());
        out.extend(bytes);
        out.extend(b"\r\n");
    }
}

/// What stands behind the last dot of a URL's path.
fn extension(url: &str) -> String {
    let name = url.splitn(4, '/').nth(3).and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    name.rsplit_once('.').map_or(String::new(), |(_, extension)| extension.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const NONE: &[u8] = b"ICAP/1.0 204 No\r\n\r\n";

    /// A service that reads until it has seen these bytes, and then says that nothing is to be changed.
    async fn hasty(listener: TcpListener, until: &'static [u8]) -> [TcpStream; 2] {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(stream.read_u8().await.unwrap());
        }
        let options = b"ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nEncapsulated: null-body=0\r\n\r\n";
        stream.write_all(options).await.unwrap();
        let (mut other, _) = listener.accept().await.unwrap();
        seen.clear();
        while !seen.ends_with(until) {
            seen.push(other.read_u8().await.unwrap());
        }
        other.write_all(NONE).await.unwrap();
        [stream, other]
    }

    #[tokio::test]
    async fn a_word_before_the_end_is_not_believed_and_its_connection_not_used_again() {
        for (last, clean) in [(&b"end\r\n"[..], false), (b"end\r\n0\r\n\r\n", true)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = format!("icap://{}/a", listener.local_addr().unwrap());
            let service = Arc::new(Service::new(at.parse().unwrap(), 4));
            let served = tokio::spawn(hasty(listener, last));
            let about = About {
                direction: Direction::Upload,
                client: [127, 0, 0, 1].into(),
                method: "POST".into(),
                url: "https://origin.test/".into(),
                status: 0,
                content_type: Vec::new(),
                boundary: None,
            };
            let mut wait = Budget::new(std::time::Duration::from_secs(60));
            let mut session = Session::open(service.clone(), &about, &mut wait).await.unwrap();
            let body = [&[b'x'; GATHER][..], b"end"].concat();
            assert_eq!(session.write(&body, &mut wait).await.unwrap(), None);
            if !clean {
                session.wire.as_ref().unwrap().stream.readable().await.unwrap();
            }
            match session.finish(&mut wait).await {
                Ok(finding) => assert!(clean && finding == Finding::Clean, "{finding:?}"),
                Err(error) => assert!(!clean && error.to_string().contains("before it had all"), "{error}"),
            }
            let _open = served.await.unwrap();
            // The one that its options were asked on is there in either case.
            let idle = std::iter::from_fn(|| service.idling()).count();
            assert_eq!(idle, if clean { 2 } else { 1 });
        }
    }

    #[test]
    fn an_extension_is_that_of_the_file() {
        for (url, expect) in [
            ("https://origin.test/a/b.tar.GZ", "gz"),
            ("https://origin.test/a.b/c", ""),
            ("https://origin.test", ""),
            ("https://origin.test/", ""),
        ] {
            assert_eq!(extension(url), expect, "{url}");
        }
    }
}
