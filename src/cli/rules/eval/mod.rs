//! `rules eval`: how much of what is labelled an attack the rules stop, and how much of what is
//! labelled harmless. Samples come from files, one line after the other, so that a collection may
//! be larger than memory; each goes through the engine as live traffic does.

mod play;
mod print;
mod read;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Finding, SetArgs, broken};
use crate::config::value::{self, PackChoice, SetChoice};
use crate::waf::measure::{Encoding, Label, Placement, Tally};
use crate::waf::report::Report;
use crate::waf::{Engine, Mode, Settings};

use play::{Outcome, Way};
use read::{Labels, Sample};

/// Samples are values or whole requests. `*.txt` holds one value on each line; `*.jsonl` one JSON
/// object on each line: {"value"}, {"value_base64"}, {"request"} or {"request_base64"}, with
/// "class", "name" and "label" if wanted. A file's label is that of the last folder named
/// `attack` or `benign` on its path, its class is its name.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EvalArgs {
    /// Files or folders of samples
    #[arg(value_name = "DIR")]
    pub paths: Vec<PathBuf>,
    /// More files or folders, all of them attacks
    #[arg(long, value_name = "PATH")]
    pub attack: Vec<PathBuf>,
    /// More files or folders, all of them harmless
    #[arg(long, value_name = "PATH")]
    pub benign: Vec<PathBuf>,
    /// Rule files or folders, beside the core rule sets
    #[arg(long, value_name = "PATH")]
    pub rules: Vec<PathBuf>,
    /// Leave the embedded core rule sets out
    #[arg(long)]
    pub no_core_rules: bool,
    /// Mode of one rule set by its name: block, detect, or off
    #[arg(long, value_name = "NAME=MODE", value_delimiter = ',', value_parser = value::parse::<SetChoice>)]
    pub rule_set: Vec<SetChoice>,
    /// Exclusion pack to switch on for a host (`*` for every host); give it again for more
    #[arg(long, value_name = "NAME=HOST", value_delimiter = ',', value_parser = value::parse::<PackChoice>)]
    pub exclusion_pack: Vec<PackChoice>,
    /// The paranoia level, instead of the setup file's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=4))]
    pub paranoia_level: Option<u8>,
    /// Where values are put: `all`, or some of query, query-name, path, form, multipart, file-name,
    /// json, json-nested, xml-text, xml-attribute, xml-cdata, soap, header, user-agent, referer,
    /// cookie, cookie-raw, graphql, graphql-inline, body
    #[arg(long = "in", value_name = "PLACEMENT", value_delimiter = ',', default_value = "query,form,json")]
    pub placements: Vec<String>,
    /// How values are written there: `all`, or some of plain, url, double-url, url-unicode, base64,
    /// base64url, hex, js-unicode, js-unicode-all, html-entities, html-hex, overlong-utf8, fullwidth,
    /// fullwidth-all, gzip, utf-16
    #[arg(long = "encode", value_name = "ENCODING", value_delimiter = ',', default_value = "plain")]
    pub encodings: Vec<String>,
    /// Only samples of these classes
    #[arg(long = "class", value_name = "NAME", value_delimiter = ',')]
    pub classes: Vec<String>,
    /// Only so many samples of each file
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Show so many false positives with their receipts, of the busiest rules first
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub worst: usize,
    /// Show tables of class by encoding and class by placement
    #[arg(long)]
    pub table: bool,
    /// Write attacks that were not stopped to this file, one JSON object on each line
    #[arg(long, value_name = "FILE")]
    pub missed: Option<PathBuf>,
    /// Write harmless samples that were stopped to this file, the same way
    #[arg(long, value_name = "FILE")]
    pub false_positives: Option<PathBuf>,
    /// Fail unless so much of the attacks is stopped
    #[arg(long, value_name = "PERCENT")]
    pub at_least: Option<f64>,
    /// Fail if more than this of the harmless is stopped
    #[arg(long, value_name = "PERCENT")]
    pub at_most: Option<f64>,
    /// Answer with JSON
    #[arg(long)]
    pub json: bool,
}

