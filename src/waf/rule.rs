//! A rule as it runs.

use std::sync::Arc;

use super::decode::Decode;
use super::lang::ast::{AllowScope, BodyProcessor, EngineMode, Persistent, Severity};
use super::operator::{Dynamic, Need, Operator};
use super::report::PhaseName;
use super::template::Template;
use super::transformation::Transformation;
use super::variable::kind::Kinds;
use super::variable::target::Target;

/// One compiled rule. Rules stand in the order in which they run: by phase, then by file, then
/// as written.
#[derive(Debug)]
pub(crate) struct Rule {
    pub id: u32,
    pub set: Arc<str>,
    pub phase: PhaseName,
    pub message: Template,
    pub log_data: Option<Template>,
    pub version: Option<String>,
    pub revision: Option<String>,
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

impl Rule {
    /// All its texts that may hold macros, but for those of its conditions.
    pub fn templates(&self) -> Vec<&Template> {
        let texts = std::iter::once(&self.message).chain(&self.log_data);
        texts.chain(self.then.iter().flat_map(Action::templates)).collect()
    }
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
    /// Which candidates of its values it looks at, beside the values.
    pub decode: Decode,
    /// What it does not look at.
    pub skip: Kinds,
    /// The node of the transformation tree, and its transformations in order.
    pub pipeline: usize,
    pub steps: Vec<&'static Transformation>,
    pub operator: Box<dyn Operator>,
    /// In place of the operator when its argument has macros.
    pub dynamic: Option<Dynamic>,
    pub need: Need,
    pub negate: bool,
    pub capture: bool,
    pub multi_match: bool,
    /// Looks at `tx`, `matched_var` and the like, or counts: partly evaluated when its rule runs.
    pub live: bool,
    /// A candidate for this leaf wakes its rule.
    pub wakes: bool,
    /// Not scanned for: its values are looked at when its rule gets to it, and only then. So it is
    /// where the operator's argument has macros, and where a rule seldom gets.
    pub late: bool,
    /// Carried out for each value that matches.
    pub on_match: Vec<Action>,
}

impl Leaf {
    /// True when evaluating it leaves something behind even if its rule does not match.
    pub fn has_effects(&self) -> bool {
        self.capture || !self.on_match.is_empty()
    }

    /// All its texts that may hold macros.
    pub fn templates(&self) -> Vec<&Template> {
        let argument = self.dynamic.iter().map(|dynamic| &dynamic.template);
        argument.chain(self.on_match.iter().flat_map(Action::templates)).collect()
    }
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
    Allow(AllowScope),
    Set {
        variable: Variable,
        change: Change,
    },
    Expire {
        variable: Variable,
        seconds: Template,
    },
    InitCollection {
        kind: Persistent,
        key: Template,
    },
    RateLimit {
        key: Template,
        requests: u64,
        seconds: u32,
        status: u16,
    },
    StripRequestHeader(Arc<str>),
    StripResponseHeader(Arc<str>),
    /// These rules (by index) are off, or these targets are taken from them.
    Exclude {
        rules: super::bits::Bits,
        targets: Arc<[Target]>,
    },
    Engine(EngineMode),
    BodyProcessor(BodyProcessor),
    ForceRequestBodyVariable,
    RequestBodyAccess(bool),
    ResponseBodyAccess(bool),
    /// The phase goes on with the rule of this index, which stands behind a marker or a number of
    /// rules further.
    Go {
        to: usize,
        marker: bool,
    },
}

impl Action {
    fn templates(&self) -> Vec<&Template> {
        match self {
            Action::Redirect { location, .. } => vec![location],
            Action::Set { variable, change } => match change {
                Change::Assign(text) | Change::Add(text) | Change::Subtract(text) => {
                    vec![&variable.name, text]
                }
                Change::Delete => vec![&variable.name],
            },
            Action::Expire { variable, seconds } => vec![&variable.name, seconds],
            Action::InitCollection { key, .. } | Action::RateLimit { key, .. } => vec![key],
            _ => Vec::new(),
        }
    }
}

impl Action {
    /// The texts in it that may have macros.
    pub fn templates_mut(&mut self) -> Vec<&mut Template> {
        match self {
            Action::Redirect { location, .. } => vec![location],
            Action::Set { variable, change } => match change {
                Change::Assign(text) | Change::Add(text) | Change::Subtract(text) => {
                    vec![&mut variable.name, text]
                }
                Change::Delete => vec![&mut variable.name],
            },
            Action::Expire { variable, seconds } => vec![&mut variable.name, seconds],
            Action::InitCollection { key, .. } | Action::RateLimit { key, .. } => vec![key],
            Action::Score(_)
            | Action::Deny { .. }
            | Action::Drop
            | Action::Allow(_)
            | Action::StripRequestHeader(_)
            | Action::StripResponseHeader(_)
            | Action::Exclude { .. }
            | Action::Engine(_)
            | Action::BodyProcessor(_)
            | Action::ForceRequestBodyVariable
            | Action::RequestBodyAccess(_)
            | Action::ResponseBodyAccess(_)
            | Action::Go { .. } => Vec::new(),
        }
    }
}

/// A variable that rules set.
#[derive(Debug)]
pub(crate) struct Variable {
    /// None for `tx`.
    pub persistent: Option<Persistent>,
    pub name: Template,
    /// Which variable of `tx` it is, when the name has no macros.
    pub number: Option<u32>,
}

/// What becomes of it.
#[derive(Debug)]
pub(crate) enum Change {
    Assign(Template),
    Add(Template),
    Subtract(Template),
    Delete,
}
