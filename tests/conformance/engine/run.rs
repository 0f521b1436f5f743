//! One case: import, compile, exchange, comparison.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portward::waf::input::{Body, ConnectionFacts, Extent, Field, RequestHead, ResponseHead};
use portward::waf::lang::seclang::{self, Files, Input, Options};
use portward::waf::report::{Decision, Disruption};
use portward::waf::trace::Traced;
use portward::waf::{Engine, LoadError, Mode, Settings, Source};
use regex::Regex;
use regex::bytes::RegexBuilder;

use super::case::Case;
use super::{logs, render};
use crate::support;

/// What must not take longer in a test, and does not.
const UNIX_MS: u64 = 1_436_817_761_000;

/// Bodies are read as ModSecurity's rules expect.
const BODIES: &str = r#"{"setup": {"request_bodies": "as_modsecurity"}}"#;

/// Runs a case; the error says what is different.
pub fn run(case: &Case) -> Result<(), String> {
    let loaded = load(case);
    if !case.expected.parser_error.is_empty() {
        return match loaded {
            Ok(_) => Err(format!("loads; expected was the error {}", case.expected.parser_error)),
            Err(errors) => right_line(&case.expected.parser_error, &errors),
        };
    }
    let (engine, notes) = loaded.map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        format!("does not load: {}", all.join("; "))
    })?;
    let (status, location, traced, more) = exchange(case, &engine);
    let places = |rule: u32| place(case, rule);
    let mut log = render::render(&traced.trace, &places);
    log += &(notes + &more);
    let error_log = logs::error_log(&traced, &case.file);
    if std::env::var("PORTWARD_CASE_LOG").is_ok_and(|wanted| case.identity == wanted) {
        println!("{}\n{log}{error_log}", case.identity);
    }
    find("debug log", &case.expected.debug_log, &log)?;
    let unwanted = &case.expected.no_debug_log;
    if !unwanted.is_empty() && find("debug log", unwanted, &log).is_ok() {
        return Err(format!("the debug log has {unwanted:?}, as in version 3"));
    }
    if status != case.expected.status {
        return Err(format!("status {status}, expected was {}", case.expected.status));
    }
    if !location.contains(&case.expected.redirect_url) {
        return Err(format!("redirects to {location}, expected was {}", case.expected.redirect_url));
    }
    find("error log", &case.expected.error_log, &error_log)?;
    find("audit log", &case.expected.audit_log, &error_log)
}

/// Where ModSecurity says an error is, one of ours must be.
fn right_line(expected: &str, errors: &[LoadError]) -> Result<(), String> {
    let Some((_, rest)) = expected.split_once("Line: ") else { return Ok(()) };
    let line: usize = rest.split('.').next().and_then(|line| line.parse().ok()).unwrap_or_default();
    if errors.iter().any(|error| error.line == line) {
        return Ok(());
    }
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Err(format!("the error is elsewhere: {}; expected was {expected}", all.join("; ")))
}

fn load(case: &Case) -> Result<(Arc<Engine>, String), Vec<LoadError>> {
    let inputs = [Input { name: format!("{}.json", case.file), text: in_version_2(&case.rules) }];
    let mut files = Disk { folder: support::data("modsecurity/test") };
    let imported = seclang::import(&inputs, &mut files, &Options { skip_unsupported: false })?;
    // Without SecRuleEngine theirs runs rules and stops nothing; here the configuration says it then.
    let is_silent = !case.rules.to_ascii_lowercase().contains("secruleengine");
    let settings = Settings { mode: is_silent.then_some(Mode::Detect), ..Settings::default() };
    let mut sources = imported.sources;
    sources.files.push(Source { name: "bodies.json".into(), text: BODIES.into() });
    let engine = Engine::compile_plain(&sources, &settings)?;
    Ok((Arc::new(engine), logs::of_notes(&imported.notes)))
}

/// Version 3 takes `%{X}%` for another spelling of `%{X}`, and these cases write it; in version 2, and
/// here, the sign behind the macro is one. The cases are about what macros stand for.
fn in_version_2(rules: &str) -> String {
    let spelling = Regex::new(r"(%\{[^}]*\})%([^{])").expect("it is an expression");
    spelling.replace_all(rules, "$1$2").into_owned()
}

/// `FILE:LINE` of the rule with this id.
fn place(case: &Case, rule: u32) -> String {
    let has_id = |line: &str| {
        line.match_indices("id:").any(|(at, _)| {
            let digits = line[at + 3..].trim_start_matches('\'');
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits[..end].parse() == Ok(rule)
        })
    };
    let line = case.rules.lines().position(has_id).map_or(0, |index| index + 1);
    format!("{}.json:{line}", case.file)
}

