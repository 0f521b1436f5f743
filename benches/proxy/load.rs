//! The load generator: a thread per connection, blocking rustls, prepared requests, and as little
//! looking at responses as proves them whole. It trusts one CA only, the proxy's when the proxy
//! intercepts, so a handshake that succeeds is proof of who answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::machine::Tree;
use crate::origin::{LARGE, SMALL, lean_provider};
use crate::wire::{self, Buffered, Framing};

/// A way from the load generator to the origin.
#[derive(Clone)]
pub struct Route {
    /// The proxy to CONNECT through, or none: straight to the origin.
    pub proxy: Option<SocketAddr>,
    pub origin_h1: SocketAddr,
    pub origin_h2: SocketAddr,
    pub roots: Arc<RootCertStore>,
}

/// What the load does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Scenario {
    /// Resident memory at rest and for each idle intercepted connection.
    Memory,
    /// Kept-alive HTTP/1.1 connections, GET of a 1 KB HTML page.
    KeepAlive,
    /// The same with a response that is binary.
    KeepAliveBinary,
    /// HTTP/2 connections with several streams each, the 1 KB page.
    KeepAliveH2,
    /// A new tunnel, handshake and request each, always the same host.
    KnownHost,
    /// A new tunnel to a host never seen before each.
    NewHost,
    /// 10 MB binary bodies down.
    Download,
    /// 10 MB HTML bodies down.
    DownloadHtml,
    /// 10 MB binary bodies up.
    Upload,
    /// 300 requests a second in all, on kept-alive connections: how long each takes.
    Latency,
}

/// How much of it.
#[derive(Clone)]
pub struct Shape {
    pub connections: usize,
    pub h2_connections: usize,
    pub h2_streams: usize,
    pub tunnels: usize,
    pub bulk: usize,
    pub rate: u32,
    pub rate_connections: usize,
    pub idle: usize,
    pub warm: Duration,
    pub seconds: f64,
}

/// What one run saw.
#[derive(Default)]
pub struct Sample {
    /// Requests, tunnels or bytes within the measured time.
    pub units: u64,
    pub seconds: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// CPU seconds of the proxy, the origin and this process.
    pub proxy_cpu: Option<f64>,
    pub origin_cpu: f64,
    pub load_cpu: f64,
    /// Bytes at rest, and bytes for each idle connection.
    pub memory: Option<(u64, f64)>,
}

const WARM: u8 = 0;
const MEASURE: u8 = 1;
const STOP: u8 = 2;

/// No answer within this is a failure, not a slow answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names never repeat within a run of the bench, whatever the candidate.
static NEXT_HOST: AtomicU64 = AtomicU64::new(1);

struct Shared {
    state: AtomicU8,
    ready: Barrier,
    failure: Mutex<Option<anyhow::Error>>,
}

/// What a thread counted.
#[derive(Default)]
struct Count {
    units: u64,
    nanos: Vec<u32>,
}

impl Count {
    fn request(&mut self, shared: &Shared, took: Duration) {
        if shared.state.load(Ordering::Relaxed) == MEASURE {
            self.units += 1;
            self.nanos.push(took.as_nanos().min(u128::from(u32::MAX)) as u32);
        }
    }

    fn bytes(&mut self, shared: &Shared, n: usize) {
        if shared.state.load(Ordering::Relaxed) == MEASURE {
            self.units += n as u64;
        }
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        self.state.load(Ordering::Relaxed) != STOP
    }
}

