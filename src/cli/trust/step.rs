//! One command that changes a store: shown as a person would type it, and run as shown. Also how
//! programs are found and run with a bound, without the settings that would lead them astray.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::Problem;
use crate::net::shell::word;

/// More than any of the programs prints; the rest is read and dropped.
const OUTPUT_BYTES: u64 = 16 * 1024 * 1024;

/// Programs that only look; a Java machine on a busy computer is the slowest of them.
pub const LOOK_TIME: Duration = Duration::from_secs(60);

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    program: PathBuf,
    args: Vec<OsString>,
}

impl Step {
    pub fn new<S: AsRef<OsStr>>(program: impl Into<PathBuf>, args: impl IntoIterator<Item = S>) -> Step {
        let args = args.into_iter().map(|arg| arg.as_ref().to_os_string()).collect();
        Step { program: program.into(), args }
    }

    /// The shell line, with sudo for those who are not root.
    pub fn line(&self, sudo: bool) -> String {
        let words =
            std::iter::once(self.program.as_os_str()).chain(self.args.iter().map(OsString::as_os_str));
        let line: Vec<String> = words.map(|one| word(&one.to_string_lossy())).collect();
        format!("{}{}", if sudo { "sudo " } else { "" }, line.join(" "))
    }

    /// Runs it to its end: one that changes a store is not cut off half-way.
    pub fn run(&self) -> Result<(), Problem> {
        let line = self.line(false);
        let fix = || format!("run it by hand to see more: {line}");
        let output = clean(&self.program)
            .args(&self.args)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Problem::new("not_run", format!("`{line}`: {error}"), fix()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = last_words(&output);
        Err(Problem::new("command_failed", format!("`{line}` failed ({}): {said}", output.status), fix()))
    }
}

/// The end of what a program said, on one line.
pub fn last_words(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(3)..].join("; ");
    let tail = tail.chars().map(|c| if c.is_control() { ' ' } else { c });
    tail.take(400).collect()
}

/// A command in the C locale, whose words we read, without the variables that give programs other
/// roots or send them through a proxy.
pub fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C");
    for name in [
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CURL_CA_BUNDLE",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs a program that only looks; one that takes longer than `bound` is ended.
pub fn output(mut command: Command, bound: Duration) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > bound {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end after {bound:?}")));
        }
        thread::sleep(Duration::from_millis(5));
    };
    let text = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    Ok(Output { status, stdout: text(stdout), stderr: text(stderr) })
}

fn collect(pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut pipe = pipe.take(OUTPUT_BYTES);
        // A pipe that breaks ends what there is to read.
        let _ = pipe.read_to_end(&mut kept);
        let _ = io::copy(&mut pipe.into_inner(), &mut io::sink());
        kept
    })
}

/// A program of the search path, or of the folders that an ordinary user's lacks.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(extra).map(|dir| dir.join(program)).find(|path| is_program(path))
}

pub fn is_program(path: &Path) -> bool {
    path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

/// True when this user may change the file or folder.
pub fn writable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_shown_as_it_can_be_typed_and_fails_with_what_the_program_said() {
        let step = Step::new("install", ["-m", "644", "/a b/c", "/d"]);
        assert_eq!(step.line(false), "install -m 644 '/a b/c' /d");
        assert_eq!(step.line(true), "sudo install -m 644 '/a b/c' /d");
        let problem = Step::new("sh", ["-c", "echo first; echo why >&2; exit 3"]).run().unwrap_err();
        assert_eq!(problem.code, "command_failed");
        assert!(problem.message.ends_with("(exit status: 3): first; why"), "{problem:?}");
        assert_eq!(Step::new("/no/such/program", [""; 0]).run().unwrap_err().code, "not_run");
    }

    #[test]
    fn a_program_that_only_looks_is_ended_and_one_that_prints_much_is_not_held_up() {
        let mut slow = Command::new("sleep");
        slow.arg("60");
        let error = output(slow, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut loud = Command::new("sh");
        loud.args(["-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"]);
        let output = output(loud, LOOK_TIME).unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 300_000));
    }
}
