//! What rules cost: which prefilter keeps each condition from running, what it costs at worst
//! when it does run, and which values got through to it. Time is measured by the caller, for the
//! engine reads no clock.

use serde::Serialize;

use super::engine::{Engine, Sources};
use super::lang::LoadError;
use super::operator::Operator;
use super::prefilter::{self, Guard};
use super::rule::Leaf;
use super::transaction::Transaction;
use super::{Mode, Settings};

/// One condition of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConditionCost {
    pub rule: u32,
    /// Counts the engine's conditions; [`for_each_let_through`] names them by it.
    pub number: usize,
    pub operator: String,
    pub prefilter: Prefilter,
    /// Steps per byte of a value at worst: the states of a regular expression, for instance. The
    /// work grows with the value's length and with nothing else.
    pub worst_steps_per_byte: usize,
}

/// What keeps a condition from being looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Prefilter {
    /// One of so many texts has to be in the value; the shortest has so many bytes.
    Literals { count: usize, shortest: usize },
    /// A byte of a set has to be in the value.
    Bytes { set: String },
    /// It is looked at only when the rule gets there.
    Late,
    /// Every value is looked at, and why.
    None { why: &'static str },
}

/// Settings under which costs are told: everything runs, nothing is stopped.
pub fn settings() -> Settings {
    Settings { mode: Some(Mode::Detect), paranoia_level: Some(4), run_every_set: true, ..Settings::default() }
}

/// An engine that asks about every value that gets through a prefilter: it has no memory of
/// harmless values.
pub fn engine(sources: &Sources) -> Result<Engine, Vec<LoadError>> {
    let mut engine = Engine::compile(sources, &settings())?;
    engine.program.clean = None;
    Ok(engine)
}

/// The conditions of all rules, in the order in which they run.
pub fn conditions(engine: &Engine) -> Vec<ConditionCost> {
    let program = &engine.program;
    let leaves = program.leaves.iter().enumerate();
    leaves
        .map(|(number, leaf)| ConditionCost {
            rule: program.rules[leaf.rule].id,
            number,
            operator: leaf.dynamic.as_ref().map_or_else(|| leaf.operator.describe(), |d| d.describe()),
            prefilter: of(leaf),
            worst_steps_per_byte: leaf.operator.steps_per_byte(),
        })
        .collect()
}

fn of(leaf: &Leaf) -> Prefilter {
    if leaf.late || leaf.targets.iter().all(|target| target.collections().is_empty()) {
        return Prefilter::Late;
    }
    match prefilter::guard(leaf, false) {
        Guard::Literals => {
            let literals = leaf.need.literals.as_deref().unwrap_or_default();
            Prefilter::Literals {
                count: literals.len(),
                shortest: literals.iter().map(Vec::len).min().unwrap_or(0),
            }
        }
        Guard::Bytes => {
            let sets = leaf.need.bytes.iter().min_by_key(|set| set.len());
            Prefilter::Bytes { set: sets.map_or_else(String::new, |set| format!("{set:?}")) }
        }
        Guard::Nothing if leaf.negate => Prefilter::None { why: "it looks for what does not match" },
        Guard::Nothing if leaf.need.bytes.is_empty() => {
            Prefilter::None { why: "its operator may match any value" }
        }
        Guard::Nothing => Prefilter::None { why: "nearly every value has a byte that it needs" },
    }
}

/// The values that got through to conditions in this exchange so far, with the operators.
pub fn for_each_let_through(transaction: &Transaction, mut see: impl FnMut(usize, &dyn Operator, &[u8])) {
    transaction.candidates_seen(|program, store, candidate| {
        let leaf = &program.leaves[candidate.leaf as usize];
        see(candidate.leaf as usize, &*leaf.operator, store.get(candidate.span));
    });
}
