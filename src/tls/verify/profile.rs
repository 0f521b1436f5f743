//! The form of certificates: what RFC 5280 and the CA/B Forum's baseline requirements ask, and webpki, which
//! has other things to do, lets pass.

use std::collections::HashSet;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use super::names::key_kind;
use super::{KeyKind, ServerAuth, Settings};

/// What is wrong, to be read behind the name of the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub code: &'static str,
    pub what: String,
}

fn fault<T>(code: &'static str, what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { code, what: what.into() })
}

/// TLS feature (RFC 7633), and `status_request` in it: the server has promised to staple.
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";
const STATUS_REQUEST: u32 = 5;

/// Reads one certificate, whole: what stands behind its end was not signed by anyone.
pub(super) fn read<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Fault> {
    match X509Certificate::from_der(der) {
        Ok(([], cert)) => Ok(cert),
        Ok(_) => fault("bad_certificate", "has bytes behind its end"),
        Err(_) => fault("bad_certificate", "cannot be read"),
    }
}

/// What is asked of the server's own certificate, whoever signed it.
pub(super) fn leaf(cert: &X509Certificate<'_>) -> Result<(), Fault> {
    form(cert)?;
    if let Ok(Some(san)) = cert.subject_alternative_name() {
        // A NUL ends the name for some readers and not for others (CVE-2009-2408 and its heirs).
        let odd = |general: &GeneralName<'_>| matches!(general, GeneralName::DNSName(name) if !name.bytes().all(|b| b.is_ascii_graphic()));
        if san.value.general_names.iter().any(odd) {
            return fault("bad_certificate", "lists a name with a NUL or another control character in it");
        }
    }
    // RFC 5280 section 4.2.1.3: a key that signs handshakes needs digitalSignature, and TLS 1.3 and ECDHE
    // know no other use of a certificate's key (RFC 8446 section 4.4.2.2).
    match cert.key_usage() {
        Ok(Some(usage)) if !usage.value.digital_signature() => fault(
            "wrong_purpose",
            "has a key that may not sign handshakes (its key usage is without digitalSignature)",
        ),
        Err(_) => fault("bad_certificate", "has a key usage that cannot be read"),
        _ => Ok(()),
    }
}

/// What is asked of an intermediate.
pub(super) fn issuer(cert: &X509Certificate<'_>) -> Result<(), Fault> {
    form(cert)?;
    match cert.key_usage() {
        // RFC 5280 section 6.1.4 (n).
        Ok(Some(usage)) if !usage.value.key_cert_sign() => {
            fault("wrong_purpose", "may not sign certificates (its key usage is without keyCertSign)")
        }
        Err(_) => fault("bad_certificate", "has a key usage that cannot be read"),
        _ => Ok(()),
    }
}

fn form(cert: &X509Certificate<'_>) -> Result<(), Fault> {
    // RFC 5280 section 4.1.2.1: extensions need version 3, and without them there is neither a name nor a
    // basic constraint.
    if cert.version() != X509Version::V3 {
        return fault("bad_certificate", "is not of version 3");
    }
    // RFC 5280 section 4.1.2.2: positive, not zero, at most 20 octets.
    let serial = cert.raw_serial();
    if serial.first().is_none_or(|first| *first >= 0x80) || serial.iter().all(|octet| *octet == 0) {
        return fault("bad_certificate", "has a serial number that is not positive");
    }
    if serial.len() > 20 {
        return fault("bad_certificate", "has a serial number of more than 20 octets");
    }
    // RFC 5280 section 4.2: no extension twice.
    let mut seen = HashSet::new();
    if !cert.extensions().iter().all(|extension| seen.insert(extension.oid.as_bytes())) {
        return fault("bad_certificate", "has an extension twice");
    }
    key(cert)
}

/// NIST SP 800-131A, baseline requirements 6.1.5: 112 bits of strength at least, for private authorities too.
pub(super) fn key(cert: &X509Certificate<'_>) -> Result<(), Fault> {
    match key_kind(cert) {
        KeyKind::Rsa(bits) if bits < 2048 => fault("weak_key", format!("has an RSA key of {bits} bits")),
        KeyKind::Ec(bits) if bits < 256 => fault("weak_key", format!("has an elliptic key of {bits} bits")),
        KeyKind::Other => fault("weak_key", "has a key of a kind that is not safe or not known here"),
        _ => Ok(()),
    }
}

/// Whether it says that it is for servers. That it says something else webpki has refused already.
pub(super) fn purpose(cert: &X509Certificate<'_>, public: bool, settings: &Settings) -> Result<(), Fault> {
    match cert.extended_key_usage() {
        Ok(Some(usage)) if usage.value.server_auth => Ok(()),
        Ok(None) if !public && settings.server_auth == ServerAuth::Public => Ok(()),
        // Baseline requirements 7.1.2.7.10: serverAuth must be there.
        Ok(None) => fault("wrong_purpose", "does not say what it is for (it has no extended key usage)"),
        Ok(Some(_)) => fault("wrong_purpose", "is not meant for servers"),
        Err(_) => fault("bad_certificate", "has an extended key usage that cannot be read"),
    }
}

/// CA/B Forum ballot SC-081v3, and the limits before it, by the day of issue.
const LONGEST: [(i64, i64); 5] = [
    (1_868_227_200, 47),  // 2029-03-15
    (1_805_068_800, 100), // 2027-03-15
    (1_773_532_800, 200), // 2026-03-15
    (1_598_918_400, 398), // 2020-09-01
    (0, 825),
];

/// Valid for longer than a public authority may allow. Both ends count (RFC 5280 section 4.1.2.5).
pub(super) fn over_long(cert: &X509Certificate<'_>) -> bool {
    let (from, to) = (cert.validity().not_before.timestamp(), cert.validity().not_after.timestamp());
    let days = LONGEST.iter().find(|(since, _)| from >= *since).map_or(825, |(_, days)| *days);
    to.saturating_sub(from).saturating_add(1) > days * 86_400
}

/// The certificate asks that a proof of its status comes with it (RFC 7633).
pub(in crate::tls) fn must_staple(cert: &X509Certificate<'_>) -> bool {
    let feature = cert.extensions().iter().find(|extension| extension.oid.to_id_string() == TLS_FEATURE);
    feature.is_some_and(|extension| match Vec::<u32>::from_der(extension.value) {
        Ok((_, features)) => features.contains(&STATUS_REQUEST),
        // Unreadable: the stricter reading.
        Err(_) => true,
    })
}

/// The certificate tells where its issuer's certificate can be had.
pub(super) fn names_issuer(cert: &X509Certificate<'_>) -> bool {
    cert.extensions().iter().any(|extension| {
        matches!(extension.parsed_extension(), ParsedExtension::AuthorityInfoAccess(aia)
            if aia.accessdescs.iter().any(|d| d.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2"))
    })
}
