//! From pieces to the rule tree.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::json;

use crate::waf::lang::ast::{
    Action, All, AllowScope, Condition, ExcludeAction, IdRange, Leaf, Named, OperatorCall, Rule,
};
use crate::waf::lang::error::{At, Place};
use crate::waf::report::PhaseName;
use crate::waf::transformation;
use crate::waf::variable::target::{Role, Target};

use super::actions::{Actions, By, Disruptive, Effect};
use super::draft::{Draft, Link};
use super::fault::Fault;
use super::operator::{self, DataFiles};
use super::{Log, target};

/// A description of a rule is not longer.
const DESCRIPTION: usize = 2000;
/// Transformations of one condition at most, as our own files have it.
const STEPS: usize = 32;
/// Redirects without a status of their own (RFC 9110 section 15.4.3).
const FOUND: u16 = 302;

/// Tags and messages of all rules, for what names rules by them.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub tags: BTreeSet<String>,
    pub messages: Vec<(u32, String)>,
}

impl Known {
    /// The tags that are meant: this one, or when there is no such tag, all that hold the expression.
    pub fn tags(&self, written: &str) -> Vec<String> {
        if self.tags.contains(written) {
            return vec![written.to_owned()];
        }
        let Ok(regex) = Regex::new(written) else { return Vec::new() };
        self.tags.iter().filter(|tag| regex.is_match(tag)).cloned().collect()
    }

    /// The rules whose message holds the expression.
    pub fn with_message(&self, written: &str) -> Vec<u32> {
        let regex = Regex::new(written).or_else(|_| Regex::new(&regex::escape(written)));
        let Ok(regex) = regex else { return Vec::new() };
        self.messages.iter().filter(|(_, message)| regex.is_match(message)).map(|(id, _)| *id).collect()
    }
}

/// What became of a draft without faults.
pub(super) enum Outcome {
    Rule(Box<Rule>),
    /// It can never match in its phase and does nothing.
    Never,
}

