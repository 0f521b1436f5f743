//! The CA's own certificates: root, intermediate, and what both together serve. Plain functions;
//! files are the folder's business.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyUsagePurpose, PublicKeyData,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::body::Body;
use super::constraint::Constraints;
use super::leaf::{self, BACKDATE, Serial, whole_seconds};
use super::pki::{self, CaCert, Key, Signer};
use super::{CaError, random};

/// Ten years: a root is installed by hand on many machines, and guarded by staying offline.
const ROOT_LIFE: Duration = Duration::days(3650);

/// A week, renewed at half: a stolen intermediate key is worth days, and a root key that is away
/// for three days is not missed.
const INTERMEDIATE_LIFE: Duration = Duration::days(7);

/// After `rotate --root` clients that know the old root alone are served through a certificate
/// of the new root signed by the old one, for as long as it takes to reach them all.
const OVERLAP: Duration = Duration::days(90);

pub(super) fn root_params(
    now: OffsetDateTime,
    constraints: &Constraints,
) -> Result<CertificateParams, CaError> {
    let tag = hex::encode_upper(random::<4>()?);
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    // A name on a certificate that people look at: letters they know, and not too many.
    let host: String = host
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        .take(32)
        .collect();
    let name =
        if host.is_empty() { format!("Portward CA {tag}") } else { format!("Portward CA {tag} ({host})") };
    let mut params = ca_params(name, BasicConstraints::Unconstrained)?;
    params.not_before = whole_seconds(now - BACKDATE);
    params.not_after = whole_seconds(now + ROOT_LIFE);
    params.name_constraints = constraints.extension();
    Ok(params)
}

/// A new intermediate under `root`, and its key.
pub(super) fn new_intermediate(
    root: &Signer,
    chain: &[CaCert],
    now: OffsetDateTime,
) -> Result<(Signer, Key), CaError> {
    let name = format!("Portward issuing CA {}", hex::encode_upper(random::<4>()?));
    let mut params = ca_params(name, BasicConstraints::Constrained(0))?;
    params.use_authority_key_identifier_extension = true;
    params.not_before = whole_seconds(chain.iter().fold(now - BACKDATE, |at, cert| at.max(cert.not_before)));
    params.not_after =
        whole_seconds(chain.iter().fold(now + INTERMEDIATE_LIFE, |at, cert| at.min(cert.not_after)));
    // Some verifiers do not look for constraints in the anchor, which RFC 5280 leaves to them.
    params.name_constraints = chain[0].constraints.extension();
    let key = Key::generate()?;
    let path = Path::new("intermediate.pem");
    let cert = CaCert::parse(root.issue(&params, &key)?, path)?;
    Ok((Signer::new(cert, key.clone(), path, path)?, key))
}

/// The new root's name and key in a certificate of the old root.
pub(super) fn cross_certificate(
    old: &Signer,
    new: &CertificateParams,
    key: &Key,
) -> Result<CertificateDer<'static>, CaError> {
    let mut params = new.clone();
    params.serial_number = Some(Serial::random()?.number());
    params.use_authority_key_identifier_extension = true;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.not_before = params.not_before.max(old.cert.not_before);
    params.not_after = (params.not_before + BACKDATE + OVERLAP).min(old.cert.not_after);
    old.issue(&params, key)
}

/// Sorts imported certificates: the key's own first, then each one's issuer.
pub(super) fn order_chain(
    mut certs: Vec<CaCert>,
    key: &Key,
    cert_path: &Path,
    key_path: &Path,
) -> Result<Vec<CaCert>, CaError> {
    let spki = key.subject_public_key_info();
    let own = certs.iter().position(|cert| cert.spki == spki);
    let Some(own) = own else {
        return Err(CaError::Mismatch { key: key_path.into(), cert: cert_path.into() });
    };
    let mut chain = vec![certs.swap_remove(own)];
    while let Some(last) = chain.last().filter(|last| !last.is_self_issued()) {
        let Some(next) = certs.iter().position(|cert| cert.subject == last.issuer) else { break };
        chain.push(certs.swap_remove(next));
    }
    if let Some(stray) = certs.first() {
        let what = format!("\"{}\" in it is not part of the chain of the key's certificate", stray.name);
        return Err(CaError::Garbage { path: cert_path.into(), what });
    }
    Ok(chain)
}

/// Path lengths (RFC 5280 section 4.2.1.9) leave room for one CA below the first of the chain.
pub(super) fn may_have_intermediate(chain: &[CaCert]) -> bool {
    has_room(chain, 1)
}

/// Each certificate of the chain allows those below it, and `more` CAs below the first. Asked of
/// the anchor too, as Chrome does and webpki does not.
fn has_room(chain: &[CaCert], more: usize) -> bool {
    chain.iter().enumerate().all(|(below, cert)| {
        cert.path_len.is_none_or(|room| usize::try_from(room).is_ok_and(|room| room >= below + more))
    })
}

pub(super) fn rotates_at(intermediate: &CaCert) -> OffsetDateTime {
    intermediate.not_before + (intermediate.not_after - intermediate.not_before) / 2
}

/// What follows a leaf on the wire. The anchor is left out: a client has it or does not.
pub(super) fn served(
    signer: &CaCert,
    chain: &[CaCert],
    cross: Option<CertificateDer<'static>>,
) -> Vec<CertificateDer<'static>> {
    let mut out = Vec::new();
    if signer.der != chain[0].der {
        out.push(signer.der.clone());
    }
    out.extend(chain.iter().filter(|cert| !cert.is_self_issued()).map(|cert| cert.der.clone()));
    out.extend(cross);
    out
}

/// Mints a leaf without a name and verifies it as a client would: signatures, dates, path
/// lengths and usages of all that we serve.
pub(super) fn check_minting(
    signer: &Signer,
    served: &[CertificateDer<'static>],
    chain: &[CaCert],
    path: &Path,
    now: OffsetDateTime,
) -> Result<(), CaError> {
    let rejected = |why| CaError::Rejected { path: path.into(), why };
    if !has_room(chain, 0) {
        return Err(rejected("a path length in the chain forbids the CA below it".to_string()));
    }
    let key = Key::generate()?;
    let trial = leaf::sign(
        signer,
        &Body {
            serial: Serial::random()?,
            not_before: whole_seconds(now.max(signer.cert.not_before)),
            not_after: whole_seconds((now + Duration::MINUTE).min(signer.cert.not_after)),
            subject: None,
            names: &[],
            key: &key,
        },
    )?;
    let anchor = chain.last().ok_or_else(|| rejected("there is no certificate".to_string()))?;
    pki::verify(&trial, served, &anchor.der, now).map_err(rejected)
}

fn ca_params(name: String, path: BasicConstraints) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(Serial::random()?.number());
    params.is_ca = IsCa::Ca(path);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}
