//! In place of tokens in a build without the feature `pkcs11`: every use is refused.

use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};

use super::TokenUri;
use crate::ca::CaError;
use crate::ca::secret::SecretSource;

/// There is none.
pub enum TokenKey {}

impl TokenKey {
    pub fn open(uri: &TokenUri, _: Option<SecretSource>) -> Result<TokenKey, CaError> {
        let what = "this portward was built without the feature pkcs11".into();
        Err(CaError::Token { token: uri.to_string(), what })
    }

    pub fn open_or_generate(uri: &TokenUri, pin: Option<SecretSource>) -> Result<TokenKey, CaError> {
        TokenKey::open(uri, pin)
    }
}

impl PublicKeyData for TokenKey {
    fn der_bytes(&self) -> &[u8] {
        match *self {}
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match *self {}
    }
}

impl SigningKey for TokenKey {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match *self {}
    }
}
