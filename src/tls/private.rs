//! Opening files that nobody but their owner may read: a key, or the secrets of sessions. What was checked is
//! the file that was opened, and a symbolic link or a named pipe is none.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Why a file is not opened.
#[derive(Debug)]
pub(super) enum Unfit {
    Io(io::Error),
    Owner { owner: u32, user: u32 },
    Mode(u32),
}

/// Opens a regular file of this process's user, or of root, that others cannot read or change.
pub(super) fn open(path: &Path, options: &mut OpenOptions) -> Result<File, Unfit> {
    // No waiting for the other end of a named pipe.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_CLOEXEC | nix::libc::O_NONBLOCK;
    let file = options.custom_flags(flags).open(path).map_err(Unfit::Io)?;
    let meta = file.metadata().map_err(Unfit::Io)?;
    if !meta.is_file() {
        return Err(Unfit::Io(io::Error::other("it is not a regular file")));
    }
    let user = nix::unistd::geteuid().as_raw();
    if meta.uid() != user && meta.uid() != 0 {
        return Err(Unfit::Owner { owner: meta.uid(), user });
    }
    if meta.mode() & 0o077 != 0 {
        return Err(Unfit::Mode(meta.mode() & 0o7777));
    }
    Ok(file)
}
