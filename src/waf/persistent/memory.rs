//! Persistent collections in this process's memory: bounded in number and bytes, gone with the
//! process. When there is no more room, those that nobody used for longest go first, so that a
//! client who invents keys pushes out idle ones and not those that are being counted.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use super::{Persistent, Store, Variables};
use crate::waf::operator;

/// Exchanges of different clients seldom wait for each other with so many locks.
const SHARDS: usize = 16;
/// Collections and rate limits of one generation of one shard, and their bytes: with two
/// generations and all shards about 130,000 collections and 64 MiB.
const ENTRIES: usize = 4 * 1024;
const BYTES: usize = 2 * 1024 * 1024;
/// Variables in one collection, and bytes of one name and one value.
const VARIABLES: usize = 256;
const NAME: usize = 256;
const VALUE: usize = 4 * 1024;
/// A longer key is not kept: rules open collections under addresses and session ids.
const KEY: usize = 1024;
/// What an entry takes beside its bytes.
const OVERHEAD: usize = 96;
/// A collection that nobody opened for so long is gone, as SecCollectionTimeout has it.
const TIMEOUT: u64 = 3_600_000;

/// The store.
#[derive(Debug)]
pub struct Memory {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    collections: Generations<(Persistent, Vec<u8>), Collection>,
    windows: Generations<(u32, Vec<u8>), Window>,
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

/// Hits in the window that runs and in the one before.
#[derive(Debug, Default)]
struct Window {
    start: u64,
    before: u64,
    count: u64,
}

/// A map that forgets: entries that are used stay in the young generation or return to it; when
/// that is full it becomes the old one, and what was in the old one is gone.
#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    bytes: usize,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Generations<K, V> {
        Generations { young: HashMap::new(), old: HashMap::new(), bytes: 0 }
    }
}

impl<K: Eq + Hash + Clone, V: Default> Generations<K, V> {
    /// The entry, made if need be; `weigh` tells its bytes.
    fn entry(&mut self, key: K, weigh: impl Fn(&K, &V) -> usize) -> &mut V {
        if !self.young.contains_key(&key) {
            let value = self.old.remove(&key).unwrap_or_default();
            let weight = weigh(&key, &value);
            if self.young.len() >= ENTRIES || self.bytes + weight > BYTES {
                self.old = std::mem::take(&mut self.young);
                self.bytes = 0;
            }
            self.bytes += weight;
            self.young.insert(key.clone(), value);
        }
        self.young.entry(key).or_default()
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { shards: Default::default(), hasher: RandomState::new() }
    }
}

