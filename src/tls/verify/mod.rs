//! Whether an origin's certificate is acceptable: webpki's path to a root, and what a browser asks beyond
//! it, with a refusal that says what was wrong with which certificate.
//!
//! webpki decides signatures, dates, name constraints, path lengths and purposes. What it lets pass and we
//! do not stands in `profile` (the form of certificates), `roots` (roots that ended), `distrust` (keys
//! that strangers hold, and our own) and `revocation`. Nothing here asks the network for anything.

mod changes;
mod distrust;
mod names;
mod ocsp;
mod path;
mod profile;
mod revocation;
mod roots;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use serde::{Deserialize, Serialize};

pub use changes::{Change, Changes};
pub use distrust::{KeyDigest, Own, OwnCa};
pub use names::describe;
pub(super) use names::shown;
pub(super) use profile::must_staple;
pub use revocation::Revocation;
pub use roots::RootsError;
pub use words::certificate_code;

use super::Refusal;
use crate::net::Host;
use distrust::Distrusted;
use revocation::Crls;
pub(super) use roots::Root;
use roots::Roots;

/// An origin's certificate that was looked at, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    pub subject: String,
    pub issuer: String,
    /// The subject's common name, when it has one that can be read.
    pub common_name: Option<String>,
    /// What it proves: DNS names in lower case, `*.` included, and addresses as text.
    pub names: Arc<[String]>,
    pub key: KeyKind,
    /// Unix seconds.
    pub not_before: i64,
    pub not_after: i64,
    /// SHA-256 of the DER.
    pub fingerprint: String,
}

/// The kind of a certificate's public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// With the length of its modulus.
    Rsa(usize),
    /// With the size of its curve.
    Ec(usize),
    Ed25519,
    Other,
}

/// A certificate that was found acceptable, and what there is to say about it all the same.
#[derive(Clone, Debug)]
pub struct Judged {
    pub certificate: CertificateInfo,
    pub marks: Marks,
}

/// What a verification found out besides that the certificate may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub revocation: Revocation,
    /// Stable codes of what is not as it should be and passes by policy: `over_long`, `staple_stale`.
    pub warnings: Vec<&'static str>,
    /// The root's subject, and whether it is one of the public ones.
    pub root: String,
    pub public_root: bool,
    /// SHA-256 of the public keys of the certificate and of its issuer.
    pub key: KeyDigest,
    pub issuer_key: KeyDigest,
}

/// What is asked of origins' certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// PEM file of roots trusted besides the system's; these are private roots.
    pub ca_file: Option<PathBuf>,
    /// Files of certificate revocation lists, and folders of them.
    pub crls: Vec<PathBuf>,
    pub revocation: RevocationMode,
    /// Keys that are refused wherever they stand in a chain, besides the built-in list.
    pub distrusted_keys: Vec<KeyDigest>,
    pub server_auth: ServerAuth,
    pub over_long: OverLong,
}

/// What becomes of a certificate of which nobody said whether it was revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationMode {
    /// Revocation is not looked at.
    Off,
    /// It passes, with a mark in the audit record.
    #[default]
    Soft,
    /// It is refused.
    Hard,
}

/// Under which roots a certificate must say that it is for servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerAuth {
    /// Public ones; small private CAs often leave the extension out.
    #[default]
    Public,
    Always,
}

/// What becomes of a public certificate that is valid for longer than the CA/B Forum allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverLong {
    #[default]
    Warn,
    Refuse,
}

/// One verification policy: roots, and what is asked beyond a chain to one of them.
pub struct Verifier {
    roots: Roots,
    crls: Crls,
    distrusted: Distrusted,
    own: OwnCa,
    settings: Settings,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Reads the roots and the revocation lists. `own` tells the keys of our own CA, which never
    /// stand behind an origin.
    pub fn new(settings: &Settings, own: OwnCa) -> Result<Verifier, RootsError> {
        Ok(Verifier {
            roots: Roots::load(settings.ca_file.as_deref())?,
            crls: Crls::load(&settings.crls)?,
            distrusted: Distrusted::new(&settings.distrusted_keys),
            own,
            settings: settings.clone(),
        })
    }

    /// What chains may end in, in the order in which paths are looked for.
    pub(super) fn roots(&self) -> impl Iterator<Item = (&TrustAnchor<'static>, &Root)> {
        self.roots.each()
    }

