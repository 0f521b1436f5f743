//! What a new host costs: a leaf with a key of its own, the same made ready to serve, a leaf that is remembered; and
//! how many first handshakes a core serves with a leaf minted for each, beside rustls' own with one certificate.
//!
//!     cargo bench --bench leaf                    all of it
//!     cargo bench --bench leaf -- rate            the rates alone
//!     cargo bench --bench leaf -- million         a million mints, their serials compared

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use nix::time::{ClockId, clock_gettime};
use portward::ca::{Ca, CaDir, KeyPool, LeafCache, LeafPair, LeafProfile, Minted, Purpose};
use portward::net::Host;
use portward::tls::LeafConfig;
use portward::tls::accept::{LeafConfigs, ServerKey};
use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use time::OffsetDateTime;

/// As the proxy has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measured in turns, so that a machine that slows down slows both.
const ROUNDS: usize = 30;
const HANDSHAKES: usize = 200;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let only = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    if only("rate") {
        rate();
    }
    if words.iter().any(|word| word == "million") {
        million();
    }
    if only("mint") {
        pieces(&mut Criterion::default().without_plots());
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    ca: Arc<Ca>,
    configs: LeafConfigs,
    keys: KeyPool,
    number: u64,
}

impl Bench {
    /// A CA with its mint log, as the proxy has it.
    fn new() -> Bench {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let ca =
            CaDir::new(dir.path().join("ca")).open_or_create(OffsetDateTime::now_utc()).expect("a new CA");
        ca.start_log().expect("a mint log");
        let configs = LeafConfigs::new().expect("a ticket key");
        Bench { _dir: dir, ca: Arc::new(ca), configs, keys: KeyPool::start(), number: 0 }
    }

    fn host(&mut self) -> Host {
        self.number += 1;
        Host::parse(&format!("h{}.bench.test", self.number)).expect("a host name")
    }

    fn ready(&self, host: &Host) -> LeafConfig {
        let mut profile = LeafProfile::new(host);
        profile.key = Some(self.keys.take().expect("a key"));
        let leaf = self.ca.mint(&profile, OffsetDateTime::now_utc()).expect("a leaf");
        let key = match &leaf.key {
            LeafPair::Ecdsa(key) => ServerKey::Ecdsa(key.clone()),
            LeafPair::Rsa(key) => ServerKey::Rsa(key.clone()),
        };
        self.configs.build(leaf.chain, key).expect("a configuration")
    }
}

/// CPU time of this thread, or of the process: what other programs do on this machine is not in it.
fn cpu(clock: ClockId) -> Duration {
    clock_gettime(clock).expect("a clock").into()
}

/// First handshakes of TLS 1.3 with X25519MLKEM768, as browsers do them, both ends in memory; the server's work alone
/// is counted.
fn rate() {
    let mut bench = Bench::new();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(bench.ca.anchors());
    let mut client = ClientConfig::builder_with_provider(portward::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    client.resumption = rustls::client::Resumption::disabled();
    let client = Arc::new(client);
    let fixed_host = bench.host();
    let fixed = rustls_alone(&bench, &fixed_host);
    let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;

    let (mut alone, mut cold, mut known) = (Vec::new(), Vec::new(), Vec::new());
    let remembered = bench.ready(&fixed_host);
    for _ in 0..ROUNDS {
        let mut turn =
            |spent: &mut Vec<Duration>, make: &mut dyn FnMut(&mut Bench) -> (Host, Option<LeafConfig>)| {
                let mut took = Duration::ZERO;
                for _ in 0..HANDSHAKES {
                    let (host, leaf) = make(&mut bench);
                    took += handshake(&client, &host, |_| match leaf {
                        Some(leaf) => leaf.server_config(),
                        None => fixed.clone(),
                    });
                }
                spent.push(took);
            };
        turn(&mut alone, &mut |_| (fixed_host.clone(), None));
        turn(&mut known, &mut |_| (fixed_host.clone(), Some(remembered.clone())));
        let mut took = Duration::ZERO;
        for _ in 0..HANDSHAKES {
            let host = bench.host();
            took += handshake(&client, &host, |host| bench.ready(host).server_config());
        }
        cold.push(took);
    }
    // The middle round: one in which the machine was interrupted says nothing. The comparison is made within a round.
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let part = middle(alone.iter().zip(&cold).map(|(a, c)| a.as_secs_f64() / c.as_secs_f64()).collect());
    let each =
        |spent: &[Duration]| middle(spent.iter().map(|t| t.as_secs_f64() / HANDSHAKES as f64).collect());
    let (alone, cold, known) = (each(&alone), each(&cold), each(&known));

    let before = cpu(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    let here = cpu(clock);
    let mints = 20_000;
    for _ in 0..mints {
        let host = bench.host();
        std::hint::black_box(bench.ready(&host));
    }
    let here = (cpu(clock) - here).as_secs_f64() / f64::from(mints);
    // Keys are made and the log is written by other threads.
    std::thread::sleep(Duration::from_millis(200));
    let all = (cpu(ClockId::CLOCK_PROCESS_CPUTIME_ID) - before).as_secs_f64() / f64::from(mints);

    println!(
        "first handshakes of one core, TLS 1.3, X25519MLKEM768, P-256 leaf ({ROUNDS} turns of {HANDSHAKES} each)"
    );
    println!("  rustls, one certificate of its own:  {:>7.0}/s  {:>6.1} us", 1.0 / alone, alone * 1e6);
    println!("  ours, a leaf that is remembered:     {:>7.0}/s  {:>6.1} us", 1.0 / known, known * 1e6);
    println!("  ours, a leaf minted for each:        {:>7.0}/s  {:>6.1} us", 1.0 / cold, cold * 1e6);
    println!("  minted for each beside rustls alone: {:.0} %", 100.0 * part);
    println!(
        "  a mint, ready to serve: {:.1} us on its thread, {:.1} us of CPU in all",
        here * 1e6,
        all * 1e6
    );
}

/// The server as rustls makes it from a certificate and a key, with our protocols and tickets.
fn rustls_alone(bench: &Bench, host: &Host) -> Arc<ServerConfig> {
    let leaf = bench.ca.mint(&LeafProfile::new(host), OffsetDateTime::now_utc()).expect("a leaf");
    let LeafPair::Ecdsa(pair) = &leaf.key else { unreachable!("the default key") };
    let key = pair.to_pkcs8v1().expect("a key's bytes").as_ref().to_vec();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key).into();
    let mut config = ServerConfig::builder_with_provider(portward::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("both versions")
        .with_no_client_auth()
        .with_single_cert(leaf.chain, key)
        .expect("a key that fits");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().expect("a ticket key");
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Arc::new(config)
}

/// The server's CPU time for one whole handshake; `config` is asked when the ClientHello was read.
fn handshake(
    client: &Arc<ClientConfig>,
    host: &Host,
    config: impl FnOnce(&Host) -> Arc<ServerConfig>,
) -> Duration {
    let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
    let name = ServerName::try_from(host.to_string()).expect("a DNS name");
    let mut client = ClientConnection::new(client.clone(), name).expect("a client");
    let mut wire = Vec::new();
    client.write_tls(&mut wire).expect("memory takes it");

    let began = cpu(clock);
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut wire.as_slice()).expect("memory gives it");
    let accepted =
        acceptor.accept().map_err(|(error, _)| error).expect("a ClientHello").expect("a whole one");
    let mut server = accepted.into_connection(config(host)).map_err(|(error, _)| error).expect("a handshake");
    let mut took = Duration::ZERO;
    let mut began = Some(began);
    while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
        let at = began.take().unwrap_or_else(|| cpu(clock));
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory takes it");
        }
        took += cpu(clock) - at;
        client_reads(&mut client, &wire);
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory takes it");
        }
        let at = cpu(clock);
        server_reads(&mut server, &wire);
        took += cpu(clock) - at;
    }
    took
}

