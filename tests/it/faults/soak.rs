//! All of it at once, in an order that a seed decides, against one proxy (F54): afterwards memory, descriptors and
//! threads are where they began, every request has its one record, and nothing panicked. Seconds by default;
//! `PORTWARD_SOAK=3600` is the hour, `PORTWARD_SEED=n` an order again.

mod acts;
mod peers;
mod wires;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::task::JoinSet;

use self::acts::{ACTS, act};
use super::{Case, Measured, Seen};
use crate::reload::{replace, rule};
use crate::support::client::{Client, Entry};
use crate::support::origin::{Origin, Raw, Spec};
use crate::support::proxy::{Proxy, Setup};
use crate::support::table::panic_text;
use crate::support::{Closed, Http};

/// Most of what is done is waiting.
const WORKERS: u64 = 12;
/// How often memory, descriptors and threads are looked at meanwhile.
const SAMPLES: u32 = 120;

const STEADY: &str = "as it began, a record each";

/// What may be left of memory: the allocator's slack and tables that fill once.
const MEMORY: u64 = 48 << 20;
/// The same of a short run, which ends before all of that is full.
const FILLING: u64 = 160 << 20;
/// Threads for blocking work end after ten idle seconds, but what is done once a second may wake now one, now another.
const IDLE_THREADS: usize = 2;
/// From this length on the slope of the memory says something, and is judged.
const LONG: Duration = Duration::from_secs(20 * 60);
/// What it may rise in an hour, by the second half.
const SLOPE: f64 = (24 << 20) as f64;

/// Limits that let a fault end within seconds, and that honest traffic does not meet on a machine that does much else.
const LIMITS: &str = "[limits]\nclassify_time = \"5s\"\nhandshake_time = \"8s\"\nheader_time = \"5s\"\nbody_grace = \"8s\"\n\
                      body_rate = \"1KiB\"\nfirst_byte_time = \"8s\"\nbody_idle = \"8s\"\nwrite_stall = \"8s\"\n\
                      tunnel_first_byte = \"5s\"\ntunnel_idle = \"8s\"\nkeep_alive_idle = \"5s\"\npool_idle = \"1s\"\nleaf_cache = 64\n\
                      [audit]\nmax_size = \"4GiB\"\n\
                      [rules]\ncore = true\n\
                      [[policy.bypass]]\nname = \"pinned\"\nhosts = [\"pinned.test\"]\n";

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
    done: [AtomicU64; ACTS.len()],
    /// What did not go as it must. It is told at the end: an hour is not to be lost to its first minute.
    wrong: Mutex<Vec<String>>,
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

    /// By HTTP, by TLS to the proxy, or by SOCKS.
    fn any_client(&self, dice: &mut Dice) -> Client {
        Client::new(Entry::EXPLICIT[dice.roll(3) as usize], &self.proxy)
    }

    /// What the operator does: rules that are good, half written, and good again.
    fn reload(&self, turn: u64) {
        let text = rule(["alpha", "beta"][(turn / 2 % 2) as usize]);
        let text = if turn.is_multiple_of(2) { &text } else { &text[..text.len() / 2] };
        replace(&self.proxy, "own.json", text);
        self.proxy.signal(Signal::SIGHUP);
    }
}

/// Descriptors, threads and memory.
#[derive(Clone, Copy)]
struct Rest {
    files: usize,
    threads: usize,
    memory: u64,
}

impl Rest {
    fn of(proxy: &Proxy) -> Rest {
        let threads = std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).unwrap().count();
        Rest { files: proxy.open_files(), threads, memory: proxy.rss() }
    }
}

/// When nothing goes on: kept connections have ended, and threads that nothing is left for.
async fn at_rest(proxy: &Proxy, most: Rest) -> Rest {
    let (mut last, mut since) = (usize::MAX, Instant::now());
    let found = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let now = Rest::of(proxy);
            if now.files != last {
                (last, since) = (now.files, Instant::now());
            }
            let quiet = since.elapsed() > Duration::from_secs(2);
            if quiet && now.files <= most.files && now.threads <= most.threads.saturating_add(IDLE_THREADS) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    drop(found);
    Rest::of(proxy)
}

