//! `detect_sqli` and `detect_xss` against libinjection itself: the C library in ModSecurity's source is compiled here
//! and asked about the library's own lists of payloads, its unit tests, and mutants of both.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use portward::waf::operator::{self, Data, Operator};
use serde_json::json;

use super::support;

const LIBRARY: &str = "modsecurity/others/libinjection";

/// What one of the two says about a value: the fingerprint of an SQL injection, and whether it is a script.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    sqli: Option<String>,
    xss: bool,
}

/// The C library as a program. Built once per run.
static ORACLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let sources = support::data(LIBRARY).join("src");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Two runs at once each build their own, and the last one stays.
    let (built, program) = (folder.join(format!("oracle-{}", std::process::id())), folder.join("oracle"));
    let mut compiler = Command::new("cc");
    // What its authors had: characters with a sign, which not every processor has.
    compiler.args(["-O2", "-w", "-fsigned-char", "-I"]).arg(&sources).arg("-o").arg(&built);
    compiler.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/oracle.c"));
    for source in ["libinjection_sqli.c", "libinjection_html5.c", "libinjection_xss.c"] {
        compiler.arg(sources.join(source));
    }
    let status = compiler.status().expect("a C compiler named cc is needed");
    assert!(status.success(), "cc failed to build the oracle");
    fs::rename(&built, &program).expect("a file in the same folder");
    program
});

fn ask_library(values: &[Vec<u8>]) -> Vec<Answer> {
    let mut child = Command::new(&*ORACLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the oracle was just built");
    let mut input = child.stdin.take().expect("stdin is piped");
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend_from_slice(&u32::try_from(value.len()).expect("values are short").to_le_bytes());
        bytes.extend_from_slice(value);
    }
    let mut output = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(&bytes));
        child.stdout.take().expect("stdout is piped").read_to_end(&mut output).expect("the oracle answers");
    });
    assert!(child.wait().expect("the oracle ends").success(), "the oracle failed");
    assert_eq!(output.len(), values.len() * 10, "the oracle answers every value");
    output
        .chunks_exact(10)
        .map(|answer| {
            let kinds = answer[1..9].iter().take_while(|byte| **byte != 0);
            Answer {
                sqli: (answer[0] == 1).then(|| kinds.map(|byte| char::from(*byte)).collect()),
                xss: answer[9] == 1,
            }
        })
        .collect()
}

struct Ours {
    sqli: Box<dyn Operator>,
    xss: Box<dyn Operator>,
}

impl Ours {
    fn new() -> Ours {
        let built = |name| operator::build(name, &json!(true), &Data::new()).expect("a known operator");
        Ours { sqli: built("detect_sqli"), xss: built("detect_xss") }
    }

    /// As the engine asks: where an operator's need is not met, the operator is not run.
    fn answer(&self, value: &[u8]) -> Answer {
        let hit = |operator: &dyn Operator| {
            operator.need().may_match(value).then(|| operator.evaluate(value)).flatten()
        };
        Answer {
            sqli: hit(&*self.sqli).map(|hit| hit.note.expect("a hit has a fingerprint")),
            xss: hit(&*self.xss).is_some(),
        }
    }
}

/// How the answers on a set of values compare.
#[derive(Debug, Default)]
struct Agreement {
    values: usize,
    sqli_hits: usize,
    xss_hits: usize,
    sqli_verdicts: usize,
    fingerprints: usize,
    xss: usize,
    accepted: BTreeMap<&'static str, usize>,
}

impl Agreement {
    fn of(what: &str, values: &[Vec<u8>]) -> Agreement {
        let ours = Ours::new();
        let theirs = ask_library(values);
        let mut agreement = Agreement { values: values.len(), ..Agreement::default() };
        let mut shown = 0;
        for (value, theirs) in values.iter().zip(&theirs) {
            let ours = ours.answer(value);
            agreement.sqli_hits += usize::from(theirs.sqli.is_some());
            agreement.xss_hits += usize::from(theirs.xss);
            if ours == *theirs {
                continue;
            }
            agreement.fingerprints += usize::from(ours.sqli != theirs.sqli);
            agreement.sqli_verdicts += usize::from(ours.sqli.is_some() != theirs.sqli.is_some());
            if ours.xss != theirs.xss {
                match accepted(value).filter(|_| ours.xss) {
                    Some(name) => *agreement.accepted.entry(name).or_default() += 1,
                    None => agreement.xss += 1,
                }
            }
            shown += 1;
            if shown <= 50 {
                println!("{what}: {}\n  ours {ours:?}\n  libinjection {theirs:?}", value.escape_ascii());
            }
        }
        println!("{what}: {agreement:?}");
        agreement
    }

