//! Conditions: a leaf, or `all`, `any` and `not` of conditions.

use super::super::ast::{Action, All, Any, Condition, Leaf, Named, Not, OperatorCall};
use super::super::error::{At, Problems, shown};
use super::super::node::{Kind, Node};
use super::{Fields, action, integer, list, target, text};
use crate::waf::decode::{Decode, Encoding, Encodings, MOST_LAYERS};
use crate::waf::report::PhaseName;
use crate::waf::variable::kind::Kind as ValueKind;
use crate::waf::variable::target::Role;
use crate::waf::{operator, transformation};

/// Conditions inside each other at most.
const DEPTH: usize = 16;
/// Transformations of one leaf at most; real ones have up to eight.
const STEPS: usize = 32;
const LEAF_KEYS: &[&str] = &[
    "variables",
    "decode",
    "skip_types",
    "transformations",
    "operator",
    "negate",
    "capture",
    "multi_match",
    "on_match",
];
const JOIN_KEYS: &[&str] = &["all", "any", "not"];

pub(super) fn condition(node: &Node, problems: &mut Problems, depth: usize) -> Option<Condition> {
    let Kind::Object(entries) = &node.kind else {
        problems.add(node.place, format!("a condition is an object, not {}", node.kind_name()));
        return None;
    };
    if depth > DEPTH {
        problems.add(node.place, format!("more than {DEPTH} conditions inside each other"));
        return None;
    }
    let Some((join, inner)) = entries.iter().find(|(key, _)| JOIN_KEYS.contains(&key.value.as_str())) else {
        return leaf(node, problems).map(|leaf| Condition::Leaf(Box::new(leaf)));
    };
    if entries.len() > 1 {
        let other = entries.iter().find(|(key, _)| key.place != join.place).map_or(join, |(key, _)| key);
        problems.add(
            other.place,
            format!(
                "a condition has exactly one form, and `{}` stands beside `{}`",
                shown(&other.value),
                join.value
            ),
        );
        return None;
    }
    if join.value == "not" {
        return condition(inner, problems, depth + 1)
            .map(|inner| Condition::Not(Not { not: Box::new(inner) }));
    }
    let nodes = list(inner, &format!("`{}`", join.value), problems)?;
    if nodes.is_empty() {
        problems.add(inner.place, format!("`{}` of nothing", join.value));
        return None;
    }
    let inner: Vec<Option<Condition>> =
        nodes.iter().map(|node| condition(node, problems, depth + 1)).collect();
    let inner: Option<Vec<Condition>> = inner.into_iter().collect();
    Some(match join.value.as_str() {
        "all" => Condition::All(All { all: inner? }),
        _ => Condition::Any(Any { any: inner? }),
    })
}

fn leaf(node: &Node, problems: &mut Problems) -> Option<Leaf> {
    let known: Vec<&str> = LEAF_KEYS.iter().chain(JOIN_KEYS).copied().collect();
    let fields = Fields::of(node, "a condition", &known, problems)?;
    let variables = fields.required("variables", problems).and_then(|node| {
        let nodes = list(node, "`variables`", problems)?;
        let mut targets = Vec::with_capacity(nodes.len());
        for node in nodes {
            let at = text(node, "a variable", problems)?;
            targets.push(At::new(at.place, target(&at, problems)?));
        }
        if targets.iter().all(|at| at.value.role == Role::Exclude) {
            problems.add(node.place, "`variables` takes nothing in, so the rule can never match");
            return None;
        }
        Some(targets)
    });
    let decode = fields.get("decode").and_then(|node| decode(node, problems));
    let skip_types = fields.list("skip_types", problems).map(|nodes| kinds(nodes, problems));
    let transformations = fields.get("transformations").map(|node| transformations(node, problems));
    let operator = fields.required("operator", problems).and_then(|node| operator_call(node, problems));
    let negate = fields.boolean("negate", problems);
    let capture = fields.boolean("capture", problems);
    let multi_match = fields.boolean("multi_match", problems);
    let on_match = fields.list("on_match", problems).map(|nodes| on_match(nodes, problems));
    Some(Leaf {
        place: node.place,
        variables: variables?,
        decode,
        skip_types,
        transformations: match transformations {
            None => None,
            Some(read) => Some(read?),
        },
        operator: operator?,
        negate,
        capture,
        multi_match,
        on_match,
    })
}

