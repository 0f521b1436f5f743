//! Who a client is: credentials as they arrive (HTTP Basic, SOCKS5), the users file they are
//! checked against, and the [`Identity`] that comes out. It knows names and passwords only;
//! what a name may do is policy's.

mod basic;
mod cache;
mod store;

use std::fmt;
use std::sync::Arc;

pub use basic::{CHALLENGE, CredentialsError};
pub use store::{AuthError, Refusal, Store};

/// A client that proved its name; made by a successful check and by nothing else.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity(Arc<str>);

impl Identity {
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl From<Identity> for Arc<str> {
    fn from(identity: Identity) -> Arc<str> {
        identity.0
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", &*self.0)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name and a password as a client sent them, unproven. The password is never shown.
#[derive(Clone)]
pub struct Credentials {
    user: Box<str>,
    password: Box<[u8]>,
}

impl Credentials {
    /// The longest name and password taken: what SOCKS5 can carry (RFC 1929 section 2), and
    /// enough for a token in place of a password.
    pub const MAX_USER: usize = 255;
    pub const MAX_PASSWORD: usize = 1024;

    /// From a name and a password as bytes; SOCKS5 has them so (RFC 1929).
    pub fn new(user: &[u8], password: &[u8]) -> Result<Credentials, CredentialsError> {
        if user.is_empty() {
            return Err(CredentialsError::NoUser);
        }
        if user.len() > Credentials::MAX_USER || password.len() > Credentials::MAX_PASSWORD {
            return Err(CredentialsError::TooLong);
        }
        let user = std::str::from_utf8(user).map_err(|_| CredentialsError::NotUtf8)?;
        // RFC 7617 section 2 forbids control characters; bcrypt would stop at a NUL.
        if user.chars().any(char::is_control) || password.iter().any(|b| b.is_ascii_control()) {
            return Err(CredentialsError::Control);
        }
        Ok(Credentials { user: user.into(), password: password.into() })
    }

    pub fn user(&self) -> &str {
        &self.user
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}
