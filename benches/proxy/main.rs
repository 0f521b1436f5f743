//! Portward beside other proxies, in one run on one machine: what each costs a request, a new
//! tunnel, a megabyte and an idle connection.
//!
//! `cargo bench --bench proxy` measures the direct way, a blind CONNECT relay (the floor any proxy
//! pays), and Portward as tunnel, as interceptor without rules, and with the core rules. Another
//! proxy joins with `--peer NAME=COMMAND` (started and stopped here; `{listen}`, `{port}`,
//! `{origin}`, `{origin_h2}`, `{origin_ca}`, `{ca}` and `{dir}` are filled in, and it must write the CA that
//! clients shall trust to `{ca}`), or with `--peer-addr NAME=ADDR,CA.pem[,PID]` when it runs
//! already; it must take every host `*.bench.test` to the origin: port 443 to `{origin}`,
//! port 8443 to `{origin_h2}`.
//!
//! Candidates take turns, run by run, and the medians are reported with their spread. Origin, load
//! and proxy have different cores when there are four. CPU per request is steadier than requests per
//! second on a machine with other work.

mod load;
mod machine;
mod origin;
mod report;
mod spin;
mod wire;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use load::{Route, Scenario, Shape};
use machine::{Cores, Tree};

/// Measures Portward, and other proxies beside it.
#[derive(Parser)]
#[command(name = "proxy")]
struct Options {
    /// What to measure; all of it when absent.
    #[arg(long = "scenario", value_enum, value_delimiter = ',')]
    scenarios: Vec<Scenario>,
    /// Which of ours to measure: direct, relay, tunnel, plain (no rules), rules.
    #[arg(long = "candidate", value_enum, value_delimiter = ',',
          default_values_t = [Own::Direct, Own::Relay, Own::Tunnel, Own::Plain, Own::Rules])]
    candidates: Vec<Own>,
    /// Another proxy, started here: NAME=COMMAND.
    #[arg(long)]
    peer: Vec<String>,
    /// Another proxy, running already: NAME=ADDR,CA.pem[,PID].
    #[arg(long)]
    peer_addr: Vec<String>,
    /// Runs of each candidate in each scenario.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds measured in a run.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before that which are not counted.
    #[arg(long, default_value_t = 0.7)]
    warm: f64,
    /// Kept-alive HTTP/1.1 connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// HTTP/2 connections, and streams open on each.
    #[arg(long, default_value_t = 8)]
    h2_connections: usize,
    #[arg(long, default_value_t = 8)]
    h2_streams: usize,
    /// New tunnels under way at once.
    #[arg(long, default_value_t = 16)]
    tunnels: usize,
    /// Connections that move bodies.
    #[arg(long, default_value_t = 4)]
    bulk: usize,
    /// Requests a second, in all, of the latency scenario.
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// Idle connections of the memory scenario.
    #[arg(long, default_value_t = 200)]
    idle: usize,
    /// Cores for proxy, origin and load, as taskset takes them; on four cores or more the default
    /// is one for the proxy, one for the origin and the others for the load.
    #[arg(long)]
    proxy_cores: Option<String>,
    #[arg(long)]
    origin_cores: Option<String>,
    #[arg(long)]
    load_cores: Option<String>,
    /// Where files of the run are kept (certificates, logs); a temporary folder otherwise.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The origin's ports are this one and the next; any free ones otherwise.
    #[arg(long)]
    origin_port: Option<u16>,
    /// The binary to measure, when it is not the one just built.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_portward"))]
    portward: PathBuf,
    /// A configuration file for our intercepting candidates.
    #[arg(long)]
    config: Option<PathBuf>,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
    /// Serve a part of the bench: `origin H1 H2 CHAIN KEY CORES` or `relay LISTEN H1 H2`.
    #[arg(long, hide = true, num_args = 4..=6)]
    role: Vec<String>,
}

/// Candidates that need nothing from outside.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Own {
    Direct,
    Relay,
    Tunnel,
    Plain,
    Rules,
}

