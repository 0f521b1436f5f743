//! What a matching rule does.

use std::sync::Arc;

use super::engine::{Mode, Program};
use super::exclusion;
use super::explain;
use super::report::{Disruption, Interruption, PhaseName};
use super::rule::{Action, Rule};
use super::scratch::Scratch;
use super::template::Template;
use super::transaction::{HeaderEdit, State};
use super::variable::Live;
use super::variable::target::Target;

/// Whether the phase goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    GoOn,
    Stop,
}

/// Matches that a report keeps.
const REPORTED: usize = 64;

/// Carries out the rule's actions and writes its matches down. A shadow rule may set variables,
/// which only rules see; everything else it merely reports.
pub(super) fn act(program: &Program, index: usize, scratch: &mut Scratch, state: &mut State) -> Effect {
    let rule = &program.rules[index];
    scratch.matched_rules.push(rule.id);
    let points = if rule.shadow { 0 } else { score(rule) };
    if rule.log {
        report(program, rule, points, scratch, state);
    }
    let side = usize::from(rule.phase >= PhaseName::ResponseHeaders);
    if points > 0 {
        let sum = if side == 0 { &mut state.inbound } else { &mut state.outbound };
        *sum = sum.saturating_add(points);
        if state.highest[side].is_none_or(|(most, _)| points > most) {
            state.highest[side] = Some((points, index));
        }
    }
    let active = !rule.shadow;
    let edits = active && program.mode == Mode::Block;
    let mut effect = Effect::GoOn;
    for action in &rule.then {
        match action {
            Action::Score(_) => {}
            Action::Assign { name, text } => {
                let value = expand(text, scratch);
                scratch.tx.insert(name.clone(), value);
            }
            Action::Add { name, by } => {
                let sum = scratch.tx.get(name).map_or(0, |text| number(text)).saturating_add(*by);
                scratch.tx.insert(name.clone(), sum.to_string().into_bytes());
            }
            Action::Exclude { rules, targets } if active => {
                exclusion::take_out(&rules.words, targets, scratch)
            }
            Action::StripRequestHeader(name) if edits => {
                edit(&mut state.edits, HeaderEdit::StripRequest(Arc::clone(name)));
            }
            Action::StripResponseHeader(name) if edits => {
                edit(&mut state.edits, HeaderEdit::StripResponse(Arc::clone(name)));
            }
            Action::Allow if active => {
                state.allowed = true;
                effect = Effect::Stop;
            }
            Action::Deny { status } if active => {
                effect = disrupt(program, rule, Disruption::Deny { status: *status }, state);
            }
            Action::Redirect { status, location } if active => {
                let location = header_value(&expand(location, scratch));
                effect = disrupt(program, rule, Disruption::Redirect { status: *status, location }, state);
            }
            Action::Drop if active => effect = disrupt(program, rule, Disruption::Drop, state),
            Action::Exclude { .. }
            | Action::StripRequestHeader(_)
            | Action::StripResponseHeader(_)
            | Action::Allow
            | Action::Deny { .. }
            | Action::Redirect { .. }
            | Action::Drop => {}
        }
    }
    effect
}

fn score(rule: &Rule) -> i64 {
    rule.then.iter().map(|action| if let Action::Score(points) = action { *points } else { 0 }).sum()
}

fn report(program: &Program, rule: &Rule, points: i64, scratch: &mut Scratch, state: &mut State) {
    let records = scratch.matched.len().max(1);
    let room = REPORTED.saturating_sub(scratch.report.len());
    for number in 0..records.min(room) {
        // The rule scores once, however many values it matched.
        let score = if number == 0 { points } else { 0 };
        let matched = scratch.matched.get(number);
        scratch.report.push(explain::match_of(program, rule, matched, score, &scratch.store));
    }
    let dropped = u32::try_from(records.saturating_sub(room)).unwrap_or(u32::MAX);
    state.matches_dropped = state.matches_dropped.saturating_add(dropped);
}

fn disrupt(program: &Program, rule: &Rule, action: Disruption, state: &mut State) -> Effect {
    if state.interruption.is_none() {
        state.interruption = Some(Interruption {
            phase: rule.phase,
            action,
            rule: rule.id,
            by_score: false,
            reason: rule.message.clone(),
        });
    }
    if program.mode == Mode::Block { Effect::Stop } else { Effect::GoOn }
}

fn edit(edits: &mut Vec<HeaderEdit>, edit: HeaderEdit) {
    if !edits.contains(&edit) {
        edits.push(edit);
    }
}

/// A text as a number: what is not one counts as 0, as in ModSecurity.
fn number(text: &[u8]) -> i64 {
    std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
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

fn expand(template: &Template, scratch: &Scratch) -> Vec<u8> {
    /// No value that rules set needs more.
    const LONGEST: usize = 64 * 1024;
    let mut text = template.expand(|target, out| {
        if let Some(value) = value(target, scratch) {
            out.extend_from_slice(&value[..value.len().min(LONGEST)]);
        }
    });
    text.truncate(LONGEST);
    text
}

/// The first value that a macro names.
fn value<'a>(target: &Target, scratch: &'a Scratch) -> Option<&'a [u8]> {
    let store = &scratch.store;
    match target.live() {
        Some(Live::Tx) => scratch.tx.iter().find(|(key, _)| target.takes(key)).map(|(_, value)| &value[..]),
        Some(Live::MatchedVar | Live::MatchedVars) => {
            scratch.matched.last().map(|matched| store.get(matched.transformed))
        }
        Some(Live::MatchedVarName | Live::MatchedVarsNames) => {
            scratch.matched.last().map(|matched| store.get(matched.name))
        }
        None => {
            let mut values = target.collections().iter().flat_map(|collection| store.of(*collection));
            values
                .find(|(_, value)| target.takes(store.get(value.key)))
                .map(|(_, value)| store.get(value.value))
        }
    }
}
