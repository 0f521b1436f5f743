//! One rule.

use super::super::ast::{Action, Example, Examples, Rule, Severity};
use super::super::error::{At, Problems};
use super::super::node::{Kind, Node};
use super::{Fields, action, condition, integer, list, text, word};
use crate::waf::report::PhaseName;

const KEYS: &[&str] = &[
    "id",
    "phase",
    "message",
    "log_data",
    "description",
    "severity",
    "paranoia_level",
    "tags",
    "version",
    "revision",
    "maturity",
    "accuracy",
    "mode",
    "when",
    "then",
    "examples",
];
const PHASES: &[&str] = &[
    "request_headers",
    "request_body",
    "response_headers",
    "response_body",
    "websocket_message",
    "event",
    "logging",
];
const SEVERITIES: &[&str] =
    &["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

pub(super) fn rule(node: &Node, problems: &mut Problems) -> Option<Rule> {
    let fields = Fields::of(node, "a rule", KEYS, problems)?;
    let id = fields
        .required("id", problems)
        .and_then(|node| Some(At::new(node.place, integer(node, "`id`", 1, i64::from(u32::MAX), problems)?)));
    let phase = fields
        .required("phase", problems)
        .and_then(|node| word::<PhaseName>(node, "phase", PHASES, problems));
    let message = fields.template("message", problems).unwrap_or_default();
    let log_data = fields.template("log_data", problems);
    let description = fields.optional_text("description", problems);
    let severity =
        fields.get("severity").and_then(|node| word::<Severity>(node, "severity", SEVERITIES, problems));
    let paranoia_level = fields.paranoia_level(problems);
    let tags = fields.texts("tags", problems).map(|tags| tags.into_iter().map(|at| at.value).collect());
    let version = fields.optional_text("version", problems);
    let revision = fields.optional_text("revision", problems);
    let mut grade =
        |key: &str| fields.integer(key, 0, 10, problems).and_then(|grade| u8::try_from(grade).ok());
    let (maturity, accuracy) = (grade("maturity"), grade("accuracy"));
    let mode = fields.mode(problems);
    let when = fields.get("when").map(|node| condition::condition(node, problems, 0));
    let then = fields.required("then", problems).and_then(|node| list(node, "`then`", problems));
    let then: Option<Vec<At<Action>>> =
        then.map(|nodes| nodes.iter().filter_map(|node| action::action(node, problems)).collect());
    let examples = fields.get("examples").and_then(|node| examples(node, problems));

    let (id, phase, then) = (id?, phase?, then?);
    let rule = Rule {
        place: node.place,
        id: At::new(id.place, u32::try_from(id.value).ok()?),
        phase,
        message,
        log_data,
        description,
        severity: severity.map(|at| at.value),
        paranoia_level,
        tags,
        version,
        revision,
        maturity,
        accuracy,
        mode,
        // A condition that could not be read must not turn into "always".
        when: match when {
            None => None,
            Some(read) => Some(read?),
        },
        then,
        examples,
    };
    if rule.message.is_empty() && !rule.then.iter().any(|at| at.value == Action::NoLog) {
        problems.add(node.place, "a rule needs the key `message`, unless it has \"no_log\"");
    }
    check(&rule, problems);
    Some(rule)
}

/// What one rule alone can get wrong beyond the form.
fn check(rule: &Rule, problems: &mut Problems) {
    let phase = rule.phase.value;
    for at in &rule.then {
        match &at.value {
            Action::Score(None) if rule.severity.is_none() => {
                problems.add_with_help(
                    at.place,
                    "`score` counts by severity, and the rule has none",
                    Some("add `severity`, or write {\"score\": n}".to_owned()),
                );
            }
            Action::Score(_)
            | Action::Block
            | Action::Deny { .. }
            | Action::Redirect { .. }
            | Action::Drop
            | Action::RateLimit(_)
            | Action::Allow(_)
                if phase == PhaseName::Logging =>
            {
                problems.add(at.place, "nothing can be stopped or scored in the phase `logging`");
            }
            Action::StripRequestHeader(_) if phase > PhaseName::RequestBody => {
                problems.add(
                    at.place,
                    "the request is gone by then; `strip_request_header` works in request phases",
                );
            }
            Action::StripResponseHeader(_) if phase > PhaseName::ResponseHeaders => {
                problems.add(at.place, "the response head is gone by then; use an earlier phase");
            }
            Action::BodyProcessor(_) | Action::RequestBodyAccess(_) | Action::ForceRequestBodyVariable
                if phase != PhaseName::RequestHeaders =>
            {
                problems
                    .add(at.place, "the body has been read by then; only `request_headers` is early enough");
            }
            Action::ResponseBodyAccess(_) if phase > PhaseName::ResponseHeaders => {
                problems.add(at.place, "the response body has been read by then; use an earlier phase");
            }
            _ => {}
        }
    }
    if let Some(when) = &rule.when {
        condition::check_phase(when, phase, problems);
    }
}

fn examples(node: &Node, problems: &mut Problems) -> Option<Examples> {
    let fields = Fields::of(node, "`examples`", &["match", "no_match"], problems)?;
    let mut read = |key: &str| -> Vec<At<Example>> {
        let nodes = fields.list(key, problems).unwrap_or_default();
        nodes.iter().filter_map(|node| example(node, problems)).collect()
    };
    Some(Examples { matching: read("match"), no_match: read("no_match") })
}

fn example(node: &Node, problems: &mut Problems) -> Option<At<Example>> {
    let example = match &node.kind {
        Kind::Object(_) => {
            let fields = Fields::of(node, "an example", &["request", "response"], problems)?;
            let response = fields.required("response", problems)?;
            Example {
                request: fields.optional_text("request", problems),
                response: Some(text(response, "`response`", problems)?.value),
            }
        }
        _ => Example { request: Some(text(node, "an example", problems)?.value), response: None },
    };
    if let Err(error) = crate::waf::example::Exchange::parse(&example) {
        problems.add(node.place, error.to_string());
        return None;
    }
    Some(At::new(node.place, example))
}
