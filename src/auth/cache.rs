//! Remembers credentials that were right, so that the slow check is done once per client and
//! not once per connection. Keys are HMACs under a key that lives as long as this value:
//! neither passwords nor anything they could be guessed from stays in memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use moka::sync::Cache;

use super::{Credentials, Identity, Store};

/// A loaded users file and the credentials that were right lately. A reload makes a new one,
/// and with it everything remembered is forgotten.
pub struct Authenticator {
    store: Arc<Store>,
    key: hmac::Key,
    right: Cache<[u8; 32], Identity>,
}

/// How long a check is remembered, and so how long a removed password may still work when the
/// file changed but was not reloaded.
const REMEMBER: Duration = Duration::from_secs(300);

/// Right credentials remembered; the least used go first.
const MOST: u64 = 8192;

impl Authenticator {
    /// Fails when the system gives no random bytes.
    pub fn new(store: Store) -> Result<Authenticator, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Authenticator {
            store: Arc::new(store),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            right: Cache::builder().max_capacity(MOST).time_to_live(REMEMBER).build(),
        })
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The answer when it is known already; quick. `None` says nothing about the credentials.
    pub fn remembered(&self, credentials: &Credentials) -> Option<Identity> {
        self.right.get(&self.tag(credentials))
    }

    /// The answer, by the slow check if need be; see [`Store::verify`] for where to call it.
    pub fn verify(&self, credentials: &Credentials) -> Option<Identity> {
        let tag = self.tag(credentials);
        self.right.get(&tag).or_else(|| {
            let identity = self.store.verify(credentials)?;
            self.right.insert(tag, identity.clone());
            Some(identity)
        })
    }

    fn tag(&self, credentials: &Credentials) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(credentials.user.len() as u64).to_be_bytes());
        context.update(credentials.user.as_bytes());
        context.update(&credentials.password);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("users", &self.store.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_credentials_are_remembered_and_wrong_ones_are_not() {
        let line = format!("ann:{}", bcrypt::hash("open", 4).unwrap());
        let auth = Authenticator::new(Store::load(&line, "users").unwrap()).unwrap();
        let sent =
            |user: &str, password: &str| Credentials::new(user.as_bytes(), password.as_bytes()).unwrap();
        let (right, wrong) = (sent("ann", "open"), sent("ann", "shut"));
        assert_eq!(auth.remembered(&right), None);
        assert_eq!(auth.verify(&right).unwrap().name(), "ann");
        assert_eq!(auth.remembered(&right).unwrap().name(), "ann");
        assert_eq!(auth.verify(&wrong), None);
        assert_eq!(auth.remembered(&wrong), None);
        // Name and password do not run into each other.
        assert_eq!(auth.remembered(&sent("anno", "pen")), None);
        assert_eq!(auth.remembered(&sent("an", "nopen")), None);
        // Another run, or a reload, shares nothing.
        let again = Authenticator::new(Store::load(&line, "users").unwrap()).unwrap();
        assert_ne!(auth.tag(&right), again.tag(&right));
        assert_eq!(again.remembered(&right), None);
    }
}
