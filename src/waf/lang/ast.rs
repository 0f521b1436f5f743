//! The one tree that rule languages are read into. Everything a later step may complain about
//! carries its place. The JSON Schema is derived from these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{At, Place};
use crate::waf::report::PhaseName;
use crate::waf::transformation::Transformation;
use crate::waf::variable::target::Target;

/// All files of a load.
#[derive(Debug, Default)]
pub struct Program {
    pub sets: Vec<RuleSet>,
    pub exclusions: Vec<ExclusionSet>,
    pub setup: Option<Setup>,
}

/// A rule set file: ordered rules for one class of attack.
#[derive(Debug, JsonSchema)]
pub struct RuleSet {
    #[schemars(skip)]
    pub place: Place,
    /// A short name, shown with every match.
    pub name: String,
    pub version: String,
    pub description: Option<String>,
    /// `detect`: the rules of this set are reported but never stop anything.
    pub mode: Option<ShadowMode>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum ShadowMode {
    Detect,
}

/// One rule: when what is looked at matches, then these actions.
#[derive(Debug, JsonSchema)]
pub struct Rule {
    #[schemars(skip)]
    pub place: Place,
    /// Unique over all sets; 900000 and above are the user's.
    pub id: At<u32>,
    pub phase: At<PhaseName>,
    /// One sentence for a person, without the matched data.
    pub message: String,
    pub description: Option<String>,
    pub severity: Option<Severity>,
    /// Active from this paranoia level on.
    #[schemars(range(min = 1, max = 4))]
    pub paranoia_level: Option<u8>,
    pub tags: Option<Vec<String>>,
    /// `detect`: this rule is reported but never stops anything.
    pub mode: Option<ShadowMode>,
    /// Absent: always.
    pub when: Option<Condition>,
    pub then: Vec<At<Action>>,
    pub examples: Option<Examples>,
}

impl Rule {
    pub fn tags(&self) -> &[String] {
        self.tags.as_deref().unwrap_or_default()
    }

    pub fn level(&self) -> u8 {
        self.paranoia_level.unwrap_or(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Info,
    Debug,
}

impl Severity {
    /// What a `score` without a number adds (the customary points of anomaly scoring).
    pub fn points(self) -> i64 {
        match self {
            Severity::Emergency | Severity::Alert | Severity::Critical => 5,
            Severity::Error => 4,
            Severity::Warning => 3,
            Severity::Notice => 2,
            Severity::Info | Severity::Debug => 0,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Severity::Emergency => "emergency",
            Severity::Alert => "alert",
            Severity::Critical => "critical",
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
            Severity::Info => "info",
            Severity::Debug => "debug",
        }
    }
}

/// What makes a rule match: one comparison, or comparisons joined.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum Condition {
    /// Any value of any of the variables, transformed, is what the operator looks for.
    Leaf(Box<Leaf>),
    All(All),
    Any(Any),
    Not(Not),
}

/// True when all of them are; looked at in order, up to the first that is not.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct All {
    #[schemars(length(min = 1))]
    pub all: Vec<Condition>,
}

/// True when one of them is; looked at in order, up to the first that is.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Any {
    #[schemars(length(min = 1))]
    pub any: Vec<Condition>,
}

/// True when it is not.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Not {
    pub not: Box<Condition>,
}

#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Leaf {
    #[schemars(skip)]
    pub place: Place,
    /// `name`, `name:key`, `name:/regex/`; `!` before it takes values out, `&` counts them.
    #[schemars(length(min = 1))]
    pub variables: Vec<At<Target>>,
    /// Applied to each value, in order, before the operator sees it.
    pub transformations: Option<Vec<At<Named>>>,
    pub operator: OperatorCall,
    /// True: a value that the operator does not match is what is looked for.
    pub negate: Option<bool>,
    /// Puts what was matched into `tx.0` and its groups into `tx.1` to `tx.9`.
    pub capture: Option<bool>,
    /// Looks at the value before, between and after the transformations.
    pub multi_match: Option<bool>,
}