/// Runs a scenario over a route once.
pub fn run(
    scenario: Scenario,
    route: &Route,
    shape: &Shape,
    proxy: Option<&Tree>,
    origin: &Tree,
) -> Result<Sample> {
    if scenario == Scenario::Memory {
        return memory(route, shape, proxy);
    }
    let threads = match scenario {
        Scenario::KeepAliveH2 => shape.h2_connections,
        Scenario::KnownHost | Scenario::NewHost => shape.tunnels,
        Scenario::Download | Scenario::DownloadHtml | Scenario::Upload => shape.bulk,
        Scenario::Latency => shape.rate_connections,
        _ => shape.connections,
    };
    let shared = Arc::new(Shared {
        state: AtomicU8::new(WARM),
        ready: Barrier::new(threads + 1),
        failure: Mutex::new(None),
    });
    let protocol: &[u8] = if scenario == Scenario::KeepAliveH2 { b"h2" } else { b"http/1.1" };
    let tls = Arc::new(client_tls(&route.roots, protocol)?);
    let workers: Vec<_> = (0..threads)
        .map(|index| {
            let (shared, route, shape) = (Arc::clone(&shared), route.clone(), shape.clone());
            let tls = Arc::clone(&tls);
            thread::Builder::new().stack_size(256 * 1024).spawn(move || {
                let mut count = Count::default();
                let worker =
                    Worker { index, shared: &shared, route: &route, shape: &shape, tls, count: &mut count };
                if let Err(error) = worker.work(scenario) {
                    let mut slot = shared.failure.lock().unwrap_or_else(|e| e.into_inner());
                    slot.get_or_insert(error);
                }
                count
            })
        })
        .collect::<std::io::Result<_>>()?;
    // Without its children, which are the candidates.
    let me = Tree::alone(std::process::id());
    shared.ready.wait();
    thread::sleep(shape.warm);
    let before = (proxy.map(Tree::cpu), origin.cpu(), me.cpu());
    let start = Instant::now();
    shared.state.store(MEASURE, Ordering::Relaxed);
    thread::sleep(Duration::from_secs_f64(shape.seconds));
    shared.state.store(STOP, Ordering::Relaxed);
    let seconds = start.elapsed().as_secs_f64();
    let after = (proxy.map(Tree::cpu), origin.cpu(), me.cpu());
    let mut nanos = Vec::new();
    let mut units = 0;
    for worker in workers {
        let Ok(count) = worker.join() else { bail!("a load thread panicked") };
        units += count.units;
        nanos.extend(count.nanos);
    }
    let failure = shared.failure.lock().unwrap_or_else(|e| e.into_inner()).take();
    if let Some(error) = failure {
        return Err(error);
    }
    ensure!(units > 0, "nothing was measured");
    let spent = |a: Duration, b: Duration| b.saturating_sub(a).as_secs_f64();
    Ok(Sample {
        units,
        seconds,
        p50: percentile(&mut nanos, 0.50),
        p99: percentile(&mut nanos, 0.99),
        proxy_cpu: before.0.zip(after.0).map(|(a, b)| spent(a, b)),
        origin_cpu: spent(before.1, after.1),
        load_cpu: spent(before.2, after.2),
        memory: None,
    })
}

fn percentile(nanos: &mut [u32], share: f64) -> Duration {
    if nanos.is_empty() {
        return Duration::ZERO;
    }
    let at = ((nanos.len() as f64 * share) as usize).min(nanos.len() - 1);
    Duration::from_nanos(u64::from(*nanos.select_nth_unstable(at).1))
}

fn client_tls(roots: &Arc<RootCertStore>, protocol: &[u8]) -> Result<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(lean_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Holds idle connections and sees what they cost.
fn memory(route: &Route, shape: &Shape, proxy: Option<&Tree>) -> Result<Sample> {
    let Some(proxy) = proxy else { return Ok(Sample::default()) };
    let tls = Arc::new(client_tls(&route.roots, b"http/1.1")?);
    let settle = Duration::from_millis(500);
    // One tunnel first: what is loaded once is not what a connection costs.
    let mut first = connect(route, &tls, "idle.bench.test", 443)?;
    get(&mut first, request("idle.bench.test", "/small.html").as_bytes())?;
    thread::sleep(settle);
    let before = proxy.resident();
    let mut held = Vec::with_capacity(shape.idle);
    for _ in 0..shape.idle {
        let mut connection = connect(route, &tls, "idle.bench.test", 443)?;
        get(&mut connection, request("idle.bench.test", "/small.html").as_bytes())?;
        held.push(connection);
    }
    thread::sleep(settle);
    let after = proxy.resident();
    let each = after.saturating_sub(before) as f64 / shape.idle as f64;
    Ok(Sample { memory: Some((before, each)), ..Sample::default() })
}

type Connection = Buffered<StreamOwned<ClientConnection, TcpStream>>;

/// One full handshake through the route.
fn connect(route: &Route, tls: &Arc<ClientConfig>, host: &str, port: u16) -> Result<Connection> {
    let h2 = port == 8443;
    let to = route.proxy.unwrap_or(if h2 { route.origin_h2 } else { route.origin_h1 });
    let mut tcp = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    if route.proxy.is_some() {
        tcp.write_all(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n").as_bytes())?;
        let mut answer = [0; 1024];
        let mut len = 0;
        while !answer[..len].ends_with(b"\r\n\r\n") {
            let n = tcp.read(&mut answer[len..]).context("CONNECT")?;
            ensure!(n > 0, "the proxy closed on CONNECT: {}", String::from_utf8_lossy(&answer[..len]));
            len += n;
        }
        let line = answer[..len].split(|b| *b == b'\r').next().unwrap_or_default();
        ensure!(line.get(8..12) == Some(b" 200"), "CONNECT was answered {}", String::from_utf8_lossy(line));
    }
    let name = ServerName::try_from(host.to_owned())?;
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(tls), name)?, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).context("TLS handshake")?;
    }
    let want = if h2 { &b"h2"[..] } else { b"http/1.1" };
    let got = stream.conn.alpn_protocol();
    ensure!(got == Some(want) || (got.is_none() && !h2), "ALPN gave {got:?}");
    Ok(Buffered::new(stream))
}

