//! The listener's loop: a place for every connection, a bound for every client, and a pause
//! instead of a spin when the process runs out of descriptors.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::turns::{Line, Turns};
use super::{Client, Gateway, finish};
use crate::net::{ClientAddr, ConnectionId, Entry, OriginAddr};
use crate::tls::BoxIo;

/// How connections come to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Addressed to us, or redirected here by the kernel (REDIRECT, DNAT): told by SO_ORIGINAL_DST.
    AddressedOrRedirected,
    /// TPROXY: the socket's own address is where the client wanted to go.
    Tproxy,
}

/// An accepted connection.
pub struct Accepted {
    pub io: BoxIo,
    pub client: Client,
    /// Where a redirected client wanted to go.
    pub redirected: Option<OriginAddr>,
}

/// Places for connections, in all and per client.
pub struct Slots {
    all: Arc<Semaphore>,
    per_client: Arc<DashMap<IpAddr, Present>>,
    per_client_limit: usize,
    line: Line,
}

/// What is kept of a client while it has connections.
struct Present {
    connections: usize,
    turns: Turns,
}

/// One connection's place, freed by drop.
pub struct Slot {
    _place: OwnedSemaphorePermit,
    per_client: Arc<DashMap<IpAddr, Present>>,
    ip: IpAddr,
    /// The client's, whatever the connection.
    pub turns: Turns,
}

impl Slots {
    /// For a runtime of that many workers.
    pub fn new(limits: &crate::net::Limits, workers: usize) -> Arc<Slots> {
        Arc::new(Slots {
            all: Arc::new(Semaphore::new(limits.connections)),
            per_client: Arc::new(DashMap::new()),
            per_client_limit: limits.per_client,
            line: Line::new(workers),
        })
    }

    fn take(&self, place: OwnedSemaphorePermit, ip: IpAddr) -> Option<Slot> {
        let fresh = || Present { connections: 0, turns: self.line.client() };
        let mut present = self.per_client.entry(ip).or_insert_with(fresh);
        if present.connections >= self.per_client_limit {
            return None;
        }
        present.connections += 1;
        let turns = present.turns.clone();
        drop(present);
        Some(Slot { _place: place, per_client: self.per_client.clone(), ip, turns })
    }
}

#[cfg(test)]
impl Slots {
    /// A place for a client of this machine.
    pub fn take_one(&self) -> Slot {
        let place = self.all.clone().try_acquire_owned().expect("a place");
        self.take(place, std::net::Ipv4Addr::LOCALHOST.into()).expect("a client's place")
    }

    /// Clients that have places.
    pub fn taken(&self) -> usize {
        self.per_client.len()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let dashmap::Entry::Occupied(mut entry) = self.per_client.entry(self.ip) {
            entry.get_mut().connections -= 1;
            if entry.get().connections == 0 {
                entry.remove();
            }
        }
    }
}

/// Accepts until the gateway drains.
pub async fn listen(gateway: Arc<Gateway>, listener: TcpListener, arrival: Arrival, slots: Arc<Slots>) {
    loop {
        // A place first: connections that have none wait in the kernel's backlog.
        let place = tokio::select! {
            place = slots.all.clone().acquire_owned() => place,
            () = gateway.draining.cancelled() => return,
        };
        let Ok(place) = place else { return };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    back_off(&error).await;
                    continue;
                }
            },
            () = gateway.draining.cancelled() => return,
        };
        gateway.metrics.connections.increment();
        let addr = ClientAddr::new(peer);
        let Some(slot) = slots.take(place, addr.ip()) else {
            gateway.metrics.connections_refused.increment();
            finish::over_limit(&gateway, addr);
            continue;
        };
        let accepted = admit(stream, addr, arrival, slot);
        let flow = super::connection(gateway.clone(), accepted);
        super::spawn(&gateway, flow);
    }
}

fn admit(stream: TcpStream, addr: ClientAddr, arrival: Arrival, slot: Slot) -> Accepted {
    // Answers are written whole; waiting to fill segments only adds delay.
    let _ = stream.set_nodelay(true);
    let redirected = original_destination(&stream, arrival);
    let entry = if redirected.is_some() { Entry::Transparent } else { Entry::HttpProxy };
    let client = Client { id: ConnectionId::next(), addr, entry, identity: None, slot: Arc::new(slot) };
    Accepted { io: Box::new(stream), client, redirected }
}

/// Where a redirected connection was going before the kernel turned it to us.
fn original_destination(stream: &TcpStream, arrival: Arrival) -> Option<OriginAddr> {
    let local = stream.local_addr().ok()?;
    if arrival == Arrival::Tproxy {
        return Some(OriginAddr::new(local));
    }
    let original: SocketAddr = if local.is_ipv4() {
        let raw = getsockopt(stream, sockopt::OriginalDst).ok()?;
        // Both fields are in network byte order (netfilter's sockaddr_in).
        let ip = std::net::Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr));
        SocketAddr::from((ip, u16::from_be(raw.sin_port)))
    } else {
        let raw = getsockopt(stream, sockopt::Ip6tOriginalDst).ok()?;
        let ip = std::net::Ipv6Addr::from(raw.sin6_addr.s6_addr);
        SocketAddr::from((ip, u16::from_be(raw.sin6_port)))
    };
    let (original, local) = (OriginAddr::new(original), OriginAddr::new(local));
    (original != local).then_some(original)
}

/// Out of descriptors or memory: the loop waits for others to end, instead of spinning. Errors
/// that concern the one connection alone are not waited for.
async fn back_off(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        return;
    }
    tracing::warn!(%error, "accepting is paused for 100 ms; raise the limit on open files if this repeats");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
