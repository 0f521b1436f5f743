//! Composition root: a [`Config`] becomes listeners, handles and tasks, and runs until it is told
//! to stop. Port 0 is allowed everywhere, so tests pick no ports.

mod banner;
pub mod holder;
mod listeners;
mod reload;
mod snapshot;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use time::OffsetDateTime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{Audit, Destination, WhenFull};
use crate::ca::{Ca, CaDir, CaError, SecretSource, Secrets};
use crate::config::{Config, Flags};
use crate::message::hop::Via;
use crate::message::serve::Tasks;
use crate::metrics::Metrics;
use crate::net::{Host, Limits};
use crate::origin::{Dialer, Pool, Resolver};
use crate::policy::AuditFull;
use crate::proxy::accept::Slots;
use crate::proxy::distrust::Clients;
use crate::proxy::{self, Asked, Gateway, Leaves};
use crate::tls::verify::{Own, OwnCa};
use crate::tls::{ClientCertificates, KeyLog, OriginTls};
use crate::waf::persistent::Memory;

pub use listeners::no_core_dumps;
pub use snapshot::{SnapshotError, policy, rules};

/// Why the proxy does not start. Each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}\n  fix: {fix}", fix = .0.fix())]
    Ca(#[from] CaError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("cannot listen on {addr}: {source}{}", holder.as_ref().map(|h| format!("\n  it is held by {h}; stop that, or listen elsewhere with --listen ADDR")).unwrap_or_default())]
    Listen { addr: SocketAddr, source: std::io::Error, holder: Option<String> },
    #[error("{0}")]
    Transparent(String),
    #[error(transparent)]
    Roots(#[from] crate::tls::verify::RootsError),
    #[error("{0}")]
    Resolver(String),
    #[error("{0}: {source}\n  fix: make the file writable, or give --audit-log FILE", source = std::error::Error::source(.0).map(ToString::to_string).unwrap_or_default())]
    Audit(#[from] crate::audit::AuditError),
    #[error(
        "the folder {path} of the audit log cannot be made: {source}\n  fix: give --audit-log FILE in a folder that can"
    )]
    AuditFolder { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    ClientCertificate(#[from] crate::tls::client_certificate::ClientCertificateError),
    #[error(transparent)]
    KeyLog(#[from] crate::tls::key_log::KeyLogError),
    #[error("the TLS server cannot be set up: {0}")]
    Tls(#[from] crate::tls::accept::LeafError),
    #[error("the system has no random bytes: {0}")]
    Random(String),
    #[error("the system's signals cannot be watched: {0}")]
    Signals(std::io::Error),
}

impl StartError {
    /// Something that was configured cannot be used; everything else is the machine's.
    pub fn is_configuration(&self) -> bool {
        use StartError::{Ca, ClientCertificate, KeyLog, Roots, Snapshot};
        matches!(self, Ca(_) | Snapshot(_) | Roots(_) | ClientCertificate(_) | KeyLog(_))
    }
}

/// Loads everything that [`run`] would and that has no secret: rules, users, and what origins are verified by and
/// shown. Not the CA, and nothing is bound or written. The number of rules is told.
pub fn check(config: &Config) -> Result<usize, StartError> {
    let snapshot = snapshot::build(config, &config.listen, Arc::new(Memory::default()), None)?;
    dialer(config, &config.limits, None)?;
    Ok(snapshot.engine.rules().count())
}

/// Runs the proxy until SIGTERM or SIGINT, then drains. `Ok(true)` when everything under way was
/// finished, `Ok(false)` when the drain time ran out or a second signal came.
pub async fn run(config: Config, flags: Flags) -> Result<bool, StartError> {
    no_core_dumps();
    let limits = listeners::limits(&config.limits);
    let metrics = Arc::new(Metrics::default());
    let now = OffsetDateTime::now_utc();

    let ca = Arc::new(ca_dir(&config).open_or_create(now)?);
    ca.tell_warnings(now);
    if let Err(error) = ca.start_log() {
        tracing::warn!(%error, "the mint log cannot be written; leaves are minted unlogged");
    }
    let bound = listeners::bind(&config)?;
    let addresses = bound.addresses();
    let snapshot = snapshot::build(&config, &addresses, Arc::new(Memory::default()), None)?;
    snapshot::warn_of_expired(&config);
    let audit = start_audit(&config, metrics.clone())?;
    let own_host = addresses.first().map_or(Host::Ip(std::net::Ipv4Addr::LOCALHOST.into()), |addr| {
        Host::from(if addr.ip().is_unspecified() { std::net::Ipv4Addr::LOCALHOST.into() } else { addr.ip() })
    });
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(|error| StartError::Random(error.to_string()))?;
    let clients = Arc::new(Clients::open(Some(config.state_dir.join(proxy::distrust::FILE))));
    let key_log = config.tls_key_log.as_deref().map(KeyLog::open).transpose()?;
    let mut leaves = Leaves::new(ca.clone(), own_host, config.leaf_lifetime, &limits, metrics.clone())?;
    if let Some(log) = &key_log {
        leaves.log_keys(log.clone());
    }
    let gateway = Arc::new(Gateway {
        live: ArcSwap::from_pointee(snapshot),
        dialer: logging_dialer(&config, &limits, Some(&ca), key_log.clone())?,
        pool: Pool::new(&limits),
        leaves,
        clients: clients.clone(),
        asked: Asked::new(&limits),
        keys_logged: key_log.is_some(),
        audit: audit.clone(),
        metrics,
        via: Via::new(random),
        limits: limits.clone(),
        draining: CancellationToken::new(),
        tasks: Tasks::default(),
    });
    let mut signals = Signals::watch().map_err(StartError::Signals)?;
    banner::print(&config, &gateway, &ca.status(now), &addresses);

    let slots = Slots::new(&limits, tokio::runtime::Handle::current().metrics().num_workers());
    let accepting = TaskTracker::new();
    for (listener, arrival) in bound.into_tokio()? {
        accepting.spawn(proxy::accept::listen(gateway.clone(), listener, arrival, slots.clone()));
    }
    accepting.close();
    let keeper = tokio::spawn(proxy::housekeeping(gateway.clone()));
    let reloads = tokio::spawn(reload::watch(gateway.clone(), config, flags, addresses, signals.hangup));

    signals.stop.recv().await;
    tracing::info!("stopping: no new connections, {:?} for what is under way", limits.drain_time);
    gateway.draining.cancel();
    accepting.wait().await;
    reloads.abort();
    keeper.abort();
    let finished = drain(&gateway.tasks, limits.drain_time, &mut signals.stop).await;
    drop(gateway);
    let minted = tokio::task::spawn_blocking(move || ca.flush_log(Duration::from_secs(5)));
    if !matches!(minted.await, Ok(true)) {
        tracing::warn!("the mint log is not complete");
    }
    let flushed = tokio::task::spawn_blocking(move || {
        clients.save_last();
        audit.flush(Instant::now() + Duration::from_secs(5))
    });
    if let Ok(Err(error)) = flushed.await {
        tracing::warn!(%error, "the audit log is not complete");
    }
    Ok(finished)
}

/// The CA's folder, with what unlocks its keys.
pub fn ca_dir(config: &Config) -> CaDir {
    let file = |path: &Option<PathBuf>| path.clone().map(SecretSource::File);
    let secrets = Secrets { passphrase: file(&config.ca_passphrase_file), pin: file(&config.ca_pin_file) };
    CaDir::new(&config.ca_dir).with_secrets(secrets)
}

/// The keys of our own CA, which never stand behind an origin.
fn own_ca(ca: Option<&Arc<Ca>>) -> OwnCa {
    let ca = ca.cloned();
    Arc::new(move || match &ca {
        Some(ca) => Own::new(ca.own_keys(), &ca.anchors()),
        None => Own::default(),
    })
}

/// What reaches and verifies origins; nothing that our own CA issued is one.
pub fn dialer(config: &Config, limits: &Limits, ca: Option<&Arc<Ca>>) -> Result<Dialer, StartError> {
    logging_dialer(config, limits, ca, None)
}

fn logging_dialer(
    config: &Config,
    limits: &Limits,
    ca: Option<&Arc<Ca>>,
    key_log: Option<Arc<KeyLog>>,
) -> Result<Dialer, StartError> {
    let resolver = Resolver::new(config.origin.resolve.clone(), limits.resolve_time);
    let certificates = ClientCertificates::load(&config.origin.client_certificates)?;
    let mut tls = OriginTls::new(&config.origin.verify, own_ca(ca))?.with_client_certificates(certificates);
    if let Some(log) = key_log {
        tls = tls.with_key_log(log);
    }
    Ok(Dialer {
        resolver: resolver.map_err(StartError::Resolver)?,
        tls: Arc::new(tls),
        limits: limits.clone(),
    })
}

async fn drain(tasks: &Tasks, limit: Duration, stop: &mut Stop) -> bool {
    let whole = tokio::select! {
        () = tasks.wait() => true,
        () = tokio::time::sleep(limit) => {
            tracing::warn!(left = tasks.len(), "the drain time is over; what is left is cut off");
            false
        }
        () = stop.recv() => {
            tracing::warn!(left = tasks.len(), "told to stop again; what is left is cut off");
            false
        }
    };
    if !whole {
        tasks.cut_off();
        // Dropping what is left writes its records; a task in the middle of a step finishes that.
        let _ = tokio::time::timeout(Duration::from_secs(1), tasks.wait()).await;
    }
    whole
}

struct Signals {
    stop: Stop,
    hangup: tokio::signal::unix::Signal,
}

struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn watch() -> std::io::Result<Signals> {
        Ok(Signals {
            stop: Stop {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

impl Stop {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn start_audit(config: &Config, metrics: Arc<Metrics>) -> Result<Audit, StartError> {
    let destination = match &config.audit.path {
        Some(path) => {
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                std::fs::create_dir_all(parent)
                    .map_err(|source| StartError::AuditFolder { path: parent.to_owned(), source })?;
            }
            let file = crate::audit::FileConfig {
                path: path.clone(),
                max_bytes: config.audit.max_bytes,
                keep: u32::try_from(config.audit.keep).unwrap_or(u32::MAX),
            };
            if config.audit.stdout { Destination::FileAndStdout(file) } else { Destination::File(file) }
        }
        None if config.audit.stdout => Destination::Stdout,
        None => Destination::Nowhere,
    };
    let mut settings = crate::audit::AuditConfig::new(destination);
    settings.when_full = match config.policy.fail.audit_full {
        AuditFull::Drop => WhenFull::Drop,
        AuditFull::Block => WhenFull::Block,
    };
    Ok(Audit::start(&settings, metrics)?)
}
