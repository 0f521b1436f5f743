//! `portward rules`: check, test, list, explain, cost, measure and import rule sets, and print their schema.
//! Plain functions over sources and a writer; main decides what they are and what an outcome's
//! exit code is.

mod cost;
pub mod eval;
mod explain;
pub mod import;
mod list;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::config::value::{self, PackChoice, SetChoice};
use crate::config::{self, core_rules};
use crate::waf::example::Exchange;
use crate::waf::lang::{self, ast};
use crate::waf::{Engine, LoadError, Settings, Sources, cost as costs};

/// The arguments of `portward rules`.
#[derive(Clone, Debug, clap::Args)]
pub struct RulesArgs {
    #[command(subcommand)]
    pub command: RulesCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum RulesCommand {
    /// Load the rule sets, or say file, line and column of everything that is wrong
    Check(SetArgs),
    /// Run every rule's examples through the engine
    Test(TestArgs),
    /// List the rules, or those that filters leave
    List(list::ListArgs),
    /// One rule in words, and its JSON
    Explain(explain::ExplainArgs),
    /// What each rule costs: its prefilter, its worst case, its share over a sample
    Cost(cost::CostArgs),
    /// Measure the rules: what they stop of labelled attacks, and of what is harmless
    Eval(Box<eval::EvalArgs>),
    /// Turn SecLang rules (ModSecurity, OWASP CRS) into rule files
    Import(import::ImportArgs),
    /// Print the JSON Schema of rule files
    Schema,
}

/// Which rule sets, and how to answer.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SetArgs {
    /// Rule files or folders, beside the core rule sets
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Leave the embedded core rule sets out
    #[arg(long)]
    pub no_core_rules: bool,
    /// Mode of one rule set by its name: block, detect, or off
    #[arg(long, value_name = "NAME=MODE", value_delimiter = ',', value_parser = value::parse::<SetChoice>)]
    pub rule_set: Vec<SetChoice>,
    /// Exclusion pack to switch on for a host (`*` for every host); give it again for more
    #[arg(long, value_name = "NAME=HOST", value_delimiter = ',', value_parser = value::parse::<PackChoice>)]
    pub exclusion_pack: Vec<PackChoice>,
    /// Answer with JSON
    #[arg(long)]
    pub json: bool,
}

impl SetArgs {
    /// What was asked of sets and packs; the rest is the setup's.
    pub fn settings(&self) -> Settings {
        Settings {
            sets: config::given_sets(&self.rule_set),
            exclusion_packs: config::given_packs(&self.exclusion_pack),
            ..Settings::default()
        }
    }
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct TestArgs {
    #[command(flatten)]
    pub sets: SetArgs,
    /// Only these rules
    #[arg(long = "id", value_name = "ID")]
    pub ids: Vec<u32>,
}

/// How it went; main turns this into an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Fine,
    /// A rule's example failed, or there was nothing to test: exit code 1.
    Failed,
    /// The rule sets do not load: exit code 2.
    Broken,
}

/// Runs one of the subcommands. Errors are of the writer, or of files that cannot be read.
pub fn run(args: &RulesArgs, out: &mut dyn Write) -> io::Result<Finding> {
    match &args.command {
        RulesCommand::Check(sets) => check(&load(sets)?, sets, out),
        RulesCommand::Test(test) => self::test(&load(&test.sets)?, &test.ids, test.sets.json, out),
        RulesCommand::List(args) => list::list(&load(&args.sets)?, args, out),
        RulesCommand::Explain(args) => explain::explain(&load(&args.sets)?, args, out),
        RulesCommand::Cost(args) => cost::cost(&load(&args.sets)?, args, out),
        RulesCommand::Eval(args) => eval::eval(args, out),
        RulesCommand::Import(args) => import::run(args, out),
        RulesCommand::Schema => {
            out.write_all(lang::schema::schema().as_bytes())?;
            Ok(Finding::Fine)
        }
    }
}

