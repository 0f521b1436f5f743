//! Persistent collections in this process's memory: bounded in number and size, gone with the
//! process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Persistent, Store, Variables};

/// Collections and rate limits kept at most, all kinds together.
const COLLECTIONS: usize = 100_000;
/// Variables in one collection, and bytes of one value.
const VARIABLES: usize = 256;
const VALUE: usize = 4 * 1024;
/// A collection that nobody opened for so long is gone (ModSecurity's SecCollectionTimeout).
const TIMEOUT: u64 = 3_600_000;

/// The store.
#[derive(Debug, Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    collections: HashMap<(Persistent, Vec<u8>), Collection>,
    limits: HashMap<(u32, Vec<u8>), Window>,
}

#[derive(Debug, Default)]
struct Collection {
    used: u64,
    variables: HashMap<Vec<u8>, Variable>,
}

#[derive(Debug, Default)]
struct Variable {
    value: Vec<u8>,
    until: Option<u64>,
}

#[derive(Debug, Default)]
struct Window {
    start: u64,
    before: u64,
    count: u64,
}

impl Memory {
    fn with<T>(&self, kind: Persistent, key: &[u8], now: u64, act: impl FnOnce(&mut Collection) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.collections.len() >= COLLECTIONS {
            inner.collections.retain(|_, collection| now.saturating_sub(collection.used) < TIMEOUT);
            if inner.collections.len() >= COLLECTIONS {
                inner.collections.clear();
            }
        }
        let collection = inner.collections.entry((kind, key.to_vec())).or_default();
        if now.saturating_sub(collection.used) >= TIMEOUT {
            collection.variables.clear();
        }
        collection.used = now;
        collection.variables.retain(|_, variable| variable.until.is_none_or(|until| now < until));
        act(collection)
    }
}

impl Store for Memory {
    fn open(&self, kind: Persistent, key: &[u8], now: u64) -> Variables {
        self.with(kind, key, now, |collection| {
            collection
                .variables
                .iter()
                .map(|(name, variable)| (name.clone(), variable.value.clone()))
                .collect()
        })
    }

    fn set(&self, kind: Persistent, key: &[u8], name: &[u8], value: Option<&[u8]>, now: u64) {
        self.with(kind, key, now, |collection| match value {
            None => {
                collection.variables.remove(name);
            }
            Some(value) => {
                if collection.variables.len() < VARIABLES || collection.variables.contains_key(name) {
                    collection.variables.entry(name.to_vec()).or_default().value =
                        value[..value.len().min(VALUE)].to_vec();
                }
            }
        });
    }

    fn add(&self, kind: Persistent, key: &[u8], name: &[u8], by: i64, now: u64) -> i64 {
        self.with(kind, key, now, |collection| {
            let old = collection.variables.get(name).map_or(0, |v| crate::waf::operator::number(&v.value));
            let sum = old.saturating_add(by);
            if collection.variables.len() < VARIABLES || collection.variables.contains_key(name) {
                collection.variables.entry(name.to_vec()).or_default().value = sum.to_string().into_bytes();
            }
            sum
        })
    }

    fn expire(&self, kind: Persistent, key: &[u8], name: &[u8], at: u64, now: u64) {
        self.with(kind, key, now, |collection| {
            if let Some(variable) = collection.variables.get_mut(name) {
                variable.until = Some(at);
            }
        });
    }

    fn hit(&self, rule: u32, key: &[u8], seconds: u32, now: u64) -> u64 {
        let length = u64::from(seconds) * 1000;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.limits.len() >= COLLECTIONS {
            inner.limits.clear();
        }
        let window = inner.limits.entry((rule, key.to_vec())).or_default();
        let passed = now.saturating_sub(window.start);
        if passed >= length {
            window.before = if passed < 2 * length { window.count } else { 0 };
            window.count = 0;
            window.start = now - passed % length;
        }
        window.count += 1;
        let rest = length - now.saturating_sub(window.start).min(length);
        window.count + window.before * rest / length.max(1)
    }
}
