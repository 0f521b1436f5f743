//! The load generator: prepared requests, and as little looking at responses as proves them whole,
//! on a thread for each of its cores. It trusts one CA only, the proxy's when the proxy
//! intercepts, so a handshake that succeeds is proof of who answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::machine::{Cores, Tree};
use crate::origin::{LARGE, SMALL, lean_provider};
use crate::spin;
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
    /// The load's own.
    pub cores: Cores,
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
    /// Connections not yet made.
    unready: AtomicUsize,
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
    /// Resolves when the work should long have ended.
    async fn late(shared: Arc<Shared>) -> Result<()> {
        let mut since_stop = 0;
        while since_stop < 3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            since_stop += u32::from(!shared.goes_on());
        }
        bail!("no answer for {since_stop} seconds")
    }

    fn fail(&self, error: anyhow::Error) {
        self.failure.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
    }

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
    let connections = match scenario {
        Scenario::KeepAliveH2 => shape.h2_connections,
        Scenario::KnownHost | Scenario::NewHost => shape.tunnels,
        Scenario::Download | Scenario::DownloadHtml | Scenario::Upload => shape.bulk,
        Scenario::Latency => shape.rate_connections,
        _ => shape.connections,
    };
    let shared = Arc::new(Shared {
        state: AtomicU8::new(WARM),
        unready: AtomicUsize::new(connections),
        failure: Mutex::new(None),
    });
    let protocol: &[u8] = if scenario == Scenario::KeepAliveH2 { b"h2" } else { b"http/1.1" };
    let tls = client_tls(&route.roots, protocol)?;
    let share = shape.cores.count().max(1);
    let threads: Vec<_> = (0..share)
        .map(|thread| {
            let mine = (thread..connections).step_by(share);
            let workers: Vec<Worker> = mine
                .map(|index| Worker {
                    index,
                    shared: Arc::clone(&shared),
                    route: route.clone(),
                    shape: shape.clone(),
                    tls: tls.clone(),
                    count: Count::default(),
                })
                .collect();
            let cores = shape.cores.clone();
            thread::spawn(move || spin::block_on(&cores, thread, work_all(workers, scenario)))
        })
        .collect();
    // Without its children, which are the candidates.
    let me = Tree::alone(std::process::id());
    let until = Instant::now() + PATIENCE;
    while shared.unready.load(Ordering::Relaxed) > 0 && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
    }
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
    for thread in threads {
        let Ok(counts) = thread.join() else { bail!("a load thread panicked") };
        for count in counts? {
            units += count.units;
            nanos.extend(count.nanos);
        }
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

/// Runs workers side by side to their end, and not much longer than they are told to.
async fn work_all(workers: Vec<Worker>, scenario: Scenario) -> Vec<Count> {
    let running: Vec<_> = workers
        .into_iter()
        .map(|mut worker| {
            tokio::spawn(async move {
                let shared = Arc::clone(&worker.shared);
                let outcome = tokio::select! {
                    outcome = worker.work(scenario) => outcome,
                    late = Shared::late(shared) => late,
                };
                if let Err(error) = outcome {
                    worker.shared.fail(error);
                }
                worker.count
            })
        })
        .collect();
    let mut counts = Vec::new();
    for worker in running {
        // A panic in a worker has been printed; the run then measured too little and says so.
        counts.extend(worker.await);
    }
    counts
}

fn percentile(nanos: &mut [u32], share: f64) -> Duration {
    if nanos.is_empty() {
        return Duration::ZERO;
    }
    let at = ((nanos.len() as f64 * share) as usize).min(nanos.len() - 1);
    Duration::from_nanos(u64::from(*nanos.select_nth_unstable(at).1))
}

fn client_tls(roots: &Arc<RootCertStore>, protocol: &[u8]) -> Result<TlsConnector> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(lean_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Holds idle connections and sees what they cost.
fn memory(route: &Route, shape: &Shape, proxy: Option<&Tree>) -> Result<Sample> {
    let Some(proxy) = proxy else { return Ok(Sample::default()) };
    let tls = client_tls(&route.roots, b"http/1.1")?;
    let settle = Duration::from_millis(500);
    // On this thread, which is the bench's own and stays free.
    spin::block_on(&Cores::any(), 0, async {
        // One tunnel first: what is loaded once is not what a connection costs.
        let mut held = vec![idle(route, &tls).await?];
        tokio::time::sleep(settle).await;
        let before = proxy.resident();
        for _ in 0..shape.idle {
            held.push(idle(route, &tls).await?);
        }
        tokio::time::sleep(settle).await;
        let each = proxy.resident().saturating_sub(before) as f64 / shape.idle as f64;
        Ok(Sample { memory: Some((before, each)), ..Sample::default() })
    })?
}

async fn idle(route: &Route, tls: &TlsConnector) -> Result<Connection> {
    let host = "idle.bench.test";
    let mut connection = connect(route, tls, host, 443).await?;
    get(&mut connection, request(host, "/small.html").as_bytes()).await?;
    Ok(connection)
}

type Connection = Buffered<TlsStream<TcpStream>>;

/// One full handshake through the route.
async fn connect(route: &Route, tls: &TlsConnector, host: &str, port: u16) -> Result<Connection> {
    let h2 = port == 8443;
    let to = route.proxy.unwrap_or(if h2 { route.origin_h2 } else { route.origin_h1 });
    let mut tcp = TcpStream::connect(to).await.with_context(|| format!("connect to {to}"))?;
    tcp.set_nodelay(true)?;
    if route.proxy.is_some() {
        let ask = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        tcp.write_all(ask.as_bytes()).await?;
        let mut answer = [0; 1024];
        let mut len = 0;
        while !answer[..len].ends_with(b"\r\n\r\n") {
            let n = tcp.read(&mut answer[len..]).await.context("CONNECT")?;
            ensure!(n > 0, "the proxy closed on CONNECT: {}", String::from_utf8_lossy(&answer[..len]));
            len += n;
        }
        let line = answer[..len].split(|b| *b == b'\r').next().unwrap_or_default();
        ensure!(line.get(8..12) == Some(b" 200"), "CONNECT was answered {}", String::from_utf8_lossy(line));
    }
    let name = ServerName::try_from(host.to_owned())?;
    spin::busy();
    let stream = tls.connect(name, tcp).await.context("TLS handshake")?;
    let want = if h2 { &b"h2"[..] } else { b"http/1.1" };
    let got = stream.get_ref().1.alpn_protocol();
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
async fn get(connection: &mut Connection, request: &[u8]) -> Result<()> {
    connection.send(request).await?;
    let head = connection.head().await?.context("the connection closed instead of answering")?;
    check_status(&connection.bytes()[..head.len])?;
    connection.consume(head.len);
    let mut got = 0;
    let count = |n| {
        got += n;
        true
    };
    connection.body(head.body, count).await?;
    ensure!(got == SMALL, "a body of {got} bytes");
    Ok(())
}

fn check_status(head: &[u8]) -> Result<()> {
    if head.get(8..12) != Some(b" 200") {
        bail!("answered {}", String::from_utf8_lossy(&head[..head.len().min(200)]));
    }
    Ok(())
}

/// One connection's work, or one chain of tunnels'.
struct Worker {
    index: usize,
    shared: Arc<Shared>,
    route: Route,
    shape: Shape,
    tls: TlsConnector,
    count: Count,
}

const HOST: &str = "known.bench.test";

impl Worker {
    async fn work(&mut self, scenario: Scenario) -> Result<()> {
        match scenario {
            Scenario::Memory => Ok(()),
            Scenario::KnownHost | Scenario::NewHost => {
                self.shared.unready.fetch_sub(1, Ordering::Relaxed);
                self.tunnels(scenario == Scenario::NewHost).await
            }
            Scenario::KeepAliveH2 => {
                let connection = self.ready(8443).await?;
                self.h2(connection).await
            }
            _ => {
                let connection = self.ready(443).await?;
                match scenario {
                    Scenario::KeepAlive => self.keep_alive(connection, "/small.html").await,
                    Scenario::KeepAliveBinary => self.keep_alive(connection, "/small").await,
                    Scenario::Download => self.download(connection, "/large").await,
                    Scenario::DownloadHtml => self.download(connection, "/large.html").await,
                    Scenario::Upload => self.upload(connection).await,
                    _ => self.paced(connection).await,
                }
            }
        }
    }

    /// Connected, and counted whatever came of it: the measurement waits for all.
    async fn ready(&self, port: u16) -> Result<Connection> {
        let connection = connect(&self.route, &self.tls, HOST, port).await;
        self.shared.unready.fetch_sub(1, Ordering::Relaxed);
        connection
    }

    async fn keep_alive(&mut self, mut connection: Connection, path: &str) -> Result<()> {
        let request = request(HOST, path);
        while self.shared.goes_on() {
            let start = Instant::now();
            get(&mut connection, request.as_bytes()).await?;
            self.count.request(&self.shared, start.elapsed());
        }
        Ok(())
    }

    /// Each connection sends at fixed times; a request that is late because the one before it was
    /// slow is timed from when it should have gone out.
    async fn paced(&mut self, mut connection: Connection) -> Result<()> {
        let request = request(HOST, "/small.html");
        let step = Duration::from_secs(1) * self.shape.rate_connections as u32 / self.shape.rate;
        let mut due = Instant::now() + step * self.index as u32 / self.shape.rate_connections as u32;
        let mut done = Instant::now();
        while self.shared.goes_on() {
            tokio::time::sleep_until(due.into()).await;
            let start = if done > due { due } else { Instant::now() };
            get(&mut connection, request.as_bytes()).await?;
            done = Instant::now();
            self.count.request(&self.shared, done - start);
            due += step;
        }
        Ok(())
    }

    async fn tunnels(&mut self, fresh: bool) -> Result<()> {
        while self.shared.goes_on() {
            let host = match fresh {
                true => format!("h{}.bench.test", NEXT_HOST.fetch_add(1, Ordering::Relaxed)),
                false => HOST.to_owned(),
            };
            let start = Instant::now();
            let mut connection = connect(&self.route, &self.tls, &host, 443).await?;
            get(&mut connection, request(&host, "/small.html").as_bytes()).await?;
            self.count.request(&self.shared, start.elapsed());
            connection.stream.shutdown().await?;
        }
        Ok(())
    }

    async fn download(&mut self, mut connection: Connection, path: &str) -> Result<()> {
        let request = request(HOST, path);
        while self.shared.goes_on() {
            connection.send(request.as_bytes()).await?;
            let head = connection.head().await?.context("the connection closed instead of answering")?;
            check_status(&connection.bytes()[..head.len])?;
            if let Framing::Length(length) = head.body {
                ensure!(length == LARGE as u64, "a body of {length} bytes");
            }
            connection.consume(head.len);
            let (shared, count) = (&self.shared, &mut self.count);
            let each = |n| {
                count.bytes(shared, n);
                shared.goes_on()
            };
            connection.body(head.body, each).await?;
        }
        Ok(())
    }

    async fn upload(&mut self, mut connection: Connection) -> Result<()> {
        let head = format!(
            "POST /store HTTP/1.1\r\nHost: {HOST}\r\n{FIELDS}Content-Type: application/octet-stream\r\nContent-Length: {LARGE}\r\n\r\n"
        );
        let block = vec![0x5a; 64 * 1024];
        while self.shared.goes_on() {
            connection.stream.write_all(head.as_bytes()).await?;
            let mut left = LARGE;
            while left > 0 {
                if !self.shared.goes_on() {
                    return Ok(());
                }
                let n = left.min(block.len());
                connection.stream.write_all(&block[..n]).await?;
                self.count.bytes(&self.shared, n);
                left -= n;
            }
            connection.stream.flush().await?;
            let head = connection.head().await?.context("the connection closed instead of answering")?;
            check_status(&connection.bytes()[..head.len])?;
            connection.consume(head.len);
            connection.body(head.body, |_| true).await?;
        }
        Ok(())
    }

    /// HTTP/2 by hand: the header block is prepared, and of a response only its status and the
    /// length of its body are looked at.
    async fn h2(&mut self, mut connection: Connection) -> Result<()> {
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
                    connection.send(&out).await?;
                    out.clear();
                }
            }
            let frame = connection.frame().await?.context("the connection closed instead of answering")?;
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
                self.count.request(&self.shared, start.elapsed());
            }
        }
        Ok(())
    }
}
