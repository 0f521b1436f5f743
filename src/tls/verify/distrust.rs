//! Keys that never stand behind an origin: those that strangers hold, and those of our own CA. A trust store
//! may hold either (an administrator installs our root on the proxy's own machine as well), and whoever has
//! the key could then be any server: the fault that "Killed by Proxy" found in product after product.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::Refused;

/// SHA-256 of a SubjectPublicKeyInfo, written as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    pub fn of_spki(spki: &[u8]) -> KeyDigest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, spki).as_ref());
        KeyDigest(bytes)
    }

    /// Of a certificate's key; none when it cannot be read.
    pub fn of(der: &CertificateDer<'_>) -> Option<KeyDigest> {
        X509Certificate::from_der(der).ok().map(|(_, cert)| KeyDigest::of_spki(cert.public_key().raw))
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for KeyDigest {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<KeyDigest, hex::FromHexError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.replace(':', ""), &mut bytes).map(|()| KeyDigest(bytes))
    }
}

/// What is ours, asked for at every verification because our CA renews itself.
pub type OwnCa = Arc<dyn Fn() -> Own + Send + Sync>;

/// Keys that our CA signs with or signed with, and the names of the certificates they are in.
#[derive(Clone, Debug, Default)]
pub struct Own {
    keys: Vec<KeyDigest>,
    /// Subjects (DER).
    pub(super) names: Vec<Vec<u8>>,
}

impl Own {
    /// `certificates` count when their key is among `keys`: a company's root above our CA is not ours.
    pub fn new(keys: impl IntoIterator<Item = [u8; 32]>, certificates: &[CertificateDer<'_>]) -> Own {
        let keys: Vec<KeyDigest> = keys.into_iter().map(KeyDigest).collect();
        let ours = |der: &&CertificateDer<'_>| KeyDigest::of(der).is_some_and(|key| keys.contains(&key));
        let names = certificates.iter().filter(ours).filter_map(subject_of).collect();
        Own { keys, names }
    }
}

/// The keys that strangers hold.
pub(super) struct Distrusted(HashMap<KeyDigest, String>);

impl Distrusted {
    pub(super) fn new(more: &[KeyDigest]) -> Distrusted {
        let lines =
            include_str!("distrusted.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let built_in = lines.filter_map(|line| {
            let (key, name) = line.split_once(' ')?;
            Some((key.parse().ok()?, name.to_owned()))
        });
        let given = more.iter().map(|key| (*key, "a key that the configuration distrusts".to_owned()));
        Distrusted(built_in.chain(given).collect())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Refuses a chain with one of these keys.
    pub(super) fn check(
        &self,
        keys: impl IntoIterator<Item = KeyDigest>,
        own: &Own,
        seen: &str,
    ) -> Result<(), Refused> {
        for key in keys {
            if own.keys.contains(&key) {
                let problem = format!(
                    "{seen} was issued by this proxy's own CA: the origin is behind this proxy, or its key leaked"
                );
                return Err(Refused::new("own_ca_loop", problem));
            }
            if let Some(name) = self.0.get(&key) {
                let problem = format!("{seen} is signed with a key that must not be trusted ({name})");
                return Err(Refused::new("distrusted_key", problem));
            }
        }
        Ok(())
    }
}

/// Looks at everything that was sent, whether it leads to a root or not.
pub(super) fn presented(
    chain: &[CertificateDer<'_>],
    distrusted: &Distrusted,
    own: &Own,
    seen: &str,
) -> Result<(), Refused> {
    distrusted.check(chain.iter().filter_map(KeyDigest::of), own, seen)
}

pub(super) fn subject_of(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    X509Certificate::from_der(der).ok().map(|(_, cert)| cert.subject().as_raw().to_vec())
}
