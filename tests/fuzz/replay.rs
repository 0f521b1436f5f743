//! Replays the corpus of every fuzz target, and a number of mutations of each file. The mutations
//! have a fixed seed: a run that fails here fails everywhere, and says with which bytes.

mod differential;
mod targets;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use targets::{TARGETS, Target};

/// Files of the whole corpus and runs of all targets; raise them as the corpus grows.
const LEAST_FILES: usize = 800;
const LEAST_RUNS: usize = 1_100_000;
/// Files of one target.
const LEAST_EACH: usize = 5;
/// Bytes of one target's files: seeds are small.
const MOST_BYTES: usize = 64 * 1024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// The corpus files of one target, by name.
fn files(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpus().join(target.name);
    let listed = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<(String, Vec<u8>)> = listed
        .map(|entry| {
            let path = entry.expect("a folder that opens can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        })
        .collect();
    files.sort();
    files
}

/// Numbers from a seed (Marsaglia's xorshift).
struct Numbers(u64);

impl Numbers {
    fn new(seed: &[u8]) -> Numbers {
        // FNV-1a, so that a file's mutations are its own.
        let hash = seed.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        Numbers(hash | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end.max(1)
    }
}

/// What parsers look for.
const TELLING: &[&[u8]] = &[
    b"%",
    b"%00",
    b"%u0041",
    b"+",
    b"&",
    b"=",
    b";",
    b"'",
    b"\"",
    b"\\",
    b"\\x41",
    b"\\u0041",
    b"<",
    b">",
    b"</",
    b"&#",
    b"/*",
    b"*/",
    b"--",
    b"../",
    b"[",
    b"]",
    b"{",
    b"}",
    b"(",
    b")",
    b"(?",
    b"|",
    b"*",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xe2\x80\x99",
    b",",
    b":",
    b"0",
    b"-1",
    b"99999999999999999999",
    b"%{",
    b"%{tx.0}",
    b"#",
    b"!",
    b"@",
    b"A",
    b"union select",
];

/// One to four changes, each of a kind that breaks parsers.
fn mutate(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const LONGEST: usize = 8 * 1024;
    let mut out = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(out.len() + 1);
        let end = (at + 1 + numbers.below(16)).min(out.len());
        match numbers.below(8) {
            0 => drop(out.drain(at..end.max(at))),
            1 => out.truncate(at),
            2 if at < out.len() => out[at] ^= 1 << numbers.below(8),
            3 if at < out.len() => out[at] = numbers.below(256) as u8,
            4 => {
                let piece = out[at..end.max(at)].repeat(1 + numbers.below(20));
                out.splice(at..at, piece);
            }
            5 => {
                let from = numbers.below(other.len() + 1);
                let to = (from + numbers.below(64)).min(other.len());
                out.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let piece = TELLING[numbers.below(TELLING.len())];
                out.splice(at..at, piece.iter().copied());
            }
        }
    }
    out.truncate(LONGEST);
    out
}

/// What came of one target.
#[derive(Default)]
struct Replayed {
    files: usize,
    runs: usize,
    /// The first input that it fails on.
    failure: Option<String>,
}

#[test]
fn every_target_holds_on_its_corpus_and_on_mutations_of_it() {
    let work: Vec<_> = TARGETS.iter().map(|target| (target, files(target))).collect();
    // Two at a time: a machine may have no more cores.
    let watch = [const { Mutex::new(None) }; 2];
    let replayed: Vec<Replayed> = std::thread::scope(|scope| {
        let half = |first: usize| {
            let mine: Vec<_> = work.iter().skip(first).step_by(2).collect();
            let now = &watch[first];
            scope.spawn(move || {
                mine.into_iter().map(|(target, files)| replay(target, files, now)).collect::<Vec<_>>()
            })
        };
        let halves = [half(0), half(1)];
        while !halves.iter().all(|half| half.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            watch.iter().for_each(see_whether_it_hangs);
        }
        halves.into_iter().flat_map(|half| half.join().expect("panics of targets are caught")).collect()
    });
    let files: usize = replayed.iter().map(|one| one.files).sum();
    let runs: usize = replayed.iter().map(|one| one.runs).sum();
    println!("{} targets, {files} files, {runs} runs", TARGETS.len());
    let failures: Vec<String> = replayed.into_iter().filter_map(|one| one.failure).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    assert!(files >= LEAST_FILES && runs >= LEAST_RUNS, "only {files} files and {runs} runs");
}

/// What a thread is running, and since when.
type Watch = Mutex<Option<(Instant, String)>>;

/// No input keeps a target busy for as long, a thousand times over; one that does is told, since
/// nothing can end the thread.
fn see_whether_it_hangs(watch: &Watch) {
    const LONGEST: Duration = Duration::from_secs(20);
    if let Some((since, what)) = &*watch.lock().expect("nobody panics with it")
        && since.elapsed() > LONGEST
    {
        eprintln!("{what} takes longer than {LONGEST:?}");
        std::process::exit(1);
    }
}

fn replay(target: &Target, files: &[(String, Vec<u8>)], watch: &Watch) -> Replayed {
    assert!(files.len() >= LEAST_EACH, "{} has {} files", target.name, files.len());
    let size: usize = files.iter().map(|(_, data)| data.len()).sum();
    assert!(size <= MOST_BYTES, "the corpus of {} has {size} bytes", target.name);
    let started = Instant::now();
    let mut done = Replayed { files: files.len(), ..Replayed::default() };
    let mut slowest = (Duration::ZERO, Vec::new());
    let mut run = |name: String, data: &[u8]| {
        done.runs += 1;
        if done.failure.is_some() {
            return;
        }
        let what = format!("{} on {name}: b\"{}\"", target.name, data.escape_ascii());
        *watch.lock().expect("nobody panics with it") = Some((Instant::now(), what));
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(data)));
        let Some((since, what)) = watch.lock().expect("nobody panics with it").take() else { return };
        if since.elapsed() > slowest.0 {
            slowest = (since.elapsed(), data.to_vec());
        }
        if outcome.is_err() {
            done.failure = Some(what);
        }
    };
    for (at, (name, data)) in files.iter().enumerate() {
        run(name.clone(), data);
        let mut numbers = Numbers::new(name.as_bytes());
        let other = &files[(at * 7 + 3) % files.len()].1;
        for number in 0..target.mutants {
            run(format!("mutation {number} of {name}"), &mutate(data, other, &mut numbers));
        }
    }
    let time = started.elapsed().as_millis();
    println!("{}: {} files, {} runs, {time} ms", target.name, done.files, done.runs);
    if slowest.0 > Duration::from_millis(200) {
        println!("  {:?} on b\"{}\"", slowest.0, slowest.1.escape_ascii());
    }
    done
}

#[test]
fn every_corpus_folder_belongs_to_a_target() {
    let listed = std::fs::read_dir(corpus()).expect("the corpus is there");
    let folders: BTreeSet<String> = listed
        .map(|entry| {
            entry.expect("a folder that opens can be read").file_name().to_string_lossy().into_owned()
        })
        .collect();
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(folders, targets);
    assert!(TARGETS.is_sorted_by_key(|target| target.name) && targets.len() == TARGETS.len());
}

#[test]
fn cargo_fuzz_knows_every_target() {
    let manifest = include_str!("cargo/Cargo.toml");
    let bins: Vec<&str> = manifest
        .split("[[bin]]")
        .skip(1)
        .filter_map(|bin| bin.split("name = \"").nth(1)?.split('"').next())
        .collect();
    let targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(bins, targets);
}
