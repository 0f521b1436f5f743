//! What a run found, for a person or as JSON, and the lists of what went wrong. Samples come from
//! attackers: what is not printable never reaches the terminal.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::read::{Content, Sample};
use super::{EvalArgs, Measured, Receipt, Verdict};
use crate::waf::example::Outcome;
use crate::waf::measure::tally::Hits;
use crate::waf::measure::{Label, Place, Tally};
use crate::waf::{Engine, RuleInfo};

const LABELS: [Label; 2] = [Label::Attack, Label::Benign];

/// One line of a list: the sample so that it can be measured again, and what rules said of it.
pub fn list_line(list: &mut impl Write, sample: &Sample, place: Place, ran: &Outcome) -> io::Result<()> {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    put("label", sample.label.name().into());
    put("class", (&*sample.class).into());
    put("name", sample.name().into());
    put("placement", place.placement().into());
    put("encoding", place.encoding().into());
    match &sample.content {
        Content::Value(value) => match std::str::from_utf8(value) {
            Ok(text) => put("value", text.into()),
            Err(_) => put("value_base64", STANDARD.encode(value).into()),
        },
        Content::Request(request) => {
            let mut bytes = format!("{} ", request.method).into_bytes();
            bytes.extend_from_slice(&request.target);
            bytes.extend_from_slice(format!(" {}\r\n", request.protocol).as_bytes());
            for (name, value) in &request.fields {
                bytes.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(&request.body);
            match String::from_utf8(bytes) {
                Ok(text) => put("request", text.into()),
                Err(error) => put("request_base64", STANDARD.encode(error.as_bytes()).into()),
            }
        }
    };
    put("score", ran.report.ledger.inbound.into());
    let matches = ran.report.matches.iter().map(|found| {
        json!({ "rule": found.rule, "score": found.score, "variable": found.variable, "matched": found.matched })
    });
    put("matches", matches.collect());
    serde_json::to_writer(&mut *list, &line)?;
    list.write_all(b"\n")
}

pub fn text(
    measured: &Measured,
    engine: &Engine,
    verdict: &Verdict,
    args: &EvalArgs,
    out: &mut dyn Write,
) -> io::Result<()> {
    let tally = &measured.tally;
    writeln!(
        out,
        "{:<7} {:<36} {:>9} {:>10} {:>10} {:>9} {:>13}",
        "label", "class", "samples", "exchanges", "blocked", "rate", "not placeable"
    )?;
    for ((label, class), samples) in &tally.samples {
        let cell = tally.sum(|known, name, _| known == *label && name == class);
        writeln!(
            out,
            "{:<7} {:<36} {samples:>9} {:>10} {:>10} {:>9} {:>13}",
            label.name(),
            class,
            cell.exchanges,
            cell.blocked,
            rate(cell.rate()),
            cell.not_placeable
        )?;
    }
    if args.table {
        table(tally, "encoding", |place| place.encoding(), out)?;
        table(tally, "placement", |place| place.placement(), out)?;
    }
    rules(tally, engine, out)?;
    for receipt in worst(measured, args.worst) {
        tell(receipt, out)?;
    }
    writeln!(out)?;
    for (label, said) in LABELS.into_iter().zip(["stopped of attacks (TPR)", "stopped of harmless (FPR)"]) {
        let cell = tally.of(label);
        writeln!(
            out,
            "{said:<26} {:>9}  {} of {} exchanges, {} values had no place",
            rate(cell.rate()),
            cell.blocked,
            cell.exchanges,
            cell.not_placeable
        )?;
    }
    for problem in &verdict.problems {
        writeln!(out, "{problem}")?;
    }
    Ok(())
}

fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.3}%"))
}

/// The names along one side, in the order in which they are declared.
fn columns(tally: &Tally, side: impl Fn(Place) -> &'static str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    let mut places: Vec<Place> = tally.cells.keys().map(|(_, _, place)| *place).collect();
    places.sort_unstable();
    for place in places {
        if !names.contains(&side(place)) {
            names.push(side(place));
        }
    }
    names
}

