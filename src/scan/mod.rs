//! Malware scanners beside the proxy: a body's decoded bytes go to one as they arrive, and its finding comes back.
//! Connections, waits and bytes are bounded here. What a finding means for an exchange is not decided here.

mod clamd;
mod icap;
pub mod parts;
mod streams;
mod wait;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::PollSender;

pub use clamd::{Endpoint, understood};
pub use icap::{Address, answer as icap_answer, head as icap_head, options as icap_options};
pub use parts::{OddBoundary, boundary};
use streams::Engine;
use wait::Budget;

/// Pieces that wait for the scanner; the peer waits when there are more.
const QUEUE: usize = 4;

/// A sender keeps the scanner waiting for this long in all, less what its bytes have made good since at this rate (a
/// second); a longer wait only while no other body needs the place. What is made good is never more than this, so
/// that a quick beginning earns nobody a place for minutes.
const GRACE: Duration = Duration::from_secs(5);
const RATE: u64 = 64 * 1024;
/// How often is looked whether another body needs the place.
const LOOK: Duration = Duration::from_millis(500);

/// How bodies are scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `None` scans nothing.
    pub service: Option<Service>,
    pub directions: Vec<Direction>,
    /// Decoded bytes of a body that are scanned, and what becomes of a longer one.
    pub max_bytes: u64,
    pub oversize: Outcome,
    /// What becomes of what the scanner has to leave unseen: archives beyond its own limits, encrypted ones.
    pub unscannable: Outcome,
    /// What happens when the scanner cannot be asked.
    pub unavailable: Outcome,
    pub ranges: Ranges,
    /// How long one body may wait for the scanner, all waits together.
    pub time: Duration,
    /// Bodies that are with the scanner at the same time.
    pub connections: usize,
    /// Content types that are not scanned.
    pub skip: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            service: None,
            directions: vec![Direction::Download, Direction::Upload],
            // The least that clamd's own StreamMaxLength has been by default.
            max_bytes: 25 << 20,
            oversize: Outcome::Pass,
            unscannable: Outcome::Deny,
            unavailable: Outcome::Deny,
            ranges: Ranges::Whole,
            time: Duration::from_secs(30),
            connections: 32,
            // They have no end to wait for, so that holding their last bytes would break them.
            skip: ["text/event-stream", "multipart/x-mixed-replace", "application/grpc*"]
                .map(String::from)
                .to_vec(),
        }
    }
}

impl Config {
    pub fn outcome(&self, finding: &Finding) -> Outcome {
        match finding {
            Finding::Clean => Outcome::Pass,
            Finding::Found(_) | Finding::Changed => Outcome::Deny,
            Finding::Unscannable(_) => self.unscannable,
            Finding::TooLarge => self.oversize,
            Finding::Failed(_) => self.unavailable,
        }
    }
}

/// Where the scanner is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    Clamd(Endpoint),
    /// The services for either direction may be one.
    Icap {
        download: Address,
        upload: Address,
    },
}

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the origin to the client.
    Download,
    Upload,
}

/// What becomes of a body that could not be scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    Deny,
}

/// What becomes of downloads in pieces, of which no scanner can make out the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranges {
    /// Requests go out without their range; a piece that comes all the same is refused.
    Whole,
    /// Each piece is scanned for what it is.
    Pass,
}

/// What a body belongs to, as far as a scanner is told of it: no query, no fields but the type, no credentials.
#[derive(Clone, Debug)]
pub struct About {
    pub direction: Direction,
    /// Whose exchange it is; the scanner is not told.
    pub client: IpAddr,
    pub method: String,
    pub url: String,
    /// Of the answer.
    pub status: u16,
    pub content_type: Vec<u8>,
    /// The parts of a multipart body are scanned one by one besides the whole, because a scanner does not look
    /// for files in it.
    pub boundary: Option<Vec<u8>>,
}

/// What a scanner says of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    Clean,
    /// The name of what was found.
    Found(String),
    /// It answered with another message than it was given, and did not say why.
    Changed,
    /// It could not look into all of it; its name for the reason.
    Unscannable(String),
    /// The scanner's own limit is lower than ours.
    TooLarge,
    Failed(String),
}

impl Finding {
    /// What the scanner has a name for.
    fn named(name: &str) -> Finding {
        /// What clamd says with AlertExceedsMax and AlertEncrypted.
        const UNSEEN: [&str; 2] = ["Heuristics.Limits.Exceeded", "Heuristics.Encrypted."];
        /// Longer than any name of a signature.
        const MOST: usize = 200;
        let name: String = name.trim().chars().filter(|c| !c.is_control()).take(MOST).collect();
        match UNSEEN.iter().any(|start| name.starts_with(start)) {
            true => Finding::Unscannable(name),
            false => Finding::Found(name),
        }
    }
}