/// One way to the origin, ready to be measured.
pub struct Candidate {
    pub name: String,
    route: Route,
    tree: Option<Tree>,
    child: Option<Child>,
    log: Option<PathBuf>,
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if let (Some(child), Some(tree)) = (&mut self.child, &self.tree) {
            tree.end();
            let until = Instant::now() + Duration::from_secs(2);
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
                thread::sleep(Duration::from_millis(20));
            }
            // Whatever is left after its grace.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    if !options.role.is_empty() {
        return serve_role(&options.role);
    }
    let temporary = tempfile::tempdir()?;
    let dir = options.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    fs::create_dir_all(&dir)?;
    let cores = share_out(&options)?;
    let bench = Bench::start(&options, dir, &cores)?;
    let candidates = bench.candidates(&options, &cores)?;
    let shape = Shape {
        connections: options.connections,
        h2_connections: options.h2_connections,
        h2_streams: options.h2_streams,
        tunnels: options.tunnels,
        bulk: options.bulk,
        rate: options.rate,
        rate_connections: 16,
        idle: options.idle,
        cores: cores.load.clone(),
        warm: Duration::from_secs_f64(options.warm),
        seconds: options.seconds,
    };
    let scenarios = match options.scenarios.is_empty() {
        true => <Scenario as clap::ValueEnum>::value_variants().to_vec(),
        false => options.scenarios.clone(),
    };
    report::preamble(&cores.proxy, &cores.origin, &cores.load, &options.rounds, &shape);
    let origin = Tree::alone(bench.origin.id());
    for scenario in scenarios {
        let mut rows: Vec<report::Row> = candidates.iter().map(|c| report::Row::new(&c.name)).collect();
        for _ in 0..options.rounds {
            for (candidate, row) in candidates.iter().zip(&mut rows) {
                row.add(load::run(scenario, &candidate.route, &shape, candidate.tree.as_ref(), &origin));
                if let (Some(tree), Some(log)) = (&candidate.tree, &candidate.log) {
                    ensure!(
                        tree.alive(),
                        "{} ended on its own; its last words:\n{}",
                        candidate.name,
                        tail(log)
                    );
                }
            }
            // A candidate's idle connections cost it memory once; more rounds measure what it kept.
            if scenario == Scenario::Memory {
                break;
            }
        }
        report::table(scenario, &rows);
    }
    Ok(())
}

fn serve_role(role: &[String]) -> Result<()> {
    let address = |at: usize| -> Result<SocketAddr> { Ok(role[at].parse()?) };
    match role[0].as_str() {
        "origin" => {
            ensure!(role.len() == 6, "origin H1 H2 CHAIN KEY CORES");
            let identity = origin::Identity { chain: Path::new(&role[3]), key: Path::new(&role[4]) };
            origin::origin(address(1)?, address(2)?, identity, Cores::parse(&role[5])?)
        }
        "relay" => origin::relay(address(1)?, address(2)?, address(3)?),
        other => bail!("no role {other}"),
    }
}

/// Who runs where.
struct Share {
    proxy: Cores,
    origin: Cores,
    load: Cores,
}

fn share_out(options: &Options) -> Result<Share> {
    let count = thread::available_parallelism().map_or(1, usize::from);
    let pick = |given: &Option<String>, default: &str| match given {
        Some(list) => Cores::parse(list),
        None if count >= 4 => Cores::parse(default),
        None => Ok(Cores::any()),
    };
    // Core 0 often has the machine's own work: the load has it.
    let load = format!("0,3-{}", count.max(4) - 1);
    Ok(Share {
        proxy: pick(&options.proxy_cores, "1")?,
        origin: pick(&options.origin_cores, "2")?,
        load: pick(&options.load_cores, &load)?,
    })
}

/// The parts every candidate shares.
struct Bench {
    dir: PathBuf,
    origin: Child,
    h1: SocketAddr,
    h2: SocketAddr,
    origin_ca: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // It is ours and holds nothing.
        let _ = self.origin.kill();
        let _ = self.origin.wait();
    }
}

impl Bench {
    fn start(options: &Options, dir: PathBuf, cores: &Share) -> Result<Bench> {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (h1, h2) = match options.origin_port {
            Some(port) => (local(port), local(port + 1)),
            None => (local(free_port()?), local(free_port()?)),
        };
        let origin_ca = dir.join("origin-ca.pem");
        let (chain, key) = (dir.join("origin.pem"), dir.join("origin.key"));
        make_identity(&origin_ca, &chain, &key)?;
        let me = std::env::current_exe()?;
        let mut origin = cores
            .origin
            .command(&me.to_string_lossy())
            .args(["--role", "origin", &h1.to_string(), &h2.to_string()])
            .args([&chain, &key])
            .arg(cores.origin.list())
            .stdin(Stdio::piped())
            .spawn()
            .context("start the origin")?;
        wait_for(&mut origin, "the origin", || {
            TcpStream::connect(h2).is_ok() && TcpStream::connect(h1).is_ok()
        })?;
        Ok(Bench { dir, origin, h1, h2, origin_ca })
    }

