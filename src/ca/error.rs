//! What can be wrong with a CA: each variant says what is wrong with which file, and `fix` gives
//! the command that mends it.

use std::io;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

/// Why there is no CA, or why it does not mint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("there is no CA in {}", path.display())]
    Missing { path: PathBuf },
    #[error("there is a CA in {} already", path.display())]
    Exists { path: PathBuf },
    #[error("another process has held {} for ten seconds", path.display())]
    Busy { path: PathBuf },
    #[error("{} is not a directory", path.display())]
    NotADirectory { path: PathBuf },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} is a symbolic link; what it points to could be changed by others", path.display())]
    Symlink { path: PathBuf },
    #[error("{} has mode {mode:04o}: other users can {}", path.display(),
            if *wanted == 0o600 { "read or change it" } else { "change it" })]
    Mode { path: PathBuf, mode: u32, wanted: u32 },
    #[error("{} has mode {mode:04o}: other users can replace the CA's files", path.display())]
    DirMode { path: PathBuf, mode: u32 },
    #[error("{}, a parent of the CA's folder, has mode {mode:04o}: every user can replace the CA", path.display())]
    ParentMode { path: PathBuf, mode: u32 },
    #[error("{} belongs to user {owner}, but this process runs as user {us}", path.display())]
    Owner { path: PathBuf, owner: u32, us: u32 },
    #[error("{} cannot be used: {what}", path.display())]
    Garbage { path: PathBuf, what: String },
    #[error("{} is protected by a passphrase", path.display())]
    EncryptedKey { path: PathBuf },
    #[error("{} is protected by a passphrase in the old way, which is no protection", path.display())]
    OldEncryption { path: PathBuf },
    #[error("the passphrase does not open {}", path.display())]
    WrongPassphrase { path: PathBuf },
    #[error("a passphrase or PIN is needed, and {from}")]
    NoSecret { from: String },
    #[error("the token {token} cannot be used: {what}")]
    Token { token: String, what: String },
    #[error("{} is not the key of {}", key.display(), cert.display())]
    Mismatch { key: PathBuf, cert: PathBuf },
    #[error("the certificate in {} is not valid before {from}, and it is {now} now", path.display())]
    NotYetValid { path: PathBuf, from: OffsetDateTime, now: OffsetDateTime },
    #[error("the CA certificate in {} expired at {at}", path.display())]
    Expired { path: PathBuf, at: OffsetDateTime },
    #[error("the certificate in {} is not a CA for TLS servers: {why}", path.display())]
    NotACa { path: PathBuf, why: &'static str },
    #[error("{} is there but {} is missing", key.display(), cert.display())]
    RootCertMissing { cert: PathBuf, key: PathBuf },
    #[error("{} is missing, and {why}", key.display())]
    RootKeyMissing { key: PathBuf, why: String },
    #[error("no certificate in {} can be read, so that nothing tells for which names a new root may stand", path.display())]
    ConstraintsLost { path: PathBuf },
    #[error("the certificates that this CA in {} would serve are not accepted: {why}", path.display())]
    Rejected { path: PathBuf, why: String },
    #[error("the CA may not issue for {name}: {constraint}")]
    NotPermitted { name: String, constraint: String },
    #[error("a leaf for {name} would have ended at {not_after} already")]
    NoTimeLeft { name: String, not_after: OffsetDateTime },
    #[error("a leaf needs at least one name")]
    NoName,
    #[error("the certificate could not be made: {0}")]
    Crypto(#[from] rcgen::Error),
    #[error("the operating system gave no random bytes")]
    Random,
    #[error("the export could not be made: {0}")]
    Export(String),
}

impl CaError {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> CaError {
        CaError::Io { doing, path: path.into(), source }
    }

    /// The stable short name for audit records and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            CaError::Io { .. } => "ca_io",
            CaError::Missing { .. } => "ca_missing",
            CaError::Exists { .. } => "ca_exists",
            CaError::Busy { .. } => "ca_busy",
            CaError::NotADirectory { .. } => "ca_not_a_directory",
            CaError::NotAFile { .. } => "ca_not_a_file",
            CaError::Symlink { .. } => "ca_symlink",
            CaError::Mode { .. } => "ca_mode",
            CaError::DirMode { .. } => "ca_directory_mode",
            CaError::ParentMode { .. } => "ca_parent_mode",
            CaError::Owner { .. } => "ca_owner",
            CaError::Garbage { .. } => "ca_garbage",
            CaError::EncryptedKey { .. } => "ca_encrypted_key",
            CaError::OldEncryption { .. } => "ca_old_encryption",
            CaError::WrongPassphrase { .. } => "ca_wrong_passphrase",
            CaError::NoSecret { .. } => "ca_no_secret",
            CaError::Token { .. } => "ca_token",
            CaError::Mismatch { .. } => "ca_mismatch",
            CaError::NotYetValid { .. } => "ca_not_yet_valid",
            CaError::Expired { .. } => "ca_expired",
            CaError::NotACa { .. } => "ca_not_a_ca",
            CaError::RootCertMissing { .. } => "ca_root_cert_missing",
            CaError::RootKeyMissing { .. } => "ca_root_key_missing",
            CaError::ConstraintsLost { .. } => "ca_constraints_lost",
            CaError::Rejected { .. } => "ca_rejected",
            CaError::NotPermitted { .. } => "ca_not_permitted",
            CaError::NoTimeLeft { .. } => "ca_no_time_left",
            CaError::NoName => "ca_no_name",
            CaError::Crypto(_) => "ca_crypto",
            CaError::Random => "ca_random",
            CaError::Export(_) => "ca_export",
        }
    }

    /// What to type, or to do, to mend it.
    pub fn fix(&self) -> String {
        let parent = |path: &Path| quote(path.parent().unwrap_or(Path::new(".")));
        match self {
            CaError::Io { path, source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => format!("sudo chown -R \"$(id -un)\" {}", parent(path)),
                io::ErrorKind::NotFound => format!("ls -l {}", parent(path)),
                io::ErrorKind::StorageFull => format!("df -h {}   # and make room", parent(path)),
                _ => format!("ls -ld {} {}", parent(path), quote(path)),
            },
            CaError::Missing { path } => format!("portward ca init --ca {}", quote(path)),
            CaError::Exists { path } => {
                let dir = quote(path);
                format!(
                    "portward ca rotate --root --ca {dir}   # or: portward ca import ... --force --ca {dir}"
                )
            }
            CaError::Busy { path } => format!("fuser -v {}   # shows who", quote(path)),
            CaError::NotADirectory { path } => format!("mv {0} {0}.old", quote(path)),
            CaError::NotAFile { path } => format!("mv {0} {0}.old   # then put the file back", quote(path)),
            CaError::Symlink { path } => {
                format!("cp --remove-destination \"$(readlink -f {0})\" {0}", quote(path))
            }
            CaError::Mode { path, wanted, .. } => format!("chmod {wanted:o} {}", quote(path)),
            CaError::DirMode { path, .. } => format!("chmod 700 {}", quote(path)),
            CaError::ParentMode { path, .. } => {
                format!("chmod o-w {}   # or use another folder: --ca DIR", quote(path))
            }
            CaError::Owner { path, us, .. } => format!("sudo chown {us} {}", quote(path)),
            CaError::EncryptedKey { .. } => {
                "give its passphrase: --passphrase-file FILE, or passphrase_file = \"FILE\" under [ca]".into()
            }
            CaError::OldEncryption { path } => format!(
                "openssl pkcs8 -topk8 -v2 aes-256-cbc -in {} -out new.key   # and use new.key",
                quote(path)
            ),
            CaError::WrongPassphrase { path } => {
                let test = format!(
                    "openssl pkey -in {} -noout   # asks for it, and tells whether it is right",
                    quote(path)
                );
                let again = match path.file_name().and_then(|name| name.to_str()) {
                    Some("root.key") => "rotate --root",
                    Some("intermediate.key") => "rotate",
                    _ => return test,
                };
                format!(
                    "{test}; if it is lost: mv {0} {0}.lost && portward ca {again} --ca {1}",
                    quote(path),
                    parent(path)
                )
            }
            CaError::NoSecret { .. } => {
                "put it alone on the first line of a file with mode 600, and name that file".into()
            }
            CaError::Token { .. } => {
                "pkcs11-tool --module PATH --list-token-slots   # is it there, under that name?".into()
            }
            CaError::Garbage { path, .. } | CaError::Mismatch { key: path, .. } => format!(
                "put the right {} back from a backup, or make a new CA: portward ca rotate --root --ca {}",
                quote(path),
                parent(path)
            ),
            CaError::NotYetValid { .. } => "timedatectl   # set this machine's clock".into(),
            CaError::Expired { path, .. } => {
                format!(
                    "portward ca rotate --root --ca {}   # and install the new CA on the clients",
                    parent(path)
                )
            }
            CaError::NotACa { .. } => {
                "have a certificate issued with CA:TRUE, keyUsage keyCertSign and, if any, EKU serverAuth"
                    .into()
            }
            CaError::RootCertMissing { cert, .. } => format!(
                "put {} back from a backup or a client, or make a new CA: portward ca rotate --root --ca {}",
                quote(cert),
                parent(cert)
            ),
            CaError::RootKeyMissing { key, .. } => format!(
                "put {} back, run: portward ca rotate --ca {}   # and take it away again",
                quote(key),
                parent(key)
            ),
            CaError::ConstraintsLost { path } => format!(
                "put root.pem back from a backup or a client; or mv {0} {0}.old && portward ca init --ca {0}   # with the \
                 --permit and --exclude that it had",
                quote(path)
            ),
            CaError::Rejected { path, .. } => format!(
                "openssl crl2pkcs7 -nocrl -certfile {} | openssl pkcs7 -print_certs -noout   # lists the chain; import \
                 it whole",
                quote(path)
            ),
            CaError::NotPermitted { name, .. } => {
                format!("add {name} to the bypass list, or import a CA without that constraint")
            }
            CaError::NoTimeLeft { .. } => "timedatectl   # is the clock right? portward ca show".into(),
            CaError::Export(_) => "install the system's roots, as in: apt install ca-certificates".into(),
            CaError::NoName | CaError::Crypto(_) | CaError::Random => {
                "please report this with the output of: portward ca show --json".into()
            }
        }
    }
}

/// A path as a shell word.
pub(super) fn quote(path: &Path) -> String {
    crate::net::shell::word(&path.to_string_lossy())
}