/// The way to the scanner, for all exchanges.
#[derive(Debug)]
pub struct Scanner {
    pub config: Arc<Config>,
    engine: Engine,
    slots: Arc<Slots>,
}

/// Places at the scanner, and how many bodies wait for one. One client has half of them at most: who sends without
/// end, or to no end, leaves room for the others.
#[derive(Debug)]
struct Slots {
    free: Semaphore,
    waiting: AtomicUsize,
    share: usize,
    clients: DashMap<IpAddr, Weak<Share>>,
}

/// One client's part of the places, for as long as it has bodies here.
#[derive(Debug)]
struct Share {
    slots: Arc<Slots>,
    client: IpAddr,
    free: Semaphore,
    waiting: AtomicUsize,
}

impl Slots {
    fn new(connections: usize) -> Slots {
        Slots {
            free: Semaphore::new(connections),
            waiting: AtomicUsize::new(0),
            share: (connections / 2).max(1),
            clients: DashMap::new(),
        }
    }

    fn share(slots: &Arc<Slots>, client: IpAddr) -> Arc<Share> {
        let mut known = slots.clients.entry(client).or_default();
        known.upgrade().unwrap_or_else(|| {
            let (free, waiting) = (Semaphore::new(slots.share), AtomicUsize::new(0));
            let share = Arc::new(Share { slots: slots.clone(), client, free, waiting });
            *known = Arc::downgrade(&share);
            share
        })
    }
}

impl Share {
    /// Another body waits for a place that this client has.
    fn is_wanted(&self) -> bool {
        [&self.waiting, &self.slots.waiting].iter().any(|waiting| waiting.load(Ordering::Relaxed) > 0)
    }

    /// Waits for a place of the client's own, and then for one among all.
    async fn place(&self, wait: &mut Budget) -> Option<(SemaphorePermit<'_>, SemaphorePermit<'_>)> {
        let own = {
            let _waiting = Waiting::new(&self.waiting);
            wait.spend(self.free.acquire()).await?.ok()?
        };
        let _waiting = Waiting::new(&self.slots.waiting);
        Some((own, wait.spend(self.slots.free.acquire()).await?.ok()?))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.slots.clients.remove_if(&self.client, |_, share| share.strong_count() == 0);
    }
}

/// Counts one that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Waiting<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where the scan of a body has its pieces from.
struct Pieces {
    queue: mpsc::Receiver<Piece>,
    share: Arc<Share>,
    patience: Patience,
}

impl Pieces {
    fn new(queue: mpsc::Receiver<Piece>, share: Arc<Share>) -> Pieces {
        Pieces { queue, share, patience: Patience(GRACE) }
    }

    /// The next piece, or why there is none.
    async fn next(&mut self) -> Result<Piece, &'static str> {
        loop {
            let began = Instant::now();
            let next = tokio::time::timeout(LOOK, self.queue.recv()).await;
            let bytes = match &next {
                Ok(Some(Piece::Data(bytes))) => bytes.len(),
                _ => 0,
            };
            let patient = self.patience.lasts(began.elapsed(), bytes);
            match next {
                Ok(None) => return Err("the body broke off"),
                // However often something comes: what counts is how much.
                _ if !patient && self.share.is_wanted() => {
                    return Err("it came too slowly while others waited for the scanner");
                }
                Ok(Some(piece)) => return Ok(piece),
                Err(_) => {}
            }
        }
    }
}

/// How much longer a sender may keep the scanner waiting while others want its place.
struct Patience(Duration);

impl Patience {
    /// So long a wait has brought so many bytes; false when that is too little.
    fn lasts(&mut self, waited: Duration, bytes: usize) -> bool {
        let (lasts, earned) = (self.0 > waited, Duration::from_secs_f64(bytes as f64 / RATE as f64));
        self.0 = self.0.saturating_sub(waited).saturating_add(earned).min(GRACE);
        lasts
    }
}

impl Scanner {
    /// `None` when no scanner is configured.
    pub fn new(config: &Config) -> Option<Scanner> {
        let icap = |at: &Address| Arc::new(icap::Service::new(at.clone(), config.connections));
        let engine = match config.service.as_ref()? {
            Service::Clamd(at) => Engine::Clamd(at.clone()),
            Service::Icap { download, upload } if download == upload => {
                let service = icap(download);
                Engine::Icap { download: service.clone(), upload: service }
            }
            Service::Icap { download, upload } => {
                Engine::Icap { download: icap(download), upload: icap(upload) }
            }
        };
        let slots = Arc::new(Slots::new(config.connections));
        Some(Scanner { config: Arc::new(config.clone()), engine, slots })
    }

