//! What is wrong with a certificate, as a stable code and as a sentence.

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CertificateInfo, subject_of};

/// The stable code of webpki's verdict.
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

/// Tells the three reasons why no trusted issuer was found apart: the leaf signed itself; the
/// server sent no intermediate although the leaf says where its issuer can be had; or the
/// issuer is simply not trusted.
pub(super) fn issuer_problem(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> &'static str {
    let Ok((_, cert)) = X509Certificate::from_der(leaf) else { return "unknown_issuer" };
    if cert.subject().as_raw() == cert.issuer().as_raw() {
        return "self_signed";
    }
    let issuer_sent = intermediates
        .iter()
        .any(|der| subject_of(der).is_some_and(|subject| subject == cert.issuer().as_raw()));
    let names_issuer = cert.extensions().iter().any(|extension| {
        matches!(extension.parsed_extension(),
            x509_parser::extensions::ParsedExtension::AuthorityInfoAccess(aia)
                if aia.accessdescs.iter().any(|d| d.access_method.to_id_string() == "1.3.6.1.5.5.7.48.2"))
    });
    if !issuer_sent && names_issuer { "chain_incomplete" } else { "unknown_issuer" }
}

pub(super) fn sentence(
    code: &str,
    seen: &str,
    name: &str,
    info: Option<&CertificateInfo>,
    why: &CertificateError,
) -> String {
    match code {
        "cert_expired" => match info.and_then(|info| date(info.not_after)) {
            Some(date) => format!("{seen} expired, or one above it: it was valid until {date}"),
            None => format!("{seen} expired, or one above it"),
        },
        "cert_not_yet_valid" => format!("{seen} is not valid yet"),
        "name_mismatch" => format!("{seen} is not valid for {name}"),
        "self_signed" => format!("{seen} is self-signed and not trusted"),
        "unknown_issuer" => format!("{seen} leads to no trusted root"),
        "chain_incomplete" => format!("{seen} came without the intermediate certificate that issued it"),
        "revoked" => format!("{seen} was revoked"),
        "wrong_purpose" => format!("{seen} is not meant for servers"),
        "bad_signature" => format!("{seen} has a signature that does not verify"),
        _ => format!("{seen} is not acceptable: {why}"),
    }
}

fn date(unix: i64) -> Option<String> {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    time::OffsetDateTime::from_unix_timestamp(unix).ok()?.format(&format).ok()
}
