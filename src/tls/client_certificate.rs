//! Certificates of our own, for origins that ask their clients for one: by host and client, from
//! files that the operator gives. Everybody else gets an empty list, and it is remembered that they
//! asked. A client's own certificate and key never come here.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::private::{self, Unfit};
use crate::policy::{Matcher, Permit, Rule};

/// A chain and a key that are shown to some hosts for some clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificateFile {
    /// Which hosts, and for whom.
    pub rule: Rule,
    /// PEM, the leaf first.
    pub certificate: PathBuf,
    /// PEM, unencrypted, readable by its owner alone.
    pub key: PathBuf,
}

/// How an origin's request for a certificate ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    #[default]
    NotAsked,
    /// It asked and was told that there is none.
    NoneGiven,
    /// It asked and was shown the one configured.
    Given,
}

/// Why a client certificate cannot be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientCertificateError {
    #[error("the client certificate file {} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the key {} has mode {mode:04o}: other users can read it\n  fix: chmod 600 {}", path.display(), path.display())]
    Mode { path: PathBuf, mode: u32 },
    #[error("the key {} belongs to user {owner}, not to the one that Portward runs as\n  fix: chown {user} {}", path.display(), path.display())]
    Owner { path: PathBuf, owner: u32, user: u32 },
    #[error("{} holds no PEM certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no PEM private key that can be used unencrypted", .0.display())]
    NoKey(PathBuf),
    #[error("the certificate {} and the key {} do not belong together", certificate.display(), key.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
}

/// All that are configured, in the order of the file.
#[derive(Debug, Default)]
pub struct ClientCertificates(Vec<(Matcher, Arc<CertifiedKey>)>);

impl ClientCertificates {
    pub fn load(files: &[ClientCertificateFile]) -> Result<ClientCertificates, ClientCertificateError> {
        let loaded: Result<_, _> =
            files.iter().map(|file| Ok((Matcher::new(&file.rule, &[]), Arc::new(pair(file)?)))).collect();
        loaded.map(ClientCertificates)
    }

    /// The first whose rule holds.
    fn find(&self, permit: &Permit) -> Option<Arc<CertifiedKey>> {
        let holds = |rule: &Matcher| rule.holds(permit.server_name(), permit.client_ip(), permit.identity());
        self.0.iter().find(|(rule, _)| holds(rule)).map(|(_, certified)| certified.clone())
    }

    /// What answers the origin of this permit.
    pub(super) fn answer(&self, permit: &Permit) -> Arc<Asked> {
        Arc::new(Asked { certified: self.find(permit), asked: AtomicBool::new(false) })
    }
}

fn pair(file: &ClientCertificateFile) -> Result<CertifiedKey, ClientCertificateError> {
    let ClientCertificateFile { certificate, key, .. } = file;
    let unreadable = |source| ClientCertificateError::Read { path: certificate.clone(), source };
    let text = std::fs::read(certificate).map_err(unreadable)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return Err(ClientCertificateError::NoCertificate(certificate.clone()));
    }
    let text = secret(key)?;
    let no_key = || ClientCertificateError::NoKey(key.clone());
    let der = PrivateKeyDer::from_pem_slice(&text).map_err(|_| no_key())?;
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).map_err(|_| no_key())?;
    let certified = CertifiedKey::new(chain, signing);
    certified.keys_match().map_err(|_| ClientCertificateError::Mismatch {
        certificate: certificate.clone(),
        key: key.clone(),
    })?;
    Ok(certified)
}

/// Reads a key that nobody but its owner can read. The file that was checked is the one that is
/// read, and a symbolic link is not followed.
fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, ClientCertificateError> {
    const MOST: u64 = 1 << 20;
    let unreadable = |source| ClientCertificateError::Read { path: path.to_owned(), source };
    let file = private::open(path, File::options().read(true)).map_err(|why| match why {
        Unfit::Io(source) => unreadable(source),
        Unfit::Owner { owner, user } => ClientCertificateError::Owner { path: path.to_owned(), owner, user },
        Unfit::Mode(mode) => ClientCertificateError::Mode { path: path.to_owned(), mode },
    })?;
    let meta = file.metadata().map_err(unreadable)?;
    if meta.len() > MOST {
        return Err(unreadable(io::Error::other("it is larger than a key")));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(meta.len() as usize + 1));
    file.take(MOST).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Answers one handshake, and remembers that it was asked.
#[derive(Debug)]
pub(super) struct Asked {
    certified: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl Asked {
    pub(super) fn outcome(&self) -> ClientAuth {
        match (self.asked.load(Ordering::Relaxed), &self.certified) {
            (false, _) => ClientAuth::NotAsked,
            (true, None) => ClientAuth::NoneGiven,
            (true, Some(_)) => ClientAuth::Given,
        }
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.certified.clone()
    }

    fn has_certs(&self) -> bool {
        self.certified.is_some()
    }
}
