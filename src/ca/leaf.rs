//! A leaf: what it says (profile), and the certificate and fresh key that come of it. The profile
//! is fixed to the narrowest that every TLS client takes: keyUsage digitalSignature, EKU
//! serverAuth, one P-256 key per leaf, a day.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::CaError;
use super::pki::{CaCert, Signer};
use crate::net::Host;

/// A leaf lives a day: longer than any page, shorter than a stolen key is worth. Far below the
/// 47 days that CA/B SC-081v3 ends at.
pub(super) const LIFETIME: Duration = Duration::days(1);

/// Clients' clocks lag; an hour covers a wrong summer time.
pub(super) const BACKDATE: Duration = Duration::hours(1);

/// X.520 ub-common-name.
const COMMON_NAME: usize = 64;

/// What a leaf is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafProfile {
    /// The first one is also the subject, if it fits.
    pub names: Vec<LeafName>,
    /// The leaf ends no later than this: the notAfter of the origin's own certificate.
    pub not_after_cap: Option<OffsetDateTime>,
    /// SHA-256 of the origin's certificate that this leaf stands for, for the mint log.
    pub origin: Option<[u8; 32]>,
}

impl LeafProfile {
    /// A profile for one host, with no cap.
    pub fn new(host: &Host) -> LeafProfile {
        LeafProfile { names: vec![LeafName::Host(host.clone())], not_after_cap: None, origin: None }
    }
}

/// A name in a leaf: a host, or every name one label below a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LeafName {
    Host(Host),
    /// The domain under the `*.`.
    Wildcard(Arc<str>),
}

/// Why a text is no name for a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error(transparent)]
    Host(#[from] crate::net::authority::AuthorityError),
    #[error("a wildcard needs a domain of two labels or more below it")]
    Wildcard,
}

impl FromStr for LeafName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<LeafName, NameError> {
        let Some(base) = text.strip_prefix("*.") else {
            return Ok(LeafName::Host(Host::parse(text)?));
        };
        match Host::parse(base)? {
            Host::Name(base) if base.contains('.') => Ok(LeafName::Wildcard(base)),
            _ => Err(NameError::Wildcard),
        }
    }
}

impl fmt::Display for LeafName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // As in a certificate: no brackets around IPv6.
            LeafName::Host(Host::Ip(ip)) => ip.fmt(f),
            LeafName::Host(host) => host.fmt(f),
            LeafName::Wildcard(base) => write!(f, "*.{base}"),
        }
    }
}

impl From<Host> for LeafName {
    fn from(host: Host) -> LeafName {
        LeafName::Host(host)
    }
}

/// A certificate's number: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Serial([u8; 16]);

impl Serial {
    pub(super) fn random() -> Result<Serial, CaError> {
        loop {
            let bytes = super::random()?;
            // RFC 5280 section 4.1.2.2: a positive number.
            if bytes != [0; 16] {
                return Ok(Serial(bytes));
            }
        }
    }

    pub(super) fn number(self) -> SerialNumber {
        SerialNumber::from_slice(&self.0)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A minted certificate and its key.
#[derive(Debug)]
pub struct Leaf {
    /// As served: the leaf, then what links it to the root; the root itself is not sent.
    pub chain: Vec<CertificateDer<'static>>,
    pub key: LeafPair,
    pub serial: Serial,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
}

/// A leaf's key pair. It lives in this process alone: never written out as bytes, it is never
/// read and checked either, which would cost more than making it.
#[derive(Debug)]
pub struct LeafPair(Arc<EcdsaKeyPair>);

impl LeafPair {
    fn generate() -> Result<LeafPair, CaError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
        Ok(LeafPair(Arc::new(pair.map_err(|_| rcgen::Error::RingUnspecified)?)))
    }

    /// The key itself, for who signs with it.
    pub fn clone_key(&self) -> Arc<EcdsaKeyPair> {
        self.0.clone()
    }
}

impl PublicKeyData for LeafPair {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// Mints a leaf under `signer`; `above` are all certificates whose dates and constraints bind it.
pub(super) fn mint<'a>(
    signer: &Signer,
    above: impl Iterator<Item = &'a CaCert> + Clone,
    served: &[CertificateDer<'static>],
    profile: &LeafProfile,
    now: OffsetDateTime,
) -> Result<Leaf, CaError> {
    let first = profile.names.first().ok_or(CaError::NoName)?;
    let mut constrained = false;
    let mut not_before = now - BACKDATE;
    let mut not_after = now + LIFETIME;
    if let Some(cap) = profile.not_after_cap {
        not_after = not_after.min(cap);
    }
    for cert in above {
        not_before = not_before.max(cert.not_before);
        not_after = not_after.min(cert.not_after);
        if !cert.constraints.is_none() {
            constrained = true;
            for name in &profile.names {
                if let Some(constraint) = cert.constraints.refuse(name) {
                    return Err(CaError::NotPermitted { name: name.to_string(), constraint });
                }
            }
        }
    }
    let not_after = whole_seconds(not_after);
    let not_before = whole_seconds(not_before);
    if not_after <= now || not_before > now {
        return Err(CaError::NoTimeLeft { name: first.to_string(), not_after });
    }

    let key = LeafPair::generate()?;
    let serial = Serial::random()?;
    let mut params = profile_params(&profile.names, constrained)?;
    params.serial_number = Some(serial.number());
    params.not_before = not_before;
    params.not_after = not_after;
    let mut chain = Vec::with_capacity(1 + served.len());
    params.custom_extensions.push(key_identifier(&params, &key));
    chain.push(signer.issue(&params, &key)?);
    chain.extend_from_slice(served);
    Ok(Leaf { chain, key, serial, not_before, not_after })
}

/// Everything of a leaf but dates, serial and key.
pub(super) fn profile_params(names: &[LeafName], constrained: bool) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // A subject is for people; clients read the SAN (RFC 9525). Under name constraints there is
    // none, because some verifiers hold the subject against them too.
    if let Some(first) = names.first().map(LeafName::to_string)
        && first.len() <= COMMON_NAME
        && !constrained
    {
        params.distinguished_name.push(DnType::CommonName, first);
    }
    params.subject_alt_names = names.iter().map(san).collect::<Result<_, _>>()?;
    params.is_ca = IsCa::NoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn san(name: &LeafName) -> Result<SanType, CaError> {
    Ok(match name {
        LeafName::Host(Host::Ip(ip)) => SanType::IpAddress(*ip),
        other => SanType::DnsName(Ia5String::try_from(other.to_string())?),
    })
}

/// The subject key identifier, which rcgen writes for CAs alone (RFC 5280 section 4.2.1.2).
pub(super) fn key_identifier(params: &CertificateParams, key: &impl PublicKeyData) -> CustomExtension {
    let id = params.key_identifier(key);
    let mut content = vec![0x04, id.len() as u8];
    content.extend_from_slice(&id);
    CustomExtension::from_oid_content(&[2, 5, 29, 14], content)
}

/// Certificates have no fractions of a second.
pub(super) fn whole_seconds(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}
