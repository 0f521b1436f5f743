//! From drafts to rule files: what needs the whole picture (ids, tags, jumps, levels), then the
//! files' texts.

use std::collections::{BTreeMap, BTreeSet};

use crate::waf::lang::ast::{Action, Condition, Data, Leaf, Marker, Rule, RuleSet, Setup};
use crate::waf::lang::error::{At, Place};
use crate::waf::lang::{LoadError, print};
use crate::waf::{Source, Sources};

use super::directive::Reader;
use super::draft::{Draft, Entry};
use super::fault::{Fault, FaultKind};
use super::operator::DataFiles;
use super::translate::{self, Known, Outcome};
use super::{Counts, Imported, Input, Log, Note, Options, RawNote, errors, gates};

/// The first id for what has none; far above what people and vendors use.
const OWN_IDS: u32 = 4_000_000_000;

/// An entry of the result.
pub(super) enum Piece {
    Rule {
        segment: usize,
        rule: Box<Rule>,
    },
    Marker {
        segment: usize,
        name: At<String>,
    },
    /// A rule that is not in the result but counts for `skip`.
    Gone {
        phase: crate::waf::report::PhaseName,
    },
}

pub(super) fn assemble(reader: Reader, options: &Options) -> Result<Imported, Vec<LoadError>> {
    let Reader { files, inputs, segments, mut entries, setup, signature, mut faults, mut notes, .. } = reader;
    let mut counts = Counts::default();
    let mut data = Data::new();
    if options.skip_unsupported {
        pass_over(&mut faults, &mut notes, &mut counts);
    }
    number(&mut entries, &mut notes);
    let known = known(&entries);
    let mut pieces = Vec::with_capacity(entries.len());
    for entry in entries {
        let draft = match entry {
            Entry::Marker { segment, name } => {
                counts.markers += 1;
                pieces.push(Piece::Marker { segment, name });
                continue;
            }
            Entry::Rule(draft) => draft,
        };
        let from = inputs[segments[draft.segment]].name.clone();
        let mut files = DataFiles { files: &mut *files, from, data: &mut data };
        let mut own = draft.faults.clone();
        let mut log = Log { faults: &mut own, notes: &mut notes };
        let outcome = translate::rule(&draft, &known, &mut files, &mut log);
        let gone = Piece::Gone { phase: draft.phase() };
        match outcome {
            _ if !own.is_empty() => {
                refuse(&draft, own, options, &mut faults, &mut notes, &mut counts);
                pieces.push(gone);
            }
            Some(Outcome::Rule(rule)) => {
                counts.chained += draft.links.len() - 1;
                pieces.push(Piece::Rule { segment: draft.segment, rule });
            }
            Some(Outcome::Never) | None => {
                note(
                    &mut notes,
                    draft.place,
                    &draft.name(),
                    "it can never match in its phase, so it is left out",
                );
                pieces.push(gone);
            }
        }
    }
    doubles(&pieces, &inputs, &mut faults);
    if !faults.is_empty() {
        return Err(errors(&inputs, faults));
    }
    let level = gates::settle(&mut pieces, &mut counts, &mut notes);
    prune(&mut pieces, &mut notes);
    skips(&mut pieces, &mut notes);
    counts.rules = pieces.iter().filter(|piece| matches!(piece, Piece::Rule { .. })).count();
    let setup = Setup { paranoia_level: level, ..setup };
    let names: Vec<&str> = segments.iter().map(|file| inputs[*file].name.as_str()).collect();
    let files = texts(pieces, &names, &setup, signature.as_deref());
    Ok(Imported { sources: Sources { files, data }, notes: placed(&inputs, notes), counts })
}

fn note(notes: &mut Vec<RawNote>, place: Place, directive: &str, reason: &str) {
    notes.push(RawNote { place, directive: directive.to_owned(), reason: reason.to_owned() });
}

/// Turns faults of directives that are only not supported into notes.
fn pass_over(faults: &mut Vec<Fault>, notes: &mut Vec<RawNote>, counts: &mut Counts) {
    faults.retain(|fault| {
        let skip = fault.kind == FaultKind::Unsupported;
        if skip {
            note(notes, fault.place, "skipped", &fault.problem);
            counts.skipped += 1;
        }
        !skip
    });
}

/// A rule with faults: skipped whole when all that is wrong is that we have not what it needs.
fn refuse(
    draft: &Draft,
    own: Vec<Fault>,
    options: &Options,
    faults: &mut Vec<Fault>,
    notes: &mut Vec<RawNote>,
    counts: &mut Counts,
) {
    if options.skip_unsupported && own.iter().all(|fault| fault.kind == FaultKind::Unsupported) {
        counts.skipped += 1;
        for fault in own {
            note(notes, fault.place, &draft.name(), &format!("skipped: {}", fault.problem));
        }
    } else {
        faults.extend(
            own.into_iter().filter(|fault| !options.skip_unsupported || fault.kind == FaultKind::Error),
        );
    }
}

