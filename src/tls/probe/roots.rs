//! The roots as a diagnosis names them: which certificate it is, and who put it there.

use std::path::Path;

use rustls::pki_types::{CertificateDer, pem::PemObject};

/// A root certificate, and where it comes from.
#[derive(Clone, Debug)]
pub struct TrustedRoot {
    pub der: CertificateDer<'static>,
    /// Given by the operator, and not the system's.
    pub given: bool,
}

/// Everything that may end a chain.
#[derive(Clone, Debug, Default)]
pub struct Roots(pub Vec<TrustedRoot>);

impl Roots {
    /// The system's roots and those of the operator's file; what cannot be read is left out, because
    /// whoever decides has said so already.
    pub fn load(extra: Option<&Path>) -> Roots {
        let system = rustls_native_certs::load_native_certs().certs;
        let mut all: Vec<TrustedRoot> =
            system.into_iter().map(|der| TrustedRoot { der, given: false }).collect();
        let text = extra.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        let given = CertificateDer::pem_slice_iter(&text).flatten();
        all.extend(given.map(|der| TrustedRoot { der, given: true }));
        Roots(all)
    }

    /// These alone, as the operator's.
    pub fn of(ders: impl IntoIterator<Item = Vec<u8>>) -> Roots {
        Roots(ders.into_iter().map(|der| TrustedRoot { der: der.into(), given: true }).collect())
    }

    /// How many there are, as the system's and the operator's.
    pub fn count(&self) -> (usize, usize) {
        let given = self.0.iter().filter(|root| root.given).count();
        (self.0.len() - given, given)
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
