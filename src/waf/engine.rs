//! The compiled program: immutable, shared by all transactions.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::clean::Clean;
use super::exclusion::Exclusion;
use super::input::ConnectionFacts;
use super::interest::Interest;
use super::lang::{self, LoadError};
use super::persistent;
use super::pipeline::Pipelines;
use super::prefilter::{Prefilter, Side};
use super::report::PhaseName;
use super::rule::{Leaf, Rule};
use super::settled::Settled;
use super::sift::Sifting;
use super::transaction::Transaction;
use super::tx::Names;
use super::variable::Collection;

/// A rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As errors name it.
    pub name: String,
    pub text: String,
}

/// All that is loaded together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pub files: Vec<Source>,
    /// Phrase files of the operators, by name.
    pub data: BTreeMap<String, Vec<u8>>,
}

impl Sources {
    /// Adds what another place holds; its phrase files win over those of the same name.
    pub fn extend(&mut self, other: Sources) {
        self.files.extend(other.files);
        self.data.extend(other.data);
    }
}

/// Whether matches stop an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Block,
    /// Everything runs and is reported, nothing is stopped or changed.
    Detect,
}

/// What the configuration says; `None` leaves it to the setup file, then to the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub mode: Option<Mode>,
    pub paranoia_level: Option<u8>,
    pub inbound_threshold: Option<i64>,
    pub outbound_threshold: Option<i64>,
    /// Modes of rule sets, by their names.
    pub sets: Vec<Choice<lang::ast::SetupMode>>,
    /// Hosts for which exclusion files hold, by their names.
    pub exclusion_packs: Vec<Choice<Vec<String>>>,
    /// Sets that are off run as well: for their examples and for measuring them.
    pub run_every_set: bool,
}

/// What the configuration says of something by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice<T> {
    pub name: String,
    pub value: T,
    /// Where it is said, for errors: `portward.toml:3:1` or `--rule-set`.
    pub said_at: String,
}

/// One loaded rule, also one that the paranoia level or its set's mode keeps from running.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RuleInfo {
    pub id: u32,
    pub set: String,
    pub file: String,
    pub phase: PhaseName,
    pub message: String,
    pub severity: Option<&'static str>,
    pub paranoia_level: u8,
    pub tags: Vec<String>,
    /// Of its set: whether its matches stop, are only told, or it does not run.
    pub mode: lang::ast::SetupMode,
    /// The rule or its set is detection-only.
    pub shadow: bool,
    /// False when the paranoia level is too low for it or its set is off.
    pub active: bool,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    pub(crate) program: Program,
    infos: Vec<RuleInfo>,
    fingerprint: String,
}

/// Everything a transaction reads.
#[derive(Debug)]
pub(crate) struct Program {
    pub rules: Vec<Rule>,
    pub leaves: Vec<Leaf>,
    /// By phase: its rules, and its first leaf.
    pub phases: [Phase; 7],
    pub pipelines: Pipelines,
    pub interests: Vec<Interest>,
    /// Which leaves do without values of some kind, and which want candidates.
    pub sifting: Sifting,
    /// What is not looked for in a body that is read in some way.
    pub settled: Settled,
    /// By side, then by node of the transformation tree; nodes that need none have empty ones.
    pub prefilters: [Vec<Prefilter>; Side::COUNT],
    /// Of the variables of `tx`.
    pub names: Names,
    /// Rules that run without waiting for a candidate.
    pub unconditional: Vec<u64>,
    pub exclusions: Vec<Exclusion>,
    /// None for the plain evaluation that tests compare with.
    pub clean: Option<Clean>,
    pub mode: Mode,
    /// Rules do not run.
    pub off: bool,
    pub paranoia_level: u8,
    pub inbound_threshold: i64,
    pub outbound_threshold: i64,
    /// By collection: some leaf looks at it or counts its values, or some text has it as a macro.
    pub mentioned: [bool; Collection::COUNT],
    pub looks_at_request_body: bool,
    pub looks_at_response_body: bool,
    pub request_body_access: bool,
    pub response_body_access: bool,
    /// In lower case; none for all that is text.
    pub response_body_types: Option<Vec<String>>,
    pub request_bodies: lang::ast::RequestBodies,
    /// None for the default.
    pub arguments_limit: Option<usize>,
    pub persistent: Arc<dyn persistent::Store>,
}

