//! What the tests are made of: a lab authority, origins that record, the real binary, and clients that come in by
//! every entry.

pub mod archive;
pub mod attack;
pub mod client;
pub mod clients;
pub mod clock;
pub mod company;
pub mod dns;
pub mod door;
pub mod forge;
pub mod frames;
pub mod grpc;
pub mod hello;
pub mod kinds;
pub mod lint;
pub mod netns;
pub mod nginx;
pub mod origin;
pub mod pcap;
pub mod peer;
pub mod pki;
pub mod proxy;
pub mod python;
pub mod relay;
pub mod site;
pub mod split;
pub mod table;
pub mod websocket;
pub mod wire;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// No step of a test waits longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// For a program's start, which compiles all rules on a machine where others do the same.
pub const STARTS: Duration = Duration::from_secs(120);

/// HTTP's version on one leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    H1,
    H2,
}

impl Http {
    pub const BOTH: [Http; 2] = [Http::H1, Http::H2];

    pub fn alpn(self) -> &'static str {
        match self {
            Http::H1 => "http/1.1",
            Http::H2 => "h2",
        }
    }
}

/// TLS's version on one leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    V12,
    V13,
}

impl Tls {
    pub const BOTH: [Tls; 2] = [Tls::V12, Tls::V13];

    pub fn version(self) -> &'static rustls::SupportedProtocolVersion {
        match self {
            Tls::V12 => &rustls::version::TLS12,
            Tls::V13 => &rustls::version::TLS13,
        }
    }
}

/// An address where nobody listens: the port is taken, so that nobody else is given it meanwhile.
pub struct Closed {
    pub addr: SocketAddr,
    _socket: Socket,
}

impl Closed {
    pub fn new() -> Closed {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        Closed { addr, _socket: socket }
    }
}

/// A loopback address of one's own, as long as this process lives: a port there that is given back and taken again has
/// not gone to anybody else.
pub fn own_ip() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    Ipv4Addr::new(127, 86, (std::process::id() % 250) as u8, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits for `future`, and says what was waited for when it takes too long.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    patiently(PATIENCE, what, future).await
}

async fn patiently<F: Future>(patience: Duration, what: &str, future: F) -> F::Output {
    match tokio::time::timeout(patience, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: nothing after {patience:?}"),
    }
}

/// Looks again until `found` has something, and says what was looked for when it never has.
pub async fn until<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, found).await
}

/// The same with another patience.
pub async fn until_within<T>(patience: Duration, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    patiently(patience, what, async {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        loop {
            again.tick().await;
            if let Some(value) = found() {
                return value;
            }
        }
    })
    .await
}
