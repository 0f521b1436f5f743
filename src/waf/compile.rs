//! From the tree to the program: names become numbers, the paranoia level and all defaults are
//! settled, and what only the whole picture shows wrong is reported.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bits::Bits;
use super::clean::Clean;
use super::engine::{Phase, Program, RuleInfo, Settings, Sources};
use super::exclusion::Exclusion;
use super::interest::Interest;
use super::lang::ast;
use super::lang::error::{At, Place, Problems, nearest, shown};
use super::operator;
use super::pipeline::Pipelines;
use super::prefilter::{self, Guard, Prefilter, Side};
use super::report::PhaseName;
use super::rule::{Action, Condition, Leaf, Rule};
use super::template::Template;
use super::variable::target::{Role, Target};
use super::variable::{Collection, Origin};

const PHASES: [PhaseName; 5] = [
    PhaseName::RequestHeaders,
    PhaseName::RequestBody,
    PhaseName::ResponseHeaders,
    PhaseName::ResponseBody,
    PhaseName::Logging,
];
const PARANOIA_LEVEL: u8 = 1;
const INBOUND_THRESHOLD: i64 = 5;
const OUTBOUND_THRESHOLD: i64 = 4;

/// Compiles the tree. Errors go to `problems`; the program is of use only when there are none.
pub(crate) fn compile<'a>(
    tree: &ast::Program,
    sources: &'a Sources,
    settings: &Settings,
    plain: bool,
    problems: &mut Problems<'a>,
) -> Option<(Program, Vec<RuleInfo>)> {
    let setup = tree.setup.unwrap_or_default();
    let paranoia_level =
        settings.paranoia_level.or(setup.paranoia_level).unwrap_or(PARANOIA_LEVEL).clamp(1, 4);
    let inbound = settings.inbound_threshold.or(setup.inbound_threshold);
    let outbound = settings.outbound_threshold.or(setup.outbound_threshold);
    let known = Known::gather(tree, problems);
    let mut builder = Builder { sources, pipelines: Pipelines::new(), rules: Vec::new(), leaves: Vec::new() };
    let (phases, kept) = builder.phases(tree, paranoia_level, problems);
    let Builder { mut pipelines, mut rules, mut leaves, .. } = builder;
    let exclusions = exclusions(tree, &kept, &mut rules, &known, problems);
    pipelines.assign(&leaves, plain);
    let unconditional = gates(&rules, &mut leaves, plain);
    let interests: Vec<Interest> =
        collections().map(|collection| Interest::build(collection, &leaves)).collect();
    let prefilters = prefilters(&leaves, &interests, &pipelines, plain, problems)?;
    let mut mentioned = [false; Collection::COUNT];
    for collection in leaves.iter().flat_map(|leaf| &leaf.targets).flat_map(Target::collections) {
        mentioned[*collection as usize] = true;
    }
    let looks_at = |wanted: fn(Collection) -> bool| {
        collections().any(|collection| wanted(collection) && mentioned[collection as usize])
    };
    let program = Program {
        phases,
        mentioned,
        looks_at_request_body: looks_at(Collection::is_request_body),
        looks_at_response_body: looks_at(|collection| collection == Collection::ResponseBody),
        pipelines,
        interests,
        prefilters,
        unconditional: unconditional.words,
        exclusions,
        clean: (!plain).then(Clean::default),
        mode: settings.mode,
        paranoia_level,
        inbound_threshold: inbound.unwrap_or(INBOUND_THRESHOLD),
        outbound_threshold: outbound.unwrap_or(OUTBOUND_THRESHOLD),
        rules,
        leaves,
    };
    Some((program, infos(tree, sources, paranoia_level)))
}

/// All rules as listings show them.
fn infos(tree: &ast::Program, sources: &Sources, paranoia_level: u8) -> Vec<RuleInfo> {
    let of = |set: &ast::RuleSet, rule: &ast::Rule| RuleInfo {
        id: rule.id.value,
        set: set.name.clone(),
        file: sources.files.get(set.place.file).map_or_else(String::new, |file| file.name.clone()),
        phase: rule.phase.value,
        message: rule.message.clone(),
        severity: rule.severity.map(ast::Severity::name),
        paranoia_level: rule.level(),
        tags: rule.tags().to_vec(),
        shadow: set.mode.or(rule.mode).is_some(),
        active: rule.level() <= paranoia_level,
    };
    tree.sets.iter().flat_map(|set| set.rules.iter().map(move |rule| of(set, rule))).collect()
}

