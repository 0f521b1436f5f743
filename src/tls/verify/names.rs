//! What a certificate says of itself, as plain data for records, pages and the leaf that stands in for it.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use super::{CertificateInfo, KeyKind};

/// Names of one certificate that are told. A thousand fill a leaf of 25 KB already.
const NAMES: usize = 1000;

/// A certificate in words; none when it cannot be read.
pub fn describe(der: &CertificateDer<'_>) -> Option<CertificateInfo> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let names = names(&cert);
    let mut subject = shown(cert.subject());
    if subject.is_empty() {
        subject = names.first().cloned().unwrap_or_default();
    }
    Some(CertificateInfo {
        subject,
        issuer: shown(cert.issuer()),
        common_name: common_name(cert.subject()),
        names,
        key: key_kind(&cert),
        not_before: cert.validity().not_before.timestamp(),
        not_after: cert.validity().not_after.timestamp(),
        fingerprint: crate::tls::flight::fingerprint(der),
    })
}

/// The names that a client may match (RFC 9525 section 6: dNSName and iPAddress, nothing else).
fn names(cert: &X509Certificate<'_>) -> Arc<[String]> {
    let Ok(Some(san)) = cert.subject_alternative_name() else { return Arc::default() };
    let name = |general: &GeneralName<'_>| match general {
        // An address in a dNSName proves nothing, and must not be taken for one that does.
        GeneralName::DNSName(name) if name.parse::<IpAddr>().is_err() => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(octets) => {
            let ip = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            ip.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)).ok().map(|ip| ip.to_string())
        }
        _ => None,
    };
    san.value.general_names.iter().filter_map(name).take(NAMES).collect()
}

pub(super) fn key_kind(cert: &X509Certificate<'_>) -> KeyKind {
    let spki = cert.public_key();
    match spki.parsed() {
        Ok(PublicKey::RSA(key)) => KeyKind::Rsa(key.key_size()),
        Ok(PublicKey::EC(point)) => KeyKind::Ec(match point.key_size() {
            // P-521 fills 66 octets.
            528 => 521,
            size => size,
        }),
        _ if spki.algorithm.algorithm.to_id_string() == "1.3.101.112" => KeyKind::Ed25519,
        _ => KeyKind::Other,
    }
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    name.iter_common_name().next().and_then(|cn| cn.as_str().ok()).map(str::to_owned)
}

/// The common name where there is one, for it is what people know a certificate by.
pub(in crate::tls) fn shown(name: &X509Name<'_>) -> String {
    common_name(name).unwrap_or_else(|| name.to_string())
}