/// A transformation by name.
#[derive(Clone, Copy, Debug)]
pub struct Named(pub &'static Transformation);

/// An operator's name and argument; the argument is understood when the rule is compiled.
#[derive(Debug)]
pub struct OperatorCall {
    pub name: At<String>,
    pub argument: At<serde_json::Value>,
}

/// What a rule does when it matches.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Adds to the anomaly score: by severity, or so many points.
    Score(Option<i64>),
    Block,
    Deny {
        status: u16,
    },
    Redirect {
        status: u16,
        location: String,
    },
    Drop,
    Allow,
    Log,
    NoLog,
    Set(Vec<(String, Assignment)>),
    StripRequestHeader(String),
    StripResponseHeader(String),
    Exclude(ExcludeAction),
}

/// What `set` does to a `tx` variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Assignment {
    Text(String),
    Add(i64),
}

/// What an `exclude` action takes out for the rest of the exchange.
#[derive(Clone, Debug)]
pub struct ExcludeAction {
    pub rules: Vec<At<IdRange>>,
    pub tags: Vec<At<String>>,
    pub variables: Vec<Target>,
}

impl PartialEq for ExcludeAction {
    fn eq(&self, other: &ExcludeAction) -> bool {
        let ids = |action: &ExcludeAction| action.rules.iter().map(|at| at.value).collect::<Vec<_>>();
        let tags = |action: &ExcludeAction| action.tags.iter().map(|at| at.value.clone()).collect::<Vec<_>>();
        let texts =
            |action: &ExcludeAction| action.variables.iter().map(|t| t.text.clone()).collect::<Vec<_>>();
        ids(self) == ids(other) && tags(self) == tags(other) && texts(self) == texts(other)
    }
}

/// A rule id or a range of them, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    pub first: u32,
    pub last: u32,
}

impl IdRange {
    pub fn contains(self, id: u32) -> bool {
        (self.first..=self.last).contains(&id)
    }
}

impl std::fmt::Display for IdRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Requests and responses that the rule must and must not match: its tests.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Examples {
    #[serde(default, rename = "match")]
    pub matching: Vec<At<Example>>,
    #[serde(default)]
    pub no_match: Vec<At<Example>>,
}

/// HTTP as text; see [`crate::waf::example`] for the grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub request: Option<String>,
    pub response: Option<String>,
}

/// An exclusion file: what rules must not look at, and where.
#[derive(Debug, JsonSchema)]
pub struct ExclusionSet {
    #[schemars(skip)]
    pub place: Place,
    pub name: String,
    pub version: String,
    pub description: Option<String>,
    pub exclusions: Vec<Exclusion>,
}

/// Takes rules out, or with `variables` only those targets from the rules. At least one of
/// `rules` and `tags`; both widen the choice.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Exclusion {
    #[schemars(skip)]
    pub place: Place,
    pub rules: Option<Vec<At<IdRange>>>,
    pub tags: Option<Vec<At<String>>>,
    pub variables: Option<Vec<At<Target>>>,
    /// Only for these hosts; `*.app.test` stands for every name below it.
    pub hosts: Option<Vec<String>>,
    /// Only for these paths; `*` stands for any characters.
    pub paths: Option<Vec<String>>,
    /// Why, for the one who finds it in a year.
    pub reason: String,
    /// Last day on which it holds (UTC), `YYYY-MM-DD`.
    pub expires: Option<Day>,
}

/// A day, as the first millisecond after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    pub end_unix_ms: u64,
}

/// rules/setup.json.
#[derive(Debug, JsonSchema)]
pub struct SetupFile {
    pub setup: Setup,
}

/// Defaults that flags and configuration override.
#[derive(Debug, Clone, Copy, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Setup {
    #[schemars(range(min = 1, max = 4))]
    pub paranoia_level: Option<u8>,
    /// A request with this score or more is stopped.
    #[schemars(range(min = 1))]
    pub inbound_threshold: Option<i64>,
    /// A response with this score or more is stopped.
    #[schemars(range(min = 1))]
    pub outbound_threshold: Option<i64>,
}

/// Phrase files by name, as operators want them.
pub type Data = BTreeMap<String, Vec<u8>>;
