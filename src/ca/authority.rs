//! The CA at work: mints leaves, renews itself, and says how it is. Shared by all connections; what
//! it signs with is replaced whole, so that a mint sees the old CA or the new one.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::CaError;
use super::cache::{LeafKey, Purpose};
use super::export::{fingerprint, sha256, sha256_hex};
use super::issue::rotates_at;
use super::leaf::{self, Leaf, LeafName, LeafProfile, whole_seconds};
use super::log::{MintLog, MintRecord};
use super::root::{CaDir, Loaded, RootKey};
use crate::net::Host;

const ROOT_WARNING: Duration = Duration::days(30);
const INTERMEDIATE_WARNING: Duration = Duration::days(2);

/// After a failure no mint asks for a refresh for so long: each waits ten seconds for a lock that somebody holds.
const RETRY: Duration = Duration::MINUTE;

/// A CA that mints. Shared by all connections; what it signs with is replaced whole.
pub struct Ca {
    dir: CaDir,
    current: ArcSwap<Loaded>,
    generation: AtomicU64,
    /// One refresh at a time. When the last one that a mint asked for failed.
    refreshing: Mutex<Option<OffsetDateTime>>,
    log: OnceLock<MintLog>,
    /// Codes of the warnings that the log has.
    told: Mutex<Vec<&'static str>>,
}

/// What `refresh` and `reload` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The same certificates as before.
    Unchanged,
    /// Leaves are signed by another certificate from now on.
    Changed,
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
    /// What it may issue for, in words; empty for everything.
    pub constraints: Vec<String>,
    pub warnings: Vec<CaWarning>,
}

/// A clock that was set back does not put off the next attempt.
fn may_retry(failed: Option<OffsetDateTime>, now: OffsetDateTime) -> bool {
    failed.is_none_or(|at| (now - at).abs() >= RETRY)
}