/// The core sets unless left out, and the named ones.
pub fn load(args: &SetArgs) -> io::Result<Sources> {
    let mut sources = if args.no_core_rules { Sources::default() } else { core_rules::core() };
    for path in &args.paths {
        sources.extend(core_rules::load_path(path)?);
    }
    Ok(sources)
}

fn check(sources: &Sources, args: &SetArgs, out: &mut dyn Write) -> io::Result<Finding> {
    match Engine::compile(sources, &args.settings()) {
        Err(errors) => broken(&errors, args.json, out),
        Ok(engine) if args.json => {
            let answer = serde_json::json!({
                "files": sources.files.len(),
                "rules": engine.rules().count(),
                "fingerprint": engine.fingerprint(),
                "errors": [],
            });
            writeln!(out, "{answer}")?;
            Ok(Finding::Fine)
        }
        Ok(engine) => {
            let rules = engine.rules().count();
            let active = engine.rules().filter(|rule| rule.active).count();
            writeln!(
                out,
                "{} files, {rules} rules, {active} of them active at paranoia level {} ({})",
                sources.files.len(),
                engine.paranoia_level(),
                engine.fingerprint()
            )?;
            Ok(Finding::Fine)
        }
    }
}

fn broken(errors: &[LoadError], json: bool, out: &mut dyn Write) -> io::Result<Finding> {
    if json {
        writeln!(out, "{}", serde_json::json!({ "errors": errors }))?;
    } else {
        for error in errors {
            writeln!(out, "{error}")?;
        }
    }
    Ok(Finding::Broken)
}

/// What `rules test` found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tested {
    pub rules: usize,
    pub examples: usize,
    /// Ids of rules that have no example at all.
    pub untested: Vec<u32>,
    pub failures: Vec<Failure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub rule: u32,
    pub file: String,
    /// What the example was for, "match" or "no_match".
    pub expected: &'static str,
    pub example: String,
    /// The rules that matched it.
    pub matched: Vec<u32>,
}

/// Runs all examples, or those of the named rules, in detection-only mode at the highest
/// paranoia level with every set on, so that no rule hides another.
pub fn test_examples(sources: &Sources, ids: &[u32]) -> Result<Tested, Vec<LoadError>> {
    let engine = Arc::new(Engine::compile(sources, &costs::settings())?);
    let program = lang::read_all(sources)?;
    let mut tested = Tested::default();
    for set in &program.sets {
        let file = sources.files.get(set.place.file).map_or("", |file| &file.name);
        for rule in set.rules.iter().filter(|rule| ids.is_empty() || ids.contains(&rule.id.value)) {
            tested.rules += 1;
            let before = tested.examples;
            if let Some(examples) = &rule.examples {
                run_examples(&engine, rule, file, examples, &mut tested);
            }
            if tested.examples == before {
                tested.untested.push(rule.id.value);
            }
        }
    }
    Ok(tested)
}

fn run_examples(
    engine: &Arc<Engine>,
    rule: &ast::Rule,
    file: &str,
    examples: &ast::Examples,
    tested: &mut Tested,
) {
    for (expected, list) in [("match", &examples.matching), ("no_match", &examples.no_match)] {
        for at in list {
            tested.examples += 1;
            // Examples were parsed when their file was; the error cannot be reached.
            let matched =
                Exchange::parse(&at.value).map(|exchange| exchange.run(engine).matched).unwrap_or_default();
            if matched.contains(&rule.id.value) != (expected == "match") {
                let text = [at.value.request.as_deref(), at.value.response.as_deref()];
                tested.failures.push(Failure {
                    rule: rule.id.value,
                    file: file.to_owned(),
                    expected,
                    example: text.into_iter().flatten().collect::<Vec<_>>().join(" -> "),
                    matched,
                });
            }
        }
    }
}