    fn candidates(&self, options: &Options, cores: &Share) -> Result<Vec<Candidate>> {
        let mut all = Vec::new();
        for own in &options.candidates {
            all.push(match own {
                Own::Direct => Candidate {
                    name: "direct".into(),
                    route: self.route(None, &self.origin_ca)?,
                    tree: None,
                    child: None,
                    log: None,
                },
                Own::Relay => self.relay(cores)?,
                Own::Tunnel => self.portward(options, cores, "portward tunnel", &[], Some(TUNNEL))?,
                Own::Plain => {
                    self.portward(options, cores, "portward no rules", &["--no-core-rules"], None)?
                }
                Own::Rules => self.portward(options, cores, "portward rules", &[], None)?,
            });
        }
        for peer in &options.peer {
            let (name, command) = peer.split_once('=').context("--peer NAME=COMMAND")?;
            all.push(self.peer(cores, name, command)?);
        }
        for peer in &options.peer_addr {
            let (name, rest) = peer.split_once('=').context("--peer-addr NAME=ADDR,CA.pem[,PID]")?;
            let mut parts = rest.split(',');
            let address: SocketAddr =
                parts.next().unwrap_or_default().parse().context("the peer's address")?;
            let ca = parts.next().context("the peer's CA file")?;
            let pid = parts.next().map(str::parse::<u32>).transpose().context("the peer's process id")?;
            all.push(Candidate {
                name: name.into(),
                route: self.route(Some(address), Path::new(ca))?,
                tree: pid.map(Tree::of),
                child: None,
                log: None,
            });
        }
        Ok(all)
    }

    fn route(&self, proxy: Option<SocketAddr>, ca: &Path) -> Result<Route> {
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(ca).with_context(|| format!("read {}", ca.display()))?
        {
            roots.add(certificate?)?;
        }
        ensure!(!roots.is_empty(), "{} holds no certificate", ca.display());
        Ok(Route { proxy, origin_h1: self.h1, origin_h2: self.h2, roots: Arc::new(roots) })
    }

    fn relay(&self, cores: &Share) -> Result<Candidate> {
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let me = std::env::current_exe()?;
        let mut child = cores
            .proxy
            .command(&me.to_string_lossy())
            .args(["--role", "relay", &listen.to_string(), &self.h1.to_string(), &self.h2.to_string()])
            .stdin(Stdio::piped())
            .spawn()?;
        wait_for(&mut child, "the relay", || TcpStream::connect(listen).is_ok())?;
        self.started("relay", child, listen, &self.origin_ca, None)
    }

    /// Our own binary. The tunnel candidate has every host on the list of those not decrypted,
    /// so its clients see the origin's certificate.
    fn portward(
        &self,
        options: &Options,
        cores: &Share,
        name: &str,
        flags: &[&str],
        config: Option<&str>,
    ) -> Result<Candidate> {
        let folder = self.dir.join(name.replace(' ', "-"));
        fs::create_dir_all(&folder)?;
        let (ca, log) = (folder.join("ca"), folder.join("log"));
        let mut command = cores.proxy.command(&options.portward.to_string_lossy());
        command.args(["run", "--listen", "127.0.0.1:0", "--allow-private", "127.0.0.0/8"]);
        command.arg("--ca").arg(&ca).arg("--origin-ca").arg(&self.origin_ca);
        command.args(["--resolve", &format!("*:443:127.0.0.1:{}", self.h1.port())]);
        command.args(["--resolve", &format!("*:8443:127.0.0.1:{}", self.h2.port())]);
        command.args(flags);
        if let Some(text) = config {
            let file = folder.join("portward.toml");
            fs::write(&file, text)?;
            command.arg("--config").arg(file);
        } else if let Some(file) = &options.config {
            command.arg("--config").arg(std::path::absolute(file)?);
        }
        // Audit records and whatever else it writes by default go below the run's folder.
        command.current_dir(&folder).env("XDG_STATE_HOME", &folder).env("HOME", &folder);
        let file = fs::File::create(&log)?;
        let mut child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        let mut listen = None;
        let waited = wait_for(&mut child, name, || {
            listen = fs::read_to_string(&log).ok().and_then(|text| {
                let line = text.lines().find_map(|l| l.split_once("portward: listening on "))?;
                line.1.split_whitespace().next()?.parse().ok()
            });
            listen.is_some()
        });
        waited.with_context(|| format!("its last words:\n{}", tail(&log)))?;
        let listen = listen.context("no listening address")?;
        let trusted = match config {
            Some(_) => self.origin_ca.clone(),
            None => self.exported(options, &ca, &folder)?,
        };
        self.started(name, child, listen, &trusted, Some(log))
    }

