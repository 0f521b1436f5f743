//! Actions.

use super::super::ast::{
    Action, AllowScope, Assignment, BodyProcessor, EngineMode, ExcludeAction, Persistent, RateLimit, SetName,
};
use super::super::error::{At, Problems, shown};
use super::super::node::{Kind, Node};
use super::{Fields, id_range, integer, list, non_empty, target, text};
use crate::waf::template::{self, Template};

const WORDS: &[&str] = &["score", "block", "drop", "allow", "log", "no_log", "force_request_body_variable"];
const CALLS: &[&str] = &[
    "score",
    "deny",
    "redirect",
    "allow",
    "set",
    "expire",
    "init_collection",
    "rate_limit",
    "strip_request_header",
    "strip_response_header",
    "exclude",
    "engine",
    "body_processor",
    "request_body_access",
    "response_body_access",
    "skip",
    "skip_after",
];
/// A rate limit counts over a day at most.
const DAY: i64 = 86_400;

pub(super) fn action(node: &Node, problems: &mut Problems) -> Option<At<Action>> {
    let action = match &node.kind {
        Kind::Text(word) => match word.as_str() {
            "score" => Action::Score(None),
            "block" => Action::Block,
            "drop" => Action::Drop,
            "allow" => Action::Allow(AllowScope::Exchange),
            "log" => Action::Log,
            "no_log" => Action::NoLog,
            "force_request_body_variable" => Action::ForceRequestBodyVariable,
            known if CALLS.contains(&known) => {
                let help = Some(format!("write {{\"{known}\": ...}}"));
                problems.add_with_help(node.place, format!("the action `{known}` needs its argument"), help);
                return None;
            }
            _ => {
                problems.unknown(node.place, "action", word, WORDS.iter().chain(CALLS).copied());
                return None;
            }
        },
        Kind::Object(entries) => {
            let [(name, argument)] = &entries[..] else {
                problems.add(node.place, format!("an action has one name, not {}", entries.len()));
                return None;
            };
            call(name, argument, problems)?
        }
        _ => {
            problems.add(node.place, format!("an action is a string or an object, not {}", node.kind_name()));
            return None;
        }
    };
    Some(At::new(node.place, action))
}

fn call(name: &At<String>, argument: &Node, problems: &mut Problems) -> Option<Action> {
    Some(match name.value.as_str() {
        "score" => Action::Score(Some(integer(argument, "`score`", 0, 1000, problems)?)),
        "deny" => {
            let fields = Fields::of(argument, "`deny`", &["status"], problems)?;
            fields.required("status", problems)?;
            Action::Deny { status: status(fields.integer("status", 300, 599, problems)?) }
        }
        "redirect" => redirect(argument, problems)?,
        "allow" => Action::Allow(one_of(argument, "`allow`", &SCOPES, problems)?),
        "set" => set(argument, problems)?,
        "expire" => expire(argument, problems)?,
        "init_collection" => init_collection(argument, problems)?,
        "rate_limit" => rate_limit(argument, problems)?,
        "strip_request_header" => Action::StripRequestHeader(field_name(argument, problems)?),
        "strip_response_header" => Action::StripResponseHeader(field_name(argument, problems)?),
        "exclude" => exclude(argument, problems)?,
        "engine" => Action::Engine(one_of(argument, "`engine`", &MODES, problems)?),
        "body_processor" => {
            Action::BodyProcessor(one_of(argument, "`body_processor`", &PROCESSORS, problems)?)
        }
        "request_body_access" => Action::RequestBodyAccess(boolean(argument, problems)?),
        "response_body_access" => Action::ResponseBodyAccess(boolean(argument, problems)?),
        "skip" => Action::Skip(u32::try_from(integer(argument, "`skip`", 1, 10_000, problems)?).ok()?),
        "skip_after" => Action::SkipAfter(non_empty(argument, "`skip_after`", problems)?.value),
        word if WORDS.contains(&word) => {
            let help = Some(format!("write \"{word}\""));
            problems.add_with_help(name.place, format!("the action `{word}` takes no argument"), help);
            return None;
        }
        word => {
            problems.unknown(name.place, "action", word, CALLS.iter().chain(WORDS).copied());
            return None;
        }
    })
}

const SCOPES: [(&str, AllowScope); 3] =
    [("exchange", AllowScope::Exchange), ("phase", AllowScope::Phase), ("request", AllowScope::Request)];
const MODES: [(&str, EngineMode); 3] =
    [("block", EngineMode::Block), ("detect", EngineMode::Detect), ("off", EngineMode::Off)];
