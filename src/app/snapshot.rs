//! What a reload replaces: policy, rules, users and the malware scanner, built whole or not at all.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::auth::Store;
use crate::config::{Config, RulesMode, core_rules};
use crate::policy::{Policy, VerificationId};
use crate::proxy::Snapshot;
use crate::scan::Scanner;
use crate::waf::{Engine, LoadError, Mode, Settings, Sources, persistent};

/// Why there is no new snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the rule file {path} cannot be read: {source}")]
    RulesFile { path: PathBuf, source: std::io::Error },
    #[error("the rules do not load:\n{}", Lines(.0))]
    Rules(Vec<LoadError>),
    #[error("the users file {path} cannot be read: {source}")]
    UsersFile { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Users(#[from] crate::auth::AuthError),
}

struct Lines<'a>(&'a [LoadError]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if at > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

/// Reads and compiles what the configuration names. `collections` are what rules count in, which
/// outlive the snapshot; `scanner` is the one before, which goes on where its configuration is the same.
pub fn build(
    config: &Config,
    listeners: &[SocketAddr],
    collections: Arc<dyn persistent::Store>,
    scanner: Option<&Arc<Scanner>>,
) -> Result<Snapshot, SnapshotError> {
    let engine = rules(config)?.with_store(collections);
    let users = match &config.auth_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| SnapshotError::UsersFile { path: path.clone(), source })?;
            Some(Arc::new(Store::load(&text, &path.display().to_string())?))
        }
    };
    Ok(Snapshot {
        policy: policy(config, listeners),
        fingerprint: engine.fingerprint().to_owned().into(),
        engine: Arc::new(engine),
        users,
        scanner: match scanner.filter(|scanner| *scanner.config == config.scan) {
            Some(same) => Some(same.clone()),
            None => Scanner::new(&config.scan).map(Arc::new),
        },
    })
}

/// Bypass rules that ended stay in the file until somebody looks: say so.
pub fn warn_of_expired(config: &Config) {
    for (rule, date) in config.policy.expired(std::time::SystemTime::now()) {
        tracing::warn!(
            rule,
            expires = date,
            "this bypass rule has expired and no longer holds; renew or remove it"
        );
    }
}

/// The policy that the configuration asks for, of a proxy that listens there.
pub fn policy(config: &Config, listeners: &[SocketAddr]) -> Policy {
    let mut policy = config.policy.clone();
    policy.own_listeners = listeners.to_vec();
    policy.own_addresses = own_addresses();
    policy.verification = next_verification();
    Policy::new(&policy)
}

/// Each policy has a number of its own, also where nothing in its settings changed: the files behind them may have,
/// a revocation list above all. What was verified under another number is not used any more.
fn next_verification() -> VerificationId {
    static BUILT: AtomicU64 = AtomicU64::new(1);
    VerificationId(BUILT.fetch_add(1, Ordering::Relaxed))
}

/// Compiles the rule sets that the configuration asks for.
pub fn rules(config: &Config) -> Result<Engine, SnapshotError> {
    let mut sources = if config.rules.core { core_rules::core() } else { Sources::default() };
    for path in &config.rules.paths {
        let more = core_rules::load_path(path)
            .map_err(|source| SnapshotError::RulesFile { path: path.clone(), source })?;
        sources.extend(more);
    }
    let settings = Settings {
        mode: config.rules.mode.map(|mode| match mode {
            RulesMode::Block => Mode::Block,
            RulesMode::Detect => Mode::Detect,
        }),
        paranoia_level: config.rules.paranoia_level,
        inbound_threshold: config.rules.inbound_threshold,
        outbound_threshold: config.rules.outbound_threshold,
        sets: config.rules.sets.clone(),
        exclusion_packs: config.rules.exclusion_packs.clone(),
        run_every_set: false,
    };
    Engine::compile(&sources, &settings).map_err(SnapshotError::Rules)
}

/// This machine's addresses: a listener on the unspecified address is reachable at each of them.
fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    interfaces
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|sin| IpAddr::V4(sin.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|sin6| IpAddr::V6(sin6.ip())))
        })
        .collect()
}
