//! The CA folder and what is loaded from it: created on first use, checked on every load, the
//! intermediate renewed at half its life. The root key is read for that and forgotten; a folder
//! without it works until the intermediate ends.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::Serialize;
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

use super::cache::{LeafKey, Purpose};
use super::export::{fingerprint, sha256, sha256_hex};
use super::leaf::{self, BACKDATE, Leaf, LeafName, LeafProfile, Serial, whole_seconds};
use super::log::{MintLog, MintRecord};
use super::pki::{self, CaCert, Signer};
use super::store::{self, Secrecy};
use super::{CaError, random};
use crate::net::Host;

/// Ten years: a root is installed by hand on many machines, and guarded by staying offline.
const ROOT_LIFE: Duration = Duration::days(3650);

/// A week, renewed at half: a stolen intermediate key is worth days, and a root key that is away
/// for three days is not missed.
const INTERMEDIATE_LIFE: Duration = Duration::days(7);

/// After `rotate --root` clients that know the old root alone are served through a certificate
/// of the new root signed by the old one, for as long as it takes to reach them all.
const OVERLAP: Duration = Duration::days(90);

const ROOT_WARNING: Duration = Duration::days(30);
const INTERMEDIATE_WARNING: Duration = Duration::days(2);

/// A CA folder; nothing is read or written until asked.
#[derive(Clone, Debug)]
pub struct CaDir {
    path: PathBuf,
}

/// A CA that mints. Shared by all connections; what it signs with is replaced whole.
pub struct Ca {
    dir: CaDir,
    current: ArcSwap<Loaded>,
    generation: AtomicU64,
    /// One refresh at a time.
    refreshing: Mutex<()>,
    log: OnceLock<MintLog>,
}

/// What `refresh` and `reload` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The same certificates as before.
    Unchanged,
    /// Leaves are signed by another certificate from now on.
    Changed,
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

/// Something that is going to stop the CA unless someone acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaWarning {
    pub code: &'static str,
    pub message: String,
    pub fix: String,
}

/// What `ca show` and the health page say.
#[derive(Clone, Debug, Serialize)]
pub struct CaStatus {
    pub directory: PathBuf,
    pub subject: String,
    /// SHA-256 of the certificate that clients are to trust.
    pub sha256: String,
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    pub root_key: RootKey,
    /// The certificate that signs leaves.
    pub issuer: String,
    #[serde(with = "time::serde::rfc3339")]
    pub issuer_not_after: OffsetDateTime,
    /// When the intermediate is renewed; none when leaves are signed by the imported CA itself.
    #[serde(with = "time::serde::rfc3339::option")]
    pub rotates_at: Option<OffsetDateTime>,
    /// Fingerprints of earlier roots that clients may still trust.
    pub previous: Vec<String>,
    pub warnings: Vec<CaWarning>,
}

/// The folder's content, checked.
struct Loaded {
    /// The intermediate with its key, or, if it may have none, the CA itself.
    signer: Signer,
    /// The CA certificate, then the chain above it.
    chain: Vec<CaCert>,
    served: Vec<CertificateDer<'static>>,
    previous: Vec<CaCert>,
    root_key: RootKey,
    has_intermediate: bool,
    /// The intermediate is due, and could not be renewed.
    overdue: Option<String>,
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
        self.load(now, Absent::Refuse).map(|loaded| Ca::new(self.clone(), loaded))
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
        self.set_root_aside(now)?;
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
                let key = KeyPair::generate()?;
                let params = root_params(now)?;
                let cross = match &old {
                    Ok((chain, Some(signer))) if chain.len() == 1 && chain[0].path_len.is_none() => {
                        Some(cross_certificate(signer, &params, &key)?)
                    }
                    _ => None,
                };
                match old {
                    Ok(_) => self.copy_root_aside(now)?,
                    Err(_) => self.set_root_aside(now)?,
                }
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

