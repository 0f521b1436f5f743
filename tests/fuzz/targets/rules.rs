//! Texts that people write: rule files, expressions, texts with macros. Whatever stands in them, it
//! is taken or refused with a place and a sentence; and what is taken can be printed, read again and
//! run.

use std::sync::LazyLock;

use portward::waf::lang::seclang::{self, Files, Input, Options, pattern as rewriting};
use portward::waf::lang::{self, LoadError, ast, print};
use portward::waf::operator::{self, Data, OperatorErrorKind};
use portward::waf::template::Template;
use portward::waf::{Engine, Mode, Settings, Source, Sources};
use regex::Regex;

use super::engine::{self, Pair};
use super::shown;

/// Compiling takes a time that grows with the text.
const LONGEST: usize = 16 * 1024;

fn sources(texts: Vec<String>) -> Sources {
    let files = texts.into_iter().enumerate();
    Sources {
        files: files.map(|(at, text)| Source { name: format!("{at}.json"), text }).collect(),
        data: Data::from([("words.txt".to_owned(), b"# words\nselect\nunion all\n".to_vec())]),
    }
}

/// Everything that the trees of these files say, without the places.
fn told(program: &ast::Program) -> String {
    static PLACE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"Place \{ file: \d+, offset: \d+ \}").expect("the expression is constant")
    });
    PLACE.replace_all(&format!("{program:?}"), "_").into_owned()
}

fn printed(program: &ast::Program) -> Vec<String> {
    let sets = program.sets.iter().map(print::rule_set);
    let exclusions = program.exclusions.iter().map(print::exclusion_set);
    sets.chain(exclusions).chain(program.setup.iter().map(print::setup)).collect()
}

/// A rule file, an exclusion file or a setup file.
pub fn json_rules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > LONGEST {
        return;
    }
    let given = sources(vec![text.to_owned()]);
    match lang::read_all(&given) {
        Ok(program) => round_trip(&program),
        Err(errors) => good_errors(&errors, text),
    }
    let settings = Settings { mode: Some(Mode::Detect), paranoia_level: Some(4), ..Settings::default() };
    match Engine::compile(&given, &settings) {
        Ok(engine) => {
            let other = Engine::compile(&given, &settings).expect("it has just been compiled");
            assert_eq!(engine.fingerprint(), other.fingerprint());
            engine::try_out(&Pair::new(&given, &settings).expect("it has just been compiled"));
        }
        Err(errors) => good_errors(&errors, text),
    }
}

fn round_trip(program: &ast::Program) {
    let texts = printed(program);
    let again = lang::read_all(&sources(texts.clone()));
    let again = again.unwrap_or_else(|errors| panic!("printed rules are refused: {errors:#?}\n{texts:#?}"));
    assert_eq!(printed(&again), texts, "printed, read and printed");
    // One `set` of the same variable twice becomes two, the one documented difference.
    let (one, other) = (told(program), told(&again));
    let sets = |told: &str| told.matches("Set([").count();
    if sets(&one) == sets(&other) {
        assert_eq!(one, other, "{texts:#?}");
    }
}

fn good_errors(errors: &[LoadError], text: &str) {
    assert!(!errors.is_empty(), "refused without a reason");
    let lines = text.lines().count().max(1) + 1;
    for error in errors {
        assert!(!error.problem.is_empty() && error.line <= lines, "{error:?}");
        assert!(error.to_string().starts_with(&error.file));
        assert!(error.problem.len() <= 2 * LONGEST + 512, "{} bytes of problem", error.problem.len());
    }
}

/// The files beside an imported one: some phrases, rules to include, and one that includes itself.
struct Beside;

impl Files for Beside {
    fn include(&mut self, _from: &str, pattern: &str) -> Result<Vec<Input>, String> {
        let text = match pattern {
            "more.conf" => "SecMarker END\nSecAction \"id:77,phase:1,pass,nolog,setvar:tx.more=1\"\n",
            "loop.conf" => "Include loop.conf\n",
            _ => return Err("there is no such file".to_owned()),
        };
        Ok(vec![Input { name: pattern.to_owned(), text: text.to_owned() }])
    }

