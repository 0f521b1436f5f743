//! The ClientHello as it stands on the wire, read before any TLS library answers it: in any cut of segments and
//! records, whatever the version. A tunnel that is not decrypted is judged by what is read here, so that reading
//! is strict: what two readers could understand differently is malformed or has an invalid name.

use tls_parser::nom;
use tls_parser::{
    SNIType, TlsExtension, TlsRecordType, parse_tls_extension_alpn_content,
    parse_tls_extension_signature_algorithms_content, parse_tls_extension_sni_content,
    parse_tls_extension_supported_versions, parse_tls_extension_unknown, parse_tls_handshake_client_hello,
    parse_tls_raw_record,
};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Rewind;
use super::ja4;
use crate::net::hello::Sni;
use crate::net::{Hello, Host};

/// A ClientHello with post-quantum shares has under 2 KiB; rustls takes 64 KiB at most.
const LONGEST: usize = 0xffff;

/// The same with the heads of records around it, one for every few bytes.
const LONGEST_ON_WIRE: usize = 4 * LONGEST;

/// Extensions of one ClientHello. Browsers send some twenty.
const EXTENSIONS: usize = 256;

/// Protocols of one ClientHello, which are kept for as long as its connection.
const PROTOCOLS: usize = 64;

/// `encrypted_client_hello`.
const ECH: u16 = 0xfe0d;

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    NeedMore,
    Hello(Hello),
    Malformed(&'static str),
}

/// Reads a ClientHello out of a growing prefix; every record is looked at once.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// Bytes of the prefix that are behind us.
    at: usize,
    /// The handshake message out of its records.
    message: Vec<u8>,
}

impl HelloReader {
    /// `prefix` is everything from the first byte on.
    pub fn look(&mut self, prefix: &[u8]) -> Look {
        loop {
            if let Some(answer) = self.whole() {
                return answer;
            }
            match parse_tls_raw_record(prefix.get(self.at..).unwrap_or_default()) {
                Ok((rest, record)) => {
                    if record.hdr.record_type != TlsRecordType::Handshake {
                        return Look::Malformed("a record in the ClientHello is no handshake record");
                    }
                    if record.data.is_empty() {
                        // RFC 8446 section 5.1.
                        return Look::Malformed("a handshake record is empty");
                    }
                    self.at = prefix.len() - rest.len();
                    self.message.extend_from_slice(record.data);
                }
                Err(nom::Err::Incomplete(_)) if prefix.len() <= LONGEST_ON_WIRE => return Look::NeedMore,
                Err(nom::Err::Incomplete(_)) => return Look::Malformed("the ClientHello has no end"),
                Err(_) => return Look::Malformed("a record is longer than TLS allows"),
            }
        }
    }

    /// The answer, when the message allows one.
    fn whole(&self) -> Option<Look> {
        let (kind, rest) = self.message.split_first()?;
        if *kind != 1 {
            return Some(Look::Malformed("the first handshake message is no ClientHello"));
        }
        let (length, body) = rest.split_first_chunk::<3>()?;
        let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
        if length > LONGEST {
            return Some(Look::Malformed("the ClientHello is longer than 64 KiB"));
        }
        let body = body.get(..length)?;
        Some(match hello(body) {
            Some(hello) => Look::Hello(hello),
            None => Look::Malformed(
                "the ClientHello breaks its own lengths, repeats an extension or has too much in one",
            ),
        })
    }
}