impl Memory {
    fn shard<T>(&self, key: &[u8], act: impl FnOnce(&mut Shard) -> T) -> T {
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        // What a panic elsewhere left half done is a counter at most.
        act(&mut self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with<T: Default>(
        &self,
        kind: Persistent,
        key: &[u8],
        now: u64,
        act: impl FnOnce(&mut Collection) -> T,
    ) -> T {
        if key.len() > KEY {
            return T::default();
        }
        self.shard(key, |shard| {
            let weigh = |(_, key): &(Persistent, Vec<u8>), collection: &Collection| {
                OVERHEAD + key.len() + collection.weight()
            };
            let collection = shard.collections.entry((kind, key.to_vec()), weigh);
            if now.saturating_sub(collection.used) >= TIMEOUT {
                collection.variables.clear();
            }
            collection.used = now;
            collection.variables.retain(|_, variable| variable.until.is_none_or(|until| now < until));
            let before = collection.weight();
            let result = act(collection);
            let grown = collection.weight().saturating_sub(before);
            shard.collections.bytes += grown;
            result
        })
    }
}

impl Collection {
    fn weight(&self) -> usize {
        self.variables.iter().map(|(name, variable)| OVERHEAD + name.len() + variable.value.len()).sum()
    }

    fn put(&mut self, name: &[u8], value: &[u8]) {
        if name.len() > NAME || (self.variables.len() >= VARIABLES && !self.variables.contains_key(name)) {
            return;
        }
        self.variables.entry(name.to_vec()).or_default().value = value[..value.len().min(VALUE)].to_vec();
    }
}

impl Store for Memory {
    fn open(&self, kind: Persistent, key: &[u8], now: u64) -> Variables {
        self.with(kind, key, now, |collection| {
            let variables = collection.variables.iter();
            variables.map(|(name, variable)| (name.clone(), variable.value.clone())).collect()
        })
    }

    fn set(&self, kind: Persistent, key: &[u8], name: &[u8], value: Option<&[u8]>, now: u64) {
        self.with(kind, key, now, |collection| match value {
            None => drop(collection.variables.remove(name)),
            Some(value) => collection.put(name, value),
        });
    }

    fn add(&self, kind: Persistent, key: &[u8], name: &[u8], by: i64, now: u64) -> i64 {
        self.with(kind, key, now, |collection| {
            let old = collection.variables.get(name).map_or(0, |old| operator::number(&old.value));
            let sum = old.saturating_add(by);
            collection.put(name, sum.to_string().as_bytes());
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
        let length = u64::from(seconds.max(1)) * 1000;
        let key = &key[..key.len().min(KEY)];
        self.shard(key, |shard| {
            let weigh = |(_, key): &(u32, Vec<u8>), _: &Window| OVERHEAD + key.len();
            shard.windows.entry((rule, key.to_vec()), weigh).hit(length, now)
        })
    }
}

impl Window {
    /// Hits of the last `length` milliseconds: those of the running window, and of the one
    /// before as many as would lie in the rest if they had come evenly.
    fn hit(&mut self, length: u64, now: u64) -> u64 {
        let passed = now.saturating_sub(self.start);
        if passed >= length {
            self.before = if passed < 2 * length { self.count } else { 0 };
            self.count = 0;
            self.start = now - passed % length;
        }
        self.count += 1;
        let rest = length - now.saturating_sub(self.start).min(length);
        self.count + self.before * rest / length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: Persistent = Persistent::Ip;

    #[test]
    fn what_is_set_stays_until_it_expires() {
        let memory = Memory::default();
        memory.set(IP, b"a", b"x", Some(b"1"), 1_000);
        assert_eq!(memory.add(IP, b"a", b"n", 5, 1_000), 5);
        assert_eq!(memory.add(IP, b"a", b"n", -2, 1_000), 3);
        memory.expire(IP, b"a", b"x", 3_000, 1_000);
        assert_eq!(memory.open(IP, b"a", 2_999).len(), 2);
        let later = memory.open(IP, b"a", 3_000);
        assert_eq!(later, Variables::from([(b"n".to_vec(), b"3".to_vec())]));
        memory.set(IP, b"a", b"n", None, 3_000);
        assert!(memory.open(IP, b"a", 3_000).is_empty());
        assert!(memory.open(Persistent::Global, b"a", 3_000).is_empty());
        memory.set(IP, b"a", b"x", Some(b"1"), 4_000);
        assert!(memory.open(IP, b"a", 4_000 + TIMEOUT).is_empty(), "unused for an hour");
    }

    #[test]
    fn counts_of_many_threads_are_all_there() {
        let memory = Memory::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| _ = memory.add(IP, b"k", b"n", 1, 0)));
            }
        });
        assert_eq!(memory.open(IP, b"k", 0)[&b"n".to_vec()], b"4000");
    }

    #[test]
    fn invented_keys_push_out_idle_collections_and_not_the_one_in_use() {
        let memory = Memory::default();
        memory.set(IP, b"idle", b"x", Some(b"1"), 0);
        for number in 0..400_000u32 {
            memory.set(IP, &number.to_le_bytes(), b"x", Some(b"1"), 0);
            if number % 1_000 == 0 {
                memory.add(IP, b"used", b"n", 1, 0);
            }
        }
        assert_eq!(memory.open(IP, b"used", 0)[&b"n".to_vec()], b"400");
        assert!(memory.open(IP, b"idle", 0).is_empty());
        let kept: usize = memory
            .shards
            .iter()
            .map(|shard| shard.lock().map_or(0, |s| s.collections.young.len() + s.collections.old.len()))
            .sum();
        assert!(kept <= 2 * SHARDS * ENTRIES, "{kept}");
    }

    #[test]
    fn long_values_fill_the_bytes_and_not_the_memory() {
        let memory = Memory::default();
        let value = vec![b'v'; 100_000];
        for number in 0..20_000u32 {
            memory.set(IP, &number.to_le_bytes(), b"x", Some(&value), 0);
        }
        let kept: usize = memory
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                let all = shard.collections.young.values().chain(shard.collections.old.values());
                all.map(Collection::weight).sum::<usize>()
            })
            .sum();
        assert!(kept <= 2 * SHARDS * (BYTES + VALUE + NAME + OVERHEAD), "{kept}");
        memory.set(IP, &[b'k'; KEY + 1], b"x", Some(b"1"), 0);
        assert!(memory.open(IP, &[b'k'; KEY + 1], 0).is_empty());
    }

    #[test]
    fn a_window_slides() {
        let memory = Memory::default();
        for _ in 0..9 {
            memory.hit(7, b"k", 10, 100_000);
        }
        assert_eq!(memory.hit(7, b"k", 10, 100_000), 10);
        assert_eq!(memory.hit(7, b"other", 10, 100_000), 1);
        assert_eq!(memory.hit(8, b"k", 10, 100_000), 1);
        // Half a window later half of the ten count still.
        assert_eq!(memory.hit(7, b"k", 10, 115_000), 1 + 5);
        assert_eq!(memory.hit(7, b"k", 10, 200_000), 1);
    }
}
