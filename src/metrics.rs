//! Counters as plain atomics: written from anywhere without waiting, read as one snapshot.
//! They are independent of each other, so a snapshot is not a consistent cut.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// One counter; only ever grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, n: u64) {
        // Nothing is ordered by a counter.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Every counter of the process.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $($(#[$doc])* pub $name: Counter,)*
        }

        /// The counters' values at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Metrics {
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)* }
            }
        }

        impl Snapshot {
            /// Name and value of each, in a fixed order.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

metrics! {
    /// Client connections accepted.
    connections,
    /// Client connections turned away at a limit.
    connections_refused,
    /// Tasks of a connection that panicked.
    panics,
    /// Requests whose head was read.
    exchanges,
    /// Exchanges stopped by rules.
    blocked,
    /// Exchanges that rules would have stopped in detection-only mode.
    would_block,
    /// Exchanges, and messages in them, for which the rules took longer than they may.
    rules_out_of_time,
    /// Connections and exchanges refused by policy or for want of authentication.
    denied,
    /// Bodies that the malware scanner was to see.
    scans,
    /// Bodies in which it found something.
    scans_found,
    /// Bodies that it could not be asked about.
    scans_failed,
    /// Tunnels relayed without being decrypted.
    tunnels,
    /// TLS handshakes with clients that failed.
    client_tls_failed,
    /// Leaf certificates minted.
    mints,
    /// Leaf certificates taken from the cache.
    mint_hits,
    /// Requests sent over a kept origin connection.
    pool_hits,
    /// Requests for which an origin connection had to be made.
    pool_misses,
    /// Origins that could not be reached, verified or understood.
    origin_errors,
    /// Audit records written.
    audit_written,
    /// Audit records lost because the queue was full.
    audit_dropped,
    /// Exchanges refused because they could not be recorded.
    audit_refused,
    /// Attempts to write the audit log that failed.
    audit_write_errors,
    /// Reloads that were published.
    reloads,
    /// Reloads that were refused, the old set staying in place.
    reload_failures,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_what_was_counted() {
        let metrics = Metrics::default();
        metrics.blocked.increment();
        metrics.audit_dropped.add(3);
        let snapshot = metrics.snapshot();
        assert_eq!((snapshot.blocked, snapshot.audit_dropped, snapshot.exchanges), (1, 3, 0));
        let sum: u64 = snapshot.entries().map(|(_, value)| value).sum();
        assert_eq!(sum, 4);
        assert!(snapshot.entries().any(|entry| entry == ("audit_dropped", 3)));
    }
}
