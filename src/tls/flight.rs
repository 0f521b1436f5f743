//! What an origin shows of itself in a tunnel that is not decrypted: its first messages, as far as they are plain.
//! In TLS 1.2 that is its certificate; from TLS 1.3 on there is nothing to see. Only looks: chains, dates and
//! signatures are the client's business in such a tunnel.

use rustls::pki_types::CertificateDer;
use tls_parser::nom;
use tls_parser::{
    TlsMessageHandshake, TlsRecordType, TlsVersion, parse_tls_extension_unknown,
    parse_tls_handshake_msg_certificate, parse_tls_handshake_server_hello, parse_tls_raw_record,
};

use super::verify::server_name;
use crate::net::Host;

/// A first flight beyond this shows nothing: certificate messages of deployed servers have a few KiB.
const LONGEST: usize = 128 * 1024;

/// What the first flight shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flight {
    /// The leaf, DER.
    Leaf(Vec<u8>),
    /// The certificate is encrypted: TLS 1.3.
    Hidden,
    /// No certificate was sent: a resumed session, an alert, no TLS.
    Nothing,
}

/// Reads the flight as it comes; nothing is held back for it.
#[derive(Debug, Default)]
pub struct FlightReader {
    /// Bytes that are no whole record yet.
    rest: Vec<u8>,
    /// Handshake messages out of their records, not yet whole.
    messages: Vec<u8>,
    /// The ServerHello went by.
    greeted: bool,
    seen: usize,
}

impl FlightReader {
    /// More of the flight; answers once it is decided.
    pub fn look(&mut self, bytes: &[u8]) -> Option<Flight> {
        self.seen += bytes.len();
        if self.seen > LONGEST {
            return Some(Flight::Nothing);
        }
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        let flight = loop {
            // Any record has a known type and a major version of 3; whatever else this is, it is no TLS.
            if !matches!(self.rest[at..], [] | [20..=23] | [20..=23, 3, ..]) {
                break Some(Flight::Nothing);
            }
            match parse_tls_raw_record(&self.rest[at..]) {
                Ok((rest, record)) => {
                    at = self.rest.len() - rest.len();
                    match record.hdr.record_type {
                        TlsRecordType::Handshake => {
                            self.messages.extend_from_slice(record.data);
                            if let Some(flight) = next(&mut self.messages, &mut self.greeted) {
                                break Some(flight);
                            }
                        }
                        // A warning ends nothing (RFC 5246 section 7.2.2); servers that do not know the name send one.
                        TlsRecordType::Alert if warns(record.data) => {}
                        // RFC 8446 section 5: dropped by clients until the version is known.
                        TlsRecordType::ChangeCipherSpec if !self.greeted => {}
                        _ => break Some(Flight::Nothing),
                    }
                }
                Err(nom::Err::Incomplete(_)) => break None,
                Err(_) => break Some(Flight::Nothing),
            }
        };
        self.rest.drain(..at);
        flight
    }
}

fn warns(alerts: &[u8]) -> bool {
    !alerts.is_empty() && alerts.chunks(2).all(|alert| matches!(alert, [1, _]))
}

/// Takes whole messages off the front until one decides.
fn next(messages: &mut Vec<u8>, greeted: &mut bool) -> Option<Flight> {
    loop {
        let [kind, a, b, c, rest @ ..] = messages.as_slice() else { return None };
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let body = rest.get(..length)?;
        let decided = match kind {
            // RFC 5246 section 7.4.1.1: a HelloRequest in a handshake is passed over by clients.
            0 if body.is_empty() => None,
            2 => match server_hello(body) {
                Some(TlsVersion::Tls13) => Some(Flight::Hidden),
                Some(_) => {
                    *greeted = true;
                    None
                }
                None => Some(Flight::Nothing),
            },
            11 => Some(match parse_tls_handshake_msg_certificate(body) {
                Ok((_, TlsMessageHandshake::Certificate(shown))) => match shown.cert_chain.first() {
                    Some(leaf) => Flight::Leaf(leaf.data.to_vec()),
                    None => Flight::Nothing,
                },
                _ => Flight::Nothing,
            }),
            // Whatever else comes before a certificate means that none comes.
            _ => Some(Flight::Nothing),
        };
        if decided.is_some() {
            return decided;
        }
        messages.drain(..4 + length);
    }
}

fn server_hello(body: &[u8]) -> Option<TlsVersion> {
    let (_, hello) = parse_tls_handshake_server_hello(body).ok()?;
    let mut rest = hello.ext.unwrap_or_default();
    while !rest.is_empty() {
        let (next, extension) = parse_tls_extension_unknown(rest).ok()?;
        rest = next;
        // RFC 8446 section 4.2.1: the version that was chosen, when it is 1.3 or later.
        if let tls_parser::TlsExtension::Unknown(kind, [major, minor]) = extension
            && kind.0 == 43
        {
            return Some(TlsVersion(u16::from_be_bytes([*major, *minor])));
        }
    }
    Some(hello.version)
}

/// Whether a leaf is for this host (RFC 6125, by webpki). One that cannot be read is for nobody.
pub fn is_for(leaf: &[u8], host: &Host) -> bool {
    let Ok(name) = server_name(host) else { return false };
    let leaf = CertificateDer::from(leaf);
    webpki::EndEntityCert::try_from(&leaf)
        .is_ok_and(|cert| cert.verify_is_valid_for_subject_name(&name).is_ok())
}

