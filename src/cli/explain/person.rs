//! The explanation as a person reads it, from the headline down.

use std::io::{self, Write};

use serde_json::Value;

use super::exclusion::{self, Side};
use super::paint::{Colour, head, safe, tail};
use crate::audit::read::Found;
use crate::audit::record::{Inspection, InspectionExtent, Scan, rfc3339};
use crate::audit::visible::visible;
use crate::audit::{Kind, Record, Verdict};
use crate::message::reason::Code;
use crate::waf::report::{Match, Report};

/// Characters of a value before and after the match.
const AROUND: usize = 60;
/// Characters of a match, and of a value without one.
const LONGEST: usize = 160;

pub(super) fn print(
    out: &mut dyn Write,
    colour: Colour,
    found: &Found,
    exclusion: Option<&Value>,
) -> io::Result<()> {
    let record = &found.record;
    headline(out, colour, record)?;
    asked(out, colour, record)?;
    happened(out, colour, record)?;
    if let Some(report) = record.waf.as_deref() {
        rules(out, colour, report)?;
        score(out, colour, report)?;
    }
    next(out, colour, record, exclusion)?;
    writeln!(
        out,
        "\n{}",
        colour.quiet(&format!("From {}; --json prints the whole record.", found.file.display()))
    )
}

fn headline(out: &mut dyn Write, colour: Colour, record: &Record) -> io::Result<()> {
    let title = record.reason.parse::<Code>().map(|code| code.explanation().title.to_owned());
    let title = title.unwrap_or_else(|_| safe(&record.reason));
    let because = deciding(record).map_or_else(|| title.clone(), |found| safe(&found.message));
    let line = match record.verdict {
        Verdict::Blocked => colour.alarm(&format!("Blocked: {because}")),
        Verdict::WouldBlock => colour.alarm(&format!("Would be blocked, but only watched: {because}")),
        Verdict::Denied => colour.alarm(&format!("Denied: {title}")),
        Verdict::Failed => colour.alarm(&format!("Failed: {title}")),
        Verdict::Passed => colour.good("Passed: nothing stopped this exchange"),
        Verdict::Tunnelled => colour.good("Relayed without being decrypted"),
        Verdict::Bypassed => {
            colour.good("Relayed without being decrypted, because its host is on the bypass list")
        }
    };
    writeln!(out, "{line}")?;
    let status = record.status.map_or_else(String::new, |status| format!(", answered with {status}"));
    writeln!(out, "{}", colour.quiet(&format!("Receipt {}, {}{status}", record.id, rfc3339(record.time))))
}

fn deciding(record: &Record) -> Option<&Match> {
    let report = record.waf.as_deref()?;
    let rule = report.interruption.as_ref()?.rule;
    report.matches.iter().find(|found| found.rule == rule)
}

fn asked(out: &mut dyn Write, colour: Colour, record: &Record) -> io::Result<()> {
    writeln!(out, "\n{}", colour.bold("What was asked"))?;
    let target = record.target.as_ref().map(ToString::to_string).unwrap_or_default();
    let what = match record.kind {
        Kind::Exchange if record.url.is_empty() => target,
        Kind::Exchange => format!("{} {}", safe(&record.method), head(&safe(&record.url), 4 * LONGEST)),
        Kind::Tunnel | Kind::Connect => format!("a connection to {target}"),
        Kind::Connection => "nothing: the connection ended before it asked for anything".to_owned(),
    };
    writeln!(out, "  {what}")?;
    let mut by = format!("  by {}", record.client);
    if let Some(identity) = &record.identity {
        by.push_str(&format!(" ({})", safe(identity)));
    }
    if let Some(entry) = record.entry {
        by.push_str(&format!(", entry {}", entry.name()));
    }
    for text in [&record.client_leg.protocol, &record.client_leg.tls.clone().unwrap_or_default().version] {
        if !text.is_empty() {
            by.push_str(&format!(", {}", safe(text)));
        }
    }
    writeln!(out, "{by}")
}

