//! A chain as it was sent, in words: what each certificate says, whether the name is in it, and how far it
//! leads. Each question is answered by itself, so that a certificate that is expired and for another name
//! is told to be both. The verdict that counts is [`super::super::verify`]'s.

use rustls::pki_types::{CertificateDer, UnixTime};
use serde::Serialize;
use webpki::{EndEntityCert, Error as Webpki, KeyUsage};
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use super::super::verify::must_staple;
use super::roots::{Roots, TrustedBy, TrustedRoot};
use crate::net::Host;

/// Certificates that are read of a chain; a server that sends more is not looked at further.
const READ: usize = 32;
/// Names that are read of a certificate.
const NAMES: usize = 1000;

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    /// DNS names and addresses of the subject alternative name.
    pub names: Vec<String>,
    pub not_before: i64,
    pub not_after: i64,
    pub key: String,
    pub signature: String,
    /// Why nobody should rely on the key or the signature.
    pub weakness: Option<String>,
    pub serial: String,
    pub sha256: String,
    pub ca: bool,
    /// Issuer and subject are the same.
    pub self_issued: bool,
    /// The extended key usages; none when the certificate does not limit them.
    pub purposes: Option<Vec<String>>,
    /// The key usages; none when the certificate does not limit them.
    pub usages: Option<String>,
    /// Where the issuer's certificate, OCSP answers and revocation lists can be had.
    pub issuer_urls: Vec<String>,
    pub ocsp_urls: Vec<String>,
    pub crl_urls: Vec<String>,
    /// The server promised to send an OCSP answer along (RFC 7633).
    pub must_staple: bool,
}

/// A chain that was read.
#[derive(Clone, Debug)]
pub struct Chain {
    pub certificates: Vec<Certificate>,
    ders: Vec<CertificateDer<'static>>,
}

/// Where a good chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Anchor {
    pub root: String,
    /// By the operator.
    pub given: bool,
    pub by: TrustedBy,
    /// Unix seconds; a built-in root does not tell.
    pub not_after: Option<i64>,
}

/// Why a chain is not good, its dates and the name aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub code: &'static str,
    pub sentence: String,
    /// The issuer that nobody sent, where there is one.
    pub missing: Option<String>,
    /// Where its certificate can be had, by what the last one says.
    pub fetch: Vec<String>,
}

impl Chain {
    /// `None` when the server's own certificate cannot be read.
    pub fn read(ders: &[Vec<u8>]) -> Option<Chain> {
        let mut certificates = Vec::new();
        let mut kept = Vec::new();
        for (at, der) in ders.iter().take(READ).enumerate() {
            match certificate(der) {
                Some(read) => certificates.push(read),
                None if at == 0 => return None,
                None => continue,
            }
            kept.push(CertificateDer::from(der.clone()));
        }
        (!kept.is_empty()).then_some(Chain { certificates, ders: kept })
    }

    /// The server's own.
    pub fn leaf(&self) -> &Certificate {
        &self.certificates[0]
    }

    /// Whether the server's certificate is for this host, by the rule of browsers (RFC 9525).
    pub fn names(&self, host: &Host) -> bool {
        super::super::flight::is_for(&self.ders[0], host)
    }

