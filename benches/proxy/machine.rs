//! What the machine says about processes: CPU time, memory, and where they may run. Linux only,
//! read from /proc.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// USER_HZ: what /proc counts CPU time in on every Linux platform we run on.
const TICKS: u64 = 100;

/// A process with all its descendants: some proxies are several.
pub struct Tree(Vec<u32>);

impl Tree {
    pub fn of(root: u32) -> Tree {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
            if let Some(fields) = stat(pid)
                && let Some(parent) = fields.get(1).and_then(|p| p.parse::<u32>().ok())
            {
                parents.push((pid, parent));
            }
        }
        let mut tree = vec![root];
        let mut at = 0;
        while at < tree.len() {
            let parent = tree[at];
            tree.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
            at += 1;
        }
        Tree(tree)
    }

    /// One process without its descendants.
    pub fn alone(pid: u32) -> Tree {
        Tree(vec![pid])
    }

    /// User and system time so far, of living processes.
    pub fn cpu(&self) -> Duration {
        let ticks: u64 = self
            .0
            .iter()
            .filter_map(|pid| stat(*pid))
            .filter_map(|f| Some(f.get(11)?.parse::<u64>().ok()? + f.get(12)?.parse::<u64>().ok()?))
            .sum();
        Duration::from_millis(ticks * (1000 / TICKS))
    }

    /// Resident memory now, bytes.
    pub fn resident(&self) -> u64 {
        let of = |pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        self.0.iter().filter_map(of).sum::<u64>() * 1024
    }

    pub fn alive(&self) -> bool {
        self.0.iter().all(|pid| stat(*pid).is_some_and(|f| f.first().is_some_and(|state| state != "Z")))
    }

    pub fn end(&self) {
        for pid in &self.0 {
            // Gone already is as good.
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(*pid as i32),
                nix::sys::signal::Signal::SIGTERM,
            );
        }
    }
}

/// The fields of /proc/PID/stat from the third, `state`, on (the second may hold spaces).
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.get(text.rfind(')')? + 1..)?.split_whitespace().map(str::to_owned).collect())
}

/// Cores to run on, or none on a machine too small to share out.
#[derive(Clone)]
pub struct Cores(Vec<usize>);

impl Cores {
    /// As taskset takes them: `1`, `0,3`, `4-7`.
    pub fn parse(list: &str) -> Result<Cores> {
        let mut cores = Vec::new();
        for part in list.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.parse::<usize>().with_context(|| format!("cores {list}"));
            cores.extend(number(first)?..=number(last)?);
        }
        Ok(Cores(cores))
    }

    pub fn any() -> Cores {
        Cores(Vec::new())
    }

    /// What `parse` takes.
    pub fn list(&self) -> String {
        let list: Vec<String> = self.0.iter().map(usize::to_string).collect();
        list.join(",")
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// A command that will run on these cores.
    pub fn command(&self, program: &str) -> Command {
        if self.0.is_empty() {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["-c", &self.list(), program]);
        command
    }

    /// Keeps the calling thread on one of these: two threads that never sleep must not share.
    pub fn pin(&self, index: usize) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let core = self.0[index % self.0.len()].to_string();
        let thread = nix::unistd::gettid().to_string();
        let out = Command::new("taskset")
            .args(["-p", "-c", &core, &thread])
            .output()
            .context("taskset (util-linux) pins what is measured")?;
        ensure!(out.status.success(), "taskset: {}", String::from_utf8_lossy(&out.stderr));
        Ok(())
    }
}

impl std::fmt::Display for Cores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "any".into() } else { self.list() }.as_str())
    }
}
