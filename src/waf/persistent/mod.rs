//! Persistent collections and rate limits: what outlives an exchange. Rules open a collection
//! under a key (`ip` under the client's address, say) and count in it. Where it is kept is behind
//! [`Store`], so that several proxies can share one some day; [`Memory`] keeps it in this process.

mod memory;

use std::collections::BTreeMap;
use std::fmt::Debug;

pub use memory::Memory;

pub use super::lang::ast::Persistent;

/// A collection's variables by name, in lower case.
pub type Variables = BTreeMap<Vec<u8>, Vec<u8>>;

/// Keeps collections. Times are Unix milliseconds from the caller. A store that has lost a
/// collection, or has no room for it, answers as if it were new: rules then count from nothing.
pub trait Store: Send + Sync + Debug {
    /// What the collection holds now.
    fn open(&self, kind: Persistent, key: &[u8], now: u64) -> Variables;

    /// Sets a variable; `None` takes it away.
    fn set(&self, kind: Persistent, key: &[u8], name: &[u8], value: Option<&[u8]>, now: u64);

    /// Adds to a variable, from 0 when there is none, and returns the sum: exchanges that count
    /// at the same time lose nothing.
    fn add(&self, kind: Persistent, key: &[u8], name: &[u8], by: i64, now: u64) -> i64;

    /// The variable is gone from `at` on.
    fn expire(&self, kind: Persistent, key: &[u8], name: &[u8], at: u64, now: u64);

    /// Counts one more under this rule's key and returns how many there were in the last so many
    /// seconds, this one included.
    fn hit(&self, rule: u32, key: &[u8], seconds: u32, now: u64) -> u64;
}
