//! TLS as bytes, for peers that break its rules and for looking at what was sent.

/// One record.
pub fn record(kind: u8, version: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(version.to_be_bytes());
    out.extend((payload.len() as u16).to_be_bytes());
    out.extend(payload);
    out
}

/// One handshake message.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(&(body.len() as u32).to_be_bytes()[1..]);
    out.extend(body);
    out
}

/// A fatal alert.
pub fn alert(description: u8) -> Vec<u8> {
    record(21, 0x0303, &[2, description])
}

/// A ServerHello in a record: `extensions` is their list without its length.
pub fn server_hello(random: [u8; 32], session: &[u8], suite: u16, extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(random);
    body.push(session.len() as u8);
    body.extend(session);
    body.extend(suite.to_be_bytes());
    body.push(0);
    if !extensions.is_empty() {
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
    }
    record(22, 0x0303, &message(2, &body))
}

/// An extension with its type and length.
pub fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(content.len() as u16).to_be_bytes(), content].concat()
}

/// A ClientHello as it came, taken apart.
#[derive(Debug)]
pub struct ClientHello {
    pub legacy_version: u16,
    pub suites: Vec<u16>,
    pub compressions: Vec<u8>,
    /// Type and content, in their order.
    pub extensions: Vec<(u16, Vec<u8>)>,
}

/// Reads numbers off the front of a slice; a test's bytes that end early are a failure.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        assert!(self.0.len() >= len, "the ClientHello ends early");
        let (front, rest) = self.0.split_at(len);
        self.0 = rest;
        front
    }

    fn number(&mut self, bytes: usize) -> usize {
        self.take(bytes).iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    /// A vector behind its length.
    fn vector(&mut self, bytes: usize) -> Reader<'a> {
        let len = self.number(bytes);
        Reader(self.take(len))
    }
}

impl ClientHello {
    /// From the first bytes of a connection, in one record or several.
    pub fn read(wire: &[u8]) -> ClientHello {
        let mut records = Reader(wire);
        let mut message = Vec::new();
        while message.len() < 4 || message.len() < 4 + Reader(&message[1..]).number(3) {
            assert_eq!(records.number(1), 22, "a handshake record");
            records.number(2);
            message.extend(records.vector(2).0);
        }
        let mut reader = Reader(&message);
        assert_eq!(reader.number(1), 1, "a ClientHello");
        let mut body = reader.vector(3);
        let legacy_version = body.number(2) as u16;
        body.take(32);
        body.vector(1);
        let mut list = body.vector(2);
        let mut suites = Vec::new();
        while !list.0.is_empty() {
            suites.push(list.number(2) as u16);
        }
        let compressions = body.vector(1).0.to_vec();
        let mut list = body.vector(2);
        let mut extensions = Vec::new();
        while !list.0.is_empty() {
            let kind = list.number(2) as u16;
            extensions.push((kind, list.vector(2).0.to_vec()));
        }
        assert!(body.0.is_empty(), "nothing behind the extensions");
        ClientHello { legacy_version, suites, compressions, extensions }
    }

    pub fn extension(&self, kind: u16) -> Option<&[u8]> {
        self.extensions.iter().find(|(found, _)| *found == kind).map(|(_, content)| content.as_slice())
    }

    /// An extension that is a list of 16-bit numbers behind a length of so many bytes.
    pub fn numbers(&self, kind: u16, length: usize) -> Vec<u16> {
        let mut list = Reader(self.extension(kind).unwrap_or_default()).vector(length);
        let mut numbers = Vec::new();
        while !list.0.is_empty() {
            numbers.push(list.number(2) as u16);
        }
        numbers
    }

    /// The host_name of server_name (RFC 6066 section 3).
    pub fn sni(&self) -> Option<String> {
        let mut list = Reader(self.extension(0)?).vector(2);
        assert_eq!(list.number(1), 0, "a host name");
        Some(String::from_utf8(list.vector(2).0.to_vec()).unwrap())
    }

    /// The groups with a share.
    pub fn shares(&self) -> Vec<u16> {
        let mut list = Reader(self.extension(51).unwrap_or_default()).vector(2);
        let mut groups = Vec::new();
        while !list.0.is_empty() {
            groups.push(list.number(2) as u16);
            list.vector(2);
        }
        groups
    }
}
