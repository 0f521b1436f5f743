//! Other people's programs: found by name, run with a bound, their output kept.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::proxy::Lines;

/// A peer may take this long: a browser's first start is slow on a busy machine.
const BOUND: Duration = Duration::from_secs(90);

/// What a peer printed.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Said {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The output of a peer that must have succeeded.
    pub fn ok(self) -> Said {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self
    }
}

/// A program that is ended when dropped, with its group if it leads one.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `openssl s_server` on a port that the system picks, and says where it listens.
pub async fn s_server(mut command: Command) -> (Ended, SocketAddr) {
    command.args(["-accept", "127.0.0.1:0"]);
    // It ends with its input.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Ended(command.spawn().unwrap());
    let said = Lines::collect(server.0.stdout.take().unwrap());
    let line = said.line("s_server to listen", |line| line.starts_with("ACCEPT ")).await;
    let addr = line.trim_start_matches("ACCEPT ").trim().parse().unwrap();
    (server, addr)
}

/// A command without this machine's proxy settings.
pub fn command(program: &str) -> Command {
    bare(Command::new(program))
}

/// Takes this machine's proxy settings from a command.
pub fn bare(mut command: Command) -> Command {
    for name in
        ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
    {
        command.env_remove(name);
    }
    for name in
        ["NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_OPTIONS"]
    {
        command.env_remove(name);
    }
    command
}

/// Runs a peer to its end without holding up the runtime the origin is on.
pub async fn run(command: Command) -> Said {
    run_within(BOUND, command).await
}

/// The same for a peer that is known to be slow.
pub async fn run_within(bound: Duration, mut command: Command) -> Said {
    let program = format!("{command:?}");
    // A group of its own: what it started holds its pipes, and ends with it when it takes too long.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().unwrap_or_else(|error| {
        panic!("{program} did not start: {error} (tests/run installs what is missing)");
    });
    let pid = Pid::from_raw(child.id() as i32);
    let waiting = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output: Output = match tokio::time::timeout(bound, waiting).await {
        Ok(done) => done.unwrap().unwrap(),
        Err(_) => {
            let _ = killpg(pid, Signal::SIGKILL);
            panic!("{program} took more than {bound:?}");
        }
    };
    Said {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
