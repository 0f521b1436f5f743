//! The roots that origins are verified with: the system's, Mozilla's where the system has none, and those
//! the operator gave. A trust store that was named and cannot be used stops the start: to go on with another
//! one would be to trust what nobody chose, and to go on with none would be to trust nobody or everybody.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, TrustAnchor, pem::PemObject};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::distrust::KeyDigest;
use super::names::shown;

/// Why there are no roots to verify origins with, or no revocation lists.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("cannot read the origin CA file {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the origin CA file {path} holds no usable certificate: {problem}")]
    Bad { path: PathBuf, problem: String },
    #[error(
        "the origin CA file {path} can be changed by every user of this machine\n  fix: chmod o-w {path}"
    )]
    Writable { path: PathBuf },
    #[error(
        "the trust store that {variable} names holds no usable certificate: {problem}\n  fix: correct {variable}, or unset it for the system's own trust store"
    )]
    Named { variable: &'static str, problem: String },
    #[error(
        "there is no root certificate to verify origins with: install ca-certificates or give --origin-ca FILE"
    )]
    Empty,
    #[error(
        "the revocation list {path} cannot be used: {problem}\n  fix: fetch it again, or take it out of origin.crls"
    )]
    Crl { path: PathBuf, problem: String },
    #[error("the TLS client cannot be configured: {0}")]
    Config(String),
}

/// A trusted root, and what webpki does not keep of it.
#[derive(Debug)]
pub(in crate::tls) struct Root {
    pub subject: String,
    /// Held to what public authorities have promised.
    pub public: bool,
    pub key: KeyDigest,
    /// Unix seconds; Mozilla's built-in set does not tell.
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
    /// RFC 5280 section 4.2.1.3: its key usage allows it to sign revocation lists.
    pub signs_crls: bool,
}

/// All roots. The anchors stand in the order of what is known of them.
pub(super) struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
    known: Vec<Root>,
}

impl Roots {
    /// `extra` is a PEM file of roots trusted besides the system's. A root in it is a private one, also when
    /// the system has it too: it stands first, and the first path that holds is taken.
    pub(super) fn load(extra: Option<&Path>) -> Result<Roots, RootsError> {
        let mut roots = Roots { anchors: Vec::new(), known: Vec::new() };
        if let Some(path) = extra {
            roots.add_file(path)?;
        }
        let given = roots.known.len();
        let native = rustls_native_certs::load_native_certs();
        for error in native.errors.iter().take(3) {
            tracing::warn!(%error, "a part of the system's trust store cannot be read");
        }
        for der in native.certs {
            // One root that cannot be read must not take the others with it.
            let _ = roots.add(&der, true);
        }
        if roots.known.len() == given {
            if let Some(variable) =
                ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find(|name| std::env::var_os(name).is_some())
            {
                let problem =
                    native.errors.first().map_or_else(|| "it is empty".to_owned(), ToString::to_string);
                return Err(RootsError::Named { variable, problem });
            }
            tracing::info!("the system has no trust store; Mozilla's built-in roots are used");
            for anchor in webpki_roots::TLS_SERVER_ROOTS {
                roots.add_built_in(anchor);
            }
        }
        if roots.known.is_empty() { Err(RootsError::Empty) } else { Ok(roots) }
    }

    fn add_file(&mut self, path: &Path) -> Result<(), RootsError> {
        let unreadable = |source| RootsError::Unreadable { path: path.to_owned(), source };
        let bad = |problem: String| RootsError::Bad { path: path.to_owned(), problem };
        // Follows symbolic links, which trust stores are full of; what counts is the file at their end.
        let meta = std::fs::metadata(path).map_err(unreadable)?;
        if meta.mode() & 0o002 != 0 {
            return Err(RootsError::Writable { path: path.to_owned() });
        }
        let text = std::fs::read(path).map_err(unreadable)?;
        for der in CertificateDer::pem_slice_iter(&text) {
            let der = der.map_err(|error| bad(error.to_string()))?;
            self.add(&der, false).map_err(bad)?;
        }
        if self.known.is_empty() { Err(bad("no PEM certificate in it".to_owned())) } else { Ok(()) }
    }

    fn add(&mut self, der: &CertificateDer<'_>, public: bool) -> Result<(), String> {
        let (_, cert) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let anchor = webpki::anchor_from_trusted_cert(der).map_err(|error| error.to_string())?.to_owned();
        self.anchors.push(anchor);
        self.known.push(Root {
            subject: shown(cert.subject()),
            public,
            key: KeyDigest::of_spki(cert.public_key().raw),
            not_before: Some(cert.validity().not_before.timestamp()),
            not_after: Some(cert.validity().not_after.timestamp()),
            signs_crls: match cert.key_usage() {
                Ok(usage) => usage.is_none_or(|usage| usage.value.crl_sign()),
                Err(_) => false,
            },
        });
        Ok(())
    }

    fn add_built_in(&mut self, anchor: &TrustAnchor<'static>) {
        let name = wrapped(&anchor.subject);
        let subject =
            x509_parser::x509::X509Name::from_der(&name).map(|(_, name)| shown(&name)).unwrap_or_default();
        self.known.push(Root {
            subject,
            public: true,
            key: KeyDigest::of_spki(&wrapped(&anchor.subject_public_key_info)),
            not_before: None,
            not_after: None,
            signs_crls: true,
        });
        self.anchors.push(anchor.clone());
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&TrustAnchor<'static>, &Root)> {
        self.anchors.iter().zip(&self.known)
    }

    /// What is known of an anchor that came from here, and the anchor itself.
    pub(super) fn of(&self, anchor: &TrustAnchor<'_>) -> Option<(&Root, &TrustAnchor<'static>)> {
        let same = |one: &TrustAnchor<'static>| {
            one.subject == anchor.subject
                && one.subject_public_key_info == anchor.subject_public_key_info
                && std::ptr::eq(one.subject.as_ref(), anchor.subject.as_ref())
        };
        let at = self.anchors.iter().position(same)?;
        Some((self.known.get(at)?, self.anchors.get(at)?))
    }
}

/// webpki keeps the inside of a SEQUENCE; this puts tag and length before it again.
pub(super) fn wrapped(inside: &[u8]) -> Vec<u8> {
    let length = inside.len();
    let mut der = vec![0x30];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => der.push(short),
        Ok(long) => der.extend([0x81, long]),
        Err(_) => der.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    der.extend_from_slice(inside);
    der
}
