//! A flood of names beside other people's requests: one client asks the real binary for a new host with every tunnel;
//! another goes on with its work. Printed: how long the other's requests take alone and beside the flood, the proxy's
//! processor time and its memory.
//!
//!     cargo bench --bench names                        about a minute
//!     cargo bench --bench names -- --portward FILE     another binary
//!
//! Two floods: one of 50,000 names a minute, and one that is as fast as it can be. Each is of one address with as many
//! connections as it may have; every second tunnel asks for a page, the others only shake hands.
//!
//! On four cores or more the proxy has two of them (0 and 1); flood and flooded origin have one (2), and so have the
//! other client and its origin (3), so that what is measured is the proxy and not the load. All four share the
//! kernel and whatever else the machine does: alone and beside are measured in turns.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Of the flood: what one address may have by default, less a few.
const CONNECTIONS: usize = 250;
/// 50,000 a minute.
const RATE: f64 = 50_000.0 / 60.0;
/// Requests of the other client on kept connections, and its new tunnels to a host that is known.
const REQUEST_EVERY: Duration = Duration::from_millis(4);
const TUNNEL_EVERY: Duration = Duration::from_millis(40);
const PHASE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const FLOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const QUIET: &str = "quiet.bench.test";

static NEXT: AtomicU64 = AtomicU64::new(1);
/// Tunnels of the flood that were what they should be.
static DONE: AtomicU64 = AtomicU64::new(0);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let binary = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => PathBuf::from(env!("CARGO_BIN_EXE_portward")),
        ["--portward", file] => PathBuf::from(file),
        _ => panic!("unknown arguments {words:?}"),
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (root, server) = certificates();
    std::fs::write(dir.path().join("lab.pem"), root).expect("a file");
    let (flooded, quiet) = (origin(2, &server), origin(3, &server));
    let proxy = Proxy::start(&binary, dir.path(), flooded, quiet);
    let tls = client_tls(&dir.path().join("ca/root.pem"));
    // The first of everything is not what is measured.
    measure(&proxy, &tls);
    let before = proxy.memory();
    println!("memory before: {before} MiB");
    beside(&proxy, &tls, Some(RATE));
    beside(&proxy, &tls, None);
}

/// The other client's times alone and beside a flood of that many names a second.
fn beside(proxy: &Proxy, tls: &Arc<ClientConfig>, rate: Option<f64>) {
    let (mut alone, mut beside) = (Times::default(), Times::default());
    let (mut names, mut spent, mut busy, mut memory) = (0, Duration::ZERO, Duration::ZERO, 0);
    for _ in 0..ROUNDS {
        alone.add(measure(proxy, tls));
        let on = AtomicBool::new(true);
        thread::scope(|scope| {
            scope.spawn(|| on_core(2, flood(proxy.addr, tls, rate, &on)));
            thread::sleep(Duration::from_millis(500));
            let (first, began, used) = (DONE.load(Ordering::Relaxed), Instant::now(), proxy.processor());
            beside.add(measure(proxy, tls));
            names += DONE.load(Ordering::Relaxed) - first;
            spent += began.elapsed();
            busy += proxy.processor() - used;
            memory = memory.max(proxy.memory());
            on.store(false, Ordering::Relaxed);
        });
        thread::sleep(Duration::from_millis(500));
    }
    println!(
        "\n{:.0} new names a second ({}) from one client on {CONNECTIONS} connections, {:.2} cores of the proxy's time",
        names as f64 / spent.as_secs_f64(),
        rate.map_or("as fast as it can".to_owned(), |rate| format!("{rate:.0} asked for")),
        busy.as_secs_f64() / spent.as_secs_f64()
    );
    println!(
        "| another client's | p50 alone | p99 alone | p50 beside | p99 beside | p99 times |\n|---|---:|---:|---:|---:|---:|"
    );
    row("requests on kept connections", &mut alone.requests, &mut beside.requests);
    row("new tunnels to a known host", &mut alone.tunnels, &mut beside.tunnels);
    println!(
        "memory: {memory} MiB at most beside the flood, {} MiB after {} names",
        proxy.memory(),
        NEXT.load(Ordering::Relaxed)
    );
}

