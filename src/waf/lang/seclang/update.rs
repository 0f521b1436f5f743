//! Directives that change rules: SecRuleRemoveBy*, SecRuleUpdateTargetBy* and
//! SecRuleUpdateActionById.
//!
//! They change the rules before them, as in ModSecurity 2. One that names no rule before it would do
//! nothing there, but what its author wants is plain, and libmodsecurity does it: it changes the rules
//! behind it.

use regex::Regex;

use crate::waf::lang::ast::IdRange;
use crate::waf::lang::error::{At, shown};

use super::actions::Actions;
use super::directive::Reader;
use super::draft::{Draft, Entry};
use super::effect;
use super::fault::Fault;
use super::lexer::{Directive, Text};
use super::{Log, rule};

/// A directive that has found no rule yet.
pub(super) struct Late {
    directive: Directive,
    choice: Choice,
    link: usize,
}

/// Which rules are meant.
enum Choice {
    Ids(Vec<At<IdRange>>),
    Tag(String, Option<Regex>),
    Message(String, Option<Regex>),
}

impl Choice {
    fn takes(&self, draft: &Draft) -> bool {
        match self {
            Choice::Ids(ranges) => draft.id().is_some_and(|id| ranges.iter().any(|at| at.value.contains(id))),
            Choice::Tag(word, regex) => {
                draft.tags().any(|tag| tag == word || regex.as_ref().is_some_and(|regex| regex.is_match(tag)))
            }
            Choice::Message(word, regex) => draft.head().msg.as_ref().is_some_and(|message| {
                message.value == *word || regex.as_ref().is_some_and(|regex| regex.is_match(&message.value))
            }),
        }
    }

    fn spell(&self) -> String {
        match self {
            Choice::Ids(ranges) => {
                let ids: Vec<String> = ranges.iter().map(|at| at.value.to_string()).collect();
                format!("the id {}", ids.join(", "))
            }
            Choice::Tag(word, _) => format!("the tag `{}`", shown(word)),
            Choice::Message(word, _) => format!("the message `{}`", shown(word)),
        }
    }
}

/// Applies one of the directives; its name in lower case.
pub(super) fn apply(reader: &mut Reader, name: &str, directive: &Directive) {
    let most = if name.starts_with("secruleremove") { usize::MAX } else { 3 };
    let least = if name.starts_with("secruleremove") { 1 } else { 2 };
    if reader.arguments(directive, least, most).is_none() {
        return;
    }
    let first = &directive.arguments[0];
    // `ID:LINK` names a rule inside a chain.
    let (wanted, link) = match first.value.split_once(':') {
        Some((id, link)) if name.ends_with("byid") && !name.starts_with("secruleremove") => {
            (id.to_owned(), link.trim().parse::<usize>().ok())
        }
        _ => (first.value.clone(), Some(0)),
    };
    let Some(link) = link else {
        let problem = format!("`{}` names no rule of a chain", shown(&first.value));
        reader.faults.push(Fault::error(first.place(0), problem).help("write ID or ID:NUMBER"));
        return;
    };
    let choices: Vec<Choice> = if name.ends_with("byid") {
        let words = match name {
            "secruleremovebyid" => directive.arguments.iter().map(|text| text.value.clone()).collect(),
            _ => vec![wanted],
        };
        match effect::id_ranges(&words.join(" "), first.place(0)) {
            // One by one, so that each that names nothing is noted.
            Ok(ranges) => ranges.into_iter().map(|range| Choice::Ids(vec![range])).collect(),
            Err(fault) => {
                reader.faults.push(fault);
                return;
            }
        }
    } else {
        let regex = Regex::new(&wanted).ok();
        let make = if name.ends_with("bytag") { Choice::Tag } else { Choice::Message };
        vec![make(wanted, regex)]
    };
    for choice in choices {
        if is_found(reader, &choice) {
            change(reader, &choice, link, directive);
        } else {
            reader.late.push(Late { directive: directive.clone(), choice, link });
        }
    }
}