/// What exclusion files and `exclude` actions take out, now that all rules have numbers. The
/// actions join their rules; `kept` are the sources of `rules`.
fn exclusions(
    tree: &ast::Program,
    kept: &[&ast::Rule],
    rules: &mut [Rule],
    known: &Known,
    problems: &mut Problems,
) -> Vec<Exclusion> {
    let numbered: Vec<_> = rules.iter().map(|rule| (rule.id, rule.tags.clone())).collect();
    let selection = Selection { rules: &numbered, known };
    for (rule, source) in rules.iter_mut().zip(kept) {
        for at in &source.then {
            if let ast::Action::Exclude(action) = &at.value {
                let chosen = selection.choose(&action.rules, &action.tags, problems);
                let targets = action.variables.clone().into();
                rule.then.push(Action::Exclude { rules: chosen, targets });
            }
        }
    }
    let files = tree.exclusions.iter().flat_map(|set| &set.exclusions);
    files.map(|exclusion| selection.exclusion(exclusion, problems)).collect()
}

fn collections() -> impl Iterator<Item = Collection> {
    // Every collection is the origin of some variable, in the order of the enumeration.
    let all: BTreeSet<Collection> = super::variable::names()
        .filter_map(super::variable::find)
        .filter_map(|variable| match variable.origin {
            Origin::Collections(list) => Some(list),
            Origin::Live(_) => None,
        })
        .flatten()
        .copied()
        .collect();
    all.into_iter()
}

fn prefilters(
    leaves: &[Leaf],
    interests: &[Interest],
    pipelines: &Pipelines,
    plain: bool,
    problems: &mut Problems,
) -> Option<[Vec<Prefilter>; Side::COUNT]> {
    let mut sides = [(); Side::COUNT].map(|()| Bits::none(leaves.len()));
    for (collection, interest) in collections().zip(interests) {
        sides[Side::of(collection) as usize].union(&interest.any);
    }
    let mut filters: [Vec<Prefilter>; Side::COUNT] = Default::default();
    for (filters, members) in filters.iter_mut().zip(&sides) {
        for (index, node) in pipelines.nodes.iter().enumerate() {
            // Only a node whose step makes new bytes has them looked at anew.
            let mut members = if index == 0 || node.step.is_some_and(|step| !step.folds) {
                members.clone()
            } else {
                Bits::none(leaves.len())
            };
            members.intersect(&node.subtree);
            match Prefilter::build(leaves, &members, plain) {
                Ok(filter) => filters.push(filter),
                Err(error) => {
                    let problem = format!("the rules' literals are too many: {error}");
                    problems.add(Place::default(), problem);
                    return None;
                }
            }
        }
    }
    Some(filters)
}

/// Decides for each rule which leaves' candidates wake it, and returns the rules that always
/// have to be looked at.
fn gates(rules: &[Rule], leaves: &mut [Leaf], plain: bool) -> Bits {
    let mut unconditional = Bits::none(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        match rule.condition.as_ref().and_then(|condition| gate(condition, leaves, plain)) {
            Some(gate) => gate.into_iter().for_each(|leaf| leaves[leaf].wakes = true),
            None => unconditional.insert(index),
        }
    }
    unconditional
}

