//! What an import promises, end to end: SecLang in, verdicts out.

mod constructs;
mod current;
mod levels;
mod traps;
mod wild;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Files, Imported, Input, Options, import};
use crate::waf::example::{Exchange, Outcome};
use crate::waf::lang::ast::Example;
use crate::waf::{Engine, Mode, Settings};

/// Files that lie in a map. An included pattern may end in `*`.
#[derive(Default)]
struct Shelf(BTreeMap<&'static str, &'static str>);

impl Files for Shelf {
    fn include(&mut self, _: &str, pattern: &str) -> Result<Vec<Input>, String> {
        let start = pattern.trim_end_matches('*');
        let found = self
            .0
            .iter()
            .filter(|(name, _)| **name == pattern || (start != pattern && name.starts_with(start)));
        Ok(found.map(|(name, text)| Input { name: (*name).into(), text: (*text).into() }).collect())
    }

    fn data(&mut self, from: &str, path: &str) -> Result<Vec<u8>, String> {
        self.0.get(path).map(|text| text.as_bytes().to_vec()).ok_or(format!("{from}: there is no {path}"))
    }
}

fn try_import(conf: &str, skip_unsupported: bool) -> Result<Imported, Vec<String>> {
    let mut shelf = Shelf(BTreeMap::from([
        ("words.data", "# words\nroot kit\n  passwd \n"),
        ("nets.data", "10.0.0.0/8\n192.0.2.0/24\n"),
        ("more.conf", "SecRule ARGS:more \"@rx .\" \"id:900,phase:2,log,pass\"\n"),
        ("inc/b.conf", "SecAction \"id:902,phase:1,pass,setvar:tx.order=%{tx.order}b\"\n"),
        ("inc/a.conf", "SecAction \"id:901,phase:1,pass,setvar:tx.order=%{tx.order}a\"\n"),
        ("loop.conf", "Include loop.conf\n"),
    ]));
    let input = Input { name: "t.conf".into(), text: conf.into() };
    import(&[input], &mut shelf, &Options { skip_unsupported })
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn imported(conf: &str) -> Imported {
    try_import(conf, false).unwrap_or_else(|errors| panic!("{errors:#?}\n{conf}"))
}

/// The errors of what must not come in.
fn refused(conf: &str) -> Vec<String> {
    match try_import(conf, false) {
        Ok(_) => panic!("came in: {conf}"),
        Err(errors) => errors,
    }
}

fn compiled(imported: &Imported, mode: Mode) -> Arc<Engine> {
    let settings = Settings { mode: Some(mode), ..Settings::default() };
    let engine = Engine::compile(&imported.sources, &settings).unwrap_or_else(|errors| {
        let texts: Vec<&str> = imported.sources.files.iter().map(|file| file.text.as_str()).collect();
        panic!("{errors:#?}\n{}", texts.join("\n"))
    });
    Arc::new(engine)
}

fn engine(conf: &str) -> Arc<Engine> {
    compiled(&imported(conf), Mode::Detect)
}

fn outcome(engine: &Arc<Engine>, request: &str, response: Option<&str>) -> Outcome {
    let example = Example { request: Some(request.into()), response: response.map(Into::into) };
    Exchange::parse(&example).unwrap_or_else(|error| panic!("{request}: {error}")).run(engine)
}

/// The rules that wrote to the log.
fn logged(engine: &Arc<Engine>, request: &str) -> Vec<u32> {
    told(&outcome(engine, request, None))
}

fn told(outcome: &Outcome) -> Vec<u32> {
    let mut ids: Vec<u32> = outcome.report.matches.iter().map(|found| found.rule).collect();
    ids.dedup();
    ids
}

/// The notes as `LINE DIRECTIVE: REASON`.
fn notes(imported: &Imported) -> Vec<String> {
    let spell = |note: &super::Note| format!("{} {}: {}", note.line, note.directive, note.reason);
    imported.notes.iter().map(spell).collect()
}

/// All rule files as one JSON text.
fn text(imported: &Imported) -> String {
    imported.sources.files.iter().map(|file| file.text.as_str()).collect()
}
