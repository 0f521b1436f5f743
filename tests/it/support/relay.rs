//! A relay in front of an origin: it keeps every byte of both directions, and can fall silent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Client,
    Server,
}

/// What was relayed, in its order.
pub type Heard = Vec<(From, Vec<u8>)>;

pub struct Relay {
    pub addr: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    most: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    pub async fn start(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (heard, most) = (Arc::<Mutex<Heard>>::default(), Arc::new(AtomicUsize::new(usize::MAX)));
        let (all, limit) = (heard.clone(), most.clone());
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(to).await else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                open.spawn(copy(from_client, to_server, From::Client, usize::MAX, all.clone()));
                open.spawn(copy(
                    from_server,
                    to_client,
                    From::Server,
                    limit.load(Ordering::SeqCst),
                    all.clone(),
                ));
            }
        });
        Relay { addr, heard, most, task }
    }

    /// Lets so many bytes of each server's answer through from now on, and then nothing more.
    pub fn silent_behind(&self, bytes: usize) {
        self.most.store(bytes, Ordering::SeqCst);
    }

    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }

    /// The types of the TLS records that one side of the only connection sent.
    pub fn records(&self, from: From) -> Vec<u8> {
        let bytes: Vec<u8> =
            self.heard().into_iter().filter(|(who, _)| *who == from).flat_map(|(_, bytes)| bytes).collect();
        let mut kinds = Vec::new();
        let mut rest = bytes.as_slice();
        while rest.len() >= 5 {
            kinds.push(rest[0]);
            let end = 5 + usize::from(u16::from_be_bytes([rest[3], rest[4]]));
            rest = rest.get(end..).unwrap_or_default();
        }
        kinds
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    who: From,
    mut left: usize,
    all: Arc<Mutex<Heard>>,
) {
    let mut part = [0; 16 * 1024];
    while left > 0 {
        let want = left.min(part.len());
        let Ok(n @ 1..) = from.read(&mut part[..want]).await else {
            let _ = to.shutdown().await;
            return;
        };
        left -= n;
        all.lock().unwrap().push((who, part[..n].to_vec()));
        if to.write_all(&part[..n]).await.is_err() {
            return;
        }
    }
    // Open and silent: both ends are held until the relay ends.
    std::future::pending::<()>().await;
}
