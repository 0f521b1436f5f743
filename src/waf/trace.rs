//! What the engine did in one exchange, step by step, as plain data: which rules had their turn,
//! which values they saw under which names and after which transformations, what their operators
//! said, what they set and decided. Printing it is for others. A trace does not change what comes
//! of the exchange; while it is off nothing of it is kept.
//!
//! A traced transaction asks every operator about every value, without prefilters.

use super::body::MultipartFlaw;
use super::evaluate::Evaluation;
use super::expand;
use super::lang::ast::{AllowScope, BodyProcessor, EngineMode, Persistent};
use super::report::{Disruption, PhaseName, Report};
use super::rule::Leaf;
use super::scratch::Scratch;
use super::transformation::Transformation;
use super::variable::store::Span;
use super::variable::target::Role;

/// Events kept of one exchange. A thousand rules over a hundred values fit.
const EVENTS: usize = 1 << 20;
/// Bytes kept of one value.
const VALUE: usize = 64 * 1024;

/// All that happened, in order.
#[derive(Debug, Default)]
pub struct Trace {
    pub events: Vec<Event>,
    /// Events beyond the bound.
    pub dropped: usize,
}

/// What a traced exchange ends with.
#[derive(Debug)]
pub struct Traced {
    pub report: Report,
    pub trace: Trace,
}

/// One step. Names of values are as rules spell them, `args:q`, with keys as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A phase begins.
    Phase(PhaseName),
    /// A value that the phase has and earlier ones had not.
    Collected {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    /// It is this rule's turn.
    Rule {
        rule: u32,
        conditional: bool,
    },
    /// It would have been this rule's turn.
    Skipped {
        rule: u32,
        because: Because,
    },
    /// One comparison of a rule begins.
    Comparison {
        rule: u32,
        /// The first comparison of the rule; later ones are those of a chain.
        first: bool,
        /// As written.
        variables: Vec<String>,
        /// Name and argument as written.
        operator: String,
        /// The argument, when it has macros.
        argument: Option<Vec<u8>>,
        negated: bool,
    },
    /// A transformation's result, also when it left the value as it was.
    Transformed {
        name: &'static str,
        result: Vec<u8>,
    },
    /// The operator was asked about a value. `matched` has the negation in it.
    Asked {
        name: Vec<u8>,
        value: Vec<u8>,
        matched: bool,
    },
    /// A group was captured; 0 is the whole match.
    Captured {
        group: usize,
        text: Vec<u8>,
    },
    /// What became of a comparison.
    Compared {
        rule: u32,
        matched: bool,
    },
    /// The rule matched. Texts have their macros filled in.
    Matched {
        rule: u32,
        message: Vec<u8>,
        data: Vec<u8>,
        tags: Vec<String>,
        logged: bool,
    },
    /// A variable (`tx:score`) has a new value, or is gone.
    Set {
        name: Vec<u8>,
        value: Option<Vec<u8>>,
    },
    /// A persistent collection was opened.
    Opened {
        collection: Persistent,
        key: Vec<u8>,
    },
    /// These rules are out from here on, or with variables only those.
    Excluded {
        rules: Vec<u32>,
        variables: Vec<String>,
    },
    /// How the request body was read, and what is odd about it.
    Body {
        processor: Option<&'static str>,
        error: String,
        flaws: Vec<MultipartFlaw>,
    },
    Engine(EngineMode),
    BodyProcessor(BodyProcessor),
    RequestBodyAccess(bool),
    ResponseBodyAccess(bool),
    /// The rule lets the exchange pass.
    Allowed {
        rule: u32,
        scope: AllowScope,
    },
    /// The rule stops the exchange, or only would, in detection mode.
    Disrupted {
        rule: u32,
        action: Disruption,
        carried_out: bool,
    },
}

/// Why a rule did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// A rule before it skipped a number of rules.
    Skip,
    /// A rule before it went on behind a marker.
    Marker,
    /// A rule or an exclusion took it out.
    Excluded,
    /// A rule before it let the exchange, or the phase, pass.
    Allowed,
}

impl Trace {
    pub(super) fn push(&mut self, event: Event) {
        if self.events.len() < EVENTS {
            self.events.push(event);
        } else {
            self.dropped += 1;
        }
    }
}

impl Event {
    /// The beginning of a comparison.
    pub(super) fn comparison(rule: u32, leaf: &Leaf, first: bool, argument: Option<Vec<u8>>) -> Event {
        let written = |target: &super::variable::target::Target| match target.role {
            Role::Include => target.text.clone(),
            Role::Exclude => format!("!{}", target.text),
            Role::Count => format!("&{}", target.text),
        };
        Event::Comparison {
            rule,
            first,
            variables: leaf.targets.iter().map(written).collect(),
            operator: leaf.dynamic.as_ref().map_or_else(|| leaf.operator.describe(), |d| d.describe()),
            argument,
            negated: leaf.negate,
        }
    }
}

/// A value as it is kept.
pub(super) fn value(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().min(VALUE)].to_vec()
}

impl Evaluation<'_> {
    pub(super) fn tell_comparison(&mut self, index: usize) {
        let leaf = &self.program.leaves[index];
        let rule = &self.program.rules[leaf.rule];
        let first = index.checked_sub(1).is_none_or(|before| self.program.leaves[before].rule != leaf.rule);
        let argument = leaf
            .dynamic
            .as_ref()
            .map(|dynamic| expand::template(&dynamic.template, rule, self.scratch, self.state, None));
        self.state.note(|| Event::comparison(rule.id, leaf, first, argument));
    }

    pub(super) fn tell_transformed(&mut self, transformation: &Transformation, span: Span) {
        let Scratch { store, .. } = &*self.scratch;
        self.state.note(|| Event::Transformed { name: transformation.name, result: value(store.get(span)) });
    }
}
