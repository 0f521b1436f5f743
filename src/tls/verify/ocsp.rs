//! The OCSP response that a server staples (RFC 6960, RFC 6066 section 8): read, and believed when the
//! certificate's issuer signed it, or somebody whom the issuer let do so, for this certificate and for now.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512, digest};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{BasicOcspResponse, CertId, CertStatus, OcspResponse, OcspResponseStatus, SingleResponse};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::revocation::Asked;

/// What a stapled response is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Staple {
    Good,
    Revoked,
    /// The responder does not know the certificate, or there is no response.
    Unknown,
    /// It is too old, or the responder was not able to answer: as good as none.
    Useless(&'static str),
    /// It cannot be read, is for something else, or nobody who may has signed it.
    False(&'static str),
}

/// Certificates of responders that are looked at.
const RESPONDERS: usize = 4;

/// Clocks differ by as much.
const SKEW: i64 = 300;

/// A response without an end (RFC 6960 section 4.2.2.1: newer ones are there at any time) is believed for a day.
const OPEN_ENDED: i64 = 86_400;

const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
const BASIC: &str = "1.3.6.1.5.5.7.48.1.1";
/// Hashes by which a response names the certificate that it is about (RFC 5754 section 2).
const HASHES: [(&str, &Algorithm); 4] = [
    ("1.3.14.3.2.26", &SHA1_FOR_LEGACY_USE_ONLY),
    ("2.16.840.1.101.3.4.2.1", &SHA256),
    ("2.16.840.1.101.3.4.2.2", &SHA384),
    ("2.16.840.1.101.3.4.2.3", &SHA512),
];

pub(super) fn read(staple: &[u8], asked: &Asked<'_>) -> Staple {
    let Ok(response) = OcspResponse::from_der(staple) else { return Staple::False("cannot be read") };
    if response.response_status != OcspResponseStatus::Successful {
        return Staple::Useless("says that the responder had no answer");
    }
    let basic = response
        .response_bytes
        .filter(|bytes| bytes.response_type.to_string() == BASIC)
        .and_then(|bytes| BasicOcspResponse::from_der(bytes.response.as_bytes()).ok());
    let Some(basic) = basic else { return Staple::False("cannot be read") };
    let Some(issuer) = Issuer::of(asked) else { return Staple::False("cannot be matched to its issuer") };
    let serial = asked.leaf.raw_serial();
    let responses = &basic.tbs_response_data.responses;
    let Some(single) = responses.iter().find(|single| issuer.issued(&single.cert_id, serial)) else {
        // Whom it is about cannot be told then, and it may be about this one.
        return match responses.iter().any(|single| hash(&single.cert_id).is_none()) {
            true => Staple::Useless("names its certificate by a hash that is not known here"),
            false => Staple::False("is for another certificate"),
        };
    };
    let now = i64::try_from(asked.now.as_secs()).unwrap_or(i64::MAX);
    if !signed(&basic, &issuer, now) {
        return Staple::False("is not signed by the issuer or for it");
    }
    judged(single, now)
}

fn judged(single: &SingleResponse, now: i64) -> Staple {
    let seconds = |time: &x509_ocsp::OcspGeneralizedTime| {
        i64::try_from(time.0.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
    };
    let from = seconds(&single.this_update);
    let until = single.next_update.as_ref().map_or(from.saturating_add(OPEN_ENDED), seconds);
    // A withdrawal stays one, however old the news.
    if matches!(single.cert_status, CertStatus::Revoked(_)) {
        return Staple::Revoked;
    }
    if from > now + SKEW || until < from {
        return Staple::False("is dated in the future");
    }
    if now > until + SKEW {
        return Staple::Useless("is too old");
    }
    match single.cert_status {
        CertStatus::Good(_) => Staple::Good,
        _ => Staple::Unknown,
    }
}

/// Who issued the certificate in question.
struct Issuer {
    /// DER, with tag and length.
    name: Vec<u8>,
    spki: Vec<u8>,
    /// The key itself, as `issuerKeyHash` is made of it.
    key: Vec<u8>,
}

impl Issuer {
    fn of(asked: &Asked<'_>) -> Option<Issuer> {
        let name = asked.leaf.issuer().as_raw().to_vec();
        let spki = match asked.path.above.first() {
            Some(der) => X509Certificate::from_der(der).ok()?.1.public_key().raw.to_vec(),
            None => super::roots::wrapped(&asked.path.anchor.subject_public_key_info),
        };
        let (_, parsed) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&spki).ok()?;
        let key = parsed.subject_public_key.data.to_vec();
        Some(Issuer { name, spki, key })
    }

    /// Whether the response is about a certificate of this issuer with this number.
    fn issued(&self, id: &CertId, serial: &[u8]) -> bool {
        let Some(algorithm) = hash(id) else { return false };
        id.serial_number.as_bytes() == serial
            && id.issuer_name_hash.as_bytes() == digest(algorithm, &self.name).as_ref()
            && id.issuer_key_hash.as_bytes() == digest(algorithm, &self.key).as_ref()
    }
}

fn hash(id: &CertId) -> Option<&'static Algorithm> {
    let oid = id.hash_algorithm.oid.to_string();
    HASHES.iter().find(|(known, _)| *known == oid).map(|(_, algorithm)| *algorithm)
}