/// Reads until the ClientHello is whole, and leaves the stream as if nothing had been read from it.
/// The caller bounds the time.
pub(super) async fn hear<T: AsyncRead + Unpin>(io: &mut Rewind<T>) -> std::io::Result<Look> {
    let mut reader = HelloReader::default();
    loop {
        let look = reader.look(io.recorded());
        if look != Look::NeedMore {
            io.again();
            return Ok(look);
        }
        let mut chunk = [0; 4096];
        if io.read(&mut chunk).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn hello(body: &[u8]) -> Option<Hello> {
    let (rest, contents) = parse_tls_handshake_client_hello(body).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let mut hello = Hello::default();
    let mut parts = ja4::Parts {
        version: contents.version.0,
        ciphers: contents.ciphers.iter().map(|cipher| cipher.0).collect(),
        ..ja4::Parts::default()
    };
    let mut rest = contents.ext.unwrap_or_default();
    while !rest.is_empty() {
        let (next, extension) = parse_tls_extension_unknown(rest).ok()?;
        let TlsExtension::Unknown(kind, data) = extension else { return None };
        let whole = &rest[..rest.len() - next.len()];
        rest = next;
        // RFC 8446 section 4.2: an extension comes once.
        if parts.extensions.len() >= EXTENSIONS || parts.extensions.contains(&kind.0) {
            return None;
        }
        parts.extensions.push(kind.0);
        match kind.0 {
            0 => hello.sni = server_name(data),
            13 => match parse_tls_extension_signature_algorithms_content(data) {
                Ok(([], TlsExtension::SignatureAlgorithms(list))) => parts.signatures = list,
                _ => return None,
            },
            16 => hello.alpn = protocols(data)?,
            43 => match parse_tls_extension_supported_versions(whole) {
                Ok(([], TlsExtension::SupportedVersions(list))) => {
                    parts.versions = list.iter().map(|version| version.0).collect();
                }
                _ => return None,
            },
            ECH => hello.ech = true,
            _ => {}
        }
    }
    parts.alpn = hello.alpn.first().cloned();
    hello.ja4 = Some(parts.ja4().into());
    Some(hello)
}

/// RFC 7301 section 3.1: at least one name, and none of them empty.
fn protocols(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let Ok(([], TlsExtension::ALPN(list))) = parse_tls_extension_alpn_content(data) else { return None };
    let read: usize = list.iter().map(|name| 1 + name.len()).sum();
    let fits = (1..=PROTOCOLS).contains(&list.len()) && read + 2 == data.len();
    (fits && list.iter().all(|name| !name.is_empty()))
        .then(|| list.iter().map(|name| name.to_vec()).collect())
}

fn server_name(data: &[u8]) -> Sni {
    let Ok(([], TlsExtension::SNI(names))) = parse_tls_extension_sni_content(data) else {
        return Sni::Invalid;
    };
    // Bytes of the list that were no name would be somebody else's name.
    let read: usize = names.iter().map(|(_, name)| 3 + name.len()).sum();
    match names[..] {
        [(SNIType(0), name)] if read + 2 == data.len() => {
            match std::str::from_utf8(name).ok().and_then(|name| Host::parse(name).ok()) {
                Some(host) => Sni::Name(host),
                None => Sni::Invalid,
            }
        }
        _ => Sni::Invalid,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One extension.
    pub(in crate::tls) fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
    }

    /// `server_name` with these names.
    pub(in crate::tls) fn names(list: &[&[u8]]) -> Vec<u8> {
        let list: Vec<u8> = list
            .iter()
            .flat_map(|name| [&[0][..], &(name.len() as u16).to_be_bytes(), name].concat())
            .collect();
        extension(0, &[&(list.len() as u16).to_be_bytes()[..], &list].concat())
    }

    /// A ClientHello in one record.
    pub(in crate::tls) fn client_hello(version: u16, ciphers: &[u16], extensions: &[Vec<u8>]) -> Vec<u8> {
        let mut body = version.to_be_bytes().to_vec();
        body.extend([7; 32]);
        body.push(0);
        body.extend((ciphers.len() as u16 * 2).to_be_bytes());
        body.extend(ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()));
        body.extend([1, 0]);
        let extensions = extensions.concat();
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        record(&message(&body))
    }

    fn message(body: &[u8]) -> Vec<u8> {
        [&[1][..], &(body.len() as u32).to_be_bytes()[1..], body].concat()
    }

    fn record(data: &[u8]) -> Vec<u8> {
        [&[22, 3, 1][..], &(data.len() as u16).to_be_bytes(), data].concat()
    }

    fn look(bytes: &[u8]) -> Look {
        HelloReader::default().look(bytes)
    }

    fn sni(list: &[&[u8]]) -> Sni {
        match look(&client_hello(0x303, &[0x1301], &[names(list)])) {
            Look::Hello(hello) => hello.sni,
            other => panic!("{list:?}: {other:?}"),
        }
    }

    #[test]
    fn each_spelling_of_a_server_name_has_one_reading() {
        let name = |text: &str| Sni::Name(Host::parse(text).unwrap());
        let long =
            |n: usize| ["a"; 63].concat().chars().chain(".".chars()).cycle().take(n).collect::<String>();
        let (fits, over) = (long(253), format!("{}.a", long(252)));
        assert_eq!((fits.len(), over.len()), (253, 254));
        assert_eq!(sni(&[b"shop.test"]), name("shop.test"));
        assert_eq!(sni(&[b"SHOP.Test."]), name("shop.test"));
        assert_eq!(sni(&[b"my_shop.test"]), name("my_shop.test"));
        assert_eq!(sni(&[b"xn--bcher-kva.test"]), name("xn--bcher-kva.test"));
        assert_eq!(sni(&[fits.as_bytes()]), name(&fits));
        assert_eq!(sni(&[b"192.0.2.7"]), name("192.0.2.7"));
        let invalid: [&[&[u8]]; 9] = [
            &[over.as_bytes()],
            &[b"shop.test\0.evil.test"],
            &[b"b\xfccher.test"],
            &["b\u{fc}cher.test".as_bytes()],
            &[b""],
            &[b"shop..test"],
            &[b"shop.test:443"],
            &[b"shop.test", b"evil.test"],
            &[],
        ];
        for list in invalid {
            assert_eq!(sni(list), Sni::Invalid, "{list:?}");
        }
        let Look::Hello(none) = look(&client_hello(0x303, &[0x1301], &[])) else { panic!("a hello") };
        assert_eq!(none.sni, Sni::Absent);
    }

    #[test]
    fn a_name_hidden_behind_the_name_is_not_overlooked() {
        // A list whose length ends before the extension does, and a name of another type.
        let inside = [&[0, 9][..], &[0, 0, 6], b"a.test", b"b.test"].concat();
        let other = [&[0, 9][..], &[1, 0, 6], b"a.test"].concat();
        for data in [inside, other, vec![], vec![0], vec![0, 4, 0, 0, 9, b'a']] {
            match look(&client_hello(0x303, &[0x1301], &[extension(0, &data)])) {
                Look::Hello(hello) => assert_eq!(hello.sni, Sni::Invalid, "{data:?}"),
                other => panic!("{data:?}: {other:?}"),
            }
        }
        let twice = client_hello(0x303, &[0x1301], &[names(&[b"a.test"]), names(&[b"b.test"])]);
        assert!(matches!(look(&twice), Look::Malformed(_)));
    }

    #[test]
    fn a_list_of_protocols_is_kept_only_when_it_is_one() {
        let offers = |data: &[u8]| match look(&client_hello(0x303, &[0x1301], &[extension(16, data)])) {
            Look::Hello(hello) => Some(hello.alpn),
            Look::Malformed(_) => None,
            Look::NeedMore => panic!("the ClientHello is whole"),
        };
        let list = |names: &[u8]| [&(names.len() as u16).to_be_bytes()[..], names].concat();
        assert_eq!(offers(&list(b"\x02h2\x08http/1.1")), Some(vec![b"h2".to_vec(), b"http/1.1".to_vec()]));
        assert_eq!(offers(&list(&b"\x01x".repeat(64))).map(|names| names.len()), Some(64));
        let bad = [
            // Sixty thousand names that fill two bytes of the wire and twenty-four of memory each.
            list(&[0; 60_000]),
            list(&b"\x01x".repeat(65)),
            list(b"\x02h2\0"),
            list(b""),
            list(b"\x02h2\x09http"),
            [&list(b"\x02h2")[..], b"\x02h3"].concat(),
            vec![],
            vec![0],
        ];
        for data in bad {
            assert_eq!(offers(&data), None, "{} bytes", data.len());
        }
    }

    #[test]
    fn more_extensions_than_any_client_has_are_refused_at_once() {
        let extensions =
            |count: u16| (0x4000..0x4000 + count).map(|kind| extension(kind, b"")).collect::<Vec<_>>();
        assert!(matches!(look(&client_hello(0x303, &[0x1301], &extensions(256))), Look::Hello(_)));
        for count in [257, 16_000] {
            let hello = client_hello(0x303, &[0x1301], &extensions(count));
            assert!(matches!(look_in_records(&hello[5..]), Look::Malformed(_)), "{count}");
        }
    }

    /// One message in records of the greatest length.
    fn look_in_records(message: &[u8]) -> Look {
        look(&message.chunks(1 << 14).flat_map(record).collect::<Vec<_>>())
    }

    #[test]
    fn encrypted_client_hello_is_told_and_the_outer_name_is_the_name() {
        let hello = client_hello(0x303, &[0x1301], &[extension(ECH, b"\0rest"), names(&[b"outer.test"])]);
        let Look::Hello(hello) = look(&hello) else { panic!("a hello") };
        assert!(hello.ech);
        assert_eq!(hello.sni, Sni::Name(Host::parse("outer.test").unwrap()));
    }

    #[test]
    fn any_cut_into_segments_and_records_reads_the_same() {
        let whole =
            client_hello(0x303, &[0x1301, 0x1302], &[names(&[b"shop.test"]), extension(16, b"\0\x03\x02h2")]);
        let expect = look(&whole);
        assert!(matches!(&expect, Look::Hello(hello) if hello.alpn == [b"h2"]));
        let mut reader = HelloReader::default();
        for end in 0..whole.len() {
            assert_eq!(reader.look(&whole[..end]), Look::NeedMore, "{end}");
        }
        assert_eq!(reader.look(&whole), expect);
        let message = &whole[5..];
        for cut in 1..message.len() {
            let two = [record(&message[..cut]), record(&message[cut..])].concat();
            assert_eq!(look(&two), expect, "records cut at {cut}");
        }
        let bytewise: Vec<u8> = message.iter().flat_map(|byte| record(&[*byte])).collect();
        assert_eq!(look(&bytewise), expect);
        // What follows the ClientHello is not its business.
        assert_eq!(look(&[whole, b"\x14\x03\x03\0\x01\x01".to_vec()].concat()), expect);
    }

    #[test]
    fn what_is_no_client_hello_is_malformed_at_once() {
        let cases: [&[u8]; 5] = [
            b"\x17\x03\x03\0\x01x",
            b"\x16\x03\x01\0\0",
            b"\x16\x03\x01\0\x01\x02",
            b"\x16\x03\x01\xff\xff",
            b"\x16\x03\x01\0\x04\x01\xff\xff\xff",
        ];
        for bytes in cases {
            assert!(matches!(look(bytes), Look::Malformed(_)), "{bytes:?}");
        }
        let good = client_hello(0x303, &[0x1301], &[names(&[b"shop.test"])]);
        // One byte too many inside of the message.
        let mut long = good[5..].to_vec();
        long.push(0);
        long[3] += 1;
        assert!(matches!(look(&record(&long)), Look::Malformed(_)));
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let good = client_hello(0x303, &[0x1301], &[names(&[b"shop.test"]), extension(13, &[0, 2, 4, 3])]);
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff, good[at].wrapping_add(1)] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = look(&bytes);
            }
        }
    }
}
