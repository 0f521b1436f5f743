//! A rule in plain words, for `rules explain`: what it looks at, what it looks for, what it then
//! does. Nothing is left out; the JSON says the same.

use super::ast::{
    Action, AllowScope, Assignment, BodyProcessor, Condition, EngineMode, Leaf, Persistent, Rule, SetName,
};
use super::error::shown;
use crate::waf::decode::Encoding;
use crate::waf::report::PhaseName;
use crate::waf::variable::target::Role;

/// The rule as sentences, one a line.
pub fn rule(rule: &Rule) -> Vec<String> {
    let mut lines = vec![format!("It runs {}.", phase(rule.phase.value))];
    match &rule.when {
        None => lines.push("It always matches.".to_owned()),
        Some(condition) => {
            lines.push("It matches when".to_owned());
            self::condition(condition, 1, &mut lines);
        }
    }
    let then: Vec<String> = rule.then.iter().map(|at| action(&at.value, rule)).collect();
    lines.push(if then.is_empty() {
        "Then it is reported, and nothing else happens.".to_owned()
    } else {
        format!("Then it {}.", then.join(", "))
    });
    lines
}

fn phase(phase: PhaseName) -> &'static str {
    match phase {
        PhaseName::RequestHeaders => "when the request's head is there, before its body",
        PhaseName::RequestBody => "when the request is there whole, before it is sent on",
        PhaseName::ResponseHeaders => "when the response's head is there, before its body",
        PhaseName::ResponseBody => "when the response's body is there, before it reaches the client",
        PhaseName::WebsocketMessage => "when a message of a WebSocket is there whole, before it is passed on",
        PhaseName::Event => "when a server-sent event is there whole, before it is passed on",
        PhaseName::Logging => "at the end, when nothing can be stopped any more",
    }
}

fn condition(condition: &Condition, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let (head, inner) = match condition {
        Condition::Leaf(leaf) => return lines.push(format!("{indent}{}", self::leaf(leaf))),
        Condition::Not(not) => {
            lines.push(format!("{indent}it is not so that"));
            return self::condition(&not.not, depth + 1, lines);
        }
        Condition::All(all) => ("all of this holds:", &all.all),
        Condition::Any(any) => ("one of this holds:", &any.any),
    };
    lines.push(format!("{indent}{head}"));
    inner.iter().for_each(|inner| self::condition(inner, depth + 1, lines));
}

fn leaf(leaf: &Leaf) -> String {
    let of = |role: Role| {
        let targets = leaf.variables.iter().filter(move |at| at.value.role == role);
        targets.map(|at| at.value.text.clone()).collect::<Vec<_>>()
    };
    let mut looked_at = of(Role::Include);
    looked_at.extend(of(Role::Count).into_iter().map(|text| format!("the number of {text}")));
    let mut text = format!("a value of {}", list(&looked_at, "or"));
    let without = of(Role::Exclude);
    if !without.is_empty() {
        text.push_str(&format!(", but not of {}", list(&without, "or")));
    }
    if let Some(decode) = leaf.decode {
        let encodings: Vec<String> = Encoding::ALL
            .into_iter()
            .filter(|encoding| decode.encodings.contains(*encoding))
            .map(|encoding| encoding.name().to_owned())
            .collect();
        text.push_str(&format!(
            ", or what it decodes to ({}, depth {}),",
            list(&encodings, "or"),
            decode.depth
        ));
    }
    let kinds: Vec<String> = leaf.skip_types.iter().flatten().map(|at| at.value.name().to_owned()).collect();
    if !kinds.is_empty() {
        text.push_str(&format!(" that is no {},", list(&kinds, "or")));
    }
    let steps: Vec<String> =
        leaf.transformations.iter().flatten().map(|at| at.value.0.name.to_owned()).collect();
    if !steps.is_empty() {
        let when = if leaf.multi_match == Some(true) { "before, between or after" } else { "after" };
        text.push_str(&format!(", {when} {},", list(&steps, "and")));
    }
    let not = if leaf.negate == Some(true) { "does not match" } else { "matches" };
    let argument = match &leaf.operator.argument.value {
        serde_json::Value::Bool(true) => String::new(),
        argument => format!(" {argument}"),
    };
    text.push_str(&format!(" {not} `{}{argument}`", leaf.operator.name.value));
    if leaf.capture == Some(true) {
        text.push_str("; what matched is kept in tx.0, its groups in tx.1 to tx.9");
    }
    let effects: Vec<String> = leaf.on_match.iter().flatten().map(|at| quiet(&at.value)).collect();
    if !effects.is_empty() {
        text.push_str(&format!("; for each such value it {}", effects.join(", ")));
    }
    text
}

