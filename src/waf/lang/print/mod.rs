//! The rule tree as JSON text that a person reads and edits. Reading the text gives the same tree;
//! comments on what was decided elsewhere (places, `$schema`) are not part of it.
//!
//! Three things the language has no words for, and what happens to them:
//! - A text to set that looks like counting, `Assignment::Text("+5")`, reads back as counting.
//!   [`expressible`] tells beforehand; no rule language that we read makes such a text.
//! - One action that sets the same variable twice becomes two actions, one after the other.
//! - An action that sets, expires or opens nothing is left out.

mod layout;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde::Serialize;

use super::ast::*;
use super::error::At;
use super::json::counted;
use crate::waf::decode::{Decode, Encoding, Encodings};
use crate::waf::variable::kind::Kind;
use crate::waf::variable::target::{Role, Target};
use layout::Doc;

/// A rule set file.
pub fn rule_set(set: &RuleSet) -> String {
    let mut entries = Vec::with_capacity(set.rules.len() + set.markers.len());
    let mut markers = set.markers.iter().peekable();
    for (at, rule) in set.rules.iter().enumerate() {
        while let Some(marker) = markers.next_if(|marker| marker.before <= at) {
            entries.push(marker_entry(marker));
        }
        entries.push(rule_entry(rule));
    }
    entries.extend(markers.map(marker_entry));
    Doc::object(false)
        .with("name", Doc::text(&set.name))
        .with("version", Doc::text(&set.version))
        .maybe("description", set.description.as_deref().map(Doc::text))
        .maybe("mode", set.mode.map(set_mode))
        .with("rules", Doc::list(false, entries))
        .file()
}

/// rules/setup.json.
pub fn setup(setup: &Setup) -> String {
    let bodies = setup.request_bodies.map(|bodies| match bodies {
        RequestBodies::ByContentType => Doc::text("by_content_type"),
        RequestBodies::AsModsecurity => Doc::text("as_modsecurity"),
    });
    let inner = Doc::object(true)
        .maybe("paranoia_level", setup.paranoia_level.map(Doc::number))
        .maybe("inbound_threshold", setup.inbound_threshold.map(Doc::number))
        .maybe("outbound_threshold", setup.outbound_threshold.map(Doc::number))
        .maybe("mode", setup.mode.map(word))
        .maybe("request_body_access", setup.request_body_access.map(Doc::boolean))
        .maybe("response_body_access", setup.response_body_access.map(Doc::boolean))
        .maybe("response_body_types", setup.response_body_types.as_ref().map(|types| Doc::texts(types)))
        .maybe("arguments_limit", setup.arguments_limit.map(Doc::number))
        .maybe("request_bodies", bodies)
        .maybe("sets", named(&setup.sets, |mode| word(*mode)))
        .maybe("exclusion_packs", named(&setup.exclusion_packs, |hosts| hosts_of(hosts)));
    Doc::object(false).with("setup", inner).file()
}

/// An object by names; none when there is nothing in it.
fn named<T>(entries: &[(At<String>, T)], value: impl Fn(&T) -> Doc) -> Option<Doc> {
    let object = |object: Doc, (name, of): &(At<String>, T)| object.with(&name.value, value(of));
    (!entries.is_empty()).then(|| entries.iter().fold(Doc::object(true), object))
}

fn hosts_of(hosts: &[At<String>]) -> Doc {
    Doc::list(true, hosts.iter().map(|at| Doc::text(&at.value)).collect())
}

/// An exclusion file.
pub fn exclusion_set(set: &ExclusionSet) -> String {
    let entries = set.exclusions.iter().map(exclusion).collect();
    Doc::object(false)
        .with("name", Doc::text(&set.name))
        .with("version", Doc::text(&set.version))
        .maybe("description", set.description.as_deref().map(Doc::text))
        .maybe("enabled", set.enabled.map(Doc::boolean))
        .with("exclusions", Doc::list(false, entries))
        .file()
}

/// One rule, as it stands in a set.
pub fn rule(rule: &Rule) -> String {
    rule_entry(rule).file()
}

