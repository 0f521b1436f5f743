//! The CA folder and what is loaded from it: created on first use, checked on every load, the
//! intermediate renewed at half its life. The root key is read for that and forgotten; a folder
//! without it works until the intermediate ends. What a person changes is in `change`.

use std::path::{Path, PathBuf};

use rcgen::CertificateParams;
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::constraint::{Constraints, Subtree};
use super::export::PublicCa;
use super::issue::{check_minting, may_have_intermediate, new_intermediate, root_params, rotates_at, served};
use super::pki::{self, CaCert, Key, Signer};
use super::secret::{self, Secrets};
use super::store::{self, Secrecy};
use super::token::{TokenKey, TokenUri};
use super::{Ca, CaError, leaf};

/// A CA folder; nothing is read or written until asked.
#[derive(Clone, Debug)]
pub struct CaDir {
    path: PathBuf,
    pub(super) secrets: Secrets,
}

/// A CA that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewCa {
    /// All that it may issue for; empty for everything.
    pub permit: Vec<Subtree>,
    pub exclude: Vec<Subtree>,
    /// The root's key lives there: the one of that name, or a new one.
    pub token: Option<TokenUri>,
}

/// Whether the key of the root (or of the imported sub-CA) is in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RootKey {
    Present,
    /// The intermediate cannot be renewed.
    Absent,
    /// In a token, which answers.
    Token,
    /// In a token that does not; the intermediate cannot be renewed.
    TokenAway,
}

impl RootKey {
    /// It could sign now.
    pub fn is_here(self) -> bool {
        matches!(self, RootKey::Present | RootKey::Token)
    }
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
    /// There is a passphrase, and the root key is not under it.
    pub plain_key: bool,
}

/// The root as it was read.
pub(super) struct Root {
    /// Its certificate, then the chain above it.
    pub chain: Vec<CaCert>,
    /// With its key, if that is here.
    pub signer: Option<Signer>,
    pub key: RootKey,
    /// Why its token does not answer.
    pub away: Option<String>,
    pub plain_key: bool,
}

/// What to do in a folder without a CA.
#[derive(Clone, Copy, Debug)]
enum Absent<'a> {
    Create(&'a NewCa),
    Refuse,
}

impl CaDir {
    pub fn new(path: impl Into<PathBuf>) -> CaDir {
        CaDir { path: path.into(), secrets: Secrets::default() }
    }

