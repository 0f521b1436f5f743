//! The real binary, started with a folder of its own, on ports the system picks.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tempfile::TempDir;

use super::origin::{Origin, Raw};
use super::{PATIENCE, STARTS, pki, until, until_within};

/// The binary under test.
pub const PORTWARD: &str = env!("CARGO_BIN_EXE_portward");

/// What precedes a listener's address on standard error.
const LISTENING: &str = "portward: listening on ";

/// The address of a line that says where the proxy listens, and nothing else.
fn listener(line: &str) -> Option<SocketAddr> {
    line.strip_prefix(LISTENING)?.trim().parse().ok()
}

/// How to start it.
pub struct Setup {
    args: Vec<String>,
    config: String,
    before: Vec<String>,
    listen: Vec<String>,
    transparent: Option<String>,
    origin_ca: bool,
    ca: Option<PathBuf>,
    audit: String,
    dir: TempDir,
}

impl Setup {
    /// A proxy on a loopback port, that trusts this run's authority for origins and may dial loopback.
    pub fn new() -> Setup {
        Setup {
            args: vec!["--allow-private".into(), "127.0.0.0/8".into()],
            config: String::new(),
            before: Vec::new(),
            listen: vec!["127.0.0.1:0".into()],
            transparent: None,
            origin_ca: true,
            ca: None,
            audit: "{dir}/audit.jsonl".into(),
            dir: TempDir::with_prefix("portward-it-").unwrap(),
        }
    }

    /// As the product is without flags: nothing private may be dialled.
    pub fn strict() -> Setup {
        let mut setup = Setup::new();
        setup.args.clear();
        setup
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Setup {
        self.args.push(arg.into());
        self
    }

    pub fn args<const N: usize>(mut self, args: [&str; N]) -> Setup {
        self.args.extend(args.map(String::from));
        self
    }

    /// More lines of portward.toml.
    pub fn config(mut self, toml: &str) -> Setup {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// Names with their ports, and the origin that serves them.
    pub fn route(self, host: &str, port: u16, to: SocketAddr) -> Setup {
        let (ip, dial) = (to.ip(), to.port());
        self.arg("--resolve").arg(format!("{host}:{port}:{ip}:{dial}"))
    }

    /// `https://origin.test` and its port 8443.
    pub fn origin(self, origin: &Origin) -> Setup {
        self.route("origin.test", 443, origin.addr).route("origin.test", 8443, origin.addr)
    }

    pub fn raw(self, origin: &Raw) -> Setup {
        self.route("origin.test", 443, origin.addr)
    }

    /// `http://origin.test`.
    pub fn plain(self, origin: &Origin) -> Setup {
        self.route("origin.test", 80, origin.addr)
    }

    pub fn listen(mut self, on: &[&str]) -> Setup {
        self.listen = on.iter().map(|on| on.to_string()).collect();
        self
    }

    /// One more listener, for redirected traffic alone.
    pub fn transparent(mut self, on: &str, mode: &str) -> Setup {
        self.transparent = Some(format!("[[transparent]]\nlisten = \"{on}\"\nmode = \"{mode}\"\n"));
        self
    }

    /// The operating system's roots only, as the product is without flags.
    pub fn public_roots(mut self) -> Setup {
        self.origin_ca = false;
        self
    }

    /// Writes the audit log elsewhere; `{dir}` is this proxy's folder.
    pub fn audit_log(mut self, path: &str) -> Setup {
        self.audit = path.into();
        self
    }

    /// Uses the CA of another folder.
    pub fn ca(mut self, dir: impl Into<PathBuf>) -> Setup {
        self.ca = Some(dir.into());
        self
    }

    /// Runs it behind another command, which must exec it.
    pub fn behind<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Setup {
        self.before.extend(words.into_iter().map(Into::into));
        self
    }

    /// The folder everything of this proxy is in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a file into that folder.
    pub fn file(self, name: &str, text: impl AsRef<[u8]>) -> Setup {
        fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    fn ca_dir(&self) -> PathBuf {
        self.ca.clone().unwrap_or_else(|| self.dir.path().join("ca"))
    }

    fn audit_file(&self) -> PathBuf {
        self.audit.replace("{dir}", &self.dir.path().display().to_string()).into()
    }

    fn command(&self) -> Command {
        let dir = self.dir.path();
        let mut words = self.before.clone();
        words.push(PORTWARD.into());
        words.push("run".into());
        for listen in &self.listen {
            words.extend(["--listen".into(), listen.clone()]);
        }
        words.extend(["--ca".into(), self.ca_dir().display().to_string()]);
        words.extend(["--audit-log".into(), self.audit_file().display().to_string()]);
        if self.origin_ca {
            fs::write(dir.join("lab.pem"), pki::lab().root_pem()).unwrap();
            words.extend(["--origin-ca".into(), dir.join("lab.pem").display().to_string()]);
        }
        let config = [self.transparent.as_deref().unwrap_or_default(), &self.config].concat();
        if !config.is_empty() {
            fs::write(dir.join("portward.toml"), &config).unwrap();
            words.extend(["--config".into(), dir.join("portward.toml").display().to_string()]);
        }
        words.extend(self.args.iter().map(|arg| arg.replace("{dir}", &dir.display().to_string())));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(dir).stdin(Stdio::null());
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name);
        }
        command.env("NO_COLOR", "1");
        command
    }

    /// Starts it and waits until it listens.
    pub async fn start(self) -> Proxy {
        let listeners = self.listen.len() + usize::from(self.transparent.is_some());
        let mut command = self.command();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Lines::collect(child.stdout.take().unwrap());
        let stderr = Lines::collect(child.stderr.take().unwrap());
        let (ca, audit) = (self.ca_dir(), self.audit_file());
        let mut proxy = Proxy {
            child,
            stdout,
            stderr,
            addrs: Vec::new(),
            dir: self.dir,
            ca,
            audit,
            read: Mutex::default(),
        };
        let addrs: Vec<SocketAddr> = until_within(STARTS, "the proxy to listen", || {
            if let Some(status) = proxy.child.try_wait().unwrap() {
                proxy.stderr.ended();
                panic!("the proxy ended at once, {status}:\n{}", proxy.stderr.text());
            }
            let found: Vec<SocketAddr> =
                proxy.stderr.all().iter().filter_map(|line| listener(line)).collect();
            (found.len() >= listeners).then_some(found)
        })
        .await;
        proxy.addrs = addrs;
        proxy
    }

    /// Runs it to its end, for starts that must be refused.
    pub fn refused(self) -> Refused {
        let mut child = self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Lines::collect(child.stdout.take().unwrap());
        let stderr = Lines::collect(child.stderr.take().unwrap());
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > STARTS || stderr.all().iter().any(|line| listener(line).is_some()) {
                let _ = child.kill();
                let _ = child.wait();
                panic!("this start must be refused, but it runs:\n{}", stderr.text());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        stdout.ended();
        stderr.ended();
        Refused { code: status.code(), stderr: stderr.text() }
    }
}

/// A start that ended.
#[derive(Debug)]
pub struct Refused {
    pub code: Option<i32>,
    pub stderr: String,
}

/// A running proxy; it is killed when dropped.
pub struct Proxy {
    child: Child,
    pub stdout: Lines,
    pub stderr: Lines,
    pub addrs: Vec<SocketAddr>,
    dir: TempDir,
    ca: PathBuf,
    audit: PathBuf,
    read: Mutex<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the proxy's standard error\n{}\n--- its audit log", self.stderr.text());
            eprintln!("{}", fs::read_to_string(self.audit_path()).unwrap_or_default());
        }
        // A proxy that panicked must not pass because the answer happened to be right.
        let panics = self.stderr.all().iter().filter(|line| line.contains("panicked at")).count();
        if panics > 0 && !std::thread::panicking() {
            panic!("the proxy panicked {panics} times:\n{}", self.stderr.text());
        }
    }
}

