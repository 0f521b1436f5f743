//! A leaf read field by field: what it must say, what it may say, and that it says nothing else.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};
use x509_parser::public_key::PublicKey;

/// ecdsa-with-SHA256 and sha256WithRSAEncryption.
const SIGNATURES: [&str; 2] = ["1.2.840.10045.4.3.2", "1.2.840.113549.1.1.11"];

/// What is wrong with a served chain as one for `host`; empty when nothing is.
pub fn findings(chain: &[CertificateDer<'_>], root: &CertificateDer<'_>, host: &str) -> Vec<String> {
    let mut found = Vec::new();
    let certs: Vec<X509Certificate<'_>> = chain
        .iter()
        .map(|der| {
            let (rest, cert) = X509Certificate::from_der(der).expect("DER");
            assert!(rest.is_empty(), "stray bytes behind a certificate");
            cert
        })
        .collect();
    let (_, root_cert) = X509Certificate::from_der(root).expect("DER");
    let leaf = &certs[0];
    let mut need = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    // The chain: each certificate is signed by the next, the last by the root, which is not sent.
    for (number, pair) in certs.iter().chain([&root_cert]).collect::<Vec<_>>().windows(2).enumerate() {
        let (lower, upper) = (pair[0], pair[1]);
        need(lower.issuer().as_raw() == upper.subject().as_raw(), format!("issuer of certificate {number}"));
        need(lower.verify_signature(Some(upper.public_key())).is_ok(), format!("signature of {number}"));
        let (issuer, subject) = (authority_key(lower), subject_key(upper));
        need(
            issuer.is_some() && issuer == subject,
            format!("AKI of {number} is {issuer:?}, not {subject:?}"),
        );
        let (inner, outer) = (lower.validity(), upper.validity());
        need(inner.not_before >= outer.not_before, format!("{number} begins before its issuer"));
        need(inner.not_after <= outer.not_after, format!("{number} ends after its issuer"));
    }
    need(!chain.contains(root), "the root is sent".into());
    let size: usize = chain.iter().map(|der| der.len()).sum();
    need(size < 16 * 1024, format!("a chain of {size} octets"));

    plain_fields(leaf, &mut need);
    extensions(leaf, host, &mut need);
    found
}

fn plain_fields(leaf: &X509Certificate<'_>, need: &mut impl FnMut(bool, String)) {
    need(leaf.version().0 == 2, "not X.509 v3".into());
    let serial = leaf.raw_serial();
    // RFC 5280 section 4.1.2.2: positive, 20 octets at most. 128 random bits are 17 with the sign, and fewer than
    // 14 once in many millions.
    need(serial[0] < 0x80 && (14..=17).contains(&serial.len()), format!("serial {serial:x?}"));
    need(leaf.signature_algorithm == leaf.signature, "two signature algorithms".into());
    let algorithm = leaf.signature_algorithm.algorithm.to_id_string();
    need(SIGNATURES.contains(&algorithm.as_str()), format!("signed with {algorithm}"));
    need(leaf.issuer_uid.is_none() && leaf.subject_uid.is_none(), "a unique identifier".into());
    let (from, to) = (leaf.validity().not_before, leaf.validity().not_after);
    let lasts = to.timestamp() - from.timestamp();
    need(lasts > 0 && lasts <= 25 * 3600, format!("valid for {lasts} s"));
    // RFC 5280 section 4.1.2.5: UTCTime up to 2049.
    need(from.is_utctime() && to.is_utctime(), "dates that are no UTCTime".into());
    let names: Vec<_> = leaf.subject().iter_attributes().collect();
    need(names.len() <= 1, "more than a common name in the subject".into());
    for name in names {
        let text = name.as_str().unwrap_or_default();
        need(name.attr_type().to_id_string() == "2.5.4.3", "a subject that is no common name".into());
        need(!text.is_empty() && text.len() <= 64, format!("a common name of {} octets", text.len()));
        need(
            sans(leaf).iter().any(|san| san == text),
            format!("a common name {text} that is not in the SAN"),
        );
    }
    let key = leaf.public_key();
    match key.parsed() {
        Ok(PublicKey::EC(point)) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            let curve = curve.map(|oid| oid.to_id_string());
            need(curve.as_deref() == Some("1.2.840.10045.3.1.7"), format!("curve {curve:?}"));
            need(point.data().len() == 65 && point.data()[0] == 4, "a point in another form".into());
        }
        Ok(PublicKey::RSA(rsa)) => {
            need(rsa.key_size() == 2048, format!("RSA of {} bits", rsa.key_size()));
            need(rsa.try_exponent() == Ok(65537), "another exponent than 65537".into());
        }
        other => need(false, format!("a key that is neither P-256 nor RSA: {other:?}")),
    }
}

