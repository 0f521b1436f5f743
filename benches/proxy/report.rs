//! Tables: the median of the runs, how far they lay apart, and the ratio to the first candidate.

use std::time::Duration;

use anyhow::Result;

use crate::load::{Sample, Scenario, Shape};
use crate::machine::Cores;

/// All runs of one candidate in one scenario.
pub struct Row {
    name: String,
    samples: Vec<Sample>,
    failure: Option<String>,
}

impl Row {
    pub fn new(name: &str) -> Row {
        Row { name: name.to_owned(), samples: Vec::new(), failure: None }
    }

    /// A run that failed is shown as what it failed with, never as a number.
    pub fn add(&mut self, run: Result<Sample>) {
        match run {
            Ok(sample) => self.samples.push(sample),
            Err(error) => self.failure = Some(format!("{error:#}").replace(['\r', '\n', '|'], " ")),
        }
    }

    fn middle(&self, of: impl Fn(&Sample) -> f64) -> (f64, f64) {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let Some((first, last)) = values.first().zip(values.last()) else { return (0.0, 0.0) };
        let middle = values[values.len() / 2];
        (middle, if middle > 0.0 { (last - first) / middle * 100.0 } else { 0.0 })
    }

    fn cpu(&self, per: f64) -> String {
        if self.samples.iter().any(|s| s.proxy_cpu.is_none()) {
            return "-".into();
        }
        let (cpu, spread) =
            self.middle(|s| s.proxy_cpu.unwrap_or_default() * 1e6 / (s.units.max(1) as f64 / per));
        format!("{cpu:.1} ±{:.0}%", spread / 2.0)
    }

    fn busy(&self, of: impl Fn(&Sample) -> f64) -> String {
        format!("{:.0}", self.middle(|s| of(s) / s.seconds * 100.0).0)
    }
}

pub fn preamble(proxy: &Cores, origin: &Cores, load: &Cores, rounds: &usize, shape: &Shape) {
    println!(
        "proxy on core {proxy}, origin on {origin}, load on {load}; {rounds} rounds of {} s; {} connections, {}x{} h2 streams, {} tunnels at once, {} bulk",
        shape.seconds, shape.connections, shape.h2_connections, shape.h2_streams, shape.tunnels, shape.bulk
    );
    if proxy.count() == 0 {
        println!("fewer than four cores: nothing is pinned, compare CPU per request only");
    }
    println!(
        "CPU is of the proxy's processes, user and system; ± is half the distance of best and worst run\n"
    );
}

pub fn table(scenario: Scenario, rows: &[Row]) {
    match scenario {
        Scenario::Memory => memory(rows),
        Scenario::Download | Scenario::DownloadHtml | Scenario::Upload => bulk(scenario, rows),
        _ => requests(scenario, rows),
    }
    for row in rows {
        if let Some(failure) = &row.failure {
            println!("{} failed: {failure}", row.name);
        }
    }
    println!();
}

fn requests(scenario: Scenario, rows: &[Row]) {
    let what = match scenario {
        Scenario::KeepAlive => "keep-alive GET, 1 KB HTML, HTTP/1.1",
        Scenario::KeepAliveBinary => "keep-alive GET, 1 KB binary, HTTP/1.1",
        Scenario::KeepAliveH2 => "GET, 1 KB HTML, HTTP/2",
        Scenario::KnownHost => "new tunnel and request, known host",
        Scenario::NewHost => "new tunnel and request, new host",
        _ => "latency at a fixed rate",
    };
    println!(
        "| {what} | per s | of first | ±% | p50 ms | of first | p99 ms | of first | proxy CPU us each | busy % proxy | origin | load |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let rate = |row: &Row| row.middle(|s| s.units as f64 / s.seconds);
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let first = rows.first().filter(|r| r.failure.is_none());
    let of_first = |value: f64, of: &dyn Fn(&Row) -> f64| match first.map(of) {
        Some(base) if base > 0.0 => format!("{:.2}", value / base),
        _ => "-".into(),
    };
    for row in rows {
        if row.failure.is_some() || row.samples.is_empty() {
            println!("| {} | failed | | | | | | | | | | |", row.name);
            continue;
        }
        let (per_second, spread) = rate(row);
        let p50 = |r: &Row| r.middle(|s| ms(s.p50)).0;
        let p99 = |r: &Row| r.middle(|s| ms(s.p99)).0;
        println!(
            "| {} | {per_second:.0} | {} | {:.0} | {:.3} | {} | {:.3} | {} | {} | {} | {} | {} |",
            row.name,
            of_first(per_second, &|r| rate(r).0),
            spread / 2.0,
            p50(row),
            of_first(p50(row), &p50),
            p99(row),
            of_first(p99(row), &p99),
            row.cpu(1.0),
            row.busy(|s| s.proxy_cpu.unwrap_or_default()),
            row.busy(|s| s.origin_cpu),
            row.busy(|s| s.load_cpu),
        );
    }
}

fn bulk(scenario: Scenario, rows: &[Row]) {
    let what = match scenario {
        Scenario::Download => "10 MB download, binary",
        Scenario::DownloadHtml => "10 MB download, HTML",
        _ => "10 MB upload, binary",
    };
    println!("| {what} | MB/s | of first | ±% | proxy CPU us per MB | busy % proxy | origin | load |");
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    let rate = |row: &Row| row.middle(|s| s.units as f64 / s.seconds / 1e6);
    let base = rows.first().filter(|r| r.failure.is_none()).map(|r| rate(r).0).filter(|b| *b > 0.0);
    for row in rows {
        if row.failure.is_some() || row.samples.is_empty() {
            println!("| {} | failed | | | | | | |", row.name);
            continue;
        }
        let (speed, spread) = rate(row);
        println!(
            "| {} | {speed:.0} | {} | {:.0} | {} | {} | {} | {} |",
            row.name,
            base.map_or("-".into(), |b| format!("{:.2}", speed / b)),
            spread / 2.0,
            row.cpu(1e6),
            row.busy(|s| s.proxy_cpu.unwrap_or_default()),
            row.busy(|s| s.origin_cpu),
            row.busy(|s| s.load_cpu),
        );
    }
}

fn memory(rows: &[Row]) {
    println!("| resident memory | at rest MiB | each idle connection KiB |");
    println!("|---|---:|---:|");
    for row in rows {
        if let Some((rest, each)) = row.samples.first().and_then(|s| s.memory) {
            println!("| {} | {:.1} | {:.1} |", row.name, rest as f64 / 1048576.0, each / 1024.0);
        }
    }
}
