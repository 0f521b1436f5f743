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

/// A list of cores as taskset takes it, or nothing on a machine too small to share out.
#[derive(Clone)]
pub struct Cores(pub Option<String>);

impl Cores {
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |l| l.split(',').count())
    }

    /// A command that will run on these cores.
    pub fn command(&self, program: &str) -> Command {
        match &self.0 {
            None => Command::new(program),
            Some(list) => {
                let mut command = Command::new("taskset");
                command.args(["-c", list, program]);
                command
            }
        }
    }

    /// Moves this process, threads to come included.
    pub fn take(&self) -> Result<()> {
        if let Some(list) = &self.0 {
            let out = Command::new("taskset")
                .args(["-a", "-p", "-c", list, &std::process::id().to_string()])
                .output()
                .context("taskset (util-linux) pins the processes of a measurement")?;
            ensure!(out.status.success(), "taskset: {}", String::from_utf8_lossy(&out.stderr));
        }
        Ok(())
    }
}