    /// Whether the chain leads to a root, looked at as of a time at which the server's certificate is
    /// valid, so that its dates do not hide what else is wrong.
    pub fn leads(&self, roots: &Roots, now: i64) -> Result<Anchor, Fault> {
        let leaf = self.leaf();
        let at = now.clamp(leaf.not_before, leaf.not_after.max(leaf.not_before));
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.try_into().unwrap_or(0)));
        let anchors: Vec<_> = roots.0.iter().map(|root| root.anchor.clone()).collect();
        let provider = super::super::provider();
        let algorithms = provider.signature_verification_algorithms.all;
        let end = match EndEntityCert::try_from(&self.ders[0]) {
            Ok(end) => end,
            Err(error) => return Err(self.fault(roots, &error)),
        };
        let path = end.verify_for_usage(
            algorithms,
            &anchors,
            &self.ders[1..],
            time,
            KeyUsage::server_auth(),
            None,
            None,
        );
        match path {
            Ok(path) => {
                // The anchor is one of ours, and which one is a matter of where it is, not of what it says.
                let subject: &[u8] = path.anchor().subject.as_ref();
                let found = anchors.iter().position(|one| std::ptr::eq(one.subject.as_ref(), subject));
                let root = found.and_then(|at| roots.0.get(at));
                root.map(Anchor::of).ok_or_else(|| self.fault(roots, &Webpki::UnknownIssuer))
            }
            Err(error) => Err(self.fault(roots, &error)),
        }
    }

    fn fault(&self, roots: &Roots, error: &Webpki) -> Fault {
        let plain = |code, sentence: &str| Fault {
            code,
            sentence: sentence.to_owned(),
            missing: None,
            fetch: Vec::new(),
        };
        match error {
            Webpki::UnknownIssuer => self.lost(roots),
            Webpki::CertExpired { .. } => {
                plain("cert_expired", "a certificate above the server's has expired")
            }
            Webpki::CertNotValidYet { .. } => {
                plain("cert_not_yet_valid", "a certificate above the server's is not valid yet")
            }
            Webpki::RequiredEkuNotFoundContext(_) => match &self.leaf().purposes {
                Some(purposes) => plain(
                    "wrong_purpose",
                    &format!("the certificate is for {}, and not for servers", purposes.join(", ")),
                ),
                None => plain("wrong_purpose", "a certificate in the chain may not be used for servers"),
            },
            // What `openssl req -x509` makes when nothing else is asked for.
            Webpki::CaUsedAsEndEntity if self.leaf().self_issued => self.lost(roots),
            Webpki::CaUsedAsEndEntity => plain(
                "bad_certificate",
                "the server shows a CA certificate as its own, which browsers refuse",
            ),
            Webpki::EndEntityUsedAsCa => plain(
                "bad_certificate",
                "a certificate was issued by one that is no CA and may issue nothing",
            ),
            Webpki::PathLenConstraintViolated => {
                plain("bad_certificate", "there are more intermediate CAs in the chain than its CA allows")
            }
            Webpki::NameConstraintViolation => plain(
                "bad_certificate",
                "the CA may not issue certificates for these names (name constraints)",
            ),
            Webpki::InvalidSignatureForPublicKey | Webpki::SignatureAlgorithmMismatch => {
                plain("bad_signature", "a signature in the chain does not verify: a certificate was altered")
            }
            Webpki::UnsupportedSignatureAlgorithmContext(_)
            | Webpki::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => plain(
                "weak_key",
                "a certificate in the chain has a kind of key or signature that is no longer accepted",
            ),
            other => plain("bad_certificate", &format!("the chain cannot be used: {other:?}")),
        }
    }

    /// No trusted issuer: how far the chain goes, and what is not there.
    fn lost(&self, roots: &Roots) -> Fault {
        let leaf = self.leaf();
        if leaf.self_issued {
            return Fault {
                code: "self_signed",
                sentence: format!(
                    "the certificate is signed by itself ({}), which proves nothing",
                    leaf.subject
                ),
                missing: None,
                fetch: Vec::new(),
            };
        }
        let mut last = leaf;
        // Each certificate is stepped on once: a circle ends too.
        for _ in 0..self.certificates.len() {
            match self.certificates.iter().find(|cert| cert.subject == last.issuer) {
                Some(above) if above.self_issued => {
                    return Fault {
                        code: "unknown_issuer",
                        sentence: format!(
                            "the chain ends in {}, a root that is not trusted here",
                            above.subject
                        ),
                        missing: None,
                        fetch: Vec::new(),
                    };
                }
                Some(above) => last = above,
                None => break,
            }
        }
        let known = roots.0.iter().any(|root| root.name == last.issuer);
        if known {
            let sentence = format!(
                "the chain names the trusted root {} as its issuer, but that root did not sign it",
                last.issuer
            );
            return Fault { code: "unknown_issuer", sentence, missing: None, fetch: Vec::new() };
        }
        // As the verifier has it: whoever says where the issuer's certificate is has an intermediate.
        let incomplete = std::ptr::eq(last, leaf) && !leaf.issuer_urls.is_empty();
        let (code, sentence) = if incomplete {
            (
                "chain_incomplete",
                format!("the server does not send the intermediate certificate {}", last.issuer),
            )
        } else {
            (
                "unknown_issuer",
                format!(
                    "the chain stops at {}: its issuer {} is not sent, and is no root that is trusted here",
                    last.subject, last.issuer
                ),
            )
        };
        Fault { code, sentence, missing: Some(last.issuer.clone()), fetch: last.issuer_urls.clone() }
    }
}

impl Anchor {
    fn of(root: &TrustedRoot) -> Anchor {
        let given = root.by == TrustedBy::Operator;
        Anchor { root: root.name.clone(), given, by: root.by, not_after: root.not_after }
    }
}

/// Reads one certificate.
pub fn certificate(der: &[u8]) -> Option<Certificate> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let mut out = Certificate {
        subject: name(cert.subject()),
        issuer: name(cert.issuer()),
        names: Vec::new(),
        not_before: cert.validity().not_before.timestamp(),
        not_after: cert.validity().not_after.timestamp(),
        key: String::new(),
        signature: String::new(),
        weakness: None,
        serial: hex::encode(cert.raw_serial()),
        sha256: crate::tls::flight::fingerprint(der),
        ca: cert.is_ca(),
        self_issued: cert.subject().as_raw() == cert.issuer().as_raw(),
        purposes: None,
        usages: None,
        issuer_urls: Vec::new(),
        ocsp_urls: Vec::new(),
        crl_urls: Vec::new(),
        must_staple: must_staple(&cert),
    };
    extensions(&cert, &mut out);
    let (key, weak_key) = key(&cert);
    let (signature, weak_signature) = signature(&cert.signature_algorithm.algorithm.to_id_string());
    // A root is trusted for being in the store; its own signature proves nothing to anyone.
    let weak_signature = weak_signature.filter(|_| !out.self_issued);
    (out.key, out.signature, out.weakness) = (key, signature, weak_key.or(weak_signature));
    if out.subject.is_empty() {
        out.subject = out.names.first().cloned().unwrap_or_else(|| "a certificate without a name".to_owned());
    }
    Some(out)
}

