//! `rules list`: the rules that are loaded, or those of them that filters leave.

use std::io::{self, Write};

use super::{Finding, SetArgs, broken};
use crate::waf::lang::ast::SetupMode;
use crate::waf::{Engine, RuleInfo, Sources};

/// All given filters must hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub sets: SetArgs,
    /// Only rules of this set
    #[arg(long = "set", value_name = "NAME")]
    pub set: Option<String>,
    /// Only rules with this tag
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Only rules of this phase, `request_body` for instance
    #[arg(long, value_name = "PHASE")]
    pub phase: Option<String>,
    /// Only rules of this severity
    #[arg(long, value_name = "SEVERITY")]
    pub severity: Option<String>,
    /// Only rules of this paranoia level
    #[arg(long = "level", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=4))]
    pub level: Option<u8>,
    /// Only rules of sets in this mode: block, detect or off
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Only rules that the paranoia level in force and the modes of sets let run
    #[arg(long)]
    pub active: bool,
    /// Only rules with this text in their message or id, whatever its case
    #[arg(long, value_name = "TEXT")]
    pub matching: Option<String>,
}

impl ListArgs {
    fn takes(&self, rule: &RuleInfo) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_ref().is_none_or(|w| w == value);
        is(&self.set, &rule.set)
            && self.tag.as_ref().is_none_or(|tag| rule.tags.contains(tag))
            && is(&self.phase, &phase(rule))
            && is(&self.severity, rule.severity.unwrap_or("none"))
            && self.level.is_none_or(|level| level == rule.paranoia_level)
            && is(&self.mode, mode(rule))
            && (rule.active || !self.active)
            && self.matching.as_ref().is_none_or(|text| {
                let text = text.to_lowercase();
                rule.message.to_lowercase().contains(&text) || rule.id.to_string().contains(&text)
            })
    }
}

fn phase(rule: &RuleInfo) -> String {
    serde_json::to_value(rule.phase).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn mode(rule: &RuleInfo) -> &'static str {
    match rule.mode {
        SetupMode::Block => "block",
        SetupMode::Detect => "detect",
        SetupMode::Off => "off",
    }
}

pub(super) fn list(sources: &Sources, args: &ListArgs, out: &mut dyn Write) -> io::Result<Finding> {
    let engine = match Engine::compile(sources, &args.sets.settings()) {
        Ok(engine) => engine,
        Err(errors) => return broken(&errors, args.sets.json, out),
    };
    let rules: Vec<&RuleInfo> = engine.rules().filter(|rule| args.takes(rule)).collect();
    if args.sets.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rules)?)?;
        return Ok(Finding::Fine);
    }
    for rule in rules {
        writeln!(
            out,
            "{:>6}  PL{}{}  {:<16}  {:<9}  {:<6}  {:<20}  {}",
            rule.id,
            rule.paranoia_level,
            if rule.active { " " } else { "-" },
            phase(rule),
            rule.severity.unwrap_or("-"),
            mode(rule),
            rule.set,
            rule.message,
        )?;
    }
    Ok(Finding::Fine)
}
