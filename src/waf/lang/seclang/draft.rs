//! A rule while it is read: its links as pieces, so that later directives can still change it.

use crate::waf::lang::ast::Severity;
use crate::waf::lang::error::{At, Place};
use crate::waf::report::PhaseName;

use super::actions::{Actions, Disruptive};
use super::fault::Fault;
use super::rule::{Operator, Variable};

/// One rule, or one chain of them.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub place: Place,
    /// Which stretch of which file it stands in.
    pub segment: usize,
    pub comment: Vec<String>,
    /// At least one.
    pub links: Vec<Link>,
    pub defaults: Defaults,
    /// The last link has `chain`, and the file ends.
    pub unfinished: bool,
    pub faults: Vec<Fault>,
}

/// One SecRule or SecAction.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub place: Place,
    /// None for a SecAction.
    pub test: Option<(Vec<Variable>, Operator)>,
    pub actions: Actions,
}

/// What SecDefaultAction says for a phase. Without one, a rule logs and passes.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    pub disruptive: Option<Disruptive>,
    pub status: Option<u16>,
    pub log: Option<bool>,
    pub transformations: Vec<At<String>>,
    pub tags: Vec<At<String>>,
    pub severity: Option<Severity>,
}

/// What stands in the files, in order.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Rule(Box<Draft>),
    Marker { segment: usize, name: At<String> },
}

impl Draft {
    pub fn head(&self) -> &Actions {
        &self.links[0].actions
    }

    pub fn id(&self) -> Option<u32> {
        self.head().id.map(|id| id.value)
    }

    /// Phase 2 when none is named.
    pub fn phase(&self) -> PhaseName {
        self.head().phase.map_or(PhaseName::RequestBody, |phase| phase.value)
    }

    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.defaults.tags.iter().chain(&self.head().tags).map(|tag| tag.value.as_str())
    }

    /// How notes name it.
    pub fn name(&self) -> String {
        self.id().map_or_else(|| "a rule".to_owned(), |id| format!("rule {id}"))
    }
}