fn exchange(case: &Case, engine: &Arc<Engine>) -> (u16, String, Traced, String) {
    let ip = |text: &str| text.parse::<IpAddr>().ok();
    let facts = ConnectionFacts {
        client_ip: ip(&case.client.ip).unwrap_or(IpAddr::from([127, 0, 0, 1])),
        client_port: case.client.port,
        server_ip: ip(&case.server.ip),
        server_port: case.server.port,
        sni: None,
        identity: None,
        unix_ms: UNIX_MS,
        unique_id: "143681776115.123456",
    };
    let mut transaction = engine.begin(&facts);
    transaction.trace();
    let request = fields(&case.fields);
    let host = case.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = host.map_or("", |(_, value)| value.split(':').next().unwrap_or_default());
    let head = RequestHead {
        method: &case.method,
        target: case.uri.as_bytes(),
        protocol: &case.protocol,
        scheme: "http",
        host,
        port: case.server.port,
        fields: &request,
    };
    let response = fields(&case.response_fields);
    let answer = ResponseHead { status: 200, protocol: &case.response_protocol, fields: &response };
    let mut more = String::new();
    let decision = (|| {
        go_on(transaction.request_headers(&head))?;
        let wanted = transaction.wants_request_body();
        go_on(transaction.request_body(&body(&case.body, wanted, limit(case, "SecRequestBodyLimit"))))?;
        go_on(transaction.response_headers(&answer))?;
        let wanted = transaction.wants_response_body();
        if !wanted && case.rules.contains("SecResponseBodyAccess On") {
            more = logs::not_inspected(&case.response_fields);
        }
        let limit = limit(case, "SecResponseBodyLimit");
        go_on(transaction.response_body(&body(&case.response_body, wanted, limit)))
    })();
    let traced = transaction.finish_traced();
    let (status, location) = match decision {
        Ok(()) => (200, String::new()),
        Err(Disruption::Deny { status }) => (status, String::new()),
        Err(Disruption::Redirect { status, location }) => (status, location),
        // Theirs denies where ours closes the connection.
        Err(Disruption::Drop) => (403, String::new()),
    };
    (status, location, traced, more)
}

fn go_on(decision: Decision) -> Result<(), Disruption> {
    match decision {
        Decision::Continue => Ok(()),
        Decision::Interrupt(interruption) => Err(interruption.action),
        Decision::OutOfTime(_) => unreachable!("no time was set"),
    }
}

fn fields(fields: &[(String, String)]) -> Vec<Field<'_>> {
    fields.iter().map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() }).collect()
}

/// A body as the proxy hands it on: no more than its configuration says.
fn body(text: &str, wanted: bool, limit: Option<usize>) -> Body<'_> {
    let bytes = if wanted { text.as_bytes() } else { b"" };
    match limit.filter(|limit| *limit < bytes.len()) {
        Some(limit) => Body { bytes: &bytes[..limit], extent: Extent::Partial, coding_error: None },
        None => Body { bytes, extent: Extent::Whole, coding_error: None },
    }
}

/// A limit of the case, which is configuration here.
fn limit(case: &Case, directive: &str) -> Option<usize> {
    let mut words = case.rules.lines().map(str::split_whitespace);
    words.find_map(|mut words| {
        words.next().filter(|word| word.eq_ignore_ascii_case(directive))?;
        words.next()?.parse().ok()
    })
}

/// Searches a pattern as ModSecurity's runner does: `.` takes line ends, `^` and `$` are lines'.
fn find(what: &str, pattern: &str, log: &str) -> Result<(), String> {
    let regex = RegexBuilder::new(pattern)
        .dot_matches_new_line(true)
        .multi_line(true)
        .unicode(false)
        .build()
        .map_err(|error| format!("the case's pattern {pattern:?} does not parse: {error}"))?;
    if regex.is_match(log.as_bytes()) {
        return Ok(());
    }
    Err(format!("the {what} has no {pattern:?}"))
}

/// The files of ModSecurity's tests, found from the folder in which its runner runs.
struct Disk {
    folder: PathBuf,
}

impl Disk {
    fn candidates(&self, from: &str, path: &str) -> [PathBuf; 2] {
        let beside = Path::new(from).parent().unwrap_or(Path::new(""));
        [self.folder.join(path), self.folder.join(beside).join(path)]
    }
}

impl Files for Disk {
    fn include(&mut self, from: &str, pattern: &str) -> Result<Vec<Input>, String> {
        let mut found = BTreeMap::new();
        for path in self.candidates(from, pattern) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (before, after) = name.split_once('*').unwrap_or((&name, ""));
            let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
            for entry in entries.into_iter().flatten().flatten() {
                let file = entry.file_name().to_string_lossy().into_owned();
                let matches = if name.contains('*') {
                    file.len() >= before.len() + after.len()
                        && file.starts_with(before)
                        && file.ends_with(after)
                } else {
                    file == name
                };
                if matches {
                    found.insert(file, entry.path());
                }
            }
        }
        if found.is_empty() {
            return Err("there is no such file".into());
        }
        let read = |path: PathBuf| {
            let text = std::fs::read(&path).map_err(|error| error.to_string())?;
            let name = path.strip_prefix(&self.folder).unwrap_or(&path).display().to_string();
            Ok(Input { name, text: String::from_utf8_lossy(&text).into_owned() })
        };
        found.into_values().map(read).collect()
    }

    fn data(&mut self, from: &str, path: &str) -> Result<Vec<u8>, String> {
        let found = self.candidates(from, path).into_iter().find(|path| path.is_file());
        let found = found.ok_or("there is no such file")?;
        std::fs::read(found).map_err(|error| error.to_string())
    }
}