    /// Judges a chain, the server's own certificate first, with the OCSP response that came with it.
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        ocsp: &[u8],
        host: &Host,
        now: UnixTime,
    ) -> Result<Judged, Refusal> {
        let judged = server_name(host).and_then(|name| self.judge_for(chain, ocsp, &name, now));
        judged.map_err(Into::into)
    }

    fn judge_for(
        &self,
        chain: &[CertificateDer<'_>],
        ocsp: &[u8],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Judged, Refused> {
        let Some((leaf, above)) = chain.split_first() else {
            return Err(Refused::new("bad_certificate", "the origin showed no certificate"));
        };
        path::bounds(chain)?;
        let certificate = describe(leaf);
        let seen = match &certificate {
            Some(info) => format!("the certificate of {} (issued by {})", info.subject, info.issuer),
            None => "the certificate".to_owned(),
        };
        let own = (self.own)();
        distrust::presented(chain, &self.distrusted, &own, &seen)?;
        let parsed = profile::read(leaf).map_err(|why| Refused::of(&seen, &why))?;
        profile::leaf(&parsed).map_err(|why| Refused::of(&seen, &why))?;
        let entity = webpki::EndEntityCert::try_from(leaf).map_err(|error| {
            Refused::new(
                words::webpki_code(&error),
                words::sentence(&seen, name, certificate.as_ref(), &error),
            )
        })?;
        let path = path::find(&self.roots, &entity, above, now, |path| {
            self.distrusted.check(path.keys(), &own, &seen)?;
            path.acceptable(now, &seen)
        })
        .map_err(|failed| failed.in_words(leaf, above, &own, &seen, name, certificate.as_ref()))?;
        entity.verify_is_valid_for_subject_name(name).map_err(|error| {
            Refused::new(
                words::webpki_code(&error),
                words::sentence(&seen, name, certificate.as_ref(), &error),
            )
        })?;
        let mut marks = Marks {
            root: path.root.subject.clone(),
            public_root: path.root.public,
            key: KeyDigest::of_spki(parsed.public_key().raw),
            issuer_key: path.issuer_key(),
            ..Marks::default()
        };
        profile::purpose(&parsed, path.root.public, &self.settings)
            .map_err(|why| Refused::of(&seen, &why))?;
        if path.root.public && profile::over_long(&parsed) {
            if self.settings.over_long == OverLong::Refuse {
                return Err(Refused::new(
                    "over_long",
                    format!("{seen} is valid for longer than a public authority may allow"),
                ));
            }
            marks.warnings.push("over_long");
        }
        if self.settings.revocation != RevocationMode::Off {
            let asked = revocation::Asked { entity: &entity, leaf: &parsed, path: &path, now, seen: &seen };
            marks.revocation =
                self.crls.status(&asked, ocsp, self.settings.revocation, &mut marks.warnings)?;
        }
        let certificate =
            certificate.ok_or_else(|| Refused::new("bad_certificate", "the certificate cannot be read"))?;
        Ok(Judged { certificate, marks })
    }
}

/// The name that a certificate has to prove.
pub(in crate::tls) fn server_name(host: &Host) -> Result<ServerName<'static>, Refused> {
    match host {
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|_| {
            Refused::new("name_mismatch", format!("no certificate can be valid for the name {name}"))
        }),
        Host::Ip(ip) => Ok(ServerName::from(*ip)),
    }
}

/// Why a certificate is not acceptable: the stable code and the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub code: &'static str,
    pub problem: String,
}

impl Refused {
    fn new(code: &'static str, problem: impl Into<String>) -> Refused {
        Refused { code, problem: problem.into() }
    }

    /// `seen` names the certificate, the fault goes on from there.
    fn of(seen: &str, fault: &profile::Fault) -> Refused {
        Refused::new(fault.code, format!("{seen} {}", fault.what))
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        Refusal::Certificate { code: refused.code, problem: refused.problem }
    }
}

/// A verdict on one handshake, remembered in words.
#[derive(Debug)]
pub(super) struct Watch {
    verifier: Arc<Verifier>,
    verdict: Mutex<Option<Result<Judged, Refusal>>>,
}

impl Watch {
    pub(super) fn new(verifier: Arc<Verifier>) -> Watch {
        Watch { verifier, verdict: Mutex::new(None) }
    }

    /// What was decided in the handshake; nothing when it did not come that far or was a resumption.
    pub(super) fn take_verdict(&self) -> Option<Result<Judged, Refusal>> {
        self.verdict.lock().ok().and_then(|mut slot| slot.take())
    }
}

impl ServerCertVerifier for Watch {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(leaf)
            .chain(intermediates)
            .map(|der| CertificateDer::from(der.as_ref()))
            .collect();
        let verdict = self.verifier.judge_for(&chain, ocsp, name, now);
        let answer = match &verdict {
            Ok(_) => Ok(ServerCertVerified::assertion()),
            Err(refused) => Err(words::alert(refused.code).into()),
        };
        if let Ok(mut slot) = self.verdict.lock() {
            *slot = Some(verdict.map_err(Into::into));
        }
        answer
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        super::connect::not_downgraded(message)?;
        let provider = super::provider();
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let provider = super::provider();
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        super::provider().signature_verification_algorithms.supported_schemes()
    }
}

impl From<&Refused> for CertificateError {
    fn from(refused: &Refused) -> CertificateError {
        words::alert(refused.code)
    }
}