fn extensions(leaf: &X509Certificate<'_>, host: &str, need: &mut impl FnMut(bool, String)) {
    let no_subject = leaf.subject().iter().next().is_none();
    // Identifier, and whether it is critical: RFC 5280 section 4.2.1 for each.
    let expected = [
        ("2.5.29.14", false),
        ("2.5.29.15", true),
        ("2.5.29.17", no_subject),
        ("2.5.29.35", false),
        ("2.5.29.37", false),
    ];
    let mut seen: Vec<(String, bool)> =
        leaf.extensions().iter().map(|x| (x.oid.to_id_string(), x.critical)).collect();
    seen.sort();
    let expected: Vec<(String, bool)> = expected.iter().map(|(id, c)| ((*id).to_owned(), *c)).collect();
    need(seen == expected, format!("extensions {seen:?}"));
    let usage = leaf.key_usage().ok().flatten().map(|usage| usage.value.flags);
    need(usage == Some(1), format!("keyUsage {usage:?} is not digitalSignature alone"));
    let extended = leaf.extended_key_usage().ok().flatten().map(|usage| usage.value.clone());
    let server = extended.is_some_and(|usage| {
        let others = [usage.any, usage.client_auth, usage.code_signing, usage.email_protection];
        let more = [usage.time_stamping, usage.ocsp_signing];
        usage.server_auth && !others.contains(&true) && !more.contains(&true) && usage.other.is_empty()
    });
    need(server, "extendedKeyUsage is not serverAuth alone".into());
    need(subject_key(leaf).is_some_and(|id| id.len() >= 20), "a short subject key identifier".into());
    for extension in leaf.extensions() {
        if let ParsedExtension::AuthorityKeyIdentifier(id) = extension.parsed_extension() {
            need(
                id.authority_cert_issuer.is_none() && id.authority_cert_serial.is_none(),
                "AKI names".into(),
            );
        }
    }
    let sans = sans(leaf);
    need(
        sans.first().is_some_and(|first| first == host),
        format!("the client's name is not first: {sans:?}"),
    );
    let mut unique = sans.clone();
    unique.sort();
    unique.dedup();
    need(unique.len() == sans.len() && sans.len() <= 100, format!("{} names", sans.len()));
}

/// The names in the SAN, addresses as text.
pub fn sans(cert: &X509Certificate<'_>) -> Vec<String> {
    let san = cert.subject_alternative_name().expect("one SAN at most").expect("a SAN");
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress(octets) => match <[u8; 4]>::try_from(*octets) {
            Ok(v4) => std::net::Ipv4Addr::from(v4).to_string(),
            Err(_) => {
                std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*octets).expect("an address")).to_string()
            }
        },
        other => panic!("a leaf of ours with the name {other:?}"),
    };
    san.value.general_names.iter().map(text).collect()
}

fn subject_key(cert: &X509Certificate<'_>) -> Option<Vec<u8>> {
    cert.iter_extensions().find_map(|x| match x.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

fn authority_key(cert: &X509Certificate<'_>) -> Option<Vec<u8>> {
    cert.iter_extensions().find_map(|x| match x.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
        _ => None,
    })
}
