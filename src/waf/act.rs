//! What a matching rule does.

use std::sync::Arc;

use super::engine::{Mode, Program};
use super::exclusion;
use super::expand;
use super::explain;
use super::input::End;
use super::lang::ast::{AllowScope, EngineMode, Persistent};
use super::operator;
use super::report::{Disruption, Interruption, PhaseName};
use super::rule::{Action, Change, Rule, Variable};
use super::scratch::{Opened, Scratch};
use super::template::Template;
use super::trace::Event;
use super::transaction::{Allowed, HeaderEdit, State};

/// How the phase goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    GoOn,
    /// With the rule of this index.
    Go(usize),
    Stop,
}

/// Matches that a report keeps. Beyond the first number only a rule's first match is kept, up to
/// the second: what matched is never hidden by how often something else did.
const REPORTED: usize = 64;
const RULES_REPORTED: usize = 1024;

/// Carries out the rule's actions and writes its matches down. A shadow rule may set variables,
/// which only rules see; everything else it merely reports.
pub(super) fn act(program: &Program, index: usize, scratch: &mut Scratch, state: &mut State) -> Effect {
    let rule = &program.rules[index];
    scratch.matched_rules.push(rule.id);
    if let Some(severity) = rule.severity
        && state.highest_severity.is_none_or(|highest| severity < highest)
    {
        state.highest_severity = Some(severity);
    }
    let points = if rule.shadow { 0 } else { score(rule) };
    if state.trace.is_some() {
        let event = matched(rule, scratch, state);
        state.note(|| event);
    }
    if rule.log {
        report(program, rule, points, scratch, state);
    }
    let side = match rule.phase {
        PhaseName::WebsocketMessage => usize::from(state.message_from == Some(End::Origin)),
        phase => usize::from(phase >= PhaseName::ResponseHeaders),
    };
    if points > 0 {
        let sum = if side == 0 { &mut state.inbound } else { &mut state.outbound };
        *sum = sum.saturating_add(points);
        if state.highest[side].is_none_or(|(most, _)| points > most) {
            state.highest[side] = Some((points, index));
        }
    }
    let mut effect = Effect::GoOn;
    for action in &rule.then {
        match decide(program, rule, action, scratch, state) {
            Some(Effect::Stop) => effect = Effect::Stop,
            Some(Effect::Go(target)) if effect == Effect::GoOn => effect = Effect::Go(target),
            Some(_) => {}
            None => quiet(program, rule, action, scratch, state),
        }
    }
    effect
}

/// What a condition does for one value that matched.
pub(super) fn on_match(
    program: &Program,
    rule: &Rule,
    actions: &[Action],
    scratch: &mut Scratch,
    state: &mut State,
) {
    for action in actions {
        quiet(program, rule, action, scratch, state);
    }
}

/// Actions that decide about the exchange, or about the order of rules; `None` for the others.
fn decide(
    program: &Program,
    rule: &Rule,
    action: &Action,
    scratch: &mut Scratch,
    state: &mut State,
) -> Option<Effect> {
    let active = !rule.shadow;
    Some(match action {
        Action::Score(_) => Effect::GoOn,
        Action::Go { to, .. } => Effect::Go(*to),
        Action::RateLimit { .. }
        | Action::StripRequestHeader(_)
        | Action::StripResponseHeader(_)
        | Action::Allow(_)
        | Action::Deny { .. }
        | Action::Redirect { .. }
        | Action::Drop
            if !active =>
        {
            Effect::GoOn
        }
        Action::StripRequestHeader(name) => {
            edit(state, HeaderEdit::StripRequest(Arc::clone(name)));
            Effect::GoOn
        }
        Action::StripResponseHeader(name) => {
            edit(state, HeaderEdit::StripResponse(Arc::clone(name)));
            Effect::GoOn
        }
        Action::Allow(scope) => {
            state.note(|| Event::Allowed { rule: rule.id, scope: *scope });
            state.allowed = match scope {
                AllowScope::Exchange => Allowed::Exchange,
                AllowScope::Request if rule.phase <= PhaseName::RequestBody => Allowed::Request,
                AllowScope::Request | AllowScope::Phase => state.allowed,
            };
            Effect::Stop
        }
        Action::Deny { status } => disrupt(rule, Disruption::Deny { status: *status }, scratch, state),
        Action::Redirect { status, location } => {
            let location = header_value(&expand::template(location, rule, scratch, state, None));
            disrupt(rule, Disruption::Redirect { status: *status, location }, scratch, state)
        }
        Action::Drop => disrupt(rule, Disruption::Drop, scratch, state),
        Action::RateLimit { key, requests, seconds, status } => {
            let key = expand::template(key, rule, scratch, state, None);
            if program.persistent.hit(rule.id, &key, *seconds, state.unix_ms) <= *requests {
                Effect::GoOn
            } else {
                disrupt(rule, Disruption::Deny { status: *status }, scratch, state)
            }
        }
        _ => return None,
    })
}

