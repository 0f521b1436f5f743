//! Publishes new snapshots: on SIGHUP, and when a file that the last one was built from changes.
//! A snapshot is built whole or not at all; when it cannot be, the old one stays and says so.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use super::snapshot;
use crate::config::{self, Config, Flags, System};
use crate::proxy::Gateway;
use crate::tls::OriginTls;

/// Editors write a file in several steps; the last one counts.
const SETTLE: Duration = Duration::from_millis(300);

/// Watches until the process drains.
pub async fn watch(
    gateway: Arc<Gateway>,
    mut config: Config,
    flags: Flags,
    listeners: Vec<SocketAddr>,
    mut hangup: Signal,
) {
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let mut watcher = Files::watch(&config, changed.clone());
    let (rotated, mut rotations) = mpsc::channel::<()>(1);
    let _authority = Files::of(authority(&config), rotated);
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                tracing::info!("reloading: told to");
                gateway.leaves.refresh().await;
            }
            // `portward ca rotate` in another process: connections that are open go on as they are.
            Some(()) = rotations.recv() => {
                tokio::time::sleep(SETTLE).await;
                while rotations.try_recv().is_ok() {}
                gateway.leaves.refresh().await;
                continue;
            }
            Some(()) = changes.recv() => {
                tokio::time::sleep(SETTLE).await;
                while changes.try_recv().is_ok() {}
                tracing::info!("reloading: a file changed");
            }
            () = gateway.draining.cancelled() => return,
        }
        let (flags, addresses, tls) = (flags.clone(), listeners.clone(), gateway.dialer.tls.clone());
        let before = gateway.live.load_full();
        // Compiling rules takes long enough to leave the event loop for.
        let built = tokio::task::spawn_blocking(move || reload(&flags, &addresses, &before, &tls)).await;
        match built {
            Ok(Ok((new, snapshot))) => {
                warn_of_restart(&config, &new);
                snapshot::warn_of_expired(&new);
                gateway.live.store(Arc::new(snapshot));
                gateway.pool.clear();
                gateway.leaves.forget_verified();
                gateway.asked.forget();
                gateway.metrics.reloads.increment();
                tracing::info!("reloaded");
                config = new;
            }
            Ok(Err(problem)) => {
                gateway.metrics.reload_failures.increment();
                tracing::error!("not reloaded, the old rules and configuration stay: {problem}");
            }
            Err(error) => {
                gateway.metrics.reload_failures.increment();
                tracing::error!(%error, "not reloaded, the old rules and configuration stay");
            }
        }
        watcher = Files::rewatch(watcher, &config, changed.clone());
    }
}

fn reload(
    flags: &Flags,
    listeners: &[SocketAddr],
    before: &crate::proxy::Snapshot,
    tls: &OriginTls,
) -> Result<(Config, crate::proxy::Snapshot), String> {
    let config = config::load(flags, &System::current()).map_err(|error| error.to_string())?;
    let snapshot = snapshot::build(&config, listeners, before.engine.store(), before.scanner.as_ref())
        .map_err(|error| error.to_string())?;
    // The trust store and the revocation lists, last: what follows cannot fail.
    tls.reload(&config.origin.verify).map_err(|error| error.to_string())?;
    Ok((config, snapshot))
}

/// Some settings belong to the process and not to a snapshot.
fn warn_of_restart(old: &Config, new: &Config) {
    let changed = [
        ("listen", old.listen != new.listen || old.transparent != new.transparent),
        ("state_dir", old.state_dir != new.state_dir),
        ("ca", old.ca_dir != new.ca_dir || old.leaf_lifetime != new.leaf_lifetime),
        (
            "the CA's passphrase_file or pin_file",
            old.ca_passphrase_file != new.ca_passphrase_file || old.ca_pin_file != new.ca_pin_file,
        ),
        ("origin.resolve", old.origin.resolve != new.origin.resolve),
        ("origin.client_certificates", old.origin.client_certificates != new.origin.client_certificates),
        ("tls", old.tls_key_log != new.tls_key_log),
        ("audit", old.audit != new.audit),
        ("limits", old.limits != new.limits),
        ("workers", old.workers != new.workers),
    ];
    for (name, _) in changed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!("the change of `{name}` takes effect at the next start");
    }
}

/// The watched files. Folders are watched, because editors replace files instead of writing them.
struct Files {
    _watcher: notify::RecommendedWatcher,
    paths: Vec<PathBuf>,
}

impl Files {
    fn watch(config: &Config, changed: mpsc::Sender<()>) -> Option<Files> {
        Files::of(sources(config), changed)
    }

    fn of(paths: Vec<PathBuf>, changed: mpsc::Sender<()>) -> Option<Files> {
        let wanted = paths.clone();
        let handler = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            let concerns = |path: &PathBuf| wanted.iter().any(|wanted| path.starts_with(wanted));
            if !event.kind.is_access() && event.paths.iter().any(concerns) {
                // Full means that a reload is due anyway.
                let _ = changed.try_send(());
            }
        };
        let mut watcher = match notify::recommended_watcher(handler) {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::warn!(%error, "files are not watched; reload with SIGHUP");
                return None;
            }
        };
        for path in &paths {
            let (folder, mode) = if path.is_dir() {
                (path.as_path(), RecursiveMode::Recursive)
            } else {
                (path.parent().unwrap_or(Path::new("/")), RecursiveMode::NonRecursive)
            };
            if let Err(error) = watcher.watch(folder, mode) {
                tracing::warn!(%error, path = %path.display(), "not watched; reload with SIGHUP");
            }
        }
        Some(Files { _watcher: watcher, paths })
    }

    /// Watches anew only when the files are others.
    fn rewatch(old: Option<Files>, config: &Config, changed: mpsc::Sender<()>) -> Option<Files> {
        match old {
            Some(files) if files.paths == sources(config) => Some(files),
            _ => Files::watch(config, changed),
        }
    }
}

fn sources(config: &Config) -> Vec<PathBuf> {
    let verify = &config.origin.verify;
    let lists = config.categories.iter().flat_map(|category| &category.files);
    let files = (config.file.iter().chain(&config.auth_file).chain(&config.rules.paths).chain(lists))
        .chain(&verify.ca_file)
        .chain(&verify.crls);
    files.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())).collect()
}

/// What the CA is loaded from; its mint log in the same folder is none of it.
fn authority(config: &Config) -> Vec<PathBuf> {
    let dir = std::path::absolute(&config.ca_dir).unwrap_or_else(|_| config.ca_dir.clone());
    ["root.pem", "root.key", "intermediate.pem"].map(|name| dir.join(name)).into()
}
