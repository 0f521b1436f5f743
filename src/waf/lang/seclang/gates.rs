//! Paranoia gates. The Core Rule Set keeps the rules of a higher paranoia level behind jumps:
//! `SecRule TX:DETECTION_PARANOIA_LEVEL "@lt 2" "phase:2,nolog,pass,skipAfter:END"` leaves out the
//! rules of phase 2 up to the marker END. When it is certain which level that variable has, the
//! rules get the level instead and the jump goes; the engine then leaves out what is above the level
//! when it compiles, and never looks at it.
//!
//! The level is certain when only unconditional rules of phase 1 set the variable, or the idiom for
//! defaults (`&TX:x "@eq 0"` sets x), before all gates, and no jump and no `allow` can come between.
//! Whatever is not certain stays a jump, which is as right and only slower.

use std::collections::{BTreeMap, BTreeSet};

use crate::waf::lang::ast::{Action, AllowScope, Assignment, Condition, ExcludeAction, Leaf, Rule, SetName};
use crate::waf::operator;
use crate::waf::report::PhaseName;
use crate::waf::variable::Live;
use crate::waf::variable::target::{Role, Selector, Target};

use super::assemble::Piece;
use super::{Counts, RawNote, macros};

/// Turns gates into levels and returns the level that was folded.
pub(super) fn settle(pieces: &mut [Piece], counts: &mut Counts, notes: &mut Vec<RawNote>) -> Option<u8> {
    let gates: Vec<Gate> = (0..pieces.len()).filter_map(|at| gate(pieces, at)).collect();
    let wanted: BTreeSet<&str> = gates.iter().map(|gate| gate.variable.as_str()).collect();
    let jumps: Vec<Option<usize>> = (0..pieces.len()).map(|at| jump(pieces, at)).collect();
    let folded = Fold::run(pieces, &jumps, &gates);
    let mut levels: BTreeMap<u8, usize> = BTreeMap::new();
    let level_of = |variable: &str| -> Option<u8> {
        let value = folded.constant(variable)?;
        u8::try_from(operator::number(value.as_bytes())).ok().filter(|level| (1..=4).contains(level))
    };
    for gate in &gates {
        if let Some(level) = level_of(&gate.variable) {
            *levels.entry(level).or_default() += 1;
        }
    }
    // There is one level; gates on a variable with another one stay.
    let (level, _) = levels.into_iter().max_by_key(|(_, gates)| *gates)?;
    let settled: BTreeSet<String> =
        wanted.into_iter().filter(|name| level_of(name) == Some(level)).map(str::to_owned).collect();
    let removable: Vec<&Gate> = gates
        .iter()
        .filter(|gate| settled.contains(&gate.variable) && !has_way_in(pieces, &jumps, gate))
        .collect();
    for gate in &removable {
        for piece in &mut pieces[gate.at + 1..gate.end] {
            if let Piece::Rule { rule, .. } = piece
                && rule.phase.value == gate.phase
            {
                rule.paranoia_level = Some(rule.paranoia_level.unwrap_or(1).max(gate.level));
            }
        }
    }
    for gate in removable {
        if let Piece::Rule { rule, .. } = &pieces[gate.at] {
            let reason = format!("became the paranoia level {} of the rules up to its marker", gate.level);
            let directive = format!("rule {}", rule.id.value);
            notes.push(RawNote { place: rule.place, directive, reason });
        }
        pieces[gate.at] = Piece::Gone { phase: gate.phase };
        counts.gates += 1;
    }
    (counts.gates > 0).then_some(level)
}

/// A rule that jumps over a level.
struct Gate {
    /// Its index, and that of its marker.
    at: usize,
    end: usize,
    phase: PhaseName,
    variable: String,
    level: u8,
}

/// The gate at this place: a rule that only compares a variable with a level, and only jumps.
fn gate(pieces: &[Piece], at: usize) -> Option<Gate> {
    let Piece::Rule { rule, .. } = &pieces[at] else { return None };
    let Some(Condition::Leaf(leaf)) = &rule.when else { return None };
    let (Role::Include, variable) = tx_target(leaf)? else { return None };
    let plain = leaf.negate.is_none() && leaf.capture.is_none() && leaf.on_match.is_none();
    if !plain || leaf.operator.name.value != "lt" || leaf.transformations.is_some() {
        return None;
    }
    let level = u8::try_from(leaf.operator.argument.value.as_i64()?).ok()?;
    let mut marker = None;
    for action in &rule.then {
        match &action.value {
            Action::NoLog => {}
            Action::SkipAfter(name) => marker = Some(name),
            _ => return None,
        }
    }
    // One that logs would be missed in the log.
    let silent = rule.then.iter().any(|at| at.value == Action::NoLog);
    let end = find_marker(pieces, at, marker?)?;
    let known = (1..=4).contains(&level) && silent;
    known.then_some(Gate { at, end, phase: rule.phase.value, variable, level })
}

