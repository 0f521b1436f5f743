//! The local certificate authority: a root that the clients trust, a short-lived intermediate
//! that it signs, and one leaf per host with a key of its own. No key of the CA is ever the key
//! of a leaf, none leaves this module, and none is read from a file that others could touch.
//!
//! The folder: `root.pem` (the CA certificate; for a sub-CA the chain above it follows), `root.key`
//! (the key, in plain text or under a passphrase, or where in a token it is), `intermediate.pem`,
//! `intermediate.key`, `mints.jsonl`, `cross.pem` and `root-DATE.pem` of a rotation, and the files
//! that clients are pointed at (`bundle.pem` and others). `root.key` may be taken away between
//! rotations: everything works from a valid intermediate, and says until when.
//!
//! Time is an argument (`now`) wherever something is decided by it.

mod authority;
mod body;
mod cache;
mod change;
mod constraint;
mod error;
mod export;
mod issue;
mod leaf;
mod log;
mod pki;
mod pool;
mod root;
mod secret;
mod store;
#[cfg(test)]
mod tests;
mod token;

pub use authority::{Ca, CaStatus, CaWarning, Refreshed};
pub use cache::{LeafCache, LeafKey, Minted, Purpose};
pub use change::{GivenKey, Rotate};
pub use constraint::{NotASubtree, Subtree};
pub use error::CaError;
pub use export::{Format, JAVA_PASSWORD, PublicCa, TrustFiles, sha256_hex};
pub use leaf::{
    LIFETIME as LEAF_LIFETIME, Leaf, LeafName, LeafPair, LeafProfile, MAX_LIFETIME as MAX_LEAF_LIFETIME,
    NameError, Serial,
};
pub use log::{Broken, Checkpoint, MintLog, MintRecord, NotACheckpoint, Verified};
pub use pki::pem_certificates;
pub use pool::KeyPool;
pub use root::{CaDir, NewCa, RootKey};
pub use secret::{SecretSource, Secrets};
pub use token::{TokenUri, TokenUriError};

fn random<const N: usize>() -> Result<[u8; N], CaError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| CaError::Random)?;
    Ok(bytes)
}

fn random_u64() -> Result<u64, CaError> {
    random().map(u64::from_ne_bytes)
}