    fn exported(&self, options: &Options, ca: &Path, folder: &Path) -> Result<PathBuf> {
        let out = std::process::Command::new(&options.portward)
            .args(["ca", "export", "--format", "pem", "--ca"])
            .arg(ca)
            .output()?;
        ensure!(out.status.success(), "portward ca export: {}", String::from_utf8_lossy(&out.stderr));
        let file = folder.join("trusted.pem");
        fs::write(&file, out.stdout)?;
        Ok(file)
    }

    fn peer(&self, cores: &Share, name: &str, command: &str) -> Result<Candidate> {
        let folder = self.dir.join(name);
        fs::create_dir_all(&folder)?;
        let (ca, log) = (folder.join("ca.pem"), folder.join("log"));
        // One of an earlier run would be trusted for the new one.
        if ca.exists() {
            fs::remove_file(&ca)?;
        }
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let line = command
            .replace("{listen}", &listen.to_string())
            .replace("{port}", &listen.port().to_string())
            .replace("{origin}", &self.h1.to_string())
            .replace("{origin_h2}", &self.h2.to_string())
            .replace("{origin_ca}", &self.origin_ca.to_string_lossy())
            .replace("{ca}", &ca.to_string_lossy())
            .replace("{dir}", &folder.to_string_lossy());
        let file = fs::File::create(&log)?;
        let mut child = cores
            .proxy
            .command("sh")
            .args(["-c", &format!("exec {line}")])
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        wait_for(&mut child, name, || ca.exists() && TcpStream::connect(listen).is_ok())
            .with_context(|| format!("its last words:\n{}", tail(&log)))?;
        self.started(name, child, listen, &ca, Some(log))
    }

    fn started(
        &self,
        name: &str,
        child: Child,
        listen: SocketAddr,
        ca: &Path,
        log: Option<PathBuf>,
    ) -> Result<Candidate> {
        Ok(Candidate {
            name: name.into(),
            tree: Some(Tree::of(child.id())),
            child: Some(child),
            route: self.route(Some(listen), ca)?,
            log,
        })
    }
}

/// Every host of the bench stays encrypted.
const TUNNEL: &str =
    "[[policy.bypass]]\nname = 'bench'\nreason = 'measured as a tunnel'\nhosts = ['*.bench.test']\n";

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn wait_for(child: &mut Child, what: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(15);
    while !ready() {
        if let Some(status) = child.try_wait()? {
            bail!("{what} ended before it was ready: {status}");
        }
        if Instant::now() > until {
            let _ = child.kill();
            bail!("{what} was not ready in 15 seconds");
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// A CA and a certificate for `*.bench.test`, both P-256, written where the origin and the proxies
/// read them.
fn make_identity(ca_file: &Path, chain: &Path, key_file: &Path) -> Result<()> {
    let now = time::OffsetDateTime::now_utc();
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(vec![])?;
    ca.distinguished_name = rcgen::DistinguishedName::new();
    ca.distinguished_name.push(DnType::CommonName, "bench origin CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.not_before = now - time::Duration::days(1);
    ca.not_after = now + time::Duration::days(30);
    fs::write(ca_file, ca.self_signed(&ca_key)?.pem())?;
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(vec!["*.bench.test".to_owned()])?;
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.distinguished_name.push(DnType::CommonName, "bench origin");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    leaf.not_before = now - time::Duration::days(1);
    leaf.not_after = now + time::Duration::days(30);
    fs::write(chain, leaf.signed_by(&key, &issuer)?.pem())?;
    fs::write(key_file, key.serialize_pem())?;
    Ok(())
}
