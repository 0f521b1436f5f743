//! The secrets of every session of both legs in a file, in the format of NSS that Wireshark reads:
//! whoever has the file and a recording of the traffic reads all of it. Off unless the operator
//! asks by name; the environment variable that other programs obey is not looked at.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroize;

use super::private::{self, Unfit};

/// The open file.
pub struct KeyLog {
    file: Mutex<File>,
}

/// The file cannot be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyLogError {
    #[error("the TLS key log {} cannot be written: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("the TLS key log {} has mode {mode:04o}: other users could read everybody's traffic\n  fix: chmod 600 {}", path.display(), path.display())]
    Mode { path: PathBuf, mode: u32 },
    #[error("the TLS key log {} belongs to user {owner}, who could read everybody's traffic\n  fix: mv {} {}.old, or name another file", path.display(), path.display(), path.display())]
    Owner { path: PathBuf, owner: u32 },
}

impl KeyLog {
    /// Opens the file for its owner alone, and adds to what is in it.
    pub fn open(path: &Path) -> Result<Arc<KeyLog>, KeyLogError> {
        let file = private::open(path, File::options().append(true).create(true).mode(0o600));
        let path = path.to_owned();
        let file = file.map_err(|why| match why {
            Unfit::Io(source) => KeyLogError::Open { path, source },
            Unfit::Owner { owner, .. } => KeyLogError::Owner { path, owner },
            Unfit::Mode(mode) => KeyLogError::Mode { path, mode },
        })?;
        Ok(Arc::new(KeyLog { file: Mutex::new(file) }))
    }
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLog")
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = format!("{label} {} {}\n", hex::encode(client_random), hex::encode(secret));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // One write a line, so that lines of two processes do not mix. A full disk must not stop traffic.
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::warn!(%error, "the TLS key log cannot be written");
        }
        line.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use rustls::KeyLog as _;

    use super::*;

    #[test]
    fn the_file_is_its_owners_alone_and_is_added_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.log");
        for secret in [[1u8; 4], [2; 4]] {
            KeyLog::open(&path).unwrap().log("CLIENT_RANDOM", &[0xab; 2], &secret);
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "CLIENT_RANDOM abab 01010101\nCLIENT_RANDOM abab 02020202\n"
        );
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(KeyLog::open(&path), Err(KeyLogError::Mode { mode: 0o640, .. })));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(matches!(KeyLog::open(&link), Err(KeyLogError::Open { .. })));
    }

    #[test]
    fn a_file_that_somebody_else_put_there_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.log");
        // Waiting for a reader of the pipe would hold up the start for ever; with a reader it would get everything.
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::unistd::mkfifo(&path, mode).unwrap();
        assert!(matches!(KeyLog::open(&path), Err(KeyLogError::Open { .. })));
        let reader = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&path).unwrap();
        assert!(matches!(KeyLog::open(&path), Err(KeyLogError::Open { .. })));
        drop(reader);
        // Only root can give a file away; elsewhere the message alone is checked.
        let path = dir.path().join("planted.log");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let error = if nix::unistd::geteuid().is_root() {
            nix::unistd::chown(&path, Some(12345.into()), None).unwrap();
            KeyLog::open(&path).unwrap_err()
        } else {
            KeyLogError::Owner { path, owner: 12345 }
        };
        let text = error.to_string();
        assert!(text.contains("belongs to user 12345") && text.contains("fix: mv "), "{text}");
    }
}