    /// For the audit record.
    pub fn engine(&self) -> &'static str {
        match self.engine {
            Engine::Clamd(_) => "clamd",
            Engine::Icap { .. } => "icap",
        }
    }

    pub fn covers(&self, direction: Direction) -> bool {
        self.config.directions.contains(&direction)
    }

    /// Whether the type is on the list of those that are not scanned; a `*` at the end stands for any rest.
    pub fn skips(&self, content_type: &[u8]) -> bool {
        let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        self.config.skip.iter().any(|skipped| match skipped.strip_suffix('*') {
            Some(start) => {
                essence.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()))
            }
            None => essence.eq_ignore_ascii_case(skipped.as_bytes()),
        })
    }

    /// Whether downloads are to come whole.
    pub fn wants_whole(&self) -> bool {
        self.config.ranges == Ranges::Whole && self.covers(Direction::Download)
    }

    /// Opens the scan of one body.
    pub fn open(&self, about: About) -> Scan {
        let (sender, queue) = mpsc::channel(QUEUE);
        let mut wait = Budget::new(self.config.time);
        let (engine, config) = (self.engine.clone(), self.config.clone());
        let share = Slots::share(&self.slots, about.client);
        let task = tokio::spawn(async move {
            let Some(_place) = share.place(&mut wait).await else {
                let most = config.connections;
                return Finding::Failed(format!(
                    "all {most} connections to the scanner are busy, or the half of them that one client may have"
                ));
            };
            let pieces = Pieces::new(queue, share.clone());
            streams::scan(&engine, about, &config, wait, pieces).await
        });
        Scan { pieces: PollSender::new(sender), task }
    }
}

/// Bytes on their way to the scanner.
#[derive(Debug)]
enum Piece {
    Data(Bytes),
    /// The body is whole. A queue that closes without it was given up.
    End,
}

/// The scan of one body; dropping it gives it up.
#[derive(Debug)]
pub struct Scan {
    pieces: PollSender<Piece>,
    task: JoinHandle<Finding>,
}

/// The scanner takes no more: what it found stands already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided;

impl Scan {
    /// Waits for room.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Decided>> {
        self.pieces.poll_reserve(cx).map_err(|_| Decided)
    }

    /// Takes a piece, after `poll_ready`.
    pub fn push(&mut self, bytes: Bytes) {
        // Where the scanner is gone, its finding says why.
        let _ = self.pieces.send_item(Piece::Data(bytes));
    }

    /// The body is whole; after `poll_ready`.
    pub fn end(&mut self) {
        let _ = self.pieces.send_item(Piece::End);
    }

    pub fn poll_finding(&mut self, cx: &mut Context<'_>) -> Poll<Finding> {
        use std::future::Future;
        std::pin::Pin::new(&mut self.task).poll(cx).map(|finding| {
            finding.unwrap_or_else(|error| Finding::Failed(format!("the scan ended: {error}")))
        })
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_waited_for_by_what_it_brings() {
        let tenth = Duration::from_millis(100);
        let rounds = |bytes: usize| {
            let mut patience = Patience(GRACE);
            (0..1000).take_while(|_| patience.lasts(tenth, bytes)).count()
        };
        assert_eq!(rounds(0), 49);
        assert_eq!(rounds(100), 50);
        assert!((90..110).contains(&rounds(RATE as usize / 20)), "half of what is asked for");
        assert_eq!(rounds(RATE as usize / 10 + 1), 1000);
        // A quick beginning is no store.
        let mut patience = Patience(GRACE);
        assert!(patience.lasts(Duration::ZERO, 1 << 30));
        assert!(!patience.lasts(GRACE, 0));
    }

    #[tokio::test]
    async fn a_client_has_half_of_the_places_and_is_forgotten_with_its_last_body() {
        let slots = Arc::new(Slots::new(4));
        let mut wait = Budget::new(Duration::from_millis(20));
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let share = Slots::share(&slots, one);
        let held = [share.place(&mut wait).await.unwrap(), share.place(&mut wait).await.unwrap()];
        assert!(Slots::share(&slots, one).place(&mut wait).await.is_none());
        assert!(!share.is_wanted(), "who gave up does not wait");
        let mut wait = Budget::new(Duration::from_secs(60));
        assert!(Slots::share(&slots, other).place(&mut wait).await.is_some());
        assert_eq!(slots.clients.len(), 1);
        drop(held);
        drop(share);
        assert!(slots.clients.is_empty() && slots.free.available_permits() == 4);
    }

    #[test]
    fn types_are_skipped_by_name_or_by_their_beginning() {
        let service = Some(Service::Clamd("tcp:127.0.0.1:3310".parse().unwrap()));
        let scanner = Scanner::new(&Config { service, ..Config::default() }).unwrap();
        for (content_type, skips) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("application/grpc", true),
            ("application/grpc-web+proto", true),
            ("application/gr", false),
            ("text/html", false),
            ("", false),
        ] {
            assert_eq!(scanner.skips(content_type.as_bytes()), skips, "{content_type}");
        }
        assert!(Scanner::new(&Config::default()).is_none());
    }
}
