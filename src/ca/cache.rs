//! Remembers what was made from a leaf (the proxy keeps its TLS key material here), bounded, with
//! one mint per host at a time. A value is never handed out past its leaf's end, nor past the end
//! of the origin's certificate, whatever the clock did since.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use moka::Expiry;
use moka::future::Cache;
use moka::ops::compute::Op;
use time::OffsetDateTime;

use crate::net::{Host, KeyType};

/// Leaves by host, purpose, origin's certificate and key type, least recently used out first.
#[derive(Clone)]
pub struct LeafCache<V> {
    inner: Cache<LeafKey, Minted<V>>,
}

/// What a leaf is for; leaves of different purposes are never taken for one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Stands for an origin whose certificate was verified.
    Origin,
    /// Carries our own error page alone.
    ErrorPage,
    /// The proxy's own name, for clients that speak TLS to it.
    Proxy,
}

/// Made by [`super::Ca::leaf_key`], so that leaves of a rotated CA are not found any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeafKey {
    host: Host,
    purpose: Purpose,
    generation: u64,
    /// SHA-256 of the origin's certificate: a leaf says what that one says.
    origin: Option<[u8; 32]>,
    key: KeyType,
}

impl LeafKey {
    pub(super) fn new(host: &Host, purpose: Purpose, generation: u64) -> LeafKey {
        LeafKey { host: host.clone(), purpose, generation, origin: None, key: KeyType::Ecdsa }
    }

    /// The leaf that stands for this certificate.
    pub fn of_origin(self, sha256: Option<[u8; 32]>) -> LeafKey {
        LeafKey { origin: sha256, ..self }
    }

    /// The leaf with a key of this type.
    pub fn with(self, key: KeyType) -> LeafKey {
        LeafKey { key, ..self }
    }
}

/// A value and the validity of the leaf it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted<V> {
    pub value: V,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    pub minted: OffsetDateTime,
}

impl<V> Minted<V> {
    pub fn new(value: V, leaf: &super::Leaf, now: OffsetDateTime) -> Minted<V> {
        Minted { value, not_before: leaf.not_before, not_after: leaf.not_after, minted: now }
    }

    /// Leaves are replaced before they end: in the last tenth of their life, an hour at most.
    fn renew_at(&self) -> OffsetDateTime {
        let life: time::Duration = self.not_after - self.minted;
        self.not_after - (life / 10_i32).clamp(time::Duration::ZERO, time::Duration::HOUR)
    }

    fn is_good(&self, now: OffsetDateTime, cap: Option<OffsetDateTime>) -> bool {
        self.not_before <= now && now < self.renew_at() && cap.is_none_or(|cap| self.not_after <= cap)
    }
}

impl<V: Clone + Send + Sync + 'static> LeafCache<V> {
    /// Holds this many leaves at most (`Limits::leaf_cache`).
    pub fn new(capacity: u64) -> LeafCache<V> {
        LeafCache { inner: Cache::builder().max_capacity(capacity).expire_after(ByLeaf).build() }
    }

    /// The remembered value, if it is good at `now` and ends no later than `cap`. Never waits.
    pub fn get(&self, key: &LeafKey, now: OffsetDateTime, cap: Option<OffsetDateTime>) -> Option<V> {
        // A lookup is ready at its first poll unless the cache is just then evicting; that is
        // told as a miss, and the caller comes back through `get_or_mint`.
        let found = self.inner.get(key).now_or_never().flatten()?;
        found.is_good(now, cap).then_some(found.value)
    }

    /// The remembered value, or the one that `mint` makes; of several callers at a time for one
    /// key, one mints and all get its result, the error too.
    pub async fn get_or_mint<F, E>(
        &self,
        key: &LeafKey,
        now: OffsetDateTime,
        cap: Option<OffsetDateTime>,
        mint: F,
    ) -> Result<V, Arc<E>>
    where
        F: Future<Output = Result<Minted<V>, E>>,
        E: Send + Sync + 'static,
    {
        if let Some(found) = self.inner.get(key).await {
            if found.is_good(now, cap) {
                return Ok(found.value);
            }
            // The clock jumped, or the origin's certificate now ends earlier. Removed only if
            // still stale: another caller may have replaced it meanwhile.
            let drop_stale = |entry: Option<moka::Entry<LeafKey, Minted<V>>>| {
                let stale = entry.is_some_and(|entry| !entry.value().is_good(now, cap));
                std::future::ready(if stale { Op::Remove } else { Op::Nop })
            };
            self.inner.entry_by_ref(key).and_compute_with(drop_stale).await;
        }
        self.inner.try_get_with_by_ref(key, mint).await.map(|minted| minted.value)
    }

    /// Forgets every leaf (a rotated CA).
    pub fn clear(&self) {
        self.inner.invalidate_all();
    }

    /// Leaves held now, after pending evictions.
    pub async fn len(&self) -> u64 {
        self.inner.run_pending_tasks().await;
        self.inner.entry_count()
    }

    /// True when no leaf is held.
    pub async fn is_empty(&self) -> bool {
        self.len().await == 0
    }
}

