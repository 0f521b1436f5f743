//! Leaves for hosts: what an origin's certificate says, as a leaf of ours with the type of key that
//! the client needs, made ready to serve and remembered. Minting is asked for only after the
//! origin was verified; which origins were, lately, is remembered here too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use time::OffsetDateTime;

use super::respond::Problem;
use crate::ca::{Ca, CaError, KeyPool, Leaf, LeafCache, LeafPair, LeafProfile, Minted, Purpose};
use crate::metrics::Metrics;
use crate::net::{Authority, Host, KeyType, Limits};
use crate::policy::{Permit, VerificationId};
use crate::tls::LeafConfig;
use crate::tls::accept::{LeafConfigs, LeafError, ServerKey};
use crate::tls::verify::CertificateInfo;

/// Leaves for hosts, and which origins were verified lately.
pub struct Leaves {
    ca: Arc<Ca>,
    lifetime: time::Duration,
    configs: LeafConfigs,
    cache: LeafCache<LeafConfig>,
    keys: KeyPool,
    rsa: RsaKey,
    /// Held by a mint that may have to wait; a hundred of them would take a hundred threads.
    slow: Arc<tokio::sync::Mutex<()>>,
    verified: Cache<Verified, Arc<CertificateInfo>>,
    own_host: Host,
    metrics: Arc<Metrics>,
}

/// What a verification was good for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Verified {
    name: Host,
    dial: Authority,
    by: VerificationId,
}

impl Verified {
    pub(super) fn of(permit: &Permit) -> Verified {
        Verified {
            name: permit.server_name().clone(),
            dial: permit.dial().clone(),
            by: permit.verification(),
        }
    }
}

/// No leaf for a host.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Leaf(#[from] LeafError),
    #[error("the leaf was not made: {0}")]
    Task(String),
}

impl MintError {
    pub(super) fn problem(&self) -> Problem {
        let code = match self {
            MintError::Ca(error) => error.code(),
            MintError::Leaf(_) | MintError::Task(_) => "leaf",
        };
        Problem::Mint { code, sentence: self.to_string() }
    }
}

/// What a leaf for a host is to say: what its origin's certificate says, as far as ours may.
pub fn profile(host: &Host, origin: Option<&CertificateInfo>, lifetime: time::Duration) -> LeafProfile {
    let date = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
    let mut profile = LeafProfile::new(host);
    profile.lifetime = lifetime;
    if let Some(info) = origin {
        profile.copy_names(info.names.iter().map(String::as_str), info.common_name.as_deref());
        profile.not_before_floor = date(info.not_before);
        profile.not_after_cap = date(info.not_after);
        profile.origin = digest(info);
    }
    profile
}

fn digest(info: &CertificateInfo) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(&info.fingerprint, &mut digest).ok()?;
    Some(digest)
}

/// What a leaf is for.
pub(super) enum For<'a> {
    /// Stands for the origin that showed this certificate, after it was verified.
    Origin(&'a CertificateInfo),
    /// Carries our own error page alone.
    ErrorPage,
    Proxy,
}

impl Leaves {
    /// `own_host` names the proxy to clients that speak TLS to it without saying a name; leaves
    /// live for `lifetime` at most.
    pub fn new(
        ca: Arc<Ca>,
        own_host: Host,
        lifetime: Duration,
        limits: &Limits,
        metrics: Arc<Metrics>,
    ) -> Result<Leaves, LeafError> {
        Ok(Leaves {
            ca,
            lifetime: time::Duration::try_from(lifetime).unwrap_or(crate::ca::LEAF_LIFETIME),
            configs: LeafConfigs::new()?,
            cache: LeafCache::new(limits.leaf_cache),
            keys: KeyPool::start(),
            rsa: RsaKey::default(),
            slow: Arc::default(),
            verified: Cache::builder()
                .max_capacity(limits.leaf_cache)
                .time_to_live(limits.verified_time)
                .build(),
            own_host,
            metrics,
        })
    }

    /// Leaves made from now on write their sessions' secrets down.
    pub fn log_keys(&mut self, log: Arc<crate::tls::KeyLog>) {
        self.configs.log_keys(log);
    }

    pub fn own_host(&self) -> Host {
        self.own_host.clone()
    }

    /// The leaf for a host, minted if there is none yet that is good now. It is kept apart from
    /// those that other certificates of the host's origin stand behind.
    pub(super) async fn leaf(
        &self,
        host: &Host,
        what: For<'_>,
        key_type: KeyType,
    ) -> Result<LeafConfig, Arc<MintError>> {
        let now = OffsetDateTime::now_utc();
        let (purpose, origin) = match what {
            For::Origin(info) => (Purpose::Origin, Some(info)),
            For::ErrorPage => (Purpose::ErrorPage, None),
            For::Proxy => (Purpose::Proxy, None),
        };
        let cap = origin.and_then(|info| OffsetDateTime::from_unix_timestamp(info.not_after).ok());
        let sha256 = origin.and_then(digest);
        let key = self.ca.leaf_key(host, purpose).of_origin(sha256).with(key_type);
        if let Some(found) = self.cache.get(&key, now, cap) {
            self.metrics.mint_hits.increment();
            return Ok(found);
        }
        let mint = async {
            self.metrics.mints.increment();
            let mut profile = profile(host, origin, self.lifetime);
            profile.key = Some(match key_type {
                KeyType::Ecdsa => self.keys.take()?,
                KeyType::Rsa => self.rsa.get().await?,
            });
            let leaf = self.mint(profile, now).await?;
            let key = match &leaf.key {
                LeafPair::Ecdsa(key) => ServerKey::Ecdsa(key.clone()),
                LeafPair::Rsa(key) => ServerKey::Rsa(key.clone()),
            };
            let config = self.configs.build(leaf.chain.clone(), key)?;
            Ok(Minted::new(config, &leaf, now))
        };
        self.cache.get_or_mint(&key, now, cap, mint).await
    }