/// False for what would be read as something else: a text with a sign and a number, which means
/// counting, and a count that is neither a number nor a macro.
pub fn expressible(assignment: &Assignment) -> bool {
    match assignment {
        Assignment::Delete => true,
        Assignment::Text(text) => counted(text).is_none() || number_text(text).is_some(),
        Assignment::Add(number) => counted(&format!("+{number}")).is_some(),
        Assignment::Subtract(number) => counted(&format!("-{number}")).is_some(),
    }
}

fn marker_entry(marker: &Marker) -> Doc {
    Doc::object(true).with("marker", Doc::text(&marker.name.value))
}

fn rule_entry(rule: &Rule) -> Doc {
    let then = rule.then.iter().flat_map(|at| action(&at.value)).collect();
    Doc::object(false)
        .with("id", Doc::number(rule.id.value))
        .with("phase", word(rule.phase.value))
        .maybe("message", (!rule.message.is_empty()).then(|| Doc::text(&rule.message)))
        .maybe("log_data", rule.log_data.as_deref().map(Doc::text))
        .maybe("description", rule.description.as_deref().map(Doc::text))
        .maybe("severity", rule.severity.map(|severity| Doc::text(severity.name())))
        .maybe("paranoia_level", rule.paranoia_level.map(Doc::number))
        .maybe("tags", rule.tags.as_ref().map(|tags| Doc::texts(tags)))
        .maybe("version", rule.version.as_deref().map(Doc::text))
        .maybe("revision", rule.revision.as_deref().map(Doc::text))
        .maybe("maturity", rule.maturity.map(Doc::number))
        .maybe("accuracy", rule.accuracy.map(Doc::number))
        .maybe("mode", rule.mode.map(shadow_mode))
        .maybe("when", rule.when.as_ref().map(condition))
        .with("then", Doc::list(true, then))
        .maybe("examples", rule.examples.as_ref().map(examples))
}

fn set_mode(mode: SetMode) -> Doc {
    match mode {
        SetMode::Detect => Doc::text("detect"),
        SetMode::Off => Doc::text("off"),
    }
}

fn shadow_mode(mode: ShadowMode) -> Doc {
    match mode {
        ShadowMode::Detect => Doc::text("detect"),
    }
}

/// A word of an enumeration, as serde spells it.
fn word(value: impl Serialize) -> Doc {
    Doc::value(&serde_json::to_value(value).unwrap_or_default())
}

fn condition(condition: &Condition) -> Doc {
    let conditions = |inner: &[Condition]| Doc::list(false, inner.iter().map(self::condition).collect());
    match condition {
        Condition::Leaf(leaf) => self::leaf(leaf),
        Condition::All(All { all }) => Doc::object(false).with("all", conditions(all)),
        Condition::Any(Any { any }) => Doc::object(false).with("any", conditions(any)),
        Condition::Not(Not { not }) => Doc::object(false).with("not", self::condition(not)),
    }
}

fn leaf(leaf: &Leaf) -> Doc {
    let variables = leaf.variables.iter().map(|at| target(&at.value)).collect();
    let steps =
        |steps: &Vec<At<Named>>| Doc::list(true, steps.iter().map(|at| Doc::text(at.value.0.name)).collect());
    let operator =
        Doc::object(true).with(&leaf.operator.name.value, Doc::value(&leaf.operator.argument.value));
    let kinds =
        |kinds: &Vec<At<Kind>>| Doc::list(true, kinds.iter().map(|at| Doc::text(at.value.name())).collect());
    let on_match = |actions: &Vec<At<Action>>| {
        Doc::list(true, actions.iter().flat_map(|at| action(&at.value)).collect())
    };
    // What is applied and done has its own lines; a plain comparison may be one.
    Doc::object(leaf.transformations.is_none() && leaf.on_match.is_none())
        .with("variables", Doc::list(true, variables))
        .maybe("decode", leaf.decode.map(decode))
        .maybe("skip_types", leaf.skip_types.as_ref().map(kinds))
        .maybe("transformations", leaf.transformations.as_ref().map(steps))
        .with("operator", operator)
        .maybe("negate", leaf.negate.map(Doc::boolean))
        .maybe("capture", leaf.capture.map(Doc::boolean))
        .maybe("multi_match", leaf.multi_match.map(Doc::boolean))
        .maybe("on_match", leaf.on_match.as_ref().map(on_match))
}

