//! Sockets: bound before anything else is started, so that a port in use stops the start; and the
//! bounds that depend on how many descriptors the process may have.

use std::io;
use std::net::SocketAddr;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::{StartError, holder};
use crate::config::{Config, TransparentMode};
use crate::net::Limits;
use crate::proxy::accept::Arrival;

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 1024;

/// Descriptors kept for files, DNS and the audit log.
const RESERVE: u64 = 128;

/// Bound sockets.
pub struct Bound(Vec<(std::net::TcpListener, Arrival)>);

/// Binds every listener, or says who holds the port.
pub fn bind(config: &Config) -> Result<Bound, StartError> {
    let mut bound = Vec::new();
    for &addr in &config.listen {
        let listener = open(addr, false).map_err(|source| refused(addr, source))?;
        bound.push((listener, Arrival::AddressedOrRedirected));
    }
    for transparent in &config.transparent {
        let addr = transparent.listen;
        let tproxy = transparent.mode == TransparentMode::Tproxy;
        let listener = open(addr, tproxy).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied if tproxy => StartError::Transparent(format!(
                "cannot listen on {addr} for TPROXY: it needs the capability CAP_NET_ADMIN\n  \
                 fix: run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN"
            )),
            _ => refused(addr, source),
        })?;
        bound.push((listener, if tproxy { Arrival::Tproxy } else { Arrival::AddressedOrRedirected }));
    }
    Ok(Bound(bound))
}

fn refused(addr: SocketAddr, source: io::Error) -> StartError {
    let holder = (source.kind() == io::ErrorKind::AddrInUse).then(|| holder::of(addr)).flatten();
    StartError::Listen { addr, source, holder }
}

fn open(addr: SocketAddr, tproxy: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart need not wait for the last connections' TIME_WAIT; a live listener still refuses.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    if tproxy {
        if addr.is_ipv6() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "TPROXY is for IPv4 listeners only"));
        }
        socket.set_ip_transparent_v4(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Bound {
    /// Where each listens, port 0 resolved.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|(listener, _)| listener.local_addr().ok()).collect()
    }

    pub fn into_tokio(self) -> Result<Vec<(TcpListener, Arrival)>, StartError> {
        self.0
            .into_iter()
            .map(|(listener, arrival)| {
                let addr = listener.local_addr().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
                TcpListener::from_std(listener)
                    .map(|listener| (listener, arrival))
                    .map_err(|source| StartError::Listen { addr, source, holder: None })
            })
            .collect()
    }
}

/// Raises the limit on open files as far as it goes, and lowers the bound on connections to what
/// that allows: each takes a descriptor to the client and one to the origin.
pub fn limits(wanted: &Limits) -> Limits {
    let mut limits = wanted.clone();
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let files =
            if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft };
        let room = usize::try_from(files.saturating_sub(RESERVE) / 2).unwrap_or(usize::MAX).max(16);
        if room < limits.connections {
            tracing::info!(room, files, "connections are bounded by the limit on open files");
            limits.connections = room;
        }
        limits.pool_total = limits.pool_total.min(room);
    }
    limits
}

/// Keys and decrypted traffic are in this memory; no crash may write it to a disk.
pub fn no_core_dumps() {
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
    // Other processes of the same user cannot attach to this one or read its memory either.
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::warn!(%error, "this process could not be closed to debuggers");
    }
}