fn test(sources: &Sources, ids: &[u32], json: bool, out: &mut dyn Write) -> io::Result<Finding> {
    let tested = match test_examples(sources, ids) {
        Ok(tested) => tested,
        Err(errors) => return broken(&errors, json, out),
    };
    let unknown: Vec<u32> = if ids.is_empty() { Vec::new() } else { missing(sources, ids) };
    let passed = tested.failures.is_empty() && tested.examples > 0 && unknown.is_empty();
    if json {
        writeln!(out, "{}", serde_json::json!({ "passed": passed, "unknown": unknown, "tested": tested }))?;
    } else {
        for failure in &tested.failures {
            let wanted = if failure.expected == "match" { "should match" } else { "should not match" };
            writeln!(out, "{}: rule {} {wanted}: {:?}", failure.file, failure.rule, failure.example)?;
            writeln!(out, "    matched: {:?}", failure.matched)?;
        }
        for id in &unknown {
            writeln!(out, "no loaded rule has the id {id}")?;
        }
        if !tested.untested.is_empty() {
            writeln!(out, "without examples: {:?}", tested.untested)?;
        }
        let failed = tested.failures.len();
        writeln!(out, "{} rules, {} examples, {failed} failed", tested.rules, tested.examples)?;
    }
    Ok(if passed { Finding::Fine } else { Finding::Failed })
}