fn decode(decode: Decode) -> Doc {
    if decode.encodings == Encodings::ALL {
        return Doc::number(decode.depth);
    }
    let encodings = Encoding::ALL.into_iter().filter(|encoding| decode.encodings.contains(*encoding));
    let names = encodings.map(|encoding| Doc::text(encoding.name())).collect();
    Doc::object(true).with("depth", Doc::number(decode.depth)).with("as", Doc::list(true, names))
}

fn target(target: &Target) -> Doc {
    let sign = match target.role {
        Role::Include => "",
        Role::Exclude => "!",
        Role::Count => "&",
    };
    Doc::text(&format!("{sign}{}", target.text))
}

/// Mostly one action; several or none where the file says about module says so.
fn action(action: &Action) -> Vec<Doc> {
    vec![match action {
        Action::Score(None) => Doc::text("score"),
        Action::Score(Some(points)) => call("score", Doc::number(*points)),
        Action::Block => Doc::text("block"),
        Action::Deny { status } => call("deny", Doc::object(true).with("status", Doc::number(*status))),
        Action::Redirect { status, location } => call(
            "redirect",
            Doc::object(true)
                .maybe("status", (*status != 302).then(|| Doc::number(*status)))
                .with("location", Doc::text(location)),
        ),
        Action::Drop => Doc::text("drop"),
        Action::Allow(AllowScope::Exchange) => Doc::text("allow"),
        Action::Allow(AllowScope::Phase) => call("allow", Doc::text("phase")),
        Action::Allow(AllowScope::Request) => call("allow", Doc::text("request")),
        Action::Log => Doc::text("log"),
        Action::NoLog => Doc::text("no_log"),
        Action::Set(all) => {
            return calls("set", all.iter().map(|(name, to)| (set_name(name), assignment(to))));
        }
        Action::Expire(all) => {
            return calls("expire", all.iter().map(|(name, seconds)| (set_name(name), count(seconds))));
        }
        Action::InitCollection(all) => {
            let entries = all.iter().map(|(kind, key)| (kind.name().to_owned(), Doc::text(key)));
            return calls("init_collection", entries);
        }
        Action::RateLimit(limit) => call("rate_limit", rate_limit(limit)),
        Action::StripRequestHeader(name) => call("strip_request_header", Doc::text(name)),
        Action::StripResponseHeader(name) => call("strip_response_header", Doc::text(name)),
        Action::Exclude(exclude) => call("exclude", self::exclude(exclude)),
        Action::Engine(EngineMode::Block) => call("engine", Doc::text("block")),
        Action::Engine(EngineMode::Detect) => call("engine", Doc::text("detect")),
        Action::Engine(EngineMode::Off) => call("engine", Doc::text("off")),
        Action::BodyProcessor(BodyProcessor::Urlencoded) => call("body_processor", Doc::text("urlencoded")),
        Action::BodyProcessor(BodyProcessor::Multipart) => call("body_processor", Doc::text("multipart")),
        Action::BodyProcessor(BodyProcessor::Json) => call("body_processor", Doc::text("json")),
        Action::BodyProcessor(BodyProcessor::Xml) => call("body_processor", Doc::text("xml")),
        Action::ForceRequestBodyVariable => Doc::text("force_request_body_variable"),
        Action::RequestBodyAccess(on) => call("request_body_access", Doc::boolean(*on)),
        Action::ResponseBodyAccess(on) => call("response_body_access", Doc::boolean(*on)),
        Action::Skip(rules) => call("skip", Doc::number(*rules)),
        Action::SkipAfter(marker) => call("skip_after", Doc::text(marker)),
    }]
}

fn call(name: &str, argument: Doc) -> Doc {
    Doc::object(true).with(name, argument)
}