    /// With what unlocks its keys.
    pub fn with_secrets(mut self, secrets: Secrets) -> CaDir {
        self.secrets = secrets;
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The CA in the folder; on first use it and the folder are made.
    pub fn open_or_create(&self, now: OffsetDateTime) -> Result<Ca, CaError> {
        self.init(&NewCa::default(), now)
    }

    /// The CA in the folder; on first use it is made as asked.
    pub fn init(&self, new: &NewCa, now: OffsetDateTime) -> Result<Ca, CaError> {
        self.load(now, Absent::Create(new)).map(|loaded| Ca::new(self.clone(), loaded))
    }

    /// The CA in the folder, which must be there.
    pub fn open(&self, now: OffsetDateTime) -> Result<Ca, CaError> {
        self.load_existing(now).map(|loaded| Ca::new(self.clone(), loaded))
    }

    /// What clients are given of the CA in the folder. No key is read for it, and no passphrase asked for.
    pub fn public(&self, now: OffsetDateTime) -> Result<PublicCa, CaError> {
        if !self.exists() {
            return Err(CaError::Missing { path: self.path.clone() });
        }
        store::check_dir(&self.path)?;
        let _lock = self.lock()?;
        let chain = self.read_chain()?;
        for cert in &chain {
            cert.check_dates(&self.root_pem(), now)?;
        }
        let anchors = chain.last().into_iter().cloned().chain(self.read_previous(&chain, now));
        Ok(PublicCa::new(self.clone(), anchors.map(|cert| cert.der).collect()))
    }

    /// True when the folder holds a CA, or part of one.
    pub fn exists(&self) -> bool {
        [self.root_pem(), self.root_key()].iter().any(|path| path.symlink_metadata().is_ok())
    }

    pub(super) fn root_pem(&self) -> PathBuf {
        self.path.join("root.pem")
    }

    pub(super) fn root_key(&self) -> PathBuf {
        self.path.join("root.key")
    }

    pub(super) fn cross_pem(&self) -> PathBuf {
        self.path.join("cross.pem")
    }

    pub(super) fn intermediate_pem(&self) -> PathBuf {
        self.path.join("intermediate.pem")
    }

    pub(super) fn intermediate_key(&self) -> PathBuf {
        self.path.join("intermediate.key")
    }

    /// Makes the folder, or restricts one that has no CA yet; then checks it.
    pub(super) fn prepare(&self) -> Result<(), CaError> {
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

    fn load(&self, now: OffsetDateTime, absent: Absent<'_>) -> Result<Loaded, CaError> {
        match absent {
            Absent::Create(_) => self.prepare()?,
            Absent::Refuse if !self.exists() => return Err(CaError::Missing { path: self.path.clone() }),
            Absent::Refuse => store::check_dir(&self.path)?,
        }
        let _lock = self.lock()?;
        if !self.exists() {
            let Absent::Create(new) = absent else {
                return Err(CaError::Missing { path: self.path.clone() });
            };
            // An intermediate without its root: someone moved the root away. A new root would
            // be one that no client trusts.
            if self.intermediate_pem().symlink_metadata().is_ok() {
                let (cert, key) = (self.root_pem(), self.intermediate_key());
                return Err(CaError::RootCertMissing { cert, key });
            }
            let params = root_params(now, &Constraints::new(&new.permit, &new.exclude))?;
            let key = self.new_key(new.token.as_ref())?;
            self.write_root(&params, &key, new.token.as_ref())?;
        }
        let root = self.read_root(now)?;
        let has_intermediate = may_have_intermediate(&root.chain);
        let mut overdue = None;
        let chain = root.chain;
        let signer = match (root.signer, root.away) {
            (Some(signer), _) if !has_intermediate => signer,
            (Some(signer), _) => self.renewed_intermediate(&signer, &chain, now, &mut overdue)?,
            (None, why) if !has_intermediate => {
                let why = why.unwrap_or_else(|| {
                    "this CA may have no intermediate, so that it signs every leaf itself".into()
                });
                return Err(CaError::RootKeyMissing { key: self.root_key(), why });
            }
            (None, why) => {
                let last = self.last_intermediate(&chain, now)?;
                overdue = why.filter(|_| now >= rotates_at(&last.cert));
                last
            }
        };
        let cross = self.read_cross(&chain, now);
        let served = served(&signer.cert, &chain, cross);
        check_minting(&signer, &served, &chain, &self.root_pem(), now)?;
        let previous = self.read_previous(&chain, now);
        let (root_key, plain_key) = (root.key, root.plain_key);
        Ok(Loaded { signer, chain, served, previous, root_key, has_intermediate, overdue, plain_key })
    }

    /// The root's certificate with the chain above it, and its key if that is here.
    pub(super) fn read_root(&self, now: OffsetDateTime) -> Result<Root, CaError> {
        let (cert_path, key_path) = (self.root_pem(), self.root_key());
        let key = store::read(&key_path, Secrecy::Key)?;
        let chain = self.read_chain()?;
        for cert in &chain {
            cert.check_dates(&cert_path, now)?;
        }
        let Some(bytes) = key else {
            return Ok(Root { chain, signer: None, key: RootKey::Absent, away: None, plain_key: false });
        };
        let in_token = pki::is_token_address(&bytes);
        let plain_key =
            self.secrets.passphrase.is_some() && !in_token && pki::parse_key(&bytes, &key_path, None).is_ok();
        let key = match Key::from_file(&bytes, &key_path, &self.secrets) {
            Ok(key) => key,
            // A token that was taken out is a root key that is offline.
            Err(error @ CaError::Token { .. }) => {
                let away = Some(error.to_string());
                return Ok(Root { chain, signer: None, key: RootKey::TokenAway, away, plain_key });
            }
            Err(other) => return Err(other),
        };
        let signer = Some(Signer::new(chain[0].clone(), key, &cert_path, &key_path)?);
        let key = if in_token { RootKey::Token } else { RootKey::Present };
        Ok(Root { chain, signer, key, away: None, plain_key })
    }

    /// The root's certificate with the chain above it, whatever the date.
    pub(super) fn read_chain(&self) -> Result<Vec<CaCert>, CaError> {
        let path = self.root_pem();
        let Some(pem) = store::read(&path, Secrecy::Public)? else {
            return Err(CaError::RootCertMissing { cert: path, key: self.root_key() });
        };
        let chain = pki::parse_certs(&pem, &path)?;
        if chain.windows(2).any(|pair| pair[0].issuer != pair[1].subject) {
            let what = "its certificates are not a chain, each signed by the next".into();
            return Err(CaError::Garbage { path, what });
        }
        Ok(chain)
    }

    /// A key that is about to be replaced must open with what we have: the new one is written under the same
    /// passphrase, and without it would be in plain text.
    pub(super) fn must_open(&self, path: &Path) -> Result<(), CaError> {
        let Some(bytes) = store::read(path, Secrecy::Key)? else { return Ok(()) };
        if pki::is_token_address(&bytes) {
            return Ok(());
        }
        match pki::parse_key(&bytes, path, self.secrets.passphrase.as_ref()) {
            Ok(_) => Ok(()),
            // Broken, and it says that it was under a passphrase.
            Err(CaError::Garbage { .. })
                if self.secrets.passphrase.is_none() && bytes.windows(9).any(|word| word == b"ENCRYPTED") =>
            {
                Err(CaError::EncryptedKey { path: path.into() })
            }
            Err(CaError::Garbage { .. }) => Ok(()),
            Err(other) => Err(other),
        }
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
        let key = Key::from_file(&key, &key_path, &self.secrets)?;
        Signer::new(cert, key, &cert_path, &key_path).map(Some)
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
            // What is wrong with its content a new one mends. What is wrong with its mode or owner someone has
            // to know; and a passphrase that is missing or wrong must not end in a new key without one.
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

    /// A new key of the root's: in that token, or to be written to the folder.
    pub(super) fn new_key(&self, token: Option<&TokenUri>) -> Result<Key, CaError> {
        match token {
            None => Key::generate(),
            Some(uri) => {
                TokenKey::open_or_generate(uri, uri.pin(self.secrets.pin.as_ref())).map(Key::from_token)
            }
        }
    }

    pub(super) fn write_root(
        &self,
        params: &CertificateParams,
        key: &Key,
        token: Option<&TokenUri>,
    ) -> Result<(), CaError> {
        let cert = params.self_signed(key)?;
        let pem = pki::cert_pem(cert.der());
        store::write_pair(&self.root_pem(), &self.root_key(), &pem, &self.key_text(key, token)?)
    }

    /// What a key file holds: the key, under the passphrase if there is one, or where in a token it is.
    pub(super) fn key_text(&self, key: &Key, token: Option<&TokenUri>) -> Result<Zeroizing<String>, CaError> {
        match (key.secret(), token, &self.secrets.passphrase) {
            (Some(secret), _, Some(passphrase)) => secret::encrypt(&secret, &passphrase.read()?),
            (Some(secret), _, None) => Ok(pki::key_pem(&secret)),
            (None, Some(uri), _) => Ok(Zeroizing::new(format!("{uri}\n"))),
            (None, None, _) => Err(CaError::Crypto(rcgen::Error::RemoteKeyError)),
        }
    }

    pub(super) fn write_intermediate(
        &self,
        root: &Signer,
        chain: &[CaCert],
        now: OffsetDateTime,
    ) -> Result<Signer, CaError> {
        let (signer, key) = new_intermediate(root, chain, now)?;
        let pem = pki::cert_pem(&signer.cert.der);
        let text = self.key_text(&key, None)?;
        store::write_pair(&self.intermediate_pem(), &self.intermediate_key(), &pem, &text)?;
        Ok(signer)
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

    /// The intermediate is about to end, or not valid yet by the clock, and can be renewed.
    pub fn is_due(&self, now: OffsetDateTime) -> bool {
        let signer = &self.signer.cert;
        let in_time = signer.not_before <= now && now + leaf::BACKDATE <= signer.not_after;
        self.has_intermediate && self.root_key.is_here() && !in_time
    }

    /// Every certificate above a leaf.
    pub fn above(&self) -> impl Iterator<Item = &CaCert> + Clone {
        std::iter::once(&self.signer.cert).chain(&self.chain)
    }

    /// What the certificates above a leaf permit and exclude, each once.
    pub fn constraints(&self) -> Vec<String> {
        let mut words: Vec<String> = self.above().flat_map(|cert| cert.constraints.words()).collect();
        words.sort();
        words.dedup();
        words
    }
}