fn row(what: &str, alone: &mut [Duration], beside: &mut [Duration]) {
    alone.sort();
    beside.sort();
    let at = |times: &[Duration], part: usize| times[times.len() * part / 100].as_secs_f64() * 1e3;
    let (a50, a99, b50, b99) = (at(alone, 50), at(alone, 99), at(beside, 50), at(beside, 99));
    println!("| {what} | {a50:.2} ms | {a99:.2} ms | {b50:.2} ms | {b99:.2} ms | {:.1} |", b99 / a99);
}

/// An origin of every name, on a thread of that core.
fn origin(core: usize, config: &Arc<ServerConfig>) -> SocketAddr {
    let (told, origin) = std::sync::mpsc::channel();
    let config = config.clone();
    thread::spawn(move || on_core(core, serve(config, told)));
    origin.recv().expect("an origin")
}

/// Runs `work` on a thread of one core, where there are four.
fn on_core<T>(core: usize, work: impl Future<Output = T>) -> T {
    if cores() >= 4 {
        let mut set = nix::sched::CpuSet::new();
        set.set(core).expect("a core's number");
        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).expect("a core of ours");
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

struct Proxy {
    child: Child,
    addr: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    fn start(binary: &Path, dir: &Path, flooded: SocketAddr, quiet: SocketAddr) -> Proxy {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = free.local_addr().expect("its address");
        drop(free);
        let mut command = Command::new(if cores() >= 4 { "taskset".into() } else { binary.to_owned() });
        if cores() >= 4 {
            command.args(["-c", "0,1"]).arg(binary);
        }
        std::fs::write(dir.join("portward.toml"), "workers = 2\n").expect("a file");
        command.arg("run").args(["--listen", &addr.to_string(), "--allow-private", "127.0.0.0/8"]);
        for (name, origin) in [(QUIET, quiet), ("*", flooded)] {
            command.args(["--resolve", &format!("{name}:443:127.0.0.1:{}", origin.port())]);
        }
        for (flag, file) in [
            ("--ca", "ca"),
            ("--audit-log", "audit.jsonl"),
            ("--origin-ca", "lab.pem"),
            ("--config", "portward.toml"),
        ] {
            command.arg(flag).arg(dir.join(file));
        }
        let child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary (and taskset)");
        let mut proxy = Proxy { child, addr };
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(addr).is_err() {
            assert!(
                Instant::now() < until && proxy.child.try_wait().expect("a child").is_none(),
                "it does not start"
            );
            thread::sleep(Duration::from_millis(20));
        }
        proxy
    }

    /// Time that all its threads had of a processor.
    fn processor(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux tells");
        // proc(5): the times are the 14th and 15th fields, and the second one may have spaces in it.
        let rest = text.rsplit(") ").next().expect("more fields").split(' ').skip(11);
        let ticks: u64 = rest.take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        // USER_HZ is 100 wherever Linux has this file.
        Duration::from_millis(ticks * 10)
    }

    /// Resident, in MiB.
    fn memory(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux tells");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }
}

#[derive(Default)]
struct Times {
    requests: Vec<Duration>,
    tunnels: Vec<Duration>,
}

impl Times {
    fn add(&mut self, other: Times) {
        self.requests.extend(other.requests);
        self.tunnels.extend(other.tunnels);
    }
}

/// The other client, for one phase. Each request has its time, whether the last one is done or not.
fn measure(proxy: &Proxy, tls: &Arc<ClientConfig>) -> Times {
    let (addr, tls) = (proxy.addr, tls.clone());
    let work = async move {
        let end = Instant::now() + PHASE;
        let kept = async {
            let mut connections = Vec::new();
            for _ in 0..4 {
                connections.push(tunnel(addr, OTHER, QUIET, &tls).await);
            }
            let mut times = Vec::new();
            let mut tick = tokio::time::interval(REQUEST_EVERY);
            for turn in 0.. {
                let due = tick.tick().await.into_std();
                if due >= end {
                    return times;
                }
                ask(&mut connections[turn % 4]).await;
                times.push(due.elapsed());
            }
            times
        };
        let fresh = async {
            let mut times = Vec::new();
            let mut tick = tokio::time::interval(TUNNEL_EVERY);
            loop {
                let due = tick.tick().await.into_std();
                if due >= end {
                    return times;
                }
                ask(&mut tunnel(addr, OTHER, QUIET, &tls).await).await;
                times.push(due.elapsed());
            }
        };
        let (requests, tunnels) = tokio::join!(kept, fresh);
        Times { requests, tunnels }
    };
    thread::scope(|scope| scope.spawn(|| on_core(3, work)).join().expect("no panic"))
}

async fn ask(stream: &mut TlsStream<tokio::net::TcpStream>) {
    let answer = try_ask(stream, QUIET).await.expect("a connection that is kept");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

async fn try_ask(stream: &mut TlsStream<tokio::net::TcpStream>, host: &str) -> std::io::Result<Vec<u8>> {
    let request =
        format!("GET /page HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    // What TLS holds back, because this task has had its share for now, nobody else would send.
    stream.flush().await?;
    message(stream).await
}

/// Head and body of a message with a length, or without a body.
async fn message(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut seen = Vec::with_capacity(2048);
    loop {
        if let Some(head) = seen.windows(4).position(|end| end == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&seen[..head]).to_ascii_lowercase();
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            if seen.len() >= head + 4 + length.map_or(0, |length| length.parse().expect("a length")) {
                return Ok(seen);
            }
        }
        if stream.read_buf(&mut seen).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A tunnel from that address, with TLS in it.
async fn tunnel(
    proxy: SocketAddr,
    from: IpAddr,
    host: &str,
    tls: &Arc<ClientConfig>,
) -> TlsStream<tokio::net::TcpStream> {
    try_tunnel(proxy, from, host, tls).await.expect("a tunnel")
}

async fn try_tunnel(
    proxy: SocketAddr,
    from: IpAddr,
    host: &str,
    tls: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let mut stream = socket.connect(proxy).await?;
    stream.set_nodelay(true)?;
    let head = format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    message(&mut stream).await?;
    let name = ServerName::try_from(host.to_owned()).expect("a DNS name");
    TlsConnector::from(tls.clone()).connect(name, stream).await
}

/// Tunnels to new names, until it is turned off.
async fn flood(proxy: SocketAddr, tls: &Arc<ClientConfig>, rate: Option<f64>, on: &AtomicBool) {
    let (began, asked) = (tokio::time::Instant::now(), AtomicU64::new(0));
    let one = || async {
        while on.load(Ordering::Relaxed) {
            if let Some(rate) = rate {
                let number = asked.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep_until(began + Duration::from_secs_f64(number as f64 / rate)).await;
            }
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("h{number}.flood.bench.test");
            let tunnel = async {
                let mut stream = try_tunnel(proxy, FLOOD, &name, tls).await?;
                if number.is_multiple_of(2) {
                    try_ask(&mut stream, &name).await?;
                }
                std::io::Result::Ok(())
            };
            // What it gets is not its concern, and a refusal is no reason to stop.
            if let Ok(Ok(())) = tokio::time::timeout(Duration::from_secs(10), tunnel).await {
                DONE.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    futures_util::future::join_all((0..CONNECTIONS).map(|_| one())).await;
}

/// An authority's PEM, and an origin's configuration under it.
fn certificates() -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root =
        rcgen::CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a root");
    let names = ["quiet.bench.test".to_owned(), "*.flood.bench.test".to_owned()];
    let mut params = CertificateParams::new(names).expect("names");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::HOUR;
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(7);
    let key = KeyPair::generate().expect("a key");
    let cert = params.signed_by(&key, &root).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(portward::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("both versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a key that fits");
    (root.pem(), Arc::new(config))
}

fn client_tls(ca: &std::path::Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_file_iter(ca).expect("a CA").flatten());
    let mut config = ClientConfig::builder_with_provider(portward::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

async fn serve(config: Arc<ServerConfig>, told: std::sync::mpsc::Sender<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    told.send(listener.local_addr().expect("its address")).expect("someone who asked");
    let body = "<!doctype html><title>A page</title><p>What every page says.</p>\n".repeat(15);
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer: Arc<[u8]> = answer.into_bytes().into();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let (acceptor, answer) = (TlsAcceptor::from(config.clone()), answer.clone());
        tokio::spawn(async move {
            let _ = socket.set_nodelay(true);
            if let Ok(stream) = acceptor.accept(socket).await {
                pages(stream, &answer).await;
            }
        });
    }
}

async fn pages(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    while message(&mut stream).await.is_ok() {
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
