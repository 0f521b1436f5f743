//! Texts with macros, filled in while rules run.

use std::borrow::Cow;

use super::rule::Rule;
use super::scratch::{Matched, Scratch};
use super::template::Template;
use super::transaction::State;
use super::variable::Live;
use super::variable::fact;
use super::variable::target::Target;

/// No value that rules set needs more.
const LONGEST: usize = 64 * 1024;

/// The text with its macros' values; `matched` is what the macros `matched_var` and its kin stand
/// for, by default the rule's last match.
pub(super) fn template(
    template: &Template,
    rule: &Rule,
    scratch: &Scratch,
    state: &State,
    matched: Option<&Matched>,
) -> Vec<u8> {
    let mut text = Vec::new();
    append(&mut text, template, rule, scratch, state, matched);
    text
}

/// The text as it lies somewhere already, when it does.
pub(super) fn text<'a>(
    template: &'a Template,
    rule: &'a Rule,
    scratch: &'a Scratch,
    state: &State,
) -> Cow<'a, [u8]> {
    if let Some(text) = template.plain() {
        return Cow::Borrowed(text.as_bytes());
    }
    match template.sole_macro().map(|target| value(target, rule, scratch, state, None)) {
        Some(None) => Cow::Borrowed(&[]),
        Some(Some(Cow::Borrowed(value))) => Cow::Borrowed(&value[..value.len().min(LONGEST)]),
        _ => Cow::Owned(self::template(template, rule, scratch, state, None)),
    }
}

/// Writes the text behind what `out` holds.
pub(super) fn append(
    out: &mut Vec<u8>,
    template: &Template,
    rule: &Rule,
    scratch: &Scratch,
    state: &State,
    matched: Option<&Matched>,
) {
    let start = out.len();
    template.expand(out, |target, out| {
        if let Some(value) = value(target, rule, scratch, state, matched) {
            out.extend_from_slice(&value[..value.len().min(LONGEST)]);
        }
    });
    out.truncate(start + LONGEST);
}

/// The first value that a macro names.
fn value<'a>(
    target: &Target,
    rule: &'a Rule,
    scratch: &'a Scratch,
    state: &State,
    matched: Option<&'a Matched>,
) -> Option<Cow<'a, [u8]>> {
    let store = &scratch.store;
    let matched = matched.or(scratch.matched.last());
    let named = |variables: &'a super::persistent::Variables| {
        variables.iter().find(|(key, _)| target.takes(key)).map(|(_, value)| Cow::Borrowed(&value[..]))
    };
    match target.live() {
        Some(Live::Tx) => scratch.tx.get(target.number?).map(Cow::Borrowed),
        Some(Live::Persistent(kind)) => named(&scratch.opened[kind as usize].as_ref()?.variables),
        Some(Live::MatchedVar | Live::MatchedVars) => {
            matched.map(|matched| Cow::Borrowed(store.get(matched.transformed)))
        }
        Some(Live::MatchedVarName | Live::MatchedVarsNames) => {
            matched.map(|matched| Cow::Borrowed(store.get(matched.name)))
        }
        Some(Live::Rule) => facts(rule)
            .into_iter()
            .find(|(key, _)| target.takes(key.as_bytes()))
            .map(|(_, value)| Cow::Owned(value)),
        Some(Live::HighestSeverity) => Some(Cow::Owned(severity(state))),
        Some(Live::Fact(fact)) => fact::value(fact, scratch, state),
        None => {
            let mut values = target.collections().iter().flat_map(|collection| store.of(*collection));
            values
                .find(|(_, value)| target.takes(store.get(value.key)))
                .map(|(_, value)| Cow::Borrowed(store.get(value.value)))
        }
    }
}

/// What the variable `rule` holds.
pub(super) fn facts(rule: &Rule) -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: Option<&String>| text.map(|text| text.clone().into_bytes());
    let all = [
        ("id", Some(rule.id.to_string().into_bytes())),
        ("rev", text(rule.revision.as_ref())),
        ("ver", text(rule.version.as_ref())),
        ("severity", rule.severity.map(|severity| (severity as u8).to_string().into_bytes())),
        ("msg", Some(rule.message.written().into_bytes())),
        ("logdata", rule.log_data.as_ref().map(|data| data.written().into_bytes())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The highest severity so far as ModSecurity numbers it: 0 for an emergency, 255 for none.
pub(super) fn severity(state: &State) -> Vec<u8> {
    state.highest_severity.map_or(255, |severity| severity as u8).to_string().into_bytes()
}