/// The leaf's only target, when it is one variable of `tx` under a plain key.
fn tx_target(leaf: &Leaf) -> Option<(Role, String)> {
    let [at] = &leaf.variables[..] else { return None };
    let Target { role, selector: Selector::Key(key), .. } = &at.value else { return None };
    (at.value.live() == Some(Live::Tx)).then(|| (*role, String::from_utf8_lossy(key).into_owned()))
}

/// The next marker of this name behind a rule.
fn find_marker(pieces: &[Piece], from: usize, wanted: &str) -> Option<usize> {
    let is_it = |piece: &Piece| matches!(piece, Piece::Marker { name, .. } if name.value == wanted);
    pieces[from + 1..].iter().position(is_it).map(|found| from + 1 + found)
}

/// Where the jump of a rule goes, as an index; none for a rule that does not jump.
fn jump(pieces: &[Piece], at: usize) -> Option<usize> {
    let Piece::Rule { rule, .. } = &pieces[at] else { return None };
    let mut target = None;
    for action in &rule.then {
        target = match &action.value {
            Action::SkipAfter(name) => Some(find_marker(pieces, at, name).unwrap_or(pieces.len())),
            Action::Skip(count) => Some(skipped(pieces, at, rule.phase.value, *count)),
            _ => target,
        };
    }
    target
}

/// The index behind the next rules of a phase, so many.
fn skipped(pieces: &[Piece], at: usize, phase: PhaseName, count: u32) -> usize {
    let mut left = count;
    for (index, piece) in pieces.iter().enumerate().skip(at + 1) {
        let counts = match piece {
            Piece::Rule { rule, .. } => rule.phase.value == phase,
            Piece::Gone { phase: gone } => *gone == phase,
            Piece::Marker { .. } => false,
        };
        if counts && left == 0 {
            return index;
        }
        left -= u32::from(counts);
    }
    pieces.len()
}

/// True when a rule before the gate can jump to behind it and before its marker: then the rules there
/// can be reached without passing the gate.
fn has_way_in(pieces: &[Piece], jumps: &[Option<usize>], gate: &Gate) -> bool {
    (0..gate.at).any(|at| {
        matches!(&pieces[at], Piece::Rule { rule, .. } if rule.phase.value == gate.phase)
            && jumps[at].is_some_and(|target| target > gate.at && target < gate.end)
    })
}

/// What is known of the variables in `tx` when phase 1 has run.
#[derive(Default)]
struct Fold {
    /// None: set, nobody knows to what.
    values: BTreeMap<String, Option<String>>,
    /// Beginnings and ends of names with macros that are set somewhere.
    patterns: Vec<(String, String)>,
}

impl Fold {
    fn run(pieces: &[Piece], jumps: &[Option<usize>], gates: &[Gate]) -> Fold {
        let mut fold = Fold::default();
        let mut uncertain_until = 0;
        let mut excludes: Vec<&ExcludeAction> = Vec::new();
        let mut poisoned: BTreeSet<String> = BTreeSet::new();
        for (at, piece) in pieces.iter().enumerate() {
            let Piece::Rule { rule, .. } = piece else { continue };
            let is_first = rule.phase.value == PhaseName::RequestHeaders;
            let default = default_of(rule);
            let certain = is_first
                && at >= uncertain_until
                && (rule.when.is_none() || default.is_some())
                && !excludes
                    .iter()
                    .any(|exclude| takes_out(exclude, rule) && !takes_out_all(exclude, pieces, gates));
            for (name, assignment) in sets(rule).into_iter().filter(|(name, _)| name.persistent.is_none()) {
                if let Some((before, _, after)) = macros::next(&name.name) {
                    let end = after.rsplit('}').next().unwrap_or_default();
                    fold.patterns.push((before.to_owned(), end.to_owned()));
                    continue;
                }
                let late =
                    gates.iter().any(|gate| gate.variable == name.name && comes_before(pieces, gate, at));
                if !certain || late || default.as_ref().is_some_and(|default| *default != name.name) {
                    poisoned.insert(name.name.clone());
                    fold.values.insert(name.name.clone(), None);
                } else if default.is_none() || !fold.values.contains_key(&name.name) {
                    fold.set(&name.name, assignment);
                }
            }
            if is_first {
                let is_gate = gates.iter().any(|gate| gate.at == at);
                if let Some(target) = jumps[at].filter(|_| !is_gate) {
                    uncertain_until = uncertain_until.max(target);
                }
                if leaves_phase(rule) {
                    uncertain_until = pieces.len();
                }
                excludes.extend(excluded(rule));
            }
        }
        for name in poisoned {
            fold.values.insert(name, None);
        }
        fold
    }