/// Whoever is behind the proxy, as long as it runs.
struct Others {
    _origins: [Origin; 2],
    _raw: [Raw; 2],
    _scanner: peers::Scanner,
    _closed: Closed,
}

async fn start() -> (Others, Proxy) {
    let names = ["origin.test", "pinned.test", "*.names.test"];
    let origins = [Spec::plain().start().await, Spec::tls(&names).start().await];
    let raw = [peers::hostile().await, peers::streaming().await];
    let scanner = peers::scanner().await;
    let closed = Closed::new();
    let scan = format!("[scan]\nclamd = \"tcp:{}\"\nmax_bytes = \"1MiB\"\ntime = \"6s\"\n", scanner.addr);
    let everything = format!("*:443:127.0.0.1:{}", origins[1].addr.port());
    let setup = Setup::new()
        .config(LIMITS)
        .config(&scan)
        .file("own.json", rule("alpha"))
        .args(["--rules", "{dir}/own.json"])
        .route("plain.test", 80, origins[0].addr)
        .route("hostile.test", 443, raw[0].addr)
        .route("stream.test", 443, raw[1].addr)
        .route("refused.test", 443, closed.addr)
        .args(["--resolve", &everything]);
    (Others { _origins: origins, _raw: raw, _scanner: scanner, _closed: closed }, setup.start().await)
}

/// Does one thing, and notes how it went.
async fn attempt(stage: &Arc<Stage>, dice: &mut Dice, at: usize) {
    let (on, mut dice) = (Arc::clone(stage), Dice(dice.roll(u64::MAX) | 1));
    match tokio::spawn(async move { act(&on, &mut dice, ACTS[at]).await }).await {
        Ok(()) => drop(stage.done[at].fetch_add(1, Ordering::Relaxed)),
        Err(error) => stage.wrong.lock().unwrap().push(format!("{}: {}", ACTS[at], panic_text(error))),
    }
}

async fn worker(stage: Arc<Stage>, mut dice: Dice, until: Instant) {
    while Instant::now() < until {
        let at = dice.roll(ACTS.len() as u64) as usize;
        attempt(&stage, &mut dice, at).await;
    }
}

/// Everything at once for some time; what the proxy held at even moments of it.
async fn round(stage: &Arc<Stage>, seed: u64, length: Duration) -> Vec<Rest> {
    let until = Instant::now() + length;
    let mut workers = JoinSet::new();
    for n in 1..=WORKERS {
        workers.spawn(worker(Arc::clone(stage), Dice(seed.wrapping_add(n) | 1), until));
    }
    let mut beat = tokio::time::interval(Duration::from_secs(2));
    let mut sample = tokio::time::interval(length / SAMPLES);
    let (mut turn, mut samples) = (0, Vec::new());
    loop {
        tokio::select! {
            done = workers.join_next() => match done {
                Some(done) => done.unwrap(),
                None => return samples,
            },
            _ = beat.tick() => {
                stage.reload(turn);
                turn += 1;
            }
            _ = sample.tick() => samples.push(Rest::of(&stage.proxy)),
        }
    }
}

/// Bytes by which memory rises in an hour: the line of least squares through the second half.
fn slope(samples: &[Rest], length: Duration) -> f64 {
    let half = &samples[samples.len() / 2..];
    let mean = |of: &dyn Fn(usize) -> f64| (0..half.len()).map(of).sum::<f64>() / half.len() as f64;
    let memory = |at: usize| half[at].memory as f64;
    let (time, height) = (mean(&|at| at as f64), mean(&memory));
    let rise = mean(&|at| (at as f64 - time) * (memory(at) - height));
    let each = rise / mean(&|at| (at as f64 - time).powi(2));
    each * 3600.0 / (length / SAMPLES).as_secs_f64()
}