fn client_reads(client: &mut ClientConnection, mut wire: &[u8]) {
    while !wire.is_empty() {
        client.read_tls(&mut wire).expect("memory gives it");
        client.process_new_packets().expect("the client trusts our CA");
    }
}

fn server_reads(server: &mut ServerConnection, mut wire: &[u8]) {
    while !wire.is_empty() {
        server.read_tls(&mut wire).expect("memory gives it");
        server.process_new_packets().expect("the client is in order");
    }
}

/// A million whole mints on all cores: how long they take, and that no serial comes twice.
fn million() {
    let bench = Bench::new();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let total = 1_000_000;
    let began = Instant::now();
    let before = cpu(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    let parts: Vec<Vec<String>> = std::thread::scope(|scope| {
        let work: Vec<_> = (0..threads)
            .map(|thread| {
                let ca = &bench.ca;
                let share = total / threads + usize::from(thread < total % threads);
                scope.spawn(move || {
                    let now = OffsetDateTime::now_utc();
                    let host = Host::parse(&format!("t{thread}.bench.test")).expect("a host name");
                    let profile = LeafProfile::new(&host);
                    (0..share).map(|_| ca.mint(&profile, now).expect("a leaf").serial.to_string()).collect()
                })
            })
            .collect();
        work.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let cpu = cpu(ClockId::CLOCK_PROCESS_CPUTIME_ID) - before;
    let serials: HashSet<&String> = parts.iter().flatten().collect();
    println!(
        "{total} mints in {:.1} s on {threads} threads, {:.1} us of CPU each: {} different serials",
        began.elapsed().as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / total as f64,
        serials.len()
    );
    assert_eq!(serials.len(), total);
}

fn pieces(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    let now = OffsetDateTime::now_utc();
    let mut group = criterion.benchmark_group("leaf");
    group.bench_function("key", |bencher| bencher.iter(|| LeafPair::ecdsa().expect("a key")));
    group.bench_function("mint", |bencher| {
        bencher.iter(|| {
            let host = bench.host();
            bench.ca.mint(&LeafProfile::new(&host), now).expect("a leaf")
        });
    });
    group.bench_function("mint and make ready to serve", |bencher| {
        bencher.iter(|| {
            let host = bench.host();
            bench.ready(&host)
        });
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let cache: LeafCache<Arc<()>> = LeafCache::new(4096);
    let host = bench.host();
    let key = bench.ca.leaf_key(&host, Purpose::Origin);
    let leaf = bench.ca.mint(&LeafProfile::new(&host), now).expect("a leaf");
    let made = async { Ok::<_, Infallible>(Minted::new(Arc::new(()), &leaf, now)) };
    runtime.block_on(cache.get_or_mint(&key, now, None, made)).expect("a remembered leaf");
    group.bench_function("remembered", |bencher| {
        bencher.iter(|| cache.get(&key, now, None).expect("it is remembered"));
    });
    group.finish();
}