    /// Fails when more values than that share of a thousand have another verdict.
    fn require(&self, sqli_per_mille: f64, xss_per_mille: f64) {
        let share = |differing: usize| differing as f64 * 1000.0 / self.values as f64;
        assert!(share(self.sqli_verdicts) <= sqli_per_mille, "detect_sqli differs too often: {self:?}");
        assert!(share(self.xss) <= xss_per_mille, "detect_xss differs too often: {self:?}");
    }
}

/// The name of the accepted difference that explains why the library finds no script here: without what it stumbles
/// over, it does.
fn accepted(value: &[u8]) -> Option<&'static str> {
    let without_255: Vec<u8> = value.iter().map(|byte| if *byte == 0xff { 0xfe } else { *byte }).collect();
    let opening = |value: &[u8]| {
        let mut value = value.to_vec();
        for at in 1..value.len() {
            if value[at - 1..=at] == *b"</" {
                value[at] = b'a';
            }
        }
        value
    };
    let answers = ask_library(&[opening(value), opening(&without_255), without_255]);
    let names = ["closing-tag", "byte-255", "byte-255"];
    let explained = answers.iter().zip(names).find(|(answer, _)| answer.xss).map(|(_, name)| name);
    explained.filter(|name| support::is_accepted("detect_xss", name))
}

/// The payloads of the lists whose file name begins like this, as their README has it: no comments, no empty lines,
/// percent-decoded.
fn payloads(prefix: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = fs::read_dir(support::data(LIBRARY).join("data"))
        .expect("the lists are a folder")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
        .collect();
    files.sort();
    let mut payloads = Vec::new();
    for file in files {
        let text = fs::read(&file).expect("a readable list");
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii_end();
            if !line.is_empty() && line[0] != b'#' {
                payloads.push(url_decoded(line));
            }
        }
    }
    payloads
}

fn url_decoded(line: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut decoded = Vec::with_capacity(line.len());
    let mut rest = line;
    while let [first, behind @ ..] = rest {
        rest = behind;
        let byte = match (first, behind) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            (b'+', _) => b' ',
            _ => *first,
        };
        decoded.push(byte);
    }
    decoded
}

/// A unit test of the library: its file name, input and expected output.
struct UnitTest {
    name: String,
    input: Vec<u8>,
    expected: String,
}

fn unit_tests() -> Vec<UnitTest> {
    let mut tests = Vec::new();
    for entry in fs::read_dir(support::data(LIBRARY).join("tests")).expect("the unit tests are a folder") {
        let path = entry.expect("a readable folder").path();
        let text = fs::read(&path).expect("a readable test");
        let text = String::from_utf8(text)
            .unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
        let Some((_, text)) = text.split_once("--INPUT--\n") else { continue };
        let (input, expected) = text.split_once("--EXPECTED--\n").unwrap_or((text, ""));
        tests.push(UnitTest {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            input: input.trim_end_matches([' ', '\n', '\t', '\r']).as_bytes().to_vec(),
            expected: expected.trim_end().to_owned(),
        });
    }
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    tests
}

#[test]
fn libinjections_lists_get_its_verdicts() {
    for (prefix, least, sqli_hits, xss_hits) in
        [("sqli-", 17_000, 17_000, 0), ("xss-", 1_600, 0, 1_600), ("tbd-", 1, 0, 0), ("false", 400, 0, 0)]
    {
        let payloads = payloads(prefix);
        assert!(payloads.len() >= least, "{prefix} has {} payloads, not {least}", payloads.len());
        let agreement = Agreement::of(prefix, &payloads);
        assert!(agreement.sqli_hits >= sqli_hits && agreement.xss_hits >= xss_hits, "{agreement:?}");
        agreement.require(1.0, 5.0);
    }
}

#[test]
fn libinjections_unit_tests_get_its_fingerprints() {
    let tests = unit_tests();
    assert!(tests.len() >= 480, "{} unit tests", tests.len());
    let inputs: Vec<Vec<u8>> = tests.iter().map(|test| test.input.clone()).collect();
    let agreement = Agreement::of("unit tests", &inputs);
    assert_eq!((agreement.fingerprints, agreement.xss), (0, 0));
    let ours = Ours::new();
    let verdicts = tests.iter().filter(|test| test.name.starts_with("test-sqli-"));
    assert!(verdicts.clone().count() >= 50);
    for test in verdicts {
        let fingerprint = ours.answer(&test.input).sqli.unwrap_or_default();
        assert_eq!(fingerprint, test.expected, "{}", test.name);
    }
}

