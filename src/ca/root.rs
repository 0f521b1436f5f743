//! The CA folder and what is loaded from it: created on first use, checked on every load, the
//! intermediate renewed at half its life. The root key is read for that and forgotten; a folder
//! without it works until the intermediate ends.

use std::path::{Path, PathBuf};

use rcgen::CertificateParams;
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::issue::{
    check_minting, cross_certificate, may_have_intermediate, new_intermediate, order_chain, root_params,
    rotates_at, served,
};
use super::pki::{self, CaCert, Key, Signer};
use super::store::{self, Secrecy};
use super::{Ca, CaError, leaf};

/// A CA folder; nothing is read or written until asked.
#[derive(Clone, Debug)]
pub struct CaDir {
    path: PathBuf,
}

/// What `rotate` replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    Intermediate,
    /// The clients need the new root before the overlap ends.
    Root,
}

/// Whether the key of the root (or of the imported sub-CA) is in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RootKey {
    Present,
    /// The intermediate cannot be renewed.
    Absent,
}

/// The folder's content, checked.
pub(super) struct Loaded {
    /// The intermediate with its key, or, if it may have none, the CA itself.
    pub signer: Signer,
    /// The CA certificate, then the chain above it.
    pub chain: Vec<CaCert>,
    pub served: Vec<CertificateDer<'static>>,
    pub previous: Vec<CaCert>,
    pub root_key: RootKey,
    pub has_intermediate: bool,
    /// The intermediate is due, and could not be renewed.
    pub overdue: Option<String>,
}

/// What to do in a folder without a CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    Create,
    Refuse,
}

