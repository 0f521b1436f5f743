//! THE FLOW: from an accepted connection to its audit record. Every stage is a file of its own;
//! the order of them is here, on one screen. Decisions are asked of `policy` and `waf`; this
//! module acts on them.
//!
//! ```text
//! accept -> classify -> authenticate -> connect -> intercept -> exchange -> relay -> finish
//!                                          |           |            |
//!                                          +-> tunnel <+            +-> upgrade
//! ```

pub mod accept;
mod asked;
mod authenticate;
mod classify;
mod connect;
pub mod distrust;
mod exchange;
mod finish;
mod intercept;
mod leaves;
mod relay;
mod respond;
mod tunnel;
mod turns;
mod upgrade;
mod watch;
mod witness;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::auth::{Identity, Store};
use crate::message::hop::Via;
use crate::message::serve::Tasks;
use crate::metrics::Metrics;
use crate::net::{Authority, ClientAddr, ConnectionId, Entry, Limits};
use crate::origin::{Dialer, Pool};
use crate::policy::{Answer, Policy};
use crate::scan::Scanner;
use crate::tls::BoxIo;
use crate::waf::Engine;

pub use asked::Asked;
use classify::Opening;
pub use leaves::{Leaves, profile as leaf_profile};

/// What a reload replaces as a whole. An exchange takes one snapshot at its start and keeps it to
/// its logging phase.
pub struct Snapshot {
    pub policy: Policy,
    pub engine: Arc<Engine>,
    /// Who may use the proxy; `None` asks nobody.
    pub users: Option<Arc<Store>>,
    /// Short id of the rules, for the audit record.
    pub fingerprint: Cow<'static, str>,
    /// Looks for malware in bodies, where one is configured.
    pub scanner: Option<Arc<Scanner>>,
}

/// What every connection shares.
pub struct Gateway {
    pub live: ArcSwap<Snapshot>,
    pub dialer: Dialer,
    pub pool: Arc<Pool>,
    pub leaves: Leaves,
    /// How clients' handshakes ended.
    pub clients: Arc<distrust::Clients>,
    /// Origins that want a certificate of their clients.
    pub asked: Asked,
    /// Every session's secrets are written to a file.
    pub keys_logged: bool,
    pub audit: Audit,
    pub metrics: Arc<Metrics>,
    pub via: Via,
    pub limits: Limits,
    /// Cancelled when the process drains: no new exchange is begun.
    pub draining: CancellationToken,
    /// Every connection's tasks; drain waits for them.
    pub tasks: Tasks,
}

/// One client connection, and who is behind it.
#[derive(Clone)]
pub struct Client {
    pub id: ConnectionId,
    pub addr: ClientAddr,
    pub entry: Entry,
    pub identity: Option<Identity>,
    /// The connection's place, given back when the last part of it is done.
    slot: Arc<accept::Slot>,
}

/// Serves one accepted connection to its end.
async fn connection(gateway: Arc<Gateway>, accepted: accept::Accepted) {
    let accept::Accepted { io, client, redirected } = accepted;
    let snapshot = gateway.live.load_full();
    if let Err(denial) = snapshot.policy.client(client.addr.ip()) {
        return finish::refused_connection(&gateway, &client, &denial);
    }
    // Each way on the heap, or every idle connection would hold as much as the largest needs.
    match Box::pin(classify::classify(&gateway, client, io, redirected)).await {
        Ok(Opening::HttpProxy { io, client, protocol }) => {
            Box::pin(connect::serve_http(&gateway, client, io, protocol)).await;
        }
        Ok(Opening::Socks5 { io, client }) => {
            let served = Box::pin(connect::serve_socks(&gateway, client, io)).await;
            if let Some((io, client, target, answer)) = served {
                Box::pin(tunnel_or_intercept(gateway, client, io, &target, answer)).await;
            }
        }
        Ok(Opening::Redirected { io, client, target }) => {
            if snapshot.users.is_some() && !snapshot.policy.lists_clients() {
                // It cannot be asked who it is, and nobody said that its network may come in.
                return finish::unasked(&gateway, &client);
            }
            let answer = snapshot.policy.connect(&client.facts(), &target);
            Box::pin(tunnel_or_intercept(gateway, client, io, &target, answer)).await;
        }
        Err(unclear) => finish::unclear(&gateway, &unclear),
    }
}

