//! From a [`crate::policy::Permit`] to an HTTP connection with the origin: one DNS answer that is
//! both checked and dialled, TLS verified before a byte is sent, and a pool that never mixes
//! clients or verification policies.

pub mod dial;
pub mod pool;
pub mod resolve;

pub use dial::{Dialer, OriginError, Secured};
pub use pool::{Idle, Keep, Lease, Pool, PoolKey};
pub use resolve::{Override, ResolveError, Resolver, Source};