fn table(
    tally: &Tally,
    what: &str,
    side: impl Fn(Place) -> &'static str + Copy,
    out: &mut dyn Write,
) -> io::Result<()> {
    let columns = columns(tally, side);
    write!(out, "\nstopped, by class and {what}, in per cent\n{:<7} {:<36}", "", "")?;
    for name in &columns {
        write!(out, " {name:>8}")?;
    }
    writeln!(out)?;
    for (label, class) in tally.samples.keys() {
        write!(out, "{:<7} {class:<36}", label.name())?;
        for name in &columns {
            let cell = tally.sum(|known, own, place| known == *label && own == class && side(place) == *name);
            let text = cell.rate().map_or_else(|| "-".to_owned(), |rate| format!("{rate:.2}"));
            write!(out, " {text:>width$}", width = name.len().max(8))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Rules that matched, those that stop the most harmless exchanges first, then by attacks.
fn ranked(tally: &Tally) -> Vec<(u32, Hits)> {
    let mut rules: Vec<(u32, Hits)> = tally.rules.iter().map(|(rule, hits)| (*rule, *hits)).collect();
    rules.sort_by_key(|(rule, hits)| {
        (std::cmp::Reverse((hits.benign_blocked, hits.benign, hits.attack)), *rule)
    });
    rules
}

fn rules(tally: &Tally, engine: &Engine, out: &mut dyn Write) -> io::Result<()> {
    let known: BTreeMap<u32, &RuleInfo> = engine.rules().map(|rule| (rule.id, rule)).collect();
    writeln!(
        out,
        "\n{:>7} {:>9} {:>9} {:>9} {:>9}  rules that matched (deciding: it was the one that stopped)",
        "rule", "attack", "deciding", "benign", "deciding"
    )?;
    for (rule, hits) in ranked(tally) {
        let message = known.get(&rule).map_or("", |rule| rule.message.as_str());
        writeln!(
            out,
            "{rule:>7} {:>9} {:>9} {:>9} {:>9}  {message}",
            hits.attack, hits.attack_blocked, hits.benign, hits.benign_blocked
        )?;
    }
    Ok(())
}

/// The receipts to show: of each rule in turn, those that stop the most first.
fn worst(measured: &Measured, most: usize) -> Vec<&Receipt> {
    let by =
        |receipt: &Receipt| receipt.report.interruption.as_ref().map_or(0, |interruption| interruption.rule);
    let order: Vec<u32> = ranked(&measured.tally).into_iter().map(|(rule, _)| rule).collect();
    let mut turns: BTreeMap<u32, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, usize, &Receipt)> = Vec::new();
    for receipt in &measured.worst {
        let rule = by(receipt);
        let turn = turns.entry(rule).or_default();
        let place = order.iter().position(|known| *known == rule).unwrap_or(order.len());
        ranked.push((*turn, place, receipt));
        *turn += 1;
    }
    ranked.sort_by_key(|(turn, place, _)| (*turn, *place));
    ranked.into_iter().take(most).map(|(_, _, receipt)| receipt).collect()
}

fn tell(receipt: &Receipt, out: &mut dyn Write) -> io::Result<()> {
    let Receipt { class, name, placement, encoding, report } = receipt;
    writeln!(out, "\nfalse positive: {name} ({class}, {placement}, {encoding})")?;
    if let Some(interruption) = &report.interruption {
        writeln!(out, "  {}", interruption.reason)?;
    }
    for found in report.matches.iter().filter(|found| found.score > 0 || !found.shadow) {
        writeln!(out, "  {} {} (score {})", found.rule, found.message, found.score)?;
        writeln!(out, "    {} = {}", found.variable, found.value)?;
        for step in &found.steps {
            writeln!(out, "    {}: {}", step.transformation, step.result)?;
        }
        writeln!(out, "    matched {} by {}", found.matched, found.operator)?;
        writeln!(out, "    exclusion: {}", found.exclusion)?;
    }
    Ok(())
}

pub fn json(
    measured: &Measured,
    engine: &Engine,
    verdict: &Verdict,
    args: &EvalArgs,
    out: &mut dyn Write,
) -> io::Result<()> {
    let tally = &measured.tally;
    let classes = tally.samples.iter().map(|((label, class), samples)| {
        let cell = tally.sum(|known, name, _| known == *label && name == class);
        json!({ "label": label.name(), "class": class, "samples": samples, "rate": cell.rate(),
            "exchanges": cell.exchanges, "blocked": cell.blocked, "not_placeable": cell.not_placeable })
    });
    let cells = tally.cells.iter().map(|((label, class, place), cell)| {
        json!({ "label": label.name(), "class": class, "placement": place.placement(),
            "encoding": place.encoding(), "exchanges": cell.exchanges, "blocked": cell.blocked,
            "not_placeable": cell.not_placeable })
    });
    let rules = ranked(tally).into_iter().map(|(rule, hits)| json!({ "rule": rule, "hits": hits }));
    let answer = json!({
        "paranoia_level": engine.paranoia_level(),
        "fingerprint": engine.fingerprint(),
        "true_positive_rate": verdict.true_positives,
        "false_positive_rate": verdict.false_positives,
        "problems": verdict.problems,
        "classes": classes.collect::<Vec<_>>(),
        "cells": cells.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
        "worst": worst(measured, args.worst),
    });
    writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)
}
