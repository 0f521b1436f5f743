//! Keys for leaves, made before they are asked for. Making one is a third of a mint, and the only
//! part that needs no name: a thread of its own does it, so that a client who comes first to a host waits
//! for one signature less. The work is not saved, it is done elsewhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;

use super::CaError;
use super::leaf::LeafPair;

/// Keys held ready. At 4,000 new hosts a second, a tenth of a second of them; some 100 KB.
const READY: usize = 256;

/// Fresh P-256 keys. The thread ends with the last of its owners.
pub struct KeyPool {
    shared: Arc<Mutex<Shared>>,
    maker: Option<Thread>,
}

struct Shared {
    ready: Vec<LeafPair>,
    closed: bool,
}

impl KeyPool {
    /// Without a thread, keys are made as they are asked for.
    pub fn start() -> KeyPool {
        let shared = Arc::new(Mutex::new(Shared { ready: Vec::with_capacity(READY), closed: false }));
        let work = shared.clone();
        let maker = std::thread::Builder::new().name("leaf-keys".into()).spawn(move || make(&work));
        if let Err(error) = &maker {
            tracing::warn!(%error, "no thread for the keys of leaves; each is made when it is needed");
        }
        KeyPool { shared, maker: maker.ok().map(|handle| handle.thread().clone()) }
    }

    /// A key that nobody else gets.
    pub fn take(&self) -> Result<LeafPair, CaError> {
        let (key, left) = {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            (shared.ready.pop(), shared.ready.len())
        };
        // Waking a thread costs as much as a tenth of a key: once for many keys.
        if left <= READY / 2
            && let Some(maker) = &self.maker
        {
            maker.unpark();
        }
        key.map_or_else(LeafPair::ecdsa, Ok)
    }
}

impl Drop for KeyPool {
    fn drop(&mut self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        if let Some(maker) = &self.maker {
            maker.unpark();
        }
    }
}

fn make(shared: &Mutex<Shared>) {
    let look = || {
        let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        (shared.closed, shared.ready.len() >= READY)
    };
    loop {
        match look() {
            (true, _) => return,
            (false, true) => std::thread::park(),
            (false, false) => {
                // Made outside the lock, which is held for a push alone.
                let Ok(key) = LeafPair::ecdsa() else { return };
                shared.lock().unwrap_or_else(PoisonError::into_inner).ready.push(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::{Duration, Instant};

    use rcgen::PublicKeyData;

    use super::*;

    fn ready(shared: &Mutex<Shared>) -> usize {
        shared.lock().unwrap().ready.len()
    }

    #[test]
    fn every_key_is_given_out_once_and_no_more_are_held_than_stated() {
        let pool = KeyPool::start();
        let seen: Vec<HashSet<Vec<u8>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| (0..500).map(|_| pool.take().unwrap().der_bytes().to_vec()).collect())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let all: HashSet<&Vec<u8>> = seen.iter().flatten().collect();
        assert_eq!(all.len(), 2000);
        let until = Instant::now() + Duration::from_secs(30);
        while ready(&pool.shared) <= READY / 2 {
            assert!(Instant::now() < until, "the pool is not filled again");
            std::thread::yield_now();
        }
        assert!(ready(&pool.shared) <= READY);
    }

    #[test]
    fn the_thread_ends_with_the_pool() {
        let pool = KeyPool::start();
        let shared = Arc::downgrade(&pool.shared);
        drop(pool);
        let until = Instant::now() + Duration::from_secs(30);
        while shared.upgrade().is_some() {
            assert!(Instant::now() < until, "the thread is still there");
            std::thread::yield_now();
        }
    }
}
