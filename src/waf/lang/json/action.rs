//! Actions.

use super::super::ast::{Action, Assignment, ExcludeAction};
use super::super::error::{At, Problems, shown};
use super::super::node::{Kind, Node};
use super::{Fields, id_range, integer, list, non_empty, target, text};
use crate::waf::template::{self, Template};

const WORDS: &[&str] = &["score", "block", "drop", "allow", "log", "no_log"];
const CALLS: &[&str] =
    &["score", "deny", "redirect", "set", "strip_request_header", "strip_response_header", "exclude"];

pub(super) fn action(node: &Node, problems: &mut Problems) -> Option<At<Action>> {
    let action = match &node.kind {
        Kind::Text(word) => match word.as_str() {
            "score" => Action::Score(None),
            "block" => Action::Block,
            "drop" => Action::Drop,
            "allow" => Action::Allow,
            "log" => Action::Log,
            "no_log" => Action::NoLog,
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
            Action::Deny { status: status(fields.integer("status", 400, 599, problems)?) }
        }
        "redirect" => redirect(argument, problems)?,
        "set" => set(argument, problems)?,
        "strip_request_header" => Action::StripRequestHeader(field_name(argument, problems)?),
        "strip_response_header" => Action::StripResponseHeader(field_name(argument, problems)?),
        "exclude" => exclude(argument, problems)?,
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

fn set(node: &Node, problems: &mut Problems) -> Option<Action> {
    let Kind::Object(entries) = &node.kind else {
        problems.add(node.place, format!("`set` is an object, not {}", node.kind_name()));
        return None;
    };
    if entries.is_empty() {
        problems.add(node.place, "`set` of nothing");
        return None;
    }
    let mut assignments = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let Some(name) = key.value.strip_prefix("tx.").filter(|name| !name.is_empty()) else {
            problems.add_with_help(
                key.place,
                format!("`{}` cannot be set", shown(&key.value)),
                Some("only `tx.NAME` can".to_owned()),
            );
            return None;
        };
        let assignment = match &value.kind {
            Kind::Number(number) if number.as_i64().is_some() => Assignment::Text(number.to_string()),
            Kind::Text(text) => match text.strip_prefix(['+', '-']).map(str::parse::<u32>) {
                Some(Ok(n)) if text.starts_with('-') => Assignment::Add(-i64::from(n)),
                Some(Ok(n)) => Assignment::Add(i64::from(n)),
                _ => Assignment::Text(text.clone()),
            },
            _ => {
                problems.add(
                    value.place,
                    format!("a value to set is a string or a whole number, not {}", value.kind_name()),
                );
                return None;
            }
        };
        if let Assignment::Text(text) = &assignment {
            check_template(text, value, problems)?;
        }
        assignments.push((name.to_ascii_lowercase(), assignment));
    }
    Some(Action::Set(assignments))
}

/// A text's macros must name variables.
fn check_template(text: &str, node: &Node, problems: &mut Problems) -> Option<()> {
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