/// Makes a rule of a draft.
pub(super) fn rule(draft: &Draft, known: &Known, data: &mut DataFiles, log: &mut Log) -> Option<Outcome> {
    let head = draft.head();
    let phase = draft.phase();
    let Some(id) = head.id else {
        log.faults
            .push(Fault::error(draft.place, "the rule has no id").help("add `id:NUMBER` to its actions"));
        return None;
    };
    let mut translation = Translation { draft, known, phase, data, log };
    let before = translation.log.faults.len();
    let mut conditions = Vec::new();
    let mut always = Vec::new();
    let mut never = false;
    for link in &draft.links {
        let effects = translation.effects(&link.actions);
        if link.test.is_none() && draft.links.len() == 1 {
            always = effects;
            continue;
        }
        let Some(leaf) = translation.leaf(link, effects) else { continue };
        never |= leaf.is_none();
        let has_effects = conditions.iter().any(|leaf: &Leaf| leaf.on_match.is_some());
        if never && !has_effects {
            return (translation.log.faults.len() == before).then_some(Outcome::Never);
        }
        conditions.push(leaf.unwrap_or_else(|| never_leaf(link.place)));
        if never {
            break;
        }
    }
    if draft.unfinished {
        translation.log.note(
            draft.place,
            &draft.name(),
            "its chain does not go on, so it never matches as a whole",
        );
        conditions.push(never_leaf(draft.place));
    }
    let no_log = !head.log.map(|log| log.value).or(draft.defaults.log).unwrap_or(true);
    let mut then: Vec<At<Action>> = Vec::new();
    then.extend(no_log.then(|| At::new(draft.place, Action::NoLog)));
    then.extend(always);
    then.extend(head.jump.clone());
    then.extend(translation.disruptive(head));
    let message = match head.msg.as_ref().filter(|message| !message.value.trim().is_empty()) {
        Some(message) => message.value.clone(),
        None if no_log => String::new(),
        None => format!("rule {} matched", id.value),
    };
    let text = |at: &Option<At<String>>| at.as_ref().map(|at| at.value.clone());
    let mut tags: Vec<String> = Vec::new();
    for tag in draft.tags() {
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    let mut conditions: Vec<Condition> =
        conditions.into_iter().map(|leaf| Condition::Leaf(Box::new(leaf))).collect();
    let when = match conditions.len() {
        0 => None,
        1 => conditions.pop(),
        _ => Some(Condition::All(All { all: conditions })),
    };
    Some(Outcome::Rule(Box::new(Rule {
        place: draft.place,
        id,
        phase: At::new(draft.place, phase),
        message,
        log_data: text(&head.logdata),
        description: description(&draft.comment),
        severity: head.severity.map(|at| at.value).or(draft.defaults.severity),
        paranoia_level: None,
        tags: (!tags.is_empty()).then_some(tags),
        version: text(&head.ver),
        revision: text(&head.rev),
        maturity: head.maturity.map(|at| at.value),
        accuracy: head.accuracy.map(|at| at.value),
        mode: None,
        when,
        then,
        examples: None,
    })))
}

/// The lines that say something, as one text.
fn description(comment: &[String]) -> Option<String> {
    let lines = comment.iter().filter(|line| line.contains(char::is_alphanumeric));
    let mut text = lines.map(String::as_str).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(DESCRIPTION) {
        text.truncate(end);
        text.push_str("...");
    }
    (!text.is_empty()).then_some(text)
}

/// A condition that holds for nothing, for a link that cannot match in its phase.
fn never_leaf(place: Place) -> Leaf {
    let variable = Target::parse("unique_id");
    Leaf {
        place,
        variables: variable.into_iter().map(|target| At::new(place, target)).collect(),
        decode: None,
        skip_types: None,
        transformations: None,
        operator: OperatorCall {
            name: At::new(place, "unconditional_match".to_owned()),
            argument: At::new(place, json!(true)),
        },
        negate: Some(true),
        capture: None,
        multi_match: None,
        on_match: None,
    }
}

struct Translation<'a, 'd, 'l, 'm> {
    draft: &'a Draft,
    known: &'a Known,
    phase: PhaseName,
    data: &'a mut DataFiles<'d>,
    log: &'l mut Log<'m>,
}

impl Translation<'_, '_, '_, '_> {
    /// The leaf of a link; `Some(None)` when it can never match in this phase.
    fn leaf(&mut self, link: &Link, effects: Vec<At<Action>>) -> Option<Option<Leaf>> {
        let (targets, operator, negate) = match &link.test {
            // A SecAction in a chain holds always: there is always exactly one id.
            None => (
                Target::parse("unique_id").into_iter().map(|t| At::new(link.place, t)).collect(),
                None,
                false,
            ),
            Some((variables, operator)) => {
                let targets = self.targets(variables)?;
                let plain: Vec<Target> = targets.iter().map(|at| at.value.clone()).collect();
                match operator::translate(operator, &plain, self.data) {
                    Ok(translated) => {
                        for reason in &translated.notes {
                            self.log.note(operator.argument.place, &self.draft.name(), reason);
                        }
                        (targets, Some(translated.call), translated.negate)
                    }
                    Err(fault) => {
                        self.log.faults.push(fault);
                        return None;
                    }
                }
            }
        };
        let transformations = self.transformations(&link.actions)?;
        if targets.iter().all(|at: &At<Target>| at.value.role == Role::Exclude) {
            return Some(None);
        }
        let operator = operator.unwrap_or_else(|| never_leaf(link.place).operator);
        Some(Some(Leaf {
            place: link.place,
            variables: targets,
            decode: None,
            skip_types: None,
            transformations: (!transformations.is_empty()).then_some(transformations),
            operator,
            negate: negate.then_some(true),
            capture: link.actions.capture.then_some(true),
            multi_match: link.actions.multi_match.then_some(true),
            on_match: (!effects.is_empty()).then_some(effects),
        }))
    }

    /// The targets that may have values in this phase.
    fn targets(&mut self, variables: &[super::rule::Variable]) -> Option<Vec<At<Target>>> {
        let mut targets: Vec<At<Target>> = Vec::new();
        let mut whole = true;
        let mut includes = false;
        for variable in variables {
            if variable.name.eq_ignore_ascii_case("xml") && variable.selector.is_none() {
                includes = true;
                let reason = "`XML` alone is the whole document, which only validation looks at";
                self.log.note(variable.place, &self.draft.name(), reason);
                continue;
            }
            match target::target(variable) {
                Ok(target)
                    if targets
                        .iter()
                        .any(|at| at.value.role == target.role && at.value.text == target.text) => {}
                Ok(target) => {
                    includes |= target.role != Role::Exclude;
                    if target.role == Role::Include && target.variable.since > self.phase {
                        let reason = format!("`{}` has no value yet in this phase", variable.name);
                        self.log.note(variable.place, &self.draft.name(), &reason);
                    } else {
                        targets.push(At::new(variable.place, target));
                    }
                }
                Err(fault) => {
                    self.log.faults.push(fault);
                    whole = false;
                }
            }
        }
        if whole && !includes {
            let place = variables.first().map_or(self.draft.place, |variable| variable.place);
            self.log
                .faults
                .push(Fault::error(place, "the variables take nothing in, so the rule can never match"));
            whole = false;
        }
        whole.then_some(targets)
    }

    fn transformations(&mut self, actions: &Actions) -> Option<Vec<At<Named>>> {
        let mut steps = Vec::new();
        let mut whole = true;
        for at in self.draft.defaults.transformations.iter().chain(&actions.transformations) {
            match transformation::find_seclang(&at.value) {
                Some(found) if found.name == "none" => steps.clear(),
                Some(found) => steps.push(At::new(at.place, Named(found))),
                None => {
                    let known = transformation::names();
                    self.log.faults.push(Fault::unknown(at.place, "transformation", &at.value, known));
                    whole = false;
                }
            }
        }
        if steps.len() > STEPS {
            let problem = format!("more than {STEPS} transformations");
            self.log.faults.push(Fault::error(steps[STEPS].place, problem));
            whole = false;
        }
        whole.then_some(steps)
    }

    /// Actions for each matching value, in order. Assignments that follow each other are one action.
    fn effects(&mut self, actions: &Actions) -> Vec<At<Action>> {
        let mut done: Vec<At<Action>> = Vec::new();
        for At { place, value: effect } in &actions.effects {
            let action = match effect {
                Effect::Action(action) => action.clone(),
                Effect::Exclude { by, name, variables } => match self.exclude(*place, *by, name, variables) {
                    Some(action) => action,
                    None => continue,
                },
            };
            if let Some(why) = too_late(&action, self.phase) {
                self.log.note(*place, &self.draft.name(), why);
                continue;
            }
            match (done.last_mut().map(|at| &mut at.value), action) {
                (Some(Action::Set(before)), Action::Set(more))
                    if !more.iter().any(|(name, _)| before.iter().any(|(known, _)| known == name)) =>
                {
                    before.extend(more);
                }
                (Some(Action::Expire(before)), Action::Expire(more))
                    if !more.iter().any(|(name, _)| before.iter().any(|(known, _)| known == name)) =>
                {
                    before.extend(more);
                }
                (_, action) => done.push(At::new(*place, action)),
            }
        }
        done
    }

    fn exclude(&mut self, place: Place, by: By, name: &str, variables: &[Target]) -> Option<Action> {
        let at = |value| At::new(place, value);
        let (rules, tags): (Vec<At<IdRange>>, Vec<At<String>>) = match by {
            By::Tag => {
                (Vec::new(), self.known.tags(name).into_iter().map(|tag| At::new(place, tag)).collect())
            }
            By::Message => {
                let ids = self.known.with_message(name).into_iter();
                (ids.map(|id| at(IdRange { first: id, last: id })).collect(), Vec::new())
            }
        };
        if rules.is_empty() && tags.is_empty() {
            self.log.note(place, &self.draft.name(), &format!("no rule is named by `{name}`"));
            return None;
        }
        Some(Action::Exclude(ExcludeAction { rules, tags, variables: variables.to_vec() }))
    }

    /// What the rule does to the exchange, `block` being what SecDefaultAction says.
    fn disruptive(&mut self, head: &Actions) -> Option<At<Action>> {
        let defaults = &self.draft.defaults;
        let own = head.disruptive.as_ref();
        let place = own.map_or(self.draft.place, |at| at.place);
        let by_default = own.is_none_or(|at| at.value == Disruptive::Block);
        let what = match own {
            Some(at) if !by_default => &at.value,
            _ => defaults.disruptive.as_ref()?,
        };
        // A link of a chain may say the status, too.
        let own = self.draft.links.iter().rev().find_map(|link| link.actions.status);
        let status = head.status.or(own).map(|at| at.value).or(defaults.status);
        let action = match what {
            Disruptive::Pass | Disruptive::Block => return None,
            Disruptive::Drop => Action::Drop,
            Disruptive::Allow(scope) => Action::Allow(*scope),
            Disruptive::Redirect(location) => {
                let status = status.filter(|status| [301, 302, 303, 307, 308].contains(status));
                Action::Redirect { status: status.unwrap_or(FOUND), location: location.clone() }
            }
            Disruptive::Deny => match status.unwrap_or(403) {
                403 => Action::Block,
                status @ 300..=599 => Action::Deny { status },
                status => {
                    let reason = format!("a refusal is not told with status {status}; it is 403 here");
                    self.log.note(place, &self.draft.name(), &reason);
                    Action::Block
                }
            },
        };
        if self.phase == PhaseName::Logging {
            if !by_default && !matches!(action, Action::Allow(AllowScope::Phase)) {
                self.log.note(place, &self.draft.name(), "nothing can be stopped in phase 5");
            }
            return None;
        }
        Some(At::new(place, action))
    }
}

/// Why an action does nothing in this phase.
fn too_late(action: &Action, phase: PhaseName) -> Option<&'static str> {
    match action {
        Action::BodyProcessor(_) | Action::RequestBodyAccess(_) | Action::ForceRequestBodyVariable
            if phase != PhaseName::RequestHeaders =>
        {
            Some("the request body has been read by then; only phase 1 can say how")
        }
        Action::ResponseBodyAccess(_) if phase > PhaseName::ResponseHeaders => {
            Some("the response body has been read by then")
        }
        _ => None,
    }
}