const PROCESSORS: [(&str, BodyProcessor); 4] = [
    ("urlencoded", BodyProcessor::Urlencoded),
    ("multipart", BodyProcessor::Multipart),
    ("json", BodyProcessor::Json),
    ("xml", BodyProcessor::Xml),
];

/// One of a few words.
fn one_of<T: Copy>(node: &Node, what: &str, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
    let word = text(node, what, problems)?;
    let found = words.iter().find(|(known, _)| *known == word.value);
    if found.is_none() {
        problems.unknown(word.place, "word", &word.value, words.iter().map(|(known, _)| *known));
    }
    found.map(|(_, value)| *value)
}

fn boolean(node: &Node, problems: &mut Problems) -> Option<bool> {
    match node.kind {
        Kind::Bool(value) => Some(value),
        _ => {
            problems.add(node.place, format!("true or false, not {}", node.kind_name()));
            None
        }
    }
}

fn redirect(node: &Node, problems: &mut Problems) -> Option<Action> {
    let fields = Fields::of(node, "`redirect`", &["status", "location"], problems)?;
    let location = fields.text("location", problems);
    if let (Some(location), Some(node)) = (&location, fields.get("location")) {
        check_template(location, node, problems)?;
    }
    let mut code = 302;
    if let Some(node) = fields.get("status") {
        code = integer(node, "`status`", 300, 399, problems)?;
        // RFC 9110 section 15.4: the codes that send a client to Location.
        if ![301, 302, 303, 307, 308].contains(&code) {
            problems.add(node.place, format!("{code} does not redirect; use 301, 302, 303, 307 or 308"));
            return None;
        }
    }
    Some(Action::Redirect { status: status(code), location: location? })
}

fn status(code: i64) -> u16 {
    // Both callers have checked the range.
    u16::try_from(code).unwrap_or(403)
}

/// The entries of an object that is not empty.
fn entries<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n [(At<String>, Node)]> {
    match &node.kind {
        Kind::Object(entries) if !entries.is_empty() => Some(entries),
        Kind::Object(_) => {
            problems.add(node.place, format!("{what} of nothing"));
            None
        }
        _ => {
            problems.add(node.place, format!("{what} is an object, not {}", node.kind_name()));
            None
        }
    }
}

fn set(node: &Node, problems: &mut Problems) -> Option<Action> {
    let entries = entries(node, "`set`", problems)?;
    let mut assignments = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let name = set_name(key, problems)?;
        let assignment = match &value.kind {
            Kind::Null => Assignment::Delete,
            Kind::Number(number) if number.as_i64().is_some() => Assignment::Text(number.to_string()),
            Kind::Text(text) => match counted(text) {
                Some((b'-', number)) => Assignment::Subtract(number.to_owned()),
                Some((_, number)) => Assignment::Add(number.to_owned()),
                None => Assignment::Text(text.clone()),
            },
            _ => {
                problems.add(
                    value.place,
                    format!("a value to set is a string, a whole number or null, not {}", value.kind_name()),
                );
                return None;
            }
        };
        if let Assignment::Text(text) | Assignment::Add(text) | Assignment::Subtract(text) = &assignment {
            check_template(text, value, problems)?;
        }
        assignments.push((name, assignment));
    }
    Some(Action::Set(assignments))
}

/// `+n` and `-n`, n being a number or a macro.
pub(in crate::waf::lang) fn counted(text: &str) -> Option<(u8, &str)> {
    let sign = *text.as_bytes().first().filter(|sign| matches!(sign, b'+' | b'-'))?;
    let number = &text[1..];
    (number.parse::<u32>().is_ok() || (number.starts_with("%{") && number.ends_with('}')))
        .then_some((sign, number))
}

/// `tx.NAME` or `COLLECTION.NAME`.
fn set_name(key: &At<String>, problems: &mut Problems) -> Option<SetName> {
    let (collection, name) = key.value.split_once('.').unwrap_or((&key.value, ""));
    let persistent = Persistent::ALL.into_iter().find(|persistent| persistent.name() == collection);
    if name.is_empty() || (persistent.is_none() && collection != "tx") {
        problems.add_with_help(
            key.place,
            format!("`{}` cannot be set", shown(&key.value)),
            Some(
                "`tx.NAME` can, and `ip.NAME`, `session.NAME`, `user.NAME`, `resource.NAME`, `global.NAME`"
                    .to_owned(),
            ),
        );
        return None;
    }
    if let Err(error) = Template::parse(name) {
        problems.unknown(key.place, "macro", &error.name, template::names());
        return None;
    }
    // Names compare without regard to case; so do macros' names.
    Some(SetName { persistent, name: name.to_ascii_lowercase() })
}

