//! `rules cost`: what each rule costs. For each condition its prefilter and its worst case; over
//! a sample of exchanges, how many values got through to it and which share of the time all
//! operators took was its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Finding, SetArgs, broken};
use crate::config::core_rules;
use crate::waf::cost::{self, ConditionCost, Prefilter};
use crate::waf::example::Exchange;
use crate::waf::lang::{self, ast::Example};
use crate::waf::{Engine, Sources};

#[derive(Clone, Debug, clap::Args)]
pub struct CostArgs {
    #[command(flatten)]
    pub sets: SetArgs,
    /// Requests to measure with: a JSON list of texts, written like rules' examples. Without it,
    /// the harmless examples of the loaded rules and of the core rules
    #[arg(long, value_name = "FILE")]
    pub sample: Option<PathBuf>,
    /// Only this rule
    #[arg(long = "id", value_name = "ID")]
    pub id: Option<u32>,
}

/// One line of the answer.
#[derive(Debug, Serialize)]
struct Line<'c> {
    #[serde(flatten)]
    condition: &'c ConditionCost,
    /// Values of the sample that its operator was asked about.
    values: u64,
    /// Of the time that all operators took over the sample.
    share: f64,
}

/// Each operator is asked so many times about a value, for one time is below the clock's grain.
const REPEATS: u32 = 16;

pub(super) fn cost(sources: &Sources, args: &CostArgs, out: &mut dyn Write) -> io::Result<Finding> {
    let engine = match cost::engine(sources) {
        Ok(engine) => Arc::new(engine),
        Err(errors) => return broken(&errors, args.sets.json, out),
    };
    let sample = match sample(sources, args) {
        Ok(sample) => sample,
        Err(problem) => return Err(io::Error::new(io::ErrorKind::InvalidData, problem)),
    };
    let conditions = cost::conditions(&engine);
    let measured = measure(&engine, &sample);
    let total: Duration = measured.values().map(|(_, time)| *time).sum();
    let mut lines: Vec<Line> = conditions
        .iter()
        .filter(|condition| args.id.is_none_or(|id| id == condition.rule))
        .map(|condition| {
            let (values, time) = measured.get(&condition.number).copied().unwrap_or_default();
            let share = time.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE);
            Line { condition, values, share }
        })
        .collect();
    lines.sort_by(|a, b| b.share.total_cmp(&a.share));
    if args.sets.json {
        let answer = serde_json::json!({ "exchanges": sample.len(), "conditions": lines });
        writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
    } else {
        print(&lines, sample.len(), out)?;
    }
    Ok(if lines.is_empty() { Finding::Failed } else { Finding::Fine })
}

fn print(lines: &[Line], exchanges: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{exchanges} exchanges; share is of the time that all operators took")?;
    writeln!(
        out,
        "{:>7}  {:>6}  {:>7}  {:>10}  {:<34}  operator",
        "rule", "share", "values", "steps/byte", "prefilter"
    )?;
    for line in lines {
        let operator: String = line.condition.operator.chars().take(60).collect();
        writeln!(
            out,
            "{:>7}  {:>5.1}%  {:>7}  {:>10}  {:<34}  {operator}",
            line.condition.rule,
            line.share * 100.0,
            line.values,
            line.condition.worst_steps_per_byte,
            words(&line.condition.prefilter),
        )?;
    }
    let none = lines.iter().filter(|line| matches!(line.condition.prefilter, Prefilter::None { .. })).count();
    writeln!(out, "{} conditions, {none} without a prefilter", lines.len())
}

fn words(prefilter: &Prefilter) -> String {
    let text = match prefilter {
        Prefilter::Literals { count, shortest } => format!("{count} texts, from {shortest} bytes"),
        Prefilter::Bytes { set } => format!("bytes {set}"),
        Prefilter::Late => "looked at when its rule gets there".to_owned(),
        Prefilter::None { why } => format!("none: {why}"),
    };
    text.chars().take(56).collect()
}

/// The exchanges to measure with.
fn sample(sources: &Sources, args: &CostArgs) -> Result<Vec<Exchange>, String> {
    let examples: Vec<Example> = match &args.sample {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let texts: Vec<String> = serde_json::from_str(&text)
                .map_err(|error| format!("{}: a sample is a JSON list of texts: {error}", path.display()))?;
            texts.into_iter().map(|request| Example { request: Some(request), response: None }).collect()
        }
        None => {
            let harmless = |sources: &Sources| -> Vec<Example> {
                let sets = lang::read_all(sources).map(|program| program.sets).unwrap_or_default();
                let rules = sets.into_iter().flat_map(|set| set.rules);
                let examples = rules.filter_map(|rule| rule.examples);
                examples.flat_map(|examples| examples.no_match).map(|at| at.value).collect()
            };
            let mut all = harmless(sources);
            if args.sets.no_core_rules {
                all.extend(harmless(&core_rules::core()));
            }
            all
        }
    };
    examples.iter().map(|example| Exchange::parse(example).map_err(|error| error.to_string())).collect()
}

/// Values and time by condition.
fn measure(engine: &Arc<Engine>, sample: &[Exchange]) -> BTreeMap<usize, (u64, Duration)> {
    let mut measured: BTreeMap<usize, (u64, Duration)> = BTreeMap::new();
    for exchange in sample {
        let transaction = exchange.play(engine);
        cost::for_each_let_through(&transaction, |number, operator, value| {
            // The first time fills caches.
            let _ = operator.evaluate(value);
            let start = Instant::now();
            for _ in 0..REPEATS {
                std::hint::black_box(operator.evaluate(std::hint::black_box(value)));
            }
            let entry = measured.entry(number).or_default();
            entry.0 += 1;
            entry.1 += start.elapsed() / REPEATS;
        });
    }
    measured
}
