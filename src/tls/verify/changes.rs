//! What origins showed the last time. A key that is another one is news, an issuer that is another one more
//! so: neither is a fault (certificates are renewed, companies change their authorities), and both are what
//! an attacker with a wrongly issued certificate cannot avoid. So both are told, once (NIAP FDP_PIN_EXT).

use moka::sync::Cache;

use super::{KeyDigest, Marks};
use crate::net::Authority;

/// Origins remembered. Each takes some hundred bytes; the least used go first.
const REMEMBERED: u64 = 16_384;

/// Certificates remembered of one origin: the servers behind one name often have one each.
const EACH: usize = 4;

/// What is different from the last connection to the same host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Key,
    Issuer,
    KeyAndIssuer,
}

impl Change {
    /// The stable name for audit records.
    pub fn code(self) -> &'static str {
        match self {
            Change::Key => "key",
            Change::Issuer => "issuer",
            Change::KeyAndIssuer => "key_and_issuer",
        }
    }
}

/// The keys of origins that were found acceptable.
#[derive(Debug)]
pub struct Changes(Cache<Authority, Remembered>);

/// The last ones, the newest first.
type Remembered = [Option<Seen>; EACH];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    key: KeyDigest,
    issuer: KeyDigest,
}

impl Default for Changes {
    fn default() -> Changes {
        Changes(Cache::new(REMEMBERED))
    }
}

impl Changes {
    /// Remembers what an acceptable origin showed, and tells what is new, compared with what was new last.
    pub fn observe(&self, origin: &Authority, marks: &Marks) -> Option<Change> {
        let seen = Seen { key: marks.key, issuer: marks.issuer_key };
        let mut known = self.0.get(origin).unwrap_or_default();
        if known.contains(&Some(seen)) {
            return None;
        }
        let before = known[0];
        known.rotate_right(1);
        known[0] = Some(seen);
        self.0.insert(origin.clone(), known);
        let change = before.and_then(|before| match (before.key != seen.key, before.issuer != seen.issuer) {
            (false, false) => None,
            (true, false) => Some(Change::Key),
            (false, true) => Some(Change::Issuer),
            (true, true) => Some(Change::KeyAndIssuer),
        });
        if let (Some(change), Some(before)) = (change, before) {
            tracing::warn!(
                %origin, changed = change.code(), key = %seen.key, issuer_key = %seen.issuer,
                last_key = %before.key, last_issuer_key = %before.issuer, "an origin's certificate changed"
            );
        }
        change
    }
}
