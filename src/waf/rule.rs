//! A rule as it runs.

use std::sync::Arc;

use super::lang::ast::Severity;
use super::operator::{Need, Operator};
use super::report::PhaseName;
use super::template::Template;
use super::transformation::Transformation;
use super::variable::target::Target;

/// One compiled rule. Rules stand in the order in which they run: by phase, then by file, then
/// as written.
#[derive(Debug)]
pub(crate) struct Rule {
    pub id: u32,
    pub set: Arc<str>,
    pub phase: PhaseName,
    pub message: String,
    pub severity: Option<Severity>,
    pub paranoia_level: u8,
    pub tags: Vec<String>,
    /// Reported, but without effect on the exchange.
    pub shadow: bool,
    pub condition: Option<Condition>,
    pub then: Vec<Action>,
    /// False: its matches are not reported.
    pub log: bool,
}

/// Leaves by their number in the program.
#[derive(Debug)]
pub(crate) enum Condition {
    Leaf(usize),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

/// One comparison.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub rule: usize,
    pub targets: Vec<Target>,
    /// The node of the transformation tree, and its transformations in order.
    pub pipeline: usize,
    pub steps: Vec<&'static Transformation>,
    pub operator: Box<dyn Operator>,
    pub need: Need,
    pub negate: bool,
    pub capture: bool,
    pub multi_match: bool,
    /// Looks at `tx`, `matched_var` and the like, or counts: partly evaluated when its rule runs.
    pub live: bool,
    /// A candidate for this leaf wakes its rule.
    pub wakes: bool,
}

/// An action with everything resolved.
#[derive(Debug)]
pub(crate) enum Action {
    Score(i64),
    Deny {
        status: u16,
    },
    Redirect {
        status: u16,
        location: Template,
    },
    Drop,
    Allow,
    Assign {
        name: Vec<u8>,
        text: Template,
    },
    Add {
        name: Vec<u8>,
        by: i64,
    },
    StripRequestHeader(Arc<str>),
    StripResponseHeader(Arc<str>),
    /// These rules (by index) are off, or these targets are taken from them.
    Exclude {
        rules: super::bits::Bits,
        targets: Arc<[Target]>,
    },
}