/// Layers, and where an object says so, of which encodings.
fn decode(node: &Node, problems: &mut Problems) -> Option<Decode> {
    let layers = |node: &Node, problems: &mut Problems| {
        let most = i64::from(MOST_LAYERS);
        integer(node, "the depth of `decode`", 1, most, problems).and_then(|depth| u8::try_from(depth).ok())
    };
    if !matches!(node.kind, Kind::Object(_)) {
        return layers(node, problems).map(Decode::all);
    }
    let fields = Fields::of(node, "`decode`", &["depth", "as"], problems)?;
    let depth = fields.required("depth", problems).and_then(|node| layers(node, problems));
    let names = fields.required("as", problems).and_then(|node| list(node, "`as`", problems))?;
    let mut encodings = Encodings::NONE;
    for node in names {
        let name = text(node, "an encoding", problems)?;
        match Encoding::find(&name.value) {
            Some(encoding) => encodings = encodings.with(encoding),
            None => {
                problems.unknown(node.place, "encoding", &name.value, Encoding::ALL.map(Encoding::name));
            }
        }
    }
    if names.is_empty() {
        problems.add(node.place, "`decode` as nothing");
    }
    Some(Decode { depth: depth?, encodings })
}

fn kinds(nodes: &[Node], problems: &mut Problems) -> Vec<At<ValueKind>> {
    let mut kinds = Vec::with_capacity(nodes.len());
    for node in nodes {
        let Some(name) = text(node, "a type of values", problems) else { continue };
        match ValueKind::find(&name.value) {
            Some(kind) => kinds.push(At::new(node.place, kind)),
            None => {
                problems.unknown(
                    node.place,
                    "type of values",
                    &name.value,
                    ValueKind::ALL.map(ValueKind::name),
                );
            }
        }
    }
    kinds
}

/// Actions for each matching value; none of them may decide about the exchange.
fn on_match(nodes: &[Node], problems: &mut Problems) -> Vec<At<Action>> {
    let actions: Vec<_> = nodes.iter().filter_map(|node| action::action(node, problems)).collect();
    for at in &actions {
        if !at.value.stops_nothing() {
            problems.add_with_help(
                at.place,
                "a condition's `on_match` cannot decide about the exchange",
                Some("move the action to the rule's `then`".to_owned()),
            );
        }
    }
    actions
}

fn transformations(node: &Node, problems: &mut Problems) -> Option<Vec<At<Named>>> {
    let nodes = list(node, "`transformations`", problems)?;
    if nodes.len() > STEPS {
        problems.add(node.place, format!("more than {STEPS} transformations"));
        return None;
    }
    let mut steps = Vec::with_capacity(nodes.len());
    let mut whole = true;
    for node in nodes {
        let Some(name) = text(node, "a transformation", problems) else {
            whole = false;
            continue;
        };
        // `none` clears inherited transformations in other languages; there are none here.
        if name.value == "none" {
            continue;
        }
        match transformation::find(&name.value) {
            Some(found) => steps.push(At::new(node.place, Named(found))),
            None => {
                problems.unknown(node.place, "transformation", &name.value, transformation::names());
                whole = false;
            }
        }
    }
    whole.then_some(steps)
}

fn operator_call(node: &Node, problems: &mut Problems) -> Option<OperatorCall> {
    let Kind::Object(entries) = &node.kind else {
        problems.add_with_help(
            node.place,
            format!("`operator` is an object, not {}", node.kind_name()),
            Some("write {\"NAME\": ARGUMENT}".to_owned()),
        );
        return None;
    };
    let [(name, argument)] = &entries[..] else {
        problems.add(node.place, format!("`operator` names one operator, not {}", entries.len()));
        return None;
    };
    if !operator::names().any(|known| known == name.value) {
        problems.unknown(name.place, "operator", &name.value, operator::names());
        return None;
    }
    Some(OperatorCall { name: name.clone(), argument: At::new(argument.place, argument.to_json()) })
}

/// A variable must have its values when the rule runs; how many there are can be asked at any time.
pub(super) fn check_phase(condition: &Condition, phase: PhaseName, problems: &mut Problems) {
    match condition {
        Condition::Leaf(leaf) => {
            for at in &leaf.variables {
                let variable = at.value.variable;
                if variable.since > phase && at.value.role != Role::Count {
                    problems.add_with_help(
                        at.place,
                        format!("`{}` has no value yet in the phase `{}`", variable.name, phase_name(phase)),
                        Some(format!("its first phase is `{}`", phase_name(variable.since))),
                    );
                }
            }
        }
        Condition::All(All { all: inner }) | Condition::Any(Any { any: inner }) => {
            inner.iter().for_each(|inner| check_phase(inner, phase, problems));
        }
        Condition::Not(Not { not }) => check_phase(not, phase, problems),
    }
}

fn phase_name(phase: PhaseName) -> &'static str {
    match phase {
        PhaseName::RequestHeaders => "request_headers",
        PhaseName::RequestBody => "request_body",
        PhaseName::ResponseHeaders => "response_headers",
        PhaseName::ResponseBody => "response_body",
        PhaseName::WebsocketMessage => "websocket_message",
        PhaseName::Event => "event",
        PhaseName::Logging => "logging",
    }
}
