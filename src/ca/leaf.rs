//! A leaf: what it says (profile), and the certificate and fresh key that come of it. The profile
//! is fixed to the narrowest that every TLS client takes: keyUsage digitalSignature, EKU
//! serverAuth, one P-256 key per leaf, a day. What it says of the origin is taken from the
//! origin's own certificate, as far as that is sane.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RsaKeyPair};
use rcgen::{PublicKeyData, SerialNumber, SignatureAlgorithm};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::CaError;
use super::body::Body;
use super::pki::{CaCert, Signer};
use crate::net::Host;

/// A leaf lives a day unless the configuration says otherwise: longer than any page, shorter than
/// a stolen key is worth.
pub const LIFETIME: Duration = Duration::days(1);

/// No leaf is valid for longer, first to last second: what CA/B SC-081v3 ends at.
pub const MAX_LIFETIME: Duration = Duration::days(47);

/// Clients' clocks lag; an hour covers a wrong summer time.
pub(super) const BACKDATE: Duration = Duration::hours(1);

/// X.520 ub-common-name.
const COMMON_NAME: usize = 64;

/// Names in one leaf. Handshakes carry them to every client: the origins of large content
/// networks have some 100, and 8 KiB is what a first flight of TCP may hold.
const NAMES: usize = 100;
const NAME_BYTES: usize = 8 * 1024;

/// What a leaf is to say.
#[derive(Clone, Debug)]
pub struct LeafProfile {
    /// The first one is what the client asked for. It is in the leaf or there is no leaf; the
    /// others are left out where the CA may not issue for them.
    pub names: Vec<LeafName>,
    /// The subject, if it is one of the names; else the first name is, if it fits.
    pub common_name: Option<LeafName>,
    /// From now; the certificates above and the origin's may shorten it.
    pub lifetime: Duration,
    /// The origin's own certificate begins and ends then, and the leaf inside of it.
    pub not_before_floor: Option<OffsetDateTime>,
    pub not_after_cap: Option<OffsetDateTime>,
    /// SHA-256 of the origin's certificate that this leaf stands for, for the mint log.
    pub origin: Option<[u8; 32]>,
    /// The key to use; without one a fresh P-256 key is made.
    pub key: Option<LeafPair>,
}

impl LeafProfile {
    /// A profile for one host, that stands for no origin.
    pub fn new(host: &Host) -> LeafProfile {
        LeafProfile {
            names: vec![LeafName::Host(host.clone())],
            common_name: None,
            lifetime: LIFETIME,
            not_before_floor: None,
            not_after_cap: None,
            origin: None,
            key: None,
        }
    }

    /// Takes over the names of an origin's certificate: DNS names, `*.` included, and addresses as
    /// text. What no TLS client would match (a wildcard of one label, a stray character) is left
    /// out, and so is what goes beyond 100 names or 8 KiB.
    ///
    /// A leaf that proves B as well as A lets a client send requests for B on A's connection (RFC
    /// 9113 section 9.1.1), past the decisions that were made for A alone. Each such request is
    /// answered 421, upon which clients try B on a connection of its own (RFC 9110 section
    /// 15.5.20). That is one round trip now and then, for a leaf that says what the origin's says.
    pub fn copy_names<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, common_name: Option<&str>) {
        let mut bytes: usize = self.names.iter().map(LeafName::size).sum();
        for name in names.into_iter().filter_map(|name| name.parse::<LeafName>().ok()) {
            if self.names.len() >= NAMES || bytes + name.size() > NAME_BYTES {
                break;
            }
            if !self.names.contains(&name) {
                bytes += name.size();
                self.names.push(name);
            }
        }
        // A text of the origin's choosing that is no name of it would be signed by us as if we
        // knew (CA/B BR 7.1.4.3 asks the same of public CAs).
        let common_name = common_name.and_then(|name| name.parse().ok());
        self.common_name = common_name.filter(|name| self.names.contains(name));
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

    /// As in a certificate or in an authority: IPv6 with and without brackets.
    fn from_str(text: &str) -> Result<LeafName, NameError> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(LeafName::Host(Host::Ip(ip)));
        }
        let Some(base) = text.strip_prefix("*.") else {
            return Ok(LeafName::Host(Host::parse(text)?));
        };
        match Host::parse(base)? {
            Host::Name(base) if base.contains('.') => Ok(LeafName::Wildcard(base)),
            _ => Err(NameError::Wildcard),
        }
    }
}

