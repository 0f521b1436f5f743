//! The body of a leaf's certificate (TBSCertificate, RFC 5280 section 4.1), written straight into
//! one buffer. rcgen writes any certificate and takes longer for it than the signature does in
//! part; a leaf has one shape, and the issuer's name in it is the CA's own to the byte.

use std::net::IpAddr;

use rcgen::{PublicKeyData, SignatureAlgorithm};
use time::OffsetDateTime;

use super::CaError;
use super::export::sha256;
use super::leaf::{LeafName, Serial};
use super::pki::Signer;
use crate::net::Host;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OCTETS: u8 = 0x04;

/// What differs from leaf to leaf.
pub(super) struct Body<'a, K> {
    pub serial: Serial,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    /// The common name; without one the subject is empty and the names are critical.
    pub subject: Option<&'a str>,
    pub names: &'a [&'a LeafName],
    pub key: &'a K,
}

impl<K: PublicKeyData> Body<'_, K> {
    pub fn write(&self, signer: &Signer) -> Result<Vec<u8>, CaError> {
        let mut out = Vec::with_capacity(768);
        let algorithm = algorithm(signer.algorithm())?;
        nested(&mut out, SEQUENCE, |out| {
            // Version 3, of which there is one way to write it.
            out.extend_from_slice(&[0xa0, 3, 2, 1, 2]);
            integer(out, &self.serial.bytes());
            out.extend_from_slice(algorithm);
            out.extend_from_slice(&signer.cert.subject);
            nested(out, SEQUENCE, |out| {
                date(out, self.not_before);
                date(out, self.not_after);
            });
            nested(out, SEQUENCE, |out| {
                let Some(name) = self.subject else { return };
                nested(out, SET, |out| {
                    nested(out, SEQUENCE, |out| {
                        // id-at-commonName, UTF8String
                        out.extend_from_slice(&[0x06, 3, 0x55, 4, 3]);
                        element(out, 0x0c, name.as_bytes());
                    });
                });
            });
            let key = self.key.subject_public_key_info();
            out.extend_from_slice(&key);
            nested(out, 0xa3, |out| nested(out, SEQUENCE, |out| self.extensions(out, signer, &key)));
        });
        Ok(out)
    }

    fn extensions(&self, out: &mut Vec<u8>, signer: &Signer, key: &[u8]) {
        // authorityKeyIdentifier: what the issuer calls its key, [0] in a sequence.
        extension(out, 35, false, |out| {
            nested(out, SEQUENCE, |out| match &signer.cert.key_id {
                Some(id) => element(out, 0x80, id),
                None => element(out, 0x80, &key_id(&signer.cert.spki)),
            });
        });
        extension(out, 14, false, |out| element(out, OCTETS, &key_id(key)));
        // keyUsage digitalSignature alone: one bit of a bit string with seven to spare.
        extension(out, 15, true, |out| out.extend_from_slice(&[0x03, 2, 7, 0x80]));
        // extendedKeyUsage id-kp-serverAuth alone.
        extension(out, 37, false, |out| {
            out.extend_from_slice(&[SEQUENCE, 10, 0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1]);
        });
        if self.names.is_empty() {
            return;
        }
        // RFC 5280 section 4.2.1.6: critical where there is no subject.
        extension(out, 17, self.subject.is_none(), |out| {
            nested(out, SEQUENCE, |out| {
                for name in self.names {
                    match name {
                        LeafName::Host(Host::Ip(IpAddr::V4(ip))) => element(out, 0x87, &ip.octets()),
                        LeafName::Host(Host::Ip(IpAddr::V6(ip))) => element(out, 0x87, &ip.octets()),
                        LeafName::Host(Host::Name(host)) => element(out, 0x82, host.as_bytes()),
                        LeafName::Wildcard(base) => nested(out, 0x82, |out| {
                            out.extend_from_slice(b"*.");
                            out.extend_from_slice(base.as_bytes());
                        }),
                    }
                }
            });
        });
    }
}

/// RFC 7093 section 2 method 4, over the whole public key, cut to 160 bits of its SHA-256 as method 1 is.
fn key_id(spki: &[u8]) -> [u8; 20] {
    let digest = sha256(spki);
    let mut id = [0; 20];
    id.copy_from_slice(&digest[..20]);
    id
}

