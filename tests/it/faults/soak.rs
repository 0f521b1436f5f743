//! All of it at once, in an order that a seed decides, against one proxy (F54): afterwards memory, descriptors and
//! threads are where they began, every request has its one record, and nothing panicked. Seconds by default;
//! `PORTWARD_SOAK=3600` is the hour, `PORTWARD_SEED=n` an order again.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Case, Measured, Seen};
use crate::support::client::{Client, Entry, get, read_head, request, rest};
use crate::support::frames::{self, Peer};
use crate::support::origin::{HELLO, Origin, Raw, Spec, gzip};
use crate::support::proxy::{Proxy, Setup};
use crate::support::{Closed, Http, within};

const STEADY: &str = "as it began, a record each";

/// What may be left of memory: the allocator's slack and tables that fill once.
const MEMORY: u64 = 48 << 20;
/// Threads for blocking work end after ten idle seconds, but what is done once a second may wake now one, now another.
const IDLE_THREADS: usize = 2;

/// Limits that let a fault end within seconds, and that honest traffic does not meet on a machine that does much else.
const LIMITS: &str = "[limits]\nclassify_time = \"5s\"\nhandshake_time = \"8s\"\nheader_time = \"5s\"\nbody_grace = \"8s\"\n\
                      body_rate = \"1KiB\"\nfirst_byte_time = \"8s\"\nbody_idle = \"8s\"\nwrite_stall = \"8s\"\n\
                      tunnel_first_byte = \"5s\"\nkeep_alive_idle = \"5s\"\npool_idle = \"1s\"\nleaf_cache = 64\n\
                      [audit]\nmax_size = \"4GiB\"\n";

pub fn cases() -> Vec<Case> {
    vec![Case::new("F54", "every fault in random order, beside honest traffic", STEADY, soak)]
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Who does what when.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64*: the order is to be the same for a seed, and nothing more.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }

    fn http(&mut self) -> Http {
        Http::BOTH[self.roll(2) as usize]
    }
}

struct Stage {
    proxy: Proxy,
    /// Requests that are to have one record each, by what they were for; their numbers are in their URLs.
    sent: Mutex<Vec<&'static str>>,
    /// What was done, and how often.
    done: [AtomicU64; FAULTS.len()],
}

impl Stage {
    fn path(&self, what: &'static str) -> String {
        let mut sent = self.sent.lock().unwrap();
        sent.push(what);
        format!("soak-{}-", sent.len() - 1)
    }

    fn client(&self) -> Client {
        Client::new(Entry::HttpProxy, &self.proxy)
    }

    async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.proxy.addr()).await.unwrap()
    }
}

/// Forty megabytes of one letter, packed once: this is work as well.
fn bomb() -> Vec<u8> {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    BOMB.get_or_init(|| gzip(&vec![b'a'; 40 << 20])).clone()
}

const FAULTS: [&str; 20] = [
    "honest",
    "honest",
    "honest upload",
    "attack",
    "denied port",
    "hostile origin",
    "refused origin",
    "reset in a download",
    "rapid reset",
    "half a hello",
    "garbage",
    "slow head",
    "bad framing",
    "bomb",
    "reset in an upload",
    "half-close",
    "odd frames",
    "silent tunnel",
    "new name",
    "too many fields",
];

