//! The roots that origins are verified with: the system's, Mozilla's where the system has none, and those
//! the operator gave. Never our own CA.

use std::io;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::subject_of;

/// Why there are no roots to verify origins with.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("cannot read the origin CA file {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the origin CA file {path} holds no usable certificate: {problem}")]
    Bad { path: PathBuf, problem: String },
    #[error(
        "there is no root certificate to verify origins with: install ca-certificates or give --origin-ca FILE"
    )]
    Empty,
    #[error("the TLS client cannot be configured: {0}")]
    Config(String),
}

/// `extra` is a PEM file of roots trusted besides the system's; certificates with a subject in
/// `own_names` are left out.
pub(super) fn load(extra: Option<&Path>, own_names: &[Vec<u8>]) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let add = |roots: &mut RootCertStore, der: CertificateDer<'static>| {
        let ours = subject_of(&der).is_some_and(|name| own_names.contains(&name));
        if ours { Ok(()) } else { roots.add(der) }
    };
    let native = rustls_native_certs::load_native_certs();
    for der in native.certs {
        // One root that webpki cannot read must not take the others with it.
        let _ = add(&mut roots, der);
    }
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(path) = extra {
        let bad = |problem: String| RootsError::Bad { path: path.to_owned(), problem };
        let text =
            std::fs::read(path).map_err(|source| RootsError::Unreadable { path: path.to_owned(), source })?;
        let mut count = 0;
        for der in CertificateDer::pem_slice_iter(&text) {
            let der = der.map_err(|error| bad(error.to_string()))?;
            add(&mut roots, der).map_err(|error| bad(error.to_string()))?;
            count += 1;
        }
        if count == 0 {
            return Err(bad("no PEM certificate in it".to_owned()));
        }
    }
    if roots.is_empty() {
        return Err(RootsError::Empty);
    }
    Ok(roots)
}