/// Frees the entry's memory when its leaf is due, on the monotonic clock; `is_good` judges by the
/// wall clock at each use.
struct ByLeaf;

impl<V> Expiry<LeafKey, Minted<V>> for ByLeaf {
    fn expire_after_create(&self, _: &LeafKey, minted: &Minted<V>, _: Instant) -> Option<Duration> {
        Some(Duration::try_from(minted.renew_at() - minted.minted).unwrap_or(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 09:00 UTC);

    fn key(host: &str, purpose: Purpose) -> LeafKey {
        LeafKey::new(&Host::parse(host).unwrap(), purpose, 0)
    }

    fn minted(value: usize, hours: i64) -> Minted<usize> {
        let hour = time::Duration::HOUR;
        Minted { value, not_before: NOW - hour, not_after: NOW + hour * hours as i32, minted: NOW }
    }

    async fn put(cache: &LeafCache<usize>, key: &LeafKey, value: usize, hours: i64) -> usize {
        let mint = async { Ok::<_, ()>(minted(value, hours)) };
        cache.get_or_mint(key, NOW, None, mint).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_hundred_callers_of_one_host_mint_once() {
        let cache = LeafCache::new(16);
        let mints = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(tokio::sync::Barrier::new(100));
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (cache, mints, gate) = (cache.clone(), mints.clone(), gate.clone());
                tokio::spawn(async move {
                    gate.wait().await;
                    let mint = async {
                        tokio::task::yield_now().await;
                        Ok::<_, ()>(minted(mints.fetch_add(1, Ordering::SeqCst), 24))
                    };
                    cache.get_or_mint(&key("one.test", Purpose::Origin), NOW, None, mint).await
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(0));
        }
        assert_eq!(mints.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_error_is_not_remembered() {
        let cache: LeafCache<usize> = LeafCache::new(16);
        let key = key("one.test", Purpose::Origin);
        let failed = cache.get_or_mint(&key, NOW, None, async { Err("no") }).await;
        assert_eq!(failed.unwrap_err().as_ref(), &"no");
        assert_eq!(put(&cache, &key, 7, 24).await, 7);
    }

    #[tokio::test]
    async fn the_cache_stays_within_its_bound() {
        let cache = LeafCache::new(64);
        for i in 0..2000 {
            put(&cache, &key(&format!("h{i}.test"), Purpose::Origin), i, 24).await;
        }
        assert!(cache.len().await <= 64, "{}", cache.len().await);
        assert!(!cache.is_empty().await);
    }

    #[tokio::test]
    async fn a_hit_needs_the_same_host_purpose_generation_origin_and_key() {
        let cache = LeafCache::new(16);
        let origin = key("one.test", Purpose::Origin);
        put(&cache, &origin, 1, 24).await;
        assert_eq!(cache.get(&origin, NOW, None), Some(1));
        assert_eq!(cache.get(&key("one.test", Purpose::ErrorPage), NOW, None), None);
        assert_eq!(cache.get(&key("two.test", Purpose::Origin), NOW, None), None);
        assert_eq!(cache.get(&LeafKey { generation: 1, ..origin.clone() }, NOW, None), None);
        assert_eq!(cache.get(&origin.clone().of_origin(Some([1; 32])), NOW, None), None);
        assert_eq!(cache.get(&origin.clone().with(KeyType::Rsa), NOW, None), None);
        cache.clear();
        assert_eq!(cache.get(&origin, NOW, None), None);
    }

    #[tokio::test]
    async fn no_leaf_is_handed_out_past_its_end_or_before_its_start() {
        let hour = time::Duration::HOUR;
        let cases = [
            (NOW, true),
            (NOW + hour * 22, true),
            // The last hour of a day is for the next leaf.
            (NOW + hour * 23, false),
            (NOW + hour * 25, false),
            (NOW + hour * 24 * 400, false),
            (NOW - hour / 2, true),
            (NOW - hour * 2, false),
        ];
        for (at, good) in cases {
            let cache = LeafCache::new(16);
            let key = key("one.test", Purpose::Origin);
            put(&cache, &key, 1, 24).await;
            assert_eq!(cache.get(&key, at, None), good.then_some(1), "{at}");
            let again = Minted { value: 2, not_before: at - hour, not_after: at + hour * 24, minted: at };
            let got = cache.get_or_mint(&key, at, None, async { Ok::<_, ()>(again) }).await;
            assert_eq!(got, Ok(if good { 1 } else { 2 }), "{at}");
        }
    }

    #[tokio::test]
    async fn a_leaf_longer_than_the_origin_now_allows_is_replaced() {
        let cache = LeafCache::new(16);
        let key = key("one.test", Purpose::Origin);
        put(&cache, &key, 1, 24).await;
        let cap = Some(NOW + time::Duration::hours(5));
        assert_eq!(cache.get(&key, NOW, cap), None);
        let got = cache.get_or_mint(&key, NOW, cap, async { Ok::<_, ()>(minted(2, 5)) }).await;
        assert_eq!(got, Ok(2));
        assert_eq!(cache.get(&key, NOW, cap), Some(2));
        assert_eq!(cache.get(&key, NOW, None), Some(2));
    }
}