async fn act(stage: &Stage, dice: &mut Dice, what: &'static str) {
    let client = stage.client();
    let url = |path: &str| format!("https://origin.test/{path}");
    match what {
        "honest" => {
            let mut connection = client.https("origin.test", dice.http()).await.unwrap();
            for _ in 0..1 + dice.roll(4) {
                let answer = connection.send(get(&url(&stage.path(what)))).await;
                assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, HELLO));
            }
        }
        "honest upload" => {
            let body = vec![b'a'; dice.roll(200_000) as usize];
            let fields = [("content-type", "application/octet-stream")];
            let ask = request("POST", &url(&stage.path(what)), &fields, body);
            assert_eq!(client.send(dice.http(), "origin.test", ask).await.status, 200);
        }
        "attack" => {
            let url = url(&format!("{}?q=1+UNION+SELECT+password+FROM+users--", stage.path(what)));
            assert_eq!(client.get(dice.http(), &url).await.status, 403);
        }
        "denied port" => assert_eq!(client.tunnel("origin.test", 22).await.err().unwrap().status(), 403),
        "hostile origin" => {
            let url = format!("https://hostile.test/{}", stage.path(what));
            if let Ok(answer) =
                client.https("hostile.test", Http::H1).await.unwrap().try_send(get(&url)).await
            {
                assert!(matches!(answer.status.as_u16(), 502 | 504), "{}: {}", answer.status, answer.text());
            }
        }
        "refused origin" => {
            let answer = client.get(dice.http(), &format!("https://refused.test/{}", stage.path(what))).await;
            assert_eq!(answer.status, 502);
        }
        "bomb" => {
            let fields =
                [("content-type", "application/x-www-form-urlencoded"), ("content-encoding", "gzip")];
            let ask = request("POST", &url(&stage.path(what)), &fields, bomb());
            let answer = client.send(Http::H1, "origin.test", ask).await;
            assert!(answer.status.is_client_error(), "{}", answer.status);
        }
        "new name" => {
            let name = format!("n{}.names.test", dice.roll(5000));
            let answer = client.get(Http::H1, &format!("https://{name}/{}", stage.path(what))).await;
            assert_eq!(answer.text(), HELLO);
        }
        "rapid reset" => {
            let mut peer = Peer::open(&stage.proxy, &[]).await;
            for n in 0..400 {
                let pair = [frames::get(2 * n + 1, "/held"), frames::reset(2 * n + 1)].concat();
                if !peer.send(&pair).await {
                    break;
                }
            }
        }
        "odd frames" => {
            let mut peer = Peer::open(&stage.proxy, &[]).await;
            let kind = dice.roll(12) as u8;
            for n in 0..50u32 {
                let (stream, len) = (dice.roll(4) as u32, dice.roll(40) as usize);
                if !peer.send(&frames::frame(kind, dice.roll(256) as u8, stream + n, &vec![7; len])).await {
                    break;
                }
            }
        }
        other => raw(stage, dice, other).await,
    }
}

