//! `portward ca log`: the certificates that were issued, and whether the record of them is whole.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::minute;
use crate::ca::{CaDir, CaError, Checkpoint, MintLog, Verified};

#[derive(Args, Debug)]
pub struct LogArgs {
    /// So many of the newest
    #[arg(short = 'n', value_name = "N", default_value_t = 20)]
    pub count: usize,
    #[command(subcommand)]
    pub verb: Option<LogVerb>,
}

#[derive(Subcommand, Debug)]
pub enum LogVerb {
    /// Check that no line was altered, taken out or moved; exit code 1 names the first that was
    Verify {
        /// Where an earlier check ended, as it printed it: finds a log that was cut at its end, or made anew
        #[arg(long, value_name = "LINES:HASH")]
        since: Option<Checkpoint>,
    },
}

pub fn run(dir: &CaDir, args: &LogArgs, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match &args.verb {
        None => list(dir.path(), args.count, json, out),
        Some(LogVerb::Verify { .. }) if !dir.exists() => {
            Err(CaError::Missing { path: dir.path().to_owned() }.into())
        }
        Some(LogVerb::Verify { since }) => verify(dir.path(), since.as_ref(), json, out),
    }
}

fn list(dir: &Path, count: usize, json: bool, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (records, broken) = MintLog::tail(dir, count)
        .map_err(|e| anyhow::anyhow!("cannot read the mint log in {}: {e}", dir.display()))?;
    for record in &records {
        if json {
            writeln!(out, "{}", serde_json::to_string(record)?)?;
            continue;
        }
        // A file is not trusted to hold no control characters for the terminal.
        let names: String =
            record.names.join(" ").chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let serial: String = record.serial.chars().filter(char::is_ascii_hexdigit).collect();
        writeln!(out, "{}  until {}  {serial}  {names}", minute(record.time), minute(record.not_after))?;
    }
    if records.is_empty() && !json {
        eprintln!("portward: no certificate was issued yet, by the log in {}", dir.display());
    }
    if broken > 0 {
        eprintln!(
            "portward: {broken} lines of the mint log are not records\n  fix: portward ca log verify   # tells \
             whether a crash left them"
        );
    }
    Ok(ExitCode::from(u8::from(broken > 0)))
}

fn verify(
    dir: &Path,
    since: Option<&Checkpoint>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let found = MintLog::verify(dir, since)
        .map_err(|e| anyhow::anyhow!("cannot read the mint log in {}: {e}", dir.display()))?;
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
        return Ok(ExitCode::from(u8::from(found.broken.is_some())));
    }
    match &found.broken {
        Some(broken) => {
            let path = dir.join(&broken.file);
            if broken.kind == "checkpoint_gone" {
                writeln!(out, "UNKNOWN: {}: {} ({})", path.display(), broken.what, broken.kind)?;
                writeln!(
                    out,
                    "  check from a later checkpoint, as the service's own log has them, or compare with a backup"
                )?;
                return print_checkpoint(&found, out);
            }
            writeln!(out, "BROKEN: {}:{}: {} ({})", path.display(), broken.line, broken.what, broken.kind)?;
            writeln!(
                out,
                "  {} lines before it hold. Take the folder for one that somebody else wrote to: compare with a backup, \
                 then portward ca rotate --root",
                found.lines
            )?;
        }
        None => writeln!(out, "whole: {} lines, from {} on", found.lines, found.first)?,
    }
    if found.torn > 0 || found.torn_end {
        let end = if found.torn_end { ", one of them at the end" } else { "" };
        let torn = found.torn + u64::from(found.torn_end);
        writeln!(out, "torn: {torn} lines were cut short by a crash and are accounted for{end}")?;
    }
    if found.lost > 0 {
        writeln!(out, "lost: {} mints could not be written, and the log says so", found.lost)?;
    }
    print_checkpoint(&found, out)
}

fn print_checkpoint(found: &Verified, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if let Some(head) = &found.head {
        writeln!(out, "checkpoint: {head}\n  keep it elsewhere, and check from it: --since {head}")?;
    }
    Ok(ExitCode::from(u8::from(found.broken.is_some())))
}
