//! Where things are by default on this machine: the configuration file, the certificate
//! authority and the state, from the working directory, the user and the environment.

use std::path::{Path, PathBuf};

use super::error::Problem;

/// The facts that defaults depend on.
#[derive(Clone, Debug, Default)]
pub struct System {
    pub cwd: PathBuf,
    pub home: Option<PathBuf>,
    pub xdg_state_home: Option<PathBuf>,
    pub xdg_config_home: Option<PathBuf>,
    /// systemd's `StateDirectory=`.
    pub state_directory: Option<PathBuf>,
    pub root: bool,
    /// `/etc`, except in tests.
    pub etc: PathBuf,
}

impl System {
    pub fn current() -> System {
        let dir = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        System {
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            home: dir("HOME"),
            xdg_state_home: dir("XDG_STATE_HOME"),
            xdg_config_home: dir("XDG_CONFIG_HOME"),
            // systemd lists several with colons between; the first is ours.
            state_directory: std::env::var("STATE_DIRECTORY")
                .ok()
                .and_then(|dirs| dirs.split(':').next().map(PathBuf::from))
                .filter(|path| path.is_absolute()),
            root: nix::unistd::geteuid().is_root(),
            etc: PathBuf::from("/etc"),
        }
    }

    /// True when the working directory is a checkout of this project.
    pub(super) fn in_checkout(&self) -> bool {
        let manifest = std::fs::read_to_string(self.cwd.join("Cargo.toml")).unwrap_or_default();
        manifest.parse::<toml::Table>().is_ok_and(|table| {
            table.get("package").and_then(|p| p.get("name")).and_then(|n| n.as_str()) == Some("portward")
        })
    }

    /// The file that is read when none is named, if there is one.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        let user = self.xdg_config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")));
        [Some(self.cwd.clone()), user.map(|dir| dir.join("portward")), Some(self.etc.join("portward"))]
            .into_iter()
            .flatten()
            .map(|dir| dir.join("portward.toml"))
            .find(|path| path.exists())
    }

    /// CA and state directories; what was asked for goes before what is usual. A CA directory
    /// that was asked for keeps its state inside, so that nothing is written anywhere else.
    pub fn directories(
        &self,
        ca: Option<&Path>,
        state: Option<&Path>,
    ) -> Result<(PathBuf, PathBuf), Problem> {
        if let Some(ca) = ca {
            return Ok((ca.to_owned(), state.map_or_else(|| ca.join("state"), Path::to_owned)));
        }
        if let Some(state) = state {
            return Ok((state.join("ca"), state.to_owned()));
        }
        if self.in_checkout() {
            let ca = self.cwd.join("ca");
            return Ok((ca.clone(), ca.join("state")));
        }
        let state = if let Some(dir) = &self.state_directory {
            dir.clone()
        } else if let Some(dir) = &self.xdg_state_home {
            dir.join("portward")
        } else if self.root {
            PathBuf::from("/var/lib/portward")
        } else if let Some(home) = &self.home {
            home.join(".local/state/portward")
        } else {
            return Err(Problem::new("there is no directory for the certificate authority and the state")
                .help("give --ca DIR, or set HOME or XDG_STATE_HOME"));
        };
        Ok((state.join("ca"), state))
    }
}