/// Faults that are bytes.
async fn raw(stage: &Stage, dice: &mut Dice, what: &'static str) {
    let path = || format!("http://plain.test/{}", stage.path(what));
    let mut socket = stage.dial().await;
    match what {
        "reset in a download" => {
            let ask = format!(
                "GET http://plain.test/bytes/50000000?{} HTTP/1.1\r\nHost: plain.test\r\n\r\n",
                stage.path(what)
            );
            socket.write_all(ask.as_bytes()).await.unwrap();
            let mut part = vec![0; 64 * 1024];
            within("a download", socket.read(&mut part)).await.unwrap();
            SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
        "reset in an upload" => {
            let ask = format!(
                "POST {} HTTP/1.1\r\nHost: plain.test\r\nContent-Type: application/octet-stream\r\n\
                 Expect: 100-continue\r\nContent-Length: 90000000\r\n\r\n",
                path()
            );
            socket.write_all(ask.as_bytes()).await.unwrap();
            // A reset takes with it what was not read: this says that the head was.
            let interim = within("100", read_head(&mut socket)).await.unwrap();
            assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
            for _ in 0..dice.roll(40) + 1 {
                within("room", socket.write_all(&[b'a'; 64 * 1024])).await.unwrap();
            }
            SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
        "half a hello" => {
            let client = stage.client();
            let mut tunnel = client.tunnel("origin.test", 443).await.unwrap();
            tunnel.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
        }
        "silent tunnel" => {
            let mut tunnel = stage.client().tunnel("origin.test", 443).await.unwrap();
            rest(&mut tunnel).await;
        }
        "garbage" => {
            let bytes: Vec<u8> = (0..dice.roll(2000) + 1).map(|_| dice.roll(256) as u8).collect();
            let _ = socket.write_all(&bytes).await;
            let _ = socket.shutdown().await;
            rest(&mut socket).await;
        }
        "slow head" => {
            socket
                .write_all(b"GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\nX-Slow: ")
                .await
                .unwrap();
            rest(&mut socket).await;
        }
        "bad framing" => {
            let ask = format!(
                "POST {} HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
                path()
            );
            socket.write_all(ask.as_bytes()).await.unwrap();
            assert!(rest(&mut socket).await.starts_with(b"HTTP/1.1 400"));
        }
        "too many fields" => {
            let many = "X-Many: 1\r\n".repeat(150);
            let ask = format!("GET {} HTTP/1.1\r\nHost: plain.test\r\n{many}\r\n", path());
            socket.write_all(ask.as_bytes()).await.unwrap();
            assert!(rest(&mut socket).await.starts_with(b"HTTP/1.1 431"));
        }
        "half-close" => {
            let ask = format!("GET {} HTTP/1.1\r\nHost: plain.test\r\n\r\n", path());
            socket.write_all(ask.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
            assert!(rest(&mut socket).await.ends_with(HELLO.as_bytes()));
        }
        other => unreachable!("{other}"),
    }
}

/// An origin that does something else wrong each time.
async fn hostile() -> Raw {
    Raw::tls("hostile.test", |mut wire, turn| async move {
        if wire.head().await.is_none() {
            return;
        }
        let answer: &[u8] = match turn % 8 {
            0 => b"this is not HTTP at all\r\n\r\n",
            1 => b"",
            2 => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            3 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            4 => b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf",
            5 => &b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(500),
            6 => &[b"HTTP/1.1 200 OK\r\nX-Long: ".as_slice(), &[b'a'; 300_000]].concat(),
            // Nothing at all, until the wait is over.
            _ => return wire.drained().await,
        };
        wire.write(answer).await;
        if turn % 8 == 4 {
            wire.drained().await;
        }
    })
    .await
}

/// Descriptors, threads and memory when nothing goes on.
struct Rest {
    files: usize,
    threads: usize,
    memory: u64,
}

async fn at_rest(proxy: &Proxy, most: &Rest) -> Rest {
    let threads = || std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).unwrap().count();
    let (mut last, mut since) = (usize::MAX, Instant::now());
    // Kept connections end, and threads that nothing is left for.
    let found = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let now = proxy.open_files();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            let quiet = since.elapsed() > Duration::from_secs(2);
            if quiet && now <= most.files && threads() <= most.threads.saturating_add(IDLE_THREADS) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    drop(found);
    Rest { files: proxy.open_files(), threads: threads(), memory: proxy.rss() }
}

async fn origins() -> (Origin, Origin, Raw, Closed, Setup) {
    let (plain, tls) =
        (Spec::plain().start().await, Spec::tls(&["origin.test", "*.names.test"]).start().await);
    let hostile = hostile().await;
    let closed = Closed::new();
    let setup = Setup::new()
        .config(LIMITS)
        .route("plain.test", 80, plain.addr)
        .route("origin.test", 443, tls.addr)
        .route("hostile.test", 443, hostile.addr)
        .route("refused.test", 443, closed.addr);
    let everything = format!("*:443:127.0.0.1:{}", tls.addr.port());
    (plain, tls, hostile, closed, setup.args(["--resolve", &everything]))
}

async fn worker(stage: Arc<Stage>, mut dice: Dice, until: Instant) {
    while Instant::now() < until {
        let what = dice.roll(FAULTS.len() as u64) as usize;
        act(&stage, &mut dice, FAULTS[what]).await;
        stage.done[what].fetch_add(1, Ordering::Relaxed);
    }
}

async fn round(stage: &Arc<Stage>, seed: u64, length: Duration) {
    let until = Instant::now() + length;
    let mut workers = tokio::task::JoinSet::new();
    for n in 1..=6 {
        workers.spawn(worker(Arc::clone(stage), Dice(seed.wrapping_add(n) | 1), until));
    }
    let mut beat = tokio::time::interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            done = workers.join_next() => match done {
                Some(done) => done.unwrap(),
                None => return,
            },
            _ = beat.tick() => stage.proxy.signal(Signal::SIGHUP),
        }
    }
}