/// Samples that are run together, then forgotten.
const BATCH: usize = 4096;

/// What a run found.
#[derive(Debug, Default)]
pub struct Measured {
    pub tally: Tally,
    /// False positives with their receipts, as many as were asked for.
    pub worst: Vec<Receipt>,
}

/// A harmless sample that was stopped.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Receipt {
    pub class: String,
    pub name: String,
    pub placement: &'static str,
    pub encoding: &'static str,
    pub report: Report,
}

pub(super) fn eval(args: &EvalArgs, out: &mut dyn Write) -> io::Result<Finding> {
    let sets = SetArgs {
        paths: args.rules.clone(),
        no_core_rules: args.no_core_rules,
        rule_set: args.rule_set.clone(),
        exclusion_pack: args.exclusion_pack.clone(),
        json: args.json,
    };
    let sources = super::load(&sets)?;
    // Detection only, so that a rule that stops an exchange hides no later one; the verdict is the same.
    let settings =
        Settings { mode: Some(Mode::Detect), paranoia_level: args.paranoia_level, ..sets.settings() };
    let engine = match Engine::compile(&sources, &settings) {
        Ok(engine) => Arc::new(engine),
        Err(errors) => return broken(&errors, args.json, out),
    };
    let measured = measure(&engine, args)?;
    let verdict = Verdict::of(&measured.tally, args);
    if args.json {
        print::json(&measured, &engine, &verdict, args, out)?;
    } else {
        print::text(&measured, &engine, &verdict, args, out)?;
    }
    Ok(if verdict.problems.is_empty() { Finding::Fine } else { Finding::Failed })
}

/// Runs all samples. Errors are of files: one that cannot be read, a line that is no sample.
pub fn measure(engine: &Arc<Engine>, args: &EvalArgs) -> io::Result<Measured> {
    let ways = Way::all(&args.placements, &args.encodings).map_err(io::Error::other)?;
    let labels = Labels { attack: &args.attack, benign: &args.benign };
    let files = read::files(&args.paths, &labels)?;
    let mut run = Run {
        engine,
        ways,
        worst: args.worst,
        lists: [list(args.missed.as_ref())?, list(args.false_positives.as_ref())?],
        measured: Measured::default(),
    };
    let mut batch: Vec<Sample> = Vec::new();
    for file in files {
        for sample in file.samples()?.take(args.limit.map_or(usize::MAX, |limit| limit as usize)) {
            let sample = sample?;
            if !args.classes.is_empty() && !args.classes.iter().any(|class| *class == *sample.class) {
                continue;
            }
            batch.push(sample);
            if batch.len() == BATCH {
                run.batch(&batch)?;
                batch.clear();
            }
        }
    }
    run.batch(&batch)?;
    for list in run.lists.iter_mut().flatten() {
        list.flush()?;
    }
    Ok(run.measured)
}

type List = Option<BufWriter<File>>;

fn list(path: Option<&PathBuf>) -> io::Result<List> {
    let about = |path: &PathBuf, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    path.map(|path| File::create(path).map(BufWriter::new).map_err(|error| about(path, error))).transpose()
}

struct Run<'e> {
    engine: &'e Arc<Engine>,
    ways: Vec<Way>,
    worst: usize,
    /// Missed attacks, false positives.
    lists: [List; 2],
    measured: Measured,
}