impl LeafName {
    /// Octets in a SAN.
    fn size(&self) -> usize {
        match self {
            LeafName::Host(Host::Ip(IpAddr::V4(_))) => 4,
            LeafName::Host(Host::Ip(IpAddr::V6(_))) => 16,
            LeafName::Host(Host::Name(name)) => name.len(),
            LeafName::Wildcard(base) => base.len() + 2,
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

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0
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
    /// As it has them, the client's first.
    pub names: Vec<LeafName>,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
}

/// A leaf's key pair. It lives in this process alone: never written out as bytes, it is never
/// read and checked either, which would cost more than making it.
#[derive(Clone, Debug)]
pub enum LeafPair {
    Ecdsa(Arc<EcdsaKeyPair>),
    Rsa(Arc<RsaKeyPair>),
}

impl LeafPair {
    /// A fresh P-256 key: some ten microseconds.
    pub fn ecdsa() -> Result<LeafPair, CaError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
        Ok(LeafPair::Ecdsa(Arc::new(pair.map_err(|_| rcgen::Error::RingUnspecified)?)))
    }

    /// A fresh RSA key of 2048 bits: a tenth of a second, thousands of times a P-256 key.
    pub fn rsa() -> Result<LeafPair, CaError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048);
        Ok(LeafPair::Rsa(Arc::new(pair.map_err(|_| rcgen::Error::RingUnspecified)?)))
    }
}

/// What stands before the point in the SubjectPublicKeyInfo of every P-256 key (RFC 5480 section 2): id-ecPublicKey,
/// secp256r1, and a bit string of 65 whole octets.
const P256_SPKI: [u8; 26] = [
    0x30, 89, 0x30, 19, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    3, 1, 7, 0x03, 66, 0,
];

impl PublicKeyData for LeafPair {
    fn subject_public_key_info(&self) -> Vec<u8> {
        match self {
            LeafPair::Ecdsa(pair) => [P256_SPKI.as_slice(), pair.public_key().as_ref()].concat(),
            // rcgen writes any; for the one key of a day that is soon enough.
            LeafPair::Rsa(pair) => RsaPublic(pair.public_key().as_ref()).subject_public_key_info(),
        }
    }