/// Applies, when all rules are there, what found none before.
pub(super) fn finish(reader: &mut Reader) {
    for Late { directive, choice, link } in std::mem::take(&mut reader.late) {
        let found = is_found(reader, &choice);
        let whose = choice.spell();
        let reason = if found {
            format!("no rule before it has {whose}, so the rules behind it are changed")
        } else {
            format!("no rule has {whose}")
        };
        reader.note(directive.place, &directive.name, &reason);
        if found {
            change(reader, &choice, link, &directive);
        }
    }
}

fn is_found(reader: &Reader, choice: &Choice) -> bool {
    reader.entries.iter().any(|entry| matches!(entry, Entry::Rule(draft) if choice.takes(draft)))
}

fn change(reader: &mut Reader, choice: &Choice, link: usize, directive: &Directive) {
    let name = directive.name.to_ascii_lowercase();
    if name.starts_with("secruleremove") {
        remove(reader, choice, directive);
    } else if name.starts_with("secruleupdatetarget") {
        targets(reader, choice, link, &directive.arguments[1..], directive);
    } else {
        actions(reader, choice, link, directive);
    }
}

fn remove(reader: &mut Reader, choice: &Choice, directive: &Directive) {
    let mut removed = Vec::new();
    reader.entries.retain(|entry| match entry {
        Entry::Rule(draft) if choice.takes(draft) => {
            removed.push((draft.place, draft.name()));
            false
        }
        _ => true,
    });
    for (place, name) in removed {
        reader.note(place, &name, &format!("taken out by {} {}", directive.name, choice.spell()));
    }
}

/// Adds variables to rules, or puts them where others stand.
fn targets(reader: &mut Reader, choice: &Choice, link: usize, lists: &[Text], directive: &Directive) {
    let mut faults = Vec::new();
    let added = rule::variables(&lists[0], &mut faults);
    let replaced = lists.get(1).filter(|list| !list.value.trim().is_empty());
    let replaced = replaced.map(|list| rule::variables(list, &mut faults)).unwrap_or_default();
    reader.faults.extend(faults);
    let mut missing = Vec::new();
    for entry in &mut reader.entries {
        let Entry::Rule(draft) = entry else { continue };
        if !choice.takes(draft) {
            continue;
        }
        match draft.links.get_mut(link).and_then(|link| link.test.as_mut()) {
            Some((variables, _)) => {
                let is = |one: &rule::Variable, other: &rule::Variable| {
                    one.name.eq_ignore_ascii_case(&other.name)
                        && one.selector == other.selector
                        && one.role == other.role
                };
                variables.retain(|variable| !replaced.iter().any(|gone| is(gone, variable)));
                variables.extend(added.iter().cloned());
            }
            None => missing.push(draft.name()),
        }
    }
    for name in missing {
        reader.note(directive.place, &directive.name, &format!("{name} looks at no variables there"));
    }
}

fn actions(reader: &mut Reader, choice: &Choice, link: usize, directive: &Directive) {
    let text = &directive.arguments[1];
    let mut faults = Vec::new();
    let update = Actions::parse(text, &mut Log { faults: &mut faults, notes: &mut reader.notes });
    if update.id.is_some() || update.chain.is_some() || update.phase.is_some() {
        let problem = "SecRuleUpdateActionById cannot change the id, the phase or the chain";
        faults.push(Fault::error(text.place(0), problem));
    }
    reader.faults.extend(faults);
    let mut missing = Vec::new();
    for entry in &mut reader.entries {
        let Entry::Rule(draft) = entry else { continue };
        if choice.takes(draft) {
            match draft.links.get_mut(link) {
                Some(link) => link.actions.update(update.clone()),
                None => missing.push(draft.name()),
            }
        }
    }
    for name in missing {
        reader.note(directive.place, &directive.name, &format!("the chain of {name} is shorter"));
    }
}