/// The AlgorithmIdentifier of a signature (RFC 5758 section 3.2, RFC 4055 section 5, RFC 8410).
pub(super) fn algorithm(of: &SignatureAlgorithm) -> Result<&'static [u8], CaError> {
    const ECDSA: [&[u8]; 3] = [
        &[SEQUENCE, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
        &[SEQUENCE, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3],
        &[SEQUENCE, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4],
    ];
    const RSA: [&[u8]; 3] = [
        &[SEQUENCE, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0],
        &[SEQUENCE, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12, 5, 0],
        &[SEQUENCE, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13, 5, 0],
    ];
    const ED25519: &[u8] = &[SEQUENCE, 5, 0x06, 3, 0x2b, 0x65, 0x70];
    let known: [(&SignatureAlgorithm, &'static [u8]); 9] = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, ECDSA[0]),
        (&rcgen::PKCS_ECDSA_P384_SHA384, ECDSA[1]),
        (&rcgen::PKCS_ECDSA_P521_SHA256, ECDSA[0]),
        (&rcgen::PKCS_ECDSA_P521_SHA384, ECDSA[1]),
        (&rcgen::PKCS_ECDSA_P521_SHA512, ECDSA[2]),
        (&rcgen::PKCS_RSA_SHA256, RSA[0]),
        (&rcgen::PKCS_RSA_SHA384, RSA[1]),
        (&rcgen::PKCS_RSA_SHA512, RSA[2]),
        (&rcgen::PKCS_ED25519, ED25519),
    ];
    let found = known.iter().find(|(algorithm, _)| *algorithm == of);
    found.map(|(_, der)| *der).ok_or(CaError::Crypto(rcgen::Error::UnsupportedSignatureAlgorithm))
}

/// An extension under id-ce (2.5.29).
fn extension(out: &mut Vec<u8>, number: u8, critical: bool, content: impl FnOnce(&mut Vec<u8>)) {
    nested(out, SEQUENCE, |out| {
        out.extend_from_slice(&[0x06, 3, 0x55, 0x1d, number]);
        if critical {
            out.extend_from_slice(&[0x01, 1, 0xff]);
        }
        nested(out, OCTETS, content);
    });
}

/// A positive number: shortest form, with an octet before a leading one bit.
fn integer(out: &mut Vec<u8>, bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count().min(bytes.len() - 1);
    let bytes = &bytes[zeros..];
    nested(out, 0x02, |out| {
        if bytes[0] >= 0x80 {
            out.push(0);
        }
        out.extend_from_slice(bytes);
    });
}

/// RFC 5280 section 4.1.2.5: UTCTime to 2049, GeneralizedTime after that.
fn date(out: &mut Vec<u8>, at: OffsetDateTime) {
    let at = at.to_offset(time::UtcOffset::UTC);
    let year = at.year().clamp(1950, 9999).unsigned_abs();
    let two = |out: &mut Vec<u8>, number: u32| {
        out.push(b'0' + (number / 10 % 10) as u8);
        out.push(b'0' + (number % 10) as u8);
    };
    nested(out, if year < 2050 { 0x17 } else { 0x18 }, |out| {
        if year >= 2050 {
            two(out, year / 100);
        }
        two(out, year % 100);
        for number in [u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second()] {
            two(out, u32::from(number));
        }
        out.push(b'Z');
    });
}

fn element(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    nested(out, tag, |out| out.extend_from_slice(content));
}

/// An element whose content `write` appends. Long ones are moved once to make room for the length.
fn nested(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[tag, 0]);
    let start = out.len();
    write(out);
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
        return;
    }
    let bytes = length.to_be_bytes();
    let bytes = &bytes[bytes.iter().take_while(|&&byte| byte == 0).count()..];
    out[start - 1] = 0x80 | bytes.len() as u8;
    out.splice(start..start, bytes.iter().copied());
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, IsCa, KeyPair};
    use time::macros::datetime;
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    #[test]
    fn numbers_dates_and_lengths_are_written_as_der_has_them() {
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = vec![0xaa];
            write(&mut out);
            out.split_off(1)
        };
        assert_eq!(written(&|out| integer(out, &[0, 0, 1])), [2, 1, 1]);
        assert_eq!(written(&|out| integer(out, &[0, 0x80])), [2, 2, 0, 0x80]);
        assert_eq!(written(&|out| integer(out, &[0, 0])), [2, 1, 0]);
        assert_eq!(written(&|out| integer(out, &[0xff; 16]))[..3], [2, 17, 0]);
        for (length, head) in [
            (127, vec![4, 127]),
            (128, vec![4, 0x81, 128]),
            (255, vec![4, 0x81, 255]),
            (256, vec![4, 0x82, 1, 0]),
            (70_000, vec![4, 0x83, 1, 0x11, 0x70]),
        ] {
            let whole = written(&|out| element(out, 4, &vec![7; length]));
            assert_eq!((&whole[..head.len()], whole.len()), (&head[..], head.len() + length));
        }
        let dated = |at| written(&|out| date(out, at));
        assert_eq!(dated(datetime!(2049-12-31 23:59:59 UTC)), b"\x17\x0d491231235959Z");
        assert_eq!(dated(datetime!(2050-01-01 00:00 UTC)), b"\x18\x0f20500101000000Z");
        assert_eq!(dated(datetime!(2026-11-21 09:05 +02:00)), b"\x17\x0d261121070500Z");
    }

    #[test]
    fn every_signature_algorithm_is_named_as_rcgen_names_it() {
        let keys = [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ECDSA_P521_SHA512,
            &rcgen::PKCS_ED25519,
            &rcgen::PKCS_RSA_SHA256,
            &rcgen::PKCS_RSA_SHA384,
            &rcgen::PKCS_RSA_SHA512,
        ];
        for kind in keys {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::ExplicitNoCa;
            params.distinguished_name.push(DnType::CommonName, "self");
            let key = KeyPair::generate_for(kind).unwrap();
            let cert = params.self_signed(&key).unwrap();
            let (_, parsed) = X509Certificate::from_der(cert.der()).unwrap();
            let ours = algorithm(kind).unwrap();
            let (_, ours) = x509_parser::x509::AlgorithmIdentifier::from_der(ours).unwrap();
            assert_eq!(parsed.signature_algorithm, ours, "{kind:?}");
        }
    }
}
