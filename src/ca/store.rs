//! Files of the CA folder: read only when nobody else could have written or read them, replaced
//! whole or not at all, one writer at a time. Knows modes and owners, nothing of certificates.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use zeroize::Zeroizing;

use super::CaError;

/// A CA file is a handful of certificates at most; anything larger is not ours.
const FILE_BYTES: u64 = 1024 * 1024;

/// Another process holds the lock while it writes four small files; ten seconds is a dead disk.
const LOCK_TIME: Duration = Duration::from_secs(10);

/// What may be done with a file by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// Readable and writable by the owner alone.
    Key,
    /// Readable by all, writable by the owner alone.
    Public,
}

/// Held while the folder is read or written; released by drop, and by the end of the process.
pub(super) struct Lock(#[allow(dead_code, reason = "held for its drop")] Option<File>);

/// Makes the folder for the owner alone, or takes an existing one that has no CA in it yet.
pub(super) fn prepare(dir: &Path) -> Result<(), CaError> {
    match fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => {
            if meta.uid() == us() && meta.mode() & 0o077 != 0 {
                fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
                    .map_err(|e| CaError::io("restrict", dir, e))?;
            }
            Ok(())
        }
        Ok(_) => Err(CaError::NotADirectory { path: dir.into() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| CaError::io("create", dir, e)),
        Err(e) => Err(CaError::io("look at", dir, e)),
    }
}

/// Refuses a folder, or a parent of it, in which others could replace our files.
pub(super) fn check_dir(dir: &Path) -> Result<(), CaError> {
    let real = fs::canonicalize(dir).map_err(|e| CaError::io("find", dir, e))?;
    let meta = fs::metadata(&real).map_err(|e| CaError::io("look at", &real, e))?;
    if !meta.is_dir() {
        return Err(CaError::NotADirectory { path: real });
    }
    check_owner(&real, meta.uid())?;
    if meta.mode() & 0o022 != 0 {
        return Err(CaError::DirMode { path: real, mode: meta.mode() & 0o7777 });
    }
    check_parents(dir)
}

/// Refuses a folder whose parents let every user replace it.
pub(super) fn check_parents(dir: &Path) -> Result<(), CaError> {
    let real = fs::canonicalize(dir).map_err(|e| CaError::io("find", dir, e))?;
    // Both the path as given (its symbolic links could be changed) and where it leads.
    let given = std::path::absolute(dir).map_err(|e| CaError::io("find", dir, e))?;
    for parent in given.ancestors().skip(1).chain(real.ancestors().skip(1)) {
        let meta = fs::metadata(parent).map_err(|e| CaError::io("look at", parent, e))?;
        // In a sticky directory (/tmp) others cannot rename or remove what is ours.
        if meta.mode() & 0o002 != 0 && meta.mode() & 0o1000 == 0 {
            return Err(CaError::ParentMode { path: parent.into(), mode: meta.mode() & 0o7777 });
        }
    }
    Ok(())
}

/// Waits for the folder's lock. A folder that we cannot write to (a read-only mount, with the
/// root key elsewhere) has no lock: nobody changes it through us.
pub(super) fn lock(dir: &Path) -> Result<Lock, CaError> {
    let path = dir.join("lock");
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path);
    let file = match open {
        Ok(file) => file,
        Err(e) if matches!(e.raw_os_error(), Some(libc::EROFS | libc::EACCES)) => return Ok(Lock(None)),
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => return Err(CaError::Symlink { path }),
        Err(e) => return Err(CaError::io("open", &path, e)),
    };
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(fs::TryLockError::WouldBlock) if start.elapsed() < LOCK_TIME => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(fs::TryLockError::WouldBlock) => return Err(CaError::Busy { path }),
            Err(fs::TryLockError::Error(e)) => return Err(CaError::io("lock", &path, e)),
        }
    }
    remove_leftovers(dir);
    Ok(Lock(Some(file)))
}

/// Temporary files of a writer that was killed; we hold the lock, so none is in use.
fn remove_leftovers(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".tmp")) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A file's text after its checks; `None` when there is no such file.
pub(super) fn read(path: &Path, secrecy: Secrecy) -> Result<Option<Zeroizing<Vec<u8>>>, CaError> {
    let open = OpenOptions::new()
        .read(true)
        // No waiting for the other end of a named pipe.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = match open {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => {
            return Err(CaError::Symlink { path: path.into() });
        }
        Err(e) => return Err(CaError::io("read", path, e)),
    };
    // Asked of the open file, so that what was checked is what is read.
    let meta = file.metadata().map_err(|e| CaError::io("look at", path, e))?;
    if !meta.is_file() {
        return Err(CaError::NotAFile { path: path.into() });
    }
    check_owner(path, meta.uid())?;
    let (others, wanted) = match secrecy {
        Secrecy::Key => (0o077, 0o600),
        Secrecy::Public => (0o022, 0o644),
    };
    if meta.mode() & others != 0 {
        return Err(CaError::Mode { path: path.into(), mode: meta.mode() & 0o7777, wanted });
    }
    read_bounded(file, path).map(Some)
}

