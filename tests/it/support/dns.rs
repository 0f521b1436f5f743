//! A name server on loopback that answers as told, and the words that make a program use it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What a question for an address gets.
#[derive(Clone, Debug)]
pub enum Reply {
    /// One address; a list is gone through, one per question, its last staying.
    Addresses(Vec<Ipv4Addr>),
    NoSuchName,
    Failure,
    Silence,
}

pub struct Dns {
    pub addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dns {
    /// Serves on port 53 of a loopback address of its own, which needs root as the network tests do.
    pub async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Dns {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id();
        let ip = Ipv4Addr::new(127, 53, (process % 250) as u8, NEXT.fetch_add(1, Ordering::Relaxed));
        let socket =
            UdpSocket::bind((ip, 53)).await.unwrap_or_else(|e| panic!("no name server on {ip}:53: {e}"));
        let addr = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let names = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let turns = AtomicUsize::new(0);
            let mut packet = [0; 1500];
            loop {
                let Ok((len, from)) = socket.recv_from(&mut packet).await else { return };
                let Some((name, kind, end)) = question(&packet[..len]) else { continue };
                names.lock().unwrap().push(name.clone());
                let Some(reply) = reply(&packet[..end], kind, answer(&name), &turns) else { continue };
                let _ = socket.send_to(&reply, from).await;
            }
        });
        Dns { addr, asked, task }
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Words that start a program with this as its only name server: a mount namespace of its own.
    pub fn behind(&self, dir: &Path) -> Vec<String> {
        let file = dir.join("resolv.conf");
        std::fs::write(&file, format!("nameserver {}\noptions timeout:1 attempts:1\n", self.addr.ip()))
            .unwrap();
        let script = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", file.display());
        ["unshare", "-m", "sh", "-c", &script, "sh"].map(String::from).to_vec()
    }
}

/// The name asked for in lower case, the type, and where the question ends (RFC 1035 section 4.1.2).
fn question(packet: &[u8]) -> Option<(String, u16, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let len = usize::from(*packet.get(at)?);
        at += 1;
        if len == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + len)?).to_lowercase());
        at += len;
    }
    let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
    Some((labels.join("."), kind, at + 4))
}

fn reply(question: &[u8], kind: u16, answer: Reply, turns: &AtomicUsize) -> Option<Vec<u8>> {
    let (code, address) = match answer {
        Reply::Silence => return None,
        Reply::NoSuchName => (3, None),
        Reply::Failure => (2, None),
        // Only A records exist; AAAA has no data.
        Reply::Addresses(list) if kind == 1 => {
            let turn = turns.fetch_add(1, Ordering::Relaxed).min(list.len() - 1);
            (0, Some(list[turn]))
        }
        Reply::Addresses(_) => (0, None),
    };
    let mut out = question.to_vec();
    // An answer, recursion available, with the code; one question, no additional records.
    out[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    out[4..12].copy_from_slice(&[0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    if let Some(address) = address {
        // The name again by pointer, type A, class IN, no time to live, four bytes.
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        out.extend(address.octets());
    }
    Some(out)
}