/// Acts on policy's answer to a target: what CONNECT, SOCKS and redirection have in common.
async fn tunnel_or_intercept(
    gateway: Arc<Gateway>,
    client: Client,
    io: BoxIo,
    target: &Authority,
    answer: Answer,
) {
    match answer {
        Answer::Inspect(permit) => intercept::intercept(gateway, client, permit, io).await,
        Answer::Tunnel(permit, reason) => {
            let mut ending = finish::tunnel(&gateway, &client, &permit, &reason);
            match tunnel::dial(&gateway, &permit, &mut ending).await {
                Ok(origin) => {
                    let judged = tunnel::Judged::Not(permit, reason);
                    if let Some(next) = tunnel::relay(&gateway, io, origin, ending, judged).await {
                        intercept::intercept(gateway, client, next.permit, next.io).await;
                    }
                }
                Err(problem) => ending.fail(&problem),
            }
        }
        Answer::Deny(denial) => finish::denied(&gateway, &client, target, &denial),
    }
}

impl Client {
    /// Does dear work, handshakes and mints, in this client's turns.
    async fn in_turns<T: Send + 'static>(
        &self,
        gateway: &Gateway,
        work: turns::Work<impl Future<Output = T> + Send + 'static>,
    ) -> T {
        self.slot.turns.take(&gateway.tasks, work).await
    }

    fn facts(&self) -> crate::policy::ClientFacts<'_> {
        crate::policy::ClientFacts {
            ip: self.addr.ip(),
            entry: self.entry,
            identity: self.identity.as_ref().map(Identity::name),
            now: std::time::SystemTime::now(),
        }
    }
}

/// Runs a part of a connection as a task of its own. A panic in it is counted and ends that
/// connection alone.
fn spawn(gateway: &Arc<Gateway>, flow: impl Future<Output = ()> + Send + 'static) {
    spawn_counted(&gateway.tasks, gateway.metrics.clone(), flow);
}

fn spawn_counted(tasks: &Tasks, metrics: Arc<Metrics>, flow: impl Future<Output = ()> + Send + 'static) {
    // On the heap once: each future around it would hold room for it again.
    let flow = std::panic::AssertUnwindSafe(Box::pin(flow));
    tasks.spawn(flow.catch_unwind().map(move |outcome| {
        if outcome.is_err() {
            metrics.panics.increment();
            tracing::error!("a connection's task panicked; the other connections go on");
        }
    }));
}

/// Keeps what lives long in order: idle origin connections end, the CA's intermediate is renewed, and what clients did
/// is looked at.
pub async fn housekeeping(gateway: Arc<Gateway>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut beats = 0u32;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = gateway.draining.cancelled() => return,
        }
        let clients = gateway.clients.clone();
        if beats.is_multiple_of(5) {
            gateway.pool.sweep();
            let counts = beats.is_multiple_of(60);
            tokio::task::spawn_blocking(move || clients.save(counts));
        } else if clients.is_pending() {
            tokio::task::spawn_blocking(move || clients.tell());
        }
        beats = beats.wrapping_add(1);
        if beats.is_multiple_of(3600) {
            gateway.leaves.refresh().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_own_connection_frees_its_place_and_counts_one() {
        let (tasks, metrics) = (Tasks::default(), Arc::new(Metrics::default()));
        let slots = accept::Slots::new(&Limits::default(), 1);
        let finished = Arc::new(AtomicU32::new(0));
        for number in 0..10 {
            let (finished, slot) = (finished.clone(), slots.take_one());
            spawn_counted(&tasks, metrics.clone(), async move {
                let _slot = slot;
                tokio::task::yield_now().await;
                assert!(number != 3, "a connection that comes upon a fault of ours");
                tokio::task::yield_now().await;
                finished.fetch_add(1, Ordering::Relaxed);
            });
        }
        tasks.wait().await;
        assert_eq!((finished.load(Ordering::Relaxed), metrics.panics.get()), (9, 1));
        assert_eq!(slots.taken(), 0);
    }
}