async fn soak() -> Measured {
    let length = Duration::from_secs(number("PORTWARD_SOAK").unwrap_or(6));
    let seed = number("PORTWARD_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("F54: PORTWARD_SEED={seed}, {length:?}");
    let (_others, proxy) = start().await;
    let (sent, wrong, done) = (Mutex::default(), Mutex::default(), [const { AtomicU64::new(0) }; _]);
    let stage = Arc::new(Stage { proxy, sent, done, wrong });
    // Each act once and some time of all, more for a long run: what is filled once is full, and the allocator has what
    // the worst moments need.
    let mut once = JoinSet::new();
    for at in 0..ACTS.len() {
        let (stage, mut dice) = (Arc::clone(&stage), Dice(seed.wrapping_add(at as u64) | 1));
        once.spawn(async move { attempt(&stage, &mut dice, at).await });
    }
    while let Some(done) = once.join_next().await {
        done.unwrap();
    }
    round(&stage, seed ^ 0xf54, Duration::from_secs(4) + length / 10).await;
    let before = at_rest(&stage.proxy, Rest { files: usize::MAX, threads: usize::MAX, memory: 0 }).await;
    let warm = stage.sent.lock().unwrap().len();
    let samples = round(&stage, seed, length).await;
    let ended = Instant::now();
    let after = at_rest(&stage.proxy, before).await;
    let recovered = ended.elapsed();
    let sent = stage.sent.lock().unwrap().clone();
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    for (what, n) in ACTS.iter().zip(&stage.done) {
        *times.entry(what).or_default() += n.load(Ordering::Relaxed);
    }
    let mut stage = Arc::into_inner(stage).expect("every worker has ended");
    // A drain that ends at once has waited for no task.
    let told = Instant::now();
    stage.proxy.signal(Signal::SIGTERM);
    let ended_well = stage.proxy.ended().await.success();
    let drained = told.elapsed();
    let other = other_than_one(&stage.proxy, &sent);
    let wrong = std::mem::take(stage.wrong.get_mut().unwrap());
    let panics = stage.proxy.stderr.all().iter().filter(|line| line.contains("panicked")).count();
    let (slope, grown) = (slope(&samples, length), after.memory.saturating_sub(before.memory));
    let most = |of: fn(&Rest) -> u64| samples.iter().map(of).max().unwrap_or_default();
    let figures = format!(
        "(seed {seed}: {} requests in {length:?}, {} in all with one record each but {other:?}; files {} to {}, {} at most; \
         threads {} to {}, {} at most; memory {} to {} KiB, {} at most, {:.0} KiB an hour; drained in {drained:.1?}; {panics} \
         panics; {} went wrong: {:?}; {times:?})",
        sent.len() - warm,
        sent.len(),
        before.files,
        after.files,
        most(|rest| rest.files as u64),
        before.threads,
        after.threads,
        most(|rest| rest.threads as u64),
        before.memory >> 10,
        after.memory >> 10,
        most(|rest| rest.memory) >> 10,
        slope / 1024.0,
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
    let threads = after.threads <= before.threads + IDLE_THREADS;
    let steady = if length < LONG { grown < FILLING } else { grown < MEMORY && slope < SLOPE };
    let back = after.files <= before.files && threads && steady;
    let good = back
        && wrong.is_empty()
        && other.is_empty()
        && panics == 0
        && ended_well
        && drained < Duration::from_secs(15);
    Seen::judged(good, STEADY, figures).grown(grown).recovered(recovered)
}

/// Requests that have not one record: what they were for, how many records, and how many of that kind.
fn other_than_one(proxy: &Proxy, sent: &[&'static str]) -> BTreeMap<(&'static str, u32), usize> {
    let records = records(proxy);
    let mut other = BTreeMap::new();
    for (number, what) in sent.iter().enumerate() {
        let count = records.get(&number).copied().unwrap_or(0);
        if count != 1 {
            *other.entry((*what, count)).or_default() += 1;
        }
    }
    other
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