/// The ids that no loaded rule has.
fn missing(sources: &Sources, ids: &[u32]) -> Vec<u32> {
    let Ok(program) = lang::read_all(sources) else { return ids.to_vec() };
    let known: BTreeMap<u32, ()> =
        program.sets.iter().flat_map(|set| &set.rules).map(|rule| (rule.id.value, ())).collect();
    ids.iter().copied().filter(|id| !known.contains_key(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::Source;

    fn sources(text: &str) -> Sources {
        Sources { files: vec![Source { name: "r.json".into(), text: text.into() }], ..Sources::default() }
    }

    const SET: &str = r#"{"name": "n", "version": "1", "rules": [{"id": 900001, "phase": "request_headers",
        "message": "m", "severity": "critical", "paranoia_level": 3, "then": ["block"],
        "when": {"variables": ["args"], "operator": {"contains": "evil"}},
        "examples": {"match": ["GET /?q=evil", "GET /?q=EXTRA"], "no_match": ["GET /?q=good", "GET /?q=evil"]}}]}"#;

    fn text(run: impl FnOnce(&mut Vec<u8>) -> io::Result<Finding>) -> (Finding, String) {
        let mut out = Vec::new();
        let finding = run(&mut out).expect("a vector takes everything");
        (finding, String::from_utf8(out).expect("text"))
    }

    #[test]
    fn failing_examples_are_counted_and_told() {
        let (finding, text) = text(|out| test(&sources(SET), &[], false, out));
        assert_eq!(finding, Finding::Failed);
        assert!(text.contains("rule 900001 should match: \"GET /?q=EXTRA\""), "{text}");
        assert!(text.contains("rule 900001 should not match: \"GET /?q=evil\""), "{text}");
        assert!(text.ends_with("1 rules, 4 examples, 2 failed\n"), "{text}");
    }

    #[test]
    fn nothing_tested_is_a_failure() {
        let (finding, _) = text(|out| test(&Sources::default(), &[], false, out));
        assert_eq!(finding, Finding::Failed);
        let (finding, text) = text(|out| test(&sources(SET), &[7], false, out));
        assert_eq!(finding, Finding::Failed);
        assert!(text.contains("no loaded rule has the id 7"), "{text}");
    }

    #[test]
    fn broken_sets_say_where_in_text_and_json() {
        let set = SET.replace("contains", "contain");
        let (finding, plain) = text(|out| check(&sources(&set), &SetArgs::default(), out));
        assert_eq!(
            (finding, plain.as_str()),
            (Finding::Broken, "r.json:3:54: unknown operator `contain` (did you mean `contains`?)\n")
        );
        let json = SetArgs { json: true, ..SetArgs::default() };
        let (_, json) = text(|out| check(&sources(&set), &json, out));
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["errors"][0]["line"], 3);
    }

    #[test]
    fn a_set_that_is_off_is_tested_and_listed_as_off_until_it_is_asked_for() {
        let off = sources(&SET.replace(r#""rules""#, r#""mode": "off", "rules""#));
        let (_, said) = text(|out| test(&off, &[], false, out));
        assert!(said.ends_with("1 rules, 4 examples, 2 failed\n"), "{said}");
        let listed = |rule_set: &[&str]| {
            let rule_set = rule_set.iter().map(|text| value::parse(text).expect("valid")).collect();
            let sets = SetArgs { rule_set, ..SetArgs::default() };
            text(|out| list::list(&off, &list::ListArgs { sets, ..list::ListArgs::default() }, out))
        };
        assert!(listed(&[]).1.starts_with("900001  PL3-  request_headers   critical   off     n "));
        assert!(listed(&["n=detect"]).1.starts_with("900001  PL3-  request_headers   critical   detect  n "));
        assert_eq!(
            listed(&["m=block"]),
            (Finding::Broken, "--rule-set: no loaded file is a rule set named `m`\n".to_owned())
        );
    }

    #[test]
    fn a_list_names_each_rule_and_whether_it_is_active() {
        let all = list::ListArgs::default();
        let (finding, text) = text(|out| list::list(&sources(SET), &all, out));
        assert_eq!(finding, Finding::Fine);
        assert!(text.starts_with("900001  PL3-  request_headers   critical "), "{text}");
    }

    #[test]
    fn a_list_is_narrowed_by_all_its_filters() {
        let count = |args: list::ListArgs| {
            let (_, text) = text(|out| list::list(&sources(SET), &args, out));
            text.lines().count()
        };
        let word = |word: &str| Some(word.to_owned());
        let none = list::ListArgs::default;
        assert_eq!(count(list::ListArgs { level: Some(3), phase: word("request_headers"), ..none() }), 1);
        assert_eq!(count(list::ListArgs { severity: word("critical"), matching: word("M"), ..none() }), 1);
        assert_eq!(count(list::ListArgs { set: word("n"), matching: word("9000"), ..none() }), 1);
        for args in [
            list::ListArgs { level: Some(1), ..none() },
            list::ListArgs { phase: word("logging"), ..none() },
            list::ListArgs { tag: word("t"), ..none() },
            list::ListArgs { active: true, ..none() },
            list::ListArgs { set: word("n"), severity: word("error"), ..none() },
        ] {
            assert_eq!(count(args), 0);
        }
    }

    #[test]
    fn a_rule_is_explained_in_words_and_in_its_own_json() {
        let args = |id| explain::ExplainArgs { id, sets: SetArgs::default() };
        let (finding, said) = text(|out| explain::explain(&sources(SET), &args(900_001), out));
        assert_eq!(finding, Finding::Fine);
        assert!(said.contains("a value of args matches `contains \"evil\"`"), "{said}");
        assert!(said.contains("{\"id\": 900001, \"phase\""), "{said}");
        let (finding, said) = text(|out| explain::explain(&sources(SET), &args(1), out));
        assert_eq!(finding, Finding::Failed);
        assert!(said.contains("no loaded rule has the id 1"), "{said}");
    }

    #[test]
    fn each_condition_has_its_prefilter_and_its_share() {
        let sets = SetArgs { no_core_rules: true, json: true, ..SetArgs::default() };
        let args = cost::CostArgs { sets, sample: None, id: None };
        let (finding, said) = text(|out| cost::cost(&sources(SET), &args, out));
        assert_eq!(finding, Finding::Fine);
        let answer: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let only = &answer["conditions"][0];
        assert_eq!(
            (only["rule"].as_u64(), only["prefilter"]["kind"].as_str()),
            (Some(900_001), Some("literals"))
        );
        // Of its own two harmless examples one has the text; the core rules' may have it, too.
        assert!(only["values"].as_u64() >= Some(1), "{only}");
        assert_eq!(only["share"].as_f64(), Some(1.0));
    }
}
