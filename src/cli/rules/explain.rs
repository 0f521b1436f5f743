//! `rules explain ID`: one rule in words, and its JSON as it stands in its file.

use std::io::{self, Write};

use serde_json::value::RawValue;

use super::{Finding, SetArgs, broken};
use crate::waf::Sources;
use crate::waf::lang::{self, ast, words};

#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// The rule's id
    #[arg(value_name = "ID")]
    pub id: u32,
    #[command(flatten)]
    pub sets: SetArgs,
}

pub(super) fn explain(sources: &Sources, args: &ExplainArgs, out: &mut dyn Write) -> io::Result<Finding> {
    let program = match lang::read_all(sources) {
        Ok(program) => program,
        Err(errors) => return broken(&errors, args.sets.json, out),
    };
    let found = program
        .sets
        .iter()
        .find_map(|set| set.rules.iter().find(|rule| rule.id.value == args.id).map(|rule| (set, rule)));
    let Some((set, rule)) = found else {
        if args.sets.json {
            writeln!(out, "{}", serde_json::json!({ "rule": args.id, "found": false }))?;
        } else {
            writeln!(out, "no loaded rule has the id {}; `portward rules list` shows them", args.id)?;
        }
        return Ok(Finding::Failed);
    };
    let (file, json) = written(sources, rule);
    let lines = words::rule(rule);
    if args.sets.json {
        let rule_json: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
        let answer = serde_json::json!({
            "rule": args.id, "found": true, "set": set.name, "file": file, "words": lines, "json": rule_json,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        return Ok(Finding::Fine);
    }
    let title = if rule.message.is_empty() { "(no message)" } else { &rule.message };
    writeln!(out, "{}  {title}", rule.id.value)?;
    let severity = rule.severity.map_or("no severity", ast::Severity::name);
    writeln!(out, "{} ({file}), {severity}, paranoia level {}", set.name, rule.level())?;
    if !rule.tags().is_empty() {
        writeln!(out, "tags: {}", rule.tags().join(", "))?;
    }
    writeln!(out)?;
    if let Some(description) = &rule.description {
        writeln!(out, "{description}\n")?;
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "\n{json}")?;
    Ok(Finding::Fine)
}

/// The rule's file and its text there.
fn written<'s>(sources: &'s Sources, rule: &ast::Rule) -> (&'s str, &'s str) {
    let Some(file) = sources.files.get(rule.place.file) else { return ("", "") };
    let rest = file.text.get(rule.place.offset..).unwrap_or_default();
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
    let text = match values.next() {
        Some(Ok(raw)) => raw.get(),
        _ => "",
    };
    (&file.name, text)
}
