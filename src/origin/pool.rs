//! Idle origin connections. A connection is found again only by who may use it in the same way:
//! same origin, same scheme and protocol wish, same verification, same client. Clients never
//! share, because NTLM and Negotiate authenticate a connection, not a request.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

struct Idle {
    sender: Sender,
    facts: Arc<OriginFacts>,
    since: Instant,
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
    /// It has carried an exchange before, so its origin may have closed it meanwhile.
    pub used: bool,
}

impl Lease {
    pub fn fresh(sender: Sender, facts: OriginFacts) -> Lease {
        Lease { sender, facts: Arc::new(facts), used: false }
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
        while let Some(mut found) = list.pop_back() {
            if found.sender.is_closed() || now - found.since > self.limits.pool_idle {
                self.count.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let facts = found.facts.clone();
            if let Some(shared) = found.sender.share() {
                found.since = now;
                list.push_back(found);
                return Some(Lease { sender: shared, facts, used: true });
            }
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Some(Lease { sender: found.sender, facts, used: true });
        }
        None
    }

    /// Gives a connection back whose exchange has ended with its body read to the end. Over the
    /// bounds the connection is closed by being dropped.
    pub fn put(&self, key: PoolKey, sender: Sender, facts: Arc<OriginFacts>) {
        if sender.is_closed() || self.count.load(Ordering::Relaxed) >= self.limits.pool_total {
            return;
        }
        let mut list = self.idle.entry(key).or_default();
        if sender.share().is_some() && !list.is_empty() {
            // HTTP/2: the shared one is in the pool already.
            return;
        }
        if list.len() >= self.limits.pool_per_key {
            list.pop_front();
        } else {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        list.push_back(Idle { sender, facts, since: Instant::now() });
    }

    /// Drops connections that were idle for too long, and keys without any.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.idle.retain(|_, list| {
            let before = list.len();
            list.retain(|idle| !idle.sender.is_closed() && now - idle.since <= self.limits.pool_idle);
            self.count.fetch_sub(before - list.len(), Ordering::Relaxed);
            !list.is_empty()
        });
    }

    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