/// One call, or where a key stands twice as many as it takes: an object has each key once.
fn calls(name: &str, entries: impl Iterator<Item = (String, Doc)>) -> Vec<Doc> {
    let (mut calls, mut current, mut seen) = (Vec::new(), Doc::object(true), HashSet::new());
    for (key, value) in entries {
        if !seen.insert(key.clone()) {
            calls.push(call(name, std::mem::replace(&mut current, Doc::object(true))));
            seen = HashSet::from([key.clone()]);
        }
        current = current.with(&key, value);
    }
    if !seen.is_empty() {
        calls.push(call(name, current));
    }
    calls
}

fn set_name(name: &SetName) -> String {
    format!("{}.{}", name.persistent.map_or("tx", Persistent::name), name.name)
}

fn assignment(to: &Assignment) -> Doc {
    match to {
        Assignment::Text(text) => count(text),
        Assignment::Add(number) => Doc::text(&format!("+{number}")),
        Assignment::Subtract(number) => Doc::text(&format!("-{number}")),
        Assignment::Delete => Doc::null(),
    }
}

/// A text; without quotes when it is a number that is written as numbers are.
fn count(text: &str) -> Doc {
    number_text(text).map_or_else(|| Doc::text(text), Doc::number)
}

fn number_text(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

fn rate_limit(limit: &RateLimit) -> Doc {
    Doc::object(true)
        .with("key", Doc::text(&limit.key))
        .with("requests", Doc::number(limit.requests))
        .with("seconds", Doc::number(limit.seconds))
        .maybe("status", (limit.status != 429).then(|| Doc::number(limit.status)))
}

fn exclude(exclude: &ExcludeAction) -> Doc {
    let some = |items: Vec<Doc>| (!items.is_empty()).then(|| Doc::list(true, items));
    Doc::object(true)
        .maybe("rules", some(exclude.rules.iter().map(|at| id_range(at.value)).collect()))
        .maybe("tags", some(exclude.tags.iter().map(|at| Doc::text(&at.value)).collect()))
        .maybe("variables", some(exclude.variables.iter().map(target).collect()))
}

fn id_range(range: IdRange) -> Doc {
    if range.first == range.last { Doc::number(range.first) } else { Doc::text(&range.to_string()) }
}

fn examples(examples: &Examples) -> Doc {
    let some = |list: &[At<Example>]| {
        (!list.is_empty())
            .then(|| Doc::list(list.len() == 1, list.iter().map(|at| example(&at.value)).collect()))
    };
    Doc::object(examples.matching.is_empty() && examples.no_match.is_empty())
        .maybe("match", some(&examples.matching))
        .maybe("no_match", some(&examples.no_match))
}

fn example(example: &Example) -> Doc {
    match (&example.request, &example.response) {
        (Some(request), None) => Doc::text(request),
        (request, response) => Doc::object(true)
            .maybe("request", request.as_deref().map(Doc::text))
            .maybe("response", response.as_deref().map(Doc::text)),
    }
}

fn exclusion(exclusion: &Exclusion) -> Doc {
    let ids = |ids: &Vec<At<IdRange>>| Doc::list(true, ids.iter().map(|at| id_range(at.value)).collect());
    let tags = |tags: &Vec<At<String>>| Doc::list(true, tags.iter().map(|at| Doc::text(&at.value)).collect());
    let targets = |all: &Vec<At<Target>>| Doc::list(true, all.iter().map(|at| target(&at.value)).collect());
    Doc::object(false)
        .maybe("rules", exclusion.rules.as_ref().map(ids))
        .maybe("tags", exclusion.tags.as_ref().map(tags))
        .maybe("variables", exclusion.variables.as_ref().map(targets))
        .maybe("hosts", exclusion.hosts.as_ref().map(|hosts| Doc::texts(hosts)))
        .maybe("paths", exclusion.paths.as_ref().map(|paths| Doc::texts(paths)))
        .with("reason", Doc::text(&exclusion.reason))
        .maybe("expires", exclusion.expires.and_then(day))
}

/// The day whose end it is.
fn day(day: Day) -> Option<Doc> {
    let end = i64::try_from(day.end_unix_ms / 1000).ok()?;
    let date = time::OffsetDateTime::from_unix_timestamp(end).ok()?.date().previous_day()?;
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    Some(Doc::text(&format!("{year:04}-{month:02}-{day:02}")))
}
