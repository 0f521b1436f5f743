//! Idle origin connections. A connection is found again only by who may use it in the same way:
//! same origin, same scheme and protocol wish, same verification, same client. Clients never
//! share, because NTLM and Negotiate authenticate a connection, not a request.
//!
//! Each client has a shelf of its own with a bound, and makes room on its own shelf first: one that goes through
//! thousands of names costs nobody else a connection, and a bounded amount of memory.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use tokio::time::Instant;

use super::dial::OriginFacts;
use crate::message::send::Sender;
use crate::message::target::Scheme;
use crate::net::{Authority, Host, Limits};
use crate::policy::{Permit, VerificationId};
use crate::tls::connect::Offer;

/// Everything that two requests must have in common to share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    dial: Authority,
    server_name: Host,
    scheme: Scheme,
    offer: Offer,
    verification: VerificationId,
    client: IpAddr,
    identity: Option<Box<str>>,
}

impl PoolKey {
    pub fn new(permit: &Permit, scheme: Scheme, offer: Offer) -> PoolKey {
        PoolKey {
            dial: permit.dial().clone(),
            server_name: permit.server_name().clone(),
            scheme,
            offer,
            verification: permit.verification(),
            client: permit.client_ip(),
            identity: permit.identity().map(Into::into),
        }
    }
}

/// A connection between two exchanges.
pub struct Idle {
    key: PoolKey,
    sender: Sender,
    facts: Arc<OriginFacts>,
    since: Instant,
    served: bool,
}

impl Idle {
    /// A connection that has carried nothing yet.
    pub fn fresh(key: PoolKey, sender: Sender, facts: OriginFacts) -> Idle {
        Idle { key, sender, facts: Arc::new(facts), since: Instant::now(), served: false }
    }

    /// What is left of a lease whose exchange has ended with its body read to the end.
    pub fn after(key: PoolKey, lease: Lease) -> Idle {
        Idle { key, sender: lease.sender, facts: lease.facts, since: Instant::now(), served: true }
    }

    pub fn is_for(&self, key: &PoolKey) -> bool {
        self.key == *key
    }

    fn is_good(&self, now: Instant, limits: &Limits) -> bool {
        !self.sender.is_closed() && now - self.since <= limits.pool_idle
    }

    /// The lease of it; an HTTP/2 connection is shared and stays where it is.
    fn lease(self) -> (Lease, Option<Idle>) {
        let lease = |sender| Lease { sender, facts: self.facts.clone(), kept: true, served: self.served };
        match self.sender.share() {
            Some(shared) => (lease(shared), Some(Idle { since: Instant::now(), served: true, ..self })),
            None => (lease(self.sender), None),
        }
    }
}

/// The connection that a client connection keeps for itself, so that the usual case (one tunnel,
/// one origin) looks nowhere else.
#[derive(Default)]
pub struct Keep(Mutex<Option<Idle>>);

impl Keep {
    pub fn holding(idle: Option<Idle>) -> Keep {
        Keep(Mutex::new(idle))
    }

    /// Takes the kept connection if it is for this key; one for another key goes to the pool. What was verified by
    /// rules that hold no longer is of use to nobody, and is closed.
    pub fn take(&self, key: &PoolKey, pool: &Pool) -> Option<Lease> {
        let idle = self.slot().take()?;
        if !idle.is_for(key) {
            if idle.key.verification == key.verification {
                pool.put(idle);
            }
            return None;
        }
        if !idle.is_good(Instant::now(), &pool.limits) {
            return None;
        }
        let (lease, shared) = idle.lease();
        *self.slot() = shared;
        Some(lease)
    }

    /// Keeps a connection; when there is one already, this one goes to the pool.
    pub fn put(&self, idle: Idle, pool: &Pool) {
        let mut slot = self.slot();
        if slot.is_none() {
            *slot = Some(idle);
        } else {
            drop(slot);
            pool.put(idle);
        }
    }