impl Run<'_> {
    /// Runs samples on all processors; what comes of them is taken in their order.
    fn batch(&mut self, batch: &[Sample]) -> io::Result<()> {
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
        let (engine, ways) = (self.engine, &self.ways);
        let share = batch.len().div_ceil(threads * 8).max(1);
        let shares: Vec<&[Sample]> = batch.chunks(share).collect();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let mut done: Vec<(usize, Vec<Vec<Outcome>>)> = std::thread::scope(|scope| {
            let work = || {
                let mut done = Vec::new();
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(share) = shares.get(at) else { return done };
                    done.push((at, share.iter().map(|sample| play::play(sample, ways, engine)).collect()));
                }
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let joined = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        done.sort_unstable_by_key(|(at, _)| *at);
        let outcomes = done.into_iter().flat_map(|(_, outcomes)| outcomes);
        for (sample, outcomes) in batch.iter().zip(outcomes) {
            self.measured.tally.sample(sample.label, &sample.class);
            for outcome in outcomes {
                self.take(sample, outcome)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, sample: &Sample, outcome: Outcome) -> io::Result<()> {
        let (label, place, tally) = (sample.label, outcome.place, &mut self.measured.tally);
        let Some(ran) = outcome.ran else {
            tally.not_placeable(label, &sample.class, place);
            return Ok(());
        };
        let by = ran.report.interruption.as_ref().map(|interruption| interruption.rule);
        tally.exchange(label, &sample.class, place, &ran.matched, by);
        let list = match (label, by) {
            (Label::Attack, None) => &mut self.lists[0],
            (Label::Benign, Some(_)) => &mut self.lists[1],
            _ => return Ok(()),
        };
        if let Some(list) = list {
            print::list_line(list, sample, place, &ran)?;
        }
        if label == Label::Benign && self.worst > 0 {
            self.keep(sample, place, ran.report);
        }
        Ok(())
    }

    /// Keeps the receipt while its rule has fewer than are to be shown in all.
    fn keep(&mut self, sample: &Sample, place: crate::waf::measure::Place, report: Report) {
        let by = |report: &Report| report.interruption.as_ref().map(|interruption| interruption.rule);
        let rule = by(&report);
        let kept = self.measured.worst.iter().filter(|kept| by(&kept.report) == rule).count();
        if kept < self.worst {
            self.measured.worst.push(Receipt {
                class: sample.class.to_string(),
                name: sample.name(),
                placement: place.placement(),
                encoding: place.encoding(),
                report,
            });
        }
    }
}

/// The rates, and what is wrong with them.
#[derive(Debug)]
pub struct Verdict {
    /// Of attacks that were stopped, in per cent.
    pub true_positives: Option<f64>,
    /// Of harmless exchanges that were stopped, in per cent.
    pub false_positives: Option<f64>,
    pub problems: Vec<String>,
}

impl Verdict {
    fn of(tally: &Tally, args: &EvalArgs) -> Verdict {
        let (attack, benign) = (tally.of(Label::Attack).rate(), tally.of(Label::Benign).rate());
        let mut problems = Vec::new();
        if tally.samples.is_empty() {
            problems.push("there is no sample in these files".to_owned());
        }
        if let Some(least) = args.at_least {
            match attack {
                None => problems.push("no attack ran, so none was stopped".to_owned()),
                Some(rate) if rate < least => {
                    problems.push(format!(
                        "{rate:.3}% of the attacks were stopped, at least {least}% are asked for"
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(most) = args.at_most {
            match benign {
                None => problems.push("no harmless sample ran".to_owned()),
                Some(rate) if rate > most => problems
                    .push(format!("{rate:.3}% of the harmless were stopped, at most {most}% are asked for")),
                Some(_) => {}
            }
        }
        Verdict { true_positives: attack, false_positives: benign, problems }
    }
}

/// The names of a list, `all` for all of them.
fn names<T>(
    given: &[String],
    all: &[T],
    what: &str,
    find: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, String>
where
    T: Copy + PartialEq,
{
    let mut found = Vec::new();
    for name in given {
        if name == "all" {
            return Ok(all.to_vec());
        }
        let one = find(name).ok_or_else(|| format!("there is no {what} `{name}`; --help lists them"))?;
        if !found.contains(&one) {
            found.push(one);
        }
    }
    Ok(found)
}

fn placements(given: &[String]) -> Result<Vec<Placement>, String> {
    names(given, &Placement::ALL, "placement", Placement::find)
}

fn encodings(given: &[String]) -> Result<Vec<Encoding>, String> {
    names(given, &Encoding::ALL, "encoding", Encoding::find)
}
