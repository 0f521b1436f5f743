//! The configuration's file as it was found: read and parsed, with its text for saying where things stand in it, and
//! where the CA is by it. What it means beyond that is built elsewhere.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::{Problem, from_toml};
use super::file::FileConfig;
use super::{CaPlace, ConfigError, Flags, Place, System};

/// Configuration files are read whole; one of this size is not a configuration.
const MAX_FILE: u64 = 4 << 20;

/// Where the CA is and what unlocks its keys, as [`super::load`] would find them; what else is wrong with the configuration
/// does not matter here.
pub fn load_ca(flags: &Flags, system: &System) -> Result<CaPlace, ConfigError> {
    let named = flags.config.as_ref().map(|path| system.cwd.join(path));
    let found = named.clone().or_else(|| system.config_file());
    let written = match &found {
        None => Written::default(),
        // The machine's own file need not be for everybody's eyes; then it is not for everybody's CA either.
        Some(path) if named.is_none() && closed(path) => Written::default(),
        Some(path) => Written::read(path, path.strip_prefix(&system.cwd).unwrap_or(path))?,
    };
    Ok(written.ca(flags, system)?.0)
}

fn closed(path: &Path) -> bool {
    std::fs::File::open(path).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// A parsed file, and its text for saying where things stand in it.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) path: Option<PathBuf>,
    /// The path as it is told in messages.
    pub(super) shown: PathBuf,
    pub(super) text: String,
    pub(super) file: FileConfig,
}

impl Written {
    pub(super) fn read(path: &Path, shown: &Path) -> Result<Written, Problem> {
        let cannot = |error: &dyn std::fmt::Display| {
            Problem::new(format!("cannot read the configuration {}: {error}", shown.display()))
        };
        let size = std::fs::metadata(path).map_err(|e| cannot(&e))?.len();
        if size > MAX_FILE {
            return Err(cannot(&format!(
                "it has {size} bytes; more than {} is not a configuration",
                MAX_FILE
            )));
        }
        let bytes = std::fs::read(path).map_err(|e| cannot(&e))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good =
                String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
            Problem::new("the file is not UTF-8").at(Some(Place::at(shown, &good, good.len())))
        })?;
        let file = toml::from_str(&text).map_err(|error| from_toml(shown, &text, &error))?;
        Ok(Written { path: Some(path.to_owned()), shown: shown.to_owned(), text, file })
    }

    pub(super) fn paths<'a>(&'a self, system: &'a System) -> Paths<'a> {
        let base = self.path.as_deref().and_then(Path::parent).unwrap_or(&system.cwd);
        Paths { base, cwd: &system.cwd }
    }

    /// The CA's place, and the folder of the state.
    pub(super) fn ca(&self, flags: &Flags, system: &System) -> Result<(CaPlace, PathBuf), Problem> {
        let (file, paths) = (&self.file, self.paths(system));
        let state = paths.of(None, file.state_dir.as_ref());
        let ca = paths.of(flags.ca.as_ref(), file.ca.dir.as_ref());
        let (dir, state) = system.directories(ca.as_deref(), state.as_deref())?;
        let place = CaPlace {
            dir,
            passphrase_file: paths.of(flags.ca_passphrase_file.as_ref(), file.ca.passphrase_file.as_ref()),
            pin_file: paths.of(flags.ca_pin_file.as_ref(), file.ca.pin_file.as_ref()),
        };
        Ok((place, state))
    }
}

/// A path in the file is relative to the file, one from outside to the working directory.
pub(super) struct Paths<'a> {
    pub(super) base: &'a Path,
    pub(super) cwd: &'a Path,
}

impl Paths<'_> {
    pub(super) fn of(&self, given: Option<&PathBuf>, written: Option<&PathBuf>) -> Option<PathBuf> {
        given.map(|path| self.cwd.join(path)).or_else(|| written.map(|path| self.base.join(path)))
    }
}

/// Where a key's value stands in a TOML text.
pub(super) fn locate(text: &str, keys: &[&str]) -> Option<Range<usize>> {
    let root = toml::de::DeTable::parse(text).ok()?;
    let (first, rest) = keys.split_first()?;
    let mut value = root.get_ref().get(*first)?;
    for key in rest {
        value = value.get_ref().get(*key)?;
    }
    Some(value.span())
}