    /// The client is gone: what it kept is for its next connection, if it ever asked for anything. One
    /// that was opened to verify an origin and then left alone is not worth its memory: a client
    /// that goes through thousands of names would fill the pool with them.
    pub fn release(&self, pool: &Pool) {
        if let Some(idle) = self.slot().take().filter(|idle| idle.served) {
            pool.put(idle);
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pool of one process.
pub struct Pool {
    shelves: DashMap<IpAddr, Shelf>,
    count: AtomicUsize,
    limits: Limits,
}

/// One client's connections.
#[derive(Default)]
struct Shelf {
    idle: HashMap<PoolKey, VecDeque<Idle>>,
    count: usize,
}

impl Shelf {
    /// Closes the connection that has been idle longest, if there is one.
    fn evict(&mut self) -> bool {
        let oldest = self.idle.iter().filter_map(|(key, list)| Some((list.front()?.since, key)));
        let Some((_, key)) = oldest.min_by_key(|(since, _)| *since) else { return false };
        let key = key.clone();
        let Some(list) = self.idle.get_mut(&key) else { return false };
        list.pop_front();
        if list.is_empty() {
            self.idle.remove(&key);
        }
        self.count -= 1;
        true
    }
}

/// A connection taken for one exchange.
pub struct Lease {
    pub sender: Sender,
    pub facts: Arc<OriginFacts>,
    /// It was at rest before, so its origin may have closed it meanwhile.
    pub kept: bool,
    /// It has carried an exchange before.
    pub served: bool,
}

impl Lease {
    pub fn fresh(sender: Sender, facts: OriginFacts) -> Lease {
        Lease { sender, facts: Arc::new(facts), kept: false, served: false }
    }
}

impl Pool {
    pub fn new(limits: &Limits) -> Arc<Pool> {
        Arc::new(Pool { shelves: DashMap::new(), count: AtomicUsize::new(0), limits: limits.clone() })
    }

    /// Takes the connection used last; a shared HTTP/2 connection stays in the pool as well.
    pub fn take(&self, key: &PoolKey) -> Option<Lease> {
        let mut shelf = self.shelves.get_mut(&key.client)?;
        let Shelf { idle, count } = &mut *shelf;
        let list = idle.get_mut(key)?;
        let now = Instant::now();
        while let Some(found) = list.pop_back() {
            if !found.is_good(now, &self.limits) {
                *count -= 1;
                self.count.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (lease, shared) = found.lease();
            match shared {
                Some(shared) => list.push_back(shared),
                None => {
                    *count -= 1;
                    self.count.fetch_sub(1, Ordering::Relaxed);
                }
            }
            return Some(lease);
        }
        None
    }

    /// Takes a connection in. At a bound another one is closed for it by being dropped: the oldest of the same kind,
    /// the client's oldest, and where it has none, one of the client that has most.
    pub fn put(&self, idle: Idle) {
        if idle.sender.is_closed() {
            return;
        }
        let mut shelf = self.shelves.entry(idle.key.client).or_default();
        if let Some(list) = shelf.idle.get_mut(&idle.key).filter(|list| !list.is_empty()) {
            if idle.sender.share().is_some() {
                // HTTP/2: the shared one is in the pool already.
                return;
            }
            if list.len() >= self.limits.pool_per_key {
                list.pop_front();
                list.push_back(idle);
                return;
            }
        }
        let full = self.count.load(Ordering::Relaxed) >= self.limits.pool_total;
        if full || shelf.count >= self.limits.pool_per_client {
            if shelf.evict() {
                self.count.fetch_sub(1, Ordering::Relaxed);
            } else {
                drop(shelf);
                self.evict();
                shelf = self.shelves.entry(idle.key.client).or_default();
            }
        }
        let Shelf { idle: lists, count } = &mut *shelf;
        lists.entry(idle.key.clone()).or_default().push_back(idle);
        *count += 1;
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes the oldest connection of the client that has most.
    fn evict(&self) {
        let most =
            self.shelves.iter().map(|shelf| (shelf.count, *shelf.key())).max().map(|(_, client)| client);
        if let Some(mut shelf) = most.and_then(|client| self.shelves.get_mut(&client))
            && shelf.evict()
        {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Drops connections that were idle for too long, and clients without any.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.shelves.retain(|_, shelf| {
            let before = shelf.count;
            shelf.idle.retain(|_, list| {
                list.retain(|idle| idle.is_good(now, &self.limits));
                !list.is_empty()
            });
            shelf.count = shelf.idle.values().map(VecDeque::len).sum();
            self.count.fetch_sub(before - shelf.count, Ordering::Relaxed);
            shelf.count > 0
        });
    }

    /// Closes every idle connection: what a changed policy forbids must not live on here.
    pub fn clear(&self) {
        self.shelves.retain(|_, shelf| {
            self.count.fetch_sub(shelf.count, Ordering::Relaxed);
            false
        });
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::*;
    use crate::net::{Alpn, OriginAddr};

    fn key(client: u8, host: &str) -> PoolKey {
        PoolKey {
            dial: Authority::parse(&format!("{host}:443"), None).unwrap(),
            server_name: Host::parse(host).unwrap(),
            scheme: Scheme::Https,
            offer: Offer::Http11Only,
            verification: VerificationId::default(),
            client: IpAddr::from([10, 0, 0, client]),
            identity: None,
        }
    }

    /// A pool, and the other ends of what was put into it.
    struct Bench {
        pool: Arc<Pool>,
        origins: Vec<DuplexStream>,
    }

    impl Bench {
        fn new(per_client: usize, total: usize) -> Bench {
            let (pool_per_client, pool_total, pool_per_key) = (per_client, total, 2);
            let limits = Limits { pool_per_client, pool_total, pool_per_key, ..Limits::default() };
            Bench { pool: Pool::new(&limits), origins: Vec::new() }
        }

        async fn put(&mut self, client: u8, host: &str) {
            let (ours, origin) = tokio::io::duplex(64);
            self.origins.push(origin);
            let sender = Sender::open(ours, Alpn::Http11, &Limits::default()).await.unwrap();
            let facts = OriginFacts::plain(OriginAddr::new(([127, 0, 0, 1], 443).into()));
            self.pool.put(Idle::fresh(key(client, host), sender, facts));
        }

        fn has(&self, client: u8, host: &str) -> bool {
            self.pool.take(&key(client, host)).is_some()
        }
    }

    #[tokio::test]
    async fn a_client_of_many_names_keeps_its_latest_connections_and_costs_nobody_else_one() {
        let mut bench = Bench::new(4, 100);
        bench.put(1, "other.test").await;
        for number in 0..50 {
            bench.put(2, &format!("h{number}.test")).await;
        }
        assert_eq!(bench.pool.len(), 5);
        assert!(bench.has(1, "other.test"));
        assert!(!bench.has(1, "other.test"), "it was taken");
        for number in 0..50 {
            assert_eq!(bench.has(2, &format!("h{number}.test")), number >= 46, "{number}");
        }
        assert!(bench.pool.is_empty());
    }

    #[tokio::test]
    async fn what_replaces_one_of_its_own_kind_costs_no_other() {
        for (per_client, total) in [(3, 100), (100, 3)] {
            let mut bench = Bench::new(per_client, total);
            for host in ["other.test", "h.test", "h.test", "h.test", "h.test"] {
                bench.put(1, host).await;
            }
            assert_eq!(bench.pool.len(), 3);
            assert!(bench.has(1, "other.test"), "{per_client} of {total}");
            assert!(bench.has(1, "h.test") && bench.has(1, "h.test") && !bench.has(1, "h.test"));
        }
    }

    #[tokio::test]
    async fn a_full_pool_makes_room_where_most_is() {
        let mut bench = Bench::new(100, 6);
        for number in 0..5 {
            bench.put(1, &format!("h{number}.test")).await;
        }
        bench.put(2, "other.test").await;
        // Its own oldest goes first.
        bench.put(1, "h5.test").await;
        assert_eq!(bench.pool.len(), 6);
        assert!(!bench.has(1, "h0.test"));
        // One that has none takes from who has most.
        bench.put(3, "third.test").await;
        assert_eq!(bench.pool.len(), 6);
        assert!(!bench.has(1, "h1.test") && bench.has(1, "h2.test"));
        assert!(bench.has(2, "other.test") && bench.has(3, "third.test"));
        bench.pool.clear();
        assert!(bench.pool.is_empty());
    }
}
