//! The roots as a diagnosis names them: those that origins are verified with, and who put them there.

use rustls::pki_types::{CertificateDer, TrustAnchor, pem::PemObject};
use serde::Serialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::super::verify::{Verifier, shown};

/// Who trusts a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustedBy {
    System,
    /// Mozilla, where the system has no roots.
    BuiltIn,
    /// The operator, who gave it.
    Operator,
}

/// A root, and where it comes from.
#[derive(Clone, Debug)]
pub struct TrustedRoot {
    pub(super) anchor: TrustAnchor<'static>,
    /// Its subject, as people read it.
    pub name: String,
    pub by: TrustedBy,
    /// Unix seconds; the built-in ones do not tell.
    pub not_after: Option<i64>,
}

/// Everything that may end a chain.
#[derive(Clone, Debug, Default)]
pub struct Roots(pub Vec<TrustedRoot>);

impl Roots {
    /// Those that this verifier has, in its order: the first path that holds is taken here as there.
    pub fn of_verifier(verifier: &Verifier) -> Roots {
        let root = |(anchor, known): (&TrustAnchor<'static>, &super::super::verify::Root)| TrustedRoot {
            anchor: anchor.clone(),
            name: known.subject.clone(),
            by: match (known.public, known.not_after) {
                (false, _) => TrustedBy::Operator,
                (true, Some(_)) => TrustedBy::System,
                (true, None) => TrustedBy::BuiltIn,
            },
            not_after: known.not_after,
        };
        Roots(verifier.roots().map(root).collect())
    }

    /// These alone, as the operator's; what is no certificate is left out.
    pub fn of(ders: impl IntoIterator<Item = Vec<u8>>) -> Roots {
        let root = |der: Vec<u8>| {
            let der = CertificateDer::from(der);
            let (_, cert) = X509Certificate::from_der(&der).ok()?;
            Some(TrustedRoot {
                anchor: webpki::anchor_from_trusted_cert(&der).ok()?.to_owned(),
                name: shown(cert.subject()),
                by: TrustedBy::Operator,
                not_after: Some(cert.validity().not_after.timestamp()),
            })
        };
        Roots(ders.into_iter().filter_map(root).collect())
    }

    /// How many of these there are.
    pub fn count(&self, by: TrustedBy) -> usize {
        self.0.iter().filter(|root| root.by == by).count()
    }

    /// All of them, by whose they are.
    pub fn in_words(&self) -> String {
        let given = match self.count(TrustedBy::Operator) {
            0 => String::new(),
            n => format!(" and {n} of --origin-ca"),
        };
        match (self.count(TrustedBy::System), self.count(TrustedBy::BuiltIn)) {
            (0, built_in) => format!("{built_in} roots of Mozilla's, since the system has none{given}"),
            (system, _) => format!("{system} roots of the system{given}"),
        }
    }
}

/// The certificates in the operating system's own store, whatever variables say.
pub fn system_store() -> Option<(&'static str, Vec<Vec<u8>>)> {
    // Debian, Fedora, SUSE, Alpine and the BSDs.
    const FILES: [&str; 5] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    FILES.iter().find_map(|file| {
        let text = std::fs::read(file).ok()?;
        let certs = CertificateDer::pem_slice_iter(&text).flatten().map(|der| der.to_vec()).collect();
        Some((*file, certs))
    })
}