fn expire(node: &Node, problems: &mut Problems) -> Option<Action> {
    let mut all = Vec::new();
    for (key, value) in entries(node, "`expire`", problems)? {
        let name = set_name(key, problems)?;
        if name.persistent.is_none() {
            problems.add(key.place, "`tx` ends with the exchange; only persistent collections expire");
            return None;
        }
        let seconds = match &value.kind {
            Kind::Number(number) if number.as_u64().is_some() => number.to_string(),
            Kind::Text(text) => text.clone(),
            _ => {
                problems.add(value.place, format!("seconds are a number, not {}", value.kind_name()));
                return None;
            }
        };
        check_template(&seconds, value, problems)?;
        all.push((name, seconds));
    }
    Some(Action::Expire(all))
}

fn init_collection(node: &Node, problems: &mut Problems) -> Option<Action> {
    let mut all = Vec::new();
    for (key, value) in entries(node, "`init_collection`", problems)? {
        let Some(persistent) = Persistent::ALL.into_iter().find(|persistent| persistent.name() == key.value)
        else {
            problems.unknown(key.place, "collection", &key.value, Persistent::ALL.map(Persistent::name));
            return None;
        };
        let text = non_empty(value, "a collection's key", problems)?.value;
        check_template(&text, value, problems)?;
        all.push((persistent, text));
    }
    Some(Action::InitCollection(all))
}

fn rate_limit(node: &Node, problems: &mut Problems) -> Option<Action> {
    let fields = Fields::of(node, "`rate_limit`", &["key", "requests", "seconds", "status"], problems)?;
    let key = fields.required("key", problems)?;
    let key_text = non_empty(key, "`key`", problems)?.value;
    check_template(&key_text, key, problems)?;
    fields.required("requests", problems)?;
    fields.required("seconds", problems)?;
    let requests = fields.integer("requests", 1, i64::from(u32::MAX), problems)?;
    let seconds = fields.integer("seconds", 1, DAY, problems)?;
    // RFC 6585 section 4: Too Many Requests.
    let code =
        if fields.get("status").is_some() { fields.integer("status", 400, 599, problems)? } else { 429 };
    Some(Action::RateLimit(RateLimit {
        key: key_text,
        requests: u32::try_from(requests).ok()?,
        seconds: u32::try_from(seconds).ok()?,
        status: status(code),
    }))
}

/// A text's macros must name variables.
pub(super) fn check_template(text: &str, node: &Node, problems: &mut Problems) -> Option<()> {
    match Template::parse(text) {
        Ok(_) => Some(()),
        Err(error) => {
            problems.unknown(node.place, "macro", &error.name, template::names());
            None
        }
    }
}

/// A header field's name (RFC 9110 section 5.1: a token).
fn field_name(node: &Node, problems: &mut Problems) -> Option<String> {
    let name = text(node, "a header name", problems)?.value;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        problems.add(node.place, format!("`{}` is not a header name", shown(&name)));
        return None;
    }
    Some(name.to_ascii_lowercase())
}

fn exclude(node: &Node, problems: &mut Problems) -> Option<Action> {
    let fields = Fields::of(node, "`exclude`", &["rules", "tags", "variables"], problems)?;
    let rules = fields.list("rules", problems).unwrap_or_default();
    let rules: Vec<_> = rules.iter().filter_map(|node| id_range(node, problems)).collect();
    let tags = fields.texts("tags", problems).unwrap_or_default();
    let mut variables = Vec::new();
    if let Some(node) = fields.get("variables") {
        for node in list(node, "`variables`", problems)? {
            let at = non_empty(node, "a variable", problems)?;
            variables.push(plain_target(&at, problems)?);
        }
    }
    if rules.is_empty() && tags.is_empty() {
        problems.add(node.place, "`exclude` needs `rules` or `tags`");
        return None;
    }
    Some(Action::Exclude(ExcludeAction { rules, tags, variables }))
}

/// A target to take out: neither `!` nor `&`.
pub(super) fn plain_target(
    at: &At<String>,
    problems: &mut Problems,
) -> Option<crate::waf::variable::target::Target> {
    let target = target(at, problems)?;
    if target.role != crate::waf::variable::target::Role::Include {
        problems.add(at.place, "an exclusion names what is taken out without `!` or `&`");
        return None;
    }
    Some(target)
}