/// A file that the operator hands us, wherever it is: no demands on its mode.
pub(super) fn read_given(path: &Path) -> Result<Zeroizing<Vec<u8>>, CaError> {
    let file = File::open(path).map_err(|e| CaError::io("read", path, e))?;
    read_bounded(file, path)
}

/// A file with a passphrase or a PIN, wherever it is: nobody but its owner may read it. Services are
/// given theirs by root, and as a link.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, CaError> {
    let file = File::open(path).map_err(|e| CaError::io("read", path, e))?;
    let meta = file.metadata().map_err(|e| CaError::io("look at", path, e))?;
    if meta.is_file() {
        if meta.uid() != 0 {
            check_owner(path, meta.uid())?;
        }
        if meta.mode() & 0o077 != 0 {
            return Err(CaError::Mode { path: path.into(), mode: meta.mode() & 0o7777, wanted: 0o600 });
        }
    }
    read_bounded(file, path)
}

fn read_bounded(file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, CaError> {
    // With room for the whole file no reallocation leaves a copy of a key behind.
    let size = file.metadata().map_or(0, |meta| meta.len()).min(FILE_BYTES);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size as usize + 1));
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| CaError::io("read", path, e))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(CaError::Garbage { path: path.into(), what: "it is larger than 1 MiB".into() });
    }
    Ok(bytes)
}

fn check_owner(path: &Path, owner: u32) -> Result<(), CaError> {
    if owner == us() {
        return Ok(());
    }
    Err(CaError::Owner { path: path.into(), owner, us: us() })
}

fn us() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Replaces a file whole: a new file beside it, flushed, then renamed over it. A reader sees the
/// old or the new one, also after a crash.
pub(super) fn write(path: &Path, bytes: &[u8], secrecy: Secrecy) -> Result<(), CaError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    let temporary = dir.join(format!(".{name}.{:016x}.tmp", super::random_u64()?));
    let mode = match secrecy {
        Secrecy::Key => 0o600,
        Secrecy::Public => 0o644,
    };
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    })();
    written.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        CaError::io("write", path, e)
    })
}

/// Moves a file aside under a dated name, never over another file.
pub(super) fn set_aside(path: &Path, stamp: &str) -> Result<(), CaError> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    fs::rename(path, dated(path, stamp)).map_err(|e| CaError::io("set aside", path, e))
}

/// `root.pem` as `root-STAMP.pem`, or the next free name like it.
pub(super) fn dated(path: &Path, stamp: &str) -> PathBuf {
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("file");
    let extension = path.extension().and_then(|s| s.to_str()).unwrap_or("old");
    let mut aside = path.with_file_name(format!("{stem}-{stamp}.{extension}"));
    let mut count = 1;
    while fs::symlink_metadata(&aside).is_ok() {
        aside = path.with_file_name(format!("{stem}-{stamp}.{count}.{extension}"));
        count += 1;
    }
    aside
}

/// Replaces a certificate and its key as one: both are written beside the old ones, then renamed.
/// Whoever locks the folder next finishes what a crash left half done (`recover`).
pub(super) fn write_pair(cert: &Path, key: &Path, cert_pem: &str, key_pem: &str) -> Result<(), CaError> {
    write(&staged(key), key_pem.as_bytes(), Secrecy::Key)?;
    write(&staged(cert), cert_pem.as_bytes(), Secrecy::Public)?;
    recover(cert, key)
}

/// A staged certificate means that its staged key was whole: both are put in place. A staged key
/// alone was not finished, and nobody has seen it.
pub(super) fn recover(cert: &Path, key: &Path) -> Result<(), CaError> {
    let (next_cert, next_key) = (staged(cert), staged(key));
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
    if is_there(&next_cert) {
        if is_there(&next_key) {
            fs::rename(&next_key, key).map_err(|e| CaError::io("replace", key, e))?;
        }
        fs::rename(&next_cert, cert).map_err(|e| CaError::io("replace", cert, e))?;
    } else if is_there(&next_key) {
        fs::remove_file(&next_key).map_err(|e| CaError::io("remove", &next_key, e))?;
    }
    Ok(())
}

fn staged(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    name.into()
}