/// Actions that leave the exchange alone.
fn quiet(program: &Program, rule: &Rule, action: &Action, scratch: &mut Scratch, state: &mut State) {
    let active = !rule.shadow;
    match action {
        Action::Set { variable, change } => set(program, rule, variable, change, scratch, state),
        Action::Expire { variable, seconds } => {
            let seconds = operator::number(&expand::template(seconds, rule, scratch, state, None));
            let name = name_of(&variable.name, rule, scratch, state);
            if let Some(kind) = variable.persistent
                && let Some(opened) = &scratch.opened[kind as usize]
            {
                let at = state.unix_ms.saturating_add_signed(seconds.saturating_mul(1000));
                program.persistent.expire(kind, &opened.key, &name, at, state.unix_ms);
            }
        }
        Action::InitCollection { kind, key } => {
            let key = expand::template(key, rule, scratch, state, None);
            // A session or a user may turn out to be another one; then that is who it is.
            let again = matches!(kind, Persistent::Session | Persistent::User);
            let is_open =
                scratch.opened[*kind as usize].as_ref().is_some_and(|open| !again || open.key == key);
            if !is_open && !key.is_empty() {
                state.note(|| Event::Opened { collection: *kind, key: key.clone() });
                let variables = program.persistent.open(*kind, &key, state.unix_ms);
                scratch.opened[*kind as usize] = Some(Opened { key, variables });
            }
        }
        Action::Exclude { rules, targets } if active => {
            state.note(|| Event::Excluded {
                rules: (0..program.rules.len())
                    .filter(|at| rules.contains(*at))
                    .map(|at| program.rules[at].id)
                    .collect(),
                variables: targets.iter().map(|target| target.text.clone()).collect(),
            });
            exclusion::take_out(&rules.words, targets, scratch);
        }
        Action::Engine(mode) if active => {
            state.note(|| Event::Engine(*mode));
            match mode {
                EngineMode::Block => (state.mode, state.off) = (Mode::Block, false),
                EngineMode::Detect => (state.mode, state.off) = (Mode::Detect, false),
                EngineMode::Off => state.off = true,
            }
        }
        Action::BodyProcessor(processor) => {
            state.note(|| Event::BodyProcessor(*processor));
            state.processor = Some(*processor);
        }
        Action::ForceRequestBodyVariable => state.force_body = true,
        Action::RequestBodyAccess(access) if active => {
            state.note(|| Event::RequestBodyAccess(*access));
            state.request_body_access = *access;
        }
        Action::ResponseBodyAccess(access) if active => {
            state.note(|| Event::ResponseBodyAccess(*access));
            state.response_body_access = *access;
        }
        _ => {}
    }
}

fn name_of(name: &Template, rule: &Rule, scratch: &Scratch, state: &State) -> Vec<u8> {
    let mut name = expand::template(name, rule, scratch, state, None);
    name.make_ascii_lowercase();
    name
}

fn set(
    program: &Program,
    rule: &Rule,
    variable: &Variable,
    change: &Change,
    scratch: &mut Scratch,
    state: &mut State,
) {
    match variable.persistent {
        None => set_tx(program, rule, variable, change, scratch, state),
        Some(kind) => set_persistent(program, rule, (kind, &variable.name), change, scratch, state),
    }
}

/// What is to be added, for a change that adds.
fn added(change: &Change, rule: &Rule, scratch: &Scratch, state: &State) -> Option<i64> {
    let number = |template| operator::number(&expand::text(template, rule, scratch, state));
    match change {
        Change::Add(by) => Some(number(by)),
        Change::Subtract(by) => Some(number(by).saturating_neg()),
        Change::Assign(_) | Change::Delete => None,
    }
}

