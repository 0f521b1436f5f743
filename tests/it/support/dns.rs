//! A name server on loopback that answers as told, and the words that make a program use it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

/// What a question for an address gets.
#[derive(Clone, Debug)]
pub enum Reply {
    /// One address; a list is gone through, one per question, its last staying.
    Addresses(Vec<Ipv4Addr>),
    NoSuchName,
    Failure,
    Silence,
    /// The name is another's, and has nothing of its own.
    Alias(&'static str),
    /// Many addresses at once, from 127.9.0.1 on: over TCP, for a datagram would not hold them.
    Many(u32),
    /// As long as a message can be, in text that nobody asked for, behind one address.
    Stuffed(Ipv4Addr),
}

pub struct Dns {
    pub addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A message in a datagram, as resolvers that say nothing of EDNS take it (RFC 1035 section 4.2.1).
const DATAGRAM: usize = 512;

impl Dns {
    /// Serves on port 53 of a loopback address of its own, which needs root as the network tests do.
    pub async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Dns {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id();
        let ip = Ipv4Addr::new(127, 53, (process % 250) as u8, NEXT.fetch_add(1, Ordering::Relaxed));
        let socket =
            UdpSocket::bind((ip, 53)).await.unwrap_or_else(|e| panic!("no name server on {ip}:53: {e}"));
        let addr = socket.local_addr().unwrap();
        let listener = TcpListener::bind((ip, 53)).await.unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let names = Arc::clone(&asked);
        let turns = AtomicUsize::new(0);
        let told = Arc::new(move |packet: &[u8]| {
            let (name, kind, end) = question(packet)?;
            names.lock().unwrap().push(name.clone());
            reply(&packet[..end], kind, answer(&name), &turns)
        });
        let same = Arc::clone(&told);
        let datagrams = tokio::spawn(async move {
            let mut packet = [0; 1500];
            loop {
                let Ok((len, from)) = socket.recv_from(&mut packet).await else { return };
                let Some(mut reply) = told(&packet[..len]) else { continue };
                if reply.len() > DATAGRAM {
                    // Truncated: the question alone, to be asked again over TCP.
                    let end = question(&reply).unwrap().2;
                    reply.truncate(end);
                    reply[2] |= 2;
                    reply[6..12].fill(0);
                }
                let _ = socket.send_to(&reply, from).await;
            }
        });
        let streams = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let told = Arc::clone(&same);
                tokio::spawn(async move {
                    while let Ok(len) = stream.read_u16().await {
                        let mut packet = vec![0; len.into()];
                        if stream.read_exact(&mut packet).await.is_err() {
                            return;
                        }
                        let Some(reply) = told(&packet) else { continue };
                        let whole = [&(reply.len() as u16).to_be_bytes()[..], &reply].concat();
                        if stream.write_all(&whole).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Dns { addr, asked, tasks: [datagrams, streams] }
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Words that start a program with this as its only name server: a mount namespace of its own.
    pub fn behind(&self, dir: &Path) -> Vec<String> {
        let file = dir.join("resolv.conf");
        std::fs::write(&file, format!("nameserver {}\noptions timeout:5 attempts:1\n", self.addr.ip()))
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

/// The name of the question by pointer, a type, class IN, no time to live, and the data.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0xc0, 12];
    out.extend(kind.to_be_bytes());
    out.extend([0, 1, 0, 0, 0, 0]);
    out.extend((data.len() as u16).to_be_bytes());
    out.extend(data);
    out
}

/// A name as it is written.
fn spelled(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

fn reply(question: &[u8], kind: u16, answer: Reply, turns: &AtomicUsize) -> Option<Vec<u8>> {
    const A: u16 = 1;
    let mut authority = Vec::new();
    let (code, records) = match answer {
        Reply::Silence => return None,
        Reply::NoSuchName => {
            // How long that may be remembered (RFC 2308 section 3): an hour, by the start of authority.
            let numbers = [1u32, 3600, 3600, 3600, 3600].map(u32::to_be_bytes).concat();
            let names = [spelled("ns.test"), spelled("admin.test")].concat();
            authority = record(6, &[names, numbers].concat());
            // Its own time to live as well.
            authority[6..10].copy_from_slice(&3600u32.to_be_bytes());
            (3, Vec::new())
        }
        Reply::Failure => (2, Vec::new()),
        Reply::Alias(other) => (0, vec![record(5, &spelled(other))]),
        // Only A records exist; AAAA has no data.
        Reply::Addresses(list) if kind == A => {
            let turn = turns.fetch_add(1, Ordering::Relaxed).min(list.len() - 1);
            (0, vec![record(A, &list[turn].octets())])
        }
        Reply::Many(count) if kind == A => {
            let base = u32::from(Ipv4Addr::new(127, 9, 0, 0));
            (0, (1..=count).map(|n| record(A, &(base + n).to_be_bytes())).collect())
        }
        Reply::Stuffed(address) if kind == A => {
            let text = record(16, &[&[250][..], &[b'a'; 250]].concat());
            (0, [vec![record(A, &address.octets())], vec![text; 245]].concat())
        }
        Reply::Addresses(_) | Reply::Many(_) | Reply::Stuffed(_) => (0, Vec::new()),
    };
    let mut out = question.to_vec();
    // An answer, recursion available, with the code; one question, no additional records.
    out[2..4].copy_from_slice(&[0x81, 0x80 | code]);
    out[4..12].copy_from_slice(&[0, 1, 0, 0, 0, u8::from(!authority.is_empty()), 0, 0]);
    out[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    out.extend(records.concat());
    out.extend(authority);
    assert!(out.len() <= usize::from(u16::MAX), "{} bytes", out.len());
    Some(out)
}