fn list(items: &[String], word: &str) -> String {
    match items {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

fn action(action: &Action, rule: &Rule) -> String {
    match action {
        Action::Score(points) => {
            let points = points.or(rule.severity.map(super::ast::Severity::points)).unwrap_or(0);
            format!("adds {points} to the anomaly score")
        }
        Action::Block => "blocks the exchange".to_owned(),
        Action::Deny { status } => format!("denies the exchange with status {status}"),
        Action::Redirect { status, location } => format!("redirects ({status}) to {}", shown(location)),
        Action::Drop => "closes the connection".to_owned(),
        Action::Allow(AllowScope::Exchange) => "lets the exchange pass".to_owned(),
        Action::Allow(AllowScope::Phase) => "ends this phase".to_owned(),
        Action::Allow(AllowScope::Request) => "lets the request pass".to_owned(),
        Action::Log => "is reported".to_owned(),
        Action::NoLog => "is not reported".to_owned(),
        Action::RateLimit(limit) => format!(
            "denies with status {} what comes more than {} times in {} seconds from {}",
            limit.status,
            limit.requests,
            limit.seconds,
            shown(&limit.key)
        ),
        Action::StripRequestHeader(name) => format!("takes {name} out of the request"),
        Action::StripResponseHeader(name) => format!("takes {name} out of the response"),
        Action::Skip(count) => format!("leaves the next {count} rules of the phase out"),
        Action::SkipAfter(marker) => format!("goes on behind the marker {}", shown(marker)),
        other => quiet(other),
    }
}

/// Actions that stop nothing.
fn quiet(action: &Action) -> String {
    match action {
        Action::Set(all) => {
            all.iter().map(|(name, assignment)| set(name, assignment)).collect::<Vec<_>>().join(", ")
        }
        Action::Expire(all) => {
            let one = |(name, seconds): &(SetName, String)| {
                format!("lets {} expire in {seconds} seconds", variable(name))
            };
            all.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        Action::InitCollection(all) => {
            let one = |(kind, key): &(Persistent, String)| {
                format!("opens the collection {} of {}", kind.name(), shown(key))
            };
            all.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        Action::Exclude(exclude) => {
            let rules = exclude.rules.iter().map(|at| at.value.to_string());
            let tags = exclude.tags.iter().map(|at| format!("those with the tag {}", shown(&at.value)));
            let rules = list(&rules.chain(tags).collect::<Vec<_>>(), "and");
            let targets: Vec<String> = exclude.variables.iter().map(|target| target.text.clone()).collect();
            match targets.is_empty() {
                true => format!("switches off the rules {rules}"),
                false => format!("takes {} from the rules {rules}", list(&targets, "and")),
            }
        }
        Action::Engine(EngineMode::Block) => "lets rules block from here on".to_owned(),
        Action::Engine(EngineMode::Detect) => "lets rules only report from here on".to_owned(),
        Action::Engine(EngineMode::Off) => "switches the engine off for this exchange".to_owned(),
        Action::BodyProcessor(processor) => format!(
            "has the body read as {}",
            match processor {
                BodyProcessor::Urlencoded => "a form",
                BodyProcessor::Multipart => "multipart",
                BodyProcessor::Json => "JSON",
                BodyProcessor::Xml => "XML",
            }
        ),
        Action::ForceRequestBodyVariable => "keeps the body whole in request_body".to_owned(),
        Action::RequestBodyAccess(true) => "has the request body looked at".to_owned(),
        Action::RequestBodyAccess(false) => "leaves the request body unseen".to_owned(),
        Action::ResponseBodyAccess(true) => "has the response body looked at".to_owned(),
        Action::ResponseBodyAccess(false) => "leaves the response body unseen".to_owned(),
        // The loader lets none of the others in here.
        _ => "does nothing".to_owned(),
    }
}

fn variable(name: &SetName) -> String {
    format!("{}.{}", name.persistent.map_or("tx", Persistent::name), name.name)
}

fn set(name: &SetName, assignment: &Assignment) -> String {
    let name = variable(name);
    match assignment {
        Assignment::Text(text) => format!("sets {name} to {:?}", shown(text)),
        Assignment::Add(by) => format!("adds {by} to {name}"),
        Assignment::Subtract(by) => format!("takes {by} from {name}"),
        Assignment::Delete => format!("takes {name} away"),
    }
}

#[cfg(test)]
mod tests {
    use crate::waf::{Source, Sources};

    fn words(rule: &str) -> String {
        let text = format!(r#"{{"name": "n", "version": "1", "rules": [{rule}]}}"#);
        let sources = Sources { files: vec![Source { name: "r.json".into(), text }], ..Sources::default() };
        let program = super::super::read_all(&sources).unwrap_or_else(|errors| panic!("{errors:?}"));
        super::rule(&program.sets[0].rules[0]).join("\n")
    }

    #[test]
    fn a_rule_reads_like_a_sentence() {
        let text = words(
            r#"{"id": 1, "phase": "request_body", "message": "m", "severity": "critical", "then": ["score", {"skip_after": "END"}],
            "when": {"all": [
                {"variables": ["args", "&request_headers:host", "!args:token"], "transformations": ["lowercase", "trim"],
                 "operator": {"rx": "a+"}, "capture": true, "on_match": [{"set": {"tx.n": "+1", "ip.x": null}}]},
                {"not": {"variables": ["tx:1"], "negate": true, "operator": {"streq": "b"}}}]}}"#,
        );
        assert_eq!(
            text,
            "It runs when the request is there whole, before it is sent on.\n\
             It matches when\n  all of this holds:\n    a value of args or the number of request_headers:host, but not of \
             args:token, after lowercase and trim, matches `rx \"a+\"`; what matched is kept in tx.0, its groups in tx.1 \
             to tx.9; for each such value it adds 1 to tx.n, takes ip.x away\n    it is not so that\n      a value of \
             tx:1 does not match `streq \"b\"`\n\
             Then it adds 5 to the anomaly score, goes on behind the marker END."
        );
    }

    #[test]
    fn a_rule_without_conditions_says_so() {
        let text = words(r#"{"id": 1, "phase": "logging", "then": ["no_log", {"engine": "off"}]}"#);
        assert!(
            text.contains("It always matches.\nThen it is not reported, switches the engine off"),
            "{text}"
        );
    }
}
