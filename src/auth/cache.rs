//! Remembers credentials that were right, so that the slow check is done once per client and
//! not once per connection. Keys are HMACs under a key that lives as long as this value:
//! neither passwords nor anything they could be guessed from stays in memory.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use moka::sync::Cache;

use super::{Credentials, Identity};

/// Right credentials of lately. It belongs to one loaded users file: a reload makes a new one,
/// and with it everything remembered is forgotten.
pub(super) struct Remembered {
    key: hmac::Key,
    right: Cache<[u8; 32], Identity>,
}

/// What credentials are remembered as.
pub(super) type Tag = [u8; 32];

/// How long a check is remembered, and so how long a removed password may still work when the
/// file changed but was not reloaded.
const REMEMBER: Duration = Duration::from_secs(300);

/// Right credentials remembered; the least used go first.
const MOST: u64 = 8192;

impl Remembered {
    pub(super) fn new() -> Result<Remembered, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Remembered {
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            right: Cache::builder().max_capacity(MOST).time_to_live(REMEMBER).build(),
        })
    }

    pub(super) fn tag(&self, credentials: &Credentials) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(credentials.user.len() as u64).to_be_bytes());
        context.update(credentials.user.as_bytes());
        context.update(&credentials.password);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    pub(super) fn get(&self, tag: &Tag) -> Option<Identity> {
        self.right.get(tag)
    }

    pub(super) fn insert(&self, tag: Tag, identity: Identity) {
        self.right.insert(tag, identity);
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").field("entries", &self.right.entry_count()).finish_non_exhaustive()
    }
}