/// Leaves such that the condition is false while none of them has a candidate.
fn gate(condition: &Condition, leaves: &[Leaf], plain: bool) -> Option<Vec<usize>> {
    match condition {
        Condition::Leaf(leaf) => (!leaves[*leaf].live).then(|| vec![*leaf]),
        // All must hold, so any one of them is a gate: take the one that opens least. But a
        // capture is kept even when a later condition fails, so none may come before its gate.
        Condition::All(inner) => {
            let first_capture = inner.iter().position(|inner| captures(inner, leaves)).unwrap_or(inner.len());
            let gates = inner.iter().take(first_capture + 1).filter_map(|inner| gate(inner, leaves, plain));
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

fn captures(condition: &Condition, leaves: &[Leaf]) -> bool {
    match condition {
        Condition::Leaf(leaf) => leaves[*leaf].capture,
        Condition::All(inner) | Condition::Any(inner) => inner.iter().any(|inner| captures(inner, leaves)),
        Condition::Not(inner) => captures(inner, leaves),
    }
}

/// Ids and tags of all loaded rules.
struct Known {
    ids: BTreeMap<u32, Place>,
    tags: BTreeSet<String>,
}

impl Known {
    fn gather(tree: &ast::Program, problems: &mut Problems) -> Known {
        let mut known = Known { ids: BTreeMap::new(), tags: BTreeSet::new() };
        for rule in tree.sets.iter().flat_map(|set| &set.rules) {
            if let Some(first) = known.ids.get(&rule.id.value) {
                let first = problems.spell(*first);
                problems
                    .add(rule.id.place, format!("the rule id {} stands already at {first}", rule.id.value));
            } else {
                known.ids.insert(rule.id.value, rule.id.place);
            }
            known.tags.extend(rule.tags().iter().cloned());
        }
        known
    }
}

/// Chooses rules by id and tag.
struct Selection<'a> {
    /// Id and tags, by index.
    rules: &'a [(u32, Vec<String>)],
    known: &'a Known,
}

impl Selection<'_> {
    fn choose(&self, ids: &[At<ast::IdRange>], tags: &[At<String>], problems: &mut Problems) -> Bits {
        for at in ids {
            if self.known.ids.range(at.value.first..=at.value.last).next().is_none() {
                let near = self.known.ids.keys().map(ToString::to_string).collect::<Vec<_>>();
                let help = nearest(&at.value.to_string(), near.iter().map(String::as_str))
                    .map(|near| format!("did you mean {near}?"));
                problems.add_with_help(at.place, format!("no loaded rule has the id {}", at.value), help);
            }
        }
        for at in tags {
            if !self.known.tags.contains(&at.value) {
                let help = nearest(&at.value, self.known.tags.iter().map(String::as_str))
                    .map(|near| format!("did you mean `{near}`?"));
                problems.add_with_help(
                    at.place,
                    format!("no loaded rule has the tag `{}`", shown(&at.value)),
                    help,
                );
            }
        }
        let mut chosen = Bits::none(self.rules.len());
        for (index, (id, own)) in self.rules.iter().enumerate() {
            if ids.iter().any(|at| at.value.contains(*id)) || tags.iter().any(|at| own.contains(&at.value)) {
                chosen.insert(index);
            }
        }
        chosen
    }

    fn exclusion(&self, source: &ast::Exclusion, problems: &mut Problems) -> Exclusion {
        let rules = source.rules.as_deref().unwrap_or_default();
        let tags = source.tags.as_deref().unwrap_or_default();
        let targets: Vec<Target> = source.variables.iter().flatten().map(|at| at.value.clone()).collect();
        Exclusion {
            rules: self.choose(rules, tags, problems),
            targets: targets.into(),
            hosts: source.hosts.clone(),
            paths: source.paths.clone(),
            until_unix_ms: source.expires.map(|day| day.end_unix_ms),
        }
    }
}

struct Builder<'a> {
    sources: &'a Sources,
    pipelines: Pipelines,
    rules: Vec<Rule>,
    leaves: Vec<Leaf>,
}