    fn der_bytes(&self) -> &[u8] {
        match self {
            LeafPair::Ecdsa(pair) => pair.public_key().as_ref(),
            LeafPair::Rsa(pair) => pair.public_key().as_ref(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            LeafPair::Ecdsa(_) => &rcgen::PKCS_ECDSA_P256_SHA256,
            // In a public key this stands for rsaEncryption.
            LeafPair::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

struct RsaPublic<'a>(&'a [u8]);

impl PublicKeyData for RsaPublic<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
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
    let (first, others) = profile.names.split_first().ok_or(CaError::NoName)?;
    let mut constrained = false;
    let mut names = vec![first];
    names.extend(others);
    let mut not_before = now - BACKDATE;
    if let Some(floor) = profile.not_before_floor {
        not_before = not_before.max(floor);
    }
    let mut not_after = now + profile.lifetime;
    if let Some(cap) = profile.not_after_cap {
        not_after = not_after.min(cap);
    }
    for cert in above {
        not_before = not_before.max(cert.not_before);
        not_after = not_after.min(cert.not_after);
        if !cert.constraints.is_none() {
            constrained = true;
            if let Some(constraint) = cert.constraints.refuse(first) {
                return Err(CaError::NotPermitted { name: first.to_string(), constraint });
            }
            // One name that a CA may not issue for spoils the whole leaf (RFC 5280 section 4.2.1.10).
            names.retain(|name| cert.constraints.refuse(name).is_none());
        }
    }
    // RFC 5280 section 4.1.2.5: validity includes both ends.
    not_after = not_after.min(not_before + MAX_LIFETIME - Duration::SECOND);
    let not_after = whole_seconds(not_after);
    let not_before = whole_seconds(not_before);
    if not_after <= now || not_before > now {
        return Err(CaError::NoTimeLeft { name: first.to_string(), not_after });
    }

    let key = match &profile.key {
        Some(key) => key.clone(),
        None => LeafPair::ecdsa()?,
    };
    let serial = Serial::random()?;
    // A subject is for people; clients read the SAN (RFC 9525). Under name constraints there is
    // none, because some verifiers hold the subject against them too.
    let subject = profile.common_name.as_ref().filter(|name| names.contains(name)).unwrap_or(first);
    let subject = (!constrained).then(|| subject.to_string()).filter(|name| name.len() <= COMMON_NAME);
    let subject = subject.as_deref();
    let body = Body { serial, not_before, not_after, subject, names: &names, key: &key };
    let mut chain = Vec::with_capacity(1 + served.len());
    chain.push(sign(signer, &body)?);
    chain.extend_from_slice(served);
    let names = names.into_iter().cloned().collect();
    Ok(Leaf { chain, key, serial, names, not_before, not_after })
}

/// A certificate with that body.
pub(super) fn sign<K: PublicKeyData>(
    signer: &Signer,
    body: &Body<'_, K>,
) -> Result<CertificateDer<'static>, CaError> {
    signer.certify(&body.write(signer)?, super::body::algorithm(signer.algorithm())?)
}

/// Certificates have no fractions of a second.
pub(super) fn whole_seconds(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(names: &[&str], common_name: Option<&str>) -> LeafProfile {
        let mut profile = LeafProfile::new(&Host::parse("www.a.test").unwrap());
        profile.copy_names(names.iter().copied(), common_name);
        profile
    }

    fn texts(profile: &LeafProfile) -> Vec<String> {
        profile.names.iter().map(LeafName::to_string).collect()
    }

    #[test]
    fn names_are_taken_over_as_far_as_a_client_would_match_them() {
        let names = [
            "*.a.test",
            "WWW.a.test",
            "a.test",
            "192.0.2.7",
            "2001:db8::1",
            "::ffff:192.0.2.1",
            // What is none, or covers too much.
            "*",
            "*.test",
            "w*.a.test",
            "a b",
            "a\0.test",
            "",
            ".a.test",
            "m\u{fc}nchen.test",
        ];
        let profile = copied(&names, Some("*.a.test"));
        let expected = ["www.a.test", "*.a.test", "a.test", "192.0.2.7", "2001:db8::1", "::ffff:192.0.2.1"];
        assert_eq!(texts(&profile), expected);
        assert_eq!(profile.common_name, Some("*.a.test".parse().unwrap()));
    }

    #[test]
    fn public_keys_are_written_as_rcgen_writes_them() {
        struct Plain(LeafPair);
        impl PublicKeyData for Plain {
            fn der_bytes(&self) -> &[u8] {
                self.0.der_bytes()
            }
            fn algorithm(&self) -> &'static SignatureAlgorithm {
                self.0.algorithm()
            }
        }
        for pair in [LeafPair::ecdsa().unwrap(), LeafPair::rsa().unwrap()] {
            let ours = pair.subject_public_key_info();
            assert_eq!(ours, Plain(pair).subject_public_key_info());
        }
    }

    #[test]
    fn a_subject_that_is_no_name_of_the_origin_is_not_signed() {
        for stranger in ["Example Bank", "other.test", "*", "", "a.test\0"] {
            assert_eq!(copied(&["a.test"], Some(stranger)).common_name, None, "{stranger}");
        }
        assert_eq!(copied(&["a.test"], None).common_name, None);
    }

    #[test]
    fn a_certificate_of_thousands_of_names_makes_a_leaf_of_a_hundred() {
        let many: Vec<String> = (0..5000).map(|n| format!("h{n}.a.test")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let profile = copied(&many, None);
        assert_eq!((profile.names.len(), texts(&profile)[0].as_str()), (100, "www.a.test"));
        let long: Vec<String> =
            (0..99).map(|n| format!("h{n:02}.{}.test", "b".repeat(63).repeat(3))).collect();
        assert!(copied(&long.iter().map(String::as_str).collect::<Vec<_>>(), None).names.len() == 1);
        let label = "b".repeat(60);
        let long: Vec<String> = (0..99).map(|n| format!("h{n:02}.{label}.{label}.{label}.test")).collect();
        let profile = copied(&long.iter().map(String::as_str).collect::<Vec<_>>(), None);
        let bytes: usize = profile.names.iter().map(LeafName::size).sum();
        assert!((7000..=8192).contains(&bytes), "{bytes}");
    }
}