fn happened(out: &mut dyn Write, colour: Colour, record: &Record) -> io::Result<()> {
    writeln!(out, "\n{}", colour.bold("What happened"))?;
    if matches!(record.verdict, Verdict::Tunnelled | Verdict::Bypassed) {
        let reason = colour.quiet(&format!("({})", safe(&record.reason)));
        writeln!(out, "  {} {reason}", relayed(&record.reason))?;
    } else if let Ok(code) = record.reason.parse::<Code>() {
        writeln!(out, "  {} {}", code.explanation().sentence, colour.quiet(&format!("({code})")))?;
    } else if !record.reason.is_empty() {
        writeln!(out, "  Reason: {} (this version has no words for it)", safe(&record.reason))?;
    }
    if !record.sentence.is_empty() {
        writeln!(out, "  {}", safe(&record.sentence))?;
    }
    if let Some(interruption) = record.waf.as_deref().and_then(|report| report.interruption.as_ref())
        && !record.sentence.contains(&interruption.reason)
    {
        writeln!(out, "  {}", safe(&interruption.reason))?;
    }
    for (side, inspection) in
        [("request", &record.request_inspection), ("response", &record.response_inspection)]
    {
        match inspection {
            Some(Inspection { extent: InspectionExtent::Partial, why }) => {
                writeln!(out, "  The rules saw a part of the {side}: {}.", safe(why))?;
            }
            Some(Inspection { extent: InspectionExtent::None, why }) => {
                writeln!(out, "  The rules did not see the {side}: {}.", safe(why))?;
            }
            _ => {}
        }
    }
    if record.range_removed {
        writeln!(out, "  It asked for a piece of a file, and got the whole, which was scanned.")?;
    }
    for (side, scan) in [("request", &record.request_scan), ("response", &record.response_scan)] {
        if let Some(scan) = scan {
            writeln!(out, "  {}", scanned(side, scan))?;
        }
    }
    let stage = serde_json::to_value(record.stage).ok();
    let stage = stage.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    let ms = record.duration.as_micros() as f64 / 1000.0;
    writeln!(out, "  {}", colour.quiet(&format!("Ended at the stage `{stage}` after {ms} ms.")))
}

fn scanned(side: &str, scan: &Scan) -> String {
    let (engine, bytes) = (safe(&scan.engine), scan.bytes);
    match &*scan.result {
        "clean" => format!("{engine} found nothing in the body of the {side}, {bytes} bytes."),
        "found" => format!("{engine} found {} in the body of the {side}.", safe(&scan.signature)),
        "partial" => format!(
            "{engine} found nothing in {bytes} bytes of the body of the {side}, which are not the whole file."
        ),
        "skipped" => {
            format!("The body of the {side} was not scanned: its type is on the list of those that are not.")
        }
        "too_large" => format!("The body of the {side} was not scanned: it is too long."),
        "unscannable" => {
            format!("{engine} could not look into all of the body of the {side}: {}.", safe(&scan.signature))
        }
        "changed" => {
            format!("{engine} answered with another message in place of the {side}, {bytes} bytes.")
        }
        _ => format!("The body of the {side} was not scanned: {}.", safe(&scan.why)),
    }
}

/// Why policy let a connection through unseen. Its codes are names of the same facts that can
/// be a denial, so that the catalogue's words do not fit.
fn relayed(reason: &str) -> &'static str {
    match reason {
        "bypass" => "Its host is on the list of those that are not decrypted.",
        "port" => "The policy for this port is to relay what comes through it.",
        "alpn_not_http" => {
            "The client offered no protocol that can be inspected, and the policy is to let it through."
        }
        "not_http" => "It is neither TLS nor HTTP, and the policy is to let it through.",
        "silent" => "The client waited for the server to speak first, and the policy is to let it.",
        "client_certificate" => {
            "The server asked for a client certificate, which only the client can show, and the policy is to relay such hosts unread for a while."
        }
        _ => "The policy is to relay it.",
    }
}

fn rules(out: &mut dyn Write, colour: Colour, report: &Report) -> io::Result<()> {
    if report.matches.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", colour.bold("Rules that matched"))?;
    for found in &report.matches {
        rule(out, colour, found)?;
    }
    if report.matches_dropped > 0 {
        writeln!(out, "  and {} more matches that the record does not keep", report.matches_dropped)?;
    }
    Ok(())
}