    /// The value that a variable surely has.
    fn constant(&self, name: &str) -> Option<&str> {
        let hit = |(start, end): &(String, String)| {
            name.starts_with(start.as_str()) && name.ends_with(end.as_str())
        };
        if self.patterns.iter().any(hit) {
            return None;
        }
        self.values.get(name)?.as_deref()
    }

    fn set(&mut self, name: &str, assignment: &Assignment) {
        let value = match assignment {
            Assignment::Text(text) => self.expand(text),
            Assignment::Add(by) => self.sum(name, by, 1),
            Assignment::Subtract(by) => self.sum(name, by, -1),
            Assignment::Delete => {
                self.values.remove(name);
                return;
            }
        };
        self.values.insert(name.to_owned(), value);
    }

    fn sum(&self, name: &str, by: &str, sign: i64) -> Option<String> {
        let before = match self.values.get(name) {
            None => 0,
            Some(value) => operator::number(value.as_ref()?.as_bytes()),
        };
        let by = operator::number(self.expand(by)?.as_bytes());
        Some(before.saturating_add(by.saturating_mul(sign)).to_string())
    }

    /// A text whose macros are all known.
    fn expand(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, inner, after)) = macros::next(rest) {
            out.push_str(before);
            let name = inner.strip_prefix("tx.")?;
            if self.values.contains_key(name) {
                out.push_str(self.constant(name)?);
            }
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }
}

/// True when the rule at `at` runs after the gate does.
fn comes_before(pieces: &[Piece], gate: &Gate, at: usize) -> bool {
    let Piece::Rule { rule, .. } = &pieces[at] else { return false };
    (gate.phase, gate.at) < (rule.phase.value, at)
}

/// The variable whose absence is all that the rule asks for.
fn default_of(rule: &Rule) -> Option<String> {
    let Some(Condition::Leaf(leaf)) = &rule.when else { return None };
    let (Role::Count, name) = tx_target(leaf)? else { return None };
    let asks = leaf.operator.name.value == "eq" && leaf.operator.argument.value.as_i64() == Some(0);
    (asks && leaf.negate.is_none() && leaf.transformations.is_none()).then_some(name)
}

/// All assignments of a rule, in order.
fn sets(rule: &Rule) -> Vec<(&SetName, &Assignment)> {
    let mut actions: Vec<&Action> = Vec::new();
    on_match(rule.when.as_ref(), &mut actions);
    actions.extend(rule.then.iter().map(|at| &at.value));
    let assignments = actions.into_iter().filter_map(|action| match action {
        Action::Set(list) => Some(list),
        _ => None,
    });
    assignments.flatten().map(|(name, assignment)| (name, assignment)).collect()
}

fn on_match<'r>(condition: Option<&'r Condition>, actions: &mut Vec<&'r Action>) {
    match condition {
        None => {}
        Some(Condition::Leaf(leaf)) => actions.extend(leaf.on_match.iter().flatten().map(|at| &at.value)),
        Some(Condition::All(all)) => all.all.iter().for_each(|inner| on_match(Some(inner), actions)),
        Some(Condition::Any(any)) => any.any.iter().for_each(|inner| on_match(Some(inner), actions)),
        Some(Condition::Not(not)) => on_match(Some(&not.not), actions),
    }
}

/// True for a rule after which other phases run without the rest of this one.
fn leaves_phase(rule: &Rule) -> bool {
    let leaves = |action: &Action| matches!(action, Action::Allow(AllowScope::Phase | AllowScope::Request));
    rule.then.iter().any(|at| leaves(&at.value))
}

/// What a rule takes out whole.
fn excluded(rule: &Rule) -> Vec<&ExcludeAction> {
    let mut actions = Vec::new();
    on_match(rule.when.as_ref(), &mut actions);
    actions.extend(rule.then.iter().map(|at| &at.value));
    let excludes = actions.into_iter().filter_map(|action| match action {
        Action::Exclude(exclude) if exclude.variables.is_empty() => Some(exclude),
        _ => None,
    });
    excludes.collect()
}

/// True when what sets the levels goes only together with everything behind the gates: then it does
/// not matter that it goes.
fn takes_out_all(exclude: &ExcludeAction, pieces: &[Piece], gates: &[Gate]) -> bool {
    gates.iter().all(|gate| {
        pieces[gate.at + 1..gate.end].iter().all(|piece| match piece {
            Piece::Rule { rule, .. } => rule.phase.value != gate.phase || takes_out(exclude, rule),
            _ => true,
        })
    })
}

fn takes_out(exclude: &ExcludeAction, rule: &Rule) -> bool {
    exclude.rules.iter().any(|at| at.value.contains(rule.id.value))
        || exclude.tags.iter().any(|at| rule.tags().contains(&at.value))
}