/// A SecAction may do without an id in libmodsecurity; here it gets one.
fn number(entries: &mut [Entry], notes: &mut Vec<RawNote>) {
    let mut taken: BTreeSet<u32> = BTreeSet::new();
    for entry in entries.iter() {
        taken.extend(if let Entry::Rule(draft) = entry { draft.id() } else { None });
    }
    let mut next = OWN_IDS;
    for entry in entries {
        let Entry::Rule(draft) = entry else { continue };
        let place = draft.place;
        if draft.links[0].test.is_some() || draft.id().is_some() || !draft.faults.is_empty() {
            continue;
        }
        while !taken.insert(next) {
            next = next.saturating_add(1);
        }
        draft.links[0].actions.id = Some(At::new(place, next));
        note(notes, place, "SecAction", &format!("it has no id; here it is rule {next}"));
    }
}

fn known(entries: &[Entry]) -> Known {
    let mut known = Known::default();
    for entry in entries {
        let Entry::Rule(draft) = entry else { continue };
        known.tags.extend(draft.tags().map(str::to_owned));
        if let (Some(id), Some(message)) = (draft.id(), &draft.head().msg) {
            known.messages.push((id, message.value.clone()));
        }
    }
    known
}

/// Ids that stand twice.
fn doubles(pieces: &[Piece], inputs: &[Input], faults: &mut Vec<Fault>) {
    let mut seen: BTreeMap<u32, Place> = BTreeMap::new();
    for rule in rules(pieces) {
        if let Some(first) = seen.insert(rule.id.value, rule.id.place) {
            let first = spelled(inputs, first);
            faults.push(Fault::error(
                rule.id.place,
                format!("the rule id {} stands already at {first}", rule.id.value),
            ));
        }
    }
}

fn spelled(inputs: &[Input], place: Place) -> String {
    let problems = crate::waf::lang::error::Problems::new(
        inputs.iter().map(|input| (input.name.as_str(), input.text.as_str())).collect(),
    );
    problems.spell(place)
}

pub(super) fn rules(pieces: &[Piece]) -> impl Iterator<Item = &Rule> {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Rule { rule, .. } => Some(&**rule),
        _ => None,
    })
}

/// The conditions of a rule that compare.
pub(super) fn leaves(condition: Option<&mut Condition>) -> Vec<&mut Leaf> {
    match condition {
        None => Vec::new(),
        Some(Condition::Leaf(leaf)) => vec![leaf],
        Some(Condition::All(all)) => all.all.iter_mut().flat_map(|inner| leaves(Some(inner))).collect(),
        Some(Condition::Any(any)) => any.any.iter_mut().flat_map(|inner| leaves(Some(inner))).collect(),
        Some(Condition::Not(not)) => leaves(Some(&mut not.not)),
    }
}

/// Takes ids and tags that no rule of the result has out of `exclude` actions: the loader takes
/// them for mistakes.
fn prune(pieces: &mut [Piece], notes: &mut Vec<RawNote>) {
    let ids: BTreeSet<u32> = rules(pieces).map(|rule| rule.id.value).collect();
    let tags: BTreeSet<String> = rules(pieces).flat_map(|rule| rule.tags().iter().cloned()).collect();
    let mut keep = |place: Place, name: &str, action: &mut Action| {
        let Action::Exclude(exclude) = action else { return true };
        let mut miss = |what: String| note(notes, place, name, &format!("no rule of the import has {what}"));
        exclude.rules.retain(|at| {
            let found = ids.range(at.value.first..=at.value.last).next().is_some();
            if !found {
                miss(format!("the id {}", at.value));
            }
            found
        });
        exclude.tags.retain(|at| {
            let found = tags.contains(&at.value);
            if !found {
                miss(format!("the tag `{}`", at.value));
            }
            found
        });
        !(exclude.rules.is_empty() && exclude.tags.is_empty())
    };
    for piece in pieces {
        let Piece::Rule { rule, .. } = piece else { continue };
        let name = format!("rule {}", rule.id.value);
        rule.then.retain_mut(|at| keep(at.place, &name, &mut at.value));
        for leaf in leaves(rule.when.as_mut()) {
            if let Some(actions) = &mut leaf.on_match {
                actions.retain_mut(|at| keep(at.place, &name, &mut at.value));
                if actions.is_empty() {
                    leaf.on_match = None;
                }
            }
        }
    }
}