impl Proxy {
    pub fn addr(&self) -> SocketAddr {
        self.addrs[0]
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn ca_dir(&self) -> PathBuf {
        self.ca.clone()
    }

    /// The certificate that clients are to trust.
    pub fn ca_pem(&self) -> PathBuf {
        self.ca_dir().join("root.pem")
    }

    pub fn ca(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(self.ca_pem()).unwrap().map(Result::unwrap).collect()
    }

    pub fn audit_path(&self) -> PathBuf {
        self.audit.clone()
    }

    /// Every audit record so far; a line that is not JSON fails the test.
    pub fn audit(&self) -> Vec<Value> {
        let _one_reader = self.read.lock().unwrap();
        let text = fs::read_to_string(self.audit_path()).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in: {line}")))
            .collect()
    }

    /// Waits for a record that `is` says is the one.
    pub async fn record(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        until(&format!("an audit record: {what}"), || self.audit().into_iter().find(|record| is(record)))
            .await
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for it to end by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        until("the proxy to end", || self.child.try_wait().unwrap()).await
    }

    pub fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Peak resident memory so far, bytes.
    pub fn peak_rss(&self) -> u64 {
        self.status("VmHWM:")
    }

    pub fn rss(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, key: &str) -> u64 {
        // Behind `ip netns exec` the pid is still the proxy's: that command execs.
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Processor time spent so far, in seconds; its grain is a hundredth.
    pub fn cpu(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name is in parentheses and may hold anything; user and system time are fields 14 and 15.
        let behind: Vec<&str> = text[text.rfind(')').unwrap() + 2..].split(' ').collect();
        let ticks: u64 = behind[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        ticks as f64 / 100.0
    }

    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

/// Runs another of the binary's commands to its end.
pub fn portward(args: &[&str]) -> Output {
    Command::new(PORTWARD)
        .args(args)
        .env("NO_COLOR", "1")
        .env_remove("HTTPS_PROXY")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Lines of a pipe, collected by a thread of their own.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Default)]
struct Collected {
    lines: VecDeque<String>,
    ended: bool,
}

impl Lines {
    pub fn collect(pipe: impl Read + Send + 'static) -> Lines {
        let lines = Lines::default();
        let shared = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { break };
                shared.0.0.lock().unwrap().lines.push_back(String::from_utf8_lossy(&line).into_owned());
            }
            shared.0.0.lock().unwrap().ended = true;
            shared.0.1.notify_all();
        });
        lines
    }

    pub fn all(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.iter().cloned().collect()
    }

    pub fn text(&self) -> String {
        self.all().join("\n")
    }

    /// Waits for a line.
    pub async fn line(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        until(what, || self.all().into_iter().find(|line| is(line))).await
    }

    /// Waits for the end of the pipe.
    fn ended(&self) {
        let guard = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(guard, PATIENCE, |collected| !collected.ended).unwrap());
    }
}