impl CaDir {
    pub fn new(path: impl Into<PathBuf>) -> CaDir {
        CaDir { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The CA in the folder; on first use it and the folder are made.
    pub fn open_or_create(&self, now: OffsetDateTime) -> Result<Ca, CaError> {
        self.load(now, Absent::Create).map(|loaded| Ca::new(self.clone(), loaded))
    }

    /// The CA in the folder, which must be there.
    pub fn open(&self, now: OffsetDateTime) -> Result<Ca, CaError> {
        self.load_existing(now).map(|loaded| Ca::new(self.clone(), loaded))
    }

    /// True when the folder holds a CA, or part of one.
    pub fn exists(&self) -> bool {
        [self.root_pem(), self.root_key()].iter().any(|path| path.symlink_metadata().is_ok())
    }

    /// Puts an existing CA into the folder: a root, or a sub-CA with the chain above it in the
    /// same file. A CA that is there already is set aside with `replace`, else it is an error.
    pub fn import(&self, cert: &Path, key: &Path, replace: bool, now: OffsetDateTime) -> Result<Ca, CaError> {
        let private = pki::parse_key(&store::read_given(key)?, key)?;
        let chain = order_chain(pki::parse_certs(&store::read_given(cert)?, cert)?, &private, cert, key)?;
        for certificate in &chain {
            certificate.check_dates(cert, now)?;
        }
        // Everything that could be refused is refused before a file is touched.
        let signer = Signer::new(chain[0].clone(), &private, cert, key)?;
        let trial =
            if may_have_intermediate(&chain) { new_intermediate(&signer, &chain, now)?.0 } else { signer };
        check_minting(&trial, &served(&trial.cert, &chain, None), &chain, cert, now)?;

        if self.exists() && !replace {
            return Err(CaError::Exists { path: self.path.clone() });
        }
        self.prepare()?;
        let lock = self.lock()?;
        if self.exists() && !replace {
            return Err(CaError::Exists { path: self.path.clone() });
        }
        self.put_root_aside(now)?;
        let pem: String = chain.iter().map(|cert| pki::cert_pem(&cert.der)).collect();
        store::write_pair(&self.root_pem(), &self.root_key(), &pem, &pki::key_pem(&private))?;
        drop(lock);
        self.open(now)
    }

    /// Replaces the intermediate, or the root and with it the intermediate. Running proxies
    /// pick it up by `Ca::reload` or `Ca::refresh`.
    pub fn rotate(&self, what: Rotate, now: OffsetDateTime) -> Result<Ca, CaError> {
        if !self.exists() {
            return Err(CaError::Missing { path: self.path.clone() });
        }
        store::check_dir(&self.path)?;
        let lock = self.lock()?;
        match what {
            Rotate::Intermediate => {
                let (chain, signer) = self.read_root(now)?;
                let Some(signer) = signer else {
                    let why = "it signs the new intermediate".into();
                    return Err(CaError::RootKeyMissing { key: self.root_key(), why });
                };
                if may_have_intermediate(&chain) {
                    self.write_intermediate(&signer, &chain, now)?;
                }
            }
            Rotate::Root => {
                let old = self.read_root(now);
                let key = Key::generate()?;
                let params = root_params(now)?;
                let cross = match &old {
                    Ok((chain, Some(signer))) if chain.len() == 1 && chain[0].path_len.is_none() => {
                        Some(cross_certificate(signer, &params, &key)?)
                    }
                    _ => None,
                };
                self.put_root_aside(now)?;
                if let Some(cross) = cross {
                    store::write(&self.cross_pem(), pki::cert_pem(&cross).as_bytes(), Secrecy::Public)?;
                }
                self.write_root(&params, &key)?;
            }
        }
        drop(lock);
        self.open(now)
    }

    fn root_pem(&self) -> PathBuf {
        self.path.join("root.pem")
    }

    fn root_key(&self) -> PathBuf {
        self.path.join("root.key")
    }

    fn cross_pem(&self) -> PathBuf {
        self.path.join("cross.pem")
    }

    fn intermediate_pem(&self) -> PathBuf {
        self.path.join("intermediate.pem")
    }

    fn intermediate_key(&self) -> PathBuf {
        self.path.join("intermediate.key")
    }

    /// Makes the folder, or restricts one that has no CA yet; then checks it.
    fn prepare(&self) -> Result<(), CaError> {
        if !self.exists() {
            store::prepare(&self.path)?;
        }
        store::check_dir(&self.path)
    }

    /// Every write to the folder is under its lock: the next holder clears away what a writer left.
    pub(super) fn lock(&self) -> Result<store::Lock, CaError> {
        let lock = store::lock(&self.path)?;
        store::recover(&self.root_pem(), &self.root_key())?;
        store::recover(&self.intermediate_pem(), &self.intermediate_key())?;
        Ok(lock)
    }

    pub(super) fn load_existing(&self, now: OffsetDateTime) -> Result<Loaded, CaError> {
        self.load(now, Absent::Refuse)
    }

    fn load(&self, now: OffsetDateTime, absent: Absent) -> Result<Loaded, CaError> {
        match absent {
            Absent::Create => self.prepare()?,
            Absent::Refuse if !self.exists() => return Err(CaError::Missing { path: self.path.clone() }),
            Absent::Refuse => store::check_dir(&self.path)?,
        }
        let _lock = self.lock()?;
        if !self.exists() {
            if absent == Absent::Refuse {
                return Err(CaError::Missing { path: self.path.clone() });
            }
            // An intermediate without its root: someone moved the root away. A new root would
            // be one that no client trusts.
            if self.intermediate_pem().symlink_metadata().is_ok() {
                let (cert, key) = (self.root_pem(), self.intermediate_key());
                return Err(CaError::RootCertMissing { cert, key });
            }
            self.write_root(&root_params(now)?, &Key::generate()?)?;
        }
        let (chain, root) = self.read_root(now)?;
        let has_intermediate = may_have_intermediate(&chain);
        let mut overdue = None;
        let root_key = if root.is_some() { RootKey::Present } else { RootKey::Absent };
        let signer = match root {
            Some(root) if !has_intermediate => root,
            Some(root) => self.renewed_intermediate(&root, &chain, now, &mut overdue)?,
            None if !has_intermediate => {
                let why = "this CA may have no intermediate, so that it signs every leaf itself".into();
                return Err(CaError::RootKeyMissing { key: self.root_key(), why });
            }
            None => self.last_intermediate(&chain, now)?,
        };
        let cross = self.read_cross(&chain, now);
        let served = served(&signer.cert, &chain, cross);
        check_minting(&signer, &served, &chain, &self.path, now)?;
        let previous = self.read_previous(&chain, now);
        Ok(Loaded { signer, chain, served, previous, root_key, has_intermediate, overdue })
    }

    /// The root's certificate with the chain above it, and its key if that is here.
    fn read_root(&self, now: OffsetDateTime) -> Result<(Vec<CaCert>, Option<Signer>), CaError> {
        let (cert_path, key_path) = (self.root_pem(), self.root_key());
        let key = store::read(&key_path, Secrecy::Key)?;
        let Some(pem) = store::read(&cert_path, Secrecy::Public)? else {
            return Err(CaError::RootCertMissing { cert: cert_path, key: key_path });
        };
        let chain = pki::parse_certs(&pem, &cert_path)?;
        if chain.windows(2).any(|pair| pair[0].issuer != pair[1].subject) {
            let what = "its certificates are not a chain, each signed by the next".into();
            return Err(CaError::Garbage { path: cert_path, what });
        }
        for cert in &chain {
            cert.check_dates(&cert_path, now)?;
        }
        let signer = match key {
            Some(key) => {
                let key = pki::parse_key(&key, &key_path)?;
                Some(Signer::new(chain[0].clone(), &key, &cert_path, &key_path)?)
            }
            None => None,
        };
        Ok((chain, signer))
    }

    fn read_intermediate(&self, chain: &[CaCert]) -> Result<Option<Signer>, CaError> {
        let (cert_path, key_path) = (self.intermediate_pem(), self.intermediate_key());
        let key = store::read(&key_path, Secrecy::Key)?;
        let cert = store::read(&cert_path, Secrecy::Public)?;
        let (Some(key), Some(cert)) = (key, cert) else { return Ok(None) };
        let cert = pki::parse_certs(&cert, &cert_path)?.swap_remove(0);
        if cert.issuer != chain[0].subject {
            return Ok(None);
        }
        let key = pki::parse_key(&key, &key_path)?;
        Signer::new(cert, &key, &cert_path, &key_path).map(Some)
    }

    /// The intermediate, renewed if it is past half its life or not usable.
    fn renewed_intermediate(
        &self,
        root: &Signer,
        chain: &[CaCert],
        now: OffsetDateTime,
        overdue: &mut Option<String>,
    ) -> Result<Signer, CaError> {
        let current = match self.read_intermediate(chain) {
            Ok(current) => current.filter(|signer| {
                let served = served(&signer.cert, chain, None);
                signer.cert.check_dates(&self.path, now).is_ok()
                    && check_minting(signer, &served, chain, &self.path, now).is_ok()
            }),
            // What is wrong with its content a new one mends; what is wrong with its mode or
            // owner someone has to know.
            Err(CaError::Garbage { .. } | CaError::Mismatch { .. } | CaError::NotACa { .. }) => None,
            Err(other) => return Err(other),
        };
        match current {
            Some(signer) if now < rotates_at(&signer.cert) => Ok(signer),
            Some(signer) => self.write_intermediate(root, chain, now).or_else(|error| {
                *overdue = Some(error.to_string());
                Ok(signer)
            }),
            None => self.write_intermediate(root, chain, now),
        }
    }

    /// The intermediate that has to do, because the root key is away.
    fn last_intermediate(&self, chain: &[CaCert], now: OffsetDateTime) -> Result<Signer, CaError> {
        let missing = |why: String| CaError::RootKeyMissing { key: self.root_key(), why };
        match self.read_intermediate(chain) {
            Ok(Some(signer)) => match signer.cert.check_dates(&self.intermediate_pem(), now) {
                Err(CaError::Expired { at, .. }) => Err(missing(format!("the intermediate expired at {at}"))),
                Err(other) => Err(other),
                Ok(()) => Ok(signer),
            },
            Ok(None) => Err(missing("there is no intermediate of this root to go on with".into())),
            Err(error @ (CaError::Garbage { .. } | CaError::Mismatch { .. } | CaError::NotACa { .. })) => {
                Err(missing(error.to_string()))
            }
            Err(other) => Err(other),
        }
    }

    fn write_root(&self, params: &CertificateParams, key: &Key) -> Result<(), CaError> {
        let cert = params.self_signed(key)?;
        let pem = pki::cert_pem(cert.der());
        store::write_pair(&self.root_pem(), &self.root_key(), &pem, &pki::key_pem(&key.secret()))
    }

    fn write_intermediate(
        &self,
        root: &Signer,
        chain: &[CaCert],
        now: OffsetDateTime,
    ) -> Result<Signer, CaError> {
        let (signer, key) = new_intermediate(root, chain, now)?;
        let pem = pki::cert_pem(&signer.cert.der);
        store::write_pair(&self.intermediate_pem(), &self.intermediate_key(), &pem, &pki::key_pem(&key))?;
        Ok(signer)
    }

    /// Keeps the root's files under dated names. A usable CA is copied, so that a crash before
    /// the new one is in place leaves it; what cannot be used is moved out of the way.
    fn put_root_aside(&self, now: OffsetDateTime) -> Result<(), CaError> {
        let stamp = stamp(now);
        let usable = self.read_root(now).is_ok();
        for (path, secrecy) in [(self.root_key(), Secrecy::Key), (self.root_pem(), Secrecy::Public)] {
            if !usable {
                store::set_aside(&path, &stamp)?;
            } else if let Some(bytes) = store::read(&path, secrecy)? {
                store::write(&store::dated(&path, &stamp), &bytes, secrecy)?;
            }
        }
        Ok(())
    }

    /// The certificate of our root signed by the root before it, while it is of use.
    fn read_cross(&self, chain: &[CaCert], now: OffsetDateTime) -> Option<CertificateDer<'static>> {
        let path = self.cross_pem();
        let pem = store::read(&path, Secrecy::Public).ok()??;
        let cert = pki::parse_certs(&pem, &path).ok()?.pop()?;
        let ours = chain.len() == 1 && cert.spki == chain[0].spki && cert.subject == chain[0].subject;
        (ours && now + leaf::LIFETIME < cert.not_after).then_some(cert.der)
    }

    /// Roots that were rotated away or replaced, and that clients may still hold.
    fn read_previous(&self, chain: &[CaCert], now: OffsetDateTime) -> Vec<CaCert> {
        let mut found = Vec::new();
        let Ok(entries) = std::fs::read_dir(&self.path) else { return found };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !name.starts_with("root-") || !name.ends_with(".pem") {
                continue;
            }
            let Ok(Some(pem)) = store::read(&path, Secrecy::Public) else { continue };
            let Some(cert) = pki::parse_certs(&pem, &path).ok().and_then(|mut certs| certs.pop()) else {
                continue;
            };
            let known = chain.iter().chain(&found).any(|other| other.der == cert.der);
            if !known && cert.not_after > now {
                found.push(cert);
            }
        }
        found
    }
}

impl Loaded {
    /// The certificate that clients trust.
    pub fn anchor(&self) -> &CaCert {
        self.chain.last().unwrap_or(&self.signer.cert)
    }

    /// Every certificate above a leaf.
    pub fn above(&self) -> impl Iterator<Item = &CaCert> + Clone {
        std::iter::once(&self.signer.cert).chain(&self.chain)
    }
}

/// `20261121T090000Z`, for file names.
fn stamp(now: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    now.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_else(|_| now.unix_timestamp().to_string())
}
