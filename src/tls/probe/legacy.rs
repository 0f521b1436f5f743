//! What a server answers to a ClientHello of an old version: our own TLS cannot say it, so the bytes are
//! made here. One message goes out, the first answer is read, and the connection is dropped; no key is
//! ever agreed on.

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::net::Host;

/// A version that is not ours to speak, or TLS 1.2 with suites that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Ssl3,
    Tls10,
    Tls11,
    /// With the suites that our own TLS 1.2 leaves out.
    Tls12,
}

impl Version {
    /// From the newest to the oldest.
    pub const ALL: [Version; 4] = [Version::Tls12, Version::Tls11, Version::Tls10, Version::Ssl3];

    fn minor(self) -> u8 {
        match self {
            Version::Ssl3 => 0,
            Version::Tls10 => 1,
            Version::Tls11 => 2,
            Version::Tls12 => 3,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::Ssl3 => "SSL 3.0",
            Version::Tls10 => "TLS 1.0",
            Version::Tls11 => "TLS 1.1",
            Version::Tls12 => "TLS 1.2",
        })
    }
}

/// The first thing the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It would go on with this version and suite.
    Hello { minor: u8, suite: u16 },
    /// It refused, by this alert's number.
    Alert(u8),
    /// Nothing of TLS, or nothing at all.
    Nothing,
}

impl Said {
    /// True when the server would speak just this version.
    pub fn speaks(&self, version: Version) -> bool {
        matches!(self, Said::Hello { minor, .. } if *minor == version.minor())
    }
}

/// Asks once. The caller bounds the time.
pub async fn ask<T: AsyncRead + AsyncWrite + Unpin>(mut io: T, host: &Host, version: Version) -> Said {
    let mut random = [0; 32];
    if getrandom::fill(&mut random).is_err() {
        return Said::Nothing;
    }
    if io.write_all(&hello(host, version, random)).await.is_err() {
        return Said::Nothing;
    }
    let mut answer = Vec::with_capacity(ENOUGH);
    let mut part = [0; ENOUGH];
    while answer.len() < ENOUGH {
        match io.read(&mut part).await {
            Ok(0) | Err(_) => break,
            Ok(n) => answer.extend_from_slice(&part[..n]),
        }
        if let Some(said) = read(&answer) {
            return said;
        }
    }
    Said::Nothing
}

/// A record's head, a ServerHello's up to its suite, and the longest session id there may be.
const ENOUGH: usize = 5 + 4 + 2 + 32 + 1 + 32 + 2;

/// `None` when more is needed (RFC 5246 sections 6.2.1, 7.2 and 7.4.1.3).
fn read(bytes: &[u8]) -> Option<Said> {
    match *bytes.first()? {
        21 => bytes.get(6).map(|description| Said::Alert(*description)),
        22 => {
            let body = bytes.get(5..)?;
            if *body.first()? != 2 {
                return Some(Said::Nothing);
            }
            let id = usize::from(*body.get(38)?);
            let suite = body.get(39 + id..41 + id)?;
            Some(Said::Hello { minor: body[5], suite: u16::from_be_bytes([suite[0], suite[1]]) })
        }
        _ => Some(Said::Nothing),
    }
}

/// What browsers of the time offered: ECDHE, DHE and RSA with AES-CBC, GCM with RSA, 3DES, RC4.
const SUITES: [u16; 20] = [
    0xc00a, 0xc014, 0xc009, 0xc013, 0xc024, 0xc028, 0xc023, 0xc027, 0x0039, 0x0033, 0x009f, 0x009e, 0x0035,
    0x002f, 0x009d, 0x009c, 0x003d, 0x003c, 0x000a, 0x0005,
];

fn hello(host: &Host, version: Version, random: [u8; 32]) -> Vec<u8> {
    let mut body = vec![3, version.minor()];
    body.extend(random);
    body.push(0);
    body.extend(sized(&SUITES.map(u16::to_be_bytes).concat()));
    body.extend([1, 0]);
    // SSL 3.0 knows no extensions, and some of its servers refuse what they do not know.
    if version != Version::Ssl3 {
        body.extend(sized(&extensions(host, version)));
    }
    let mut message = vec![1, 0];
    message.extend(sized(&body));
    let mut record = vec![22, 3, version.minor().min(1)];
    record.extend(sized(&message));
    record
}

fn extensions(host: &Host, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |kind: u16, content: &[u8]| {
        out.extend(kind.to_be_bytes());
        out.extend(sized(content));
    };
    if let Host::Name(name) = host {
        // RFC 6066 section 3.
        let entry = [&[0][..], &sized(name.as_bytes())].concat();
        add(0, &sized(&entry));
    }
    // RFC 8422: x25519, P-256, P-384; points uncompressed.
    add(10, &sized(&[0, 29, 0, 23, 0, 24]));
    add(11, &[1, 0]);
    if version == Version::Tls12 {
        // PKCS #1 and ECDSA with SHA-256, SHA-384, SHA-512 and SHA-1 (RFC 5246 section 7.4.1.4.1).
        add(13, &sized(&[4, 1, 4, 3, 5, 1, 5, 3, 6, 1, 6, 3, 2, 1, 2, 3]));
    }
    out
}

/// With its length before it, in two octets.
fn sized(content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [&len.to_be_bytes(), &content[..usize::from(len)]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_read_and_a_part_of_one_asks_for_more() {
        let mut server_hello = vec![22, 3, 1, 0, 77, 2, 0, 0, 73, 3, 1];
        server_hello.extend([7; 32]);
        server_hello.push(32);
        server_hello.extend([9; 32]);
        server_hello.extend([0x00, 0x2f, 0]);
        for at in 0..server_hello.len() - 1 {
            assert_eq!(read(&server_hello[..at]), None, "{at}");
        }
        let said = read(&server_hello).unwrap();
        assert_eq!(said, Said::Hello { minor: 1, suite: 0x002f });
        assert!(said.speaks(Version::Tls10) && !said.speaks(Version::Tls11));
        assert!(server_hello.len() > ENOUGH - 2 && server_hello.len() <= ENOUGH + 1);
        assert_eq!(read(&[21, 3, 1, 0, 2, 2, 70]), Some(Said::Alert(70)));
        assert_eq!(read(&[21, 3, 1, 0, 2, 2]), None);
        assert_eq!(read(b"SSH-2.0-x"), Some(Said::Nothing));
    }

    #[test]
    fn the_hello_is_whole_by_its_own_lengths() {
        let host = Host::parse("origin.test").unwrap();
        for version in Version::ALL {
            let bytes = hello(&host, version, [1; 32]);
            let record = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
            assert_eq!(bytes.len(), 5 + record, "{version}");
            let message = usize::from(u16::from_be_bytes([bytes[7], bytes[8]]));
            assert_eq!(record, 4 + message, "{version}");
            let shows = bytes.windows(11).any(|part| part == b"origin.test");
            assert_eq!(shows, version != Version::Ssl3, "{version}");
        }
    }
}
