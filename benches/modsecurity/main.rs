//! What rules cost beside libmodsecurity3: the same exchanges, the same CRS, CPU time of both,
//! taken in turns. Prints the tables of benches/README.md.
//!
//!   cargo bench --bench modsecurity -- [--rounds N] [--exchanges N] [--only LEVEL]
//!
//! For a profiler, the imported rules alone with one kind of exchange, by its number:
//!
//!   cargo bench --bench modsecurity -- --profile KIND [--only LEVEL] [--rounds N] [--exchanges N]

mod ours;
mod peer;
mod rules;
mod traffic;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portward::config::core_rules;
use portward::waf::{Engine, Settings, Sources};

use peer::Peer;
use traffic::{Exchange, Kind};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How much is measured.
#[derive(Clone, Copy)]
struct Plan {
    rounds: usize,
    /// Per kind and round.
    exchanges: usize,
    only: Option<u8>,
    profile: Option<usize>,
}

impl Plan {
    fn read() -> Plan {
        let mut plan = Plan { rounds: 5, exchanges: 1000, only: None, profile: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || {
                let text = words.next().unwrap_or_default();
                text.parse::<usize>().unwrap_or_else(|_| panic!("{word} takes a number, not {text:?}"))
            };
            match word.as_str() {
                "--rounds" => plan.rounds = number(),
                "--exchanges" => plan.exchanges = number(),
                "--profile" => plan.profile = Some(number()),
                "--only" => plan.only = Some(number() as u8),
                // cargo's own.
                "--bench" => {}
                other => panic!("unknown argument {other:?}"),
            }
        }
        plan
    }
}

/// Values as clients send them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Never seen before.
    Fresh,
    /// A few exchanges over and over.
    Repeated,
}

/// Exchanges that repeat.
const REPEATED: usize = 20;

impl Values {
    fn exchanges(self, kind: Kind, round: usize, count: usize) -> Vec<Exchange> {
        (0..count)
            .map(|number| match self {
                Values::Fresh => traffic::exchange(kind, (round * count + number) as u64),
                Values::Repeated => traffic::exchange(kind, (number % REPEATED) as u64),
            })
            .collect()
    }
}

/// One side of the comparison.
enum Side {
    Peer(Peer),
    Engine(Arc<Engine>),
}

impl Side {
    fn run(&mut self, exchanges: &[Exchange], file: &Path) -> (u64, u64) {
        match self {
            Side::Peer(peer) => peer.run(file),
            Side::Engine(engine) => ours::run(engine, exchanges),
        }
    }
}

/// Microseconds per exchange, one for each round.
#[derive(Default)]
struct Sample(Vec<f64>);

impl Sample {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// From the lowest to the highest, in per cent of the median.
    fn spread(&self) -> f64 {
        let (low, high) =
            self.0.iter().fold((f64::MAX, 0f64), |(low, high), at| (low.min(*at), high.max(*at)));
        (high - low) / self.median() * 100.0
    }

    fn shown(&self) -> String {
        format!("{:.1} (±{:.0} %)", self.median(), self.spread() / 2.0)
    }
}

fn main() {
    let plan = Plan::read();
    if let Some(kind) = plan.profile {
        return profile(plan, Kind::ALL[kind]);
    }
    let missing = peer::missing();
    if !missing.is_empty() {
        eprintln!(
            "the comparison needs Debian packages that are not here: apt-get install {}",
            missing.join(" ")
        );
        std::process::exit(1);
    }
    let program = peer::build();
    for level in [1, 4].into_iter().filter(|level| plan.only.is_none_or(|only| only == *level)) {
        compare(plan, level, &program);
    }
}

fn profile(plan: Plan, kind: Kind) {
    let engine = match plan.only {
        Some(0) => compile(&core_rules::core()),
        level => compile(&rules::imported(level.unwrap_or(1))),
    };
    let mut sample = Sample::default();
    for round in 0..=plan.rounds {
        let exchanges = Values::Fresh.exchanges(kind, round, plan.exchanges);
        let (nanoseconds, _) = ours::run(&engine, &exchanges);
        if round > 0 {
            sample.0.push(nanoseconds as f64 / 1000.0 / exchanges.len() as f64);
        }
    }
    println!("{}: {}", kind.name(), sample.shown());
}

fn compile(sources: &Sources) -> Arc<Engine> {
    match Engine::compile(sources, &Settings::default()) {
        Ok(engine) => Arc::new(engine),
        Err(errors) => panic!("the rules do not load: {}", errors[0]),
    }
}

/// All sides at one paranoia level.
fn compare(plan: Plan, level: u8, program: &Path) {
    let file = peer::folder().join(format!("rules-{level}.conf"));
    std::fs::write(&file, rules::configuration(level)).expect("a file under target");
    let mut sides = vec![("libmodsecurity3", Side::Peer(Peer::start(program, &file)))];
    sides.push(("imported CRS", Side::Engine(compile(&rules::imported(level)))));
    if level == 1 {
        sides.push(("core rules", Side::Engine(compile(&core_rules::core()))));
    }
    for (values, title) in
        [(Values::Fresh, "values never seen before"), (Values::Repeated, "values that repeat")]
    {
        println!("\nCRS 3.3.4 at paranoia level {level}, {title}: microseconds of CPU per request\n");
        table(plan, values, &mut sides);
    }
    for (_, side) in sides {
        if let Side::Peer(peer) = side {
            peer.stop();
        }
    }
}

/// Measures every kind on every side, in turns, and prints a table.
fn table(plan: Plan, values: Values, sides: &mut [(&'static str, Side)]) {
    let mut samples: Vec<Vec<Sample>> =
        Kind::ALL.iter().map(|_| sides.iter().map(|_| Sample::default()).collect()).collect();
    // The first round warms up and is not counted.
    for round in 0..=plan.rounds {
        for (kind, samples) in Kind::ALL.into_iter().zip(&mut samples) {
            let exchanges = values.exchanges(kind, round, plan.exchanges);
            let file: PathBuf = peer::folder().join("exchanges");
            std::fs::write(&file, traffic::written(&exchanges)).expect("a file under target");
            for ((name, side), sample) in sides.iter_mut().zip(samples) {
                let (nanoseconds, stopped) = side.run(&exchanges, &file);
                assert_eq!(stopped, 0, "{name} stops a benign {}", kind.name());
                if round > 0 {
                    sample.0.push(nanoseconds as f64 / 1000.0 / exchanges.len() as f64);
                }
            }
        }
    }
    let names: Vec<&str> = sides.iter().map(|(name, _)| *name).collect();
    let mut head = format!("| request | {} |", names[0]);
    let mut line = "|---|---:|".to_owned();
    for name in &names[1..] {
        head.push_str(&format!(" {name} | times less |"));
        line.push_str("---:|---:|");
    }
    println!("{head}\n{line}");
    for (kind, samples) in Kind::ALL.into_iter().zip(&samples) {
        let mut row = format!("| {} | {} |", kind.name(), samples[0].shown());
        for sample in &samples[1..] {
            row.push_str(&format!(" {} | {:.1} |", sample.shown(), samples[0].median() / sample.median()));
        }
        println!("{row}");
    }
}