    fn lock(&self) -> Result<store::Lock, CaError> {
        let lock = store::lock(&self.path)?;
        store::recover(&self.root_pem(), &self.root_key())?;
        store::recover(&self.intermediate_pem(), &self.intermediate_key())?;
        Ok(lock)
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
            self.write_root(&root_params(now)?, &KeyPair::generate()?)?;
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

    fn write_root(&self, params: &CertificateParams, key: &KeyPair) -> Result<(), CaError> {
        let cert = params.self_signed(key)?;
        let pem = pki::cert_pem(cert.der());
        store::write_pair(&self.root_pem(), &self.root_key(), &pem, &pki::key_pem(&private_key(key)))
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

    /// Moves the root's files to dated names.
    fn set_root_aside(&self, now: OffsetDateTime) -> Result<(), CaError> {
        let stamp = stamp(now);
        store::set_aside(&self.root_key(), &stamp)?;
        store::set_aside(&self.root_pem(), &stamp)
    }

    /// Copies the root's files to dated names, so that a crash leaves a whole CA either way.
    fn copy_root_aside(&self, now: OffsetDateTime) -> Result<(), CaError> {
        let stamp = stamp(now);
        for (path, secrecy) in [(self.root_key(), Secrecy::Key), (self.root_pem(), Secrecy::Public)] {
            if let Some(bytes) = store::read(&path, secrecy)? {
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

impl Ca {
    fn new(dir: CaDir, loaded: Loaded) -> Ca {
        Ca {
            dir,
            current: ArcSwap::from_pointee(loaded),
            generation: AtomicU64::new(0),
            refreshing: Mutex::new(()),
            log: OnceLock::new(),
        }
    }

    pub fn dir(&self) -> &CaDir {
        &self.dir
    }

    /// Starts the mint log in the CA's folder; every later mint is written there.
    pub fn start_log(&self) -> std::io::Result<()> {
        if self.log.get().is_none() {
            // Lost races drop the second log, which writes nothing.
            let _ = self.log.set(MintLog::start(self.dir.path())?);
        }
        Ok(())
    }

    /// Mint records that could not be written since start.
    pub fn lost_records(&self) -> u64 {
        self.log.get().map_or(0, MintLog::lost)
    }

    /// The cache key of a host's leaf under the CA as it is now.
    pub fn leaf_key(&self, host: &Host, purpose: Purpose) -> LeafKey {
        LeafKey { host: host.clone(), purpose, generation: self.generation() }
    }

    /// Counts the changes of what signs leaves.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Mints a leaf with a key of its own; some fifty microseconds of one core. Refreshes the
    /// CA first if it is about to end and nobody did (the timer does it days earlier).
    pub fn mint(&self, profile: &LeafProfile, now: OffsetDateTime) -> Result<Leaf, CaError> {
        let mut loaded = self.current.load_full();
        if loaded.has_intermediate
            && loaded.root_key == RootKey::Present
            && (now + leaf::BACKDATE > loaded.signer.cert.not_after || now < loaded.signer.cert.not_before)
        {
            if let Err(error) = self.refresh(now) {
                tracing::warn!(code = error.code(), %error, fix = error.fix(), "the CA was not renewed");
            }
            loaded = self.current.load_full();
        }
        let minted = leaf::mint(&loaded.signer, loaded.above(), &loaded.served, profile, now)?;
        if let Some(log) = self.log.get() {
            log.record(MintRecord {
                time: whole_seconds(now),
                names: profile.names.iter().map(LeafName::to_string).collect(),
                serial: minted.serial.to_string(),
                not_before: minted.not_before,
                not_after: minted.not_after,
                sha256: sha256_hex(&minted.chain[0]),
                origin_sha256: profile.origin.map(hex::encode),
            });
        }
        Ok(minted)
    }

    /// Renews the intermediate when half its life is over, and takes up what others changed in
    /// the folder. On an error the CA goes on with what it has. Reads and writes files; call it
    /// from a timer (hourly), off the event loop.
    pub fn refresh(&self, now: OffsetDateTime) -> Result<Refreshed, CaError> {
        let _one = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = self.dir.load(now, Absent::Refuse)?;
        let current = self.current.load();
        let same = current.served == loaded.served && current.signer.cert.der == loaded.signer.cert.der;
        self.current.store(Arc::new(loaded));
        if same {
            return Ok(Refreshed::Unchanged);
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(Refreshed::Changed)
    }

    /// Takes up what `portward ca rotate` or `import` put into the folder.
    pub fn reload(&self, now: OffsetDateTime) -> Result<Refreshed, CaError> {
        self.refresh(now)
    }

    /// The certificates that clients are to trust: the present one first, then roots of an
    /// overlap.
    pub fn anchors(&self) -> Vec<CertificateDer<'static>> {
        let loaded = self.current.load();
        std::iter::once(loaded.anchor()).chain(&loaded.previous).map(|cert| cert.der.clone()).collect()
    }

    /// SHA-256 of the public keys that are ours to sign with, present and past: an origin whose
    /// chain has one of them is this proxy, or someone with our key.
    pub fn own_keys(&self) -> Vec<[u8; 32]> {
        let loaded = self.current.load();
        [&loaded.signer.cert, &loaded.chain[0]]
            .into_iter()
            .chain(&loaded.previous)
            .map(|cert| sha256(&cert.spki))
            .collect()
    }

    pub fn status(&self, now: OffsetDateTime) -> CaStatus {
        let loaded = self.current.load();
        let anchor = loaded.anchor();
        CaStatus {
            directory: self.dir.path.clone(),
            subject: anchor.name.clone(),
            sha256: fingerprint(&anchor.der),
            not_before: anchor.not_before,
            not_after: loaded.chain.iter().map(|c| c.not_after).min().unwrap_or(anchor.not_after),
            root_key: loaded.root_key,
            issuer: loaded.signer.cert.name.clone(),
            issuer_not_after: loaded.signer.cert.not_after,
            rotates_at: loaded.has_intermediate.then(|| rotates_at(&loaded.signer.cert)),
            previous: loaded.previous.iter().map(|cert| fingerprint(&cert.der)).collect(),
            warnings: self.warnings(now),
        }
    }

    /// What is going to stop this CA, for the log at start and the health page.
    pub fn warnings(&self, now: OffsetDateTime) -> Vec<CaWarning> {
        let loaded = self.current.load();
        let dir = super::error::quote(&self.dir.path);
        let mut warnings = Vec::new();
        let issuer = &loaded.signer.cert;
        if let Some(end) = loaded.chain.iter().map(|cert| cert.not_after).min()
            && end - now < ROOT_WARNING
        {
            warnings.push(CaWarning {
                code: "ca_expires",
                message: format!("the CA expires at {end}"),
                fix: format!("portward ca rotate --root --ca {dir}"),
            });
        }
        if loaded.root_key == RootKey::Absent {
            let soon = issuer.not_after - now < INTERMEDIATE_WARNING;
            warnings.push(CaWarning {
                code: if soon { "ca_intermediate_expires" } else { "ca_root_key_offline" },
                message: format!(
                    "the root key is not here: the intermediate should be renewed from {}, and ends at {}",
                    rotates_at(issuer),
                    issuer.not_after
                ),
                fix: format!("put root.key back into {dir}, run: portward ca rotate --ca {dir}"),
            });
        }
        if let Some(why) = &loaded.overdue {
            warnings.push(CaWarning {
                code: "ca_intermediate_overdue",
                message: format!("the intermediate ends at {} and was not renewed: {why}", issuer.not_after),
                fix: format!("portward ca rotate --ca {dir}"),
            });
        }
        warnings
    }
}

impl Loaded {
    /// The certificate that clients trust.
    fn anchor(&self) -> &CaCert {
        self.chain.last().unwrap_or(&self.signer.cert)
    }

    /// Every certificate above a leaf.
    fn above(&self) -> impl Iterator<Item = &CaCert> + Clone {
        std::iter::once(&self.signer.cert).chain(&self.chain)
    }
}

fn rotates_at(intermediate: &CaCert) -> OffsetDateTime {
    intermediate.not_before + (intermediate.not_after - intermediate.not_before) / 2
}

/// Path lengths (RFC 5280 section 4.2.1.9) leave room for one more CA, and no constraint on
/// directory names refuses the name it would have.
fn may_have_intermediate(chain: &[CaCert]) -> bool {
    chain.iter().enumerate().all(|(below, cert)| {
        cert.path_len.is_none_or(|room| room as usize > below) && !cert.constraints.restricts_subject()
    })
}

/// What follows a leaf on the wire. The anchor is left out: a client has it or does not.
fn served(
    signer: &CaCert,
    chain: &[CaCert],
    cross: Option<CertificateDer<'static>>,
) -> Vec<CertificateDer<'static>> {
    let mut out = Vec::new();
    if signer.der != chain[0].der {
        out.push(signer.der.clone());
    }
    out.extend(chain.iter().filter(|cert| !cert.is_self_issued()).map(|cert| cert.der.clone()));
    out.extend(cross);
    out
}

/// Mints a leaf without a name and verifies it as a client would: signatures, dates, path
/// lengths and usages of all that we serve.
fn check_minting(
    signer: &Signer,
    served: &[CertificateDer<'static>],
    chain: &[CaCert],
    path: &Path,
    now: OffsetDateTime,
) -> Result<(), CaError> {
    let rejected = |why| CaError::Rejected { path: path.into(), why };
    let key = KeyPair::generate()?;
    let mut params = leaf::profile_params(&[], true)?;
    params.serial_number = Some(Serial::random()?.number());
    params.not_before = whole_seconds(now.max(signer.cert.not_before));
    params.not_after = whole_seconds((now + Duration::MINUTE).min(signer.cert.not_after));
    let trial = signer.issue(&params, &key)?;
    let anchor = chain.last().ok_or_else(|| rejected("there is no certificate".to_string()))?;
    pki::verify(&trial, served, &anchor.der, now).map_err(rejected)
}

fn root_params(now: OffsetDateTime) -> Result<CertificateParams, CaError> {
    let tag = hex::encode_upper(random::<4>()?);
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    // A name on a certificate that people look at: letters they know, and not too many.
    let host: String = host
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        .take(32)
        .collect();
    let name =
        if host.is_empty() { format!("Portward CA {tag}") } else { format!("Portward CA {tag} ({host})") };
    let mut params = ca_params(name, BasicConstraints::Unconstrained)?;
    params.not_before = whole_seconds(now - BACKDATE);
    params.not_after = whole_seconds(now + ROOT_LIFE);
    Ok(params)
}

/// A new intermediate under `root`, and its key.
fn new_intermediate(
    root: &Signer,
    chain: &[CaCert],
    now: OffsetDateTime,
) -> Result<(Signer, PrivateKeyDer<'static>), CaError> {
    let name = format!("Portward issuing CA {}", hex::encode_upper(random::<4>()?));
    let mut params = ca_params(name, BasicConstraints::Constrained(0))?;
    params.use_authority_key_identifier_extension = true;
    params.not_before = whole_seconds(chain.iter().fold(now - BACKDATE, |at, cert| at.max(cert.not_before)));
    params.not_after =
        whole_seconds(chain.iter().fold(now + INTERMEDIATE_LIFE, |at, cert| at.min(cert.not_after)));
    let key = KeyPair::generate()?;
    let path = Path::new("intermediate.pem");
    let cert = CaCert::parse(root.issue(&params, &key)?, path)?;
    let key = private_key(&key);
    Ok((Signer::new(cert, &key, path, path)?, key))
}

/// The new root's name and key in a certificate of the old root.
fn cross_certificate(
    old: &Signer,
    new: &CertificateParams,
    key: &KeyPair,
) -> Result<CertificateDer<'static>, CaError> {
    let mut params = new.clone();
    params.serial_number = Some(Serial::random()?.number());
    params.use_authority_key_identifier_extension = true;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.not_before = params.not_before.max(old.cert.not_before);
    params.not_after = (params.not_before + BACKDATE + OVERLAP).min(old.cert.not_after);
    old.issue(&params, key)
}

fn ca_params(name: String, path: BasicConstraints) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(Serial::random()?.number());
    params.is_ca = IsCa::Ca(path);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// Sorts imported certificates: the key's own first, then each one's issuer.
fn order_chain(
    mut certs: Vec<CaCert>,
    key: &PrivateKeyDer<'_>,
    cert_path: &Path,
    key_path: &Path,
) -> Result<Vec<CaCert>, CaError> {
    let spki = pki::public_key(key, key_path)?;
    let own = certs.iter().position(|cert| cert.spki == spki);
    let Some(own) = own else {
        return Err(CaError::Mismatch { key: key_path.into(), cert: cert_path.into() });
    };
    let mut chain = vec![certs.swap_remove(own)];
    while let Some(last) = chain.last().filter(|last| !last.is_self_issued()) {
        let Some(next) = certs.iter().position(|cert| cert.subject == last.issuer) else { break };
        chain.push(certs.swap_remove(next));
    }
    if let Some(stray) = certs.first() {
        let what = format!("\"{}\" in it is not part of the chain of the key's certificate", stray.name);
        return Err(CaError::Garbage { path: cert_path.into(), what });
    }
    Ok(chain)
}

fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialized_der().to_vec()))
}

/// `20261121T090000Z`, for file names.
fn stamp(now: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    now.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_else(|_| now.unix_timestamp().to_string())
}
