//! Idle origin connections. A connection is found again only by who may use it in the same way:
//! same origin, same scheme and protocol wish, same verification, same client. Clients never
//! share, because NTLM and Negotiate authenticate a connection, not a request.

use std::collections::VecDeque;
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
    idle: DashMap<PoolKey, VecDeque<Idle>>,
    count: AtomicUsize,
    limits: Limits,
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
        Arc::new(Pool { idle: DashMap::new(), count: AtomicUsize::new(0), limits: limits.clone() })
    }

    /// Takes the connection used last; a shared HTTP/2 connection stays in the pool as well.
    pub fn take(&self, key: &PoolKey) -> Option<Lease> {
        let mut list = self.idle.get_mut(key)?;
        let now = Instant::now();
        while let Some(found) = list.pop_back() {
            self.count.fetch_sub(1, Ordering::Relaxed);
            if !found.is_good(now, &self.limits) {
                continue;
            }
            let (lease, shared) = found.lease();
            if let Some(shared) = shared {
                self.count.fetch_add(1, Ordering::Relaxed);
                list.push_back(shared);
            }
            return Some(lease);
        }
        None
    }

    /// Takes a connection in. At a bound another one, older where that is cheap to tell, is closed
    /// for it by being dropped.
    pub fn put(&self, idle: Idle) {
        if idle.sender.is_closed() {
            return;
        }
        if self.count.load(Ordering::Relaxed) >= self.limits.pool_total {
            self.evict();
        }
        let mut list = self.idle.entry(idle.key.clone()).or_default();
        if idle.sender.share().is_some() && !list.is_empty() {
            // HTTP/2: the shared one is in the pool already.
            return;
        }
        if list.len() >= self.limits.pool_per_key {
            list.pop_front();
        } else {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        list.push_back(idle);
    }

    /// Closes the oldest connection of whichever key comes first.
    fn evict(&self) {
        let Some(key) = self.idle.iter().find(|entry| !entry.is_empty()).map(|entry| entry.key().clone())
        else {
            return;
        };
        let emptied = self.idle.get_mut(&key).is_some_and(|mut list| {
            if list.pop_front().is_some() {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
            list.is_empty()
        });
        if emptied {
            self.idle.remove_if(&key, |_, list| list.is_empty());
        }
    }

    /// Drops connections that were idle for too long, and keys without any.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.idle.retain(|_, list| {
            let before = list.len();
            list.retain(|idle| idle.is_good(now, &self.limits));
            self.count.fetch_sub(before - list.len(), Ordering::Relaxed);
            !list.is_empty()
        });
    }

    /// Closes every idle connection: what a changed policy forbids must not live on here.
    pub fn clear(&self) {
        self.idle.retain(|_, list| {
            self.count.fetch_sub(list.len(), Ordering::Relaxed);
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
