//! What the core rules cost an exchange, by paranoia level: CPU time of the engine alone, ordinary exchanges that
//! nothing stops. "Fresh" exchanges differ from each other in all that differs between clients; of "repeated" ones
//! there are twenty.
//!
//!   cargo bench --bench levels [-- --rounds N] [--exchanges N]

#[path = "modsecurity/ours.rs"]
mod ours;
#[path = "modsecurity/traffic.rs"]
#[allow(dead_code, reason = "the other bench writes the exchanges to a file")]
mod traffic;

use std::sync::Arc;

use portward::config::core_rules;
use portward::waf::{Engine, Settings};
use traffic::{Exchange, Kind};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LEVELS: [u8; 4] = [1, 2, 3, 4];
const REPEATED: usize = 20;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let (mut rounds, mut count) = (5, 1000);
    for pair in words.chunks(2) {
        let number = pair.get(1).and_then(|text| text.parse().ok()).expect("an option and its number");
        match pair[0].as_str() {
            "--rounds" => rounds = number,
            "--exchanges" => count = number,
            other => panic!("unknown option {other}"),
        }
    }
    let engines = LEVELS.map(engine);
    println!("CPU microseconds of an exchange, medians of {rounds} rounds of {count}\n");
    for fresh in [true, false] {
        println!("### {} values\n", if fresh { "Fresh" } else { "Repeated" });
        println!(
            "| exchange | level 1 | level 2 | level 3 | level 4 | 4 / 1 |\n|---|---:|---:|---:|---:|---:|"
        );
        for kind in Kind::ALL {
            row(kind, &engines, fresh, rounds, count);
        }
        println!();
    }
}

/// The levels take turns in each round.
fn row(kind: Kind, engines: &[Arc<Engine>], fresh: bool, rounds: usize, count: usize) {
    let mut samples = vec![Vec::new(); engines.len()];
    for round in 0..rounds {
        let seed = |number: usize| if fresh { round * count + number } else { number % REPEATED };
        let exchanges: Vec<Exchange> =
            (0..count).map(|number| traffic::exchange(kind, seed(number) as u64)).collect();
        for (engine, samples) in engines.iter().zip(&mut samples) {
            let (nanoseconds, _) = ours::run(engine, &exchanges);
            samples.push(nanoseconds as f64 / 1000.0 / count as f64);
        }
    }
    let medians: Vec<f64> = samples
        .iter_mut()
        .map(|samples| {
            samples.sort_by(f64::total_cmp);
            samples[samples.len() / 2]
        })
        .collect();
    let cells: Vec<String> = medians.iter().map(|median| format!("{median:.1}")).collect();
    println!("| {} | {} | {:.2} |", kind.name(), cells.join(" | "), medians[3] / medians[0]);
}

/// At higher levels some ordinary values score; the threshold is out of reach, so that all rules run.
fn engine(level: u8) -> Arc<Engine> {
    let settings = Settings {
        paranoia_level: Some(level),
        inbound_threshold: Some(1_000_000),
        outbound_threshold: Some(1_000_000),
        ..Settings::default()
    };
    match Engine::compile(&core_rules::core(), &settings) {
        Ok(engine) => Arc::new(engine),
        Err(errors) => panic!("the core rules do not load: {}", errors[0]),
    }
}