#[test]
fn mutants_get_libinjections_verdicts() {
    const MUTANTS: usize = 200_000;
    let mut seeds = payloads("");
    seeds.extend(unit_tests().into_iter().map(|test| test.input));
    let mut chance = Chance(0x0070_6f72_7477_6172);
    let mutants: Vec<Vec<u8>> = (0..MUTANTS).map(|_| mutant(&mut chance, &seeds)).collect();
    let agreement = Agreement::of("mutants", &mutants);
    assert!(agreement.sqli_hits > MUTANTS / 20 && agreement.xss_hits > MUTANTS / 20, "dull: {agreement:?}");
    agreement.require(1.0, 5.0);
}

/// SplitMix64: small, and the same on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % bound.max(1) as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// What both tokenisers look for.
const PIECES: &[&[u8]] = &[
    b"'",
    b"\"",
    b"`",
    b"''",
    b"\\",
    b"\\'",
    b" ",
    b"\t",
    b"\n",
    b"\0",
    b"\x0b",
    b"\xa0",
    b"\xff",
    b"\x7f",
    b"(",
    b")",
    b"{",
    b"}",
    b"[",
    b"]",
    b";",
    b",",
    b".",
    b":",
    b"::",
    b"@",
    b"@@",
    b"$",
    b"$$",
    b"$a$",
    b"#",
    b"--",
    b"-- ",
    b"/*",
    b"*/",
    b"/*!",
    b"/**/",
    b"=",
    b"<",
    b">",
    b"<=>",
    b"!",
    b"!!",
    b"!=",
    b"~",
    b"+",
    b"-",
    b"*",
    b"%",
    b"^",
    b"|",
    b"||",
    b"&",
    b"&&",
    b"?",
    b"1",
    b"0x1f",
    b"0x",
    b"0b1",
    b"1e5",
    b"1e",
    b".5",
    b"1.",
    b"7f",
    b"9d",
    b"n",
    b"a_b",
    b"e'",
    b"n'",
    b"u&'",
    b"q'(",
    b")'",
    b"nq'[",
    b"x'0f'",
    b"b'01'",
    b"\\N",
    b"union",
    b" union all ",
    b" select ",
    b" and ",
    b" or ",
    b" not ",
    b" in ",
    b" like ",
    b" is ",
    b"in(",
    b" group by ",
    b" order by ",
    b"having ",
    b" limit ",
    b" into outfile ",
    b"user(",
    b"if(",
    b";if ",
    b"sleep(",
    b"database(",
    b"collate ",
    b"latin1_bin",
    b"int ",
    b"double precision",
    b" case ",
    b"drop ",
    b"declare ",
    b"create or replace",
    b"null",
    b"current_user",
    b"sp_password",
    b"procedure analyse",
    b"between",
    b"sounds like",
    b"</",
    b"/>",
    b"<!",
    b"<!--",
    b"-->",
    b"-!>",
    b"<?",
    b"<%",
    b"%>",
    b"<![CDATA[",
    b"]]>",
    b"<!doctype",
    b"[if",
    b"<?import",
    b"<!entity",
    b"<script",
    b"<svg",
    b"<xsl",
    b"<a ",
    b"<b>",
    b"</a>",
    b"</a >",
    b"</>",
    b"</b ",
    b"\xff ",
    b" on",
    b"onload=",
    b" style=",
    b" href=",
    b"src=",
    b"xlink:href=",
    b"xmlns",
    b"attributename=",
    b"javascript:",
    b"data:",
    b"&#x6a;",
    b"&#106",
    b"&#x",
    b"&#",
    b"view-source:",
    b"\xc3\xa9",
];

/// A seed with a few changes, or a handful of pieces, or a few of them many times over.
fn mutant(chance: &mut Chance, seeds: &[Vec<u8>]) -> Vec<u8> {
    if chance.below(32) == 0 {
        let pieces: Vec<u8> = (0..1 + chance.below(4)).flat_map(|_| chance.pick(PIECES).to_vec()).collect();
        return pieces.repeat(1 + chance.below(200));
    }
    if chance.below(4) == 0 {
        return (0..2 + chance.below(8)).flat_map(|_| chance.pick(PIECES).to_vec()).collect();
    }
    let mut value = seeds[chance.below(seeds.len())].clone();
    for _ in 0..1 + chance.below(4) {
        let at = chance.below(value.len() + 1);
        let end = (at + 1 + chance.below(8)).min(value.len());
        match chance.below(7) {
            0 | 1 => drop(value.splice(at..at, chance.pick(PIECES).iter().copied())),
            2 => drop(value.drain(at..end)),
            3 => value.truncate(at),
            4 => {
                let span = value[at..end].to_vec();
                drop(value.splice(at..at, span));
            }
            5 if at < value.len() => value[at] = chance.below(256) as u8,
            5 => value.push(chance.below(256) as u8),
            _ => {
                let other = &seeds[chance.below(seeds.len())];
                let from = chance.below(other.len() + 1);
                value.truncate(at);
                value.extend_from_slice(&other[from..]);
            }
        }
    }
    value
}
