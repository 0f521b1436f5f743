//! The one tree that rule languages are read into. Everything a later step may complain about
//! carries its place. The JSON Schema is derived from these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{At, Place};
use crate::waf::decode::Decode;
use crate::waf::report::PhaseName;
use crate::waf::transformation::Transformation;
use crate::waf::variable::kind::Kind;
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
    /// `detect`: the rules of this set are reported but never stop anything; `off`: they do not run.
    /// The setup's `sets` and the configuration's win.
    pub mode: Option<SetMode>,
    /// In order; a `{"marker": "NAME"}` between them is a place that `skip_after` can go to.
    #[schemars(with = "Vec<super::schema::Entry>")]
    pub rules: Vec<Rule>,
    #[schemars(skip)]
    pub markers: Vec<Marker>,
}

/// A named place between the rules of a set.
#[derive(Clone, Debug)]
pub struct Marker {
    /// The number of rules of the set that stand before it.
    pub before: usize,
    pub name: At<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum ShadowMode {
    Detect,
}

/// What a set is unless it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum SetMode {
    Detect,
    Off,
}

/// One rule: when what is looked at matches, then these actions.
#[derive(Debug, JsonSchema)]
pub struct Rule {
    #[schemars(skip)]
    pub place: Place,
    /// Unique over all sets; 900000 and above are the user's.
    pub id: At<u32>,
    pub phase: At<PhaseName>,
    /// One sentence for a person. Macros are expanded when it matches. Only a rule that does not
    /// log may go without.
    #[serde(default)]
    pub message: String,
    /// What was found, with macros: `%{matched_var_name}: %{matched_var}`.
    pub log_data: Option<String>,
    pub description: Option<String>,
    pub severity: Option<Severity>,
    /// Active from this paranoia level on.
    #[schemars(range(min = 1, max = 4))]
    pub paranoia_level: Option<u8>,
    pub tags: Option<Vec<String>>,
    /// The rule's own version and revision, for people and for the variable `rule`.
    pub version: Option<String>,
    pub revision: Option<String>,
    #[schemars(range(max = 10))]
    pub maturity: Option<u8>,
    #[schemars(range(max = 10))]
    pub accuracy: Option<u8>,
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
    /// Looks at what each value decodes to as well: so many layers of any encoding, or of these.
    pub decode: Option<Decode>,
    /// Values that are wholly of one of these kinds are not looked at.
    pub skip_types: Option<Vec<At<Kind>>>,
    /// Applied to each value, in order, before the operator sees it.
    pub transformations: Option<Vec<At<Named>>>,
    pub operator: OperatorCall,
    /// True: a value that the operator does not match is what is looked for.
    pub negate: Option<bool>,
    /// Puts what was matched into `tx.0` and its groups into `tx.1` to `tx.9`.
    pub capture: Option<bool>,
    /// Looks at the value before, between and after the transformations.
    pub multi_match: Option<bool>,
    /// Done for each value that matches, also when a later condition of the rule does not hold.
    /// Only actions that stop nothing.
    pub on_match: Option<Vec<At<Action>>>,
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
    Allow(AllowScope),
    Log,
    NoLog,
    Set(Vec<(SetName, Assignment)>),
    /// Variables of persistent collections go after so many seconds (a text with macros).
    Expire(Vec<(SetName, String)>),
    /// Opens persistent collections under these keys (texts with macros).
    InitCollection(Vec<(Persistent, String)>),
    RateLimit(RateLimit),
    StripRequestHeader(String),
    StripResponseHeader(String),
    Exclude(ExcludeAction),
    /// From here on this exchange is blocked, only reported, or not looked at.
    Engine(EngineMode),
    /// How the request body is read, whatever its Content-Type says.
    BodyProcessor(BodyProcessor),
    /// `request_body` has the body also when a processor took it apart.
    ForceRequestBodyVariable,
    RequestBodyAccess(bool),
    ResponseBodyAccess(bool),
    /// The next rules of the phase, so many, are left out.
    Skip(u32),
    /// The rules of the phase up to this marker are left out; without such a marker behind the
    /// rule, the rest of the phase.
    SkipAfter(String),
}

impl Action {
    /// True for what may be done for one value before the whole condition is known to hold.
    pub fn stops_nothing(&self) -> bool {
        matches!(
            self,
            Action::Set(_)
                | Action::Expire(_)
                | Action::InitCollection(_)
                | Action::Exclude(_)
                | Action::Engine(_)
                | Action::BodyProcessor(_)
                | Action::ForceRequestBodyVariable
                | Action::RequestBodyAccess(_)
                | Action::ResponseBodyAccess(_)
        )
    }
}

/// How much of the exchange an `allow` lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowScope {
    /// All phases but logging.
    Exchange,
    /// The rest of this phase.
    Phase,
    /// The rest of the request phases.
    Request,
}