impl Builder<'_> {
    /// Builds all rules phase by phase, and returns the phases and the rules that were kept.
    fn phases<'t>(
        &mut self,
        tree: &'t ast::Program,
        paranoia_level: u8,
        problems: &mut Problems,
    ) -> ([Phase; 5], Vec<&'t ast::Rule>) {
        let mut phases: [Phase; 5] = Default::default();
        let mut kept = Vec::new();
        for (phase, name) in phases.iter_mut().zip(PHASES) {
            let (first, first_leaf) = (self.rules.len(), self.leaves.len());
            for set in &tree.sets {
                let set_name: Arc<str> = set.name.as_str().into();
                for rule in set.rules.iter().filter(|rule| rule.phase.value == name) {
                    // What the paranoia level leaves out has to be right all the same.
                    let keep = rule.level() <= paranoia_level;
                    self.rule(rule, set, &set_name, keep, problems);
                    if keep {
                        kept.push(rule);
                    }
                }
            }
            *phase = Phase { rules: first..self.rules.len(), first_leaf };
        }
        (phases, kept)
    }

    fn rule(
        &mut self,
        source: &ast::Rule,
        set: &ast::RuleSet,
        set_name: &Arc<str>,
        keep: bool,
        problems: &mut Problems,
    ) {
        let first = self.leaves.len();
        let condition = source.when.as_ref().map(|when| self.condition(when, problems));
        if !keep {
            self.leaves.truncate(first);
            return;
        }
        let rule = Rule {
            id: source.id.value,
            set: Arc::clone(set_name),
            phase: source.phase.value,
            message: source.message.clone(),
            severity: source.severity,
            paranoia_level: source.level(),
            tags: source.tags().to_vec(),
            shadow: set.mode.or(source.mode).is_some(),
            condition: match condition {
                None => None,
                // An error was reported, so this program will not run.
                Some(None) => Some(Condition::Any(Vec::new())),
                Some(Some(condition)) => Some(condition),
            },
            then: source.then.iter().flat_map(|at| action(at, source.severity)).collect(),
            log: !source.then.iter().any(|at| at.value == ast::Action::NoLog),
        };
        self.rules.push(rule);
    }

    fn condition(&mut self, source: &ast::Condition, problems: &mut Problems) -> Option<Condition> {
        let mut all = |inner: &[ast::Condition]| -> Option<Vec<Condition>> {
            let built: Vec<_> = inner.iter().map(|inner| self.condition(inner, problems)).collect();
            built.into_iter().collect()
        };
        match source {
            ast::Condition::Leaf(leaf) => self.leaf(leaf, problems).map(Condition::Leaf),
            ast::Condition::All(inner) => all(&inner.all).map(Condition::All),
            ast::Condition::Any(inner) => all(&inner.any).map(Condition::Any),
            ast::Condition::Not(inner) => {
                self.condition(&inner.not, problems).map(|inner| Condition::Not(Box::new(inner)))
            }
        }
    }

    fn leaf(&mut self, source: &ast::Leaf, problems: &mut Problems) -> Option<usize> {
        let call = &source.operator;
        let operator = match operator::build(&call.name.value, &call.argument.value, &self.sources.data) {
            Ok(operator) => operator,
            Err(error) => {
                problems.add_with_help(call.argument.place, error.problem, error.help);
                return None;
            }
        };
        let targets: Vec<Target> = source.variables.iter().map(|at| at.value.clone()).collect();
        let steps: Vec<_> = source.transformations.iter().flatten().map(|at| at.value.0).collect();
        let leaf = Leaf {
            rule: self.rules.len(),
            pipeline: self.pipelines.node(steps.iter().copied()),
            steps,
            need: operator.need(),
            operator,
            negate: source.negate.unwrap_or(false),
            capture: source.capture.unwrap_or(false),
            multi_match: source.multi_match.unwrap_or(false),
            live: targets
                .iter()
                .any(|t| t.role == Role::Count || (t.role == Role::Include && t.live().is_some())),
            wakes: false,
            targets,
        };
        self.leaves.push(leaf);
        Some(self.leaves.len() - 1)
    }
}

fn action(at: &At<ast::Action>, severity: Option<ast::Severity>) -> Vec<Action> {
    // Templates were parsed once already, when the file was read.
    let template = |text: &str| Template::parse(text).ok();
    match &at.value {
        ast::Action::Score(points) => {
            vec![Action::Score(points.or(severity.map(ast::Severity::points)).unwrap_or(0))]
        }
        ast::Action::Block => vec![Action::Deny { status: 403 }],
        ast::Action::Deny { status } => vec![Action::Deny { status: *status }],
        ast::Action::Redirect { status, location } => template(location)
            .map(|location| Action::Redirect { status: *status, location })
            .into_iter()
            .collect(),
        ast::Action::Drop => vec![Action::Drop],
        ast::Action::Allow => vec![Action::Allow],
        ast::Action::Set(assignments) => assignments
            .iter()
            .filter_map(|(name, assignment)| {
                let name = name.clone().into_bytes();
                Some(match assignment {
                    ast::Assignment::Add(by) => Action::Add { name, by: *by },
                    ast::Assignment::Text(text) => Action::Assign { name, text: template(text)? },
                })
            })
            .collect(),
        ast::Action::StripRequestHeader(name) => vec![Action::StripRequestHeader(name.as_str().into())],
        ast::Action::StripResponseHeader(name) => vec![Action::StripResponseHeader(name.as_str().into())],
        // Excluding needs all rules' numbers, so it is added later.
        ast::Action::Exclude(_) | ast::Action::Log | ast::Action::NoLog => Vec::new(),
    }
}