    /// On a thread of its own while the CA has files to write or a token to ask, one at a time.
    async fn mint(&self, profile: LeafProfile, now: OffsetDateTime) -> Result<Leaf, MintError> {
        if self.ca.mints_in_memory(now) {
            return Ok(self.ca.mint(&profile, now)?);
        }
        let turn = self.slow.clone().lock_owned().await;
        let ca = self.ca.clone();
        let minted = tokio::task::spawn_blocking(move || {
            // It is over with the work, not with whoever waits for it.
            let _turn = turn;
            ca.mint(&profile, now)
        })
        .await;
        Ok(minted.map_err(|error| MintError::Task(error.to_string()))??)
    }

    /// Why there is no leaf for any host, until somebody does something about the CA.
    pub(super) fn ended(&self) -> Option<Problem> {
        self.ca.ended(OffsetDateTime::now_utc()).map(|error| MintError::Ca(error).problem())
    }

    /// Why the CA may not issue for a host; none when it may.
    pub(super) fn outside(&self, host: &Host) -> Option<String> {
        self.ca.outside(&host.clone().into())
    }

    /// The certificate that this verification saw, while both are good.
    pub(super) fn verified(&self, key: &Verified) -> Option<Arc<CertificateInfo>> {
        let info = self.verified.get(key)?;
        // One that ended since is for the origin to show again, and for us to refuse.
        (info.not_after > OffsetDateTime::now_utc().unix_timestamp()).then_some(info)
    }

    pub(super) fn remember(&self, key: Verified, info: Arc<CertificateInfo>) {
        self.verified.insert(key, info);
    }

    /// Origins are judged by other rules from now on.
    pub fn forget_verified(&self) {
        self.verified.invalidate_all();
    }

    /// Renews what signs leaves, when it is time.
    pub async fn refresh(&self) {
        let ca = self.ca.clone();
        let renewed = tokio::task::spawn_blocking(move || ca.refresh(OffsetDateTime::now_utc())).await;
        if let Ok(Err(error)) = renewed {
            tracing::warn!(code = error.code(), %error, fix = error.fix(), "the CA was not renewed");
        }
    }
}

/// The RSA key of all leaves that need one, made when the first of them is asked for and again
/// after a day, on a thread where it holds nobody up.
///
/// Not a key for each leaf: making one takes a tenth of a second, so that a client that offers RSA
/// alone and asks for many names would keep every core busy. Keys of a process stand and fall
/// together anyway; what a day of one key can cost is bounded by the leaves' own dates.
#[derive(Default)]
struct RsaKey(tokio::sync::Mutex<Option<(LeafPair, Instant)>>);

/// As long as a leaf lives by default.
const RSA_KEY_AGE: Duration = Duration::from_secs(24 * 3600);

impl RsaKey {
    async fn get(&self) -> Result<LeafPair, MintError> {
        let mut held = self.0.lock().await;
        if let Some((key, made)) = &*held
            && made.elapsed() < RSA_KEY_AGE
        {
            return Ok(key.clone());
        }
        let made = tokio::task::spawn_blocking(LeafPair::rsa).await;
        let key = made.map_err(|error| MintError::Task(error.to_string()))??;
        *held = Some((key.clone(), Instant::now()));
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::CaDir;

    #[tokio::test]
    async fn a_renewal_that_has_to_wait_holds_up_nobody_else() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("ca");
        // Half an hour before its intermediate ends, and no timer came by.
        let made = OffsetDateTime::now_utc() - time::Duration::days(7) + time::Duration::minutes(30);
        let ca = Arc::new(CaDir::new(&dir).open_or_create(made).unwrap());
        let host = Host::parse("a.test").unwrap();
        let (limits, metrics) = (Limits::default(), Arc::new(Metrics::default()));
        let leaves = Leaves::new(ca.clone(), host.clone(), Duration::from_secs(3600), &limits, metrics);
        let leaves = leaves.unwrap();
        let lock = std::fs::File::options().write(true).open(dir.join("lock")).unwrap();
        lock.lock().unwrap();
        // This test has one thread: were the renewal on it, the lock would never be let go of.
        let release = async { drop(lock) };
        let (leaf, ()) = tokio::join!(leaves.leaf(&host, For::ErrorPage, KeyType::Ecdsa), release);
        leaf.unwrap();
        assert_eq!(ca.generation(), 1, "renewed");
    }

    #[tokio::test]
    async fn a_slow_mint_keeps_its_turn_when_nobody_waits_for_it_any_more() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("ca");
        let made = OffsetDateTime::now_utc() - time::Duration::days(7) + time::Duration::minutes(30);
        let ca = Arc::new(CaDir::new(&dir).open_or_create(made).unwrap());
        let host = Host::parse("a.test").unwrap();
        let (limits, metrics) = (Limits::default(), Arc::new(Metrics::default()));
        let leaves = Leaves::new(ca.clone(), host.clone(), Duration::from_secs(3600), &limits, metrics);
        let leaves = leaves.unwrap();
        let lock = std::fs::File::options().write(true).open(dir.join("lock")).unwrap();
        lock.lock().unwrap();
        {
            let mint = leaves.mint(profile(&host, None, time::Duration::HOUR), OffsetDateTime::now_utc());
            let mint = Box::pin(mint);
            let begun = futures_util::future::poll_immediate(mint).await;
            assert!(begun.is_none(), "it has to wait for the lock");
        }
        assert!(leaves.slow.try_lock().is_err(), "it goes on");
        drop(lock);
        let _turn = leaves.slow.lock().await;
        assert_eq!(ca.generation(), 1, "renewed");
    }
}