impl Program {
    /// True when some rule looks at this collection or counts its values.
    pub fn mentions(&self, collection: Collection) -> bool {
        self.mentioned[collection as usize]
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Phase {
    pub rules: Range<usize>,
    pub first_leaf: usize,
}

impl Engine {
    /// Compiles all files, or tells everything that is wrong with them.
    pub fn compile(sources: &Sources, settings: &Settings) -> Result<Engine, Vec<LoadError>> {
        Engine::compile_with(sources, settings, false)
    }

    /// Without prefilters and memory: slower by far, and the same in every outcome. The fast path
    /// is tested against this.
    pub fn compile_plain(sources: &Sources, settings: &Settings) -> Result<Engine, Vec<LoadError>> {
        Engine::compile_with(sources, settings, true)
    }

    fn compile_with(sources: &Sources, settings: &Settings, plain: bool) -> Result<Engine, Vec<LoadError>> {
        let mut problems = lang::problems(sources);
        let tree = lang::read(sources, &mut problems);
        let compiled = super::compile::compile(&tree, sources, settings, plain, &mut problems);
        let errors = problems.into_errors();
        match compiled {
            Some((program, infos)) if errors.is_empty() => {
                Ok(Engine { program, infos, fingerprint: fingerprint(sources, settings) })
            }
            _ => Err(errors),
        }
    }

    /// Keeps the collections that outlive exchanges there: what is reloaded goes on counting.
    pub fn with_store(mut self, store: Arc<dyn persistent::Store>) -> Engine {
        self.program.persistent = store;
        self
    }

    /// Where its collections are kept.
    pub fn store(&self) -> Arc<dyn persistent::Store> {
        Arc::clone(&self.program.persistent)
    }

    /// True when no rule is loaded.
    pub fn is_empty(&self) -> bool {
        self.rules().next().is_none()
    }

    /// All loaded rules in the order of the files.
    pub fn rules(&self) -> impl Iterator<Item = &RuleInfo> {
        self.infos.iter()
    }

    /// Identifies what was loaded: the same text and settings give the same sixteen digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub fn mode(&self) -> Mode {
        self.program.mode
    }

    pub fn paranoia_level(&self) -> u8 {
        self.program.paranoia_level
    }

    /// Inbound, outbound.
    pub fn thresholds(&self) -> (i64, i64) {
        (self.program.inbound_threshold, self.program.outbound_threshold)
    }

    /// Starts an exchange.
    pub fn begin(self: &Arc<Engine>, facts: &ConnectionFacts) -> Transaction {
        Transaction::begin(Arc::clone(self), facts)
    }
}

fn fingerprint(sources: &Sources, settings: &Settings) -> String {
    use std::hash::Hasher;
    let mut hash = super::interest::Fnv::default();
    for source in &sources.files {
        hash.write(&source.text.len().to_le_bytes());
        hash.write(source.text.as_bytes());
    }
    for (name, bytes) in &sources.data {
        hash.write(name.as_bytes());
        hash.write(&bytes.len().to_le_bytes());
        hash.write(bytes);
    }
    let mut settings = settings.clone();
    // Where something was said changes nothing.
    settings.sets.iter_mut().for_each(|choice| choice.said_at.clear());
    settings.exclusion_packs.iter_mut().for_each(|choice| choice.said_at.clear());
    hash.write(format!("{settings:?}").as_bytes());
    format!("{:016x}", hash.finish())
}