/// What an `engine` action switches to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineMode {
    Block,
    Detect,
    Off,
}

/// How a request body is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProcessor {
    Urlencoded,
    Multipart,
    Json,
    Xml,
}

/// Collections that outlive the exchange; each exchange opens at most one of each kind, under a
/// key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Persistent {
    Ip,
    Session,
    User,
    Resource,
    Global,
}

impl Persistent {
    pub const ALL: [Persistent; 5] =
        [Persistent::Ip, Persistent::Session, Persistent::User, Persistent::Resource, Persistent::Global];

    pub fn name(self) -> &'static str {
        match self {
            Persistent::Ip => "ip",
            Persistent::Session => "session",
            Persistent::User => "user",
            Persistent::Resource => "resource",
            Persistent::Global => "global",
        }
    }
}

/// A variable that rules can set, `tx.NAME` or `ip.NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetName {
    /// None for `tx`.
    pub persistent: Option<Persistent>,
    /// In lower case but for its macros; a text with macros.
    pub name: String,
}

/// What `set` does to a variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Assignment {
    /// A text with macros.
    Text(String),
    /// `+n`, `-n`: counts, from 0 when there is nothing yet. The number is a text with macros.
    Add(String),
    Subtract(String),
    /// `null`: takes it away.
    Delete,
}

/// Denies what comes more often than so many times in so many seconds under one key.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// A text with macros: `%{remote_addr}`.
    pub key: String,
    pub requests: u32,
    pub seconds: u32,
    pub status: u16,
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
    /// False: a pack, which holds only for the hosts that `exclusion_packs` of the setup or of the
    /// configuration names.
    pub enabled: Option<bool>,
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
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema)]
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
    /// Whether matches stop an exchange (`block`), are only reported (`detect`), or rules do not run
    /// at all (`off`); the configuration's mode wins.
    pub mode: Option<SetupMode>,
    /// False: request bodies are not looked at.
    pub request_body_access: Option<bool>,
    /// False: response bodies are not looked at.
    pub response_body_access: Option<bool>,
    /// Media types of responses whose bodies are looked at; without it, all that is text.
    pub response_body_types: Option<Vec<String>>,
    /// Arguments that a request may have; with more, `reqbody_error` is set.
    #[schemars(range(min = 1))]
    pub arguments_limit: Option<u32>,
    /// How request bodies are read where no rule decides. `by_content_type`, the default: forms,
    /// multipart, JSON and XML by their Content-Type, and `request_body` also holds what no parser
    /// took apart. `as_modsecurity`, for rules written for it: JSON and XML only where a rule says
    /// so with `body_processor`, `request_body` only for forms or where a rule asks for it, and
    /// quotes around a multipart boundary count as `multipart_strict_error`.
    pub request_bodies: Option<RequestBodies>,
    /// The modes of sets, by their names, in place of what their files say.
    #[schemars(with = "BTreeMap<String, SetupMode>")]
    #[serde(default)]
    pub sets: Vec<(At<String>, SetupMode)>,
    /// The hosts for which exclusion files hold, by their names: packs are switched on so. `*` is
    /// every host, `*.app.test` every name below it.
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    #[serde(default)]
    pub exclusion_packs: Vec<(At<String>, Vec<At<String>>)>,
}

impl Setup {
    /// This one, and where it is silent the other.
    pub fn over(self, other: Setup) -> Setup {
        Setup {
            paranoia_level: self.paranoia_level.or(other.paranoia_level),
            inbound_threshold: self.inbound_threshold.or(other.inbound_threshold),
            outbound_threshold: self.outbound_threshold.or(other.outbound_threshold),
            mode: self.mode.or(other.mode),
            request_body_access: self.request_body_access.or(other.request_body_access),
            response_body_access: self.response_body_access.or(other.response_body_access),
            response_body_types: self.response_body_types.or(other.response_body_types),
            arguments_limit: self.arguments_limit.or(other.arguments_limit),
            request_bodies: self.request_bodies.or(other.request_bodies),
            sets: by_name(self.sets, other.sets),
            exclusion_packs: by_name(self.exclusion_packs, other.exclusion_packs),
        }
    }
}

/// The first list, and what the second one says of other names.
fn by_name<T>(mut first: Vec<(At<String>, T)>, second: Vec<(At<String>, T)>) -> Vec<(At<String>, T)> {
    for (name, value) in second {
        if !first.iter().any(|(known, _)| known.value == name.value) {
            first.push((name, value));
        }
    }
    first
}

/// What rules do when they match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetupMode {
    Block,
    Detect,
    Off,
}

/// How request bodies are read where no rule decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum RequestBodies {
    #[default]
    ByContentType,
    AsModsecurity,
}

/// Phrase files by name, as operators want them.
pub type Data = BTreeMap<String, Vec<u8>>;