/// SHA-256 of a certificate, as audit records spell it.
pub fn fingerprint(leaf: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind][..], &(body.len() as u32).to_be_bytes()[1..], body].concat()
    }

    fn record(kind: u8, data: &[u8]) -> Vec<u8> {
        [&[kind, 3, 3][..], &(data.len() as u16).to_be_bytes(), data].concat()
    }

    fn hello(version: u16, extensions: &[u8]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.extend([0, 0xc0, 0x2b, 0]);
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        message(2, &body)
    }

    fn certificates(chain: &[&[u8]]) -> Vec<u8> {
        let sized = |data: &[u8]| [&(data.len() as u32).to_be_bytes()[1..], data].concat();
        let list: Vec<u8> = chain.iter().flat_map(|der| sized(der)).collect();
        message(11, &sized(&list))
    }

    fn flight(wire: &[u8]) -> Option<Flight> {
        FlightReader::default().look(wire)
    }

    #[test]
    fn a_tls_1_2_server_shows_its_leaf_in_any_cut() {
        let messages = [hello(0x303, &[]), certificates(&[b"leaf", b"issuer"])].concat();
        let leaf = Some(Flight::Leaf(b"leaf".to_vec()));
        assert_eq!(flight(&record(22, &messages)), leaf);
        for cut in 1..messages.len() {
            let two = [record(22, &messages[..cut]), record(22, &messages[cut..])].concat();
            assert_eq!(flight(&two), leaf, "{cut}");
        }
        let mut reader = FlightReader::default();
        let wire = record(22, &messages);
        for byte in &wire[..wire.len() - 1] {
            assert_eq!(reader.look(&[*byte]), None);
        }
        assert_eq!(reader.look(&wire[wire.len() - 1..]), leaf);
    }

    #[test]
    fn what_clients_pass_over_does_not_hide_the_leaf() {
        let shown = record(22, &[hello(0x303, &[]), certificates(&[b"leaf"])].concat());
        let passed_over: [&[u8]; 6] = [
            // unrecognized_name, one alert a record and two.
            &record(21, &[1, 112]),
            &record(21, &[1, 112, 1, 0]),
            &record(22, &message(0, b"")),
            &record(22, &[message(0, b""), message(0, b"")].concat()),
            &record(20, &[1]),
            &[record(21, &[1, 112]), record(22, &message(0, b"")), record(20, &[1])].concat(),
        ];
        for before in passed_over {
            let leaf = Some(Flight::Leaf(b"leaf".to_vec()));
            assert_eq!(flight(&[before, &shown].concat()), leaf, "{before:?}");
            let mut reader = FlightReader::default();
            let wire = [before, &shown].concat();
            assert_eq!(wire.iter().find_map(|byte| reader.look(&[*byte])), leaf, "byte by byte: {before:?}");
        }
        // Between ServerHello and Certificate as well.
        let between =
            [record(22, &hello(0x303, &[])), record(21, &[1, 90]), record(22, &certificates(&[b"leaf"]))]
                .concat();
        assert_eq!(flight(&between), Some(Flight::Leaf(b"leaf".to_vec())));
        for fatal in [&[2, 112][..], &[1, 112, 2, 40], &[1], &[]] {
            assert_eq!(
                flight(&[&record(21, fatal)[..], &shown].concat()),
                Some(Flight::Nothing),
                "{fatal:?}"
            );
        }
    }

    #[test]
    fn what_shows_no_certificate_is_told_apart() {
        let chosen = [0, 43, 0, 2, 3, 4];
        assert_eq!(flight(&record(22, &hello(0x303, &chosen))), Some(Flight::Hidden));
        // A resumed session: ServerHello, then ChangeCipherSpec.
        let resumed = [record(22, &hello(0x303, &[])), record(20, &[1])].concat();
        assert_eq!(flight(&resumed), Some(Flight::Nothing));
        assert_eq!(flight(&record(21, &[2, 40])), Some(Flight::Nothing));
        assert_eq!(flight(b"SSH-2.0-x\r\n"), Some(Flight::Nothing));
        let empty = [hello(0x303, &[]), certificates(&[])].concat();
        assert_eq!(flight(&record(22, &empty)), Some(Flight::Nothing));
        let endless = record(22, &[&[11, 0xff, 0xff, 0xff][..], &[0; 16_000]].concat());
        let mut reader = FlightReader::default();
        let decided = (0..20).find_map(|_| reader.look(&endless));
        assert_eq!(decided, Some(Flight::Nothing), "bounded");
    }

    #[test]
    fn a_leaf_is_for_the_names_in_it() {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["shop.test".to_owned(), "*.cdn.test".to_owned(), "192.0.2.7".to_owned()];
        let leaf = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let is_for = |host: &str| is_for(leaf.der(), &Host::parse(host).unwrap());
        assert!(is_for("shop.test") && is_for("a.cdn.test") && is_for("192.0.2.7"));
        assert!(
            !is_for("cdn.test") && !is_for("a.b.cdn.test") && !is_for("evil.test") && !is_for("192.0.2.8")
        );
        assert!(!super::is_for(b"no certificate", &Host::parse("shop.test").unwrap()));
    }
}