    fn data(&mut self, _from: &str, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "words.data" => Ok(b"# words\nselect\nunion all\n".to_vec()),
            "addresses.data" => Ok(b"192.0.2.0/24\n2001:db8::1\n".to_vec()),
            _ => Err("there is no such file".to_owned()),
        }
    }
}

/// A file of SecLang. What is imported is rule files that compile; the rest is refused with a place.
pub fn seclang(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > LONGEST {
        return;
    }
    let inputs = [Input { name: "fuzz.conf".to_owned(), text: text.to_owned() }];
    let import = |skip_unsupported| seclang::import(&inputs, &mut Beside, &Options { skip_unsupported });
    let strict = import(false);
    let lenient = import(true);
    if let Ok(imported) = &strict {
        let lenient = lenient.as_ref().expect("leaving out what is unsupported refuses nothing more");
        assert_eq!(imported.sources, lenient.sources, "nothing had to be left out");
        assert_eq!(imported.counts.skipped, 0);
    } else if let Err(errors) = &strict {
        good_errors(errors, text);
    }
    let imported = match lenient {
        Ok(imported) => imported,
        Err(errors) => return good_errors(&errors, text),
    };
    let program = lang::read_all(&imported.sources).unwrap_or_else(|errors| {
        panic!("what was imported is refused: {errors:#?}\n{:#?}", imported.sources)
    });
    round_trip(&program);
    let settings = Settings { mode: Some(Mode::Detect), paranoia_level: Some(4), ..Settings::default() };
    match Engine::compile(&imported.sources, &settings) {
        Ok(_) => {
            let pair = Pair::new(&imported.sources, &settings);
            engine::try_out(&pair.expect("it has just been compiled"));
        }
        Err(errors) => {
            let large =
                |error: &LoadError| error.help.as_deref().is_some_and(|help| help.contains("too large"));
            assert!(errors.iter().all(large), "what was imported does not compile: {errors:#?}");
        }
    }
}

/// An expression of PCRE. What is accepted, the operator `rx` compiles, unless it is too large.
pub fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > LONGEST / 4 {
        return;
    }
    match rewriting::rewrite(text) {
        Ok(rewritten) => {
            assert_eq!(rewriting::rewrite(text).as_ref(), Ok(&rewritten));
            match operator::build("rx", &rewritten.argument(), &Data::new()) {
                Ok(operator) => values_agree(&*operator),
                Err(error) => {
                    let large = error.help.as_deref().is_some_and(|help| help.contains("too large"))
                        || error.problem.contains("nest limit");
                    let expression = error.kind == OperatorErrorKind::Expression;
                    assert!(large && expression, "{text:?} became {rewritten:?}, which is refused: {error}");
                }
            }
        }
        Err(refusal) => {
            assert!(refusal.at <= text.chars().count() + 1, "{refusal:?} in {text:?}");
            assert!(!refusal.what.is_empty() && !refusal.help.is_empty(), "{refusal:?}");
        }
    }
}

/// What the expression needs is never more than what it matches has.
fn values_agree(operator: &dyn operator::Operator) {
    const VALUES: &[&[u8]] = &[
        b"",
        b"a",
        b"select * from t where a = 'b'",
        b"<script src=\"x\">\r\n",
        b"\x00\xff\xb4 {1,2}",
        b"AAAA",
    ];
    for value in VALUES {
        if operator.evaluate(value).is_some() {
            assert!(operator.need().may_match(value), "{} on {}", operator.describe(), shown(value));
        }
    }
}

/// A text with macros.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => {
            assert!(error.to_string().contains(&error.name));
            return;
        }
    };
    let written = template.written();
    let again = Template::parse(&written).expect("what is written can be read");
    assert_eq!(again.written(), written);
    assert_eq!(written, text, "it is written as it was");
    let names =
        |template: &Template| template.targets().map(|target| target.text.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&again), names(&template));
    assert_eq!(template.is_plain(), names(&template).is_empty());
    assert!(template.plain().is_none_or(|plain| plain == text));
    let mut expanded = Vec::new();
    template.expand(&mut expanded, |_, out| out.extend_from_slice(b"[]"));
    assert!(expanded.len() <= text.len(), "a macro is longer than two bytes");
}