async fn soak() -> Measured {
    let length = Duration::from_secs(number("PORTWARD_SOAK").unwrap_or(6));
    let seed = number("PORTWARD_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("F54: PORTWARD_SEED={seed}, {length:?}");
    let (_plain, _tls, _hostile, _closed, setup) = origins().await;
    let stage =
        Arc::new(Stage { proxy: setup.start().await, sent: Mutex::default(), done: Default::default() });
    // Each fault once and some seconds of all: what is filled once is full.
    let mut dice = Dice(seed | 1);
    for what in FAULTS {
        act(&stage, &mut dice, what).await;
    }
    round(&stage, seed ^ 0xf54, Duration::from_secs(4)).await;
    let any = Rest { files: usize::MAX, threads: usize::MAX, memory: 0 };
    let before = at_rest(&stage.proxy, &any).await;
    let warm = stage.sent.lock().unwrap().len();
    round(&stage, seed, length).await;
    let ended = Instant::now();
    let after = at_rest(&stage.proxy, &before).await;
    let recovered = ended.elapsed();
    let grown = after.memory.saturating_sub(before.memory);
    let sent = stage.sent.lock().unwrap().clone();
    let idle: Vec<&str> = FAULTS
        .iter()
        .zip(&stage.done)
        .filter(|(_, n)| n.load(Ordering::Relaxed) == 0)
        .map(|(name, _)| *name)
        .collect();
    let mut stage = Arc::into_inner(stage).expect("every worker has ended");
    // A drain that ends at once has waited for no task.
    let told = Instant::now();
    stage.proxy.signal(Signal::SIGTERM);
    let ended_well = stage.proxy.ended().await.success();
    let drained = told.elapsed();
    let records = records(&stage.proxy);
    let mut other: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    for (number, what) in sent.iter().enumerate() {
        match records.get(&number) {
            Some(1) => {}
            count => *other.entry((what, count.copied().unwrap_or(0))).or_default() += 1,
        }
    }
    let panics = stage.proxy.stderr.all().iter().filter(|line| line.contains("panicked")).count();
    let figures = format!(
        "(seed {seed}: {} requests in {length:?}, {} in all with one record each but {other:?}; files {} to {}, threads {} to {}, \
         memory {} KiB more; drained in {drained:.1?}; {panics} panics; not drawn: {idle:?})",
        sent.len() - warm,
        sent.len(),
        before.files,
        after.files,
        before.threads,
        after.threads,
        grown >> 10
    );
    let threads = after.threads <= before.threads + IDLE_THREADS;
    let back = after.files <= before.files && threads && grown < MEMORY;
    let good = back && other.is_empty() && panics == 0 && ended_well && drained < Duration::from_secs(15);
    Seen::judged(good, STEADY, figures).grown(grown).recovered(recovered)
}

/// How many exchange records each number has; read a line at a time, for an hour has many.
fn records(proxy: &Proxy) -> HashMap<usize, u32> {
    let mut found = HashMap::new();
    for line in BufReader::new(std::fs::File::open(proxy.audit_path()).unwrap()).lines() {
        let record: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let number =
            record["url"].as_str().and_then(|url| url.split("soak-").nth(1)?.split('-').next()?.parse().ok());
        if let Some(number) = number.filter(|_| record["kind"] == "exchange") {
            *found.entry(number).or_default() += 1;
        }
    }
    found
}
