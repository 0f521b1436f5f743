//! `portward explain ID`: why an exchange ended as it did, for a person or as JSON. Reads the
//! audit log only, so it works without a running proxy. What it prints may come from an
//! attacker: control characters never reach the terminal.

mod exclusion;
mod paint;
mod person;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

use crate::audit::read;
use crate::audit::visible::visible;
use crate::message::reason::Code;
use crate::net::ReceiptId;
pub use paint::Colour;

/// Say why a request was blocked or failed, and what would let it through.
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// The receipt id from the block page, the error page or the Portward-Receipt field.
    #[arg(value_name = "RECEIPT")]
    pub id: ReceiptId,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// The audit log to look in; its rotated files are searched too.
    #[arg(long, value_name = "FILE", env = "PORTWARD_AUDIT_LOG")]
    pub audit_log: Option<PathBuf>,
    /// Configuration file that says where the audit log is [default: as `run` finds it]
    #[arg(long, value_name = "FILE", env = "PORTWARD_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Explains to `out`; `audit_path` is where the configuration puts the log, for when no flag
/// says otherwise. Answers the exit code: 0 when the receipt was found, 1 when it was not.
pub fn run(args: &ExplainArgs, out: &mut dyn Write, audit_path: &Path) -> anyhow::Result<u8> {
    explain(args, out, audit_path, Colour::for_stdout())
}

fn explain(args: &ExplainArgs, out: &mut dyn Write, audit_path: &Path, colour: Colour) -> anyhow::Result<u8> {
    let path = args.audit_log.as_deref().unwrap_or(audit_path);
    let Some(found) = read::find(path, args.id).context("cannot look up the receipt")? else {
        not_found(args, out, path)?;
        return Ok(1);
    };
    let exclusion = found.record.waf.as_deref().and_then(exclusion::file);
    if args.json {
        let record: serde_json::Value = serde_json::from_str(&found.line).context("the record is no JSON")?;
        let mut answer = json!({ "found": true, "file": found.file, "record": record });
        if let Ok(code) = found.record.reason.parse::<Code>() {
            let words = code.explanation();
            answer["explanation"] =
                json!({ "title": words.title, "sentence": words.sentence, "next": words.next });
        }
        if let Some(exclusion) = exclusion {
            answer["exclusion"] = exclusion;
        }
        writeln!(out, "{}", visible(&answer.to_string()))?;
    } else {
        person::print(out, colour, &found, exclusion.as_ref())?;
    }
    out.flush()?;
    Ok(0)
}

fn not_found(args: &ExplainArgs, out: &mut dyn Write, path: &Path) -> anyhow::Result<()> {
    let searched = read::files(path).context("cannot look up the receipt")?;
    if args.json {
        let answer = json!({ "found": false, "receipt": args.id.to_string(), "audit_log": path, "searched": searched });
        writeln!(out, "{}", visible(&answer.to_string()))?;
        return Ok(());
    }
    writeln!(out, "No record has the receipt {}.", args.id)?;
    if searched.is_empty() {
        writeln!(out, "There is no audit log at {}.", path.display())?;
    } else {
        writeln!(out, "Looked in:")?;
        for file in searched {
            writeln!(out, "  {}", file.display())?;
        }
    }
    writeln!(
        out,
        "If the proxy writes its log elsewhere, name that file with --audit-log FILE. A record that is older \
         than the oldest rotated file is gone."
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
