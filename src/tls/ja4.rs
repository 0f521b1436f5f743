//! JA4: a short text for how a client speaks TLS, the same for every connection of one program and its TLS library.
//! Made of what the ClientHello offers and not of whom it is for; written after FoxIO's published description of JA4.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

/// What a ClientHello offers, in its order.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The version of the message itself, which counts where `versions` is empty.
    pub version: u16,
    pub versions: Vec<u16>,
    pub ciphers: Vec<u16>,
    pub extensions: Vec<u16>,
    /// The first protocol offered.
    pub alpn: Option<Vec<u8>>,
    pub signatures: Vec<u16>,
}

/// RFC 8701: values sent so that servers learn to ignore what they do not know.
pub(super) fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

impl Parts {
    pub fn ja4(&self) -> String {
        let meant =
            |list: &[u16]| list.iter().copied().filter(|value| !is_grease(*value)).collect::<Vec<u16>>();
        let (mut ciphers, mut extensions) = (meant(&self.ciphers), meant(&self.extensions));
        let head = format!(
            "t{}{}{:02}{:02}{}",
            version(meant(&self.versions).into_iter().max().unwrap_or(self.version)),
            if extensions.contains(&0) { 'd' } else { 'i' },
            ciphers.len().min(99),
            extensions.len().min(99),
            alpn(self.alpn.as_deref().unwrap_or_default()),
        );
        ciphers.sort_unstable();
        // Name and ALPN are in the head: the same program has the same tail for a name and an address.
        extensions.retain(|kind| !matches!(kind, 0 | 16));
        extensions.sort_unstable();
        let mut tail = listed(&extensions);
        let signatures = meant(&self.signatures);
        if !signatures.is_empty() && !tail.is_empty() {
            tail = format!("{tail}_{}", listed(&signatures));
        }
        format!("{head}_{}_{}", hashed(&listed(&ciphers)), hashed(&tail))
    }
}

fn version(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character, or digit of the hexadecimal spelling where one of the two is no letter or digit.
fn alpn(protocol: &[u8]) -> String {
    let (Some(first), Some(last)) = (protocol.first(), protocol.last()) else { return "00".to_owned() };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)].iter().collect();
    }
    format!("{:x}{:x}", first >> 4, last & 15)
}

fn listed(values: &[u16]) -> String {
    let mut out = String::with_capacity(values.len() * 5);
    for value in values {
        if !out.is_empty() {
            out.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "{value:04x}");
    }
    out
}

fn hashed(list: &str) -> String {
    if list.is_empty() {
        return "000000000000".to_owned();
    }
    hex::encode(&digest(&SHA256, list.as_bytes()).as_ref()[..6])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::hello::tests::{client_hello, extension, names};
    use crate::tls::hello::{HelloReader, Look};

    /// The suites and extensions of the example in the description of JA4, in the order sent.
    const CIPHERS: [u16; 15] = [
        0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
        0x009d, 0x002f, 0x0035,
    ];
    const EXTENSIONS: [u16; 16] = [
        0x001b, 0, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01,
        0x000b, 0x000a, 0x0015,
    ];
    const SIGNATURES: [u16; 8] = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];

    fn pairs(values: &[u16]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    fn hello(ciphers: &[u16], extensions: &[u16], signatures: &[u16], alpn: &[u8]) -> Vec<u8> {
        let counted = |data: Vec<u8>| [&(data.len() as u16).to_be_bytes()[..], &data].concat();
        let extensions: Vec<Vec<u8>> = extensions
            .iter()
            .map(|kind| match kind {
                0 => names(&[b"shop.test"]),
                13 => extension(13, &counted(pairs(signatures))),
                16 => extension(16, &counted([&[alpn.len() as u8][..], alpn].concat())),
                43 => extension(43, &[&[6][..], &pairs(&[0x2a2a, 0x0304, 0x0303])].concat()),
                other => extension(*other, b""),
            })
            .collect();
        client_hello(0x0303, ciphers, &extensions)
    }

    fn ja4(wire: &[u8]) -> String {
        match HelloReader::default().look(wire) {
            Look::Hello(hello) => hello.ja4.unwrap().to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn published_examples_have_their_published_values() {
        let example = hello(&CIPHERS, &EXTENSIONS, &SIGNATURES, b"h2");
        assert_eq!(ja4(&example), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        // The same with values that mean nothing, and in another order: browsers shuffle.
        let mut ciphers = vec![0x5a5a];
        ciphers.extend(CIPHERS.iter().rev());
        let mut extensions = vec![0x1a1a];
        extensions.extend(EXTENSIONS.iter().rev());
        extensions.push(0xbaba);
        let shuffled = hello(&ciphers, &extensions, &SIGNATURES, b"h2");
        assert_eq!(ja4(&shuffled), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        // No signature algorithms.
        let unsigned = hello(&CIPHERS, &EXTENSIONS, &[], b"h2");
        assert_eq!(ja4(&unsigned), "t13d1516h2_8daaf6152771_6d807ffa2a79");
        // Nothing but suites; nothing at all.
        assert_eq!(ja4(&hello(&CIPHERS, &[], &[], b"")), "t12i150000_8daaf6152771_000000000000");
        assert_eq!(ja4(&hello(&[], &[0x2a2a], &[], b"")), "t12i000000_000000000000_000000000000");
    }

    #[test]
    fn an_address_changes_the_head_alone() {
        let extensions: Vec<u16> = EXTENSIONS.into_iter().filter(|kind| *kind != 0).collect();
        let address = hello(&CIPHERS, &extensions, &SIGNATURES, b"http/1.1");
        assert_eq!(ja4(&address), "t13i1515h1_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn protocols_are_told_by_their_ends() {
        let table: [(&[u8], &str); 8] = [
            (b"h2", "h2"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"", "00"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"\x30\xab", "3b"),
            (b"\x30\x31\xab\xcd", "3d"),
        ];
        for (protocol, ends) in table {
            assert_eq!(alpn(protocol), ends, "{protocol:?}");
        }
        // Both ends are digits, whatever is between.
        assert_eq!(alpn(b"\x30\xab\xcd\x31"), "01");
    }
}
