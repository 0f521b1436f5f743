//! A TLS server of our own on loopback, with a leaf of the CA for `localhost`: what completes a
//! handshake with it trusts the CA. It lives for the length of one command; its key and leaf never
//! leave the process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::ca::{Ca, LeafName, LeafPair, LeafProfile};
use crate::net::Host;
use crate::tls::accept::{LeafConfigs, ServerKey};
use crate::tls::{BoxIo, Greeting, LeafConfig, Rewind};

/// A client on this machine that takes longer is not one of ours.
const CLIENT_TIME: Duration = Duration::from_secs(20);

/// Bounds what a client may send before its request ends.
const REQUEST_BYTES: usize = 16 * 1024;

/// How a store was proved to trust the CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Proof {
    /// A program that uses the store completed a handshake.
    Handshake { by: String },
    /// The program refused the leaf.
    Refused { by: String, said: String },
    /// No handshake could be tried.
    None { why: String },
}

/// The running server.
pub struct Probe {
    addr: Result<SocketAddr, String>,
    handshakes: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Probe {
    /// Starts it; a CA that may not issue for `localhost` gives a probe that says so when asked.
    pub fn start(ca: &Ca, now: OffsetDateTime) -> Probe {
        let handshakes = Arc::new(AtomicUsize::new(0));
        let mut probe = Probe { addr: Err(String::new()), handshakes, stop: None, thread: None };
        probe.addr = leaf(ca, now).and_then(|leaf| probe.listen(leaf));
        probe
    }

    fn listen(&mut self, leaf: LeafConfig) -> Result<SocketAddr, String> {
        let failed = |error: std::io::Error| format!("the test server does not start: {error}");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let handshakes = self.handshakes.clone();
        self.stop = Some(stop);
        self.thread = Some(thread::spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = serve(listener, leaf, handshakes) => {}
                    _ = stopped => {}
                }
            });
        }));
        Ok(addr)
    }

    /// Runs `connect` with the server's port; it answers with the name of the program that came,
    /// and what that program said if it failed. Both ends must agree that it was a handshake.
    pub fn proof(&self, connect: impl FnOnce(u16) -> Result<String, Proof>) -> Proof {
        let addr = match &self.addr {
            Ok(addr) => addr,
            Err(why) => return Proof::None { why: why.clone() },
        };
        let before = self.handshakes.load(Ordering::Acquire);
        match connect(addr.port()) {
            Ok(by) if self.handshakes.load(Ordering::Acquire) > before => Proof::Handshake { by },
            Ok(by) => Proof::Refused { by, said: "it never came to our server".into() },
            Err(proof) => proof,
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The server's end is all that is waited for; it has nothing to tell.
            let _ = thread.join();
        }
    }
}

fn leaf(ca: &Ca, now: OffsetDateTime) -> Result<LeafConfig, String> {
    let host = Host::parse("localhost").map_err(|error| error.to_string())?;
    let mut profile = LeafProfile::new(&host);
    profile.names.push(LeafName::Host(Host::Ip(Ipv4Addr::LOCALHOST.into())));
    let minted = ca
        .mint(&profile, now)
        .or_else(|_| ca.mint(&LeafProfile::new(&host), now))
        .map_err(|error| error.to_string())?;
    let configs = LeafConfigs::new().map_err(|error| error.to_string())?;
    let key = match minted.key {
        LeafPair::Ecdsa(key) => ServerKey::Ecdsa(key),
        LeafPair::Rsa(key) => ServerKey::Rsa(key),
    };
    configs.build(minted.chain, key).map_err(|error| error.to_string())
}

async fn serve(listener: TcpListener, leaf: LeafConfig, handshakes: Arc<AtomicUsize>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        let (leaf, handshakes) = (leaf.clone(), handshakes.clone());
        tokio::spawn(async move {
            // A client that refuses us or stays silent is the answer to the question.
            let _ = tokio::time::timeout(CLIENT_TIME, answer(socket, &leaf, &handshakes)).await;
        });
    }
}

/// One handshake, one request, one answer.
async fn answer(socket: TcpStream, leaf: &LeafConfig, handshakes: &AtomicUsize) -> std::io::Result<()> {
    let io: BoxIo = Box::new(socket);
    let greeting = Greeting::read(Rewind::new(io)).await.map_err(std::io::Error::other)?;
    let (mut stream, _) = greeting.accept(leaf).await?;
    handshakes.fetch_add(1, Ordering::AcqRel);
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") && request.len() < REQUEST_BYTES {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n").await?;
    stream.shutdown().await
}