fn rule(out: &mut dyn Write, colour: Colour, found: &Match) -> io::Result<()> {
    writeln!(out, "  {}  {}", colour.bold(&found.rule.to_string()), safe(&found.message))?;
    let shadow = if found.shadow { ", only watches" } else { "" };
    let mut about = format!(
        "{}, paranoia level {}, set {}{shadow}",
        safe(&found.severity),
        found.paranoia_level,
        safe(&found.set)
    );
    if !found.tags.is_empty() {
        about.push_str(&format!(", tags {}", safe(&found.tags.join(" "))));
    }
    writeln!(out, "          {}", colour.quiet(&about))?;

    // The engine ends what it cut with dots, which are in no value.
    let hit = found.matched.strip_suffix("...").unwrap_or(&found.matched);
    let variable = safe(&found.variable);
    let names = found.steps.iter().map(|step| safe(&step.transformation).chars().count());
    let width = names.chain([variable.chars().count(), "matched by".len()]).max().unwrap_or(0).min(40);
    let last = found.steps.len();
    labelled(out, colour, width, &variable, &found.value, hit)?;
    for (i, step) in found.steps.iter().enumerate() {
        // The match lies in the last result; in between the carets would only repeat it.
        let matched = if i + 1 == last { hit } else { "" };
        labelled(out, colour, width, &safe(&step.transformation), &step.result, matched)?;
    }
    let in_sight =
        found.value.contains(hit) || found.steps.last().is_some_and(|step| step.result.contains(hit));
    if !in_sight && !found.matched.starts_with("[redacted") {
        labelled(out, colour, width, "matched", &found.matched, hit)?;
    }
    writeln!(out, "          {:width$}  {}", "matched by", head(&safe(&found.operator), LONGEST))
}

/// A label, a value cut around the match, and carets under the match.
fn labelled(
    out: &mut dyn Write,
    colour: Colour,
    width: usize,
    label: &str,
    value: &str,
    matched: &str,
) -> io::Result<()> {
    let Some(at) = value.find(matched).filter(|_| !matched.is_empty()) else {
        return writeln!(out, "          {label:width$}  {}", head(&safe(value), LONGEST));
    };
    let before = tail(&safe(&value[..at]), AROUND);
    let hit = head(&safe(matched), LONGEST);
    let after = head(&safe(&value[at + matched.len()..]), AROUND);
    writeln!(out, "          {label:width$}  {before}{}{after}", colour.alarm(&hit))?;
    let indent = " ".repeat(before.chars().count());
    let carets = "^".repeat(hit.chars().count());
    writeln!(out, "          {:width$}  {indent}{}", "", colour.alarm(&carets))
}

fn score(out: &mut dyn Write, colour: Colour, report: &Report) -> io::Result<()> {
    for side in [Side::Inbound, Side::Outbound] {
        let scored: Vec<&Match> =
            report.matches.iter().filter(|found| found.score != 0 && Side::of(found.phase) == side).collect();
        if scored.is_empty() {
            continue;
        }
        writeln!(out, "\n{}", colour.bold(&format!("Score, {}", side.name())))?;
        for found in scored {
            let note = if found.shadow { " (not counted: only watches)" } else { "" };
            let what = format!("{} in {}{note}", safe(&found.message), safe(&found.variable));
            writeln!(out, "  {:>8}  {:>+5}  {what}", found.rule, found.score)?;
        }
        let (total, threshold) = (side.total(report), side.threshold(report));
        let reached = if total >= threshold { "reached" } else { "not reached" };
        let level = report.ledger.paranoia_level;
        writeln!(
            out,
            "  {:>8}  {total:>5}  threshold {threshold}, {reached} (paranoia level {level})",
            "total"
        )?;
    }
    Ok(())
}

fn next(out: &mut dyn Write, colour: Colour, record: &Record, exclusion: Option<&Value>) -> io::Result<()> {
    let stopped = matches!(record.verdict, Verdict::Blocked | Verdict::Denied | Verdict::Failed);
    let code = record.reason.parse::<Code>().ok().filter(|_| stopped);
    let dropped = record.waf.as_ref().map_or(0, |report| report.matches_dropped);
    let Some(file) = exclusion else {
        let Some(code) = code else { return Ok(()) };
        writeln!(out, "\n{}", colour.bold("What to do"))?;
        return writeln!(out, "  {}", code.explanation().next);
    };
    writeln!(out, "\n{}", colour.bold("If this was legitimate"))?;
    writeln!(
        out,
        "  The narrowest exclusion that lets it through. Save it as exclusions/local.json and start"
    )?;
    writeln!(
        out,
        "  the proxy with `--rules exclusions/local.json`; a proxy that has the file already loads it anew.\n"
    )?;
    writeln!(out, "{}", visible(&exclusion::text(file)))?;
    if dropped > 0 {
        writeln!(out, "\n  It may not be enough: {dropped} more matches are not in the record.")?;
    }
    Ok(())
}