/// RFC 6960 section 4.2.2.2: by the issuer itself, or by a responder with a certificate that the issuer gave
/// it for this.
fn signed(basic: &BasicOcspResponse, issuer: &Issuer, now: i64) -> bool {
    let Ok(data) = basic.tbs_response_data.to_der() else { return false };
    let Some(signature) = basic.signature.as_bytes() else { return false };
    if verifies(&issuer.spki, &basic.signature_algorithm, &data, signature) {
        return true;
    }
    let responders = basic.certs.iter().flatten().take(RESPONDERS);
    responders.into_iter().any(|responder| {
        delegated(responder, issuer, now)
            && responder
                .tbs_certificate
                .subject_public_key_info
                .to_der()
                .is_ok_and(|spki| verifies(&spki, &basic.signature_algorithm, &data, signature))
    })
}

fn delegated(responder: &Certificate, issuer: &Issuer, now: i64) -> bool {
    let tbs = &responder.tbs_certificate;
    let validity = &tbs.validity;
    let seconds =
        |time: &x509_cert::time::Time| i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    let may_sign = tbs.get::<ExtendedKeyUsage>().is_ok_and(|usage| {
        usage.is_some_and(|(_, usage)| usage.0.iter().any(|oid| oid.to_string() == OCSP_SIGNING))
    });
    may_sign
        && (seconds(&validity.not_before) - SKEW..=seconds(&validity.not_after)).contains(&now)
        && tbs.issuer.to_der().is_ok_and(|name| name == issuer.name)
        && match (tbs.to_der(), responder.signature.as_bytes()) {
            (Ok(data), Some(signature)) => {
                verifies(&issuer.spki, &responder.signature_algorithm, &data, signature)
            }
            _ => false,
        }
}

/// A signature with a key, by one of the algorithms that certificates may be signed with.
fn verifies(spki: &[u8], algorithm: &AlgorithmIdentifierOwned, data: &[u8], signature: &[u8]) -> bool {
    let spki = SubjectPublicKeyInfoDer::from(spki);
    let Ok(key) = webpki::RawPublicKeyEntity::try_from(&spki) else { return false };
    let Ok(named) = algorithm.to_der() else { return false };
    let provider = crate::tls::provider();
    provider.signature_verification_algorithms.all.iter().any(|known| {
        // Both sides name it without the tag and the length of the SEQUENCE, which is a short one.
        named.get(2..) == Some(known.signature_alg_id().as_ref())
            && key.verify_signature(*known, data, signature).is_ok()
    })
}