impl Ca {
    pub(super) fn new(dir: CaDir, loaded: Loaded) -> Ca {
        Ca {
            dir,
            current: ArcSwap::from_pointee(loaded),
            generation: AtomicU64::new(0),
            refreshing: Mutex::default(),
            log: OnceLock::new(),
            told: Mutex::default(),
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

    /// Waits, so long at most, until every mint is in the log.
    pub fn flush_log(&self, limit: std::time::Duration) -> bool {
        self.log.get().is_none_or(|log| log.flush(limit))
    }

    /// Mint records that could not be written since start.
    pub fn lost_records(&self) -> u64 {
        self.log.get().map_or(0, MintLog::lost)
    }

    /// The cache key of a host's leaf under the CA as it is now.
    pub fn leaf_key(&self, host: &Host, purpose: Purpose) -> LeafKey {
        LeafKey::new(host, purpose, self.generation())
    }

    /// Counts the changes of what signs leaves.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Why no certificate above a leaf lets it carry this name; none when all do.
    pub fn outside(&self, name: &LeafName) -> Option<String> {
        self.current.load().above().find_map(|cert| cert.constraints.refuse(name))
    }

    /// Why no leaf can be minted any more, if so, until a person has done something.
    pub fn ended(&self, now: OffsetDateTime) -> Option<CaError> {
        let loaded = self.current.load();
        if let Some(at) = loaded.chain.iter().map(|cert| cert.not_after).min().filter(|end| now >= *end) {
            return Some(CaError::Expired { path: self.dir.root_pem(), at });
        }
        let end = loaded.signer.cert.not_after;
        if now >= end && !loaded.root_key.is_here() {
            let why = format!("the intermediate expired at {end}");
            return Some(CaError::RootKeyMissing { key: self.dir.root_key(), why });
        }
        None
    }

    /// Whether a mint now takes some fifty microseconds of one core and nothing else. Else it may wait for files or
    /// for a token, and belongs on a thread that may be held up.
    pub fn mints_in_memory(&self, now: OffsetDateTime) -> bool {
        let loaded = self.current.load();
        // Held: somebody is at it, and a mint would wait for him.
        let may_refresh = || self.refreshing.try_lock().map_or(true, |failed| may_retry(*failed, now));
        !(loaded.signer.in_token() || loaded.is_due(now) && may_refresh())
    }

    /// Mints a leaf with a key of its own. Refreshes the CA first if it is about to end and nobody did (the timer
    /// does it days earlier).
    pub fn mint(&self, profile: &LeafProfile, now: OffsetDateTime) -> Result<Leaf, CaError> {
        if self.current.load().is_due(now) {
            self.refresh_before_mint(now);
        }
        let loaded = self.current.load_full();
        if let Some(error) = self.ended(now) {
            return Err(error);
        }
        let minted = leaf::mint(&loaded.signer, loaded.above(), &loaded.served, profile, now)?;
        if let Some(log) = self.log.get() {
            let (names, serial, leaf) = (minted.names.clone(), minted.serial, minted.chain[0].clone());
            let (not_before, not_after, origin) = (minted.not_before, minted.not_after, profile.origin);
            log.record(move || MintRecord {
                time: whole_seconds(now),
                names: names.iter().map(LeafName::to_string).collect(),
                serial: serial.to_string(),
                not_before,
                not_after,
                sha256: sha256_hex(&leaf),
                origin_sha256: origin.map(hex::encode),
            });
        }
        Ok(minted)
    }

    /// Renews the intermediate when half its life is over, and takes up what others changed in
    /// the folder. On an error the CA goes on with what it has. Reads and writes files; call it
    /// from a timer (hourly), off the event loop.
    pub fn refresh(&self, now: OffsetDateTime) -> Result<Refreshed, CaError> {
        let _one = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_up(now)
    }

    fn refresh_before_mint(&self, now: OffsetDateTime) {
        let mut failed = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        // Others may have done it, or tried it, while this one waited.
        if !self.current.load().is_due(now) || !may_retry(*failed, now) {
            return;
        }
        *failed = None;
        if let Err(error) = self.take_up(now) {
            *failed = Some(now);
            tracing::warn!(code = error.code(), %error, fix = error.fix(), "the CA was not renewed");
        }
    }

    fn take_up(&self, now: OffsetDateTime) -> Result<Refreshed, CaError> {
        let loaded = self.dir.load_existing(now)?;
        let current = self.current.load();
        let same = current.served == loaded.served && current.signer.cert.der == loaded.signer.cert.der;
        self.current.store(Arc::new(loaded));
        self.tell_warnings(now);
        if same {
            return Ok(Refreshed::Unchanged);
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        tracing::info!(
            issuer = self.status(now).issuer,
            "leaves are signed by another certificate from now on"
        );
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
            directory: self.dir.path().to_path_buf(),
            subject: anchor.name.clone(),
            sha256: fingerprint(&anchor.der),
            not_before: anchor.not_before,
            not_after: loaded.chain.iter().map(|c| c.not_after).min().unwrap_or(anchor.not_after),
            root_key: loaded.root_key,
            issuer: loaded.signer.cert.name.clone(),
            issuer_not_after: loaded.signer.cert.not_after,
            rotates_at: loaded.has_intermediate.then(|| rotates_at(&loaded.signer.cert)),
            previous: loaded.previous.iter().map(|cert| fingerprint(&cert.der)).collect(),
            constraints: loaded.constraints(),
            warnings: self.warnings(now),
        }
    }

    /// Puts into the log what is new since it was last told.
    pub fn tell_warnings(&self, now: OffsetDateTime) {
        let warnings = self.warnings(now);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings.iter().filter(|warning| !told.contains(&warning.code)) {
            tracing::warn!(code = warning.code, fix = warning.fix, "{}", warning.message);
        }
        *told = warnings.iter().map(|warning| warning.code).collect();
    }

    /// What is going to stop this CA, for the log at start and the health page.
    pub fn warnings(&self, now: OffsetDateTime) -> Vec<CaWarning> {
        let loaded = self.current.load();
        let dir = super::error::quote(self.dir.path());
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
        if loaded.plain_key {
            warnings.push(CaWarning {
                code: "ca_key_not_encrypted",
                message: "there is a passphrase, but the root key is not under it".into(),
                fix: format!("portward ca passwd --ca {dir}   # with --new-passphrase-file"),
            });
        }
        if !loaded.root_key.is_here() {
            let away = loaded.root_key == RootKey::TokenAway;
            let soon = issuer.not_after - now < INTERMEDIATE_WARNING;
            warnings.push(CaWarning {
                code: if soon { "ca_intermediate_expires" } else { "ca_root_key_offline" },
                message: format!(
                    "the root key {}: the intermediate should be renewed from {}, and ends at {}",
                    if away { "is in a token that does not answer" } else { "is not here" },
                    rotates_at(issuer),
                    issuer.not_after
                ),
                fix: if away {
                    format!(
                        "put the token back, see that its PIN is given, run: portward ca rotate --ca {dir}"
                    )
                } else {
                    format!("put root.key back into {dir}, run: portward ca rotate --ca {dir}")
                },
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
