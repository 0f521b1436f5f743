//! Passphrases and PINs: where they come from, and private keys under a passphrase (PKCS #8 with PBES2, RFC 8018). A
//! secret is read when it is needed and wiped after; nothing here keeps or prints one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pkcs8::der::asn1::OctetString;
use pkcs8::der::{Decode, Encode};
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfo, EncryptedPrivateKeyInfoRef, LineEnding};
use rustls_pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::pki::{Key, Secret};
use super::{CaError, random, store};

/// scrypt with N = 2^14, r = 8, p = 5: the cost that OWASP asks of password storage, in 16 MiB, which is also the
/// most that `openssl pkey` takes without being told to.
const SCRYPT: (u8, u32, u32) = (14, 8, 5);

/// A passphrase is a line, not a file.
const SECRET_BYTES: usize = 4096;

/// Where a passphrase or a PIN comes from.
#[derive(Clone)]
pub enum SecretSource {
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// What a person typed.
    Typed(Arc<Zeroizing<String>>),
}

/// What unlocks the keys of a CA.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// Of key files: given, keys are written encrypted.
    pub passphrase: Option<SecretSource>,
    /// Of a PKCS #11 token.
    pub pin: Option<SecretSource>,
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::File(path) => f.debug_tuple("File").field(path).finish(),
            SecretSource::Env(name) => f.debug_tuple("Env").field(name).finish(),
            SecretSource::Typed(_) => f.write_str("Typed"),
        }
    }
}

impl SecretSource {
    pub fn read(&self) -> Result<Zeroizing<String>, CaError> {
        let (secret, from) = match self {
            SecretSource::Typed(secret) => ((**secret).clone(), "the terminal".to_owned()),
            SecretSource::Env(name) => {
                let value = std::env::var(name)
                    .map_err(|_| CaError::NoSecret { from: format!("the variable {name} is not set") })?;
                (Zeroizing::new(value), format!("the variable {name}"))
            }
            SecretSource::File(path) => {
                let bytes = store::read_secret(path)?;
                let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let text = std::str::from_utf8(line)
                    .map_err(|_| CaError::Garbage { path: path.clone(), what: "it is not UTF-8".into() })?;
                (Zeroizing::new(text.to_owned()), path.display().to_string())
            }
        };
        if secret.is_empty() || secret.len() > SECRET_BYTES {
            return Err(CaError::NoSecret { from: format!("{from} holds an empty line, or one too long") });
        }
        Ok(secret)
    }
}

/// The text of a key file, under the passphrase.
pub(super) fn encrypt(key: &PrivateKeyDer<'_>, passphrase: &str) -> Result<Zeroizing<String>, CaError> {
    let failed = |_| CaError::Crypto(rcgen::Error::RingUnspecified);
    let (log_n, r, p) = SCRYPT;
    let cost =
        scrypt::Params::new(log_n, r, p).map_err(|_| CaError::Crypto(rcgen::Error::RingUnspecified))?;
    let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &random::<16>()?, random::<16>()?)
        .map_err(failed)?;
    let unusable = || CaError::Crypto(rcgen::Error::CouldNotParseKeyPair);
    let plain = Key::from_der(key, Path::new("key"))?.pkcs8().ok_or_else(unusable)?;
    let encrypted = parameters.encrypt(passphrase, &plain).map_err(failed)?;
    let broken = |_| CaError::Crypto(rcgen::Error::CouldNotParseKeyPair);
    let info = EncryptedPrivateKeyInfo {
        encryption_algorithm: parameters.into(),
        encrypted_data: OctetString::new(encrypted).map_err(broken)?,
    };
    let document = pkcs8::Document::encode_msg(&info).map_err(broken)?;
    let text = document.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).map_err(broken)?;
    Ok(Zeroizing::new(text))
}

/// The key of an encrypted PKCS #8 structure.
pub(super) fn decrypt(der: &[u8], passphrase: &SecretSource, path: &Path) -> Result<Secret, CaError> {
    let info = EncryptedPrivateKeyInfoRef::from_der(der).map_err(|error| CaError::Garbage {
        path: path.into(),
        what: format!("its encryption is not one that is known here ({error})"),
    })?;
    let passphrase = passphrase.read()?;
    let plain =
        info.decrypt(passphrase.as_bytes()).map_err(|_| CaError::WrongPassphrase { path: path.into() })?;
    PrivateKeyDer::try_from(plain.as_bytes())
        .map(|key| Zeroizing::new(key.clone_key()))
        // A wrong passphrase may by chance leave padding that looks right.
        .map_err(|_| CaError::WrongPassphrase { path: path.into() })
}

/// True for DER of an encrypted key: a sequence whose first member is one too (RFC 5958 section 3), where a private
/// key has a number.
pub(super) fn is_encrypted(der: &[u8]) -> bool {
    EncryptedPrivateKeyInfoRef::from_der(der).is_ok_and(|info| info.to_der().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_first_line_of_a_file_that_only_its_owner_reads() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let source = SecretSource::File(path.clone());
        std::fs::write(&path, "correct horse\r\nnote\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(source.read().unwrap().as_str(), "correct horse");
        for mode in [0o644, 0o640, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = source.read().unwrap_err();
            assert_eq!(error.code(), "ca_mode", "{mode:o}");
            assert!(error.fix().starts_with("chmod 600 "), "{}", error.fix());
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(source.read().unwrap_err().code(), "ca_no_secret");
        let typed = SecretSource::Typed(Arc::new(Zeroizing::new("hush".into())));
        assert!(!format!("{typed:?}").contains("hush"));
    }

    #[test]
    fn what_is_encrypted_is_decrypted_by_its_passphrase_alone() {
        let typed = |text: &str| SecretSource::Typed(Arc::new(Zeroizing::new(text.to_owned())));
        let key = super::super::pki::Key::generate().unwrap().secret().unwrap();
        let text = encrypt(&key, "one").unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        let path = Path::new("k");
        let open = |pass: &str| super::super::pki::parse_key(text.as_bytes(), path, Some(&typed(pass)));
        assert_eq!(open("one").unwrap().secret_der(), key.secret_der());
        assert_eq!(open("two").unwrap_err().code(), "ca_wrong_passphrase");
        let none = super::super::pki::parse_key(text.as_bytes(), path, None);
        assert_eq!(none.unwrap_err().code(), "ca_encrypted_key");
        assert_ne!(*encrypt(&key, "one").unwrap(), *text, "a salt of its own each time");
    }
}