fn request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{FIELDS}\r\n")
}

/// What a plain client sends.
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const FIELDS: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
     Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\n";

/// One request and its small response, whole.
fn get(connection: &mut Connection, request: &[u8]) -> Result<()> {
    connection.stream.write_all(request)?;
    let head = connection.head()?.context("the connection closed instead of answering")?;
    check_status(&connection.bytes()[..head.len])?;
    connection.consume(head.len);
    let mut got = 0;
    connection.body(head.body, |n| {
        got += n;
        true
    })?;
    ensure!(got == SMALL, "a body of {got} bytes");
    Ok(())
}

fn check_status(head: &[u8]) -> Result<()> {
    if head.get(8..12) != Some(b" 200") {
        bail!("answered {}", String::from_utf8_lossy(&head[..head.len().min(200)]));
    }
    Ok(())
}

struct Worker<'a> {
    index: usize,
    shared: &'a Shared,
    route: &'a Route,
    shape: &'a Shape,
    tls: Arc<ClientConfig>,
    count: &'a mut Count,
}

const HOST: &str = "known.bench.test";

impl Worker<'_> {
    fn work(mut self, scenario: Scenario) -> Result<()> {
        match scenario {
            Scenario::Memory => Ok(()),
            Scenario::KnownHost | Scenario::NewHost => {
                self.shared.ready.wait();
                self.tunnels(scenario == Scenario::NewHost)
            }
            Scenario::KeepAliveH2 => {
                let connection = self.ready(8443)?;
                self.h2(connection)
            }
            _ => {
                let connection = self.ready(443)?;
                match scenario {
                    Scenario::KeepAlive => self.keep_alive(connection, "/small.html"),
                    Scenario::KeepAliveBinary => self.keep_alive(connection, "/small"),
                    Scenario::Download => self.download(connection, "/large"),
                    Scenario::DownloadHtml => self.download(connection, "/large.html"),
                    Scenario::Upload => self.upload(connection),
                    _ => self.paced(connection),
                }
            }
        }
    }

    /// Connected, and at the barrier whatever came of it: the others wait there.
    fn ready(&self, port: u16) -> Result<Connection> {
        let connection = connect(self.route, &self.tls, HOST, port);
        self.shared.ready.wait();
        connection
    }

    fn keep_alive(&mut self, mut connection: Connection, path: &str) -> Result<()> {
        let request = request(HOST, path);
        while self.shared.goes_on() {
            let start = Instant::now();
            get(&mut connection, request.as_bytes())?;
            self.count.request(self.shared, start.elapsed());
        }
        Ok(())
    }

    /// Each connection sends at fixed times; a request that is late because the one before it was
    /// slow is timed from when it should have gone out.
    fn paced(&mut self, mut connection: Connection) -> Result<()> {
        let request = request(HOST, "/small.html");
        let step = Duration::from_secs(1) * self.shape.rate_connections as u32 / self.shape.rate;
        let mut due = Instant::now() + step * self.index as u32 / self.shape.rate_connections as u32;
        let mut done = Instant::now();
        while self.shared.goes_on() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let start = if done > due { due } else { Instant::now() };
            get(&mut connection, request.as_bytes())?;
            done = Instant::now();
            self.count.request(self.shared, done - start);
            due += step;
        }
        Ok(())
    }

    fn tunnels(&mut self, fresh: bool) -> Result<()> {
        while self.shared.goes_on() {
            let host = match fresh {
                true => format!("h{}.bench.test", NEXT_HOST.fetch_add(1, Ordering::Relaxed)),
                false => HOST.to_owned(),
            };
            let start = Instant::now();
            let mut connection = connect(self.route, &self.tls, &host, 443)?;
            get(&mut connection, request(&host, "/small.html").as_bytes())?;
            self.count.request(self.shared, start.elapsed());
            connection.stream.conn.send_close_notify();
            connection.stream.conn.write_tls(&mut connection.stream.sock)?;
        }
        Ok(())
    }

    fn download(&mut self, mut connection: Connection, path: &str) -> Result<()> {
        let request = request(HOST, path);
        while self.shared.goes_on() {
            connection.stream.write_all(request.as_bytes())?;
            let head = connection.head()?.context("the connection closed instead of answering")?;
            check_status(&connection.bytes()[..head.len])?;
            if let Framing::Length(length) = head.body {
                ensure!(length == LARGE as u64, "a body of {length} bytes");
            }
            connection.consume(head.len);
            let (shared, count) = (self.shared, &mut *self.count);
            connection.body(head.body, |n| {
                count.bytes(shared, n);
                shared.goes_on()
            })?;
        }
        Ok(())
    }

    fn upload(&mut self, mut connection: Connection) -> Result<()> {
        let head = format!(
            "POST /store HTTP/1.1\r\nHost: {HOST}\r\n{FIELDS}Content-Type: application/octet-stream\r\nContent-Length: {LARGE}\r\n\r\n"
        );
        let block = vec![0x5a; 64 * 1024];
        while self.shared.goes_on() {
            connection.stream.write_all(head.as_bytes())?;
            let mut left = LARGE;
            while left > 0 {
                if !self.shared.goes_on() {
                    return Ok(());
                }
                let n = left.min(block.len());
                connection.stream.write_all(&block[..n])?;
                self.count.bytes(self.shared, n);
                left -= n;
            }
            let head = connection.head()?.context("the connection closed instead of answering")?;
            check_status(&connection.bytes()[..head.len])?;
            connection.consume(head.len);
            connection.body(head.body, |_| true)?;
        }
        Ok(())
    }

    /// HTTP/2 by hand: the header block is prepared, and of a response only its status and the
    /// length of its body are looked at.
    fn h2(&mut self, mut connection: Connection) -> Result<()> {
        // Static table: GET, https, :authority, :path, user-agent, accept, accept-language.
        let mut block = vec![0x82, 0x87];
        wire::put_field(&mut block, 1, &format!("{HOST}:8443"));
        wire::put_field(&mut block, 4, "/small.html");
        wire::put_field(&mut block, 58, AGENT);
        wire::put_field(&mut block, 19, "text/html,application/xhtml+xml,*/*;q=0.8");
        wire::put_field(&mut block, 17, "en-GB,en;q=0.5");
        let mut out = wire::PREFACE.to_vec();
        // INITIAL_WINDOW_SIZE 1 MiB, and as much for the connection as there is.
        wire::put_frame(&mut out, wire::SETTINGS, 0, 0, &[0, 4, 0, 16, 0, 0]);
        const GRANT: u32 = 1 << 30;
        wire::put_frame(&mut out, wire::WINDOW_UPDATE, 0, 0, &GRANT.to_be_bytes());
        let mut next = 1;
        let mut open: Vec<(u32, Instant, usize)> = Vec::new();
        let mut received = 0_u32;
        while self.shared.goes_on() {
            // Ask again for every answer of a batch with one write.
            if connection.bytes().len() < 9 {
                while open.len() < self.shape.h2_streams {
                    wire::put_frame(
                        &mut out,
                        wire::HEADERS,
                        wire::END_HEADERS | wire::END_STREAM,
                        next,
                        &block,
                    );
                    open.push((next, Instant::now(), 0));
                    next += 2;
                }
                if received > GRANT / 2 {
                    wire::put_frame(&mut out, wire::WINDOW_UPDATE, 0, 0, &received.to_be_bytes());
                    received = 0;
                }
                if !out.is_empty() {
                    connection.stream.write_all(&out)?;
                    out.clear();
                }
            }
            let frame = connection.frame()?.context("the connection closed instead of answering")?;
            let payload = &connection.bytes()[..frame.len];
            let at = open.iter().position(|(id, ..)| *id == frame.stream);
            let mut ended = None;
            match (frame.kind, at) {
                (wire::HEADERS, Some(at)) => {
                    if open[at].2 == 0 {
                        wire::status_is_200(frame.flags, payload)?;
                    }
                    ended = (frame.flags & wire::END_STREAM != 0).then_some(at);
                }
                (wire::DATA, Some(at)) => {
                    open[at].2 += frame.len;
                    received += frame.len as u32;
                    ended = (frame.flags & wire::END_STREAM != 0).then_some(at);
                }
                (wire::SETTINGS, _) if frame.flags & wire::ACK == 0 => {
                    wire::put_frame(&mut out, wire::SETTINGS, wire::ACK, 0, &[]);
                }
                (wire::PING, _) if frame.flags & wire::ACK == 0 => {
                    wire::put_frame(&mut out, wire::PING, wire::ACK, 0, payload);
                }
                (wire::RST_STREAM | wire::GOAWAY, _) => {
                    bail!("the proxy ended stream or connection: type {} {payload:02x?}", frame.kind);
                }
                (wire::CONTINUATION, _) => bail!("a response head in more than one frame"),
                _ => {}
            }
            connection.consume(frame.len);
            if let Some(at) = ended {
                let (_, start, length) = open.swap_remove(at);
                ensure!(length == SMALL, "a body of {length} bytes");
                self.count.request(self.shared, start.elapsed());
            }
        }
        Ok(())
    }
}