fn extensions(cert: &X509Certificate<'_>, out: &mut Certificate) {
    for extension in cert.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) => {
                out.names = san.general_names.iter().filter_map(host_name).take(NAMES).collect();
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let named = [
                    (usage.any, "any purpose"),
                    (usage.server_auth, "servers"),
                    (usage.client_auth, "clients"),
                    (usage.code_signing, "signing code"),
                    (usage.email_protection, "mail"),
                    (usage.time_stamping, "time stamps"),
                    (usage.ocsp_signing, "signing OCSP answers"),
                ];
                let mut list: Vec<String> =
                    named.iter().filter(|(set, _)| *set).map(|(_, name)| (*name).to_owned()).collect();
                list.extend(usage.other.iter().take(8).map(|oid| oid.to_id_string()));
                out.purposes = Some(list);
            }
            ParsedExtension::KeyUsage(usage) => out.usages = Some(usage.to_string()),
            ParsedExtension::AuthorityInfoAccess(access) => {
                for entry in access.accessdescs.iter().take(8) {
                    let GeneralName::URI(url) = entry.access_location else { continue };
                    // RFC 5280 section 4.2.2.1: id-ad-caIssuers and id-ad-ocsp.
                    match entry.access_method.to_id_string().as_str() {
                        "1.3.6.1.5.5.7.48.2" => out.issuer_urls.push(url.to_owned()),
                        "1.3.6.1.5.5.7.48.1" => out.ocsp_urls.push(url.to_owned()),
                        _ => {}
                    }
                }
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                for point in points.points.iter().take(8) {
                    if let Some(DistributionPointName::FullName(names)) = &point.distribution_point {
                        out.crl_urls.extend(names.iter().take(4).filter_map(|name| match name {
                            GeneralName::URI(url) => Some((*url).to_owned()),
                            _ => None,
                        }));
                    }
                }
            }
            _ => {}
        }
    }
}

fn host_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            if let Ok(v4) = <[u8; 4]>::try_from(*octets) {
                return Some(std::net::Ipv4Addr::from(v4).to_string());
            }
            <[u8; 16]>::try_from(*octets).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
        }
        _ => None,
    }
}

/// The common name, else the whole.
fn name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|cn| cn.as_str().ok()).map(str::to_owned);
    common.filter(|cn| !cn.is_empty()).unwrap_or_else(|| name.to_string())
}

fn key(cert: &X509Certificate<'_>) -> (String, Option<String>) {
    let info = cert.public_key();
    if let Ok(PublicKey::RSA(rsa)) = info.parsed() {
        let bits = rsa.key_size();
        let weak = (bits < 2048).then(|| format!("its RSA key has {bits} bits, and 2048 are needed"));
        return (format!("RSA {bits}"), weak);
    }
    let curve = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    let id = match curve {
        Some(curve) => curve.to_id_string(),
        None => info.algorithm.algorithm.to_id_string(),
    };
    let known = match id.as_str() {
        "1.2.840.10045.3.1.7" => "ECDSA P-256",
        "1.3.132.0.34" => "ECDSA P-384",
        "1.3.132.0.35" => "ECDSA P-521",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => return weak_key("Ed448"),
        "1.2.840.10045.3.1.1" => return weak_key("ECDSA P-192"),
        "1.2.840.10040.4.1" => return weak_key("DSA"),
        other => return weak_key(other),
    };
    (known.to_owned(), None)
}

fn weak_key(name: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(format!("its key is of a kind ({name}) that is not accepted")))
}

/// What a signature is called, and why it is not good enough.
fn signature(oid: &str) -> (String, Option<String>) {
    let (name, weak) = match oid {
        "1.2.840.113549.1.1.2" => ("RSA with MD2", true),
        "1.2.840.113549.1.1.4" => ("RSA with MD5", true),
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => ("RSA with SHA-1", true),
        "1.2.840.113549.1.1.10" => ("RSA-PSS", false),
        "1.2.840.113549.1.1.11" => ("RSA with SHA-256", false),
        "1.2.840.113549.1.1.12" => ("RSA with SHA-384", false),
        "1.2.840.113549.1.1.13" => ("RSA with SHA-512", false),
        "1.2.840.10045.4.1" => ("ECDSA with SHA-1", true),
        "1.2.840.10045.4.3.2" => ("ECDSA with SHA-256", false),
        "1.2.840.10045.4.3.3" => ("ECDSA with SHA-384", false),
        "1.2.840.10045.4.3.4" => ("ECDSA with SHA-512", false),
        "1.3.101.112" => ("Ed25519", false),
        "1.2.840.10040.4.3" => ("DSA with SHA-1", true),
        other => (other, false),
    };
    (name.to_owned(), weak.then(|| format!("its signature ({name}) can be forged")))
}
