//! What wakes a rule, and what need not be looked at before it is awake.

use super::bits::Bits;
use super::prefilter::{self, Guard};
use super::rule::{Condition, Leaf, Rule};

/// Decides for each rule which leaves' candidates wake it, and returns the rules that always
/// have to be looked at.
pub(super) fn gates(rules: &[Rule], leaves: &mut [Leaf], plain: bool) -> Bits {
    let mut unconditional = Bits::none(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        let Some(condition) = &rule.condition else {
            unconditional.insert(index);
            continue;
        };
        let gate = gate(condition, leaves, plain);
        match &gate {
            Some(gate) => gate.iter().for_each(|leaf| leaves[*leaf].wakes = true),
            None => unconditional.insert(index),
        }
        if !plain {
            put_off(condition, gate.is_some(), leaves);
        }
    }
    unconditional
}

/// Leaves are not scanned for that a rule seldom gets to: those that do not wake it, and those that
/// stand behind another condition. Leaves with literals are scanned for all the same: all literals
/// are looked for at once, and what wakes a rule may be in every exchange.
fn put_off(condition: &Condition, seldom: bool, leaves: &mut [Leaf]) {
    match condition {
        Condition::Leaf(index) => {
            let leaf = &mut leaves[*index];
            leaf.late |= seldom && !leaf.wakes && prefilter::guard(leaf, false) != Guard::Literals;
        }
        Condition::All(inner) => {
            for (number, inner) in inner.iter().enumerate() {
                put_off(inner, seldom || number > 0, leaves);
            }
        }
        Condition::Any(inner) => inner.iter().for_each(|inner| put_off(inner, seldom, leaves)),
        Condition::Not(inner) => put_off(inner, seldom, leaves),
    }
}

/// Leaves such that the condition is false while none of them has a candidate.
fn gate(condition: &Condition, leaves: &[Leaf], plain: bool) -> Option<Vec<usize>> {
    match condition {
        Condition::Leaf(leaf) => (!leaves[*leaf].live && !leaves[*leaf].late).then(|| vec![*leaf]),
        // All must hold, so any one of them is a gate: take the one that opens least. But what a
        // condition leaves behind stays even when a later one fails, so none may come before its
        // gate.
        Condition::All(inner) => {
            let first = inner.iter().position(|inner| has_effects(inner, leaves)).unwrap_or(inner.len());
            let gates = inner.iter().take(first + 1).filter_map(|inner| gate(inner, leaves, plain));
            gates.min_by_key(|gate| {
                let weakest = gate.iter().map(|leaf| match prefilter::guard(&leaves[*leaf], plain) {
                    Guard::Literals => 0,
                    Guard::Bytes => 1,
                    Guard::Nothing => 2,
                });
                (weakest.max(), gate.len())
            })
        }
        Condition::Any(inner) => inner
            .iter()
            .map(|inner| gate(inner, leaves, plain))
            .collect::<Option<Vec<_>>>()
            .map(|gates| gates.concat()),
        Condition::Not(_) => None,
    }
}

fn has_effects(condition: &Condition, leaves: &[Leaf]) -> bool {
    match condition {
        Condition::Leaf(leaf) => leaves[*leaf].has_effects(),
        Condition::All(inner) | Condition::Any(inner) => inner.iter().any(|inner| has_effects(inner, leaves)),
        Condition::Not(inner) => has_effects(inner, leaves),
    }
}
