//! What is wrong with a certificate, as a stable code and as a sentence.

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, ServerName};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::distrust::{Own, subject_of};
use super::{CertificateInfo, profile};

/// The stable code of rustls' own verdict.
pub fn certificate_code(why: &CertificateError) -> &'static str {
    use CertificateError as E;
    match why {
        E::Expired | E::ExpiredContext { .. } => "cert_expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "cert_not_yet_valid",
        E::NotValidForName | E::NotValidForNameContext { .. } => "name_mismatch",
        E::UnknownIssuer => "unknown_issuer",
        E::Revoked => "revoked",
        E::BadSignature => "bad_signature",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "wrong_purpose",
        _ => "bad_certificate",
    }
}

/// The stable code of webpki's verdict.
#[allow(deprecated)]
pub(super) fn webpki_code(why: &webpki::Error) -> &'static str {
    use webpki::Error as E;
    match why {
        E::CertExpired { .. } => "cert_expired",
        E::CertNotValidYet { .. } => "cert_not_yet_valid",
        E::CertNotValidForName(_) => "name_mismatch",
        E::UnknownIssuer => "unknown_issuer",
        E::CertRevoked => "revoked",
        E::CertDistrusted => "distrusted_key",
        E::InvalidSignatureForPublicKey => "bad_signature",
        E::UnsupportedSignatureAlgorithm
        | E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKey
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => "weak_key",
        E::RequiredEkuNotFound | E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => "wrong_purpose",
        _ => "bad_certificate",
    }
}

/// What the origin is told in its alert.
pub(super) fn alert(code: &str) -> CertificateError {
    match code {
        "cert_expired" => CertificateError::Expired,
        "cert_not_yet_valid" => CertificateError::NotValidYet,
        "name_mismatch" => CertificateError::NotValidForName,
        "unknown_issuer" | "self_signed" | "chain_incomplete" | "own_ca_loop" | "distrusted_key" => {
            CertificateError::UnknownIssuer
        }
        "revoked" => CertificateError::Revoked,
        "revocation_unknown" | "staple_missing" | "staple_bad" => CertificateError::UnknownRevocationStatus,
        "bad_signature" => CertificateError::BadSignature,
        "wrong_purpose" => CertificateError::InvalidPurpose,
        "bad_certificate" => CertificateError::BadEncoding,
        _ => CertificateError::ApplicationVerificationFailure,
    }
}

/// Tells the reasons why no trusted issuer was found apart: the leaf signed itself; it carries the name of
/// our own CA; the server sent no intermediate although the leaf says where its issuer can be had; or the
/// issuer is simply not trusted.
pub(super) fn issuer_problem(
    leaf: &CertificateDer<'_>,
    above: &[CertificateDer<'_>],
    own: &Own,
) -> &'static str {
    let Ok((_, cert)) = X509Certificate::from_der(leaf) else { return "unknown_issuer" };
    let ours = |der: &CertificateDer<'_>| {
        X509Certificate::from_der(der)
            .is_ok_and(|(_, cert)| own.names.iter().any(|name| name == cert.issuer().as_raw()))
    };
    if std::iter::once(leaf).chain(above).any(ours) {
        return "own_ca_loop";
    }
    if cert.subject().as_raw() == cert.issuer().as_raw() {
        return "self_signed";
    }
    let issuer_sent =
        above.iter().any(|der| subject_of(der).is_some_and(|subject| subject == cert.issuer().as_raw()));
    if !issuer_sent && profile::names_issuer(&cert) { "chain_incomplete" } else { "unknown_issuer" }
}

pub(super) fn issuer_sentence(code: &str, seen: &str) -> String {
    match code {
        "self_signed" => format!("{seen} is self-signed and not trusted"),
        "chain_incomplete" => format!("{seen} came without the intermediate certificate that issued it"),
        "own_ca_loop" => format!("{seen} carries the name of this proxy's own CA as its issuer"),
        _ => format!("{seen} leads to no trusted root"),
    }
}

pub(super) fn sentence(
    seen: &str,
    name: &ServerName<'_>,
    info: Option<&CertificateInfo>,
    why: &webpki::Error,
) -> String {
    match webpki_code(why) {
        "cert_expired" => match info.and_then(|info| date(info.not_after)) {
            Some(date) => format!("{seen} expired, or one above it: it was valid until {date}"),
            None => format!("{seen} expired, or one above it"),
        },
        "cert_not_yet_valid" => format!("{seen} is not valid yet, or one above it"),
        "name_mismatch" => format!("{seen} is not valid for {}", name.to_str()),
        "unknown_issuer" => format!("{seen} leads to no trusted root"),
        "revoked" => format!("{seen} was revoked"),
        "wrong_purpose" => format!("{seen} is not meant for servers, or one above it is not"),
        "bad_signature" => format!("{seen} has a signature that does not verify"),
        "weak_key" => format!("{seen} is signed with a key or an algorithm that is not safe: {why}"),
        _ => format!("{seen} is not acceptable: {why}"),
    }
}

fn date(unix: i64) -> Option<String> {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    time::OffsetDateTime::from_unix_timestamp(unix).ok()?.format(&format).ok()
}