fn set_tx(
    program: &Program,
    rule: &Rule,
    variable: &Variable,
    change: &Change,
    scratch: &mut Scratch,
    state: &mut State,
) {
    let name = match variable.number {
        Some(_) => Vec::new(),
        None => name_of(&variable.name, rule, scratch, state),
    };
    let mut text = std::mem::take(&mut scratch.text);
    text.clear();
    if let Change::Assign(template) = change {
        expand::append(&mut text, template, rule, scratch, state, None);
    } else if let Some(by) = added(change, rule, scratch, state) {
        let before = match variable.number {
            Some(number) => scratch.tx.get(number),
            None => scratch.tx.find(&program.names, &name),
        };
        let sum = before.map_or(0, operator::number).saturating_add(by);
        write_number(&mut text, sum);
    }
    let value = (!matches!(change, Change::Delete)).then_some(&text[..]);
    let spelled =
        || variable.name.plain().map_or(name.clone(), |name| name.to_ascii_lowercase().into_bytes());
    state.note(|| Event::Set { name: [b"tx:", &spelled()[..]].concat(), value: value.map(<[u8]>::to_vec) });
    match (variable.number, value) {
        (Some(number), Some(value)) => scratch.tx.set(number, value),
        (Some(number), None) => scratch.tx.remove(number),
        (None, value) => scratch.tx.put(&program.names, &name, value),
    }
    scratch.text = text;
}

fn write_number(out: &mut Vec<u8>, number: i64) {
    use std::io::Write;
    // Writing to a vector cannot fail.
    let _ = write!(out, "{number}");
}

/// A collection that nobody opened is not there, and setting in it does nothing.
fn set_persistent(
    program: &Program,
    rule: &Rule,
    (kind, name): (Persistent, &Template),
    change: &Change,
    scratch: &mut Scratch,
    state: &mut State,
) {
    if scratch.opened[kind as usize].is_none() {
        return;
    }
    let name = name_of(name, rule, scratch, state);
    let by = added(change, rule, scratch, state);
    let value = match change {
        Change::Assign(text) => Some(expand::template(text, rule, scratch, state, None)),
        _ => None,
    };
    let Some(opened) = &mut scratch.opened[kind as usize] else { return };
    let now = state.unix_ms;
    let value = match by {
        Some(by) => {
            let sum = program.persistent.add(kind, &opened.key, &name, by, now);
            Some(sum.to_string().into_bytes())
        }
        None => {
            program.persistent.set(kind, &opened.key, &name, value.as_deref(), now);
            value
        }
    };
    state.note(|| Event::Set { name: [kind.name().as_bytes(), b":", &name].concat(), value: value.clone() });
    match value {
        Some(value) => opened.variables.insert(name, value),
        None => opened.variables.remove(&name),
    };
}

fn score(rule: &Rule) -> i64 {
    rule.then.iter().map(|action| if let Action::Score(points) = action { *points } else { 0 }).sum()
}

/// The match as a trace tells it.
fn matched(rule: &Rule, scratch: &Scratch, state: &State) -> Event {
    let text = |template: &Template| expand::template(template, rule, scratch, state, None);
    Event::Matched {
        rule: rule.id,
        message: text(&rule.message),
        data: rule.log_data.as_ref().map(text).unwrap_or_default(),
        tags: rule.tags.clone(),
        logged: rule.log,
    }
}

fn report(program: &Program, rule: &Rule, points: i64, scratch: &mut Scratch, state: &mut State) {
    let records = scratch.matched.len().max(1);
    let first = usize::from(scratch.report.len() < RULES_REPORTED);
    let room = REPORTED.saturating_sub(scratch.report.len()).max(first);
    for number in 0..records.min(room) {
        // The rule scores once, however many values it matched.
        let score = if number == 0 { points } else { 0 };
        let matched = scratch.matched.get(number);
        let record = explain::match_of(program, rule, matched, score, scratch, state);
        scratch.report.push(record);
    }
    let dropped = u32::try_from(records.saturating_sub(room)).unwrap_or(u32::MAX);
    state.matches_dropped = state.matches_dropped.saturating_add(dropped);
}

fn disrupt(rule: &Rule, action: Disruption, scratch: &Scratch, state: &mut State) -> Effect {
    let carried_out = state.mode == Mode::Block;
    state.note(|| Event::Disrupted { rule: rule.id, action: action.clone(), carried_out });
    if state.interruption.is_none() {
        let reason = expand::template(&rule.message, rule, scratch, state, None);
        state.interruption = Some(Interruption {
            phase: rule.phase,
            action,
            rule: rule.id,
            by_score: false,
            reason: explain::shown(&reason, REASON),
        });
    }
    if state.mode == Mode::Block { Effect::Stop } else { Effect::GoOn }
}

/// Bytes of a reason: macros in it can be long.
const REASON: usize = 512;

fn edit(state: &mut State, edit: HeaderEdit) {
    if state.mode == Mode::Block && !state.edits.contains(&edit) {
        state.edits.push(edit);
    }
}

/// Macro values come from the client: what could end a header line is left out
/// (RFC 9110 section 5.5).
fn header_value(bytes: &[u8]) -> String {
    bytes
        .iter()
        .filter(|b| !b.is_ascii_control())
        .map(|&b| if b.is_ascii() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