/// `skip` counts rules, so it counts fewer when some of them are gone.
fn skips(pieces: &mut [Piece], notes: &mut Vec<RawNote>) {
    for at in 0..pieces.len() {
        let Piece::Rule { rule, .. } = &pieces[at] else { continue };
        let phase = rule.phase.value;
        let Some(count) = rule.then.iter().find_map(|at| match at.value {
            Action::Skip(count) => Some(count),
            _ => None,
        }) else {
            continue;
        };
        let next = pieces[at + 1..].iter().filter_map(|piece| match piece {
            Piece::Rule { rule, .. } => (rule.phase.value == phase).then_some(true),
            Piece::Gone { phase: gone } => (*gone == phase).then_some(false),
            Piece::Marker { .. } => None,
        });
        let next: Vec<bool> = next.take(count as usize).collect();
        let gone = next.iter().filter(|kept| !**kept).count();
        let left = count - u32::try_from(gone).unwrap_or(0);
        let Piece::Rule { rule, .. } = &mut pieces[at] else { continue };
        if gone > 0 {
            let reason = format!("`skip` goes over {left} rules; {gone} of {count} are not in the result");
            note(notes, rule.place, &format!("rule {}", rule.id.value), &reason);
        }
        rule.then.retain_mut(|at| match &mut at.value {
            Action::Skip(count) => {
                *count = left;
                left > 0
            }
            _ => true,
        });
    }
}

/// Notes with lines, in the order of the files.
fn placed(inputs: &[Input], mut notes: Vec<RawNote>) -> Vec<Note> {
    notes.sort_by_key(|note| note.place);
    let mut line = (0, 0, 1);
    let mut placed = Vec::with_capacity(notes.len());
    for RawNote { place, directive, reason } in notes {
        let (file, text) = inputs.get(place.file).map_or(("", ""), |input| (&*input.name, &*input.text));
        if line.0 != place.file {
            line = (place.file, 0, 1);
        }
        // Notes are in order, so each line is counted once.
        let between = text.as_bytes().get(line.1..place.offset).unwrap_or_default();
        line = (place.file, place.offset, line.2 + between.iter().filter(|byte| **byte == b'\n').count());
        let note = Note { file: file.to_owned(), line: line.2, directive, reason };
        if placed.last() != Some(&note) {
            placed.push(note);
        }
    }
    placed
}

/// One set for each stretch of a file that has rules or markers, and the setup before them.
fn texts(pieces: Vec<Piece>, names: &[&str], setup: &Setup, signature: Option<&str>) -> Vec<Source> {
    let mut sets: Vec<(usize, RuleSet)> = Vec::new();
    for piece in pieces {
        let segment = match &piece {
            Piece::Rule { segment, .. } | Piece::Marker { segment, .. } => *segment,
            Piece::Gone { .. } => continue,
        };
        if sets.last().is_none_or(|(last, _)| *last != segment) {
            let name = stem(names.get(segment).copied().unwrap_or_default());
            let version = String::new();
            let set = RuleSet {
                place: Place::default(),
                name,
                version,
                description: None,
                mode: None,
                rules: Vec::new(),
                markers: Vec::new(),
            };
            sets.push((segment, set));
        }
        let Some((_, set)) = sets.last_mut() else { continue };
        match piece {
            Piece::Rule { rule, .. } => set.rules.push(*rule),
            Piece::Marker { name, .. } => set.markers.push(Marker { before: set.rules.len(), name }),
            Piece::Gone { .. } => {}
        }
    }
    let step = if sets.len() < 100 { 10 } else { 1 };
    let width = if sets.len() < 1000 { 3 } else { 6 };
    let mut files = Vec::new();
    if *setup != Setup::default() {
        files.push(Source { name: format!("{:0width$}-setup.json", 0), text: print::setup(setup) });
    }
    for (number, (_, mut set)) in sets.into_iter().enumerate() {
        set.version = version(&set, signature);
        let name = format!("{:0width$}-{}.json", (number + 1) * step, set.name);
        files.push(Source { name, text: print::rule_set(&set) });
    }
    files
}

/// What the rules call their version: `OWASP_CRS/3.3.4` is 3.3.4.
fn version(set: &RuleSet, signature: Option<&str>) -> String {
    let own = set.rules.iter().find_map(|rule| rule.version.as_deref());
    let written = own.or(signature).unwrap_or("imported").trim();
    let version = written.rsplit('/').next().unwrap_or(written).trim();
    if version.is_empty() { "imported".to_owned() } else { version.to_owned() }
}

/// The name of a file without folders and `.conf`, in letters that every file system takes.
fn stem(name: &str) -> String {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let file = file.strip_suffix(".example").unwrap_or(file);
    let file = file.strip_suffix(".conf").unwrap_or(file);
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let stem: String = file.chars().map(|c| allowed(c).to_ascii_lowercase()).collect();
    if stem.contains(|c: char| c.is_ascii_alphanumeric()) { stem } else { "rules".to_owned() }
}
