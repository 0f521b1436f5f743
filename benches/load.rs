//! What loading rules costs: time, and memory that stays. Each measurement is a process of its own,
//! so that nothing else is counted.
//!
//!   cargo bench --bench load [-- --reloads N]
//!
//! The imported Core Rule Set is Debian's (package modsecurity-crs), where that is installed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use portward::cli::rules::import::Disk;
use portward::config::core_rules;
use portward::waf::input::{Body, ConnectionFacts, Extent, Field, RequestHead};
use portward::waf::lang::seclang::{Input, Options, import};
use portward::waf::{Engine, Mode, Settings, Sources};

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
const FOLDER: &str = "/usr/share/modsecurity-crs/rules";
const RELOADS: usize = 1000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => table(RELOADS),
        ["--reloads", count] => table(count.parse().expect("a number of reloads")),
        ["load", which, folder, level] => load(which, Path::new(folder), level),
        ["reload", folder, count] => reload(Path::new(folder), count.parse().expect("a number")),
        _ => panic!("unknown arguments {words:?}"),
    }
}

/// Runs every measurement in a process of its own.
fn table(reloads: usize) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("load");
    let _ = fs::remove_dir_all(&folder);
    write(&folder.join("core"), &core_rules::core());
    println!(
        "| rules | ms to load | CPU ms | MiB more than before | MiB after 100 exchanges |\n|---|---:|---:|---:|---:|"
    );
    let run = |words: &[&str]| {
        let program = std::env::current_exe().expect("this program has a path");
        let done = Command::new(program).args(words).output().expect("it starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        print!("{}", String::from_utf8_lossy(&done.stdout));
    };
    let path = |name: &str| folder.join(name).display().to_string();
    run(&["load", "core rules", &path("core"), "1"]);
    if Path::new(FOLDER).exists() && Path::new(SETUP).exists() {
        write(&folder.join("crs"), &imported());
        run(&["load", "imported CRS 3.3.4, level 1", &path("crs"), "1"]);
        run(&["load", "imported CRS 3.3.4, level 4", &path("crs"), "4"]);
        println!();
        run(&["reload", &path("crs"), &reloads.to_string()]);
    } else {
        eprintln!("the imported Core Rule Set needs a Debian package that is not here: modsecurity-crs");
    }
}

/// Loads once: time, CPU time, and memory.
fn load(which: &str, folder: &Path, level: &str) {
    let settings = settings(level.parse().expect("a level"));
    let (before, start, cpu) = (resident(), Instant::now(), cpu_ms());
    let engine = compile(folder, &settings);
    let (took, cpu) = (start.elapsed().as_secs_f64() * 1000.0, cpu_ms() - cpu);
    let loaded = resident() - before;
    for number in 0..100 {
        exchange(&engine, number);
    }
    println!("| {which} | {took:.0} | {cpu:.0} | {loaded:.1} | {:.1} |", resident() - before);
}

/// Loads over and over while exchanges go on, as the proxy does.
fn reload(folder: &Path, count: usize) {
    let settings = settings(1);
    let engine = ArcSwap::from(compile(folder, &settings));
    println!("| reloads | MiB resident |\n|---:|---:|");
    for number in 0..=count {
        if number.is_power_of_two() || number.is_multiple_of((count / 10).max(1)) {
            println!("| {number} | {:.1} |", resident());
        }
        // Ten threads' worth of caches would only multiply the same.
        for step in 0..5 {
            exchange(&engine.load(), number * 5 + step);
        }
        engine.store(compile(folder, &settings));
    }
}

fn settings(level: u8) -> Settings {
    Settings { mode: Some(Mode::Detect), paranoia_level: Some(level), ..Settings::default() }
}

/// From files to an engine, as `portward run` does it.
fn compile(folder: &Path, settings: &Settings) -> Arc<Engine> {
    let sources = core_rules::load_path(folder).expect("the folder that this bench wrote");
    match Engine::compile(&sources, settings) {
        Ok(engine) => Arc::new(engine),
        Err(errors) => panic!("the rules do not load: {}", errors[0]),
    }
}

fn exchange(engine: &Arc<Engine>, number: usize) {
    let facts = ConnectionFacts {
        client_ip: std::net::Ipv4Addr::LOCALHOST.into(),
        client_port: 40000,
        server_ip: None,
        server_port: 443,
        sni: None,
        identity: None,
        unix_ms: 1_760_000_000_000,
        unique_id: "0123456789abcdef",
    };
    let target = format!("/search?q=the+harbour%27s+{number}+bells+%3Cb%3E&page={number}&sort=up");
    let body = format!("name=O%27Neill+{number}&note=select+one+of+{number}%3B+thanks+--+{number}");
    let length = body.len().to_string();
    let fields = [
        ("host", "www.bench.test"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "*/*"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-length", &length),
    ]
    .map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() });
    let mut transaction = engine.begin(&facts);
    transaction.request_headers(&RequestHead {
        method: "POST",
        target: target.as_bytes(),
        protocol: "HTTP/1.1",
        scheme: "https",
        host: "www.bench.test",
        port: 443,
        fields: &fields,
    });
    transaction.request_body(&Body { bytes: body.as_bytes(), extent: Extent::Whole, coding_error: None });
    transaction.finish();
}

fn imported() -> Sources {
    let text = format!("Include {SETUP}\nInclude {FOLDER}/*.conf\n");
    let input = Input { name: "bench.conf".to_owned(), text };
    match import(&[input], &mut Disk, &Options { skip_unsupported: true }) {
        Ok(imported) => imported.sources,
        Err(errors) => panic!("CRS does not import: {}", errors[0]),
    }
}

fn write(folder: &Path, sources: &Sources) {
    fs::create_dir_all(folder.join("data")).expect("a folder under target");
    for (number, source) in sources.files.iter().enumerate() {
        fs::write(folder.join(format!("{number:03}.json")), &source.text).expect("a file under target");
    }
    for (name, bytes) in &sources.data {
        fs::write(folder.join("data").join(name), bytes).expect("a file under target");
    }
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = kib.and_then(|text| text.trim().strip_suffix(" kB")).expect("in kB");
    kib.parse::<f64>().expect("a number") / 1024.0
}

/// CPU time of this process in milliseconds.
fn cpu_ms() -> f64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock");
    now.tv_sec() as f64 * 1000.0 + now.tv_nsec() as f64 / 1e6
}
